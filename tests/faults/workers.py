"""Looks for faults of workers: `python -m tests.faults.workers`.

Whatever ends a process, at whatever moment: the caller is told within a second, and nothing is left
of it. Nor is anything left of many calls.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

MODES = ("own", "spawn", "warm")
_LONGEST_SECONDS = 1.0
_MOST_GROWTH = 5_000_000


def told(module, *arguments, check=True):
    """Runs one of the harnesses, in folders of its own, and returns what it tells."""
    with tempfile.TemporaryDirectory() as temporary, tempfile.TemporaryDirectory() as home:
        done = subprocess.run(
            [sys.executable, "-m", f"tests.faults.{module}", *arguments],
            env={**os.environ, "TMPDIR": temporary, "BANDSAW_HOME": home},
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=check,
        )
    return json.loads(done.stdout)


def deaths(mode):
    """Prints how long it takes until the caller knows, and returns the number of faults."""
    cells = told("workers_deaths", mode)
    seconds = [cell["seconds"] for cell in cells.values()]
    faults = 0
    for name, cell in cells.items():
        is_fault = cell["seconds"] > _LONGEST_SECONDS or cell["left"] or cell["next call"] != 1
        faults += bool(is_fault)
        ending = f"  LEFT {cell['left']}" if cell["left"] else ""
        print(f"  {name:<22} {cell['seconds']:.3f} s  {cell['types'][0]}{ending}", flush=True)
    worst, median = max(seconds), statistics.median(seconds)
    print(f"{mode}: {len(cells)} deaths, worst {worst:.3f} s, median {median:.3f} s", flush=True)
    return faults


def soak(calls):
    """Makes many calls, prints what they leave, and returns the number of faults."""
    found = told("workers_soak", "--calls", str(calls))
    print(
        f"{calls} calls in {found['seconds']:.1f} s, memory grew by {found['grown'] / 1e6:.2f} MB",
        flush=True,
    )
    if found["before"] != found["after"]:
        print(f"  before: {found['before']}\n  after:  {found['after']}", flush=True)
    return (found["before"] != found["after"]) + (found["grown"] > _MOST_GROWTH)


def main(arguments=None):
    """Runs both and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.workers", description=__doc__)
    parser.add_argument("--calls", type=int, default=10000, help="how many calls (10000)")
    options = parser.parse_args(arguments)
    faults = sum(map(deaths, MODES)) + soak(options.calls)
    print(f"{faults} faults", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
