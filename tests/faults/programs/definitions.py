"""The kinds of definitions, and what a definition is."""

from __future__ import annotations

import collections
import copy

from .literals import layout, literal

Reference = collections.namedtuple("Reference", "target way")

# How a name of another module is had. `lazy` ones are imported where they are used.
WAYS = ("from", "alias", "module", "dotted")
LAZY_WAYS = (*WAYS, "lazy from", "lazy module")


class Definition:
    """One definition at the top level of a module.

    Attributes:
        name: Its name, of which there is one in the program.
        module: The module.
        kind: What it is; says how to write it and what may refer to it.
        early: What it refers to when the module is loaded.
        late: What it refers to when it is called.
        literals: The constants in it.
        operators: The operators in it.
        template: Which body it has.
        extra: A statement or member more.
        style: The layout.
    """

    def __init__(self, name, module, kind, early, late, dice):
        self.name = name
        self.module = module
        self.kind = kind
        self.early = early
        self.late = late
        self.literals = [literal(dice) for _ in range(4)]
        self.operators = [dice.pick("+-*") for _ in range(8)]
        self.template = dice.below(len(BODIES))
        self.extra = False
        self.style = layout(dice)
        if kind == "constant":
            self.literals[0] = literal(dice, 2)
        elif kind == "enum":
            # Two members with one value would be one member.
            self.literals[:2] = [dice.below(50), f"v{dice.below(50)}"]

    def changed(self, **attributes):
        other = copy.copy(self)
        other.__dict__.update(attributes)
        return other


CALLABLE = ("function", "async", "task", "decorated", "cached", "closure", "partial", "managed",
            "counter")  # fmt: skip
FUNCTIONS = ("function", "task", "decorated", "cached", "async")
CLASSES = ("class", "dataclass")
USABLE = (*CALLABLE, *CLASSES, "constant", "derived", "enum", "row", "pair", "instance",
          "registry")  # fmt: skip


BODIES = (
    "return {E}",
    "total = x\nfor item in range({K}):\n    total = total, {E}\nreturn total",
    "try:\n    value = {E}\nexcept (ValueError, TypeError) as error:\n    value = {K}, error\n"
    "return value",
    "return [{E} for x in (x, {K}) if x]",
    "if x == {K}:\n    return x\nreturn {E}",
    "return (lambda v, w={K}: [v, w, {E}])(x)",
    "def inner(v):\n    return v, {K}, {E}\nreturn inner(x)",
    "value = {E}\nreturn f'{{value!r:>10}} is {{x}}', {K}",
    "while (found := [{E}]) != {K}:\n    x = found\nprint(x)",
    "with open({K}) as stream:\n    print(stream, {E})",
    "print({{'first': {E}, 'second': {K}}})",
    "assert x, {K}\nprint(not {E})",
    "first, *rest = {E}, {K}, x\nprint(rest[::-1], first)",
    "class Local:\n    size = {K}\n    def get(self):\n        return {E}\nprint(Local().get())",
    "yield {E}\nyield [{K}]",
)  # fmt: skip


def body_of(definition):
    if definition.kind == "managed":
        return BODIES[-1]
    if definition.kind in ("async", "task"):
        # The last one yields: a task must not, and it would make something else of `async def`.
        return BODIES[definition.template % (len(BODIES) - 1)]
    return BODIES[definition.template]


# What each kind refers to when its module is loaded, each as the kinds that it may be of.
EARLY = {
    "decorated": (("decorator",),),
    "class": (("class",),),
    "derived": (("constant", "derived"),),
    "closure": (("maker",),),
    "partial": (FUNCTIONS,),
    "instance": (("dataclass",),),
    "registry": ((*CALLABLE, *CLASSES), (*CALLABLE, *CLASSES)),
    "function": (("constant", "derived", "instance", "function", "class"),),
    "cached": (("constant", "derived"),),
}
# Those that can do without.
IF_ANY = frozenset({"class", "function", "cached"})
# The literals that count, where there are none in a body.
LITERALS = {
    "constant": (0,), "derived": (0,), "closure": (0,), "partial": (0, 3), "instance": (0,),
    "registry": (0,), "enum": (0, 1), "row": (0,), "pair": (), "counter": (0, 1),
    "maker": (), "decorator": (), "dataclass": (0,), "class": (0, 3),
}  # fmt: skip
WITH_BODY = frozenset({*FUNCTIONS, "managed", "maker", "decorator", "class", "dataclass"})
MAY_HAVE_MORE = WITH_BODY | {"enum", "row", "pair"}
