"""The processes below an engine's worker that run calls with one archive, and their fork server.

The fork server ends when it had no call for a while, and with the worker, and all that it has
started with it.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
import threading
import time
from typing import Any, Optional

from ..._system.home import HOME_ENV_VARIABLE
from ...errors import BandsawError
from .. import fork_server_start, frames, inheritance
from ..child import Child
from ..near_fork_server import LocalForkServer, ProcessKind
from .engine_claims import new_box, sweep_boxes, unlink

# A name is 32 characters and the end of a line.
_WHOLE_NAMES = 33 * 100
# After so many seconds without a call the fork server is ended.
_IDLE_SECONDS = 60.0
# Somebody else may sweep archives that nobody has used for long.
_TOUCH_SECONDS = 3600.0
# Comes before how what was to start a process has ended, and on further lines what it wrote.
NOT_STARTED = "no process could be started: "
# What happened, as `EngineChild` takes it: a letter of `multiplexer`, and what follows.
Events = list[tuple[bytes, Any]]


class _ArchiveCode:
    """An archive as `near_fork_server.Code`. `beside`: where its modules lie, if they are here."""

    name = byte_code = ""

    def __init__(self, folder: str, beside: Any) -> None:
        self.program, self._beside = folder, beside

    def news(self, known: int) -> tuple[int, dict[str, Any]]:
        return 0, {"beside": self._beside} if self._beside else {}

    def text(self, path: str) -> Optional[bytes]:
        return None


class _Written:
    """Notes what a process writes. See `Output`."""

    kept = b""

    def __init__(self, process: Process, letter: bytes) -> None:
        self._process, self._letter = process, letter

    def take(self, data: bytes) -> None:
        self._process.events.append((self._letter, data))


class Process:
    """A process that runs calls, one after another."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.calls = 0
        # What was heard of it since the last call.
        self.events: Events = []
        child._out = _Written(self, b"O")  # type: ignore[assignment]
        child._errors = _Written(self, b"R")  # type: ignore[assignment]
        # What it was told last, and the kinds of calls that it has in mind.
        self.state = b""
        self.shapes: set[str] = set()
        # Whether it was to be ended with a call, which it may have answered just before.
        self.is_ending = False
        self.has_asked = False  # whether it has asked for code, which is sent to it, too

    def waits(self) -> bool:
        """Whether it waits for the next call."""
        said, waits = self.child.said()
        self.events += [(b"M", bytes([frame.kind]) + frame.body) for frame in said]
        return waits


class Processes:
    """Those for calls of a kind. `place`, `request`: see `engine_worker.run`."""

    def __init__(self, place: Any, request: Any) -> None:
        self._folder, root, directory = place
        sweep_boxes(root)
        self.box, self._ended = new_box(root)
        self._box = os.path.join(root, "call-" + self.box)
        self._root, self._directory = root, directory
        self.lock = threading.Lock()
        # The calls that run, by name, and who follows each.
        self.calls: dict[str, Any] = {}
        self._calls = 1  # the one that they are made for
        self._used_at = self._touched_at = time.monotonic()
        self.is_closed = False
        self._request = request
        self._start_lock = threading.Lock()
        self._fork_server: Optional[LocalForkServer] = None
        self._idle: list[Process] = []
        try:
            threading.Thread(target=self._look, daemon=True, name="bandsaw-processes").start()
        except BaseException:
            self.let_go()
            unlink(self._box)
            raise

    def take(self) -> bool:
        """Notes that a call begins; returns whether that is not too late."""
        with self.lock:
            self._calls += not self.is_closed
            return not self.is_closed

    def release(self) -> None:
        with self.lock:
            self._calls -= 1
            self._used_at = time.monotonic()

    def kill(self, name: str) -> None:
        """Ends a call, if it runs here."""
        following = self.calls.get(name)
        if following is not None:
            following.kill(name)

    def start(self) -> Optional[tuple[Events, str]]:
        """Has a fork server run; returns what happened, and how it ended, where none does."""
        with self._start_lock:
            fork_server = self._fork_server
            if fork_server is not None and not fork_server.has_ended():
                return None
            if fork_server is not None:
                fork_server.close()
                self._fork_server = None
            request = self._request
            environment = {**os.environ, **request["environment"]}
            # What a task needs besides the archive, such as environments, is kept there, too.
            environment.setdefault(HOME_ENV_VARIABLE, self._root)
            at_start = inheritance.at_start(environment)
            kind = ProcessKind(sys.executable, self._folder, tuple(request["preload"]), at_start)
            inherited = inheritance.Inherited(environment, at_start, None)
            more = {
                "run_id": request["run_id"],
                "leaving": (self._root, self._directory, self._box),
            }
            try:
                code = _ArchiveCode(self._folder, request["beside"])
                began = fork_server_start.begin(kind, inherited, code, **more)
            except (BandsawError, OSError) as error:
                return [], f"{NOT_STARTED}{error}"
            if isinstance(began, fork_server_start.NotStarted):
                return [], f"{NOT_STARTED}{began.returncode}\n{began.written}"
            if began.frame.kind != frames.HELLO:
                began.end()
                return [(b"H", bytes([began.frame.kind]) + began.frame.body)], ""
            self._fork_server = began.fork_server(frames.from_json(began.frame), {})
            return None

    def started(self) -> Process:
        """Has a process started. Raises a `BrokenPipeError` if the fork server has ended."""
        fork_server = self._fork_server
        if fork_server is None:
            raise BrokenPipeError
        try:
            return Process(fork_server.take())
        except BrokenPipeError:
            fork_server.close()
            raise

    def taken(self, kept: Optional[int]) -> Process:
        """Takes a process that waits, or a new one. `kept`: how many may be, `None` for none."""
        while kept is not None:
            try:
                process = self._idle.pop()
            except IndexError:
                break
            if process.waits():
                return process
            process.child.end()
        return self.started()

    def prepare_next(self) -> None:
        """Starts a process for a call of its own that may come."""
        if self._fork_server is not None:
            self._fork_server.prepare_next()

    def give(self, process: Process, kept: Optional[int]) -> None:
        """Takes a process back, to be used again if no more than `kept` are."""
        if kept is not None and len(self._idle) < kept:
            self._idle.append(process)
        else:
            process.child.end()

    def _look(self) -> None:
        """Ends calls of which somebody else says so, and all when there were none for a while."""
        waiting = select.poll()
        waiting.register(self._ended, select.POLLIN)
        while True:
            if waiting.poll(_IDLE_SECONDS / 4 * 1000):
                for name in os.read(self._ended, _WHOLE_NAMES).decode("ascii").split():
                    self.kill(name)
            now = time.monotonic()
            with self.lock:
                is_idle = not self._calls and now - self._used_at >= _IDLE_SECONDS
                self.is_closed = self.is_closed or is_idle
            if self.is_closed:
                self.close()
                os.close(self._ended)
                return
            if now - self._touched_at >= _TOUCH_SECONDS:
                self._touched_at = now
                for folder in (self._folder, self._root):
                    with contextlib.suppress(OSError):
                        os.utime(folder)

    def close(self) -> None:
        """Ends the fork server, and all that runs here."""
        self.is_closed = True
        while self._idle:
            self._idle.pop().child.end()
        if self._fork_server is not None:
            self._fork_server.close()
        unlink(self._box)

    def let_go(self) -> None:
        """Closes what is the parent's, in a process that was forked."""
        if not self.is_closed:
            os.close(self._ended)
        if self._fork_server is not None:
            self._fork_server.let_go()
