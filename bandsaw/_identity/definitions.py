"""What is known of one definition, kept for as long as its code object or class lives.

All definitions of a large module are read at once, and its syntax tree is dropped: what was found
out is kept for other processes, see `kept_outlines`.
"""

from __future__ import annotations

import ast
import sys
import weakref
from collections.abc import Callable
from hashlib import sha256
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple, Optional

from ..modules import file_of
from .changes import NOTHING, Changes, changes_of
from .kept_outlines import (
    KeptDefinition,
    Table,
    changes_of_plain,
    plain_changes,
    plain_uses,
    uses_of_plain,
    write_table,
)
from .kept_texts import is_long
from .kinds import attributes_of, is_a, module_of, name_of_module, qualname_of
from .scopes import uses_of
from .sources import Source, source_of
from .syntax import FUNCTIONS, write_syntax
from .uses import Use, Uses, chain_of

_OURS = __name__.partition(".")[0]


class Body(NamedTuple):
    """What the body of a class says."""

    name: str  # the name of the class
    assigned: frozenset[str]  # the names that it assigns
    functions: tuple[str, ...]  # those of its functions without decorators


class Defaults(NamedTuple):
    """What a function says of its defaults: expressions, or their text."""

    given: tuple[Any, ...]  # of positional parameters
    named: tuple[tuple[str, Any], ...]  # of those that are given by name only


class Definition:
    """What is known of a definition.

    Attributes:
        digest: The SHA-256 of its normal form.
        source: The source of its module, `None` where there is none.
        says: Of a class what its body says, of a function its defaults, `None` where its byte
            code counts.
    """

    __slots__ = ("_changes", "_uses", "digest", "says", "source")

    def __init__(
        self, digest: bytes, source: Optional[Source], uses: Any, changes: Any, says: Any = None
    ) -> None:
        self.digest, self.source, self.says = digest, source, says
        self._uses, self._changes = uses, changes  # either may be plain

    @property
    def is_by_source(self) -> bool:
        """Says whether it counts by its source, and not by its byte code."""
        return self.says is not None

    @property
    def uses(self) -> Uses:
        """What it uses from outside."""
        return uses_of_plain(self._uses)

    @property
    def changes(self) -> Changes:
        """What it changes when it is called."""
        self._changes = found = changes_of_plain(self._changes)
        return found


# By identity: code objects are equal when they merely look alike.
_known: dict[int, tuple[Any, Definition, Optional[list[int]]]] = {}


def _remember(key: Any, definition: Definition, of: Optional[list[int]] = None) -> Definition:
    identity, forget = id(key), _known.pop
    _known[identity] = weakref.ref(key, lambda _: forget(identity, None)), definition, of
    return definition


def definition_of(function: FunctionType) -> Definition:
    """Digests the source of a function, else its byte code, without what it reaches."""
    code = function.__code__
    known = _known.get(id(code))
    if known is not None:
        return known[1]
    namespace = function.__globals__
    source = source_of(code.co_filename, namespace)
    ways = Table.function, Source.function
    found = None if source is None else _found(Defaults, source, namespace, ways, code)
    if found is not None:
        return _remember(code, found)
    digest = sha256(b"code" + write_code(code, function.__doc__)).digest()
    return _remember(code, Definition(digest, source, _uses_of_code(code, namespace), NOTHING))


def definition_of_class(
    cls: type, methods: list[FunctionType], namespace: dict[str, Any]
) -> Optional[Definition]:
    """Digests the source of a class, if there is one, without what it reaches."""
    known = _known.get(id(cls))
    codes = [method.__code__ for method in methods]
    if known is not None and known[2] == list(map(id, codes)):
        return known[1]
    if methods:
        filename = methods[0].__code__.co_filename
    else:
        filename = namespace.get("__file__") or file_of(sys.modules.get(module_of(cls)))
    source = source_of(filename, namespace) if is_a(filename, str) else None
    if source is None:
        return None
    ways = Table.class_, Source.class_
    found = _found(Body, source, namespace, ways, qualname_of(cls), codes)
    return None if found is None else _remember(cls, found, list(map(id, codes)))


def _found(
    kind: Any,
    source: Source,
    namespace: dict[str, Any],
    ways: tuple[Callable[..., Optional[KeptDefinition]], Callable[..., Any]],
    *key: Any,
) -> Optional[Definition]:
    """Finds what is kept of a definition, else reads its syntax tree, `None` if it has none.

    `ways`: how it is looked for, by the key, in what is kept and in the source.
    """
    look_up, find = ways
    table = _table_of(source, namespace)
    if table is not None:
        try:
            kept = look_up(table, *key)
        except LookupError:
            pass
        else:
            if kept is None:
                return None
            if all(_is_task(each, namespace, source) is answer for each, answer in kept.asked):
                says = kind._make(kept.says)
                return Definition(kept.digest, source, kept.uses, kept.changes, says)
    node = find(source, *key)
    return None if node is None else _read(node, namespace, source, {})


def _table_of(source: Source, namespace: dict[str, Any]) -> Optional[Table]:
    """Returns what is kept of a module, which is found out first where nothing is."""
    if source.table is None and is_long(source.data):
        source.table = table = _all_read(source, namespace)
        write_table(source.data, table)
        source.forget_tree()
    return source.table


def _all_read(source: Source, namespace: dict[str, Any]) -> Table:
    def kept(node: Any) -> Optional[tuple[Any, ...]]:
        asked: dict[tuple[str, ...], bool] = {}
        try:
            found = _read(node, namespace, source, asked)
            says = found.says
            if is_a(says, Defaults):
                named = tuple((name, ast.unparse(each)) for name, each in says.named)
                says = Defaults(tuple(map(ast.unparse, says.given)), named)
            uses, changes = plain_uses(found.uses), plain_changes(found.changes)
        except (ValueError, RecursionError):
            return None  # such as a default that is too long or too deep to be written
        return found.digest, uses, changes, tuple(asked.items()), tuple(says)

    functions: dict[Any, Any] = {}
    for key, nodes in source.index.functions.items():
        digests = source.digests(key)
        functions[key] = digests, kept(nodes[0]) if digests and len(nodes) == 1 else None
    classes = {
        name: [(node.lineno, node.end_lineno or node.lineno, kept(node)) for node in nodes]
        for name, nodes in source.index.classes.items()
    }
    assigned = {name: source.statements(name) for name in source.assigned}
    first_set = {
        name: (written, plain_uses(uses))
        for name in {**assigned, **source.defined}
        for written, uses in [source.first_set(name)]
        if name in assigned or written
    }
    computed = frozenset(filter(source.computes, assigned))
    imports = source.imports, source.imported
    return Table(functions, classes, *imports, assigned, first_set, computed, source.defined)


def _read(
    node: Any, namespace: dict[str, Any], source: Any, asked: dict[tuple[str, ...], bool]
) -> Definition:
    def is_task(decorator: ast.expr) -> bool:
        chain = _chain_of_decorator(decorator)
        if chain is None:
            return False
        answer = asked[chain] = _is_task(chain, namespace, source)
        return answer

    digest = sha256(write_syntax(node, is_task)).digest()
    uses, changes = uses_of(node, is_task, source.imports), changes_of(node)
    says = _body_of(node) if is_a(node, ast.ClassDef) else defaults_of(node)
    return Definition(digest, source, uses, changes, says)


def defaults_of(node: Any) -> Defaults:
    named = zip(node.args.kwonlyargs, node.args.kw_defaults)
    by_name = tuple((arg.arg, default) for arg, default in named if default is not None)
    return Defaults(tuple(node.args.defaults), by_name)


def _body_of(node: ast.ClassDef) -> Body:
    assigned = [target for each in node.body if is_a(each, ast.Assign) for target in each.targets]
    assigned += [each.target for each in node.body if is_a(each, ast.AnnAssign) and each.value]
    functions = [each for each in node.body if is_a(each, FUNCTIONS) and not each.decorator_list]
    return Body(
        node.name,
        frozenset(target.id for target in assigned if is_a(target, ast.Name)),
        tuple(each.name for each in functions),
    )


def is_task_decorator(decorator: ast.expr, namespace: dict[str, Any], source: Source) -> bool:
    chain = _chain_of_decorator(decorator)
    return chain is not None and _is_task(chain, namespace, source)


def _chain_of_decorator(decorator: ast.expr) -> Optional[tuple[str, ...]]:
    return chain_of(decorator.func if is_a(decorator, ast.Call) else decorator)


def _is_task(chain: tuple[str, ...], namespace: dict[str, Any], source: Any) -> bool:
    imported: Optional[tuple[str, str, int]] = source.imports.get(chain[0])
    if imported is not None and imported[0].partition(".")[0] == _OURS:
        return (imported[1], *chain[1:])[-1] == "task"
    value = namespace.get(chain[0])
    for name in chain[1:]:
        if is_a(value, ModuleType) and name_of_module(value).partition(".")[0] == _OURS:
            return chain[-1] == "task"
        value = attributes_of(value).get(name)
    if value is None:
        return chain[0] == _OURS and chain[-1] == "task"
    if not is_a(value, FunctionType):
        return False
    module = value.__module__
    # Also `cached = bandsaw.task(chain="cached")`, used as `@cached`.
    return module == f"{_OURS}.decorator" and value.__name__ in ("task", "decorate")


def write_code(code: CodeType, doc: Any = None) -> bytes:
    """Writes a code object, for functions without source."""
    consts = []
    for const in code.co_consts:
        if is_a(const, CodeType):
            consts.append(write_code(const))
        elif const == doc and is_a(const, str):
            consts.append(b"N")
        else:
            consts.append(_write_const(const))
    names = (code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars, code.co_name)
    counts = (code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount)
    parts = [
        repr((sys.version_info[:2], counts, code.co_flags & 0xFF, names)).encode(
            "utf-8", "surrogatepass"
        ),
        code.co_code,
        *consts,
    ]
    # What is caught where; before Python 3.11 the byte code says it.
    caught = getattr(code, "co_exceptiontable", b"")
    parts += [b"caught", caught] if caught else []
    return b"".join(b"%d:%b" % (len(part), part) for part in parts)


def _write_const(const: Any) -> bytes:
    if is_a(const, tuple):
        return b"t" + b"".join(b"%d:%b" % (len(p), p) for p in map(_write_const, const))
    if is_a(const, frozenset):
        return b"z" + b"".join(b"%d:%b" % (len(p), p) for p in sorted(map(_write_const, const)))
    return repr((type(const).__name__, const)).encode("utf-8", "backslashreplace")


def _uses_of_code(code: CodeType, namespace: dict[str, Any]) -> Uses:
    names: set[str] = set(code.co_freevars)
    pending = [code]
    while pending:
        part = pending.pop()
        names |= set(part.co_names)
        pending += [const for const in part.co_consts if is_a(const, CodeType)]
    uses = []
    for name in sorted(names):
        value = namespace.get(name)
        attributes = (
            sorted(other for other in names if other in attributes_of(value))
            if is_a(value, ModuleType)
            else []
        )
        if name in namespace or name in code.co_freevars:
            uses += [Use((name, other), code.co_firstlineno) for other in attributes] or [
                Use((name,), code.co_firstlineno)
            ]
    return Uses(tuple(uses), ())
