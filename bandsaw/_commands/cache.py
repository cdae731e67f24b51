"""`python -m bandsaw cache`: what caches hold, why, and how it goes again."""

from __future__ import annotations

import argparse
import functools
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, Callable, NamedTuple, Optional

from .._cache import bounds, compare
from .._cache.record import Record
from ..errors import InvalidValueError
from . import targets
from .console import (
    add,
    age_in,
    counted,
    say,
    say_table,
    size_in,
    told_seconds,
    told_size,
    told_time,
)
from .targets import arguments_in, directories_of, task_named

_counted = functools.partial(counted, one="entry", many="entries")
_MOST_SHOWN = 60
_LISTED = "`bandsaw cache ls` lists those that there are."


class Row(NamedTuple):
    """An entry `task id/execution id`, and the problem where its record cannot be read."""

    entry: str
    found: bounds.CacheFile
    record: Optional[Record]
    problem: str


def add_arguments(commands: Any) -> None:
    ls = _add(
        commands,
        "ls",
        "list the entries, the one that was used last first",
        "--task workflow.train",
    )
    ls.add_argument("store", nargs="*", help="URLs of shared stores, in place of directories")
    ls.add_argument("--task", metavar="NAME", help="only the entries of this task")
    ls.add_argument("--json", action="store_true", help="print JSON")
    show = _add(commands, "show", "show what an entry remembers", "3f2a")
    show.add_argument("entry", help="the ids as `ls` prints them, or the beginning of one")
    explain = _add(
        commands,
        "explain",
        "say what differs between an entry or a call and the nearest entry",
        "workflow.train '[1, 2]' alpha=0.1",
    )
    explain.add_argument(
        "target",
        help="an entry as for `show`, or a task: module.function; or the URL of a shared "
        "store, and then one of these",
    )
    explain.add_argument(
        "arguments", nargs="*", metavar="ARGUMENT", default=[],  # else named as required, too
        help="the arguments of a call of the task, as Python literals: 1 \"'text'\" alpha=0.1",
    )  # fmt: skip
    rm = _add(commands, "rm", "remove entries", "--task workflow.train")
    rm.add_argument("entry", nargs="*", help="the ids as `ls` prints them, or the beginning of one")
    rm.add_argument("--task", metavar="NAME", help="all entries of this task")
    rm.add_argument("--all", action="store_true", help="all entries")
    verify = _add(commands, "verify", "read every entry, and list those that are damaged", "--rm")
    verify.add_argument("store", nargs="*", help="URLs of shared stores, in place of directories")
    verify.add_argument("--rm", action="store_true", help="remove them")
    prune = _add(
        commands,
        "prune",
        "remove what is too much or too old, and what is left over",
        "--max-bytes 20GB --max-age 30d",
    )
    prune.add_argument(
        "--shared", action="store_true",
        help="in the shared stores of the configuration's CachingAdvices, not in their directories",
    )  # fmt: skip
    prune.add_argument("--max-bytes", metavar="SIZE", type=size_in, help="like 500MB or 2GiB")
    prune.add_argument("--max-age", metavar="AGE", type=age_in, help="like 90m, 12h or 30d")


def _add(commands: Any, name: str, text: str, example: str = "") -> argparse.ArgumentParser:
    command = add(commands, name, text, example)
    command.add_argument(
        "--directory", action="append", metavar="DIR",
        help="the directory of a cache, or the URL of a shared store (default: the directories of "
        "the configuration's CachingAdvices)",
    )  # fmt: skip
    command.add_argument("--config", metavar="MODULE", help="the configuration module")
    return command


def _in_directories(
    action: Callable[[argparse.Namespace, Sequence[str]], int],
) -> Callable[[argparse.Namespace], int]:
    def run(parsed: argparse.Namespace) -> int:
        directories = directories_of(parsed)
        if action is _prune:
            return action(parsed, directories)
        with targets.pictured(directories) as shown:
            return action(parsed, shown)

    return run


def _rows(directories: Sequence[str]) -> Iterator[Row]:
    for directory in directories:
        for found, remembered, problem in compare.records_in(directory):
            folder, name = os.path.split(found.path)
            yield Row(f"{os.path.basename(folder)}/{name}", found, remembered, problem)


def _ls(parsed: argparse.Namespace, directories: Sequence[str]) -> int:
    now = time.time()
    rows = sorted(_rows(directories), key=lambda row: -row.found.used)
    if parsed.task:
        rows = [row for row in rows if row.record is not None and row.record.task == parsed.task]
    if parsed.json:
        say(json.dumps([_as_json(row) for row in rows], indent=1))
        return 0
    lines = [("TASK", "ENTRY", "AGE", "USED", "SIZE", "SAVES", "ARGUMENTS")]
    for row in rows:
        task, saves, arguments = f"({row.problem})", "", ""
        if row.record is not None:
            task = row.record.task
            arguments = _short_of(row.record)
            saves = "?" if row.record.seconds is None else told_seconds(row.record.seconds)
        age, used = now - row.found.written, now - row.found.used / 1e9
        lines.append(
            (task, row.entry, told_seconds(age), told_seconds(used), told_size(row.found.size),
             saves, arguments)
        )  # fmt: skip
    say_table(lines)
    size = told_size(sum(row.found.size for row in rows))
    saved = sum(row.record.seconds or 0.0 for row in rows if row.record is not None)
    say(f"{_counted(len(rows))}, {size}, {told_seconds(saved)} of computing")
    return 0


def _short_of(record: Record) -> str:
    told = []
    for name, argument in record.arguments.items():
        texts = {path[len(name) :]: text for path, text in argument.texts.items()}
        # Items of a list are told without their place.
        parts = [text if at[1:-1].isdigit() else f"{at}={text}" for at, text in texts.items()]
        told.append(f"{name}{parts[0]}" if "" in texts else f"{name}=({', '.join(parts)})")
    text = ", ".join(told)
    return text if len(text) <= _MOST_SHOWN else f"{text[: _MOST_SHOWN - 3]}..."


def _as_json(row: Row) -> dict[str, Any]:
    record = row.record
    told: dict[str, Any] = {
        "entry": row.entry,
        "path": targets.told(row.found.path),
        "size": row.found.size,
        "written": row.found.written,
        "used": row.found.used / 1e9,
    }
    if record is None:
        return {**told, "problem": row.problem}
    arguments = {name: argument.texts for name, argument in record.arguments.items()}
    return {**told, "task": record.task, "seconds": record.seconds, "arguments": arguments}


def _show(parsed: argparse.Namespace, directories: Sequence[str]) -> int:
    row = _find(parsed.entry, directories)
    say(f"entry: {row.entry}\nfile: {targets.told(row.found.path)}")
    say(f"size: {told_size(row.found.size)}")
    say(f"written: {told_time(row.found.written)}\nused: {told_time(row.found.used / 1e9)}")
    problem = _problem(row)
    say(f"state: {problem or 'intact'}")
    record = row.record
    if record is not None:
        took = "unknown" if record.seconds is None else told_seconds(record.seconds)
        say(f"task: {record.task}\ncomputed in: {took}")
        say("arguments:")
        for argument in record.arguments.values():
            for path, text in argument.texts.items():
                say(f"  {path} = {text}")
        say("code:")
        for kind, name, place, text in record.parts:
            say("  " + " ".join(part for part in (kind, name, place, text) if part))
    return 1 if problem else 0


def _problem(row: Row) -> str:
    try:
        return row.problem or targets.problem_of(row.found.path) or ""
    except FileNotFoundError:
        return "it is gone"


def _explain(parsed: argparse.Namespace, directories: Sequence[str]) -> int:
    module_name, _, _ = parsed.target.partition(".")
    if "/" in parsed.target or (module_name == parsed.target and not parsed.arguments):
        row = _find(parsed.target, directories)
        if row.record is None:
            raise InvalidValueError(f"The entry {row.entry} cannot be read: {row.problem}.")
        directory = os.path.dirname(os.path.dirname(row.found.path))
        nearest = compare.nearest_entry(directory, row.record, row.found.path)
        if nearest is None:
            say(f"{row.entry} is the only entry of {row.record.task}.")
            return 0
        path = targets.told(nearest.path)
        say(f"The entry of {row.record.task} nearest to {row.entry} is {path}.")
        say("It differs in this:")
        for line in compare.lines_of(nearest.differences):
            say(line)
        return 0
    from ..fingerprint import gaps_of
    from .explain import explained

    args, kwargs = arguments_in(parsed.arguments)
    task = task_named(parsed.target)
    is_given = parsed.directory or getattr(parsed, "store", ())
    folders = directories if is_given else None
    explanation = explained(task, args, kwargs, folders, targets.told)
    say(str(explanation))
    if not explanation.can_be_made:
        return 1
    gaps = gaps_of(task.bandsaw_task.function, left_out=task.bandsaw_task._left_out())
    if gaps:
        say("The id of the task does not depend on this:")
        for place, reason in gaps:
            say(f"  {place}: {reason}")
    return 0


def _find(text: str, directories: Sequence[str]) -> Row:
    found = list(_matching([text], directories))
    found = [row for row in found if row.entry == text] or found
    if len(found) == 1:
        return found[0]
    if not found:
        raise InvalidValueError(f"There is no entry {text!r} in {_named(directories)}. {_LISTED}")
    raise InvalidValueError(
        f"{len(found)} entries begin with {text!r}: {', '.join(row.entry for row in found[:5])}"
    )


def _named(directories: Sequence[str]) -> str:
    return ", ".join(map(targets.told, directories))


def _matching(texts: Sequence[str], directories: Sequence[str]) -> Iterator[Row]:
    for row in _rows(directories):
        name = row.entry.partition("/")[2]
        if any(row.entry.startswith(text) or name.startswith(text) for text in texts if text):
            yield row


def _rm(parsed: argparse.Namespace, directories: Sequence[str]) -> int:
    if bool(parsed.all) + bool(parsed.task) + bool(parsed.entry) != 1:
        raise InvalidValueError("Say what to remove: one of entries, --task NAME and --all.")
    rows = []
    if parsed.all:
        rows = list(_rows(directories))
    elif parsed.task:
        rows = [row for row in _rows(directories) if row.record and row.record.task == parsed.task]
    rows += [_find(text, directories) for text in parsed.entry]
    rows = list({row.found.path: row for row in rows}.values())
    if not rows:
        of_task, listed = (
            (f" of the task {parsed.task}", f" {_LISTED}") if parsed.task else ("", "")
        )
        raise InvalidValueError(f"There is no entry{of_task} in {_named(directories)}.{listed}")
    removed, failures = _remove(rows)
    for directory in directories:
        bounds.prune(directory)
    say(f"removed {_counted(len(removed))}, {told_size(sum(row.found.size for row in removed))}")
    return _told(failures)


def _remove(rows: Sequence[Row]) -> tuple[list[Row], list[OSError]]:
    removed, failures = [], []
    for row in rows:
        try:
            targets.remove(row.found.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            failures.append(error)
            continue
        removed.append(row)
    return removed, failures


def _told(failures: Sequence[OSError]) -> int:
    """Says what could not be removed, and returns an exit status."""
    if not failures:
        return 0
    say(
        f"error: {_counted(len(failures))} could not be removed: {failures[0]}",
        sys.stderr,
    )
    return 1


def _verify(parsed: argparse.Namespace, directories: Sequence[str]) -> int:
    rows = list(_rows(directories))
    damaged = []
    for row in rows:
        problem = _problem(row)
        if problem and os.path.lexists(row.found.path):
            say(f"{targets.told(row.found.path)}: {problem}")
            damaged.append(row)
    told = f"{_counted(len(rows))}, {len(damaged)} damaged"
    if not parsed.rm:
        say(told)
        return 1 if damaged else 0
    removed, failures = _remove(damaged)
    say(f"{told}, {len(removed)} removed" if failures else f"{told}, removed" if damaged else told)
    return _told(failures)


def _prune(parsed: argparse.Namespace, directories: Sequence[str]) -> int:
    status = 0
    for directory in directories:
        if targets.is_url(directory):
            removed = targets.listing(directory).prune(parsed.max_bytes, parsed.max_age)
        else:
            removed = bounds.prune(directory, parsed.max_bytes, parsed.max_age)
        say(
            f"{directory}: removed {_counted(removed.entries)} and {removed.files} abandoned "
            f"files, {told_size(removed.size)}"
        )
        status |= _told(removed.failures)
    return status


_ALL = {
    "ls": _ls, "show": _show, "explain": _explain, "rm": _rm, "verify": _verify, "prune": _prune,
}  # fmt: skip
ACTIONS = {name: _in_directories(action) for name, action in _ALL.items()}
