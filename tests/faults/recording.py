"""Eight processes that record their calls in one file, and are killed: the file stays whole.

`python -m tests.faults.recording [--calls N] [--kills N] [--pause S] [--seed N]`. Each process
makes calls, and notes in a file of its own how many have ended. Some are killed at random moments,
and others take their place. At the end the file has to be intact, a run whose process has ended has
to have all of its calls, and one whose process was killed all but those of its last second.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
import types
from pathlib import Path

import bandsaw
from bandsaw._recording import reading
from bandsaw.recording import Recorder

ROOT = Path(__file__).resolve().parent.parent.parent
PROCESSES = 8
# What may be lost of a process that is killed.
SECONDS = 1.0
_NAME = "configuration_of_recording"


def fails(x):
    """Says whether a call raises."""
    return x % 10 == 9


def work(record, notes, number, pause):
    """Makes calls; notes after each when it had ended, and its own run before all."""
    module = sys.modules[_NAME] = types.ModuleType(_NAME)
    module.configuration = (
        bandsaw.Configuration().add_advice_chain().add_extension(Recorder(record))
    )
    module.configuration.module_name = _NAME

    @bandsaw.task(config=_NAME)
    def step(x):
        if pause != "0.0":
            time.sleep(float(pause))
        if fails(x):
            raise ValueError(x)
        return x

    with open(notes, "wb", buffering=0) as file:
        file.write(f"{bandsaw.get_run_id()}\n".encode())
        for x in range(int(number)):
            with contextlib.suppress(ValueError):
                assert step(x) == x
            file.write(f"{time.time():.6f}\n".encode())


class Process:
    """One that works, and what is known of it."""

    def __init__(self, folder, number, calls, pause):
        self.notes = folder / f"notes-{number}"
        self.process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name, "--work", folder / "record.sqlite", self.notes,
             str(calls), str(pause)],
            cwd=ROOT,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        self.killed = None

    def kill(self):
        if self.process.poll() is None:
            self.killed = time.time()
            self.process.kill()

    def noted(self):
        lines = self.notes.read_text().splitlines() if self.notes.exists() else []
        return (lines[0], [float(line) for line in lines[1:] if line]) if lines else (None, [])


def killing(folder, calls, kills, pause, dice, look):
    """Lets them work and kills some, and looks at the record meanwhile; returns the processes."""
    working = [Process(folder, number, calls, pause) for number in range(PROCESSES)]
    done = []
    try:
        while working:
            look([*working, *done])
            chosen = dice.choice(working)
            if sum(one.killed is not None for one in done) < kills and chosen.noted()[1]:
                chosen.kill()
            for one in [one for one in working if one.process.poll() is not None]:
                working.remove(one)
                done.append(one)
                if one.killed is not None:
                    left = calls - len(one.noted()[1])
                    number = PROCESSES + len(done)
                    working.append(Process(folder, number, max(left, 1000), pause))
    finally:
        for one in working:
            one.process.kill()
        said = [one.process.communicate()[1] for one in [*working, *done]]
    assert not any(said), said
    return done


def run(calls, kills, pause, seed):
    """Lets them work; returns what was done, and raises an `AssertionError` for what is wrong."""
    dice = random.Random(seed)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        done = killing(
            folder, calls // PROCESSES, kills, pause, dice, lambda _: time.sleep(dice.random())
        )
        return checked(str(folder / "record.sqlite"), done)


def checked(path, done):
    figures = {"killed": 0, "calls": 0, "written": 0, "most seconds lost": 0.0}
    connection = sqlite3.connect(path)
    assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    connection.close()
    with reading.reading(path) as connection:
        runs = {run["run"]: run for run in reading.runs(connection)}
        for one in done:
            name, times = one.noted()
            run = runs.get(name, {"calls": 0, "state": "lost"})
            figures["calls"] += len(times)
            figures["written"] += run["calls"]
            if one.killed is None:
                assert one.process.returncode == 0
                assert (run["state"], run["calls"]) == ("ended", len(times)), (run, len(times))
                continue
            figures["killed"] += 1
            # It may have been about to end.
            assert run["state"] == "lost" or run["calls"] == len(times), run
            lost = one.killed - times[run["calls"]] if run["calls"] < len(times) else 0.0
            figures["most seconds lost"] = max(figures["most seconds lost"], round(lost, 3))
    assert figures["most seconds lost"] <= SECONDS, figures
    return figures


def main():
    if sys.argv[1:2] == ["--work"]:
        work(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=100_000, help="of all (100,000)")
    parser.add_argument("--kills", type=int, default=20, help="how many processes are killed (20)")
    parser.add_argument(
        "--pause", type=float, default=0.001, help="how long a call takes, in seconds (0.001)"
    )
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    options = parser.parse_args()
    print(f"seed {options.seed}")
    begun = time.monotonic()
    figures = run(options.calls, options.kills, options.pause, options.seed)
    print(", ".join(f"{value} {name}" for name, value in figures.items()))
    print(f"no fault in {time.monotonic() - begun:.0f} s")


if __name__ == "__main__":
    main()
