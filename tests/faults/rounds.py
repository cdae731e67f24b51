"""One round of a campaign, in a process and a folder of its own, seen from outside.

```
parent ── python -m tests.faults.rounds FUNCTION SEED FILE ─► one round, figures to FILE
   └── at its end, or when it hangs: which of its processes and files are left?
```
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

from . import workers_seen as seen
from .figures import Fault, Figures

ROOT = Path(__file__).resolve().parent.parent.parent
HANGS_SECONDS = 300.0
_SETTLES_SECONDS = 10.0
_LONGEST_TEXT = 3000
# What says which Pythons there are stays.
_OURS = re.compile("BANDSAW_(?!TEST_)")


def one_round(campaign, seed, seconds=HANGS_SECONDS):
    """Makes one round.

    Args:
        campaign: The campaign.
        seed: Of its random numbers.
        seconds: After how many it counts as one that hangs, and is killed.

    Returns:
        The figures.
    """
    # In memory, where that can be: thousands of files are written that nobody needs.
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    # Removed also when an interrupt comes before the next line.
    folder = tempfile.TemporaryDirectory(prefix="faults-", dir=memory)
    place = folder.name
    temporary, home, told = (os.path.join(place, name) for name in ("tmp", "home", "told"))
    try:
        os.mkdir(temporary)
        with open(os.path.join(place, "stderr"), "w+b") as stderr:
            ended = _ended(campaign, seed, seconds, told, stderr, {
                **{name: value for name, value in os.environ.items() if not _OURS.match(name)},
                "TMPDIR": temporary,
                "BANDSAW_HOME": home,
                "PYTHONPATH": str(ROOT),
                # Threads of a library would be lost in what is forked.
                "OPENBLAS_NUM_THREADS": "1",
            })  # fmt: skip
            stderr.seek(0)
            said = stderr.read().decode(errors="replace")
        if ended is None:
            return Figures(faults=[("hang", f"{seconds:.0f} s were over: {said[-_LONGEST_TEXT:]}")])
        if not os.path.exists(told):
            return Figures(faults=[("untyped", f"it ended with {ended}: {said[-_LONGEST_TEXT:]}")])
        figures = Figures(**json.loads(Path(told).read_text()))
        # What a forked process has to say of it is there.
        for fault in figures.faults[-1:]:
            fault[1] += f"\n{said[-_LONGEST_TEXT:]}"
        seen.settles(lambda: not _left(temporary), _SETTLES_SECONDS)
        for name in _killed(temporary):
            figures.fault("left", f"a process: {name}")
        if os.listdir(temporary):
            figures.fault("left", f"temporary files: {os.listdir(temporary)}")
        return figures
    finally:
        _killed(temporary)
        shutil.rmtree(place, ignore_errors=True)
        folder.cleanup()


def _ended(campaign, seed, seconds, told, stderr, environment):
    """Returns the exit status of a round, `None` if it hung."""
    command = [sys.executable, "-m", __spec__.name, campaign.function, str(seed), told]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=stderr,
        # Ctrl-C is for who asked for the round.
        start_new_session=True,
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        # It writes where it is.
        process.send_signal(signal.SIGUSR1)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(1)
        return None
    finally:
        process.kill()
        process.wait()


def _left(temporary):
    """Lists the processes that a round has left. `sshd` writes its title over its environment."""
    found, mark = seen.processes(temporary), os.fsencode(temporary) + b"/"
    for line in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if mark in line.read_bytes():
                found.append(int(line.parent.name))
    return found


def _killed(temporary):
    """Kills what a round has left, and returns the command lines."""
    found = []
    for pid in dict.fromkeys(_left(temporary)):
        with contextlib.suppress(OSError):
            line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
            os.kill(pid, signal.SIGKILL)
            found.append(line.decode(errors="replace")[:_LONGEST_TEXT])
    return found


def main(function, seed, told):
    """Makes one round in this process, and writes its figures to a file."""
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    figures = Figures()
    module, _, name = function.partition(":")
    try:
        with tempfile.TemporaryDirectory() as directory:
            run = getattr(importlib.import_module(module), name)
            run(random.Random(int(seed)), figures, directory)
    except Exception as error:
        usual = "wrong" if isinstance(error, AssertionError) else "untyped"
        sort = error.sort if isinstance(error, Fault) else usual
        figures.fault(sort, traceback.format_exc()[-_LONGEST_TEXT:])
    Path(told).write_text(json.dumps(figures.plain()))


if __name__ == "__main__":
    main(*sys.argv[1:])
