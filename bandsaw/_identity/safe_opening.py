"""Opens parts of code without running any of it, and notes what of them may change.

Containers, arrays and attributes are noted to be compared with what they held. Objects that keep
their state out of sight, such as tables and what is written in C, are written anew to compare them.
"""

from __future__ import annotations

import contextvars
import functools
import os
import sys
import weakref
from collections import OrderedDict
from types import FunctionType, MappingProxyType
from typing import TYPE_CHECKING, Any, Optional, Union

from .addresses import Living, without_addresses, without_process
from .compiled import open_proxy
from .first_values import MISSING, first_attributes, first_contents, first_form, known_form
from .firstparty import canonical_module_name, global_name, is_first_party
from .forms import (
    OBJECTS,
    PARTS,
    Fields,
    Form,
    NoForm,
    OpenForm,
    Written,
    opaque,
    pairs_form,
    write_str,
)
from .held_contents import MOST_ELEMENTS, behind, is_changeable
from .kinds import (
    attributes_of,
    by_kind,
    defines,
    hides_attributes,
    is_a,
    members_of,
    module_of,
    mro_of,
    name_of,
    qualname_of,
)
from .objects import open_form
from .stored import (
    FILE,
    HOLDERS,
    Pointer,
    Whole,
    hides_contents,
    hides_more,
    is_mock,
    is_of_the_user,
    is_strange,
    open_stored,
)
from .watch import Seen

if TYPE_CHECKING:
    from .forms import AnyWriter

# The tags of installed functions, and of what a definition uses from outside.
FOREIGN, NAMES = b"!foreign;", b"!names;"
ITERATOR = b"!iterator;"
# As many objects of classes that are not of the project are watched.
_MOST_OWNERS = 1_000
# They are drawn from: what they hold is another state after each call.
_DRAWN = frozenset(
    "_random.Random numpy.random.bit_generator.BitGenerator numpy.random.mtrand.RandomState"
    " numpy.random._generator.Generator torch._C.Generator".split()
)
# They keep the names of a module, and look up nothing there but the names in annotations.
_RESOLVERS = frozenset({"annotationlib", "beartype", "pydantic", "typeguard", "typing"})
_FIRST = sys.intern("__name__")
_READ_WHOLE = (
    *(b"!keys;", b"!values;", b"!items;"),
    *(b"!frame;", b"!series;", b"!index;", b"!range;", b"!categorical;", b"!column;"),
    *(b"!numpy.subclass;", b"!tensor;", b"!storage;"),
)
# Gradients, and attributes of masked arrays, are not in their pickles.
_NOT_PICKLED = (b"!tensor;", b"!numpy.subclass;")


# What holds nothing that may change in place, and whether there may be addresses in it. Most of
# what is read of code is of them.
FIXED: dict[type, bool] = {
    **dict.fromkeys((tuple, frozenset, bytes, FunctionType, Form), True),
    Written: False,
}
_NOTED = frozenset((*_READ_WHOLE, *OBJECTS))


def _is_fixed(value: Any) -> bool:
    kind = type(value)
    return by_kind(FIXED, kind) is not None and not (kind is Form and value.tag in _NOTED)


def open_carefully(value: Any, writer: AnyWriter) -> Union[bytes, Form]:
    """Opens a part of code; nothing of the user's is run for it."""
    closed = _closed(value, writer)
    return _opened(value, writer) if closed is None else closed


def _closed(value: Any, writer: AnyWriter) -> Optional[bytes]:
    """Writes what counts by what it is, and not by what it holds; `None` for all else."""
    if type(value) is dict and _only_resolves(value, writer):
        return b"!namespace;" + write_str(canonical_module_name(value["__name__"]))
    return opaque(value) if _is_of_process(value) else None


def _opened(value: Any, writer: AnyWriter) -> Union[bytes, Form]:
    if _is_fixed(value):
        return _open(value, writer)
    kind = type(value)
    if is_mock(value) and defines(kind, "assert_called"):
        return _open_mock(value)
    if defines(kind, "__next__") and not defines(kind, "read"):
        # An iterator counts by its kind, and not by where it is.
        return Form(ITERATOR, PARTS, (kind,)) if is_of_the_user(kind) else opaque(value)
    pointed = by_kind(_POINTERS, kind)
    if pointed is not None:
        parts = pointed(value)
        # Signals of installed packages point to what they call.
        is_called = any(is_a(each, FunctionType) and is_strange(each) for each in parts)
        if is_called or is_held_by_the_user(writer.frames):
            return Form(b"!points;", PARTS, parts)
    form = known_form(value) or _open(value, writer)
    return first_form(value, form) if is_drawn(kind) else form


def _open_mock(value: Any) -> Form:
    """Opens a mock by what it stores: some are iterators, and each has a class of its own."""
    kind = mro_of(type(value))[1]
    named: Any = Written(global_name(module_of(kind), qualname_of(kind)))
    state = dict(attributes_of(value))
    effect = state.get("_mock_side_effect")
    if type(effect) in _OF_SEQUENCES:
        state["_mock_side_effect"] = effect.__reduce__()[1:]  # what is left, which stays there
    made_of = kind if is_of_the_user(kind) else named
    return Form(b"O", PARTS, (made_of, (), Fields(state), None, None))


_OF_SEQUENCES: tuple[type, ...] = tuple(map(type, map(iter, ([], (), range(0), {}, set(), ""))))


def _open(value: Any, writer: AnyWriter) -> Union[bytes, Form]:
    try:
        is_stored = not _is_fixed(value) and is_of_the_user(type(value))
        proxy = open_proxy(value) if is_stored else None
        if proxy is not None:
            return proxy
        stored = open_stored(value) if is_stored else None
        return _open_first(value, writer) if stored is None else stored
    except (NoForm, RecursionError):
        raise
    except Exception as error:
        raise NoForm(f"{type(error).__name__}: {error}") from error


def _open_first(value: Any, writer: AnyWriter) -> Union[bytes, Form]:
    """Opens something installed with what it held before reached code filled it."""
    contents = first_contents(value)
    if type(contents) is not type(value) and is_a(contents, (list, dict)):
        form = open_form(value, writer)
        if is_a(form, Form) and form.tag in OBJECTS:
            # Its class counts, too.
            held: Any = (contents, None)
            if is_a(contents, dict):
                pairs = dict.items(contents)
                held = None, list(pairs) if is_a(value, OrderedDict) else pairs_form(pairs)
            form.children = [*form.children[:3], *held]
            return form
    return open_form(contents, writer)


def open_noted(value: Any, writer: AnyWriter, seen: Seen) -> Union[bytes, Form]:
    """Opens a part of code, and notes what of it may change."""
    kind = type(value)
    whole = writer.read_whole
    seen.living = seen.living or Living()
    if by_kind(FIXED, kind) is False:
        return open_carefully(value, writer)
    if whole and any(id(frame.value) in whole for frame in writer.frames):
        form = open_carefully(value, writer)  # it is read with what holds it
        return without_process(value, form, writer.frames, seen.living)
    if _is_fixed(value):
        form = _open(value, writer)
        plain = without_addresses(value, form, seen.living)
        if plain is not form:
            _report_address(value, writer)
        return without_process(value, plain, writer.frames, seen.living)
    closed = _closed(value, writer)
    if closed is not None:
        return closed
    if is_changeable(value) and not seen.container(value):
        has_keys = is_a(value, dict) and dict.__len__(value) <= MOST_ELEMENTS
        why = ("has keys of classes whose code is not run, and cannot",) if has_keys else ()
        _report_unwatched(value, writer, seen, *why)
    form = _opened(value, writer)
    pointed = _parts_of_partial if kind is functools.partial else by_kind(_POINTERS, kind)
    if pointed is not None:
        seen.reading(Pointer(value, pointed))
    elif is_drawn(kind):
        writer.report(value, "counts as it was when it was first seen, however it is seeded later")
    elif name_of(kind) == FILE:
        seen.reading(Whole(value, writer.written_anew, True, None))
    elif _is_read_whole(value, form):
        whole.add(id(value))
        has_more = is_a(form, Form) and form.tag in _NOT_PICKLED
        kept = None if is_held_by_the_user(writer.frames) else form
        reading = Whole(value, writer.written_anew, has_more, kept)
        if reading.is_small():
            seen.reading(reading)
        else:
            _report_unwatched(value, writer, seen)
    elif not (is_changeable(value) or is_of_the_user(kind)) and hides_contents(value, form):
        seen.is_whole = False
    if kind is MappingProxyType and type(behind(value)) is dict:
        seen.container(behind(value))
    if not is_a(value, type) and hides_attributes(kind):
        writer.report(value, "has a `__dict__` of its own, so that it is not read")
    if is_a(form, Form) and form.tag in OBJECTS:
        form = _with_attributes(value, form, writer, seen)
    plain = without_addresses(value, form, seen.living)
    if plain is not form:
        _report_address(value, writer)
    return without_process(value, plain, writer.frames, seen.living)


def _is_of_process(value: Any) -> bool:
    """Says whether it is `os.environ`, or what `random` or `numpy.random` draws from by itself."""
    if value is os.environ or value is attributes_of(os).get("environb"):
        return True
    if not is_drawn(type(value)):
        return False
    shared = (
        *(("random", "_inst"), ("numpy.random.mtrand", "_rand")),
        ("torch._C", "default_generator"),
    )
    return any(attributes_of(sys.modules.get(name)).get(key) is value for name, key in shared)


def _only_resolves(value: dict[Any, Any], writer: AnyWriter) -> bool:
    """Says whether these are all names of a module, kept by who looks up annotations there."""
    # The first one of a module, and the first one to be looked at: no key of the user's is asked.
    if next(iter(value), None) is not _FIRST or type(value[_FIRST]) is not str:
        return False
    if attributes_of(sys.modules.get(value[_FIRST])) is not value:
        return False
    for frame in reversed(writer.frames):
        if frame.form.tag in OBJECTS:
            return module_of(type(frame.value)).partition(".")[0] in _RESOLVERS
    return False


def _report_address(value: Any, writer: AnyWriter) -> None:
    held = (frame.value for frame in reversed(writer.frames))
    holders = (each for each in (value, *held) if not is_a(each, (Fields, Form)))
    writer.report(next(holders, value), "holds an address, which is left out")


def _report_unwatched(
    value: Any, writer: AnyWriter, seen: Seen, why: str = "is too large to"
) -> None:
    seen.is_whole = False
    reason = f"{why} be watched for changes in place"
    writer.report(value, f"{reason}: if there are any, make it an argument")


def _with_attributes(value: Any, form: Form, writer: AnyWriter, seen: Seen) -> Form:
    kind = type(value)
    is_ours = is_first_party(module_of(kind))
    if not (is_ours or attributes_of(value) or members_of(kind)):
        return form
    if not is_ours and len(seen.owners) >= _MOST_OWNERS:
        _report_unwatched(value, writer, seen)
        return form
    seen.owner(value, not is_ours)
    first, state = first_attributes(value), form.children[2]
    if first and is_a(state, Fields):
        merged = {**state.values, **first}
        known = {n: v for n, v in merged.items() if v is not MISSING}
        form.children = [*form.children[:2], Fields(known), *form.children[3:]]
    return form


def _is_read_whole(value: Any, form: Any) -> bool:
    if not is_a(form, Form) or is_changeable(value) or is_a(value, type):
        return False
    if is_a(value, BaseException):
        return True
    kind = type(value)
    return form.tag in _READ_WHOLE or (
        # What is of the user's is opened by what it stores, where that can be read.
        form.tag in OBJECTS
        and (hides_more(kind) or _has_other_state(kind, form))
        and not (form.tag == b"O" and is_of_the_user(kind) and form.children[1])
    )


def _has_other_state(kind: type, form: Form) -> bool:
    """Says whether an installed class makes up what it pickles, as tables of polars do."""
    state = form.children[2]
    return not (state is None or is_a(state, Fields) or is_of_the_user(kind))


def is_drawn(kind: type) -> bool:
    """Says whether random numbers are drawn from the objects of a class."""
    return any(name_of(base) in _DRAWN for base in mro_of(kind)[:-1])


def _parts_of_partial(value: Any) -> tuple[Any, ...]:
    return value.func, value.args, value.keywords


def _value_of_context(variable: Any) -> tuple[Any, ...]:
    try:
        return variable.name, variable.get()
    except LookupError:
        return (variable.name,)


def _method_behind(reference: Any) -> tuple[Any, ...]:
    method = weakref.WeakMethod.__call__(reference)
    return () if method is None else (method.__func__, method.__self__)


# What others point to from afar, which is no attribute of theirs.
_POINTERS: dict[type, Any] = {
    weakref.WeakMethod: _method_behind,
    weakref.ref: lambda value: (weakref.ref.__call__(value),),
    contextvars.ContextVar: _value_of_context,
}


def is_held_by_the_user(frames: list[OpenForm]) -> bool:
    """Says whether what is written last is a variable or an attribute of the user's own."""
    for frame in reversed(frames):
        if frame.form.tag in (FOREIGN, NAMES):
            return frame.form.tag == NAMES
        kind = type(frame.value)
        if frame.form.tag in OBJECTS and name_of(kind) not in HOLDERS:
            return is_of_the_user(kind)
    return True
