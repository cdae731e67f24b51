"""Processes for tasks on another machine: as on this one, with a connection in between."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

from ..._file import FileCarrier
from ..._files import carrying
from ..._system.output import Output
from ...distribution import DistributionArchive
from ...errors import WorkerError
from ...run import get_run_id
from ...session import Session
from .. import frames, inheritance
from ..carrier import Carrier
from ..child import Child
from ..deaths import not_started
from ..fork_server_start import checked_hello
from ..frames import EVENT, SESSION, Frame, Message
from ..near_fork_server import AnyForkServer, Check, ProcessKind
from . import multiplexer, ssh_sending
from .multiplexer import Stream
from .ssh_connection import Connection, connection_to
from .ssh_start import Target


class RemoteChild(Child):
    _sent = 0  # how many messages it was sent

    def __init__(self, connection: Connection, kind: Any, closed: Callable[[bool], None]) -> None:
        super().__init__(kind, connection.target.host, closed, {})
        self._connection = connection
        self.stream = Stream(connection)

    def send(self, *messages: Message, deadline: Optional[float] = None) -> None:
        """Sends messages, large bodies in pieces: a connection limits what is not taken."""
        for kind, body, _ in messages:
            self._sent += 1
            size = sum(map(len, body))
            if size <= frames.LARGEST_BODY or kind != SESSION:
                self.stream.send(b"M", bytes([kind]), *body)
                continue
            head, *pieces = body
            self.stream.send(b"N", (size - len(head)).to_bytes(8, "big"))
            for piece in _pieces(pieces):
                self.stream.send(b"B", piece)
            self.stream.send(b"A", bytes([kind]), head)

    def _take_event(self, data: bytes) -> None:
        if data[:1] == b"C":
            self.has_read = self.has_read and EVENT.unpack(data)[1] >= self._sent
        else:
            super()._take_event(data)

    def cancel(self) -> None:
        self.is_cancelled = True
        with contextlib.suppress(OSError):
            self.stream.send(b"K")

    def _step(self, seconds: Optional[float]) -> bool:
        if not self.stream.inbox and not self.stream.wait(seconds):
            if self._connection.is_lost and not self.is_over:
                self.is_over = self._is_lost = True
                self.loss = self._connection.loss
            return False
        self.drain()
        return True

    def drain(self) -> None:
        """Passes on what has come by now. The other end sends output before what follows it."""
        inbox = self.stream.inbox
        while inbox:
            letter, body, data = inbox.popleft()
            if letter == b"M" and not body:
                self._channel_is_closed()
            elif letter in (b"M", b"A"):
                self._frames.append(Frame(body[0], body[1:], None, data))
            elif letter == b"E":
                self._fail(body.decode("utf-8", "replace"))
            else:
                self._take_told(letter, body)

    def seems_alive(self) -> bool:
        return self._connection.is_alive() and super().seems_alive()

    def _fail(self, reason: str) -> None:
        def error(what: str) -> WorkerError:
            return WorkerError(f"{what} on {self.host}: {reason}.")

        self.loss = error
        # What was wrong may be wrong with all that its fork server starts.
        self.is_over = self._is_lost = True
        self.cancel()

    def _let_go(self) -> None:
        with contextlib.suppress(OSError):
            self.stream.send(b"Q")
        self.stream.release()


def _pieces(pieces: Sequence[Any]) -> Any:
    """Cuts pieces that are too large, and joins those that are small."""
    waiting: list[Any] = []
    size = 0
    for piece in pieces:
        view = memoryview(piece).cast("B") if len(piece) else memoryview(b"")
        while view:
            part, view = view[: multiplexer.PIECE - size], view[multiplexer.PIECE - size :]
            waiting.append(part)
            size += len(part)
            if size == multiplexer.PIECE:
                yield b"".join(waiting) if len(waiting) > 1 else part
                waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


class RemoteForkServer(AnyForkServer):
    """A fork server on another machine.

    `environment`: the variables to lay over those that it finds there when it is started.
    `requirements`: the environment to start it in, as plain data, `None` for the Python that
    answers there.
    """

    def __init__(
        self,
        connection: Connection,
        kind: ProcessKind,
        environment: Mapping[str, str],
        requirements: Optional[Mapping[str, Any]],
    ) -> None:
        super().__init__(kind)
        self._connection = connection
        self._stream = Stream(connection)
        request = {
            "digest": kind.code,
            "preload": kind.preload,
            "environment": dict(environment),
            "requirements": requirements,
            "run_id": get_run_id(),
        }
        try:
            self._stream.send(b"T", json.dumps(request).encode("ascii"))
            self.hello = self._hello()
        except BaseException as error:
            self.close()
            if isinstance(error, BrokenPipeError):
                raise connection.loss("A process for tasks was lost") from error
            raise

    def _hello(self) -> Mapping[str, Any]:
        host = self._connection.target.host
        written = Output("stderr")
        while True:
            if not self._stream.wait():
                raise self._connection.loss("A process for tasks was lost")
            letter, body, _ = self._stream.inbox.popleft()
            if letter == b"L":
                written.take(body)
            elif letter == b"H":
                frame = Frame(body[0], body[1:])
                return checked_hello(frame, self.kind, f"{self.kind.executable} on {host}")
            else:
                raise not_started(host, body.decode("utf-8", "replace"), written.kept)

    def is_stale(self) -> bool:
        return self._is_gone or any(letter == b"E" for letter, *_ in tuple(self._stream.inbox))

    def replace(self) -> None:
        if self.is_stale():
            self._is_gone = True
            # Perhaps because somebody has removed its archive.
            self._connection.digests.discard(self.kind.code)
        super().replace()

    def _start(self, fork: bool) -> RemoteChild:
        child = RemoteChild(self._connection, self.kind, self._one_less)
        with self._lock:
            self._children += 1
        with contextlib.suppress(OSError):
            child.stream.send(
                b"P", multiplexer.START.pack(self._stream.number, b"F" if fork else b"S")
            )
        return child

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.send(b"Q")
        self._stream.release()


def _connection_of(child: Child) -> Connection:
    assert isinstance(child, RemoteChild)
    return child._connection


class SshCarrier(Carrier):
    """Another machine.

    `requirements`: the environment to run it in, which is made there, as plain data; `None` if the
    interpreter is there already.
    """

    def __init__(
        self,
        target: Target,
        archive: DistributionArchive,
        variables: Mapping[str, str],
        preload: tuple[str, ...],
        interpreter: str,
        requirements: Optional[Mapping[str, Any]],
    ) -> None:
        self._target = target
        self._archive = archive
        self._requirements = requirements
        self._overlay = dict(variables)
        key = interpreter
        if requirements is not None:
            # What is not to be read in errors, such as passwords in addresses, counts as well.
            key += f" {hash(json.dumps(requirements, sort_keys=True)):x}"
        self.kind = ProcessKind(key, archive.digest, preload, inheritance.at_start(self._overlay))
        self.name = f"host {target.host}, interpreter {interpreter}"
        self._fork_server: Optional[RemoteForkServer] = None

    def start(self, check: Check) -> Child:
        connection = connection_to(self._target, self._archive)

        def start() -> RemoteForkServer:
            ssh_sending.put_archive(connection, self._archive)
            environment = dict(self.kind.at_start)
            return RemoteForkServer(connection, self.kind, environment, self._requirements)

        fork_server: RemoteForkServer = connection.fork_servers.of(self.kind, start)
        self._fork_server = fork_server
        check(fork_server.hello)
        return fork_server.take()

    def prepare_next(self) -> None:
        if self._fork_server is not None:
            self._fork_server.prepare_next()

    def inherited(self) -> dict[str, Any]:
        return {"overlay": self._overlay}

    def inherited_once(self) -> dict[str, Any]:
        return {"bulk_directory": self._target.directory, "is_fetched": True}

    def file_carrier(self, session: Session) -> FileCarrier:
        return carrying.Sending(session, is_late=True)

    def deliver(self, file_carrier: FileCarrier, child: Child) -> dict[str, Any]:
        assert isinstance(file_carrier, carrying.Sending)
        files = list(file_carrier.files.values())
        folder = ssh_sending.put_files(_connection_of(child), files)
        keys = {file.called: file.key for file in files if file.called != file.key}
        news: dict[str, Any] = {"files_keys": keys} if keys else {}
        if child.told.get("files_folder") != folder:
            child.told["files_folder"] = news["files_folder"] = folder
        return news

    def arrived(self, session: Session, child: Child) -> FileCarrier:
        def get(path: str, target: str) -> None:
            ssh_sending.get_file(_connection_of(child), path, target)

        return carrying.Arrived(session, get)
