"""Files for bulk data that both sides map, and that are gone as soon as nobody has them open.

sender: write(2), so that its memory does not grow
receiver: maps it privately, so that it may change what it got, and pays for the pages it touches;
          bytes are read out of the mapping, which then ends
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import sys
import weakref
from collections.abc import Sequence
from typing import Any, Optional

from .._system.buffers import room
from .._system.files import write_all

# Above this it is worth asking how much memory there is.
_SMALL = 1 << 20
# Before Python 3.13 each mapping keeps a descriptor, of which a process may have a few hundred.
# Where so many mappings are in use, what is smaller than this is copied: of larger ones memory runs
# out before descriptors do.
_KEEPS_DESCRIPTORS = sys.version_info < (3, 13)
_MOST_KEPT = 50
_WORTH_A_DESCRIPTOR = 1 << 24
_kept: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()


def create(pieces: Sequence[Any], size: int, directory: Optional[str]) -> int:
    """Writes data to a file without a name, readable by its owner only.

    The file is in memory where the platform has such files and twice the room that it needs is
    free, else in the directory.

    `directory`: for a file on disk, by default where temporary files go.
    """
    in_memory = _in_memory(size)
    if in_memory is not None:
        try:
            return _written(in_memory, pieces)
        except OSError:
            pass  # there is no room for it
    return _written(_on_disk(directory), pieces)


def opened(size: int, directory: Optional[str]) -> int:
    """Opens an empty file for data that comes in pieces, see `create`."""
    in_memory = _in_memory(size)
    return _on_disk(directory) if in_memory is None else in_memory


def _in_memory(size: int) -> Optional[int]:
    if sys.platform == "linux" and (size < _SMALL or 2 * size <= _available_memory()):
        try:
            return os.memfd_create("bandsaw", os.MFD_CLOEXEC)
        except (OSError, AttributeError):
            pass  # not allowed here, or a Python built without it
    return None


def _written(descriptor: int, pieces: Sequence[Any]) -> int:
    try:
        write_all(descriptor, pieces)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _on_disk(directory: Optional[str]) -> int:
    import tempfile

    descriptor, path = tempfile.mkstemp(prefix="bandsaw-", dir=directory)
    os.unlink(path)
    return descriptor


def _available_memory() -> int:
    try:
        with open("/proc/meminfo", "rb") as file:
            for line in file:
                if line.startswith(b"MemAvailable:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return 0


# What was mapped of memory that is somebody else's, who may use it again after the call.
_lent: list[weakref.ref[mmap.mmap]] = []
_POPULATE_WRITE = 23


def mapped(file: io.FileIO, place: Optional[tuple[int, int]] = None) -> memoryview:
    """Maps a file privately: what is changed in it is changed for nobody else.

    `place`: offset and size of a part of a file that somebody else may change after the call, see
    `keep_lent`.
    """
    descriptor = file.fileno()
    try:
        if place is not None:
            offset, size = place
            lead = offset % mmap.ALLOCATIONGRANULARITY
            lent = mmap.mmap(descriptor, lead + size, access=mmap.ACCESS_COPY, offset=offset - lead)
            _lent.append(weakref.ref(lent))
            return memoryview(lent)[lead:]
        if sys.version_info >= (3, 13):
            return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY, trackfd=False))
        else:  # Written out: after a `return`, a type checker of 3.13 finds the rest dead.
            return memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_COPY))
    finally:
        file.close()


def to_keep(data: memoryview) -> memoryview:
    """Gives what may be kept for long of a mapped file: itself, or a copy if many are."""
    if not _KEEPS_DESCRIPTORS:
        return data
    if len(_kept) < _MOST_KEPT or len(data) >= _WORTH_A_DESCRIPTOR:
        _kept.add(data.obj)  # type: ignore[arg-type]
        return data
    copy = room(len(data))
    copy[:] = data
    return copy


def keep_lent() -> None:
    """Copies what was lent for a call and is still in use after it."""
    while _lent:
        # Other threads of an executor's worker may add some meanwhile, and take these.
        with contextlib.suppress(IndexError):
            lent = _lent.pop()()
            if lent is not None:
                _copy(lent)


def _copy(lent: mmap.mmap) -> None:
    try:
        lent.madvise(_POPULATE_WRITE)
    except (OSError, AttributeError):
        for place in range(0, len(lent), mmap.PAGESIZE):
            lent[place] = lent[place]
