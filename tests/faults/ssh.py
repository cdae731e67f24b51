"""Looks for faults of calls over SSH: `python -m tests.faults.ssh`.

Four threads call tasks over one connection, while at random moments what they need is killed, the
server is started again, and the main thread is interrupted. A call may fail then, and says so. None
may hang or return something else, and nothing may be left: here or there.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import faulthandler
import logging
import os
import random
import signal
import sys
import tempfile
import threading
import time

import bandsaw
from bandsaw.advices.ssh import Remote
from bandsaw.errors import RemoteConnectionError, WorkerDiedError, WorkerStartError
from bandsaw.workers import connection

from . import ssh_configuration, ssh_server, ssh_tasks
from . import workers_seen as seen

_THREADS = 4
_HANGS_SECONDS = 60.0
_MOST_GROWTH = 50_000_000
# What a call may end with when something that it needs was killed.
_TYPED = (RemoteConnectionError, WorkerDiedError, WorkerStartError)


class Storm:
    """The calls, and what is done to them.

    Attributes:
        counts: How many calls ended in which way.
        faults: What is wrong, as text.
    """

    def __init__(self, server, seed, calls, kills, interrupts):
        self.counts = collections.Counter()
        self.faults = []
        self._server = server
        self._generator = random.Random(seed)
        self._seeds = [self._generator.random() for _ in range(_THREADS)]
        self._left = calls
        self._calls = calls
        self._events = ["kill"] * kills + ["interrupt"] * interrupts
        self._generator.shuffle(self._events)
        self._moments = sorted(self._generator.randrange(calls) for _ in self._events)
        self._begun = {}
        self._is_over = False
        self._may_be_interrupted = False
        self._lock = threading.Lock()

    def run(self):
        """Makes all calls. In the main thread."""
        before = signal.signal(signal.SIGINT, self._interrupt)
        events = threading.Thread(target=self._do_events, daemon=True)
        watch = threading.Thread(target=self._watch, daemon=True)
        others = [
            threading.Thread(target=self._make_calls, args=(seed,), daemon=True)
            for seed in self._seeds[1:]
        ]
        try:
            for thread in (events, watch, *others):
                thread.start()
            generator = random.Random(self._seeds[0])
            # There has to be something to interrupt until the end.
            while self._take() or events.is_alive():
                self._one_call(generator, True)
            for thread in others:
                thread.join()
        finally:
            self._is_over = True
            signal.signal(signal.SIGINT, before)
        watch.join()

    def _take(self):
        with self._lock:
            self._left -= 1
            return self._left >= 0

    def _make_calls(self, seed):
        generator = random.Random(seed)
        while self._take():
            self._one_call(generator, False)

    def _one_call(self, generator, is_main):
        chain = generator.choice(["default", "warm"])
        task_on = ssh_tasks.on("default", chain=chain, retries=generator.choice([0, 0, 3]))
        kind = generator.choice(["same", "same", "same", "fails", "prints", "pauses"])
        value = {
            "same": lambda: generator.randbytes(int(5 ** generator.uniform(0, 9.58))),
            "fails": generator.random,
            "prints": lambda: generator.randrange(10, 100_000),
            "pauses": lambda: generator.uniform(0, 0.1),
        }[kind]()
        task = task_on(getattr(ssh_tasks, kind))
        begun = self._begun[threading.get_ident()] = time.monotonic()
        outcome = "right"
        try:
            self._may_be_interrupted = is_main or self._may_be_interrupted
            returned = task(value)
            if is_main:
                self._may_be_interrupted = False
            if kind == "fails" or returned != value:
                outcome = "wrong"
                self.faults.append(f"{kind} returned something else")
        except KeyboardInterrupt:
            outcome = "interrupted"
        except ssh_tasks.OwnError as error:
            if kind != "fails" or error.args != (value,):
                outcome = "wrong"
                self.faults.append(f"{kind} raised {error!r}")
        except _TYPED as error:
            outcome = type(error).__name__
        except BaseException as error:
            outcome = f"untyped {type(error).__name__}"
            self.faults.append(f"{kind} raised {type(error).__name__}: {error}")
        finally:
            if is_main:
                self._may_be_interrupted = False
            del self._begun[threading.get_ident()]
        if time.monotonic() - begun > _HANGS_SECONDS:
            self.faults.append(f"{kind} took {time.monotonic() - begun:.0f} s")
        with self._lock:
            self.counts[outcome] += 1

    def _interrupt(self, *_):
        if self._may_be_interrupted:
            self._may_be_interrupted = False
            raise KeyboardInterrupt

    def _do_events(self):
        for event, moment in zip(self._events, self._moments):
            while self._calls - self._left <= moment:
                time.sleep(0.001)
            time.sleep(self._generator.uniform(0, 0.1))
            if event == "kill":
                self._kill()
                continue
            interrupted = self.counts["interrupted"]
            while self.counts["interrupted"] == interrupted:
                if self._may_be_interrupted:
                    time.sleep(self._generator.uniform(0, 0.02))
                    os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.02)

    def _kill(self):
        server, generator = self._server, self._generator
        how = generator.choice(["connection", "hub", "client", "any", "server"])
        self.counts[f"kill: {how}"] += 1
        if how == "connection":
            server.cut()
        elif how == "hub":
            for pid in server.hubs():
                ssh_server.kill(pid)
        elif how == "client":
            for pid in ssh_server.clients(server.port):
                ssh_server.kill(pid)
        elif how == "any":
            # A template or a process of a task, as a rule.
            with contextlib.suppress(IndexError):
                ssh_server.kill(generator.choice(server.pythons()))
        else:
            server.stop()
            server.cut()
            time.sleep(generator.uniform(0, 0.3))
            server.start()

    def _watch(self):
        while not self._is_over:
            time.sleep(0.2)
            now = time.monotonic()
            if any(now - begun > _HANGS_SECONDS + 5 for begun in list(self._begun.values())):
                faulthandler.dump_traceback(all_threads=True)
                print(f"a call hangs; so far: {dict(self.counts)}", file=sys.stderr, flush=True)
                for pid in [*ssh_server.clients(self._server.port), *self._server.pythons()]:
                    ssh_server.kill(pid)
                self._server.stop()
                os._exit(1)


class _Sink:
    encoding = "utf-8"

    def write(self, text):
        pass

    def flush(self):
        pass


def settled():
    """Makes calls with all kinds of processes, and returns what they leave open here."""
    for chain in ("default", "warm"):
        for value in (b"x", bytes(2_000_000)):
            assert ssh_tasks.on("default", chain=chain)(ssh_tasks.same)(value) == value
    open_now = collections.Counter(seen.descriptors())
    return open_now, threading.active_count(), seen.resident_bytes()


def storm(server, directory, options):
    """Runs the storm, prints figures, and returns what is wrong."""
    interpreter = bandsaw.Interpreter(executable=sys.executable)
    for advice in ssh_configuration.own, ssh_configuration.warm:
        advice.add_remote(Remote(interpreter=interpreter, **server.arguments(directory=directory)))
    for _ in range(5):
        descriptors, threads, memory = settled()
    # What is run again is no news.
    logging.getLogger("bandsaw").setLevel(logging.ERROR)
    begun = time.monotonic()
    made = Storm(server, options.seed, options.calls, options.kills, options.interrupts)
    # What tasks print is nothing to see here.
    with contextlib.redirect_stdout(_Sink()):
        made.run()
    seconds, faults = time.monotonic() - begun, made.faults
    after = settled()
    seen.settles(lambda: settled()[:2] == (descriptors, threads), 3)
    after = settled()
    for name, count in sorted(made.counts.items()):
        print(f"  {name:<28} {count}")
    if after[0] != descriptors:
        faults.append(f"descriptors: {after[0] - descriptors} more, {descriptors - after[0]} less")
    if after[1] != threads:
        faults.append(f"{threads} threads became {[each.name for each in threading.enumerate()]}")
    grown = after[2] - memory
    if grown > _MOST_GROWTH:
        faults.append(f"memory grew by {grown / 1e6:.1f} MB")
    hubs = len(server.hubs())
    clients = len(ssh_server.clients(server.port))
    if (hubs, clients) != (1, 1):
        faults.append(f"{clients} connections here lead to {hubs} there")
    connection.close_all()
    if not server.is_empty():
        faults.append(f"processes are left there: {server.processes()}")
    if ssh_server.clients(server.port):
        faults.append("processes are left here")
    left = ssh_server.left_in(directory)
    if left:
        faults.append(f"files are left there: {left}")
    print(
        f"{options.calls} calls in {seconds:.1f} s, memory grew by {grown / 1e6:.1f} MB, "
        f"{len(server.processes())} processes and {len(left)} files left there"
    )
    return faults


def main(arguments=None):
    """Runs it and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.ssh", description=__doc__)
    parser.add_argument("--calls", type=int, default=200, help="how many calls (200)")
    parser.add_argument("--kills", type=int, default=50, help="how often to kill something (50)")
    parser.add_argument("--interrupts", type=int, default=20, help="how many interrupts (20)")
    parser.add_argument("--seed", type=int, default=1, help="of the moments (1)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as home, tempfile.TemporaryDirectory() as directory:
        os.environ["BANDSAW_HOME"] = home
        with ssh_server.Server() as server:
            faults = storm(server, directory, options)
    for fault in faults:
        print(f"FAULT: {fault}")
    print(f"{len(faults)} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
