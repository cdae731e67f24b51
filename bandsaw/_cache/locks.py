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
from collections.abc import Iterable
from typing import Any, Optional

from . import files

fcntl: Any
try:
    import fcntl
except ImportError:
    fcntl = None

logger = logging.getLogger("bandsaw.advices.cache")

SUFFIX = ".tmp"
_STANDARD = 2

# The entries that calls of this process compute, each with the thread and the session, and those
# that this process was started for: to wait for one of them may be to wait for oneself.
_held: list[tuple[int, Any, str]] = []
_inherited: frozenset[str] = frozenset()
# By identity: what a forked process has to close.
_open_files: dict[int, Locked] = {}


class Locked:
    """An open file that may be locked.

    Attributes:
        descriptor: The open file, `None` when it is closed.

    Args:
        descriptor: The open file.
    """

    __slots__ = ("descriptor",)

    def __init__(self, descriptor: int) -> None:
        self.descriptor: Any = descriptor
        # Known from now on, so that a process that is forked meanwhile closes its copy.
        _open_files[id(self)] = self

    def lock(self, *, wait: bool = True) -> None:
        """Locks the file, where that can be done.

        Args:
            wait: Whether to wait for whoever has it locked.

        Raises:
            BlockingIOError: If it is not to wait, and somebody has it locked.
            OSError: If it cannot be locked.
        """
        if fcntl is not None:
            fcntl.flock(self.descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))

    def unlock(self) -> None:
        """Gives the lock back and closes the file."""
        if self.descriptor is not None and fcntl is not None:
            # A copy of the descriptor in another process would keep the lock.
            with contextlib.suppress(OSError):
                fcntl.flock(self.descriptor, fcntl.LOCK_UN)
        self.forget()

    def forget(self) -> None:
        """Closes the file or, in a forked process, a copy of it, and leaves the lock as it is."""
        _open_files.pop(id(self), None)
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(descriptor)


class Temporary(Locked):
    """A file that becomes an entry.

    Attributes:
        path: The path of the entry.
        is_empty: Whether nobody has written into it.
        is_new: Whether it was made for this, and nobody else has it.

    Args:
        path: The path of the entry.
        temporary: The path of the file.
        descriptor: The open file.
        is_new: Whether it was made for this.
    """

    __slots__ = ("_temporary", "is_empty", "is_new", "path")

    def __init__(self, path: str, temporary: str, descriptor: int, is_new: bool) -> None:
        super().__init__(descriptor)
        self.path = path
        self._temporary = temporary
        self.is_new = is_new
        self.is_empty = is_new

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
        self.unlock()

    def abandon(self) -> None:
        """Closes a file that could not be locked, and removes it if it was not there before."""
        if self.is_new:
            self.close()
        else:
            self.unlock()


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
        files.DamagedEntryError: If its folder is not to be trusted.
    """
    if fcntl is None:
        return separate(folder, name)
    path = f"{folder}{os.sep}{name}"
    temporary = f"{folder}{os.sep}.{name}{SUFFIX}"
    while True:
        found, opened = _open(path, temporary)
        try:
            try:
                found.lock(wait=False)
            except BlockingIOError:
                logger.info("Waiting for the call that computes %s", path)
                found.is_new = False
                found.lock()
            there = _status_of(temporary)
        except BaseException:
            found.abandon()
            raise
        if there is not None and _is_same(there, opened):
            found.is_empty = there.st_size == 0
            return found
        found.unlock()
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
        files.DamagedEntryError: If its folder is not to be trusted.
    """
    path = f"{folder}{os.sep}{name}"
    temporary = f"{folder}{os.sep}.{name}.{os.urandom(8).hex()}{SUFFIX}"
    made, _ = _open(path, temporary)
    with contextlib.suppress(OSError):
        # Says that somebody is still at it.
        made.lock(wait=False)
    return made


def _open(path: str, temporary: str) -> tuple[Temporary, os.stat_result]:
    folder = os.path.dirname(path)
    try:
        files.check_folder(folder)
        descriptor, is_new = _create(temporary)
    except FileNotFoundError:
        from pathlib import Path

        from .._system.files import make_private

        # Not there yet, or just removed because it was empty.
        make_private(Path(folder))
        files.check_folder(folder)
        descriptor, is_new = _create(temporary)
    made = Temporary(path, temporary, descriptor, is_new)
    try:
        if descriptor <= _STANDARD and fcntl is not None:
            # What the task prints would go into the file.
            made.descriptor = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, _STANDARD + 1)
            os.close(descriptor)
        status = os.fstat(made.descriptor)
        files.check_status(status, is_written=True)
    except BaseException:
        made.abandon()
        raise
    return made, status


def _create(temporary: str) -> tuple[int, bool]:
    try:
        return os.open(temporary, files.WRITE | os.O_EXCL, 0o600), True
    except FileExistsError:
        return os.open(temporary, files.WRITE, 0o600), False


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
    try:
        found = Locked(os.open(path, files.WRITE & ~os.O_CREAT))
    except OSError:
        return -1
    try:
        found.lock(wait=False)
        there = _status_of(path)
        if there is None or not _is_same(there, os.fstat(found.descriptor)):
            return -1
        if fcntl is None:
            found.forget()
        os.unlink(path)
        return there.st_size
    except OSError:
        return -1
    finally:
        found.unlock()


def hold(path: str, session: Any) -> None:
    """Notes that a call computes an entry.

    Args:
        path: The absolute path of the entry.
        session: The call.
    """
    _held.append((threading.get_ident(), session, path))


def release(path: str, session: Any) -> None:
    """Notes that an entry is computed.

    Args:
        path: What was given to `hold`.
        session: Likewise.
    """
    _held.remove((threading.get_ident(), session, path))


def held(session: Any) -> list[str]:
    """Lists the entries that wait for a call: those that its thread or itself computes.

    Args:
        session: The call.

    Returns:
        The absolute paths, also of those that this process was started for.
    """
    thread = threading.get_ident()
    found = [
        path
        for where, other, path in list(_held)
        # A call may have gone on in another thread, also by being saved and restored.
        if where == thread or other is session or other.nonce == session.nonce
    ]
    return [*_inherited, *found]


def inherit(paths: Iterable[str]) -> None:
    """Notes which entries the process computes that this one works for.

    Args:
        paths: What `held` returned there.
    """
    global _inherited
    _inherited = frozenset(paths)


def _forget_in_child() -> None:
    for file in list(_open_files.values()):
        file.forget()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)
