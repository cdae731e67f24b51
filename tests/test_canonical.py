"""Digests of values: equal in type and value at every depth means equal."""

import _random
import array
import collections
import copy
import csv
import ctypes
import dataclasses
import datetime
import decimal
import enum
import fractions
import functools
import io
import ipaddress
import itertools
import math
import operator
import os
import pathlib
import pickle
import re
import subprocess
import sys
import threading
import types
import uuid
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandsaw._file import File
from bandsaw._identity import bulk_data, cycles
from bandsaw._system import buffers as system_buffers
from bandsaw.errors import IdentityError, InvalidValueError
from bandsaw.fingerprint import digest_of_value, execution_id_of

ROOT = Path(__file__).parent.parent


def digest(value, **options):
    return digest_of_value(value, **options)


class Node:
    """An ordinary object."""

    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a, b=None):
        self.a = a
        self.b = b


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Bits(enum.Flag):
    A = 1
    B = 2


@dataclasses.dataclass(frozen=True)
class Point:
    x: int
    y: object = None


@dataclasses.dataclass(frozen=True)
class Pixel:
    x: int
    y: object = None


Pair = collections.namedtuple("Pair", "a b")
Couple = collections.namedtuple("Couple", "a b")


class Words(list):
    pass


class Names(set):
    pass


class Number(int):
    pass


class Ordered(collections.OrderedDict):
    pass


class Place(pathlib.PurePosixPath):
    pass


def helper(x):
    return x


DIFFERENT = [
    1, 1.0, True, "1", b"1", (1,), [1], {1: 2}, {"1": 2}, 0.0, -0.0, 0, False, "", b"", None, ...,
    NotImplemented, bytearray(b"1"), memoryview(b"1"), range(3), range(4), slice(1), slice(1, 2),
    {1}, frozenset({1}), 1j, complex(0.0, -0.0), complex(-0.0, 0.0), "\ud800", "\udc00", (), [], {},
    set(), frozenset(), [[]], [[], []], [()], ((),), [1, 2], [2, 1], [12], ["1", "2"], ["12"],
    ["1", "2", ""], [b"1"], {1: 2, 3: 4}, {1: 4, 3: 2}, math.inf, -math.inf, math.nan, 10**30,
    -(10**30), 10**3000, "x" * 1000, b"x" * 1000, bytearray(b"x" * 1000), 2**63, -1,
    Colour.RED, Colour.BLUE, Bits.A, Bits.A | Bits.B, Point(1), Point(2), Pixel(1), Pair(1, 2),
    Couple(1, 2), (1, 2), Words([1]), Names([1]), Number(1), Node(a=1), Node(b=1), Node(a=2),
    Node(a=1, b=2), Slotted(1), Slotted(1, 2), pathlib.PurePosixPath("a"),
    pathlib.PureWindowsPath("a"), datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1),
    datetime.datetime(2020, 1, 1, fold=1),
    datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc),
    datetime.time(1), datetime.timedelta(1), decimal.Decimal("1"), decimal.Decimal("1.0"),
    fractions.Fraction(1, 3), uuid.UUID(int=1), re.compile("a"), re.compile("a", re.I),
    re.compile(b"a"), array.array("d", [1.0]), array.array("f", [1.0]), len, print, str.upper,
    functools.partial(helper, 1), functools.partial(helper, 2), functools.partial(helper, x=1),
    helper, int, Node, Point, os, sys, os.path, operator.itemgetter(1), collections.deque([1]),
    collections.deque([1], 3), collections.Counter("a"), collections.defaultdict(int, {1: 2}),
    collections.OrderedDict([(1, 2), (3, 4)]), collections.OrderedDict([(3, 4), (1, 2)]),
    Ordered([(1, 2), (3, 4)]), Ordered([(3, 4), (1, 2)]),
    types.SimpleNamespace(a=1), types.MappingProxyType({1: 2}), ValueError("a"),
    ValueError("b"),
    TypeError("a"), Node(a=1).__init__, [].append, [1].append, list[int], list[str],
    *(np.array(v, dtype=t)
      for v in (1, [1], [[1]], [1, 2]) for t in ("i4", "i8", "f8", ">i4", "O")),
    np.int64(1), np.int32(1), np.float64(1), np.float32(1), np.bool_(True), np.str_("1"),
    np.datetime64(1, "D"), np.datetime64(1, "s"), np.zeros((0, 3)), np.zeros((3, 0)), np.zeros(0),
    np.zeros((2, 3)), np.zeros((3, 2)), np.zeros(6), np.dtype("f8"), np.dtype("f4"),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
    np.array([(1, 2.0)], dtype=[(("title", "a"), "i4"), ("b", "f8")]),
    np.array([(1, 2.0)], dtype=[("a", "i4"), ("c", "f8")]), np.array(["a", "b"]),
    np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 2], mask=[1, 0]), np.ma.masked,
    list(range(20)), [float(n) for n in range(20)], [str(n) for n in range(20)],
    [True] * 20, tuple(range(20)), [*range(19), 19.0], ["ab", "c"] * 10, ["a", "bc"] * 10,
    [math.nan] * 20, [10**30] * 20,
]  # fmt: skip


def test_values_that_differ_in_type_or_value_have_different_digests():
    found = {}
    for value in DIFFERENT:
        assert found.setdefault(digest(value), value) is value
    assert len(found) == len(DIFFERENT)


@pytest.mark.parametrize("value", DIFFERENT, ids=[str(n) for n in range(len(DIFFERENT))])
def test_a_copy_has_the_digest_of_the_original(value):
    try:
        other = copy.deepcopy(value)
        if getattr(value, "dtype", None) != np.dtype(">i4"):
            # numpy's pickles turn a foreign byte order into the machine's own, another type.
            other = pickle.loads(pickle.dumps(other))
    except (TypeError, pickle.PicklingError):
        return
    assert digest(other) == digest(value)
    assert digest([other, value]) == digest([value, value])


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (math.nan, -math.nan),
        ([math.nan] * 20, [-math.nan] * 20),
        (range(0), range(5, 1)),
        (range(0, 3, 2), range(0, 4, 2)),
        (np.arange(12).reshape(3, 4).T, np.ascontiguousarray(np.arange(12).reshape(3, 4).T)),
        (np.arange(10)[::2], np.arange(10)[::2].copy()),
        (np.arange(10)[::-1], np.arange(10)[::-1].copy()),
        (np.asfortranarray(np.ones((300, 700))), np.ones((300, 700))),
        (np.array([[1, "a"]], dtype="O").T, np.array([[1], ["a"]], dtype="O")),
        (np.ma.array([1, 2], mask=[0, 1]), np.ma.array([1, 3], mask=[0, 1])),
        (memoryview(b"abcd")[::2], memoryview(b"ac")),
        (Place("a", "b"), Place("a/b")),
    ],
    ids=[str(n) for n in range(12)],
)
def test_values_that_are_equal_in_another_form_share_a_digest(one, other):
    assert digest(one) == digest(other)


def test_the_padding_of_structured_arrays_does_not_count():
    kind = np.dtype([("a", "i1"), ("b", "i8")], align=True)
    # No copies: they need not copy what lies between the fields.
    memory = [bytearray([n]) * 32 for n in (0, 255)]
    one, other = (np.frombuffer(part, dtype=kind) for part in memory)
    for array_ in (one, other):
        array_["a"], array_["b"] = 1, 2
    assert memory[0] != memory[1]
    assert digest(one) == digest(other)


hashable = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    | st.complex_numbers() | st.dates() | st.decimals(allow_nan=False) | st.uuids()
    | st.sampled_from(Colour),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=4)
    | st.builds(Point, st.integers(), inner) | st.builds(Pair, inner, inner),
    max_leaves=6,
)  # fmt: skip
values = st.recursive(
    hashable,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(hashable, inner, max_size=5)
    | st.sets(hashable, max_size=5) | st.builds(Node, a=inner, b=inner),
    max_leaves=20,
)  # fmt: skip
flat_lists = st.one_of(
    st.lists(st.integers(), min_size=14, max_size=20),
    st.lists(st.floats(), min_size=14, max_size=20),
    st.lists(st.text(max_size=3), min_size=14, max_size=20),
)


def same(one, other):
    """Equality in type and value at every depth, by other means than the code under test."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        if math.isnan(one):
            return math.isnan(other)
        return one == other and math.copysign(1, one) == math.copysign(1, other)
    if isinstance(one, complex):
        return same(one.real, other.real) and same(one.imag, other.imag)
    if isinstance(one, decimal.Decimal):
        return str(one) == str(other)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return matched(list(one.items()), list(other.items()))
    if isinstance(one, (set, frozenset)):
        return matched(list(one), list(other))
    if isinstance(one, (Node, Point)):
        return same(one.__dict__, other.__dict__)
    return one == other


def matched(one, other):
    if len(one) != len(other):
        return False
    rest = list(other)
    for item in one:
        for position, candidate in enumerate(rest):
            if same(item, candidate):
                del rest[position]
                break
        else:
            return False
    return True


@settings(max_examples=150, deadline=None)
@given(st.lists(values | flat_lists, min_size=2, max_size=4))
def test_digests_are_equal_exactly_when_type_and_value_are(found):
    for one, other in itertools.combinations(found, 2):
        assert (digest(one) == digest(other)) == same(one, other)
    assert digest(copy.deepcopy(found)) == digest(found)


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(hashable, values, max_size=4), st.randoms())
def test_the_order_in_which_a_dict_was_filled_does_not_count(value, random):
    items = list(value.items())
    random.shuffle(items)
    assert digest(dict(items)) == digest(value)
    assert execution_id_of({"a": dict(items), "b": 1}) == execution_id_of({"b": 1, "a": value})


def test_the_order_in_which_a_set_was_filled_does_not_count():
    one, other = set(), set()
    for n in (0, 8, 16):
        one.add(n)
        other.add(16 - n)
    assert list(one) != list(other)
    assert digest(one) == digest(other)
    assert digest(Names(one)) == digest(Names(other))


@settings(max_examples=100, deadline=None)
@given(values)
def test_sharing_cannot_be_seen(value):
    assert digest([value, value, {"a": value}]) == digest(
        [value, copy.deepcopy(value), {"a": copy.deepcopy(value)}]
    )


def test_shared_references_cost_no_more_than_they_are():
    # Written out, it would have 2 to the power of 300 nodes: it either ends or never does.
    value = Node(x=1)
    for _ in range(300):
        value = Node(a=[value, value], b={"c": value})
    digest(value)


def cycle(length):
    nodes = [[] for _ in range(length)]
    for position, node in enumerate(nodes):
        node.append(nodes[(position + 1) % length])
    return nodes[0]


def test_a_cycle_counts_by_its_objects_wherever_it_is_entered():
    assert digest(cycle(2)) == digest(cycle(2)) != digest(cycle(7))
    assert digest(cycle(1)) != digest([[]])
    one, other = Node(name="one"), Node(name="other")
    one.next, other.next = other, one
    assert digest(one) != digest(other)
    assert digest({"a": one, "b": other}) == digest({"b": other, "a": one})
    assert digest({frozenset({1}): [one], 2: [other]}) == digest(
        {2: [other], frozenset({1}): [one]}
    )
    assert digest({(one,), (other,)}) == digest({(other,), (one,)})
    twins = cycle(2)
    assert digest({"a": [twins], "b": [twins[0]]}) == digest({"b": [twins[0]], "a": [twins]})


def test_the_order_of_a_dict_on_a_cycle_does_not_count():
    def parent(names):
        made = Node(name="p", children={})
        for name in names:
            made.children[name] = Node(name=name, parent=made)
        return made

    assert digest(parent("abc")) == digest(parent("cba")) != digest(parent("abd"))
    assert digest(copy.deepcopy(parent("abc"))) == digest(parent("abc"))
    alike = Node(keys={})
    alike.keys.update({Node(of=alike): 1, Node(of=alike): 2})
    assert digest(alike) == digest(copy.deepcopy(alike))
    alike.keys.update(dict.fromkeys(alike.keys, 1))
    with pytest.raises(IdentityError, match="^value has.*a dict in it contains itself"):
        digest(alike)


def test_a_cycle_through_a_set_is_an_error_that_says_what_to_do():
    parent = Node(name="p")
    parent.children = {Node(name=n, parent=parent) for n in "abc"}
    with pytest.raises(IdentityError, match=r"^args\[0\] has.*Node.*set in it.*Use a list"):
        execution_id_of({"args": (parent,)})
    assert digest([{Node(name=n) for n in "abc"}]) == digest([{Node(name=n) for n in "cab"}])


def test_objects_that_all_refer_to_each_other_are_digested():
    nodes = [Node(number=n) for n in range(200)]
    for node in nodes:
        node.others = nodes
    first = digest(nodes[0])
    assert first != digest(nodes[1])


def chain(length):
    nodes = [Node(before=None, after=None) for _ in range(length)]
    for one, other in zip(nodes, nodes[1:]):
        one.after, other.before = other, one
    return nodes[0]


def test_a_long_doubly_linked_list_is_digested():
    assert digest(chain(3000)) == digest(chain(3000)) != digest(chain(3001))


def test_few_walks_are_enough_for_many_members_that_are_alike(monkeypatch):
    walks = []
    walk = cycles._walk
    monkeypatch.setattr(cycles, "_walk", lambda *args: walks.append(1) or walk(*args))
    assert digest(cycle(200)) == digest(cycle(200)) != digest(cycle(201))
    assert len(walks) < 30


@given(st.integers(2, 7).flatmap(lambda n: st.tuples(*[st.permutations(range(n))] * 2)))
def test_a_cycle_of_objects_that_are_nearly_alike_counts_wherever_it_is_entered(orders):
    nodes = [[] for _ in orders[0]]
    for order in orders:
        for node, other in zip(nodes, order):
            node.append(nodes[other])
    whole = [*nodes, None]
    for node in nodes:
        node.append(whole)
    again = copy.deepcopy(whole)
    assert digest(whole) == digest(again)
    assert [digest(node) for node in nodes] == [digest(node) for node in again[:-1]]


def test_ten_thousand_levels_are_no_problem():
    def nested(leaf):
        for _ in range(10_000):
            leaf = [leaf]
        return leaf

    assert digest(nested(1)) == digest(nested(1)) != digest(nested(2))


@pytest.mark.parametrize(
    "thing",
    [threading.Lock(), (n for n in ()), sys._getframe(), sys.stdout, threading.Event()],
    ids=lambda thing: type(thing).__name__,
)  # fmt: skip
def test_what_has_no_canonical_form_is_an_error_with_the_path_to_it(thing):
    model = Node(lock=thing)
    with pytest.raises(IdentityError, match=r"^args\[0\]\['model'\]\.lock\b"):
        execution_id_of({"args": ({"model": model},)})
    with pytest.raises(IdentityError, match="^value"):
        digest(thing)


class Masked(np.ma.MaskedArray):
    pass


def test_what_masked_arrays_have_of_their_own_counts():
    found = [np.ma.array([1, 2], mask=[0, 1]).view(kind) for kind in (Masked,) * 4]
    found[1].harden_mask()
    found[2]._unit, found[3]._unit = "m", "s"
    assert len(set(map(digest, found))) == len(found)


def test_buffers_count_by_their_shape_also_on_their_way_to_a_pickle():
    one, other = (pickle.PickleBuffer(np.zeros(shape)) for shape in ((2, 3), (3, 2)))
    assert digest(one) != digest(other)


def released():
    view = memoryview(b"x")
    view.release()
    return view


@pytest.mark.parametrize(
    "value",
    [
        np.array([[1]], dtype="O").data,
        np.zeros(1, dtype=[("f", "i8"), ("x", "O")]).data,
        memoryview((ctypes.c_char_p * 1)(b"x")),
        memoryview((ctypes.c_wchar_p * 1)("x")),
        memoryview((ctypes.POINTER(ctypes.c_int) * 1)()),
        released(),
    ],
    ids=range(6),
)  # fmt: skip
def test_a_view_of_addresses_and_one_that_was_released_are_errors(value):
    with pytest.raises(IdentityError, match="memoryview: (its elements are addresses|ValueError)"):
        digest([value])


def test_the_names_of_fields_and_complex_numbers_are_no_addresses():
    views = [np.zeros(1, dtype=[("O", "i8"), ("P", "c16")]).data, np.zeros(1, "c8").data]
    assert len(set(map(digest, views))) == 2


class Addressed:
    def __reduce__(self):
        return Addressed, (id(self),)


class Named:
    def __reduce__(self):
        return str, (object.__repr__(self),)


@pytest.mark.parametrize("kind", [Addressed, Named])
def test_what_pickles_with_its_address_is_an_error(kind):
    with pytest.raises(IdentityError, match="memory address"):
        digest(kind())


def test_a_file_counts_by_its_contents(tmp_path):
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"x" * 3_000_000)
    other.write_bytes(b"x" * 3_000_000)
    assert digest(File(one)) == digest(File(str(other)))
    other.write_bytes(b"x" * 2_999_999 + b"y")
    assert digest(File(one)) != digest(File(other))
    one.write_bytes(b"a")
    other.write_bytes(b"a\0")
    assert digest(File(one)) != digest(File(other))
    assert File(one) == File(str(one)) != File(other)
    assert os.fspath(File(one)) == str(one) and pickle.loads(pickle.dumps(File(one))) == File(one)
    with pytest.raises(IdentityError, match=r"missing.*does not exist"):
        digest([File(tmp_path / "missing")])
    with pytest.raises(AttributeError):
        File(one).path = "x"


def test_a_hook_can_define_the_form_of_a_type():
    def hook(value):
        return value.a if isinstance(value, Node) else NotImplemented

    assert digest(Node(a=1, b=2), hook=hook) == digest(Node(a=1, b=3), hook=hook)
    assert digest(Node(a=1), hook=hook) != digest(Node(a=2), hook=hook)
    assert digest(Node(a=1), hook=hook) != digest(1, hook=hook)


def test_a_hook_is_not_asked_about_plain_types_and_code():
    asked = []

    def hook(value):
        asked.append(value)
        return NotImplemented

    node = Node(a=[1, "x", None, {"k": (1.5, {2})}, b"y"], b=[len, Node, helper, os])
    digest(node, hook=hook)
    assert all(value is node or value is len for value in asked)


@pytest.mark.parametrize(
    "hook",
    [
        lambda value: value,
        lambda value: [{"again": value}],
        lambda value: copy.copy(value),
        lambda value: [copy.copy(value)],
        lambda value: value.a,
    ],
)
def test_a_hook_that_leads_back_to_the_value_is_an_error(hook):
    node = Node(a=[1])
    node.a.append(node)
    with pytest.raises(IdentityError, match=r"^value\[1\].*Node.*canonical form"):
        digest([0, node], hook=lambda v: hook(v) if isinstance(v, Node) else NotImplemented)


def test_an_error_of_a_hook_is_chained_and_has_the_path():
    def hook(value):
        return value.missing if isinstance(value, Node) else NotImplemented

    with pytest.raises(IdentityError, match=r"^value\['k'\]\[0\].*no attribute 'missing'") as info:
        digest({"k": [Node(a=1)]}, hook=hook)
    assert isinstance(info.value.__cause__, AttributeError)


def test_canonical_forms_may_lie_in_each_other():
    def chain_of(length, leaf):
        for _ in range(length):
            leaf = Node(below=[leaf])
        return leaf

    def hook(value):
        return value.below if hasattr(value, "below") else NotImplemented

    assert digest(chain_of(500, 1), hook=hook) == digest(chain_of(500, 1), hook=hook)
    assert digest(chain_of(500, 1), hook=hook) != digest(chain_of(500, 2), hook=hook)


def test_an_unknown_or_missing_bulk_hash_is_an_error_that_names_it():
    with pytest.raises(InvalidValueError, match="md4"):
        digest(b"x" * 10_000, bulk_hash="md4")


def test_large_buffers_are_hashed_where_they_lie():
    import tracemalloc

    data = np.ones(20_000_000, dtype="u1")
    held = bytes(20_000_000)
    for value in (data, held, data.reshape(4000, 5000).T):
        digest(np.ones(10).T)
        tracemalloc.start()
        digest([value])
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 10_000_000


@st.composite
def layouts(draw):
    """Arrays of any shape whose elements lie in memory in any order."""
    shape = draw(st.lists(st.integers(0, 7) | st.just(1), max_size=5))
    dtype = draw(st.sampled_from(["u1", "i2", "f4", "f8", "c16", "S3", "M8[s]"]))
    held = np.arange(math.prod(n * 2 for n in shape)).astype("u8").astype(dtype)
    array_ = held.reshape([n * 2 for n in shape])
    array_ = array_[tuple(
        draw(st.sampled_from([slice(None, n), slice(None, None, 2), slice(None, None, -2)]))
        for n in shape
    )]  # fmt: skip
    array_ = np.asarray(array_).transpose(draw(st.permutations(range(len(shape)))))
    if draw(st.booleans()):
        array_ = np.broadcast_to(array_, (draw(st.integers(0, 3)), *array_.shape))
    return array_


@settings(max_examples=150, deadline=None)
@given(layouts(), st.integers(1, 300))
def test_arrays_count_by_their_elements_in_c_order_in_whatever_layout(array_, chunk):
    wanted = digest(np.ascontiguousarray(array_).reshape(array_.shape))
    assert digest(array_) == wanted
    with pytest.MonkeyPatch.context() as patch:
        # So that small arrays go the ways of large ones.
        patch.setattr(bulk_data, "_CHUNK", chunk)
        patch.setattr(bulk_data, "_INLINE", 0)
        wanted = digest(np.ascontiguousarray(array_).reshape(array_.shape))
        assert digest(array_) == wanted
        patch.setattr(system_buffers, "_LARGE", 0)
        assert digest(array_) == wanted


def test_large_arrays_count_by_their_elements_in_c_order_in_whatever_layout():
    held = np.arange(3_000_000, dtype="f8")
    cube = held.reshape(100, 200, 150)
    deep = held[: 1 << 20].reshape([2] * 20)
    for array_ in (
        cube.T, cube.transpose(1, 2, 0), cube.transpose(1, 0, 2), cube[::-1, ::3, ::-2], held[::2],
        held.reshape(3, -1).T, held.reshape(-1, 3).T, deep.T, deep.transpose(range(-10, 10)),
        np.broadcast_to(held[:1000], (2000, 1000)), np.broadcast_to(held[:2000, None], (2000, 999)),
        held.reshape(1000, 3000).T.astype("u1", order="K"),
    ):  # fmt: skip
        assert digest(array_) == digest(array_.copy(order="C"))


def test_an_error_in_the_thread_that_hashes_is_raised(monkeypatch):
    class Failing:
        def update(self, chunk):
            raise ArithmeticError

    monkeypatch.setattr(bulk_data, "new_hash", lambda name: Failing())
    with pytest.raises(IdentityError, match="ArithmeticError") as raised:
        digest(np.zeros((2000, 2000)).T)
    assert type(raised.value.__cause__) is ArithmeticError


def test_large_arrays_are_hashed_where_no_thread_can_be_started(monkeypatch):
    array_ = np.arange(4_000_000.0).reshape(2000, 2000).T
    wanted = digest(array_)

    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert digest(array_) == wanted


PROGRAM = """
import sys, datetime, decimal, uuid, fractions, pathlib, collections, re, array
sys.path.insert(0, %r)
from bandsaw.fingerprint import execution_id_of
big = {("k%%d" %% n, n): {float(n), str(n), n} for n in range(50)}
loop = [1]; loop.append(loop)
utc = datetime.timezone.utc
print(execution_id_of({"a": big, "b": frozenset("abcdef"), "c": loop, "d": [
    datetime.datetime(2020, 1, 2, tzinfo=utc), datetime.timedelta(1.5), decimal.Decimal("1.50"),
    uuid.UUID(int=5), fractions.Fraction(1, 3), pathlib.Path("a/b"), pathlib.PurePosixPath("x"),
    collections.Counter("hello"), collections.OrderedDict(a=1), collections.deque([1], 3),
    collections.defaultdict(list, {1: [2]}), re.compile("x", re.I), array.array("q", [1, 2]),
    range(5), slice(1, 2), 1j, float("nan"), "\\ud800", b"x" * 999, bytearray(5), ValueError("x"),
    len, str.upper, int, list(range(99)), ["a"] * 99, [0.5] * 99, 10 ** 40, list[int]]}))
"""


def test_one_execution_id_on_every_python_and_hash_seed():
    listed = os.environ.get("BANDSAW_TEST_PYTHONS")
    folder = Path.home() / ".pyenv" / "versions"
    others = [
        str(path)
        for path in sorted(folder.glob("3.*/bin/python"))
        if int(path.parent.parent.name.split(".")[1]) >= 9
    ]
    found = {}
    for seed, python in enumerate(
        listed.split(os.pathsep) if listed else [sys.executable, *others]
    ):
        environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
        done = subprocess.run(
            [python, "-c", PROGRAM % str(ROOT)], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        found[python] = done.stdout
    assert len(set(found.values())) == 1, found


@pytest.mark.parametrize("name", ["longdouble", "clongdouble"])
def test_what_lies_in_memory_behind_long_numbers_does_not_count(name):
    numbers = np.arange(1000, dtype=name)
    digests = {digest_of_value(numbers + numbers) for _ in range(6)}
    doubled = (numbers + numbers).reshape(10, 100)
    digests.add(digest_of_value(np.asfortranarray(doubled).reshape(-1)))
    assert len(digests) == 1
    assert digest_of_value(np.asfortranarray(doubled)) == digest_of_value(doubled)
    assert digest_of_value(numbers * 3) not in digests
    assert digest_of_value(numbers[3] + 0) == digest_of_value(numbers[3])


def test_an_array_that_is_mapped_from_a_file_counts_by_its_values(tmp_path):
    mapped = np.memmap(tmp_path / "data", dtype="f8", mode="w+", shape=(10,))
    other = np.memmap(tmp_path / "other", dtype="f8", mode="w+", shape=(10,))
    assert digest_of_value(mapped) == digest_of_value(other)
    other[0] = 1
    assert digest_of_value(mapped) != digest_of_value(other)


@pytest.mark.parametrize(
    "iterator",
    [
        iter([1, 2]),
        iter((1,)),
        iter({1}),
        iter({"a": 1}),
        iter("text"),
        iter(range(3)),
        reversed([1]),
        map(str, [1]),
        filter(None, [1]),
        zip([1], [2]),
        enumerate([1]),
        itertools.chain([1]),
        itertools.islice([1], 1),
        (x for x in [1]),
        csv.reader(["a"]),
    ],
    ids=lambda iterator: type(iterator).__name__,
)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: {"key": [value]}])
def test_an_iterator_is_refused_with_the_way_out(iterator, wrap):
    with pytest.raises(IdentityError, match="read only once. Pass a list"):
        digest(wrap(iterator))


class Filter:
    """Goes on step by step and pickles, as filters of statsmodels do."""

    def __init__(self, values):
        self.values = values

    def __next__(self):
        raise StopIteration

    def __reduce__(self):
        return Filter, (self.values,)


def test_an_object_with_steps_that_pickles_in_a_way_of_its_own_is_no_iterator():
    first = execution_id_of({"a": Filter([1])})
    assert first == execution_id_of({"a": Filter([1])}) != execution_id_of({"a": Filter([2])})


class Drawing(_random.Random):
    def __getattr__(self, name):
        raise AttributeError(name)


def test_what_an_object_has_in_c_is_not_taken_for_nothing_where_its_class_has_a_getattr():
    with pytest.raises(IdentityError, match="cannot pickle 'Drawing' object"):
        digest(Drawing(1))


def test_what_a_cached_property_of_an_installed_class_keeps_does_not_count():
    network = ipaddress.ip_network("10.0.0.0/8")
    before = digest(network)
    assert network.broadcast_address and "broadcast_address" in vars(network)
    assert digest(network) == before != digest(ipaddress.ip_network("10.0.0.0/9"))


def test_a_future_is_refused_by_its_own_path_with_the_way_out():
    with pytest.raises(IdentityError, match=r"value\['a'\]\[1\] has no.*result\(\)$"):
        digest({"a": [1, Future()]})


def test_an_open_file_is_refused_with_the_way_out():
    with open(__file__) as file, pytest.raises(IdentityError, match=r"path.*bandsaw\.File"):
        digest(file)


def test_what_gives_the_same_again_and_again_is_no_iterator():
    assert digest(itertools.repeat(1)) != digest(itertools.repeat(2))
    assert digest(io.BytesIO(b"1")) != digest(io.BytesIO(b"2"))


def test_streams_in_memory_are_the_same_after_somebody_has_looked_at_them():
    for stream in (io.BytesIO(b"1"), io.StringIO("1")):
        before = digest(stream)
        assert vars(stream) == {}
        assert digest(stream) == before
