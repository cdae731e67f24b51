"""Whether the source of a definition compiles to the byte code that a function has."""

from __future__ import annotations

import ast
import marshal
import sys
from collections.abc import Callable, Iterable
from hashlib import sha256
from types import CodeType
from typing import Any, Optional

# With those that say how it is called and what is caught where: others may have the same bytes.
_COUNTED = (
    "co_code co_names co_varnames co_freevars co_cellvars co_argcount co_posonlyargcount"
    " co_kwonlyargcount co_exceptiontable".split()
)
_FLAGS = 0xFF  # those above are of the compiler, or set by `types.coroutine`


def digest_of_byte_code(code: CodeType) -> bytes:
    """Digests byte code with its names and constants, without its place."""
    plain = [getattr(code, name, None) for name in _COUNTED]
    plain += [code.co_flags & _FLAGS, *map(_plain_const, code.co_consts)]
    # Version 0 writes equal values as the same bytes, whoever else has them.
    return sha256(marshal.dumps(plain, 0)).digest()[:16]


def place_of(
    code: CodeType,
    places: Iterable[tuple[str, int]],
    digests: Callable[[tuple[str, int]], frozenset[bytes]],
) -> Optional[tuple[str, int]]:
    """Finds the name and the first line at which a text has some code, `None` if it has not.

    `%autoreload 2` of IPython compiles what it takes over for itself, and leaves the rest as it
    was: lines count only where several functions have the name and the code.
    """
    key, digest = (code.co_name, code.co_firstlineno), digest_of_byte_code(code)
    if digest in digests(key):
        return key
    found = [each for each in places if each[0] == key[0] and digest in digests(each)]
    return found[0] if len(found) == 1 else None


def _plain_const(const: Any) -> Any:
    kind = type(const)
    if kind is CodeType:
        return "code", digest_of_byte_code(const)
    if kind is tuple:
        return "tuple", *map(_plain_const, const)
    if kind is slice:  # of Python 3.14
        return "slice", *map(_plain_const, (const.start, const.stop, const.step))
    if kind is frozenset:
        return "set", *sorted(marshal.dumps(_plain_const(each), 0) for each in const)
    return const


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
