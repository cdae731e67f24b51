"""Leaves the addresses of objects out of ids: each process has others.

They are in texts, as in `<function f at 0x7f...>`, and in numbers, as in `{id(f): f}`.
"""

from __future__ import annotations

import gc
import operator
import re
from array import array
from bisect import bisect_left
from typing import Any, Union

from .forms import SEQUENCE, Form

_IN_TEXT = re.compile(r" at 0x[0-9a-fA-F]+(?=>)")
# Numbers below are too common, and no addresses on systems of 64 bits. Objects lie at multiples.
_LOWEST, _MULTIPLE = 1 << 32, 8


class Living:
    """The addresses of all objects that there are when one is asked for first."""

    def __init__(self) -> None:
        self._sorted: Any = None  # eight bytes for each: a set of numbers would take ninety

    def __contains__(self, address: int) -> bool:
        if self._sorted is None:
            # The process of a task has set aside the objects of the one from which it was forked.
            # To do so again would set aside what it has made since.
            gc.unfreeze()
            self._sorted = array("Q", sorted(map(id, gc.get_objects())))
        place = bisect_left(self._sorted, address)
        return place < len(self._sorted) and bool(self._sorted[place] == address)


def without_addresses(value: Any, form: Union[bytes, Form], living: Living) -> Union[bytes, Form]:
    """Leaves out the addresses in a form."""
    opened = form
    if isinstance(form, bytes):
        if not (type(value) is list or type(value) is tuple) or not value:
            return form
        if b" at 0x" not in form and not (type(value[0]) is int and max(value) >= _LOWEST):
            return form
        opened = Form(b"l" if type(value) is list else b"t", SEQUENCE, value)
    assert isinstance(opened, Form)
    for child in opened.children:
        kind = type(child)
        if kind is str and " at 0x" in child:
            break
        if kind is int and child >= _LOWEST and not child % _MULTIPLE:
            break
    else:
        return form
    children = [_without_address(child, living) for child in opened.children]
    if all(map(operator.is_, children, opened.children)):
        return form
    return Form(opened.tag, opened.kind, children, opened.steps)


def _without_address(value: Any, living: Living) -> Any:
    if type(value) is str:
        return _IN_TEXT.sub("", value) if " at 0x" in value else value
    if type(value) is not int or value < _LOWEST or value % _MULTIPLE:
        return value
    return 0 if value in living else value
