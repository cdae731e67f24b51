"""Serialization with `pickle`."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, BinaryIO, Optional

from .._system.importing import late_import
from ..errors import InvalidValueError
from .serializer import Serializer

_SHORTEST_KEY = 16


@cache
def _pickling() -> Any:
    # `import bandsaw` makes a serializer, so the `pickle` module waits for its first use. An import
    # statement would cost as much as to unpickle a small value.
    with late_import:
        from . import _pickling as module

    return module


class PickleSerializer(Serializer):
    """Writes values with `pickle`, protocol 5, which every supported Python reads.

    - Exceptions always arrive: those with required constructor arguments as well, with causes,
      contexts, notes, groups and traceback text. An argument or attribute of theirs that cannot be
      pickled, or holds something of a class that is not to be had where it is read, arrives as its
      `repr`, an exception whose class is not to be had as a `bandsaw.errors.RemoteError`. Where its
      `__str__` fails without what was replaced, it says the text that it had, and is of a derived
      class.
    - Classes and functions of the script that is being run are written under the name under which
      it can be imported, and are read in its own process as those of `__main__`.
    - Nothing is written when a value cannot be pickled.

    Unpickling runs what the data says. Only read data from a source that you trust, or use a key:
    then all data is signed (HMAC-SHA256), together with what it is for, and what is not signed with
    the key is refused before a byte of it is unpickled. The key is part of nothing that is written
    or sent. Both sides have to get it by themselves, for example from the environment.

    Args:
        key: The secret of those that write and read, at least 16 bytes. By default nothing is
            signed.

    Attributes:
        is_signed: Whether there is a key.

    Raises:
        InvalidValueError: If the key is not bytes, or is too short (a `ValueError`).
    """

    # Class attributes, because a derived class need not call the constructor; mangled, because it
    # may use the same names.
    __key: Optional[bytes] = None
    __purpose = ""

    def __init__(self, key: Optional[bytes] = None) -> None:
        if key is not None and (not isinstance(key, bytes) or len(key) < _SHORTEST_KEY):
            raise InvalidValueError(
                f"The key of a PickleSerializer has to be at least {_SHORTEST_KEY} random bytes, "
                "such as secrets.token_bytes(32) gives"
                + ("." if isinstance(key, bytes) else f", not of type {type(key).__name__}.")
            )
        self.__key = key

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.__key is None else 'key=...'})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.__key is not None:
            raise TypeError(
                "a PickleSerializer with a key is not pickled: the key would go wherever the data "
                "goes. Each process makes its own, in the configuration module"
            )
        return super().__reduce_ex__(protocol)

    def __copy__(self) -> PickleSerializer:
        cls = type(self)
        twin = cls.__new__(cls)
        twin.__dict__.update(self.__dict__)
        return twin

    def __deepcopy__(self, memo: Any) -> PickleSerializer:
        return self.__copy__()

    @property
    def is_signed(self) -> bool:  # type: ignore[override]
        """Whether there is a key."""
        return self.__key is not None

    def for_purpose(self, purpose: str) -> Serializer:
        """Returns a serializer whose signatures are for one purpose.

        Args:
            purpose: What is written or read, the same on both sides.

        Returns:
            A copy with the same key that signs for this purpose, and refuses what was signed for
            another or for none. Without a key this serializer itself.
        """
        if self.__key is None:
            return self
        bound = self.__copy__()
        bound.__purpose = purpose
        return bound

    def serialize(self, value: Any, stream: BinaryIO) -> None:
        """Writes a value.

        Args:
            value: What to write.
            stream: A binary stream that is open for writing. It is left open.

        Raises:
            bandsaw.errors.UnserializableError: If the value or a part of it cannot be pickled.
        """
        self._write(stream, _pickling().pickled(value))

    def deserialize(self, stream: BinaryIO) -> Any:
        """Reads a value.

        Args:
            stream: A binary stream that is open for reading. It is left open, behind the value.

        Returns:
            The value that was written.

        Raises:
            bandsaw.errors.SignatureError: If there is a key, and the data is not signed with it for
                this purpose; or if there is none, and the data is signed.
            bandsaw.errors.DeserializationError: If the data is damaged, or needs a class or
                function that is not to be had here.
        """
        return self._read(stream)

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
        payload = _pickling().pickled_with_buffers(value, buffers)
        if self.__key is not None:
            # Copies: the task may change an array between signing and writing.
            buffers = [memoryview(bytes(buffer)) for buffer in buffers]
        self._write(stream, payload, buffers)
        return buffers

    def deserialize_with_buffers(self, stream: BinaryIO, buffers: Sequence[Any]) -> Any:
        """Reads what `serialize_with_buffers` wrote.

        Args:
            stream: A binary stream that is open for reading. It is left open.
            buffers: The buffers that were left out, in order. Arrays are backed by them.

        Returns:
            The value that was written.

        Raises:
            bandsaw.errors.SignatureError: If there is a key, and the data is not signed with it for
                this purpose; or if there is none, and the data is signed.
            bandsaw.errors.DeserializationError: If the data is damaged, or needs a class or
                function that is not to be had here.
        """
        if self._is_derived():
            return super().deserialize_with_buffers(stream, buffers)
        return self._read(stream, buffers)

    def _write(
        self, stream: BinaryIO, payload: Sequence[bytes], buffers: Sequence[Any] = ()
    ) -> None:
        if self.__key is not None:
            from . import _signing

            stream.write(_signing.signed(self.__key, self.__purpose, payload, buffers))
        for part in payload:
            stream.write(part)

    def _read(self, stream: BinaryIO, buffers: Sequence[Any] = ()) -> Any:
        if self.__key is not None:
            import io

            from . import _signing

            stream = io.BytesIO(_signing.verified(self.__key, self.__purpose, stream, buffers))
        return _pickling().unpickled(stream, buffers)

    def _is_derived(self) -> bool:
        # A derived serializer may compress or encrypt in these two methods.
        kind = type(self)
        return (
            kind.serialize is not PickleSerializer.serialize
            or kind.deserialize is not PickleSerializer.deserialize
        )
