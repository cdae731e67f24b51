"""Serialization as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

from .serializer import Serializer
from .values import ValueSerializer


class JsonSerializer(Serializer):
    """Writes values as compact UTF-8 JSON that loses nothing and runs nothing.

    - Plain JSON values are written as any JSON writer does: `None`, booleans, strings, integers,
      finite floats, lists, and dicts whose keys are strings, in their order.
    - Any other value is *typed*: an object with `_serializer`, the class name of the value
      serializer that wrote it, and `value`, its representation. So are NaN and the infinities,
      integers with more digits than Python would read, and dicts with the key `_serializer`.
    - The built-in value serializers know the value types of Python and its standard library,
      exceptions, enums, data classes, NumPy's arrays and scalars, and `SerializableValue`s.
    - A subclass of a type is not of that type: it needs a value serializer of its own.

    Data can only name classes of the kind that a value serializer handles, in modules that are
    loaded, first-party or trusted. Their constructors are not called.

    Args:
        trusted_modules: Names of further modules, with all that is below them, that may be
            imported because data names a class in them.

    Attributes:
        value_serializers: Your own value serializers. They are asked before the built-in ones, the
            last one first, about every value, also those that JSON knows (but not about the keys
            of dicts that have only strings as keys). What a serializer returns for a value is
            written in turn, but it is not asked about that itself again.
        trusted_modules: As given.
    """

    def __init__(self, trusted_modules: Sequence[str] = ()) -> None:
        if isinstance(trusted_modules, str):
            trusted_modules = (trusted_modules,)
        self.trusted_modules = tuple(trusted_modules)
        self.value_serializers: list[ValueSerializer] = []

    # The work is done elsewhere: `import bandsaw` should not load what only JSON needs.

    def serialize(self, value: Any, stream: BinaryIO) -> None:
        """Writes a value.

        Args:
            value: What to write.
            stream: A binary stream that is open for writing. It is left open.

        Raises:
            bandsaw.errors.UnserializableError: If no value serializer knows the value or a part of
                it, or it is nested too deeply.
        """
        from . import _json_encoder

        stream.write(_json_encoder.encoded(value, self.value_serializers))

    def deserialize(self, stream: BinaryIO) -> Any:
        """Reads a value.

        Args:
            stream: A binary stream that is open for reading. It is read to its end and left open.

        Returns:
            The value that was written.

        Raises:
            bandsaw.errors.UnknownSerializerError: If the data names a value serializer that is not
                there.
            bandsaw.errors.DeserializationError: If the data is damaged, or names a class that it
                must not name or that is not to be had.
        """
        from . import _json_decoder

        data = stream.read()
        return _json_decoder.decoded(data, self.value_serializers, self.trusted_modules)

    def canonical_form(self, value: Any) -> Any:
        """Asks your own value serializers that can serialize the value, the last one first.

        Args:
            value: Any value.

        Returns:
            See `Serializer.canonical_form`.
        """
        for serializer in reversed(self.value_serializers):
            form = getattr(serializer, "canonical_form", None)
            if form is not None and serializer.can_serialize_value(value):
                replaced = form(value)
                if replaced is not NotImplemented:
                    return replaced
        return NotImplemented
