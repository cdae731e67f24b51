"""The zip that a session file is: read without believing what it says about itself.

Nothing is extracted to a path. What is refused before anything of a member is read: one that is
there twice, compressed or encrypted, that lies outside of the file or in another one. So what all
members take in memory is never more than the file has bytes, and that has a bound of its own:
`BANDSAW_MAX_SESSION_BYTES`, by default 1 TiB.
"""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

from ..errors import InvalidValueError, SessionFileError

MAX_BYTES_ENV_VARIABLE = "BANDSAW_MAX_SESSION_BYTES"
_MAX_BYTES = 1 << 40
_CHUNK = 1 << 20
# What zipfile reads at once to find the members: the directory, and what may be a comment.
_MOST_DIRECTORY = 1 << 17
# A member begins with this many bytes and its name.
_LOCAL_HEADER = 30


class ZipMember:
    """A member of the zip, not read yet."""

    def __init__(self, archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> None:
        self._archive = archive
        self._info = info

    def data(self, most: int | None = None) -> bytes:
        size = self._info.file_size
        if most is not None and size > most:
            raise SessionFileError(
                f"The member {self._info.filename} of a session file has {size} bytes; it may have "
                f"{most}."
            )
        return self._archive.read(self._info)

    def parts(self, lengths: Sequence[int]) -> list[bytearray]:
        """Reads it as parts that follow each other, copying nothing twice."""
        if sum(lengths) != self._info.file_size:
            raise SessionFileError(
                f"The member {self._info.filename} of a session file has {self._info.file_size} "
                f"bytes, and its parts have {sum(lengths)}."
            )
        parts = []
        stream: Any
        with self._archive.open(self._info) as stream:
            for length in lengths:
                part = bytearray(length)
                parts.append(part)
                view = memoryview(part)
                while view:
                    count = stream.readinto(view[:_CHUNK])
                    if not count:
                        raise EOFError
                    view = view[count:]
            # zipfile compares the checksum at the end of the member.
            stream.read(1)
        return parts


@contextlib.contextmanager
def opened(stream: BinaryIO) -> Iterator[dict[str, ZipMember]]:
    try:
        seekable, size = _seekable(stream)
        guarded = _Guarded(seekable)
        with zipfile.ZipFile(guarded) as archive:
            guarded.most = None
            infos = archive.infolist()
            _check(infos, size)
            yield {info.filename: ZipMember(archive, info) for info in infos}
    except SessionFileError:
        raise
    # A damaged zip is reported by zipfile in all these ways.
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        ValueError,
        OSError,
        NotImplementedError,
        KeyError,
        RuntimeError,
        OverflowError,
        MemoryError,
    ) as e:
        if isinstance(e, InvalidValueError):
            raise
        raise SessionFileError(
            f"A session file was expected, and this is none or is damaged: {e or type(e).__name__}"
        ) from e


def _check(infos: Sequence[zipfile.ZipInfo], size: int) -> None:
    names = [info.filename for info in infos]
    if len(set(names)) != len(names):
        raise SessionFileError("A session file has a member twice.")
    end = size
    for info in sorted(infos, key=lambda info: info.header_offset, reverse=True):
        if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1:
            raise SessionFileError("The members of a session file are stored as they are.")
        last = info.header_offset + _LOCAL_HEADER + len(info.filename) + info.file_size
        if info.file_size != info.compress_size or info.header_offset < 0 or last > end:
            raise SessionFileError(
                f"The member {info.filename!r:.100} of a session file has a size that it cannot "
                "have."
            )
        end = info.header_offset


def _seekable(stream: BinaryIO) -> tuple[BinaryIO, int]:
    most = _max_bytes()
    if not stream.seekable():
        copy = io.BytesIO()
        while data := stream.read(_CHUNK):
            copy.write(data)
            _check_size(copy.tell(), most)
        stream = copy
    size = stream.seek(0, io.SEEK_END)
    _check_size(size, most)
    stream.seek(0)
    return stream, size


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise SessionFileError(
            f"A session file has more than {most} bytes. Set {MAX_BYTES_ENV_VARIABLE} to allow "
            "for more."
        )


def _max_bytes() -> int:
    given = os.environ.get(MAX_BYTES_ENV_VARIABLE)
    if not given:
        return _MAX_BYTES
    if not given.isdecimal():
        raise InvalidValueError(
            f"The environment variable {MAX_BYTES_ENV_VARIABLE} has to be a number of bytes, not "
            f"{given!r}."
        )
    return int(given)


class _Guarded:
    """Refuses to read more at once than a directory of ours can have."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self.most: int | None = _MOST_DIRECTORY  # the bytes, `None` for any number
        self.seek = stream.seek
        self.tell = stream.tell
        self.seekable = stream.seekable

    def read(self, size: int = -1) -> Any:
        if self.most is None:
            return self._stream.read(size)
        if size > self.most:
            raise SessionFileError("A session file has too many members.")
        data = self._stream.read(self.most if size < 0 else size)
        return data
