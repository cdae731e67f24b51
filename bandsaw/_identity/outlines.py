"""What the top level of a module does when it is loaded, as far as its source says so.

A statement may do anything, such as filling a registry, so all count with their module, but where
it has functions, constants and imports only. Of a statement that binds one name, and calls nothing
of the project's for it, the source says what the name stands for.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterator
from typing import Any, Optional

from .changes import MAKERS
from .kinds import is_a
from .sources import Source
from .syntax import DEFINITIONS, FUNCTIONS, literals_of, nodes_below, nodes_in
from .uses import Origin, bound_by_import, chain_of

_SCOPES = (*DEFINITIONS, ast.Lambda)
_NO_DATA = frozenset(("setattr", "delattr", "globals", "vars", "locals", "exec", "eval"))
_ACCESSORS = frozenset(("setter", "getter", "deleter"))
# Of calls of them the source says all. What others return may come from anywhere.
_SAID = frozenset(
    "abc bandsaw collections contextlib dataclasses decimal enum fractions functools itertools"
    " logging math operator re string types typing typing_extensions".split()
)
_OUTSIDE = frozenset(("open", "input", "id", "hash", "__import__", "object"))


class Outline:
    """The top level of a module; `is_foreign` says so of an import of other projects."""

    def __init__(self, source: Source, is_foreign: Callable[[Origin], bool]) -> None:
        self.imports: dict[str, list[Origin]] = {}  # what each name may be imported from
        self.stars: list[Origin] = []  # what all names are imported from
        # The names that are bound otherwise, each with its statement, or with `None` where there
        # are several.
        self.statements: dict[str, Optional[ast.stmt]] = {}
        self.lazy: set[str] = set()  # those of them that count where they are reached
        self.deleted: set[str] = set()  # the names that it deletes
        # The statements that count with the module: all, or none of one that has nothing but
        # functions, constants and imports.
        self.eager: list[ast.stmt] = []
        # Those that only loops bind: what is left of a loop may depend on the order of a set.
        self.loops: set[str] = set()
        self.built_in: dict[str, bool] = {}  # what was asked, and whether there is one
        self._is_foreign = is_foreign
        self._asked: list[Any] = []
        self._read(source)

    def _read(self, source: Source) -> None:
        counted = []
        often: set[str] = set()
        otherwise: set[str] = set()
        # Other characters may stand for those of a name.
        is_named = "TYPE_CHECKING" in source.text or not source.text.isascii()
        is_set = is_named and any(_stored(n) == "TYPE_CHECKING" for n in nodes_in(source.tree))
        for statement in source.tree.body:
            if _is_nothing(statement) and not (is_set and is_a(statement, ast.If)):
                continue
            for node in _own_nodes(statement):
                self._import(node)
            if is_a(statement, (ast.Import, ast.ImportFrom)):
                continue
            counted.append(statement)
            bound = list(_bound(statement))
            if is_a(statement, ast.Delete):
                self.deleted.update(bound)
            left: set[str] = set()
            if is_a(statement, ast.For):
                targets = [
                    each.id
                    for loop in _own_nodes(statement)
                    if is_a(loop, ast.For)
                    for each in nodes_in(loop.target)
                    if is_a(each, ast.Name)
                ]
                left = {each for each in targets if bound.count(each) == targets.count(each)}
            self.loops |= left
            otherwise.update(left.symmetric_difference(bound))
            for name in bound:
                if name in self.statements:
                    often.add(name)
                self.statements[name] = statement
        self.loops -= otherwise | self.imports.keys()
        often |= self.imports.keys()
        self.statements.update((name, None) for name in often if name in self.statements)
        for statement in counted:
            only = _only_name(statement)
            if only and self.statements[only] is statement and self._is_lazy(statement):
                self.lazy.add(only)
        if self.stars or not all(map(self._is_plain, counted)):
            self.eager = counted

    def _is_plain(self, statement: Any) -> bool:
        if is_a(statement, FUNCTIONS):
            args = statement.args
            defaults = [each for each in (*args.defaults, *args.kw_defaults) if each is not None]
            plain = not statement.decorator_list and all(map(is_literal, defaults))
        else:
            plain = is_constant(statement)
        return plain and self.statements[_only_name(statement) or ""] is statement

    def _import(self, node: ast.AST) -> None:
        if not is_a(node, (ast.Import, ast.ImportFrom)):
            return
        if getattr(node, "module", None) == "__future__":
            return
        for name, origin in bound_by_import(node):
            if origin.name == "*":
                self.stars.append(origin)
            else:
                self.imports.setdefault(name, []).append(origin)

    def _is_lazy(self, statement: Any) -> bool:
        if is_a(statement, ast.ClassDef):
            return (
                not statement.keywords
                and all(map(self._is_harmless, statement.decorator_list))
                and all(map(self._is_base, statement.bases))
                and all(map(self._is_member, statement.body))
            )
        return self._is_member(statement)

    def _is_member(self, statement: Any) -> bool:
        if is_a(statement, FUNCTIONS):
            defaults = [*statement.args.defaults, *statement.args.kw_defaults]
            return (
                statement.name != "__init_subclass__"
                and all(map(self._is_decorator, statement.decorator_list))
                and all(default is None or self._is_clean(default) for default in defaults)
            )
        if is_a(statement, ast.Assign):
            is_name = len(statement.targets) == 1 and is_a(statement.targets[0], ast.Name)
            return is_name and self._is_clean(statement.value)
        if is_a(statement, ast.AnnAssign):
            is_name = is_a(statement.target, ast.Name)
            return is_name and (statement.value is None or self._is_clean(statement.value))
        return _is_nothing(statement)

    def _is_decorator(self, node: ast.expr) -> bool:
        return (
            is_a(node, ast.Attribute) and node.attr in _ACCESSORS and is_a(node.value, ast.Name)
        ) or self._is_harmless(node)

    def _is_harmless(self, node: ast.expr) -> bool:
        chain = chain_of(node.func if is_a(node, ast.Call) else node)
        return chain is not None and self._is_known(chain[0]) and self._is_clean(node)

    def _is_base(self, node: ast.expr) -> bool:
        if is_a(node, ast.Name) and is_a(self.statements.get(node.id), ast.ClassDef):
            return node.id in self.lazy
        return self._is_harmless(node.value if is_a(node, ast.Subscript) else node)

    def _is_clean(self, expression: ast.expr) -> bool:
        nodes = nodes_in(expression)
        if any(is_a(node, (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)) for node in nodes):
            return False
        calls = [node for node in nodes if is_a(node, ast.Call)]
        if not calls:
            return True
        kept: set[ast.AST] = set()
        if len(calls) == 1 and self._is_partial(calls[0].func):
            kept = set(nodes_in(*calls[0].args))
        return all(self._is_known(n.id) for n in nodes if is_a(n, ast.Name) and n not in kept)

    def _is_partial(self, function: ast.expr) -> bool:
        """Says whether a call keeps what it is given, and calls nothing."""
        chain = chain_of(function) or ("",)
        origins = self.imports.get(chain[0], ())
        return chain[-1] == "partial" and any(o.module == "functools" for o in origins)

    def _is_known(self, name: str) -> bool:
        """Says whether a call with a name changes nothing of the project's."""
        origins = self.imports.get(name)
        if origins is not None:
            return name not in self.statements and all(map(self._is_foreign, origins))
        if name in self.statements:
            statement: Any = self.statements[name]
            is_class = is_a(statement, ast.ClassDef)
            if is_class or is_a(statement, FUNCTIONS):
                makers = [each for each in statement.body if is_class and is_a(each, FUNCTIONS)]
                run = [each for each in makers if each.name in MAKERS] or [statement]
                return name in self.lazy and all(map(self._changes_nothing, run))
            return name in self.lazy and is_constant(statement)
        is_built_in = self.built_in[name] = hasattr(builtins, name)
        return is_built_in and name not in _NO_DATA and not self.stars

    def _changes_nothing(self, definition: Any) -> bool:
        """Says whether a call of a function or class changes nothing but what it makes."""
        if is_a(definition, ast.ClassDef):
            return True  # without methods that are run then
        if definition in self._asked:
            return True  # what it calls that calls it again is being looked at
        self._asked.append(definition)
        try:
            return self._is_harmless_body(definition)
        finally:
            self._asked.pop()

    def _is_harmless_body(self, definition: Any) -> bool:
        arguments = [node.arg for node in nodes_in(definition.args) if is_a(node, ast.arg)]
        local = {*arguments, *(name for each in definition.body for name in _bound(each))}
        first = [*definition.args.posonlyargs, *definition.args.args][:1]
        own = first[0].arg if first and definition.name in MAKERS else None
        for statement in definition.body:
            for node in _own_nodes(statement):
                if is_a(node, (ast.Global, ast.Nonlocal)):
                    return False
                if is_a(node, (ast.Attribute, ast.Subscript)) and not is_a(node.ctx, ast.Load):
                    if not is_a(node.value, ast.Name) or node.value.id != own:
                        return False
                if is_a(node, ast.Call) and not self._is_harmless_call(node, local):
                    return False
        return True

    def _is_harmless_call(self, call: ast.Call, local: set[str]) -> bool:
        chain = chain_of(call.func)
        return chain is not None and chain[0] not in local and self._is_known(chain[0])

    def is_said(self, name: str) -> bool:
        """Says whether the source says what a variable is: not so, where it is read somewhere."""
        statement: Any = self.statements.get(name)
        if not is_a(statement, (ast.Assign, ast.AnnAssign)) or statement.value is None:
            return True
        nodes = nodes_in(statement.value)
        if not any(is_a(node, (ast.Call, ast.Attribute)) for node in nodes):
            return True
        for node in nodes:
            if not is_a(node, ast.Name) or node.id in self.lazy:
                continue
            origins = self.imports.get(node.id)
            if origins is None and (node.id in self.statements or node.id in _OUTSIDE):
                return False
            if any(origin.module.partition(".")[0] not in _SAID for origin in origins or ()):
                return False
        return all(
            is_constant(self.statements[call.func.id])
            for call in nodes
            if is_a(call, ast.Call) and is_a(call.func, ast.Name) and call.func.id in self.lazy
            and not is_a(self.statements[call.func.id], ast.ClassDef)
        )  # fmt: skip


def is_constant(statement: Any) -> bool:
    """Says whether a statement sets a value that nobody can change."""
    if not is_a(statement, (ast.Assign, ast.AnnAssign)) or statement.value is None:
        return False
    return _only_name(statement) is not None and is_literal(statement.value)


def is_literal(expression: ast.expr) -> bool:
    """Says whether an expression is a value that nobody can change."""
    return any(map(_is_immutable, literals_of(expression)))


def _is_immutable(value: Any) -> bool:
    if is_a(value, tuple):
        return all(map(_is_immutable, value))
    return is_a(value, (type(None), bool, int, float, complex, str, bytes))


def _own_nodes(statement: ast.AST) -> list[ast.AST]:
    """Returns the parts of a statement that are run in its own scope."""
    found = [statement]
    for node in found:
        if not is_a(node, _SCOPES):
            found += nodes_below(node)
    return found


def _bound(statement: ast.stmt) -> Iterator[str]:
    for node in _own_nodes(statement):
        if is_a(node, DEFINITIONS):
            yield node.name
        elif is_a(node, ast.Name) and not is_a(node.ctx, ast.Load):
            yield node.id


def _only_name(statement: Any) -> Optional[str]:
    if is_a(statement, DEFINITIONS):
        return str(statement.name)
    targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    is_name = is_a(statement, (ast.Assign, ast.AnnAssign)) and is_a(targets[0], ast.Name)
    return targets[0].id if is_name and len(targets) == 1 else None


def _is_nothing(statement: ast.stmt) -> bool:
    if is_a(statement, ast.Expr):
        return is_a(statement.value, ast.Constant)
    if is_a(statement, ast.If) and not statement.orelse:
        return ast.dump(statement.test) in _NEVER_TRUE
    return is_a(statement, ast.Pass)


def _stored(node: ast.AST) -> Optional[str]:
    if is_a(node, (ast.Name, ast.Attribute)) and not is_a(node.ctx, ast.Load):
        return str(node.id if is_a(node, ast.Name) else node.attr)
    return None


# While a module is imported by another one.
_NEVER_TRUE = frozenset(
    ast.dump(ast.parse(text, mode="eval").body)
    for text in ("__name__ == '__main__'", "TYPE_CHECKING", "typing.TYPE_CHECKING")
)
