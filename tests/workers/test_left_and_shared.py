"""What a process leaves, shares or brings along, and whose it is."""

import io
import sys
import textwrap

import pytest

import bandsaw
from bandsaw._session import members
from bandsaw.tasks import _FunctionTask

TASK = "@bandsaw.task\ndef f(x):\n    return x"


def test_a_module_with_tasks_may_be_preloaded(project, run):
    project.write("helper.py", "import bandsaw\n\n@bandsaw.task\ndef inner():\n    return 1\n")
    run(TASK, "assert f(1) == 1\nassert f(2) == 2", "preload=['helper']")


def test_nothing_is_left_open_at_the_end(run, mode):
    done = run(TASK, "assert f(1) == f(1) == 1", mode, PYTHONDEVMODE="1")
    assert done.stderr == ""


@pytest.mark.parametrize("end", ["close", "replace"])
def test_a_process_that_is_made_ready_while_its_fork_server_is_closed_is_given_up(run, end):
    body = f"""
    from bandsaw._workers import child, fork_servers, near_fork_server
    assert f(1) == 1
    (fork_server,) = fork_servers._fork_servers.values()
    fork_server._drop_next()
    start = near_fork_server.LocalForkServer._start

    def started(self, fork):
        made = start(self, fork)
        self.{end}()  # as another thread does
        return made

    near_fork_server.LocalForkServer._start = started
    fork_server.prepare_next(True)
    assert fork_server._next == [] and not child._open
    near_fork_server.LocalForkServer._start = start
    assert f(2) == 2
    """
    run(TASK, body)


def test_a_process_that_comes_back_from_the_task_it_was_forked_in_does_not_answer(run, mode):
    tasks = """
    @bandsaw.task
    def f():
        if os.fork() == 0:
            return "child"
        os.wait()
        return "parent"
    """
    run(tasks, "assert f() == 'parent'\nassert f() == 'parent'", mode)


def test_a_kept_process_does_what_is_registered_for_its_end(run, tmp_path):
    tasks = f"""
    import atexit, tempfile

    @bandsaw.task
    def f():
        global kept
        kept = tempfile.TemporaryDirectory(prefix="of-the-task-")
        atexit.register(open, {str(tmp_path / "made")!r}, "w")
    """
    run(tasks, "f()", "workers=1")
    assert (tmp_path / "made").exists()


def test_signs_of_life_of_a_process_that_waits_do_not_end_it(run):
    tasks = "@bandsaw.task\ndef f():\n    return os.getpid()"
    body = """
    from bandsaw.advices._moving import _pools
    from bandsaw._workers import deaths
    deaths.MISSED_HEARTBEATS = 10_000  # a busy machine may be silent for longer than three
    pid = f()
    ((pool,),) = (pools.values() for pools in _pools.values())
    child = pool._idle[0].child
    for _ in range(2):
        child._poll.poll()  # until a sign of life has come
        assert f() == pid
    """
    run(tasks, body, "workers=1, heartbeat=0.05")


def test_a_record_that_comes_between_calls_reaches_the_caller_with_the_next_one(run):
    tasks = """
    import logging

    def late():
        while not os.path.exists('go'):
            time.sleep(0.005)
        os.unlink('go')
        logging.warning('late')

    @bandsaw.task
    def f():
        threading.Thread(target=late, daemon=True).start()
        return os.getpid()
    """
    body = """
    from bandsaw.advices._moving import _pools
    records = []
    handler = logging.Handler()
    handler.emit = lambda record: records.append(record.getMessage())
    logging.getLogger().addHandler(handler)
    pid = f()
    ((pool,),) = (pools.values() for pools in _pools.values())
    open('go', 'w').close()
    pool._idle[0].child._poll.poll()
    assert f() == pid
    assert records == ["late"], records
    """
    run(tasks, body, "workers=1")


def test_logging_that_the_configuration_sets_up_is_that_of_the_caller(project):
    project.write(
        "bandsaw_config.py",
        """
        import logging.config
        import bandsaw
        logging.config.dictConfig({
            "version": 1,
            "formatters": {"f": {"format": "%(name)s %(bandsaw_task)s"}},
            "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f",
                               "stream": "ext://sys.stdout"}},
            "root": {"handlers": ["h"], "level": "INFO"},
        })
        configuration = bandsaw.Configuration().add_advice_chain(
            bandsaw.advices.subprocess.SubprocessAdvice())
        """,
    )
    text = """
    import logging
    import bandsaw

    @bandsaw.task
    def f():
        logging.getLogger("mine").info("told")

    if __name__ == "__main__":
        f()
    """
    project.write("workflow.py", textwrap.dedent(text))
    assert project.run("workflow.py").stdout == "mine workflow.f\n"


def test_configurations_that_are_used_in_turn_keep_their_fork_servers(project, run):
    text = """
    import bandsaw
    configuration = bandsaw.Configuration().add_advice_chain(
        bandsaw.advices.subprocess.SubprocessAdvice())
    """
    project.write("other_config.py", text)
    tasks = """
    from bandsaw._workers import fork_servers

    @bandsaw.task
    def one():
        return os.getppid()

    @bandsaw.task(config="other_config")
    def other():
        return os.getppid()
    """
    run(tasks, "ids = one(), other()\nassert (one(), other()) == ids\nassert len(set(ids)) == 2")


def test_the_module_of_a_task_is_there_before_its_arguments_are_read(project, run, mode):
    project.write(
        "units.py",
        """
        KNOWN = ["m"]

        class Length:
            def __init__(self, unit):
                self.unit = unit

            def __setstate__(self, state):
                assert state["unit"] in KNOWN, "unknown unit"
                self.unit = state["unit"]
        """,
    )
    project.write("setup_units.py", "import units\n\nunits.KNOWN.append('smoot')\n")
    project.write(
        "lengths.py",
        """
        import bandsaw
        import setup_units

        @bandsaw.task
        def unit_of(length):
            return length.unit
        """,
    )
    body = "import units, lengths\nassert lengths.unit_of(units.Length('smoot')) == 'smoot'"
    run(TASK, body, mode)


def loaded(module, goes_on):
    stream, serializer = io.BytesIO(), bandsaw.PickleSerializer()
    serializer.serialize(_FunctionTask("f", module), stream)
    header = {"nonce": "", "file": ""}
    saved = members.Saved(header, {"task": stream.getvalue()}, {}, b"", None)
    return members.load(saved, serializer, goes_on)["task"]


def test_a_task_whose_module_is_lacking_can_go_on_to_another_process():
    assert loaded("module_that_is_lacking_here", True).function_name == "f"


@pytest.mark.parametrize("goes_on", [True, False])
def test_what_comes_back_loads_no_code(monkeypatch, tmp_path, goes_on):
    (tmp_path / "named_by_what_came.py").write_text("def f(): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    loaded("named_by_what_came", goes_on)
    assert (sys.modules.pop("named_by_what_came", None) is not None) is goes_on
