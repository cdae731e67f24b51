"""Writes the tree that a value unfolds to, part by part.

The walk through it keeps its own stack, therefore depth is bounded by memory only. What a part is
written as is remembered by its identity: parts that are reached in many ways are written once.
"""

from __future__ import annotations

import abc
from typing import Any, Callable, Union

from .forms import LONGEST_INLINE, Form, OpenForm, Written, inline, joined
from .kinds import is_a


class TreeWriter(abc.ABC):
    """Writes values; subclasses open them.

    `leaf_of`: finds what writes values of a class at once, `None` for those that are opened.
    `keeps_short`: whether also what is as short as its digest is remembered.
    """

    # Whether something is done with names that are `Written` besides.
    looks_at_names = False

    def __init__(self, leaf_of: Callable[[type], Any], keeps_short: bool) -> None:
        self._leaf_of = leaf_of
        self._keeps_short = keeps_short
        # The value is kept beside its bytes: its identity must not be given to another one.
        self.done: dict[int, tuple[Any, bytes]] = {}
        self.frames: list[OpenForm] = []  # what is being written, the innermost last
        self.unresolved: list[OpenForm] = []  # the same, and what waits for the end of a cycle
        self._open: dict[int, OpenForm] = {}
        self._opened = 0

    @abc.abstractmethod
    def enter(self, value: Any) -> Union[bytes, OpenForm]:
        """Opens a value: returns what it is written as, or the frame of its parts."""

    @abc.abstractmethod
    def cycle(self, root: OpenForm, members: list[OpenForm]) -> list[bytes]:
        """Writes parts that contain each other."""

    def push(self, value: Any, form: Form) -> OpenForm:
        frame = OpenForm(value, form, self._opened)
        self._opened += 1
        self._open[id(value)] = frame
        self.frames.append(frame)
        self.unresolved.append(frame)
        return frame

    def walk(self) -> bytes:
        """Writes the one frame that there is."""
        stack, done, open_frames, leaf_of = self.frames, self.done, self._open, self._leaf_of
        name_kind = None if self.looks_at_names else Written
        while True:
            frame = stack[-1]
            children, written = frame.form.children, frame.written
            entered = False
            for position in range(len(written), len(children)):
                child = children[position]
                leaf = leaf_of(type(child))
                if leaf is not None:
                    written.append(leaf(child))
                    continue
                if type(child) is name_kind and len(child.data) <= LONGEST_INLINE:
                    written.append(child.data)
                    continue
                known = done.get(id(child))
                if known is not None:
                    written.append(known[1])
                    continue
                above = open_frames.get(id(child))
                if above is not None:
                    written.append(above)
                    if above.order < frame.lowest:
                        frame.lowest = above.order
                    elif above is frame:
                        frame.holds_itself = True
                    continue
                below = self.enter(child)
                if is_a(below, OpenForm):
                    entered = True
                    break
                written.append(below)
            if entered:
                continue
            stack.pop()
            result = self._leave(frame)
            if not stack:
                assert is_a(result, bytes), "the first frame closes every cycle"
                return result
            stack[-1].written.append(result)
            if frame.lowest < stack[-1].lowest:
                stack[-1].lowest = frame.lowest

    def _leave(self, frame: OpenForm) -> Union[bytes, OpenForm]:
        if frame.lowest < frame.order:
            return frame
        if self.unresolved[-1] is frame and not frame.holds_itself:
            self.unresolved.pop()
            del self._open[id(frame.value)]
            result = joined(frame.form, frame.written)
            if len(result) > LONGEST_INLINE or self._keeps_short:
                result = inline(result)
                self.done[id(frame.value)] = frame.value, result
            return result
        start = self.unresolved.index(frame)
        members = self.unresolved[start:]
        del self.unresolved[start:]
        for member, result in zip(members, self.cycle(frame, members)):
            del self._open[id(member.value)]
            self.done[id(member.value)] = member.value, result
        return self.done[id(frame.value)][1]
