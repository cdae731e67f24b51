import os
import pickle
import signal
import subprocess
import sys

import pytest

import bandsaw
from bandsaw.advices.subprocess import SubprocessAdvice
from bandsaw.errors import WorkerDiedError

CONFIGURATION = """
    import bandsaw

    class Fault(bandsaw.Advice):
        def __init__(self, before='proceed', after='proceed'):
            self.steps = {'before': before, 'after': after}

        def before(self, session):
            self.step(session, 'before')

        def after(self, session):
            self.step(session, 'after')

        def step(self, session, phase):
            for step in self.steps[phase].split():
                if step == 'raise':
                    raise ZeroDivisionError('by advice')
                if step == 'conclude':
                    session.conclude(bandsaw.Result('concluded'))
                if step == 'proceed':
                    session.proceed()

    class Noting(bandsaw.Advice):
        def before(self, session):
            session.context['way'] = session.context.get('way', ()) + ('before',)
            session.proceed()

        def after(self, session):
            way = session.context['way'] + ('after',)
            session.context['way'] = way
            session.conclude(bandsaw.Result(way))

    configuration = bandsaw.Configuration()
    sub = bandsaw.advices.subprocess.SubprocessAdvice()
    configuration.add_advice_chain(sub)
    configuration.add_advice_chain(sub, sub, sub, name='nested')
    missing = bandsaw.Interpreter(executable='/not/there/python')
    configuration.add_advice_chain(
        bandsaw.advices.subprocess.SubprocessAdvice(interpreter=missing), name='missing')
    configuration.add_advice_chain(Noting(), sub, Noting(), name='noting')
    configuration.add_advice_chain(Fault(), sub, Fault('conclude'), name='concluding')
    for name, fault in {
        'proceed-twice': Fault('proceed proceed'),
        'neither': Fault('nothing'),
        'neither-after': Fault(after='nothing'),
        'raise': Fault('raise'),
        'raise-after': Fault(after='raise'),
    }.items():
        configuration.add_advice_chain(sub, fault, name=name)
"""


@pytest.fixture
def run(project):
    """Runs the body of a script whose tasks are given."""

    def run(tasks, body, check=True, **variables):
        project.write("bandsaw_config.py", CONFIGURATION)
        lines = ["import os, signal, sys, threading, time", "import bandsaw", tasks]
        lines += ["if __name__ == '__main__':", *("    " + line for line in body.splitlines())]
        (project.folder / "workflow.py").write_text("\n".join(lines))
        done = project.run("workflow.py", check=check, **variables)
        assert project.left_behind() == []
        return done

    return run


def test_the_attributes_are_what_was_given(tmp_path):
    assert SubprocessAdvice().directory is None
    assert SubprocessAdvice().interpreter == bandsaw.Interpreter()
    interpreter = bandsaw.Interpreter(executable="/my/python")
    advice = SubprocessAdvice(str(tmp_path), interpreter)
    assert advice.directory == tmp_path
    assert advice.interpreter is interpreter


def test_after_takes_no_step():
    assert SubprocessAdvice().after(None) is None


def test_a_session_goes_through_several_processes_and_back(run):
    tasks = "@bandsaw.task(chain='nested')\ndef f(x):\n    return os.getpid(), os.getppid(), x"
    body = "pid, parent, x = f((1,))\nassert x == (1,)\nassert os.getpid() not in (pid, parent)"
    run(tasks, body)


def test_the_context_travels_and_the_afters_of_earlier_advices_run_here(run):
    tasks = "@bandsaw.task(chain='noting')\ndef f():\n    return 'way'"
    assert run(tasks, "assert f() == ('before', 'before', 'after', 'after')")


def test_concluding_in_the_other_process_brings_the_result_back(run):
    tasks = "@bandsaw.task(chain='concluding')\ndef f():\n    raise AssertionError"
    assert run(tasks, "print(f())").stdout == "concluded\n"


@pytest.mark.parametrize(
    ("chain", "named"),
    [
        ("proceed-twice", "Fault.before"),
        ("neither", "Fault.before"),
        ("neither-after", "Fault.after"),
        ("raise", "Fault.before"),
        ("raise-after", "Fault.after"),
    ],
)
def test_a_fault_of_an_advice_in_the_other_process_is_named_here(run, chain, named):
    tasks = f"@bandsaw.task(chain={chain!r})\ndef f():\n    return 1"
    body = (
        "try:\n    f()\nexcept (RuntimeError, ZeroDivisionError) as error:\n"
        "    print(type(error).__name__, error, *getattr(error, '__notes__', []))\n"
    )
    told = run(tasks, body).stdout
    kinds = ("ZeroDivisionError",) if "raise" in chain else ("AdviceError", "SecondStepError")
    assert told.split()[0] in kinds
    assert named in told
    assert "f" in told.split("task ")[1]


@pytest.mark.parametrize(
    ("how", "said", "code"),
    [
        ("os._exit(4)", "exit code 4", 4),
        ("os.kill(os.getpid(), signal.SIGKILL)", "signal SIGKILL (9)", -signal.SIGKILL),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "signal SIGSEGV (11)", -signal.SIGSEGV),
        ("os.abort()", "signal SIGABRT (6)", -signal.SIGABRT),
    ],
)
def test_the_death_of_the_process_is_explained(run, how, said, code):
    tasks = (
        f"@bandsaw.task\ndef f():\n    print('last words', file=sys.stderr, flush=True)\n    {how}"
    )
    body = (
        "import subprocess\n"
        "try:\n    f()\nexcept subprocess.CalledProcessError as error:\n"
        "    print(error.returncode)\n    print(error)"
    )
    told = run(tasks, body).stdout
    assert told.splitlines()[0] == str(code)
    for part in ("task workflow.f", said, "last words", sys.executable, "pid"):
        assert part in told


def test_the_error_of_a_dead_process_pickles():
    error = WorkerDiedError("died", -9, ["python"], "out", "err")
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.returncode, copy.stderr) == ("died", -9, "err")
    assert isinstance(copy, subprocess.CalledProcessError)


@pytest.mark.parametrize("empty", ["None", "''"])
def test_a_program_that_is_no_python_has_to_name_one(project, empty):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.subprocess import SubprocessAdvice

        configuration = bandsaw.Configuration().add_advice_chain(SubprocessAdvice())
        """,
    )
    project.write(
        "workflow.py",
        f"""
        import sys
        sys.executable = {empty}
        import bandsaw

        @bandsaw.task
        def f(x):
            return x

        if __name__ == "__main__":
            try:
                f(1)
            except bandsaw.errors.WorkerStartError as error:
                print(error)
        """,
    )
    assert "Name one: Interpreter(executable=...)" in project.run("workflow.py").stdout


def test_a_missing_interpreter_is_named(run):
    tasks = "@bandsaw.task(chain='missing')\ndef f():\n    pass"
    body = "try:\n    f()\nexcept OSError as error:\n    print(type(error).__name__, error)"
    told = run(tasks, body).stdout
    assert told.startswith("WorkerStartError")
    assert "/not/there" in told
    assert "task workflow.f" in told


def test_a_relative_interpreter_that_is_missing_is_said_with_its_folder(run, tmp_path):
    tasks = (
        "other = bandsaw.Interpreter(executable='other/bin/python')\n"
        "here = bandsaw.advices.subprocess.SubprocessAdvice(interpreter=other)\n"
        "bandsaw.get_configuration().add_advice_chain(here, name='o')\n"
        "@bandsaw.task(chain='o')\ndef f():\n    pass"
    )
    body = "try:\n    f()\nexcept OSError as error:\n    print(os.getcwd(), error, sep='\\n')"
    folder, told = run(tasks, body).stdout.split("\n", 1)
    assert f"'other/bin/python'. It is looked for in the working directory, {folder}." in told
    body = f"os.makedirs('other/bin')\nos.symlink('/not/there', 'other/bin/python')\n{body}"
    assert "'other/bin/python'. It is there, and what it links to" in run(tasks, body).stdout


def test_what_cannot_be_written_is_an_error_before_anything_is_started(run):
    tasks = "@bandsaw.task\ndef f(x):\n    print('started')"
    done = run(tasks, "f(threading.Lock())", check=False)
    assert done.stdout == ""
    assert "UnserializableError" in done.stderr
    assert "The execution of task workflow.f" in done.stderr


def test_a_result_that_cannot_be_written_is_an_error_that_says_so(run):
    tasks = "@bandsaw.task\ndef f():\n    return [threading.Lock()]"
    done = run(tasks, "f()", check=False)
    assert "The result of task" in done.stderr
    assert "lock" in done.stderr


def test_output_comes_through_and_input_is_not_touched(run):
    tasks = (
        "@bandsaw.task\ndef f():\n    print('to stdout'); print('to stderr', file=sys.stderr)\n"
        "    return sys.stdin.read()"
    )
    done = run(tasks, "assert f() == ''\nprint(sys.stdin.readline())", text="mine\n")
    assert done.stdout.split() == ["to", "stdout", "mine"]
    assert done.stderr == "to stderr\n"


def test_output_is_seen_while_the_task_runs(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    gate = project.folder / "gate"
    project.write(
        "workflow.py",
        f"""
        import os, time
        import bandsaw

        @bandsaw.task
        def f():
            print('early')
            while not os.path.exists({str(gate)!r}):
                time.sleep(0.01)

        if __name__ == '__main__':
            f()
        """,
    )
    with project.start("workflow.py") as process:
        assert process.stdout.readline() == "early\n"
        gate.touch()
    assert process.returncode == 0


def test_a_closed_stdout_does_no_harm(run):
    tasks = "@bandsaw.task\ndef f():\n    print('x' * 100000)\n    return 1"
    run(tasks, "sys.stdout.close()\nassert f() == 1")
    run(tasks, "sys.stdout = None\nassert f() == 1")


def test_a_process_that_something_else_outlives_is_not_waited_for(run):
    # What the task started holds the pipes open: the call is over when the task is.
    tasks = (
        "import subprocess\n@bandsaw.task\ndef f():\n"
        "    return subprocess.Popen(['sleep', '600'], start_new_session=True).pid"
    )
    run(tasks, "os.kill(f(), signal.SIGKILL)")


def test_an_interrupt_ends_the_process_and_leaves_nothing(project, interrupt):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "workflow.py",
        """
        import os, subprocess, sys, time
        import bandsaw

        @bandsaw.task
        def f():
            print(os.getpid(), subprocess.Popen(['sleep', '600']).pid, flush=True)
            time.sleep(600)

        if __name__ == '__main__':
            f()
        """,
    )
    assert len(interrupt(project.start("workflow.py"))) == 2
    assert project.left_behind() == []


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGKILL])
def test_the_death_of_the_parent_ends_what_runs_and_leaves_nothing(project, how, wait_until):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "workflow.py",
        """
        import os, subprocess, sys, time
        import bandsaw

        @bandsaw.task
        def outer():
            inner()

        @bandsaw.task
        def inner():
            print(os.getppid(), os.getpid(), subprocess.Popen(['sleep', '600']).pid, flush=True)
            time.sleep(600)

        if __name__ == '__main__':
            outer()
        """,
    )
    with project.start("workflow.py") as process:
        pids = list(map(int, process.stdout.readline().split()))
        process.send_signal(how)
        process.wait()
        for pid in pids:
            wait_until.gone(pid)
    wait_until(lambda: project.left_behind() == [])


def test_what_a_task_starts_in_its_group_ends_with_it(run, wait_until):
    tasks = (
        "import subprocess\n@bandsaw.task\ndef f():\n"
        "    return subprocess.Popen(['sleep', '600']).pid"
    )
    wait_until.gone(int(run(tasks, "print(f())").stdout))


def test_a_launcher_that_closes_descriptors_works(project, tmp_path):
    launcher = tmp_path / "launcher"
    launcher.write_text(
        f"#!{sys.executable}\nimport subprocess, sys\n"
        f"sys.exit(subprocess.call([{sys.executable!r}, *sys.argv[1:]]))\n"
    )
    launcher.chmod(0o700)
    project.write(
        "bandsaw_config.py",
        f"""
        import bandsaw
        interpreter = bandsaw.Interpreter(executable={str(launcher)!r})
        configuration = bandsaw.Configuration().add_advice_chain(
            bandsaw.advices.subprocess.SubprocessAdvice(interpreter=interpreter))
        """,
    )
    project.write(
        "workflow.py",
        "import bandsaw\n@bandsaw.task\ndef f():\n    return 1\n"
        "if __name__ == '__main__':\n    assert f() == 1\n",
    )
    project.run("workflow.py")


def test_a_task_may_close_all_descriptors(run):
    run("@bandsaw.task\ndef f():\n    os.closerange(3, 100)\n    return 1", "assert f() == 1")


def test_a_forked_child_of_the_parent_does_not_keep_the_task(project, wait_until):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "workflow.py",
        """
        import os, sys, threading, time
        import bandsaw

        @bandsaw.task
        def f():
            print(os.getpid(), flush=True)
            time.sleep(600)

        if __name__ == '__main__':
            threading.Thread(target=f, daemon=True).start()
            sys.stdin.readline()
            child = os.fork()
            if child == 0:
                os.close(1)
                time.sleep(600)
            print(child, flush=True)
            time.sleep(600)
        """,
    )
    with project.start("workflow.py", stdin=subprocess.PIPE) as process:
        task = int(process.stdout.readline())
        process.stdin.write("\n")
        process.stdin.flush()
        child = int(process.stdout.readline())
        process.kill()
        wait_until.gone(task)
        os.kill(child, signal.SIGKILL)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_forked_process_warns_of_no_process_of_its_parent(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "workflow.py",
        """
        import os, sys
        import bandsaw

        @bandsaw.task
        def f():
            return 1

        if __name__ == '__main__':
            f()
            child = os.fork()
            f()
            if child:
                os.waitpid(child, 0)
        """,
    )
    assert project.run("-X", "dev", "workflow.py").stderr == ""


def test_a_task_that_made_calls_and_dies_leaves_nothing(run):
    tasks = (
        "@bandsaw.task\ndef inner():\n    return 1\n"
        "@bandsaw.task\ndef outer():\n    inner()\n    os._exit(3)"
    )
    body = "import subprocess\ntry: outer()\nexcept subprocess.CalledProcessError: print('died')"
    assert run(tasks, body).stdout == "died\n"


def test_an_interpreter_that_is_none_is_refused_and_named(configure):
    with pytest.raises(bandsaw.errors.InvalidValueError, match="Interpreter\\(executable="):
        SubprocessAdvice(interpreter="python3")
    advice = SubprocessAdvice()
    advice.interpreter = "/usr/bin/python3"

    @bandsaw.task(config=configure(advice).module_name)
    def never():
        raise AssertionError

    with pytest.raises(ValueError, match="Interpreter\\(executable=") as caught:
        never()
    assert isinstance(caught.value, bandsaw.errors.InvalidValueError)


def test_threads_share_an_advice(run):
    tasks = "@bandsaw.task\ndef f(x):\n    return x, os.getpid()"
    body = (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(4) as pool:\n    found = list(pool.map(f, range(8)))\n"
        "assert [x for x, _ in found] == list(range(8))\n"
        "assert len({pid for _, pid in found}) == 8"
    )
    run(tasks, body)


def test_tasks_call_tasks_in_processes_of_their_own(run):
    tasks = "@bandsaw.task\ndef f(n):\n    return [os.getpid()] + (f(n - 1) if n else [])"
    run(tasks, "assert len(set(f(2) + [os.getpid()])) == 4")


def test_the_environment_is_inherited_and_laid_over(project):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        interpreter = bandsaw.Interpreter().set_environment(LAID_OVER='new', ADDED='1')
        configuration = bandsaw.Configuration().add_advice_chain(
            bandsaw.advices.subprocess.SubprocessAdvice(interpreter=interpreter))
        """,
    )
    project.write(
        "workflow.py",
        """
        import os
        import bandsaw

        @bandsaw.task
        def f():
            return {name: os.environ.get(name) for name in ('INHERITED', 'LAID_OVER', 'ADDED')}, \\
                os.getcwd(), bandsaw.get_run_id()

        if __name__ == '__main__':
            found, folder, run_id = f()
            assert found == {'INHERITED': 'old', 'LAID_OVER': 'new', 'ADDED': '1'}
            assert folder == os.getcwd()
            assert run_id == bandsaw.get_run_id()
        """,
    )
    project.run("workflow.py", INHERITED="old", LAID_OVER="old")


@pytest.mark.slow
@pytest.mark.parametrize(
    "serializer", ["PickleSerializer", pytest.param("JsonSerializer", marks=pytest.mark.slow)]
)
def test_a_task_runs_on_a_python_of_another_version(project, pythons, serializer):
    project.write(
        "bandsaw_config.py",
        f"""
        import bandsaw
        configuration = bandsaw.Configuration().set_serializer(bandsaw.{serializer}())
        for version, executable in {pythons!r}.items():
            interpreter = bandsaw.Interpreter(executable=executable)
            configuration.add_advice_chain(
                bandsaw.advices.subprocess.SubprocessAdvice(interpreter=interpreter),
                name='.'.join(map(str, version)))
        """,
    )
    project.write(
        "workflow.py",
        f"""
        import collections, datetime, decimal, sys
        import bandsaw

        class OwnError(Exception):
            pass

        def f(value):
            if value is None:
                raise OwnError('none', (1,))
            return value, tuple(sys.version_info[:2])

        VALUE = [(1, 2), {{3: (4,)}}, {{5}}, b'6', decimal.Decimal('7'), 8j,
                 datetime.datetime(2020, 1, 1, tzinfo=datetime.timezone.utc), float('inf')]
        if __name__ == '__main__':
            for version in {list(pythons)!r}:
                task = bandsaw.task(chain='.'.join(map(str, version)))(f)
                value, found = task(VALUE)
                assert found == version, (found, version)
                assert value == VALUE and list(map(type, value)) == list(map(type, VALUE))
                try:
                    task(None)
                except OwnError as error:
                    assert error.args == ('none', (1,))
                else:
                    raise AssertionError
        """,
    )
    project.run("workflow.py")
    assert project.left_behind() == []


def test_no_files_of_a_call_lie_anywhere(project, tmp_path):
    project.write(
        "bandsaw_config.py",
        f"""
        import bandsaw
        configuration = bandsaw.Configuration().add_advice_chain(
            bandsaw.advices.subprocess.SubprocessAdvice({str(tmp_path / "made")!r}))
        """,
    )
    project.write(
        "workflow.py",
        f"""
        import pathlib
        import bandsaw

        @bandsaw.task
        def f(data):
            paths = [p for root in ({str(tmp_path / "made")!r}, {str(project.temporary)!r})
                     for p in pathlib.Path(root).rglob('*')]
            return len(data), [str(path) for path in paths if not path.is_dir()]

        if __name__ == '__main__':
            assert f(bytes(10_000_000)) == (10_000_000, [])
        """,
    )
    project.run("workflow.py")
    assert list((tmp_path / "made").iterdir()) == []


@pytest.mark.parametrize("is_environment", [True, False])
def test_the_activated_environment_is_that_of_the_interpreter(project, tmp_path, is_environment):
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for folder in (ours, theirs):
        (folder / "bin").mkdir(parents=True)
    if is_environment:
        (theirs / "pyvenv.cfg").write_text("")
    launcher = theirs / "bin" / "python"
    launcher.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    launcher.chmod(0o700)
    project.write(
        "bandsaw_config.py",
        f"""
        import bandsaw
        from bandsaw.advices.subprocess import SubprocessAdvice
        there, given = (bandsaw.Interpreter(executable={str(launcher)!r}) for _ in range(2))
        given.set_environment(VIRTUAL_ENV="mine", PATH="also mine")
        configuration = (
            bandsaw.Configuration()
            .add_advice_chain(SubprocessAdvice())
            .add_advice_chain(SubprocessAdvice(interpreter=there), name="there")
            .add_advice_chain(SubprocessAdvice(interpreter=given), name="given"))
        """,
    )
    project.write(
        "workflow.py",
        f"""
        import os
        import bandsaw

        def activated():
            return os.environ.get("VIRTUAL_ENV"), os.environ["PATH"]

        @bandsaw.task
        def here():
            return activated()

        @bandsaw.task(chain="there")
        def there():
            return activated()

        @bandsaw.task(chain="given")
        def given():
            return activated()

        if __name__ == "__main__":
            assert here() == ({str(ours)!r}, {f"/first:{ours}/bin:/last"!r}), here()
            expected = {(str(theirs), f"/first:{theirs}/bin:/last")!r}
            if not {is_environment}:
                expected = "", "/first:/last"
            assert there() == expected, there()
            assert given() == ("mine", "also mine"), given()
        """,
    )
    project.run("workflow.py", VIRTUAL_ENV=str(ours), PATH=f"/first:{ours}/bin:/last")


def test_advices_before_and_extensions_see_a_failure_of_the_crossing(project):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.cache import CachingAdvice
        from bandsaw.advices.subprocess import SubprocessAdvice

        class Outer(bandsaw.Advice):
            def after(self, session):
                print("advice", type(session.result.exception).__name__)
                session.proceed()

        class Told(bandsaw.Extension):
            def on_after_advice(self, task, execution, context, result):
                print("extension", type(result.exception).__name__)

        configuration = (
            bandsaw.Configuration()
            .add_advice_chain(Outer(), CachingAdvice(".cache"), SubprocessAdvice())
            .add_extension(Told())
        )
        """,
    )
    project.write(
        "workflow.py",
        """
        import os, time
        import bandsaw

        @bandsaw.task
        def dies():
            os._exit(3)

        @bandsaw.task(timeout=0.5)
        def sleeps():
            time.sleep(60)

        if __name__ == "__main__":
            for call in (dies, sleeps):
                try:
                    call()
                except bandsaw.errors.WorkerError as error:
                    print("caller", type(error).__name__)
        """,
    )
    told = project.run("workflow.py").stdout.split()
    kinds = ["WorkerDiedError", "TaskTimeoutError"]
    assert told == [word for kind in kinds for who in ("advice", "extension", "caller")
                    for word in (who, kind)]  # fmt: skip
    assert [path for path in (project.folder / ".cache").rglob("*") if path.is_file()] == []
