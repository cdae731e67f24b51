"""Which versions of Python fit what was asked for: the version specifiers of packages.

The syntax and its meaning are those of https://packaging.python.org/specifications/version-specifiers,
for the versions that Pythons have: no epochs, no post, development or local releases. As in pip, a
pre-release of a Python counts as the release that it precedes.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from ..errors import InvalidValueError

# Major, minor and micro.
Version = tuple[int, int, int]

_BARE = re.compile(r"\d+(\.\d+){0,2}")
_CLAUSE = re.compile(r"\s*(~=|===|==|!=|<=|>=|<|>)\s*v?(\d+(?:\.\d+)*)(\.\*)?(?:(a|b|rc)(\d+))?\s*")
_FINAL = ("z", 0)


class Clause(NamedTuple):
    operator: str  # how to compare
    release: tuple[int, ...]  # the numbers of the version to compare with
    before: tuple[str, int]  # its pre-release part, which sorts before that of a final release
    is_prefix: bool  # whether the version ended in `.*`


def is_version(text: str) -> bool:
    """Says whether a text names versions, and not an executable: `3.11`, `3.11.7` or `>=3.9,<4`."""
    return bool(_BARE.fullmatch(text)) or text.lstrip()[:1] in tuple("<>=!~")


def clauses_of(text: str) -> tuple[Clause, ...]:
    if _BARE.fullmatch(text):
        text = f"=={text}" if text.count(".") == 2 else f"=={text}.*"
    return tuple(_clause(part, text) for part in text.split(",") if part.strip())


def _clause(part: str, text: str) -> Clause:
    match = _CLAUSE.fullmatch(part)
    if match is not None:
        operator, numbers, star, kind, number = match.groups()
        release = tuple(map(int, numbers.split(".")))
        is_prefix = star is not None
        if not (is_prefix and (kind or operator not in ("==", "!="))) and not (
            operator == "~=" and len(release) < 2
        ):
            return Clause(operator, release, (kind, int(number)) if kind else _FINAL, is_prefix)
    raise InvalidValueError(
        f"{text!r} names no versions of Python: write one, as in '3.11', or version specifiers, as "
        "in '>=3.9,<3.13'."
    )


def fits(version: Version, clauses: Sequence[Clause]) -> bool:
    """Says whether a version is one of those that were asked for."""
    return all(_holds(version, clause) for clause in clauses)


def minor_may_fit(minor: int, clauses: Sequence[Clause]) -> bool:
    """Says whether there can be a Python 3 with that minor version that was asked for."""
    return any(fits((3, minor, micro), clauses) for micro in range(100))


def _holds(version: Version, clause: Clause) -> bool:
    operator, release, before, is_prefix = clause
    padded = _padded(release)
    this, other = ((*version, *(0,) * (len(padded) - 3)), _FINAL), (padded, before)
    if is_prefix:
        return (this[0][: len(release)] == release) is (operator == "==")
    if operator in ("==", "==="):
        return this == other
    if operator == "!=":
        return this != other
    if operator == "~=":
        return this >= other and this[0][: len(release) - 1] == release[:-1]
    if operator in ("<", "<="):
        return this < other or (operator == "<=" and this == other)
    return this > other or (operator == ">=" and this == other)


def _padded(release: tuple[int, ...]) -> tuple[int, ...]:
    return release + (0,) * (3 - len(release))
