"""The near side of one fork server: has it start processes.

take() of it ── F or S, and the far ends of a process' channel, status and output ──► Child
"""

from __future__ import annotations

import abc
import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple, Optional, Protocol

from .._system import processes
from .._system.interrupts import Deferred
from .child import Child, LocalChild
from .ends import ask_for_process, number_of

_SECONDS_TO_END = 5.0


class Code(Protocol):
    """The code that a process runs. See `_archive.checkout`."""

    @property
    def program(self) -> str:
        """What Python is to run."""

    @property
    def name(self) -> str:
        """The name of the state that it is in."""

    @property
    def byte_code(self) -> str:
        """Where byte code is kept that cannot lie beside its source, or an empty text."""

    def news(self, known: int) -> tuple[int, dict[str, Any]]:
        """Returns what a process does not know yet, and the number for what it knows then."""

    def text(self, path: str) -> Optional[bytes]:
        """Returns the text that a file had when an id was made of it."""


# Refuses what the other side says of itself.
Check = Callable[[Mapping[str, Any]], None]


class ProcessKind(NamedTuple):
    """What a fork server is for. Calls of the same kind share one."""

    executable: str  # the Python
    code: str  # the name of the state of the code that it runs: for an archive, its folder
    preload: tuple[str, ...]  # the modules that are imported before processes are forked
    # The environment variables that cannot be changed later, with their values.
    at_start: tuple[tuple[str, str], ...]


class AnyForkServer(abc.ABC):
    """A fork server here or on another machine, with processes that wait for a call."""

    hello: Mapping[str, Any]  # what it said about itself

    def __init__(self, kind: ProcessKind) -> None:
        self.kind = kind
        self.last_used = time.monotonic()  # when a process was last taken
        # The last owner of a process may be lost while this thread has the lock.
        self._lock = threading.RLock()
        self._children = 0
        self._next: list[Child] = []
        self._is_replaced = False
        self._is_gone = False

    @abc.abstractmethod
    def _start(self, fork: bool) -> Child:
        """Has a process started; whether it could be started is known later."""

    @abc.abstractmethod
    def is_stale(self) -> bool:
        """Looks whether another one is to be started in its place."""

    @abc.abstractmethod
    def close(self) -> None:
        """Ends the fork server and all that runs in it."""

    @property
    def has_threads(self) -> bool:
        """Whether something that was preloaded has started threads: it must not be forked."""
        return bool(self.hello["threads"] > 1)

    def take(self, fork: bool = True) -> Child:
        """Takes a process that waits, or has one started: forked if it may be, and can be."""
        self.last_used = time.monotonic()
        while self._next and not self._is_gone:
            try:
                child = self._next.pop()
            except IndexError:
                break
            if child.seems_alive():
                return child
            child.end()
        return self._start(fork and not self.has_threads)

    def prepare_next(self, fork: bool = True) -> None:
        """Has a process started for the call after this one, so that it need not wait for that."""
        if not self._next and not self._is_replaced:
            with contextlib.suppress(OSError):
                self._next.append(self._start(fork and not self.has_threads))
            # Another thread may have closed or replaced it meanwhile.
            while self._next and (self._is_gone or self._is_replaced):
                self._drop_next()

    def _drop_next(self) -> None:
        try:
            child = self._next.pop()
        except IndexError:
            return  # another thread was faster
        if self._is_gone:
            child.close()
        else:
            child.end()

    def _one_less(self, was_lost: bool) -> None:
        with self._lock:
            self._is_gone = self._is_gone or was_lost
            self._children -= 1
            is_needed = self._children or not self._is_replaced
        if not is_needed:
            self.close()

    def replace(self) -> None:
        """Ends the fork server as soon as nothing runs in it."""
        with self._lock:
            self._is_replaced = True
        while self._next:
            self._drop_next()
        with self._lock:
            is_needed = self._children
        if not is_needed:
            self.close()


class LocalForkServer(AnyForkServer):
    """A fork server that runs here; its `process` is `None` if it is the one that made us."""

    def __init__(
        self,
        kind: ProcessKind,
        control: socket.socket,
        process: Optional[subprocess.Popen[bytes]],
        hello: Mapping[str, Any],
        told: Mapping[str, Any],
    ) -> None:
        super().__init__(kind)
        self.hello = hello
        self._control, self._socket = control, number_of(control)
        self._process = process
        self._told = told

    def is_reachable(self) -> bool:
        """Whether the socket that leads to it is there: a task may close all descriptors."""
        return number_of(self._control) == self._socket

    def has_ended(self) -> bool:
        return self._is_gone or (self._process is not None and self._process.poll() is not None)

    def is_stale(self) -> bool:
        for path, modified, size in self.hello["files"]:
            try:
                status = os.stat(path)
            except OSError:
                return True
            if (status.st_mtime_ns, status.st_size) != (modified, size):
                return True
        return False

    def _start(self, fork: bool) -> Child:
        if self._is_gone or not self.is_reachable():
            while self._next:
                self._next.pop().close()
            # What is sent while it, and all that it has started, is about to end would be lost.
            raise BrokenPipeError("the process that starts others has ended")
        told = self._told
        if not fork:
            # It has loaded nothing yet.
            told = {"environment": told["environment"]} if "environment" in told else {}
        with Deferred():
            ends = ask_for_process(self._control, b"F" if fork else b"S")
            try:
                child = LocalChild(ends, self.kind, self._one_less, told)
            except BaseException:
                ends.close()
                raise
            with self._lock:
                self._children += 1
        return child

    def close(self) -> None:
        self._is_gone = True
        self._close_control()
        if self._process is not None:
            if not processes.ends_within(self._process, _SECONDS_TO_END):
                self._process.kill()
                self._process.wait()
        while self._next:
            self._drop_next()

    def let_go(self) -> None:
        """Closes what is the parent's, in a process that was forked."""
        self._close_control()
        if self._process is not None:
            self._process.returncode = 0  # it is no child of this process

    def _close_control(self) -> None:
        if self.is_reachable():
            self._control.close()
        else:
            self._control.detach()  # its number may be that of another file
