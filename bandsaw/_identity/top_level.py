"""What the statements at the top level of a module bind and set."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cached_property
from itertools import chain
from typing import Any, Optional

from .changes import filling
from .syntax import DEFINITIONS, is_of_script, nodes_in

# `type Name = ...`, from Python 3.12 on.
_TYPE_ALIASES: tuple[type[Any], ...] = (ast.TypeAlias,) if hasattr(ast, "TypeAlias") else ()


# What the name of a module or object is followed by, where something is given to what it has.
CALLED = "()"


def _statements_in(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Yields the statements that run as a module is loaded, but for what only the script does."""
    for statement in body:
        yield statement
        if not (is_of_script(statement) or isinstance(statement, DEFINITIONS)):
            for name in ("body", "orelse", "handlers", "finalbody", "cases"):
                yield from _statements_in(getattr(statement, name, []))


def _with_calls(statement: ast.stmt) -> Iterator[ast.stmt]:
    """Yields a statement. In place of a definition: what its decorators with arguments call."""
    if not isinstance(statement, DEFINITIONS):
        yield statement
        return
    is_test = statement.name[:4].lower() == "test"  # decorators of tests mark them
    for each in () if is_test else statement.decorator_list:
        texts = (getattr(e.value, "value", None) for e in getattr(each, "keywords", ()))
        if getattr(each, "args", ()) or any(isinstance(text, str) for text in texts):
            call = ast.Call(each, [ast.Name(statement.name, ast.Load())], [])
            yield ast.fix_missing_locations(ast.copy_location(ast.Expr(call), each))


def _root_of_call(statement: ast.stmt) -> Optional[str]:
    """Names what a plain call is of that is given a function, or something else by its name."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if not isinstance(call, ast.Call):
        return None
    given = [*call.args, *(each.value for each in call.keywords)]
    if not any(isinstance(each, (ast.Name, ast.Attribute, ast.Lambda)) for each in given):
        return None
    root = call.func
    while isinstance(root, (ast.Call, ast.Attribute)):
        root = root.func if isinstance(root, ast.Call) else root.value
    return root.id if isinstance(root, ast.Name) else None


class Blocks:
    """What a module binds and sets as it runs, with anything but definitions and imports."""

    def __init__(self, tree: ast.Module) -> None:
        self.names: set[str] = set()
        # What has an attribute set or deleted, and its name: `None` for any.
        self.attributes: list[tuple[ast.expr, Optional[str]]] = []
        plain = (*DEFINITIONS, ast.Import, ast.ImportFrom)
        self._index([node for node in tree.body if not isinstance(node, plain)])

    def _index(self, nodes: list[Any]) -> None:
        for node in nodes:  # which grows
            if isinstance(node, DEFINITIONS):
                self.names.add(node.name)
                continue
            if isinstance(node, ast.Lambda):
                continue
            nodes += ast.iter_child_nodes(node)
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.names.add(node.id)
            elif isinstance(node, (ast.alias, ast.ExceptHandler)):
                bound = getattr(node, "asname", None) or node.name
                self.names.add(str(bound).partition(".")[0])
            elif isinstance(node, ast.Attribute) and not isinstance(node.ctx, ast.Load):
                self.attributes.append((node.value, node.attr))
            elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id in ("setattr", "delattr") and len(node.args) > 1:
                    name = getattr(node.args[1], "value", None)
                    self.attributes.append((node.args[0], name if isinstance(name, str) else None))


class Bindings:
    """What the statements at the top level of a module bind."""

    def __init__(self, tree: ast.Module) -> None:
        self._tree = tree
        self.imports: dict[str, tuple[str, str, int]] = {}
        self.assigned: dict[str, list[ast.stmt]] = {}
        self.defined: dict[str, bool] = {}
        self.imported: list[tuple[str, int, tuple[str, ...]]] = []
        for statement in chain.from_iterable(map(_with_calls, _statements_in(tree.body))):
            root = _root_of_call(statement)
            if root is not None:
                self.assigned.setdefault(f"{root}{CALLED}", []).append(statement)
        for statement in tree.body:
            if isinstance(statement, ast.Import):
                self.imported += [(alias.name, 0, ()) for alias in statement.names]
            elif isinstance(statement, ast.ImportFrom):
                names = tuple(alias.name for alias in statement.names)
                self.imported.append((statement.module or "", statement.level, names))
            self._index_statement(statement)

    @cached_property
    def filling(self) -> dict[str, list[ast.stmt]]:
        return filling(self._tree)

    def _index_statement(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.ImportFrom):
            for alias in statement.names:
                name = alias.asname or alias.name
                self.imports[name] = statement.module or "", alias.name, statement.level
            return
        if isinstance(statement, DEFINITIONS):
            self.defined[statement.name] = bool(statement.decorator_list)
            return
        self._index_assigned(statement)
        is_branch = isinstance(statement, (ast.If, ast.Try))
        for below in statement.body if is_branch else ():  # type: ignore[attr-defined]
            self._index_statement(below)
        for below in _other_blocks(statement):
            self._index_assigned(below)

    def _index_assigned(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Assign):
            targets: list[ast.expr] = statement.targets
        elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)):
            targets = [statement.target]
        elif isinstance(statement, _TYPE_ALIASES):
            targets = [statement.name]
        else:
            targets = []
        for target in targets:
            for node in nodes_in(target):
                if isinstance(node, ast.Name):
                    self.assigned.setdefault(node.id, []).append(statement)


def _other_blocks(statement: ast.stmt) -> list[ast.stmt]:
    """Returns what stands in `else`, `except`, `finally` and `with`, at any depth."""
    found = _branches(statement)
    for below in found:  # which grows
        found += [*(below.body if isinstance(below, (ast.If, ast.Try)) else ()), *_branches(below)]
    return found


def _branches(statement: Any) -> list[ast.stmt]:
    if isinstance(statement, (ast.With, ast.AsyncWith)):
        return list(statement.body)
    if not isinstance(statement, (ast.If, ast.Try)):
        return []
    caught = [each for handler in getattr(statement, "handlers", ()) for each in handler.body]
    return [*statement.orelse, *caught, *getattr(statement, "finalbody", ())]
