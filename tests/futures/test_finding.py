import asyncio
import collections
import dataclasses
import functools
import inspect
import sys
import types
from concurrent.futures import Future
from typing import Any, NamedTuple
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bandsaw._futures.finding import find
from bandsaw.errors import InvalidValueError


def array(*args):
    return pytest.importorskip("numpy").array(*args)


def done(value):
    future = Future()
    future.set_result(value)
    return future


def replaced(*args, **kwargs):
    return find(args, kwargs).replace(args, kwargs)


class Pair(NamedTuple):
    one: Any
    other: Any


class Numbers(list):
    pass


class Frozen(frozenset):
    pass


@dataclasses.dataclass
class Point:
    x: Any
    y: Any = 0

    def __post_init__(self):
        assert not hasattr(self, "made"), "made twice"
        self.made = 1


@dataclasses.dataclass(frozen=True)
class Fixed:
    __slots__ = ("x",)
    x: Any


@dataclasses.dataclass
class WithList(list):
    x: Any


class Odd:
    """Its constructor is asked for more than a copy would give, and its methods refuse to help."""

    def __init__(self, content, _):
        super().__init__(content)

    def refuse(self, *_):
        raise AssertionError

    __iter__ = append = add = extend = update = items = refuse


class OddList(Odd, list):
    pass


class OddSet(Odd, set):
    pass


class OddDict(Odd, dict):
    __getitem__ = __setitem__ = Odd.refuse


class OddOrdered(Odd, collections.OrderedDict):
    pass


class OddDefault(collections.defaultdict):
    def __init__(self, content, _):
        super().__init__(list, content)


CONTAINERS = [
    lambda x: [x, 1],
    lambda x: (1, x),
    lambda x: {"a": x, "b": 2},
    lambda x: {x, 5},
    lambda x: frozenset([x]),
    lambda x: Pair(x, 1),
    lambda x: Numbers([x]),
    lambda x: Frozen([x]),
    lambda x: collections.OrderedDict(b=x, a=1),
    lambda x: collections.defaultdict(list, a=x),
    lambda x: Point(x),
    lambda x: Fixed(x),
]
ODD = [
    lambda x: OddList([x], 1),
    lambda x: OddSet([x], 1),
    lambda x: OddDict({"a": x}, 1),
    lambda x: OddOrdered({"b": x, "a": 1}, 1),
    lambda x: OddDefault({"a": x}, 1),
]


@pytest.mark.parametrize("make", CONTAINERS + ODD)
def test_a_value_takes_the_place_of_a_future_in_a_container_of_the_same_type(make):
    given_one = make(done(7))
    (value,), _ = replaced(given_one)
    assert type(value) is type(given_one) and value == make(7)
    if isinstance(value, collections.defaultdict):
        assert value["new"] == []
    assert find((given_one,), {}).futures, "the caller's own container was changed"
    _, named = replaced(name=make(done(7)))
    assert named == {"name": make(7)}


@given(st.lists(st.sampled_from(CONTAINERS), max_size=8))
def test_a_future_is_found_at_any_depth(makes):
    value, expected = done(3), 3
    for make in makes:
        try:
            hash(value), hash(expected)
            fits = True
        except TypeError:
            fits = make not in (CONTAINERS[3], CONTAINERS[4], CONTAINERS[7])
        if fits:
            value, expected = make(value), make(expected)
    (result,), _ = replaced(value)
    assert result == expected


def test_only_containers_on_the_way_are_copied():
    other, beside = [1, 2], {"a": []}
    (result,), _ = replaced([other, beside, [done(1)]])
    assert result == [other, beside, [1]]
    assert result[0] is other and result[1] is beside


def test_what_is_shared_stays_shared_and_what_is_cyclic_cyclic():
    inner = [done(1)]
    (one, other), kwargs = replaced([inner], (inner,), third=inner)
    assert one[0] is other[0] is kwargs["third"]
    cycle = [done(1)]
    cycle += [cycle, (cycle, Point(cycle))]
    (copied,), _ = replaced(cycle)
    assert copied[0] == 1 and copied[1] is copied and copied[2][0] is copied
    assert copied[2][1].x is copied and cycle[1] is cycle


def test_attributes_of_subclasses_are_kept():
    numbers, frozen = Numbers([done(1)]), Frozen([done(1)])
    numbers.name = frozen.name = "name"
    (one, other), _ = replaced(numbers, frozen)
    assert one.name == other.name == "name"


class Copied:
    def __copy__(self):
        copied = type(self)(self)
        copied.log = list(self.log)
        return copied


class CopiedList(Copied, list):
    pass


class CopiedDict(Copied, dict):
    pass


class CopiedSet(Copied, set):
    pass


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: CopiedList([done(1), 2]), [1, 2]),
        (lambda: CopiedDict(a=done(1), b=2), {"a": 1, "b": 2}),
        (lambda: CopiedSet([done(1), 2]), {1, 2}),
    ],
)
def test_a_container_is_copied_as_its_class_says(make, expected):
    container = make()
    container.log = ["made"]
    ((copied,), _) = replaced(container)
    copied.log.append("copied")
    assert type(copied) is type(container) and copied == expected
    assert container.log == ["made"] and len(container) == 2


def test_a_container_that_is_its_own_copy_is_copied_nevertheless():
    class Same(list):
        def __copy__(self):
            return self

    same = Same([done(1)])
    ((copied,), _) = replaced(same)
    assert copied == [1] and type(same[0]) is Future


class Box:
    def __init__(self, content):
        self.content = content


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        (lambda: {done(1): 2}, r"argument 1 \(a key\)"),
        (lambda: {(done(1), 2): 2}, r"argument 1 \(a key\)\[0\]"),
        (lambda: [Box(done(1))], r"argument 1\[0\]\.content"),
        (lambda: {"a": Box([done(1)])}, r"argument 1\['a'\]\.content\[0\]"),
        (lambda: Point(Box(done(1))), r"argument 1\.x\.content"),
        (lambda: functools.partial(print, done(1)), r"argument 1\[1\]"),
        (lambda: collections.deque([done(1)]), r"argument 1\[0\]"),
        (lambda: types.MappingProxyType({"a": done(1)}), r"argument 1\[0\]\['a'\]"),
        (lambda: {"a": done(1)}.values(), r"argument 1\[0\]\['a'\]"),
        (lambda: zip([done(1)]), r"argument 1(\[0\])+"),
        (lambda: [OSError("no", done(1))], r"argument 1\[0\]\[1\]"),
        (lambda: [array([[None, 1], [done(1), 2]], "O")], r"argument 1\[0\]\[1, 0\]"),
        (lambda: array([(1, [done(1)])], "i8, O"), r"argument 1\[0\]\[1\]\[0\]"),
    ],
)
def test_a_future_whose_value_cannot_be_put_there_is_refused(argument, path):
    with pytest.raises(TypeError, match=f"A Future stands at {path}, and"):
        find((argument(),), {})


def test_an_object_that_is_also_reached_through_a_container_is_no_way_out():
    shared = [done(1)]
    for args in ((shared, Box(shared)), (Box(shared), shared)):
        with pytest.raises(TypeError, match=r"\.content\[0\]"):
            find(args, {})


def test_coroutines_and_asyncio_futures_are_refused():
    async def coroutine():
        pass

    made = coroutine()
    with pytest.raises(TypeError, match=r"A coroutine stands at argument 'x'\[0\]"):
        find((), {"x": [made]})
    made.close()
    loop = asyncio.new_event_loop()
    with pytest.raises(TypeError, match="A Future stands at argument 1, and only a concurrent"):
        find((loop.create_future(),), {})
    loop.close()


def test_nothing_of_other_objects_is_run_to_find_out():
    class Hostile:
        __slots__ = ("__dict__", "unset")

        def __getattr__(self, name):
            raise AssertionError(name)

        def __eq__(self, other):
            raise AssertionError(other)

        __hash__ = None

    hostile = Hostile()
    hostile.me = hostile
    assert find((hostile, [hostile], 1, "text"), {}) is None
    failed = type("Failed", (Exception,), {"args": None})
    assert find((failed("text"),), {}) is None
    with pytest.raises(TypeError, match=r"A Future stands at argument 1\[0\]"):
        find((failed(done(1)),), {})


@pytest.mark.parametrize(
    "kind", [list, dict, tuple, set, functools.partial, types.MethodType, ValueError]
)
def test_a_mock_that_says_it_is_a_container_is_an_object(kind):
    mocked = mock.Mock(spec=kind)
    assert find((mocked, [mocked]), {}) is None
    mocked.held = done(1)
    with pytest.raises(TypeError, match=r"A Future stands at argument 1"):
        find((mocked,), {})


def test_a_future_that_lies_too_deep_is_an_error_in_words(task):
    @task
    def f(value):
        return value

    nested = done(1)
    for _ in range(sys.getrecursionlimit()):
        nested = [nested]
    with pytest.raises(InvalidValueError, match="too deep in an argument"):
        f.submit(nested).result(200)


def test_map_says_what_it_takes(task):
    @task
    def f(value):
        return value

    assert list(inspect.signature(f.map).parameters) == ["iterables", "buffersize", "timeout"]
    with pytest.raises(TypeError, match="chunksize"):
        f.map([1], chunksize=2)
