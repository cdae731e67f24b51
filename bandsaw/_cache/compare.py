"""Why a call has no entry: what differs from the nearest one, or which variables do."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Optional

from . import bounds, entry, owned_files, record
from .record import Argument, Record

_MOST_DIFFERENCES = 5
_CODE = {"function": "helper ", "class": "class ", "method": "method ", "module": "module "}


class Nearest(NamedTuple):
    path: str
    record: Record  # what it remembers
    differences: list[str]  # what differs, a sentence each


def records_in(directory: str) -> Iterator[tuple[bounds.CacheFile, Optional[Record], str]]:
    """Reads what the entries of a cache remember."""
    for found in bounds.entries_in(directory):
        try:
            yield found, record.read(entry.read_record(found.path)), ""
        except FileNotFoundError:
            continue
        except (OSError, ValueError, owned_files.DamagedEntryError) as error:
            yield found, None, str(error)


def nearest_entry(directory: str, wanted: Record, path: str) -> Optional[Nearest]:
    """Finds the `nearest` entry of the same task; `None` if there is no other one of the task."""
    return nearest(wanted, (
        (found.path, other)
        for found, other, _ in records_in(directory)
        if other is not None and other.task == wanted.task and found.path != path
    ))  # fmt: skip


def nearest(wanted: Record, entries: Iterable[tuple[str, Record]]) -> Optional[Nearest]:
    """Finds the entry that says best why a call was computed.

    Those that were there before come first; then those with the same arguments, whose place it has
    taken, and not its siblings with others; then those that differ least; then the newest.
    """

    def distance(candidate: Nearest) -> tuple[bool, bool, int, float]:
        other = candidate.record
        is_sibling = other.arguments != wanted.arguments
        return other.made > wanted.made, is_sibling, len(candidate.differences), -other.made

    found = (Nearest(path, other, differences(wanted, other)) for path, other in entries)
    return min(found, key=distance, default=None)


def differences(now: Record, then: Record) -> list[str]:
    """Says in what two calls of a task differ."""
    return [*_in_code(now, then), *_in_arguments(now.arguments, then.arguments)]


def _in_code(now: Record, then: Record) -> Iterator[str]:
    if not now.parts or not then.parts:
        if now.parts != then.parts:
            yield "the code may differ: it is not known of both what it was"
        return
    ours = {(kind, name, place): text for kind, name, place, text in now.parts}
    theirs = {(kind, name, place): text for kind, name, place, text in then.parts}
    for key in sorted({*ours, *theirs}):
        new, old = ours.get(key), theirs.get(key)
        if new == old:
            continue
        # Of a class that is new as a whole, the methods are, too.
        whole = ("class", key[1].rpartition(".")[0], key[2])
        if key[0] != "method" or (whole in ours and whole in theirs):
            yield _about_part(*key, new, old, now.task)


def _about_part(
    kind: str, name: str, place: str, new: Optional[str], old: Optional[str], task: str
) -> str:
    if kind == "distribution":
        if new is None or old is None:
            return f"{name} {new or old} is {'not used any more' if new is None else 'new'}"
        return f"{name} {new}, was {old}"
    if kind == "version":
        return f"version: {new or 'none'}, was {old or 'none'}"
    if kind == "option":
        return f"Python runs {'without' if new is None else 'with'} the option {name}"
    if kind == "depends":
        what = f"dependency `{name}`"
    else:
        what = f"{_CODE.get(kind, '')}`{name}` in `{place}`"
        if kind == "function" and task == f"{module_at(place)}.{name}":
            what = f"the task `{name}` in `{place}`"
        elif kind == "module":
            what = f"module `{place}`"
        elif kind == "assigned":
            what = f"the statement of `{name}` in `{place}`"
    if new is None:
        return f"{what} is not used any more"
    if old is None:
        return f"{what} is new"
    return f"{what}: {new}, was {old}" if kind == "value" else f"{what} changed"


def module_at(place: str) -> str:
    return place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def _in_arguments(now: Mapping[str, Argument], then: Mapping[str, Argument]) -> Iterator[str]:
    for name in dict.fromkeys([*now, *then]):
        new, old = now.get(name), then.get(name)
        if new is None:
            yield f"argument `{name}` is not there any more"
        elif old is None:
            yield f"argument `{name}` is new: {_short(new)}"
        elif new.digest != old.digest or (new.digest is None and new.texts != old.texts):
            yield from _in_argument(name, new, old)


def _in_argument(name: str, new: Argument, old: Argument) -> Iterator[str]:
    found = []
    apart = _told_whole(new.texts, old.texts) | _told_whole(old.texts, new.texts)
    for path in dict.fromkeys([*new.texts, *old.texts]):
        if path in apart:
            continue
        text, other = new.texts.get(path), old.texts.get(path)
        if text is None:
            found.append(f"argument `{path}` is not there any more: it was {other}")
        elif other is None:
            found.append(f"argument `{path}` is new: {text}")
        elif text != other:
            found.append(f"argument `{path}`: {text}, was {other}")
    if not found:
        found.append(f"argument `{name}` differs in its contents: {_short(new)}")
    yield from found[:_MOST_DIFFERENCES]
    if len(found) > _MOST_DIFFERENCES:
        yield f"argument `{name}` differs in {len(found) - _MOST_DIFFERENCES} more places"


def _told_whole(texts: Mapping[str, str], parts: Mapping[str, str]) -> set[str]:
    """Finds containers told as a whole in one entry and by their parts in the other, and the parts.

    There is room for so many texts only: that a part is in one of them says nothing.
    """
    found: set[str] = set()
    for path, text in texts.items():
        if path not in parts and _CONTAINER.fullmatch(text):
            below = [part for part in parts if part.startswith((f"{path}[", f"{path}."))]
            if below:
                # All parts beside an empty container are new.
                found.update([path] if text in ("{}", "[]", "()") else [path, *below])
    return found


_CONTAINER = re.compile(r"[\w.]+ of \d+|[\[({].*", re.DOTALL)


def _short(argument: Argument) -> str:
    return ", ".join(list(argument.texts.values())[:3]) or "a value"


def lines_of(differences: Sequence[str]) -> list[str]:
    nothing = (
        "nothing that is remembered: the length of ids or the hash for bulk data may be another"
    )
    return [f"  {difference}" for difference in differences or [nothing]]


# Of so many tasks of the cache it is looked at most.
_MOST_FOLDERS = 1000


def variables_that_differ(directory: str, folder: str, name: str, task: Any) -> list[str]:
    """Names the variables in whose values alone an entry differs from one of another task id.

    `folder` and `name` are those of the entry. Variables whose values stand in the source are not
    named: those were edited. Neither are those of a project that was edited since: their values
    may be made of what was. Returns nothing where there is no such entry.
    """
    carried = task._carried()
    keys = set() if carried is None else carried.values.keys() - carried.filled
    if not keys:
        return []
    ours = record.parts_of(task)
    for number, other in enumerate(bounds.folders_in(directory)):
        path = os.path.join(other, name)
        if number >= _MOST_FOLDERS or os.path.basename(other) == os.path.basename(folder):
            continue
        if not os.path.exists(path):
            continue
        try:
            found = record.read(entry.read_record(path))
        except (OSError, ValueError, owned_files.DamagedEntryError):
            continue
        if found.task != str(task) or _was_edited_since(found.made):
            continue
        names = _variables_between(ours, found.parts, keys)
        if names:
            return names
    return []


def _was_edited_since(moment: float) -> bool:
    from .._identity.firstparty import is_first_party
    from .._identity.kinds import attributes_of

    for name, module in list(sys.modules.items()):
        path = attributes_of(module).get("__file__")
        if type(path) is str and is_first_party(name):
            with contextlib.suppress(OSError):
                if os.stat(path).st_mtime > moment:
                    return True
    return False


def _variables_between(
    now: Sequence[Sequence[str]], then: Sequence[Sequence[str]], keys: Collection[str]
) -> list[str]:
    """Names the variables in whose values alone the parts differ; `keys`: what may be named."""
    from .._identity.part_items import ANY

    computed = {key.partition(":")[2]: key.replace(":", ".") for key in keys}
    by_place: dict[str, list[str]] = {}
    for key in keys:
        by_place.setdefault(key.partition(":")[0], []).append(key.replace(":", "."))
    ours = {tuple(part[:3]): part[3] for part in now}
    theirs = {tuple(part[:3]): part[3] for part in then}
    named: set[str] = set()
    for kind, each, place in {*ours, *theirs}:
        if ours.get((kind, each, place)) == theirs.get((kind, each, place)):
            continue
        home, last = module_at(place), each.rpartition(".")[2]
        if kind != "value":
            return []
        if each == ANY:
            named.update(by_place.get(home, ()))
        elif f"{home}:{each}" in keys:
            named.add(f"{home}.{each}")
        elif last in computed:
            named.add(computed[last])
        else:
            return []
    return sorted(named)
