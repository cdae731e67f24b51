"""Values of a user's own classes of which the standard library knows how they are made."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Sequence
from typing import Any

from ..errors import DeserializationError
from ._classes import importable_name_of, is_static, require_class, set_state, state_of
from ._tables import checked
from .values import ValueSerializer


class EnumSerializer(ValueSerializer):
    """Writes members of enums by their name, and combined flags by their value.

    `trusted_modules`: modules that may be imported in order to find a class, beside those that are
    loaded already and the first-party ones.
    """

    def __init__(self, trusted_modules: Sequence[str] = ()) -> None:
        self._trusted_modules = trusted_modules

    def can_serialize_value(self, value: Any) -> bool:
        return enum.Enum in type(value).__mro__

    def serialize_value(self, value: Any) -> Any:
        module, name = importable_name_of(type(value))
        representation = {"module": module, "type": name}
        members = type(value).__members__
        if members.get(value._name_) is value:
            return {**representation, "name": value._name_}
        if not isinstance(value, enum.Flag):
            raise TypeError(f"{value!r} is not a member of its enum")
        return {**representation, "value": value._value_}

    def deserialize_value(self, representation: Any) -> Any:
        cls = require_class(
            representation["module"],
            representation["type"],
            self._trusted_modules,
            lambda found: enum.Enum in found.__mro__,
            "an enum",
        )
        if "name" in representation:
            name = representation["name"]
            if name not in cls.__members__:
                raise DeserializationError(f"{cls.__qualname__} has no member {name!r} here")
            return cls.__members__[name]
        if enum.Flag not in cls.__mro__:
            raise DeserializationError(f"{cls.__qualname__} is not an enum of flags")
        return cls(checked(representation["value"], int))


class DataclassSerializer(ValueSerializer):
    """Writes instances of data classes: the class and the attributes, also those beside the fields.

    Neither `__init__` nor `__post_init__` runs when a value is read.

    `trusted_modules`: modules that may be imported in order to find a class, beside those that are
    loaded already and the first-party ones.
    """

    def __init__(self, trusted_modules: Sequence[str] = ()) -> None:
        self._trusted_modules = trusted_modules

    def can_serialize_value(self, value: Any) -> bool:
        return _is_data_class(type(value))

    def serialize_value(self, value: Any) -> Any:
        module, name = importable_name_of(type(value))
        return {"module": module, "type": name, "fields": state_of(value)}

    def deserialize_value(self, representation: Any) -> Any:
        cls = require_class(
            representation["module"],
            representation["type"],
            self._trusted_modules,
            _is_data_class,
            "a data class",
        )
        value = object.__new__(cls)
        set_state(value, representation["fields"])
        return value


def _is_data_class(cls: type) -> bool:
    # A data class derived from `list` or the like holds more than its attributes.
    return dataclasses.is_dataclass(cls) and all(
        base is object for base in cls.__mro__ if is_static(base)
    )
