"""A value serializer that is a table: a name, how to write, how to read."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

from ..errors import DeserializationError
from .values import ValueSerializer


class Kind(NamedTuple):
    """How the values of one type are written and read.

    Attributes:
        write: Gives the representation of a value.
        read: Makes the value from its representation, given the type as well.
    """

    write: Callable[[Any], Any]
    read: Callable[[Any, Any], Any]


class TableSerializer(ValueSerializer):
    """Writes values of types out of a table as the list of the type's name and a representation.

    Only values whose type is in the table count, none of a derived type.

    Attributes:
        kinds: The table, by the full names under which the types can be imported.
    """

    kinds: Mapping[str, Kind]

    def __init__(self) -> None:
        self._known: dict[type, str] = {}

    def can_serialize_value(self, value: Any) -> bool:
        return self._name_of(type(value)) is not None

    def serialize_value(self, value: Any) -> Any:
        name = self._name_of(type(value))
        assert name is not None
        return [name, self.kinds[name].write(value)]

    def deserialize_value(self, representation: Any) -> Any:
        if type(representation) is not list or len(representation) != 2:
            raise DeserializationError("A typed value is not a list of a name and a value")
        name, data = representation
        if type(name) is not str or name not in self.kinds:
            raise DeserializationError(f"There is no value type {name!r}")
        return self.kinds[name].read(_import(name), data)

    def _name_of(self, cls: type) -> str | None:
        if cls not in self._known:
            # Modules move types around among their private parts.
            name = f"{cls.__module__.partition('.')[0]}.{cls.__qualname__}"
            if name not in self.kinds or _import(name) is not cls:
                return None
            self._known[cls] = name
        return self._known[cls]


def _import(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute, None)


def pairs_of(mapping: Any) -> Any:
    """Gives the items of a mapping as a list of lists."""
    return [[key, value] for key, value in mapping.items()]


def dict_of(pairs: Any) -> dict[Any, Any]:
    """Makes a dict from what `pairs_of` returned."""
    return dict(checked(pairs, list))


def checked(data: Any, *types: type) -> Any:
    """Returns data if it is of one of the types, and raises a `DeserializationError` otherwise."""
    if type(data) not in types:
        raise DeserializationError(
            f"A representation is of type {type(data).__name__} instead of "
            + " or ".join(expected.__name__ for expected in types)
        )
    return data
