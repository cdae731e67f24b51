"""What generated values are of: types, and functions and classes that are values themselves."""

from __future__ import annotations

import collections
import dataclasses
import decimal
import enum
import pathlib
import pickle
import typing


class Colour(enum.Enum):
    RED = 1
    BLUE = "b"
    GREEN = (1, 2)


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Word(str, enum.Enum):
    ONE = "one"
    TWO = "two"


class Bits(enum.Flag):
    A = 1
    B = 2
    C = 4


class Mode(enum.IntFlag):
    X = 1
    Y = 2
    Z = 4


@dataclasses.dataclass(frozen=True)
class Point:
    x: object
    y: object


@dataclasses.dataclass(frozen=True)
class Pixel:
    x: object
    y: object


@dataclasses.dataclass
class Box:
    x: object
    y: object = None


class Node:
    def __init__(self, x, y):
        self.x = x
        self.y = y

    def total(self):
        return self.x, self.y


class Slotted:
    __slots__ = ("x", "y")

    def __init__(self, x, y):
        self.x = x
        self.y = y


class Words(list):
    pass


Pair = collections.namedtuple("Pair", "x y")


class Row(typing.NamedTuple):
    x: object
    y: object = 3


def add(*args, **kwargs):
    return args, kwargs


def multiply(*args, **kwargs):
    return kwargs, args


def counting(x, y=Point(1, "a")):
    return helper(x), y


def helper(x):
    return [x]


FUNCTIONS = {
    "add": add, "multiply": multiply, "counting": counting, "len": len, "upper": str.upper,
    "dumps": pickle.dumps,
}  # fmt: skip
CLASSES = {
    "Node": Node, "Box": Box, "int": int, "dict": dict, "Colour": Colour, "Pair": Pair,
    "Decimal": decimal.Decimal,
}  # fmt: skip
ENUMS = {"Colour": Colour, "Level": Level, "Word": Word}
FLAGS = {"Bits": Bits, "Mode": Mode}
RECORDS = {
    "Point": Point, "Pixel": Pixel, "Box": Box, "Node": Node, "Slotted": Slotted, "Pair": Pair,
    "Row": Row,
}  # fmt: skip
HASHABLE_RECORDS = ("Point", "Pixel", "Pair", "Row")
PATHS = {
    "posix": pathlib.PurePosixPath, "windows": pathlib.PureWindowsPath, "here": pathlib.Path,
    "pure": pathlib.PurePath,
}  # fmt: skip
FACTORIES = {"int": int, "list": list}
SEQUENCES = {"list": list, "Words": Words, "deque": collections.deque}
MAPPINGS = {"dict": dict, "ordered": collections.OrderedDict, "counter": collections.Counter}
