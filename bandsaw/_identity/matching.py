"""Whether the source of a definition compiles to the byte code that a function has."""

from __future__ import annotations

import ast
import sys
from types import CodeType
from typing import Any


def is_same(code: CodeType, other: CodeType) -> bool:
    if (
        code.co_code != other.co_code
        or code.co_names != other.co_names
        or code.co_varnames != other.co_varnames
        or code.co_freevars != other.co_freevars
        or len(code.co_consts) != len(other.co_consts)
    ):
        return False
    for mine, theirs in zip(code.co_consts, other.co_consts):
        if isinstance(mine, CodeType):
            if not isinstance(theirs, CodeType) or not is_same(mine, theirs):
                return False
        elif type(mine) is not type(theirs) or (mine != theirs and repr(mine) != repr(theirs)):
            return False
        elif isinstance(mine, (tuple, float, frozenset)) and _exact(mine) != _exact(theirs):
            return False
    return True


def _exact(constant: Any) -> Any:
    # `1 == 1.0 == True`, and `0.0 == -0.0`.
    if isinstance(constant, tuple):
        return tuple(_exact(part) for part in constant)
    if isinstance(constant, frozenset):
        return frozenset(_exact(part) for part in constant)
    return type(constant).__name__, repr(constant)


def narrowed(nodes: list[Any], code: CodeType) -> list[Any]:
    if sys.version_info >= (3, 11):
        spots = [p for p in code.co_positions() if (None not in p and p[0] != p[1]) or p[2] != p[3]]
        inside = [node for node in nodes if all(_covers(node, spot) for spot in spots)]
        if inside:
            # Of nested definitions the one with the greatest first line is the innermost.
            return [max(inside, key=lambda node: (node.lineno, node.col_offset))]
    return [node for node in nodes if _names_of(node, code)]


def _covers(node: Any, spot: Any) -> bool:
    line, end_line, column, end_column = spot
    if line is None or end_line is None or column is None or end_column is None:
        return True
    return bool(
        (node.lineno, node.col_offset) <= (line, column)
        and (end_line, end_column) <= (node.end_lineno, node.end_col_offset)
    )


def _names_of(node: Any, code: CodeType) -> bool:
    if not isinstance(node, ast.Lambda):
        return True
    compiled = compile(ast.Expression(body=node), "<lambda>", "eval", dont_inherit=True)
    found = [const for const in compiled.co_consts if isinstance(const, CodeType)]
    return bool(found) and _shape(found[-1]) == _shape(code)


def _shape(code: CodeType) -> Any:
    names = sorted({*code.co_names, *code.co_freevars})
    consts = [
        _shape(const) if isinstance(const, CodeType) else _exact(const) for const in code.co_consts
    ]
    return code.co_varnames, names, consts, len(code.co_code)
