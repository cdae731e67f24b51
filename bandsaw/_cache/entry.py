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

The last buffer of version 3 has the contents of the files in the result. Entries
without files are of version 2.

Numbers are big endian. The ids are `task id / execution id`, as the folder and the file are named:
an entry under another name is none. When the digest is computed: see `read`.
"""

from __future__ import annotations

import os
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, Optional, Union

from .._system.buffers import room, update
from .._system.files import is_settled
from . import verified
from .owned_files import READ, DamagedEntryError, check_folder, check_status, open_to_look

_MARK = b"BANDSAW"
MAGIC = _MARK + b"\x02"
_WITH_FILES = _MARK + b"\x03"
_START = 48
_HEADER = struct.Struct(">8sQ32sIIQ")
_REST = struct.Struct(">IIQ")
_BUFFER = struct.Struct(">QQ")
# The alignment of the widest vector instructions, and the length of a cache line.
_ALIGNMENT = 64
# Entries up to this size are read whole; their buffers are copies.
_SMALL = 1 << 20
# The piece that is read and hashed at once, and the longest buffer that is read with others.
_CHUNK = 1 << 23
_SHORT = 1 << 17
# A mapping costs a descriptor and whole pages, too much for smaller entries.
_LEAST_MAPPED = 1 << 16
# The first read of a mapped file: most often it has the whole record and payload.
_HEAD = 1 << 12
_OTHER_DIGEST = "the digest of its contents is another one"


class Entry(NamedTuple):
    payload: Any  # the result, as the serializer wrote it: contiguous bytes
    buffers: Sequence[Any]  # the buffers that the serializer left out of it
    record: bytes  # what the ids were made of
    status: os.stat_result  # the state of the file, as `os.stat` gives it
    contents: Any = None  # those of the files in the result, `None` if there are none


def read(
    folder: str, name: str, *, mapped: bool = False, stamped: bool = False, path: str = ""
) -> Entry:
    """Reads and verifies an entry, or the file at a `path` that is to become the entry.

    A large or mapped file is verified when this process reads it for the first time, and again
    when its size, its times or the file itself have changed: see `verified`. What a short one holds
    is known for a second.
    """
    if not path:
        path = f"{folder}{os.sep}{name}"
        check_folder(folder)
        recent: Optional[Entry] = None if stamped else verified.recent(path)
        if recent is not None:
            return recent
    # Python handles Ctrl-C when a call has returned, and what this opens is not lost by it.
    (descriptor,) = map(os.open, (path,), (READ,))
    try:
        status = os.fstat(descriptor)
        check_status(status)
        size = status.st_size
        ids = ids_of(folder, name)
        if (mapped and size > _LEAST_MAPPED) or (size > _SMALL and _has_files(descriptor)):
            entry = _read_mapped(path, ids, descriptor, status, mapped)
        elif size > _SMALL:
            entry = _read_large(path, ids, descriptor, status)
        else:
            begun = time.time_ns()
            data = os.read(descriptor, size)
            if len(data) < size:
                data += _read_all(descriptor, size - len(data))
            start, middle, end, places = _parse(data, size)
            if sha256(ids + data[_START:]).digest() != data[16:_START]:
                raise DamagedEntryError(_OTHER_DIGEST)
            # Arrays over `bytes` are read-only, as those over a mapping are.
            kind = bytes if mapped else bytearray
            buffers = [kind(data[first:last]) for first, last in places]
            entry = _entry(data[:8], data[middle:end], buffers, data[start:middle], status)
            if size <= _HEAD and not places and is_settled(status.st_mtime_ns, begun):
                verified.remember_recent(path, status, entry)
        if stamped:
            _stamp(path, descriptor, status)
        return entry
    finally:
        os.close(descriptor)


def _has_files(descriptor: int) -> bool:
    """Whether an entry has contents of files, which are never read into memory."""
    magic = os.read(descriptor, len(MAGIC))
    os.lseek(descriptor, 0, os.SEEK_SET)
    return magic == _WITH_FILES


def _entry(
    magic: bytes, payload: Any, buffers: list[Any], record: bytes, status: os.stat_result
) -> Entry:
    contents = None
    if magic == _WITH_FILES:
        if not buffers:
            raise DamagedEntryError("it has no contents of files")
        contents = buffers.pop()
    return Entry(payload, buffers, record, status, contents)


def read_record(path: str) -> bytes:
    """Reads what an entry remembers, without verifying the rest of it."""
    opened: list[int] = []
    try:
        descriptor = open_to_look(path, opened)
        status = os.fstat(descriptor)
        check_status(status)
        head = _read_all(descriptor, min(_HEADER.size, status.st_size))
        start, middle, _, _ = _parse(head, status.st_size)
        return _read_all(descriptor, middle - len(head))[start - len(head) :]
    finally:
        if opened:
            os.close(opened[0])


def length_to_payload(head: bytes) -> int:
    """Says how many bytes an entry has before its payload; 0 if its beginning is that of none."""
    if len(head) < _HEADER.size or not head.startswith(_MARK):
        return 0
    _, _, _, record, number, _ = _HEADER.unpack_from(head)
    return int(_HEADER.size + number * _BUFFER.size + record)


def has_mark(path: str) -> bool:
    """Says whether a file begins as entries do, of this version or another."""
    opened: list[int] = []
    try:
        return os.read(open_to_look(path, opened), len(_MARK)) == _MARK
    finally:
        if opened:
            os.close(opened[0])


def ids_of(folder: str, name: str) -> bytes:
    return f"{folder[folder.rfind(os.sep) + 1 :]}/{name}\n".encode("utf-8", "surrogateescape")


def packed(
    ids: bytes,
    record: bytes,
    payload: Sequence[bytes],
    buffers: Sequence[Any] = (),
    contents: Any = None,
) -> list[Any]:
    """Lays out an entry as the parts of its file, in order. The buffers are not copied."""
    magic = MAGIC
    if contents is not None:
        magic, buffers = _WITH_FILES, [*buffers, contents]
    length = sum(map(len, payload))
    position = _HEADER.size + _BUFFER.size * len(buffers) + len(record) + length
    table = bytearray()
    data: list[Any] = []
    for buffer in buffers:
        padding = -position % _ALIGNMENT
        data += (bytes(padding), buffer)
        position += padding
        table += _BUFFER.pack(position, position + buffer.nbytes)
        position += buffer.nbytes
    head = _REST.pack(len(record), len(buffers), length) + table + record
    digest = sha256(ids)
    for part in (head, *payload, *data):
        digest.update(part)
    start = magic + (position - _START).to_bytes(8, "big") + digest.digest()
    first = [start, head, *payload]
    return [*(first if length > _SMALL else [b"".join(first)]), *data]  # one write if it is short


def _read_all(descriptor: int, size: int) -> bytes:
    data = os.read(descriptor, size)
    while len(data) < size:
        more = os.read(descriptor, size - len(data))
        if not more:
            raise DamagedEntryError("it ends early")
        data += more
    return data


def _parse(data: Any, size: int) -> tuple[int, int, int, Sequence[tuple[int, int]]]:
    """Finds the record, the payload and its end, and the buffers: none behind the header yet."""
    if len(data) < _HEADER.size:
        raise DamagedEntryError(f"it has {size} bytes, too few for a header")
    magic, length, _, record, number, payload = _HEADER.unpack_from(data)
    if magic not in (MAGIC, _WITH_FILES):
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


def _read_large(path: str, ids: bytes, descriptor: int, status: os.stat_result) -> Entry:
    size, begun = status.st_size, time.time_ns()
    head = _read_all(descriptor, _HEADER.size)
    head += _read_all(descriptor, _parse(head, size)[1] - len(head))
    start, middle, position, places = _parse(head, size)
    payload = room(position - middle)
    buffers: list[Any] = []
    short: list[tuple[int, int]] = []

    def read_to(end: int) -> memoryview:
        nonlocal position
        data = memoryview(_read_all(descriptor, end - position))
        # A buffer each: a part of a result that the user keeps must not keep the rest alive.
        buffers.extend(bytearray(data[a - position : b - position]) for a, b in short)
        short.clear()
        position = end
        return data

    def pieces() -> Iterator[memoryview]:
        nonlocal position
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            yield from _read_into(payload, file)
            for first, last in places:
                if last - first <= _SHORT:
                    short.append((first, last))
                    if last - position > _SMALL:
                        yield read_to(last)
                    continue
                yield read_to(first)
                buffers.append(room(last - first))
                yield from _read_into(buffers[-1], file)
                position = last
        yield read_to(size)

    if verified.is_large(path, status):
        for _ in pieces():
            pass
        if not verified.has_same_contents(os.fstat(descriptor), status):
            raise DamagedEntryError("it was changed while it was read")
    else:
        digest = sha256(ids)
        digest.update(memoryview(head)[_START:])
        update(digest, pieces(), size)
        _verify(digest, head, path, status, begun)
    return Entry(payload, buffers, head[start:middle], status)


def _read_into(view: memoryview, file: Any) -> Iterator[memoryview]:
    while view:
        count = file.readinto(view[:_CHUNK])
        if not count:
            raise DamagedEntryError("it ends early")
        yield view[:count]
        view = view[count:]


# Before Python 3.13 a mapping keeps a copy of the descriptor.
_NO_DESCRIPTOR: Any = {"trackfd": False} if sys.version_info >= (3, 13) else {}


def _read_mapped(
    path: str, ids: bytes, descriptor: int, status: os.stat_result, mapped: bool
) -> Entry:
    import mmap

    # A page fault costs more than `read()` of that page.
    size = status.st_size
    head = _read_all(descriptor, _HEAD)
    end = _parse(head[: _HEADER.size], size)[2]
    if end > len(head):
        head += _read_all(descriptor, end - len(head))
    start, middle, end, places = _parse(head, size)
    # The views keep the mapping alive, and the last of them ends it.
    data = memoryview(mmap.mmap(descriptor, size, access=mmap.ACCESS_READ, **_NO_DESCRIPTOR))
    if not verified.is_large(path, status):
        begun = time.time_ns()
        digest = sha256(ids)
        digest.update(data[_START:])
        _verify(digest, head, path, status, begun)
    buffers = [data[first:last] for first, last in places]
    entry = _entry(head[:8], head[middle:end], buffers, head[start:middle], status)
    if not mapped:
        entry = entry._replace(buffers=[bytearray(buffer) for buffer in entry.buffers])
    return entry


def _verify(digest: Any, head: bytes, path: str, status: os.stat_result, begun: int) -> None:
    if digest.digest() != head[16:_START]:
        raise DamagedEntryError(_OTHER_DIGEST)
    if is_settled(status.st_mtime_ns, begun):
        verified.remember_large(path, status)


def _stamp(path: str, descriptor: int, status: os.stat_result) -> None:
    """Sets the time of the last access, which file systems keep only roughly or not at all."""
    target: Union[int, str] = descriptor if os.utime in os.supports_fd else path
    try:
        os.utime(target, ns=(time.time_ns(), status.st_mtime_ns))
    except OSError:
        return
    # `utime` has changed the stamps, and not the contents.
    if verified.is_large(path, status):
        now = os.fstat(descriptor)
        if verified.has_same_contents(now, status):
            verified.remember_large(path, now)


def problem_of(folder: str, name: str) -> Optional[str]:
    """Verifies an entry. Returns what is wrong with it, `None` if it is intact."""
    try:
        read(folder, name, mapped=True)
    except FileNotFoundError:
        raise
    except (OSError, DamagedEntryError) as error:
        return str(error)
    return None
