"""Work of ours that calls wait for, such as sending files: whoever shows progress is told."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from typing import Callable, Optional

from .units import told_seconds, told_size

# Called when something is begun, in the thread that does it.
listeners: list[Callable[[Work], None]] = []


class Work:
    def __init__(self, name: str, total: Optional[int]) -> None:
        self.name = name  # what it is
        self.total = total  # how many bytes it is about, `None` if nobody knows
        self.done = 0  # how many of them are done
        self.is_over = False  # whether it has ended
        self._began = time.monotonic()
        self._seconds = 0.0

    def end(self) -> None:
        self._seconds, self.is_over = time.monotonic() - self._began, True
        self.total = self.done

    def text(self) -> str:
        size = told_size(self.done) if self.done else ""
        if self.is_over:
            return f"{size} in {told_seconds(self._seconds)}".strip()
        if self.total:
            return f"{size or '0 B'} of {told_size(self.total)}"
        return size or told_seconds(time.monotonic() - self._began)


@contextlib.contextmanager
def told(name: str, total: Optional[int] = None) -> Iterator[Work]:
    """Tells that something is done meanwhile."""
    work = Work(name, total)
    for listener in listeners:
        # Whoever shows it fails no call.
        with contextlib.suppress(Exception):
            listener(work)
    try:
        yield work
    finally:
        work.end()
