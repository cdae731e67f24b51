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

_NOTHING_RUN = b"t0:"
_FEW = 16  # longer lists of texts are written otherwise


class Mixed(Exception):
    """A part reaches something else, such as what memory has."""


class PartGraph:
    """Writes parts; `open_part` gives the form of each, and notes what it depends on."""

    def __init__(self, open_part: Callable[[Part], Form]) -> None:
        self._open_part = open_part
        # Of parts, and of what is run by several modules.
        self._done: dict[Any, bytes] = {}
        self._mixed: set[Part] = set()
        self._runs: dict[int, Form] = {}
        self._open: dict[Any, Frame] = {}
        self._unresolved: list[Frame] = []
        self._stack: list[Frame] = []

    def written(self, part: Part) -> Optional[bytes]:
        """Returns what a part is written as; `None` if it reaches something else than parts."""
        known = self._done.get(part)
        if known is not None or part in self._mixed:
            return known
        try:
            self._enter(part)
            self._walk()
        except Mixed:
            # They all reach what was entered last.
            self._mixed.update(f.value for f in self._unresolved if type(f.value) is Part)
            self._mixed.add(part)
            return None
        finally:
            self._open, self._unresolved, self._stack = {}, [], []
        return self._done[part]

    def _enter(self, value: Any) -> Frame:
        form = self._part_form(value) if type(value) is Part else value
        frame = Frame(value, form, len(self._open))
        self._open[value] = frame
        self._stack.append(frame)
        self._unresolved.append(frame)
        return frame

    def _walk(self) -> None:
        stack, done, opened = self._stack, self._done, self._open
        while stack:
            frame = stack[-1]
            children, written = frame.form.children, frame.written
            is_entered = False
            for position in range(len(written), len(children)):
                child = children[position]
                if type(child) is bytes:
                    written.append(child)
                    continue
                known = done.get(child)
                if known is not None:
                    written.append(known)
                    continue
                above = opened.get(child)
                if above is None:
                    self._enter(child)
                    is_entered = True
                    break
                written.append(above)
                if above.order < frame.lowest:
                    frame.lowest = above.order
            if is_entered:
                continue
            stack.pop()
            result = frame if frame.lowest < frame.order else self._leave(frame)
            if stack:
                stack[-1].written.append(result)
                if frame.lowest < stack[-1].lowest:
                    stack[-1].lowest = frame.lowest

    def _leave(self, frame: Frame) -> bytes:
        if self._unresolved[-1] is frame:
            self._unresolved.pop()
            result = self._done[frame.value] = inline(joined(frame.form, frame.written))
            return result
        start = self._unresolved.index(frame)
        members = self._unresolved[start:]
        del self._unresolved[start:]
        for member, written in zip(members, write_cycle(members, _has_order)):
            self._done[member.value] = written
        return self._done[frame.value]

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


def _has_order(member: Frame, is_tied: bool) -> None:
    """Names of a part are all different."""
