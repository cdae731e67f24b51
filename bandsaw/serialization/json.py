"""Serialization as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any, BinaryIO, Optional

from .._system.importing import late_import
from ..errors import InvalidValueError
from .serializer import Serializer
from .values import ExceptionSerializer, ValueSerializer


@cache
def _encoder() -> Any:
    # `import bandsaw` should not load what only JSON needs, and an import statement would cost as
    # much as to write a small value.
    with late_import:
        from . import _json_encoder as module

    return module


class JsonSerializer(Serializer):
    """Writes values as compact UTF-8 JSON that loses nothing and runs nothing.

    - Plain JSON values are written as any JSON writer does: `None`, booleans, strings, integers,
      finite floats, lists, and dicts whose keys are strings, in their order.
    - Any other value is *typed*: an object with `_serializer`, the class name of the value
      serializer that wrote it, and `value`, its representation. So are NaN and the infinities,
      integers with more digits than Python would read, and dicts with the key `_serializer`.
    - The built-in value serializers know the value types of Python and its standard library,
      exceptions and their classes, enums, data classes, NumPy's arrays and scalars, tables,
      columns, indexes and scalars of pandas, and `SerializableValue`s.
    - A subclass of a type is not of that type: it needs a value serializer of its own.

    Data can only name classes of the kind that a value serializer handles, in modules that are
    loaded, first-party or trusted. Their constructors are not called.

    Args:
        trusted_modules: Names of further modules, with all that is below them, that may be
            imported because data names a class in them.
        max_size: How long the text may be that is read, in bytes; by default 4 GiB.
        max_depth: How deep lists and objects in it may be in each other; by default as deep as
            Python reads, which is around a thousand or some thousands.
        max_count: How many values it may have, counted by its commas and brackets; by default 100
            million.

    Attributes:
        value_serializers: Your own value serializers. They are asked before the built-in ones, the
            last one first, about every value, also those that JSON knows (but not about the keys
            of dicts that have only strings as keys). What a serializer returns for a value is
            written in turn, but it is not asked about that itself again.
        trusted_modules: As given.
        max_size: As given.
        max_depth: As given.
        max_count: As given.

    Raises:
        InvalidValueError: If a limit is no positive integer (a `ValueError`).
    """

    def __init__(
        self,
        trusted_modules: Sequence[str] = (),
        *,
        max_size: int = 1 << 32,
        max_depth: Optional[int] = None,
        max_count: int = 100_000_000,
    ) -> None:
        if isinstance(trusted_modules, str):
            trusted_modules = (trusted_modules,)
        self.trusted_modules = tuple(trusted_modules)
        self.max_size = _checked_limit("max_size", max_size)
        self.max_depth = None if max_depth is None else _checked_limit("max_depth", max_depth)
        self.max_count = _checked_limit("max_count", max_count)
        self.value_serializers: list[ValueSerializer] = []

    def serialize(self, value: Any, stream: BinaryIO) -> None:
        """Writes a value.

        Args:
            value: What to write.
            stream: A binary stream that is open for writing. It is left open.

        Raises:
            bandsaw.errors.UnserializableError: If no value serializer knows the value or a part of
                it, or it is nested too deeply.
        """
        stream.write(_encoder().encoded(value, self.value_serializers))

    def deserialize(self, stream: BinaryIO) -> Any:
        """Reads a value.

        Args:
            stream: A binary stream that is open for reading. It is read to its end and left open.

        Returns:
            The value that was written.

        Raises:
            bandsaw.errors.UnknownSerializerError: If the data names a value serializer that is not
                there.
            bandsaw.errors.LimitError: If the data is longer, deeper or more than it may be.
            bandsaw.errors.DeserializationError: If the data is damaged, or names a class that it
                must not name or that is not to be had.
        """
        with late_import:
            from . import _json_decoder

        data = _json_decoder.read(stream, self.max_size)
        _json_decoder.check(data, self.max_depth, self.max_count)
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


def _if_writable(value: Any) -> Any:
    try:
        _encoder().encoded(value)
    except Exception:
        from ._paths import short_repr

        return short_repr(value)
    return value


ExceptionSerializer._keep = staticmethod(_if_writable)


def _checked_limit(name: str, limit: Any) -> int:
    if type(limit) is not int or limit < 1:
        raise InvalidValueError(f"{name} has to be a positive integer, not {limit!r}")
    return limit
