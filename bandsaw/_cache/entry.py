"""A cache entry: one file that is whole, or is not taken for one.

| offset  | bytes | holds                                                              |
|---------|-------|--------------------------------------------------------------------|
| 0       | 8     | `BANDSAW` and the version of this form                             |
| 8       | 8     | the number of bytes from offset 48 on                              |
| 16      | 32    | the SHA-256 of the ids and of the bytes from offset 48 on          |
| 48      | 4     | the length of the record                                           |
| 52      | 4     | the number of buffers                                              |
| 56      | 8     | the length of the payload                                          |
| 64      | 16 n  | where each buffer begins and ends                                  |
|         |       | the record: what the ids were made of                              |
|         |       | the payload: the result, as the serializer wrote it                |
|         |       | the buffers that the serializer left out of it, each at a multiple |
|         |       | of 64 bytes, zeros between them                                    |

Numbers are big endian. The ids are `task id / execution id`, as the folder and the file are named:
an entry under another name is none. The digest is computed whenever a file is read. The one
exception are files that are mapped into memory: see `read`.
"""

from __future__ import annotations

import os
import stat
import struct
import time
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, NamedTuple, Optional, Union

MAGIC = b"BANDSAW\x02"
_START = 48
_HEADER = struct.Struct(">8sQ32sIIQ")
_REST = struct.Struct(">IIQ")
_BUFFER = struct.Struct(">QQ")
# What arithmetic on the widest vectors wants, and a line of the processor's cache.
_ALIGNMENT = 64
# What is no larger is read at once, and its buffers are copied out of it.
_SMALL = 1 << 20
# Never through a link: an entry is what lies in its folder. Windows has neither flag.
# Never waiting for what is no file.
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_READ |= getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
# Some file systems stamp a file no more often than this; until then a change cannot be seen.
_STAMP_NS = 2_000_000_000
_MOST_KNOWN = 4096
# Only its owner can open a folder to others. To look again and again costs as much as to open it.
_SECONDS_TRUSTED = 1.0

# The mapped files that were verified, and their stamps then.
_verified: dict[str, tuple[int, ...]] = {}
# The folders that were looked at, and until when that holds.
_trusted: dict[str, float] = {}


_OTHER_DIGEST = "the digest of its contents is another one"


class DamagedEntryError(Exception):
    """A file is no entry, or not a whole one. Says why."""


class Entry(NamedTuple):
    """What an entry holds.

    Attributes:
        payload: The result, as the serializer wrote it: contiguous bytes.
        buffers: The buffers that the serializer left out of it.
        record: What the ids were made of.
        status: The state of the file, as `os.stat` gives it.
    """

    payload: Any
    buffers: Sequence[Any]
    record: bytes
    status: os.stat_result


def read(folder: str, name: str, *, mapped: bool = False, stamped: bool = False) -> Entry:
    """Reads and verifies an entry.

    A mapped file is verified when this process reads it for the first time, and again when its
    size, its times or the file itself have changed. In the first two seconds after it was
    written it is verified each time, because the times of some file systems are no finer than
    that.

    Args:
        folder: The path of the folder, named as the task id.
        name: The name of the file, the execution id.
        mapped: Whether the buffers are to be views of the file, read-only, and not copies.
        stamped: Whether to set the time of the last access.

    Returns:
        What is in it.

    Raises:
        FileNotFoundError: If there is no such file.
        DamagedEntryError: If it is not a whole entry.
        OSError: If it cannot be read.
    """
    path = f"{folder}{os.sep}{name}"
    check_folder(folder)
    descriptor = os.open(path, _READ)
    try:
        status = os.fstat(descriptor)
        check_is_ours(status)
        if not stat.S_ISREG(status.st_mode):
            raise DamagedEntryError("it is no file")
        size = status.st_size
        ids = ids_of(folder, name)
        if size > _SMALL:
            if mapped:
                entry = _read_mapped(path, ids, descriptor, status)
            else:
                entry = _read_large(descriptor, status, sha256(ids))
        else:
            data = os.read(descriptor, size)
            if len(data) < size:
                data += _read_all(descriptor, size - len(data))
            start, middle, end, places = _parse(data, size)
            if sha256(ids + data[_START:]).digest() != data[16:_START]:
                raise DamagedEntryError(_OTHER_DIGEST)
            if places and mapped:
                entry = _read_mapped(path, ids, descriptor, status)
            else:
                buffers = [bytearray(data[first:last]) for first, last in places]
                entry = Entry(data[middle:end], buffers, data[start:middle], status)
        if stamped:
            _stamp(path, descriptor, status)
        return entry
    finally:
        os.close(descriptor)


def read_record(path: str) -> tuple[bytes, os.stat_result]:
    """Reads what an entry remembers, without verifying the rest of it.

    Args:
        path: The file.

    Returns:
        The record, and the state of the file.

    Raises:
        DamagedEntryError: If it is no entry.
        OSError: If it cannot be read.
    """
    flags = _READ
    if hasattr(os, "geteuid"):
        # To look at an entry is not to use it.
        flags |= getattr(os, "O_NOATIME", 0)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        check_is_ours(status)
        if not stat.S_ISREG(status.st_mode):
            raise DamagedEntryError("it is no file")
        head = _read_all(descriptor, min(_HEADER.size, status.st_size))
        start, middle, _, _ = _parse(head, status.st_size)
        return _read_all(descriptor, middle - len(head))[start - len(head) :], status
    finally:
        os.close(descriptor)


def check_folder(folder: str) -> None:
    """Refuses a folder that is not there, leads elsewhere, or that others can write to.

    What was found holds for a second.

    Args:
        folder: The folder.

    Raises:
        DamagedEntryError: If it is not to be trusted.
        OSError: If it cannot be looked at.
    """
    now = time.monotonic()
    if _trusted.get(folder, 0.0) > now:
        return
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode):
        raise DamagedEntryError("the folder it is in is a link or no folder")
    check_is_ours(status)
    if len(_trusted) >= _MOST_KNOWN:
        _trusted.clear()
    _trusted[folder] = now + _SECONDS_TRUSTED


def check_is_ours(status: os.stat_result) -> None:
    """Refuses what others own or can write to.

    Args:
        status: The state of the file or folder.

    Raises:
        DamagedEntryError: If it is not to be trusted.
    """
    # What others can write, they can fill with a payload that runs their code when it is read.
    if _HAS_OWNERS and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
        raise DamagedEntryError("it or its folder belongs to or can be written by other users")


_HAS_OWNERS = hasattr(os, "geteuid")


def ids_of(folder: str, name: str) -> bytes:
    """Returns what an entry is bound to.

    Args:
        folder: The path of the folder, named as the task id.
        name: The name of the file, the execution id.

    Returns:
        The ids.
    """
    return f"{folder[folder.rfind(os.sep) + 1 :]}/{name}\n".encode()


def packed(ids: bytes, record: bytes, payload: Any, buffers: Sequence[Any] = ()) -> list[Any]:
    """Lays out an entry.

    Args:
        ids: What `ids_of` returned.
        record: What the ids were made of.
        payload: The result, as the serializer wrote it.
        buffers: Contiguous bytes that the serializer left out of it.

    Returns:
        The parts of the file, in order. The buffers are not copied.
    """
    head = _REST.pack(len(record), len(buffers), len(payload))
    position = _HEADER.size + _BUFFER.size * len(buffers) + len(record) + len(payload)
    table = bytearray()
    data: list[Any] = []
    for buffer in buffers:
        padding = -position % _ALIGNMENT
        data += (bytes(padding), buffer)
        position += padding
        table += _BUFFER.pack(position, position + buffer.nbytes)
        position += buffer.nbytes
    head += table + record
    digest = sha256(ids)
    digest.update(head)
    digest.update(payload)
    for part in data:
        digest.update(part)
    start = MAGIC + (position - _START).to_bytes(8, "big") + digest.digest()
    return [b"".join((start, head, payload)), *data]


def _read_all(descriptor: int, size: int) -> bytes:
    data = os.read(descriptor, size)
    while len(data) < size:
        more = os.read(descriptor, size - len(data))
        if not more:
            raise DamagedEntryError("it ends early")
        data += more
    return data


def _parse(data: Any, size: int) -> tuple[int, int, int, Sequence[tuple[int, int]]]:
    """Finds where the record and the payload begin, where that ends, and where the buffers are.

    Data that ends behind the header has no buffers yet.
    """
    if len(data) < _HEADER.size:
        raise DamagedEntryError(f"it has {size} bytes, too few for a header")
    magic, length, _, record, number, payload = _HEADER.unpack_from(data)
    if magic != MAGIC:
        raise DamagedEntryError("it does not begin as an entry of this version does")
    if length != size - _START:
        raise DamagedEntryError(f"it has {size} bytes and should have {length + _START}")
    start = _HEADER.size + number * _BUFFER.size
    middle = start + record
    end = middle + payload
    if end > size:
        raise DamagedEntryError("its parts are longer than the file")
    places: Sequence[tuple[int, int]] = ()
    if number and len(data) > _HEADER.size:
        places = [_BUFFER.unpack_from(data, at) for at in range(_HEADER.size, start, _BUFFER.size)]
        last = end
        for offset, stop in places:
            if not last <= offset <= stop <= size:
                raise DamagedEntryError("a buffer of it lies outside of the file")
            last = stop
    return start, middle, end, places


def _read_large(descriptor: int, status: os.stat_result, digest: Any) -> Entry:
    size = status.st_size
    head = _read_all(descriptor, _HEADER.size)
    end = _parse(head, size)[2]
    head += _read_all(descriptor, end - len(head))
    start, middle, end, places = _parse(head, size)
    digest.update(memoryview(head)[_START:])
    buffers = []
    position = len(head)
    with open(descriptor, "rb", buffering=0, closefd=False) as file:
        for first, last in [*places, (size, size)]:
            digest.update(_read_all(descriptor, first - position))
            # A buffer each, so that what is kept of a result does not keep the rest.
            buffer = bytearray(last - first)
            _fill(file, memoryview(buffer))
            digest.update(buffer)
            buffers.append(buffer)
            position = last
    if digest.digest() != head[16:_START]:
        raise DamagedEntryError(_OTHER_DIGEST)
    view = memoryview(head)
    return Entry(view[middle:end], buffers[:-1], head[start:middle], status)


def _fill(file: Any, view: memoryview) -> None:
    done = 0
    while done < len(view):
        count = file.readinto(view[done:])
        if not count:
            raise DamagedEntryError("it ends early")
        done += count


def _read_mapped(path: str, ids: bytes, descriptor: int, status: os.stat_result) -> Entry:
    import mmap

    # The views keep the mapping alive, and the last of them ends it.
    data = memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
    start, middle, end, places = _parse(data, len(data))
    if _verified.get(path) != _stamps(status):
        begun = time.time_ns()
        digest = sha256(ids)
        digest.update(data[_START:])
        if digest.digest() != data[16:_START]:
            raise DamagedEntryError(_OTHER_DIGEST)
        if status.st_mtime_ns + _STAMP_NS < begun:
            _remember(path, status)
    buffers = [data[first:last] for first, last in places]
    return Entry(data[middle:end], buffers, bytes(data[start:middle]), status)


def _stamps(status: os.stat_result) -> tuple[int, ...]:
    return (
        status.st_dev,
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


def _remember(path: str, status: os.stat_result) -> None:
    if len(_verified) >= _MOST_KNOWN:
        _verified.clear()
    _verified[path] = _stamps(status)


def _stamp(path: str, descriptor: int, status: os.stat_result) -> None:
    """Sets the time of the last access, which file systems keep only roughly or not at all."""
    target: Union[int, str] = descriptor if os.utime in os.supports_fd else path
    try:
        os.utime(target, ns=(time.time_ns(), status.st_mtime_ns))
    except OSError:
        return
    # This changed the stamps of a file that is still what it was.
    if _verified.get(path) == _stamps(status):
        now = os.fstat(descriptor)
        if (now.st_mtime_ns, now.st_size) == (status.st_mtime_ns, status.st_size):
            _remember(path, now)


def age_of(status: os.stat_result, now: Optional[float] = None) -> float:
    """Says how old an entry is.

    Args:
        status: The state of its file.
        now: The time in seconds since the epoch, by default this moment.

    Returns:
        The seconds since it was written.
    """
    return (time.time() if now is None else now) - status.st_mtime
