"""The code that a function reaches, as forms: each definition with the values of its names.

function -> definition (definitions) -> names (scopes) -> values at run time (name_reader) -> forms
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from hashlib import sha256
from types import FunctionType, ModuleType
from typing import Any, Optional, Union

from . import holdings
from .by_source import Found, Gap, Outside, Unclear
from .canonical import Writer
from .changes import Changes
from .claimed import module_that_has
from .compiled import open_proxy
from .definitions import Definition, definition_of, definition_of_class, write_code
from .first_values import MISSING, first_attributes, is_other_than_first
from .firstparty import canonical_module_name, global_name, is_first_party, is_standard_library
from .forms import MAP, PARTS, Form, Written, opaque, write_str
from .kinds import (
    attributes_of,
    bases_of,
    is_a,
    is_below,
    is_task,
    module_of,
    name_of,
    name_of_module,
    qualname_of,
)
from .loaded_together import Together
from .module_parts import Part
from .name_reader import NameReader
from .names import CHANGING, attributes_of_function, followed
from .part_forms import Line, PartForms, PartGraph
from .problems import Problems, is_dynamic, label
from .registered import resolved
from .safe_opening import FOREIGN, NAMES
from .sources import module_source
from .stored import Pointer, unwrapped
from .syntax import write_syntax
from .uses import Use, Uses
from .watch import Seen
from .wrappers import cells_of

TASK = b"!task;"  # the tag of tasks
_UNCLEAR = "its source does not say what it is, and it counts by that alone"
MODULE = b"!module;"  # of modules that are used themselves


class Reach:
    """Gives the forms of functions, classes and modules to a `Writer`.

    `left_out`: the variables that do not count: the names of their modules and their own.
    `earlier`: a walk of the same code, that did not know yet what of it is state.
    `only_source`: whether modules that count by their source count by nothing else.
    `is_told_apart`: whether the writer has to come across each part of a module.
    """

    def __init__(
        self,
        skip: Iterable[str] = (),
        left_out: Collection[str] = (),
        earlier: Optional[Reach] = None,
        only_source: bool = False,
        as_now: bool = False,
        together: Optional[Together] = None,
        is_told_apart: bool = False,
    ) -> None:
        self.problems = Problems()
        before = None if earlier is None else earlier._reader
        reader = NameReader(self.problems, walk_of, left_out, before, only_source, together)
        self._reader: NameReader = reader
        self.seen, self._effects = reader.seen, reader.effects
        self._as_now = as_now
        self._skip = tuple(skip)
        self._parts = PartForms(reader, self._names_form, walk_of)
        self.is_by_source = False  # whether anything counts by the files that it is found in
        self._called_later: list[tuple[Use, Found]] = []
        self._graph: Optional[PartGraph] = None
        if not is_told_apart:
            records = {} if only_source else reader.together.records
            self._graph = PartGraph(records, self._parts, self._write_mixed, self.problems.found)
        self._writer = Writer(self.form)

    def digest(self, code: Any, name: str) -> bytes:
        """Digests code with all that it reaches."""
        report = self.problems.report
        self._writer = writer = Writer(self.form, name=name, report=report, seen=self.seen)
        written = writer.write(code)
        return sha256(written if self._graph is None else self._graph.add_lines(written)).digest()

    def lines_of(self, codes: Iterable[Any], writer: Writer) -> list[tuple[Any, bytes]]:
        """Writes code with a writer. Returns the lines of the parts of modules that it reaches."""
        self._writer = writer
        for code in codes:
            writer.write(code)
        return [] if self._graph is None else list(self._graph.lines())

    def is_settled(self) -> bool:
        """Says whether all counts by what is known of it now, at the end of the walk."""
        if self._reader.asks_for_effects():
            while self._called_later:
                self._parts.note_called(*self._called_later.pop())
        return self._reader.is_settled()

    def form(self, code: Any) -> Union[bytes, Form]:
        """Gives the form of code: by content if it is first-party, else by name."""
        if is_a(code, FunctionType):
            return self._function(code)
        if is_a(code, type):
            return self._class(code)
        if is_a(code, ModuleType):
            return self._module(code)
        if is_a(code, Part):
            return self._part(code)
        if is_a(code, Outside) and self._graph is not None:
            return self._graph.name(code)
        written = write_code(code)
        return b"!code;%d:" % len(written) + written

    def _is_followed(self, module: Any) -> bool:
        if not is_a(module, str):
            return True
        if not is_first_party(module):
            return False
        return not any(module == name or module.startswith(name + ".") for name in self._skip)

    def _function(self, function: FunctionType) -> Union[bytes, Form]:
        attributes = function.__dict__
        if is_task(function):
            return self._task(function)
        # The name of the module, not `__module__`: decorators copy that from what they wrap.
        module = function.__globals__.get("__name__")
        wrapped = attributes.get("__wrapped__")
        if not self._is_followed(module):
            own = function.__code__.co_name if wrapped else function.__qualname__
            name = global_name(module, own)
            cells = holdings.closed_over_outside(module, function)
            if not cells and wrapped is None:
                return name
            return Form(FOREIGN, PARTS, (Written(name), tuple(cells), wrapped))
        self._reader.note_module(module)
        definition = definition_of(function)
        self.seen.function(function)
        self._effects.note(definition.changes, definition.uses, function.__globals__)
        if self._as_now:
            closed = cells_of(function)
        else:
            closed = holdings.closed_over(function, definition.changes, self._effects)
        names = self._names(function, definition, function.__globals__, closed)
        held, named = self._defaults(function, definition.changes)
        parts = [definition.digest, names, held, named, wrapped]
        held_by_it = attributes_of_function(function, self._reader)
        return Form(b"!function;", PARTS, [*parts, held_by_it] if held_by_it else parts)

    def _defaults(self, function: FunctionType, changes: Changes) -> tuple[Any, Any]:
        if self._as_now:
            return function.__defaults__, function.__kwdefaults__
        return holdings.defaults_of(function, changes, self.problems)

    def _task(self, function: FunctionType) -> Form:
        task = function.__dict__["bandsaw_task"]
        kwargs = getattr(task, "kwargs", None) or {}
        inner = function.__dict__.get("__wrapped__")
        version = kwargs.get("version") if is_a(kwargs, dict) else None
        if version is not None:
            name = f"{canonical_module_name(function.__module__)}.{function.__qualname__}"
            inner = (name, version)
        return Form(TASK, PARTS, (inner, kwargs.get("depends") or None))

    def _names(
        self, code: Any, definition: Definition, namespace: dict[str, Any], cells: dict[str, Any]
    ) -> Form:
        found = resolved(definition.uses, namespace, cells, definition.source, self._reader)
        return self._names_form(code, definition.uses, found, namespace, cells)

    def _names_form(
        self,
        code: Any,
        uses: Uses,
        found: Iterable[tuple[Use, str, Any]],
        namespace: dict[str, Any],
        cells: dict[str, Any],
    ) -> Form:
        owner = label(code)
        lines = self.problems.lines_of(code)
        values: dict[str, Any] = {}
        for use, key, value in found:
            place = f"{owner}: line {use.line}, {key}"
            is_by_source = is_a(value, Found)
            if is_by_source and not is_a(code, Part):
                self.is_by_source = True
                self._called_later.append((use, value))
            if is_by_source or is_a(value, Gap):
                found = value if is_by_source else [value]
                value = self._without_gaps(place, found, is_a(code, Part))
            elif use.is_decorator and not is_a(value, (FunctionType, type, Written)):
                value = open_proxy(value) or Written(opaque(value))
            if is_a(value, Form) and value.tag == CHANGING:
                self.problems.note(place, holdings.FILLED)
            values[key] = value
            lines.setdefault(key, use.line)
        for chain, line, text in uses.dynamic:
            if is_dynamic(chain, namespace, cells):
                reason = "it reaches code by a computed name"
                self.problems.note(f"{owner}: line {line}, {text}", reason)
        children: list[Any] = []
        for key, value in sorted(values.items()):
            children += (key, value)
        return Form(NAMES, MAP, children)

    def _without_gaps(self, place: str, found: list[Any], is_in_part: bool) -> Any:
        kept: list[Any] = []
        for value in found:
            if is_a(value, Unclear):
                self.problems.note(value.place, _UNCLEAR)
                continue
            if is_a(value, Gap):
                self.problems.note(place, value.reason)
                value = Written(b"u")
            elif is_a(value, Outside) and (self._graph is None or not is_in_part):
                value = self._reader.installed(*value)
            kept.append(value)
        return tuple(kept) if len(kept) > 1 else kept[0]

    def _part(self, part: Part) -> Union[bytes, Form]:
        if self._graph is not None:
            return self._graph.name(part)
        self._parts.note_module(part.module)
        return self._parts.form(part, self._parts.found_by(part)[0])

    def _write_mixed(self, code: Any, form: Form) -> bytes:
        """Writes a part, or a name from outside, that holds what is in memory."""
        line = Line(form, code)
        self.problems.stands_for(line, code)
        return self._writer.write(line)

    def _class(self, cls: type) -> Union[bytes, Form]:
        module, home = module_of(cls), module_that_has(cls)
        if not self._is_followed(home) and not holdings.is_made_by_types(cls):
            name = global_name(module, qualname_of(cls))
            if is_first_party(module):
                return name
            form = self._reader.installed_class(cls, Written(name))
            return form if is_a(form, Form) else name
        self._reader.note_module(home)
        namespace = holdings.namespace_of(cls, home)
        left_out = holdings.made_when_used(cls) | self._reader.left_out_of(cls)
        self.seen.owner(cls, left_out=left_out)
        found = {**attributes_of(cls), **first_attributes(cls)}
        members = {n: v for n, v in found.items() if n not in left_out and v is not MISSING}
        methods = list(holdings.methods_of(cls, members))
        parts: list[Any] = [canonical_module_name(module), qualname_of(cls)]
        parts.append(tuple(base for base in bases_of(cls) if base is not object))
        # Metaclasses of Python's own follow from the bases, and one of them was renamed.
        is_python_s = is_standard_library(module_of(type(cls)))
        parts.append(None if is_python_s else type(cls))
        parts += self._kin(cls)
        definition = definition_of_class(cls, methods, namespace)
        if definition is None:
            parts.append(holdings.members_form(cls, members))
            return Form(b"!class;", PARTS, parts)
        self._effects.note(definition.changes, definition.uses, namespace)
        cells: dict[str, Any] = {}
        defaults: list[Any] = []
        for method in methods:
            self.seen.function(method)
            cells.update(cells_of(method))
            held, named = self._defaults(method, definition.changes.of(method.__name__))
            if held or named:
                defaults += (method.__qualname__, (held, named))
            held_by_it = attributes_of_function(method, self._reader)
            if held_by_it:
                defaults += (f"{method.__qualname__}.", held_by_it)
        for maker in ("__init__", "__new__"):
            (made, *_) = unwrapped(members.get(maker))
            # By a decorator, of a text.
            if is_a(made, FunctionType) and made.__code__.co_filename[:1] == "<":
                self.seen.function(made)
                held, named = made.__defaults__, made.__kwdefaults__
                if held or named:
                    defaults += (f"{maker}=", (held, named))
        cells.pop("__class__", None)
        parts += [
            definition.digest,
            self._names(cls, definition, namespace, cells),
            holdings.attributes_form(cls, definition, members, methods, self._reader),
        ]
        if defaults:
            parts.append(Form(b"!defaults;", MAP, defaults))
        return Form(b"!class;", PARTS, parts)

    def _kin(self, cls: type) -> list[Any]:
        """What other classes say of this one: those registered with it, and its subclasses."""
        found: list[Any] = []
        registered = holdings.registered_with(cls)
        if "_abc_impl" in attributes_of(cls):
            self.seen.reading(Pointer(cls, holdings.registered_with))
            if is_other_than_first(cls, "_abc_impl", len(registered)):
                self.seen.replaced.add(f"{label(cls)}.register")
        if registered:
            found.append(("registered", *sorted(map(name_of, registered))))
        if holdings.SUBCLASSES in self._effects.known_reads:
            self.seen.reading(Pointer(cls, holdings.kin_of))
            found.append(holdings.subclasses_of(cls))
        return found

    def _module(self, module: ModuleType) -> Union[bytes, Form]:
        """Gives the form of a module that is used itself: all that it has may be used."""
        own = name_of_module(module)
        if not self._is_followed(own):
            return global_name(own, "")
        self._reader.note_module(own)
        source = module_source(module)
        written = write_syntax(source.tree) if source is not None else b""
        variables = attributes_of(module)
        imports = source.imports if source is not None else {}
        uses = [Use((name,), 0) for name in sorted(filter(_is_own, variables))
                if name in imports or not is_below(variables[name], own, name)]  # fmt: skip
        found = ((use, *followed("", module, use.chain, self._reader)) for use in uses)
        names = self._names_form(module, Uses(tuple(uses), ()), found, {}, {})
        text = write_str(written.decode("utf-8", "surrogatepass"))
        return Form(MODULE, PARTS, (canonical_module_name(own), Written(text), names))


def walk_of(value: Any, together: Optional[Together] = None) -> tuple[bytes, Seen]:
    """Digests a value of a module that counts by its source, and says what was read."""
    digest, reach = settled(value, together=together, only_source=True)
    return digest, reach.seen


def settled(
    code: Any, name: str = "value", together: Optional[Together] = None, **options: Any
) -> tuple[bytes, Reach]:
    """Digests code by as many walks as it takes to know what of it is state: with the last one."""
    reach = Reach(together=together, **options)
    while True:
        digest = reach.digest(code, name)
        if reach.is_settled():
            return digest, reach
        reach = Reach(earlier=reach, **options)


def _is_own(name: Any) -> bool:
    return is_a(name, str) and name[:2] != "__"
