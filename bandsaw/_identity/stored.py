"""Objects of the user's classes by what they store, so that none of their code runs.

An argument counts by what `pickle` would make of it. What code reaches is not asked: no
`__reduce__`, `__getstate__`, `__getattr__` or `items` of the user's is called. Objects that keep
their state out of sight are written anew to see whether they are the same.
"""

from __future__ import annotations

import copyreg
import enum
import io
import pickle
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property, partial
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType, ModuleType
from typing import Any, Optional, Union

from .first_values import first_contents
from .firstparty import is_first_party
from .forms import OBJECTS, PARTS, SET, Fields, Form, NoForm, pairs_form
from .held_contents import MOST_BYTES
from .kinds import (
    BY_MYPYC,
    attributes_of,
    by_kind,
    defines,
    is_a,
    members_of,
    memos_of,
    module_of,
    mro_of,
    name_of,
    number_of,
    state_of,
)

# What a class may define without a change of how its bases are read.
_HARMLESS = frozenset(
    "__module__ __qualname__ __doc__ __dict__ __weakref__ __slots__ __init__ __new__"
    " __annotations__ __orig_bases__ __parameters__ __firstlineno__ __static_attributes__"
    " __init_subclass__ __annotate__ __annotate_func__ __annotations_cache__ __match_args__"
    " __class_getitem__ __abstractmethods__ __classcell__ _abc_impl".split()
)
_ASKED = frozenset(("__getattr__", "__getstate__", "__getnewargs__", "__getnewargs_ex__"))
# How what a base of Python's own holds is read, as the arguments that would make it again.
_ARGUMENTS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (int, int.__int__),
    (float, float.__float__),
    (complex, lambda value: complex.__add__(value, 0j)),
    (bytes, lambda value: bytes.__getitem__(value, slice(None))),
    (bytearray, lambda value: bytearray.__getitem__(value, slice(None))),
    (tuple, lambda value: tuple(tuple.__iter__(value))),
    (BaseException, BaseException.__dict__["args"].__get__),
)


def is_of_the_user(kind: type) -> bool:
    return any(is_first_party(module_of(base)) for base in mro_of(kind)[:-1])


def is_mock(value: Any) -> bool:
    """Says whether a value stands in for something in a test."""
    return module_of(type(value)) == "unittest.mock"


def is_strange(value: Any) -> bool:
    """Says whether something is of the project, or a mock, where an installed thing belongs."""
    if is_a(value, FunctionType):
        home = value.__globals__.get("__name__")
        return is_a(home, str) and is_first_party(home)
    if is_a(value, type):
        return is_of_the_user(value)
    return is_mock(value) or (defines(type(value), "__call__") and is_of_the_user(type(value)))


def is_in_a_file(value: Any) -> bool:
    """Says whether it is a function of the project, and not what a decorator has made of a text."""
    is_function = is_a(value, FunctionType) and value.__code__.co_filename != "<string>"
    return is_function and is_strange(value)


def of_enumeration(member: Any) -> Any:
    """Gives the value of a member of an enumeration, with what its class has set on it besides."""
    memos, held = memos_of(type(member)), attributes_of(member).items()
    more = {name: each for name, each in held if name[:1] != "_" and name not in memos}
    return (member._value_, more) if more else member._value_


def unwrapped(member: Any) -> tuple[Any, ...]:
    """Finds what a member of a class wraps."""
    if is_a(member, (staticmethod, classmethod)):
        return (member.__func__,)
    if is_a(member, property):
        return (member.fget, member.fset, member.fdel)
    if is_a(member, (partial, cached_property)):
        return (member, member.func)
    return (member,)


def is_door(member: Any) -> bool:
    """Says whether a member of an installed class gives way to code of the project.

    As accessors of pandas, xarray and polars do, which are objects that hold a class.
    """
    if is_a(member, (FunctionType, type)) or not defines(type(member), "__get__"):
        return False
    return any(is_a(each, type) and is_strange(each) for each in attributes_of(member).values())


def is_code(member: Any) -> bool:
    """Says whether a member of a class is run when objects are used, so that it is no state."""
    return defines(type(member), "__get__") and not is_a(member, _OF_SLOTS)


_OF_SLOTS = (MemberDescriptorType, GetSetDescriptorType)


def is_special_of_the_user(name: str, member: Any) -> bool:
    """Says whether somebody wrote a special method, that decorators of classes make as well."""
    return is_mock(member) or any(
        is_strange(each)
        and not (
            is_a(each, FunctionType)
            and each.__code__.co_filename[:1] == "<"
            and each.__qualname__.endswith(f".{name}")
        )
        for each in unwrapped(member)
        if not is_a(each, type)
    )


def open_stored(value: Any) -> Optional[Form]:
    """Opens an object of a user's class; `None` where pickling it runs none of the user's code."""
    kind = type(value)
    is_file = FILE in map(name_of, mro_of(kind))
    if is_file or is_a(value, (type, FunctionType, ModuleType, enum.Enum)):
        return None
    memos = memos_of(kind)  # what methods keep of what they have computed
    held = state_of(value, members_of(kind)).items()
    state = {name: each for name, each in held if name not in memos}
    fields = Fields(state) if state else None
    contents = first_contents(value)
    if is_a(value, (set, frozenset)):
        each: Any = set.__iter__ if is_a(value, set) else frozenset.__iter__
        return Form(b"!set;", PARTS, (kind, Form(b"Z", SET, list(each(contents))), fields))
    args: tuple[Any, ...] = ()
    items = pairs = None
    if is_a(value, list):
        items = list(list.__iter__(contents))
    elif is_a(value, OrderedDict):
        each = OrderedDict if is_a(contents, OrderedDict) else dict
        items = [(key, dict.__getitem__(contents, key)) for key in each.__iter__(contents)]
    elif is_a(value, dict):
        pairs = pairs_form(dict.items(contents))
    else:
        for base, read in _ARGUMENTS:
            if is_a(value, base):
                args = (read(value),)
                break
        else:
            if stores_more(kind) and not is_a(value, property):
                if not _changes_its_bases(kind) and by_kind(copyreg.dispatch_table, kind) is None:
                    return None
                raise NoForm("what it stores cannot be read without running its own code")
    return Form(b"O", PARTS, (kind, args, fields, items, pairs), ("",) * 5)


def counts_in_a_class(value: Any, owner: type) -> bool:
    """Says whether an attribute of a class is more than the source of the class says."""
    kind = type(value)
    # The members of an enumeration are attributes of it.
    return name_of(kind) in HOLDERS or (
        is_of_the_user(kind)
        and not is_a(value, type)
        and not (kind is owner and is_a(value, enum.Enum))
    )


# Classes whose objects are nothing but what they hold.
HOLDERS = frozenset(
    "types.SimpleNamespace argparse.Namespace types.mappingproxy builtins.mappingproxy"
    " functools.partial functools.partialmethod collections.OrderedDict collections.defaultdict"
    " collections.Counter collections.deque builtins.bytearray"
    " functools.singledispatchmethod".split()
)


def hides_contents(value: Any, form: Union[bytes, Form]) -> bool:
    """Says whether an object may hold what nobody sees change."""
    kind = type(value)
    if is_a(value, _VIEWS):
        return True
    is_object = is_a(form, Form) and form.tag in OBJECTS and not _is_plain_tuple(kind)
    return module_of(kind).partition(".")[0] in _OF_ARRAYS or (
        is_object and (not attributes_of(value) or stores_more(kind))
    )


_VIEWS: tuple[type, ...] = (memoryview, type({}.keys()), type({}.values()), type({}.items()))
_OF_ARRAYS = frozenset(("numpy", "pandas", "pyarrow"))
FILE = f"{__name__.partition('.')[0]}._file.File"


def stores_more(kind: type) -> bool:
    """Says whether objects of a class have more than attributes; `pickle` looks at the same."""
    if any(BY_MYPYC in attributes_of(base) for base in mro_of(kind)):
        return False
    slots = [name for name, _ in members_of(kind)]
    places = len(slots) + sum(
        number_of(kind, name) > 0 for name in ("__dictoffset__", "__weakrefoffset__")
    )
    size = object.__basicsize__ + places * tuple.__itemsize__
    return number_of(kind, "__itemsize__") != 0 or number_of(kind, "__basicsize__") > size


def pickles_nothing(kind: type) -> bool:
    """Says whether `pickle` refuses the objects of a class, because they are written in C."""
    said = any(not _PICKLING.isdisjoint(attributes_of(base)) for base in mro_of(kind)[:-1])
    return not said and stores_more(kind) and by_kind(copyreg.dispatch_table, kind) is None


def is_known_by_origin(kind: type) -> bool:
    """Says whether only the statement that makes an object shows what it gives, as of iterators."""
    return pickles_nothing(kind) or (defines(kind, "__next__") and not defines(kind, "read"))


_PICKLING = _ASKED - {"__getattr__"} | {"__reduce__", "__reduce_ex__"}


def hides_more(kind: type) -> bool:
    """Says whether objects of a class have more than attributes and the elements of a tuple."""
    return stores_more(kind) and not _is_plain_tuple(kind)


def _is_plain_tuple(kind: type) -> bool:
    """Says whether a class is that of a named tuple: its elements are opened and watched."""
    return issubclass(kind, tuple) and number_of(kind, "__basicsize__") == tuple.__basicsize__


def _changes_its_bases(kind: type) -> bool:
    mine: set[str] = set()
    others: set[str] = set(_ASKED)
    for base in mro_of(kind):
        (mine if is_first_party(module_of(base)) else others).update(attributes_of(base))
    return not (mine - _HARMLESS).isdisjoint(others)


class Whole:
    """Something that is written as a whole, as `pickle` writes it.

    Two pickles of equal tables may differ. Then what counts is written. `has_more`: whether
    more counts than is in a pickle. `form`: what it is written as.
    """

    __slots__ = ("_has_more", "_pickled", "_write", "_written", "form", "value")

    def __init__(
        self, value: Any, write: Callable[[Any], Optional[bytes]], has_more: bool, form: Any
    ) -> None:
        self.value = value
        self.form = form
        self._write = write
        self._has_more = has_more
        self.note()

    def note(self) -> None:
        """Notes what it is now."""
        self._written = self._write(self.value)
        is_pickled = self._written is not None and not self._has_more
        self._pickled = _pickled(self.value) if is_pickled else None

    def is_small(self) -> bool:
        return self._written is not None

    def is_same(self) -> bool:
        pickled = None if self._pickled is None else _pickled(self.value)
        if pickled is None or pickled != self._pickled:
            if self._write(self.value) != self._written:
                return False
            self._pickled = pickled
        return True


class Pointer:
    """Something that points to others, such as a weak reference."""

    form = None

    __slots__ = ("_known", "_read", "value")

    def __init__(self, value: Any, read: Callable[[Any], tuple[Any, ...]]) -> None:
        self.value = value
        self._read = read
        self.note()

    def note(self) -> None:
        self._known = self._read(self.value)

    def is_same(self) -> bool:
        now = self._read(self.value)
        return len(now) == len(self._known) and all(
            one is other for one, other in zip(now, self._known)
        )


class _OfTheUser(Exception):
    pass


class _Pickler(pickle.Pickler):
    """Pickles no object of the user's: their own code would run."""

    def reducer_override(self, value: Any) -> Any:
        if is_of_the_user(value if is_a(value, type) else type(value)):
            raise _OfTheUser
        return NotImplemented


def _pickled(value: Any) -> Optional[bytes]:
    stream, buffers = io.BytesIO(), []  # type: ignore[var-annotated]
    try:
        _Pickler(stream, 5, buffer_callback=buffers.append).dump(value)
        views = [buffer.raw() for buffer in buffers]
    except Exception:
        return None
    if stream.tell() + sum(view.nbytes for view in views) > MOST_BYTES:
        return None
    return b"".join([stream.getvalue(), *views])
