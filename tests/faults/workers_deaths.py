"""All ways in which a process may end: what the caller is told, and what is left behind.

`python -m tests.faults.workers_deaths MODE` prints the outcome of each as JSON, for the tests.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import sys
import threading
import time

import bandsaw

from . import workers_seen as seen

PHASES = ("loading", "running", "saving")
# What is allowed beyond what a process has already.
_MEMORY = 100_000_000
# The caller knows within a fraction of a second, where the machine has nothing else to do.
_HANGS_SECONDS = 20.0
_TYPED = (
    *("WorkerDiedError", "OwnError", "MemoryError"),
    *("DeserializationError", "UnserializableError"),
)


def exhaust():
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + _MEMORY, resource.RLIM_INFINITY))
    bytearray(10 * _MEMORY)


def unpicklable():
    raise TypeError("it cannot be pickled")


WAYS = {
    "exit 0": lambda: sys.exit(0),
    "exit 3": lambda: sys.exit(3),
    "_exit 7": lambda: os._exit(7),
    "SIGSEGV": lambda: ctypes.string_at(0),
    "SIGKILL": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "SIGABRT": lambda: os.abort(),
    "memory": exhaust,
    "unpicklable": unpicklable,
}


def last_words(text):
    print(text, file=sys.stderr, flush=True)


class Loaded:
    """Does it when it is loaded."""

    def __init__(self, way, words):
        self.way, self.words = way, words

    def __setstate__(self, state):
        last_words(state["words"])
        WAYS[state["way"]]()


class Saved:
    """Does it when it is saved."""

    def __init__(self, way, words):
        self.way, self.words = way, words

    def __reduce__(self):
        last_words(self.words)
        WAYS[self.way]()


class OwnError(Exception):
    """What a task raises that cannot be sent."""


def call(argument, way, phase, words):
    if phase == "running":
        last_words(words)
        if way == "unpicklable":
            raise OwnError(threading.Lock())
        WAYS[way]()
    return Saved(way, words) if phase == "saving" else argument


TASKS = {
    mode: bandsaw.task(config="tests.faults.workers_configuration", chain=mode)(call)
    for mode in ("own", "spawn", "warm")
}


def outcome(task, way, phase):
    """Returns what the caller is told, as plain data."""
    words = f"last words: {way}, {phase}"
    argument = Loaded(way, words) if phase == "loading" else None
    begun = time.monotonic()
    try:
        task(argument, way, phase, words)
    except BaseException as error:
        # `SystemExit` as well would be a finding, and not the end.
        return {
            "seconds": time.monotonic() - begun,
            "types": [kind.__name__ for kind in type(error).__mro__],
            "message": str(error),
            "where": getattr(error, "where", None),
            "returncode": getattr(error, "returncode", None),
            "stderr": getattr(error, "stderr", None),
        }
    raise AssertionError("it went well")


def outcomes(mode, cells):
    """Goes through ways to end, and looks at what is left after each.

    Args:
        mode: `own`, `spawn` or `warm`.
        cells: Pairs of a way and a phase.

    Returns:
        The outcomes by names of the cells.
    """
    task, temporary = TASKS[mode], os.environ["TMPDIR"]
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    for _ in range(3):
        task(1, "", "", "")

    def left():
        return seen.descriptors(), len(seen.processes(temporary)), os.listdir(temporary)

    # The fork server, and one process that waits for a call.
    assert seen.has_started(temporary, 2), seen.processes(temporary)
    usual, found = left(), {}
    for way, phase in cells:
        cell = outcome(task, way, phase)
        cell["next call"] = task(1, "", "", "")
        # The processes of calls to come are started and ended meanwhile.
        cell["left"] = None if seen.settles(lambda: left() == usual) else [usual, left()]
        found[f"{way}, {phase}"] = cell
    return found


ALL = [(way, phase) for way in WAYS for phase in PHASES]


def run(dice, figures, directory):
    """Has some processes end in some of these ways."""
    for mode in TASKS:
        for name, cell in outcomes(mode, dice.sample(ALL, 6)).items():
            figures.inject(name.partition(",")[0])
            figures.calls += 2
            assert cell["next call"] == 1, f"{mode}, {name}: {cell}"
            if cell["seconds"] > _HANGS_SECONDS:
                figures.fault("hang", f"{mode}, {name}: {cell}")
            if cell["left"]:
                figures.fault("left", f"{mode}, {name}: {cell}")
            # What ends a program reaches the caller as it is.
            if cell["types"][0] not in (*_TYPED, "SystemExit"):
                figures.fault("untyped", f"{mode}, {name}: {cell}")


if __name__ == "__main__":
    json.dump(outcomes(sys.argv[1], ALL), sys.stdout)
