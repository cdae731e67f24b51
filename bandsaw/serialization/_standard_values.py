"""The value types of the standard library.

| type                                      | representation                                |
|-------------------------------------------|-----------------------------------------------|
| `datetime`, `time`                        | ISO text without zone, fold, zone             |
| `date`                                    | ISO text                                      |
| `timedelta`                               | days, seconds, microseconds                   |
| `timezone`                                | offset and, if given, name                    |
| `ZoneInfo`                                | key                                           |
| `Decimal`, paths, IP addresses            | text                                          |
| `Fraction`                                | numerator, denominator                        |
| `UUID`                                    | text, and what is known of its safety         |
| `OrderedDict`, `Counter`                  | keys and values as pairs, in order            |
| `defaultdict`                             | the factory's name, keys and values           |
| `deque`                                   | items, maximal length                         |
| `ChainMap`                                | its mappings                                  |
| `array`                                   | type code, items                              |
| `SimpleNamespace`                         | its attributes                                |
| `MappingProxyType`                        | its mapping                                   |
| `struct_time`                             | items, named items                            |
| `re.Pattern`                              | pattern, flags                                |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ._tables import Kind, TableSerializer, checked, dict_of, pairs_of

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
    import re

    pattern, flags = checked(data, list)
    # A pattern of text has this flag of itself, and `compile` takes it back.
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
    """Writes the value types of the standard library.

    The table is in the description of this module.
    """

    kinds = _table()

    def _name_of(self, cls: type) -> Any:
        if cls.__name__ == "mappingproxy" and cls is type(vars(type)):
            return "types.MappingProxyType"
        return super()._name_of(cls)
