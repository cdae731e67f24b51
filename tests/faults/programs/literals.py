"""The constants of programs, and the layout that a program is written in."""

from __future__ import annotations

import collections


def literal(dice, depth=1):
    kind = dice.below(12 if depth else 8)
    if kind < 3:
        return dice.below(5000) - 99 if dice.chance(50) else dice.below(4)
    if kind == 3:
        return dice.pick((True, False, None, ...))
    if kind == 4:
        return dice.pick((0.5, -0.0, 0.0, 2.0, 1e300, 1.0, 3j))
    if kind == 5:
        return bytes([97 + dice.below(5)]) * dice.below(3)
    if kind < 8:
        return "".join(dice.pick("abcdéß\n\0 '\"\\{}") for _ in range(dice.below(5)))
    if kind == 8:
        return tuple(literal(dice, depth - 1) for _ in range(dice.below(4)))
    if kind == 9:
        return [literal(dice, depth - 1) for _ in range(dice.below(4))]
    if kind == 10:
        return {f"k{dice.below(9)}": literal(dice, depth - 1) for _ in range(dice.below(4))}
    return {f"e{dice.below(9)}" for _ in range(1 + dice.below(4))}


def exact(value):
    """A text of a literal: equal exactly where type and value are."""
    if isinstance(value, (tuple, list)):
        return f"{type(value).__name__}({','.join(map(exact, value))})"
    if isinstance(value, dict):
        return f"dict({','.join(sorted(exact(item) for item in value.items()))})"
    if isinstance(value, set):
        return f"set({','.join(sorted(map(exact, value)))})"
    return f"{type(value).__name__}:{value!r}"


def other_literal(dice, value):
    """Another literal: often the same number in another type, or one element changed."""
    kind = type(value)
    for _ in range(20):
        if kind in (int, bool) and dice.chance(60):
            other = dice.pick((value + 1, value + 1, float(value), str(value), bool(value)))
        elif kind is float and dice.chance(60):
            other = dice.pick((-value, value + 1, int(value) if value == value // 1 else None))
        elif kind in (tuple, list) and value and dice.chance(60):
            place = dice.below(len(value))
            inner = other_literal(dice, value[place])
            other = kind([*value[:place], inner, *value[place + 1 :]])
        elif kind in (tuple, list) and dice.chance(60):
            other = tuple(value) if kind is list else list(value)
        elif kind is dict and value and dice.chance(60):
            key = sorted(value)[dice.below(len(value))]
            other = {**value, key: other_literal(dice, value[key])}
        elif kind is str and dice.chance(60):
            other = dice.pick((value + "x", value[::-1], value.upper(), value.encode()))
        else:
            other = literal(dice)
        if exact(other) != exact(value):
            return other
    return ("something", "else")


# Layout: everything about a definition that does not count.

Layout = collections.namedtuple(
    "Layout", "number quote group broken comment docstring annotated blank reordered"
)


def layout(dice):
    return Layout(*(dice.below(3) for _ in Layout._fields))


class Writer:
    """Writes expressions in a layout."""

    def __init__(self, style):
        self.style = style

    def literal(self, value, may_reorder=False):
        kind = type(value)
        if kind is int and value >= 0:
            return (str(value), hex(value), f"{value:_}")[self.style.number]
        if kind is float and value == 0.5:
            return ("0.5", ".5", "5e-1")[self.style.number]
        if kind is str:
            return self._text(value)
        if value is ...:
            return "..."
        if kind in (tuple, list, set):
            parts = [self.literal(part, may_reorder) for part in value]
            if kind is set:
                parts = self._ordered([self.literal(part) for part in sorted(value)], may_reorder)
            start, end = {tuple: "()", list: "[]", set: "{}"}[kind]
            comma = "," if kind is tuple or (self.style.number and parts) else ""
            between = ",\n    " if self.style.broken == 1 else ", "
            if not parts:
                return start + end
            return start + between.join(parts) + comma + end
        if kind is dict:
            pairs = [
                f"{self.literal(key)}: {self.literal(value[key], may_reorder)}"
                for key in sorted(value)
            ]
            return "{" + ", ".join(self._ordered(pairs, may_reorder)) + "}"
        return repr(value)

    def _ordered(self, parts, may_reorder):
        return parts[::-1] if may_reorder and self.style.reordered else parts

    def _text(self, value):
        escaped = value.replace("\\", "\\\\").replace("\n", "\\n").replace("\0", "\\x00")
        if self.style.quote == 2:
            # Two texts side by side are one.
            half = len(value) // 2
            single = Writer(self.style._replace(quote=0))
            return f"({single._text(value[:half])} {single._text(value[half:])})"
        quote = "\"'"[self.style.quote]
        return quote + escaped.replace(quote, "\\" + quote) + quote

    def group(self, text):
        if self.style.group == 0:
            return text
        return f"({text})" if self.style.group == 1 else f"( (\n      {text}) )"

    def call(self, function, *arguments):
        if self.style.broken == 0:
            return f"{function}({', '.join(arguments)})"
        if self.style.broken == 1 or not arguments:
            return f"{function} ({' ,'.join(arguments)})"
        return f"{function}(\n" + "".join(f"      {argument},\n" for argument in arguments) + "   )"

    def comment(self, number=1):
        return f"  # remark {number}" if self.style.comment == number else ""

    def docstring(self):
        return [[], ['"""Says something."""'], ['"""Says', "something else.", '"""']][
            self.style.docstring
        ]
