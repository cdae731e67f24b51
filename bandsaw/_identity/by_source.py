"""Modules of the project that functions import when they run, as their source says that they are.

A task has the same id before such a module is loaded and after that, and nothing is imported for
it. Each statement counts by its syntax, with the names that it uses; of a module that is loaded,
also what memory has instead (see `loaded`).
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from hashlib import sha256
from importlib.machinery import PathFinder
from types import ModuleType
from typing import Any, NamedTuple, Optional, Protocol, Union

from ..modules import file_of
from .changes import NOTHING, Changes, changes_of
from .definitions import is_task_decorator
from .firstparty import find_spec, is_first_party
from .forms import Written, write_str
from .globals import canonical_module_name
from .kinds import attributes_of, is_a
from .outlines import Outline
from .scopes import IsLeftOut, Origin, Use, Uses, chain_of, merged, uses_of
from .sources import Source, source_of
from .syntax import nodes_in, statements_in, write_syntax

# The parts of a module that count with each of its names: what is run when it is loaded, with all
# that it imports, and its own statements of that.
WHOLE, RUN = "", "<module>"
# All statements of a module, for who uses the module itself.
EVERYTHING = "*"
# They differ with the place where the program lies and with how it was started.
OF_THE_MODULE = frozenset(
    "__file__ __spec__ __loader__ __package__ __builtins__ __doc__ __cached__ __path__"
    " __annotations__ __class__ __debug__".split()
)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_IMPORTERS = ("import_module", "__import__")
_UNRESOLVED = Written(b"u")


class Reader(Protocol):
    """What reads the parts."""

    found: dict[tuple[str, tuple[str, ...]], Found]  # what was found inside of modules before

    def module_of(self, name: str) -> Union[Module, Gap, None]:
        """Finds the source of a module, and asks once for each."""

    def spec_of(self, name: str) -> Any:
        """Finds a module without loading anything, and asks once for each."""

    def is_left_out(self, namespace: Mapping[str, Any], name: str) -> bool:
        """Says whether the author has left a variable out."""

    def is_loaded_with(self, namespace: Mapping[str, Any], name: str) -> bool:
        """Says whether another module is there wherever the one with some variables is."""

    def installed(self, name: str, chain: tuple[str, ...]) -> Any:
        """Finds what a chain of names stands for in an installed module."""

    def as_loaded(self, name: str, rest: tuple[str, ...]) -> Any:
        """Finds what a chain of names stands for in a loaded module without source."""

    def in_memory(self, module: Module, name: str, rest: tuple[str, ...]) -> list[Any]:
        """Finds what a module that is loaded has instead of what its source says."""


class Gap(NamedTuple):
    """Why a name cannot be followed."""

    reason: str


class Found(list[Any]):
    """What a name stands for: parts, what is `Written`, gaps, and what memory has instead."""

    def __init__(self, found: Iterable[Any] = ()) -> None:
        super().__init__(found)
        # Modules, and the names that were looked for there.
        self.asked: frozenset[tuple[str, str]] = frozenset()

    def add(self, other: Found) -> None:
        self += other
        self.asked |= other.asked


class Part:
    """What one name of a module stands for."""

    def __init__(self, module: Module, name: str) -> None:
        self.module = module  # the module
        self.name = name  # the name, or `WHOLE`
        # As functions and classes have them.
        self.__module__ = module.name
        self.__qualname__ = name if name.isidentifier() else "<module>"
        outline = module.outline
        node = outline.statements.get(name)
        nodes: list[Any] = list(outline.eager) if name == RUN else []
        if name == EVERYTHING:
            nodes = list(module.source.tree.body)
        if name in outline.lazy or is_a(node, DEFINITIONS):
            nodes = self._counted(node)
        read = [module.read(node, self.is_left_out) for node in nodes]
        # The digest of its statement, of `WHOLE` that of all that count with the module.
        self.digest = sha256(b"".join(digest for digest, _ in read)).digest()
        self.uses = merged(uses for _, uses in read)  # what they use from outside
        if name == EVERYTHING:
            own = tuple(Use((each,), 0) for each in sorted({*outline.statements, *outline.imports}))
            self.uses = merged((self.uses, Uses(own, ())))

    @cached_property
    def changes(self) -> Changes:
        """What it changes when it is called."""
        node = self.module.outline.statements.get(self.name)
        return changes_of(node) if is_a(node, DEFINITIONS) else NOTHING

    @property
    def kind(self) -> str:
        """What it is: a `function`, a `class` or a `value`; what a module runs is one function."""
        node = self.module.outline.statements.get(self.name)
        if is_a(node, ast.ClassDef):
            return "class"
        return "value" if node is not None and not is_a(node, DEFINITIONS) else "function"

    def _options(self, decorator: ast.expr) -> Optional[set[Any]]:
        if not is_task_decorator(decorator, {}, self.module.source):
            return None
        return {word.arg for word in getattr(decorator, "keywords", ())}

    def is_left_out(self, decorator: ast.expr) -> bool:
        options = self._options(decorator)
        return options is not None and options.isdisjoint(("version", "depends"))

    def _counted(self, node: Any) -> list[Any]:
        """Of a task with a version its author's word counts, and not its source."""
        decorators = getattr(node, "decorator_list", [])
        versioned = [each for each in decorators if "version" in (self._options(each) or ())]
        return versioned or [node]


class Module:
    """A module by its source."""

    def __init__(self, name: str, is_package: bool, path: Optional[str], source: Source) -> None:
        self.name = name  # its name
        self.package = name if is_package else name.rpartition(".")[0]  # that of its package
        self.is_package = is_package
        self.path = path  # its file; none of a folder that is a package without one
        self.source = source  # what that says
        self.spec: Any = None  # the one that it was loaded with, if it is loaded
        # What its names stood for when it was loaded, as far as the source does not say.
        self.first: dict[str, Any] = {}
        self.outline = Outline(source, self._is_foreign)
        self._parts: dict[str, Part] = {}
        self._read: dict[ast.AST, tuple[bytes, Uses]] = {}

    def part(self, name: str) -> Part:
        known = self._parts.get(name)
        return known if known is not None else self._parts.setdefault(name, Part(self, name))

    def read(self, node: ast.AST, is_left_out: IsLeftOut) -> tuple[bytes, Uses]:
        """Digests a statement, and finds what it uses; once, though several parts have it."""
        known = self._read.get(node)
        if known is None:
            digest = sha256(write_syntax(node, is_left_out)).digest()
            known = self._read[node] = digest, uses_of([node], is_left_out)
        return known

    def absolute(self, origin: Origin) -> str:
        """Names the module that an import is from."""
        if not origin.level:
            return origin.module
        parts = self.package.split(".")
        kept = parts[: len(parts) - origin.level + 1]
        return ".".join([*kept, origin.module] if origin.module else kept)

    def _is_foreign(self, origin: Origin) -> bool:
        return not is_first_party(self.absolute(origin))

    def loaded(self) -> Optional[dict[str, Any]]:
        """Returns its variables if it is loaded, and not just being so."""
        return _variables(sys.modules.get(self.name))

    @cached_property
    def origins(self) -> set[Origin]:
        """All that is imported anywhere in it."""
        return set(_origins_in(self.source))


def _origins_in(source: Source) -> Iterator[Origin]:
    """Yields all that is imported anywhere in a piece of source."""
    # Other characters may stand for those of a name.
    is_named = not source.text.isascii() or any(name in source.text for name in _IMPORTERS)
    for node in (nodes_in if is_named else statements_in)(source.tree):
        if is_a(node, ast.Import):
            yield from (Origin(alias.name, None, 0) for alias in node.names)
        elif is_a(node, ast.ImportFrom):
            yield from (Origin(node.module or "", alias.name, node.level) for alias in node.names)
        elif is_a(node, ast.Call) and node.args and is_a(node.args[0], ast.Constant):
            chain, name = chain_of(node.func), node.args[0].value
            if chain and chain[-1] in _IMPORTERS and is_a(name, str):
                inner = name.lstrip(".")
                yield Origin(inner, None, len(name) - len(inner))


_NO_SOURCE = Source("", "")
# The specs of modules that were executed just now, before Python takes the first of them as loaded.
executed: list[Any] = []
_known: dict[str, Module] = {}


def known_module(name: str) -> Optional[Module]:
    return _known.get(name)


def module_of(name: str) -> Union[Module, Gap, None]:
    """Finds the source of a module of the project.

    Returns the module, a gap that says why there is none, or `None` of one that is loaded
    without.
    """
    loaded: Any = sys.modules.get(name)
    known = _known.get(name)
    variables: Any = _variables(loaded)
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
        spec = spec_of_name(name)
        if spec is None:
            return Gap("there is no module of this name")
        variables = {"__name__": name, "__loader__": spec.loader, "__spec__": spec}
        path, is_package = spec.origin, spec.submodule_search_locations is not None
        loaded = None
    source: Optional[Source] = _NO_SOURCE
    if not is_package or path not in (None, "namespace"):
        source = source_of(path, dict(variables)) if is_a(path, str) else None
    if source is None:
        return None if loaded is not None else Gap("it has no source that can be read")
    if known is None or known.source is not source or (loaded is not None and known.spec):
        known = _known[name] = Module(name, is_package, path, source)
    if loaded is not None:
        known.spec = spec
    return known


def _variables(module: Any) -> Optional[dict[str, Any]]:
    if not is_a(module, ModuleType):
        return None
    variables: Any = attributes_of(module)
    spec = variables.get("__spec__")
    is_begun = attributes_of(spec).get("_initializing")
    return None if is_begun and not any(spec is each for each in executed) else variables


def parents_of(name: str) -> Iterator[str]:
    parent = name.rpartition(".")[0]
    while parent:
        yield parent
        parent = parent.rpartition(".")[0]


def spec_of_name(name: str) -> Any:
    """Finds a module, without loading the packages that it is in."""
    package, _, _ = name.rpartition(".")
    if not package:
        return find_spec(name)
    loaded = sys.modules.get(package)
    if loaded is not None:
        folders = attributes_of(loaded).get("__path__")
    else:
        parent = spec_of_name(package)
        folders = None if parent is None else parent.submodule_search_locations
    try:
        return None if folders is None else PathFinder.find_spec(name, list(folders))
    except Exception:
        return None  # what a package says of its folders may be anything


def find(
    name: str, rest: tuple[str, ...], reader: Reader, trail: frozenset[Any] = frozenset()
) -> Found:
    """Finds what a chain of names stands for in a module."""
    if not is_first_party(name):
        return Found([reader.installed(name, rest)])
    module = reader.module_of(name)
    if not is_a(module, Module):
        return Found([reader.as_loaded(name, rest) if module is None else module])
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
    outline, key = module.outline, (module.name, name)
    found = Found([module.part(name)] if name in outline.statements else [])
    found.asked = frozenset((key,))
    is_first = key not in trail
    trail |= {key}
    for origin in outline.imports.get(name, ()) if is_first else ():
        found.add(find_import(module, origin, rest, reader, trail))
    if not found and module.is_package and reader.spec_of(f"{module.name}.{name}") is not None:
        found.add(find(f"{module.name}.{name}", rest, reader, trail))
        return found
    if not found and is_first:
        for star in outline.stars:
            found.add(find_import(module, star._replace(name=""), chain, reader, trail))
    found += reader.in_memory(module, name, rest)
    if not found and "__getattr__" in outline.statements and not hasattr(builtins, name):
        reason = "the __getattr__ of its module makes it when it is used"
        found += [module.part("__getattr__"), Gap(reason)]
    if not found:
        is_built_in = hasattr(builtins, name)
        found.append(reader.installed("builtins", (name,)) if is_built_in else _UNRESOLVED)
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
