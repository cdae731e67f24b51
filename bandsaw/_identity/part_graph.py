"""Writes the parts of modules that are reached, each as a line that names the others.

No two parts have one name, so that those that reach each other need no order: what is written of
all of them are their lines, sorted. What most of them reach is only more parts, and plain text.
Nothing of that has to be opened with care or watched by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .addresses import may_be_of_process
from .forms import MAP, PARTS, SEQUENCE, Form, Written, inline, joined, write_str
from .module_parts import Part

_FEW = 16  # longer lists of texts are written otherwise


class Mixed(Exception):
    """A part reaches something else, such as what memory has."""


class PartGraph:
    """Writes parts; `open_part` gives the form of each, and notes what it depends on.

    `write_mixed`: writes the form of a part that reaches something else than parts.
    """

    def __init__(
        self, open_part: Callable[[Part], Form], write_mixed: Callable[[Part, Form], bytes]
    ) -> None:
        self._open_part = open_part
        self._write_mixed = write_mixed
        # By what they are written as: two threads may both have made a part.
        self._named: set[bytes] = set()
        self._pending: list[Part] = []
        # What is run by several modules, by its identity.
        self._runs: dict[int, tuple[tuple[Part, ...], bytes]] = {}

    def name(self, part: Part) -> bytes:
        """Writes a part as its name, and has its line be written later."""
        name = part.written_name
        if name not in self._named:
            self._named.add(name)
            self._pending.append(part)
        return name

    def add_lines(self, written: bytes) -> bytes:
        """Adds the lines of the parts that were named to what names them."""
        lines = []
        while self._pending:
            part = self._pending.pop()
            lines.append(self._line(part, self._open_part(part)))
        return b"".join([written, *sorted(lines)])

    def _line(self, part: Part, form: Form) -> bytes:
        place, name, digest, names, run = form.children
        try:
            written = [write_str(place), write_str(name), b"b%d:%b" % (len(digest), digest)]
            written.append(self._names(names))
        except Mixed:
            form.children = [*form.children[:-1], Written(self.run(run))]
            return self._write_mixed(part, form)
        written.append(self.run(run))
        return joined(Form(form.tag, PARTS, ()), written)

    def _names(self, names: Form) -> bytes:
        children = [
            self._value(child) if at % 2 else write_str(child)
            for at, child in enumerate(names.children)
        ]
        return inline(joined(Form(names.tag, MAP, ()), children))

    def run(self, run: tuple[Part, ...]) -> bytes:
        # Modules that are loaded with each other share it.
        known = self._runs.get(id(run))
        if known is None:
            names = [self.name(part) for part in run]
            known = self._runs[id(run)] = run, inline(joined(Form(b"t", SEQUENCE, ()), names))
        return known[1]

    def _value(self, value: Any) -> bytes:
        kind = type(value)
        if kind is Part:
            return self.name(value)
        if kind is Written:
            return inline(value.data)
        if kind is list and all(map(_is_plain_text, value)) and len(value) < _FEW:
            # The arguments of the program.
            return inline(joined(Form(b"l", SEQUENCE, ()), [write_str(each) for each in value]))
        if kind is not tuple:
            raise Mixed
        return inline(joined(Form(b"t", SEQUENCE, ()), [self._value(each) for each in value]))


def _is_plain_text(value: Any) -> bool:
    # Without what `addresses` looks for.
    return type(value) is str and " at 0x" not in value and not may_be_of_process(value)
