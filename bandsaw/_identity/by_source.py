"""Modules of the project that functions import when they run, as their source says that they are.

A task has the same id before such a module is loaded and after that, and nothing is imported for
it. Each statement counts by its syntax, with the names that it uses; of a module that is loaded,
also what memory has instead (see `loaded`).
"""

from __future__ import annotations

import builtins
import contextlib
import sys
from collections.abc import Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any, NamedTuple, Optional, Protocol, Union

from ..modules import file_of
from .firstparty import canonical_module_name, find_below, find_spec
from .forms import Form, Written, inline, write_str
from .kinds import attributes_of, is_a
from .module_parts import EVERYTHING, WHOLE, Module, variables_of
from .sources import Source, source_of
from .uses import Origin
from .watch import Seen

# They differ with the place where the program lies and with how it was started.
OF_THE_MODULE = frozenset(
    "__file__ __spec__ __loader__ __package__ __builtins__ __doc__ __cached__ __path__"
    " __annotations__ __class__ __debug__".split()
)
_UNRESOLVED = Written(b"u")


class Reader(Protocol):
    """What reads the names of a task, see `NameReader`."""

    found: dict[tuple[str, tuple[str, ...]], Found]  # what was found inside of modules before
    seen: Seen  # where it is noted what was read
    opened: set[tuple[int, str]]  # the variables whose first statements were read for another
    stated: dict[tuple[int, str], Form]  # what was written of those that were read for themselves

    def module_of(self, name: str) -> Union[Module, Gap, None]:
        """Finds the source of a module, and asks once for each."""

    def is_ours(self, name: str) -> bool:
        """Says whether a module is of the project, and asks once for each."""

    def spec_of(self, name: str) -> Any:
        """Finds a module without loading anything, and asks once for each."""

    def note_module(self, name: Any) -> None:
        """Notes a module that was reached."""

    def is_left_out(self, namespace: Mapping[str, Any], name: str) -> bool:
        """Says whether the author has left a variable out."""

    def is_loaded_with(self, namespace: Mapping[str, Any], name: str) -> bool:
        """Says whether another module is there wherever the one with some variables is."""

    def is_state(self, namespace: Mapping[str, Any], name: str, value: Any) -> bool:
        """Says whether reached code assigns or fills a variable of a module."""

    def is_state_attribute(self, name: str, value: Any) -> bool:
        """Says whether reached code assigns or fills an attribute."""

    def installed(self, name: str, chain: tuple[str, ...]) -> Any:
        """Finds what a chain of names stands for in an installed module."""

    def installed_class(self, cls: type, written: Written) -> Any:
        """Gives the form of an installed class with what is set on it."""

    def as_loaded(self, name: str, rest: tuple[str, ...]) -> Any:
        """Finds what a chain of names stands for in a loaded module without source."""

    def in_memory(self, module: Module, name: str, rest: tuple[str, ...]) -> Found:
        """Finds what a module that is loaded has instead of what its source says."""


class Gap(NamedTuple):
    """Why a name cannot be followed."""

    reason: str
    path: str = ""  # the file that is no source


class Unclear(NamedTuple):
    """A variable of which the source does not say what it is."""

    place: str


class Outside(NamedTuple):
    """A name of something that is not of the project."""

    module: str
    chain: tuple[str, ...]

    @property
    def written_name(self) -> bytes:
        """Its name, which nothing else has."""
        return inline(b"!outside;" + write_str(self.module) + write_str(".".join(self.chain)))


_NOTHING_ASKED: frozenset[tuple[str, str]] = frozenset()


class Found(list[Any]):
    """What a name stands for: parts, what is `Written`, gaps, and what memory has instead."""

    __slots__ = ("asked", "is_plain")

    def __init__(self, found: Iterable[Any] = ()) -> None:
        super().__init__(found)
        # Modules, and the names of imports that were looked for there.
        self.asked = _NOTHING_ASKED
        self.is_plain = True  # whether it follows from sources alone

    def add(self, other: Found) -> None:
        self += other
        if other.asked:
            self.asked |= other.asked
        self.is_plain &= other.is_plain


_NO_SOURCE = Source("", "")
_NO_SOURCE_READ = "it has no source that can be read"
_known: dict[str, Module] = {}


def known_module(name: str) -> Optional[Module]:
    return _known.get(name)


def module_of(name: str, specs: Optional[dict[str, Any]] = None) -> Union[Module, Gap, None]:
    """Finds the source of a module of the project; `specs` are those that were found before.

    Returns the module, a gap that says why there is none, or `None` of one that is loaded
    without.
    """
    loaded: Any = sys.modules.get(name)
    known = _known.get(name)
    variables: Any = variables_of(loaded)
    if variables is not None:
        spec = variables.get("__spec__")
        if spec is None or name == "__main__":
            return None
        if known is not None and known.spec is spec:
            return known  # as it was loaded, whatever its file is now
        path, is_package = file_of(loaded), "__path__" in variables
    elif loaded is not None and not is_a(loaded, ModuleType):
        return None
    else:
        spec = spec_of_name(name, specs)
        if spec is None:
            return Gap("there is no module of this name")
        variables = {"__name__": name, "__loader__": spec.loader, "__spec__": spec}
        path, is_package = spec.origin, spec.submodule_search_locations is not None
        loaded = None
    source: Optional[Source] = _NO_SOURCE
    if not is_package or path not in (None, "namespace"):
        source = source_of(path, dict(variables), True) if is_a(path, str) else None
    if source is None:
        return None if loaded is not None else Gap(_NO_SOURCE_READ, str(path or ""))
    if known is None or known.source is not source or (loaded is not None and known.spec):
        known = _known[name] = Module(name, is_package, path, source)
    if loaded is not None:
        known.spec = spec
    return known


def parents_of(name: str) -> Iterator[str]:
    parent = name.rpartition(".")[0]
    while parent:
        yield parent
        parent = parent.rpartition(".")[0]


def spec_of_name(name: str, known: Optional[dict[str, Any]] = None) -> Any:
    """Finds a module, without loading the packages that it is in."""
    if known is None:
        known = {}
    elif name in known:
        return known[name]
    package, _, _ = name.rpartition(".")
    if not package:
        known[name] = spec = find_spec(name)
        return spec
    loaded, spec = sys.modules.get(package), None
    if loaded is not None:
        folders = attributes_of(loaded).get("__path__")
    else:
        parent = spec_of_name(package, known)
        folders = None if parent is None else parent.submodule_search_locations
    # What a package says of its folders may be anything.
    with contextlib.suppress(Exception):
        spec = None if folders is None else find_below(name, list(folders))
    known[name] = spec
    return spec


def find(
    name: str, rest: tuple[str, ...], reader: Reader, trail: frozenset[Any] = frozenset()
) -> Found:
    """Finds what a chain of names stands for in a module."""
    if not reader.is_ours(name):
        return Found([Outside(name, rest)])
    module = reader.module_of(name)
    if not is_a(module, Module):
        found = Found([reader.as_loaded(name, rest) if module is None else module])
        found.is_plain = module is not None
        return found
    found = Found([module.part(WHOLE)])
    if rest:
        found.add(find_inside(module, rest, reader, trail))
    else:
        found.append(module.part(EVERYTHING))
    return found


def find_inside(
    module: Module, chain: tuple[str, ...], reader: Reader, trail: frozenset[Any] = frozenset()
) -> Found:
    """Finds what a chain of names stands for that a module has or uses."""
    known = reader.found.get((module.name, chain))
    if known is None or not known.asked.isdisjoint(trail):
        known = _find_inside(module, chain, reader, trail)
        # What is found at once is not worth to be kept for each that has all names of a module.
        if not trail or (len(known.asked) > 1 and known.asked.isdisjoint(trail)):
            reader.found[module.name, chain] = known
    return known


def _find_inside(
    module: Module, chain: tuple[str, ...], reader: Reader, trail: frozenset[Any]
) -> Found:
    name, rest = chain[0], chain[1:]
    if name == "__name__":
        return Found([Written(write_str(canonical_module_name(module.name)))])
    if name == "__dict__":
        return find(module.name, (), reader, trail)
    if name in OF_THE_MODULE:
        return Found([_UNRESOLVED])
    if reader.is_left_out({"__name__": module.name}, name):
        return Found([Written(b"!state;")])
    top, key = module.top, (module.name, name)
    found = Found([module.part(name)] if name in top.names else [])
    is_first = key not in trail
    if top.stars or name in top.imports:
        found.asked = frozenset((key,))
        trail |= {key}
    for origin in top.imports.get(name, ()) if is_first else ():
        found.add(find_import(module, origin, rest, reader, trail))
    # Also where `from . import name` is followed by `del name`.
    is_inner = module.is_package and not (found and is_first)
    if is_inner and reader.spec_of(f"{module.name}.{name}") is not None:
        found.add(find(f"{module.name}.{name}", rest, reader, trail))
        if name in (module.loaded() or ()):  # something else may stand there
            found.add(reader.in_memory(module, name, rest))
        return found
    if not found and is_first:
        for star in top.stars:
            found.add(find_import(module, star._replace(name=""), chain, reader, trail))
    found.add(reader.in_memory(module, name, rest))
    if not found and "__getattr__" in top.names and not hasattr(builtins, name):
        reason = "the __getattr__ of its module makes it when it is used"
        found += [module.part("__getattr__"), Gap(reason)]
    if not found:
        is_built_in = hasattr(builtins, name)
        found.append(Outside("builtins", (name,)) if is_built_in else _UNRESOLVED)
    return found


def find_import(
    module: Module,
    origin: Origin,
    rest: tuple[str, ...],
    reader: Reader,
    trail: frozenset[Any] = frozenset(),
) -> Found:
    """Finds what an import binds, and what is used of that."""
    home = module.absolute(origin)
    if origin.name is None:
        # `import a.b` binds `a`.
        home = home.partition(".")[0]
    elif origin.name:
        rest = (origin.name, *rest)
    return find(home, rest, reader, trail)
