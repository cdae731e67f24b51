"""The messages between the two ends of a connection to another machine.

Many processes share it: each message begins with 9 bytes, a letter, the number of the stream that
it belongs to and the length of what follows.

    letter, way       stream       what follows
    T  near to far    fork server  JSON: what it is for; it is started
    P  near to far    process      the number of its fork server, and F or S; it is started
    M  both           process      a message of `frames`: its kind and its body
    N  both           process      the length of a file that comes now
    B  both           process      a piece of the file
    A  both           process      as M, for a message with which the file goes along
    K  near to far    process      it is ended, with all that it has started
    Q  near to far    any          nobody has an interest in it any more
    D  both           archive      the digest of an archive; 1 if it is there, else 0
    Z  near to far    archive      a piece of the archive, see `_archive.arriving`; nothing ends a
                                   part, and D is the answer
    F  both           files        JSON: a request or an answer, see `_files.crossing`
    W  both           files        a piece of contents
    H  far to near    fork server  its first message: as M
    L  far to near    fork server  what it, or what makes its environment, writes to standard error
    S  far to near    process      an event of `frames.EVENT`, nothing when the fork server is gone;
                                   N says that not all that was sent to it was read, C before the
                                   end how many messages were passed to it
    O  far to near    process      what it writes to standard output, nothing at the end
    R  far to near    process      what it writes to standard error, likewise
    E  far to near    any          why something that was asked for cannot be, as text
    G  far to near    0            nothing: the other end is alive

What follows any but M and A has at most `PIECE` bytes, so that no stream has to wait long for
another one. The near end has a `Stream` for each, the far end one `Outbox`:

    send ─────► messages ────────────┐
    send_file ► piece, piece, ... ───┴──► the connection, as it takes them

A file is read when the connection takes its next piece, so that it is never in memory whole. Those
of several streams take turns, and what a stream says after its file comes after it.
"""

from __future__ import annotations

import os
import struct
import threading
import time
from collections import deque
from typing import Any, Callable, Optional

from ..._system.buffers import room

HEAD = struct.Struct("!cII")
START = struct.Struct("!Ic")  # what follows P
PIECE = 1 << 18
# How often the far end says that it is alive.
ALIVE_SECONDS = 15.0
# How much may wait until there is much.
_MUCH = 1 << 20
_Event = tuple[bytes, bytes, Optional[memoryview]]


def packed(letter: bytes, stream: int, *pieces: bytes) -> bytes:
    return b"".join((HEAD.pack(letter, stream, sum(map(len, pieces))), *pieces))


class Stream:
    """What belongs together on a connection."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self.inbox: deque[_Event] = deque()  # what has arrived and was not taken yet
        self._wakeup: Optional[threading.Event] = None
        self._file: Optional[memoryview] = None
        self._filled = 0
        self.number = connection._add(self)  # its number there

    def _take(self, letter: bytes, body: bytes) -> None:
        """Takes a message. Called by the thread that reads."""
        if letter == b"N":
            size = int.from_bytes(body, "big")
            try:
                self._file, self._filled = room(size), 0
                return
            except (MemoryError, ValueError, OverflowError) as error:
                # What concerns one task is no reason to end the others.
                words = f"there is no room here for what it sends: {error!r}"
                letter, body = b"E", words.encode()
        data = None
        if letter == b"A":
            data, self._file = self._file, None
            if data is None:
                return
        self.inbox.append((letter, body, data))
        wakeup = self._wakeup
        if wakeup is not None:
            wakeup.set()

    def send(self, letter: bytes, *pieces: Any) -> None:
        self.connection.send(letter, self.number, *pieces)

    def wait(self, seconds: Optional[float] = None) -> bool:
        """Waits `seconds`, `None` until the connection is lost; returns whether something came."""
        try:
            self.connection._wait(self, seconds)
        except BaseException:
            # Whoever is interrupted must not be counted upon to read for others.
            self.connection._stop_waiting(self)
            raise
        return bool(self.inbox)

    def release(self) -> None:
        self.connection._release(self)


class _File:
    def __init__(self, descriptor: int, message: bytes) -> None:
        self.descriptor = descriptor
        # The messages of the same stream that follow it, up to the next file.
        self.held = [message]


class Outbox:
    """Writes to a descriptor what that takes, and keeps the rest.

    `wait_for_room`: called with `True` when the descriptor takes no more, so that `flush` is called
    once it does, and with `False` when nothing waits any more.
    """

    def __init__(self, descriptor: int, wait_for_room: Callable[[bool], None]) -> None:
        os.set_blocking(descriptor, False)
        self._descriptor = descriptor
        self._wait_for_room = wait_for_room
        self._waiting: deque[Any] = deque()
        # With what is held behind files.
        self._bytes = 0
        self._files: dict[int, list[_File]] = {}
        self.is_full = False  # whether something waits for room
        self.written_at = time.monotonic()  # when something was written last, by `time.monotonic`

    @property
    def has_much(self) -> bool:
        """Whether so much waits that nothing more should be added that can wait elsewhere."""
        return self._bytes >= _MUCH

    @property
    def files(self) -> list[int]:
        """The descriptors of the files that are on their way."""
        return [file.descriptor for files in self._files.values() for file in files]

    def send(self, letter: bytes, stream: int, *pieces: bytes) -> None:
        data = packed(letter, stream, *pieces)
        self._bytes += len(data)
        files = self._files.get(stream)
        if files is not None:
            files[-1].held.append(data)
            return
        self._waiting.append(data)
        if not self.is_full:
            self.flush()

    def send_file(self, stream: int, descriptor: int, message: bytes) -> None:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        os.lseek(descriptor, 0, os.SEEK_SET)
        self.send(b"N", stream, size.to_bytes(8, "big"))
        self._bytes += len(message)
        self._files.setdefault(stream, []).append(_File(descriptor, message))
        if not self.is_full:
            self.flush()

    def drop(self, stream: int) -> None:
        """Gives up the files of a stream, and what waits for them."""
        for file in self._files.pop(stream, ()):
            os.close(file.descriptor)
            self._bytes -= sum(map(len, file.held))

    def flush(self) -> None:
        while self._waiting or self._next_piece():
            data = self._waiting.popleft()
            try:
                count = os.write(self._descriptor, data)
            except BlockingIOError:
                count = 0
            self._bytes -= count
            if count < len(data):
                self._waiting.appendleft(memoryview(data)[count:] if count else data)
                if not self.is_full:
                    self.is_full = True
                    self._wait_for_room(True)
                return
            self.written_at = time.monotonic()
        if self.is_full:
            self.is_full = False
            self._wait_for_room(False)

    def _next_piece(self) -> bool:
        for stream, files in self._files.items():
            file = files[0]
            # It goes to the end of the row.
            del self._files[stream]
            piece = os.read(file.descriptor, PIECE)
            if not piece:
                del files[0]
            if files:
                self._files[stream] = files
            if piece:
                data = packed(b"B", stream, piece)
                self._bytes += len(data)
                self._waiting.append(data)
            else:
                os.close(file.descriptor)
                self._waiting.extend(file.held)
            return True
        return False
