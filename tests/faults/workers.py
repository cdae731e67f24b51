"""Calls in processes of this machine, in a storm."""

from __future__ import annotations

import collections
import contextlib
import os
import signal
import threading

import bandsaw
from bandsaw.errors import WorkerDiedError, WorkerStartError

from . import ssh_tasks
from . import workers_seen as seen
from .storm import Storm, see_it_settle

_CONFIGURATION = "tests.faults.workers_configuration"


def _task(function, dice):
    return bandsaw.task(config=_CONFIGURATION, chain=dice.choice(["own", "warm"]))(function)


def _strike(dice):
    # A fork server, a process of a task, or what keeps watch over them.
    found = [pid for pid in seen.processes(os.environ["TMPDIR"]) if pid != os.getpid()]
    with contextlib.suppress(IndexError, ProcessLookupError):
        os.kill(dice.choice(found), signal.SIGKILL)
    return "SIGKILL: any process"


def _settled():
    for chain in ("own", "warm"):
        for value in (b"x", bytes(2_000_000)):
            task = bandsaw.task(config=_CONFIGURATION, chain=chain)(ssh_tasks.same)
            assert task(value) == value
    return collections.Counter(seen.descriptors()), threading.active_count()


def run(dice, figures, directory):
    """Makes calls in two storms, and sees what is left of them."""
    for _ in range(3):
        usual = _settled()
    expected = (WorkerDiedError, WorkerStartError)
    for calls, kills, interrupts in ((40, 8, 0), (25, 2, 3)):
        figures.add(Storm(dice, _task, _strike, expected, calls, kills, interrupts).run())
        see_it_settle(figures, _settled, usual, expected, interrupts)
