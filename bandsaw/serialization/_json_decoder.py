"""Reading JSON.

Text in which no typed value can be goes to Python's JSON decoder as it is. In any other, objects
with `_serializer` are turned into values as soon as they are complete, the inner before the outer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Callable

from ..errors import DeserializationError, LimitError, UnknownSerializerError
from ._builtin_values import BuiltinSerializer
from ._class_values import DataclassSerializer, EnumSerializer
from ._standard_values import StandardSerializer
from .values import (
    ExceptionSerializer,
    SerializableValueSerializer,
    TupleSerializer,
    ValueSerializer,
)

_KEY = "_serializer"
_WITHOUT_CLASSES = (BuiltinSerializer, StandardSerializer)
_WITH_CLASSES = (
    TupleSerializer,
    SerializableValueSerializer,
    ExceptionSerializer,
    EnumSerializer,
    DataclassSerializer,
)
# Fewer digits than any limit that Python lets a user set.
_DIGITS = 500
# To read digits takes more than twice as long for twice as many. Ours are hexadecimal by then.
_MOST_DIGITS = 1_000_000


def decoded(
    data: Any, value_serializers: Sequence[ValueSerializer], trusted_modules: Sequence[str]
) -> Any:
    """Decodes a value.

    Args:
        data: The encoded text.
        value_serializers: The user's own value serializers.
        trusted_modules: Modules that may be imported in order to find a class.

    Returns:
        The value.

    Raises:
        UnknownSerializerError: If the data names a value serializer that is not there.
        DeserializationError: If the data does not make a value.
    """
    try:
        text = bytes(data).decode("utf-8")
        hook = None
        # The name may be written with escapes.
        if _KEY in text or "\\u00" in text:
            hook = _Reader(value_serializers, trusted_modules).read_object
        return _loaded(text, hook)
    except (DeserializationError, UnknownSerializerError, MemoryError):
        raise
    except RecursionError as error:
        raise DeserializationError("The data is nested too deeply.") from error
    except Exception as error:
        raise DeserializationError(f"The data is not what was written: {error}") from error


def _loaded(text: str, hook: Callable[[dict[str, Any]], Any] | None) -> Any:
    try:
        return json.loads(text, object_hook=hook)
    except (json.JSONDecodeError, DeserializationError):
        raise
    except ValueError:
        # Newer Pythons read only so many digits. Our own way takes longer for every number.
        return json.loads(text, object_hook=hook, parse_int=_int_of)


def _int_of(digits: str) -> int:
    if digits.startswith("-"):
        return -_int_of(digits[1:])
    if len(digits) <= _DIGITS:
        return int(digits)
    if len(digits) > _MOST_DIGITS:
        raise LimitError(f"The data has an integer of more than {_MOST_DIGITS} digits.")
    half = len(digits) // 2
    value: int = _int_of(digits[:-half]) * 10**half + _int_of(digits[-half:])
    return value


class _Reader:
    """Turns objects with `_serializer` into the values that they stand for."""

    def __init__(
        self, value_serializers: Sequence[ValueSerializer], trusted_modules: Sequence[str]
    ) -> None:
        self._by_name: dict[str, ValueSerializer] = {}
        for simple in _WITHOUT_CLASSES:
            self._by_name[simple.__name__] = simple()
        for finding in _WITH_CLASSES:
            self._by_name[finding.__name__] = finding(trusted_modules)
        for own in value_serializers:
            self._by_name[type(own).__name__] = own

    def read_object(self, found: dict[str, Any]) -> Any:
        """Turns an object into a value, if it stands for one.

        Args:
            found: The object. What is inside has been turned already.

        Returns:
            The value.
        """
        if _KEY not in found:
            return found
        name = found[_KEY]
        if len(found) != 2 or "value" not in found or type(name) is not str:
            raise DeserializationError(
                "A typed value is not an object of a name '_serializer' and a 'value'"
            )
        serializer = self._by_name.get(name) or self._numpy(name)
        try:
            return serializer.deserialize_value(found["value"])
        except (DeserializationError, UnknownSerializerError, MemoryError, RecursionError):
            raise
        except Exception as error:
            raise DeserializationError(
                f"The data is not what {name} wrote: {type(error).__name__}: {error}"
            ) from error

    def _numpy(self, name: str) -> ValueSerializer:
        if name != "NumpySerializer":
            raise UnknownSerializerError(f"Unknown serializer {name!r}")
        from ._numpy import NumpySerializer

        return self._by_name.setdefault(name, NumpySerializer())
