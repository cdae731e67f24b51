"""Objects that contain each other, numbered in the order in which a walk first comes to them.

The walk must not depend on where the cycle was entered. It begins at the members whose label is the
rarest: a label is what a member holds two levels deep. Of several such walks the least counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from hashlib import sha256
from operator import itemgetter
from typing import Any

from .forms import SET, SIZES, Frame, joined

_LEVELS = 2

NoOrder = Callable[[Frame, bool], None]


def write_cycle(members: list[Frame], no_order: NoOrder) -> list[bytes]:
    """Writes all members of a strongly connected set of objects.

    `no_order` is told of sets on the cycle, and of sets and dicts in which labels are equal.
    """
    labels = {id(member): b"@" for member in members}
    for _ in range(_LEVELS):
        labels = {id(member): _label(member, labels) for member in members}
    children = {id(member): _in_order(member, labels, no_order) for member in members}
    counts = Counter(labels.values())
    rarest = min(counts, key=lambda label: (counts[label], label))
    walks = [_walk(member, children) for member in members if labels[id(member)] == rarest]
    least = min(digest for digest, _ in walks)
    numberings = [numbers for digest, numbers in walks if digest == least]
    graph = sha256(least + b"".join(sorted(labels.values()))).digest()
    written = []
    for member in members:
        # What lies only below elements without an order has no number.
        numbers = [found[id(member)] for found in numberings if id(member) in found]
        own = b"%d;" % min(numbers) if numbers else labels[id(member)]
        written.append(b"@" + graph + own)
    return written


def _label(member: Frame, labels: dict[int, bytes]) -> bytes:
    written = [_named(part, labels) for part in member.written]
    return b"@" + sha256(joined(member.form, written)).digest()


def _in_order(member: Frame, labels: dict[int, bytes], no_order: NoOrder) -> list[Any]:
    """The children of a member; for those that cannot be told apart their labels."""
    size = SIZES.get(member.form.kind)
    if size is None or all(type(w) is bytes for w in member.written):
        return member.written
    groups = [tuple(member.written[at : at + size]) for at in range(0, len(member.written), size)]
    keyed = [(tuple(_named(w, labels) for w in group), group) for group in groups]
    keyed.sort(key=itemgetter(0))
    counts = Counter(key for key, group in keyed if key != group)
    is_tied = any(count > 1 for count in counts.values())
    if member.form.kind == SET or is_tied:
        no_order(member, is_tied)
    return [part for key, group in keyed for part in (key if counts[key] > 1 else group)]


def _named(written: Any, labels: dict[int, bytes]) -> bytes:
    return written if type(written) is bytes else labels[id(written)]


def _walk(start: Frame, children: dict[int, list[Any]]) -> tuple[bytes, dict[int, int]]:
    digest, numbers, found = sha256(), {id(start): 0}, [start]
    for member in found:
        parts = children[id(member)]
        digest.update(b"%b%d:" % (member.form.tag, len(parts)))
        for part in parts:
            if type(part) is not bytes:
                number = numbers.setdefault(id(part), len(found))
                if number == len(found):
                    found.append(part)
                part = b"@%d;" % number
            digest.update(part)
    return digest.digest(), numbers
