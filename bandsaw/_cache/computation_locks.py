"""The right to compute an entry, which one call has at a time.

The lock is on the temporary file that becomes the entry: whoever has it locked computes, writes
into it, and renames it. The others wait for the lock, and then find the entry, or, if there is
none, another temporary file or none, and try again. The system takes a lock from a process that
dies.

Where there is no `flock` (on Windows), every call that finds no entry computes it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
from collections.abc import Sequence
from typing import Any, Optional

from .._system import callers
from .._system.file_locks import LockedFile, fcntl
from .._system.files import write_all
from .._system.importing import late_import
from ..errors import TaskKilledError
from . import owned_files

logger = logging.getLogger("bandsaw.advices.cache")

SUFFIX = ".tmp"
_STANDARD = 2
_MOST_SECONDS = 60.0
_POLL_SECONDS = 0.05


class Locked(LockedFile):
    """An open file that may be locked, where there is `flock`."""

    __slots__ = ()

    def lock(self, *, wait: bool = True) -> bool:
        """Locks the file, as `LockedFile` does. Where that cannot be done, nothing happens."""
        return fcntl is None or super().lock(wait=wait)


class Temporary(Locked):
    __slots__ = ("is_empty", "is_new", "path", "temporary")

    def __init__(self, path: str, temporary: str, descriptor: int, is_new: bool) -> None:
        super().__init__(descriptor)
        self.path = path  # the path of the entry
        self.temporary = temporary  # the path of the file, empty once it has become the entry
        self.is_new = is_new  # whether it was made for this, and nobody else has it
        self.is_empty = is_new  # whether nobody has written into it

    def finish(self, parts: Sequence[Any], now: int = 0) -> None:
        """Writes the entry.

        `now`: the time in nanoseconds since the epoch, where the stamps of the system are too
        coarse.
        """
        descriptor = self.descriptor
        if descriptor is None:
            raise OSError("this process was forked from the one that was to write the entry")
        if not self.is_empty:
            # An earlier writer died, and left a part of an entry.
            os.ftruncate(descriptor, 0)
        self.is_empty = False
        write_all(descriptor, parts)
        if now:
            os.utime(descriptor if os.utime in os.supports_fd else self.temporary, ns=(now, now))
        self.rename()

    def rename(self) -> None:
        if fcntl is None:
            # Windows cannot rename an open file.
            self.forget()
        os.replace(self.temporary, self.path)
        self.temporary = ""

    def close(self) -> None:
        """Gives the lock back, and removes what was not finished."""
        if self.descriptor is None and fcntl is not None:
            return
        if self.temporary:
            with contextlib.suppress(OSError):
                os.unlink(self.temporary)
        self.unlock()

    def abandon(self) -> None:
        """Closes a file that could not be locked, and removes it if it was not there before."""
        if self.is_new:
            self.close()
        else:
            self.unlock()


def wait_for(folder: str, name: str) -> Optional[Temporary]:
    """Waits until nobody else computes an entry.

    Returns the right to compute it, which the caller has to look for once more: another one may
    have come first. `None` if another one has just left, and there is a file.
    """
    if fcntl is None:
        return separate(folder, name)
    path = f"{folder}{os.sep}{name}"
    temporary = f"{folder}{os.sep}.{name}{SUFFIX}"
    while True:
        found, opened = _open(path, temporary)
        try:
            if not found.lock(wait=False):
                logger.info("Waiting for the call that computes %s", path)
                found.is_new = False
                _lock_in_time(found)
            there = _status_of(temporary)
        except BaseException:
            found.abandon()
            raise
        if there is not None and os.path.samestat(there, opened):
            found.is_empty = there.st_size == 0
            return found
        found.unlock()
        if os.path.lexists(path):
            return None


def _lock_in_time(found: Temporary) -> None:
    """Waits for a lock; where another call may wait for this one, only for a while.

    The other call may be that which has the lock: where there is one process for both, say.
    """
    with late_import:
        from .._system import ending

    end, has_place = time.monotonic() + _MOST_SECONDS, callers.holds_place()
    # A submitted call may be ended meanwhile.
    is_patient = not has_place and ending.current.get() is None
    ended = threading.Event()
    with ending.held(ended.set):
        while not found.lock(wait=is_patient):
            if has_place and time.monotonic() >= end:
                raise TimeoutError(f"another call has not computed it in {_MOST_SECONDS:g} seconds")
            if ended.wait(_POLL_SECONDS):
                raise TaskKilledError(f"It was killed while another call computed {found.path}.")


def separate(folder: str, name: str) -> Temporary:
    """Makes a temporary file that nobody waits for."""
    path = f"{folder}{os.sep}{name}"
    temporary = f"{folder}{os.sep}.{name}.{os.urandom(8).hex()}{SUFFIX}"
    made, _ = _open(path, temporary)
    with contextlib.suppress(OSError):
        # A lock marks the file as not abandoned.
        made.lock(wait=False)
    return made


def _open(path: str, temporary: str) -> tuple[Temporary, os.stat_result]:
    folder = os.path.dirname(path)
    try:
        owned_files.check_folder(folder)
        descriptor, is_new = _create(temporary)
    except FileNotFoundError:
        from pathlib import Path

        from .._system.files import make_private

        # The folder is not there yet, or was just removed because it was empty.
        make_private(Path(folder))
        owned_files.check_folder(folder)
        descriptor, is_new = _create(temporary)
    made = Temporary(path, temporary, descriptor, is_new)
    try:
        if descriptor <= _STANDARD and fcntl is not None:
            # As descriptor 0, 1 or 2 the file would get what the task prints.
            made.descriptor = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _STANDARD + 1)
            os.close(descriptor)
        status = os.fstat(made.descriptor)
        owned_files.check_status(status, is_written=True)
    except BaseException:
        made.abandon()
        raise
    return made, status


def _create(temporary: str) -> tuple[int, bool]:
    try:
        return os.open(temporary, owned_files.WRITE | os.O_EXCL, 0o600), True
    except FileExistsError:
        return os.open(temporary, owned_files.WRITE, 0o600), False


def _status_of(path: str) -> Optional[os.stat_result]:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def remove_abandoned(path: str) -> int:
    """Removes a temporary file whose writer died. Returns its size, -1 if it is not abandoned."""
    try:
        found = Locked(os.open(path, owned_files.WRITE & ~os.O_CREAT))
    except OSError:
        return -1
    try:
        there = _status_of(path) if found.lock(wait=False) else None
        if there is None or not os.path.samestat(there, os.fstat(found.descriptor)):
            return -1
        if fcntl is None:
            found.forget()
        os.unlink(path)
        return there.st_size
    except OSError:
        return -1
    finally:
        found.unlock()
