"""Which modules of the project are loaded together."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from typing import Any, Optional, Union

from .by_source import Gap, module_of, parents_of, spec_of_name
from .firstparty import is_first_party
from .kinds import attributes_of, is_a
from .module_parts import RUN, Module, Part
from .sources import source_of
from .uses import absolute


class Together:
    """What is known of that, for as long as one id is made: each module is asked once."""

    def __init__(self) -> None:
        self.modules: dict[str, Union[Module, Gap, None]] = {}  # what `module_of` has found
        self._packages: dict[str, bool] = {}
        self._needed: dict[str, set[str]] = {}
        self._run: dict[str, Optional[Part]] = {}
        self._runs: dict[tuple[Part, ...], tuple[Part, ...]] = {}
        self._specs: dict[str, Any] = {}
        self._ours: dict[str, bool] = {}
        self._all_needed: dict[str, set[str]] = {}
        self._imported: dict[str, set[str]] = {}
        self._loaded: dict[str, set[str]] = {}

    def module(self, name: str) -> Union[Module, Gap, None]:
        if name not in self.modules:
            self.modules[name] = module_of(name)
        return self.modules[name]

    def spec(self, name: str) -> Any:
        if name not in self._specs:
            self._specs[name] = spec_of_name(name)
        return self._specs[name]

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

        names = _reached(module.name, self._needed, needed, self._all_needed) | {module.name}
        parts = tuple(part for part in map(self._run.get, sorted(names)) if part is not None)
        return self._runs.setdefault(parts, parts)

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
        known = self._packages.get(name)
        if known is None:
            loaded = sys.modules.get(name)
            if loaded is not None:
                known = "__path__" in attributes_of(loaded)
            else:
                known = getattr(self.spec(name), "submodule_search_locations", None) is not None
            self._packages[name] = known
        return known

    def loaded_with(self, name: str) -> set[str]:
        """Names the modules that are there wherever a loaded one is."""
        return _reached(name, self._imported, _loaded_by, self._loaded)


def _reached(
    name: str,
    direct: dict[str, set[str]],
    ask: Callable[[str], set[str]],
    known: dict[str, set[str]],
) -> set[str]:
    if name in known:
        return known[name]
    found: set[str] = set()
    pending = {name}
    while pending:
        home = pending.pop()
        if home in known:
            found |= known[home]
            pending -= known[home]
            continue
        if home not in direct:
            direct[home] = ask(home)
        pending |= direct[home] - found
        found |= direct[home]
    known[name] = found
    return found


def _loaded_by(name: str) -> set[str]:
    return {n for n in set(_imported_by(name)) if n in sys.modules and is_first_party(n)}


def _imported_by(name: str) -> Iterator[str]:
    yield from parents_of(name)
    variables = attributes_of(sys.modules.get(name))
    file = variables.get("__file__")
    source = source_of(file, dict(variables)) if is_a(file, str) else None
    for statement in () if source is None else source.tree.body:
        if is_a(statement, ast.Import):
            for alias in statement.names:
                yield from (*parents_of(alias.name), alias.name)
        elif is_a(statement, ast.ImportFrom):
            origin = statement.module or "", None, statement.level
            home = absolute(origin, variables.get("__package__"))
            yield from (*parents_of(home), home, *(f"{home}.{a.name}" for a in statement.names))
