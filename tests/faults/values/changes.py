"""Changes of recipes that give another type or another value."""

from __future__ import annotations

from .building import UNORDERED, Builder, Collision, bits_of, double, leaf, written
from .recipes import enum_member, scalar
from .types import CLASSES, ENUMS, FLAGS, FUNCTIONS, HASHABLE_RECORDS, PATHS, RECORDS


def mutated(dice, recipe):
    """Changes a recipe somewhere, so that it gives a value of another type or another value.

    Args:
        dice: The randomness.
        recipe: The recipe.

    Returns:
        A recipe that can be built, with another text.
    """
    before = written(recipe)
    places = list(_places(recipe, (), False))
    # Leaves are many: without this, what they lie in would hardly be changed.
    inner = [place for place in places if place[2]] or places
    for _ in range(12):
        path, must_hash, _ = dice.pick(inner if dice.chance(40) else places)
        changed = _changed_at(dice, recipe, path, must_hash)
        if changed is None or written(changed) == before:
            continue
        try:
            Builder().build(changed)
        except Collision:
            continue
        return changed
    return "tuple", None, (recipe,)


def _places(recipe, path, must_hash):
    kind, _, children = recipe
    if kind != "loop":
        yield path, must_hash, bool(children)
    for position, child in enumerate(children):
        is_key = kind in ("set", "frozenset") or (
            kind in ("dict", "ordered", "counter", "defaultdict") and position % 2 == 0
        )
        yield from _places(child, (*path, position), must_hash or is_key)


def _changed_at(dice, recipe, path, must_hash):
    if not path:
        return changed_node(dice, recipe, must_hash)
    kind, detail, children = recipe
    below = _changed_at(dice, children[path[0]], path[1:], must_hash)
    if below is None or (kind == "loop" and below[0] not in _CAN_LOOP):
        return None
    if kind in ("time", "datetime") and below[0] not in ("none", "timezone"):
        return None
    if kind == "method" and below[:2] != ("record", "Node"):
        return None
    if kind == "loop" and below[0] == "record" and below[1] not in ("Box", "Node"):
        return None
    return kind, detail, (*children[: path[0]], below, *children[path[0] + 1 :])


_CAN_LOOP = frozenset({"list", "Words", "dict", "deque", "ordered", "counter", "record"})


def changed_node(dice, recipe, must_hash):
    """Changes one part of a recipe, not what lies below it.

    Args:
        dice: The randomness.
        recipe: The part.
        must_hash: Whether it lies in a set or a key.

    Returns:
        Another recipe, or `None` where the dice say nothing useful.
    """
    kind = recipe[0]
    if kind == "back":
        # Only by what is no container: one might be a turn of the same cycle.
        return leaf("int", 7)
    options = [lambda d, r: scalar(d)] if not _leads_back(recipe) else []
    options += _CHANGES.get(kind, ())
    if kind in _ORDERED:
        options += [_longer, _shorter, _swapped, _longer, _shorter, _swapped]
    elif kind in UNORDERED:
        options += [_longer_set, _shorter]
    elif kind in ("dict", "ordered", "defaultdict", "counter"):
        options += [_longer_dict, _shorter_dict]
    if not options:
        return None
    changed = dice.pick(options)(dice, recipe)
    if changed is None or not must_hash:
        return changed
    is_hashable = changed[0] not in _UNHASHABLE and (
        changed[0] != "record" or changed[1] in HASHABLE_RECORDS
    )
    return changed if is_hashable else None


def _leads_back(recipe, depth=0):
    kind, detail, children = recipe
    if kind == "back":
        return detail >= depth
    return any(_leads_back(child, depth + (kind == "loop")) for child in children)


_ORDERED = frozenset({"tuple", "list", "Words", "deque"})
_UNHASHABLE = frozenset({"list", "Words", "set", "dict", "ordered", "deque", "bytearray", "slice",
                         "counter", "defaultdict"})  # fmt: skip


def _longer(dice, recipe):
    kind, detail, children = recipe
    if kind == "deque" and detail is not None and len(children) >= detail:
        return None
    place = dice.below(len(children) + 1)
    return kind, detail, (*children[:place], scalar(dice), *children[place:])


def _shorter(dice, recipe):
    kind, detail, children = recipe
    if not children:
        return None
    place = dice.below(len(children))
    return kind, detail, (*children[:place], *children[place + 1 :])


def _swapped(dice, recipe):
    kind, detail, children = recipe
    if len(children) < 2 or any(map(_leads_back, children)):
        return None
    one = dice.below(len(children) - 1)
    changed = list(children)
    changed[one], changed[one + 1] = changed[one + 1], changed[one]
    return kind, detail, tuple(changed)


def _longer_set(dice, recipe):
    kind, detail, children = recipe
    return kind, detail, (*children, scalar(dice))


def _longer_dict(dice, recipe):
    kind, detail, children = recipe
    return kind, detail, (*children, scalar(dice), leaf("int", 1))


def _shorter_dict(dice, recipe):
    kind, detail, children = recipe
    if not children:
        return None
    place = dice.below(len(children) // 2) * 2
    return kind, detail, (*children[:place], *children[place + 2 :])


def _swapped_values(dice, recipe):
    kind, detail, children = recipe
    if len(children) < 4 or any(map(_leads_back, children)):
        return None
    return kind, detail, (children[0], children[3], children[2], children[1], *children[4:])


def _swapped_pairs(dice, recipe):
    kind, detail, children = recipe
    if len(children) < 4 or any(map(_leads_back, children)):
        return None
    return kind, detail, (*children[2:4], *children[:2], *children[4:])


def _as(kind, detail=None):
    return lambda dice, recipe: (kind, detail, recipe[2])


def _as_leaf(kind, convert):
    def change(dice, recipe):
        detail = convert(recipe[1])
        return None if detail is None else leaf(kind, detail)

    return change


def _flipped(dice, recipe):
    return leaf("float", recipe[1] ^ 1 << dice.below(64))


def _whole(bits):
    number = double(bits)
    return int(number) if abs(number) < 2**53 and number == int(number) else None


def _exact_bits(number):
    return bits_of(float(number)) if abs(number) < 2**53 else None


def _edited(empty):
    def change(dice, recipe):
        text, place = recipe[1], dice.below(len(recipe[1]) + 1)
        middle = type(text)(empty)
        choice = dice.below(3)
        if choice == 0:
            return leaf(recipe[0], text[:place] + middle + text[place:])
        if choice == 1:
            return leaf(recipe[0], text[:place] + middle + text[place + 1 :])
        return leaf(recipe[0], text[:place] + text[place + 1 :])

    return change


def _with_detail(change):
    def changed(dice, recipe):
        kind, detail, children = recipe
        detail = change(detail, dice)
        return None if detail is None else (kind, detail, children)

    return changed


def _as_record(dice, recipe):
    if len(recipe[2]) != 2:
        return None
    return "record", dice.pick(("Pair", "Row")), recipe[2]


def _moved_letter(dice, recipe):
    """Lets a letter of one string go over to the next one."""
    kind, detail, children = recipe
    places = [
        place
        for place in range(len(children) - 1)
        if children[place][0] == children[place + 1][0] == "str" and children[place][1]
    ]
    if not places:
        return None
    place = dice.pick(places)
    one, other = children[place][1], children[place + 1][1]
    moved = leaf("str", one[:-1]), leaf("str", one[-1] + other)
    return kind, detail, (*children[:place], *moved, *children[place + 2 :])


def _wrapped(kind):
    return lambda dice, recipe: None if _leads_back(recipe) else (kind, None, (recipe,))


_NUMBERS_OF_INT = [
    _as_leaf("float", _exact_bits), _as_leaf("float", _exact_bits),
    _as_leaf("int", lambda n: n + 1), _as_leaf("int", lambda n: -n),
    _as_leaf("str", lambda n: str(n) if abs(n) < 2**64 else None),
    _as_leaf("bool", lambda n: bool(n) if n in (0, 1) else None),
    _as_leaf("decimal", lambda n: str(n) if abs(n) < 2**64 else None),
    _as_leaf("fraction", lambda n: (n, 1)),
    _as_leaf("complex", lambda n: None if _exact_bits(n) is None else (_exact_bits(n), 0)),
    _as_leaf("int", lambda n: n ^ 1 << max(n.bit_length() - 2, 0)),
]  # fmt: skip

_CHANGES = {
    "none": [_as_leaf("bool", lambda _: False), _as_leaf("str", lambda _: "None")],
    "bool": [
        _as_leaf("bool", lambda b: not b), _as_leaf("int", int), _as_leaf("str", str),
        _as_leaf("float", _exact_bits), _as_leaf("int", int),
    ],
    "int": _NUMBERS_OF_INT,
    "float": [_flipped, _flipped, _as_leaf("int", _whole), _as_leaf("int", _whole),
              _as_leaf("float", lambda bits: bits ^ 1 << 63),
              _as_leaf("complex", lambda bits: (bits, 0))],
    "complex": [_as_leaf("complex", lambda pair: (pair[1], pair[0])),
                _as_leaf("complex", lambda pair: (pair[0], pair[1] ^ 1 << 63)),
                _as_leaf("float", lambda pair: pair[0])],
    "str": [_edited("x"), _edited("\0"), _edited("\udc00"),
            _as_leaf("bytes", lambda s: s.encode("utf-8", "surrogatepass")),
            _as_leaf("str", lambda s: s[::-1])],
    "bytes": [_edited(b"x"), _edited(b"\0"), _as_leaf("bytearray", bytes),
              _as_leaf("str", lambda b: b.decode("latin-1"))],
    "bytearray": [_edited(b"x"), _edited(b"\0"), _as_leaf("bytes", bytes)],
    "decimal": [_as_leaf("decimal", lambda t: "3" if t == "1" else "1"),
                _as_leaf("int", lambda t: int(t) if t in ("0", "1", "-1") else None)],
    "fraction": [_as_leaf("fraction", lambda f: (f[0] + 1, f[1])),
                 _as_leaf("fraction", lambda f: (f[0], f[1] + 1))],
    "uuid": [_as_leaf("uuid", lambda n: n ^ 1), _as_leaf("int", int)],
    "date": [_as_leaf("date", lambda n: n - 1 if n > 1 else 2),
             lambda dice, recipe: ("datetime", (recipe[1], 0, 0), (leaf("none"),))],
    "time": [_with_detail(lambda t, dice: (t[0], 1 - t[1])),
             _with_detail(lambda t, dice: (t[0] ^ 1, t[1]))],
    "datetime": [_with_detail(lambda t, dice: (t[0], t[1], 1 - t[2])),
                 _with_detail(lambda t, dice: (t[0], t[1] ^ 1, t[2]))],
    "timedelta": [_as_leaf("timedelta", lambda n: n + 1), _as_leaf("timedelta", lambda n: -n)],
    "timezone": [_as_leaf("timezone", lambda n: n - 1 if n > 0 else n + 1)],
    "path": [_with_detail(lambda p, dice: (p[0], not p[1], p[2])),
             _with_detail(lambda p, dice: (p[0], p[1], (*p[2], "z"))),
             _with_detail(lambda p, dice: (dice.pick(tuple(PATHS)), *p[1:])),
             _as_leaf("str", lambda p: "/".join(p[2]))],
    "enum": [lambda dice, recipe: enum_member(dice),
             lambda dice, recipe: (leaf("int", ENUMS[recipe[1][0]][recipe[1][1]].value)
                                   if recipe[1][0] == "Level" else None)],
    "flag": [_with_detail(lambda f, dice: (f[0], f[1] ^ 1 << dice.below(3))),
             _with_detail(lambda f, dice: (dice.pick(tuple(FLAGS)), f[1])),
             _as_leaf("int", lambda f: f[1])],
    "function": [_as_leaf("str", lambda name: name),
                 _with_detail(lambda n, dice: dice.pick(tuple(FUNCTIONS)))],
    "class": [_as_leaf("str", lambda name: name),
              _with_detail(lambda n, dice: dice.pick(tuple(CLASSES)))],
    "range": [_with_detail(lambda r, dice: (r[0] + 1, r[1], r[2])),
              _with_detail(lambda r, dice: (r[0], r[1], r[2] * 2)),
              _with_detail(lambda r, dice: (r[0], r[1] + 1, r[2]))],
    "tuple": [_as("list"), _moved_letter, _as_record, _wrapped("tuple")],
    "list": [_moved_letter, _as("tuple"), _as("Words"), _as("deque"), _wrapped("list")],
    "Words": [_as("list"), _as("tuple")],
    "deque": [_as("list"), _with_detail(lambda n, dice: (n or 20) + 1)],
    "set": [_as("frozenset"), _wrapped("list")],
    "frozenset": [_as("set"), _wrapped("tuple")],
    "dict": [_as("ordered"), _swapped_values],
    "ordered": [_as("dict"), _swapped_values, _swapped_pairs],
    "counter": [_as("dict")],
    "defaultdict": [_as("dict"), _swapped_values],
    "record": [_with_detail(lambda name, dice: dice.pick(tuple(RECORDS))), _swapped],
    "namespace": [_with_detail(lambda names, dice: (*names[:-1], "z") if names else None)],
    "partial": [_with_detail(lambda p, dice: (dice.pick(("add", "multiply")), p[1])),
                _with_detail(lambda p, dice: (p[0], p[1][:-1]) if p[1] else None),
                _with_detail(lambda p, dice: (p[0], (*p[1][:-1], "z")) if p[1] else None)],
}  # fmt: skip
