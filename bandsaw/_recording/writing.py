"""Writes calls to files, from one thread of the process."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import platform
import socket
import sys
import threading
import time
from collections import deque
from typing import Any, Optional

from .. import modules
from .._futures import program
from .._system import ending
from .._system.processes import in_forked_processes
from ..run import get_run_id
from .counts import Counting
from .record_file import CALL, SECONDS_UNTIL_LOST, opened

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN = 0.1
_SECONDS_BETWEEN_SIGNS = 10.0
# What has waited for so long has callers wait for the thread, which they keep from running.
_MOST_SECONDS_BEHIND = 0.2
# Where nothing is written in so long, as on a disk that hangs, they go on.
_SECONDS_OF_PATIENCE = 2.0
_MOST_WAITING = 200_000

# What is told of a call by a fact, and has a column of its own.
_COLUMNS = {
    "host": "host", "pid": "pid", "place": "place", "cache": "cache", "sent": "sent",
    "received": "received", "cpu_seconds": "cpu", "peak_memory": "memory",
}  # fmt: skip


class _Writer:
    """The thread of this process, and what waits for it."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[str, str, Any]] = deque()
        self._lock = threading.Lock()
        self._thread: Optional[threading.Thread] = None
        self._wake = threading.Event()
        self._stops = False
        # With the number of the file, which somebody may remove.
        self._connections: dict[str, tuple[Any, int]] = {}
        self._has_warned = False
        self._writing = threading.Lock()
        self._counted: dict[str, Counting] = {}
        # When the oldest of what is not written came, or 0.
        self._oldest = 0.0
        self._has_written = threading.Event()
        self._is_stuck = False

    def put(self, path: str, what: str, of: Any) -> None:
        now = time.monotonic()
        if len(self._waiting) >= _MOST_WAITING:
            return self._warn("more calls end than can be written")
        self._waiting.append((path, what, of))
        if not self._oldest:
            self._oldest = now
        elif what == "begun" and now - self._oldest > _MOST_SECONDS_BEHIND and not self._is_stuck:
            self._has_written.clear()
            self._wake.set()
            if not self._has_written.wait(_SECONDS_OF_PATIENCE):
                self._is_stuck = True
        if self._stops:
            self.flush(ended=True)  # a call that is made while the program ends
        elif self._thread is None:
            with self._lock:
                if self._thread is None:
                    name = "bandsaw-recorder"
                    thread = threading.Thread(target=self._run, daemon=True, name=name)
                    # Where there are no more threads, the next call tries again.
                    with contextlib.suppress(RuntimeError):
                        thread.start()
                        self._thread = thread
                        ending.at_exit_of_multiprocessing(flush_at_end)

    def _run(self) -> None:
        alive = time.monotonic()
        while not self._stops:
            self._wake.wait(_SECONDS_BETWEEN)
            if not self._stops:
                self._wake.clear()
            is_due = time.monotonic() - alive > _SECONDS_BETWEEN_SIGNS
            if is_due:
                alive = time.monotonic()
            self.flush(is_alive=is_due)

    def flush(self, ended: bool = False, is_alive: bool = False) -> None:
        """Writes all that waits, and where it is asked for that the run goes on, or has ended."""
        with self._writing:
            batches: dict[str, list[dict[str, Any]]] = {}
            begun = time.monotonic()
            for _ in range(len(self._waiting)):
                path, what, of = self._waiting.popleft()
                batch = batches.setdefault(path, [])
                if not modules.is_far_end:
                    self._count(path, what, of)
                if what == "ended":
                    batch.append(of)
            paths = (
                {**dict.fromkeys(self._connections), **batches} if ended or is_alive else batches
            )
            for path in paths:
                try:
                    self._write(path, batches.get(path, []), ended)
                except Exception as error:
                    self._warn(f"{path}: {type(error).__name__}: {error}")
            # What came meanwhile is no older than that.
            self._oldest = begun if self._waiting else 0.0
            self._is_stuck = False
            self._has_written.set()

    def _count(self, path: str, what: str, of: Any) -> None:
        counting = self._counted.get(path)
        if counting is None:
            counting = self._counted[path] = Counting()
        if what == "begun":
            counting.begun(of)
        elif what == "submitted":
            counting.submitted(of)
        else:
            is_hit = of.get("facts", {}).get("cache") == "hit"
            has_failed = of.get("error") not in (None, "builtins.KeyboardInterrupt")
            counting.ended(of["task"], has_failed, is_hit, has_begun="begun" in of)

    def _write(self, path: str, batch: list[dict[str, Any]], ended: bool) -> None:
        import sqlite3

        rows = [_row(call) for call in batch]
        connection = self._connection(path)
        with connection:
            # Each statement waits for the thread of a busy program to let go of the interpreter.
            most = (32_766 if sqlite3.sqlite_version_info >= (3, 32) else 999) // len(CALL)
            for begin in range(0, len(rows), most):
                self._insert(connection, rows[begin : begin + most])
            if path in self._counted and self._counted[path].has_changed:
                connection.executemany(
                    "INSERT OR REPLACE INTO progress VALUES (?,?,?,?,?,?,?,?,?,?)",
                    [(get_run_id(), os.getpid(), name, counts.since, *counts.numbers())
                     for name, counts in self._counted[path].rows()],
                )  # fmt: skip
            if not modules.is_far_end:
                now = time.time()
                connection.execute(
                    "UPDATE runs SET seen = ?, ended = ? WHERE run = ? AND pid = ?",
                    (now, now if ended else None, get_run_id(), os.getpid()),
                )
                if ended and _was_interrupted():
                    connection.execute(
                        "INSERT OR IGNORE INTO interrupted VALUES (?)", (get_run_id(),)
                    )

    def _connection(self, path: str) -> Any:
        known, file = self._connections.get(path, (None, 0))
        if known is not None and file == _file_at(path):
            return known
        if known is not None:
            self._warn(f"{path} was removed, with what had been recorded")
            known.close()
        connection = opened(path)
        # In a process of a task the run is that of the caller.
        if not modules.is_far_end:
            row = _run()
            run, now, _, _, _, _, host, pid, _ = row
            with connection:
                # A program may go on with a run that another one has begun, and is over.
                taken = connection.execute(
                    "UPDATE runs SET ended = NULL, seen = ?, host = ?, pid = ? "
                    "WHERE run = ? AND (ended IS NOT NULL OR seen < ?)",
                    (now, host, pid, run, now - SECONDS_UNTIL_LOST),
                )
                if taken.rowcount:
                    connection.execute("DELETE FROM interrupted WHERE run = ?", (run,))
                connection.execute(f"INSERT OR IGNORE INTO runs VALUES ({'?,' * 8}?)", row)
        self._connections[path] = connection, _file_at(path)
        return connection

    def _insert(self, connection: Any, rows: list[tuple[Any, ...]]) -> None:
        import sqlite3

        places = ",".join([f"({','.join('?' * len(CALL))})"] * len(rows))
        values = [value for row in rows for value in row]
        try:
            connection.execute(f"INSERT OR REPLACE INTO calls VALUES {places}", values)
        except UnicodeEncodeError:
            self._insert(connection, [_encodable(row) for row in rows])
        except (OverflowError, sqlite3.InterfaceError) as error:
            if len(rows) == 1:
                return self._warn(f"{rows[0][CALL.index('task')]}: {error}")
            for row in rows:
                self._insert(connection, [row])  # one that cannot be written takes no other along

    def _warn(self, problem: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            logger.warning("Not all calls are recorded: %s", " ".join(problem.split()))

    def close(self) -> None:
        """Writes what is left, and that the run has ended."""
        self._stops = True
        self._wake.set()
        self.flush(ended=True)
        connections, self._connections = self._connections, {}
        for connection, _ in connections.values():
            try:
                connection.close()
            except Exception as error:
                self._warn(str(error))


def _file_at(path: str) -> int:
    return os.stat(path).st_ino if os.path.exists(path) else 0


def _was_interrupted() -> bool:
    # Whoever works in a notebook or at a prompt interrupts calls, and goes on.
    is_over = not hasattr(sys, "ps1")
    return is_over and (
        program.was_interrupted or getattr(sys, "last_type", None) is KeyboardInterrupt
    )


def _run() -> tuple[Any, ...]:
    now = time.time()
    command = " ".join([os.path.basename(sys.argv[0] or "-"), *sys.argv[1:]])[:500]
    return (
        *(get_run_id(), now, None, now, command, os.getcwd()),
        *(socket.gethostname(), os.getpid(), platform.python_version()),
    )


def _row(call: dict[str, Any]) -> tuple[Any, ...]:
    found: dict[str, Any] = dict.fromkeys(CALL)
    facts = dict(call.pop("facts", None) or {})
    error = call.pop("exception", None)
    if error is not None:
        from .. import _tracebacks as tracebacks

        call["traceback"] = tracebacks.formatted(error)[:50_000]
    if facts.get("host") is None:
        facts.update(host=socket.gethostname(), pid=os.getpid(), place=facts.get("place"))
    found.update(call)
    for name, column in _COLUMNS.items():
        value = facts.pop(name, None)
        if isinstance(value, (str, int, float)):
            found[column] = value
    found["run"] = get_run_id()
    found["needs"] = json.dumps(found["needs"]) if found["needs"] else None
    found["facts"] = json.dumps(facts) if facts else None
    for name in ("task_id", "execution_id"):
        found[name] = None if found[name] is None else str(found[name])
    return tuple(map(found.get, CALL))


def _encodable(row: tuple[Any, ...]) -> tuple[Any, ...]:
    # Texts may have what is no character, as names of files do.
    return tuple(
        value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value
        for value in row
    )


_writer = _Writer()


def write(path: str, what: str, of: Any) -> None:
    """Has written to a file that a task was `submitted`, that it has `begun`, or a call `ended`."""
    # What begins in the process of a task is counted by the caller, as a part of the task.
    if what == "ended" or not modules.is_far_end:
        _writer.put(path, what, of)


def flush() -> None:
    if _writer._waiting:
        _writer.flush()


def warn(problem: str) -> None:
    """Says once in a process that calls are not recorded."""
    _writer._warn(problem)


@ending.at_exit
def flush_at_end() -> None:
    """Writes what is left when the program ends."""
    _writer.close()


@in_forked_processes
def _start_anew() -> None:
    global _writer
    # What waits is the parent's, and so are its connections: not even to be closed here.
    _abandoned.append(_writer)
    _writer = _Writer()


_abandoned: list[_Writer] = []
_held: list[threading.Lock] = []


def _hold() -> None:
    # A lock of SQLite's that a thread has while another one forks is never released in the child.
    if _writer._writing.acquire(timeout=0 if _writer._is_stuck else _SECONDS_OF_PATIENCE):
        _held.append(_writer._writing)
    else:
        _writer._is_stuck = True  # until it has written something


def _release() -> None:
    while _held:
        _held.pop().release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_held.clear)
