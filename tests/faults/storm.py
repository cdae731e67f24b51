"""Calls in several threads, while at random moments what they need is killed, and they interrupted.

A call may fail then, and says so. None may hang or return something else.
"""

from __future__ import annotations

import contextlib
import logging
import os
import random
import signal
import threading
import time

from . import ssh_tasks
from . import workers_seen as seen
from .figures import Figures

_THREADS = 4
_HANGS_SECONDS = 60.0
# Python interrupts between any two instructions: also when a process's two sockets and two pipes
# are open, and nobody knows of them yet.
_LEFT_BY_INTERRUPT = 4


class Storm:
    """The calls, and what is done to them.

    Args:
        dice: The randomness.
        make: Makes a task of a function of `ssh_tasks`, with some randomness of its own.
        strike: Kills something, likewise, and returns what.
        expected: The errors that a call may end with when something that it needs was killed.
        calls: The number of calls.
        kills: How often to strike.
        interrupts: How often to interrupt a call of the main thread.

    Attributes:
        figures: What has come of them.
    """

    def __init__(self, dice, make, strike, expected, calls, kills, interrupts):
        self.figures = Figures()
        self._make, self._strike, self._expected = make, strike, expected
        self._dice = random.Random(dice.random())
        self._seeds = [dice.random() for _ in range(_THREADS)]
        self._left = self._calls = calls
        self._events = ["kill"] * kills + ["interrupt"] * interrupts
        dice.shuffle(self._events)
        self._moments = sorted(dice.randrange(calls) for _ in self._events)
        self._interrupted = 0
        self._may_be_interrupted = False
        self._lock = threading.Lock()

    def run(self):
        """Makes all calls. In the main thread."""
        before = signal.signal(signal.SIGINT, self._interrupt)
        events = threading.Thread(target=self._do_events, daemon=True)
        others = [
            threading.Thread(target=self._make_calls, args=(seed,), daemon=True)
            for seed in self._seeds[1:]
        ]
        # What is run again is no news, and what tasks print is nothing to see here.
        logging.getLogger("bandsaw").setLevel(logging.ERROR)
        try:
            with contextlib.redirect_stdout(_Sink()):
                for thread in (events, *others):
                    thread.start()
                dice = random.Random(self._seeds[0])
                # There has to be something to interrupt until the end.
                while self._take() or events.is_alive():
                    self._one_call(dice, True)
                for thread in others:
                    thread.join()
        finally:
            signal.signal(signal.SIGINT, before)
        return self.figures

    def _take(self):
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def _make_calls(self, seed):
        dice = random.Random(seed)
        while self._take():
            self._one_call(dice, False)

    def _one_call(self, dice, is_main):
        kind = dice.choice(["same", "same", "same", "fails", "prints", "pauses"])
        value = {
            "same": lambda: dice.randbytes(int(5 ** dice.uniform(0, 9.58))),
            "fails": dice.random,
            "prints": lambda: dice.randrange(10, 100_000),
            "pauses": lambda: dice.uniform(0, 0.1),
        }[kind]()
        task = self._make(getattr(ssh_tasks, kind), dice)
        fault, begun = None, time.monotonic()
        try:
            try:
                self._may_be_interrupted = is_main or self._may_be_interrupted
                returned = task(value)
            finally:
                if is_main:
                    self._may_be_interrupted = False
            if kind == "fails" or returned != value:
                fault = "wrong", f"{kind} returned something else"
        except KeyboardInterrupt:
            self._interrupted += 1
        except ssh_tasks.OwnError as error:
            if kind != "fails" or error.args != (value,):
                fault = "wrong", f"{kind} raised {error!r}"
        except self._expected:
            pass
        except BaseException as error:
            fault = "untyped", f"{kind} raised {error!r}"
        if time.monotonic() - begun > _HANGS_SECONDS:
            fault = "hang", f"{kind} took {time.monotonic() - begun:.0f} s"
        with self._lock:
            self.figures.calls += 1
            self.figures.faults += [fault] if fault else []

    def _interrupt(self, *_):
        if self._may_be_interrupted:
            self._may_be_interrupted = False
            raise KeyboardInterrupt

    def _do_events(self):
        for event, moment in zip(self._events, self._moments):
            while self._calls - self._left <= moment:
                time.sleep(0.001)
            time.sleep(self._dice.uniform(0, 0.1))
            if event == "kill":
                self.figures.inject(self._strike(self._dice))
                continue
            interrupted = self._interrupted
            while self._interrupted == interrupted:
                if self._may_be_interrupted:
                    time.sleep(self._dice.uniform(0, 0.02))
                    os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.02)
            self.figures.inject("SIGINT in a call")


def see_it_settle(figures, settled, usual, expected, interrupts=0):
    """Waits until calls leave open here what they did before the storm.

    Args:
        figures: Where to note it if they do not.
        settled: Makes calls, and returns the descriptors and the number of threads after them.
        usual: What it should be.
        expected: What a call may raise that meets what was killed last.
        interrupts: How many interrupts there were.
    """
    found = None

    def is_usual():
        nonlocal found
        with contextlib.suppress(*expected):
            found = settled()
            more = sum((found[0] - usual[0]).values())
            return more <= interrupts * _LEFT_BY_INTERRUPT and found[1] == usual[1]

    if not seen.settles(is_usual, 5):
        figures.fault("left", f"descriptors and threads {usual} became {found}")


class _Sink:
    encoding = "utf-8"

    def write(self, text):
        pass

    def flush(self):
        pass
