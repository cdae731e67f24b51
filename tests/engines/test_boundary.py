"""What holds of a call in another process holds on each executor: one run of a program for each."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.conftest import Project, is_gone, is_whole, wait_until

PROGRAM = Path(__file__).parent / "program"


@contextlib.contextmanager
def started(name, folder):
    """Gives the variables of the program for an engine, which is started if it has to be."""
    if name == "dask":
        with dask_cluster(folder) as address:
            yield {"ENGINE": f"dask:{address}"}
    elif name == "slurm":
        with slurm_of_one_node(folder) as variables:
            yield {"ENGINE": f"slurm:{folder / 'shared'}", **variables}
            # Contents of files are only there where a worker has not seen the caller's.
            assert {path.name for path in (folder / "shared").iterdir()} <= {"archives", "files"}
            assert (folder / "shared").stat().st_mode & 0o777 == 0o700
    elif name == "ray":
        # The paths of its sockets must not be long.
        with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as short:
            variables = {"RAY_AUTH_MODE": "disabled", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
            yield {"ENGINE": "ray", "RAY_TMPDIR": short, **variables}
    else:
        yield {"ENGINE": name}


@contextlib.contextmanager
def dask_cluster(folder):
    """A scheduler and workers started by command in another folder.

    With BANDSAW_TEST_WORKERS they are started with that Python, which has no bandsaw, and may be of
    another version.
    """
    python = os.environ.get("BANDSAW_TEST_WORKERS") or sys.executable
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    variables = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    variables["TMPDIR"] = str(folder / "temporary")
    address = elsewhere / "scheduler.json"
    commands = (
        ["scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", address],
        ["worker", "--nworkers", "2", "--nthreads", "1", "--no-dashboard",
         "--scheduler-file", address, "--local-directory", elsewhere],
    )  # fmt: skip
    running = []
    try:
        with open(elsewhere / "log", "wb") as log:
            for command in commands:
                run = [python, "-m", "dask", *map(str, command)]
                running.append(
                    subprocess.Popen(run, cwd=elsewhere, env=variables, stdout=log, stderr=log)
                )
                wait_until(lambda: is_whole(address) or running[-1].poll() is not None)
        yield json.loads(address.read_text())["address"]
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(200)


@contextlib.contextmanager
def slurm_of_one_node(folder):
    up, down = (PROGRAM.parent / "slurm" / name for name in ("up.sh", "down.sh"))
    if not shutil.which("slurmctld") or os.geteuid():
        pytest.fail("Slurm is not installed, or this is not root")
    place = folder / "slurm"
    try:
        started = subprocess.run(["bash", up, place], capture_output=True, text=True, timeout=300)
        assert started.returncode == 0, started.stdout + started.stderr
        yield {"SLURM_CONF": str(place / "slurm.conf")}
    finally:
        subprocess.run(["bash", down, place], timeout=300)


# Two that differ most run always, the others in the step of CI for engines.
ENGINES, BIG = ("threads", "fork"), "3000000"
if os.environ.get("BANDSAW_TEST_ENGINES"):
    BIG = "100000000"
    ENGINES = (*ENGINES, "spawn", "forkserver", "loky", "dask", "ray", "slurm")
pytestmark = pytest.mark.slow


# The program runs once for an engine, and a Slurm of this machine's name once at a time.
@pytest.fixture(
    scope="module",
    params=[pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ENGINES],
)
def ran(request, tmp_path_factory):
    """What came of the program on an executor: its outcomes, and what it wrote."""
    if os.name != "posix":
        pytest.skip("an executor's worker needs POSIX")
    folder = tmp_path_factory.mktemp(request.param)
    shutil.copytree(PROGRAM, folder / "project", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "temporary").mkdir()
    project = Project(folder / "project", folder / "temporary")
    (project.folder / "beside.csv").write_text("1,2")
    path = folder / "outcomes"
    with started(request.param, folder) as variables:
        done = project.run("workflow.py", str(path), seconds=600, BIG=BIG, **variables, **QUIET)
        interrupt(project, folder / "interrupted", request.param, {**variables, **QUIET})
    return request.param, json.loads(path.read_text()), done, project


def interrupt(project, folder, name, variables):
    """Ctrl-C ends what runs in an engine, and what waits there never begins."""
    folder.mkdir()
    program = subprocess.Popen(
        [sys.executable, "workflow.py", "interrupted", folder],
        cwd=project.folder,
        env=project.environment(**variables),
        stderr=subprocess.PIPE,
        text=True,
    )
    # Ray takes a minute to start on a busy machine.
    wait_until(lambda: len(list(folder.iterdir())) == 2 or program.poll() is not None, 20000)
    begun = [path.read_text() for path in folder.iterdir()]
    program.send_signal(signal.SIGINT)
    said = program.communicate(timeout=300)[1]
    assert "KeyboardInterrupt" in said, said
    wait_until(lambda: all(map(is_gone, filter(None, begun))))
    assert len(list(folder.iterdir())) == 2
    if name == "slurm":
        left = ["squeue", "-h", "-t", "PD,R"]
        assert (
            subprocess.run(left, env={**os.environ, **variables}, capture_output=True).stdout == b""
        )


# Warnings of packages that an engine uses are none of ours.
QUIET = {"PYTHONWARNINGS": "ignore"}


@pytest.fixture
def outcome(ran):
    return ran[1].__getitem__


def test_values_and_their_types_come_back(outcome):
    assert outcome("value") == {"value": "{'a': [1, 2.5, (None, {3})], 'p': Point(x=1, y=b'x')}"}
    assert outcome("type") == {"value": "True"}


def test_code_runs_from_where_it_lies_with_what_is_beside_it(outcome):
    assert outcome("beside") == {"value": "True"}


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
    assert failed["seconds"] < 300


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


def test_a_call_can_be_killed_in_a_worker_with_a_temporary_folder_of_its_own(outcome):
    assert outcome("kill elsewhere")["error"] == "TaskKilledError"


def test_a_call_that_is_killed_takes_no_other_along(outcome):
    assert outcome("killed beside others") == {"value": "(True, {'TaskKilledError'})"}


def test_calls_that_wait_can_be_cancelled(outcome):
    assert outcome("queued") == {"value": "True"}


def test_calls_that_wait_in_the_executor_are_cancelled_there(outcome):
    assert outcome("withheld") == {"value": "(4, ['TaskKilledError', 'TaskKilledError'], 2)"}


def test_a_job_that_is_put_back_into_the_queue_is_waited_for(ran):
    if ran[0] != "slurm":
        pytest.skip("only Slurm has jobs")
    assert ran[1]["requeued"] == {"value": "2"}


def test_a_call_that_dies_in_a_batch_takes_no_other_along(outcome):
    assert outcome("batches") == {"value": "([0, 1, 2, 3, 4], True)"}


def test_each_call_of_a_batch_has_its_own_time(outcome):
    assert outcome("times in a batch") == {"value": "[0, 1, 2]"}


def test_local_functions_cross(ran, outcome):
    pytest.importorskip("cloudpickle")
    found = outcome("local")
    if ran[0] == "dask" and not is_same_python(os.environ.get("BANDSAW_TEST_WORKERS")):
        assert found["error"] == "UnserializableError" and "this is Python" in found["text"]
    else:
        assert found == {"value": "15"}


def is_same_python(other):
    """Whether another Python reads the byte code of this one."""
    say = "import sys; print(sys.implementation.cache_tag)"
    tag = subprocess.run([other or sys.executable, "-c", say], capture_output=True, text=True)
    return tag.stdout.strip() == sys.implementation.cache_tag


def test_large_values_cross(outcome):
    assert outcome("big") == {"value": BIG}


def test_files_go_there_and_come_back(outcome):
    assert outcome("files") == {"value": "'got/result'"}


def test_a_buffer_of_many_calls_is_sent_to_an_engine_once(outcome):
    assert outcome("one buffer") == {"value": "True"}


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
    # Engines have folders of their own.
    ours = ("bandsaw-", "pymp-", "ray", "dask-", "tmp")
    left = [name for name in ran[3].left_behind() if not name.startswith(ours)]
    assert left == []
    if ran[0] == "slurm":
        return  # its jobs have another folder for temporary files
    (home,) = ran[3].temporary.glob("bandsaw-*")
    left = [path.name for path in home.iterdir()]
    if ran[0] == "ray":
        # It ends its worker with a call. The next one removes what was left.
        left = [name for name in left if not name.startswith("call-")]
    assert set(left) <= {"archives", "files"}
    assert not [path for path in home.glob("files/**/*") if path.is_file()]
    assert all(name[0] != "." for name in os.listdir(home / "archives"))
