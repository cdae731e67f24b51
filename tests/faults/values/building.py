"""From recipes to values, and to texts that are equal exactly where the values are."""

from __future__ import annotations

import collections
import copy
import datetime
import decimal
import fractions
import functools
import pickle
import struct
import types
import uuid

from .types import CLASSES, ENUMS, FACTORIES, FLAGS, FUNCTIONS, MAPPINGS, PATHS, RECORDS, SEQUENCES


def double(bits):
    return struct.unpack("<d", struct.pack("<Q", bits))[0]


def bits_of(number):
    return struct.unpack("<Q", struct.pack("<d", number))[0]


def leaf(kind, detail=None):
    return kind, detail, ()


UNORDERED = frozenset({"set", "frozenset"})
_BY_KEY = frozenset({"dict", "counter", "defaultdict"})


def written(recipe):
    """Writes a recipe as a text: equal exactly where type and value are.

    Args:
        recipe: The recipe.

    Returns:
        The text. The two forms of a cycle that can be told apart by their turns only are no equal
        texts; nothing here makes the one of the other.
    """
    kind, detail, children = recipe
    parts = [written(child) for child in children]
    if kind == "float":
        detail = _written_float(detail)
    elif kind == "complex":
        detail = tuple(map(_written_float, detail))
    elif kind in ("range", "fraction"):
        value = Builder().build(recipe)
        detail = (list(value)) if kind == "range" else value
    elif kind == "int":
        detail = hex(detail)
    elif kind == "path":
        detail = str(type(Builder().build(recipe))).rpartition(".")[2], *detail[1:]
    elif kind == "partial":
        keywords = detail[1]
        count = len(parts) - len(keywords)
        parts = [*parts[:count], *map(str, sorted(zip(keywords, parts[count:])))]
    if kind in UNORDERED:
        parts.sort()
    elif kind in _BY_KEY:
        parts = [part for pair in sorted(zip(parts[::2], parts[1::2])) for part in pair]
    return f"{kind}:{detail!a}({','.join(parts)})"


def _written_float(bits):
    number = double(bits)
    return bits if number == number else "nan"


class Collision(Exception):
    """Python would take two elements for one."""


class Builder:
    """Builds values of recipes.

    Args:
        dice: Without it, the plain way. With it, whatever other way leads to an equal value: sets
            and dicts filled in another order, parts shared or not, constants computed.
    """

    def __init__(self, dice=None):
        self.dice = dice
        self.shared = {} if dice is not None and dice.chance(50) else None

    def build(self, recipe, above=()):
        """Builds a value.

        Args:
            recipe: The recipe.
            above: The open loops, from the outside in.

        Returns:
            The value.

        Raises:
            Collision: Elements of a set, or keys, would be taken for each other.
        """
        kind, detail, _ = recipe
        if kind == "back":
            return above[-1 - detail]
        if self.shared is None:
            return self._build(recipe, above)
        key = written(recipe), tuple(map(id, above))
        if key not in self.shared:
            self.shared[key] = self._build(recipe, above)
        return self.shared[key]

    def _build(self, recipe, above):
        kind, detail, children = recipe
        if kind == "loop":
            inner = children[0]
            shell = self._shell(inner)
            self._fill(shell, inner, (*above, shell))
            return shell
        if kind in SEQUENCES or kind in MAPPINGS or kind in ("set", "defaultdict"):
            shell = self._shell(recipe)
            self._fill(shell, recipe, above)
            return shell
        make = getattr(self, f"_make_{kind}")
        if not children:
            return make(detail)
        return make(detail, *[self.build(child, above) for child in children])

    def _shell(self, recipe):
        kind, detail, _ = recipe
        if kind == "record":
            return RECORDS[detail].__new__(RECORDS[detail])
        if kind == "deque":
            return collections.deque(maxlen=detail)
        if kind == "defaultdict":
            return collections.defaultdict(FACTORIES[detail])
        return {**SEQUENCES, **MAPPINGS, "set": set}[kind]()

    def _fill(self, shell, recipe, above):
        kind, _, children = recipe
        if kind in SEQUENCES:
            for child in children:
                shell.append(self.build(child, above))
        elif kind == "set":
            self._fill_set(shell, [self.build(child, above) for child in children])
        elif kind == "record":
            for name, child in self._in_any_order(zip("xy", children)):
                setattr(shell, name, self.build(child, above))
        else:
            pairs = list(zip(children[::2], children[1::2]))
            extra = object() if self.dice is not None and self.dice.chance(30) else None
            if extra is not None:
                shell[extra] = 1
            for key, child in pairs if kind == "ordered" else self._in_any_order(pairs):
                shell[self.build(key, above)] = self.build(child, above)
            if extra is not None:
                del shell[extra]
            if len(shell) != len(pairs):
                raise Collision

    def _fill_set(self, shell, elements):
        # What was there before decides on the size of the table, and with it on the order.
        extra = range(10**9, 10**9 + self.dice.pick((0, 1, 40))) if self.dice is not None else ()
        shell.update(extra)
        for element in self._in_any_order(elements):
            shell.add(element)
        shell.difference_update(extra)
        if len(shell) != len(elements):
            raise Collision

    def _in_any_order(self, items):
        return list(items) if self.dice is None else self.dice.shuffled(items)

    def _other(self):
        return self.dice is not None and self.dice.chance(60)

    def _make_none(self, _):
        return None

    def _make_ellipsis(self, _):
        return ...

    def _make_notimplemented(self, _):
        return NotImplemented

    def _make_bool(self, value):
        return (1 if value else 0) == 1

    def _make_int(self, value):
        # A new object, where Python does not keep it.
        return int(hex(value), 16) if self._other() else value

    def _make_float(self, bits):
        number = double(bits)
        return float(repr(number)) if self._other() else number

    def _make_complex(self, bits):
        return complex(self._make_float(bits[0]), self._make_float(bits[1]))

    def _make_str(self, value):
        return (
            "".join([part for letter in value for part in (letter, "")]) if self._other() else value
        )

    def _make_bytes(self, value):
        return bytes(bytearray(value)) if self._other() else value

    def _make_bytearray(self, value):
        if self._other():
            result = bytearray(b"begin") + value
            del result[:5]
            return result
        return bytearray(value)

    def _make_decimal(self, text):
        value = decimal.Decimal(text)
        return decimal.Decimal(value.as_tuple()) if self._other() else value

    def _make_fraction(self, detail):
        numerator, denominator = detail
        factor = 7 if self._other() else 1
        return fractions.Fraction(numerator * factor, denominator * factor)

    def _make_uuid(self, value):
        return uuid.UUID(hex=f"{value:032x}") if self._other() else uuid.UUID(int=value)

    def _make_date(self, ordinal):
        value = datetime.date.fromordinal(ordinal)
        return datetime.date(value.year, value.month, value.day) if self._other() else value

    def _make_time(self, detail, tz):
        micros, fold = detail
        value = (datetime.datetime.min + datetime.timedelta(microseconds=micros)).time()
        if self._other():
            return datetime.time(
                value.hour, value.minute, value.second, value.microsecond, tz, fold=fold
            )
        return value.replace(tzinfo=tz, fold=fold)

    def _make_datetime(self, detail, tz):
        ordinal, micros, fold = detail
        if self._other():
            return datetime.datetime.combine(
                datetime.date.fromordinal(ordinal), self._make_time((micros, fold), tz)
            )
        value = datetime.datetime.fromordinal(ordinal) + datetime.timedelta(microseconds=micros)
        return value.replace(tzinfo=tz, fold=fold)

    def _make_timedelta(self, micros):
        if self._other():
            return datetime.timedelta(seconds=micros // 10**6) + datetime.timedelta(
                microseconds=micros % 10**6
            )
        return datetime.timedelta(microseconds=micros)

    def _make_timezone(self, minutes):
        return datetime.timezone(datetime.timedelta(minutes=minutes))

    def _make_path(self, detail):
        flavour, is_absolute, parts = detail
        root = "/" if is_absolute else ""
        if self._other():
            return PATHS[flavour](root + "./" * bool(parts), *(f"{part}//" for part in parts))
        return PATHS[flavour](root + "/".join(parts))

    def _make_enum(self, detail):
        name, member = detail
        found = ENUMS[name][member]
        return ENUMS[name](found.value) if self._other() else found

    def _make_flag(self, detail):
        name, bits = detail
        kind = FLAGS[name]
        if self._other():
            return functools.reduce(lambda a, b: a | b, (kind(bits & 1 << n) for n in range(3)))
        return kind(bits)

    def _make_function(self, name):
        return FUNCTIONS[name]

    def _make_class(self, name):
        return CLASSES[name]

    def _make_range(self, detail):
        start, stop, step = detail
        value = range(start, stop, step)
        if self._other() and value:
            # Another end, behind the same last number.
            return range(start, value[-1] + (1 if step > 0 else -1), step)
        return value

    def _make_tuple(self, _, *children):
        return children

    def _make_slice(self, _, *children):
        return slice(*children)

    def _make_frozenset(self, _, *children):
        shell = set()
        self._fill_set(shell, children)
        return frozenset(shell)

    def _make_record(self, name, x, y):
        kind = RECORDS[name]
        if not self._other():
            return kind(x, y)
        if issubclass(kind, tuple):
            return kind._make([x, y])
        value = kind.__new__(kind)
        object.__setattr__(value, "y", y)
        object.__setattr__(value, "x", x)
        return value

    def _make_namespace(self, names, *children):
        return types.SimpleNamespace(**dict(self._in_any_order(zip(names, children))))

    def _make_partial(self, detail, *children):
        name, keywords = detail
        count = len(children) - len(keywords)
        named = dict(self._in_any_order(zip(keywords, children[count:])))
        function, args = FUNCTIONS[name], children[:count]
        if self._other():
            return functools.partial(functools.partial(function, *args[:1]), *args[1:], **named)
        return functools.partial(function, *args, **named)

    def _make_method(self, name, owner):
        return getattr(owner, name)


def copied(dice, value):
    """A copy, as it comes out of `pickle` or `copy`.

    Args:
        dice: The randomness.
        value: The value.

    Returns:
        The copy.
    """
    if dice.chance(30):
        return copy.deepcopy(value)
    # Below protocol 4, `datetime` leaves out the fold.
    return pickle.loads(pickle.dumps(value, dice.pick((4, 5))))
