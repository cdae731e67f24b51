"""Futures among the arguments of a call: found when it is submitted, replaced when it begins.

f.submit([a, Point(b)]) ─► find: futures a, b; on the way: the list and the Point
when both are done      ─► Plan.replace: a list and a Point of the same types, with values
"""

from __future__ import annotations

import contextlib
import copy
import copyreg
import gc
import sys
import types
from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from concurrent.futures import Future
from functools import partial
from typing import Any, Callable, Optional

from ..errors import InvalidValueError

_ATOMS = frozenset(
    (int, float, str, bytes, bool, type(None), complex, bytearray, range, slice, type(Ellipsis))
)
_CODE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType)
# A class may have something else by that name.
_ARGS: Any = vars(BaseException)["args"]
# Views and iterators of futures. A `map`, a `filter` or a generator may give their results.
_HOLDERS: tuple[type, ...] = (
    *(types.MappingProxyType, type({}.values()), type({}.items()), type(iter([])), type(iter(()))),
    *(zip, enumerate),
)
# Attributes of other objects are looked into so far: some lead to half of the program.
_MOST_OTHERS = 1000
# The number of an object, and whether it is reached through one that is no container.
_Key = tuple[int, bool]
_START: _Key = (0, False)
_NOTHING: frozenset[int] = frozenset()
_LIST, _TUPLE, _DICT, _SET, _FIELDS, _OTHER = range(6)
_BASES: tuple[Any, ...] = (list, tuple, dict, (set, frozenset))


class Plan:
    """Which futures a call needs, and which containers lead to them."""

    __slots__ = ("_on_the_way", "futures")

    def __init__(self, futures: list[Future[Any]], on_the_way: Set[int]) -> None:
        self.futures = futures
        self._on_the_way = on_the_way

    def replace(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Returns arguments with values in place of futures, which are all done."""
        replaced = _Replacement(self._on_the_way)
        try:
            named = {name: replaced(value) for name, value in kwargs.items()}
            return tuple(map(replaced, args)), named
        except RecursionError:
            raise InvalidValueError(
                "A future lies too deep in an argument: containers can be nested about as deep as "
                "a quarter of sys.getrecursionlimit(). Pass it in fewer of them."
            ) from None


def find(args: Sequence[Any], kwargs: Mapping[str, Any]) -> Optional[Plan]:
    """Looks for futures in arguments, `None` if there are none; a `TypeError` where none can be."""
    for value in args:
        if type(value) not in _ATOMS:
            return _Search(args, kwargs).plan
    for value in kwargs.values():
        if type(value) not in _ATOMS:
            return _Search(args, kwargs).plan
    return None


class _Search:
    """One look through arguments. Each object is visited once, whatever refers to it."""

    def __init__(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        # What leads to each object first, and the step from there. It may be reached in two ways.
        self._first: dict[_Key, tuple[_Key, Any]] = {}
        self._parents: dict[int, list[int]] = {}
        self._futures: dict[int, Future[Any]] = {}
        self._alive: list[Any] = []
        self._others = 0
        self._stack: list[tuple[Any, bool]] = []
        for index, value in enumerate(args):
            self._see(value, _START, f"argument {index + 1}", False)
        for name, value in kwargs.items():
            self._see(value, _START, f"argument {name!r}", False)
        while self._stack:
            self._look_into(*self._stack.pop())
        self.plan = self._made() if self._futures else None

    def _made(self) -> Plan:
        on_the_way: set[int] = set()
        todo = list(self._futures)
        while todo:
            for parent in self._parents.get(todo.pop(), ()):
                if parent and parent not in on_the_way:
                    on_the_way.add(parent)
                    todo.append(parent)
        return Plan(list(self._futures.values()), on_the_way or _NOTHING)

    def _see(self, value: Any, parent: _Key, step: Any, is_other: bool) -> None:
        cls = type(value)
        if cls in _ATOMS or isinstance(value, _CODE):
            return
        number = id(value)
        if hasattr(cls, "_bandsaw_results"):
            raise TypeError(
                f"The results of a map() stand at {self._path(parent, step)}, and can be taken "
                "only once. Pass a list of them, or futures: [f.submit(item) for item in items]."
            )
        is_future = isinstance(value, Future)
        if (
            is_future
            or hasattr(cls, "_asyncio_future_blocking")
            or isinstance(value, types.CoroutineType)
        ):
            if is_other or not is_future:
                self._refuse(value, parent, step)
            self._futures[number] = value
            self._parents.setdefault(number, []).append(parent[0])
            return
        if not is_other:
            self._parents.setdefault(number, []).append(parent[0])
        key = number, is_other
        if key in self._first:
            return
        self._first[key] = parent, step
        if is_other:
            self._others += 1
            if self._others > _MOST_OTHERS:
                return
            self._alive.append(value)
        self._stack.append((value, is_other))

    def _look_into(self, value: Any, inner: bool) -> None:
        number = id(value), inner
        kind = _kind_of(value)
        see = self._see
        if kind in (_LIST, _TUPLE):
            items = tuple.__iter__ if kind == _TUPLE else list.__iter__
            for index, item in enumerate(items(value)):
                see(item, number, index, inner)
        elif kind == _SET:
            for item in (set if isinstance(value, set) else frozenset).__iter__(value):
                see(item, number, "{}", inner)
        elif kind == _DICT:
            for key, item in dict.items(value):
                see(key, number, "key", True)
                see(item, number, key, inner)
        fields: Any = getattr(type(value), "__dataclass_fields__", {}) if kind == _FIELDS else {}
        for name, item in _attributes(value):
            see(item, number, _Attribute(name), inner or name not in fields)
        if kind == _OTHER:
            for index, item in _parts(value):
                see(item, number, index, True)

    def _path(self, parent: _Key, step: Any) -> str:
        steps = [step]
        while parent in self._first:
            parent, step = self._first[parent]
            steps.append(step)
        first, *rest = reversed(steps)
        return str(first) + "".join(map(_written, rest))

    def _refuse(self, value: Any, parent: _Key, step: Any) -> None:
        path = self._path(parent, step)
        if isinstance(value, Future):
            why = (
                "a future can be replaced by its value in lists, tuples, sets, dicts (as a value) "
                "and dataclasses only"
            )
        else:
            why = "only a concurrent.futures.Future, as submit() returns one, can stand for a value"
        raise TypeError(f"A {type(value).__qualname__} stands at {path}, and {why}.")


class _Attribute(str):
    __slots__ = ()


def _written(step: Any) -> str:
    if isinstance(step, _Attribute):
        return f".{step}"
    if step in ("{}", "key"):
        return " (in a set)" if step == "{}" else " (a key)"
    if type(step) is tuple and step and all(type(number) is int for number in step):
        return str(list(step))
    return f"[{step!r}]" if type(step) in _ATOMS else "[...]"


def _kind_of(value: Any) -> int:
    # Not by isinstance: a mock or a proxy says by `__class__` that it is a list.
    cls = type(value)
    for kind, bases in enumerate(_BASES):
        if issubclass(cls, bases):
            return kind
    return _FIELDS if hasattr(cls, "__dataclass_fields__") else _OTHER


def _attributes(value: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds, without running anything of its class."""
    with contextlib.suppress(AttributeError):
        held = object.__getattribute__(value, "__dict__")
        if type(held) is dict:
            yield from list(held.items())
    names: Any = copyreg._slotnames(type(value))  # type: ignore[attr-defined]
    for name in names:
        slot = getattr(type(value), name, None)
        if isinstance(slot, types.MemberDescriptorType):
            with contextlib.suppress(AttributeError):
                yield name, slot.__get__(value)


def _parts(value: Any) -> Iterable[tuple[Any, Any]]:
    cls = type(value)
    if issubclass(cls, partial):
        return enumerate((value.func, *value.args, *value.keywords.values()))
    if cls is types.MethodType:
        return ((0, value.__self__),)
    if issubclass(cls, BaseException):
        return enumerate(_ARGS.__get__(value))
    if cls in _HOLDERS:
        return enumerate(gc.get_referents(value))
    if cls is deque:
        return enumerate(list(value))
    numpy: Any = sys.modules.get("numpy")
    array: Any = getattr(numpy, "ndarray", None)
    if array is not None and issubclass(cls, array) and value.dtype.hasobject:
        # Of records, what an item holds is in a tuple.
        return (
            (index, item.item() if isinstance(item, numpy.void) else item)
            for index, item in numpy.ndenumerate(value)
            if type(item) not in _ATOMS
        )
    return ()


class _Replacement:
    """Copies what leads to a future; what is shared or refers to itself does so in the copy."""

    def __init__(self, on_the_way: Set[int]) -> None:
        self._on_the_way = on_the_way
        self._copies: dict[int, Any] = {}

    def __call__(self, value: Any) -> Any:
        if type(value) in _ATOMS:
            return value
        if isinstance(value, Future):
            # Of ours, too, without noting that somebody has asked.
            return Future.result(value)
        number = id(value)
        if number not in self._on_the_way:
            return value
        if number not in self._copies:
            self._copies[number] = _COPIES[_kind_of(value)](self, value, number)
        return self._copies[number]

    def _list(self, value: Any, number: int) -> Any:
        copied = self._copies[number] = _bare_copy(value, list)
        list.clear(copied)
        for item in list.__iter__(value):
            list.append(copied, self(item))
        return copied

    def _dict(self, value: Any, number: int) -> Any:
        base = next(known for known in (OrderedDict, defaultdict, dict) if isinstance(value, known))
        copied = self._copies[number] = _bare_copy(value, base)
        if base is defaultdict:
            copied.default_factory = value.default_factory
        for key in base.__iter__(value):
            base.__setitem__(copied, key, self(dict.__getitem__(value, key)))
        return copied

    def _tuple(self, value: Any, number: int) -> Any:
        items = [self(item) for item in tuple.__iter__(value)]
        if number in self._copies:
            return self._copies[number]  # it holds a list that holds it
        return _with_attributes(value, tuple.__new__(type(value), items))

    def _set(self, value: Any, number: int) -> Any:
        if isinstance(value, frozenset):
            items = [self(item) for item in frozenset.__iter__(value)]
            if number in self._copies:
                return self._copies[number]
            return _with_attributes(value, frozenset.__new__(type(value), items))
        copied = self._copies[number] = _bare_copy(value, set)
        set.clear(copied)
        set.update(copied, [self(item) for item in set.__iter__(value)])
        return copied

    def _fields(self, value: Any, number: int) -> Any:
        copied = self._copies[number] = _bare_copy(value, object)
        fields = type(value).__dataclass_fields__
        for name, item in _attributes(value):
            if name in fields:
                _assign(copied, name, self(item))
        return copied


_COPIES: dict[int, Callable[[_Replacement, Any, int], Any]] = {
    _LIST: _Replacement._list,
    _TUPLE: _Replacement._tuple,
    _DICT: _Replacement._dict,
    _SET: _Replacement._set,
    _FIELDS: _Replacement._fields,
}


def _bare_copy(value: Any, base: Any) -> Any:
    cls = type(value)
    # Attributes of a class with a `__copy__` of its own may not be shared. That of `defaultdict`
    # calls the class.
    own = getattr(cls, "__copy__", None)
    if own is not getattr(base, "__copy__", None) or isinstance(value, BaseException):
        copied = copy.copy(value)
        if type(copied) is cls and copied is not value:
            return copied
    # copy.copy assigns to slots, which a frozen class refuses.
    return _with_attributes(value, base.__new__(cls))


def _assign(value: Any, name: str, item: Any) -> None:
    held = getattr(value, "__dict__", {})
    if name in held or not isinstance(getattr(type(value), name, None), types.MemberDescriptorType):
        held[name] = item
    else:
        object.__setattr__(value, name, item)


def _with_attributes(value: Any, copied: Any) -> Any:
    for name, item in _attributes(value):
        _assign(copied, name, item)
    return copied
