"""Which modules of the project are loaded together."""

from __future__ import annotations

import ast
import sys
from collections.abc import Callable, Iterator
from typing import Optional, Union

from .by_source import RUN, Gap, Module, Part, module_of, parents_of, spec_of_name
from .firstparty import is_first_party
from .kinds import attributes_of, is_a
from .sources import source_of


class Together:
    """What is known of that, for as long as one id is made: each module is asked once."""

    def __init__(self) -> None:
        self.modules: dict[str, Union[Module, Gap, None]] = {}  # what `module_of` has found
        self._packages: dict[str, bool] = {}
        self._needed: dict[str, set[str]] = {}
        self._run: dict[str, Optional[Part]] = {}
        self._imported: dict[str, set[str]] = {}
        self._loaded: dict[str, set[str]] = {}

    def run_by(self, module: Module) -> list[Part]:
        """Returns what is run when a module is loaded, of all modules that are loaded with it."""

        def needed(name: str) -> set[str]:
            other = module if name == module.name else module_of(name)
            if not is_a(other, Module):
                return set()
            self._run[name] = other.part(RUN) if other.outline.eager else None
            return self._needed_by(other)

        names = _reached(module.name, self._needed, needed) | {module.name}
        return [part for part in map(self._run.get, sorted(names)) if part is not None]

    def _needed_by(self, module: Module) -> set[str]:
        found = set(parents_of(module.name))
        # Imports in functions, too: what is run when the module is loaded may call them.
        for origin in module.origins:
            home = module.absolute(origin)
            if is_first_party(home):
                found |= {*parents_of(home), home}
                inner = f"{home}.{origin.name}"
                is_name = origin.name and origin.name != "*"
                if is_name and self._is_package(home) and spec_of_name(inner) is not None:
                    found.add(inner)
        return found

    def _is_package(self, name: str) -> bool:
        known = self._packages.get(name)
        if known is None:
            loaded = sys.modules.get(name)
            if loaded is not None:
                known = "__path__" in attributes_of(loaded)
            else:
                known = getattr(spec_of_name(name), "submodule_search_locations", None) is not None
            self._packages[name] = known
        return known

    def loaded_with(self, name: str) -> set[str]:
        """Names the modules that are there wherever a loaded one is."""
        known = self._loaded.get(name)
        if known is None:
            known = self._loaded[name] = _reached(name, self._imported, _loaded_by)
        return known


def _reached(name: str, direct: dict[str, set[str]], ask: Callable[[str], set[str]]) -> set[str]:
    found: set[str] = set()
    pending = {name}
    while pending:
        home = pending.pop()
        if home not in direct:
            direct[home] = ask(home)
        pending |= direct[home] - found
        found |= direct[home]
    return found


def _loaded_by(name: str) -> set[str]:
    return {n for n in set(_imported_by(name)) if n in sys.modules and is_first_party(n)}


def _imported_by(name: str) -> Iterator[str]:
    yield from parents_of(name)
    variables = attributes_of(sys.modules.get(name))
    file = variables.get("__file__")
    source = source_of(file, dict(variables)) if is_a(file, str) else None
    package = str(variables.get("__package__") or "").split(".")
    for statement in () if source is None else source.tree.body:
        if is_a(statement, ast.Import):
            for alias in statement.names:
                yield from (*parents_of(alias.name), alias.name)
        elif is_a(statement, ast.ImportFrom):
            kept = package[: len(package) - statement.level + 1] if statement.level else []
            home = ".".join([*kept, statement.module] if statement.module else kept)
            yield from (*parents_of(home), home, *(f"{home}.{a.name}" for a in statement.names))
