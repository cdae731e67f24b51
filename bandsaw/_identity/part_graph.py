"""Writes the parts of modules that are reached, each as a line that names the others.

No two parts have one name, so that those that reach each other need no order: what is written of
all of them are their lines, sorted. What most of them reach is only more parts, and plain text.
Nothing of that has to be opened with care or watched by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

from .addresses import may_be_of_process
from .by_source import Outside
from .forms import MAP, PARTS, SEQUENCE, Form, Written, inline, joined, write_str
from .loaded_together import PartRecord
from .module_parts import Module, Part
from .safe_opening import NAMES

_FEW = 16  # longer lists of texts are written otherwise


class Mixed(Exception):
    """A part reaches something else, such as what memory has."""


class PartGraph:
    """Writes parts.

    `open_part`: gives the form of a part, and whether it follows from sources alone.
    `open_outside`: gives the form of a name of something that is not of the project.
    `write_mixed`: writes the form of something that reaches something else than these.
    `note_module`: is told once of each module of which there are parts.
    `problems`: what could not be followed, to which is added.
    """

    def __init__(
        self,
        records: dict[bytes, PartRecord],
        open_part: Callable[[Part], tuple[Form, bool]],
        open_outside: Callable[[Outside], Any],
        write_mixed: Callable[[Any, Form], bytes],
        note_module: Callable[[Module], None],
        problems: list[tuple[str, str]],
    ) -> None:
        self._records = records
        self._open_part, self._open_outside = open_part, open_outside
        self._write_mixed, self._note_module = write_mixed, note_module
        self._modules: set[Module] = set()
        self._problems = problems
        # By what they are written as: two threads may both have made a part.
        self._known: set[bytes] = set()
        self._pending: list[Any] = []
        self._named: list[Any] = []  # by the part that is written
        # What is run by several modules, by its identity.
        self._runs: dict[int, tuple[tuple[Part, ...], bytes]] = {}

    def name(self, node: Any) -> bytes:
        """Writes a part, or a name from outside, as its name, and has its line be written later."""
        name: bytes = node.written_name
        if name not in self._known:
            self._known.add(name)
            self._pending.append(node)
        return name

    def add_lines(self, written: bytes) -> bytes:
        """Adds the lines of all that was named to what names it."""
        return b"".join([written, *sorted(line for _, line in self.lines())])

    def lines(self) -> Iterator[tuple[Any, bytes]]:
        """Yields all that was named and was not yielded yet, with the line of each."""
        while self._pending:
            node = self._pending.pop()
            yield node, self._line(node) if type(node) is Part else self._outside(node)

    def _outside(self, name: Outside) -> bytes:
        value = self._open_outside(name)
        with contextlib.suppress(Mixed):
            return name.written_name + self._value(value)
        form = Form(NAMES, MAP, (".".join(name.chain), value))
        return self._write_mixed(name, Form(b"!outside;", PARTS, (name.module, form)))

    def _line(self, part: Part) -> bytes:
        if part.module not in self._modules:
            self._modules.add(part.module)
            self._note_module(part.module)
        record = self._records.get(part.written_name)
        if record is not None:
            self._problems += record.problems
            self.run(record.run)
            for node in record.named:
                self.name(node)
            return record.line
        first = len(self._problems)
        form, is_plain = self._open_part(part)
        place, name, digest, names, run = form.children
        self._named = []
        try:
            written = [write_str(place), write_str(name), b"b%d:%b" % (len(digest), digest)]
            written.append(self._names(names))
        except Mixed:
            form.children = [*form.children[:-1], Written(self.run(run))]
            return self._write_mixed(part, form)
        written.append(self.run(run))
        line = joined(Form(form.tag, PARTS, ()), written)
        if is_plain:
            named, problems = tuple(self._named), tuple(self._problems[first:])
            self._records[part.written_name] = PartRecord(line, named, run, problems)
        return line

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
        if kind is Part or kind is Outside:
            self._named.append(value)
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
