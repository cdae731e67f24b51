"""The canonical forms of Python's own types: leaves are bytes, everything else has children.

Every form begins with a tag that no other one begins with, and says how long it is, so that no two
different values are ever written alike.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from struct import Struct
from typing import TYPE_CHECKING, Any, Optional, Union

from .kinds import name_of

if TYPE_CHECKING:
    from typing import Protocol

    class AnyWriter(Protocol):
        """What forms use of the writer of `canonical`, which asks them."""

        hook: Optional[Callable[[Any], Any]]
        bulk_hash: Optional[str]
        is_careful: bool
        bulk: int
        read_whole: set[int]
        frames: list[OpenForm]
        code_form: Callable[[Any], Union[bytes, Form]]

        def replaced(self, value: Any) -> Any: ...
        def report(self, value: Any, reason: str) -> None: ...
        def written_anew(self, value: Any) -> Optional[bytes]: ...


# How the children of a form are to be read: in order, as one thing in several parts (also in
# order), in any order, as keys and values in any order, as attribute names and values.
SEQUENCE, PARTS, SET, MAP, FIELDS = range(5)
# Of how many children those in any order consist, by kind.
SIZES = {SET: 1, MAP: 2, FIELDS: 2}

LONGEST_INLINE = 256
_double = Struct("<d").pack
_NAN = b"fnan....."


class NoForm(Exception):
    """The value has no canonical form; the message says why."""


class Form:
    __slots__ = ("children", "kind", "steps", "tag")

    def __init__(
        self, tag: bytes, kind: int, children: Sequence[Any], steps: Optional[Sequence[str]] = None
    ) -> None:
        self.tag = tag  # says what it is
        # How the children are to be read: `SEQUENCE`, `PARTS`, `SET`, `MAP` or `FIELDS`.
        self.kind = kind
        self.children = children  # any values; keys and values alternate
        self.steps = steps  # for `PARTS`, what each child adds to the path in an error


OBJECTS = (b"O", b"o", b"!set;")  # the tags of objects with attributes


class OpenForm:
    """A form that is being written."""

    __slots__ = ("form", "holds_itself", "lowest", "order", "value", "written")

    def __init__(self, value: Any, form: Form, order: int) -> None:
        # What it is the form of; kept, so that its identity is not used again meanwhile.
        self.value = value
        self.form = form  # the tag, the kind and the children
        # What the children were written as; those on an open cycle as their frames.
        self.written: list[Any] = []
        self.order = order  # the position in the order of opening
        self.lowest = order  # the lowest `order` that is reached from here (Tarjan's low link)
        self.holds_itself = False  # whether the value is a child of its own


class Fields:
    """The attributes of an object, to be written as such."""

    __slots__ = ("values",)

    def __init__(self, values: dict[Any, Any]) -> None:
        self.values = values  # the attributes by name


class Written:
    __slots__ = ("data",)

    def __init__(self, data: bytes) -> None:
        self.data = data  # what it is to be written as


def inline(written: bytes) -> bytes:
    """Returns what was written, its digest where that is longer than 256 bytes."""
    return b"#" + sha256(written).digest() if len(written) > LONGEST_INLINE else written


def _write_int(value: int) -> bytes:
    return inline(b"i%x;" % value)


def write_float(value: float) -> bytes:
    """Writes a float; all NaNs alike, because their sign depends on how they came about."""
    return b"f" + _double(value) if value == value else _NAN


def write_str(value: str) -> bytes:
    """Writes a string, lone surrogates included."""
    encoded = value.encode("utf-8", "surrogatepass")
    if len(encoded) <= LONGEST_INLINE - 8:
        return b"s%d:%b" % (len(encoded), encoded)
    digest = sha256(b"s%d:" % len(encoded))
    digest.update(encoded)
    return b"#" + digest.digest()


def _write_complex(value: complex) -> bytes:
    return b"j" + write_float(value.real) + write_float(value.imag)


LEAVES: dict[type, Callable[[Any], bytes]] = {
    type(None): lambda _: b"N",
    bool: lambda value: b"T" if value else b"F",
    int: _write_int,
    float: write_float,
    str: write_str,
    complex: _write_complex,
    type(...): lambda _: b"E",
    type(NotImplemented): lambda _: b"I",
}


def flat(values: Sequence[Any]) -> Optional[bytes]:
    """Writes many numbers or strings at once, if they are all of one type."""
    kinds = set(map(type, values))
    if len(kinds) != 1:
        return None
    kind = kinds.pop()
    if kind is str:
        lengths = _packed("q", list(map(len, values)))
        text = "".join(values).encode("utf-8", "surrogatepass")
        return b"s%b%d:%b" % (lengths, len(text), text)
    if kind is int:
        try:
            return b"i" + _packed("q", values)
        except OverflowError:
            return None
    if kind is float:
        total = sum(values)
        if total != total:
            nan = float("nan")
            return b"f" + _packed("d", [v if v == v else nan for v in values])
        return b"f" + _packed("d", values)
    return None


def _packed(code: str, values: Sequence[Any]) -> bytes:
    packed = array(code, values)
    if sys.byteorder != "little":
        packed.byteswap()
    return packed.tobytes()


def mapping(tag: bytes, values: Any, kind: int = MAP) -> Form:
    children: list[Any] = []
    for key, value in values.items():
        children.append(key)
        children.append(value)
    return Form(tag, kind, children)


def pairs_form(pairs: Iterable[tuple[Any, Any]]) -> Form:
    """Gives the form of the items that an object has as a mapping."""
    return Form(b"p", MAP, [part for pair in pairs for part in pair])


def joined(form: Form, written: list[bytes]) -> bytes:
    if form.kind == SET:
        written.sort()
    elif form.kind in SIZES:
        pairs = sorted(zip(written[::2], written[1::2]))
        written = [part for pair in pairs for part in pair]
    return b"%b%d:" % (form.tag, len(written)) + b"".join(written)


def opaque(value: Any) -> bytes:
    """Writes a value by its type alone."""
    name = name_of(type(value)).encode("utf-8", "surrogatepass")
    return b"?%d:" % len(name) + name
