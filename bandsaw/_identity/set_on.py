"""What is set on installed classes of the attributes that reached code reads."""

from __future__ import annotations

from typing import Any, Optional

from .effects import Effects
from .firstparty import is_first_party
from .firsts import MISSING, is_other_than_first
from .forms import PARTS, Form
from .kinds import attributes_of, is_changeable, module_of, mro_of
from .problems import label
from .stored import is_strange, unwrapped
from .watch import Seen

# As many names are watched, before what is set on installed classes is not looked for any more.
_MOST_NAMES = 2_000


class SetOn:
    """The installed classes that one walk reached, with what the walk before found set on them."""

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
                if is_other_than_first(base, name, value) or any(map(is_strange, unwrapped(value))):
                    found += (name, value)
                    self._seen.replaced.add(f"{label(base)}.{name}")
            bases.append(members)
        return tuple(found)
