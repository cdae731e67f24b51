"""Notices when what an id was made from is no more what it was.

walk ──► Seen: each name, attribute, cell and container that was read, with what it held
Watch(seen).is_current()   at each call whose id somebody reads
Watch(seen).settle(...)    before a result is kept: what has changed during the call
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from operator import is_
from types import CellType, CodeType, FunctionType
from typing import TYPE_CHECKING, Any, Optional

from .first_values import (
    MISSING,
    content_of,
    first_form,
    is_wrapped_at_home,
    note_attribute,
    note_contents,
)
from .held_contents import contents_of, has_same_contents, parts_of
from .kinds import (
    is_a,
    is_one,
    module_of,
    name_of,
    spec_of,
)
from .owners import Owner, has_same
from .sources import stamp_of

if TYPE_CHECKING:
    from typing import Protocol

    class Reading(Protocol):
        """An object that is read anew to compare it, see `stored`."""

        value: Any
        form: Any  # what it was written as, `None` where a change is no state

        def is_same(self) -> bool: ...

        def note(self) -> None: ...


_stamps: dict[str, Any] = {}


def note_file(name: str, path: str) -> Any:
    """Returns what changes with the file of a module; counts it as an edit where it has changed."""
    stamp = stamp_of(path)
    if _stamps.setdefault(name, stamp) != stamp:
        _stamps[name] = stamp
        Watch.edits += 1
    return stamp


class Seen:
    """What was read on the way of making an id.

    Attributes:
        modules: The first-party modules that were reached, with their specs, by their names.
        attributes: The names of attributes that reached code assigns or changes.
        places: Of which functions, module and name, the dictionaries are, by their identity.
    """

    def __init__(self) -> None:
        self.modules: dict[str, tuple[Any, Any]] = {}
        # Of modules that are not loaded: the path, and what changes with the file.
        self.files: dict[str, tuple[str, Any]] = {}
        self.names: dict[tuple[int, str], tuple[Any, str, Any]] = {}
        self.cells: dict[int, tuple[CellType, Any]] = {}
        self.functions: dict[int, tuple[Any, Any, Any, Any]] = {}
        self.owners: dict[int, Owner] = {}
        self.contents: dict[int, tuple[Any, Any]] = {}
        self.readings: dict[int, Reading] = {}
        # Where modules were looked for, see `loaded_together`.
        self.places_of_modules: dict[int, Any] = {}
        self.attributes: set[str] = {"__slotnames__"}  # the first is of `copyreg`
        self.places: dict[int, str] = {}
        # While an id is made: the addresses of all objects, see `addresses`.
        self.living: Any = None
        # What stands in for what is installed: the names of modules, and of what is in them.
        self.replaced: set[str] = set()
        self.is_whole = True  # whether nothing changes unnoticed but by what is set on a class
        self.sizes: list[tuple[Mapping[str, Any], int]] = []  # of classes on which it may be set

    def unloaded(self, name: str, path: Optional[str]) -> None:
        """Notes a module that was read without being loaded."""
        self.modules[name] = None, None
        self.files[name] = path or "", note_file(name, path or "")

    def name(self, namespace: Mapping[str, Any], name: str, value: Any) -> None:
        self.names[id(namespace), name] = namespace, name, value

    def function(self, function: FunctionType) -> None:
        """Notes the code and the defaults of a function, and what it closes over."""
        keywords = function.__kwdefaults__
        state = function.__code__, function.__defaults__, keywords and dict(keywords)
        self.functions[id(function)] = (function, *state)
        for cell in function.__closure__ or ():
            self.cells[id(cell)] = cell, content_of(cell)

    def owner(
        self, owner: Any, is_foreign: bool = False, left_out: frozenset[str] = frozenset()
    ) -> None:
        """Notes the attributes of a class or an object, apart from those that do not count."""
        self.owners[id(owner)] = Owner(owner, is_foreign, left_out)

    def container(self, container: Any) -> bool:
        """Notes the contents of a container; returns whether they can be compared."""
        contents = contents_of(container)
        if contents is not None:
            self.contents[id(container)] = container, contents
        return contents is not None

    def reading(self, reading: Reading) -> None:
        """Notes an object that is read anew to compare it."""
        self.readings[id(reading.value)] = reading

    def include(self, other: Seen) -> None:
        for mine, theirs in zip(self._tables(), other._tables()):
            mine.update(theirs)
        self.attributes |= other.attributes
        self.replaced |= other.replaced
        self.is_whole &= other.is_whole

    def _tables(self) -> list[dict[Any, Any]]:
        return [
            *(self.modules, self.files, self.names, self.cells),
            *(self.functions, self.owners, self.contents, self.readings, self.places),
            self.places_of_modules,
        ]


# What functions were given, and the text that processes of tasks load has not.
given_code: list[CodeType] = []


class Watch:
    """Says whether what an id was made from is still what it was.

    Attributes:
        number: How many of them there have been.
        edits: How often the file of a module was another one than when it was noted.
    """

    number = 0
    edits = 0

    __slots__ = ("_contents", "_owners", "carried", "seen")

    def __init__(self, seen: Seen) -> None:
        Watch.number += 1
        self.seen = seen
        seen.living = None
        # What another process may not have of it, see `carried`, once somebody has asked.
        self.carried: Any = None
        # As they were when the code was last found to be the same, see `settle`.
        self._owners = list(seen.owners.values())
        self._contents = list(seen.contents.values())

    def is_current(self) -> bool:
        """Says whether nothing of it was replaced, reloaded or changed."""
        try:
            return self._is_current()
        except RuntimeError:
            return False  # another thread has changed a dict or a set just now

    def _is_current(self) -> bool:
        # On the way of every hit of a cache: 30 ns for each name.
        seen, loaded = self.seen, sys.modules
        for name, (module, spec) in seen.modules.items():
            if loaded.get(name) is not module or spec_of(module) is not spec:
                return False
        for path, stamp in seen.files.values():
            if stamp_of(path) != stamp:
                return False
        for places in seen.places_of_modules.values():
            if not places.is_same():
                return False
        for namespace, name, value in seen.names.values():
            if namespace.get(name, MISSING) is not value:
                return False
        for function, code, defaults, keywords in seen.functions.values():
            if function.__code__ is not code or function.__defaults__ is not defaults:
                return False
            if keywords is not None and not has_same(function.__kwdefaults__ or {}, keywords):
                return False
        for cell, value in seen.cells.values():
            if content_of(cell) is not value:
                return False
        for owner in self._owners:
            if not owner.is_same():
                return False
        for container, contents in self._contents:
            if not has_same_contents(container, contents):
                return False
        for reading in seen.readings.values():
            if not reading.is_same():
                return False
        return True

    def settle(self) -> list[str]:
        """Returns the places that other code has changed during a call: its id is of other code."""
        changed = list(self._changed_bindings())
        filled: list[tuple[Owner, str]] = []
        for one in self._owners:
            known, now = one.state, one.now()
            if one.has_other_kind():
                changed.append(_label(one.owner))
            for name in [*known, *(name for name in now if name not in known)]:
                if not is_one(now.get(name, MISSING), known.get(name, MISSING)):
                    is_state = one.is_foreign or name in self.seen.attributes
                    if is_state or one.is_set_by_base(name):
                        filled.append((one, name))
                    else:
                        changed.append(f"{_label(one.owner)}.{name}")
        of_state = self._may_be_filled()
        refilled = []
        for container, contents in self._contents:
            if not has_same_contents(container, contents):
                if id(container) in of_state:
                    refilled.append((container, contents))
                elif not self._is_registered(container, contents):
                    changed.append(f"the contents of a {type(container).__name__}")
        others = [reading for reading in self.seen.readings.values() if not reading.is_same()]
        for reading in others:
            if reading.form is None or id(reading.value) not in of_state:
                changed.append(f"a {name_of(type(reading.value))}")
        if not changed:
            self._take_as_state(filled, refilled)
            for reading in others:
                first_form(reading.value, reading.form)
                reading.note()
        return changed

    def _is_registered(self, container: Any, contents: Any) -> bool:
        """Says whether a dict or list got only code of modules that the call was to import."""
        if type(contents) not in (dict, list) or type(container) is not type(contents):
            return False
        known, now = _flat(contents), _flat(contents_of(container))
        added = now[len(known) :]
        if type(contents) is dict:
            added = added[1::2]
        is_grown = bool(added) and all(map(is_, known, now))
        return is_grown and all(_home_of_code(each) in self.seen.files for each in added)

    def _may_be_filled(self) -> set[int]:
        """Finds what is state where it is filled: what attributes hold, and installed objects."""
        contents_of_each = {id(container): contents for container, contents in self._contents}
        found: set[int] = set()
        pending: list[Any] = []
        for one in self._owners:
            if one.is_foreign and name_of(type(one.owner)) != "collections.defaultdict":
                pending.append(one.owner)
            for name, value in one.state.items():
                if one.is_foreign or name in self.seen.attributes:
                    pending.append(value)
        while pending:
            value = pending.pop()
            if id(value) not in found:
                found.add(id(value))
                inner = value if type(value) is tuple else None
                pending += parts_of(contents_of_each.get(id(value), inner))
        return found

    def _changed_bindings(self) -> Iterator[str]:
        seen, loaded = self.seen, sys.modules
        for name, (module, spec) in seen.modules.items():
            if loaded.get(name) is not module or spec_of(module) is not spec:
                path, stamp = seen.files.get(name, ("", None))
                # That a call imports what it needs is no change.
                if name not in seen.files or stamp_of(path) != stamp:
                    yield name
        for namespace, name, value in seen.names.values():
            now = namespace.get(name, MISSING)
            if now is not value and not is_wrapped_at_home(now, value):
                home = seen.places.get(id(namespace)) or home_of(namespace)
                yield f"{home}.{name}"
        for function, code, defaults, keywords in seen.functions.values():
            is_same = function.__code__ is code and function.__defaults__ is defaults
            if not is_same or not has_same(function.__kwdefaults__ or {}, keywords or {}):
                yield _label(function)
        for cell, value in seen.cells.values():
            if content_of(cell) is not value:
                yield "a variable of an enclosing function"

    def _take_as_state(
        self, filled: list[tuple[Owner, str]], refilled: list[tuple[Any, Any]]
    ) -> None:
        for one, name in filled:
            note_attribute(one.owner, name, one.state.get(name, MISSING))
        for container, contents in refilled:
            note_contents(container, contents)
        self._owners = [one.anew() for one in self._owners]
        self._contents = [
            (container, now)
            for container, _ in self._contents
            for now in [contents_of(container)]
            if now is not None
        ]


def _flat(contents: Any) -> list[Any]:
    is_dict = type(contents) is dict
    return [part for pair in contents.items() for part in pair] if is_dict else contents or []


def _home_of_code(value: Any) -> Optional[str]:
    """Names the module of a function or class."""
    if is_a(value, FunctionType):
        return value.__globals__.get("__name__")
    return module_of(value) if is_a(value, type) else None


def home_of(namespace: Mapping[str, Any]) -> str:
    """Names the module, or the module of the class, whose variables these are."""
    return str(namespace.get("__name__") or namespace.get("__module__"))


def _label(owner: Any) -> str:
    kind = owner if is_a(owner, (type, FunctionType)) else type(owner)
    return name_of(kind) if is_a(kind, type) else f"{kind.__module__}.{kind.__qualname__}"
