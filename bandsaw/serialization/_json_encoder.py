"""Writing JSON.

Plain data is checked a level at a time, in C, and goes to Python's JSON encoder as it is. For
anything else a plain tree is built first, with typed values in the places of those that JSON does
not know.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Sequence
from itertools import chain
from typing import Any

from ..errors import UnserializableError
from ._class_values import KEY, WITH_CLASSES, FileSerializer
from ._exceptions import describe
from ._paths import find_circle, find_culprit, short_repr, type_name
from ._tables import SURROGATE_PAIR, BuiltinSerializer, StandardSerializer
from ._writable import keep_writable
from .values import ExceptionSerializer, ValueSerializer

_PLAIN_LEVELS = 100
_FLAT_LEVELS = 10
_MOST_LEVELS = 1000
_SCALARS = frozenset({type(None), bool, int, float, str})
_CONTAINERS = frozenset({list, dict})
_PLAIN = _SCALARS | _CONTAINERS
_STR = frozenset({str})
_ATOMS = _SCALARS | {bytes, bytearray, complex, range}

_BUILTIN = BuiltinSerializer()
_EXCEPTIONS = ExceptionSerializer()
_OTHERS: tuple[ValueSerializer, ...] = (
    StandardSerializer(),
    *(_EXCEPTIONS if kind is ExceptionSerializer else kind() for kind in WITH_CLASSES),
    FileSerializer(),
)

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def encoded(value: Any, value_serializers: Sequence[ValueSerializer] = ()) -> bytes:
    """Encodes a value, given the value serializers of the user."""
    if not value_serializers and _is_plain(value):
        try:
            return _text(value)
        except (ValueError, RecursionError):
            pass
    try:
        return _encoded_tree(value, value_serializers)
    except Exception as error:
        raise _explained(value, error, value_serializers) from error


def _is_plain(value: Any) -> bool:
    level = [value]
    # Values that are deeper or contain themselves take the slower way.
    for depth in range(_PLAIN_LEVELS):
        types = set(map(type, level))
        if types <= _SCALARS:
            return True
        if not types <= _PLAIN:
            return False
        if types & _SCALARS:
            level = [item for item in level if type(item) in _CONTAINERS]
        # Each one once, or what contains itself twice would double with each level. That takes as
        # long as all the rest, so it waits for a level that would grow.
        count = len(level)
        if count > 1 and (depth > _FLAT_LEVELS or sum(map(len, level)) > 2 * count):
            level = list(dict(zip(map(id, level), level)).values())
        if dict not in types:
            level = list(chain.from_iterable(level))
            continue
        dicts = [item for item in level if type(item) is dict] if list in types else level
        lists = [item for item in level if type(item) is list] if list in types else []
        keys = list(chain.from_iterable(dicts))
        if not _STR.issuperset(map(type, keys)) or KEY in keys:
            return False
        level = list(chain.from_iterable(chain(lists, map(dict.values, dicts))))
    return False


def _text(tree: Any) -> bytes:
    text = _encoder.encode(tree)
    try:
        return text.encode("utf-8")
    except UnicodeEncodeError:
        if SURROGATE_PAIR.search(text):
            raise
        # The escape for a surrogate is the same in Python and in JSON.
        return text.encode("utf-8", "backslashreplace")


def _encoded_tree(value: Any, value_serializers: Sequence[ValueSerializer]) -> bytes:
    try:
        return _text(_TreeBuilder(value_serializers, strict=False).build(value))
    except ValueError:
        # There is a NaN or a surrogate. The strict builder finds it, but is slower.
        return _text(_TreeBuilder(value_serializers, strict=True).build(value))


class _CircleError(Exception):
    """A value contains itself."""


class _Built:
    """A tree that is done, in the place of the value that it stands for."""

    def __init__(self, tree: Any) -> None:
        self.tree = tree


class _TreeBuilder:
    """Turns values into what the JSON encoder writes.

    `strict`: whether numbers and strings are looked at which the encoder may not be able to write.
    """

    def __init__(self, value_serializers: Sequence[ValueSerializer], strict: bool) -> None:
        self._own = tuple(reversed(value_serializers))
        self._strict = strict
        # The identities of the values that are being built, the outermost first.
        self._open: list[int] = []
        # Types whose values are written without a look at each.
        self._unseen: frozenset[type] = frozenset() if self._own or strict else _SCALARS

    def build(self, value: Any) -> Any:
        """Turns a value into what the JSON encoder writes."""
        cls = type(value)
        if cls in self._unseen:
            return value
        if cls is _Built:
            return value.tree
        if cls is list and self._unseen.issuperset(map(type, value)):
            return value
        if cls not in _ATOMS and id(value) in self._open:
            raise _CircleError("it contains itself")
        # Some versions of Python do not count every call towards their own limit.
        if len(self._open) >= _MOST_LEVELS:
            raise RecursionError
        self._open.append(id(value))
        try:
            return self._built(value)
        finally:
            self._open.pop()

    def _built(self, value: Any, asked: ValueSerializer | None = None) -> Any:
        for serializer in self._own:
            if serializer is not asked and serializer.can_serialize_value(value):
                return self._typed(serializer, value)
        cls = type(value)
        if cls in _SCALARS:
            return self._typed(_BUILTIN, value) if self._strict and _is_odd(value) else value
        if cls is list:
            return [self.build(item) for item in value]
        if cls is dict and _STR.issuperset(map(type, value)) and KEY not in value:
            if not (self._strict and any(map(SURROGATE_PAIR.search, value))):
                return {key: self.build(item) for key, item in value.items()}
        return self._typed(_builtin_serializer(value), value)

    def _typed(self, serializer: ValueSerializer, value: Any) -> Any:
        if serializer is _EXCEPTIONS:
            representation: Any = describe(value)
            keep_writable(representation, self._keep)
        else:
            representation = serializer.serialize_value(value)
        builder = self
        if self._own and type(value) in _ATOMS:
            # Nothing of the user's is inside: all there is comes from the serializer, which would
            # be asked for its own doing for ever.
            builder = copy.copy(self)
            builder._own = tuple(own for own in self._own if own is not serializer)
        tree = builder._built(representation, asked=serializer)
        if type(value) in (set, frozenset) and serializer is _BUILTIN:
            tree[1] = sorted(tree[1], key=_encoder.encode)
        return {KEY: type(serializer).__name__, "value": tree}

    def _keep(self, value: Any) -> Any:
        try:
            tree = self.build(value)
            _encoder.encode(tree)
        except Exception as error:
            if isinstance(error, ValueError) and not self._strict:
                raise
            return short_repr(value)
        return _Built(tree)


def _is_odd(value: Any) -> bool:
    if type(value) is str:
        return SURROGATE_PAIR.search(value) is not None
    try:
        _encoder.encode(value)
    except ValueError:
        return True
    return False


def _builtin_serializer(value: Any) -> ValueSerializer:
    if _BUILTIN.can_serialize_value(value):
        return _BUILTIN
    for serializer in _OTHERS:
        if serializer.can_serialize_value(value):
            return serializer
    if "numpy" in sys.modules:
        from ._numpy import NumpySerializer

        if NumpySerializer().can_serialize_value(value):
            return NumpySerializer()
    if "pandas" in sys.modules:
        from ._pandas import PANDAS

        if PANDAS.can_serialize_value(value):
            return PANDAS
    raise UnserializableError(
        "no value serializer knows its type. Derive its class from bandsaw.SerializableValue, or "
        "append a ValueSerializer for it to JsonSerializer.value_serializers"
    )


def _explained(
    value: Any, error: Exception, value_serializers: Sequence[ValueSerializer]
) -> UnserializableError:
    if isinstance(error, RecursionError):
        return UnserializableError(
            f"A value of type {type_name(value)} cannot be written as JSON: it contains itself or "
            "is nested too deeply."
        )

    def works(part: Any) -> bool:
        try:
            _encoded_tree(part, value_serializers)
        except Exception:
            return False
        return True

    found = find_circle(value) if isinstance(error, _CircleError) else None
    path, culprit = found or find_culprit(
        value, works, lambda part: _is_known(part, value_serializers)
    )
    return UnserializableError(
        f"The value of type {type_name(culprit)} at {path} cannot be written as JSON: {error}."
    )


def _is_known(value: Any, value_serializers: Sequence[ValueSerializer]) -> bool:
    try:
        return (
            type(value) in _PLAIN
            or any(own.can_serialize_value(value) for own in value_serializers)
            or bool(_builtin_serializer(value))
        )
    except Exception:
        return False
