"""What functions and classes hold, beside what their source says.

Functions hold the variables that they close over, and defaults. Classes hold values that were
computed or set from outside, also on installed ones, and know their subclasses and those that were
registered with them.
"""

from __future__ import annotations

import abc
import sys
import types
from collections.abc import Iterable
from functools import cached_property, lru_cache
from types import FunctionType
from typing import Any, Optional

from .by_source import Reader
from .changes import Changes, private
from .compiled_modules import imports_of_compiled
from .definitions import Body, Definition
from .effects import Effects
from .first_values import MISSING, first_contents, first_of_cell, is_other_than_first, kept_as_first
from .firstparty import compiled_file, is_first_party, is_standard_library
from .forms import MAP, PARTS, Form, Written
from .held_contents import base_of, holds_code
from .kinds import attributes_of, is_a, is_changeable, module_of, mro_of, name_of, qualname_of
from .names import CHANGING, filled_by_module
from .problems import Problems, label
from .stored import (
    counts_in_a_class,
    is_code,
    is_door,
    is_in_a_file,
    is_mock,
    is_special_of_the_user,
    is_strange,
    of_enumeration,
    unwrapped,
)
from .watch import Seen
from .wrappers import cells_of

SUBCLASSES = "__subclasses__"  # what code reads that asks for all of them
FILLED = "code that it reaches fills it, so it counts as it is first set"
ATTRIBUTES = b"!attributes;"  # the tag of what a class holds beyond its source
# As many names are watched, before what is set on installed classes is not looked for any more.
_MOST_NAMES = 2_000
_SIMPLE = (type(None), bool, int, float, complex, str, bytes)
_CONTAINERS = (tuple, frozenset, list, dict, set)
# Also classes, and what keeps what it has computed.
_IN_A_CLASS = (
    *(FunctionType, staticmethod, classmethod, property, cached_property),
    *(type(lru_cache(len)), type, *_SIMPLE, *_CONTAINERS),
)
_NOISE = frozenset(
    {
        "__module__", "__dict__", "__weakref__", "__doc__", "__qualname__", "__firstlineno__",
        "__static_attributes__", "__annotations__", "__annotate__", "__annotate_func__",
        "__annotations_cache__", "__abstractmethods__", "__parameters__", "__orig_bases__",
        "__match_args__", "__hash__", "__slots__",
        # pydantic makes it of the fields and methods, with addresses of classes in its texts.
        "__pydantic_core_schema__",
    }
)  # fmt: skip


def is_made_by_types(cls: type) -> bool:
    """Whether `types.new_class` made it, which claims such classes for its own module."""
    return module_of(cls) == "types" and vars(types).get(qualname_of(cls)) is not cls


def namespace_of(cls: type, home: Optional[str] = None) -> Any:
    module = sys.modules.get(home or module_of(cls))
    if module is not None:
        return attributes_of(module)
    for value in attributes_of(cls).values():
        if is_a(value, FunctionType):
            return value.__globals__
    return {}


def made_when_used(cls: type) -> frozenset[str]:
    """Names the members that Python sets on a class when it, or an object of it, is first used."""
    if name_of(type(cls)) == "marshmallow.schema.SchemaMeta":
        return _WHEN_USED | {"_hooks"}  # it is made of the methods, and a look at it fills it
    stub: Any = attributes_of(sys.modules.get("typing")).get("_no_init_or_replace_init")
    inits = [attributes_of(base).get("__init__") for base in mro_of(cls)]
    if stub is None or not any(each is stub for each in inits[1:]):
        return _WHEN_USED
    # The first object of a class below a protocol finds its `__init__`, and keeps it there.
    own, *found = (each for each in inits if each is not None and each is not stub)
    is_kept = inits[0] is None or (inits[0] is own and own is found[0])
    return _WHEN_USED | {"__init__"} if is_kept else _WHEN_USED


# By readers of annotations, and by `copyreg`.
_WHEN_USED = frozenset(("__annotations__", "__annotations_cache__", "__slotnames__"))


def methods_of(cls: type, members: dict[str, Any]) -> Iterable[FunctionType]:
    """Yields the functions that the body of the class defines, as its source has them."""
    for name in sorted(members):
        for function in unwrapped(members[name]):
            if (
                is_a(function, FunctionType)
                and function.__code__.co_name != "<lambda>"
                and function.__qualname__ == f"{qualname_of(cls)}.{function.__code__.co_name}"
                and function.__module__ == module_of(cls)
                and not function.__code__.co_filename.startswith("<string>")
                and "__wrapped__" not in function.__dict__
            ):
                yield function


def attributes_form(
    cls: type,
    definition: Definition,
    members: dict[str, Any],
    methods: list[FunctionType],
    reader: Reader,
) -> Form:
    """What a class holds beyond its source: values that were computed or set from outside."""
    body: Body = definition.says
    own = {id(method) for method in methods}
    assigned = {private(name, body.name) for name in body.assigned}
    children: list[Any] = []
    has_state = False
    for name in body.functions:
        value = members.get(private(name, body.name), MISSING)
        if not is_a(value, (FunctionType, staticmethod, classmethod)):
            children += (name, Written(b"!missing;") if value is MISSING else value)
    for name in sorted(members):
        value = members[name]
        functions = [f for f in unwrapped(value) if is_a(f, FunctionType)]
        if name.startswith("__") or (name.startswith("_") and name.endswith("_")):
            is_own = bool(functions) and own.issuperset(map(id, functions))
            is_special = not is_own and is_special_of_the_user(name, value)
            is_said = name in body.assigned and name not in _NOISE
            if is_special or (is_said and is_a(value, (*_SIMPLE, *_CONTAINERS))):
                children += (name, value)
            continue
        # What reached code sets or fills counts as its module first sets it.
        if reader.is_state_attribute(name, value):
            has_state = True
            continue
        is_set_elsewhere = is_mock(value) or (
            bool(functions) and not own.issuperset(map(id, functions))
        )
        is_container = any(type(value) is each for each in _CONTAINERS)
        is_more = is_container or is_a(value, type) or counts_in_a_class(value, cls)
        # Packages put objects of their own there, too, and make descriptors of what is said.
        is_more = is_more or (name in assigned and not is_code(value))
        if is_set_elsewhere or is_more:
            children += (name, value)
        elif is_a(value, _SIMPLE) and not name.startswith("_is_"):
            children += (name, value)
    if has_state and definition.source is not None:
        filled = filled_by_module(qualname_of(cls), definition.source, namespace_of(cls), reader)
        children += ("", tuple(filled)) if filled else ()
    return Form(ATTRIBUTES, MAP, children)


def members_form(cls: type, members: dict[str, Any]) -> Form:
    children: list[Any] = []
    enum = sys.modules.get("enum")
    # What decorators of classes make of a text follows from the fields.
    written = {n: m for n, m in members.items() if any(map(is_in_a_file, unwrapped(m)))}
    if enum is not None and is_a(cls, enum.EnumMeta):
        named = {n: of_enumeration(each) for n, each in cls.__members__.items()}
        named.update(written)
    elif issubclass(cls, tuple) and "_fields" in members:
        named = {"_fields": members["_fields"], "_defaults": members.get("_field_defaults")}
        named.update({n: v for n, v in members.items() if not n.startswith("_")
                      and n not in members["_fields"]}, **written)  # fmt: skip
    else:
        named = {
            name: value
            for name, value in members.items()
            if name not in _NOISE and _counts_without_source(name, value, cls)
        }
        if "__dataclass_fields__" in members:
            fields = members["__dataclass_fields__"].values()
            named = {n: v for n, v in named.items() if not n.startswith("__") or n in written}
            named["__dataclass_fields__"] = [field.name for field in fields]
    for name, value in sorted(named.items()):
        children += (name, value)
    compiled = compiled_file(module_of(cls))
    if compiled:
        children += ("", (compiled, *imports_of_compiled(module_of(cls))))
    return Form(b"!members;", MAP, children)


def _counts_without_source(name: str, member: Any, cls: type) -> bool:
    if is_a(member, _IN_A_CLASS) or counts_in_a_class(member, cls):
        return True
    # Those with an underscore are of installed packages that make classes, above all.
    return name[:1] != "_" and not is_code(member)


def registered_with(cls: type) -> tuple[type, ...]:
    """Returns the classes that were registered with an abstract base class."""
    if "_abc_impl" not in attributes_of(cls) or _asks_for_attributes(type(cls)):
        return ()
    registry = abc._get_dump(cls)[0]  # type: ignore[attr-defined]
    living = (reference() for reference in registry)
    return tuple(sorted((each for each in living if each is not None), key=id))


def subclasses_of(cls: type) -> tuple[type, ...]:
    """Returns the direct subclasses of the project that can be found by their names."""
    found: list[type] = type.__subclasses__(cls)
    return tuple(sorted(filter(_is_found_by_name, found), key=qualname_of))


def kin_of(cls: type) -> tuple[type, ...]:
    """Returns all of them, to compare them later."""
    return (*registered_with(cls), cls, *subclasses_of(cls))


def _is_found_by_name(cls: type) -> bool:
    # What a decorator has replaced lives until Python collects it.
    found: Any = sys.modules.get(module_of(cls))
    for name in qualname_of(cls).split("."):
        found = attributes_of(found).get(name)
    return found is cls and is_first_party(module_of(cls))


def _asks_for_attributes(kind: type) -> bool:
    return any("__getattribute__" in attributes_of(base) for base in mro_of(kind)[:-1]
               if is_first_party(module_of(base)))  # fmt: skip


def closed_over(function: FunctionType, changes: Changes, effects: Effects) -> dict[str, Any]:
    """Reads what a function closes over; what reached code sets or fills as it was first."""
    values = cells_of(function)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        if name not in values or holds_code(values[name]) or callable(values[name]):
            continue
        if name in changes.enclosing:
            effects.cells[id(cell)] = cell
        if id(cell) in effects.cells:
            effects.seen.cells.pop(id(cell), None)  # it is not watched
            values[name] = Form(CHANGING, PARTS, (first_of_cell(cell),))
        elif name in changes.names and base_of(values[name]) is not None:
            values[name] = Form(CHANGING, PARTS, (kept_as_first(values[name]),))
    return values


def defaults_of(function: FunctionType, changes: Changes, problems: Problems) -> tuple[Any, Any]:
    """Reads the defaults of a function; what it fills counts as it was first."""
    held, named, code = function.__defaults__, function.__kwdefaults__, function.__code__
    if not changes.names or not (held or named):
        return held, named

    def first(name: str, value: Any) -> Any:
        if name not in changes.names or base_of(value) is None or holds_code(value):
            return value
        problems.note(f"{label(function)}: {name}", FILLED)
        return Form(CHANGING, PARTS, (kept_as_first(value),))

    names = code.co_varnames[: code.co_argcount]
    if held:
        held = tuple(map(first, names[-len(held) :], held))
    if named:
        named = {name: first(name, value) for name, value in named.items()}
    return held, named


def closed_over_outside(module: Any, function: FunctionType) -> list[Any]:
    """Reads what an installed function closes over: decorators keep there what they were given."""
    cells = [
        Form(CHANGING, PARTS, (kept_as_first(value),)) if _is_memo(value) else value
        for _, value in sorted(cells_of(function).items())
    ]
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


def _is_memo(value: Any) -> bool:
    """Says whether an installed decorator has a container that was empty: it fills that itself."""
    base = base_of(value)
    return base is not None and not base.__len__(first_contents(value)) and not holds_code(value)


class SetOn:
    """The installed classes that one walk reached, with what the walk before found set on them.

    Of that counts what has the name of an attribute that reached code reads.
    """

    def __init__(self, seen: Seen, effects: Effects, earlier: Optional[SetOn] = None) -> None:
        self._seen = seen
        self._effects = effects
        self._classes: dict[int, type] = {}
        self._known: dict[int, Any] = {} if earlier is None else earlier._found
        self._found: dict[int, Any] = {}

    def form(self, cls: type, written: Any) -> Any:
        """Gives the form of an installed class: its name, and what is set on it."""
        if not is_changeable(cls):
            return written
        self._classes[id(cls)] = cls
        found = self._known.get(id(cls))
        return Form(b"!set-on;", PARTS, (written, *found)) if found else written

    def asks(self) -> bool:
        return bool(self._classes)

    def sizes(self) -> list[tuple[Any, int]]:
        members = (attributes_of(base) for cls in self._classes.values() for base in mro_of(cls))
        return [(each, len(each)) for each in members]

    def is_settled(self) -> bool:
        """Looks at the end of a walk whether nothing is set that was not known."""
        self._found = {key: self._members(cls) for key, cls in self._classes.items()}
        return not any(found and key not in self._known for key, found in self._found.items())

    def _members(self, cls: type) -> tuple[Any, ...]:
        found: list[Any] = []
        bases: list[Any] = []
        for base in filter(is_changeable, mro_of(cls)):
            members = attributes_of(base)
            if is_first_party(module_of(base)) or len(self._seen.names) > _MOST_NAMES:
                continue
            for name in sorted(self._effects.reads.intersection(members)):
                for before in bases:
                    # It may be set on a class that inherits it.
                    self._seen.name(before, name, before.get(name, MISSING))
                value = members[name]
                self._seen.name(members, name, value)
                is_set = is_other_than_first(base, name, value) or is_door(value)
                if is_set or any(map(is_strange, unwrapped(value))):
                    found += (name, value)
                    self._seen.replaced.add(f"{label(base)}.{name}")
            bases.append(members)
        return tuple(found)
