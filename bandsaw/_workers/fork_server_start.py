"""How a fork server is started: its own words come first.

begin(...) ── PYTHON -u PROGRAM --fork-server ... ─► HELLO or FAILURE ─► LocalForkServer
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple, Union

from .. import __version__
from .._session.members import failure_of
from .._system import processes
from .._system.interrupts import Deferred
from .._system.output import Tail, said
from ..errors import BandsawError, WorkerStartError
from ..run import get_run_id
from . import frames, inheritance
from .ends import channel_pair
from .frames import Channel
from .near_fork_server import Code, LocalForkServer, ProcessKind

# One that has closed its channel before it was ready is about to end, and how it does is told.
_SECONDS_TO_SAY_WHY = 30.0
# Ctrl-C is for us to handle. In the session of its caller it is, because Linux counts processes of
# a session as one when a processor is free: where others want it, an answer comes in a third of
# the time.
_OWN_GROUP: dict[str, Any] = (
    {"process_group": 0} if sys.version_info >= (3, 11) else {"start_new_session": True}
)
_OLDEST = (3, 9)


class NotStarted(NamedTuple):
    """A fork server that has ended before it said anything."""

    returncode: int
    written: str  # what it wrote to standard error at last


class Began(NamedTuple):
    """A fork server that has said something."""

    kind: ProcessKind
    near: socket.socket
    process: subprocess.Popen[bytes]
    frame: frames.Frame  # a HELLO or a FAILURE
    code_number: int  # for what it knows of the code

    def fork_server(self, hello: Mapping[str, Any], told: Mapping[str, Any]) -> LocalForkServer:
        return LocalForkServer(self.kind, self.near, self.process, hello, told)

    def end(self) -> None:
        self.near.close()
        self.process.kill()
        self.process.wait()


def started(kind: ProcessKind, inherited: inheritance.Inherited, code: Code) -> LocalForkServer:
    began = begin(kind, inherited, code, run_id=get_run_id())
    if isinstance(began, NotStarted):
        ending = processes.describe_exit(began.returncode)
        raise WorkerStartError(
            f"A process for tasks could not be started: the interpreter {kind.executable!r} ended "
            f"with {ending}; this is Python {sys.version.split()[0]}.{said(began.written)}"
        )
    try:
        hello = checked_hello(began.frame, kind, kind.executable)
    except BaseException:
        began.end()
        raise
    told = {
        "environment": inherited.environment,
        "path": inherited.path,
        "code": began.code_number,
    }
    return began.fork_server(hello, told)


def begin(
    kind: ProcessKind, inherited: inheritance.Inherited, code: Code, **more: Any
) -> Union[Began, NotStarted]:
    """Starts a fork server, and waits for its first word. `more`: of its settings."""
    settings = {
        "parent": os.getpid(),
        # Everybody may read a command line, so no variable is on it: they are the first message.
        "kind": kind[:3],
        "path": inherited.path,
        **more,
    }
    python = [kind.executable, *processes.flags(), "-u"]
    command = [*python, code.program, "--fork-server", json.dumps(settings), code.byte_code]
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
    except EOFError:
        near.close()
        if not processes.ends_within(process, _SECONDS_TO_SAY_WHY):
            processes.kill_group(process.pid)
            process.wait()
        return NotStarted(process.returncode, errors.finish())
    except BaseException:
        if opened:
            opened[0].close()
            opened[1].kill()
            opened[1].wait()
        raise
    return Began(kind, near, process, frame, number)


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
