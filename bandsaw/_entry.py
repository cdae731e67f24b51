"""A cache entry: one file that is whole, or is not taken for one.

| bytes | holds                                  |
|-------|----------------------------------------|
| 8     | `BANDSAW` and the version of this form |
| 8     | length of the payload, big endian      |
| 32    | SHA-256 of the payload                 |
| rest  | the payload                            |
"""

from __future__ import annotations

import hashlib
import os
import stat
import struct
from pathlib import Path

from ._files import make_private, write_whole

_MAGIC = b"BANDSAW\x01"
_HEADER = struct.Struct(">8sQ32s")
# Never through a link: an entry is what lies in its folder. Windows has neither flag.
# Never waiting for what is no file.
_FLAGS = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_FLAGS |= getattr(os, "O_NONBLOCK", 0)


class DamagedEntryError(Exception):
    """A file is no entry, or not a whole one. Says why."""


def read(path: Path) -> bytes:
    """Reads and verifies an entry.

    Args:
        path: The file.

    Returns:
        The payload.

    Raises:
        FileNotFoundError: If there is no such file.
        DamagedEntryError: If it is not a whole entry.
        OSError: If it cannot be read.
    """
    descriptor = os.open(path, _FLAGS)
    with os.fdopen(descriptor, "rb") as file:
        for status in (os.stat(path.parent), os.fstat(descriptor)):
            _check_is_ours(status)
        if not stat.S_ISREG(status.st_mode):
            raise DamagedEntryError("it is no file")
        data = file.read()
    if len(data) < _HEADER.size:
        raise DamagedEntryError(f"it has {len(data)} bytes, too few for a header")
    magic, length, digest = _HEADER.unpack_from(data)
    payload = memoryview(data)[_HEADER.size :]
    if magic != _MAGIC:
        raise DamagedEntryError("it does not begin as an entry of this version does")
    if length != len(payload):
        raise DamagedEntryError(f"its payload has {len(payload)} bytes and should have {length}")
    if hashlib.sha256(payload).digest() != digest:
        raise DamagedEntryError("the digest of its payload is another one")
    return bytes(payload)


def _check_is_ours(status: os.stat_result) -> None:
    # What others can write, they can fill with a payload that runs their code when it is read.
    if os.name == "posix" and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
        raise DamagedEntryError("it or its folder belongs to or can be written by other users")


def write(path: Path, payload: bytes) -> None:
    """Writes an entry, whole or not at all, readable by its owner only.

    Args:
        path: The file. The folder it is in is made if it is missing.
        payload: What to keep.

    Raises:
        OSError: If it cannot be written. Then nothing is left behind.
    """
    make_private(path.parent)
    write_whole(path, _HEADER.pack(_MAGIC, len(payload), hashlib.sha256(payload).digest()), payload)
