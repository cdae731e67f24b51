"""Which modules of the project are loaded together."""

from __future__ import annotations

import builtins
import contextlib
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Any, NamedTuple, Optional, Union

from .by_source import Gap, module_of, parents_of, spec_of_name
from .first_values import MISSING
from .firstparty import is_first_party
from .kinds import attributes_of, is_a, spec_of
from .module_parts import RUN, Module, Part, variables_of
from .sources import source_of, stamp_of, stamp_of_source
from .uses import absolute

# Of so many modules not all syntax trees are kept.
_MANY = 100


class PartRecord(NamedTuple):
    """What a part is written as that follows from the sources of modules alone."""

    line: bytes
    named: tuple[Any, ...]  # the parts and what else it names
    run: tuple[Part, ...]  # the parts that its module runs
    problems: tuple[tuple[str, str], ...]


class Together:
    """What is known of that for one id: each module is asked once. For later ones if it holds."""

    def __init__(self, left_out: Collection[str] = ()) -> None:
        self.records: dict[bytes, PartRecord] = {}  # by the names of the parts
        self.calls: dict[Part, tuple[Part, ...]] = {}  # which parts those use when they are called
        self.modules: dict[str, Union[Module, Gap, None]] = {}  # what `module_of` has found
        self.left_out = frozenset(left_out)
        self._needed: dict[str, set[str]] = {}
        self._run: dict[str, Optional[Part]] = {}
        self._runs: dict[frozenset[str], tuple[Part, ...]] = {}
        self._specs: dict[str, Any] = {}
        self._ours: dict[str, bool] = {}
        self._all_needed: dict[str, frozenset[str]] = {}
        self._imported: dict[str, set[str]] = {}
        self._loaded: dict[str, frozenset[str]] = {}
        # What all of this follows from, once an id was made.
        self.places: Optional[Places] = None
        self._loaded_as: dict[str, tuple[Any, ...]] = {}
        self._stamps: dict[str, Any] = {}

    def keep(self) -> None:
        """Has the next id begin with what is known."""
        self._imported.clear()
        self._loaded.clear()
        names = {*self.modules, *self._specs, *self._ours}
        for name in names:
            self._loaded_as.setdefault(name, _loaded_as(name))
        folders = list(sys.path)
        for name, module in self.modules.items():
            path = getattr(module, "path", None)
            if is_a(module, Module) and len(self.modules) > _MANY:
                module.forget_tree()
            if path:
                stamp = stamp_of_source(path) if is_a(module, Module) else stamp_of(path)
                self._stamps.setdefault(path, stamp)
            loaded = attributes_of(sys.modules.get(name)).get("__path__")
            spec = self._specs.get(name)
            folders += loaded or getattr(spec, "submodule_search_locations", None) or ()
        if names:
            self.places = self.places or Places()
            self.places.add(names, folders)
            _kept[:] = [self]

    def is_current(self) -> bool:
        """Says whether all answers would be the same now."""
        return (
            (self.places is None or self.places.is_same())
            and all(_is_same(_loaded_as(name), was) for name, was in self._loaded_as.items())
            and all(stamp_of(path) == stamp for path, stamp in self._stamps.items())
        )

    def module(self, name: str) -> Union[Module, Gap, None]:
        if name not in self.modules:
            self.modules[name] = module_of(name, self._specs)
        return self.modules[name]

    def spec(self, name: str) -> Any:
        return spec_of_name(name, self._specs)

    def is_ours(self, name: str) -> bool:
        known = self._ours.get(name)
        if known is None:
            known = self._ours[name] = is_first_party(name)
        return known

    def run_by(self, module: Module) -> tuple[Part, ...]:
        """Returns what is run when a module is loaded, of all modules that are loaded with it.

        Those that are loaded with each other have one tuple: it is written once for all of them.
        """

        def needed(name: str) -> set[str]:
            other = module if name == module.name else self.module(name)
            if not is_a(other, Module):
                return set()
            self._run[name] = other.part(RUN) if other.top.has_run else None
            return self._needed_by(other)

        names = _reached(module.name, self._needed, needed, self._all_needed)
        names = names if module.name in names else names | {module.name}
        known = self._runs.get(names)
        if known is None:
            parts = map(self._run.get, sorted(names))
            known = self._runs[names] = tuple(part for part in parts if part is not None)
        return known

    def _needed_by(self, module: Module) -> set[str]:
        found = set(parents_of(module.name))
        # Imports in functions, too: what is run when the module is loaded may call them.
        for origin in module.origins:
            home = module.absolute(origin)
            if self.is_ours(home):
                found |= {*parents_of(home), home}
                inner = f"{home}.{origin.name}"
                is_name = origin.name and origin.name != "*"
                if is_name and self._is_package(home) and self.spec(inner) is not None:
                    found.add(inner)
        return found

    def _is_package(self, name: str) -> bool:
        loaded = sys.modules.get(name)
        if loaded is not None:
            return "__path__" in attributes_of(loaded)
        return getattr(self.spec(name), "submodule_search_locations", None) is not None

    def loaded_with(self, name: str) -> frozenset[str]:
        """Names the modules that are there wherever a loaded one is."""
        return _reached(name, self._imported, _loaded_by, self._loaded)


class Places:
    """Where modules are looked for, and what of the names that were looked for is there."""

    def __init__(self) -> None:
        self._place = _place()
        self._names = {"__init__"}
        self._folders: dict[str, tuple[Any, frozenset[str]]] = {}

    def add(self, names: Iterable[str], folders: Iterable[str]) -> None:
        self._names.update(part for name in names for part in name.split("."))
        for folder in folders:
            if folder not in self._folders:
                self._folders[folder] = stamp_of(folder or os.curdir), _listed(folder)

    def is_same(self) -> bool:
        return self._place == _place() and all(map(self._has_same, list(self._folders)))

    def _has_same(self, folder: str) -> bool:
        known, names = self._folders[folder]
        stamp = stamp_of(folder or os.curdir)
        if stamp == known:
            return True
        now = _listed(folder)
        if not now or any(each.partition(".")[0] in self._names for each in now ^ names):
            return False  # an archive, or none
        # Programs write files into the folder that they are started in.
        self._folders[folder] = stamp, now
        return True


def _listed(folder: str) -> frozenset[str]:
    with contextlib.suppress(OSError):
        return frozenset(os.listdir(folder or os.curdir))
    return frozenset()


_kept: list[Together] = []  # of the last id


def together_for(left_out: Collection[str]) -> Together:
    """Returns what is known since the last id, if that still holds for the next one.

    It is taken away: another thread that makes an id at once begins anew, and what an error left
    half done is not used again.
    """
    with contextlib.suppress(IndexError):
        last = _kept.pop()
        if last.left_out == frozenset(left_out) and last.is_current():
            return last
    return Together(left_out)


def _loaded_as(name: str) -> tuple[Any, ...]:
    """Returns what `importlib.reload` replaces, the folders, and whether loading has ended."""
    module = sys.modules.get(name, MISSING)
    folders = attributes_of(module).get("__path__")
    folders = [*folders] if is_a(folders, list) else folders
    spec = MISSING if module is MISSING else spec_of(module)
    return spec, folders, variables_of(module) is not None


def _is_same(now: tuple[Any, ...], then: tuple[Any, ...]) -> bool:
    return now[0] is then[0] and now[1:] == then[1:]  # specs may be equal


def _place() -> Any:
    """What decides where modules are found, and what is built in."""
    with contextlib.suppress(OSError):
        folder = None if all(map(os.path.isabs, sys.path)) else os.getcwd()
        return folder, [*sys.path], [*map(id, sys.meta_path)], [*vars(builtins)]
    return object()


def _reached(
    name: str,
    direct: dict[str, set[str]],
    ask: Callable[[str], set[str]],
    known: dict[str, frozenset[str]],
) -> frozenset[str]:
    if name in known:
        return known[name]
    found: set[str] = set()
    pending, back = [name], dict[str, list[str]]()
    while pending:
        home = pending.pop()
        if home in known:
            found |= known[home]
            continue
        if home not in direct:
            direct[home] = ask(home)
        for other in direct[home]:
            back.setdefault(other, []).append(home)
        pending += direct[home] - found
        found |= direct[home]
    # Those that reach each other reach the same.
    known[name] = reached = frozenset(found)
    pending = back.get(name, [])
    while pending:
        home = pending.pop()
        if home not in known:
            known[home] = reached
            pending += back.get(home, ())
    return reached


def _loaded_by(name: str) -> set[str]:
    return {n for n in set(_imported_by(name)) if n in sys.modules and is_first_party(n)}


def _imported_by(name: str) -> Iterator[str]:
    yield from parents_of(name)
    variables = attributes_of(sys.modules.get(name))
    file = variables.get("__file__")
    source = source_of(file, dict(variables)) if is_a(file, str) else None
    for module, level, names in () if source is None else source.imported:
        home = absolute((module, None, level), variables.get("__package__"))
        yield from (*parents_of(home), home, *(f"{home}.{name}" for name in names))
