"""The interface of a serializer."""

from __future__ import annotations

import abc
from typing import Any, BinaryIO


class Serializer(abc.ABC):
    """Turns values into bytes and back. A configuration has one of them."""

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
