"""Writes parts of modules that reach nothing but parts, all at once and as `canonical` does.

Most of what a large project has counts by its source, and reaches only more of that. Nothing of it
has to be opened with care or watched by itself: it is plain text of the parts.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Optional

from .addresses import may_be_of_process
from .cycles import write_cycle
from .forms import MAP, PARTS, SEQUENCE, Form, Frame, Written, inline, joined, write_str
from .module_parts import Part
from .tree_writer import TreeWriter

_NOTHING_RUN = b"t0:"
# What is written already.
_LEAVES: dict[type, Any] = {bytes: lambda written: written}
_FEW = 16  # longer lists of texts are written otherwise


class Mixed(Exception):
    """A part reaches something else, such as what memory has."""


class PartGraph(TreeWriter):
    """Writes parts; `open_part` gives the form of each, and notes what it depends on."""

    def __init__(self, open_part: Callable[[Part], Form]) -> None:
        super().__init__(_LEAVES.get, keeps_short=True)
        self._open_part = open_part
        self._mixed: set[Part] = set()
        # What is run by several modules, by its identity.
        self._runs: dict[int, Form] = {}

    def written(self, part: Part) -> Optional[bytes]:
        """Returns what a part is written as; `None` if it reaches something else than parts."""
        known = self.done.get(id(part))
        if known is not None:
            return known[1]
        if part in self._mixed:
            return None
        try:
            self.enter(part)
            return self.walk()
        except Mixed:
            # They all reach what was entered last.
            self._mixed.update(f.value for f in self.unresolved if type(f.value) is Part)
            self._mixed.add(part)
            return None
        finally:
            self.start_anew()

    def enter(self, value: Any) -> Frame:
        return self.push(value, self._part_form(value) if type(value) is Part else value)

    def cycle(self, root: Frame, members: list[Frame]) -> list[bytes]:
        # Names of a part are all different, so that all have an order.
        return write_cycle(members, lambda member, is_tied: None)

    def _part_form(self, part: Part) -> Form:
        if part in self._mixed:
            raise Mixed
        form = self._open_part(part)
        place, name, digest, names, run = form.children
        children: list[Any] = [write_str(place), write_str(name), b"b%d:%b" % (len(digest), digest)]
        children.append(_names_form(names))
        children.append(self._run_form(run) if run else _NOTHING_RUN)
        return Form(form.tag, PARTS, children)

    def _run_form(self, run: tuple[Part, ...]) -> Form:
        # Modules that are loaded with each other share it, which can be seen in a cycle.
        known = self._runs.get(id(run))
        if known is None:
            known = self._runs[id(run)] = Form(b"t", SEQUENCE, run)
        return known


def _names_form(names: Form) -> Any:
    children: list[Any] = []
    is_plain = True
    for at, child in enumerate(names.children):
        child = write_str(child) if not at % 2 else _value(child)
        is_plain = is_plain and type(child) is bytes
        children.append(child)
    form = Form(names.tag, MAP, children)
    return inline(joined(form, children)) if is_plain else form


def _value(value: Any) -> Any:
    kind = type(value)
    if kind is Part:
        return value
    if kind is Written:
        return inline(value.data)
    if kind is list and all(map(_is_plain_text, value)) and len(value) < _FEW:
        # The arguments of the program.
        return inline(joined(Form(b"l", SEQUENCE, value), [write_str(each) for each in value]))
    if kind is not tuple:
        raise Mixed
    form = Form(b"t", SEQUENCE, [_value(each) for each in value])
    is_plain = all(type(each) is bytes for each in form.children)
    return inline(joined(form, list(form.children))) if is_plain else form


def _is_plain_text(value: Any) -> bool:
    # Without what `addresses` looks for.
    return type(value) is str and " at 0x" not in value and not may_be_of_process(value)
