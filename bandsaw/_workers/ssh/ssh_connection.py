"""The near end of a connection to another machine, which all threads share.

    Connection ── Login ──► hub ── processes
        └── RemoteChild, RemoteChild, RemoteForkServer ...: its streams

There is no thread that reads. Of the threads that wait for something, one reads for all of them,
and hands that on to another one when it has what it waits for.
"""

from __future__ import annotations

import contextlib
import os
import select
import threading
import time
from typing import Any, Optional

from ..._system import ending
from ..._system.output import last_words
from ..._system.processes import in_forked_processes
from ...distribution import DistributionArchive
from ...errors import BandsawError, RemoteConnectionError
from ..fork_servers import ForkServers
from ..frames import is_ready
from .multiplexer import HEAD, PIECE, Stream
from .ssh_start import READ, SILENT_SECONDS, Login, Target

# How long to wait for a thread that writes, when a connection is closed.
_SECONDS_TO_WRITE = 10.0
_MOST_LATE_READS = 64
assert PIECE <= READ


class Connection:
    def __init__(self, target: Target, archive: DistributionArchive) -> None:
        self.target = target
        self.fork_servers: ForkServers[Any] = ForkServers()  # those that were started over it
        self.digests = {archive.digest}  # the digests of the archives that are there
        self._locks: dict[str, threading.Lock] = {}
        self._streams: dict[int, Stream] = {}
        self._number = 0
        # Where the rest of a piece of a file goes, which is read straight into its place.
        self._rest: Optional[memoryview] = None
        # How much is to come of a piece of contents, and the stream that it is for.
        self._left = self._left_of = 0
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._reader: Optional[Stream] = None
        self._waiting: dict[Stream, threading.Event] = {}
        self._reason: Optional[str] = None
        self._is_closed = False
        self._closing = 0  # how many threads wait for the end of the other side
        self._login = Login(target)
        self._out, self._data = self._login.out, self._login.data
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._heard_at = time.monotonic()
        _open.add(self)
        try:
            self.tag = self._login.greet({"digest": archive.digest}, archive)["tag"]
        except BaseException:
            self.close(now=True)
            raise

    def lock_for(self, contents: str) -> threading.Lock:
        """Returns the lock that is held while some contents are sent."""
        with self._read_lock:
            return self._locks.setdefault(contents, threading.Lock())

    # Messages

    def send(self, letter: bytes, stream: int, *pieces: Any) -> None:
        """Sends a message. Threads may do so at the same time."""
        size = sum(map(len, pieces))
        with self._write_lock:
            if self._reason is not None:
                raise BrokenPipeError(self._reason)
            try:
                self._login.write(HEAD.pack(letter, stream, size), *pieces)
            except OSError as error:
                self._lose(f"nothing can be sent any more ({error})")
                raise BrokenPipeError(self._reason) from error
            except BaseException:
                # Half a message may be on its way.
                self._lose("it was interrupted in the middle of a message")
                raise

    def _add(self, stream: Stream) -> int:
        with self._read_lock:
            self._number += 1
            self._streams[self._number] = stream
            return self._number

    def _release(self, stream: Stream) -> None:
        # If it was interrupted, it may still count as waiting.
        self._stop_waiting(stream)
        with self._read_lock:
            self._streams.pop(stream.number, None)

    def _wait(self, stream: Stream, seconds: Optional[float]) -> None:
        deadline = None if seconds is None else time.monotonic() + seconds
        while not stream.inbox:
            wakeup: Optional[threading.Event] = None
            with self._read_lock:
                if self._reader is None or self._reader is stream:
                    self._reader = stream
                else:
                    wakeup = stream._wakeup = threading.Event()
                    self._waiting[stream] = wakeup
            if stream.inbox or self._reason is not None:
                # The answer arrived before we registered as waiting.
                self._stop_waiting(stream)
                break
            if wakeup is None:
                try:
                    self._read_for(stream, deadline)
                finally:
                    self._stop_waiting(stream)
                break
            left = None if deadline is None else deadline - time.monotonic()
            if not wakeup.wait(left) or stream.inbox:
                self._stop_waiting(stream)
                break

    def _stop_waiting(self, stream: Stream) -> None:
        with self._read_lock:
            stream._wakeup = None
            wakeup = self._waiting.pop(stream, None)
            was_told_to_read = wakeup is not None and wakeup.is_set() and self._reader is None
            if self._reader is stream:
                self._reader = None
                was_told_to_read = True
            if was_told_to_read:
                # Another one that waits reads from now on. Where it is lost, all of them see that.
                for other in self._waiting.values():
                    other.set()
                    if self._reason is None:
                        break
        if self._is_closed:
            self._close_out()

    def _read_for(self, stream: Stream, deadline: Optional[float]) -> None:
        """Reads until something has come for a stream, the time is up or the connection is lost."""
        self._heard_at = time.monotonic()
        late = 0
        while not stream.inbox and self._reason is None and late < _MOST_LATE_READS:
            now = time.monotonic()
            left = self._heard_at + SILENT_SECONDS - now
            if deadline is not None:
                left = min(left, deadline - now)
            # This is where an interrupt comes as a rule, and it does no harm here.
            if not self._poll.poll(max(0.0, left * 1000)):
                now = time.monotonic()
                if deadline is not None and now >= deadline:
                    return
                # This process may have been stopped itself, and something come meanwhile.
                if now >= self._heard_at + SILENT_SECONDS and not self._poll.poll(1000):
                    self._lose(f"it gave no sign of life for {SILENT_SECONDS:g} s")
                    return
                continue
            try:
                self._read()
            except BaseException:
                self._lose("it was interrupted in the middle of a message")
                raise
            # What has arrived already is read also when the time is up, the end above all.
            late += deadline is not None and time.monotonic() >= deadline

    def _read(self) -> None:
        try:
            if self._rest is not None:
                count = os.readv(self._out, [self._rest])
                self._rest = self._rest[count:] if count < len(self._rest) else None
                if not count:
                    self._lose("")
                self._heard_at = time.monotonic()
                return
            data = os.read(self._out, min(self._left, READ) or READ)
        except OSError as error:
            self._lose(str(error))
            return
        if not data:
            self._lose("")
            return
        self._heard_at = time.monotonic()
        if self._left:
            self._left -= len(data)
            self._give(self._left_of, b"W", data)
            return
        self._data += data
        while len(self._data) >= HEAD.size:
            letter, number, size = HEAD.unpack_from(self._data)
            end = HEAD.size + size
            stream = self._streams.get(number)
            if letter == b"B" and stream is not None and stream._file is not None:
                place = stream._file[stream._filled : stream._filled + size]
                stream._filled += size
                here = min(len(self._data), end)
                place[: here - HEAD.size] = memoryview(self._data)[HEAD.size : here]
                del self._data[:here]
                if here < end:
                    self._rest = place[here - HEAD.size :]
                    return
                continue
            lacking = end - len(self._data)
            if lacking > 0:
                if letter != b"W":
                    return
                # Contents need not be put together.
                self._left, self._left_of = lacking, number
            if letter not in b"MNBADHLSORGEFW":
                self._lose(f"something that is no message came: {bytes(self._data[:40])!r}")
                return
            body = bytes(memoryview(self._data)[HEAD.size : end])
            del self._data[:end]
            self._give(number, letter, body)

    def _give(self, number: int, letter: bytes, body: bytes) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            stream._take(letter, body)

    # The end

    @property
    def is_lost(self) -> bool:
        return self._reason is not None

    def is_alive(self) -> bool:
        """Looks whether anything says that it is lost."""
        has_reader = self._reader is not None  # who will find it out
        if not (self.is_lost or has_reader) and is_ready(self._out, select.POLLIN, 0.0):
            stream = Stream(self)
            try:
                stream.wait(0)
            finally:
                stream.release()
        return self._reason is None

    def loss(self, what: str) -> BandsawError:
        """Makes the error of something that was lost with the connection."""
        status, words = self._login.ended()
        return RemoteConnectionError(
            f"{what} with the connection to {self.target.host}: {self._reason}; "
            f"{self._login.ending(status)}." + last_words(words),
            status or 1,
            list(self.target.command),
            None,
            words,
        )

    def _lose(self, how: str) -> None:
        # First of all, so that nobody makes use of it whatever comes now.
        self._reason = self._reason or how or "it was closed at the other end"
        if how:
            self._login.terminate()
        with contextlib.suppress(RuntimeError):
            for wakeup in list(self._waiting.values()):
                wakeup.set()

    def begin_close(self, now: bool = False) -> None:
        """Has the other end end all that runs there, and itself."""
        _open.discard(self)
        self._reason = self._reason or "it was closed"
        for fork_server in list(self.fork_servers.values()):
            fork_server.replace()
        if now:
            self._login.kill()
        # Whoever writes has noticed the end by then, or is stopped by it.
        if not self._write_lock.acquire(timeout=_SECONDS_TO_WRITE):
            self._login.kill()
            self._write_lock.acquire()
        try:
            self._login.close_in()
        finally:
            self._write_lock.release()

    def close(self, now: bool = False) -> None:
        """Closes the connection. All that runs at the other end is ended."""
        self.begin_close(now)
        with self._read_lock:
            self._is_closed = True
            self._closing += 1
            has_reader = self._reader is not None
        try:
            # The other end closes it when all is over there, and may still have to say something.
            self._login.finish(is_read=not (now or has_reader))
        finally:
            self._close_out(waited=1)

    def _close_out(self, waited: int = 0) -> None:
        # Do not close a descriptor that another thread reads: its number may be reused.
        with self._read_lock:
            self._closing -= waited
            if self._is_closed and self._reader is None and not self._closing:
                self._login.close()

    def let_go(self) -> None:
        """Closes what is the parent's, in a process that was forked."""
        self._reason = "it is the parent's"
        self._login.let_go()


# All that are open, and those that calls find, by where they lead.
_open: set[Connection] = set()
_known: dict[Target, Connection] = {}
_locks: dict[Target, threading.Lock] = {}
_lock = threading.Lock()


def connection_to(target: Target, archive: DistributionArchive) -> Connection:
    """Returns a connection with the archive there, opened anew where it is lost."""
    with _lock:
        lock = _locks.setdefault(target, threading.Lock())
    with lock:
        connection = _known.get(target)
        if connection is not None and not connection.is_alive():
            connection.close(now=True)
            connection = None
        if connection is None:
            connection = _known[target] = Connection(target, archive)
    return connection


@ending.at_exit
def close_all() -> None:
    """Closes all connections, after the processes that wait for work have been dismissed."""
    from .. import pool

    pool.close_all()
    _known.clear()
    open_now = list(_open)
    for connection in open_now:
        connection.begin_close()
    for connection in open_now:
        connection.close()


@in_forked_processes
def _let_go() -> None:
    global _lock
    _lock = threading.Lock()
    _locks.clear()
    _known.clear()
    for connection in list(_open):
        connection.let_go()
    _open.clear()
