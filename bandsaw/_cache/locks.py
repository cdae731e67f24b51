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
import stat
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Optional

from . import entry

fcntl: Any
try:
    import fcntl
except ImportError:
    fcntl = None

logger = logging.getLogger("bandsaw.advices.cache")

_WRITE = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_WRITE |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
SUFFIX = ".tmp"
_STANDARD = 2

# The entries that the calls of this thread compute, and those that this process was started for:
# to wait for one of them would be to wait for oneself.
_thread = threading.local()
_inherited: frozenset[str] = frozenset()
# By identity: what a forked process has to close.
_open_files: dict[int, Temporary] = {}


class Temporary:
    """A file that becomes an entry, locked.

    Attributes:
        path: The path of the entry.
        descriptor: The open file, `None` when it is closed.
        is_empty: Whether nobody has written into it.
        is_new: Whether it was made for this, and nobody else has it.
    """

    __slots__ = ("_temporary", "descriptor", "is_empty", "is_new", "path")

    def __init__(self, path: str, temporary: str, descriptor: int, is_new: bool) -> None:
        self.path = path
        self._temporary = temporary
        self.is_new = is_new
        self.is_empty = is_new
        self.descriptor: Any = descriptor
        _open_files[id(self)] = self

    def finish(self, parts: Iterable[Any], now: int = 0) -> None:
        """Writes the entry.

        Args:
            parts: What to write.
            now: The time in nanoseconds since the epoch, where the system's own stamps are too
                coarse.

        Raises:
            OSError: If that failed. There is no new entry then.
        """
        descriptor = self.descriptor
        if descriptor is None:
            raise OSError("this process was forked from the one that was to write the entry")
        if not self.is_empty:
            # Somebody died while writing it.
            os.ftruncate(descriptor, 0)
        self.is_empty = False
        for part in parts:
            _write_all(descriptor, part)
        if now:
            os.utime(descriptor if os.utime in os.supports_fd else self._temporary, ns=(now, now))
        if fcntl is None:
            # What is open cannot be renamed there.
            self.descriptor = None
            os.close(descriptor)
        os.replace(self._temporary, self.path)
        self._temporary = ""

    def close(self) -> None:
        """Gives the lock back, and removes what was not finished."""
        if self.descriptor is None and fcntl is not None:
            return
        if self._temporary:
            with contextlib.suppress(OSError):
                os.unlink(self._temporary)
        self._unlock()

    def abandon(self) -> None:
        """Closes a file that could not be locked, and removes it if it was not there before."""
        if self.is_new:
            self.close()
        else:
            self._unlock()

    def forget(self) -> None:
        """Closes a file or, in a forked process, a copy of it, and leaves the lock as it is."""
        _open_files.pop(id(self), None)
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)

    def _unlock(self) -> None:
        if self.descriptor is not None and fcntl is not None:
            # A copy of the descriptor in another process would keep the lock.
            with contextlib.suppress(OSError):
                fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        self.forget()


def _write_all(descriptor: int, part: Any) -> None:
    done = os.write(descriptor, part)
    if done < len(part):
        view = memoryview(part)[done:]
        while view:
            view = view[os.write(descriptor, view) :]


def wait_for(folder: str, name: str) -> Optional[Temporary]:
    """Waits until nobody else computes an entry.

    Args:
        folder: The absolute path of the entry's folder.
        name: The name of the entry.

    Returns:
        The right to compute it, which the caller has to look for once more: somebody else may have
        come first. `None` if somebody else has just left, and there is a file.

    Raises:
        OSError: If the file cannot be made or locked.
        entry.DamagedEntryError: If its folder is not to be trusted.
    """
    if fcntl is None:
        return separate(folder, name)
    path = f"{folder}{os.sep}{name}"
    temporary = f"{folder}{os.sep}.{name}{SUFFIX}"
    while True:
        found, opened = _open(path, temporary)
        try:
            try:
                fcntl.flock(found.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                logger.info("Waiting for the call that computes %s", path)
                found.is_new = False
                fcntl.flock(found.descriptor, fcntl.LOCK_EX)
            there = _status_of(temporary)
        except BaseException:
            found.abandon()
            raise
        if there is not None and _is_same(there, opened):
            found.is_empty = there.st_size == 0
            return found
        found.forget()
        if os.path.lexists(path):
            return None


def separate(folder: str, name: str) -> Temporary:
    """Makes a temporary file that nobody waits for.

    Args:
        folder: The absolute path of the entry's folder.
        name: The name of the entry that it becomes.

    Returns:
        The file.

    Raises:
        OSError: If it cannot be made.
        entry.DamagedEntryError: If its folder is not to be trusted.
    """
    path = f"{folder}{os.sep}{name}"
    temporary = f"{folder}{os.sep}.{name}.{os.urandom(8).hex()}{SUFFIX}"
    made, _ = _open(path, temporary)
    if fcntl is not None:
        with contextlib.suppress(OSError):
            # Says that somebody is still at it.
            fcntl.flock(made.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return made


def _open(path: str, temporary: str) -> tuple[Temporary, os.stat_result]:
    folder = os.path.dirname(path)
    try:
        entry.check_folder(folder)
        descriptor, is_new = _create(temporary)
    except FileNotFoundError:
        from .._files import make_private

        # Not there yet, or just removed because it was empty.
        make_private(Path(folder))
        entry.check_folder(folder)
        descriptor, is_new = _create(temporary)
    # Known from now on, so that a process that is forked meanwhile closes its copy.
    made = Temporary(path, temporary, descriptor, is_new)
    try:
        if descriptor <= _STANDARD and fcntl is not None:
            # What the task prints would go into the file.
            made.descriptor = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _STANDARD + 1)
            os.close(descriptor)
        status = os.fstat(made.descriptor)
        entry.check_is_ours(status)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise entry.DamagedEntryError("the temporary file is no file of its own")
    except BaseException:
        made.abandon()
        raise
    return made, status


def _create(temporary: str) -> tuple[int, bool]:
    try:
        return os.open(temporary, _WRITE | os.O_EXCL, 0o600), True
    except FileExistsError:
        return os.open(temporary, _WRITE, 0o600), False


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    return one.st_ino == other.st_ino and one.st_dev == other.st_dev


def _status_of(path: str) -> Optional[os.stat_result]:
    try:
        return os.lstat(path)
    except FileNotFoundError:
        return None


def remove_abandoned(path: str) -> int:
    """Removes a temporary file whose writer died.

    Args:
        path: The file.

    Returns:
        How many bytes it had; -1 if it is not abandoned.
    """
    if fcntl is None:
        return -1
    try:
        descriptor = os.open(path, _WRITE & ~os.O_CREAT)
    except OSError:
        return -1
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        there = _status_of(path)
        if there is None or not _is_same(there, os.fstat(descriptor)):
            return -1
        os.unlink(path)
        return there.st_size
    except OSError:
        return -1
    finally:
        os.close(descriptor)


def held() -> Sequence[str]:
    """Lists the entries that this thread's calls compute.

    Returns:
        Their absolute paths.
    """
    return [*_inherited, *getattr(_thread, "held", ())]


def inherit(paths: Iterable[str]) -> None:
    """Notes which entries the process computes that this one works for.

    Args:
        paths: What `held` returned there.
    """
    global _inherited
    _inherited = frozenset(paths)


def is_held(path: str) -> bool:
    """Says whether to wait for an entry would be to wait for oneself.

    Args:
        path: The absolute path of the entry.

    Returns:
        Whether this thread, or the process that it works for, computes it.
    """
    return path in getattr(_thread, "held", ()) or path in _inherited


def hold(path: str) -> None:
    """Notes that the calls of this thread are made in order to compute an entry.

    Args:
        path: The absolute path of the entry.
    """
    _thread.__dict__.setdefault("held", []).append(path)


def release(path: str) -> None:
    """Notes that an entry is computed.

    Args:
        path: What was given to `hold`.
    """
    _thread.held.remove(path)


def _forget_in_child() -> None:
    for temporary in list(_open_files.values()):
        temporary.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
