"""What is in containers and arrays, kept to be compared: by identity, or byte by byte."""

from __future__ import annotations

import gc
import sys
from collections import Counter, OrderedDict, defaultdict, deque
from operator import is_
from types import MappingProxyType
from typing import Any, NamedTuple, Optional

from .kinds import is_a, name_of

# Containers with more elements are reported, and not compared.
MOST_ELEMENTS = 10_000
# As many bytes of an array or a `bytearray` are kept to compare them.
MOST_BYTES = 1 << 16
_DICTS = frozenset((OrderedDict, Counter))
_KEYS = frozenset((type(None), bool, int, float, str, bytes))
_BASES: Any = (list, dict, set, deque)
_HOLDING: Any = (list, tuple, set)
_ARRAYS = frozenset({"numpy.ndarray", "array.array", "builtins.memoryview"})


class Buffer(NamedTuple):
    """The contents of an array, and what says how they are read."""

    shape: Any
    data: Any  # bytes; of an array of objects a list


class DefaultItems(NamedTuple):
    """The contents of a `defaultdict`, and what makes those that it does not have."""

    items: dict[Any, Any]
    factory: Any


def base_of(container: Any) -> Any:
    """Finds what holds the contents of a container: a base of Python's own, or `None`."""
    kind = type(container)
    if type(kind) is type and kind in _BASES:
        return kind
    return next((base for base in _BASES[:3] if issubclass(kind, base)), None)


def holds_code(value: Any) -> bool:
    """Whether a container is a registry: what it holds is run, so it counts by its contents."""
    return any(
        callable(part) or (is_a(part, (tuple, list)) and any(map(callable, _parts(part))))
        for part in _parts(value)
    )


def _parts(value: Any) -> list[Any]:
    if is_a(value, dict):
        return list(dict.values(value))
    # Not by methods of a class of the user's.
    return next((list(kind.__iter__(value)) for kind in _HOLDING if is_a(value, kind)), [])


def parts_of(contents: Any) -> list[Any]:
    """Lists what is in the contents of a container, or in a tuple."""
    if type(contents) is DefaultItems:
        contents = contents.items
    return [] if type(contents) is Buffer else _parts(contents)


def is_changeable(value: Any) -> bool:
    """Says whether a value is a container or an array, whose contents may change."""
    return base_of(value) is not None or is_a(value, bytearray) or name_of(type(value)) in _ARRAYS


def behind(proxy: MappingProxyType[Any, Any]) -> Any:
    """Returns the mapping that a proxy shows, without a question to it."""
    return next(iter(gc.get_referents(proxy)), None)


def contents_of(container: Any) -> Any:
    """Copies what is in a container or array, `None` if there is too much or keys run code."""
    base = base_of(container)
    if base is None:
        return _buffer_of(container)
    if base.__len__(container) > MOST_ELEMENTS:
        return None
    if base is dict and type(container) is not dict:
        # `dict.copy` asks a class for its keys, and a new dict asks keys for their hash.
        keys = list(_keys_of(container))
        if not all(map(_is_plain, keys)):
            return None
        items = {key: dict.__getitem__(container, key) for key in keys}
        if is_a(container, defaultdict):
            return DefaultItems(items, _factory_of(container))
        return items
    return base.copy(container)


def _is_plain(key: Any) -> bool:
    return type(key) in _KEYS or (type(key) is tuple and all(map(_is_plain, key)))


def _keys_of(container: Any) -> Any:
    # It has an order of its own, which `dict` does not know.
    kind: Any = OrderedDict if is_a(container, OrderedDict) else dict
    return kind.__iter__(container)


_factory_of = defaultdict.__dict__["default_factory"].__get__


def _buffer_of(array: Any) -> Optional[Buffer]:
    try:
        if is_a(array, bytearray):
            size, shape = bytearray.__len__(array), None
        elif is_a(array, memoryview):
            size, shape = array.nbytes, (array.shape, array.format)
        elif name_of(type(array)) == "array.array":
            size, shape = len(array) * array.itemsize, array.typecode
        else:
            dtype = array.dtype
            # The names of fields are set in place.
            size, shape = array.nbytes, (array.shape, repr(dtype) if dtype.names else dtype.str)
            if dtype.hasobject and dtype.names is None:
                return Buffer(shape, array.ravel().tolist()) if size <= MOST_BYTES else None
            if dtype.hasobject:
                return None
        if size > MOST_BYTES:
            return None
        if is_a(array, bytearray):
            return Buffer(shape, bytes(bytearray.__getitem__(array, slice(None))))
        return Buffer(shape, array.tobytes())
    except (AttributeError, TypeError, ValueError):
        return None  # a view that was released


def has_same_contents(container: Any, contents: Any) -> bool:
    """Says whether a container holds what it did, without a method of a class of the user's."""
    kind = type(contents)
    if kind is Buffer:
        now = _buffer_of(container)
        if now is None or now.shape != contents.shape:
            return False
        if type(now.data) is bytes:
            return bool(now.data == contents.data)
        return len(now.data) == len(contents.data) and all(map(is_, now.data, contents.data))
    if kind is DefaultItems:
        if _factory_of(container) is not contents.factory:
            return False
        contents = contents.items
    base = base_of(contents)
    each = base.__iter__
    if base.__len__(container) != base.__len__(contents):
        return False
    if base is set:
        return set(map(id, each(container))) == set(map(id, each(contents)))
    if base is not dict:
        return all(map(is_, each(container), contents))
    # In the same order, by the same keys: a key may be equal to another one.
    values: Any = dict.values(container)
    if is_a(container, OrderedDict):
        values = (dict.__getitem__(container, key) for key in contents)
    same_keys = map(is_, _keys_of(container), contents)
    return all(same_keys) and all(map(is_, values, contents.values()))


def rebuilt(container: Any, contents: Any) -> Any:
    """Makes a container that counts as one with other contents did."""
    if is_a(contents, DefaultItems):
        return defaultdict(contents.factory, contents.items)
    if not is_a(contents, Buffer):
        return type(container)(contents) if type(container) in _DICTS else contents
    if is_a(container, bytearray):
        return bytearray(contents.data)
    if is_a(container, memoryview):
        shape, letter = contents.shape
        return memoryview(contents.data).cast(letter, shape)
    if name_of(type(container)) == "array.array":
        return type(container)(contents.shape, contents.data)
    numpy: Any = sys.modules["numpy"]
    if is_a(contents.data, list):
        made = numpy.empty(len(contents.data), dtype=object)
        made[:] = contents.data
    else:
        made = numpy.frombuffer(contents.data, dtype=container.dtype)
    return made.reshape(contents.shape[0])
