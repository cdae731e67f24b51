"""The project's own modules that others reach, by imports or at run time, with their packages.

What a module imports is read from its source, at any depth: an import in a function counts. What
it was given while the program ran, such as plugins in a registry, is read from its globals.
"""

from __future__ import annotations

import functools
import os
import sys
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from itertools import chain, islice
from types import FunctionType, MethodType, ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from .._identity.firstparty import is_first_party, is_foreign_place
from ..errors import DistributionError
from ..modules import main_module_name
from . import folders, locate
from .imports import Imports, named_in

if TYPE_CHECKING:
    from ..config import Configuration

# Who registers more has data there, and no plugins.
_MOST_INNER = 10_000


def roots_of(configuration: Configuration) -> dict[str, str]:
    """Names the modules from which first-party modules are reached."""
    parts = [*_parts_of(configuration), configuration.serializer, configuration]
    roots = {type(part).__module__: "configuration" for part in parts}
    roots.update(dict.fromkeys(list(configuration._task_modules), "has a task"))
    return roots


def _parts_of(configuration: Configuration) -> list[Any]:
    chains = [part for chain in list(configuration._tuples.values()) for part in chain]
    return [*chains, *configuration.extensions]


def filled_by(configuration: Configuration) -> set[str]:
    """Returns the real paths of the folders and files that advices and extensions fill.

    They name them by an attribute `_fills`.
    """
    parts = [part for part in _parts_of(configuration) if hasattr(type(part), "_fills")]
    return {os.path.realpath(path) for part in parts for path in part._fills}


class ReachedFile(NamedTuple):
    """A file that was reached: a module, or what lies with it in its package."""

    member: str  # its path in the archive
    data: Optional[bytes]  # its bytes, `None` if it is left out
    why: str  # what it was reached from, or why it is left out
    path: Optional[str]  # where it lies, `None` if it lies in a zip


def reached(
    known: Iterable[str],
    begin: Iterable[tuple[str, bytes]],
    roots: Iterable[tuple[str, str]],
    imports: Imports,
    filled: Collection[str] = (),
) -> Iterator[ReachedFile]:
    """Yields the files of first-party modules and of their packages, as far as there are any.

    `filled`: see `folders.find`.
    """
    walk = _Walk(known, filled)
    for name, source in begin:
        walk.pending.append((name, source))
        walk.take_package_of(name, f"with {name}")
    for name, why in roots:
        if name == "__main__":
            # It may have no file, as in a notebook; a script goes in under its own name.
            walk.pending.append((name, b""))
        else:
            walk.want(name, why)
    yield from walk.found()
    while walk.pending:
        name, source = walk.pending.popleft()
        in_package = name.partition(".")[0] in walk.whole
        imported = named_in(source) if in_package else None
        # A word may be the name of any folder of the project, which is no package by that.
        if imported is None or any(map(walk.is_bare_folder, imported)):
            imported = imports.of(name, source)
        for other in dict.fromkeys([*imported, *referred_to(name)]):
            walk.want(other, f"reached from {name}")
        yield from walk.found()


class _Walk:
    def __init__(self, known: Iterable[str], filled: Collection[str]) -> None:
        self._filled = filled
        # The script that runs goes in under its own name, and the archive has a main of its own.
        self._known = {"__main__", "__mp_main__", *known}
        self.pending: deque[tuple[str, bytes]] = deque()
        self._found: list[ReachedFile] = []
        self._seen: set[str] = set()
        self._bare: dict[str, bool] = {}
        # The packages that go along whole, by their names.
        self.whole: set[str] = set()

    def found(self) -> list[ReachedFile]:
        found, self._found = self._found, []
        return found

    def is_bare_folder(self, name: str) -> bool:
        """Says whether a name may be that of a folder without an `__init__`, not taken so far."""
        top = name.partition(".")[0]
        if top in self._known or top in sys.modules:
            return False
        if top not in self._bare:
            spec = locate.locate(top) if top.isprintable() else None
            self._bare[top] = (
                spec is not None and locate.is_package(spec) and locate.member_of(top, spec) is None
            )
        return self._bare[top]

    def want(self, name: str, why: str) -> None:
        if name in self._known or not name.isprintable():
            return
        self.take_package_of(name, why)
        # To import a module is to import its packages first.
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            part = ".".join(parts[:length])
            if part in self._known:
                continue
            self._known.add(part)
            # `from package import name` may be anything, and nothing that is a module.
            if not is_first_party(part):
                return
            spec = locate.locate(part)
            if spec is None:
                return
            member = locate.member_of(part, spec)
            if member is None:
                continue  # a namespace package
            try:
                data = locate.read_origin(spec)
            except DistributionError:
                return
            path = spec.origin if os.path.isfile(str(spec.origin)) else None
            self._take(ReachedFile(member, data, why, path), part)

    def take_package_of(self, name: str, why: str) -> None:
        """Takes all of the outermost package that a module is part of."""
        top = name.partition(".")[0]
        if top in self._seen or top in ("__main__", "__mp_main__"):
            return
        self._seen.add(top)
        spec = locate.locate(top)
        if spec is None or spec.submodule_search_locations is None:
            return
        # A namespace package may be partly installed.
        is_namespace = locate.member_of(top, spec) is None
        if not is_namespace and not is_first_party(top):
            return
        places = [place for place in spec.submodule_search_locations if not is_foreign_place(place)]
        try:
            package = folders.find(places, filled=self._filled)
            contents = list(package.read())
        except DistributionError:
            return
        self.whole.add(top)
        for inner, reason in package.left_out.items():
            path = next((os.path.join(place, inner) for place in places), None)
            self._found.append(ReachedFile(f"{top}/{inner}", None, reason, path))
        for inner, data in contents:
            member = f"{top}/{inner}"
            module = locate.module_of(member)
            if module is None or module not in self._known:
                found = ReachedFile(member, data, f"package {top}, {why}", package.paths.get(inner))
                self._take(found, module)

    def _take(self, found: ReachedFile, module: Optional[str]) -> None:
        self._found.append(found)
        if module is not None:
            self._known.add(module)
            self.pending.append((module, found.data or b"" if found.member[-3:] == ".py" else b""))


def referred_to(name: str) -> list[str]:
    """Reads the names of modules that a loaded one refers to by objects and first-party classes."""
    module = sys.modules.get("__main__" if name == main_module_name() else name)
    names: dict[str, None] = {}
    for value in list(getattr(module, "__dict__", {}).values()):
        for reached_value in chain((value,), _elements(value), _attributes(value)):
            names.update(dict.fromkeys(_homes(reached_value)))
    return list(names)


def _elements(value: Any) -> list[Any]:
    # Exact types: what a class of somebody's own does when it is asked is not known.
    kind = type(value)
    try:
        if kind is dict:
            return list(islice(chain(value.keys(), value.values()), _MOST_INNER))
        if kind in (list, tuple, set, frozenset):
            return list(islice(value, _MOST_INNER))
    except RuntimeError:
        pass  # another thread changes it
    return []


def _attributes(value: Any) -> Iterator[Any]:
    """What a registry holds that is a class or an object of one."""
    cls = value if isinstance(value, type) else type(value)
    home = cls.__module__
    if not isinstance(home, str) or home == "builtins" or not is_first_party(home):
        return
    if cls is value:
        # Those that were defined in modules that nobody else refers to.
        yield from type.__subclasses__(cls)
    for attribute in list(getattr(value, "__dict__", {}).values()):
        yield attribute
        yield from _elements(attribute)


def _homes(value: Any) -> Iterator[str]:
    kind = type(value)
    if kind is MethodType or kind is functools.partial:
        value = value.__func__ if kind is MethodType else value.func
        kind = type(value)
    if isinstance(value, ModuleType):
        named = value.__name__
    elif kind is FunctionType:
        # Decorators copy `__module__` from what they wrap.
        home = value.__globals__.get("__name__")
        if isinstance(home, str):
            yield home
        named = value.__module__
    elif isinstance(value, type):
        named = value.__module__
    else:
        named = kind.__module__
    if isinstance(named, str) and named != "builtins":
        yield named
