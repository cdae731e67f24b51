"""What is found by its class as JSON, files, and the table of all built-in value serializers."""

from __future__ import annotations

import dataclasses
import enum
from typing import Any

from .._file import File, FileCarrier
from ..errors import DeserializationError, FileTravelError
from ._classes import importable_name_of, is_static, set_state, state_of
from ._tables import BuiltinSerializer, StandardSerializer, checked
from .values import (
    ExceptionSerializer,
    SerializableValueSerializer,
    TupleSerializer,
    ValueSerializer,
    _ClassSerializer,
)


class EnumSerializer(_ClassSerializer):
    """Writes members of enums by their name, and combined flags by their value."""

    def can_serialize_value(self, value: Any) -> bool:
        return enum.Enum in type(value).__mro__

    def serialize_value(self, value: Any) -> Any:
        representation = self._named(value)
        members = type(value).__members__
        if members.get(value._name_) is value:
            return {**representation, "name": value._name_}
        if not isinstance(value, enum.Flag):
            raise TypeError(f"{value!r} is not a member of its enum")
        return {**representation, "value": value._value_}

    def deserialize_value(self, representation: Any) -> Any:
        cls = self._class_in(representation, lambda found: enum.Enum in found.__mro__, "an enum")
        if "name" in representation:
            name = representation["name"]
            if name not in cls.__members__:
                raise DeserializationError(f"{cls.__qualname__} has no member {name!r} here")
            return cls.__members__[name]
        if enum.Flag not in cls.__mro__:
            raise DeserializationError(f"{cls.__qualname__} is not an enum of flags")
        return cls(checked(representation["value"], int))


class DataclassSerializer(_ClassSerializer):
    """Writes data classes with all attributes; their constructors do not run when read."""

    def can_serialize_value(self, value: Any) -> bool:
        return _is_data_class(type(value))

    def serialize_value(self, value: Any) -> Any:
        return {**self._named(value), "fields": state_of(value)}

    def deserialize_value(self, representation: Any) -> Any:
        cls = self._class_in(representation, _is_data_class, "a data class")
        value = object.__new__(cls)
        set_state(value, representation["fields"])
        return value


def _is_data_class(cls: type) -> bool:
    # A data class derived from `list` or the like holds more than its attributes.
    return dataclasses.is_dataclass(cls) and all(
        base is object for base in cls.__mro__ if is_static(base)
    )


class ExceptionTypeSerializer(_ClassSerializer):
    """Writes the classes of exceptions, as in `@task(retry={'on': OSError})`, by their names."""

    def can_serialize_value(self, value: Any) -> bool:
        return isinstance(value, type) and BaseException in value.__mro__

    def serialize_value(self, value: Any) -> Any:
        module, name = importable_name_of(value)
        return {"module": module, "type": name}

    def deserialize_value(self, representation: Any) -> Any:
        return self._class_in(
            representation, lambda found: BaseException in found.__mro__, "a class of exceptions"
        )


class FileSerializer(ValueSerializer):
    """Writes how a `bandsaw.File` is made again: the name of a function of ours, its arguments."""

    def can_serialize_value(self, value: Any) -> bool:
        return type(value) is File

    def serialize_value(self, value: Any) -> Any:
        function, args = value.__reduce__()
        return [function.__name__, *args]

    def deserialize_value(self, representation: Any) -> Any:
        from .._files import carrying, keeping

        carrier = FileCarrier.current()
        if carrier is not None and not carrier.takes_files:
            raise FileTravelError(
                "it has files, which are taken from others only if they are signed"
            )

        known = (
            *(File, carrying.came, carrying.came_along, carrying.delivered),
            *(carrying.arrived, keeping.kept, keeping.given),
        )
        functions: dict[str, Any] = {function.__name__: function for function in known}
        name, *args = representation
        return functions[name](*args)


# What a value serializer is found by in the data, and all that are built in.
KEY = "_serializer"
WITHOUT_CLASSES = (BuiltinSerializer, StandardSerializer, FileSerializer)
WITH_CLASSES = (
    TupleSerializer,
    SerializableValueSerializer,
    ExceptionSerializer,
    ExceptionTypeSerializer,
    EnumSerializer,
    DataclassSerializer,
)
