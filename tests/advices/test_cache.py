import logging
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import bandsaw
from bandsaw._cache import computation_locks
from bandsaw._cache.entry import packed
from bandsaw._system import callers
from bandsaw.advices.cache import CachingAdvice
from bandsaw.errors import IdentityError
from bandsaw.execution import Execution
from bandsaw.result import Result
from bandsaw.session import Session


class Task:
    """A task that counts how often it is executed."""

    def __init__(self, value, task_id="task"):
        self.value, self.task_id, self.executed = value, task_id, 0

    def execute(self, execution):
        self.executed += 1
        if isinstance(self.value, Exception):
            return Result(exception=self.value)
        return Result(self.value)

    def __str__(self):
        return "some.task"


@pytest.fixture(params=[bandsaw.PickleSerializer, bandsaw.JsonSerializer])
def call(request, configure, tmp_path):
    configuration = configure(CachingAdvice(tmp_path / "made" / "cache"))
    configuration.set_serializer(request.param())

    def call(task, execution_id="execution"):
        return Session(task, Execution(execution_id), configuration).initiate()

    return call


@pytest.fixture
def entry(tmp_path):
    return tmp_path / "made" / "cache" / "task" / "execution"


def test_a_file_in_place_of_the_folder_is_one_warning_a_call(call, tmp_path, caplog):
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "cache").write_text("no folder")
    for executed in (1, 2):
        task = Task(5)
        assert call(task).value == 5
        assert len(caplog.records) == executed


@pytest.mark.parametrize("mode", ["read-only", "refresh"])
def test_a_file_in_place_of_the_folder_is_a_warning_in_each_mode(
    call, tmp_path, caplog, monkeypatch, mode
):
    monkeypatch.setenv("BANDSAW_CACHE", mode)
    (tmp_path / "made").mkdir()
    (tmp_path / "made" / "cache").write_text("no folder")
    assert call(Task(5)).value == 5
    assert len(caplog.records) == 1


@pytest.mark.parametrize("value", [None, 0, "", [], {}, (), False, [(1, {2: b"3"})]])
def test_a_value_is_computed_once(call, value, entry):
    task = Task(value)
    for _ in range(2):
        found = call(task).value
        assert found == value
        assert type(found) is type(value)
    assert task.executed == 1
    assert entry.is_file()


def test_other_executions_and_other_tasks_have_entries_of_their_own(call):
    one, other = Task(1), Task(2, "other")
    assert [call(one).value, call(one, "2").value, call(other).value] == [1, 1, 2]
    assert (one.executed, other.executed) == (2, 1)


def test_failures_are_not_kept(call, entry):
    task = Task(ValueError("x"))
    for _ in range(2):
        assert call(task) == Result(exception=ValueError("x"))
    assert task.executed == 2
    assert not entry.exists()


def test_files_are_for_their_owner_only(call, entry):
    old = os.umask(0)
    try:
        call(Task(1))
    finally:
        os.umask(old)
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    for folder in (entry.parent, entry.parent.parent, entry.parent.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_an_intact_entry_is_not_overwritten(configure, tmp_path, entry):
    directory = tmp_path / "made" / "cache"

    class Competing(bandsaw.Advice):
        """Writes the entry while the task is computed."""

        def before(self, session):
            if session.execution.execution_id == "execution" and not entry.exists():
                Session(
                    Task("first"), session.execution, configure(CachingAdvice(directory))
                ).initiate()
            session.proceed()

    configuration = configure(CachingAdvice(directory), Competing())
    assert Session(Task("second"), Execution("execution"), configuration).initiate().value == (
        "second"
    )
    again = Session(Task("third"), Execution("execution"), configuration).initiate()
    assert again.value == "first"


def test_two_caches_in_one_chain_are_both_filled(configure, tmp_path):
    outer, inner = CachingAdvice(tmp_path / "1"), CachingAdvice(str(tmp_path / "2"))
    assert inner.directory == tmp_path / "2"
    task = Task([1])
    configuration = configure(outer, inner)
    for _ in range(2):
        session = Session(task, Execution("execution"), configuration)
        assert session.initiate() == Result([1])
        assert not session.context
    assert task.executed == 1
    for directory in "12":
        assert (tmp_path / directory / "task" / "execution").is_file()


def test_any_truncation_and_any_flipped_byte_is_a_warning_and_a_computation(call, entry, caplog):
    call(Task(b"value"))
    intact = entry.read_bytes()
    damaged = [intact[:length] for length in range(len(intact))]
    damaged += [
        intact[:at] + bytes([intact[at] ^ 1]) + intact[at + 1 :] for at in range(len(intact))
    ]
    damaged.append(intact + b"more")
    for content in damaged:
        entry.write_bytes(content)
        caplog.clear()
        task = Task(b"value")
        assert call(task) == Result(b"value")
        assert task.executed == 1
        assert [record.levelno for record in caplog.records] == [logging.WARNING]
        assert str(entry) in caplog.text
        assert call(Task("other")) == Result(b"value")


def test_an_entry_that_holds_something_else_is_not_served(call, entry, caplog):
    call(Task(1))
    entry.write_bytes(b"".join(packed(b"task/execution\n", b"", [b"neither pickle nor JSON"])))
    assert call(Task(1)) == Result(1)
    assert "is not used" in caplog.text


def test_a_result_that_cannot_be_kept_still_reaches_the_caller(call, entry, caplog):
    task = Task(threading.Lock())
    assert call(task).value is task.value
    assert "is not kept" in caplog.text
    assert not entry.exists()


@pytest.mark.parametrize("in_the_way", ["directory", "entry", "link"])
def test_what_is_in_the_way_of_an_entry_costs_a_warning(call, tmp_path, entry, in_the_way, caplog):
    if in_the_way == "directory":
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "cache").touch()
    elif in_the_way == "entry":
        entry.mkdir(parents=True)
    else:
        call(Task("secret"))
        elsewhere = tmp_path / "elsewhere"
        entry.rename(elsewhere)
        entry.symlink_to(elsewhere)
    task = Task(1)
    assert call(task) == Result(1)
    assert caplog.records
    if in_the_way == "link":
        assert (elsewhere).exists()
        assert not entry.is_symlink()


def test_no_temporary_file_is_left_when_an_entry_cannot_be_written(call, entry, monkeypatch):
    def failing(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", failing)
    assert call(Task(1)) == Result(1)
    assert list(entry.parent.iterdir()) == []


@pytest.mark.parametrize("an_id", ["../../escaped", "..", "a/b", "a\\b", "x" * 300, "\n", 12])
def test_an_id_never_leads_out_of_the_directory(call, tmp_path, an_id):
    task = Task(1, an_id)
    assert call(task, an_id) == call(task, an_id) == Result(1)
    assert task.executed == 1
    assert {path.name for path in tmp_path.iterdir()} == {"made"}
    assert {path.name for path in (tmp_path / "made").iterdir()} == {"cache"}


def test_a_hit_is_told_once_with_level_info(call, caplog):
    caplog.set_level(logging.INFO, "bandsaw")
    call(Task(1))
    assert not caplog.records
    call(Task(1))
    assert [record.getMessage() for record in caplog.records] == [
        "Served from the cache: some.task (execution)"
    ]


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="there are no owners to compare")
@pytest.mark.parametrize("plant", ["folder", "file", "group", "owner"])
def test_what_others_could_have_written_is_not_served(call, entry, caplog, plant, monkeypatch):
    monkeypatch.setattr("bandsaw._cache.owned_files._SECONDS_TRUSTED", 0)
    call(Task("first"))
    if plant == "owner":
        if os.geteuid() != 0:
            pytest.skip("only root can give a file away")
        os.chown(entry, 65534, 65534)
    else:
        mode = 0o770 if plant == "group" else 0o777
        (entry.parent if plant == "folder" else entry).chmod(mode)
    assert call(Task("second")) == Result("second")
    assert "other users" in caplog.text


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_pipe_in_place_of_an_entry_does_not_hang(call, entry, caplog):
    entry.parent.mkdir(parents=True, mode=0o700)
    os.mkfifo(entry, 0o600)
    assert call(Task(1)) == Result(1)
    assert "it is no file" in caplog.text


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="there are no owners to compare")
def test_a_file_of_another_name_in_place_of_an_unfinished_entry_stays_as_it_is(call, entry):
    entry.parent.mkdir(parents=True, mode=0o700)
    victim = entry.parent.parent / "victim"
    victim.write_text("of somebody")
    planted = entry.parent / f".{entry.name}.tmp"
    os.link(victim, planted)
    assert call(Task(1)) == Result(1)
    assert victim.read_text() == "of somebody"
    assert planted.samefile(victim)
    assert call(Task(2)) == Result(1)


@pytest.mark.skipif(os.name != "posix", reason="needs flock")
def test_a_call_that_waited_for_a_file_that_is_gone_waits_for_the_next_one(
    tmp_path, caplog, wait_until
):
    folder, name = str(tmp_path / "task"), "execution"
    first = computation_locks.wait_for(folder, name)
    with caplog.at_level(logging.INFO), ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(computation_locks.wait_for, folder, name)
        wait_until(lambda: len(caplog.messages) == 1)
        os.unlink(first.temporary)
        second = computation_locks.wait_for(folder, name)
        first.unlock()
        wait_until(lambda: waiting.done() or len(caplog.messages) == 2)
        second.close()
        third = waiting.result(60)
    assert len(caplog.messages) == 2
    third.close()


@pytest.mark.skipif(os.name != "posix", reason="needs flock")
def test_a_call_in_a_process_that_others_wait_for_does_not_wait_for_ever(call, entry, monkeypatch):
    monkeypatch.setattr(callers, "has_place", True)
    monkeypatch.setattr(computation_locks, "_MOST_SECONDS", 0)
    first = computation_locks.wait_for(str(entry.parent), entry.name)
    assert call(Task("computed, too")).value == "computed, too"
    assert os.listdir(entry.parent).count("execution") == 1
    first.close()
    assert call(Task("again")).value == "computed, too"
    assert os.listdir(entry.parent) == ["execution"]


def test_a_call_without_an_id_is_refused(call):
    with pytest.raises(IdentityError, match="without an id"):
        call(Task(1), None)


WORKFLOW = """
    import sys
    import bandsaw
    import helper

    @bandsaw.task
    def f(a, b=2, **more):
        print('computed')
        return helper.combined(a, b)

    if __name__ == '__main__':
        exec(sys.argv[1])
"""

CONFIGURATION = """
    import bandsaw
    configuration = bandsaw.Configuration().add_advice_chain(
        bandsaw.advices.cache.CachingAdvice('cache'))
"""


@pytest.mark.slow
def test_the_same_call_of_the_same_code_hits_in_every_process_and_other_code_misses(
    project, pythons
):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("helper.py", "def combined(a, b):\n    return sorted(a), b\n")
    project.write("workflow.py", WORKFLOW)
    count = "f({'x', 'y', 'z'}, 3)"
    assert project.run("workflow.py", count).stdout == "computed\n"
    for seed, python in enumerate([*pythons.values(), *pythons.values()], 1):
        for written in ("f(b=3, a={'z', 'y', 'x'})", "f({'y', 'x', 'z'}, **{'b': 3})"):
            done = project.run("workflow.py", written, python=python, PYTHONHASHSEED=str(seed))
            assert done.stdout == ""
    assert project.run("-c", "import workflow; workflow.f(set('xyz'), 3)").stdout == ""
    assert project.run("workflow.py", "f({'x', 'y', 'z'}, 4)").stdout == "computed\n"
    project.write("helper.py", "def combined(a, b):\n    # said\n    return sorted(a), b\n")
    assert project.run("workflow.py", count).stdout == ""
    project.write("helper.py", "def combined(a, b):\n    return sorted(a), -b\n")
    assert project.run("workflow.py", count).stdout == "computed\n"


def test_an_argument_without_a_canonical_form_is_an_error_that_names_it(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("helper.py", "")
    project.write("workflow.py", WORKFLOW)
    body = "import threading; f({'model': [threading.Lock()]})"
    done = project.run("workflow.py", body, check=False)
    last = [line for line in done.stderr.splitlines() if IdentityError.__name__ in line]
    assert last
    assert "model" in last[-1]
    assert "CachingAdvice.before of task workflow.f" in done.stderr
