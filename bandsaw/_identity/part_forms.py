"""The forms of parts of modules that count by their source."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from .by_source import Found, Outside, find_import, find_inside
from .firstparty import canonical_module_name
from .forms import PARTS, Form
from .kinds import is_a
from .loaded import look_when_loaded
from .module_parts import RUN, WHOLE, Module, Part
from .name_reader import NameReader
from .objects import FORMS
from .safe_opening import FIXED
from .uses import Use, Uses

PART = b"!part;"  # the tag of parts
_NO_USES = Uses((), ())
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
        self._reader = reader
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
                found = find_inside(part.module, use.chain, self._reader)
            else:
                found = find_import(part.module, use.origin, use.chain[1:], self._reader)
            known.append((use, use.text(), found))
            called.update(dict.fromkeys(_parts_called(use, found)))
            is_plain = is_plain and found.is_plain
        if is_plain:
            self._reader.together.calls[part] = tuple(called)
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
            self._reader.effects.note(part.changes, uses, variables or {})
            called = self._reader.together.calls.get(part)
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
        run = self._reader.together.run_by(module) if part.name == WHOLE else ()
        place = canonical_module_name(module.name)
        return Form(PART, PARTS, (place, part.name, part.digest, names, run))

    def note_module(self, module: Module) -> None:
        if module.loaded() is None:
            self._reader.seen.unloaded(module.name, module.path)
            look_when_loaded(self._walk_of)
        else:
            self._reader.note_module(module.name)


def _parts_called(use: Use, found: Found) -> list[Part]:
    """Finds the parts that are run where a use of a name is."""
    if use.is_decorator:
        return []
    return [each for each in found if is_a(each, Part) and each.name not in (WHOLE, RUN)]
