import concurrent.futures
import contextvars
import gc
import logging
import pickle
import sys
import threading
import tracemalloc
from concurrent.futures import CancelledError, Future

import pytest

import bandsaw
from bandsaw.errors import DependencyError, InvalidValueError
from tests.conftest import wait_until

LIMIT = 60


@pytest.fixture
def add(task):
    @task
    def add(x, y=0):
        return x + y

    return add


@pytest.fixture
def fail(task):
    @task
    def fail(x):
        raise LookupError(x)

    return fail


def test_a_future_holds_what_the_call_returns_or_raises(add, fail):
    future = add.submit(1, y=2)
    assert isinstance(future, bandsaw.Future) and isinstance(future, Future)
    assert future.result(LIMIT) == 3 and future.exception() is None and future.done()
    assert future.task is add.bandsaw_task
    with pytest.raises(LookupError, match="4"):
        fail.submit(4).result(LIMIT)
    assert isinstance(fail.submit(5).exception(LIMIT), LookupError)


class Many(Exception):
    def __len__(self):
        return 0


def test_an_exception_that_counts_as_false_is_raised(task):
    @task
    def fail(x):
        raise Many(x)

    with pytest.raises(Many):
        fail.submit(1).result(LIMIT)
    with pytest.raises(Many):
        list(fail.map([1]))


def test_a_submitted_call_is_advised_as_a_direct_one(configure):
    seen = []

    class Seeing(bandsaw.Advice):
        def before(self, session):
            seen.append((session.task.task_id, session.execution.execution_id))
            session.proceed()

    # The decorator reaches what was seen, which would be part of the id.
    @bandsaw.task(config=configure(Seeing()).module_name, version="1")
    def f(x):
        return x

    before = Future()
    future = f.submit(before)
    before.set_result(4)
    assert f(4) == future.result(LIMIT) == 4
    assert seen[0] == seen[1]


def test_calls_wait_for_the_futures_among_their_arguments(add):
    first = Future()
    last = add.submit(add.submit(first, 1), add.submit(add.submit(10, first), 100))
    assert not last.done()
    first.set_result(1000)
    assert last.result(LIMIT) == 2111


def test_those_that_wait_take_no_thread_little_memory_and_little_time(add):
    add.submit(1).result(LIMIT)
    gate = Future()
    threads = threading.active_count()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        futures = [add.submit(gate, number) for number in range(3000)]
        assert tracemalloc.get_traced_memory()[0] - before < 3000 * 4096
    finally:
        tracemalloc.stop()
    assert threading.active_count() <= threads
    gate.set_result(1)
    assert [future.result(LIMIT) for future in futures] == [*range(1, 3001)]


def test_what_needs_a_failed_call_fails_at_once_with_the_root_as_its_cause(add, fail):
    gate = Future()
    failing = fail.submit(gate)
    futures = [failing]
    # Longer than Python can recurse.
    for _ in range(3000):
        futures.append(add.submit(futures[-1], 1))
    beside = add.submit(1, failing)
    gate.set_result("root")
    root = failing.exception(LIMIT)
    for future in (futures[1], futures[-1], beside):
        error = future.exception(LIMIT)
        assert isinstance(error, DependencyError) and error.__cause__ is root
        assert str(add.bandsaw_task) in str(error) and str(fail.bandsaw_task) in str(error)
        assert "LookupError" in str(error)
    late = add.submit(failing)
    assert late.done() and late.exception().__cause__ is root
    assert pickle.loads(pickle.dumps(late.exception())).args == late.exception().args


class WithoutText(Exception):
    def __str__(self):
        raise RuntimeError


def test_what_needs_a_failed_call_fails_also_if_its_error_has_no_text(add):
    gate = Future()
    needs = add.submit(gate, 1)
    gate.set_exception(WithoutText())
    for future in (needs, add.submit(gate, 1)):
        error = future.exception(LIMIT)
        assert isinstance(error, DependencyError) and isinstance(error.__cause__, WithoutText)


def test_what_needs_a_cancelled_call_fails_at_once(add):
    gate = Future()
    first = add.submit(gate)
    second = add.submit(first)
    assert first.cancel() and first.cancel()
    error = second.exception(0)
    assert isinstance(error, DependencyError) and isinstance(error.__cause__, CancelledError)
    assert "was cancelled" in str(error)
    gate.set_result(1)
    with pytest.raises(CancelledError):
        first.result()


def test_no_more_calls_run_at_once_than_the_chain_takes(bounded, gate):
    @bounded(3)
    def f(x):
        gate.pass_through()
        return x

    futures = [f.submit(x) for x in range(20)]
    for _ in range(3):
        assert gate.arrived.acquire(timeout=LIMIT)
    assert gate.inside == 3
    assert not futures[0].cancel()
    gate.open()
    assert [future.result(LIMIT) for future in futures] == [*range(20)]
    assert gate.most == 3


def test_a_configuration_bounds_all_its_chains_together(configure, gate):
    configuration = configure(name="other").set_max_in_flight(2)

    @bandsaw.task(config=configuration.module_name)
    def f(x):
        gate.pass_through()

    @bandsaw.task(config=configuration.module_name, chain="other")
    def g(x):
        gate.pass_through()

    futures = [function.submit(x) for x in range(5) for function in (f, g)]
    for _ in range(2):
        assert gate.arrived.acquire(timeout=LIMIT)
    gate.open()
    concurrent.futures.wait(futures, LIMIT)
    assert gate.most == 2
    for number in (0, 1.5, "2", True):
        with pytest.raises(InvalidValueError, match="max_in_flight"):
            configuration.set_max_in_flight(number)


def test_a_bound_that_is_none_is_refused_when_a_call_is_submitted(bounded):
    @bounded(0)
    def f():
        pass

    with pytest.raises(InvalidValueError, match=r"Bound\.max_in_flight=0"):
        f.submit()


@pytest.mark.parametrize("later", [0, LookupError("gone")])
def test_a_bound_that_turns_bad_later_leaves_the_calls_the_last_good_one(configure, gate, later):
    answers = [None]

    class Moody(bandsaw.Advice):
        @property
        def max_in_flight(self):
            if isinstance(answers[-1], Exception):
                raise answers[-1]
            return answers[-1]

    configuration = configure(Moody()).set_max_in_flight(1)

    @bandsaw.task(config=configuration.module_name)
    def one(x):
        gate.pass_through()
        return x

    futures = [one.submit(x) for x in range(3)]
    answers.append(later)
    futures.append(one.submit(3))
    gate.open()
    assert [future.result(LIMIT) for future in futures] == [0, 1, 2, 3]


def test_first_come_those_that_a_waiting_call_needs_then_the_others_in_order(bounded, gate):
    order = []
    task = bounded(1)

    @task
    def hold():
        gate.pass_through()

    @task
    def note(name, needs=None):
        order.append(name)
        return name

    @task
    def waiting():
        order.append("waiting")
        return needed.result(LIMIT)

    holding = hold.submit()
    assert gate.arrived.acquire(timeout=LIMIT)
    waiter = waiting.submit()
    futures = [note.submit(number) for number in range(3)]
    needed = note.submit("needed", note.submit("needed first"))
    gate.open()
    assert waiter.result(LIMIT) == "needed"
    concurrent.futures.wait([holding, *futures], LIMIT)
    assert order == ["waiting", "needed first", "needed", 0, 1, 2]


@pytest.mark.parametrize("number", [1, 2])
def test_calls_that_submit_others_and_wait_for_them_come_to_an_end(bounded, number):
    task = bounded(number)

    @task
    def depth(left):
        return 0 if not left else 1 + depth.submit(left - 1).result(LIMIT)

    @task
    def width(left):
        return 1 if not left else sum(width.map([left - 1] * 3))

    futures = [depth.submit(10) for _ in range(200)]
    assert {future.result(LIMIT) for future in futures} == {10}
    assert width.submit(4).result(LIMIT) == 81
    assert threading.active_count() < 100


def test_nested_calls_run_even_when_nobody_sees_that_they_are_waited_for(bounded):
    task = bounded(1)

    @task
    def inner(x):
        return x

    @task
    def outer():
        futures = [inner.submit(x) for x in range(5)]
        done, _ = concurrent.futures.wait(futures, LIMIT)
        return sum(future.result() for future in done)

    assert outer.submit().result(LIMIT) == 10


def test_one_call_at_a_time_runs_beyond_the_bound_for_a_call_that_may_wait_for_it(bounded, gate):
    task = bounded(1)

    @task
    def inner(x):
        gate.pass_through()
        return x

    @task
    def outer():
        futures = [inner.submit(x) for x in range(5)]
        assert gate.arrived.acquire(timeout=LIMIT)
        # Another one would have been begun when it was submitted.
        assert not gate.arrived.acquire(timeout=0.1)
        gate.open()
        done, _ = concurrent.futures.wait(futures, LIMIT)
        return sum(future.result() for future in done)

    assert outer.submit().result(LIMIT) == 10
    assert gate.most == 1


def test_the_same_call_twice_at_once_is_computed_once(configure, tmp_path, gate):
    from bandsaw.advices.cache import CachingAdvice

    count = []

    def computed_once(x):
        count.append(x)
        gate.pass_through()
        return x

    cached = configure(CachingAdvice(tmp_path), Proceeding())
    f = bandsaw.task(config=cached.module_name, version="1")(computed_once)
    futures = [f.submit(5) for _ in range(4)]
    assert gate.arrived.acquire(timeout=LIMIT)
    gate.open()
    assert [future.result(LIMIT) for future in futures] == [5] * 4
    assert count == [5]


class Proceeding(bandsaw.Advice):
    max_in_flight = 4


def test_context_variables_are_those_at_submit(task):
    variable = contextvars.ContextVar("variable", default="unset")

    @task
    def read(_):
        value = variable.get()
        variable.set("changed")
        return value

    gate = Future()
    variable.set("then")
    future = read.submit(gate)
    variable.set("later")
    gate.set_result(None)
    assert future.result(LIMIT) == "then" and variable.get() == "later"


def test_futures_work_with_what_the_standard_library_has_for_them(add):
    futures = [add.submit(number) for number in range(20)]
    done = {future.result() for future in concurrent.futures.as_completed(futures, LIMIT)}
    assert done == set(range(20))
    gate = Future()
    waiting, cancelled = add.submit(gate), add.submit(gate)
    first, _ = concurrent.futures.wait([waiting], 0)
    assert not first
    with pytest.raises(concurrent.futures.TimeoutError):
        waiting.result(0.001)
    told = []
    waiting.add_done_callback(told.append)
    assert cancelled.cancel()
    assert concurrent.futures.wait([cancelled], LIMIT).done == {cancelled}
    gate.set_result(1)
    assert concurrent.futures.wait([waiting], LIMIT).done == {waiting}
    assert told == [waiting]


def test_a_callback_that_exits_ends_no_thread_and_keeps_nobody_waiting(bounded, gate, caplog):
    @bounded(1)
    def f(x):
        gate.pass_through()
        return x

    future = f.submit(1)
    future.add_done_callback(lambda _: sys.exit(3))
    needs = f.submit(future)
    gate.open()
    assert needs.result(60) == 1
    assert f.submit(2).result(60) == 2
    assert "exception calling callback" in caplog.text


def test_what_is_called_at_the_end_of_a_call_may_wait_for_others(bounded):
    @bounded(1)
    def double(number):
        return 2 * number

    def go_on(done):
        first = double.submit(done.result()).result(LIMIT)
        told.set_result(double.submit(double.submit(first)).result(LIMIT))

    gate, told = Future(), Future()
    future = double.submit(gate)
    future.add_done_callback(go_on)
    gate.set_result(1)
    assert told.result(LIMIT) == 16
    # The place that the call had is free again.
    assert list(double.map(range(3))) == [0, 2, 4]


def test_arguments_and_results_are_not_kept(task):
    class Thing:
        alive = 0

        def __init__(self):
            Thing.alive += 1

        def __del__(self):
            Thing.alive -= 1

    @task
    def passing(thing):
        return thing

    future = passing.submit(passing.submit(Thing()))
    future.result(LIMIT)
    del future
    passing.submit(None).result(LIMIT)
    gc.collect()
    assert Thing.alive == 0

    never = Future()
    cancelled = passing.submit([Thing(), never])
    assert cancelled.cancel()
    gc.collect()
    assert Thing.alive == 0


def test_a_failure_that_nobody_asks_for_is_logged_once(add, fail, caplog):
    fail.submit("known").exception(LIMIT)
    gate = Future()
    root = fail.submit(gate)
    below = [add.submit(root, number) for number in range(5)]
    gate.set_result("unknown")
    concurrent.futures.wait([root, *below], LIMIT)
    del root, below
    gc.collect()
    records = [record for record in caplog.records if record.name == "bandsaw.futures"]
    assert [record.levelno for record in records] == [logging.ERROR]
    assert str(fail.bandsaw_task) in records[0].getMessage()
    assert "unknown" in str(records[0].exc_info[1])


def test_a_failure_of_a_future_from_elsewhere_is_logged_unless_somebody_has_cancelled_it(
    add, caplog
):
    failing, cancelled = Future(), Future()
    calls = [add.submit(failing), add.submit(cancelled)]
    failing.set_exception(LookupError("unknown"))
    cancelled.cancel()
    concurrent.futures.wait(calls, LIMIT)
    del calls, failing, cancelled
    gc.collect()
    records = [record for record in caplog.records if record.name == "bandsaw.futures"]
    assert ["unknown" in str(record.exc_info[1]) for record in records] == [True]


def test_several_threads_submit_at_once(add):
    def work(number):
        return sum(add.submit(number, add.submit(x)).result(LIMIT) for x in range(50))

    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(work, range(8))) == [50 * n + 1225 for n in range(8)]


def test_a_future_where_its_value_cannot_be_put_is_refused_at_once(add):
    with pytest.raises(TypeError, match="stands at argument 1"):
        add.submit({Future(): 1})
    with pytest.raises(TypeError, match="argument 'y'"):
        add.submit(1, y={Future(): 1})


WAITS = {
    "wait": lambda futures: concurrent.futures.wait(futures, LIMIT).done,
    "first": lambda futures: (
        concurrent.futures.wait(futures, LIMIT, concurrent.futures.FIRST_COMPLETED).done
    ),
    "as_completed": lambda futures: set(concurrent.futures.as_completed(futures, LIMIT)),
}


@pytest.mark.parametrize("wait", WAITS.values(), ids=WAITS)
def test_a_call_that_waits_for_several_gives_its_place_away(bounded, wait):
    one_at_a_time = bounded(1)

    @one_at_a_time
    def leaf(x):
        return x

    needed = Future()
    others = [leaf.submit(needed), leaf.submit(leaf.submit(needed))]

    @one_at_a_time
    def outer(depth):
        if depth:
            futures = [outer.submit(depth - 1), leaf.submit(1), leaf.submit(leaf.submit(2))]
        else:
            futures = others
            if not needed.done():
                needed.set_result(0)
        done = wait(futures)
        assert done
        return sum(future.result() for future in done)

    results = [outer.submit(5) for _ in range(3)]
    assert len(concurrent.futures.wait(results, LIMIT).done) == 3
    if wait is not WAITS["first"]:
        assert [future.result() for future in results] == [15, 15, 15]


def test_a_callback_that_takes_long_keeps_no_call_that_is_ready_from_its_turn(bounded, gate):
    task, woken, told = bounded(2), threading.Event(), []

    @task
    def first():
        gate.pass_through()

    @task
    def second(_):
        woken.set()

    future = first.submit()
    needs = second.submit(future)
    future.add_done_callback(lambda done: told.append(woken.wait(LIMIT)))
    gate.open()
    needs.result(LIMIT)
    wait_until(lambda: told == [True])
