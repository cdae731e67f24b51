"""Syntax trees in a normal form that is the same on every supported Python.

Left out: positions, comments, docstrings, the annotations of functions and of their variables,
type comments, and decorators that the caller names. Kept: everything that is run, the annotations
in the bodies of classes, because dataclasses and their like read them, and those by which
`functools.singledispatch` finds a function.
"""

from __future__ import annotations

import ast
import threading
from collections.abc import Callable
from typing import Any, Optional

from .._system.processes import in_forked_processes

IsLeftOut = Callable[[ast.expr], bool]

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
DEFINITIONS = (*FUNCTIONS, ast.ClassDef)
_WITH_DOCSTRING = (*DEFINITIONS, ast.Module)
_SKIPPED = frozenset({"ctx", "kind", "type_comment", "type_ignores"})
_SKIPPED_IN_FUNCTIONS = frozenset({"returns", "type_params"})

# As many levels are written by functions that recur, up to three for a level.
_DEEPEST = 66
# By type: what begins it, and the names of its fields with what begins each.
_fields: dict[type, tuple[str, list[tuple[str, str]]]] = {}


_parsing = threading.RLock()


def parse(text: Any) -> ast.Module:
    """Parses source.

    CPython counts the depth of a tree that it makes for all threads together: what is parsed at
    once in several of them fails at times with errors that have nothing to do with the source.
    """
    for is_last in (False, False, True):
        try:
            with _parsing:
                tree: ast.Module = ast.parse(text)
                return tree
        except (SystemError, RecursionError):
            # A thread of the user's may have parsed something.
            if is_last:
                raise
    raise AssertionError("not reached")


def literals_of(expression: ast.expr) -> list[Any]:
    """Returns the value that an expression is the literal of; nothing where it is another one."""
    try:
        return [ast.literal_eval(expression)]
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return []


# Fields without nodes that anybody looks for.
_WITHOUT_NODES = frozenset(
    "ctx op ops kind type_comment type_ignores id attr arg module level asname conversion is_async"
    " simple".split()
)
_below: dict[type, tuple[str, ...]] = {ast.Constant: ()}


# Fields with statements, or with what has such fields.
_BLOCKS = frozenset(("body", "orelse", "finalbody", "handlers", "cases"))
_blocks: dict[type, tuple[str, ...]] = {}


# Fields with a list that may have something else in it than nodes.
_MIXED = frozenset(("keys", "kw_defaults", "kwd_attrs", "names"))
_LEAVES = (ast.Name, ast.Constant)


def nodes_in(*nodes: ast.AST) -> list[ast.AST]:
    """Returns nodes and all below them but contexts and operators, in no order that counts."""
    found = list(nodes)
    for node in found:
        names = _below.get(type(node))
        if names != ():
            _add_below(node, names, found)
    return found


def branches_in(node: ast.AST) -> list[ast.AST]:
    """Returns a node and all below it but names and constants, which are the most."""
    found = [node]
    for each in found:
        for name in _fields_below(type(each)):
            value = getattr(each, name, None)
            if type(value) is list:
                found += [e for e in value if type(e) not in _LEAVES and isinstance(e, ast.AST)]
            elif type(value) not in _LEAVES and isinstance(value, ast.AST):
                found.append(value)
    return found


def nodes_below(node: ast.AST) -> list[ast.AST]:
    """Returns the nodes in the fields of a node, but contexts and operators."""
    found: list[ast.AST] = []
    _add_below(node, _below.get(type(node)), found)
    return found


def _fields_below(kind: type) -> tuple[str, ...]:
    names = _below.get(kind)
    if names is None:
        fields: Any = getattr(kind, "_fields", ())
        names = _below[kind] = tuple(name for name in fields if name not in _WITHOUT_NODES)
    return names


def _add_below(node: ast.AST, names: Optional[tuple[str, ...]], found: list[ast.AST]) -> None:
    for name in _fields_below(type(node)) if names is None else names:
        value = getattr(node, name, None)
        if type(value) is list:
            if name in _MIXED:
                value = [each for each in value if isinstance(each, ast.AST)]
            found += value
        elif isinstance(value, ast.AST):
            found.append(value)


def statements_in(tree: ast.AST) -> list[ast.AST]:
    """Returns all statements of a module, and what holds statements there."""
    found = [tree]
    for node in found:
        kind = type(node)
        names = _blocks.get(kind)
        if names is None:
            names = _blocks[kind] = tuple(name for name in kind._fields if name in _BLOCKS)
        for name in names:
            found += getattr(node, name)
    return found


@in_forked_processes
def _start_anew() -> None:
    global _parsing
    _parsing = threading.RLock()


def write_syntax(node: ast.AST, is_left_out: IsLeftOut = lambda decorator: False) -> bytes:
    parts: list[str] = []
    # What is nested too deeply for functions that recur is left for the next turn: hundreds of
    # `elif` are nested as deeply. What comes first is last.
    pending: list[Any] = [(node, isinstance(node, ast.ClassDef))]
    while pending:
        part = pending.pop()
        if type(part) is str:
            parts.append(part)
            continue
        found: list[Any] = []
        _add_field(part[0], part[1], found, is_left_out, -1)
        if tuple in map(type, found):
            pending += reversed(found)
        else:
            parts += found
    return "".join(parts).encode("utf-8", "surrogatepass")


def _add_node(
    node: Any, in_class: bool, found: list[Any], is_left_out: IsLeftOut, depth: int
) -> None:
    """Adds what a node is written as; nodes that are too deep, with whether a class has them."""
    kind = type(node)
    if depth == _DEEPEST:
        found.append((node, in_class))
        return
    if kind is ast.Attribute:
        found.append("(Attribute value=")
        _add_field(node.value, in_class, found, is_left_out, depth)
        found.append(f" attr=s{len(node.attr)}:{node.attr})")
        return
    if kind is ast.JoinedStr:
        node = ast.JoinedStr(values=_merged(node.values))
    elif kind is ast.AnnAssign and not in_class:
        if node.value is None:
            # It still makes the name a local one.
            found.append("(AnnAssign ")
            _add_field(node.target, in_class, found, is_left_out, depth)
            found.append(")")
            return
        node = ast.Assign(targets=[node.target], value=node.value)
        kind = ast.Assign
    elif kind is ast.arg:
        found.append(f"(arg {node.arg})")
        return
    known = _fields.get(kind)
    if known is None:
        fields = [(name, f" {name}=") for name in _counted_fields(kind)]
        known = _fields[kind] = f"({kind.__name__}", fields
    found.append(known[0])
    is_definition = kind in _WITH_DOCSTRING
    for name, begin in known[1]:
        value: Any = getattr(node, name, None)
        inside = in_class
        if not is_definition:
            pass
        elif name == "body":
            value = _without_docstring(value)
            inside = kind is ast.ClassDef
        elif name == "decorator_list":
            value = [decorator for decorator in value if not is_left_out(decorator)]
        if value is not None and value != []:
            found.append(begin)
            _add_field(value, inside, found, is_left_out, depth)
    dispatched = dispatched_on(node) if is_definition and kind in FUNCTIONS else []
    if dispatched:
        found.append(" annotations=")
        _add_field(dispatched, in_class, found, is_left_out, depth)
    found.append(")")


def is_of_script(statement: ast.stmt) -> bool:
    """Says whether only a script does something: `if __name__ == "__main__":`."""
    return isinstance(statement, ast.If) and "__name__" in ast.dump(statement.test)


def dispatched_on(function: Any) -> list[ast.expr]:
    """Returns the annotations of the parameters of a function below `@name.register`."""
    decorators = function.decorator_list
    if not any(isinstance(each, ast.Attribute) and each.attr == "register" for each in decorators):
        return []
    args = (*function.args.posonlyargs, *function.args.args)
    return [arg.annotation for arg in args if arg.annotation is not None]


def _add_field(
    value: Any, in_class: bool, found: list[Any], is_left_out: IsLeftOut, depth: int
) -> None:
    kind = type(value)
    if kind is ast.Name:
        found.append(f"(Name id=s{len(value.id)}:{value.id})")
    elif kind is str:
        found.append(f"s{len(value)}:{value}")
    elif kind is ast.Constant:
        found.append(_constant(value.value))
    elif kind is list:
        found.append(f"[{len(value)}:")
        for item in value:
            _add_field(item, in_class, found, is_left_out, depth)
        found.append("]")
    elif isinstance(value, ast.AST):
        _add_node(value, in_class, found, is_left_out, depth + 1)
    else:
        found.append(_constant(value))


def _counted_fields(kind: type[ast.AST]) -> tuple[str, ...]:
    skipped = _SKIPPED | _SKIPPED_IN_FUNCTIONS if kind in FUNCTIONS else _SKIPPED
    return tuple(name for name in kind._fields if name not in skipped)


def _without_docstring(body: list[ast.stmt]) -> list[ast.stmt]:
    first = body[0] if body else None
    if (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    ):
        # A body that was only a docstring does what `pass` does.
        return body[1:] or [ast.Pass()]
    return body


def _merged(values: list[Any]) -> list[Any]:
    # Versions differ in where they cut the text between the fields of an f-string.
    merged: list[Any] = []
    for value in values:
        if isinstance(value, ast.Constant) and isinstance(value.value, str):
            if not value.value:
                continue
            last = merged[-1] if merged else None
            if isinstance(last, ast.Constant) and isinstance(last.value, str):
                merged[-1] = ast.Constant(value=last.value + value.value)
                continue
        merged.append(value)
    return merged


def _constant(value: Any) -> str:
    kind = type(value)
    if kind is str:
        return f"s{len(value)}:{value}"
    if kind is int:
        return f"i{value:x};"
    if kind is float:
        return f"f{value.hex()};"
    if kind is complex:
        return f"j{value.real.hex()},{value.imag.hex()};"
    if kind is bytes:
        return f"b{value.hex()};"
    if kind is tuple:
        return f"t{len(value)}:" + "".join(map(_constant, value))
    if kind is frozenset:
        return f"z{len(value)}:" + "".join(sorted(map(_constant, value)))
    return f"c{value!r};"
