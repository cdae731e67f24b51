"""Streams over generators, and generators over streams."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from typing import BinaryIO, Union

Buffer = Union[bytes, bytearray, memoryview]


class BytearrayGeneratorToStream(io.RawIOBase):
    """A readable raw stream over a generator of bytes.

    A read fills the reader's buffer across as many items as it takes; it returns less than was
    asked for only at the end.

    Args:
        generator: Yields `bytes` or `bytearray`s of any size, empty ones included.
    """

    def __init__(self, generator: Iterable[Buffer]) -> None:
        super().__init__()
        self._items = iter(generator)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        """Returns `True`: the stream can be read."""
        return True

    def readinto(self, buffer: Buffer) -> int:  # type: ignore[override]
        """Fills a buffer.

        Args:
            buffer: A writable buffer of bytes.

        Returns:
            The number of bytes written into it, less than its size only at the end.
        """
        target = memoryview(buffer).cast("B")
        filled = 0
        while filled < len(target):
            if not self._rest:
                item = next(self._items, None)
                if item is None:
                    break
                self._rest = memoryview(item)
                continue
            size = min(len(self._rest), len(target) - filled)
            target[filled : filled + size] = self._rest[:size]
            self._rest = self._rest[size:]
            filled += size
        return filled


def read_stream_to_generator(stream: BinaryIO, buffer_size: int = 8192) -> Iterator[bytes]:
    """Reads a stream piece by piece.

    Args:
        stream: A binary stream that is open for reading. It is left open.
        buffer_size: The most bytes to read at once.

    Yields:
        What was read, never empty.
    """
    while True:
        data = stream.read(buffer_size)
        if not data:
            return
        yield data
