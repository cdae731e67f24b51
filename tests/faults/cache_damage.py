"""Damage to the file of an entry: each bit, each length, and other contents."""

from __future__ import annotations

import os

import numpy

import bandsaw

from .cache_calls import Cache, Task, records, same
from .figures import Figures

VARIANTS = {
    "pickle": (bandsaw.PickleSerializer, False, False),
    "pickle, mapped": (bandsaw.PickleSerializer, False, True),
    "pickle with buffers": (bandsaw.PickleSerializer, True, False),
    "pickle with buffers, mapped": (bandsaw.PickleSerializer, True, True),
    "JSON": (bandsaw.JsonSerializer, False, False),
    "JSON, mapped": (bandsaw.JsonSerializer, False, True),
}


def value_of(has_buffers, size=600):
    if not has_buffers:
        return {"some": ["value", 1.5, None], "bulk": "x" * size}
    # Where they are left out, a mapped one is read-only, which is another type of value: so both
    # are compared as bytes.
    return [numpy.tile(numpy.arange(200, dtype="u1"), size // 400) for _ in range(2)]


def comparable(value):
    if isinstance(value, list) and len(value) == 2:
        return [bytes(part) for part in value]
    return value


class Damaged:
    """A cache whose entry is damaged again and again.

    Attributes:
        intact: The bytes of the entry.
        figures: The figures.
    """

    def __init__(self, directory, variant, size=600, figures=None):
        serializer, has_buffers, mapped = VARIANTS[variant]
        self.value = value_of(has_buffers, size)
        self.cache = Cache(directory, serializer, mmap=mapped)
        self.cache.call(Task(self.compute))
        self.path = self.cache.path()
        with open(self.path, "rb") as file:
            self.intact = file.read()
        self.figures = figures or Figures()

    def compute(self, _):
        return self.value

    def call(self):
        self.figures.calls += 1
        task = Task(self.compute)
        with records() as warnings:
            value = self.cache.call(task)
        assert same(comparable(value), comparable(self.value)), "a wrong value"
        return task.executed, warnings

    def check(self, kind, content, what, again=True):
        """Gives the entry another content, and sees that it costs a warning and a computation."""
        descriptor = os.open(self.path, os.O_WRONLY | os.O_TRUNC)
        try:
            os.write(descriptor, content)
        finally:
            os.close(descriptor)
        executed, warnings = self.call()
        assert executed == 1, f"{what}: executed {executed} times"
        assert len(warnings) == 1, f"{what}: {warnings}"
        assert self.path in warnings[0], warnings
        self.figures.inject(kind)
        if again:
            assert self.call() == (0, []), f"{what}: the new entry is not served"


def flip(damaged, at, again=True):
    """Flips a bit of the entry."""
    content = bytearray(damaged.intact)
    content[at // 8] ^= 1 << at % 8
    damaged.check("bits flipped", content, f"bit {at}", again)


def cut(damaged, length, again=True):
    """Cuts the entry."""
    damaged.check("entries cut", damaged.intact[:length], f"{length} bytes", again)


def large(directory, variant, number, dice, figures=None):
    """Flips bits of an entry of some megabytes, and cuts it, at random."""
    damaged = Damaged(directory, variant, 3_000_000, figures)
    for _ in range(number):
        # Half of them where the parts are described.
        flip(damaged, dice.randrange(8 * dice.choice((400, len(damaged.intact)))))
        cut(damaged, dice.randrange(dice.choice((400, len(damaged.intact)))))
    return damaged.figures


def foreign(damaged, dice):
    """Puts in place of the entry what is another one, or none."""
    intact, cache = damaged.intact, damaged.cache
    others = {}
    for task_id, key in (("task", "other"), ("other", "execution")):
        cache.call(Task(damaged.compute, task_id), key)
        with open(cache.path(key, task_id), "rb") as file:
            others[f"the entry of {task_id}/{key}"] = file.read()
    others["nothing"] = b""
    others["an entry of the form before"] = intact[:7] + b"\x01" + intact[8:]
    others["another file"] = b"PK\x03\x04" + intact[4:]
    others["zeros"] = bytes(len(intact))
    others["twice the entry"] = intact * 2
    others["a byte more"] = intact + b"\0"
    others["the header alone"] = intact[:64]
    others["two of its pages swapped"] = intact[:64] + intact[-64:] + intact[64:-64]
    for number in range(8):
        others[f"garbage {number}"] = bytes(dice.getrandbits(8) for _ in intact)
        others[f"garbage {number} behind the magic"] = intact[:8] + others[f"garbage {number}"][8:]
        # The lengths in a header that looks right lead anywhere.
        garbage = bytearray(intact)
        garbage[48:64] = bytes(dice.getrandbits(8) for _ in range(16))
        others[f"garbage {number} for the lengths"] = bytes(garbage)
    for what, content in others.items():
        damaged.check("entries exchanged", content, what)


def run(dice, figures, directory):
    """Damages a small and a large entry of one kind."""
    variant = dice.choice(list(VARIANTS))
    damaged = Damaged(os.path.join(directory, "small"), variant, 600, figures)
    for number in range(80):
        flip(damaged, dice.randrange(8 * len(damaged.intact)), again=number % 8 == 0)
        cut(damaged, dice.randrange(len(damaged.intact)), again=number % 8 == 0)
    foreign(damaged, dice)
    large(os.path.join(directory, "large"), variant, 4, dice, figures)
