"""Which entry is nearest to a call, and what differs from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple, Optional

from . import bounds, entry, files, record
from .record import Argument, Record

_MOST_DIFFERENCES = 5
_CODE = {"function": "helper ", "class": "class ", "method": "method ", "module": "module "}


class Nearest(NamedTuple):
    """The entry that differs least from a call."""

    path: str
    record: Record  # what it remembers
    differences: list[str]  # what differs, a sentence each


def records_in(directory: str) -> Iterator[tuple[bounds.Found, Optional[Record], str]]:
    """Reads what the entries of a cache remember."""
    for found in bounds.entries_in(directory):
        try:
            yield found, record.read(entry.read_record(found.path)), ""
        except FileNotFoundError:
            continue
        except (OSError, ValueError, files.DamagedEntryError) as error:
            yield found, None, str(error)


def nearest_entry(directory: str, wanted: Record, path: str) -> Optional[Nearest]:
    """Finds the entry of the same task that differs least from a call.

    Returns the nearest one, of several the newest; `None` if there is no other entry of the task.
    """
    return nearest(wanted, (
        (found.path, other)
        for found, other, _ in records_in(directory)
        if other is not None and other.task == wanted.task and found.path != path
    ))  # fmt: skip


def nearest(wanted: Record, entries: Iterable[tuple[str, Record]]) -> Optional[Nearest]:
    """Finds the entry that differs least from a call, of several the newest."""
    best: Optional[Nearest] = None
    for path, other in entries:
        candidate = Nearest(path, other, differences(wanted, other))
        if best is None or _distance(candidate) < _distance(best):
            best = candidate
    return best


def _distance(candidate: Nearest) -> tuple[int, float]:
    return len(candidate.differences), -candidate.record.made


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
    if kind == "depends":
        what = f"dependency `{name}`"
    else:
        what = f"{_CODE.get(kind, '')}`{name}` in `{place}`"
        module = place.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        if kind == "function" and task == f"{module}.{name}":
            what = f"the task `{name}` in `{place}`"
        elif kind == "module":
            what = f"module `{place}`"
    if new is None:
        return f"{what} is not used any more"
    if old is None:
        return f"{what} is new"
    return f"{what}: {new}, was {old}" if kind == "value" else f"{what} changed"


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
    for path in dict.fromkeys([*new.texts, *old.texts]):
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


def _short(argument: Argument) -> str:
    return ", ".join(list(argument.texts.values())[:3]) or "a value"


def lines_of(differences: Sequence[str]) -> list[str]:
    """Lays out differences."""
    nothing = (
        "nothing that is remembered: the length of ids or the hash for bulk data may be another"
    )
    return [f"  {difference}" for difference in differences or [nothing]]
