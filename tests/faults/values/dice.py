"""Randomness that is the same on every Python: `Random.random` is, other methods were changed."""

from __future__ import annotations


class Dice:
    """All randomness there is.

    Args:
        random: Returns a float from 0 up to 1.
    """

    def __init__(self, random):
        self._random = random

    def below(self, limit):
        return int(self._random() * limit)

    def pick(self, choices):
        return choices[self.below(len(choices))]

    def chance(self, percent):
        return self.below(100) < percent

    def bits(self, count):
        result = 0
        for _ in range(0, count, 16):
            result = result << 16 | self.below(1 << 16)
        return result >> -count % 16

    def shuffled(self, items):
        items = list(items)
        for last in range(len(items) - 1, 0, -1):
            other = self.below(last + 1)
            items[last], items[other] = items[other], items[last]
        return items
