"""The forms of parts of modules that count by their source, each written as a line.

A line names other parts. No two parts have one name, so that those that reach each other need no
order: what is written of all of them are their lines, sorted. What most of them reach is only more
parts, and plain text. Nothing of that has to be opened with care or watched by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from .addresses import may_be_of_process
from .by_source import Found, Outside, find_import, find_inside
from .firstparty import canonical_module_name
from .forms import MAP, PARTS, SEQUENCE, Form, Written, inline, joined, write_str
from .kinds import is_a
from .loaded import look_when_loaded
from .loaded_together import PartRecord
from .module_parts import RUN, WHOLE, Module, Part
from .name_reader import NameReader
from .objects import FORMS
from .safe_opening import FIXED, NAMES
from .uses import Use, Uses

PART = b"!part;"  # the tag of parts
_NO_USES = Uses((), ())
_FEW = 16  # longer lists of texts are written otherwise
FORMS[Part] = FORMS[Outside] = lambda value, writer: writer.code_form(value)
FIXED[Part] = FIXED[Outside] = False


class Line:
    """A part, or a name from outside, to be written as it is: others write its name."""

    def __init__(self, form: Form, code: Any) -> None:
        self.form = form
        if is_a(code, Part):
            self.__module__, self.__qualname__ = code.__module__, code.__qualname__
        else:
            self.__module__, self.__qualname__ = code.module, ".".join(code.chain)


FORMS[Line] = lambda value, writer: value.form
FIXED[Line] = False


class PartForms:
    """Gives the forms of parts. `names_form`: gives that of the names that one uses."""

    def __init__(
        self, reader: NameReader, names_form: Callable[..., Form], walk_of: Callable[..., Any]
    ) -> None:
        self.reader = reader
        self._names_form = names_form
        self._walk_of = walk_of
        self._called: set[Part] = set()

    def found_by(self, part: Part) -> tuple[list[tuple[Use, str, Found]], Iterable[Part]]:
        """Finds what the names of a part stand for, and of these the parts that it calls."""
        known = []
        called: dict[Part, None] = {}
        is_plain = True
        for use in part.uses.names:
            if part.name == RUN and use.chain[0] in part.module.top.loops:
                continue
            if use.origin is None:
                found = find_inside(part.module, use.chain, self.reader)
            else:
                found = find_import(part.module, use.origin, use.chain[1:], self.reader)
            known.append((use, use.text(), found))
            called.update(dict.fromkeys(_parts_called(use, found)))
            is_plain = is_plain and found.is_plain
        if is_plain:
            self.reader.together.calls[part] = tuple(called)
        return known, called

    def note_called(self, use: Use, found: Found) -> None:
        """Notes what parts change that reached code calls; other parts run while modules load."""
        pending = _parts_called(use, found)
        while pending:
            part = pending.pop()
            if part in self._called:
                continue
            self._called.add(part)
            variables = part.module.loaded()
            # Of a module that is not loaded there are no variables that may be changed.
            uses = _NO_USES if variables is None else part.uses
            self.reader.effects.note(part.changes, uses, variables or {})
            called = self.reader.together.calls.get(part)
            pending += self.found_by(part)[1] if called is None else called

    def line_of(self, part: Part) -> tuple[Form, bool]:
        """Gives the form of a part, and whether it follows from sources alone.

        Of a module that runs more than definitions all counts: it is not repeated by its parts.
        """
        module, top = part.module, part.module.top
        if not top.has_run or part.name not in top.names:
            found, _ = self.found_by(part)
            return self.form(part, found), all(each.is_plain for _, _, each in found)
        # What loops leave does not count with what is run.
        found = self.found_by(part)[0] if top.loops else []
        found = [each for each in found if each[0].chain[0] in top.loops]
        names = self._names_form(part, _NO_USES, found, {}, {})
        children = canonical_module_name(module.name), part.name, b"", names, ()
        return Form(PART, PARTS, children), all(each.is_plain for _, _, each in found)

    def form(self, part: Part, found: list[tuple[Use, str, Found]]) -> Form:
        module = part.module
        names = self._names_form(part, part.uses, found, {}, {})
        run = self.reader.together.run_by(module) if part.name == WHOLE else ()
        place = canonical_module_name(module.name)
        return Form(PART, PARTS, (place, part.name, part.digest, names, run))

    def note_module(self, module: Module) -> None:
        if module.loaded() is None:
            self.reader.seen.unloaded(module.name, module.path)
            look_when_loaded(self._walk_of)
        else:
            self.reader.note_module(module.name)


def _parts_called(use: Use, found: Found) -> list[Part]:
    """Finds the parts that are run where a use of a name is."""
    if use.is_decorator:
        return []
    return [each for each in found if is_a(each, Part) and each.name not in (WHOLE, RUN)]


class _Mixed(Exception):
    """A part reaches something else, such as what memory has."""


class PartGraph:
    """Writes parts.

    `records`: what is known of the lines of parts; new ones are added.
    `forms`: gives the forms of parts.
    `write_mixed`: writes the form of something that reaches something else than these.
    `problems`: what could not be followed, to which is added.
    """

    def __init__(
        self,
        records: dict[bytes, PartRecord],
        forms: PartForms,
        write_mixed: Callable[[Any, Form], bytes],
        problems: list[tuple[str, str]],
    ) -> None:
        self._records, self._forms, self._write_mixed = records, forms, write_mixed
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
        value = self._forms.reader.installed(*name)
        with contextlib.suppress(_Mixed):
            return name.written_name + self._value(value)
        form = Form(NAMES, MAP, (".".join(name.chain), value))
        return self._write_mixed(name, Form(b"!outside;", PARTS, (name.module, form)))

    def _line(self, part: Part) -> bytes:
        if part.module not in self._modules:
            self._modules.add(part.module)
            self._forms.note_module(part.module)
        record = self._records.get(part.written_name)
        if record is not None:
            self._problems += record.problems
            self._run(record.run)
            for node in record.named:
                self.name(node)
            return record.line
        first = len(self._problems)
        form, is_plain = self._forms.line_of(part)
        place, name, digest, names, run = form.children
        self._named = []
        try:
            written = [write_str(place), write_str(name), b"b%d:%b" % (len(digest), digest)]
            written.append(self._names(names))
        except _Mixed:
            form.children = [*form.children[:-1], Written(self._run(run))]
            return self._write_mixed(part, form)
        written.append(self._run(run))
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

    def _run(self, run: tuple[Part, ...]) -> bytes:
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
            raise _Mixed
        return inline(joined(Form(b"t", SEQUENCE, ()), [self._value(each) for each in value]))


def _is_plain_text(value: Any) -> bool:
    # Without what `addresses` looks for.
    return type(value) is str and " at 0x" not in value and not may_be_of_process(value)
