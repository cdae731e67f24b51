"""What is known of one definition, kept for as long as its code object or class lives."""

from __future__ import annotations

import ast
import sys
import weakref
from hashlib import sha256
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple, Optional

from ..modules import file_of
from .changes import NOTHING, Changes, changes_of
from .kinds import attributes_of, is_a, module_of, name_of_module, qualname_of
from .scopes import uses_of
from .sources import Source, source_of
from .syntax import write_syntax
from .uses import Use, Uses, chain_of

_OURS = __name__.partition(".")[0]


class Definition(NamedTuple):
    digest: bytes  # the SHA-256 of its normal form
    uses: Uses  # what it uses from outside
    source: Optional[Source]  # the module's source, or `None` where there is none
    node: Optional[ast.AST]  # its syntax tree, or `None` where there is no source
    changes: Changes = NOTHING  # what it changes when it is called


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
    node = source.function(code) if source is not None else None
    if node is not None:
        return _remember(code, _digested(node, namespace, source))
    digest = sha256(b"code" + write_code(code, function.__doc__)).digest()
    return _remember(code, Definition(digest, _uses_of_code(code, namespace), source, None))


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
    node = source.class_(qualname_of(cls), codes)
    if node is None:
        return None
    return _remember(cls, _digested(node, namespace, source), list(map(id, codes)))


def _digested(node: Any, namespace: dict[str, Any], source: Any) -> Definition:
    def is_task(decorator: ast.expr) -> bool:
        return is_task_decorator(decorator, namespace, source)

    digest = sha256(write_syntax(node, is_task)).digest()
    return Definition(
        digest, uses_of(node, is_task, source.imports), source, node, changes_of(node)
    )


def is_task_decorator(decorator: ast.expr, namespace: dict[str, Any], source: Source) -> bool:
    chain = chain_of(decorator.func if is_a(decorator, ast.Call) else decorator)
    if chain is None:
        return False
    imported = source.imports.get(chain[0])
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
