"""Does one thing after another, and writes what came of each as JSON."""

import faulthandler
import json
import logging
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

import tasks

import bandsaw
import bandsaw_config
from bandsaw._workers.executor import packs
from bandsaw._workers.executor.engine import engine_of


def outcome(act):
    start = time.monotonic()
    try:
        return {"value": repr(act())}
    except BaseException as error:
        cause = error.__cause__
        lines = traceback.format_exception(type(error), error, error.__traceback__)
        return {
            "error": type(error).__name__,
            "text": str(error),
            "traceback": "".join(lines),
            "cause": type(cause).__name__,
            "seconds": time.monotonic() - start,
        }


def killed(task):
    path = os.path.join(tempfile.gettempdir(), "pid-of-a-call")
    future = task.submit(path)
    while not (os.path.exists(path) and os.path.getsize(path)) and not future.done():
        time.sleep(0.02)
    pid = int(open(path).read())
    assert future.kill()
    try:
        future.result()
    finally:
        for _ in range(5000):
            if not is_there(pid):
                break
            time.sleep(0.02)
        assert not is_there(pid), "it still runs"
        os.unlink(path)


def killed_elsewhere():
    """A worker that was interrupted runs the next call."""
    os.mkdir("elsewhere")
    try:
        killed(tasks.wait_elsewhere)
    except bandsaw.errors.TaskKilledError:
        killed(tasks.wait_elsewhere)


def is_there(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def local():
    factor = 3

    @bandsaw.task
    def times(x):
        return x * factor

    return times(5)


def queued():
    """More calls than the executor runs at once, of which those that wait are cancelled."""
    folder = tempfile.mkdtemp()
    futures = [tasks.wait.submit(os.path.join(folder, str(i))) for i in range(6)]
    while not os.listdir(folder) and not futures[0].done():
        time.sleep(0.02)
    cancelled = [future.cancel() for future in futures]
    for future in futures:
        future.kill()
    begun = len(os.listdir(folder))
    for name in os.listdir(folder):
        os.unlink(os.path.join(folder, name))
    os.rmdir(folder)
    return sum(cancelled) >= 3 and begun <= 3


def killed_beside_others():
    """Calls that wait in the executor while those that run are killed have their values."""
    values = []
    for _ in range(1 if bandsaw_config.ENGINE == "slurm" else 5):
        folder = tempfile.mkdtemp()
        killed = [tasks.wait_there.submit(os.path.join(folder, str(i))) for i in range(2)]
        while len(os.listdir(folder)) < 2 and not any(future.done() for future in killed):
            time.sleep(0.02)
        others = [tasks.same_there.submit(i) for i in range(4)]
        for future in killed:
            future.kill()
        values.append([future.result() for future in others])
        kinds = {type(future.exception()).__name__ for future in killed}
        shutil.rmtree(folder)
    return values == [[0, 1, 2, 3]] * len(values), kinds


def withheld():
    """Calls that wait in the executor are cancelled there."""
    folder = tempfile.mkdtemp()
    futures = [tasks.wait_there.submit(os.path.join(folder, str(i))) for i in range(6)]
    while len(os.listdir(folder)) < 2:
        time.sleep(0.02)
    end = time.monotonic() + 200
    while sum(future.cancel() for future in futures) < 4 and time.monotonic() < end:
        time.sleep(0.02)
    cancelled = [future for future in futures if future.cancelled()]
    for future in futures:
        future.kill()
    kinds = [type(future.exception()).__name__ for future in futures if future not in cancelled]
    begun = len(os.listdir(folder))
    shutil.rmtree(folder)
    return len(cancelled), kinds, begun


def requeued():
    """A job of Slurm that is put back into the queue while it runs."""
    if bandsaw_config.ENGINE != "slurm":
        return None
    path = os.path.join(tempfile.gettempdir(), "runs-of-a-job")
    future = tasks.first_waits.submit(path)
    while not (os.path.exists(path) and os.path.getsize(path)):
        time.sleep(0.05)
    running = ["squeue", "-h", "-r", "-t", "R", "-o", "%i"]
    (job,) = subprocess.run(running, check=True, capture_output=True, text=True).stdout.split()
    subprocess.run(["scontrol", "requeue", job], check=True)
    state = ["squeue", "-h", "-t", "all", "-j", job, "-o", "%T"]
    while subprocess.run(state, capture_output=True, text=True).stdout.strip() != "PENDING":
        time.sleep(0.1)
    # It would wait for two minutes. What starts within the second of its end is refused by Slurm.
    subprocess.run(["scontrol", "update", f"JobId={job}", "StartTime=now+2"], check=True)
    try:
        return future.result()
    finally:
        os.unlink(path)


def batches():
    """What is in a batch with a call that dies has its value."""
    packs._QUIET_SECONDS = packs._MOST_SECONDS = 5  # for the full number
    given = []
    try:
        for value in tasks.dies_in_a_batch.map(range(6)):
            given.append(value)
    except bandsaw.errors.WorkerDiedError as error:
        return given, "exit code 9" in str(error) or str(error)


def one_buffer():
    """A buffer of all calls of a map, and how often an engine's store was given it."""
    block = tasks.Block(bytes(2_000_000))
    buffers = engine_of(bandsaw_config.own._executor()).buffers
    stored = []
    if buffers is not None:
        store = buffers._store
        buffers._store = lambda data: stored.append(len(data)) or store(data)
    values = list(tasks.size_of.map([block] * 4, range(4)))
    assert values == [(2_000_000, x) for x in range(4)], values
    return len(stored) == (buffers is not None)


def files():
    """A file and a folder go there, and a file comes back, with its bit."""
    folder = pathlib.Path(tempfile.mkdtemp())
    (folder / "in").write_bytes(b"xy" * 5_000_000)
    for _ in range(2):
        shutil.rmtree("got", ignore_errors=True)
        file, names = tasks.doubled(bandsaw.File(folder / "in"), bandsaw.File(folder))
        size = os.path.getsize(file)
        assert size == 20_000_000 and names == ["in"] and os.access(file, os.X_OK), (size, names)
    shutil.rmtree(folder)
    return os.path.relpath(file)


ACTS = {
    "value": lambda: tasks.same({"a": [1, 2.5, (None, {3})], "p": tasks.Point(1, b"x")}),
    "type": lambda: type(tasks.same(tasks.Point(1, 2))) is tasks.Point,
    "beside": lambda: tasks.beside() == ("1,2", os.path.abspath("beside.csv")),
    "other process": lambda: tasks.where()[0] != os.getpid(),
    "own process": lambda: len({tasks.where()[0] for _ in range(4)}),
    "exception": lambda: tasks.fail("bad"),
    "exit": lambda: tasks.leave(),
    "output": lambda: tasks.say(),
    "deadline": lambda: tasks.endless(),
    "death": lambda: tasks.die("exit"),
    "signal": lambda: tasks.die("signal"),
    "nested": lambda: (lambda r: (r[0], r[1] == r[2], r[3]))(tasks.nested(4)),
    "map": lambda: list(tasks.same.map(range(6))),
    "chained": lambda: tasks.same.submit([tasks.same.submit(1), tasks.same.submit(2)]).result(),
    "kill": lambda: killed(tasks.wait),
    "kill elsewhere": killed_elsewhere,
    "killed beside others": killed_beside_others,
    "queued": queued,
    "withheld": withheld,
    "requeued": requeued,
    "batches": batches,
    # Its calls are put together as those before it.
    "times in a batch": lambda: list(tasks.takes_a_third_of_its_time.map(range(3))),
    "one buffer": one_buffer,
    "files": files,
    "local": local,
    "big": lambda: len(tasks.same(b"x" * int(os.environ.get("BIG", 3_000_000)))),
    "kept": lambda: (lambda a, b, c: (a[0] == b[0] == c[0], a[1], b[1], c[1]))(
        tasks.counted(), tasks.counted(), tasks.counted()
    ),
    "kept dies": lambda: tasks.die_kept(),
    "kept again": lambda: tasks.counted()[1],
    "retry": lambda: tasks.flaky(),
    "unknown option": lambda: tasks.unknown(),
    "unknown engine": lambda: tasks.unknown_engine(),
}


def wait_for_an_interrupt(folder):
    """Has calls run and wait in the executor until Ctrl-C comes."""
    futures = [tasks.wait_there.submit(os.path.join(folder, str(i))) for i in range(6)]
    futures[0].result()


if __name__ == "__main__" and sys.argv[1] == "interrupted":
    wait_for_an_interrupt(sys.argv[2])
elif __name__ == "__main__":
    # Says where it stands before its time is over.
    faulthandler.dump_traceback_later(500, exit=True)
    logging.basicConfig(stream=sys.stdout, format="%(name)s|%(levelname)s|%(message)s")
    names = sys.argv[2:] or list(ACTS)
    outcomes = {name: outcome(ACTS[name]) for name in names}
    with open(sys.argv[1], "w") as file:
        json.dump(outcomes, file)
