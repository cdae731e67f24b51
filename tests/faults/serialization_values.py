"""What the mutants of serialized data are made from: values of all kinds, whole."""

import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import io
import ipaddress
import pathlib
import re
import types
import uuid
import zoneinfo

import bandsaw
from bandsaw.execution import Execution
from bandsaw.result import Result
from bandsaw.session import Session
from bandsaw.tasks import Task

KEY = b"a key for faults only"

Pair = collections.namedtuple("Pair", "a b")


class Colour(enum.Enum):
    RED = 1


class Bits(enum.Flag):
    ONE = 1
    TWO = 2


@dataclasses.dataclass
class Data:
    a: object
    b: object = None


class OwnError(Exception):
    """Has state, and a constructor that pickle alone would not satisfy."""

    def __init__(self, message, *, code):
        super().__init__(message)
        self.code = code


def function(a, b=2):
    """Is the task of the sessions."""
    return a, b


def error():
    try:
        try:
            raise OwnError("inner", code=5)
        except OwnError:
            raise ValueError("outer", (1, {2})) from UnicodeDecodeError("utf-8", b"\xff", 0, 1, "r")
    except ValueError as caught:
        return caught


def values():
    """Returns values that both serializers write."""
    plain = [None, True, 5, -(2**70), 1.5, "text", "\ud800", [], {}, [1, [2, {"a": [3]}]]]
    builtin = [
        (1, (2,)), {1, "a"}, frozenset([None]), {1: 2, (3,): 4}, b"bytes", bytearray(b"array"),
        2j, range(1, 9, 2), slice(1, None), ..., float("inf"), {"_serializer": "x"},
    ]  # fmt: skip
    standard = [
        datetime.datetime(2020, 1, 2, 3, tzinfo=datetime.timezone.utc),
        datetime.datetime(2020, 7, 2, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        datetime.timedelta(days=1), decimal.Decimal("1.50"), fractions.Fraction(1, 3),
        pathlib.PurePosixPath("/a/b"), ipaddress.ip_address("::1"), uuid.UUID(int=5),
        collections.Counter("aab"), collections.deque([1, 2], maxlen=3),
        collections.defaultdict(list, a=[1]), types.SimpleNamespace(a=1), re.compile("a+", re.I),
    ]  # fmt: skip
    own = [Pair(1, (2,)), Colour.RED, Bits.ONE | Bits.TWO, Data(1, Data((2,))), error(),
           Result(5), Execution("e", (1,), {"b": 2})]  # fmt: skip
    singles = plain + builtin + standard + own
    try:
        import numpy
    except ImportError:
        pass
    else:
        singles.append([numpy.arange(5), numpy.array([1, "a"], dtype=object), numpy.float32(1)])
    return [*singles, {"all": singles}, [own, {"x": (standard,)}]]


def written(serializer):
    """Returns each of the values as a serializer writes it."""
    texts = []
    for value in values():
        stream = io.BytesIO()
        serializer.serialize(value, stream)
        texts.append(stream.getvalue())
    return texts


def sessions(configuration):
    """Returns files of sessions."""
    files = []
    for value in values():
        session = Session(Task.create_task(function), Execution("e", (value,)), configuration)
        session.context["key"] = value
        session.result = Result(value)
        stream = io.BytesIO()
        session.save(stream)
        files.append(stream.getvalue())
    return files


def configuration(name, serializer):
    """Makes a configuration that a session names."""
    made = bandsaw.Configuration().set_serializer(serializer)
    made.add_advice_chain(bandsaw.Advice(), bandsaw.Advice())
    made.module_name = name
    return made
