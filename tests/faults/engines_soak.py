"""Many calls on an executor whose workers are killed now and then: none is lost.

    python -m tests.faults.engines_soak [fork | spawn | loky | dask | ray | slurm] [--calls 2000]

For `slurm` there has to be one, see `tests/engines/slurm/up.sh`. Exits with 1 if a value is wrong
or missing, or if something is left.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time

import bandsaw

_CONFIGURATION = "tests.faults.engines_configuration"
# What a fork server below a worker has in its command line, and what is forked from it.
_SERVER = re.compile(rb"/archives/[0-9a-f]{32}\0--fork-server\0")


@bandsaw.task(config=_CONFIGURATION)
def square(number, folder):
    """Returns the square of a number, and notes that it was computed."""
    descriptor = os.open(os.path.join(folder, str(number)), os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, b"x")
    os.close(descriptor)
    time.sleep(0.01)
    return number * number


def _read(pid, name):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/{name}", "rb") as file:
        return file.read()
    return b""


def _workers(temporary):
    """The processes of the engine below which calls of this run have processes."""
    marked = f"TMPDIR={temporary}".encode() + b"\0"
    servers = {
        pid
        for pid in filter(str.isdigit, os.listdir("/proc"))
        if _SERVER.search(_read(pid, "cmdline")) and marked in _read(pid, "environ")
    }
    found = {_parent(pid) for pid in servers} - servers
    return sorted(int(pid) for pid in found - {"", "1", str(os.getpid())})


def _parent(pid):
    return b"".join(_read(pid, "stat").rpartition(b")")[2].split()[1:2]).decode()


def _strike(dice, temporary, is_over, kills):
    while not is_over.wait(dice.uniform(2.0, 8.0)):
        with contextlib.suppress(IndexError, OSError):
            os.kill(dice.choice(_workers(temporary)), signal.SIGKILL)
            kills.append(1)


def _soak(calls, seed):
    temporary, folder = os.environ["TMPDIR"], os.environ["SOAK_FOLDER"]
    notes = os.path.join(folder, "notes")
    os.mkdir(notes)
    is_over, kills = threading.Event(), []
    striker = threading.Thread(
        target=_strike, args=(random.Random(seed), temporary, is_over, kills), daemon=True
    )
    striker.start()
    begun = time.monotonic()
    values = list(square.map(range(calls), [notes] * calls))
    took = time.monotonic() - begun
    is_over.set()
    striker.join()
    runs = sum(os.path.getsize(os.path.join(notes, name)) for name in os.listdir(notes))
    print(
        f"{calls} calls in {took:.0f} s, {len(kills)} workers killed, {runs - calls} calls were "
        "begun again"
    )
    faults = [number for number, value in enumerate(values) if value != number * number]
    if faults or len(values) != calls:
        print(f"{len(values)} values, {len(faults)} of them wrong")
    return 1 if faults or len(values) != calls else 0


def main():
    """Soaks in a process of its own, and looks at what is left of it."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.engines_soak")
    parser.add_argument("engine", nargs="?", default="spawn")
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if "SOAK_FOLDER" in os.environ:
        logging.getLogger("bandsaw").setLevel(logging.ERROR)
        return _soak(options.calls, options.seed)
    with tempfile.TemporaryDirectory(prefix="soak", dir="/tmp") as folder:
        temporary = os.path.join(folder, "t")
        os.mkdir(temporary)
        done = subprocess.run(
            [sys.executable, "-m", "tests.faults.engines_soak", *sys.argv[1:]],
            env={
                **os.environ,
                "TMPDIR": temporary,
                "SOAK_FOLDER": folder,
                "SOAK_ENGINE": options.engine,
            },
        )
        (home,) = [name for name in os.listdir(temporary) if name.startswith("bandsaw-")]
        left = sorted(set(os.listdir(os.path.join(temporary, home))) - {"archives", "byte-code"})
        # Dask might run again what was lost with a worker: that it has begun is known for a week.
        left = [name for name in left if not name.startswith(("begun-", "call-"))]
        print("left:", ", ".join(left) or "nothing")
    return 1 if done.returncode or left else 0


if __name__ == "__main__":
    sys.exit(main())
