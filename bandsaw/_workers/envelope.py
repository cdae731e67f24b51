"""A session as the body of a message: the lengths of its members, then the members.

    body:           10 lengths │ session.json │ seal │ task │ ... │ task.buffers │ ...
    with a file:    10 lengths         file:  session.json │ seal │ ...  each piece aligned

The members and their order are those of `members.MEMBERS`. A length of -1 stands for a member
that is not there. Buffers are aligned one by one, in a body as in a file.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .._session.members import MEMBERS
from ..errors import SessionFileError
from . import bulk_files
from .frames import LARGEST_BODY, Frame, Message

_LENGTHS = struct.Struct(f"!{len(MEMBERS)}q")
# Every buffer begins at a multiple of this: the length of a cache line, more than any type needs.
_ALIGNMENT = 64
_ZEROS = bytes(_ALIGNMENT)


def message(kind: int, members: Mapping[str, Sequence[Any]], directory: Optional[str]) -> Message:
    """Makes a message for `Channel.send`; its descriptor is to be closed afterwards."""
    head, pieces, total = laid_out(members)
    if total <= LARGEST_BODY:
        return kind, [head, *pieces], None
    return kind, [head], bulk_files.create(pieces, total, directory)


def laid_out(members: Mapping[str, Sequence[Any]]) -> tuple[bytes, list[Any], int]:
    lengths = []
    pieces: list[Any] = []
    total = 0
    for name in MEMBERS:
        if name not in members:
            lengths.append(-1)
            continue
        length = 0
        for piece in members[name]:
            size = len(piece)
            pieces.append(piece)
            if name.endswith(".buffers"):
                pieces.append(_ZEROS[: _padding(size)])
                size += len(pieces[-1])
            length += size
        if not name.endswith(".buffers"):
            pieces.append(_ZEROS[: _padding(length)])
            total += len(pieces[-1])
        lengths.append(length)
        total += length
    return _LENGTHS.pack(*lengths), pieces, total


def _padding(size: int) -> int:
    """Returns how many bytes follow so many until the next multiple of the alignment."""
    return -size % _ALIGNMENT


class _Part:
    """A member of a session, see `members.Member`."""

    def __init__(self, name: str, data: Any, is_file: bool) -> None:
        self._name = name
        self._data = data
        self._is_file = is_file

    def data(self, most: Optional[int] = None) -> Any:
        size = len(self._data)
        if most is None:
            return self._data
        if size > most:
            raise SessionFileError(
                f"The {self._name} of a session has {size} bytes; {most} may be."
            )
        return bytes(self._data)

    def parts(self, lengths: Sequence[int]) -> Sequence[memoryview]:
        data = bulk_files.to_keep(self._data) if self._is_file else self._data
        found, start = [], 0
        for length in lengths:
            found.append(data[start : start + length])
            start += length + _padding(length)
        if start != len(self._data):
            raise SessionFileError(
                f"The {self._name} of a session have {len(self._data)} bytes, and {start} by what "
                "it says about itself."
            )
        return found


def _room_of(name: str, length: int) -> int:
    if length < 0:
        return 0  # it is not there
    return length if name.endswith(".buffers") else length + _padding(length)


def members(frame: Frame) -> dict[str, _Part]:
    try:
        lengths = _LENGTHS.unpack_from(frame.body)
    except struct.error as error:
        frame.discard()
        raise SessionFileError(f"A message was to hold a session, and does not: {error}") from error
    start = _LENGTHS.size
    # Writable, as what comes in a file is.
    data, is_file = frame.data, False
    if data is not None:
        start = 0
    elif frame.descriptor is None:
        data = memoryview(bytearray(frame.body))
    else:
        place = None
        if start < len(frame.body):
            # It lies somewhere in the file, which is of somebody else.
            size = sum(map(_room_of, MEMBERS, lengths))
            place = int.from_bytes(frame.body[start:], "big"), size
        start = 0
        try:
            data, is_file = bulk_files.mapped(frame.descriptor, place), place is None
        except (OSError, ValueError, OverflowError, MemoryError) as error:
            raise SessionFileError(f"The file of a session cannot be mapped: {error}") from error
    found = {}
    for name, length in zip(MEMBERS, lengths):
        if length >= 0:
            found[name] = _Part(name, data[start : start + length], is_file)
            start += _room_of(name, length)
        if length < -1 or start > len(data):
            raise SessionFileError(f"A message was to hold a session, and ends in its {name}.")
    if start != len(data):
        raise SessionFileError("A message holds more than a session.")
    return found
