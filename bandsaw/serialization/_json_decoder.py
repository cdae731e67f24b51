"""Reading JSON.

Text in which no typed value can be goes to Python's JSON decoder as it is. In any other, objects
with `_serializer` are turned into values as soon as they are complete, the inner before the outer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any, BinaryIO, Callable

from ..errors import DeserializationError, LimitError, UnknownSerializerError
from ._class_values import KEY, WITH_CLASSES, WITHOUT_CLASSES
from .values import ValueSerializer

# Fewer digits than any limit that Python lets a user set.
_DIGITS = 500
# The time to read decimal digits grows faster than their number. We write long ones in hexadecimal.
_MOST_DIGITS = 1_000_000
_CHUNK = 1 << 20
_STRING = re.compile(rb'"[^"]*"?')
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OTHER_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
# For deeper texts a loop over the brackets is as fast.
_LEVELS_AT_ONCE = 100


def read(stream: BinaryIO, max_size: int) -> bytes:
    parts, size = [], 0
    while True:
        part = stream.read(_CHUNK)
        if not part:
            break
        size += len(part)
        if size > max_size:
            raise LimitError(
                f"The data is longer than the {max_size} bytes of JsonSerializer(max_size=...)."
            )
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def check(data: bytes, max_depth: int | None, max_count: int) -> None:
    """Checks how deep a text is, `None` for any depth, and how many values it has.

    That it is JSON is found out later. A text far from the limits, and that is nearly every one, is
    seen to be so by counting bytes in C.
    """
    if max_depth is None:
        max_depth = len(data)
    # Brackets and commas in strings count here, so the estimate is never too low.
    if len(data) <= max_depth and len(data) < max_count:
        return
    opening = data.count(b"[") + data.count(b"{")
    if opening <= max_depth and opening + data.count(b",") < max_count:
        return
    without_strings = data
    if b'"' in data:
        # Without escapes, a string ends at the next quotation mark.
        plain = data.replace(b"\\\\", b"").replace(b'\\"', b"")
        without_strings = _STRING.sub(b"", plain)
    brackets = without_strings.translate(_OTHER_TO_SQUARE, _NO_BRACKETS)
    if brackets.count(b"[") + without_strings.count(b",") >= max_count:
        raise LimitError(
            f"The data has more than the {max_count} values of JsonSerializer(max_count=...)."
        )
    if _depth(brackets) > max_depth:
        raise LimitError(
            f"The data is deeper than the {max_depth} levels of JsonSerializer(max_depth=...)."
        )


def _depth(brackets: bytes) -> int:
    for depth in range(_LEVELS_AT_ONCE):
        if not brackets:
            return depth
        # Each round removes the innermost pairs: one level.
        brackets = brackets.replace(b"[]", b"")
    depth = deepest = 0
    for bracket in brackets:
        depth += 1 if bracket == 0x5B else -1
        deepest = max(deepest, depth)
    return _LEVELS_AT_ONCE + deepest


def decoded(
    data: Any, value_serializers: Sequence[ValueSerializer], trusted_modules: Sequence[str]
) -> Any:
    try:
        text = bytes(data).decode("utf-8")
        hook = None
        # The text may have `_serializer` with escapes.
        if KEY in text or "\\u00" in text:
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
        # Newer Pythons limit the digits of an integer. `_int_of` does not, but slows every number.
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
        for simple in WITHOUT_CLASSES:
            self._by_name[simple.__name__] = simple()
        for finding in WITH_CLASSES:
            self._by_name[finding.__name__] = finding(trusted_modules)
        for own in value_serializers:
            self._by_name[type(own).__name__] = own

    def read_object(self, found: dict[str, Any]) -> Any:
        """Turns an object into the value it stands for, if any. Its parts were turned before."""
        if KEY not in found:
            return found
        name = found[KEY]
        serializer = None
        if type(name) is str:
            # Said first: whatever else the object has is not for this one to judge.
            serializer = self._by_name.get(name) or self._installed(name)
        if len(found) != 2 or "value" not in found or serializer is None:
            raise DeserializationError(
                "A typed value is not an object of a name '_serializer' and a 'value'"
            )
        try:
            return serializer.deserialize_value(found["value"])
        except (DeserializationError, UnknownSerializerError, MemoryError, RecursionError):
            raise
        except Exception as error:
            raise DeserializationError(
                f"The data is not what {name} wrote: {type(error).__name__}: {error}"
            ) from error

    def _installed(self, name: str) -> ValueSerializer:
        if name == "NumpySerializer":
            from ._numpy import NumpySerializer

            return self._by_name.setdefault(name, NumpySerializer())
        if name == "PandasSerializer":
            from ._pandas import PANDAS

            return PANDAS
        raise UnknownSerializerError(f"Unknown serializer {name!r}")
