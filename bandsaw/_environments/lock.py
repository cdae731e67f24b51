"""A lock that one thread of one process has at a time, for as long as its processes live.

It is on a file, which is removed with it. What holds it passes the descriptor on to the tools that
it starts: of a process that was killed, the tools may still be at work. The system takes the lock
from those that die.

On Windows, where no descriptor is passed on, the lock ends with the process itself.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any, Callable, Optional

fcntl: Any
msvcrt: Any
try:
    import fcntl
except ImportError:
    fcntl = None
    import msvcrt

_POLL_SECONDS = 0.1
# What a forked process has to close: its copy would keep the lock.
_open: set[int] = set()


class Lock:
    """A lock.

    Args:
        path: The file. It is made.

    Attributes:
        path: The file.
        descriptor: The open file, `None` when it is not locked.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor: Optional[int] = None

    def acquire(self, wait: bool = True, on_wait: Callable[[], None] = lambda: None) -> bool:
        """Takes the lock.

        Args:
            wait: Whether to wait for whoever has it.
            on_wait: Called before that.

        Returns:
            Whether it was taken.

        Raises:
            OSError: If the file cannot be made or locked.
        """
        while True:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            descriptor = os.open(self.path, flags, 0o600)
            _open.add(descriptor)
            try:
                is_locked = _lock(descriptor)
                if not is_locked and wait:
                    on_wait()
                    is_locked = _lock(descriptor, wait=True)
                if is_locked and self._is(descriptor):
                    self.descriptor = descriptor
                    return True
            finally:
                if self.descriptor is None:
                    _close(descriptor)
            if not is_locked:
                return False
            # Whoever had it removed the file, and somebody may have made another.

    def release(self) -> None:
        """Gives the lock back and removes the file."""
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
            _unlock(descriptor)
            _close(descriptor)

    def _is(self, descriptor: int) -> bool:
        try:
            there, opened = os.stat(self.path), os.fstat(descriptor)
        except FileNotFoundError:
            return False
        return (there.st_ino, there.st_dev) == (opened.st_ino, opened.st_dev)


def _lock(descriptor: int, wait: bool = False) -> bool:
    if fcntl is not None:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return False
        return True
    while True:
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except OSError:
            if not wait:
                return False
            time.sleep(_POLL_SECONDS)
        else:
            return True


def _unlock(descriptor: int) -> None:
    # By name: a copy of the descriptor in another process would keep the lock.
    with contextlib.suppress(OSError):
        if fcntl is not None:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
        else:
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)


def _close(descriptor: int) -> None:
    _open.discard(descriptor)
    with contextlib.suppress(OSError):
        os.close(descriptor)


def _let_go() -> None:
    while _open:
        os.close(_open.pop())


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)
