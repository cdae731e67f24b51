import ast
import contextvars
import gc
import os
import signal
import subprocess
import sys
import textwrap
import threading
import weakref
from concurrent.futures import BrokenExecutor, CancelledError, Future, ThreadPoolExecutor
from types import SimpleNamespace

import pytest

from bandsaw._system import ending
from bandsaw._workers import fork_server_start
from bandsaw._workers.carrier import Carrier
from bandsaw._workers.executor import (
    engine_carrying,
    engine_claims,
    engine_files,
    engine_processes,
    engine_worker,
    packs,
)
from bandsaw._workers.executor.engine import Engine, engine_of
from bandsaw._workers.executor.packs import packer_of
from bandsaw._workers.frames import NotBegunError
from bandsaw._workers.ssh import ssh_start
from bandsaw.advices.executor import ExecutorAdvice, _options_of
from bandsaw.errors import InvalidValueError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")
KEPT_BELOW_A_THREAD = """
from concurrent.futures import ThreadPoolExecutor
import bandsaw
from bandsaw.advices.executor import ExecutorAdvice

advice = ExecutorAdvice(lambda: ThreadPoolExecutor(1), workers=1)
configuration = bandsaw.Configuration().add_advice_chain(advice)
"""
# What has the calls in a worker that is a thread of this process: bandsaw under another name.
BELOW = """
import sys

def there(name):
    found = [key for key in sys.modules if key[:9] == "_bandsaw_" and key.endswith("." + name)]
    return sys.modules[found[0]]

def processes():
    (found,) = there("engine_worker")._processes.values()
    return found
"""


@pytest.mark.parametrize("executor", [None, 1, ThreadPoolExecutor, "threads"])
def test_what_is_no_executor_is_refused(executor):
    with pytest.raises(InvalidValueError, match="has to be an executor"):
        ExecutorAdvice(executor)


@pytest.mark.parametrize(
    "options",
    [
        {"workers": 0},
        {"isolate": 0},
        {"max_in_flight": 0},
        {"preload": "numpy"},
        {"isolate": False, "workers": 1},
    ],
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(InvalidValueError):
        ExecutorAdvice(lambda: None, **options)


def test_options_of_a_task_that_was_made_without_the_decorator_are_checked():
    task = SimpleNamespace(kwargs={"executor": ["gpus"]})
    with pytest.raises(InvalidValueError, match="executor=\\['gpus'\\]"):
        _options_of(task, None)


def test_as_many_calls_run_at_once_as_the_executor_takes():
    with ThreadPoolExecutor(3) as executor:
        assert ExecutorAdvice(executor).max_in_flight == 3
        assert ExecutorAdvice(executor, max_in_flight=7).max_in_flight == 7
    assert ExecutorAdvice(lambda: executor).max_in_flight is None


@pytest.mark.parametrize("base", [dict, SimpleNamespace, int])
def test_executors_that_are_equal_or_have_no_hash_are_told_apart(base):
    class Executor(base):
        __slots__ = ()  # nor can it be referred to weakly

        def submit(self, function, /, *args):
            raise NotImplementedError

    one, other = Executor(), Executor()
    assert one == other
    assert engine_of(one) is engine_of(one)
    assert engine_of(one) is not engine_of(other)


TASKS = """
    import os, time, bandsaw

    @bandsaw.task
    def wait(path):
        with open(path, "w"):
            pass
        time.sleep(600)

    @bandsaw.task
    def one():
        return 1
"""


def test_as_many_calls_run_at_once_as_an_executor_takes_that_is_made_when_it_is_used(project):
    number = 2 * (os.cpu_count() or 1) + 1
    project.write(
        "bandsaw_config.py",
        f"""
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        def pool():
            return ThreadPoolExecutor({number})

        advice = ExecutorAdvice(pool, isolate=False)
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        """,
    )
    project.write(
        "workflow.py",
        f"""
        import threading
        import bandsaw

        meeting = threading.Barrier({number}, timeout=60)

        @bandsaw.task
        def first():
            return 1

        @bandsaw.task
        def meet(_):
            return meeting.wait() >= 0

        if __name__ == "__main__":
            first.submit().result()
            assert all(meet.map(range({number})))
        """,
    )
    project.run("workflow.py")


def test_what_a_task_in_a_pool_of_threads_submits_runs_while_it_waits_for_that(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        advice = ExecutorAdvice(lambda: ThreadPoolExecutor(1), isolate=False)
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        """,
    )
    project.write(
        "workflow.py",
        """
        import bandsaw

        @bandsaw.task
        def total(depth):
            return 1 + sum(total.map([depth - 1] * 2)) if depth else 1

        if __name__ == "__main__":
            assert total.submit(3).result(60) == 15
            # Those that wait in its queue take no place from what one of them waits for.
            assert [one.result(60) for one in [total.submit(2) for _ in range(6)]] == [7] * 6
        """,
    )
    project.run("workflow.py")


def test_a_call_after_one_that_closed_descriptors_goes_to_another_process(project):
    project.write("bandsaw_config.py", KEPT_BELOW_A_THREAD)
    project.write(
        "workflow.py",
        """
        import atexit, os, time
        import bandsaw

        @bandsaw.task
        def f(x, closes=False):
            if closes:
                os.closerange(3, 200)
                atexit.register(time.sleep, 0.5)
            return x

        if __name__ == "__main__":
            for x in range(3):
                assert f(x, True) == x
                assert f(x) == x
            # Some are sent ahead.
            calls = [f.submit(x, x % 10 == 9) for x in range(40)]
            assert [call.result() for call in calls] == [*range(40)]
        """,
    )
    project.run("workflow.py")


@pytest.mark.parametrize("workers", [None, 1])
def test_a_worker_goes_on_when_its_temporary_folder_was_tidied_up(project, workers):
    project.write(
        "bandsaw_config.py",
        f"""
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        advice = ExecutorAdvice(lambda: ThreadPoolExecutor(1), workers={workers})
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        """,
    )
    project.write(
        "workflow.py",
        """
        import glob, shutil, tempfile
        import bandsaw

        @bandsaw.task
        def f(x):
            return x

        if __name__ == "__main__":
            for x in range(3):
                assert f(x) == x
                (kept,) = glob.glob(f"{tempfile.gettempdir()}/bandsaw-*")
                shutil.rmtree(kept)
        """,
    )
    project.run("workflow.py")


def test_a_call_whose_process_was_to_be_started_by_what_has_just_ended_begins_anew(project):
    project.write("bandsaw_config.py", KEPT_BELOW_A_THREAD)
    project.write("below.py", BELOW)
    project.write(
        "workflow.py",
        """
        import os, signal
        import bandsaw
        from below import processes, there

        @bandsaw.task
        def f():
            return os.getppid()

        if __name__ == "__main__":
            first = f()
            started = there("engine_processes").Processes.started

            def started_last(self):
                if self._fork_server._process.pid == first:
                    os.kill(first, signal.SIGSTOP)
                process = started(self)
                if self._fork_server._process.pid == first:
                    # It was asked for a process, and has not heard of that.
                    os.kill(first, signal.SIGKILL)
                return process

            there("engine_processes").Processes.started = started_last
            processes()._idle.pop().child.end()
            assert f() != first
        """,
    )
    assert project.run("workflow.py").stderr == ""


def test_a_worker_may_ignore_the_ends_of_its_children(project):
    project.write("bandsaw_config.py", KEPT_BELOW_A_THREAD)
    project.write(
        "workflow.py",
        """
        import os, signal, time
        import bandsaw

        @bandsaw.task
        def f(kills=False):
            if kills:
                os.kill(os.getppid(), signal.SIGKILL)
                time.sleep(600)
            return 1

        if __name__ == "__main__":
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
            try:
                f(True)
            except bandsaw.errors.WorkerDiedError as error:
                assert "the process that had started it has ended" in str(error), error
            assert f() == 1
        """,
    )
    assert project.run("workflow.py").stderr == ""


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
def test_a_worker_may_have_closed_standard_streams(project, closed):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        advice = ExecutorAdvice(lambda: ThreadPoolExecutor(1))
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        """,
    )
    project.write(
        "workflow.py",
        """
        import subprocess, sys
        import bandsaw

        @bandsaw.task
        def f(x):
            print(x)
            return x

        if __name__ == "__main__":
            if len(sys.argv) > 1:
                command = f'exec "{sys.executable}" "{__file__}" ' + sys.argv[1]
                sys.exit(subprocess.run(command, shell=True).returncode)
            assert f(1) == 1
        """,
    )
    project.run("workflow.py", closed)


def test_a_lost_worker_is_an_error_and_the_next_call_has_a_new_pool(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ProcessPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        pools = []

        def make():
            pools.append(ProcessPoolExecutor(1))
            return pools[-1]

        configuration = bandsaw.Configuration().add_advice_chain(ExecutorAdvice(make))
        """,
    )
    project.write("tasks.py", TASKS)
    project.write(
        "workflow.py",
        """
        import os, signal, time
        import bandsaw, bandsaw_config, tasks

        future = tasks.wait.submit("began")
        while not os.path.exists("began"):
            time.sleep(0.02)
        (worker,) = bandsaw_config.pools[0]._processes
        os.kill(worker, signal.SIGKILL)
        error = future.exception()
        print(type(error).__name__, type(error.__cause__).__name__)
        print(tasks.one(), len(bandsaw_config.pools))
        """,
    )
    done = project.run("workflow.py")
    assert done.stdout == "WorkerDiedError BrokenProcessPool\n1 2\n"


def test_a_batch_is_one_submission_and_what_had_not_begun_in_a_lost_worker_is_submitted_again(
    project,
):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ProcessPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice
        from bandsaw.advices.retry import RetryAdvice

        submitted = []

        class Pool(ProcessPoolExecutor):
            def submit(self, *what):
                submitted.append(what)
                return super().submit(*what)

        configuration = bandsaw.Configuration().add_advice_chain(
            RetryAdvice(wait_initial=0, wait_jitter=0),
            ExecutorAdvice(lambda: Pool(1), max_in_flight=4),
        )
        """,
    )
    project.write(
        "workflow.py",
        """
        import os, signal
        import bandsaw, bandsaw_config
        from bandsaw._workers.executor import packs

        @bandsaw.task
        def plain():
            pass

        @bandsaw.task(batch=4)
        def shoot(x):
            with open("runs", "a") as file:
                file.write("x")
            try:
                open("shot", "x").close()
            except FileExistsError:
                return x
            pid = os.getpid()
            for _ in ("fork server", "worker"):
                with open(f"/proc/{pid}/stat") as file:
                    pid = int(file.read().rpartition(")")[2].split()[1])
            os.kill(pid, signal.SIGKILL)
            signal.pause()

        if __name__ == "__main__":
            packs._QUIET_SECONDS = 5
            plain()
            before = len(bandsaw_config.submitted)
            print(list(shoot.map(range(4))), os.path.getsize("runs"))
            print(len(bandsaw_config.submitted) - before)
        """,
    )
    done = project.run("workflow.py")
    # A pack, one of what had not begun and of what `RetryAdvice` repeats, and that again with the
    # program that the new worker lacks.
    assert done.stdout == "[0, 1, 2, 3] 5\n3\n"


def test_short_calls_that_were_sent_to_a_process_ahead_of_a_death_do_not_fail_with_it(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ProcessPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice
        from bandsaw.advices.retry import RetryAdvice

        failed = []

        def note(error):
            failed.append(type(error).__name__)
            return 0

        configuration = bandsaw.Configuration().add_advice_chain(
            RetryAdvice(on=note),
            ExecutorAdvice(lambda: ProcessPoolExecutor(1), workers=1, max_in_flight=20),
        )
        """,
    )
    project.write(
        "workflow.py",
        """
        import os
        import bandsaw, bandsaw_config
        from bandsaw._workers.executor import packs

        @bandsaw.task(batch=20)
        def note(x):
            with open("runs", "a") as file:
                file.write(f"{x} {os.getpid()}\\n")
            if x == 9 and not os.path.exists("died"):
                open("died", "x").close()
                os._exit(3)
            return x

        if __name__ == "__main__":
            packs._QUIET_SECONDS = 0.5
            assert list(note.map(range(20))) == list(range(20))
            runs = [line.split() for line in open("runs")]
            print(sorted(int(x) for x, _ in runs) == sorted([*range(20), 9]))
            print(bandsaw_config.failed)
        """,
    )
    assert project.run("workflow.py").stdout == "True\n['WorkerDiedError']\n"


def test_a_call_that_is_killed_as_it_ends_takes_no_other_call_along(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ThreadPoolExecutor

        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        advice = ExecutorAdvice(ThreadPoolExecutor(1), workers=1)
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        """,
    )
    project.write("below.py", BELOW)
    project.write(
        "workflow.py",
        """
        import os, threading, time

        import bandsaw
        from below import processes, there

        def wait_for(path):
            while not os.path.exists(path):
                time.sleep(0.01)

        @bandsaw.task
        def ends_late():
            open("begun", "w").close()
            wait_for("go")

        @bandsaw.task
        def other(first):
            if not first:
                open("other", "w").close()
                wait_for("sent")
                time.sleep(0.5)
            return 1

        if __name__ == "__main__":
            assert other(True) == 1
            Child = there("child").LocalChild
            cancel, late = Child.cancel, []

            def cancelled_late(child):
                wait_for("other")
                cancel(child)
                open("sent", "w").close()

            def cancelled(child):
                if late:
                    return cancel(child)
                # The call ends before what ends it has come to its process.
                late.append(threading.Thread(target=cancelled_late, args=(child,)))
                late[0].start()
                open("go", "w").close()

            Child.cancel = cancelled
            future = ends_late.submit()
            wait_for("begun")
            future.kill()
            assert other(False) == 1
            assert os.path.exists("go")
        """,
    )
    project.run("workflow.py")


def test_a_process_whose_number_is_not_known_yet_is_told_by_the_executor_alone():
    place = SimpleNamespace(name="executor Pool")
    assert Carrier.where(place, SimpleNamespace(pid=None)) == "executor Pool"
    assert Carrier.where(place, SimpleNamespace(pid=7)) == "executor Pool, pid 7"


@pytest.mark.parametrize("isolate", [True, False])
def test_options_of_python_that_change_results_reach_the_processes(project, isolate):
    project.write(
        "bandsaw_config.py",
        f"""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        def pool():
            return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))

        advice = ExecutorAdvice(pool, isolate={isolate})
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        """,
    )
    project.write(
        "workflow.py",
        """
        import sys
        import bandsaw

        @bandsaw.task
        def seen():
            return __debug__, sys.flags.utf8_mode

        if __name__ == "__main__":
            print(seen(), (__debug__, sys.flags.utf8_mode))
        """,
    )
    for flags in (["-O"], ["-X", "utf8"], [], ["-bb"]):
        there, here = project.run(*flags, "workflow.py").stdout.strip().split(") (")
        assert there.strip("()") == here.strip("()")
        assert here.startswith(str("-O" not in flags))


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_process_of_multiprocessing_ends_with_the_executors_it_has_made(project, method):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ProcessPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        advice = ExecutorAdvice(lambda: ProcessPoolExecutor(1))
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        """,
    )
    project.write("tasks.py", TASKS)
    project.write(
        "workflow.py",
        f"""
        import multiprocessing
        import tasks

        if __name__ == "__main__":
            context = multiprocessing.get_context("{method}")
            process = context.Process(target=tasks.one)
            process.start()
            process.join(50)
            print(process.exitcode)
            process.kill()
        """,
    )
    assert project.run("workflow.py").stdout == "0\n"


def test_an_executor_that_is_shut_down_is_an_error(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        pool = ThreadPoolExecutor(1)
        pool.shutdown()
        configuration = bandsaw.Configuration().add_advice_chain(ExecutorAdvice(pool))
        """,
    )
    project.write("tasks.py", TASKS)
    done = project.run("-c", "import tasks; tasks.one()", check=False)
    assert "WorkerStartError: A call cannot be submitted to executor ThreadPoolExecutor" in (
        done.stderr
    )


def test_an_executor_that_returns_no_future_or_a_foreign_result_is_told(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import Future
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        class Wrong:
            def __init__(self, returned):
                self.returned = returned
            def submit(self, function, /, *args):
                return self.returned

        done, lacking = Future(), Future()
        done.set_result("junk")
        error = RuntimeError("the environments differ")
        error.__cause__ = ModuleNotFoundError("No module named 'bandsaw'")
        lacking.set_exception(error)
        lacks = ExecutorAdvice(Wrong(lacking), isolate=False)
        configuration = bandsaw.Configuration().add_advice_chain(lacks, name="lacking False")
        for name, returned in (("none", None), ("junk", done)):
            for where in (True, False):
                advice = ExecutorAdvice(Wrong(returned), isolate=where)
                configuration.add_advice_chain(advice, name=f"{name} {where}")
        """,
    )
    project.write(
        "workflow.py",
        """
        import bandsaw

        if __name__ == "__main__":
            names = ("none True", "none False", "junk True", "junk False", "lacking False")
            for name in names:
                @bandsaw.task(chain=name, batch=2)
                def one(x):
                    return x

                for call in (one, lambda x: list(one.map([x, x], timeout=60))):
                    try:
                        call(1)
                    except bandsaw.errors.WorkerError as error:
                        print(error)
        """,
    )
    told = project.run("workflow.py").stdout.splitlines()
    assert len(told) == 10
    assert all("submit() returned None, which is no" in text for text in told[:4])
    assert all("holds 'junk', and not what the function returned" in text for text in told[4:8])
    lacking = "No module named 'bandsaw'; with isolate=False its workers need bandsaw"
    assert all(lacking in text for text in told[8:])


def test_a_call_whose_server_was_killed_is_a_died_worker_and_the_next_one_has_a_new_server(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        configuration = bandsaw.Configuration().add_advice_chain(
            ExecutorAdvice(ThreadPoolExecutor(1))
        )
        """,
    )
    project.write("tasks.py", TASKS)
    project.write("below.py", BELOW)
    project.write(
        "workflow.py",
        """
        import os, signal, time
        import bandsaw, tasks
        from below import processes, there

        future = tasks.wait.submit("began")
        while not os.path.exists("began"):
            time.sleep(0.02)
        os.kill(processes()._fork_server._process.pid, signal.SIGKILL)
        print(type(future.exception()).__name__)
        print(tasks.one())
        """,
    )
    assert project.run("workflow.py").stdout == "WorkerDiedError\n1\n"


def test_what_starts_processes_below_a_worker_is_started_anew_when_it_was_killed(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        configuration = bandsaw.Configuration().add_advice_chain(
            ExecutorAdvice(ThreadPoolExecutor(1))
        )
        """,
    )
    project.write(
        "tasks.py",
        """
        import os, bandsaw

        @bandsaw.task
        def parent():
            return os.getppid()
        """,
    )
    project.write("below.py", BELOW)
    project.write(
        "workflow.py",
        """
        import os, signal, time
        import tasks
        from below import processes, there

        first = tasks.parent()
        os.kill(first, signal.SIGKILL)
        while not processes()._fork_server.has_ended():
            time.sleep(0.02)
        print(len({first, tasks.parent(), tasks.parent()}))
        """,
    )
    assert project.run("workflow.py").stdout == "2\n"


def below(tmp_path):
    request = {"environment": {}, "preload": [], "beside": None, "run_id": "1"}
    return engine_processes.Processes((str(tmp_path), str(tmp_path), ""), request)


def test_a_fork_server_that_is_killed_while_it_starts_says_how_it_has_ended(tmp_path, monkeypatch):
    def opened(command, environment):
        near, process, errors = start(command, environment)
        os.kill(process.pid, signal.SIGKILL)
        return near, process, errors

    start = fork_server_start._opened
    monkeypatch.setattr(fork_server_start, "_opened", opened)
    processes = below(tmp_path)
    try:
        assert processes.start() == ([], f"{engine_processes.NOT_STARTED}-9\n")
    finally:
        processes.close()


def test_processes_for_which_no_thread_can_be_started_leave_nothing(tmp_path, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    before = set(os.listdir("/dev/fd"))
    with pytest.raises(RuntimeError, match="new thread"):
        below(tmp_path)
    assert os.listdir(tmp_path) == []
    assert set(os.listdir("/dev/fd")) == before


def test_a_process_that_cannot_be_started_below_a_worker_is_told_as_that(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        executor = ThreadPoolExecutor(1)
        configuration = bandsaw.Configuration().add_advice_chain(
            ExecutorAdvice(executor, preload=["deadly"])
        ).add_advice_chain(ExecutorAdvice(executor), name="usual")
        """,
    )
    project.write(
        "deadly.py",
        """
        import os, signal, sys

        print("last words", file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
    )
    project.write(
        "tasks.py",
        """
        import bandsaw

        @bandsaw.task
        def one():
            return 1

        @bandsaw.task(chain="usual")
        def two():
            return 2
        """,
    )
    project.write(
        "workflow.py",
        """
        import sys
        import bandsaw, tasks

        def tell(task):
            try:
                print(task())
            except bandsaw.errors.WorkerError as error:
                print(type(error).__name__, error)

        tell(tasks.one)
        usual, sys.executable = sys.executable, ""
        tell(tasks.two)
        sys.executable = usual
        tell(tasks.two)
        """,
    )
    _, killed, nameless = project.run("workflow.py").stdout.split("WorkerStartError")
    assert "could not be started on" in killed and "signal SIGKILL (9)" in killed
    assert "last words" in killed
    assert "could not be started on" in nameless and "sys.executable is empty" in nameless
    assert nameless.endswith("\n2\n")


def test_a_worker_that_has_no_room_for_the_code_says_where(project):
    project.write(
        "bandsaw_config.py",
        """
        import resource
        from concurrent.futures import ProcessPoolExecutor
        from multiprocessing import get_context
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

        def pool():
            return ProcessPoolExecutor(1, mp_context=get_context("fork"), initializer=limit)

        configuration = bandsaw.Configuration().add_advice_chain(ExecutorAdvice(pool))
        """,
    )
    project.write(
        "workflow.py",
        TASKS
        + """
    if __name__ == "__main__":
        try:
            one()
        except bandsaw.errors.WorkerStartError as error:
            print(error)
        """,
    )
    said = project.run("workflow.py").stdout
    assert "File too large: " in said and os.path.join(str(project.temporary), "bandsaw-") in said


@pytest.mark.parametrize("options", ["", ", workers=1"])
def test_workers_that_take_turns_are_sent_what_they_lack_once(project, options):
    project.write(
        "bandsaw_config.py",
        f"""
        from concurrent.futures import ProcessPoolExecutor

        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        class InTurn:
            max_in_flight = 1

            def __init__(self):
                self.pools = [ProcessPoolExecutor(1), ProcessPoolExecutor(1)]
                self.submitted = 0

            def submit(self, *what):
                self.submitted += 1
                return self.pools[self.submitted % 2].submit(*what)

        executor = InTurn()
        configuration = bandsaw.Configuration().add_advice_chain(ExecutorAdvice(executor{options}))
        """,
    )
    project.write("tasks.py", TASKS)
    program = """
        from bandsaw_config import executor
        from tasks import one
        one(), one(), one()
        before = executor.submitted
        print([one() for _ in range(4)], executor.submitted - before)
        """
    assert project.run("-c", textwrap.dedent(program)).stdout == "[1, 1, 1, 1] 4\n"


def test_kept_processes_are_sent_only_what_differs_from_a_call_that_they_know(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ProcessPoolExecutor

        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        class Executor:
            def __init__(self):
                self.pools = [ProcessPoolExecutor(1), ProcessPoolExecutor(1)]
                self.worker, self.sizes = 0, []

            def submit(self, function, *args):
                data = args[-1]["data"]
                if data is not None:
                    self.sizes.append(len(data))
                return self.pools[self.worker].submit(function, *args)

        executor = Executor()
        advice = ExecutorAdvice(executor, workers=1)
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        """,
    )
    project.write(
        "tasks.py",
        """
        import os
        import bandsaw

        @bandsaw.task
        def add(values, last=0, ends=False):
            if ends:
                os._exit(1)
            return sum(values) + last
        """,
    )
    program = """
        from bandsaw_config import executor
        from tasks import add

        def sent(*args, **kwargs):
            executor.sizes.clear()
            try:
                value = add(*args, **kwargs)
            except Exception as error:
                value = type(error).__name__
            print(value, len(executor.sizes), max(executor.sizes) > 300)

        add([1])
        sent([1, 2], last=3)
        executor.worker = 1
        add([1]), add([1])
        sent([2, 2])
        executor.worker = 0
        sent([3, 2], last=1)
        sent([1], ends=True)
        sent([4])
        sent([5])
        sent([6])
        """
    assert project.run("-c", textwrap.dedent(program)).stdout.splitlines() == [
        "6 1 False",
        "4 1 False",
        "6 1 False",
        "WorkerDiedError 1 False",
        # Its process has ended, and the next one knows nothing. Another one might, too.
        "4 2 True",
        "5 1 True",
        "6 1 False",
    ]


def test_a_kept_process_in_which_a_thread_logs_between_two_calls_goes_on(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        configuration = bandsaw.Configuration().add_advice_chain(
            ExecutorAdvice(ThreadPoolExecutor(1), workers=1)
        )
        """,
    )
    project.write(
        "workflow.py",
        """
        import logging, os, threading, time
        from pathlib import Path
        import bandsaw

        def wait_for(name):
            while not Path(name).exists():
                time.sleep(0.01)

        def say():
            wait_for("is back")
            logging.warning("between two calls")
            Path("is said").touch()

        @bandsaw.task
        def process(leaves):
            if leaves:
                threading.Thread(target=say).start()
            return os.getpid()

        if __name__ == "__main__":
            first = process(True)
            Path("is back").touch()
            wait_for("is said")
            # Until the worker has it.
            time.sleep(0.2)
            print(process(False) == first)
        """,
    )
    done = project.run("workflow.py")
    assert (done.stdout, "between two calls" in done.stderr) == ("True\n", True)


@pytest.mark.parametrize("options", ["", "workers=1", "isolate=False"])
@pytest.mark.parametrize(
    ("lost_with", "kind"),
    [("ConnectionResetError('gone')", "RemoteConnectionError"), ("OSError('gone')", "WorkerDied")],
)
def test_an_engine_that_loses_a_call_says_whether_it_was_the_connection(
    project, options, lost_with, kind
):
    project.write(
        "bandsaw_config.py",
        f"""
        from concurrent.futures import Future

        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        class Executor:
            def submit(self, function, *args):
                future = Future()
                future.set_exception({lost_with})
                return future

        advice = ExecutorAdvice(Executor(), {options})
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        """,
    )
    project.write("tasks.py", "import bandsaw\n\n@bandsaw.task\ndef nothing():\n    pass\n")
    done = project.run("-c", "import tasks; tasks.nothing()", check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(f"bandsaw.errors.{kind}") and "Error: gone" in last, done.stderr


@pytest.mark.parametrize("options", ["workers=1", "isolate=False"])
def test_large_data_passes_the_executor_by_on_one_machine(project, options):
    project.write(
        "bandsaw_config.py",
        f"""
        import pickle
        from concurrent.futures import ProcessPoolExecutor

        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        class Executor:
            max_in_flight = 1
            lies = False

            def __init__(self):
                self.pool = ProcessPoolExecutor(1)
                self.sent, self.back = [], []

            def submit(self, function, *args):
                if self.lies and isinstance(args[-1].get("data"), str):
                    # As if the worker saw other files.
                    args = (*args[:-1], dict(data="/proc/nowhere"))
                self.sent.append(len(pickle.dumps(args)))
                future = self.pool.submit(function, *args)
                self.back.append(future)
                return future

        executor = Executor()
        advice = ExecutorAdvice(executor, {options})
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        """,
    )
    project.write(
        "tasks.py",
        """
        import bandsaw

        @bandsaw.task
        def turned(data):
            return data[::-1]
        """,
    )
    done = project.run(
        "-c",
        textwrap.dedent(
            """
        import pickle
        from bandsaw_config import executor
        from tasks import turned
        data = bytes(range(256)) * 20000
        turned(b"1")
        for executor.lies in (False, True):
            executor.sent.clear(), executor.back.clear()
            assert turned(data) == data[::-1]
            print(len(executor.sent), sum(executor.sent) > len(data))
            assert all(len(pickle.dumps(one.result())) < len(data) for one in executor.back)
        assert turned(data) == data[::-1]
        print(len(executor.sent), sum(executor.sent) > 2 * len(data))
        """
        ),
    )
    assert done.stdout.split() == ["1", "False", "2", "True", "3", "True"]


@pytest.mark.skipif(sys.platform != "linux", reason="has no files in memory")
def test_without_isolation_an_argument_in_a_store_is_not_copied_until_the_call_is_over(project):
    project.write(
        "bandsaw_config.py",
        """
        import mmap, os, threading
        from concurrent.futures import ThreadPoolExecutor

        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice
        from bandsaw._workers.executor.engine import Engine

        class Executor:
            def __init__(self):
                self.pool = ThreadPoolExecutor(1)
                self.file = os.memfd_create("store")
                os.truncate(self.file, 1 << 24)
                self.store = memoryview(mmap.mmap(self.file, 1 << 24))
                self.sizes = []

            def submit(self, options, function, *args):
                data, end = args[-1]["data"], 0
                if isinstance(data, list):
                    stored = []
                    for piece in data:
                        begin, end = end, end + len(piece)
                        self.store[begin:end] = piece
                        stored.append(self.store[begin:end])
                    args = (*args[:-1], dict(data=stored))
                self.sizes.append(end)
                return self.pool.submit(function, *args)

            def _bandsaw_engine(self):
                return Engine("store", self.submit, None, None, shares_memory=True)

        executor = Executor()
        configuration = bandsaw.Configuration().add_advice_chain(
            ExecutorAdvice(executor, isolate=False)
        )
        """,
    )
    project.write(
        "workflow.py",
        """
        import bandsaw, numpy
        from bandsaw_config import executor

        kept = []

        @bandsaw.task
        def changed(data):
            data[0] = 7
            # What is in the store is seen until it is touched.
            executor.store[len(executor.store) // 4] = 9
            kept.append(data)
            return data[:2].tolist(), 9 in data

        if __name__ == "__main__":
            for value in (1, 2):
                print(changed(numpy.full(1 << 23, value, numpy.uint8)))
            print(min(executor.sizes) > 1 << 23)
            print([data[[0, -1]].tolist() for data in kept])
        """,
    )
    assert project.run("workflow.py").stdout.splitlines() == [
        "([7, 1], True)",
        "([7, 2], True)",
        "True",
        "[[7, 1], [7, 2]]",
    ]


def test_a_call_that_runs_in_the_process_of_an_executors_call_is_not_killed(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ProcessPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        configuration = bandsaw.Configuration().add_advice_chain(
            ExecutorAdvice(lambda: ProcessPoolExecutor(1))
        )
        """,
    )
    project.write(
        "workflow.py",
        """
        import os, threading
        import bandsaw

        begun, goes_on = threading.Event(), threading.Event()

        @bandsaw.task(state=["workflow.begun", "workflow.goes_on"])
        def inner():
            begun.set()
            goes_on.wait(200)
            return os.getpid()

        @bandsaw.task(state=["workflow.begun", "workflow.goes_on"])
        def outer():
            future = inner.submit()
            begun.wait(200)
            is_killed = future.kill()
            goes_on.set()
            return is_killed, future.result() == os.getpid()

        if __name__ == "__main__":
            print(outer())
        """,
    )
    assert project.run("workflow.py").stdout == "(False, True)\n"


def test_many_calls_in_a_pool_of_threads_may_each_wait_for_calls_of_their_own(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        configuration = bandsaw.Configuration().add_advice_chain(
            ExecutorAdvice(ThreadPoolExecutor(2), isolate=False)
        )
        """,
    )
    project.write(
        "workflow.py",
        """
        import bandsaw

        @bandsaw.task
        def outer(x):
            return sum(inner.map(range(x))) + inner.submit(inner.submit(x)).result()

        @bandsaw.task
        def inner(x):
            return x + 1

        if __name__ == "__main__":
            for _ in range(10):
                assert sum(outer.map(range(8))) == 128
        """,
    )
    project.run("workflow.py", seconds=60)


@pytest.mark.parametrize("method", ["threads", "fork", "spawn"])
def test_without_isolation_a_call_runs_in_the_worker(project, method):
    project.write(
        "bandsaw_config.py",
        f"""
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        def make():
            if {method!r} == "threads":
                return ThreadPoolExecutor(1)
            return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context({method!r}))

        configuration = bandsaw.Configuration().add_advice_chain(
            ExecutorAdvice(make, isolate=False)
        )
        """,
    )
    project.write("lib.py", "def value(): return 1")
    project.write(
        "workflow.py",
        """
        import importlib, os, sys
        import bandsaw, lib

        @bandsaw.task
        def where(fails=False):
            if fails:
                raise KeyError("mine")
            return os.getpid(), lib.value(), inner()

        @bandsaw.task
        def inner():
            return os.getpid()

        @bandsaw.task(timeout=3)
        def limited():
            pass

        if __name__ == "__main__":
            pid, value, nested = where()
            assert (pid == os.getpid()) == (sys.argv[1] == "threads") and nested == pid
            assert where()[0] == pid and value == 1
            try:
                where(fails=True)
            except KeyError as error:
                assert error.args == ("mine",)
            try:
                limited()
            except ValueError as error:
                assert "timeout" in str(error)
            if sys.argv[1] != "threads":
                with open("lib.py", "w") as file:
                    file.write("def value(): return 22")
                importlib.reload(lib)
                try:
                    where()
                except bandsaw.errors.CodeMismatchError as error:
                    assert "Start its workers anew" in str(error)
                else:
                    raise AssertionError("it ran other code")
            print("done")
        """,
    )
    assert project.run("workflow.py", method).stdout == "done\n"


@pytest.mark.parametrize("options", ["", "isolate=False"])
def test_a_second_run_is_served_by_the_same_worker(project, options):
    """As on an engine, whose workers outlive programs."""
    project.write(
        "bandsaw_config.py",
        f"""
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice
        from lasting import Lasting

        advice = ExecutorAdvice(Lasting(), {options})
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        """,
    )
    project.write(
        "lasting.py",
        """
        from concurrent.futures import ThreadPoolExecutor
        from multiprocessing.connection import Client

        class Lasting(ThreadPoolExecutor):
            def submit(self, function, /, *args):
                return super().submit(self._there, function, *args)

            def _there(self, *what):
                with Client("worker.socket") as connection:
                    connection.send(what)
                    return connection.recv()
        """,
    )
    project.write(
        "worker.py",
        """
        from multiprocessing.connection import Listener
        from threading import Thread

        def serve(connection):
            function, *args = connection.recv()
            connection.send(function(*args))

        with Listener("worker.socket") as listener:
            print("ready", flush=True)
            while True:
                Thread(target=serve, args=(listener.accept(),), daemon=True).start()
        """,
    )
    project.write("workflow.py", TASKS + "\n    if __name__ == '__main__': print(one(), one())\n")
    worker = project.start("worker.py")
    try:
        assert worker.stdout.readline() == "ready\n"
        for _ in range(2):
            assert project.run("workflow.py").stdout == "1 1\n"
    finally:
        worker.kill()
        worker.communicate()


def test_what_runs_calls_in_a_worker_that_is_a_thread_is_none_of_the_projects_code(project):
    project.write("bandsaw_config.py", KEPT_BELOW_A_THREAD)
    project.write(
        "workflow.py",
        TASKS
        + """
    if __name__ == "__main__":
        import sys
        from bandsaw._identity.firstparty import is_first_party

        one()
        there = [name for name in sys.modules if name.startswith("_bandsaw_")]
        print(len(there) > 10, [name for name in there if is_first_party(name)])
    """,
    )
    assert project.run("workflow.py").stdout == "True []\n"


def test_an_argument_for_which_there_is_no_room_below_a_worker_fails_its_call_only(project):
    project.write("bandsaw_config.py", KEPT_BELOW_A_THREAD)
    project.write("below.py", BELOW)
    project.write(
        "workflow.py",
        """
        import errno, os
        import bandsaw
        from below import processes, there

        @bandsaw.task
        def size(data):
            return len(data)

        if __name__ == "__main__":
            size(b"")
            files = there("bulk_files")
            create = files.create

            def full(*args):
                files.create = create
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

            files.create = full
            try:
                size(bytes(200_000))
            except bandsaw.errors.WorkerError as error:
                print(error)
            print(size(bytes(200_000)))
        """,
    )
    said, size = project.run("workflow.py").stdout.splitlines()
    assert "No space left on device" in said and size == "200000"


def test_what_has_a_call_is_not_idle(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        configuration = bandsaw.Configuration().add_advice_chain(
            ExecutorAdvice(ThreadPoolExecutor(1))
        )
        """,
    )
    project.write("below.py", BELOW)
    project.write(
        "workflow.py",
        """
        import os, time
        import bandsaw
        from below import processes, there

        @bandsaw.task
        def slow(seconds):
            time.sleep(seconds)
            return seconds

        if __name__ == "__main__":
            slow(0)
            there("engine_processes")._IDLE_SECONDS = 0.2
            os.write(processes()._ended, b"nobody\\n")  # has it look
            print(slow(0), slow(1), slow(1))
            while not processes().is_closed:
                time.sleep(0.02)
            print(slow(0))
        """,
    )
    assert project.run("workflow.py").stdout == "0 1 1\n0\n"


@pytest.mark.parametrize("options", ["", "isolate=False"])
def test_a_program_that_calls_ends_without_a_word(project, options):
    project.write(
        "bandsaw_config.py",
        f"""
        import bandsaw  # first: Python takes modules apart in the order of their imports
        from bandsaw.advices.executor import ExecutorAdvice
        from concurrent.futures import ProcessPoolExecutor

        configuration = bandsaw.Configuration().add_advice_chain(
            ExecutorAdvice(lambda: ProcessPoolExecutor(1), {options})
        )
        """,
    )
    project.write(
        "workflow.py",
        """
        import bandsaw

        @bandsaw.task
        def f(x):
            return x

        if __name__ == "__main__":
            print(f(1))
        """,
    )
    done = project.run("workflow.py", PYTHONDEVMODE="1")
    assert (done.stdout, done.stderr) == ("1\n", "")


@pytest.mark.parametrize("pool", ["ProcessPoolExecutor", "Slow"])
def test_a_call_in_a_worker_that_runs_cannot_be_killed(project, pool):
    project.write(
        "bandsaw_config.py",
        f"""
        import os, time
        from concurrent.futures import ProcessPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        class Slow(ProcessPoolExecutor):
            def submit(self, function, /, *args):
                future = super().submit(function, *args)
                while not os.path.exists("go"):
                    time.sleep(0.01)
                return future

        configuration = bandsaw.Configuration().add_advice_chain(
            ExecutorAdvice(lambda: {pool}(1), isolate=False)
        )
        """,
    )
    project.write(
        "workflow.py",
        """
        import os, time
        import bandsaw

        @bandsaw.task
        def waiting():
            open("begun", "x").close()
            while not os.path.exists("go"):
                time.sleep(0.01)
            return 1

        if __name__ == "__main__":
            call = waiting.submit()
            while not os.path.exists("begun"):
                time.sleep(0.01)
            print(call.kill(), call.running())
            open("go", "x").close()
            print(call.result())
        """,
    )
    assert project.run("workflow.py").stdout == "False True\n1\n"


def test_a_call_that_could_not_be_killed_is_not_ended_when_it_is_submitted_again(project):
    project.write(
        "bandsaw_config.py",
        """
        import os, time
        from concurrent.futures import Future, ProcessPoolExecutor
        from multiprocessing import get_context
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        class Late(ProcessPoolExecutor):
            def submit(self, function, /, *args):
                ours = Future()
                ours.set_running_or_notify_cancel()

                def pass_on(theirs):
                    open("answered", "w").close()
                    while not os.path.exists("go"):
                        time.sleep(0.01)
                    ours.set_result(theirs.result())

                super().submit(function, *args).add_done_callback(pass_on)
                return ours

        configuration = bandsaw.Configuration().add_advice_chain(
            ExecutorAdvice(lambda: Late(1, get_context("spawn")), isolate=False)
        )
        """,
    )
    project.write(
        "workflow.py",
        """
        import os, time
        import bandsaw

        @bandsaw.task
        def one():
            return 1

        if __name__ == "__main__":
            call = one.submit()
            # The first answer says that the worker has to be told more.
            while not os.path.exists("answered"):
                time.sleep(0.01)
            print(call.kill())
            open("go", "x").close()
            print(call.result())
        """,
    )
    assert project.run("workflow.py").stdout == "False\n1\n"


@pytest.mark.parametrize("options", ["", "isolate=False"])
def test_what_was_submitted_is_finished_at_the_end_of_the_script(project, options):
    project.write(
        "bandsaw_config.py",
        f"""
        from concurrent.futures import ProcessPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        configuration = bandsaw.Configuration().add_advice_chain(
            ExecutorAdvice(lambda: ProcessPoolExecutor(2), {options})
        )
        """,
    )
    project.write(
        "workflow.py",
        """
        import bandsaw

        @bandsaw.task
        def write(name, after=None):
            open(name, "x").close()

        if __name__ == "__main__":
            first = write.submit("1")
            calls = [write.submit("2"), write.submit("3", first), write.submit("4")]
        """,
    )
    assert project.run("workflow.py").stderr == ""
    assert all((project.folder / name).exists() for name in "1234")


SLOW_TO_SUBMIT = """
    import threading
    from concurrent.futures import Future, ThreadPoolExecutor
    import bandsaw
    from bandsaw.advices.executor import ExecutorAdvice

    # ThreadPool: its workers are on this machine for sure.
    class Pool(ThreadPoolExecutor):
        entered, go, left, ran, told = (threading.Event() for _ in range(5))
        is_slow = is_late = False

        def submit(self, function, /, *args):
            if self.is_slow:
                self.entered.set()
                assert self.go.wait(60)
                self.is_slow = False
                self.left.set()
                return super().submit(function, *args)
            theirs = super().submit(function, *args)
            if not self.is_late:
                return theirs
            late = Future()
            late.set_running_or_notify_cancel()
            def tell():
                result = theirs.result()
                self.ran.set()
                assert self.told.wait(60)
                late.set_result(result)
            threading.Thread(target=tell, daemon=True).start()
            return late

    Pool.__module__ = "concurrent.futures.of_tests"
    pool = Pool(1)
    configuration = bandsaw.Configuration().add_advice_chain(
        ExecutorAdvice(pool, isolate={})
    )
"""


@pytest.mark.parametrize("isolate", [True, False])
def test_cancelling_waits_for_no_submission_and_never_takes_back_what_has_run(project, isolate):
    project.write("bandsaw_config.py", SLOW_TO_SUBMIT.format(isolate))
    project.write(
        "workflow.py",
        """
        import os
        import bandsaw
        from bandsaw_config import pool

        @bandsaw.task
        def note(name):
            open(name, "x").close()
            return name

        if __name__ == "__main__":
            note("first")
            pool.is_slow = True
            future = note.submit("second")
            assert pool.entered.wait(60)
            print(future.cancel(), future.cancelled())
            pool.go.set()
            assert pool.left.wait(60)
            pool.is_late = True
            future = note.submit("third")
            assert pool.ran.wait(60)
            print(future.cancel())
            pool.told.set()
            print(future.result(), sorted({'first', 'second', 'third'} & set(os.listdir())))
        """,
    )
    done = project.run("workflow.py")
    assert done.stdout == "True True\nFalse\nthird ['first', 'third']\n"


def test_what_hits_the_thread_of_one_call_of_a_pack_leaves_the_others_with_an_end():
    def submit(options, *what):
        raise SystemExit("gone")

    engine = Engine("e", submit, lambda *_: None, lambda *_: False)
    pack = packs.Pack(packs.Packer(engine), ({}, {}, None, False))
    futures = [Future() for _ in range(3)]
    pack.entries = [packs._Entry(str(i), (b"", b"", b""), one) for i, one in enumerate(futures)]
    with pytest.raises(SystemExit):
        pack.submit()
    assert all(isinstance(one.exception(0).__cause__, SystemExit) for one in futures)


def test_the_answers_to_a_pack_live_no_longer_than_those_who_wait_for_them():
    futures = [Future()]
    engine = Engine("e", lambda *_: futures[0], lambda *_: None, lambda *_: False)
    pack = packs.Pack(packs.Packer(engine), ({}, {}, None, False))
    future = Future()
    pack.entries = [packs._Entry("one", (b"", b"", b""), future)]
    pack.submit()
    futures[0].set_result(("calls", "here", ["answer"]))
    assert future.result(0) == "answer"
    known = weakref.ref(futures[0])
    gc.disable()
    try:
        futures.clear()
        assert known() is None
    finally:
        gc.enable()


def test_an_executor_that_was_broken_when_a_pack_was_submitted_is_let_go():
    class Broken:
        def submit(self, function, /, *args):
            raise BrokenExecutor("gone")

    executor = Broken()
    messages = b"", None, b"", b""
    packer = packer_of(engine_of(executor))
    future = packer.submit(1, {}, {}, "one", messages, None, False)
    assert isinstance(future.exception(), BrokenExecutor)
    known = weakref.ref(executor)
    del executor, future, packer
    gc.collect()
    assert known() is None


@pytest.mark.parametrize("workers", [None, 1])
def test_arguments_and_results_live_no_longer_than_their_call(project, workers):
    project.write(
        "bandsaw_config.py",
        f"""
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        advice = ExecutorAdvice(lambda: ThreadPoolExecutor(1), workers={workers})
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        """,
    )
    project.write(
        "workflow.py",
        """
        import gc, weakref, bandsaw

        class Large:
            pass

        @bandsaw.task
        def given(large):
            return large

        def live():
            large = Large()
            found = [weakref.ref(large), weakref.ref(given(large))]
            del large
            return [one() is not None for one in found]

        if __name__ == "__main__":
            live()
            gc.collect()
            gc.disable()
            print(live(), live())
        """,
    )
    done = project.run("workflow.py")
    assert done.stdout == "[False, False] [False, False]\n"


def test_a_call_that_is_ended_does_not_wait_for_what_another_one_brings():
    engine = Engine("e", lambda *_: None, lambda *_: None, lambda *_: False)
    mark = engine.mark()
    begun, go = threading.Event(), threading.Event()

    def bring():
        begun.set()
        assert go.wait(60)

    def wait(end):
        ending.current.set(end)
        engine.once("key", mark, lambda: brought.append(end))

    brought = []
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(engine.once, "key", mark, bring)
        assert begun.wait(60)
        ends = [ending.Ending(), ending.Ending()]
        ended, other = [pool.submit(wait, end) for end in ends]
        ends[0].end()
        assert isinstance(ended.exception(60), CancelledError)
        assert not (first.done() or other.done())
        go.set()
        assert first.result(60) is other.result(60) is None
    assert not (brought or engine._brings)


def test_calls_of_a_map_wait_for_the_first_one_to_be_packed_by_how_long_it_took():
    engine = Engine("test", None, None, None, pack_seconds=600.0, most_packed=25)
    packer = packs.Packer(engine)
    token = ending.group.set(object())
    try:
        assert packer.size("task", None, b"", lambda: False) == 1
        # One that is cancelled waits for nothing.
        assert packer.size("task", None, b"", lambda: True) == 1
        with ThreadPoolExecutor(1) as threads:
            context = contextvars.copy_context()
            second = threads.submit(context.run, packer.size, "task", None, b"", lambda: False)
            packer.measured("task", 60.0)
            assert second.result() == 10
        packer.measured("task", 0.001)
        assert 10 < packer.size("task", None, b"", lambda: False) <= 25
    finally:
        ending.group.reset(token)


def test_no_name_of_the_program_for_workers_is_given_twice():
    # Its modules are executed one after the other in one namespace.
    given = {}
    for path, source in ssh_start.sources("bandsaw._workers.executor.engine_far"):
        for node in ast.parse(source).body:
            targets = getattr(node, "targets", [getattr(node, "target", None)])
            names = [getattr(node, "name", None), *(getattr(each, "id", None) for each in targets)]
            for name in filter(None, names):
                given.setdefault(name, {})[path] = ast.dump(node)
    assert {"run", "kill", "sweep", "OLDEST"} <= given.keys()
    twice = {name: list(found) for name, found in given.items() if len({*found.values()}) > 1}
    assert not twice


def test_what_a_call_has_returned_is_removed_there_where_it_is_not_fetched(tmp_path):
    requests = []

    def at(worker, function, expression, scope, data):
        requests.append(scope["args"][0])
        future = Future()
        future.set_result(("piece", "there", b"contents"))
        return future

    class Full:
        def write(self, piece):
            raise OSError("no room")

    bringing = engine_carrying.Bringing(SimpleNamespace(at=at), {}, lambda: False)
    path = tmp_path / "back-1-files"
    with pytest.raises(OSError, match="no room"):
        bringing.fetch("worker", str(path), 100, Full())
    with engine_carrying.Arrived(None, bringing, ("worker", str(path), 100)):
        pass  # nobody takes a file
    assert [request.get("drop") for request in requests] == [None, path.name, path.name]
    (path.parent / "archives").touch()
    path.touch()
    for name in (path.name, "archives"):
        engine_files.drop(str(tmp_path), name)
    assert os.listdir(tmp_path) == ["archives"]


def test_claims_of_callers_that_have_ended_are_removed(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    of_ended = engine_claims.started(ended.pid)
    ended.communicate(b"\n")
    of_this = engine_claims.started(os.getpid())
    for name, caller in (("gone", of_ended), ("here", of_this), ("other", ("x", *of_ended[1:]))):
        os.symlink(engine_claims.claim("begun", caller), tmp_path / f"begun-{name}")
    engine_claims.sweep_boxes(str(tmp_path))
    left = {"begun-here", "begun-other"} | ({"begun-gone"} if not of_this[0] else set())
    assert set(os.listdir(tmp_path)) == left


def test_a_claim_is_short_enough_for_a_file_system_to_keep_it_without_a_block(tmp_path):
    box, descriptor = engine_claims.new_box(str(tmp_path))
    os.close(descriptor)
    machine, _, _ = engine_claims.started(os.getpid())
    most = engine_claims.claim("begun", (machine, 4194304, "9999999999"), box)
    assert len(most) < 60


def test_a_call_is_told_its_end_where_it_runs_now(tmp_path):
    root, name = str(tmp_path), "a" * 32
    boxes = [engine_claims.new_box(root) for _ in range(2)]
    request = {"claims": root, "caller": ("here", 1, "2"), "engine": "", "repeats": False}
    begun = {}
    try:
        for box, descriptor in boxes:
            assert engine_claims.begins(request, box, name, begun) == "begun"
            assert engine_claims.tell(root, name)
            assert os.read(descriptor, 100).decode() == name + "\n"
    finally:
        for _, descriptor in boxes:
            os.close(descriptor)
        engine_claims._begun.pop(name)


def test_a_call_that_was_over_begins_again_only_where_the_engine_repeats_calls(tmp_path):
    request = {"claims": str(tmp_path), "caller": ("here", 1, "2"), "engine": ""}
    engine_claims._begun["call"] = "over"
    try:
        for repeats, word in ((False, "lost"), (True, "begun")):
            told = {**request, "repeats": repeats}
            assert engine_claims.begins(told, "box", "call", {}) == word
    finally:
        engine_claims._begun.pop("call")


def test_a_call_that_began_in_a_lost_worker_begins_again_only_where_the_engine_repeats_calls(
    tmp_path,
):
    request = {"claims": str(tmp_path), "caller": ("here", 1, "2"), "engine": ""}
    claim = tmp_path / "begun-call"
    for repeats, word, who in ((False, "lost", "lost"), (True, "begun", "box")):
        claim.unlink(missing_ok=True)
        claim.symlink_to(engine_claims.claim("begun", request["caller"], "lost"))
        try:
            told = {**request, "repeats": repeats}
            assert engine_claims.begins(told, "box", "call", {}) == word
        finally:
            engine_claims._begun.pop("call")
        assert os.readlink(claim).split()[1] == who


def test_a_call_that_has_begun_cannot_be_kept_from_it(tmp_path):
    of_calls = engine_claims.Claims(lambda: str(tmp_path))
    said = engine_claims.claim("begun", engine_claims.caller(os.getpid()))
    os.symlink(said, tmp_path / "begun-one")
    assert not of_calls.take("one")
    assert of_calls.take("other") and of_calls.take("other")
    # Nobody was told to end a call of which nothing can be said here.
    nowhere = engine_claims.Claims(lambda: str(tmp_path / "nowhere"))
    assert not nowhere.take("one") and not nowhere.end("one")


def test_a_path_of_a_machine_that_sees_other_files_is_not_opened():
    for seen, is_seen in ((engine_claims.files_seen(), True), ("other", False)):
        assert engine_worker._is_seen({"files_seen": seen}, __file__) is is_seen


@pytest.mark.parametrize("is_here", [False, True])
def test_what_may_have_begun_unseen_in_a_lost_worker_is_not_submitted_again(tmp_path, is_here):
    of_calls = engine_claims.Claims(lambda: str(tmp_path))
    engine = Engine("e", None, None, None, claims=of_calls, is_here=is_here)
    pack = packs.Pack(packs.Packer(engine), ())
    entries = [packs._Entry(str(i), (b"", b"", b""), Future()) for i in range(2)]
    pack._lost(entries, ConnectionError("gone"))
    errors = {type(one.future.exception(0)) for one in entries}
    assert errors == {NotBegunError if is_here else ConnectionError}


def test_a_worker_with_another_python_gives_values_or_refuses_in_words(project, other_python):
    """A worker of the oldest or the newest Python, which has neither bandsaw nor the project."""
    project.write(
        "bandsaw_config.py",
        """
        import os, pickle, subprocess
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        SERVE = "\\n".join((
            "import pickle, sys",
            "while True:",
            "    function, args = pickle.load(sys.stdin.buffer)",
            "    pickle.dump(function(*args), sys.stdout.buffer)",
            "    sys.stdout.buffer.flush()",
        ))

        def executor():
            worker = subprocess.Popen(
                [os.environ["WORKER"], "-c", SERVE], stdin=subprocess.PIPE, cwd="/",
                stdout=subprocess.PIPE, env={"TMPDIR": os.environ["TMPDIR"]},
            )
            class Other(ThreadPoolExecutor):
                def submit(self, function, /, *args):
                    return super().submit(call, function, args)
            def call(function, args):
                pickle.dump((function, args), worker.stdin)
                worker.stdin.flush()
                return pickle.load(worker.stdout)
            return Other(1)

        configuration = bandsaw.Configuration().add_advice_chain(
            ExecutorAdvice(executor)
        )
        """,
    )
    project.write(
        "workflow.py",
        """
        import collections, os, sys
        import bandsaw

        Pair = collections.namedtuple("Pair", "a b")

        @bandsaw.task
        def version(pair):
            return Pair(sys.version_info[:2], pair), {1, 2.5}

        def local():
            factor = 2
            @bandsaw.task
            def times(x):
                return x * factor
            return times(4)

        if __name__ == "__main__":
            for act in (lambda: version(Pair(1, ["x"])), local):
                try:
                    print(act())
                except Exception as error:
                    print(type(error).__name__, error)
        """,
    )
    theirs = subprocess.check_output(
        [other_python, "-c", "import sys; print(sys.version_info[:2])"], text=True
    ).strip()
    done = project.run("workflow.py", WORKER=str(other_python))
    value, local = done.stdout.splitlines()[:2]
    assert value == f"(Pair(a={theirs}, b=Pair(a=1, b=['x'])), {{1, 2.5}})"
    assert local.startswith("UnserializableError") and "top level" in local


def test_on_this_machine_code_runs_from_where_it_lies_as_it_was_loaded(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice
        from bandsaw.advices.subprocess import SubprocessAdvice

        advice = ExecutorAdvice(ThreadPoolExecutor(1))
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        configuration.add_advice_chain(advice, SubprocessAdvice(fork=False), name="nested")
        """,
    )
    project.write(
        "workflow.py",
        """
        import importlib, importlib.resources, pathlib
        import bandsaw, pkg.edited

        @bandsaw.task
        def beside():
            resource = importlib.resources.files("pkg") / "data.txt"
            return (pathlib.Path(__file__).parent / "data.csv").read_text(), resource.read_text()

        @bandsaw.task(chain="nested")
        def nested():
            return (pathlib.Path(__file__).parent / "data.csv").read_text()

        @bandsaw.task
        def edited():
            return pkg.edited.value, importlib.import_module("hid" + "den").value

        if __name__ == "__main__":
            print(*beside(), nested(), *edited())
            file = pathlib.Path(pkg.edited.__file__)
            file.write_text("value = 2222")
            print(*edited())
            importlib.reload(pkg.edited)
            print(*edited())
        """,
    )
    for name, text in {
        "data.csv": "csv",
        "hidden.py": "value = 'found'",
        "pkg/__init__.py": "",
        "pkg/data.txt": "data",
        "pkg/edited.py": "value = 1",
    }.items():
        project.write(name, text)
    done = project.run("workflow.py")
    assert done.stdout == "csv data csv 1 found\n1 found\n2222 found\n"
