"""What reads the names that reached code uses, and notes what it has read.

What a name stands for depends on the walk: of what reached code changes, only how it is first set
counts.
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from types import FunctionType, ModuleType
from typing import Any, Callable, Optional

from .by_source import Found, Unclear
from .effects import Effects
from .first_values import MISSING
from .firstparty import canonical_module_name, global_name
from .forms import Form, Written
from .held_contents import holds_code
from .holdings import SUBCLASSES, SetOn
from .kinds import attributes_of, is_a, module_of, qualname_of
from .loaded import First, is_as_said
from .loaded_together import Together
from .module_parts import Module
from .names import followed, installed
from .problems import Problems
from .watch import Seen


class NameReader:
    """Reads names for one walk; `earlier` is the reader of the walk before.

    `left_out`: the variables that do not count: the names of their modules and their own.
    `only_source`: whether modules that count by their source count by nothing else.
    `walk_of`: digests a value of a module that counts by its source, and says what was read.
    """

    def __init__(
        self,
        problems: Problems,
        walk_of: Callable[[Any, Together], tuple[bytes, Seen]],
        left_out: Collection[str] = (),
        earlier: Optional[NameReader] = None,
        only_source: bool = False,
        together: Optional[Together] = None,
    ) -> None:
        self.seen = Seen()  # what was read
        self.effects: Effects = Effects(self.seen, None if earlier is None else earlier.effects)
        self.is_state = self.effects.is_state
        self.is_state_attribute = self.effects.is_state_attribute
        known = None if earlier is None else earlier._set_on
        self._set_on: SetOn = SetOn(self.seen, self.effects, known)
        self.installed_class = self._set_on.form
        self.together: Together = together or Together() if earlier is None else earlier.together
        self.module_of, self.spec_of = self.together.module, self.together.spec
        self.is_ours = self.together.is_ours
        self.opened: set[tuple[int, str]] = set()
        self.stated: dict[tuple[int, str], Form] = {}
        self.found: dict[tuple[str, tuple[str, ...]], Found] = {}
        self._problems = problems
        self._walk_of = walk_of
        self._left_out = left_out
        self._is_first = earlier is None
        self._only_source = only_source
        self._is_unsettled = False

    def is_settled(self) -> bool:
        """Says whether all counts by what is known of it now, at the end of the walk."""
        self.effects.end()
        self.seen.sizes = self._set_on.sizes() if self._only_source else []
        if not self._set_on.is_settled() or self._is_unsettled:
            return False
        reads = self.effects.reads
        if SUBCLASSES in reads and SUBCLASSES not in self.effects.known_reads:
            return False
        return self.effects.is_settled()

    def asks_for_effects(self) -> bool:
        """Says whether anything was read that may be state of the code itself."""
        seen = self.seen
        return bool(
            self._is_unsettled or seen.owners or seen.contents or seen.readings or seen.cells
        ) or (self.effects.asks() or self._set_on.asks())

    def note_module(self, name: Any) -> None:
        module = sys.modules.get(name) if is_a(name, str) else None
        if module is not None:
            self.seen.modules[name] = module, attributes_of(module).get("__spec__")

    def is_left_out(self, namespace: Mapping[str, Any], name: str) -> bool:
        """Says whether the author has left a variable out."""
        if not self._left_out:
            return False
        module = namespace.get("__name__")
        return f"{module}.{name}" in self._left_out or (
            f"{canonical_module_name(module)}.{name}" in self._left_out
        )

    def left_out_of(self, cls: type) -> frozenset[str]:
        """Names the attributes of a class that the author has left out."""
        homes = module_of(cls), canonical_module_name(module_of(cls))
        begins = {f"{home}.{qualname_of(cls)}" for home in homes}
        parts = (name.rpartition(".") for name in self._left_out)
        return frozenset(name for begin, _, name in parts if begin in begins)

    def is_loaded_with(self, namespace: Mapping[str, Any], name: str) -> bool:
        """Says whether another module is there wherever the one with some variables is."""
        home = namespace.get("__name__")
        if not is_a(home, str) or attributes_of(sys.modules.get(home)) is not namespace:
            return False
        return name in self.together.loaded_with(home)

    def installed(self, name: str, chain: tuple[str, ...]) -> Any:
        """Finds what a chain of names stands for in an installed module."""
        module = sys.modules.get(name)
        if is_a(module, ModuleType) and not self._only_source:
            return installed(module, chain, self)
        return Written(global_name(name, ".".join(chain)))

    def as_loaded(self, name: str, rest: tuple[str, ...]) -> Any:
        """Finds what a chain of names stands for in a loaded module without source."""
        return followed(name, sys.modules[name], rest, self)[1]

    def in_memory(self, module: Module, name: str, rest: tuple[str, ...]) -> Found:
        """Finds what a module that is loaded has instead of what its source says."""
        found = Found()
        if self._only_source:
            return found
        is_unclear = name in module.top.names and not module.is_said(name)
        variables = module.loaded()
        if variables is not None:
            found.is_plain = False
            instead = self._instead(module, variables, name, rest)
            found += instead or ()
            is_unclear = is_unclear and instead == []
        if is_unclear:
            found.append(Unclear(f"{canonical_module_name(module.name)}.{name}"))
        return found

    def _instead(
        self, module: Module, variables: dict[str, Any], name: str, rest: tuple[str, ...]
    ) -> Optional[list[Any]]:
        value = variables.get(name, MISSING)
        self.seen.name(variables, name, value)
        if is_as_said(module, name, value, self.seen):
            return []
        first = module.first.get(name)
        runs = is_a(value, (FunctionType, type, ModuleType)) or holds_code(value)
        if name in module.top.names and not runs and self.is_state(variables, name, value):
            self.seen.names.pop((id(variables), name), None)
            return None
        if first is not None and self._is_as_first(first, value):
            return []
        if is_a(value, ModuleType) and rest:
            return [followed(name, value, rest, self)[1]]
        return [Written(b"!missing;") if value is MISSING else value]

    def _is_as_first(self, first: First, value: Any) -> bool:
        """Says whether a value is what it was when its module was loaded, apart from state."""
        if not first.is_same(value):
            # What is state is known when all has been read.
            self._is_unsettled = self._is_first
            first.watch.seen.attributes |= self.effects.attributes
            first.watch.settle()
            digest, seen = self._walk_of(value, self.together)
            if digest != first.digest:
                return False
            first.take(value, seen)
        self.seen.include(first.watch.seen)
        return True
