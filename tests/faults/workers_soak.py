"""Many calls, some of which fail: nothing is left of them, and memory does not grow."""

from __future__ import annotations

import os
import resource
import signal
import sys

import bandsaw

from . import workers_seen as seen

WARM_UP = 50
_MOST_GROWTH = 5_000_000
_CONFIGURATION = "tests.faults.workers_configuration"
FAILURES = {
    "raise": ZeroDivisionError,
    "exit": SystemExit,
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


def run(dice, figures, directory, calls=150):
    """Makes the calls and looks at what is left of them."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    temporary = os.environ["TMPDIR"]

    def left():
        return {
            "descriptors": seen.descriptors(),
            "processes": len(seen.processes(temporary)),
            "files": [path for path in os.listdir(temporary) if path not in directory],
        }

    def make(number):
        for each in range(number):
            one_call(each)
        # So that both kinds of processes wait for work in the end.
        warm(0, ""), own(0, "")
        assert seen.has_started(temporary, 3), seen.processes(temporary)

    make(WARM_UP)
    usual, memory = left(), seen.resident_bytes()
    make(calls)
    figures.calls += WARM_UP + calls
    for number in range(9, calls, 10):
        figures.inject(list(FAILURES)[number // 10 % len(FAILURES)])
    if not seen.settles(lambda: left() == usual):
        figures.fault("left", f"{usual} became {left()}")
    if seen.resident_bytes() - memory > _MOST_GROWTH:
        figures.fault("left", f"memory grew by {seen.resident_bytes() - memory} bytes")
