"""Objects that contain each other, numbered in the order in which a walk first comes to them.

The walk must not depend on where the cycle was entered. It begins at the members whose label is the
rarest: a label is what a member holds two levels deep. Of several such walks the least counts.
A walk ends where it turns greater than the least one so far. Two equal walks through all members
map them onto each other: of members that are alike in this way, only one is walked from.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from hashlib import sha256
from operator import itemgetter
from typing import Any, Optional

from .forms import SET, SIZES, OpenForm, joined

_LEVELS = 2

NoOrder = Callable[[OpenForm, bool], None]


def write_cycle(members: list[OpenForm], no_order: NoOrder) -> list[bytes]:
    """Writes all members of a strongly connected set of objects.

    `no_order` is told of sets on the cycle, and of sets and dicts in which labels are equal.
    """
    labels = {id(member): b"@" for member in members}
    for _ in range(_LEVELS):
        labels = {id(member): _label(member, labels) for member in members}
    children = {id(member): _in_order(member, labels, no_order) for member in members}
    counts = Counter(labels.values())
    rarest = min(counts, key=lambda label: (counts[label], label))
    starts = [member for member in members if labels[id(member)] == rarest]
    least, numbers = _least_walk(starts, children)
    graph = sha256(least + b"".join(sorted(labels.values()))).digest()
    written = []
    for member in members:
        # What lies only below elements without an order has no number.
        number = numbers.get(id(member))
        own = labels[id(member)] if number is None else b"%d;" % number
        written.append(b"@" + graph + own)
    return written


def _label(member: OpenForm, labels: dict[int, bytes]) -> bytes:
    # For each part of a large project: no function is called for it.
    written = [part if type(part) is bytes else labels[id(part)] for part in member.written]
    return b"@" + sha256(joined(member.form, written)).digest()


def _in_order(member: OpenForm, labels: dict[int, bytes], no_order: NoOrder) -> list[Any]:
    """The children of a member; for those that cannot be told apart their labels."""
    size = SIZES.get(member.form.kind)
    if size is None or all(type(w) is bytes for w in member.written):
        return member.written
    named = [part if type(part) is bytes else labels[id(part)] for part in member.written]
    starts = range(0, len(named), size)
    keyed = [(tuple(named[at : at + size]), tuple(member.written[at : at + size])) for at in starts]
    keyed.sort(key=itemgetter(0))
    counts = Counter(key for key, group in keyed if key != group)
    is_tied = any(count > 1 for count in counts.values())
    if member.form.kind == SET or is_tied:
        no_order(member, is_tied)
    return [part for key, group in keyed for part in (key if counts[key] > 1 else group)]


def _least_walk(
    starts: list[OpenForm], children: dict[int, list[Any]]
) -> tuple[bytes, dict[int, int]]:
    """Returns the digest of the least walk, and the lowest number of each member in such walks."""
    least: list[bytes] = []
    numbers: dict[int, int] = {}
    alike = _Alike(children)
    for start in starts:
        if alike.is_known(id(start)):
            continue
        walk = _walk(start, children, least)
        if walk is None:
            continue
        steps, found = walk
        if steps != least:
            least, numbers = steps, found
            continue
        if len(found) == len(children):
            alike.join(numbers, found)
        for member, number in found.items():
            numbers[member] = min(number, numbers.get(member, number))
    lowest: dict[int, int] = {}
    for member, number in numbers.items():
        first = alike.first(member)
        lowest[first] = min(number, lowest.get(first, number))
    digest = sha256(b"".join(least)).digest()
    return digest, {member: lowest[alike.first(member)] for member in numbers}


class _Alike:
    """Which members are mapped onto each other by equal walks."""

    def __init__(self, members: Iterable[int]) -> None:
        self._before = {member: member for member in members}
        self._known: set[int] = set()

    def first(self, member: int) -> int:
        """Returns the same member for all that are alike."""
        before = self._before
        while before[member] != member:
            before[member] = member = before[before[member]]
        return member

    def is_known(self, member: int) -> bool:
        """Says whether it was asked about a member alike, which it is now."""
        first = self.first(member)
        was_known = first in self._known
        self._known.add(first)
        return was_known

    def join(self, members: Iterable[int], others: Iterable[int]) -> None:
        for member, other in zip(members, others):
            first, second = self.first(member), self.first(other)
            if first != second:
                self._before[second] = first
                if second in self._known:
                    self._known.add(first)


def _walk(
    start: OpenForm, children: dict[int, list[Any]], least: list[bytes]
) -> Optional[tuple[list[bytes], dict[int, int]]]:
    """Returns the steps of a walk and its numbers, `None` if it is greater than `least`."""
    steps: list[bytes] = []
    numbers, found = {id(start): 0}, [start]
    is_equal = bool(least)
    for member in found:
        parts = children[id(member)]
        step = [b"%b%d:" % (member.form.tag, len(parts))]
        for part in parts:
            if type(part) is not bytes:
                number = numbers.setdefault(id(part), len(found))
                if number == len(found):
                    found.append(part)
                part = b"@%d;" % number
            step.append(part)
        steps.append(b"".join(step))
        if is_equal and steps[-1] != least[len(steps) - 1]:
            if steps[-1] > least[len(steps) - 1]:
                return None
            is_equal = False
    return steps, numbers
