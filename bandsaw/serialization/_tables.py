"""The value types of Python and its standard library that JSON does not know, as tables.

| type                           | representation                                                  |
|--------------------------------|-----------------------------------------------------------------|
| `set`, `frozenset`             | the items, sorted by their encoded text                         |
| `dict`                         | the keys and values as pairs, in order                          |
| `bytes`, `bytearray`           | Base64                                                          |
| `complex`                      | real and imaginary part                                         |
| `range`, `slice`               | start, stop, step                                               |
| `Ellipsis` and the like        | nothing                                                         |
| `float`                        | `nan`, `inf` or `-inf`                                          |
| `int`                          | hexadecimal digits                                              |
| `str`                          | pieces, cut between surrogates that would be read as one letter |
| `datetime`, `time`             | ISO text without zone, fold, zone                               |
| `date`                         | ISO text                                                        |
| `timedelta`                    | days, seconds, microseconds                                     |
| `timezone`                     | offset and, if given, name                                      |
| `ZoneInfo`                     | key                                                             |
| `Decimal`, paths, IP addresses | text                                                            |
| `Fraction`                     | numerator, denominator                                          |
| `UUID`                         | text, and what is known of its safety                           |
| `OrderedDict`, `Counter`       | keys and values as pairs, in order                              |
| `defaultdict`                  | the factory's name, keys and values                             |
| `deque`                        | items, maximal length                                           |
| `ChainMap`                     | its mappings                                                    |
| `array`                        | type code, items                                                |
| `SimpleNamespace`              | its attributes                                                  |
| `MappingProxyType`             | its mapping                                                     |
| `struct_time`                  | items, named items                                              |
| `re.Pattern`                   | pattern, flags                                                  |
"""

from __future__ import annotations

import binascii
import importlib
import re
from collections.abc import Mapping
from typing import Any, Callable, NamedTuple

from ..errors import DeserializationError
from .values import ValueSerializer

# Two lone surrogates in a row. A JSON reader would join them to one letter.
SURROGATE_PAIR = re.compile("[\ud800-\udbff][\udc00-\udfff]")


class Kind(NamedTuple):
    write: Callable[[Any], Any]  # gives the representation of a value
    # Makes the value from its representation, given the type as well.
    read: Callable[[Any, Any], Any]


class TableSerializer(ValueSerializer):
    """Writes values of the very types in a table: the type's name and a representation."""

    kinds: Mapping[str, Kind]  # the table, by the full names under which the types can be imported

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
            # Python moves types among private modules: `pathlib._local.Path` is `pathlib.Path`.
            name = f"{str(cls.__module__).partition('.')[0]}.{cls.__qualname__}"
            if name not in self.kinds or _import(name) is not cls:
                return None
            self._known[cls] = name
        return self._known[cls]


def _import(name: str) -> Any:
    module, _, attribute = name.rpartition(".")
    return getattr(importlib.import_module(module), attribute, None)


def pairs_of(mapping: Any) -> Any:
    return [[key, value] for key, value in mapping.items()]


def dict_of(pairs: Any) -> dict[Any, Any]:
    return dict(checked(pairs, list))


def checked(data: Any, *types: type) -> Any:
    """Returns data if it is of one of the types, and raises a `DeserializationError` otherwise."""
    if type(data) not in types:
        raise DeserializationError(
            f"A representation is of type {type(data).__name__} instead of "
            + " or ".join(expected.__name__ for expected in types)
        )
    return data


def _text_of(data: Any) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def _bytes_of(cls: Any, data: Any) -> Any:
    import base64

    return cls(base64.b64decode(checked(data, str), validate=True))


def _pieces_of(text: str) -> Any:
    # One piece more than there are pairs to cut.
    cuts = [match.start() + 1 for match in SURROGATE_PAIR.finditer(text)]
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)])]


def _single(value: Any) -> Kind:
    return Kind(lambda _: None, lambda cls, data: value)


def _with(*types: type) -> Callable[[Any, Any], Any]:
    return lambda cls, data: cls(*(checked(part, *types) for part in checked(data, list)))


class BuiltinSerializer(TableSerializer):
    """Writes the built-in types that JSON does not know, and odd values of those that it knows."""

    kinds: Mapping[str, Kind] = {
        "builtins.set": Kind(list, lambda cls, data: cls(checked(data, list))),
        "builtins.frozenset": Kind(list, lambda cls, data: cls(checked(data, list))),
        "builtins.dict": Kind(pairs_of, lambda cls, data: dict_of(data)),
        "builtins.bytes": Kind(_text_of, _bytes_of),
        "builtins.bytearray": Kind(_text_of, _bytes_of),
        "builtins.complex": Kind(lambda value: [value.real, value.imag], _with(float)),
        "builtins.range": Kind(
            lambda value: [value.start, value.stop, value.step], _with(int, bool)
        ),
        "builtins.slice": Kind(
            lambda value: [value.start, value.stop, value.step],
            lambda cls, data: cls(*checked(data, list)),
        ),
        "builtins.ellipsis": _single(Ellipsis),
        "builtins.NotImplementedType": _single(NotImplemented),
        "builtins.float": Kind(repr, lambda cls, data: cls(checked(data, str))),
        "builtins.int": Kind(hex, lambda cls, data: cls(checked(data, str), 16)),
        "builtins.str": Kind(_pieces_of, lambda cls, data: "".join(checked(data, list))),
    }

    def _name_of(self, cls: type) -> Any:
        if cls in (type(Ellipsis), type(NotImplemented)):
            return f"builtins.{cls.__name__}"
        return super()._name_of(cls)


_FACTORIES = {
    cls.__name__: cls
    for cls in (bool, int, float, complex, str, bytes, bytearray, list, tuple, dict, set, frozenset)
}


def _text(cls: Any, data: Any) -> Any:
    return cls(checked(data, str))


def _with_zone(value: Any) -> Any:
    return [value.replace(tzinfo=None, fold=0).isoformat(), value.fold, value.tzinfo]


def _read_with_zone(cls: Any, data: Any) -> Any:
    text, fold, zone = checked(data, list)
    return cls.fromisoformat(text).replace(fold=fold, tzinfo=zone)


def _zone_key(value: Any) -> str:
    if value.key is None:
        raise TypeError("a ZoneInfo that was made from a file has no key")
    return str(value.key)


def _default_dict(value: Any) -> Any:
    factory = value.default_factory
    if factory is None:
        return [None, pairs_of(value)]
    for name, known in _factories().items():
        if factory is known:
            return [name, pairs_of(value)]
    raise TypeError(
        f"the factory {factory!r} of a defaultdict is none of {', '.join(_factories())}"
    )


def _read_default_dict(cls: Any, data: Any) -> Any:
    name, pairs = checked(data, list)
    if name is None:
        return cls(None, dict_of(pairs))
    return cls(_factories()[name], dict_of(pairs))


def _factories() -> dict[str, Any]:
    import collections

    names = ("Counter", "OrderedDict", "defaultdict", "deque")
    return {**_FACTORIES, **{name: getattr(collections, name) for name in names}}


def _read_namespace(cls: Any, data: Any) -> Any:
    value = cls()
    vars(value).update(checked(data, dict))
    return value


def _read_parts(cls: Any, data: Any) -> Any:
    return cls(*checked(data, list))


def _read_array(cls: Any, data: Any) -> Any:
    code, items = checked(data, list)
    return cls(code, "".join(items) if code in ("u", "w") else items)


def _pattern(value: Any) -> Any:
    return [value.pattern, value.flags]


def _read_pattern(cls: Any, data: Any) -> Any:
    pattern, flags = checked(data, list)
    # `flags` of a text pattern include `re.UNICODE`, which `compile` accepts.
    return re.compile(pattern, checked(flags, int))


def _uuid(value: Any) -> Any:
    return [str(value), value.is_safe.value]


def _read_uuid(cls: Any, data: Any) -> Any:
    import uuid

    text, is_safe = checked(data, list)
    return cls(checked(text, str), is_safe=uuid.SafeUUID(is_safe))


def _table() -> Mapping[str, Kind]:
    text = Kind(str, _text)
    pairs = Kind(pairs_of, lambda cls, data: cls(dict_of(data)))
    table = {
        "datetime.datetime": Kind(_with_zone, _read_with_zone),
        "datetime.time": Kind(_with_zone, _read_with_zone),
        "datetime.date": Kind(
            lambda value: value.isoformat(), lambda cls, data: cls.fromisoformat(data)
        ),
        "datetime.timedelta": Kind(
            lambda value: [value.days, value.seconds, value.microseconds], _read_parts
        ),
        "datetime.timezone": Kind(lambda value: list(value.__getinitargs__()), _read_parts),
        "zoneinfo.ZoneInfo": Kind(_zone_key, _text),
        "decimal.Decimal": text,
        "fractions.Fraction": Kind(
            lambda value: [value.numerator, value.denominator],
            lambda cls, data: cls(*(checked(part, int) for part in checked(data, list))),
        ),
        "uuid.UUID": Kind(_uuid, _read_uuid),
        "collections.OrderedDict": pairs,
        "collections.Counter": pairs,
        "collections.defaultdict": Kind(_default_dict, _read_default_dict),
        "collections.deque": Kind(lambda value: [list(value), value.maxlen], _read_parts),
        "collections.ChainMap": Kind(lambda value: list(value.maps), _read_parts),
        "array.array": Kind(lambda value: [value.typecode, value.tolist()], _read_array),
        "types.SimpleNamespace": Kind(lambda value: dict(vars(value)), _read_namespace),
        "types.MappingProxyType": Kind(lambda value: value.copy(), lambda cls, data: cls(data)),
        "time.struct_time": Kind(
            lambda value: list(value.__reduce__()[1]),
            lambda cls, data: cls(checked(data[0], tuple), checked(data[1], dict)),
        ),
        "re.Pattern": Kind(_pattern, _read_pattern),
    }
    for name in ("PurePosixPath", "PureWindowsPath", "PosixPath", "WindowsPath"):
        table[f"pathlib.{name}"] = text
    for version in ("4", "6"):
        for name in ("Address", "Interface", "Network"):
            table[f"ipaddress.IPv{version}{name}"] = text
    return table


class StandardSerializer(TableSerializer):
    """Writes the value types of the standard library."""

    kinds = _table()

    def _name_of(self, cls: type) -> Any:
        if cls.__name__ == "mappingproxy" and cls is type(vars(type)):
            return "types.MappingProxyType"
        return super()._name_of(cls)
