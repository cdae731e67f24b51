"""Many calls, some of which fail: `python -m tests.faults.workers_soak [--calls N]`.

Prints as JSON what is left of them, and by how much the memory of this process has grown.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import signal
import sys
import time

import bandsaw

from . import workers_seen as seen

WARM_UP = 100
_CONFIGURATION = "tests.faults.workers_configuration"
FAILURES = {
    "raise": ZeroDivisionError,
    "exit": bandsaw.errors.WorkerDiedError,
    "kill": bandsaw.errors.WorkerDiedError,
    "unpicklable": TypeError,
}


def call(number, how):
    if how == "raise":
        raise ZeroDivisionError(number)
    if how == "exit":
        sys.exit(3)
    if how == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    return sys.stdin if how == "unpicklable" else number


own, warm = (bandsaw.task(config=_CONFIGURATION, chain=name)(call) for name in ("own", "warm"))


def one_call(number):
    """Makes a call: two in three are warm, one in ten fails."""
    task = warm if number % 3 else own
    how = list(FAILURES)[number // 10 % len(FAILURES)] if number % 10 == 9 else ""
    try:
        returned = task(number, how)
    except FAILURES.get(how, ()):
        return
    assert returned == number and not how, (number, how)


def main(arguments=None):
    """Makes the calls and prints what is left of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--calls", type=int, default=500)
    calls = parser.parse_args(arguments).calls
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    temporary = os.environ["TMPDIR"]

    def left():
        return {
            "descriptors": seen.descriptors(),
            "processes": len(seen.processes(temporary)),
            "files": os.listdir(temporary),
            "shared memory": seen.shared_memory(),
        }

    def make(number):
        for each in range(number):
            one_call(each)
        # So that both kinds of processes wait for work in the end.
        warm(0, ""), own(0, "")

    make(WARM_UP)
    usual, memory, begun = left(), seen.resident_bytes(), time.monotonic()
    make(calls)
    seconds = time.monotonic() - begun
    grown = seen.resident_bytes() - memory
    seen.settles(lambda: left() == usual)
    json.dump({"before": usual, "after": left(), "grown": grown, "seconds": seconds}, sys.stdout)


if __name__ == "__main__":
    main()
