"""What both serializers do with values."""

import array
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import io
import ipaddress
import math
import pathlib
import re
import sys
import threading
import time
import types
import typing
import uuid
import zoneinfo

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bandsaw.errors import DeserializationError, UnserializableError
from bandsaw.serialization import JsonSerializer, SerializableValue
from bandsaw.serialization.values import (
    SerializableValueSerializer,
    TupleSerializer,
    ValueSerializer,
)

Point = collections.namedtuple("Point", "x y")


class Named(typing.NamedTuple):
    name: str
    inner: typing.Any = None


class WithAttributes(Point):
    """A named tuple with a `__dict__`."""


class Colour(enum.Enum):
    RED = 1
    ROUGE = 1
    GREEN = "g"


class Level(enum.IntEnum):
    LOW = 1


class Bits(enum.Flag):
    A = 1
    B = 2
    C = 4


class IntBits(enum.IntFlag):
    A = 1
    B = 2


@dataclasses.dataclass
class Plain:
    a: typing.Any
    b: typing.Any = dataclasses.field(default=None, init=False)


@dataclasses.dataclass(frozen=True)
class Frozen:
    a: typing.Any
    b: typing.Any


class Outer:
    @dataclasses.dataclass
    class Inner:
        a: int

        def __post_init__(self):
            self.calls = getattr(self, "calls", 0) + 1


class Value(SerializableValue):
    def __init__(self, inner):
        self.inner = inner

    def serialized(self):
        return {"inner": self.inner}

    @classmethod
    def deserialize(cls, values):
        return cls(values["inner"])

    def __eq__(self, other):
        return type(other) is Value and other.inner == self.inner

    __hash__ = None


class Text(str):
    __slots__ = ()


NEW_YORK = zoneinfo.ZoneInfo("UTC")

VALUES = [
    (),
    (1, (2, [3, (4,)])),
    Point(1, (2,)),
    Named("a", Named("b", [Point(1, 2)])),
    set(),
    {1, "1", 2.5, None, (1, frozenset({2}))},
    frozenset({frozenset(), frozenset({frozenset()})}),
    b"\x00\xff",
    bytearray(b"abc"),
    complex(-0.0, math.inf),
    range(1, 10, 3),
    slice(None, 2, "x"),
    Ellipsis,
    NotImplemented,
    {1: "int", "1": "str", 1.5: "float", None: "none", (1, 2): "tuple", b"b": "bytes"},
    {True: 1, False: 0},
    {"_serializer": "TupleSerializer", "value": [1]},
    {"_serializer": 1},
    {"a": {"_serializer": {"_serializer": ()}}},
    [math.inf, -math.inf, 1e308, 5e-324, -0.0],
    10**5000,
    [-(10**10_000), {"n": 10**4300}],
    "\ud800",
    "\ud83d\ude00",
    "\U0001f600\ud83d",
    {"\ud83d\ude00": "\udc00\ud800\udc00\udc00"},
    '\x00\x7f\u2028\\u0041 "quoted" \'',
    datetime.datetime(2024, 10, 27, 2, 30, fold=1, tzinfo=NEW_YORK),
    datetime.datetime(1, 1, 1, microsecond=1),
    datetime.time(1, 2, 3, 4, fold=1, tzinfo=datetime.timezone.utc),
    datetime.date(2024, 2, 29),
    datetime.timedelta(-1, 2, 3),
    datetime.timezone(datetime.timedelta(hours=-3, seconds=1), "name"),
    datetime.timezone(datetime.timedelta(hours=1)),
    NEW_YORK,
    decimal.Decimal("-1.50E+10"),
    decimal.Decimal("-0"),
    decimal.Decimal("Infinity"),
    fractions.Fraction(-1, 3),
    uuid.UUID(int=1, is_safe=uuid.SafeUUID.safe),
    pathlib.Path("/a/b"),
    pathlib.Path("relative"),
    pathlib.PureWindowsPath("c:\\a"),
    pathlib.PurePosixPath("//a"),
    ipaddress.ip_address("::1"),
    ipaddress.ip_network("10.0.0.0/8"),
    ipaddress.ip_interface("10.0.0.1/8"),
    collections.OrderedDict([("b", 1), ("a", (2,))]),
    collections.Counter("abca"),
    collections.defaultdict(list, {(1,): [1]}),
    collections.defaultdict(None, {"a": 1}),
    collections.deque([1, (2,)], maxlen=3),
    collections.deque([1]),
    collections.ChainMap({"a": 1}, collections.OrderedDict(b=2)),
    array.array("d", [1.5, 2.5]),
    array.array("i"),
    types.SimpleNamespace(a=1, self=(2,), _serializer=3),
    time.gmtime(0),
    re.compile("a.b", re.IGNORECASE),
    re.compile(b"a"),
    Colour.RED,
    Colour.ROUGE,
    {Colour.GREEN: [Level.LOW]},
    Bits.A,
    Bits.A | Bits.C,
    Bits(0),
    IntBits.A | IntBits.B,
    Plain(a=(1,)),
    [Frozen(1, Plain(2))],
    Outer.Inner(1),
    Value((1, {2: Value(None)})),
]


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_value_comes_back_equal_in_value_and_type(cross, value):
    assert_same(cross(value), value)
    assert_same(cross([{"k": (value,)}]), [{"k": (value,)}])


def assert_same(one, other):
    assert type(one) is type(other)
    for name in ("fold", "maxlen", "default_factory", "tzinfo", "is_safe", "flags"):
        assert getattr(one, name, None) == getattr(other, name, None)
    if isinstance(other, float):
        # NaN is not equal to itself, and 0.0 is equal to -0.0.
        assert repr(one) == repr(other)
    elif isinstance(other, dict):
        assert len(one) == len(other)
        for (one_key, one_value), (other_key, other_value) in zip(one.items(), other.items()):
            assert_same(one_key, other_key)
            assert_same(one_value, other_value)
    elif isinstance(other, (list, tuple, collections.deque)):
        assert len(one) == len(other)
        for one_item, other_item in zip(one, other):
            assert_same(one_item, other_item)
    else:
        # A `repr` of large numbers is refused by newer Pythons.
        assert one == other or repr(one) == repr(other)


scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**60).map(lambda n: n**80)
    | st.floats()
    | st.text(st.characters())
    | st.text(st.characters(categories=["Cs"]), max_size=3)
    | st.sampled_from(["_serializer", "value"])
)
hashables = st.recursive(
    scalars.filter(lambda value: value == value)
    | st.binary()
    | st.complex_numbers(allow_nan=False)
    | st.datetimes()
    | st.decimals(allow_nan=False)
    | st.sampled_from(Colour),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.frozensets(inner, max_size=3)
        | st.builds(Point, inner, inner)
    ),
    max_leaves=5,
)
values = st.recursive(
    scalars | hashables | st.binary().map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(hashables, inner, max_size=4)
        | st.dictionaries(st.text(), inner, max_size=4)
        | st.sets(hashables, max_size=4)
        | st.builds(Named, st.text(), inner)
        | st.builds(Plain, inner)
        | st.builds(collections.deque, st.lists(inner, max_size=2))
    ),
    max_leaves=12,
)


@given(value=values)
@example(value=[math.nan, {"\ud83d": "\ude00"}])
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_any_nesting_of_values_comes_back_the_same(cross, value):
    assert_same(cross(value), value)


def test_a_nan_comes_back_as_a_nan(cross):
    assert math.isnan(cross(math.nan))
    assert math.isnan(cross({"a": (math.nan,)})["a"][0])
    assert str(cross(decimal.Decimal("-sNaN12"))) == "-sNaN12"


def test_a_named_tuple_keeps_further_attributes(cross):
    value = WithAttributes(1, 2)
    value.note = (3,)
    read = cross(value)
    assert read == value
    assert type(read) is WithAttributes
    assert read.note == (3,)


def test_a_data_class_is_made_without_its_constructor_and_keeps_further_attributes(cross):
    value = Outer.Inner(1)
    value.more = (1,)
    read = cross(value)
    assert vars(read) == {"a": 1, "calls": 1, "more": (1,)}


def test_the_order_of_a_dict_is_kept(cross):
    assert list(cross({"b": 1, "a": 2})) == ["b", "a"]
    assert list(cross({2: 1, 1: 2})) == [2, 1]


def test_a_default_dict_keeps_its_factory(cross):
    assert cross(collections.defaultdict(set))["new"] == set()


def test_a_member_of_an_enum_stays_the_same_object(cross):
    assert cross(Colour.GREEN) is Colour.GREEN


def test_the_stream_is_left_open(serializer):
    stream = io.BytesIO()
    serializer.serialize([1], stream)
    stream.seek(0)
    assert serializer.deserialize(stream) == [1]
    assert not stream.closed


@pytest.mark.parametrize("depth", [10_000, 100_000])
@pytest.mark.parametrize("wrap", [lambda v: [v], lambda v: (v,), lambda v: {"a": v}])
def test_deep_nesting_is_a_typed_error_or_works(cross, wrap, depth):
    value = None
    for _ in range(depth):
        value = wrap(value)
    caught = None
    try:
        cross(value)
    except (UnserializableError, DeserializationError) as error:
        caught = error
    assert caught is None or "deep" in str(caught)


def test_a_list_that_contains_itself_is_an_error_or_comes_back_as_one(cross, serializer):
    value = [1]
    value.extend([value, value])
    if isinstance(serializer, JsonSerializer):
        with pytest.raises(UnserializableError, match="contains itself"):
            cross(value)
    else:
        read = cross(value)
        assert read[1] is read


class Model:
    def __init__(self):
        self.lock = threading.Lock()


@pytest.mark.parametrize(
    ("value", "path"),
    [
        (threading.Lock(), "value"),
        ([1, {"a": (threading.Lock(),)}], "value[1]['a'][0]"),
        (Point(1, threading.Lock()), "value.y"),
        (Value({"a": [threading.Lock()]}), "value.inner['a'][0]"),
        (Plain({1: threading.Lock()}), "value.a[1]"),
        ({"a": 1, 2: collections.OrderedDict(k=threading.Lock())}, "value[2]['k']"),
    ],
)
def test_the_error_names_type_and_path_of_what_cannot_be_written(serializer, value, path):
    stream = io.BytesIO()
    with pytest.raises(UnserializableError, match="_thread.lock") as caught:
        serializer.serialize(value, stream)
    assert f" at {path} cannot" in str(caught.value)
    assert caught.value.__cause__ is not None
    assert isinstance(caught.value, TypeError)
    assert stream.getvalue() == b""


@pytest.mark.parametrize("cut", [0, 1, 10, -1])
def test_truncated_data_is_a_typed_error(serializer, cut):
    stream = io.BytesIO()
    serializer.serialize([1, (2, "text" * 10)], stream)
    with pytest.raises(DeserializationError) as caught:
        serializer.deserialize(io.BytesIO(stream.getvalue()[:cut]))
    assert caught.value.__cause__ is not None
    assert isinstance(caught.value, ValueError)


@given(data=st.binary())
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_random_bytes_make_a_value_or_a_typed_error(data):
    try:
        JsonSerializer().deserialize(io.BytesIO(data))
    except DeserializationError:
        pass


def test_the_value_serializers_invert_themselves():
    for serializer, value in (
        (TupleSerializer(), (1, [2])),
        (TupleSerializer(), Point(1, 2)),
        (SerializableValueSerializer(), Value(1)),
    ):
        assert isinstance(serializer, ValueSerializer)
        assert serializer.can_serialize_value(value)
        assert not serializer.can_serialize_value([1])
        read = serializer.deserialize_value(serializer.serialize_value(value))
        assert read == value
        assert type(read) is type(value)


def test_a_named_tuple_without_its_class_gets_a_fresh_one():
    lost = collections.namedtuple("Lost", "a b", module="module.that.is.gone")(1, 2)
    serializer = TupleSerializer()
    read = serializer.deserialize_value(serializer.serialize_value(lost))
    again = serializer.deserialize_value(serializer.serialize_value(lost))
    assert read == (1, 2)
    assert read.b == 2
    assert type(read) is not type(lost)
    assert type(read) is type(again)
    assert type(read).__name__ == "Lost"
    assert type(read)._fields == ("a", "b")
    assert type(read).__module__ == "module.that.is.gone"
    lost = collections.namedtuple("Row", "id id", rename=True, module="module.that.is.gone")(1, 2)
    read = serializer.deserialize_value(serializer.serialize_value(lost))
    assert read == (1, 2)
    assert type(read)._fields == ("id", "_1")


def test_a_tuple_that_is_no_named_one_is_not_taken_for_one():
    class Odd(tuple):
        __slots__ = ()

    assert not TupleSerializer().can_serialize_value(Odd((1,)))
    assert not TupleSerializer().can_serialize_value(sys.version_info)


@pytest.mark.parametrize("name", ["SerializableValue", "ValueSerializer"])
def test_the_interfaces_cannot_be_instantiated(name):
    from bandsaw.serialization import values as module

    with pytest.raises(TypeError):
        getattr(module, name)()
