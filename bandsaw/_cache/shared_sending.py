"""Sends new entries to a shared store: in the background, until the end of the program.

Entries that cannot be sent are tried again, and given up when the program ends and the store is
still away. In a process that was started for a call, which may end at any time, a call waits until
its entry is sent.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import threading
import time
import weakref
from collections import deque
from typing import Any, Callable

from .. import modules
from .._system.processes import in_forked_processes

_THREADS = 4
# Beyond it, the oldest entries that wait are given up.
_MOST_WAITING = 10_000
_MOST_ATTEMPTS = 10
# Between attempts, doubled with each that fails.
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0
# At the end of the program, a store that is slower than that counts as away.
_SECONDS_FOR_ONE = 20.0
_BYTES_A_SECOND = 100_000
# How long a call that would have to wait does not send any more.
_SECONDS_AWAY = 60.0

_all: weakref.WeakSet[StoreSending] = weakref.WeakSet()
_is_registered = False
_is_ending = False


class StoreSending:
    """What waits for a store; `put` sends it, `tell` gets an error and how many it cost."""

    def __init__(
        self, put: Callable[[str, str], None], tell: Callable[[Exception, int], None]
    ) -> None:
        self._put = put
        self._tell = tell
        self.reset()
        _all.add(self)

    def reset(self) -> None:
        """Forgets what waits: in a forked process, the parent sends it."""
        self._changed = threading.Condition()
        self._waiting: deque[tuple[str, str, int]] = deque()
        self._threads = 0
        # The sizes of what is being sent, by thread.
        self._running: dict[int, int] = {}
        self._done = 0
        self._pause = self._away_until = 0.0

    def send(self, path: str, key: str) -> None:
        """Sends a local file, sooner or later."""
        is_last = _is_last()
        if is_last and time.monotonic() < self._away_until:
            return
        with self._changed:
            self._waiting.append((path, key, 0))
            if len(self._waiting) > _MOST_WAITING:
                self._waiting.popleft()
                self._tell(OverflowError("too many entries wait"), 1)
            if self._threads < min(_THREADS, len(self._waiting) + len(self._running)):
                thread = threading.Thread(target=self._run, name="bandsaw-shared", daemon=True)
                try:
                    thread.start()
                except RuntimeError as error:
                    # There are too many, or the interpreter ends.
                    if not self._threads:
                        self._give_up(error)
                        return
                else:
                    self._threads += 1
            self._changed.notify()
        if is_last:
            self.finish()

    def _run(self) -> None:
        me = threading.get_ident()
        while True:
            with self._changed:
                while not self._waiting or (self._pause and not _is_last()):
                    if not self._changed.wait(self._pause or None) and self._pause:
                        break
                if not self._waiting:
                    continue
                path, key, attempts = self._waiting.popleft()
                self._running[me] = _size_of(path)
                done = self._done if _is_last() else -1
            try:
                # It may have been removed to keep the local cache within its bounds.
                if self._running[me] >= 0:
                    self._put(path, key)
            except Exception as error:
                self._failed((path, key, attempts + 1), error, done)
            else:
                with self._changed:
                    self._done += 1
                    self._pause = 0.0
                    del self._running[me]
                    self._changed.notify_all()

    def _failed(self, item: tuple[str, str, int], error: Exception, done: int) -> None:
        with self._changed:
            self._running.pop(threading.get_ident(), None)
            # The store may be back since an attempt began that was not the last one, and it is
            # not away if it took others meanwhile.
            if done == self._done:
                self._waiting.append(item)
                self._give_up(error)
            elif item[2] >= _MOST_ATTEMPTS:
                self._tell(error, 1)
            else:
                self._waiting.append(item)
                self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE)
                self._tell(error, 0)
            self._changed.notify_all()

    def _give_up(self, error: Exception) -> None:
        self._away_until = time.monotonic() + _SECONDS_AWAY
        self._tell(error, len(self._waiting) + len(self._running))
        self._waiting.clear()

    def finish(self) -> None:
        """Waits until all is sent, or the store turns out to be away."""
        with self._changed:
            self._changed.notify_all()
            while self._waiting or self._running:
                before = self._done
                size = max(self._running.values(), default=0)
                end = time.monotonic() + _SECONDS_FOR_ONE + max(size, 0) / _BYTES_A_SECOND
                while (self._waiting or self._running) and self._done == before:
                    if not self._changed.wait(max(end - time.monotonic(), 0)):
                        self._give_up(TimeoutError("it does not answer"))
                        return


def finish_all() -> None:
    """Waits until all entries of this process are sent. Called at the end of the program."""
    global _is_ending
    _is_ending = True
    for sending in list(_all):
        sending.finish()


def _is_last() -> bool:
    """Whether there may be no later time to send what is to be sent."""
    return modules.is_far_end or _is_ending or not _register()


def _register() -> bool:
    """Has `finish_all` called at the end of the program. Returns whether it will be."""
    global _is_registered
    if not _is_registered:
        # Called before executors end, which were loaded first: drivers need them.
        register: Any = getattr(threading, "_register_atexit", atexit.register)
        try:
            register(finish_all)
        except RuntimeError:
            return False
        _is_registered = True
    return True


def _size_of(path: str) -> int:
    with contextlib.suppress(OSError):
        return os.stat(path).st_size
    return -1


@in_forked_processes
def _forget() -> None:
    for sending in list(_all):
        sending.reset()
