"""Workflows that are killed or interrupted at random moments: nothing is left of them.

```
round ── python -m tests.faults.parents CHAIN CACHE ─► workflow: call after call, through a cache
  └── SIGKILL, SIGTERM, SIGHUP or SIGINT ─► what is left? are the entries whole?
```
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

from . import workers_seen as seen
from .figures import Fault

SIGNALS = ("SIGKILL", "SIGTERM", "SIGHUP", "SIGINT")
CHAINS = ("own", "warm", "spawn", "plain")
_CACHE = "BANDSAW_FAULTS_CACHE"
_CONFIGURATION = "tests.faults.parents_configuration"
_LONGEST_DELAY = 0.25
# Up to Python 3.11, what interrupts that while a class is made is the cause of another error.
_WRAPPED = "RuntimeError: Error calling __set_name__"
_KEYS = 8


def compute(key):
    """Is the task: what it returns is known from its argument."""
    return [key, str(key) * (10 if key % 3 else 200_000)]


def workflow(chain, repeat=True):
    """Makes calls, for ever or one for each key."""
    import bandsaw

    # Entries that are there are written again, so that there is something to interrupt.
    task = bandsaw.task(config=_CONFIGURATION, chain=chain, cache={"refresh": repeat})(compute)
    print("ready", flush=True)
    while True:
        for key in range(_KEYS):
            assert task(key) == compute(key), key
            if key == 0:
                print("began", flush=True)
        if not repeat:
            return


def _started(chain, cache, repeat):
    return subprocess.Popen(
        [sys.executable, "-m", __spec__.name, chain, repeat],
        env={**os.environ, _CACHE: cache},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _settled(where):
    def left():
        return [pid for pid in seen.processes(os.environ["TMPDIR"]) if pid != os.getpid()]

    if not seen.settles(lambda: not left()):
        raise Fault("left", f"{where}: processes {left()}")


def _ended(process, number):
    """Ends a workflow and returns what it has written.

    Python loses an interrupt that comes while it runs a callback of its own, such as those of its
    locks of modules. It says so, and a user would interrupt it again.
    """
    process.send_signal(number)
    while True:
        try:
            return process.communicate(timeout=20)[1]
        except subprocess.TimeoutExpired as waited:
            if number == signal.SIGINT and b"Exception ignored in" in (waited.stderr or b""):
                process.send_signal(number)


def run(dice, figures, directory):
    """Ends some workflows, and lets another one take what they have left in their cache."""
    for number in range(4):
        chain, name = CHAINS[number % len(CHAINS)], dice.choice(SIGNALS)
        cache = os.path.join(directory, str(number % 2))
        files = set(os.listdir(os.environ["TMPDIR"]))
        with _started(chain, cache, "repeat") as process:
            # While processes are started for the first time, or while they are at work.
            for _ in range(dice.choice([1, 2, 2])):
                process.stdout.readline()
            time.sleep(dice.random() * _LONGEST_DELAY)
            said = _ended(process, signal.Signals[name])
        where = f"{chain}, {name}: {process.returncode}\n{said}"
        # Python ends itself by the signal when nobody handles the exception.
        assert process.returncode == -signal.Signals[name] or _WRAPPED in said, where
        figures.inject(f"{name} of a workflow")
        _settled(where)
        left = set(os.listdir(os.environ["TMPDIR"])) - files
        if left:
            raise Fault("left", f"{where}: {left}")
        with _started("plain", cache, "once") as process:
            _, said = process.communicate()
        assert (process.returncode, said) == (0, ""), f"{where}\n{said}"
        figures.calls += _KEYS
        _settled("after the end")


if __name__ == "__main__":
    workflow(sys.argv[1], sys.argv[2] == "repeat")
