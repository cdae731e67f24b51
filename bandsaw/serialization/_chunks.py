"""Streams for a pickler to write to."""

from __future__ import annotations

from pickle import PickleBuffer
from typing import Any


class Chunks(list[Any]):
    """Keeps what the pickler writes, large `bytes` as the very objects they are."""

    write = list.append

    def written(self) -> list[bytes]:
        # So do buffers that have to stay among the data, and count as they lie in memory.
        return [bytes(each.raw()) if type(each) is PickleBuffer else each for each in self]


class TooLongError(BaseException):
    """Ends a pickling that was to be short. Nothing that handles errors is to catch it."""


class FewChunks(Chunks):
    """Keeps so many bytes at most."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self._left = most

    def write(self, data: Any) -> None:
        self._left -= memoryview(data).nbytes
        if self._left < 0:
            raise TooLongError
        self.append(data)


class Nowhere:
    """Forgets what is written."""

    write = staticmethod(id)  # a buffer has no length
