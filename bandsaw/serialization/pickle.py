"""Serialization with `pickle`."""

from __future__ import annotations

from typing import Any, BinaryIO

from .serializer import Serializer


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

    # `import bandsaw` makes one of these, so the `pickle` module waits for its first use.

    def serialize(self, value: Any, stream: BinaryIO) -> None:
        """Writes a value.

        Args:
            value: What to write.
            stream: A binary stream that is open for writing. It is left open.

        Raises:
            bandsaw.errors.UnserializableError: If the value or a part of it cannot be pickled.
        """
        from . import _pickling

        stream.write(_pickling.pickled(value))

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
        from . import _pickling

        return _pickling.unpickled(stream)
