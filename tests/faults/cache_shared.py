"""Four processes and one store, whose server is killed and started again: nothing is lost.

`python -m tests.faults.cache_shared [--seconds N] [--seed N]` needs `sshd`, `fsspec`, `paramiko`.
Each process has a folder of its own, and calls tasks of which the others call the same. Now and
then the server is killed in the middle of what it does, or a process. At the end all entries in the
store have to be whole, what a process has computed that was not killed has to be there, and another
machine gets the right values.
"""

from __future__ import annotations

import argparse
import collections
import logging
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bandsaw
from bandsaw._cache import entry, shared, shared_sending
from tests import stores

from .cache_calls import Cache, Task

ROOT = Path(__file__).resolve().parent.parent.parent
PROCESSES = 4
# Of so many tasks a process calls one, and the next time of later ones.
NEXT = 20
_SECONDS_AWAY = 0.5
KEY = b"the key of the whole team"


def value_of(key):
    """A value by its key: some are of megabytes, most are small."""
    number = int(key)
    return [number, (b"%d" % number) * (300_000 if number % 25 == 0 else number)]


def machine(directory, url):
    return Cache(directory, lambda: bandsaw.PickleSerializer(KEY), shared=url)


def work(directory, url, seed):
    """Calls tasks until its input ends; then prints the keys of those that it has computed."""
    # A server that stands still at the end is not what is looked for here.
    shared_sending._SECONDS_FOR_ONE = 100.0
    # It is asked again while there is something to be seen of it.
    shared._SECONDS_AWAY = shared_sending._SECONDS_AWAY = _SECONDS_AWAY
    dice, cache = random.Random(seed), machine(directory, url)
    computed = []

    def compute(key):
        computed.append(key)
        return value_of(key)

    os.set_blocking(0, False)
    calls = 0
    while sys.stdin.buffer.read(1) is None:
        # Later and later ones, so that there is something new at all times.
        key = str(calls // 3 + dice.randrange(NEXT))
        calls += 1
        if cache.call(Task(compute), key) != value_of(key):
            raise AssertionError(f"a wrong value of {key}")
        if key not in computed:
            # Has the next call ask the store. What is not sent yet has to stay.
            (Path(directory) / "task" / key).unlink(missing_ok=True)
        time.sleep(dice.random() * 0.02)
    print(*computed)


def begin(folder, server, dice, number):
    return subprocess.Popen(
        [sys.executable, "-m", __spec__.name, "--work", folder / str(number), server.url,
         str(dice.random())],
        cwd=ROOT,
        env={**os.environ, **server.variables},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


def run(seconds, seed):
    """Lets them work; returns what was done, and raises an `AssertionError` for what is wrong."""
    dice = random.Random(seed)
    counts = collections.Counter()
    with tempfile.TemporaryDirectory() as name, stores.Sftp(Path(name, "store")) as server:
        folder = Path(name)
        processes = [begin(folder, server, dice, number) for number in range(PROCESSES)]
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end:
                time.sleep(dice.random() * seconds / 6)
                if dice.random() < 0.25:
                    # Its folder goes on being used, as after a reboot.
                    number = dice.randrange(PROCESSES)
                    processes[number].kill()
                    processes[number].communicate()
                    processes[number] = begin(folder, server, dice, number)
                    counts["processes killed"] += 1
                else:
                    server.kill()
                    time.sleep(dice.random())
                    server.start()
                    counts["servers killed"] += 1
            ends = [process.communicate(timeout=300) for process in processes]
        finally:
            for process in processes:
                process.kill()
                process.communicate()
        for process, (_, told) in zip(processes, ends):
            assert process.returncode == 0, told
            warnings = [line for line in told.splitlines() if line.startswith("The shared store")]
            assert len(warnings) <= 1, told
        computed = {key for said, _ in ends for key in said.split()}
        counts["calls computed"] = sum(len(said.split()) for said, _ in ends)
        _check(folder, server, computed, counts)
    return counts


def _check(folder, server, computed, counts):
    store = folder / "store" / "task"
    names = {path.name for path in store.iterdir() if not path.name.startswith(".")}
    for name in names:
        entry.read("task", name, path=str(store / name))
    assert computed <= names, f"lost: {sorted(computed - names)}"
    os.environ.update(server.variables)
    another = machine(folder / "another", server.url)

    def computing(key):
        raise AssertionError(f"{key} is in the store, and was computed again")

    for name in sorted(names):
        assert another.call(Task(computing), name) == value_of(name)
    counts["entries"] = len(names)


def main():
    if sys.argv[1:2] == ["--work"]:
        logging.basicConfig(format="%(message)s", level=logging.WARNING)
        work(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long (60)")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    missing = stores.lacks("fsspec", "paramiko")
    if missing:
        sys.exit(missing)
    print(f"seed {options.seed}")
    counts = run(options.seconds, options.seed)
    print(", ".join(f"{number} {what}" for what, number in counts.items()))


if __name__ == "__main__":
    main()
