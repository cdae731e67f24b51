"""Objects that contain each other, written as the smallest graph that unfolds to the same tree.

Members that cannot be told apart by following references are merged (partition refinement), and
the classes are numbered by what they contain, never by the order in which they were found.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any

from .forms import FIELDS, MAP, SET, Frame

Signature = tuple[Any, ...]


def write_cycle(members: list[Frame]) -> list[bytes]:
    """Writes all members of a strongly connected set of objects."""
    number = {id(member): position for position, member in enumerate(members)}
    leaves = sorted({w for member in members for w in member.written if type(w) is bytes})
    rank = {leaf: -1 - position for position, leaf in enumerate(leaves)}
    # Leaves are below zero, members from zero on.
    items = [
        [rank[w] if type(w) is bytes else number[id(w)] for w in member.written]
        for member in members
    ]
    labels = [(member.form.tag, member.form.kind) for member in members]
    merged = _refine(labels, items)
    chosen: dict[int, int] = {}
    for position, label in enumerate(merged):
        chosen.setdefault(label, position)
    place = {label: index for index, label in enumerate(chosen)}
    # Sizes decide which part keeps its number, so the numbers are canonical only once there is
    # nothing left to merge.
    labels = [labels[position] for position in chosen.values()]
    items = [
        [item if item < 0 else place[merged[item]] for item in items[position]]
        for position in chosen.values()
    ]
    classes = _refine(labels, items)
    digest = sha256(b"%d:" % len(classes))
    for _, position in sorted(zip(classes, range(len(classes)))):
        tag, kind = labels[position]
        signature = _signature(kind, items[position], classes)
        digest.update(b"%b%d:" % (tag, len(signature)))
        for item in signature:
            for part in item if isinstance(item, tuple) else (item,):
                digest.update(leaves[-1 - part] if part < 0 else b"@%d;" % part)
    graph = digest.digest()
    return [b"@" + graph + b"%d;" % classes[place[label]] for label in merged]


def _signature(kind: int, items: list[int], classes: list[int]) -> Signature:
    parts = [item if item < 0 else classes[item] for item in items]
    if kind == SET:
        return tuple(sorted(parts))
    if kind in (MAP, FIELDS):
        return tuple(sorted(zip(parts[::2], parts[1::2])))
    return tuple(parts)


def _refine(labels: list[tuple[bytes, int]], items: list[list[int]]) -> list[int]:
    ranks = {label: position for position, label in enumerate(sorted(set(labels)))}
    classes = [ranks[label] for label in labels]
    kinds = [kind for _, kind in labels]
    users: list[list[int]] = [[] for _ in labels]
    for position, parts in enumerate(items):
        for part in parts:
            if part >= 0:
                users[part].append(position)
    sizes: dict[int, int] = {}
    for label in classes:
        sizes[label] = sizes.get(label, 0) + 1
    next_class = len(ranks)
    changed = set(range(len(labels)))
    while changed:
        # Only members that refer to a changed one can differ from the rest of their class. The
        # largest part keeps the number, so that long chains do not change it at every step.
        groups: dict[int, dict[Signature, list[int]]] = {}
        for position in changed:
            signature = _signature(kinds[position], items[position], classes)
            groups.setdefault(classes[position], {}).setdefault(signature, []).append(position)
        moved: list[int] = []
        for label in sorted(groups):
            split = sorted(groups[label].items())
            touched = sum(len(positions) for _, positions in split)
            if touched == sizes[label]:
                split.remove(max(split, key=_size))
            for _, positions in split:
                for position in positions:
                    classes[position] = next_class
                sizes[label] -= len(positions)
                sizes[next_class] = len(positions)
                next_class += 1
                moved += positions
        changed = {user for position in moved for user in users[position]}
    return classes


def _size(part: tuple[Signature, list[int]]) -> int:
    return len(part[1])
