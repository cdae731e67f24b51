"""What a Recorder writes, and what the commands show of it."""

import contextlib
import json
import os
import pty
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
from types import SimpleNamespace

import pytest

import bandsaw
from bandsaw.__main__ import main
from bandsaw._recording import record_file, writing
from bandsaw.errors import InvalidValueError
from bandsaw.recording import Recorder

CONFIGURATION = """
import bandsaw
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.retry import RetryAdvice
from bandsaw.advices.subprocess import SubprocessAdvice
from bandsaw.recording import Recorder

class Notes(bandsaw.Advice):
    def before(self, session):
        session.note(colour="green", loss=float("nan"))
        session.proceed()

class Large(bandsaw.Advice):
    def before(self, session):
        session.note(host=2**70, returned_files=5)
        session.proceed()

class Raises(bandsaw.Advice):
    def before(self, session):
        raise KeyError("mine")

class Old:
    '''Of a time when there were two methods.'''
    def on_init(self, configuration): pass
    def on_before_advice(self, task, execution, context): pass
    def on_after_advice(self, task, execution, context, result): pass

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(CachingAdvice(".cache"), SubprocessAdvice(workers=2), Notes())
    .add_advice_chain(SubprocessAdvice(), Notes(), name="own")
    .add_advice_chain(RetryAdvice(attempts=2, wait_initial=0, wait_jitter=0), name="again")
    .add_advice_chain(Raises(), name="raises")
    .add_advice_chain(name="plain")
    .add_advice_chain(Large(), name="noted")
    .add_extension(Old())
    .add_extension(Recorder("calls.sqlite", values={values}))
)
"""
WORKFLOW = """
import os
import bandsaw

class Hostile:
    def __repr__(self):
        raise SystemExit("asked for a text")

class Homeless:
    __module__ = None

@bandsaw.task
def cached(x):
    return own(x)

@bandsaw.task(chain="own")
def own(x):
    if x == 3:
        raise ValueError("three")
    return x

@bandsaw.task(chain="plain")
def total(*numbers):
    return sum(numbers)

@bandsaw.task(chain="again")
def tried():
    if bandsaw.get_attempt() == 1:
        raise OSError("once")

@bandsaw.task(chain="raises")
def refused():
    pass

@bandsaw.task(chain="plain")
def given(value):
    pass

@bandsaw.task(chain="plain")
def raised(text, x):
    raise ValueError(text)

@bandsaw.task(chain="plain")
def odd():
    raise SyntaxError("odd", ("x.py", 1, 1, b"no text"))

@bandsaw.task(chain="noted")
def noted():
    pass

@bandsaw.task(chain="plain")
def waiting(seconds):
    import time
    time.sleep(seconds)

@bandsaw.task
def write(text):
    os.makedirs("made", exist_ok=True)
    with open("made/model.txt", "w") as file:
        file.write(text)
    return bandsaw.File("made", to="results/{name}")

if __name__ == "__main__":
    {body}
"""


@pytest.fixture
def recorded(project):
    def run(body, values=True, check=True):
        project.write("bandsaw_config.py", CONFIGURATION.replace("{values}", str(values)))
        body = textwrap.indent(textwrap.dedent(body), "    ").strip()
        project.write("workflow.py", WORKFLOW.replace("{body}", body))
        return project.run("workflow.py", check=check)

    return run


@pytest.fixture
def bandsaw_runs(project):
    def run(*arguments, check=True):
        return project.run("-m", "bandsaw", "runs", *arguments, check=check).stdout

    return run


def calls_of(bandsaw_runs, task):
    found = json.loads(bandsaw_runs("show", "--json"))["list"]
    return [call for call in found if call["task"] == f"workflow.{task}"]


def test_a_damaged_name_of_a_column_is_read_or_told(project, recorded, bandsaw_runs):
    recorded("given(1)")
    before = calls_of(bandsaw_runs, "given")
    path = project.folder / "calls.sqlite"
    for old, new, is_read in ((b"error TEXT", b"errOr TEXT", True), (b"ended", b"endee", False)):
        data = path.read_bytes()
        assert old in data
        path.write_bytes(data.replace(old, new))
        if is_read:
            assert calls_of(bandsaw_runs, "given") == before
        else:
            told = project.run("-m", "bandsaw", "runs", "show", check=False)
            assert (
                told.returncode and "Traceback" not in told.stderr and str(path.name) in told.stderr
            )


def test_what_sqlite_says_of_a_damaged_record_is_told_in_one_line(project, recorded):
    recorded("given(1)")
    path = project.folder / "calls.sqlite"
    data = path.read_bytes()
    assert b"progress (" in data
    path.write_bytes(data.replace(b"progress (", b'progress"('))
    said = recorded("given(1)").stderr
    assert said.count("Not all calls are recorded: ") == said.count("\n") == 1


def test_each_call_is_written_with_where_it_ran_and_what_it_used(recorded, bandsaw_runs):
    recorded("assert list(cached.map([1, 2, 1, 2])) == [1, 2, 1, 2]; assert cached(1) == 1")
    calls = calls_of(bandsaw_runs, "cached")
    assert sorted(call["state"] for call in calls) == ["done", "done", "hit", "hit", "hit"]
    assert len({call["task_id"] for call in calls}) == 1
    for call in calls:
        assert call["arguments"] in ("1", "2") and call["execution_id"] and call["task_id"]
        assert call["begun"] <= call["ended"]
        if call["state"] == "done":
            assert call["submitted"] <= call["ready"] <= call["begun"]
            assert call["pid"] and call["sent"] > 0 and call["received"] > 0
            assert call["cpu"] >= 0 and call["memory"] > 1e6
            assert call["facts"]["colour"] == "green"
    # Calls that a task makes in its own process are of the same run.
    inner = calls_of(bandsaw_runs, "own")
    assert len(inner) == 2 and all(call["facts"]["colour"] == "green" for call in inner)
    (run,) = json.loads(bandsaw_runs("ls", "--json"))
    assert run["state"] == "ended" and run["calls"] == 7 and run["hits"] == 3


def test_dependencies_and_calls_that_never_begin_are_told(project, recorded, bandsaw_runs):
    recorded("""
    bad = own.submit(3)
    good = total.submit(own.submit(1), own.submit(2))
    never = total.submit(bad, 1)
    assert good.result() == 3
    assert type(never.exception()) is bandsaw.errors.DependencyError
    """)
    told = project.run("-m", "bandsaw", "runs", "show", "--task", "ow", check=False).stderr
    assert "no call of a task 'ow'. Its tasks are: workflow.own, workflow.total." in told
    by_key = {call["key"]: call for call in calls_of(bandsaw_runs, "own")}
    (done,) = (call for call in calls_of(bandsaw_runs, "total") if call["state"] == "done")
    assert [by_key[key]["arguments"] for key in done["needs"]] == ["1", "2"]
    (never,) = (call for call in calls_of(bandsaw_runs, "total") if call["state"] != "done")
    assert never["state"] == "not begun" and "DependencyError" in never["error"]
    assert never["arguments"] == "bandsaw.futures.Future, 1"
    assert [run["failures"] for run in json.loads(bandsaw_runs("ls", "--json"))] == [1]
    (failed,) = (call for call in by_key.values() if call["state"] == "failed")
    assert 'raise ValueError("three")' in failed["traceback"]
    told = bandsaw_runs("failures")
    assert "workflow.own(3): failed" in told and "ValueError: three" in told


def test_attempts_and_errors_that_advices_raise_are_told(recorded, bandsaw_runs):
    recorded("""
    tried()
    try:
        refused()
    except KeyError:
        pass
    """)
    assert [call["attempts"] for call in calls_of(bandsaw_runs, "tried")] == [2]
    (refused,) = calls_of(bandsaw_runs, "refused")
    assert refused["error"] == "builtins.KeyError" and refused["state"] == "failed"


@pytest.mark.slow
def test_why_calls_were_computed_is_found_out_when_it_is_shown(project, recorded, bandsaw_runs):
    recorded("cached(1)")
    (call,) = calls_of(bandsaw_runs, "cached")
    assert call["why"] == "there was no entry of this task"
    recorded("cached(1); cached(2); cached(4)")
    reasons = {call["arguments"]: call["why"] for call in calls_of(bandsaw_runs, "cached")}
    assert reasons["1"] is None
    assert reasons["2"] == "argument `x`: 2, was 1" and "argument `x`: 4" in reasons["4"]
    assert "workflow.cached: argument `x`: 2, was 1 (and 1 more)" in bandsaw_runs("show")
    recorded("try:\n    cached(3)\nexcept ValueError:\n    pass")
    # Nothing is kept of a failure, so there is nothing to compare with.
    (why,) = (call["why"] for call in calls_of(bandsaw_runs, "cached"))
    assert why == "there was no entry with these arguments"
    recorded("cached(1); cached(2)")
    text = (project.folder / "workflow.py").read_text()
    project.write("workflow.py", text.replace("return own(x)", "return own(x + 0)"))
    project.run("workflow.py")
    assert "the task `cached` in `workflow.py` changed" in bandsaw_runs("show")
    project.run("workflow.py", BANDSAW_CACHE="refresh")
    assert {call["why"] for call in calls_of(bandsaw_runs, "cached")} == {
        "it was to be computed again"
    }
    for path in (project.folder / ".cache").glob("*/*"):
        path.write_bytes(b"BANDSAW?")
    project.run("workflow.py", check=False)
    (why,) = {call["why"] for call in calls_of(bandsaw_runs, "cached")}
    assert why.startswith("its entry could not be used: ")


def test_calls_that_a_new_parameter_has_made_are_not_told_by_each_other(
    project, recorded, bandsaw_runs
):
    recorded("for x in (1, 2, 4):\n    cached(x)")
    text = (project.folder / "workflow.py").read_text()
    project.write("workflow.py", text.replace("def cached(x):", "def cached(x, folds=5):"))
    project.run("workflow.py")
    (line,) = [line for line in bandsaw_runs("show").splitlines() if "workflow.cached: " in line]
    assert line.endswith("changed; argument `folds` is new: 5 (and 2 more)")


def test_no_code_of_arguments_is_run_and_they_can_be_left_out(recorded, bandsaw_runs):
    recorded("given(Hostile()); given('<script>'); given(Homeless())")
    assert [call["arguments"] for call in calls_of(bandsaw_runs, "given")] == [
        "workflow.Hostile", "'<script>'", "?.Homeless",
    ]  # fmt: skip
    recorded("given('a' * 70)")
    assert re.search(r"given\('a+\.\.\.  done", bandsaw_runs("show", "--calls"))
    recorded("given(1)", values=False)
    assert [call["arguments"] for call in calls_of(bandsaw_runs, "given")] == [None]


def test_a_run_is_found_by_its_id_also_where_that_begins_another(recorded, bandsaw_runs):
    for name in ("night", "night-2"):
        recorded(f"bandsaw.run._RUN_ID = {name!r}; total(1)")
    recorded("bandsaw.run._RUN_ID = 'team/night'; total(1)")
    assert bandsaw_runs("report", "team", "--format", "trace") == "wrote bandsaw-team_night.json\n"
    assert "run night of" in bandsaw_runs("show", "night")
    assert "run night-2 of" in bandsaw_runs("show", "night-")


def test_a_killed_program_shows_as_lost_with_what_was_written(project, recorded, bandsaw_runs):
    done = recorded(
        """
        import sqlite3, time
        given(1)
        while True:
            time.sleep(0.05)
            try:
                if sqlite3.connect("calls.sqlite").execute("SELECT key FROM calls").fetchall():
                    break
            except sqlite3.Error:
                pass
        os.kill(os.getpid(), 9)
        """,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    (run,) = json.loads(bandsaw_runs("ls", "--json"))
    assert (run["state"], run["calls"]) == ("lost", 1)
    connection = sqlite3.connect(project.folder / "calls.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


def test_a_run_that_was_killed_says_how_many_calls_had_not_ended(recorded, bandsaw_runs):
    recorded(
        """
        import sqlite3, time
        calls = [given.submit(1), waiting.submit(60)]
        while True:
            time.sleep(0.05)
            try:
                query = "SELECT SUM(done), SUM(running) FROM progress"
                if sqlite3.connect("calls.sqlite").execute(query).fetchone() == (1, 1):
                    break
            except sqlite3.Error:
                pass
        os.kill(os.getpid(), 9)
        """,
        check=False,
    )
    assert "workflow.waiting 1 call not ended, 1 of them begun" in bandsaw_runs("show")


def test_a_run_is_lost_whose_number_another_process_has(project, recorded, bandsaw_runs):
    recorded("given(1)")
    with contextlib.closing(sqlite3.connect(project.folder / "calls.sqlite")) as connection:
        for begun, state in ((time.time() - 10**7, "lost"), (time.time(), "running")):
            with connection:
                connection.execute(
                    "UPDATE runs SET ended = NULL, begun = ?, seen = ?, pid = ?",
                    (begun, begun, os.getpid()),
                )
                connection.execute("UPDATE calls SET submitted = NULL, begun = ?", (begun,))
            (run,) = json.loads(bandsaw_runs("ls", "--json"))
            assert run["state"] == state


def test_each_of_several_recorders_knows_all_of_a_call(project, recorded, bandsaw_runs):
    more = '.add_extension(Recorder("calls.sqlite"'
    project.write("recorders.py", CONFIGURATION.replace("{values}", "True").replace(
        more, '.add_extension(Recorder("more.sqlite"))' + more))  # fmt: skip
    call = "bandsaw.task(config='recorders', chain='plain')(total.__wrapped__).submit(1).result()"
    recorded(f"{call}\n{call}")
    for name in ("calls", "more"):
        shown = json.loads(bandsaw_runs("show", "--json", "--file", f"{name}.sqlite"))
        told = [(call["submitted"] is not None, call["parent"]) for call in shown["list"]]
        assert told == [(True, None)] * 2


def test_a_call_that_a_task_makes_elsewhere_is_told_with_its_caller(recorded, bandsaw_runs):
    recorded("cached(1); cached(2); cached.submit(4).result(); own(5)")
    calls = json.loads(bandsaw_runs("show", "--json"))["list"]
    key_of = {(call["task"], call["arguments"]): call["key"] for call in calls}
    parents = {call["arguments"]: call["parent"] for call in calls if call["task"].endswith("own")}
    callers = {x: key_of.get(("workflow.cached", x)) for x in "124"}
    assert parents == {**callers, "5": None} and None not in callers.values()
    assert not [call for call in calls if "nonce" in call["facts"]]


def test_calls_of_processes_with_the_same_number_are_told_apart(recorded, bandsaw_runs):
    for _ in range(2):
        recorded("bandsaw.run._RUN_ID = 'nightly'; os.getpid = lambda: 7; total(1)")
    assert len(calls_of(bandsaw_runs, "total")) == 2


def test_a_run_with_which_another_program_goes_on_has_not_ended(recorded, bandsaw_runs):
    body = """
    bandsaw.run._RUN_ID = "nightly"
    import subprocess, sys
    given(1)
    from bandsaw._recording import writing
    writing.flush()
    print(subprocess.run([sys.executable, "-m", "bandsaw", "runs", "ls"], capture_output=True))
    """
    recorded(body)
    time.sleep(0.5)
    assert "running" in recorded(body).stdout
    (run,) = json.loads(bandsaw_runs("ls", "--json"))
    assert run["state"] == "ended" and run["calls"] == 2 and run["seconds"] > 0.5


def test_a_run_that_ctrl_c_ends_shows_as_interrupted_and_says_little(project, bandsaw_runs):
    project.write("bandsaw_config.py", CONFIGURATION.replace("{values}", "True"))
    project.write(
        "workflow.py",
        """
        import os, time
        import bandsaw

        @bandsaw.task(chain="own")
        def waits(x):
            os.write(1, b"begun\\n")  # whole, also where another one writes
            time.sleep(600)

        @bandsaw.task(chain="plain")
        def total(*numbers):
            return sum(numbers)

        def main():
            needed = [waits.submit(x) for x in range(3)]
            last = total.submit(*needed)
            os.write(1, b"submitted\\n")
            last.result()

        if __name__ == "__main__":
            main()
        """,
    )
    process = project.start("workflow.py")
    seen = set()
    while seen != {"begun\n", "submitted\n"}:
        seen.add(process.stdout.readline())
        assert "" not in seen, process.stderr.read()
    process.send_signal(signal.SIGINT)
    stderr = process.communicate()[1]
    assert stderr.count("Traceback") == 1 and stderr.endswith("KeyboardInterrupt\n")
    (run,) = json.loads(bandsaw_runs("ls", "--json"))
    assert (run["state"], run["calls"]) == ("interrupted", 4)
    assert run["failures"] == 0
    assert "interrupted after" in bandsaw_runs("show")
    assert "removed 1 run" in bandsaw_runs("prune", "--older-than", "0.001s")


def test_what_cannot_be_written_is_one_warning_and_fails_no_call(project, recorded):
    (project.folder / "calls.sqlite").mkdir()
    done = recorded("import time; assert total(1) == 1; time.sleep(1); assert total(2) == 2")
    assert done.stderr.count("Not all calls are recorded") == 1


def test_a_recorder_without_a_place_fails_no_call(project, recorded):
    recorded("pass")
    project.write("bandsaw_config.py", CONFIGURATION.replace('"calls.sqlite", values={values}', ""))
    body = "later = total.submit(own.submit(3)); assert later.exception() is not None; total(1)"
    project.write("workflow.py", WORKFLOW.replace("{body}", body))
    (project.folder / "home").write_text("no folder")
    done = project.run("workflow.py", BANDSAW_HOME=str(project.folder / "home"))
    assert done.stderr.count("Not all calls are recorded") == 1


def test_one_call_that_cannot_be_written_takes_no_other_along(recorded, bandsaw_runs):
    recorded("""
    given(1)
    try:
        raised("b\\udc80d", 0)
    except ValueError:
        pass
    try:
        odd()
    except SyntaxError:
        pass
    noted()
    given(2)
    """)
    assert len(calls_of(bandsaw_runs, "given")) == 2
    (odd,) = calls_of(bandsaw_runs, "odd")
    assert "in odd\n" in odd["traceback"] and "SyntaxError: odd" in odd["traceback"]
    (raised,) = calls_of(bandsaw_runs, "raised")
    assert "udc80" in raised["traceback"]


def test_the_connection_to_a_damaged_file_is_closed(tmp_path, monkeypatch):
    closed = []

    def damaged(statement):
        raise sqlite3.DatabaseError("file is not a database")

    connection = SimpleNamespace(execute=damaged, close=lambda: closed.append(True))
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: connection)
    with pytest.raises(sqlite3.DatabaseError):
        record_file.opened(str(tmp_path / "calls.sqlite"))
    assert closed


def test_the_file_is_for_its_owner_only(project, recorded):
    recorded("given(1)")
    assert (project.folder / "calls.sqlite").stat().st_mode & 0o077 == 0


def test_calls_that_are_made_while_the_program_ends_are_written(recorded, bandsaw_runs):
    done = recorded("import atexit; atexit.register(total, 7); total(1)")
    assert done.stderr == ""
    assert [call["arguments"] for call in calls_of(bandsaw_runs, "total")] == ["1", "7"]


def test_many_processes_write_to_one_file(project, recorded, bandsaw_runs):
    recorded("pass")
    project.write(
        "many.py",
        """
        import os, warnings
        import workflow

        # Python 3.12 and newer warn of a fork where there are threads.
        warnings.simplefilter("ignore", DeprecationWarning)
        if __name__ == "__main__":
            for x in range(100):
                workflow.given(x)
            if not os.fork():
                for x in range(100):
                    workflow.given(x)
            else:
                os.wait()
        """,
    )
    started = [project.start("many.py") for _ in range(3)]
    for process in started:
        assert process.communicate()[1] == "" and process.returncode == 0
    connection = sqlite3.connect(project.folder / "calls.sqlite")
    assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert connection.execute("SELECT COUNT(*) FROM calls").fetchone() == (600,)
    connection.close()
    assert [run["calls"] for run in json.loads(bandsaw_runs("ls", "--json"))] == [200] * 3


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_calls_in_processes_of_multiprocessing_are_written_when_these_end(
    method, project, recorded
):
    recorded("pass")
    project.write(
        "many.py",
        f"""
        import multiprocessing, warnings
        import workflow

        warnings.simplefilter("ignore", DeprecationWarning)
        if __name__ == "__main__":
            context = multiprocessing.get_context("{method}")
            process = context.Process(target=workflow.given, args=[1])
            process.start()
            process.join()
            workflow.given(2)
        """,
    )
    project.run("many.py")
    with contextlib.closing(sqlite3.connect(project.folder / "calls.sqlite")) as connection:
        assert connection.execute("SELECT COUNT(*) FROM calls").fetchone() == (2,)


@pytest.mark.slow
def test_commands_show_compare_and_remove_runs(project, recorded, bandsaw_runs):
    recorded("total(1); total(2)")
    recorded("total(1)")
    newest, oldest = json.loads(bandsaw_runs("ls", "--json"))
    told = bandsaw_runs("show", oldest["run"][:8])
    assert "2 calls" in told and "workflow.total" in told
    assert "2 -> 1" in bandsaw_runs("compare", oldest["run"], newest["run"])
    assert "workflow.total(2)" in bandsaw_runs("show", oldest["run"], "--calls")
    assert "ended" in bandsaw_runs("watch", oldest["run"])
    unknown = project.run("-m", "bandsaw", "runs", "show", "zzz", check=False)
    assert unknown.returncode == 1 and "There is no run 'zzz'" in unknown.stderr
    nowhere = ("report", "--format", "trace", "-o", "no/x.json")
    refused = project.run("-m", "bandsaw", "runs", *nowhere, check=False)
    assert refused.stderr == (
        "error: The report cannot be written to 'no/x.json': No such file or directory.\n"
    )
    assert "removed 0 runs" in bandsaw_runs("prune")
    assert "removed 0 runs" in bandsaw_runs("prune", "--older-than", "1d")
    assert "removed 2 runs" in bandsaw_runs("prune", "--older-than", "0.001s")
    missing = project.run("-m", "bandsaw", "runs", "ls", "--file", "no.sqlite", check=False)
    assert missing.returncode == 1 and "no.sqlite" in missing.stderr
    with contextlib.closing(sqlite3.connect(project.folder / "other.sqlite")) as other:
        other.execute("CREATE TABLE theirs (x)")
        refused = project.run("-m", "bandsaw", "runs", "ls", "--file", "other.sqlite", check=False)
        assert refused.returncode == 1 and "other.sqlite' is not a record" in refused.stderr
        assert other.execute("SELECT name FROM sqlite_master").fetchall() == [("theirs",)]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE calls SET begun = 'then'",
        "UPDATE calls SET ended = 1e300",
        "UPDATE calls SET needs = '{}'",
        "UPDATE calls SET facts = '{'",
        "UPDATE calls SET task = NULL",
        "UPDATE runs SET command = NULL",
        "UPDATE runs SET begun = x'00'",
        "ALTER TABLE runs RENAME COLUMN command TO comnand",
        "ALTER TABLE calls RENAME COLUMN facts TO fakts",
    ],
)
def test_a_record_that_was_changed_is_told_in_a_sentence(change, tmp_path, capsys):
    path = str(tmp_path / "calls.sqlite")
    with contextlib.closing(writing.opened(path)) as record, record:
        record.execute(
            "INSERT INTO runs VALUES ('one', 1.0, 2.0, 2.0, 'flow.py', '/', 'host', 1, '3.9.0')"
        )
        record.execute(
            "INSERT INTO calls (run, key, task, begun, ended) VALUES ('one', 'a', 't', 1, 2)"
        )
    show = ["runs", "show", "--calls", "--file", path]
    assert main(show) == 0
    with contextlib.closing(sqlite3.connect(path)) as record, record:
        record.execute(change)
    capsys.readouterr()
    assert main(show) == 1
    assert capsys.readouterr().err.startswith(f"error: The record {path!r} cannot be read: ")


def test_watch_shows_a_run_on_its_way_and_how_it_ends(project):
    project.write("bandsaw_config.py", CONFIGURATION.replace("{values}", "True"))
    project.write(
        "workflow.py",
        """
        import bandsaw

        @bandsaw.task(chain="plain")
        def step(x):
            if x == 2:
                input()
            return x

        if __name__ == "__main__":
            list(step.map(range(4), buffersize=4))
        """,
    )
    run = project.start("workflow.py", stdin=subprocess.PIPE)
    path, found = project.folder / "calls.sqlite", None
    while found != (3, 1):
        time.sleep(0.05)
        with contextlib.suppress(sqlite3.OperationalError):  # it is not there yet
            with contextlib.closing(sqlite3.connect(path)) as file:
                found = file.execute("SELECT SUM(done), SUM(running) FROM progress").fetchone()
    watch = project.start("-m", "bandsaw", "runs", "watch", "--seconds", "0.1")
    assert watch.stdout.readline().startswith("workflow.step: 3 of 4 done, 1 running, ")
    run.communicate("\n")
    lines = watch.communicate()[0].splitlines()
    assert lines[-3].startswith("workflow.step: 4 of 4 done, ") and "ended after" in lines[-2]


def test_a_terminal_has_tables_of_rich(project, recorded):
    pytest.importorskip("rich", reason="tables are drawn by rich, in the extra 'cli'")
    recorded("given('[red]')")
    near, far = pty.openpty()
    command = [sys.executable, "-m", "bandsaw", "runs", "show"]
    environment = project.environment(TERM="xterm", COLUMNS="120")
    subprocess.run(command, cwd=project.folder, stdout=far, env=environment, check=True)
    os.close(far)
    text = os.read(near, 65536)
    os.close(near)
    assert b"\x1b[1mTASK" in text and b"workflow.given('[red]')" in text


def test_a_shell_completes_commands_and_the_ids_of_runs(project, recorded, bandsaw_runs):
    pytest.importorskip("argcomplete", reason="argcomplete is in the extra 'cli'")
    recorded("given(1)")
    (run,) = json.loads(bandsaw_runs("ls", "--json"))

    def completed(line):
        asked = {"_ARGCOMPLETE": "1", "COMP_LINE": line, "COMP_POINT": str(len(line)), "IFS": "\v",
                 "_ARGCOMPLETE_STDOUT_FILENAME": str(project.folder / "completed")}  # fmt: skip
        project.run("-m", "bandsaw", **asked)
        return (project.folder / "completed").read_text().split("\v")

    assert completed("bandsaw ru") == ["runs "]
    assert run["run"] in completed("bandsaw runs show ")


def test_a_trace_has_an_event_for_each_call(project, recorded, bandsaw_runs):
    recorded("list(own.map(range(3)))")
    bandsaw_runs("report", "--format", "trace", "-o", "trace.json")
    text = (project.folder / "trace.json").read_text()
    events = json.loads(text, parse_constant=pytest.fail)["traceEvents"]
    assert events[-1]["args"]["loss"] == "NaN"
    assert sum(event["ph"] == "X" and event["dur"] > 0 for event in events) == 3


def test_that_a_report_needs_a_package_is_said_before_all_calls_are_read(project, recorded):
    recorded("given(1)")
    project.write(
        "report.py",
        """
        import sys
        from bandsaw.__main__ import main
        from bandsaw._recording import reading

        sys.modules["bokeh"] = None
        reading.calls = lambda *arguments: sys.exit("all is read")
        sys.exit(main(["runs", "report"]))
        """,
    )
    done = project.run("report.py", check=False)
    assert "pip install 'bandsaw[report]'" in done.stderr


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_a_report_goes_into_a_pipe_and_leaves_it_what_it_is(project, recorded, bandsaw_runs):
    recorded("given(1)")
    path = project.folder / "pipe"
    os.mkfifo(path)
    pipe = os.open(path, os.O_RDWR)
    bandsaw_runs("report", "--format", "trace", "-o", "pipe")
    assert path.is_fifo()
    assert json.loads(os.read(pipe, 1 << 16))["traceEvents"]
    os.close(pipe)


@pytest.mark.skipif(not os.path.exists("/dev/fd/1"), reason="there is no /dev/fd")
def test_a_report_goes_to_the_output_behind_what_is_there(project, recorded):
    recorded("given(1)")
    (project.folder / "output").symlink_to("/dev/fd/1")
    with open(project.folder / "got", "a+") as got:
        print("before", file=got, flush=True)
        command = [sys.executable, "-m", "bandsaw", "runs", "report", "--format", "trace"]
        command += ["-o", "output"]
        subprocess.run(
            command, cwd=project.folder, env=project.environment(), stdout=got, check=True
        )
        got.seek(0)
        assert got.readline() == "before\n"
        assert json.loads(got.read())["traceEvents"]
    assert (project.folder / "output").is_symlink()


def test_the_default_file_is_one_for_each_project(project, recorded, bandsaw_runs):
    text = CONFIGURATION.replace('"calls.sqlite", values={values}', "")
    recorded("pass")
    home = project.folder / "home"
    project.write("bandsaw_config.py", text)
    project.run("workflow.py", BANDSAW_HOME=str(home))
    assert not (home / "runs").exists()  # nothing was called
    project.write("workflow.py", WORKFLOW.replace("{body}", "total(1)"))
    project.run("workflow.py", BANDSAW_HOME=str(home))
    assert len(list((home / "runs").glob("project-*.sqlite"))) == 1
    shown = project.run("-m", "bandsaw", "runs", "ls", BANDSAW_HOME=str(home)).stdout
    assert "workflow.py" in shown


def test_a_configuration_that_is_wrong_is_told_and_not_passed_over(project):
    project.write("bandsaw_config.py", "configuration = 3")
    done = project.run("-m", "bandsaw", "runs", "ls", check=False)
    assert done.returncode == 1
    assert "bandsaw.Configuration()" in done.stderr and "no record" not in done.stderr


def test_calls_of_each_attempt_in_another_process_have_their_parent(project, bandsaw_runs):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.retry import RetryAdvice
        from bandsaw.advices.subprocess import SubprocessAdvice

        configuration = (
            bandsaw.Configuration()
            .add_advice_chain(RetryAdvice(wait_initial=0, wait_jitter=0), SubprocessAdvice())
            .add_advice_chain(name="plain")
            .add_extension(bandsaw.recording.Recorder("calls.sqlite"))
        )
        """,
    )
    project.write(
        "workflow.py",
        """
        import bandsaw

        @bandsaw.task(chain="plain")
        def inner():
            pass

        @bandsaw.task
        def outer():
            inner()
            assert bandsaw.get_attempt() == 3

        if __name__ == "__main__":
            outer()
        """,
    )
    project.run("workflow.py")
    (outer,) = calls_of(bandsaw_runs, "outer")
    assert [call["parent"] for call in calls_of(bandsaw_runs, "inner")] == [outer["key"]] * 3


def test_facts_are_plain_data():
    session = bandsaw.Session()
    with pytest.raises(InvalidValueError, match="'what'"):
        session.note(what=object())
    session.note(what=[1, {"a": None}])
    assert session.facts == {"what": [1, {"a": None}]}
    with pytest.raises(InvalidValueError, match="path"):
        Recorder(3)


def test_a_returned_file_is_told_from_which_call_and_run_it_is(project, recorded, bandsaw_runs):
    path = "results/made/model.txt"
    recorded("write('first')")
    recorded("write('second')")
    (told,) = bandsaw_runs("made", path).splitlines()
    ids = [run["run"] for run in json.loads(bandsaw_runs("ls", "--json"))]
    assert told.startswith(f"returned by workflow.write('second') in run {ids[0]} of workflow.py, ")
    recorded("write('first')")
    returned, taken = bandsaw_runs("made", path).splitlines()
    assert returned.startswith(f"returned by workflow.write('first') in run {ids[1]} ")
    assert taken.startswith("taken from a cache by workflow.write('first') in run ")
    os.utime(project.folder / path, (2**32, 2**32))
    assert bandsaw_runs("made", path).endswith("\nIt was changed since.\n")
    recorded("write('third')")
    assert "changed" not in bandsaw_runs("made", "results/made")
    status = (project.folder / path).stat()
    (project.folder / path).write_text("mine")
    os.utime(project.folder / path, (status.st_atime, status.st_mtime - 60))
    assert bandsaw_runs("made", "results/made").endswith("\nIt was changed since.\n")
    changed = f"\nWhat is in {project.folder / 'results/made'} was changed since.\n"
    assert bandsaw_runs("made", path).endswith(changed)
    (project.folder / path).unlink()
    assert bandsaw_runs("made", path).endswith("\nIt is not there any more.\n")
    assert bandsaw_runs("made", "workflow.py", check=False) == ""
    with contextlib.closing(sqlite3.connect(project.folder / "calls.sqlite")) as connection:
        connection.execute("DELETE FROM runs")
        connection.commit()
    assert re.search(r"in run \w+, 2", bandsaw_runs("made", path))


@pytest.mark.skipif(os.name != "posix", reason="an open file cannot be removed")
def test_a_record_that_is_removed_while_it_is_written_is_begun_anew(project):
    project.write("bandsaw_config.py", CONFIGURATION.format(values=False))
    project.write(
        "workflow.py",
        """
        import os
        import bandsaw
        from bandsaw._recording import writing

        @bandsaw.task(chain="plain")
        def step(x):
            return x

        if __name__ == "__main__":
            step(1)
            writing._writer.flush()  # waits for the thread where that has begun to write
            os.unlink("calls.sqlite")
            step(2)
        """,
    )
    done = project.run("workflow.py")
    assert "calls.sqlite was removed, with what had been recorded" in done.stderr
    shown = project.run("-m", "bandsaw", "runs", "show").stdout
    assert "workflow.step" in shown and "1 call" in shown
    assert [path.name for path in project.folder.glob("calls.sqlite*")] == ["calls.sqlite"]


def test_the_command_line_is_installed_as_bandsaw():
    command = os.path.join(os.path.dirname(sys.executable), "bandsaw")
    if not os.path.exists(command):
        pytest.skip("bandsaw is not installed here, only on the path")
    done = subprocess.run([command, "--help"], capture_output=True, text=True, check=True)
    assert "usage: bandsaw" in done.stdout and "runs" in done.stdout
