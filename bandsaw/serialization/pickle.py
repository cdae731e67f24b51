"""Serialization with `pickle`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

from .serializer import Serializer

_loaded: Any = None


def _pickling() -> Any:
    # `import bandsaw` makes a serializer, so the `pickle` module waits for its first use. An import
    # statement would cost as much as to unpickle a small value.
    global _loaded
    if _loaded is None:
        from . import _pickling as module

        _loaded = module
    return _loaded


class PickleSerializer(Serializer):
    """Writes values with `pickle`, protocol 5, which every supported Python reads.

    - Exceptions always arrive: those with required constructor arguments as well, with causes,
      contexts, notes, groups and traceback text. An argument or attribute of theirs that cannot be
      pickled arrives as its `repr`, an exception whose class is not to be had as a
      `bandsaw.errors.RemoteError`.
    - Classes and functions of the script that is being run are written under the name under which
      it can be imported, and are read in its own process as those of `__main__`.
    - Nothing is written when a value cannot be pickled.

    Unpickling runs what the data says. Only read data from a source that you trust.
    """

    def serialize(self, value: Any, stream: BinaryIO) -> None:
        """Writes a value.

        Args:
            value: What to write.
            stream: A binary stream that is open for writing. It is left open.

        Raises:
            bandsaw.errors.UnserializableError: If the value or a part of it cannot be pickled.
        """
        stream.write(_pickling().pickled(value))

    def deserialize(self, stream: BinaryIO) -> Any:
        """Reads a value.

        Args:
            stream: A binary stream that is open for reading. It is left open, behind the value.

        Returns:
            The value that was written.

        Raises:
            bandsaw.errors.DeserializationError: If the data is damaged, or needs a class or
                function that is not to be had here.
        """
        return _pickling().unpickled(stream)

    def serialize_with_buffers(self, value: Any, stream: BinaryIO) -> Sequence[memoryview]:
        """Writes a value exactly, and leaves the data of arrays and the like out of the stream.

        Args:
            value: What to write.
            stream: A binary stream that is open for writing. It is left open.

        Returns:
            The buffers that were left out, by pickle's protocol 5.

        Raises:
            bandsaw.errors.UnserializableError: If the value or a part of it cannot be pickled.
        """
        if self._is_derived():
            return super().serialize_with_buffers(value, stream)
        buffers: list[memoryview] = []
        stream.write(_pickling().pickled_with_buffers(value, buffers))
        return buffers

    def deserialize_with_buffers(self, stream: BinaryIO, buffers: Sequence[Any]) -> Any:
        """Reads what `serialize_with_buffers` wrote.

        Args:
            stream: A binary stream that is open for reading. It is left open.
            buffers: The buffers that were left out, in order. Arrays are backed by them.

        Returns:
            The value that was written.

        Raises:
            bandsaw.errors.DeserializationError: If the data is damaged, or needs a class or
                function that is not to be had here.
        """
        if self._is_derived():
            return super().deserialize_with_buffers(stream, buffers)
        return _pickling().unpickled(stream, buffers)

    def _is_derived(self) -> bool:
        # A serializer that compresses or encrypts says so by these two, and is to be asked.
        kind = type(self)
        return (
            kind.serialize is not PickleSerializer.serialize
            or kind.deserialize is not PickleSerializer.deserialize
        )
