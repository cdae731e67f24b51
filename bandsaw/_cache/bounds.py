"""Keeps a cache within its bounds: what was used longest ago goes first.

What the entries have in all is kept in one small file beside them, so that not every write has to
look at every entry. It is an estimate, which is corrected by looking when it says that there is
too much, when the oldest entry is too old, and after a minute.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import struct
import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple, Optional

from .._system.file_locks import fcntl
from ..identifier import _is_like_id
from . import entry, owned_files
from .computation_locks import SUFFIX, Locked, remove_abandoned

logger = logging.getLogger("bandsaw.advices.cache")
NAME = ".bounds"
# The bytes of all entries, when the oldest was written, when they were looked at last.
_ESTIMATE = struct.Struct(">Qdd")
_SECONDS_BETWEEN_LOOKS = 60.0
# Without locks, only the age of a temporary file tells that its writer is gone.
_SECONDS_ABANDONED = 60.0 if fcntl is not None else 86400.0
# A full cache looks at all its entries again when one in a hundred is replaced, not at each write.
_SPARE = 100


class CacheFile(NamedTuple):
    used: int  # when it was last used, in nanoseconds since the epoch
    written: float  # when it was written, in seconds since the epoch
    size: int
    path: str


class Removed(NamedTuple):
    entries: int  # the number of entries
    files: int  # the number of temporary files whose writers had died
    size: int  # the bytes of all of them
    failures: Sequence[OSError]  # why entries that should have gone are still there


def folders_in(directory: str) -> Iterator[str]:
    try:
        with os.scandir(directory) as items:
            folders = [
                item.path
                for item in items
                if not item.name.startswith(".") and item.is_dir(follow_symlinks=False)
            ]
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from sorted(folders)


def entries_in(directory: str) -> Iterator[CacheFile]:
    """Lists the entries of a cache, damaged ones too; other files are somebody else's."""
    for folder in folders_in(directory):
        yield from entries_of(folder)


def entries_of(folder: str) -> Iterator[CacheFile]:
    is_id = _is_like_id(os.path.basename(folder))
    for found in _files_in(folder):
        name = os.path.basename(found.path)
        if name.startswith("."):
            continue
        with contextlib.suppress(OSError):
            if (is_id and _is_like_id(name)) or entry.has_mark(found.path):
                yield found


def _files_in(folder: str) -> Iterator[CacheFile]:
    # An unreadable folder must not keep the others from being listed.
    with contextlib.suppress(OSError), os.scandir(folder) as items:
        for item in items:
            try:
                status = item.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            if stat.S_ISREG(status.st_mode):
                used = max(status.st_atime_ns, status.st_mtime_ns)
                yield CacheFile(used, status.st_mtime, status.st_size, item.path)


def keep(
    folder: str, name: str, size: int, max_bytes: Optional[int], max_age: Optional[float]
) -> None:
    """Removes what is too much after an entry was written; bytes and seconds, `None` for any."""
    directory = os.path.dirname(folder)
    try:
        _keep(directory, f"{folder}{os.sep}{name}", size, max_bytes, max_age)
    except (OSError, owned_files.DamagedEntryError) as error:
        logger.warning("The bounds of the cache %s cannot be kept: %s", directory, error)


def _keep(
    directory: str, path: str, size: int, max_bytes: Optional[int], max_age: Optional[float]
) -> None:
    file = Locked(os.open(os.path.join(directory, NAME), owned_files.WRITE, 0o600))
    try:
        owned_files.check_status(os.fstat(file.descriptor), is_written=True)
        # Several processes at once would remove more than needed.
        file.lock()
        now = time.time()
        data = os.read(file.descriptor, _ESTIMATE.size)
        look = len(data) != _ESTIMATE.size
        total, oldest, looked = (0, now, now) if look else _ESTIMATE.unpack(data)
        total += size
        look = look or not 0 <= now - looked <= _SECONDS_BETWEEN_LOOKS
        look = look or (max_bytes is not None and total > max_bytes)
        if max_age is not None:
            look = look or oldest + max_age * (1 + 1 / _SPARE) < now
        if look:
            total, oldest = _look(directory, path, max_bytes, max_age, now)
            looked = now
        os.lseek(file.descriptor, 0, os.SEEK_SET)
        os.write(file.descriptor, _ESTIMATE.pack(total, oldest, looked))
    finally:
        file.unlock()


def _look(
    directory: str, path: str, max_bytes: Optional[int], max_age: Optional[float], now: float
) -> tuple[int, float]:
    _remove_abandoned(directory, now)
    kept, _, _ = _remove(directory, max_bytes, max_age, now, path, spare=True)
    return sum(found.size for found in kept), min((f.written for f in kept), default=now)


def prune(
    directory: str, max_bytes: Optional[int] = None, max_age: Optional[float] = None
) -> Removed:
    """Removes what is too much, and what writers that died left behind."""
    now = time.time()
    abandoned = _remove_abandoned(directory, now)
    _, removed, failures = _remove(directory, max_bytes, max_age, now)
    emptied = {os.path.dirname(found.path) for found in removed}
    for folder in folders_in(directory):
        # Empty folders belong to code that has changed since.
        if folder in emptied or _is_like_id(os.path.basename(folder)):
            with contextlib.suppress(OSError):
                os.rmdir(folder)
    size = sum(found.size for found in removed) + sum(abandoned)
    return Removed(len(removed), len(abandoned), size, failures)


def _remove_abandoned(directory: str, now: float) -> list[int]:
    sizes = []
    for folder in folders_in(directory):
        for found in _files_in(folder):
            name = os.path.basename(found.path)
            is_temporary = name.startswith(".") and name.endswith(SUFFIX)
            if is_temporary and found.written < now - _SECONDS_ABANDONED:
                sizes.append(remove_abandoned(found.path))
    return [size for size in sizes if size >= 0]


def _remove(
    directory: str,
    max_bytes: Optional[int],
    max_age: Optional[float],
    now: float,
    keep: str = "",
    spare: bool = False,
) -> tuple[list[CacheFile], list[CacheFile], list[OSError]]:
    """Removes what is too old, then what was used longest ago; returns kept, removed, failures."""
    entries = sorted(entries_in(directory))
    total = sum(found.size for found in entries)
    more = len(entries) // _SPARE if spare else 0
    was_full = False
    kept: list[CacheFile] = []
    removed: list[CacheFile] = []
    failures: list[OSError] = []
    for found in entries:
        too_old = max_age is not None and found.written < now - max_age
        too_much = max_bytes is not None and total > max_bytes
        was_full = was_full or too_much
        is_spare = was_full and more > 0 and not (too_old or too_much)
        if not (too_old or too_much or is_spare) or found.path == keep:
            kept.append(found)
            continue
        more -= is_spare
        try:
            is_ours = entry.has_mark(found.path)
        except FileNotFoundError:
            is_ours = True
        except OSError as error:
            failures.append(error)
            is_ours = False
        if not is_ours:
            # A file with the name of an entry that is none, or unreadable: it does not count.
            total -= found.size
            continue
        try:
            os.unlink(found.path)
        except FileNotFoundError:
            pass
        except OSError as error:
            # On Windows, an open file cannot be removed.
            failures.append(error)
            kept.append(found)
            continue
        total -= found.size
        removed.append(found)
    return kept, removed, failures
