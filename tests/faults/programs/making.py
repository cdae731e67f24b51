"""Generated programs, from what imports nothing to the task."""

from __future__ import annotations

from .definitions import (
    EARLY,
    FUNCTIONS,
    IF_ANY,
    LAZY_WAYS,
    USABLE,
    WAYS,
    WITH_BODY,
    Definition,
    Reference,
)  # fmt: skip
from .program import MODULES, Program
from .writing import WRITERS

# Some of which there are more in real programs.
_KINDS = (*WRITERS, "constant", "constant", "function", "function", "class", "dataclass")


class _Maker:
    """Makes programs, from what imports nothing to the task."""

    def __init__(self, dice):
        self.dice = dice
        self.made = {}
        self.ways = LAZY_WAYS if dice.chance(50) else WAYS

    def program(self):
        dice = self.dice
        modules = [m for m in MODULES[1:] if dice.chance(50)] or ["helpers"]
        for module in reversed([MODULES[0], *modules]):
            for _ in range(1 + dice.below(3)):
                self.definition(module, dice.pick(_KINDS))
        self.made["f"] = Definition(
            "f", "workflow", "task", (), self.late("workflow", 2 + dice.below(3)), dice
        )
        for _ in range(dice.below(3)):
            self.refer_back()
        reexported = [d.name for d in self.made.values()
                      if d.module.startswith("kit.") and dice.chance(40)]  # fmt: skip
        return Program(self.made, {}, {}, reexported)

    def definition(self, module, kind):
        dice, early = self.dice, []
        for kinds in EARLY.get(kind, ()):
            if kind in IF_ANY and (dice.chance(50) or not self.of(kinds)):
                break
            found = self.of(kinds)
            if not found or dice.chance(20):
                found = [self.definition(module, dice.pick(kinds))]
            early.append(self.reference(dice.pick(found), module, WAYS))
        late = self.late(module, dice.below(3)) if kind in WITH_BODY else ()
        name = f"{kind}{len(self.made)}"
        made = self.made[name] = Definition(name, module, kind, tuple(early), late, dice)
        return made

    def of(self, kinds):
        return [d for d in self.made.values() if d.kind in kinds]

    def late(self, module, count):
        found = self.of(USABLE)
        return tuple(
            self.reference(self.dice.pick(found), module, self.ways) for _ in range(count) if found
        )

    def reference(self, definition, module, ways):
        way = "from" if definition.module == module else self.dice.pick(ways)
        return Reference(definition.name, way)

    def refer_back(self):
        """Lets a function refer to one that is defined later, maybe to one that refers to it."""
        dice = self.dice
        one, other = dice.pick(self.of(FUNCTIONS)), dice.pick(self.of((*FUNCTIONS, "class")))
        if self.ways is WAYS and other.module != one.module:
            return  # the modules would import each other
        way = "from" if other.module == one.module else dice.pick(("lazy from", "lazy module"))
        self.made[one.name] = one.changed(late=(*one.late, Reference(other.name, way)))


def program_of(dice):
    """A program.

    Args:
        dice: The randomness.

    Returns:
        The program.
    """
    return _Maker(dice).program()
