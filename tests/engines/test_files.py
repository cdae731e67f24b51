"""Files of calls whose worker sees another folder for temporary files and another home than we."""

import contextlib
import os
import shutil
import subprocess
import sys

import pytest

from tests.conftest import is_whole, wait_until

pytestmark = [pytest.mark.xdist_group("engines")]
if not shutil.which("unshare") or not hasattr(os, "geteuid") or os.geteuid():
    pytest.skip("only root can hide folders from a worker", allow_module_level=True)

# Each submission is run by a process that does not see the project, and lives on.
PLAIN = """
import concurrent.futures, os, pickle, subprocess, sys, threading

SERVE = '''
import pickle, sys
out = sys.stdout.buffer
while True:
    function, args = pickle.load(sys.stdin.buffer)
    pickle.dump(function(*args), out)
    out.flush()
'''
lock = threading.Lock()
sent = []


class Elsewhere:
    def __init__(self):
        self.worker = subprocess.Popen(
            ["unshare", "-m", "sh", "-c", f"mount -t tmpfs none {os.getcwd()}; exec \\"$@\\"", "sh",
             sys.executable, "-c", SERVE],
            cwd=os.environ["THERE"] + "/work", stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            env={"PATH": os.environ["PATH"], "TMPDIR": os.environ["THERE"]},
        )
        self.pool = concurrent.futures.ThreadPoolExecutor(1)

    def submit(self, function, /, *args):
        return self.pool.submit(self.call, function, args)

    def call(self, function, args):
        data = pickle.dumps((function, args))
        sent.append(len(data))
        self.worker.stdin.write(data)
        self.worker.stdin.flush()
        return pickle.load(self.worker.stdout)
"""
CONFIGURATION = """
import os
import bandsaw
from bandsaw.advices.executor import ExecutorAdvice


def executor():
    if "SCHEDULER" in os.environ:
        return bandsaw.engines.DaskExecutor(os.environ["SCHEDULER"])
    from elsewhere import Elsewhere
    return Elsewhere()


configuration = bandsaw.Configuration().add_advice_chain(ExecutorAdvice(executor))
"""
TASKS = """
import os
import tempfile
import bandsaw


@bandsaw.task
def doubled(file, folder, hidden):
    assert not os.path.exists(hidden)
    made = tempfile.mkdtemp(dir=".")
    with open(file, "rb") as data, open(f"{made}/result", "wb") as result:
        result.write(data.read() * 2)
    os.chmod(f"{made}/result", 0o700)
    os.mkdir(f"{made}/folder")
    open(f"{made}/folder/x", "w").close()
    back = bandsaw.File(f"{made}/result", to="got/{name}")
    return back, sorted(os.listdir(folder)), bandsaw.File(f"{made}/folder")


@bandsaw.task
def tampering(file):
    with open(file, "rb") as data:
        before = data.read()
    os.chmod(file, 0o600)
    with open(file, "wb") as data:
        data.write(b"other")
    return before


if __name__ == "__main__":
    import sys
    size = int(sys.argv[1])
    os.mkdir("inner")
    with open("inner/in", "wb") as file:
        file.write(os.urandom(size))
    for times in range(2):
        back, names, folder = doubled(bandsaw.File("inner/in"), bandsaw.File("inner"), os.path.abspath("inner"))
        assert os.path.getsize("got/result") == 2 * size and os.access("got/result", os.X_OK)
        assert os.listdir(folder) == ["x"]
        print(os.path.relpath(back), names)
    data = open("inner/in", "rb").read()
    assert all(tampering(bandsaw.File("inner/in")) == data for _ in range(2))
    files = [bandsaw.File("inner/in")] * 3
    print(len(list(doubled.map(files, [bandsaw.File("inner")] * 3, [os.path.abspath("inner")] * 3))))
"""  # noqa: E501

# One is killed between two pieces of a file, the other while it waits for that file.
KILLED = """
    import glob, time
    with open("inner/large", "wb") as file:
        file.truncate(400_000_000)
    calls = [tampering.submit(bandsaw.File("inner/large")) for _ in range(2)]
    pieces = os.environ["THERE"] + "/bandsaw-*/file-*"
    while not glob.glob(pieces):
        time.sleep(0.01)
    assert all(call.kill() for call in calls)
    print([type(call.exception()).__name__ for call in calls])
    while glob.glob(pieces):
        time.sleep(0.01)
"""


@pytest.fixture
def elsewhere(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("tasks.py", TASKS)
    (project.temporary / "there" / "work").mkdir(parents=True)
    return project


def check(project, size, **variables):
    there = project.temporary / "there"
    done = project.run(
        "tasks.py", str(size), THERE=str(there), BANDSAW_HOME=str(project.temporary / "home"),
        PYTHONWARNINGS="ignore", **variables,
    )  # fmt: skip
    assert done.stdout.splitlines()[:3] == ["got/result ['in']"] * 2 + ["3"]
    (kept,) = there.glob("bandsaw-*")
    # Of the file and of the folder, each once.
    assert len(list((kept / "files" / "kept").iterdir())) == 2
    # Besides those of workers that run, in which they are told which calls are to be ended.
    left = [path.name for path in kept.iterdir() if not path.name.startswith("call-")]
    assert sorted(left) == ["archives", "files"]
    assert not list((project.temporary / "home" / "files").rglob(".*"))
    return done


@pytest.mark.parametrize("more", ["", ", workers=1"])
def test_files_reach_a_worker_of_any_executor_that_does_not_see_them(elsewhere, more):
    configuration = CONFIGURATION.replace(
        "ExecutorAdvice(executor)", f"ExecutorAdvice(executor{more})"
    )
    elsewhere.write("bandsaw_config.py", configuration)
    elsewhere.write("elsewhere.py", PLAIN)
    with open(elsewhere.folder / "tasks.py", "a") as file:
        file.write(
            "    import elsewhere\n    print(sum(size > 400_000 for size in elsewhere.sent))\n"
        )
    # The code, the file and the folder once, and the file anew after each tampering.
    assert check(elsewhere, 400_000).stdout.splitlines()[3] == "5"


@contextlib.contextmanager
def cluster(project):
    python = os.environ.get("BANDSAW_TEST_WORKERS") or sys.executable
    address, log = project.temporary / "scheduler.json", project.temporary / "log"
    work = project.temporary / "there" / "work"
    variables = {"PATH": os.environ["PATH"], "TMPDIR": str(project.temporary / "there")}
    base = [python, "-m", "dask"]
    scheduler = ["scheduler", "--port", "0", "--no-dashboard", "--scheduler-file", str(address)]
    worker = ["worker", "--nworkers", "2", "--nthreads", "1", "--no-dashboard", "--scheduler-file",
              str(address)]  # fmt: skip
    hidden = ["unshare", "-m", "sh", "-c", f'mount -t tmpfs none {project.folder}; exec "$@"', "sh"]
    running = []
    try:
        with open(log, "wb") as out:
            for command in ([*base, *scheduler], [*hidden, *base, *worker]):
                running.append(
                    subprocess.Popen(command, cwd=work, env=variables, stdout=out, stderr=out)
                )
                wait_until(lambda: is_whole(address) or running[-1].poll() is not None)
        yield str(address)
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(200)


@pytest.mark.skipif(not os.environ.get("BANDSAW_TEST_ENGINES"), reason="needs Dask")
def test_files_reach_workers_of_dask_that_do_not_see_them(elsewhere):
    import json

    with cluster(elsewhere) as path:
        with open(path) as file:
            address = json.load(file)["address"]
        with open(elsewhere.folder / "tasks.py", "a") as file:
            file.write(KILLED)
        # Larger than a piece.
        done = check(elsewhere, 20_000_000, SCHEDULER=address)
        assert done.stdout.splitlines()[3] == "['TaskKilledError', 'TaskKilledError']"
