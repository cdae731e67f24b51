"""Locks on files, each held by one thread of one process. A process that dies loses its locks.

A copy of the descriptor in another process keeps a lock: forked processes close theirs, and tools
that outlive their starter get one. On Windows descriptors are not passed on.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any, Callable, Optional

from .processes import in_forked_processes

fcntl: Any
msvcrt: Any
try:
    import fcntl
except ImportError:
    fcntl = None
    import msvcrt

_POLL_SECONDS = 0.1
# All open ones, by identity: a forked process closes its copies.
_open_files: dict[int, LockedFile] = {}


class LockedFile:
    __slots__ = ("descriptor",)

    def __init__(self, descriptor: int) -> None:
        self.descriptor: Any = descriptor  # the open file, `None` when it is closed
        # Registered before it is locked: a process may be forked at any time.
        _open_files[id(self)] = self

    def lock(self, *, wait: bool = True) -> bool:
        """Locks the file. Returns `False` if another one has it locked, and `wait` is not set."""
        while True:
            try:
                if fcntl is not None:
                    fcntl.flock(self.descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
                else:
                    msvcrt.locking(self.descriptor, msvcrt.LK_NBLCK, 1)
            except OSError as error:
                if fcntl is not None and not isinstance(error, BlockingIOError):
                    raise
                if not wait:
                    return False
                time.sleep(_POLL_SECONDS)
            else:
                return True

    def unlock(self) -> None:
        if self.descriptor is not None:
            # To close it is not enough: a copy of the descriptor in another process keeps the lock.
            with contextlib.suppress(OSError):
                if fcntl is not None:
                    fcntl.flock(self.descriptor, fcntl.LOCK_UN)
                else:
                    msvcrt.locking(self.descriptor, msvcrt.LK_UNLCK, 1)
        self.forget()

    def forget(self) -> None:
        """Closes the file or, in a forked process, a copy of it, and leaves the lock as it is."""
        _open_files.pop(id(self), None)
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)


class Lock:
    """A lock on a file that is there only while somebody has the lock."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Optional[LockedFile] = None

    @property
    def descriptor(self) -> Optional[int]:
        """The open file, `None` when it is not locked."""
        return None if self._file is None else self._file.descriptor

    def acquire(self, wait: bool = True, on_wait: Callable[[], None] = lambda: None) -> bool:
        """Takes the lock, and calls `on_wait` before it waits. Returns whether it was taken."""
        while True:
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
            file = LockedFile(os.open(self.path, flags, 0o600))
            try:
                is_locked = file.lock(wait=False)
                if not is_locked and wait:
                    on_wait()
                    is_locked = file.lock()
                if is_locked and self._is(file.descriptor):
                    self._file = file
                    return True
            finally:
                if self._file is None:
                    file.unlock()
            if not is_locked:
                return False
            # The owner before removed the file, and another process may have made a new one.

    def release(self) -> None:
        """Gives the lock back and removes the file."""
        file, self._file = self._file, None
        if file is not None and file.descriptor is not None:
            with contextlib.suppress(OSError):
                os.unlink(self.path)
            file.unlock()

    def _is(self, descriptor: int) -> bool:
        try:
            return os.path.samestat(os.stat(self.path), os.fstat(descriptor))
        except FileNotFoundError:
            return False


@in_forked_processes
def _forget_in_child() -> None:
    for file in list(_open_files.values()):
        file.forget()
