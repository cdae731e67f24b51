"""The built-in value types that JSON does not know.

| type                     | representation                                                  |
|--------------------------|-----------------------------------------------------------------|
| `set`, `frozenset`       | the items, sorted by their encoded text                         |
| `dict`                   | the keys and values as pairs, in order                          |
| `bytes`, `bytearray`     | Base64                                                          |
| `complex`                | real and imaginary part                                         |
| `range`, `slice`         | start, stop, step                                               |
| `Ellipsis` and the like  | nothing                                                         |
| `float`                  | `nan`, `inf` or `-inf`                                          |
| `int`                    | hexadecimal digits                                              |
| `str`                    | pieces, cut between surrogates that would be read as one letter |
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping
from typing import Any, Callable

from ._tables import Kind, TableSerializer, checked, dict_of, pairs_of


def _text_of(data: Any) -> str:
    return binascii.b2a_base64(data, newline=False).decode("ascii")


def _bytes_of(cls: Any, data: Any) -> Any:
    import base64

    return cls(base64.b64decode(checked(data, str), validate=True))


def _pieces_of(text: str) -> Any:
    from ._json_encoder import SURROGATE_PAIR

    # Always a list of one more piece than there are pairs to cut.
    cuts = [match.start() + 1 for match in SURROGATE_PAIR.finditer(text)]
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)])]


def _single(value: Any) -> Kind:
    return Kind(lambda _: None, lambda cls, data: value)


def _with(*types: type) -> Callable[[Any, Any], Any]:
    return lambda cls, data: cls(*(checked(part, *types) for part in checked(data, list)))


class BuiltinSerializer(TableSerializer):
    """Writes the built-in value types that JSON does not know, and what it cannot write of others.

    The table is in the description of this module.
    """

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
