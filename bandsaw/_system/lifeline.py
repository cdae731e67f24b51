"""A pipe that tells a child when its parent is gone, whichever way that ended.

    parent: keeps the writing end, and writes nothing        child: a thread reads
        ends, in whatever way ───── end of file ────────────► removes the parent's folders,
                                                              kills its own group, itself included

What the child has started across a boundary of its own holds a lifeline of the child, and follows.
The thread waits its turn, as all threads of Python do: C code that lets no other run delays it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import threading
from collections.abc import Iterator, Sequence

from .processes import in_forked_processes

_VARIABLE = "BANDSAW_LIFELINE"
# The writing ends of the calls that are being made.
_held: set[int] = set()


@contextlib.contextmanager
def held(folders: Sequence[str]) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """Holds the parent's end for the time of a call."""
    if os.name != "posix":
        yield {}, ()
        return
    reading, writing = os.pipe()
    _held.add(writing)
    status = os.fstat(reading)
    known_by = [reading, status.st_dev, status.st_ino]
    try:
        yield {_VARIABLE: json.dumps([known_by, list(folders)])}, (reading,)
    finally:
        os.close(reading)
        if writing in _held:
            _held.discard(writing)
            os.close(writing)


@in_forked_processes
def _let_go() -> None:
    # A forked child would keep the lifelines of its parent's calls from ending with the parent.
    while _held:
        os.close(_held.pop())


def follow() -> None:
    """Ends this process and its group when the parent is gone. Called by the child."""
    given = os.environ.pop(_VARIABLE, None)
    if given is None:
        return
    (descriptor, *identity), folders = json.loads(given)
    try:
        status = os.fstat(descriptor)
    except OSError:
        return
    # A launcher in between may have closed the descriptor, and its number may be reused.
    if stat.S_ISFIFO(status.st_mode) and [status.st_dev, status.st_ino] == identity:
        os.set_inheritable(descriptor, False)
        threading.Thread(
            target=_watch, args=(descriptor, folders), daemon=True, name="bandsaw-lifeline"
        ).start()


def _watch(descriptor: int, folders: Sequence[str]) -> None:
    os.read(descriptor, 1)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)
