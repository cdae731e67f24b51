"""What can be seen of processes from outside: their memory, files and descriptors."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path


def processes(temporary):
    """Lists the processes that were started with a folder for temporary files."""
    mark, found = b"TMPDIR=" + os.fsencode(temporary), []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            pass  # it has ended, or is somebody else's
    return found


def has_started(temporary, number):
    """Waits until so many processes were started, and returns whether they were.

    A call may return before the process for the next one is there.
    """

    def is_so():
        # What was started for tasks is in groups of its own.
        found = 0
        for pid in processes(temporary):
            with contextlib.suppress(OSError):
                found += os.getpgid(pid) != os.getpgrp()
        return found == number

    return settles(is_so)


def descriptors():
    """Lists what this process has open, without the one that it takes to look."""
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            found.append(os.readlink(f"/proc/self/fd/{name}").rstrip("0123456789[]"))
        except OSError:
            pass
    return sorted(found)


def shared_memory():
    """Lists the names of ours in shared memory."""
    return sorted(name for name in os.listdir("/dev/shm") if "bandsaw" in name)


def resident_bytes():
    """Returns how much memory of its own this process has in use."""
    fields = Path("/proc/self/statm").read_text().split()
    return (int(fields[1]) - int(fields[2])) * os.sysconf("SC_PAGE_SIZE")


def settles(condition, seconds=10.0):
    """Waits for a condition, and returns whether it came about."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        # To look at all processes takes time that they need.
        time.sleep(0.03)
    return True
