"""The code that a function reaches, as forms: each definition with the values of its names.

```
function -> definition (_definitions) -> names (_scopes) -> values at run time (_names) -> forms
```
"""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Collection, Iterable, Mapping
from functools import cached_property, lru_cache
from hashlib import sha256
from types import FunctionType, ModuleType
from typing import Any, Optional, Union

from .by_source import (
    Found,
    Gap,
    find_import,
    find_inside,
)
from .canonical import Writer
from .careful import FIXED, FOREIGN, NAMES, is_held_by_the_user
from .changes import Changes
from .contents import base_of
from .definitions import Definition, definition_of, definition_of_class, write_code
from .firstparty import is_first_party, is_standard_library
from .forms import MAP, PARTS, Form, Frame, Written, opaque, write_str
from .globals import canonical_module_name, global_name
from .kin import kin_of, registered_with, subclasses_of
from .kinds import (
    attributes_of,
    bases_of,
    is_a,
    is_below,
    is_changeable,
    mro_of,
    name_of,
    name_of_module,
    qualname_of,
)
from .kinds import module_of as module_of_class
from .loaded import First, is_as_said, look_when_loaded
from .module_parts import RUN, WHOLE, Module, Part
from .names import (
    CHANGING,
    attributes_of_function,
    cells_of,
    followed,
    holds_code,
    installed,
    module_source,
    resolve,
)
from .objects import FORMS
from .part_graph import PartGraph
from .readings import Pointer
from .scopes import ALL_VARIABLES, Use, Uses
from .stored import (
    counts_in_a_class,
    is_code,
    is_mock,
    is_special_of_the_user,
    is_strange,
    unwrapped,
)
from .syntax import write_syntax
from .together import Together
from .watch import (
    MISSING,
    Seen,
    first_attributes,
    first_of_cell,
    is_first_unset,
    is_other_than_first,
    kept_as_first,
)

# The tags of tasks, and of parts of modules that count by their source.
TASK, PART = b"!task;", b"!part;"
MODULE = b"!module;"  # of modules that are used themselves
ATTRIBUTES = b"!attributes;"  # of what a class holds beyond its source
_DEFS = (ast.FunctionDef, ast.AsyncFunctionDef)
_PLAIN = (type(None), bool, int, float, complex, str, bytes, tuple, frozenset, list, dict, set)
# As many names are watched, before what is set on installed classes is not looked for any more.
_MOST_NAMES = 2_000
_SIMPLE = (type(None), bool, int, float, complex, str, bytes)
_CONTAINERS = (tuple, frozenset, list, dict, set)
_SUBCLASSES = "__subclasses__"
FORMS[Part] = lambda value, writer: writer.code_form(value)
FIXED[Part] = False


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
        # What could not be followed: the place and the reason.
        self.problems: list[tuple[str, str]] = []
        self.seen = Seen()  # what was read
        # The variables that reached code assigns or fills: they count as they are first set.
        self.state: set[tuple[int, str]] = set() if earlier is None else set(earlier.state)
        self._attributes = set() if earlier is None else set(earlier.seen.attributes)
        # What variables of enclosing functions reached code sets anew, by their cells.
        self._as_now = as_now
        # Of the attributes that reached code changes those that may be a class's.
        self._shared: set[str] = set() if earlier is None else earlier._shared_now
        self._shared_now: set[str] = set()
        self._set_cells: dict[int, Any] = {} if earlier is None else earlier._set_cells
        self._cells_known = len(self._set_cells)
        self._no_state: set[tuple[int, str]] = set()
        self._reads: set[str] = set()
        self._known_reads: Collection[str] = () if earlier is None else earlier._reads
        self._methods: dict[int, tuple[str, Changes]] = {}
        # Where reached functions, by their names, fill what they are given; and what that is.
        self._filled: set[tuple[str, Any]] = set()
        self._given: list[tuple[Changes, Any, str, Optional[tuple[int, str]]]] = []
        self._skip = tuple(skip)
        self._left_out = left_out
        self._lines: dict[int, dict[str, int]] = {}
        self._is_first = earlier is None
        self._only_source = only_source
        self._is_unsettled = False
        # The installed classes that were reached, and what is set on them, by their identities.
        self._installed: dict[int, type] = {}
        self._set_on: dict[int, Any] = {} if earlier is None else earlier._found_on
        self._found_on: dict[int, Any] = {}
        self._found: dict[Part, list[tuple[Use, str, Found]]] = {}
        self._called: set[Part] = set()
        self._together: Together = together or Together() if earlier is None else earlier._together
        self.module_of, self.spec_of = self._together.module, self._together.spec
        self.found: dict[tuple[str, tuple[str, ...]], Found] = {}
        self._graph = None if is_told_apart else PartGraph(self._part_form)

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
        written = write_code(code)
        return b"!code;%d:" % len(written) + written

    def _is_followed(self, module: Any) -> bool:
        if not is_a(module, str):
            return True
        if not is_first_party(module):
            return False
        return not any(module == name or module.startswith(name + ".") for name in self._skip)

    def note_module(self, name: Any) -> None:
        module = sys.modules.get(name) if is_a(name, str) else None
        if module is not None:
            self.seen.modules[name] = module, attributes_of(module).get("__spec__")

    def is_state(self, namespace: Mapping[str, Any], name: str) -> bool:
        """Says whether reached code assigns or fills a variable of a module."""
        key = id(namespace), name
        if name in self._attributes or key in self.state:
            return True
        self._no_state.add(key)
        return False

    def is_left_out(self, namespace: Mapping[str, Any], name: str) -> bool:
        """Says whether the author has left a variable out."""
        if not self._left_out:
            return False
        module = namespace.get("__name__")
        return f"{module}.{name}" in self._left_out or (
            f"{canonical_module_name(module)}.{name}" in self._left_out
        )

    def _left_out_of(self, module: str, class_name: str) -> frozenset[str]:
        """Names the attributes of a class that the author has left out."""
        begins = {f"{home}.{class_name}" for home in (module, canonical_module_name(module))}
        parts = (name.rpartition(".") for name in self._left_out)
        return frozenset(name for begin, _, name in parts if begin in begins)

    def is_settled(self) -> bool:
        """Says whether all counts by what is known of it now, at the end of the walk."""
        self._note_called_methods()
        self._note_given()
        members = (attributes_of(base) for cls in self._installed.values() for base in mro_of(cls))
        self.seen.sizes = [(each, len(each)) for each in members] if self._only_source else []
        self._found_on = {key: self._members_set_on(cls) for key, cls in self._installed.items()}
        if any(found and key not in self._set_on for key, found in self._found_on.items()):
            return False
        if self._is_unsettled or len(self._set_cells) > self._cells_known:
            return False
        if _SUBCLASSES in self._reads and _SUBCLASSES not in self._known_reads:
            return False
        return not any(
            key in self.state or key[1] in (self.seen.attributes if key[0] else self._shared_now)
            for key in self._no_state
        )

    def _note_changes(self, changes: Changes, uses: Uses, namespace: Mapping[str, Any]) -> None:
        used = {use.chain[0] for use in uses.names}
        for name, method in changes.methods:
            self._methods[id(method)] = name, method
        for each in (changes, *(method for _, method in changes.methods)):
            for called, place, name in each.gives:
                if name in each.parameters:
                    self._given.append((each, (called, place), name, None))
                elif name in used and _may_be_filled(namespace.get(name)):
                    self._given.append((each, (called, place), name, (id(namespace), name)))
            for name in each.names.intersection(each.parameters):
                self._filled.update(each.fills(name))
        self.seen.attributes |= changes.attributes
        self._shared_now |= changes.shared
        self._reads |= changes.reads
        if changes.declared or changes.names:
            names = changes.declared | (changes.names & used)
            self.state |= {(id(namespace), name) for name in names}

    def _note_given(self) -> None:
        """Notes the variables that reached code gives to a function that fills what it is given."""
        known = -1
        while known != len(self._filled):
            known = len(self._filled)
            for changes, place, name, variable in self._given:
                if place not in self._filled:
                    continue
                if variable is None:
                    self._filled.update(changes.fills(name))
                else:
                    self.state.add(variable)

    def _note_called_methods(self) -> None:
        """Notes what methods change that reached code may call; others are called by other code."""
        pending = list(self._methods.values())
        while True:
            called: list[tuple[str, Changes]] = []
            others: list[tuple[str, Changes]] = []
            for item in pending:
                is_called = item[0] in self._reads or item[0][:2] == "__"
                (called if is_called else others).append(item)
            if not called:
                return
            pending = others
            for _, changes in called:
                self.seen.attributes |= changes.attributes
                self._shared_now |= changes.shared
                self._reads |= changes.reads

    def is_state_attribute(self, name: str, value: Any) -> bool:
        """Says whether reached code assigns or fills an attribute of a class."""
        if holds_code(value) or is_code(value):
            return False
        if name not in self._shared:
            self._no_state.add((0, name))
        return name in self._shared

    def _function(self, function: FunctionType) -> Union[bytes, Form]:
        attributes = function.__dict__
        if "bandsaw_task" in attributes:
            return self._task(function)
        # The name of the module, not `__module__`: decorators copy that from what they wrap.
        module = function.__globals__.get("__name__")
        wrapped = attributes.get("__wrapped__")
        if not self._is_followed(module):
            name = global_name(module, function.__code__.co_name if wrapped else _name(function))
            cells = _foreign_cells(module, function)
            if not cells and wrapped is None:
                return name
            return Form(FOREIGN, PARTS, (Written(name), tuple(cells), wrapped))
        self.note_module(module)
        definition = definition_of(function)
        self.seen.function(function)
        self._note_changes(definition.changes, definition.uses, function.__globals__)
        closed = self._cells(function, definition.changes)
        names = self._names(function, definition, function.__globals__, closed)
        held, named = self._defaults(function, definition.changes)
        parts = [definition.digest, names, held, named, wrapped]
        held_by_it = attributes_of_function(function, self)
        return Form(b"!function;", PARTS, [*parts, held_by_it] if held_by_it else parts)

    def _cells(self, function: FunctionType, changes: Changes) -> dict[str, Any]:
        """Reads what a function closes over; what reached code sets or fills as it was first."""
        values = cells_of(function)
        if self._as_now:
            return values
        for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
            if name not in values or holds_code(values[name]) or callable(values[name]):
                continue
            if name in changes.enclosing:
                self._set_cells[id(cell)] = cell
            if id(cell) in self._set_cells:
                self.seen.forget_cell(cell)
                values[name] = Form(CHANGING, PARTS, (first_of_cell(cell),))
            elif name in changes.names and base_of(values[name]) is not None:
                values[name] = Form(CHANGING, PARTS, (kept_as_first(values[name]),))
        return values

    def _defaults(self, function: FunctionType, changes: Changes) -> tuple[Any, Any]:
        """Reads the defaults of a function; what it fills counts as it was first."""
        held, named, code = function.__defaults__, function.__kwdefaults__, function.__code__
        if self._as_now or not changes.names or not (held or named):
            return held, named

        def first(name: str, value: Any) -> Any:
            if name not in changes.names or base_of(value) is None or holds_code(value):
                return value
            reason = "code that it reaches fills it, so it counts as it is first set"
            self.problems.append((f"{_label(function)}: {name}", reason))
            return Form(CHANGING, PARTS, (kept_as_first(value),))

        names = code.co_varnames[: code.co_argcount]
        if held:
            held = tuple(map(first, names[-len(held) :], held))
        if named:
            named = {name: first(name, value) for name, value in named.items()}
        return held, named

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
        found = (
            (use, *resolve(use, namespace, cells, definition.source, self))
            for use in definition.uses.names
        )
        return self._names_form(code, definition.uses, found, namespace, cells)

    def _names_form(
        self,
        code: Any,
        uses: Uses,
        found: Iterable[tuple[Use, str, Any]],
        namespace: dict[str, Any],
        cells: dict[str, Any],
    ) -> Form:
        label = _label(code)
        lines = self._lines[id(code)] = {}
        values: dict[str, Any] = {}
        for use, key, value in found:
            place = f"{label}: line {use.line}, {key}"
            is_by_source = is_a(value, Found)
            if is_by_source and not is_a(code, Part):
                self._note_called(use, value)
            if is_by_source or is_a(value, Gap):
                value = self._without_gaps(place, value if is_by_source else [value])
            elif use.is_decorator and not is_a(value, (FunctionType, type, Written)):
                value = Written(opaque(value))
            if is_a(value, Form) and value.tag == CHANGING:
                reason = "code that it reaches fills it, so it counts as it is first set"
                self.problems.append((place, reason))
            values[key] = value
            lines.setdefault(key, use.line)
        for chain, line, text in uses.dynamic:
            if _is_dynamic(chain, namespace, cells):
                self.problems.append(
                    (f"{label}: line {line}, {text}", "it reaches code by a computed name")
                )
        children: list[Any] = []
        for key, value in sorted(values.items()):
            children += (key, value)
        return Form(NAMES, MAP, children)

    def _without_gaps(self, place: str, found: list[Any]) -> Any:
        kept = []
        for value in found:
            if is_a(value, Gap):
                self.problems.append((place, value.reason))
                value = Written(b"u")
            kept.append(value)
        return tuple(kept) if len(kept) > 1 else kept[0]

    def _found_by(self, part: Part) -> list[tuple[Use, str, Found]]:
        known = self._found.get(part)
        if known is None:
            known = self._found[part] = []
            for use in part.uses.names:
                if part.name == RUN and use.chain[0] in part.module.top.loops:
                    continue
                if use.origin is None:
                    found = find_inside(part.module, use.chain, self)
                else:
                    found = find_import(part.module, use.origin, use.chain[1:], self)
                known.append((use, ".".join(use.chain) + str(use.origin or ""), found))
        return known

    def _note_called(self, use: Use, found: Found) -> None:
        """Notes what parts change that reached code calls; other parts run while modules load."""
        pending = [(use, found)]
        while pending:
            use, found = pending.pop()
            for part in found if not use.is_decorator else ():
                if is_a(part, Part) and part.name not in (WHOLE, RUN) and part not in self._called:
                    self._called.add(part)
                    self._note_changes(part.changes, part.uses, part.module.loaded() or {})
                    pending += [(use, found) for use, _, found in self._found_by(part)]

    def _part(self, part: Part) -> Union[bytes, Form]:
        written = None if self._graph is None else self._graph.written(part)
        return self._part_form(part) if written is None else written

    def _part_form(self, part: Part) -> Form:
        module = part.module
        variables = module.loaded()
        if variables is None:
            self.seen.unloaded(module.name, module.path)
            look_when_loaded(walk_of)
        else:
            self.note_module(module.name)
        names = self._names_form(part, part.uses, self._found_by(part), {}, {})
        run = self._together.run_by(module) if part.name == WHOLE else ()
        place = canonical_module_name(module.name)
        return Form(PART, PARTS, (place, part.name, part.digest, names, run))

    def is_loaded_with(self, namespace: Mapping[str, Any], name: str) -> bool:
        """Says whether another module is there wherever the one with some variables is."""
        home = namespace.get("__name__")
        if not is_a(home, str) or attributes_of(sys.modules.get(home)) is not namespace:
            return False
        return name in self._together.loaded_with(home)

    def installed(self, name: str, chain: tuple[str, ...]) -> Any:
        """Finds what a chain of names stands for in an installed module."""
        module = sys.modules.get(name)
        if is_a(module, ModuleType) and not self._only_source:
            return installed(module, chain, self)
        return Written(global_name(name, ".".join(chain)))

    def installed_class(self, cls: type, written: Any) -> Any:
        """Gives the form of an installed class: its name, and what is set on it."""
        if not is_changeable(cls):
            return written
        self._installed[id(cls)] = cls
        found = self._set_on.get(id(cls))
        return Form(b"!set-on;", PARTS, (written, *found)) if found else written

    def _members_set_on(self, cls: type) -> tuple[Any, ...]:
        """Finds what is set on an installed class of the attributes that reached code reads."""
        found: list[Any] = []
        bases: list[Any] = []
        for base in filter(is_changeable, mro_of(cls)):
            members = attributes_of(base)
            if is_first_party(module_of_class(base)) or len(self.seen.names) > _MOST_NAMES:
                continue
            for name in sorted(self._reads.intersection(members)):
                for before in bases:
                    # It may be set on a class that inherits it.
                    self.seen.name(before, name, before.get(name, MISSING))
                value = members[name]
                self.seen.name(members, name, value)
                if is_other_than_first(base, name, value) or any(map(is_strange, unwrapped(value))):
                    found += (name, value)
                    self.seen.replaced.add(f"{_label(base)}.{name}")
            bases.append(members)
        return tuple(found)

    def as_loaded(self, name: str, rest: tuple[str, ...]) -> Any:
        """Finds what a chain of names stands for in a loaded module without source."""
        return followed(name, sys.modules[name], rest, self)[1]

    def in_memory(self, module: Module, name: str, rest: tuple[str, ...]) -> list[Any]:
        """Finds what a module that is loaded has instead of what its source says."""
        variables = module.loaded()
        if self._only_source:
            return []
        is_unclear = name in module.top.names and not module.is_said(name)
        if variables is not None:
            value = variables.get(name, MISSING)
            self.seen.name(variables, name, value)
            if not is_as_said(module, name, value, self.seen):
                first = module.first.get(name)
                runs = is_a(value, (FunctionType, type, ModuleType)) or holds_code(value)
                if name in module.top.names and not runs:
                    if self.is_state(variables, name):
                        self.seen.names.pop((id(variables), name), None)
                        return []
                if first is None or not self._is_as_first(first, value):
                    if is_a(value, ModuleType) and rest:
                        return [followed(name, value, rest, self)[1]]
                    return [Written(b"!missing;") if value is MISSING else value]
        if is_unclear:
            reason = "its source does not say what it is, and it counts by that alone"
            self.problems.append((f"{canonical_module_name(module.name)}.{name}", reason))
        return []

    def _is_as_first(self, first: First, value: Any) -> bool:
        """Says whether a value is what it was when its module was loaded, apart from state."""
        if not first.is_same(value):
            # What is state is known when all has been read.
            self._is_unsettled = self._is_first
            first.watch.seen.attributes |= self._attributes
            first.watch.settle()
            digest, seen = walk_of(value, self._together)
            if digest != first.digest:
                return False
            first.take(value, seen)
        self.seen.include(first.watch.seen)
        return True

    def _class(self, cls: type) -> Union[bytes, Form]:
        module = module_of_class(cls)
        if not self._is_followed(module) and not _is_made_by_types(cls):
            name = global_name(module, qualname_of(cls))
            form = self.installed_class(cls, Written(name)) if not is_first_party(module) else name
            return form if is_a(form, Form) else name
        self.note_module(module)
        namespace = _namespace(cls)
        left_out = self._left_out_of(module, qualname_of(cls))
        self.seen.owner(cls, left_out=left_out)
        left_out |= {"__slotnames__"}  # `copyreg` keeps it there
        members = {**attributes_of(cls), **first_attributes(cls)}
        members = {name: value for name, value in members.items() if name not in left_out}
        members = {name: value for name, value in members.items() if not is_first_unset(value)}
        methods = list(_methods(cls, members))
        parts: list[Any] = [canonical_module_name(module), qualname_of(cls)]
        parts.append(tuple(base for base in bases_of(cls) if base is not object))
        # Metaclasses of Python's own follow from the bases, and one of them was renamed.
        is_python_s = is_standard_library(module_of_class(type(cls)))
        parts.append(None if is_python_s else type(cls))
        parts += self._kin(cls)
        definition = definition_of_class(cls, methods, namespace)
        if definition is None:
            parts.append(_members_form(cls, members))
            return Form(b"!class;", PARTS, parts)
        self._note_changes(definition.changes, definition.uses, namespace)
        cells: dict[str, Any] = {}
        defaults: list[Any] = []
        for method in methods:
            self.seen.function(method)
            cells.update(cells_of(method))
            held, named = self._defaults(method, definition.changes)
            if held or named:
                defaults += (_name(method), (held, named))
            held_by_it = attributes_of_function(method, self)
            if held_by_it:
                defaults += (f"{_name(method)}.", held_by_it)
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
            self._attributes_form(cls, definition.node, members, methods),
        ]
        if defaults:
            parts.append(Form(b"!defaults;", MAP, defaults))
        return Form(b"!class;", PARTS, parts)

    def _kin(self, cls: type) -> list[Any]:
        """What other classes say of this one: those registered with it, and its subclasses."""
        found: list[Any] = []
        registered = registered_with(cls)
        if "_abc_impl" in attributes_of(cls):
            self.seen.reading(Pointer(cls, registered_with))
            if is_other_than_first(cls, "_abc_impl", len(registered)):
                self.seen.replaced.add(f"{_label(cls)}.register")
        if registered:
            found.append(("registered", *sorted(map(name_of, registered))))
        if _SUBCLASSES in self._known_reads:
            self.seen.reading(Pointer(cls, kin_of))
            found.append(subclasses_of(cls))
        return found

    def _attributes_form(
        self, cls: type, node: Any, members: dict[str, Any], methods: list[FunctionType]
    ) -> Form:
        """What a class holds beyond its source: values that were computed or set from outside."""
        own = {id(method) for method in methods}
        children: list[Any] = []
        said = {t.id for each in getattr(node, "body", ()) if is_a(each, ast.Assign)
                for t in each.targets if is_a(t, ast.Name)} - _NOISE  # fmt: skip
        for statement in getattr(node, "body", ()):
            if is_a(statement, _DEFS) and not statement.decorator_list:
                value = members.get(_private(statement.name, node.name), MISSING)
                if not is_a(value, (FunctionType, staticmethod, classmethod)):
                    replaced = Written(b"!missing;") if value is MISSING else value
                    children += (statement.name, replaced)
        for name in sorted(members):
            value = members[name]
            functions = [f for f in unwrapped(value) if is_a(f, FunctionType)]
            if name.startswith("__") or (name.startswith("_") and name.endswith("_")):
                is_own = bool(functions) and own.issuperset(map(id, functions))
                is_special = not is_own and is_special_of_the_user(name, value)
                if is_special or (name in said and is_a(value, (*_SIMPLE, *_CONTAINERS))):
                    children += (name, value)
                continue
            # What reached code sets or fills counts as the body of the class first sets it.
            if self.is_state_attribute(name, value):
                continue
            is_set_elsewhere = is_mock(value) or (
                bool(functions) and not own.issuperset(map(id, functions))
            )
            is_container = any(type(value) is each for each in _CONTAINERS)
            is_more = is_container or is_a(value, type) or counts_in_a_class(value, cls)
            if is_set_elsewhere or is_more:
                children += (name, value)
            elif is_a(value, _SIMPLE) and not name.startswith("_is_"):
                children += (name, value)
        return Form(ATTRIBUTES, MAP, children)

    def _module(self, module: ModuleType) -> Union[bytes, Form]:
        """Gives the form of a module that is used itself: all that it has may be used."""
        own = name_of_module(module)
        if not self._is_followed(own):
            return global_name(own, "")
        self.note_module(own)
        source = module_source(module)
        written = write_syntax(source.tree) if source is not None else b""
        variables = attributes_of(module)
        imports = source.imports if source is not None else {}
        uses = [Use((name,), 0) for name in sorted(filter(_is_own, variables))
                if name in imports or not is_below(variables[name], own, name)]  # fmt: skip
        found = ((use, *followed("", module, use.chain, self)) for use in uses)
        names = self._names_form(module, Uses(tuple(uses), ()), found, {}, {})
        text = write_str(written.decode("utf-8", "surrogatepass"))
        return Form(MODULE, PARTS, (canonical_module_name(own), Written(text), names))

    def report(self, frames: list[Frame], value: Any, reason: str) -> None:
        """Notes a value that was reached, and that cannot be written or watched."""
        kind = name_of(type(value))
        is_stream = value is sys.stdin or value is sys.stdout or value is sys.stderr
        if is_stream or kind in _BY_NAME_ONLY:
            return
        if kind in _FROM_AFAR and not is_held_by_the_user(frames):
            return
        place = None
        for position, frame in enumerate(frames):
            if frame.form.tag == FOREIGN:
                place = None
            lines = self._lines.get(id(frame.value))
            if lines is None:
                continue
            place = _label(frame.value)
            inner = frames[position + 1] if position + 1 < len(frames) else None
            if inner is not None and inner.form.tag == NAMES:
                index = len(inner.written)
                key = str(inner.form.children[index - index % 2])
                place = f"{place}: line {lines.get(key, 0)}, {key}"
        if place is None and is_a(value, (FunctionType, type)):
            place = _label(value)
        if place is not None:
            self.problems.append((place, f"a {kind} {reason}"))


def walk_of(value: Any, together: Optional[Together] = None) -> tuple[bytes, Seen]:
    """Digests a value of a module that counts by its source, and says what was read."""
    reach = Reach(only_source=True, together=together)
    while True:
        written = Writer(reach.form, report=reach.report, seen=reach.seen).write(value)
        if reach.is_settled():
            return sha256(written).digest(), reach.seen
        reach = Reach(earlier=reach, only_source=True)


# They are locks, the process's own streams, and the like: nothing that a result depends on.
_BY_NAME_ONLY = frozenset(
    {
        "_thread.lock", "_thread.RLock", "threading._RLock", "_thread._localdummy",
        "_abc._abc_data",
    }
)  # fmt: skip
# Libraries keep track of their own objects by these.
_FROM_AFAR = frozenset(
    {
        "_thread._local", "weakref.ReferenceType", "weakref.WeakKeyDictionary",
        "weakref.WeakValueDictionary", "weakref.WeakSet", "_contextvars.ContextVar",
    }
)  # fmt: skip


def _foreign_cells(module: Any, function: FunctionType) -> list[Any]:
    """What an installed function closes over: decorators keep there what they were given."""
    cells = [value for _, value in sorted(cells_of(function).items())]
    if not is_standard_library(str(module)):
        return cells
    if "registry" in function.__dict__:
        # `functools.singledispatch`; how it keeps its functions differs between versions.
        return [function.__dict__["registry"]]
    return [
        value
        for value in cells
        if not (
            is_a(value, FunctionType)
            and is_standard_library(str(value.__globals__.get("__name__")))
            and "__wrapped__" not in value.__dict__
        )
    ]


def _name(function: FunctionType) -> str:
    return function.__qualname__


def _label(code: Any) -> str:
    if is_a(code, ModuleType):
        return canonical_module_name(name_of_module(code))
    module = code.__globals__.get("__name__") if is_a(code, FunctionType) else None
    if is_a(code, type):
        return f"{canonical_module_name(module_of_class(code))}.{qualname_of(code)}"
    module = module or getattr(code, "__module__", "?")
    return f"{canonical_module_name(module)}.{getattr(code, '__qualname__', '?')}"


# The modules that have functions which find code by a name or a path.
_OF_COMPUTED_NAMES = {
    *("builtins", "importlib", "importlib.util", "importlib._bootstrap_external"),
    *("pkgutil", "runpy", "sys"),
}


def _is_dynamic(chain: tuple[str, ...], namespace: dict[str, Any], cells: dict[str, Any]) -> bool:
    import builtins

    if chain[-1] in ALL_VARIABLES:
        return True
    value = cells.get(chain[0], namespace.get(chain[0], getattr(builtins, chain[0], None)))
    if len(chain) == 1:
        if is_a(value, type):
            return module_of_class(value) in _OF_COMPUTED_NAMES
        is_function = is_a(value, (FunctionType, types.BuiltinFunctionType))
        return is_function and value.__module__ in _OF_COMPUTED_NAMES
    # It may be known by another name here.
    name = name_of_module(value) if is_a(value, ModuleType) else chain[0]
    return ".".join((name, *chain[1:-1])) in _OF_COMPUTED_NAMES


def _is_made_by_types(cls: type) -> bool:
    """Whether `types.new_class` made it, which claims such classes for its own module."""
    return module_of_class(cls) == "types" and vars(types).get(qualname_of(cls)) is not cls


def _namespace(cls: type) -> Any:
    module = sys.modules.get(module_of_class(cls))
    if module is not None:
        return attributes_of(module)
    for value in attributes_of(cls).values():
        if is_a(value, FunctionType):
            return value.__globals__
    return {}


def _is_own(name: Any) -> bool:
    return is_a(name, str) and name[:2] != "__"


def _private(name: str, class_name: str) -> str:
    is_private = name.startswith("__") and not name.endswith("__")
    return f"_{class_name.lstrip('_')}{name}" if is_private else name


def _methods(cls: type, members: dict[str, Any]) -> Iterable[FunctionType]:
    """Yields the functions that the body of the class defines, as its source has them."""
    for name in sorted(members):
        for function in unwrapped(members[name]):
            if (
                is_a(function, FunctionType)
                and function.__code__.co_name != "<lambda>"
                and function.__qualname__ == f"{qualname_of(cls)}.{function.__code__.co_name}"
                and function.__module__ == module_of_class(cls)
                and not function.__code__.co_filename.startswith("<string>")
                and "__wrapped__" not in function.__dict__
            ):
                yield function


# Also classes, and what keeps what it has computed.
_IN_A_CLASS = (
    *(FunctionType, staticmethod, classmethod, property, cached_property),
    *(type(lru_cache(len)), type, *_PLAIN),
)


def _counts_without_source(name: str, member: Any, cls: type) -> bool:
    if is_a(member, _IN_A_CLASS) or counts_in_a_class(member, cls):
        return True
    # Those with an underscore are of installed packages that make classes, above all.
    return name[:1] != "_" and not is_code(member)


def _members_form(cls: type, members: dict[str, Any]) -> Form:
    children: list[Any] = []
    enum = sys.modules.get("enum")
    if enum is not None and is_a(cls, enum.EnumMeta):
        named = {name: member._value_ for name, member in cls.__members__.items()}
    elif issubclass(cls, tuple) and "_fields" in members:
        named = {"_fields": members["_fields"], "_defaults": members.get("_field_defaults")}
        named.update({n: v for n, v in members.items() if not n.startswith("_")
                      and n not in members["_fields"]})  # fmt: skip
    else:
        named = {
            name: value
            for name, value in members.items()
            if name not in _NOISE and _counts_without_source(name, value, cls)
        }
        if "__dataclass_fields__" in members:
            fields = members["__dataclass_fields__"].values()
            named = {n: v for n, v in named.items() if not n.startswith("__")}
            named["__dataclass_fields__"] = [field.name for field in fields]
    for name, value in sorted(named.items()):
        children += (name, value)
    return Form(b"!members;", MAP, children)


def _may_be_filled(value: Any) -> bool:
    return base_of(value) is not None or bool(attributes_of(value))


_NOISE = frozenset(
    {
        "__module__", "__dict__", "__weakref__", "__doc__", "__qualname__", "__firstlineno__",
        "__static_attributes__", "__annotations__", "__annotate__", "__annotate_func__",
        "__annotations_cache__", "__abstractmethods__", "__parameters__", "__orig_bases__",
        "__match_args__", "__hash__", "__slots__",
    }
)  # fmt: skip
