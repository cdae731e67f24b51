import threading
import time
import types

import pytest

from bandsaw._workers import deaths, frames, serving
from bandsaw._workers.ends import channel_pair

pytestmark = pytest.mark.slow


SLOW = """
@bandsaw.task(timeout=2)
def slow():
    print('started', subprocess.Popen(['sleep', '600']).pid, flush=True)
    print('last words', file=sys.stderr, flush=True)
    time.sleep(600)

@bandsaw.task(timeout=60)
def f(x):
    return x
"""


def test_a_task_that_takes_too_long_is_ended_with_all_that_it_started(run, mode, wait_until):
    body = """
    for x in range(2):
        try:
            slow()
        except TimeoutError as error:
            assert isinstance(error, bandsaw.errors.TaskTimeoutError)
            assert isinstance(error, bandsaw.errors.BandsawError)
            for part in ('task workflow.slow', 'execution', '2 s', sys.executable, 'pid',
                         'last words'):
                assert part in str(error), (part, str(error))
        else:
            raise AssertionError
        assert f(x) == x
    """
    told = run(SLOW, body, mode).stdout.split()
    for pid in told[1::2]:
        wait_until.gone(int(pid))


def test_the_end_of_a_task_counts_as_well(run):
    tasks = """
    @bandsaw.task(timeout=0.5)
    def f():
        threading.Thread(target=time.sleep, args=(600,)).start()
    """
    body = "try:\n    f()\nexcept TimeoutError:\n    print('ended')"
    assert run(tasks, body).stdout == "ended\n"


def test_a_task_that_ignores_what_it_can_is_ended(run, mode):
    tasks = """
    @bandsaw.task(timeout=0.5)
    def f():
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGPIPE):
            signal.signal(number, signal.SIG_IGN)
        while True:
            try:
                time.sleep(600)
            except BaseException:
                pass
    """
    body = "try:\n    f()\nexcept TimeoutError:\n    print('ended')"
    assert run(tasks, body, mode).stdout == "ended\n"


@pytest.mark.parametrize("when", ["loading", "saving"])
def test_the_time_includes_what_comes_before_and_after_the_task(run, mode, when):
    tasks = """
    class Slow:
        def __init__(self, when):
            self.when = when

        def __getstate__(self):
            if self.when == 'saving':
                time.sleep(600)
            return vars(self)

        def __setstate__(self, state):
            self.__dict__.update(state)
            if self.when == 'loading':
                time.sleep(600)

    @bandsaw.task(timeout=0.5)
    def f(value):
        return Slow('saving')
    """
    body = f"""
    try:
        f(Slow({when!r}) if {when!r} == 'loading' else None)
    except TimeoutError:
        print('ended')
    """
    assert run(tasks, body, mode).stdout == "ended\n"


@pytest.mark.parametrize("seconds", ["0", "-1", "float('nan')", "float('inf')", "'x'", "True"])
def test_a_timeout_that_is_none_is_refused(run, seconds):
    tasks = "def f():\n    print('ran')"
    body = f"""
    try:
        bandsaw.task(timeout={seconds})(f)
    except ValueError as error:
        assert isinstance(error, bandsaw.errors.InvalidValueError)
        assert 'timeout' in str(error) and 'workflow.f' in str(error), error
    else:
        raise AssertionError
    """
    assert run(tasks, body).stdout == ""


def test_a_process_that_was_stopped_is_ended_where_signs_of_life_are_asked_for(run, mode):
    tasks = """
    @bandsaw.task
    def f(stops):
        if stops:
            os.kill(os.getpid(), signal.SIGSTOP)
        return 1
    """
    body = """
    assert f(False) == 1
    try:
        f(True)
    except bandsaw.errors.WorkerDiedError as error:
        assert 'no sign of life' in str(error) and 'memory' not in str(error), error
    else:
        raise AssertionError
    assert f(False) == 1
    """
    run(tasks, body, f"heartbeat=2, {mode}")


@pytest.mark.parametrize(
    ("options", "timeout", "error"),
    [("", 3, "TaskTimeoutError"), (", heartbeat=2", None, "WorkerDiedError")],
)
def test_a_process_that_takes_nothing_any_more_is_not_waited_for(run, options, timeout, error):
    tasks = f"""
    @bandsaw.task(timeout={timeout})
    def f(value):
        return os.getpid()
    """
    body = f"""
    os.kill(f(1), signal.SIGSTOP)
    # More than the buffers of a socket hold.
    os.environ.update({{f'VARIABLE_{{number}}': 'x' * 10_000 for number in range(60)}})
    try:
        f(bytes(60_000))
    except bandsaw.errors.{error}:
        pass
    else:
        raise AssertionError
    f(2)
    """
    run(tasks, body, f"workers=1{options}")


def test_signs_of_life_come_as_often_as_they_are_asked_for(monkeypatch):
    slept = []
    near, far = map(frames.Channel, channel_pair())
    monkeypatch.setattr(serving, "time", types.SimpleNamespace(sleep=slept.append))
    serving._give_signs_of_life(far, 0.25)
    (beating,) = (each for each in threading.enumerate() if each.name == "bandsaw-heartbeat")
    assert [near.receive().kind for _ in range(3)] == [frames.HEARTBEAT] * 3
    near.close()
    # Nobody hears it any more.
    beating.join(60)
    assert not beating.is_alive()
    far.close()
    assert set(slept) == {0.25}


def test_a_machine_that_stands_still_costs_one_sign_of_life_and_the_first_one_may_take_long():
    call = deaths.CallErrors()
    call._heartbeat = 1.0
    given = []

    def act(until):
        given.append(until - time.monotonic())
        if len(given) < 3:
            raise frames.DeadlineError
        return "a message"

    for is_heard in (True, False):
        given.clear()
        child = types.SimpleNamespace(is_heard=is_heard)
        assert call._in_time(child, None, act, deaths.MISSED_HEARTBEATS) == "a message"
        assert len(given) == 3
        assert (max(given) > 1) is not is_heard


def test_a_task_that_is_busy_gives_signs_of_life(run, mode):
    tasks = """
    from bandsaw._workers import child, deaths, frames

    # A minute: none is missing because the machine is slow.
    deaths.MISSED_HEARTBEATS = 600
    following, signs = child.Child.next, []

    def follow(self, deadline=None):
        frame = following(self, deadline)
        if frame is not None and frame.kind == frames.HEARTBEAT:
            signs.append(frame)
            if len(signs) == 3:
                open("enough", "w").close()
        return frame

    @bandsaw.task
    def f():
        while not os.path.exists("enough"):
            for _ in range(100_000):
                pass
        return 1
    """
    body = """
    child.Child.next = follow
    assert f() == 1
    assert len(signs) >= 3
    """
    run(tasks, body, f"heartbeat=0.1, {mode}")


@pytest.mark.parametrize(
    ("options", "task"),
    [
        ("", "(timeout=30_000_000)"),
        ("workers=1", "(timeout=30_000_000)"),
        ("workers=1, idle_timeout=30_000_000", ""),
        ("heartbeat=30_000_000", ""),
    ],
)
def test_a_year_may_be_waited(run, options, task):
    done = run(f"@bandsaw.task{task}\ndef f(x):\n    return x", "assert f(1) == f(1) == 1", options)
    assert done.stderr == ""
