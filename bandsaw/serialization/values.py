"""Value serializers: how values that JSON does not know become values that it knows."""

from __future__ import annotations

import abc
import functools
from collections.abc import Sequence
from typing import Any, Callable, ClassVar, TypeVar

from ..errors import DeserializationError

_Self = TypeVar("_Self", bound="SerializableValue")


class SerializableValue(abc.ABC):
    """A value that says itself how it is written and read."""

    __slots__ = ()

    @abc.abstractmethod
    def serialized(self) -> dict[str, Any]:
        """Gives the parts that the value consists of.

        Returns:
            The parts by their names. Each can be any value that a serializer can write.
        """

    @classmethod
    @abc.abstractmethod
    def deserialize(cls: type[_Self], values: dict[str, Any]) -> _Self:
        """Makes a value from its parts.

        Args:
            values: The parts, as `serialized` gave them.

        Returns:
            A value equal to the one that was serialized.
        """


class ValueSerializer(abc.ABC):
    """Writes and reads the values of some types in terms of other values.

    The name of the class stands in the data, and finds the serializer when the data is read.
    """

    @abc.abstractmethod
    def can_serialize_value(self, value: Any) -> bool:
        """Says whether this serializer is the one for a value.

        Args:
            value: Any value.

        Returns:
            `True` when `serialize_value` can be called with it.
        """

    @abc.abstractmethod
    def serialize_value(self, value: Any) -> Any:
        """Turns a value into its representation.

        Args:
            value: A value for which `can_serialize_value` said yes.

        Returns:
            The representation: JSON values, or values that another serializer can write.
        """

    @abc.abstractmethod
    def deserialize_value(self, representation: Any) -> Any:
        """Turns a representation back into the value.

        Args:
            representation: What `serialize_value` returned. It may come from an untrusted source.

        Returns:
            A value equal to the one that was serialized, of the same type.
        """

    def canonical_form(self, value: Any) -> Any:
        """Defines what a value counts as in the ids of executions. By default nothing special.

        Args:
            value: A value for which `can_serialize_value` said yes. It is not of one of Python's
                plain types, nor a function, class or module.

        Returns:
            See `Serializer.canonical_form`.
        """
        return NotImplemented


class _ClassSerializer(ValueSerializer):
    """Writes values of classes that are found by their names when the values are read.

    Args:
        trusted_modules: Modules that may be imported in order to find a class, beside those that
            are loaded already and the first-party ones.
    """

    def __init__(self, trusted_modules: Sequence[str] = ()) -> None:
        self._trusted_modules = trusted_modules

    def _named(self, value: Any) -> dict[str, Any]:
        from ._classes import importable_name_of

        module, name = importable_name_of(type(value))
        return {"module": module, "type": name}

    def _class_in(self, representation: Any, is_kind: Callable[[type], bool], kind: str) -> Any:
        from ._classes import require_class

        module, name = representation["module"], representation["type"]
        return require_class(module, name, self._trusted_modules, is_kind, kind)


class ExceptionSerializer(_ClassSerializer):
    """Writes exceptions: type, arguments, attributes, notes, causes, groups and traceback text.

    No constructor is called when an exception is read. What cannot be written (a lock among the
    arguments) arrives as its `repr`; an exception whose `__str__` fails without it says the text
    that it had, and is of a derived class. An exception whose class is not to be had arrives as a
    `bandsaw.errors.RemoteError`.

    Args:
        trusted_modules: Modules that may be imported in order to find a class, beside those that
            are loaded already and the first-party ones.
    """

    # Gives what stands for an argument. Set by `json`, which knows what can be written.
    _keep: ClassVar[Any]

    def can_serialize_value(self, value: Any) -> bool:
        """Says yes to exceptions of all kinds."""
        return isinstance(value, BaseException)

    def serialize_value(self, value: Any) -> Any:
        """Gives the parts of an exception."""
        from ._exceptions import describe
        from ._writable import keep_writable

        parts = describe(value)
        keep_writable(parts, self._keep)
        return parts

    def deserialize_value(self, representation: Any) -> Any:
        """Puts an exception together again."""
        from ._exceptions import rebuild

        return rebuild(representation, self._trusted_modules)


class SerializableValueSerializer(_ClassSerializer):
    """Writes what implements `SerializableValue`: the class and `serialized()`.

    Only `deserialize` of real subclasses of `SerializableValue` is called when a value is read.

    Args:
        trusted_modules: Modules that may be imported in order to find a class, beside those that
            are loaded already and the first-party ones.
    """

    def can_serialize_value(self, value: Any) -> bool:
        """Says yes to instances of subclasses of `SerializableValue`."""
        return SerializableValue in type(value).__mro__

    def serialize_value(self, value: Any) -> Any:
        """Gives the name of the class and what `serialized` returns."""
        return {**self._named(value), "values": value.serialized()}

    def deserialize_value(self, representation: Any) -> Any:
        """Has the class of that name make the value."""
        cls = self._class_in(
            representation, lambda found: SerializableValue in found.__mro__, "a SerializableValue"
        )
        return cls.deserialize(representation["values"])


class TupleSerializer(_ClassSerializer):
    """Writes tuples and named tuples.

    A plain tuple is written as the list of its items, a named one as an object with the class, the
    fields and the items. A named tuple whose class is not to be had gets a fresh class of that
    name, those fields and that `__module__`.

    Args:
        trusted_modules: Modules that may be imported in order to find a class, beside those that
            are loaded already and the first-party ones.
    """

    def can_serialize_value(self, value: Any) -> bool:
        """Says yes to tuples and named tuples, and no to other subclasses."""
        return type(value) is tuple or _is_named_tuple_class(type(value))

    def serialize_value(self, value: Any) -> list[Any] | dict[str, Any]:
        """Gives the items, with the class and the fields if the tuple is a named one."""
        items = list(tuple.__iter__(value))
        if type(value) is tuple:
            return items
        from ._classes import name_of, state_of

        module, name = name_of(type(value))
        named = {"module": module, "type": name, "fields": list(value._fields), "items": items}
        state = state_of(value)
        return {**named, "state": state} if state else named

    def deserialize_value(self, representation: Any) -> Any:
        """Makes the tuple."""
        if type(representation) is list:
            return tuple(representation)
        from ._classes import set_state

        items = representation["items"]
        fields = representation["fields"]
        if type(items) is not list or type(fields) is not list or len(items) != len(fields):
            raise ValueError("a named tuple has as many items as it has fields")
        cls = _named_tuple_class(
            representation["module"], representation["type"], tuple(fields), self._trusted_modules
        )
        # Past the constructor of the class, which data must not call.
        value = tuple.__new__(cls, items)
        set_state(value, representation.get("state", {}))
        return value


def _is_named_tuple_class(cls: type) -> bool:
    fields = getattr(cls, "_fields", None) if tuple in cls.__mro__ else None
    return cls is not tuple and type(fields) is tuple and all(type(name) is str for name in fields)


def _named_tuple_class(
    module: str,
    name: str,
    fields: tuple[str, ...],
    trusted_modules: Sequence[str],
) -> Any:
    """Finds the class of a named tuple, or makes the same fresh one each time."""
    from ._classes import find_class

    if not all(type(field) is str for field in fields):
        raise DeserializationError("The fields of a named tuple are not strings")
    cls: Any = find_class(module, name, trusted_modules)
    if cls is None:
        return _fresh_class(module, name, fields)
    if not _is_named_tuple_class(cls):
        raise DeserializationError(f"{module}.{name} is not a named tuple")
    if cls._fields != fields:
        raise DeserializationError(
            f"The named tuple {module}.{name} has the fields {list(cls._fields)} here, but "
            f"{list(fields)} in the data"
        )
    return cls


@functools.cache
def _fresh_class(module: str, name: str, fields: tuple[str, ...]) -> Any:
    import collections

    # Such names as `_1` come from `rename=True`, and are refused without it.
    last = name.rpartition(".")[2]
    cls: Any = collections.namedtuple(last, fields, rename=True, module=module)  # type: ignore[misc]
    if cls._fields != fields:
        raise DeserializationError(f"A named tuple cannot have the fields {list(fields)}")
    cls.__qualname__ = name
    return cls
