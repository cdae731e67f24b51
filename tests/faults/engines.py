"""Calls on an executor, whose workers and whose processes of tasks are killed.

A call gives its value, or an error that says what has become of it. A worker that is killed takes
along what runs in it, and nothing that has not begun.
"""

from __future__ import annotations

import collections
import concurrent.futures
import contextlib
import functools
import gc
import logging
import os
import random
import shutil
import signal
import threading
import time
import traceback
from pathlib import Path

import bandsaw
from bandsaw.errors import (
    RemoteConnectionError,
    TaskKilledError,
    TaskTimeoutError,
    WorkerDiedError,
    WorkerStartError,
)

from . import ssh_server
from . import workers_seen as seen
from .engines_soak import _SERVER, _read, _workers
from .figures import Fault

_CONFIGURATION = "tests.faults.engines_chains"
_THREADS, _STRIKES = 3, 4
_BATCH = 3
# How often each thread makes calls, and after how many seconds at most something is killed. A job
# of Slurm takes seconds.
_PACE, _SLOW_PACE = (8, 3.0), (3, 20.0)
_HANGS_SECONDS = 120
_LOST = (WorkerDiedError, WorkerStartError, RemoteConnectionError)
_CANCELLED = (concurrent.futures.CancelledError, TaskKilledError)


class OwnError(Exception):
    """What a task raises."""


def work(how, number, data=b"", chain="own"):
    """Gives the value of a number; or raises; or dies; or takes too long."""
    assert data == data_of(number)
    if how == "raise":
        raise OwnError(number)
    if how == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "long":
        time.sleep(600)
    time.sleep(number % 10 / 100)
    if how == "nested":
        task = bandsaw.task(config=_CONFIGURATION, chain=chain)(value_of)
        return [task(number), *task.map(range(3))]
    return value_of(number)


def value_of(number):
    return [number, bytes(number if number % 10 else number * 1000)]


def data_of(number):
    return bytes(1_000_000 if number % 20 == 5 else number)


def result_of(how, number):
    if how == "nested":
        return [value_of(number), *map(value_of, range(3))]
    return value_of(number)


def _arguments(how, number, chain):
    return how, number, data_of(number), chain


class _Calls:
    """Calls in several threads, and what has come of them."""

    def __init__(self, dice, figures, pace):
        self._dice, self._figures = dice, figures
        self._uses, self._pause = pace
        self._lock = threading.Lock()
        self._strikes = 0
        self.lost = []
        self.is_over = threading.Event()

    def make(self, seed):
        dice = random.Random(seed)
        for _ in range(self._uses):
            use = dice.choice([self._call, self._submit, self._submit, self._map])
            try:
                use(dice, dice.choice(["own", "own", "kept", "kept", "inside"]))
            except concurrent.futures.TimeoutError:
                self._note("hang", f"{_HANGS_SECONDS} s were over")
            except BaseException as error:
                sort = "wrong" if isinstance(error, AssertionError) else "untyped"
                self._note(sort, f"{error!r}\n{traceback.format_exc()[-2000:]}")

    def _note(self, sort, text):
        with self._lock:
            self._figures.fault(sort, text)

    def _count(self, calls, what=None):
        with self._lock:
            self._figures.calls += calls
            if what:
                self._figures.inject(what)

    def _task(self, dice, chain, how):
        options = {"timeout": 1.0} if how == "long" else {}
        batch = dice.choice([None, 1, _BATCH])
        if batch and chain != "inside":
            options["executor"] = {"batch": batch}
        return bandsaw.task(config=_CONFIGURATION, chain=chain, **options)(work)

    def _how(self, dice, chain):
        usual, others = ["value"] * 7 + ["nested"], ["raise", "die", "long"]
        return dice.choice([*usual, *(others[:1] if chain == "inside" else others)])

    def _call(self, dice, chain):
        how, number = self._how(dice, chain), dice.randrange(2000)
        task = self._task(dice, chain, how)
        self._see(lambda: task(*_arguments(how, number, chain)), how, number)

    def _submit(self, dice, chain):
        calls = []
        for _ in range(dice.choice([1, 5, 15])):
            how, number = self._how(dice, chain), dice.randrange(2000)
            arguments = _arguments(how, number, chain)
            calls.append((self._task(dice, chain, how).submit(*arguments), how, number))
        ended = {}
        if dice.random() < 0.5:
            time.sleep(dice.uniform(0, 0.3))
            for future, _, _ in dice.sample(calls, (len(calls) + 2) // 3):
                end = dice.choice(["cancel", "kill"])
                ended[future] = getattr(future, end)()
                self._count(0, end)
        for future, how, number in calls:
            result = functools.partial(future.result, _HANGS_SECONDS)
            self._see(result, how, number, ended.get(future))

    def _map(self, dice, chain):
        numbers = [dice.randrange(2000) for _ in range(dice.choice([5, 30]))]
        task = self._task(dice, chain, "value")
        arguments = zip(*(_arguments("value", number, chain) for number in numbers))
        values = task.map(*arguments, timeout=_HANGS_SECONDS)
        for number in numbers:
            # What comes after one that was lost is cancelled.
            if not self._see(lambda: next(values), "value", number):
                return

    def _see(self, call, how, number, is_ended=False):
        """Looks at what a call has come to; returns whether it gave its value."""
        self._count(1, None if how == "value" else how)
        try:
            value = call()
        except OwnError as error:
            found = (how, *error.args)
            assert found == ("raise", number), f"{how} of {number} raised {found}"
        except _CANCELLED:
            assert is_ended, f"{how} of {number} was ended, and nobody has asked for it"
        except TaskTimeoutError:
            assert how == "long", f"{how} of {number} took too long"
        except _LOST as error:
            if how != "die":
                with self._lock:
                    self.lost.append(repr(error))
        else:
            assert how in ("value", "nested"), f"{how} of {number} gave a value"
            assert value == result_of(how, number), f"{how} of {number} gave {value!r:.50}"
            return True
        return False

    def strike(self):
        """Kills workers of the engine, and processes of tasks, until all calls are over."""
        for _ in range(_STRIKES):
            if self.is_over.wait(self._dice.uniform(0.2, self._pause)):
                return
            kind = self._dice.choice(["worker", "task"])
            look = _workers if kind == "worker" else _below
            while not (found := look(os.environ["TMPDIR"])):
                if self.is_over.wait(0.1):
                    return
            with contextlib.suppress(OSError):
                os.kill(self._dice.choice(found), signal.SIGKILL)
                self._count(0, f"SIGKILL: {kind}")
                self._strikes += 1

    def see_what_was_lost(self, workers):
        """A worker has one batch at a time, whose results come together.

        Where one dies, a pool ends the others.
        """
        if len(self.lost) > self._strikes * workers * _BATCH:
            text = "\n".join(self.lost)
            self._note("wrong", f"{self._strikes} processes were killed, and lost were:\n{text}")


def _below(temporary):
    """Lists the processes of tasks, and what starts them, below the workers of an engine."""
    marked = f"TMPDIR={temporary}".encode() + b"\0"
    found = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    below = [
        pid
        for pid in found
        if _SERVER.search(_read(pid, "cmdline")) and marked in _read(pid, "environ")
    ]
    return sorted(pid for pid in below if not ssh_server.is_gone(pid))


def _settled():
    """Makes calls, and returns the descriptors and threads that are left then."""
    from . import engines_chains

    for chain in ("own", "kept", "inside"):
        task = bandsaw.task(config=_CONFIGURATION, chain=chain)(work)
        for number in (9, 1000):
            arguments = _arguments("value", number, chain)
            assert task(*arguments) == value_of(number)
    engines_chains.end_pools()
    return _open()


def _open():
    from . import engines_chains

    gc.collect()
    threads = collections.Counter(thread.name for thread in threading.enumerate())
    descriptors = collections.Counter(seen.descriptors())
    if engines_chains.ENGINE == "loky" and threads.pop("QueueFeederThread", 0):
        # A pool that breaks while it is given large calls leaves a thread that writes to a pipe for
        # ever, and keeps the pool's error with all pools that the frames of its traceback hold.
        del descriptors["pipe:"]
    elif not engines_chains.IS_POOL:
        # How many connections an engine keeps for later is up to it, and how many workers a pool.
        del descriptors["socket:"]
    return descriptors, threads


def _run(engine, dice, figures, directory):
    """Makes calls on an executor of an engine."""
    os.environ["FAULTS_ENGINE"] = engine
    from . import engines_chains

    logging.getLogger("bandsaw").setLevel(logging.ERROR)
    with engines_chains.started():
        usual = _settled()
        calls = _Calls(dice, figures, _SLOW_PACE if engine == "slurm" else _PACE)
        threads = [
            threading.Thread(target=calls.make, args=(dice.random(),), daemon=True)
            for _ in range(_THREADS)
        ]
        striker = threading.Thread(target=calls.strike, daemon=True)
        for thread in (*threads, striker):
            thread.start()
        for thread in threads:
            thread.join()
        calls.is_over.set()
        striker.join()
        calls.see_what_was_lost(engines_chains.WORKERS)
        _see_it_settle(usual)
    _see_what_is_kept()


pool, loky, dask, ray, slurm = (
    functools.partial(_run, engine) for engine in ("pool", "loky", "dask", "ray", "slurm")
)


def _see_what_is_kept():
    """Looks at what is left where workers are, and removes what may be kept there."""

    def left():
        found = [path.name for place in places for path in place.iterdir()]
        # An engine may run a call again: that it has begun is known for a week. What is left of a
        # process that started others, and was killed, goes with the next one.
        found = [name for name in found if not name.startswith(("begun-", "call-"))]
        return sorted({*found} - {"archives", "byte-code"})

    places = list(Path(os.environ["TMPDIR"]).glob("bandsaw-*"))
    if not seen.settles(lambda: not left()):
        raise Fault("left", f"{places}: {left()}")
    for place in places:
        shutil.rmtree(place)


def _see_it_settle(usual):
    left = None

    def is_usual(look):
        nonlocal left
        left = [now - before for now, before in zip(look(), usual)]
        return not any(left)

    def has_settled():
        with contextlib.suppress(*_LOST):
            # A thread may be about to remove files after the last call.
            return is_usual(_settled) or seen.settles(lambda: is_usual(_open), 5)
        return False

    if not seen.settles(has_settled, 20):
        raise Fault("left", f"descriptors and threads: {left}; at first there were {usual}")
