"""Leaves out of ids what each process has another one of: the addresses of objects, above all.

They are in texts, as in `<function f at 0x7f...>` and `{str(id(f)): f}`, and in numbers, as in
`{id(f): f}`.
"""

from __future__ import annotations

import builtins
import gc
import operator
import re
import sys
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from types import FunctionType, ModuleType
from typing import Any, Optional, Union

from .firstparty import canonical_module_name
from .forms import OBJECTS, SEQUENCE, Fields, Form, OpenForm
from .kinds import attributes_of, is_a, module_of, mro_of, name_of
from .stored import HOLDERS, is_of_the_user

_IN_TEXT = re.compile(r" at 0x[0-9a-fA-F]+(?=>)")
# Numbers below are too common, and no addresses on systems of 64 bits. Objects lie at multiples.
_LOWEST, _MULTIPLE = 1 << 32, 8
_MAIN, _MAIN_WRITTEN = "__main__", b"s8:__main__"
# The name of the script or of something in it; pydantic sets an address behind a colon, and what a
# generic model was made for behind that, with addresses of its own.
_NAMED = re.compile(r"(__main__(?=[.:]|$))?([\w.<>]*?)(?::(\d{9,})(\[.+\])?)?")
_IN_SCRIPT = re.compile(r"__main__(?:[.:](\w+).*)?$", re.DOTALL)
_ADDRESS = re.compile(r":\d{9,}")
_DIGITS = re.compile(r"[0-9]{10,20}")
# Where objects keep what `hash` said of them. Without the underscore it may be of a file.
_HASH = re.compile(r"_+(?:cached_)?hash(?:_?value|_?code)?_*")
# Where objects keep the address of something that they were given, which may be gone.
_KEPT_ADDRESS = re.compile(r"_+(?:\w+_)?id_*")
_NEAR = 1 << 20  # the memory of small objects is taken in pieces of this size


class Living:
    """The addresses of all objects that there are when one is asked for first."""

    def __init__(self) -> None:
        self._sorted: Any = None  # eight bytes for each: a set of numbers would take ninety

    def __contains__(self, address: int) -> bool:
        return self._distance(address) == 0

    def is_near(self, address: int) -> bool:
        """Says whether an object that is gone may have been there."""
        return self._distance(address) < _NEAR

    def _distance(self, address: int) -> int:
        """Measures how far it is to the nearest of them."""
        if self._sorted is None:
            # The process of a task has set aside the objects of the one from which it was forked.
            # To do so again would set aside what it has made since.
            gc.unfreeze()
            # Classes and constants of Python's own are none of those that are collected.
            found = (*gc.get_objects(), *attributes_of(builtins).values())
            self._sorted = array("Q", sorted(map(id, found)))
        place = bisect_left(self._sorted, address)
        nearest: list[int] = self._sorted[max(place - 1, 0) : place + 1].tolist()
        return min(abs(each - address) for each in nearest)


def without_addresses(value: Any, form: Union[bytes, Form], living: Living) -> Union[bytes, Form]:
    """Leaves out the addresses in a form."""
    if is_a(form, bytes) and b" at 0x" not in form and not _has_large(value):
        return form
    opened = _opened(value, form)
    if opened is None or not any(map(_may_be_address, opened.children)):
        return form
    return _with(opened, [_without_address(child, living) for child in opened.children], form)


def without_process(
    value: Any, form: Union[bytes, Form], frames: Sequence[OpenForm], living: Living
) -> Union[bytes, Form]:
    """Leaves out what an object of an installed class holds of this process.

    That is what `hash` says of a text, `id` of what lies beside it, and the name of the script.
    """
    if is_a(form, bytes) and _MAIN_WRITTEN not in form and not _has_large(value):
        return form
    opened = _opened(value, form)
    if opened is None or not any(map(may_be_of_process, opened.children)):
        return form
    kind = _kind_of_holder(frames)
    if kind is None or is_of_the_user(kind):
        return _with(opened, _without_script_in(opened.children, value), form)
    # scikit-learn keeps the address of what it stores beside it.
    told = {id(child) for child in (None, *opened.children)}
    told.update(hash(child) for child in opened.children if type(child) is str)
    children: list[Any] = []
    name: Any = None
    for child in opened.children:
        if _is_large(child):
            is_told = child in told
            if is_a(value, Fields) and type(name) is str:
                is_kept = _KEPT_ADDRESS.fullmatch(name) is not None and _may_be_address(child)
                is_told = is_told or _is_hash(kind, name) or (is_kept and living.is_near(child))
            child = 0 if is_told else child
        elif type(child) is str:
            child = _without_script(child, living)
        children.append(child)
        name = child
    return _with(opened, children, form)


def _kind_of_holder(frames: Sequence[OpenForm]) -> Optional[type]:
    """Finds the class of the innermost object that is more than a container of its user."""
    for frame in reversed(frames):
        kind = type(frame.value)
        if frame.form.tag in OBJECTS and name_of(kind) not in HOLDERS:
            return kind
    return None


def _is_hash(kind: type, name: str) -> bool:
    """Says whether an attribute keeps what `__hash__` of a class returns."""
    if not _HASH.fullmatch(name):
        return False
    hashes = (attributes_of(base).get("__hash__") for base in mro_of(kind))
    return any(is_a(each, FunctionType) and name in each.__code__.co_names for each in hashes)


def _opened(value: Any, form: Union[bytes, Form]) -> Optional[Form]:
    if is_a(form, Form):
        return form
    if not (type(value) is list or type(value) is tuple):
        return None
    return Form(b"l" if type(value) is list else b"t", SEQUENCE, value)


def _with(opened: Form, children: list[Any], form: Union[bytes, Form]) -> Union[bytes, Form]:
    if all(map(operator.is_, children, opened.children)):
        return form
    return Form(opened.tag, opened.kind, children, opened.steps)


def _has_large(value: Any) -> bool:
    """Says whether a list or tuple, all of which is of one type, has large numbers."""
    if not (type(value) is list or type(value) is tuple) or not value or type(value[0]) is not int:
        return False
    return bool(max(value) >= _LOWEST or min(value) <= -_LOWEST)


def _is_large(value: Any) -> bool:
    return type(value) is int and abs(value) >= _LOWEST


def _may_be_address(child: Any) -> bool:
    if type(child) is str:
        return " at 0x" in child or _number_in(child) is not None
    return type(child) is int and child >= _LOWEST and not child % _MULTIPLE


def _number_in(text: str) -> Optional[int]:
    """Reads a text that is nothing but a number, as plugins without a name are called."""
    if not _DIGITS.fullmatch(text):
        return None
    number = int(text)
    return number if _may_be_address(number) else None


def may_be_of_process(child: Any) -> bool:
    if type(child) is str:
        return child[:8] == _MAIN or (":" in child and (child[-1:] == "]" or child[-9:].isdigit()))
    return _is_large(child)


def _without_address(value: Any, living: Living) -> Any:
    if type(value) is str:
        number = _number_in(value)
        if number is not None:
            return "" if number in living else value
        return _IN_TEXT.sub("", value) if " at 0x" in value else value
    if type(value) is not int or value < _LOWEST or value % _MULTIPLE:
        return value
    return 0 if value in living else value


def _without_script_in(children: Sequence[Any], value: Any) -> list[Any]:
    """Names the script as it can be imported, in texts that name something of it.

    Keys of registries are such: `f"{f.__module__}.{f.__name__}"`, `(f.__module__, f.__name__)`.
    """
    names = attributes_of(sys.modules.get(_MAIN))

    def is_of_script(name: Any) -> bool:
        found: Any = names.get(name) if type(name) is str else name
        if is_a(found, (FunctionType, type)):
            home = module_of(found) if is_a(found, type) else found.__module__
            return type(home) is str and home == _MAIN
        return type(name) is str and name in names and not is_a(found, ModuleType)

    def without(text: Any) -> Any:
        match = _IN_SCRIPT.match(text) if type(text) is str else None
        if match is None:
            return text
        is_named = names_it if match[1] is None else is_of_script(match[1])
        return canonical_module_name(_MAIN) + text[len(_MAIN) :] if is_named else text

    names_it = not is_a(value, Form) and any(map(is_of_script, children))
    return list(map(without, children))


def _without_script(text: str, living: Living) -> str:
    match = _NAMED.fullmatch(text)
    if match is None:
        return text
    script, name, address, made_for = match.groups()
    if address is not None and int(address) not in living:
        return text
    name += _ADDRESS.sub("", made_for or "")
    return (canonical_module_name(_MAIN) if script else "") + name
