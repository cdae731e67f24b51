"""Which side has a call that was sent to a process before this had answered the one before.

    near: issue(1, 2, 3) ─► [ pipe ] ─► far: take(1) ─ begins it ─ take(2) ...
    near: take_back() ◄────────┘        far: no ticket 3 ─ the call is none of its business

A number can be read from a pipe once: either a call has begun, or it may be begun elsewhere.
"""

from __future__ import annotations

import io
import os
from typing import Optional

from .frames import TICKETS, Frame, Message, pipe_pair


class Tickets:
    """The near end, which can also read what was not taken at the far end."""

    def __init__(self) -> None:
        read, write = pipe_pair()
        os.set_blocking(read, False)
        self._read, self._write = io.FileIO(read, "rb"), io.FileIO(write, "wb")

    def message(self) -> Message:
        """Makes the message that gives a process the far end."""
        return TICKETS, (), self._read.fileno()

    def issue(self, numbers: bytearray) -> None:
        """Allows calls to begin in the other process."""
        self._write.write(numbers)

    def take_back(self, most: int) -> bytes:
        """Takes the tickets of calls that have not begun; returns their numbers."""
        return self._read.read(most) or b""


class Taker:
    """The far end."""

    def __init__(self, frame: Frame) -> None:
        self._pipe = frame.descriptor
        self._next: Optional[int] = None

    def take(self, number: int) -> bool:
        """Takes the ticket of a call; returns whether it was there."""
        if self._next is None and self._pipe is not None:
            data = self._pipe.read(1)
            self._next = data[0] if data else None
        if self._next != number:
            return False  # what is in hand is for one that comes later
        self._next = None
        return True
