"""Random graphs of submitted calls, some of which fail, are killed, cancelled, or submit others.

`python -m tests.faults.graphs 10000 SEED` makes one graph of so many calls.
"""

from __future__ import annotations

import concurrent.futures
import os
import random
import signal
import sys
import tempfile
import threading

import bandsaw
from bandsaw.errors import DependencyError, TaskKilledError, WorkerDiedError

from . import workers_seen as seen
from .figures import Figures

_CONFIGURATION = "tests.faults.workers_configuration"
_THREADS = 8
_SECONDS = 600
# How a call fails, and with what.
FAILURES = {"raise": ZeroDivisionError, "die": WorkerDiedError}


def add(how, number, needs):
    """Adds what it needs to a number; or fails; or has other calls do it."""
    if how == "raise":
        raise ZeroDivisionError(number)
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    total = number + sum(needs)
    if how.startswith("nest") and how[4:] != "0":
        nested = f"nest{int(how[4:]) - 1}"
        parts = [here.submit(nested, part, []) for part in range(3)]
        total += here.submit(nested, 0, parts).result() - 3 + sum(warm.map(["add"], [7], [()])) - 7
    return total


here, own, warm = (
    bandsaw.task(config=_CONFIGURATION, chain=name)(add) for name in ("default", "own", "warm")
)


class Node:
    """A call of the graph, with what it should come to."""

    def __init__(self, dice, others):
        self.needs = dice.sample(others, min(len(others), dice.choice((0, 1, 2, 3))))
        self.number = dice.randrange(1000)
        self.task = dice.choices((here, warm, own), (10, 9, 1))[0]
        self.how = dice.choices(("add", "raise", "die", "nest2"), (90, 4, 2, 4))[0]
        if self.task is here and self.how == "die":
            self.how = "raise"
        self.end = dice.choices(("", "cancel", "kill"), (90, 5, 5))[0]
        self.future = self.task.submit(self.how, self.number, [each.future for each in self.needs])
        if self.end:
            self.has_ended = getattr(self.future, self.end)()

    def fault(self):
        """Says what is wrong with what has become of the call, `None` if nothing is."""
        if not self.future.done():
            return "hang", f"{self.how} of {self.future.task} is not done"
        failed = [each for each in self.needs if each.error() is not None]
        error = self.error()
        if self.end and self.has_ended:
            wanted = (concurrent.futures.CancelledError, TaskKilledError)
            # It may have been known already that it cannot begin.
        elif failed:
            wanted = DependencyError
        elif self.how in FAILURES:
            wanted = FAILURES[self.how]
        else:
            wanted = type(None)
        if not isinstance(error, wanted):
            return "wrong", f"{self.how} of {self.future.task} has {error!r} and not {wanted}"
        if isinstance(error, DependencyError):
            if error.__cause__ is None or isinstance(error.__cause__, DependencyError):
                return "wrong", f"{error!r} has the cause {error.__cause__!r}"
        elif error is None:
            expected = self.number + sum(each.future.result() for each in self.needs)
            if self.future.result() != expected:
                return "wrong", f"{self.future.result()} and not {expected}"
        return None

    def error(self):
        if self.future.cancelled():
            return concurrent.futures.CancelledError()
        return self.future.exception(0)


def run(dice, figures, directory, calls=400):
    """Makes a graph from several threads, waits for all of it, and looks at what is left."""
    nodes = []
    seeds = [dice.random() for _ in range(_THREADS)]
    count = calls // _THREADS

    def build(seed):
        own_dice = random.Random(seed)
        for _ in range(count):
            nodes.append(Node(own_dice, nodes[-50:]))

    threads = [threading.Thread(target=build, args=(seed,)) for seed in seeds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    concurrent.futures.wait([node.future for node in nodes], _SECONDS)
    for node in nodes:
        fault = node.fault()
        if fault is not None:
            figures.fault(*fault)
    figures.calls += len(nodes)
    for node in nodes:
        if node.end or node.how != "add":
            figures.inject(node.end or node.how)
    from bandsaw._futures import lanes

    if not seen.settles(lambda: not lanes.unfinished):
        figures.fault("left", f"{len(lanes.unfinished)} calls are not over")
    if not seen.settles(lambda: left() == (0, 0)):
        figures.fault("left", f"places and children of places are taken: {left()}")


def left():
    """Returns how many places of the configuration, and of its lanes, are taken."""
    flight = here.bandsaw_configuration._flight
    return flight.running, sum(lane.running for lane in flight.lanes.values())


if __name__ == "__main__":
    from tests.faults import graphs

    figures = Figures()
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    with tempfile.TemporaryDirectory() as folder:
        graphs.run(random.Random(seed), figures, folder, calls=int(sys.argv[1]))
    print(f"seed {seed}: {figures.calls} calls, {dict(figures.injected)}")
    for sort, text in figures.faults[:20]:
        print(sort, text)
    print(f"{len(figures.faults)} faults")
    sys.exit(bool(figures.faults))
