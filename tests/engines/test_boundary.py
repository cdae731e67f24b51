"""What holds of a call in another process holds on each executor: one run of a program for each."""

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.conftest import Project

PROGRAM = Path(__file__).parent / "program"


def started(name, folder, request):
    """Returns the value of ENGINE for an engine, which is started if it has to be."""
    if name == "loky":
        pytest.importorskip("loky", reason="loky is not installed")
    return name


ENGINES = [
    pytest.param(name, marks=pytest.mark.xdist_group(f"engine-{name}"))
    for name in ("threads", "fork", "spawn", "forkserver", "loky")
]


@pytest.fixture(scope="module", params=ENGINES)
def ran(request, tmp_path_factory):
    """What came of the program on an executor: its outcomes, and what it wrote."""
    if os.name != "posix":
        pytest.skip("an executor's worker needs POSIX")
    folder = tmp_path_factory.mktemp(request.param)
    engine = started(request.param, folder, request)
    shutil.copytree(PROGRAM, folder / "project", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "temporary").mkdir()
    project = Project(folder / "project", folder / "temporary")
    path = folder / "outcomes"
    done = project.run("workflow.py", str(path), ENGINE=engine, **QUIET)
    return request.param, json.loads(path.read_text()), done, project


# Warnings of packages that an engine uses are none of ours.
QUIET = {"PYTHONWARNINGS": "ignore"}


@pytest.fixture
def outcome(ran):
    return ran[1].__getitem__


def test_values_and_their_types_come_back(outcome):
    assert outcome("value") == {"value": "{'a': [1, 2.5, (None, {3})], 'p': Point(x=1, y=b'x')}"}
    assert outcome("type") == {"value": "True"}


def test_each_call_has_a_process_of_its_own(outcome):
    assert outcome("other process") == {"value": "True"}
    assert outcome("own process") == {"value": "4"}


def test_an_exception_comes_back_with_the_traceback_of_the_other_side(outcome):
    failed = outcome("exception")
    assert (failed["error"], failed["cause"]) == ("OwnError", "RemoteTraceback")
    assert (
        'tasks.py", line' in failed["traceback"] and "raise OwnError(what)" in failed["traceback"]
    )
    assert outcome("exit")["error"] == "SystemExit"


def test_what_a_task_writes_and_logs_arrives(ran):
    assert "said out\n" in ran[2].stdout
    assert "said err\n" in ran[2].stderr
    assert "tasks|WARNING|logged 1\n" in ran[2].stdout


def test_a_deadline_ends_a_call(outcome):
    failed = outcome("deadline")
    assert failed["error"] == "TaskTimeoutError" and "longer than 0.5 s" in failed["text"]
    assert failed["seconds"] < 60


def test_a_process_that_dies_is_an_error_and_takes_no_worker_along(outcome):
    failed = outcome("death")
    assert failed["error"] == "WorkerDiedError" and "exit code 7" in failed["text"]
    assert "last words" in failed["text"]
    assert "SIGKILL" in outcome("signal")["text"]


def test_nested_calls_run_in_the_process_of_the_call(outcome):
    assert outcome("nested") == {"value": "(4, True, [1, 2])"}


def test_submitted_and_mapped_calls_give_their_values(outcome):
    assert outcome("map") == {"value": "[0, 1, 2, 3, 4, 5]"}
    assert outcome("chained") == {"value": "[1, 2]"}


def test_a_call_that_runs_can_be_killed(outcome):
    assert outcome("kill")["error"] == "TaskKilledError"


def test_calls_that_wait_can_be_cancelled(outcome):
    assert outcome("queued") == {"value": "True"}


def test_local_functions_cross(outcome):
    pytest.importorskip("cloudpickle")
    assert outcome("local") == {"value": "15"}


def test_large_values_cross(outcome):
    assert outcome("big") == {"value": "3000000"}


def test_a_kept_process_is_used_again_and_replaced_when_it_dies(ran):
    # Where there are several workers, each keeps one.
    assert ran[1]["kept dies"]["error"] == "WorkerDiedError"
    assert int(ran[1]["kept again"]["value"]) >= 1
    if ran[0] == "threads":
        assert ran[1]["kept"] == {"value": "(True, 1, 2, 3)"}


def test_a_call_is_tried_again(outcome):
    assert outcome("retry") == {"value": "3"}


def test_an_unknown_option_is_refused_with_those_that_are_known(outcome):
    for name in ("unknown option", "unknown engine"):
        assert outcome(name)["error"] == "UnknownOptionError"
        assert "'batch'" in outcome(name)["text"]


def test_nothing_is_left(ran):
    left = [name for name in ran[3].left_behind() if not name.startswith(("bandsaw-", "pymp-"))]
    assert left == []
    (home,) = ran[3].temporary.glob("bandsaw-*")
    assert sorted(path.name for path in home.iterdir()) == ["archives"]
    assert all(name[0] != "." for name in os.listdir(home / "archives"))
