"""Calls that are cancelled or killed, and what becomes of them when the program ends."""

import contextlib
import os
import signal
import subprocess

import pytest

import bandsaw
from bandsaw.advices.retry import RetryAdvice
from bandsaw.errors import TaskKilledError

TASKS = """
def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.005)

@bandsaw.task{options}
def hang(name):
    with open(name + ".part", "w") as file:
        file.write(str(os.getpid()))
    os.rename(name + ".part", name)
    while True:
        time.sleep(600)

@bandsaw.task{options}
def note(name, _=None):
    open(name, "w").close()
    return name

@bandsaw.task{options}
def pid():
    return os.getpid()

def seconds_to_end(pid):
    begun = time.monotonic()
    while True:
        try:
            with open(f"/proc/{pid}/stat") as file:
                if file.read().rpartition(")")[2].split()[0] == "Z":
                    return time.monotonic() - begun
        except OSError:
            return time.monotonic() - begun
        assert time.monotonic() - begun < 200
        time.sleep(0.01)
"""
# A format string would trip over the braces.
KEPT = TASKS.replace("{options}", "")
OWN = TASKS.replace("{options}", '(chain="own")')


@pytest.mark.parametrize("tasks", [KEPT, OWN])
def test_killing_a_call_ends_its_process_and_no_other(run, tasks):
    body = """
    future, first = hang.submit("pid"), concurrent.futures.Future()
    later = note.submit("later", first)
    needs = note.submit("never", future)
    wait_for("pid")
    assert not future.cancel() and not later.kill() and not needs.kill()
    assert future.kill()
    error = future.exception(200)
    assert type(error) is bandsaw.errors.TaskKilledError, error
    assert isinstance(error, bandsaw.errors.WorkerDiedError) and error.returncode == -9
    assert "workflow.hang" in str(error) and "was killed" in str(error)
    assert isinstance(needs.exception(200), bandsaw.errors.DependencyError)
    assert needs.exception().__cause__ is error
    assert not future.kill()
    seconds_to_end(int(open("pid").read()))
    first.set_result(None)
    assert later.result(200) == "later" and note("direct") == "direct"
    assert not os.path.exists("never")
    """
    run(tasks, body)


def test_a_call_that_is_killed_while_it_waits_for_a_process_never_begins(run):
    body = """
    # A direct call has the only process.
    direct = threading.Thread(target=lambda: hang_here())
    def hang_here():
        try:
            hang("pid")
        except bandsaw.errors.WorkerDiedError:
            pass
    direct.start()
    wait_for("pid")
    future = note.submit("never")
    while not future.running():
        time.sleep(0.001)
    while not future.kill():
        time.sleep(0.001)
    error = future.exception(200)
    assert type(error) is bandsaw.errors.TaskKilledError, error
    os.kill(int(open("pid").read()), signal.SIGKILL)
    direct.join()
    assert not os.path.exists("never")
    """
    run(KEPT, body)


def test_a_call_that_is_killed_while_another_one_computes_its_entry_ends_at_once(run):
    body = """
    def compute():
        try:
            hang("pid")
        except bandsaw.errors.WorkerDiedError:
            pass

    direct = threading.Thread(target=compute)
    direct.start()
    wait_for("pid")
    future = hang.submit("pid")
    while not future.running():
        time.sleep(0.001)
    time.sleep(0.2)
    while not future.kill():
        time.sleep(0.001)
    error = future.exception(60)
    assert type(error) is bandsaw.errors.TaskKilledError, error
    assert "workflow.hang" in str(error) and direct.is_alive()
    os.kill(int(open("pid").read()), signal.SIGKILL)
    direct.join()
    """
    run(TASKS.replace("{options}", '(chain="cached")'), body)


def test_a_call_that_is_killed_when_it_has_answered_leaves_no_process_to_the_next_one(run):
    tasks = """
futures = []

class Killing:
    def __reduce__(self):
        return kill, ()

def kill():
    wait_until(futures)
    assert futures.pop().kill()

def wait_until(what):
    while not what:
        time.sleep(0.001)

@bandsaw.task
def answer():
    return Killing()
"""
    body = """
    for n in range(3):
        future = answer.submit()
        futures.append(future)
        assert type(future.exception(200)) is bandsaw.errors.TaskKilledError
        assert note(str(n)) == str(n)
    """
    run(KEPT + tasks, body)


def test_a_signal_handler_may_kill_the_call_that_is_just_being_killed(run):
    tasks = """
from bandsaw._workers.child import LocalChild

told = []

def cancel(child, cancel=LocalChild.cancel):
    LocalChild.cancel = cancel
    os.kill(os.getpid(), signal.SIGTERM)
    cancel(child)
"""
    body = """
    future = hang.submit("pid")
    signal.signal(signal.SIGTERM, lambda *_: told.append((future.kill(), future.cancel())))
    wait_for("pid")
    LocalChild.cancel = cancel
    assert future.kill() and told == [(True, False)]
    assert type(future.exception(200)) is bandsaw.errors.TaskKilledError
    """
    run(KEPT + tasks, body, seconds=100)


def test_a_call_is_not_killed_in_the_moment_when_its_result_arrives(run):
    tasks = """
from bandsaw._futures import calls

told = []

def forget(call, forget=calls.SubmittedCall.forget):
    told.append(call.future.kill())
    forget(call)
"""
    body = """
    calls.SubmittedCall.forget = forget
    assert note.submit("name").result(200) == "name"
    assert told == [False], told
    """
    run(KEPT + tasks, body)


def test_a_lost_process_fails_the_calls_that_had_begun_on_it_and_no_other(run):
    body = """
    future, others = hang.submit("pid"), [note.submit(str(n)) for n in range(5)]
    wait_for("pid")
    os.kill(int(open("pid").read()), signal.SIGKILL)
    error = future.exception(200)
    assert type(error) is bandsaw.errors.WorkerDiedError
    assert [other.result(200) for other in others] == list("01234")
    """
    run(KEPT, body)


def test_a_call_of_a_chain_that_stays_here_is_not_killed(task, gate):
    @task
    def f():
        gate.pass_through()
        return 1

    future = f.submit()
    assert gate.arrived.acquire(timeout=60)
    assert not future.kill()
    gate.open()
    assert future.result(200) == 1


def test_a_call_that_only_says_how_many_of_it_run_is_not_killed(bounded, gate):
    @bounded(1)
    def f():
        gate.pass_through()
        return 1

    future = f.submit()
    assert gate.arrived.acquire(timeout=60)
    assert not future.kill()
    gate.open()
    assert future.result(200) == 1


def test_a_call_of_this_process_that_is_killed_is_not_tried_again(configure, gate):
    @bandsaw.task(config=configure(RetryAdvice(wait_initial=3600, wait_max=3600)).module_name)
    def f():
        gate.pass_through()
        raise LookupError

    future = f.submit()
    assert gate.arrived.acquire(timeout=60)
    assert not future.kill()
    gate.open()
    assert isinstance(future.exception(200), TaskKilledError)


def test_a_call_that_was_killed_has_no_result_whatever_an_advice_makes_of_it(configure, gate):
    class Fallback(bandsaw.Advice):
        def after(self, session):
            session.result = bandsaw.Result(0)
            session.proceed()

    chain = Fallback(), RetryAdvice(wait_initial=3600, wait_max=3600)

    @bandsaw.task(config=configure(*chain).module_name)
    def f():
        gate.pass_through()
        raise LookupError

    future = f.submit()
    assert gate.arrived.acquire(timeout=60)
    future.kill()
    gate.open()
    assert isinstance(future.exception(200), TaskKilledError)


def test_what_was_submitted_is_finished_at_the_end_of_a_script(run, project):
    body = """
    def after(value):
        note.submit("after")
    first = note.submit("first")
    for number in range(5):
        note.submit(str(number), first)
    executor = concurrent.futures.ThreadPoolExecutor(1)
    note.submit("other", executor.submit(time.sleep, 0.3))
    """
    run(KEPT, body)
    for name in ("first", *"01234", "other"):
        assert (project.folder / name).exists()


EXECUTORS = """
import time
import bandsaw
from bandsaw.advices.executor import ExecutorAdvice

def threads():
    from concurrent.futures import ThreadPoolExecutor
    return ThreadPoolExecutor(1)

def processes():
    from concurrent.futures import ProcessPoolExecutor
    return ProcessPoolExecutor(1)

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(ExecutorAdvice(threads, isolate=False), name="threads")
    .add_advice_chain(ExecutorAdvice(processes), name="processes")
)
"""


@pytest.mark.parametrize("chain", ["threads", "processes"])
@pytest.mark.parametrize("before", ["nap(0)", "pass"])
def test_executors_that_were_imported_late_finish_what_was_submitted(project, chain, before):
    project.write("bandsaw_config.py", EXECUTORS)
    project.write(
        "workflow.py",
        f"""
        import time
        import bandsaw

        @bandsaw.task(chain={chain!r})
        def nap(seconds):
            time.sleep(seconds)
            return seconds

        if __name__ == "__main__":
            {before}
            for _ in range(3):
                nap.submit(0.2).add_done_callback(lambda done: print(done.result()))
        """,
    )
    assert project.run("workflow.py").stdout == "0.2\n" * 3


def test_a_call_that_runs_here_is_not_cancelled_with_what_it_calls_elsewhere(project):
    project.write("bandsaw_config.py", EXECUTORS + "configuration.add_advice_chain(name='here')")
    project.write(
        "workflow.py",
        """
        import os, time
        import bandsaw

        @bandsaw.task(chain="processes")
        def wait(name):
            open(name, "x").close()
            while not os.path.exists("go"):
                time.sleep(0.01)
            return name

        @bandsaw.task(chain="here")
        def outer():
            return wait("inner")

        if __name__ == "__main__":
            from bandsaw._workers.executor.engine_child import EngineChild

            first = wait.submit("first")
            while not os.path.exists("first"):
                time.sleep(0.01)
            submit, calls = EngineChild._submit, []
            EngineChild._submit = lambda *args: (submit(*args), calls.append(1))
            future = outer.submit()
            while not calls:
                time.sleep(0.01)
            print(future.cancel())
            open("go", "x").close()
            print(future.result())
        """,
    )
    assert project.run("workflow.py").stdout == "False\ninner\n"


def test_a_map_that_was_not_taken_to_its_end_is_let_go_without_a_word(run, project):
    tasks = """
@bandsaw.task(chain="two")
def note(number):
    open(str(number), "w").close()
"""
    body = """
    # A module that is emptied late, when those of bandsaw have been.
    threading.left = note.map(range(6), buffersize=3)
    next(threading.left)
    """
    assert run(tasks, body).stderr == ""
    assert (project.folder / "3").exists() and not (project.folder / "5").exists()


@pytest.mark.slow
def test_on_every_python_what_is_left_at_the_end_finds_a_thread(project, write, pythons):
    """Some begin no thread any more once the script is over."""
    tasks = """
from bandsaw._futures import flight

bandsaw.get_configuration().add_advice_chain(name="here")

@bandsaw.task(chain="here")
def first():
    while not flight.has_waiters:
        time.sleep(0.01)  # until the script is over

@bandsaw.task(chain="here")
def note(number, _):
    open(str(number), "w").close()
"""
    body = """
    sent = first.submit()
    for number in range(5):
        note.submit(number, sent)
    """
    for executable in pythons.values():
        write(tasks, body)
        done = project.run("workflow.py", python=executable)
        assert not done.stderr
        for number in range(5):
            (project.folder / str(number)).unlink()


def test_a_call_that_waits_for_what_nobody_computes_does_not_keep_a_script(run):
    run(KEPT, 'future = note.submit("never", concurrent.futures.Future())')


def test_calls_that_a_task_has_submitted_are_finished_with_its_process(run, project):
    tasks = f"""{OWN}
@bandsaw.task(chain="own")
def leave():
    note.submit("left", note.submit("left first"))
"""
    run(tasks, "leave()")
    assert (project.folder / "left").exists()


@pytest.mark.parametrize("before", ['note.submit("before")', "pass"])
def test_a_call_that_is_submitted_when_all_is_over_is_refused(run, before):
    body = f"""
    import atexit
    def late():
        try:
            note.submit("never")
        except bandsaw.errors.ProgramEndedError as error:
            print("refused:", isinstance(error, RuntimeError))
        assert note("direct") == "direct"
    atexit.register(late)
    {before}
    """
    assert run(KEPT, body).stdout == "refused: True\n"


def test_a_failure_that_nobody_has_asked_for_is_logged_at_the_end(run):
    body = """
    kept = [note.submit(), note.submit("named")]
    below = note.submit(kept[0])
    asked = note.submit()
    asked.exception(200)
    if hasattr(os, "fork"):
        concurrent.futures.wait([*kept, below])
        child = os.fork()
        if not child:
            sys.exit()  # of the parent's failures it says nothing
        assert os.waitpid(child, 0)[1] == 0
    """
    errors = run(KEPT, body).stderr
    assert errors.count("Task workflow.note failed, and nobody has asked for its result.") == 1
    assert "decorator.py" not in errors


def test_a_failure_because_the_script_had_ended_says_what_to_do(run):
    tasks = """
@bandsaw.task(chain="two")
def fail():
    raise RuntimeError("can't create new thread at interpreter shutdown")
"""
    errors = run(tasks, "fail.submit()").stderr
    assert "begins no thread after the script: have that wait for it." in errors


INTERRUPTED = {
    "result": "futures[0].result()",
    "map": "list(hang.map(['pid', 'never']))",
    "sleep": "time.sleep(600)",
    "wait": "concurrent.futures.wait(futures)",
    "at the end": "pass",
    "later": "pass",
}
# Bandsaw is loaded for processes when the script is over.
LATE = """
import atexit, threading

class AfterTheScript(bandsaw.Advice):
    def before(self, session):
        while threading.main_thread().is_alive():
            threading.Event().wait(0.01)
        # Between what ends processes and the calls, were they ended in the wrong order.
        atexit.register(threading.Event().wait, 0.3)
        session.proceed()

configuration.add_advice_chain(
    AfterTheScript(), bandsaw.advices.subprocess.SubprocessAdvice(workers=1), name="late"
)
"""


@pytest.mark.parametrize("where", INTERRUPTED)
def test_ctrl_c_ends_what_runs_begins_nothing_more_and_leaves_at_once(
    project, write, wait_until, where
):
    body = f"""
    if {where != "map"}:
        futures = [hang.submit("pid")]
        note.submit("never")
    {INTERRUPTED[where]}
    """
    write(TASKS.replace("{options}", '(chain="late")' if where == "later" else ""), body)
    configuration = project.folder / "bandsaw_config.py"
    configuration.write_text(configuration.read_text() + LATE)
    process = project.start("workflow.py")
    pid = project.folder / "pid"
    wait_until(pid.exists)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=300)
    assert process.returncode == -signal.SIGINT
    assert "KeyboardInterrupt" in errors
    assert "nobody has asked" not in errors
    if where in ("result", "map"):
        frames = [line for line in errors.splitlines() if line.startswith("  File")]
        assert all("workflow.py" in line for line in frames), errors
    wait_until.gone(int(pid.read_text()))
    assert not (project.folder / "never").exists()
    assert project.left_behind() == []


def test_ctrl_c_leaves_at_once_when_a_call_of_this_process_goes_on(project, write, wait_until):
    tasks = """
    @bandsaw.task(chain="here")
    def forever():
        open("begun", "w").close()
        while True:
            time.sleep(0.01)
    """
    write(tasks, "forever.submit().result()")
    path = project.folder / "bandsaw_config.py"
    path.write_text(path.read_text() + 'configuration.add_advice_chain(name="here")\n')
    process = project.start("workflow.py")
    wait_until((project.folder / "begun").exists)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=300)[1]
    assert process.returncode == -signal.SIGINT


def test_a_second_ctrl_c_leaves_without_waiting_for_what_the_first_has_ended(
    project, write, wait_until
):
    tasks = """
    from bandsaw._futures import program

    @bandsaw.task(chain="here")
    def forever():
        open("begun", "w").close()
        while True:
            time.sleep(0.01)

    def tell(*_):
        open("interrupted", "w").close()
    """
    # The first one would wait for ten minutes, so it is the second one that is seen here.
    body = """
    assert program._SECONDS_TO_END <= 1.0
    program._SECONDS_TO_END = 600.0
    sys.excepthook = tell
    forever.submit().result()
    """
    write(tasks, body)
    path = project.folder / "bandsaw_config.py"
    path.write_text(path.read_text() + 'configuration.add_advice_chain(name="here")\n')
    process = project.start("workflow.py")
    wait_until((project.folder / "begun").exists)
    process.send_signal(signal.SIGINT)
    wait_until((project.folder / "interrupted").exists)
    assert process.poll() is None
    for _ in range(60):
        # One that comes while Python still prints the first is lost.
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.communicate(timeout=1)
            break
    assert process.returncode == -signal.SIGINT
    assert project.left_behind() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_call_that_is_pending_at_a_fork_raises_in_the_child(run):
    body = """
    first = concurrent.futures.Future()
    told = []
    running, ready, waiting = hang.submit("pid"), note.submit("ready"), note.submit("x", first)
    below = note.submit("below", ready)
    running.add_done_callback(lambda _: told.append(os.getpid()))
    wait_for("pid")
    child = os.fork()
    if child == 0:
        code = 1
        try:
            for future in (running, ready, waiting, below):
                error = future.exception(0)
                assert type(error) is bandsaw.errors.ForkedError, error
            assert note.submit("in the child").result(200) == "in the child"
            code = len(told)
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    assert running.kill()
    first.set_result(None)
    assert waiting.result(200) == "x" and below.result(200) == "below"
    running.exception(200)
    """
    run(KEPT, body)


def test_executors_that_were_made_do_not_add_to_what_is_called_at_the_end(project):
    text = """
    import threading
    from bandsaw._futures import program

    counts = []
    for number in range(3):
        program.come_first()
        counts.append(len(threading._threading_atexits))
    threading._register_atexit(print, "later")
    program.come_first()
    counts.append(len(threading._threading_atexits))
    print([count - counts[0] for count in counts])
    """
    project.write("script.py", text)
    assert project.run("script.py").stdout == "[0, 0, 0, 2]\nlater\n"
