import json
import logging
import pickle
import sys
import threading
import traceback
from concurrent.futures import CancelledError

import pytest

import bandsaw
from bandsaw.advices.retry import RetryAdvice, _wait_after
from bandsaw.errors import InvalidValueError, TaskKilledError, UnserializableError
from bandsaw.result import Result
from bandsaw.session import Session

AT_ONCE = {"wait_initial": 0, "wait_jitter": 0}


class Flaky:
    """A task that fails so often, with the exceptions given."""

    def __init__(self, *errors, **kwargs):
        self.errors = list(errors)
        self.kwargs = kwargs
        self.attempts = []

    def execute(self, execution):
        self.attempts.append(bandsaw.get_attempt())
        if self.errors:
            return Result(exception=self.errors.pop(0))
        return Result(len(self.attempts))

    def __str__(self):
        return "module.flaky"


def outcome(configuration, task):
    session = Session(task, None, configuration)
    result = session.initiate()
    assert dict(session.context) == {}
    return result


def notes(error):
    return getattr(error, "__notes__", [])


def test_a_call_is_tried_again_until_it_succeeds(configure, caplog):
    task = Flaky(ValueError("1"), ValueError("2"))
    with caplog.at_level(logging.INFO):
        assert outcome(configure(RetryAdvice(**AT_ONCE)), task).value == 3
    assert task.attempts == [1, 2, 3]
    assert [record.getMessage() for record in caplog.records] == [
        f"Task module.flaky failed in attempt {number} of 3 and is tried again in 0 s: "
        f"ValueError: {number}"
        for number in (1, 2)
    ]


def test_the_last_exception_is_raised_as_it_is_with_a_note(configure):
    errors = [ValueError(number) for number in range(4)]
    task = Flaky(*errors)
    result = outcome(configure(RetryAdvice(attempts=4, **AT_ONCE)), task)
    assert result.exception is errors[3]
    assert result.exception.args == (3,)
    (note,) = notes(errors[3])
    assert note.startswith("RetryAdvice gave up after 4 attempts in ")
    assert note.endswith(" s.")
    assert not any(map(notes, errors[:3]))
    if sys.version_info >= (3, 11):
        assert note in "".join(traceback.format_exception(errors[3]))


@pytest.mark.parametrize(
    ("on", "attempts"),
    [
        (ValueError, 3),
        (OSError, 1),
        ((OSError, ValueError), 3),
        ((), 1),
        (lambda error: True, 3),
        (lambda error: 0, 3),
        (lambda error: 0.001, 3),
        (lambda error: False, 1),
        (lambda error: None, 1),
        (lambda error: error.args == (0,), 2),
    ],
)
def test_what_is_tried_again(configure, on, attempts):
    errors = [ValueError(number) for number in range(9)]
    task = Flaky(*errors)
    result = outcome(configure(RetryAdvice(3, on, **AT_ONCE)), task)
    assert result.exception is errors[attempts - 1]
    assert len(task.attempts) == attempts
    # What is none of its own is left alone.
    assert len(notes(result.exception)) == (attempts > 1)


@pytest.mark.parametrize(
    "error",
    [
        SystemExit(1),
        KeyboardInterrupt(),
        GeneratorExit(),
        CancelledError(),
        TaskKilledError("killed"),
        UnserializableError("cannot be sent"),
    ],
)
def test_what_is_never_tried_again(configure, error):
    task = Flaky(error)
    advice = RetryAdvice(on=lambda error: True)
    assert outcome(configure(advice), task).exception is error
    assert task.attempts == [1]
    assert notes(error) == []


@pytest.mark.parametrize("error", [SystemExit(1), KeyboardInterrupt()])
def test_what_a_task_raises_past_its_result_is_raised_once(configure, error):
    class Raising(Flaky):
        def execute(self, execution):
            self.attempts.append(1)
            raise error

    task = Raising()
    with pytest.raises(type(error)):
        outcome(configure(RetryAdvice(on=BaseException, **AT_ONCE)), task)
    assert task.attempts == [1]


def test_what_an_advice_raises_is_not_tried_again(configure):
    class Raising(bandsaw.Advice):
        def before(self, session):
            calls.append(1)
            raise ZeroDivisionError("by advice")

    calls = []
    with pytest.raises(Exception, match="by advice"):
        outcome(configure(RetryAdvice(**AT_ONCE), Raising()), Flaky())
    assert calls == [1]


def test_waits_grow_up_to_the_longest_and_have_jitter():
    def options_of(**given):
        return RetryAdvice(**given)._options_of(None)

    options = options_of(wait_initial=0.5, wait_max=4, wait_jitter=0)
    waits = [_wait_after(ValueError(), number, options) for number in (1, 2, 3, 4, 5, 5000)]
    assert waits == [0.5, 1.0, 2.0, 4.0, 4, 4]
    options = options_of(wait_jitter=2.0, wait_max=1.0)
    waits = [_wait_after(ValueError(), 1, options) for _ in range(500)]
    assert 0.1 <= min(waits) < 0.5
    assert max(waits) == 1.0
    assert len(set(waits)) > 20
    options = options_of(on=lambda error: 7, wait_max=1.0)
    assert _wait_after(ValueError(), 1, options) == 7


def test_no_attempt_begins_after_the_timeout(configure, caplog):
    advice = RetryAdvice(1000, timeout=1, wait_initial=2, wait_max=3, wait_jitter=0)
    task = Flaky(ValueError(), ValueError())
    error = outcome(configure(advice), task).exception
    # It does not even wait.
    assert caplog.messages == []
    assert task.attempts == [1]
    assert notes(error)[0].startswith("RetryAdvice gave up after 1 attempt in ")


def test_a_wait_that_took_longer_than_the_timeout_is_the_end(configure, monkeypatch):
    class Clock:
        """Goes on by a second whenever somebody looks: when it begins, fails or has waited."""

        now = 0.0

        def monotonic(self):
            self.now += 1
            return self.now

    monkeypatch.setattr("bandsaw.advices.retry.time", Clock())
    errors = [ValueError(number) for number in range(9)]
    task = Flaky(*errors)
    # The third attempt was to begin after three seconds, and would after four.
    advice = RetryAdvice(9, timeout=3.5, **AT_ONCE)
    assert outcome(configure(advice), task).exception is errors[1]
    assert task.attempts == [1, 2]
    assert notes(errors[1]) == ["RetryAdvice gave up after 2 attempts in 5 s."]


def test_two_of_them_count_apart(configure):
    inner = RetryAdvice(3, on=ValueError, **AT_ONCE)
    outer = RetryAdvice(2, on=(ValueError, KeyError), **AT_ONCE)
    errors = [ValueError(number) for number in range(9)]
    task = Flaky(*errors)
    result = outcome(configure(outer, inner), task)
    assert result.exception is errors[5]
    assert task.attempts == [1, 2, 3, 4, 5, 6]
    assert [note[:37] for note in notes(errors[5])] == [
        "RetryAdvice gave up after 3 attempts ",
        "RetryAdvice gave up after 2 attempts ",
    ]
    task = Flaky(ValueError(), KeyError(), ValueError(), ValueError())
    assert outcome(configure(outer, inner), task).value == 5
    # The same advice twice.
    task = Flaky(*[ValueError() for _ in range(8)])
    assert outcome(configure(inner, inner), task).value == 9


def test_a_task_changes_what_was_given(configure):
    configuration = configure(RetryAdvice(2, on=KeyError, **AT_ONCE))
    task = Flaky(*[ValueError()] * 4, retry={"attempts": 5, "on": ValueError})
    assert outcome(configuration, task).value == 5
    task = Flaky(ValueError(), retry={"attempts": 0})
    with pytest.raises(InvalidValueError, match="retry="):
        outcome(configuration, task)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("attempts", 0),
        ("attempts", True),
        ("attempts", 2.5),
        ("on", "ValueError"),
        ("on", int),
        ("on", (ValueError, len)),
        ("on", None),
        ("timeout", 0),
        ("timeout", "1"),
        ("wait_initial", -1),
        ("wait_max", None),
        ("wait_jitter", float("nan")),
        ("wait_exp_base", float("inf")),
    ],
)
def test_values_that_cannot_be_are_refused(configure, name, value):
    with pytest.raises(InvalidValueError, match=name):
        RetryAdvice(**{name: value})
    configuration = configure(RetryAdvice())
    with pytest.raises(InvalidValueError, match=name):
        bandsaw.task(config=configuration.module_name, retry={name: value})(outcome)


def test_what_the_function_returns_has_to_mean_something(configure):
    for value in (-1, "soon", float("nan")):
        advice = RetryAdvice(on=lambda error, value=value: value)
        with pytest.raises(InvalidValueError, match="RetryAdvice: what on="):
            outcome(configure(advice), Flaky(ValueError("why")))


def test_what_the_function_raises_has_the_failure_as_its_context(configure):
    def on(error):
        raise RuntimeError("of the function")

    @bandsaw.task(config=configure(RetryAdvice(on=on)).module_name)
    def f():
        raise KeyError("of the task")

    with pytest.raises(RuntimeError, match="of the function") as caught:
        f()
    assert isinstance(caught.value.__context__, KeyError)


def test_a_call_that_waits_holds_nothing_and_can_be_ended(configure):
    from bandsaw._system.ending import Ending, current

    class Telling(bandsaw.Advice):
        def after(self, session):
            afters.append(session.result)
            session.proceed()

    class Holding(bandsaw.Advice):
        def before(self, session):
            with lock:
                session.proceed()

    def run():
        current.set(ending)
        results.append(outcome(configuration, task))

    ending, results, afters = Ending(), [], []
    lock, failed = threading.Lock(), threading.Event()
    task = Flaky(ValueError("first"))
    advice = RetryAdvice(on=lambda error: failed.set() or 600)
    configuration = configure(Telling(), advice, Holding())
    thread = threading.Thread(target=run)
    thread.start()
    assert failed.wait(60)
    assert lock.acquire(timeout=60)
    ending.end()
    thread.join(60)
    (result,) = results
    assert isinstance(result.exception, TaskKilledError)
    assert str(result.exception.__cause__) == "first"
    assert afters == results
    assert task.attempts == [1]


def test_a_cache_before_it_keeps_the_final_success_only(configure, tmp_path):
    from bandsaw.advices.cache import CachingAdvice

    cache, retry = CachingAdvice(tmp_path), RetryAdvice(**AT_ONCE)
    for number, chain in enumerate([(cache, retry), (retry, cache)]):
        configuration = configure(*chain)
        failing = [ValueError(), ValueError(), ValueError()]
        task, calls = cached_task(number), []
        flaky.append((calls, failing))
        session = Session(task, execution_of(task, [number]), configuration)
        assert isinstance(session.initiate().exception, ValueError)
        assert list(tmp_path.rglob("[!._]*/[!._]*")) == []
        failing[:] = [ValueError(), ValueError()]
        for _ in range(2):
            session = Session(task, execution_of(task, [number]), configuration)
            assert session.initiate().value == "done"
        assert calls == [1, 2, 3] * 2
        (path,) = tmp_path.rglob("[!._]*/[!._]*")
        path.unlink()
        flaky.pop()


flaky = []


def try_it(items):
    calls, failing = flaky[-1]
    calls.append(bandsaw.get_attempt())
    if failing:
        raise failing.pop()
    return "done"


def spoil(items):
    items.append(len(items))
    if len(items) < 3:
        raise ValueError(items)
    return list(items)


def cached_task(version):
    from bandsaw.tasks import Task

    return Task.create_task(try_it, {"version": version})


def execution_of(task, *args):
    from bandsaw.execution import Execution

    return Execution(None, args).of_task(task)


def test_a_result_of_changed_arguments_is_not_kept_under_the_id_of_the_first(
    configure, tmp_path, caplog
):
    from bandsaw.advices.cache import CachingAdvice
    from bandsaw.tasks import Task

    task = Task.create_task(spoil)
    retry = RetryAdvice(**AT_ONCE)
    for name in ("before", "after"):
        cache = CachingAdvice(tmp_path / name)
        configuration = configure(*((cache, retry) if name == "before" else (retry, cache)))
        session = Session(task, execution_of(task, []), configuration)
        assert session.initiate().value == [0, 1, 2]
        kept = {path.name for path in (tmp_path / name).rglob("[!._]*/[!._]*")}
        # Of the arguments that the last attempt had, it is the result.
        assert kept == ({task.execution_id_of(([0, 1],), {})} if name == "after" else set())
        assert ("is not kept in the cache" in caplog.text) == (name == "before")
        caplog.clear()


def test_an_advice_can_be_copied_and_pickled():
    advice = RetryAdvice(4, on=(KeyError, OSError), timeout=3)
    assert vars(pickle.loads(pickle.dumps(advice))) == vars(advice)


SCRIPT = """
    import json, logging, os, pathlib, sys, threading
    import bandsaw

    COUNTS = pathlib.Path(os.environ["COUNTS"])

    def attempted(name):
        path = COUNTS / name
        with open(path, "a") as file:
            file.write(f"{bandsaw.get_attempt()} ")
        return path.read_text().split()

    def flaky(name, how, times=2):
        numbers = attempted(name)
        if len(numbers) > times:
            return numbers
        if how == "raise":
            raise ValueError(f"attempt {len(numbers)}")
        if how == "die":
            os._exit(7)
        if how == "hang":
            threading.Event().wait()
        if how == "exit":
            sys.exit(3)
        if how == "interrupt":
            raise KeyboardInterrupt
        if how == "spoil":
            raise ValueError("spoiled")

    def spoil(items, path):
        items.append(len(items))
        if len(attempted(path)) < 3:
            raise ValueError(items)
        return list(items)

    def notes(error):
        notes = getattr(error, "__notes__", [])
        return [note.split(" in ")[0] for note in notes if note.startswith("RetryAdvice")]

    tasks = {
        chain: bandsaw.task(chain=chain, config="bandsaw_config", **options)(flaky)
        for chain, options in CHAINS.items()
    }
"""

CONFIGURATION = """
    import sys
    import bandsaw
    from bandsaw.advices.cache import CachingAdvice
    from bandsaw.advices.log import LoggingAdvice
    from bandsaw.advices.retry import RetryAdvice
    from bandsaw.advices.ssh import Remote, SshAdvice
    from bandsaw.advices.subprocess import SubprocessAdvice

    retry = RetryAdvice(wait_initial=0, wait_jitter=0)
    own, kept = SubprocessAdvice(), SubprocessAdvice(workers=1)
    other = SubprocessAdvice(interpreter=bandsaw.Interpreter(executable=sys.executable), fork=False)
    cache, log = CachingAdvice("cache"), LoggingAdvice()
    configuration = bandsaw.Configuration()
    for name in NAMES:
        advices = {"retry": retry, "own": own, "kept": kept, "cache": cache, "log": log,
                   "other": other}
        configuration.add_advice_chain(*[advices[one] for one in name.split()], name=name)
"""

ORDERS = [
    "retry own",
    "own retry",
    "retry kept",
    "kept retry",
    "retry other",
    "retry own retry",
    "own retry own",
    "kept retry kept",
    "cache retry own",
    "cache own retry",
    "retry cache own",
    "retry own cache",
    "own cache retry",
    "own retry cache",
    "log retry own",
    "retry log own",
    "retry own log",
    "own retry log",
]


@pytest.fixture
def workflow(project):
    def workflow(names, body, options=None, **variables):
        counts = project.folder / "counts"
        counts.mkdir()
        chains = {name: (options or {}) for name in names}
        text = CONFIGURATION.replace("NAMES", repr(list(names)))
        project.write("bandsaw_config.py", text)
        project.write("flaky_tasks.py", SCRIPT.replace("CHAINS", repr(chains)))
        lines = ["import json, logging, sys", "import bandsaw", "from flaky_tasks import *", ""]
        lines += ["if __name__ == '__main__':", *("    " + line for line in body.splitlines())]
        (project.folder / "workflow.py").write_text("\n".join(lines))
        done = project.run("workflow.py", COUNTS=str(counts), **variables)
        assert project.left_behind() == []
        return [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    return workflow


def test_attempts_count_in_other_processes_in_every_order(workflow):
    body = """
for chain, task in tasks.items():
    values = [task(chain, "raise"), task(chain, "raise")]
    print(json.dumps([chain, values, (COUNTS / chain).read_text().split()]))
"""
    found, errors = workflow(ORDERS, body)
    assert [chain for chain, _, _ in found] == ORDERS
    for chain, values, counts in found:
        # The second call is served from the cache, or begins with the fourth attempt.
        assert values[0] == ["1", "2", "3"], chain
        second = values[0] if "cache" in chain else ["1", "2", "3", "1"]
        assert values[1] == second, chain
        assert counts == second, chain
    assert "Traceback" not in errors


def test_each_attempt_is_logged_once(workflow):
    body = """
logging.basicConfig(level=logging.INFO, format="%(name)s %(message)s")
for chain, task in tasks.items():
    print(json.dumps(chain), flush=True)
    print("begin", chain, file=sys.stderr, flush=True)
    task(chain, "raise")
"""
    orders = ["log retry own", "retry log own", "retry own log", "own retry log", "log kept retry"]
    _, errors = workflow(orders, body)
    for part in errors.split("begin ")[1:]:
        chain = part.splitlines()[0]
        calls = 3 if chain.index("retry") < chain.index("log") else 1
        assert part.count("log BEFORE") == part.count("log AFTER") == calls, part
        assert part.count("is tried again in 0 s: ValueError: attempt") == 2


def test_a_process_that_died_is_tried_again(workflow):
    body = """
for chain, task in tasks.items():
    try:
        print(json.dumps([chain, task(chain, "die")]))
        task(chain + "2", "die", 9)
    except Exception as error:
        print(json.dumps([type(error).__name__, notes(error)]))
"""
    orders = ["retry own", "retry kept", "cache retry own", "log retry own"]
    found, _ = workflow(orders, body)
    assert found == [
        line
        for chain in orders
        for line in (
            [chain, ["1", "2", "3"]],
            ["WorkerDiedError", ["RetryAdvice gave up after 3 attempts"]],
        )
    ]


def test_each_attempt_has_the_deadline(workflow):
    body = """
for chain, task in tasks.items():
    print(json.dumps(task(chain, "hang", 1)))
"""
    found, errors = workflow(["retry own"], body, {"timeout": 3})
    assert found == [["1", "2"]]
    assert "TaskTimeoutError" in errors


def test_exits_and_arguments_that_cannot_be_sent_are_not_tried_again(workflow):
    body = """
for chain, task in tasks.items():
    for how in ("exit", "interrupt"):
        name = how + " " + chain
        try:
            task(name, how)
        except BaseException as error:
            print(json.dumps([type(error).__name__, len((COUNTS / name).read_text().split())]))
    try:
        task(chain, threading.Lock())
    except Exception as error:
        print(json.dumps([type(error).__name__, notes(error)]))
"""
    found, errors = workflow(["retry own", "own retry", "retry kept"], body)
    ends = [["SystemExit", 1], ["WorkerDiedError", 1], ["UnserializableError", []]]
    assert found == ends * 3
    assert "tried again" not in errors


def test_changed_arguments_are_not_kept_from_another_process(workflow):
    body = """
for chain in tasks:
    task = bandsaw.task(chain=chain, config="bandsaw_config", cache={"refresh": True})(spoil)
    task([], chain)
    kept = sum(1 for path in pathlib.Path("cache").rglob("[!._]*/[!._]*"))
    print(json.dumps([chain, kept]))
"""
    found, errors = workflow(["cache own retry", "cache kept retry", "cache retry own"], body)
    # In an attempt of its own process the arguments are those that were sent.
    assert found == [["cache own retry", 0], ["cache kept retry", 0], ["cache retry own", 1]]
    assert errors.count("from arguments that an earlier one had changed in place") == 2


def test_repeated_calls_stay_repeated_calls(configure):
    from bandsaw._workers import repeat_calls
    from bandsaw.tasks import Task

    class Looking(bandsaw.Advice):
        def before(self, session):
            shapes.append(repeat_calls.shape_of(session))
            session.proceed()

    shapes = []
    task = Task.create_task(try_it)
    flaky.append(([], [ValueError()]))
    chain = RetryAdvice(**AT_ONCE), Looking()
    Session(task, execution_of(task, [1]), configure(*chain)).initiate()
    flaky.pop()
    # A later attempt tells its number.
    assert [shape is not None for shape in shapes] == [True, False]


def test_the_number_of_the_attempt_is_that_of_the_thread_and_the_context(configure):
    import contextvars

    class Asking(Flaky):
        def execute(self, execution):
            barrier.wait(60)
            result = super().execute(execution)
            barrier.wait(60)
            assert bandsaw.get_attempt() == self.attempts[-1]
            seen.append(contextvars.copy_context().run(bandsaw.get_attempt))
            return result

    seen, barrier = [], threading.Barrier(2)
    configuration = configure(RetryAdvice(**AT_ONCE))
    # One of them is an attempt ahead.
    tasks = [Asking(ValueError()), Asking(ValueError(), ValueError())]
    outcomes = []

    def run(task):
        outcomes.append(outcome(configuration, task).value)
        if task is tasks[0]:
            outcome(configuration, task)

    threads = [threading.Thread(target=run, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(outcomes) == [2, 3]
    assert tasks[0].attempts == [1, 2, 1]
    assert tasks[1].attempts == [1, 2, 3]
    assert sorted(seen) == [1, 1, 1, 2, 2, 3]


def wait_for_long(configure, waiting, attempts):
    """Makes a task that fails and then waits for its next attempt."""
    advice = RetryAdvice(on=lambda error: waiting() or 600)
    task = bandsaw.task(config=configure(advice).module_name)

    @task
    def fail():
        attempts.append(bandsaw.get_attempt())
        raise ValueError("first")

    @task
    async def fail_in_a_coroutine():
        attempts.append(bandsaw.get_attempt())
        raise ValueError("first")

    return fail, fail_in_a_coroutine


def test_a_future_that_waits_for_its_next_attempt_can_be_killed(configure):
    waiting, attempts = threading.Event(), []
    fail, _ = wait_for_long(configure, waiting.set, attempts)
    future = fail.submit()
    assert waiting.wait(60)
    future.kill()
    with pytest.raises(TaskKilledError) as raised:
        future.result(60)
    assert str(raised.value.__cause__) == "first"
    assert attempts == [1]


def test_who_is_cancelled_while_it_waits_ends_the_wait(configure):
    import asyncio

    attempts, ended = [], threading.Event()

    class Telling(bandsaw.Advice):
        def after(self, session):
            session.proceed()

        def before(self, session):
            session.proceed()
            ended.set()

    async def main():
        loop, waiting = asyncio.get_running_loop(), asyncio.Event()

        def tell():
            loop.call_soon_threadsafe(waiting.set)

        _, fail = wait_for_long(lambda *chain: configure(Telling(), *chain), tell, attempts)
        call = asyncio.ensure_future(fail())
        await waiting.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(main())
    assert ended.wait(60)
    assert attempts == [1]


def test_coroutines_are_told_their_attempt(configure):
    import asyncio

    attempts = []

    @bandsaw.task(config=configure(RetryAdvice(**AT_ONCE)).module_name)
    async def flaky_coroutine():
        await asyncio.sleep(0)
        attempts.append(bandsaw.get_attempt())
        if len(attempts) < 3:
            raise ValueError(len(attempts))
        return len(attempts)

    assert asyncio.run(flaky_coroutine()) == 3
    assert attempts == [1, 2, 3]
    assert flaky_coroutine.submit().result(60) == 4
    assert attempts == [1, 2, 3, 1]


FAR = """
    import subprocess
    import bandsaw
    from bandsaw.advices.retry import RetryAdvice
    from bandsaw.advices.ssh import Remote, SshAdvice, SshBackend

    class Steps(SshBackend):
        def create_dir(self, remote, remote_path):
            remote_path.mkdir(parents=True)

        def copy_file_to_remote(self, remote, local_path, remote_path):
            remote_path.write_bytes(local_path.read_bytes())

        def copy_file_from_remote(self, remote, remote_path, local_path):
            local_path.write_bytes(remote_path.read_bytes())

        def execute_remote(self, remote, executable, *arguments):
            subprocess.run([executable, *arguments], check=True, cwd="/")

        def delete_dir(self, remote, remote_path):
            for path in remote_path.iterdir():
                path.unlink()
            remote_path.rmdir()

    given = ARGUMENTS
    python = bandsaw.Interpreter(executable=EXECUTABLE)

    def reached(**options):
        advice = SshAdvice(**options)
        advice.add_remote(Remote(interpreter=python, directory=FOLDER, **{**given, "port": 1}), "a")
        return advice.add_remote(Remote(interpreter=python, directory=FOLDER, **given), "b")

    retry = RetryAdvice(wait_initial=0, wait_jitter=0)
    steps = SshAdvice(backend=Steps()).add_remote(
        Remote("here", interpreter=python, directory=FOLDER), "b"
    )
    configuration = (
        bandsaw.Configuration()
        .add_advice_chain(retry, reached(), name="retry own")
        .add_advice_chain(retry, reached(workers=1), name="retry kept")
        .add_advice_chain(reached(), retry, name="own retry")
        .add_advice_chain(retry, steps, name="retry steps")
        .add_advice_chain(steps, retry, name="steps retry")
    )
"""


@pytest.mark.xdist_group("sshd")
def test_attempts_go_to_another_remote_over_ssh(project, remote_arguments, tmp_path):
    far = tmp_path / "far"
    text = FAR.replace("ARGUMENTS", repr(remote_arguments)).replace("FOLDER", repr(str(far)))
    project.write("bandsaw_config.py", text.replace("EXECUTABLE", repr(sys.executable)))
    project.write(
        "workflow.py",
        """
        import json, os
        import bandsaw

        def flaky(counts):
            with open(counts, "a") as file:
                file.write(f"{bandsaw.get_attempt()} ")
            with open(counts) as file:
                numbers = file.read().split()
            if bandsaw.get_attempt() < 3:
                raise ValueError(numbers)
            return numbers

        def on(chain, *remotes):
            return bandsaw.task(chain=chain, ssh={"remote": list(remotes)})(flaky)

        if __name__ == "__main__":
            for chain in ("retry own", "retry kept"):
                # Nobody answers at the first one.
                print(json.dumps(on(chain, "a", "b")(os.path.abspath(chain))))
            for chain in ("own retry", "retry steps", "steps retry"):
                print(json.dumps(on(chain, "b")(os.path.abspath(chain))))
        """,
    )
    done = project.run("workflow.py")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert found == [["2", "3"]] * 2 + [["1", "2", "3"]] * 3
    assert done.stderr.count("RemoteConnectionError") == 2
