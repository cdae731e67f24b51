import gc
import inspect
import itertools
import re
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from decimal import Decimal

import pytest

from bandsaw.errors import DependencyError, InvalidValueError


@pytest.fixture
def double(task):
    @task
    def double(x, y=2):
        return x * y

    return double


def test_results_come_in_the_order_of_the_items(double):
    assert list(double.map(range(100))) == [2 * x for x in range(100)]
    assert list(double.map([1, 2, 3], [4, 5])) == [4, 10]
    assert list(double.map([])) == []
    assert list(double.map([double.submit(1), 2])) == [4, 4]


@pytest.mark.parametrize("wrap", [lambda results: results, lambda results: {"a": [results]}])
def test_results_are_no_argument_of_a_submitted_call(double, wrap):
    with pytest.raises(TypeError, match="results of a map.* stand at argument 1.* Pass a list"):
        double.submit(wrap(double.map([1, 2])))


def test_it_begins_at_the_call(task):
    called = Future()

    @task
    def f(x):
        called.set_result(x)

    results = f.map([3])
    assert called.result(200) == 3
    next(results)


@pytest.mark.parametrize("size", [1, 3])
def test_no_more_items_are_taken_than_the_buffer_holds(double, size):
    taken = []
    items = (taken.append(x) or x for x in itertools.count())
    results = double.map(items, buffersize=size)
    assert len(taken) == size
    for number in range(20):
        assert next(results) == 2 * number
        assert len(taken) == size + number + 1
    results.close()
    assert list(results) == []
    assert len(taken) == size + 20


def test_an_endless_generator_takes_bounded_memory(task):
    class Thing:
        alive = 0

        def __init__(self):
            Thing.alive += 1

        def __del__(self):
            Thing.alive -= 1

    @task
    def make(_):
        return Thing()

    results = make.map(itertools.count(), buffersize=4)
    for _ in range(200):
        next(results)
        assert Thing.alive <= 6
    del results
    gc.collect()


def test_results_before_a_failure_are_given_and_what_has_not_begun_is_cancelled(bounded, gate):
    begun = []

    @bounded(1)
    def f(x):
        begun.append(x)
        if x == 2:
            raise LookupError(x)
        return x

    taken = []
    results = f.map((taken.append(x) or x for x in range(100)), buffersize=50)
    assert next(results) == 0
    assert next(results) == 1
    with pytest.raises(LookupError):
        next(results)
    assert list(results) == []
    assert begun == [0, 1, 2] and len(taken) <= 52


def test_a_failure_cancels_nothing_that_comes_before_it(bounded, gate):
    @bounded(1)
    def f(x):
        gate.pass_through()
        return x

    failed = Future()
    failed.set_exception(LookupError("x"))
    results = f.map([1, 2, failed, 4])
    gate.open()
    assert next(results) == 1 and next(results) == 2
    with pytest.raises(DependencyError):
        next(results)


def test_what_the_items_raise_comes_after_the_results_before_it(double):
    def items():
        yield 1
        yield 2
        raise OSError("no more")

    results = double.map(items())
    assert next(results) == 2 and next(results) == 4
    with pytest.raises(OSError, match="no more"):
        next(results)


def test_a_task_that_raises_stop_iteration_does_not_end_the_results_without_a_word(task):
    @task
    def f(x):
        if x == 1:
            raise StopIteration("by mistake")
        return x

    results = f.map(range(3))
    assert next(results) == 0
    with pytest.raises(RuntimeError, match="f raised StopIteration") as caught:
        next(results)
    assert caught.value.__cause__.value == "by mistake"


def test_what_has_not_begun_is_cancelled_when_it_is_closed_or_goes_away(bounded, gate):
    begun = []

    @bounded(1)
    def f(x):
        begun.append(x)
        gate.pass_through()

    closed = f.map(range(10))
    assert gate.arrived.acquire(timeout=60)
    closed.close()
    dropped = f.map(range(10, 20))
    del dropped
    gc.collect()
    gate.open()
    f.submit(20).result(200)
    assert begun == [0, 20]


def test_a_result_that_is_late_is_a_timeout_error(bounded, gate):
    @bounded(1)
    def f(x):
        gate.pass_through()

    results = f.map([1, 2], timeout=0.01)
    with pytest.raises(FutureTimeoutError, match=r"Task .*f has not ended before the timeout\."):
        next(results)
    assert list(results) == []


def test_a_keyword_that_map_has_not_is_an_error_that_names_the_task(bounded):
    @bounded(1)
    def f(x):
        return x

    decorate = bounded(1)

    class Scaled:
        @decorate
        def scale(self, x):
            return x

    for task_function in (f, Scaled().scale, vars(Scaled)["scale"]):
        name = re.escape(str(task_function.bandsaw_task))
        with pytest.raises(TypeError, match=rf"map\(\) of task {name} has no option 'x'.*repeat"):
            task_function.map(x=[1])
        parameters = inspect.signature(task_function.map).parameters
        assert list(parameters) == ["iterables", "buffersize", "timeout"]


def test_one_value_for_all_calls_is_repeated(double):
    assert list(double.map([1, 2], itertools.repeat(5))) == [5, 10]


def test_results_that_are_printed_say_how_to_take_them(double):
    results = double.map([1, 2])
    assert "double: take them with list() or in a loop" in repr(results)
    assert list(results) == [2, 4]


def test_options_that_cannot_be_used_are_refused(double):
    for size in (0, -1, 1.5, True):
        with pytest.raises(InvalidValueError, match="buffersize"):
            double.map([1], buffersize=size)
    for seconds in ("3", float("nan"), True):
        with pytest.raises(InvalidValueError, match="timeout"):
            double.map([1], timeout=seconds)
    for seconds in (float("inf"), Decimal(60), 1e9):
        assert list(double.map([1], timeout=seconds)) == [2]
    with pytest.raises(TypeError, match="at least one"):
        double.map()
