"""The messages between the two ends of a connection to another machine.

Many processes share it: each message begins with 9 bytes, a letter, the number of the stream that
it belongs to and the length of what follows.

    letter, way       stream     what follows
    T  near to far    template   JSON: what it is for; it is started
    P  near to far    process    the number of its template, and F or S; it is started
    M  both           process    a message of `frames`: its kind and its body
    N  both           process    the length of a file that comes now
    B  both           process    a piece of the file
    A  both           process    as M, for a message with which the file goes along
    K  near to far    process    it is ended, with all that it has started
    Q  near to far    any        nobody has an interest in it any more
    D  both           archive    the digest of an archive; 1 if it is there, else 0
    Z  near to far    archive    a piece of the archive, see `_archive.arriving`; nothing ends a
                                 part, and D is the answer
    F  both           files      JSON: a request or an answer, see `_files.crossing`
    W  both           files      a piece of contents
    H  far to near    template   its first message: as M
    L  far to near    template   what it, or what makes its environment, writes to standard error
    S  far to near    process    an event of `frames.EVENT`, nothing when the template is gone
    O  far to near    process    what it writes to standard output, nothing at the end
    R  far to near    process    what it writes to standard error, likewise
    E  far to near    any        why something that was asked for cannot be, as text
    G  far to near    0          nothing: the other end is alive

What follows any but M and A has at most `PIECE` bytes, so that no stream has to wait long for
another one.
"""

from __future__ import annotations

import struct
import threading
from collections import deque
from typing import Any, Optional

from .._system.buffers import room

HEAD = struct.Struct("!cII")
PIECE = 1 << 18
# How often the far end says that it is alive.
ALIVE_SECONDS = 15.0
_Event = tuple[bytes, bytes, Optional[memoryview]]


def packed(letter: bytes, stream: int, *pieces: bytes) -> bytes:
    return b"".join((HEAD.pack(letter, stream, sum(map(len, pieces))), *pieces))


class Stream:
    """What belongs together on a connection."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection  # the connection
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
                letter, body = b"E", f"there is no room here for what it sends: {error}".encode()
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
