"""Objects by what `pickle` would make of them, at any depth in our own form."""

from __future__ import annotations

import copyreg
import itertools
import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cached_property
from typing import Any

from .._system.importing import late_import
from .compiled_modules import open_global
from .firstparty import canonical_module_name, is_first_party, is_standard_library
from .forms import PARTS, Fields, Form, NoForm, Written, pairs_form
from .kinds import attributes_of, defines, is_a, is_changeable, module_of, mro_of
from .stored import stores_more

_PROTOCOL = 5
# They give the same again and again.
_ENDLESS = (itertools.count, itertools.repeat)
_NEW = copyreg.__newobj__  # type: ignore[attr-defined]
_ASKED = frozenset(
    "__reduce__ __reduce_ex__ __getstate__ __getnewargs__ __getnewargs_ex__"
    " __getattribute__".split()
)


def open_reduced(value: Any) -> Form:
    kind = type(value)
    hint = ""
    if defines(kind, "read"):
        hint = ". Pass the path of a file, or a bandsaw.File"
    elif defines(kind, "__next__") and kind not in _ENDLESS and not _says_what_it_is(kind):
        raise NoForm("an iterator can be read only once. Pass a list or tuple of what it gives")
    reducer = copyreg.dispatch_table.get(kind)
    reduced: Any
    try:
        with _unheard(kind):
            if reducer is not None:
                reduced = reducer(value)
            elif _is_asked_itself(kind):
                reduced = _reduced(value)
            else:
                # `io.BytesIO` makes its `__dict__` when it is first asked for, and then pickles it.
                attributes_of(value)
                reduced = value.__reduce_ex__(_PROTOCOL)
    except RecursionError:
        raise
    except Exception as error:
        raise NoForm(f"{str(error) or type(error).__name__}{hint}") from error
    if is_a(reduced, str):
        module = getattr(value, "__module__", None) or kind.__module__
        home = canonical_module_name(module) if is_first_party(str(module)) else str(module)
        named = open_global(home, reduced)
        parts: list[Any] = [named if is_a(named, Form) else Written(named)]
        wrapped = attributes_of(value).get("__wrapped__")
        if wrapped is not None:
            # A decorator made it, such as that of cachetools.
            parts += (kind, wrapped)
        return Form(b"!global;", PARTS, parts)
    if not is_a(reduced, tuple) or not 2 <= len(reduced) <= 6:
        raise NoForm("its __reduce__ returns neither a string nor a tuple")
    function, args, state, items, pairs = (*reduced[:5], None, None, None)[:5]
    if reduced[5:] and reduced[5] is not None:
        state = (state, reduced[5])
    _refuse_addresses(value, args, state)
    if function is _NEW and args and args[0] is kind:
        # The usual case, without the helper's name.
        parts = [kind, tuple(args[1:])]
    elif function is kind and kind.__reduce__ is _reduce_of_path():
        parts = [kind, value.parts]  # not by what Python 3.13 was given to make it of
    else:
        parts = [function, tuple(args)]
    parts.append(_without_memos(kind, _open_state(state)))
    parts.append(None if items is None else list(items))
    is_ordered = is_a(value, OrderedDict)
    parts.append(None if pairs is None else list(pairs) if is_ordered else pairs_form(pairs))
    tag = b"O" if function is _NEW else b"o"
    return Form(tag, PARTS, parts, ("", "", "", "", ""))


def _without_memos(kind: type, state: Any) -> Any:
    """Leaves out what a `cached_property` of an installed class keeps, as graphs of networkx do.

    They have it once somebody has looked. What the user's own class keeps may have been set.
    """
    if not is_a(state, Fields):
        return state
    memos = {
        name
        for base in mro_of(kind)
        for name in attributes_of(base).keys() & state.values.keys()
        if type(attributes_of(base)[name]) is cached_property
        and not is_first_party(module_of(base))
    }
    kept = {name: each for name, each in state.values.items() if name not in memos}
    return Fields(kept) if kept else None


def _says_what_it_is(kind: type) -> bool:
    """Says whether a class that is no iterator of Python's own pickles in a way of its own."""
    own = any("__reduce__" in attributes_of(base) for base in mro_of(kind)[:-1])
    return own and not is_standard_library(module_of(kind))


def _reduce_of_path() -> Any:
    pathlib: Any = sys.modules.get("pathlib")
    return getattr(getattr(pathlib, "PurePath", None), "__reduce__", None)


def _is_asked_itself(kind: type) -> bool:
    """Says whether `pickle` would run a `__getattr__`, for a `__getstate__` or an empty slot."""
    if not defines(kind, "__getattr__") or stores_more(kind):
        return False
    bases = kind.__mro__[:-1]
    return all(is_changeable(base) and _ASKED.isdisjoint(base.__dict__) for base in bases)


def _reduced(value: Any) -> tuple[Any, ...]:
    """Makes what `object.__reduce_ex__` makes of an object whose class says nothing of it."""
    kind = type(value)
    state: Any = attributes_of(value) or None
    # Not `getattr`: for a slot that is empty it would run the `__getattr__`.
    slots = {}
    for name in copyreg._slotnames(kind):  # type: ignore[attr-defined]
        try:
            slots[name] = object.__getattribute__(value, name)
        except AttributeError:
            continue
    return _NEW, (kind,), (state, slots) if slots else state


def _unheard(kind: type) -> AbstractContextManager[Any]:
    # Python 3.12 warns that it will stop to pickle these.
    return _in_silence() if kind.__module__ == "itertools" else nullcontext()


@contextmanager
def _in_silence() -> Iterator[None]:
    with late_import:
        import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _open_state(state: Any) -> Any:
    if is_a(state, dict) and type(state) is dict:
        return Fields(state) if state else None
    if is_a(state, tuple) and len(state) == 2 and is_a(state[1], dict):
        first, second = state
        if first is None or is_a(first, dict):
            merged = {**(first or {}), **second}
            if len(merged) == len(first or {}) + len(second):
                return Fields(merged) if merged else None
    return state


def _refuse_addresses(value: Any, args: Any, state: Any) -> None:
    address = id(value)
    text = f"0x{address:x}"
    parts = list(args) if is_a(args, tuple) else []
    if is_a(state, dict):
        parts += state.values()
    elif is_a(state, tuple):
        parts += state
    else:
        parts.append(state)
    for part in parts:
        if (type(part) is int and part == address) or (type(part) is str and text in part.lower()):
            raise NoForm("what it pickles as holds its memory address")
