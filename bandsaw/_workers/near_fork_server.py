"""The near side of one fork server: starts it, and has it start processes.

started(...) ── PYTHON -u PROGRAM --fork-server ... ─► HELLO
take() of it ── F or S, and the far ends of a process' channel, status and output ──► Child
"""

from __future__ import annotations

import abc
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple, Optional, Protocol

from .. import __version__
from .._session.members import failure_of
from .._system import processes
from .._system.interrupts import Deferred
from .._system.output import Tail, said
from ..errors import BandsawError, WorkerStartError
from ..run import get_run_id
from . import frames, inheritance
from .child import Child, LocalChild
from .ends import ask_for_process, channel_pair, number_of
from .frames import Channel

_SECONDS_TO_END = 5.0
# One that has closed its channel before it was ready is about to end, and how it does is told.
_SECONDS_TO_SAY_WHY = 30.0
# Ctrl-C is for us to handle. In the session of its caller it is, because Linux counts processes of
# a session as one when a processor is free: where others want it, an answer comes in a third of
# the time.
_OWN_GROUP: dict[str, Any] = (
    {"process_group": 0} if sys.version_info >= (3, 11) else {"start_new_session": True}
)
_OLDEST = (3, 9)


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


def started(kind: ProcessKind, inherited: inheritance.Inherited, code: Code) -> LocalForkServer:
    settings = {
        "parent": os.getpid(),
        # Everybody may read a command line, so no variable is on it: they are the first message.
        "kind": kind[:3],
        "path": inherited.path,
        "run_id": get_run_id(),
    }
    settings_text = json.dumps(settings)
    python = [kind.executable, *processes.flags(), "-u"]
    command = [*python, code.program, "--fork-server", settings_text, code.byte_code]
    opened: list[Any] = []
    try:
        with Deferred():
            opened += _opened(command, inherited.environment)
        near, process, errors = opened
        channel = Channel(near)
        number, content = code.news(0)
        with contextlib.suppress(OSError):
            channel.send_json(frames.STATE, {"at_start": kind.at_start, "code": content})
        frame = channel.receive(frames.STALLED_SECONDS)
        while frame.kind == frames.CODE:
            channel.send(frames.text_of_code(code.text(frame.body.decode())))
            frame = channel.receive(frames.STALLED_SECONDS)
        hello = checked_hello(frame, kind, kind.executable)
    except EOFError as error:
        near.close()
        if not processes.ends_within(process, _SECONDS_TO_SAY_WHY):
            processes.kill_group(process.pid)
            process.wait()
        ending = processes.describe_exit(process.returncode)
        raise WorkerStartError(
            f"A process for tasks could not be started: the interpreter {kind.executable!r} ended "
            f"with {ending}; this is Python {sys.version.split()[0]}.{said(errors.finish())}"
        ) from error
    except BaseException:
        if opened:
            opened[0].close()
            opened[1].kill()
            opened[1].wait()
        raise
    told = {"environment": inherited.environment, "path": inherited.path, "code": number}
    return LocalForkServer(kind, near, process, hello, told)


def _opened(
    command: list[str], environment: Mapping[str, str]
) -> tuple[socket.socket, subprocess.Popen[bytes], Tail]:
    near, far = channel_pair()
    with far:
        try:
            process = subprocess.Popen(
                command,
                env=environment,
                # What a launcher in between lets through, whatever else it closes.
                stdin=far.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                **_OWN_GROUP,
            )
        except OSError as error:
            near.close()
            raise WorkerStartError(
                f"A process for tasks could not be started with the interpreter "
                f"{command[0]!r}: {processes.why_not_started(command[0], error)}"
            ) from error
    assert process.stderr is not None
    return near, process, Tail(process.stderr, "stderr")


def checked_hello(frame: frames.Frame, kind: ProcessKind, where: str) -> Mapping[str, Any]:
    if frame.kind == frames.FAILURE:
        error = failure_of(frame.body)
        if isinstance(error, BandsawError):
            raise error
        raise WorkerStartError(f"A process for tasks could not be started: {error}") from error
    hello = frames.from_json(frame)
    version = tuple(hello["python"])
    missing = [name for name in kind.preload if name in hello["missing"]]
    problem = None
    if version < _OLDEST:
        problem = "bandsaw needs Python 3.9 or newer"
    elif hello["format"] != frames.FORMAT or hello["bandsaw"] != __version__:
        problem = f"it has bandsaw {hello['bandsaw']}, and this process {__version__}"
    elif missing:
        problem = (
            f"preload asks for {', '.join(map(repr, missing))}, which is not installed there and "
            "not in the archive"
        )
    if problem is not None:
        raise WorkerStartError(
            f"A process for tasks could not be started: {where} is Python "
            f"{'.'.join(map(str, version))}, this is Python {sys.version.split()[0]}, and "
            f"{problem}."
        )
    return hello
