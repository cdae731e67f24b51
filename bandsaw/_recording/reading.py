"""Reads the file of a recorder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import socket
import sys
from collections.abc import Iterator
from typing import Any, Optional

from .. import modules
from .._system.home import kept_folder
from ..errors import BandsawError, InvalidValueError
from .counts import Counts
from .record_file import CALL, NONCE, SCHEMA, SECONDS_UNTIL_LOST, opened
from .returned import paths_in

# Named as here: in a damaged file the names of columns may be written otherwise.
_RUN = ", ".join(
    f"runs.{name} AS {name}"
    for name in ("run", "begun", "ended", "seen", "command", "folder", "host", "pid", "python")
)
_CALL = ", ".join(f"{name} AS {name}" for name in CALL)
# As `state_of` says it.
_FAILED = "calls.begun IS NOT NULL AND error IS NOT NULL AND error != 'builtins.KeyboardInterrupt'"
_TEXTS = {name for name, kind in re.findall(r"(\w+) (TEXT|REAL|INTEGER)", SCHEMA) if kind == "TEXT"}
# A changed bit may make others, which cannot be shown as times.
_MOST_SECONDS = 1e11


def default_file(configuration: Any) -> str:
    """Returns the file for the project of a configuration: that of the folder of its module."""
    name = getattr(configuration, "module_name", None)
    module = sys.modules.get(name) if isinstance(name, str) else None
    path: Optional[str] = None if module is None else modules.file_of(module)
    return file_in_home(os.path.dirname(os.path.abspath(path)) if path else os.getcwd())


def file_in_home(folder: str) -> str:
    folder = os.path.realpath(folder)
    label = re.sub(r"[^A-Za-z0-9._-]", "_", os.path.basename(folder))[:40] or "project"
    digest = hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]
    return str(kept_folder("runs") / f"{label}-{digest}.sqlite")


@contextlib.contextmanager
def reading(path: str) -> Iterator[Any]:
    import sqlite3

    if not os.path.exists(path):
        raise InvalidValueError(
            f"There is no record {path!r}. Add a bandsaw.recording.Recorder to the configuration "
            "and run the workflow, or say which file with --file."
        )
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            # Opened for writing, it would get our tables.
            if (
                connection.execute("SELECT name FROM sqlite_master WHERE name = 'calls'").fetchone()
                is None
            ):
                raise InvalidValueError(f"{path!r} is not a record: another program has made it.")
        with contextlib.closing(opened(path)) as connection:
            connection.row_factory = sqlite3.Row
            yield connection
    except BandsawError:
        raise
    # A damaged file may have SQLite tell of names that are no text.
    except (sqlite3.Error, ValueError) as error:
        raise InvalidValueError(f"The record {path!r} cannot be read: {error}") from error


def runs(connection: Any) -> list[dict[str, Any]]:
    """Returns the runs, the newest first, each with what was counted of its calls."""
    found = connection.execute(
        f"""SELECT {_RUN}, COUNT(key) AS calls,
            SUM({_FAILED}) AS failures, SUM(cache = 'hit') AS hits,
            MIN(COALESCE(calls.submitted, calls.begun)) AS first, MAX(calls.ended) AS last,
            runs.run IN interrupted AS interrupted
        FROM runs LEFT JOIN calls ON calls.run = runs.run
        GROUP BY runs.run ORDER BY runs.begun DESC"""
    )
    return [_told(_whole(row, "run", "begun", "seen", "command", "host", "pid")) for row in found]


def _whole(row: Any, *needed: str) -> dict[str, Any]:
    """Returns a row. Raises a `ValueError` for one that was never written: the file is damaged."""
    found = dict(row)
    for name, value in found.items():
        if value is None:
            is_right = name not in needed
        elif name in _TEXTS:
            is_right = isinstance(value, str)
        elif isinstance(value, float):
            is_right = abs(value) < _MOST_SECONDS
        else:
            is_right = isinstance(value, int)
        if not is_right:
            raise ValueError(f"{name} is {str(value)[:50]!r} in it")
    return found


def _told(run: dict[str, Any]) -> dict[str, Any]:
    begun = min(time for time in (run["begun"], run.pop("first")) if time is not None)
    last = run.pop("last")
    run.update(begun=begun, failures=run["failures"] or 0, hits=run["hits"] or 0)
    run["state"] = _state(run, run.pop("interrupted"))
    end = run["ended"] or (last if run["state"] == "lost" else run["seen"]) or run["seen"]
    run["seconds"] = max(0.0, end - begun)
    return run


def _state(run: dict[str, Any], was_interrupted: int) -> str:
    if run["ended"] is not None:
        return "interrupted" if was_interrupted else "ended"
    if run["host"] == socket.gethostname():
        return "running" if _runs(run["pid"], run["seen"]) else "lost"
    import time

    return "running" if time.time() - run["seen"] < SECONDS_UNTIL_LOST else "lost"


def _runs(pid: int, seen: float) -> bool:
    if os.name == "nt":
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass
    with contextlib.suppress(OSError, ValueError, IndexError):
        # Another process may have the number by now.
        with open(f"/proc/{pid}/stat") as stat, open("/proc/stat") as system:
            fields = stat.read().rpartition(")")[2].split()
            booted = next(float(line.split()[1]) for line in system if line.startswith("btime"))
        if fields[0] == "Z":
            return False
        return booted + int(fields[19]) / os.sysconf("SC_CLK_TCK") <= seen + 2
    return True


def run_of(connection: Any, text: str) -> dict[str, Any]:
    """Finds a run: by its id or the beginning of it, or `last`."""
    there = runs(connection)
    found = there[:1] if text == "last" else [run for run in there if run["run"] == text]
    found = found or [run for run in there if run["run"].startswith(text)]
    if len(found) == 1:
        return found[0]
    if not there:
        raise InvalidValueError("There are no runs in the record.")
    if not found:
        raise InvalidValueError(
            f"There is no run {text!r}. `bandsaw runs ls` lists those that there are."
        )
    names = ", ".join(run["run"] for run in found[:5])
    raise InvalidValueError(f"{len(found)} runs begin with {text!r}: {names}")


def calls(connection: Any, run: str) -> list[dict[str, Any]]:
    found = connection.execute(
        f"SELECT {_CALL} FROM calls WHERE run = ? ORDER BY COALESCE(submitted, begun), key",
        (run,),
    )
    calls = [_call(row) for row in found]
    keys = {
        NONCE + nonce: call["key"]
        for call in calls
        for nonce in str(call["facts"].pop("nonce", "")).split()
    }
    for call in calls:
        if str(call["parent"]).startswith(NONCE):  # it was called in another process
            call["parent"] = keys.get(call["parent"])
    return calls


def calls_that_returned(connection: Any, path: str) -> list[dict[str, Any]]:
    """Returns the calls that have returned a file, or a folder that it is in, the newest first."""
    rows = connection.execute(
        f"SELECT {_CALL} FROM calls WHERE facts LIKE '%\"returned_files\"%' ORDER BY ended DESC"
    )
    calls = [{"in_run": row["run"], **_call(row)} for row in rows]
    return [
        call
        for call in calls
        if any(path == at or path.startswith(at + os.sep) for at in paths_in(call["facts"]))
    ]


def _call(row: Any) -> dict[str, Any]:
    call = _whole(row, "run", "key", "task")
    del call["run"]
    for name, empty in (("needs", []), ("facts", {})):
        # NaN is a text from now on: what reads our JSON takes no other.
        call[name] = json.loads(call[name], parse_constant=str) if call[name] else empty
        if type(call[name]) is not type(empty):
            raise ValueError(f"{name} of a call is {call[name]!r:.50} in it")
    call["state"] = state_of(call)
    begun, ended = call["begun"], call["ended"]
    known = [call["host"], call["pid"] and f"pid {call['pid']}"]
    call["where"] = "" if begun is None else ", ".join(one for one in known if one)
    call["seconds"] = max(0.0, ended - begun) if begun is not None and ended is not None else None
    return call


def progress(connection: Any, run: dict[str, Any]) -> list[tuple[str, Counts]]:
    """Returns how far the tasks of a run are, as far as the recorder has counted."""
    sums = ", ".join(f"SUM({name})" for name in Counts.NAMES)
    found = connection.execute(
        f"SELECT task, MIN(since), {sums} FROM progress WHERE run = ? GROUP BY task ORDER BY 2",
        (run["run"],),
    )
    whole = [_whole(row, *row.keys()).values() for row in found]
    rows = [(task, Counts(since, tuple(numbers))) for task, since, *numbers in whole]
    if run["state"] != "running":
        for _, counts in rows:
            counts.until = run["begun"] + run["seconds"]
    return rows


def state_of(call: dict[str, Any]) -> str:
    """Says how a call ended: `done`, `hit`, `failed`, `interrupted`, or `not begun`."""
    if call["begun"] is None:
        return "not begun"
    if call["error"] is not None:
        return "interrupted" if call["error"] == "builtins.KeyboardInterrupt" else "failed"
    return "hit" if call["cache"] == "hit" else "done"


def tasks(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Sums calls up by task, those that took longest first."""
    by_task: dict[str, dict[str, Any]] = {}
    for call in found:
        known = by_task.setdefault(
            call["task"],
            {"task": call["task"], "calls": 0, "hits": 0, "failures": 0, "not_begun": 0,
             "seconds": 0.0, "longest": 0.0, "cpu": 0.0, "memory": 0},
        )  # fmt: skip
        known["calls"] += 1
        known["hits"] += call["state"] == "hit"
        known["failures"] += call["state"] == "failed"
        known["not_begun"] += call["state"] == "not begun"
        known["seconds"] += call["seconds"] or 0.0
        known["longest"] = max(known["longest"], call["seconds"] or 0.0)
        known["cpu"] += call["cpu"] or 0.0
        known["memory"] = max(known["memory"], call["memory"] or 0)
    return sorted(by_task.values(), key=lambda known: -known["seconds"])
