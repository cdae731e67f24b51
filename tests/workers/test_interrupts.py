import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import is_gone

ROOT = Path(__file__).parent.parent
pytestmark = pytest.mark.slow


# Tells of itself and of what it has started, and never ends.
ENDLESS = """
@bandsaw.task
def endless():
    print(os.getppid(), os.getpid(), subprocess.Popen(['sleep', '600']).pid, flush=True)
    time.sleep(600)

@bandsaw.task
def nested():
    endless()

@bandsaw.task
def f(x=None):
    return os.getppid(), os.getpid()

def wait_for_end(pid):
    while True:
        try:
            with open(f'/proc/{pid}/stat') as file:
                if file.read().rpartition(')')[2].split()[0] == 'Z':
                    return
        except OSError:
            return
        time.sleep(0.005)
"""


@pytest.mark.parametrize("task", ["endless", "nested"])
def test_ctrl_c_ends_what_runs(start, interrupt, left_nothing, mode, task):
    assert len(interrupt(start(ENDLESS, f"{task}()", mode))) == 3
    left_nothing()


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL, signal.SIGHUP])
def test_the_death_of_the_parent_ends_what_runs(start, left_nothing, wait_until, mode, how):
    with start(ENDLESS, "nested()", mode) as process:
        pids = list(map(int, process.stdout.readline().split()))
        process.send_signal(how)
        assert process.wait() == -how
        for pid in pids:
            wait_until.gone(pid)
    left_nothing()


def test_the_death_of_the_parent_ends_what_waits_for_work(start, left_nothing, wait_until, mode):
    with start(ENDLESS, "print(*f(), flush=True)\ntime.sleep(600)", mode) as process:
        pids = list(map(int, process.stdout.readline().split()))
        process.kill()
        for pid in pids:
            wait_until.gone(pid)
    left_nothing()


# The second one is how libraries fork: nothing that Python knows of is done then.
@pytest.mark.parametrize("fork", ["os", "__import__('ctypes').PyDLL(None)"], ids=["os", "C"])
@pytest.mark.parametrize("task", ["endless", "f"])
def test_a_forked_child_of_the_parent_keeps_nothing(
    start, left_nothing, wait_until, mode, task, fork
):
    body = f"""
    threading.Thread(target=lambda: print(*({task}() or ())), daemon=True).start()
    sys.stdin.readline()
    child = {fork}.fork()
    if child == 0:
        os.close(1), os.close(2)
        time.sleep(600)
    print(child, flush=True)
    time.sleep(600)
    """
    with start(ENDLESS, body, mode, stdin=subprocess.PIPE) as process:
        pids = list(map(int, process.stdout.readline().split()))
        process.stdin.write("\n")
        process.stdin.flush()
        child = int(process.stdout.readline())
        try:
            process.kill()
            for pid in pids:
                wait_until.gone(pid)
            assert not is_gone(child)
        finally:
            os.kill(child, signal.SIGKILL)
    left_nothing()


def test_an_interrupt_that_is_caught_ends_the_call_only(run, mode):
    tasks = """
    @bandsaw.task
    def interrupting():
        os.kill(int(os.environ['CALLER']), signal.SIGINT)
        time.sleep(600)

    @bandsaw.task
    def f(x):
        return x
    """
    body = """
    os.environ['CALLER'] = str(os.getpid())
    for x in range(3):
        try:
            interrupting()
        except KeyboardInterrupt:
            print(f(x))
        else:
            raise AssertionError
    """
    assert run(tasks, body, mode).stdout == "0\n1\n2\n"


def test_the_death_of_the_fork_server_in_a_call_is_an_error(run, mode):
    tasks = """
    @bandsaw.task
    def f(kills=False):
        if kills:
            os.kill(os.getppid(), signal.SIGKILL)
            time.sleep(600)
        return os.getppid()
    """
    body = """
    for _ in range(2):
        fork_server = f()
        try:
            f(True)
        except bandsaw.errors.WorkerDiedError as error:
            for part in ('task workflow.f', 'execution', sys.executable, 'pid'):
                assert part in str(error), error
            assert isinstance(error, subprocess.CalledProcessError)
        else:
            raise AssertionError
        assert f() != fork_server
    """
    run(tasks, body, mode)


def test_the_death_of_the_fork_server_ends_what_the_task_has_started(run, mode):
    task = """
@bandsaw.task
def start():
    started = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
    with open('started', 'w') as file:
        file.write(str(started.pid))
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
"""
    body = """
    try:
        start()
    except bandsaw.errors.WorkerDiedError:
        wait_for_end(int(open('started').read()))
    else:
        raise AssertionError
    """
    run(ENDLESS + task, body, mode)


@pytest.mark.parametrize("which", [0, 1], ids=["fork server", "process"])
def test_what_dies_between_calls_is_replaced_unnoticed(run, mode, which):
    body = f"""
    for x in range(4):
        pids = f(x)
        with __import__('contextlib').suppress(ProcessLookupError):
            os.kill(pids[{which}], signal.SIGKILL)
        for pid in pids[{which}:]:
            wait_for_end(pid)
    assert f()
    """
    done = run(ENDLESS, body, mode)
    assert done.stdout == done.stderr == ""


@pytest.mark.skipif(sys.version_info < (3, 11), reason="looks for signals at other places")
@pytest.mark.parametrize("size", [10, pytest.param(300_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("chain", ["own", "kept"])
def test_an_interrupt_that_is_caught_leaves_no_file_open_and_nothing_waiting(project, chain, size):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.subprocess import SubprocessAdvice
        configuration = (
            bandsaw.Configuration()
            .add_advice_chain(SubprocessAdvice(), name="own")
            .add_advice_chain(SubprocessAdvice(workers=1), name="kept")
        )
        """,
    )
    project.write("interrupted.py", (ROOT / "faults/programs/interrupted.py").read_text())
    # All places take some time: step 1 is for the command line.
    done = project.run("interrupted.py", chain, str(size), "7", check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[0]) > 100


@pytest.mark.skipif(sys.version_info < (3, 11), reason="looks for signals at other places")
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs /proc")
@pytest.mark.parametrize(
    ("what", "size", "step"), [("entry", 300_000, 1), ("login", 1, 3), ("fork-server", 1, 25)]
)
def test_an_interrupt_leaves_nothing_of_what_was_being_opened(project, what, size, step):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.subprocess import SubprocessAdvice
        configuration = bandsaw.Configuration()
        configuration.add_advice_chain(SubprocessAdvice(workers=1), name="kept")
        """,
    )
    project.write("interrupted.py", (ROOT / "faults/programs/interrupted.py").read_text())
    done = project.run("interrupted.py", what, str(size), str(step), check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout.split()[0]) > 90


def test_ctrl_c_while_the_program_ends_is_its_status_and_says_nothing(project):
    project.write("script.py", """
        import signal
        from bandsaw._system import ending
        ending.at_exit(print, "the last step")
        ending.at_exit(signal.raise_signal, signal.SIGINT)
    """)  # fmt: skip
    done = project.run("script.py", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, "the last step\n", "")
