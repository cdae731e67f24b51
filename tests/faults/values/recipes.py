"""Generated recipes."""

from __future__ import annotations

from .building import Builder, bits_of, leaf, written
from .types import CLASSES, ENUMS, FACTORIES, FLAGS, FUNCTIONS, HASHABLE_RECORDS, PATHS, RECORDS

SPECIAL_INTS = (
    0, 1, 2, -1, 255, 256, 257, -5, -6, 2**31, 2**63 - 1, 2**63, -(2**63), 2**64, 10**18,
)  # fmt: skip
SPECIAL_FLOATS = (
    *map(bits_of, (0.0, -0.0, 1.0, -1.0, 2.0, 0.1, 1e300, 5e-324, float("inf"), float("-inf"))),
    0x7FF8000000000000,
    0xFFF8000000000001,
)
LETTERS = ("a", "b", "c", "1", "Z", " ", "\n", "\0", "\x7f", "é", "ß", "\u0301", "€", "\ud800",
           "\udfff", "\U0001f600", "'", "\\")  # fmt: skip
STEPS = (1, 2, 3, -1, -4)
DECIMALS = ("0", "1", "-1", "1.5", "0.10", "1E+5", "-2.25E-7", "Infinity", "-Infinity", "NaN")


def scalar(dice):
    """A recipe of something hashable without children, or nearly."""
    return dice.pick(SCALARS)(dice)


def _int(dice):
    if dice.chance(50):
        return leaf("int", dice.pick(SPECIAL_INTS))
    if dice.chance(70):
        return leaf("int", dice.below(200) - 100)
    return leaf("int", dice.bits(dice.pick((40, 70, 200, 3000))) * dice.pick((1, -1)))


def _float(dice):
    return leaf("float", dice.pick(SPECIAL_FLOATS) if dice.chance(60) else dice.bits(64))


def _text(dice):
    length = dice.pick((0, 1, 1, 2, 3, 5, 8, 60)) if dice.chance(95) else dice.pick((240, 256, 700))
    if length > 8:
        piece = "".join(dice.pick(LETTERS) for _ in range(5))
        return (piece * length)[:length]
    return "".join(dice.pick(LETTERS) for _ in range(length))


def _bytes(dice):
    length = dice.pick((0, 1, 2, 5)) if dice.chance(90) else dice.pick((223, 224, 225, 257, 1000))
    return bytes(dice.below(256) for _ in range(min(length, 5))) * (length // 5 or 1)


def _timezone(dice):
    return leaf("timezone", dice.pick((0, 60, -90, 1439, -1439, dice.below(2879) - 1439)))


def _with_timezone(kind, detail, dice):
    return kind, detail, (leaf("none") if dice.chance(50) else _timezone(dice),)


def _time_of_day(dice):
    return dice.pick((0, 1, 86_399_999_999, dice.bits(40) % 86_400_000_000))


def _date(dice):
    return 1 + dice.bits(32) % 3_652_059


def _path(dice):
    # Windows ignores case where it compares, so there are no capitals.
    parts = tuple(dice.pick(("a", "b", "c.txt", "ü", "x y")) for _ in range(dice.below(4)))
    return leaf("path", (dice.pick(tuple(PATHS)), dice.chance(30), parts))


def enum_member(dice):
    name = dice.pick(tuple(ENUMS))
    return leaf("enum", (name, dice.pick(tuple(ENUMS[name].__members__))))


SCALARS = (
    lambda dice: leaf("none"),
    lambda dice: leaf("bool", dice.chance(50)),
    _int, _int, _int, _float, _float,
    lambda dice: leaf("complex", (_float(dice)[1], _float(dice)[1])),
    lambda dice: leaf("str", _text(dice)),
    lambda dice: leaf("str", _text(dice)),
    lambda dice: leaf("bytes", _bytes(dice)),
    lambda dice: leaf("ellipsis"),
    lambda dice: leaf("notimplemented"),
    lambda dice: leaf("decimal", dice.pick(DECIMALS)),
    lambda dice: leaf("fraction", (dice.below(9) - 4, 1 + dice.below(7))),
    lambda dice: leaf("uuid", dice.bits(128)),
    lambda dice: leaf("date", _date(dice)),
    lambda dice: _with_timezone("time", (_time_of_day(dice), dice.below(2)), dice),
    lambda dice: _with_timezone("datetime", (_date(dice), _time_of_day(dice), dice.below(2)), dice),
    lambda dice: leaf("timedelta", dice.bits(48) - 2**47),
    _timezone, _path, enum_member,
    lambda dice: leaf("flag", (dice.pick(tuple(FLAGS)), dice.below(8))),
    lambda dice: leaf("function", dice.pick(tuple(FUNCTIONS))),
    lambda dice: leaf("class", dice.pick(tuple(CLASSES))),
    lambda dice: leaf("range", (dice.below(9) - 4, dice.below(30) - 9, dice.pick(STEPS))),
)  # fmt: skip


def hashable(dice, depth):
    if depth <= 0 or dice.chance(60):
        return scalar(dice)
    kind = dice.pick(("tuple", "tuple", "frozenset", "record"))
    if kind == "frozenset":
        return distinct(
            "frozenset", None, [hashable(dice, depth - 1) for _ in range(dice.below(4))]
        )
    if kind == "record":
        name = dice.pick(HASHABLE_RECORDS)
        return "record", name, (hashable(dice, depth - 1), hashable(dice, depth - 1))
    return "tuple", None, tuple(hashable(dice, depth - 1) for _ in range(dice.below(4)))


def distinct(kind, detail, elements, values=None):
    """A set, or a mapping, of those elements that Python would not take for each other."""
    builder, found, texts, children = Builder(), set(), set(), []
    for position, element in enumerate(elements):
        value, text = builder.build(element), written(element)
        if value in found or text in texts:
            continue
        found.add(value)
        texts.add(text)
        children.append(element)
        if values is not None:
            children.append(values[position])
    return kind, detail, tuple(children)


class _Maker:
    """Makes recipes of nested values, some parts of which occur more than once."""

    def __init__(self, dice):
        self.dice = dice
        self.made = []

    def value(self, depth, loops=0):
        dice = self.dice
        if loops and dice.chance(15):
            return leaf("back", dice.below(loops))
        if self.made and dice.chance(8):
            return dice.pick(self.made)
        if depth <= 0 or dice.chance(20):
            return scalar(dice)
        recipe = self.container(depth - 1, loops)
        # A part that leads back to what it lies in means something else in another place.
        if not loops:
            self.made.append(recipe)
        return recipe

    def values(self, depth, loops):
        return tuple(self.value(depth, loops) for _ in range(self.dice.below(5)))

    def container(self, depth, loops):
        dice = self.dice
        kind = dice.pick(
            ("tuple", "list", "list", "flat", "set", "frozenset", "dict", "dict", "dict", "ordered",
             "counter", "defaultdict", "deque", "Words", "record", "record", "partial", "method",
             "slice", "bytearray", "loop", "loop", "namespace")
        )  # fmt: skip
        if kind == "loop":
            kind = dice.pick(("list", "dict", "deque", "ordered", "record"))
            return "loop", None, (self.of(kind, depth, loops + 1, looped=True),)
        return self.of(kind, depth, loops)

    def of(self, kind, depth, loops, looped=False):
        dice = self.dice
        if kind in ("tuple", "list", "Words"):
            return kind, None, self.values(depth, loops)
        if kind == "flat":
            make = dice.pick((_int, _float, lambda d: leaf("str", _text(d)), scalar,
                              lambda d: leaf("bool", d.chance(50))))  # fmt: skip
            some = [make(dice) for _ in range(4)]
            length = dice.pick((14, 15, 16, 17, 40))
            return dice.pick(("list", "tuple")), None, tuple(dice.pick(some) for _ in range(length))
        if kind == "deque":
            children = self.values(depth, loops)
            return kind, dice.pick((None, len(children) + dice.below(3))), children
        if kind in ("set", "frozenset"):
            return distinct(kind, None, [hashable(dice, depth) for _ in range(dice.below(6))])
        if kind in ("dict", "ordered", "defaultdict"):
            detail = dice.pick(tuple(FACTORIES)) if kind == "defaultdict" else None
            values = self.values(depth, loops)
            return distinct(kind, detail, [hashable(dice, min(depth, 2)) for _ in values], values)
        if kind == "counter":
            values = [leaf("int", 1 + dice.below(5)) for _ in range(dice.below(4))]
            return distinct(kind, None, [scalar(dice) for _ in values], values)
        if kind == "record":
            name = dice.pick(("Box", "Node") if looped else tuple(RECORDS))
            return kind, name, (self.value(depth, loops), self.value(depth, loops))
        if kind == "namespace":
            children = self.values(depth, loops)
            return kind, tuple("abcde"[: len(children)]), children
        if kind == "partial":
            children = self.values(depth, loops)
            names = tuple("pqrst"[: dice.below(len(children) + 1)])
            return kind, (dice.pick(("add", "multiply", "counting")), names), children
        if kind == "method":
            return kind, "total", (("record", "Node", (self.value(depth), self.value(depth))),)
        if kind == "slice":
            return kind, None, tuple(scalar(dice) for _ in range(3))
        return leaf("bytearray", _bytes(dice))


def recipe_of(dice):
    """A recipe of any value.

    Args:
        dice: The randomness.

    Returns:
        The recipe.
    """
    return _Maker(dice).value(dice.pick((0, 1, 2, 2, 3, 3, 4)))
