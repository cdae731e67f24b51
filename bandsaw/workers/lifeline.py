"""A pipe that tells a child when its parent is gone, whichever way that ended.

    parent: keeps the writing end, and writes nothing        child: a thread reads
        ends, in whatever way ───── end of file ────────────► removes the parent's folders,
                                                              kills its own group, itself included

What the child has started across a boundary of its own holds a lifeline of the child, and follows.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import threading
from collections.abc import Iterator, Sequence

_VARIABLE = "BANDSAW_LIFELINE"


@contextlib.contextmanager
def held(folders: Sequence[str]) -> Iterator[tuple[dict[str, str], tuple[int, ...]]]:
    """Holds the parent's end for the time of a call.

    Args:
        folders: What the child removes if the parent cannot do so any more.

    Yields:
        Environment variables for the child, and the descriptors that it has to inherit.
    """
    if os.name != "posix":
        yield {}, ()
        return
    reading, writing = os.pipe()
    try:
        yield {_VARIABLE: json.dumps([reading, *folders])}, (reading,)
    finally:
        os.close(reading)
        os.close(writing)


def follow() -> None:
    """Ends this process and its group when the parent is gone. Called by the child."""
    given = os.environ.pop(_VARIABLE, None)
    if given is not None:
        descriptor, *folders = json.loads(given)
        os.set_inheritable(descriptor, False)
        threading.Thread(
            target=_watch, args=(descriptor, folders), daemon=True, name="bandsaw-lifeline"
        ).start()


def _watch(descriptor: int, folders: Sequence[str]) -> None:
    os.read(descriptor, 1)
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
    os.killpg(0, signal.SIGKILL)
