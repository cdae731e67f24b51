"""What goes from the hub to the near end: messages, and files in pieces between them.

    send ─────► messages ────────────┐
    send_file ► piece, piece, ... ───┴──► the connection, as it takes them

A file is read when the connection takes its next piece, so that it is never in memory whole. Those
of several streams take turns, and what a stream says after its file comes after it.
"""

from __future__ import annotations

import os
import time
from collections import deque
from typing import Any, Callable

from . import streams
from .streams import packed

# How much may wait until there is much.
_MUCH = 1 << 20


class _File:
    def __init__(self, descriptor: int, message: bytes) -> None:
        self.descriptor = descriptor  # the file
        self.held = [message]  # the messages of the same stream that follow it


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
        self._files: dict[int, _File] = {}
        self.is_full = False  # whether something waits for room
        self.written_at = time.monotonic()  # when something was written last, by `time.monotonic`

    @property
    def has_much(self) -> bool:
        """Whether so much waits that nothing more should be added that can wait elsewhere."""
        return self._bytes >= _MUCH

    @property
    def files(self) -> list[int]:
        """The descriptors of the files that are on their way."""
        return [file.descriptor for file in self._files.values()]

    def send(self, letter: bytes, stream: int, *pieces: bytes) -> None:
        data = packed(letter, stream, *pieces)
        self._bytes += len(data)
        file = self._files.get(stream)
        if file is not None:
            file.held.append(data)
            return
        self._waiting.append(data)
        if not self.is_full:
            self.flush()

    def send_file(self, stream: int, descriptor: int, message: bytes) -> None:
        size = os.lseek(descriptor, 0, os.SEEK_END)
        os.lseek(descriptor, 0, os.SEEK_SET)
        self.send(b"N", stream, size.to_bytes(8, "big"))
        self._bytes += len(message)
        self._files[stream] = _File(descriptor, message)
        if not self.is_full:
            self.flush()

    def drop(self, stream: int) -> None:
        """Gives up the file of a stream, and what waits for it."""
        file = self._files.pop(stream, None)
        if file is not None:
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
        for stream, file in self._files.items():
            # It goes to the end of the row.
            del self._files[stream]
            piece = os.read(file.descriptor, streams.PIECE)
            if piece:
                self._files[stream] = file
                data = packed(b"B", stream, piece)
                self._bytes += len(data)
                self._waiting.append(data)
            else:
                os.close(file.descriptor)
                self._waiting.extend(file.held)
            return True
        return False
