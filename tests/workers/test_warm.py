import copy
import os
import pickle

import pytest

from bandsaw.advices.subprocess import SubprocessAdvice
from bandsaw.errors import InvalidValueError

PID = """
state = []

@bandsaw.task
def f(x=None):
    state.append(x)
    return os.getpid()

@bandsaw.task
def seen():
    return state

def is_running(pid):
    try:
        with open(f'/proc/{pid}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except OSError:
        return False

def wait_for_end(pid):
    while is_running(pid):
        time.sleep(0.005)
"""


def test_a_process_is_used_again_with_what_it_has_in_memory(run):
    run(PID, "assert len({f(x) for x in range(5)}) == 1\nassert seen() == [*range(5)]", "workers=1")


def test_the_process_that_was_used_last_is_used_next(run):
    run(PID, "assert len({f(x) for x in range(9)}) == 1", "workers=4")


def test_no_more_processes_than_were_asked_for_run_at_once(run):
    tasks = """
    @bandsaw.task
    def f(folder, number):
        path = os.path.join(folder, str(os.getpid()))
        open(path, 'x').close()
        count = len(os.listdir(folder))
        # Until all that may run at once have been seen to do so.
        while number < 3 and len(os.listdir(folder)) < 3 and not os.path.exists(folder + '-met'):
            time.sleep(0.002)
        if number < 3:
            open(folder + '-met', 'w').close()
        os.unlink(path)
        return os.getpid(), count
    """
    body = """
    from concurrent.futures import ThreadPoolExecutor
    os.mkdir('running')
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda n: f(os.path.abspath('running'), n), range(60)))
    assert len({pid for pid, _ in found}) == 3
    assert max(count for _, count in found) <= 3
    """
    run(tasks, body, "workers=3")


def test_a_process_is_replaced_after_as_many_tasks_as_were_given(run):
    body = """
    first, again, second, _, third = [f(x) for x in range(5)]
    assert first == again and len({first, second, third}) == 3
    assert not is_running(first) and not is_running(second)
    """
    run(PID, body, "workers=1, max_tasks=2")


def test_a_process_is_replaced_whose_task_has_left_a_thread(run):
    tasks = """
    @bandsaw.task
    def leave():
        threading.Thread(target=time.sleep, args=(1000,)).start()
        return os.getpid()
    """
    body = """
    from bandsaw._workers import pool
    pool._SECONDS_TO_END = 0.2
    assert leave() != leave()
    """
    run(tasks, body, "workers=1, max_tasks=1", seconds=60)


def test_a_process_without_work_ends_itself_and_is_replaced(run):
    body = """
    for _ in range(2):
        first = f()
        wait_for_end(first)
        assert f() != first
    """
    run(PID, body, "workers=2, idle_timeout=0.1")


@pytest.mark.parametrize("how", ["os.kill(pid, signal.SIGKILL)", "open('go', 'w').close()"])
def test_a_process_that_has_ended_before_anybody_looked_is_replaced(run, how):
    # As if the next call came so soon that nobody looks whether the process is there.
    tasks = f"""{PID}
def leave():
    while not os.path.exists('go'):
        time.sleep(0.005)
    os._exit(0)

@bandsaw.task
def go():
    threading.Thread(target=leave, daemon=True).start()
    return os.getpid()
"""
    body = f"""
    from bandsaw._workers.pool import _pools
    pid = go()
    {how}
    wait_for_end(pid)
    (pool,) = [pool for pool in _pools if pool._idle]
    pool._idle[0].trusted_until = float("inf")
    assert f() != pid
    """
    run(tasks, body, "workers=1")


def test_what_is_printed_before_and_after_a_record_comes_before_the_call_returns(run):
    tasks = """
    import logging

    @bandsaw.task
    def f(number):
        print("before", number)
        logging.getLogger("f").warning("between")
        print("after", number)
    """
    body = """
    for number in range(50):
        f(number)
        print("returned", number, flush=True)
    """
    expected = "".join(f"before {n}\nafter {n}\nreturned {n}\n" for n in range(50))
    assert run(tasks, body, "workers=1").stdout == expected


def test_a_call_that_comes_when_a_process_ends_itself_is_not_lost(run):
    body = """
    for x in range(60):
        f(x)
        time.sleep(0.01 + x % 7 * 0.0005)
    """
    run(PID, body, "workers=1, idle_timeout=0.01")


def test_what_a_signal_handler_raises_in_a_call_ends_its_process(run, mode):
    tasks = """
    @bandsaw.task
    def f(x, signals=False):
        if signals:
            os.kill(int(os.environ['CALLER']), signal.SIGUSR1)
            while not os.path.exists('caught'):
                time.sleep(0.001)
        return x
    """
    body = """
    os.environ['CALLER'] = str(os.getpid())
    signal.signal(signal.SIGUSR1, lambda *_: sys.exit('raised'))
    f(1)
    try:
        f(2, True)
    except SystemExit as error:
        open('caught', 'x').close()
        print(error.code, f(3))
    """
    assert run(tasks, body, mode).stdout == "raised 3\n"


def test_a_program_that_forks_has_processes_of_its_own(run, mode):
    body = """
    before = f()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        pids = [f(), f()]
        os.write(writing, json.dumps(pids).encode())
        sys.exit()
    mine = [f(), f()]
    theirs = json.loads(os.read(reading, 1000))
    assert os.waitpid(child, 0)[1] == 0
    assert not {before, *mine} & {*theirs}
    # The end of the child ended nothing of ours.
    assert (f() == before) == (mine == [before, before])
    """
    run(PID, body, mode)


@pytest.mark.slow
def test_a_program_may_fork_while_other_threads_call(run, mode):
    body = """
    # What a call imports is loaded once: a fork in the middle of that would do harm to any program.
    f()
    stop = threading.Event()
    failed = []

    def call():
        while not stop.is_set():
            try:
                f()
            except BaseException as error:
                failed.append(error)
                raise

    threads = [threading.Thread(target=call) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        child = os.fork()
        if child == 0:
            os._exit(0 if f() and f() else 1)
        assert os.waitpid(child, 0)[1] == 0
    stop.set()
    for thread in threads:
        thread.join()
    assert not failed, failed
    """
    run(PID, body, mode)


def test_tasks_call_tasks_and_themselves(run, mode):
    tasks = """
    @bandsaw.task
    def inner(n):
        return os.getpid()

    @bandsaw.task
    def f(n):
        return [os.getpid()] + (f(n - 1) if n else [inner(n), inner(n)])
    """
    body = """
    for _ in range(2):
        found = f(2)
        assert len(set(found[:4])) == 4 and os.getpid() not in found
        if WARM:
            assert found[3] == found[4]
    """
    run(tasks, body.replace("WARM", str("workers" in mode)), mode)


def test_an_advice_that_is_no_more_has_no_processes(run):
    body = """
    import gc
    import bandsaw_config
    first = f()
    bandsaw_config.configuration.add_advice_chain()
    gc.collect()
    wait_for_end(first)
    assert f() == os.getpid()
    """
    run(PID, body, "workers=2")


def test_advices_share_no_processes(run):
    tasks = """
    @bandsaw.task(chain='other')
    def g():
        return os.getpid()

    @bandsaw.task
    def f():
        return os.getpid()
    """
    other = "workers=1), name='other').add_advice_chain(SubprocessAdvice(workers=1"
    run(tasks, "assert len({f(), g(), f(), g()}) == 2", other)


def test_an_environment_that_a_running_python_cannot_take_over_starts_another(run):
    tasks = "@bandsaw.task\ndef f():\n    return os.getpid(), hash('text')"
    body = """
    os.environ['PYTHONHASHSEED'] = '1'
    first, seeded = f()
    assert f() == (first, seeded)
    os.environ['PYTHONHASHSEED'] = '2'
    second, other = f()
    assert second != first and seeded != other
    os.environ['PYTHONHASHSEED'] = '1'
    assert f()[1] == seeded
    """
    run(tasks, body, "workers=1")


NOTING = """
import bandsaw
from bandsaw.advices.subprocess import SubprocessAdvice

class Notes(bandsaw.Advice):
    def before(self, session):
        session.context["x"] = session.execution.args[0]
        session.proceed()

class Tells(bandsaw.Advice):
    def before(self, session):
        session.conclude(bandsaw.Result(session.context.get("x")))

configuration = bandsaw.Configuration()
configuration.add_advice_chain(Notes(), SubprocessAdvice(workers=1), Tells())
"""


def test_what_an_advice_has_noted_in_the_context_goes_along_with_each_call(project, write):
    write(PID, "print([f(x) for x in range(3)])")
    project.write("bandsaw_config.py", NOTING)
    assert project.run("workflow.py").stdout == "[0, 1, 2]\n"


def test_a_task_that_is_defined_later_runs_in_the_same_pool(run, project):
    project.write("later.py", "import bandsaw\n\n@bandsaw.task\ndef g(x):\n    return x\n")
    run(PID, "f()\nimport later\nassert later.g((1,)) == (1,)\nf()", "workers=1")


def test_values_of_all_sizes_and_kinds_follow_each_other(run):
    tasks = """
    @bandsaw.task
    def f(*args, **kwargs):
        return args, kwargs, args[0] if args else kwargs['x']
    """
    body = """
    large = 1 << 18
    values = [1, 'a', b'x' * large, None, 'y' * large, [b'z' * large], (1, 'a'), 1 << 999]
    for value in values * 2:
        for got in (f(value), f(x=value), f(value, x=value)):
            assert got[2] == value and type(got[2]) is type(value)
    assert f(1, x=b'z' * large) == ((1,), {'x': b'z' * large}, 1)
    """
    run(tasks, body, "workers=1")


def test_a_module_that_is_taken_away_or_replaced_between_calls_does_no_harm(run, project):
    project.write("helper.py", "VALUE = 1\n")
    tasks = """
    import helper

    @bandsaw.task
    def f(x):
        return x + helper.VALUE, os.getpid()
    """
    body = """
    module, first = helper, f(1)
    for other in (None, object(), bandsaw, module):
        del sys.modules['helper']
        assert f(1) == first
        sys.modules['helper'] = other
        assert f(1) == f(1) == first
    """
    run(tasks, body, "workers=1")


@pytest.mark.parametrize(
    "options",
    [
        *({"workers": value} for value in (0, -1, True, 1.5, "2")),
        *({"workers": 1, "max_tasks": value} for value in (0, -1, True, 1.5, "2")),
        *({"workers": 1, "idle_timeout": value} for value in (0, -1, True, "2", float("nan"))),
        *({"heartbeat": value} for value in (0, -1, True, "2", float("inf"))),
        {"max_tasks": 2},
        {"idle_timeout": 2},
        {"preload": "numpy"},
        {"preload": [1]},
    ],
    ids=str,
)
def test_options_that_cannot_be_used_are_refused(options):
    with pytest.raises(InvalidValueError) as caught:
        SubprocessAdvice(**options)
    assert isinstance(caught.value, ValueError)
    assert list(options)[-1] in str(caught.value)


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda a: pickle.loads(pickle.dumps(a))]
)
def test_an_advice_can_be_copied(copied):
    advice = SubprocessAdvice(
        "/data", workers=2, fork=False, preload=["os"], max_tasks=3, idle_timeout=4, heartbeat=5
    )
    assert vars(copied(advice)) == vars(advice)
    assert advice.preload == ("os",)


def test_a_copy_of_an_advice_that_is_in_use_has_processes_of_its_own(run):
    body = """
    import copy, pickle
    import bandsaw_config
    advice, = bandsaw_config.configuration.get_advice_chain('default')
    first = f()
    for copied in (copy.copy(advice), pickle.loads(pickle.dumps(advice))):
        bandsaw_config.configuration.add_advice_chain(copied)
        assert f() == f() != first
    """
    run(PID, body, "workers=1")


@pytest.mark.parametrize(
    "advice",
    ["SubprocessAdvice(workers=1)", "ExecutorAdvice(lambda: ThreadPoolExecutor(1), isolate=False)"],
)
def test_a_call_in_a_place_that_another_one_waits_for_does_not_wait_for_that(
    project, left_nothing, advice
):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw._cache import computation_locks
        from bandsaw.advices.cache import CachingAdvice
        from bandsaw.advices.executor import ExecutorAdvice
        from bandsaw.advices.subprocess import SubprocessAdvice

        computation_locks._MOST_SECONDS = 0.0
        configuration = (
            bandsaw.Configuration()
            .add_advice_chain(CachingAdvice("cache"), ADVICE)
            .add_advice_chain(SubprocessAdvice(), name="own")
        )
        """.replace("ADVICE", advice),
    )
    project.write(
        "workflow.py",
        """
        import glob, os, threading, time
        import bandsaw
        from bandsaw._system import callers

        @bandsaw.task
        def f():
            return has_place()

        @bandsaw.task(cache=False)
        def g():
            open("begun", "w").close()
            while not glob.glob("cache/*/.*.tmp"):
                time.sleep(0.01)
            return f()

        @bandsaw.task(chain="own")
        def has_place():
            return callers.has_place

        if __name__ == "__main__":
            results = []
            one = threading.Thread(target=lambda: results.append(g()))
            one.start()
            while not os.path.exists("begun"):
                time.sleep(0.01)
            results.append(f())
            one.join()
            assert results == [True, True], results
            assert has_place() is False
        """,
    )
    project.run("workflow.py")
    if "Executor" in advice:
        # The folders that programs of a user share are empty again.
        shared = project.temporary / f"bandsaw-{os.geteuid()}"
        (shared / "archives").rmdir()
        shared.rmdir()
    left_nothing()
