"""What is run at the other end."""

from __future__ import annotations

import atexit
import logging
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import bandsaw

_CONFIGURATION = "tests.faults.ssh_configuration"


class OwnError(Exception):
    """What a task raises."""


def on(remote, chain="default", retries=0, **options):
    """Returns what makes a task of one of these functions."""
    ssh = {"remote": remote, "retries": retries}
    return lambda function: bandsaw.task(config=_CONFIGURATION, chain=chain, ssh=ssh, **options)(
        function
    )


def same(value):
    return value


def twins(files):
    """Returns two copies of a file."""
    [file] = files
    folder = Path(tempfile.mkdtemp())
    # When all of it has been sent.
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    copy = shutil.copytree if Path(file).is_dir() else shutil.copyfile
    return [bandsaw.File(copy(file, folder / name)) for name in ("one", "other")]


def where():
    """Returns the ids of this process, its fork server and the hub."""
    fork_server = os.getppid()
    status = Path(f"/proc/{fork_server}/stat").read_text().rpartition(")")[2].split()
    return os.getpid(), fork_server, int(status[1])


def environment():
    return dict(os.environ)


def optimized():
    """Returns how Python was told to optimize, and whether assertions are left out."""
    try:
        assert sys.flags.optimize < 0
    except AssertionError:
        return sys.flags.optimize, False
    return sys.flags.optimize, True


def path():
    return list(sys.path)


def raises(folder):
    note(folder)
    raise OwnError(1, (2,))


def fails(value):
    raise OwnError(value)


def pauses(seconds):
    time.sleep(seconds)
    return seconds


def note(folder):
    """Leaves a file for each time that it is called, and says where it runs."""
    here = "-".join(map(str, where()))
    Path(folder, f"ran-{here}").touch()


def hangs(folder):
    """Says where it runs, and waits for ever."""
    note(folder)
    time.sleep(600)


def hangs_once(folder):
    """Waits for ever when it is called for the first time."""
    first = not list(Path(folder).glob("ran-*"))
    note(folder)
    if first:
        time.sleep(600)
    return os.getpid()


def hangs_with_child(folder):
    """As `hangs`, with a process of its own that leaves its group."""
    import subprocess

    child = subprocess.Popen(["sleep", "600"])
    Path(folder, f"child-{child.pid}").touch()
    hangs(folder)


def waits_for(folder, name):
    """Says where it runs, and waits for a file."""
    note(folder)
    while not Path(folder, name).exists():
        time.sleep(0.005)
    return os.getpid()


def closes():
    """Closes what is not its own, so that its process ends, which takes its time."""
    os.closerange(3, 200)
    atexit.register(time.sleep, 0.5)


def moves(folder):
    """Goes to another folder, and returns the one that it was in."""
    before = os.getcwd()
    os.chdir(folder)
    return before


def makes(size):
    return bytes(size)


def kills(who):
    """Ends this process (0), its fork server (1) or the hub (2)."""
    os.kill(where()[who], signal.SIGKILL)
    time.sleep(600)


def kills_once(folder, who):
    """Does that when it is called for the first time."""
    first = not list(Path(folder).glob("ran-*"))
    note(folder)
    if first:
        kills(who)
    return 7


def prints(size, stream="stdout"):
    """Prints so many bytes, in lines."""
    lines = "".join(f"{number:09}\n" for number in range(size // 10))
    getattr(sys, stream).write(lines)
    return size


def logs(message):
    logging.getLogger("far.logger").warning("it is %s", message)
