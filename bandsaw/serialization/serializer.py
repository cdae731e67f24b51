"""The interface of a serializer."""

from __future__ import annotations

import abc
import contextlib
import threading
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO


class Serializer(abc.ABC):
    """Turns values into bytes and back. A configuration has one of them.

    Attributes:
        is_signed: Whether what this serializer reads is verified to come from somebody who has its
            key. Sessions are then signed as a whole, and those that are not are refused.
    """

    is_signed: bool = False

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    @abc.abstractmethod
    def serialize(self, value: Any, stream: BinaryIO) -> None:
        """Writes a value.

        Args:
            value: What to write.
            stream: A binary stream that is open for writing. It is left open.
        """

    @abc.abstractmethod
    def deserialize(self, stream: BinaryIO) -> Any:
        """Reads a value.

        Args:
            stream: A binary stream that is open for reading. It is left open.

        Returns:
            The value that was written.
        """

    def serialize_with_buffers(self, value: Any, stream: BinaryIO) -> Sequence[memoryview]:
        """Writes a value, and may leave bulk data out of the stream, uncopied.

        Where a file can hold the buffers beside the stream's contents, as a cache entry can, this
        is used in place of `serialize`. Unlike that, it may leave nothing out and replace nothing.

        Args:
            value: What to write.
            stream: A binary stream that is open for writing. It is left open.

        Returns:
            The buffers that were left out, each contiguous bytes. By default there are none.
        """
        self.serialize(value, stream)
        return ()

    def deserialize_with_buffers(self, stream: BinaryIO, buffers: Sequence[Any]) -> Any:
        """Reads what `serialize_with_buffers` wrote.

        Args:
            stream: A binary stream that is open for reading. It is left open.
            buffers: The buffers that were left out, in order. The value may be backed by them.

        Returns:
            The value that was written.
        """
        return self.deserialize(stream)

    def for_purpose(self, purpose: str) -> Serializer:
        """Returns a serializer for one purpose, which refuses what was written for another.

        Args:
            purpose: What is written or read, the same on both sides: the result of one session,
                the entry of one call in a cache.

        Returns:
            A serializer. By default this one, which does not tell purposes apart.
        """
        return self

    def canonical_form(self, value: Any) -> Any:
        """Defines what a value counts as in the ids of executions. By default nothing special.

        It is asked about each part of an argument that is not of one of Python's plain types
        (numbers, strings, lists, dicts ...), nor a function, class or module.

        Args:
            value: Any value.

        Returns:
            A value that is digested in place of it, together with the type of the given one: equal
            for values that have to share an id, and different for all others. It must not contain
            the given value again. Or `NotImplemented` for a value that counts as it is.
        """
        return NotImplemented


def for_purpose(serializer: Any, purpose: str) -> Any:
    """Binds a serializer to a purpose, if it knows of purposes.

    Args:
        serializer: Anything that can `serialize` and `deserialize`.
        purpose: As for `Serializer.for_purpose`.

    Returns:
        What its `for_purpose` returns, or the serializer itself where it has none.
    """
    bind = getattr(serializer, "for_purpose", None)
    return serializer if bind is None else bind(purpose)


_thread = threading.local()


@contextlib.contextmanager
def exactly() -> Iterator[None]:
    """Has this thread refuse to write what would come back as something else.

    An exception on its way to a caller has to arrive, and what it holds may arrive as its `repr`. A
    value that is kept to be served again must not change.
    """
    before = is_exact()
    _thread.is_exact = True
    try:
        yield
    finally:
        _thread.is_exact = before


def is_exact() -> bool:
    """Says whether this thread is inside of `exactly`."""
    return getattr(_thread, "is_exact", False)


class _Crossing:
    # A class, because each call enters it several times: a generator takes thrice as long.
    __slots__ = ("_before",)

    def __enter__(self) -> None:
        self._before = is_crossing()
        _thread.is_crossing = True

    def __exit__(self, *_: object) -> None:
        _thread.is_crossing = self._before


def crossing() -> _Crossing:
    """Has this thread write local functions and classes by value, for a process that lacks them.

    What is kept has to be of the class that is there when it is read, so it is written by name.
    What comes back is read inside of it, too: the classes that are here already stay as they are.
    """
    return _Crossing()


def is_crossing() -> bool:
    """Says whether this thread is inside of `crossing`."""
    return getattr(_thread, "is_crossing", False)
