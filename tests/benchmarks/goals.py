"""What the project has set itself as bounds, as ratios of two rows of one table or in bytes."""

import dataclasses
import fnmatch
from typing import Optional

from .measure import SEPARATOR, ratio


@dataclasses.dataclass(frozen=True)
class Goal:
    """A bound.

    Attributes:
        title: The table, or a pattern (`*`) for several.
        one: The row that is bounded.
        other: The row with which it is compared; `None` for a number of bytes.
        most: The bound on their ratio, or on the number of bytes.
        reason: Why it is missed, if it is.
        least: Whether it is a lower bound.
    """

    title: str
    one: str
    other: Optional[str]
    most: float
    reason: str = ""
    least: bool = False

    def found(self, suite):
        """Returns pairs of a table's title and the figure in it, as far as they were measured."""
        rows = {bench.get_name(): bench for bench in suite}
        for title in dict.fromkeys(name.split(SEPARATOR)[0] for name in rows):
            if not fnmatch.fnmatchcase(title, self.title):
                continue
            one = rows.get(f"{title}{SEPARATOR}{self.one}")
            other = rows.get(f"{title}{SEPARATOR}{self.other}")
            if one and self.other is None:
                yield title, one.median()
            elif one and other:
                yield title, ratio(one.get_values(), other.get_values())

    def is_met(self, figure):
        """Tells whether a figure keeps it, as it is shown: with two digits behind the point."""
        figure = round(figure, 2)
        return figure >= self.most if self.least else figure <= self.most


_COPY = "it costs a copy of the text more, or some fixed microseconds"

GOALS = (
    Goal("A call in this process", "empty chain", "functools.wraps", 1.3),
    Goal(
        "A call in this process",
        "one advice",
        "functools.wraps",
        12,
    ),
    # As much, and 3 ms, of 40 or more.
    Goal("Start and import", "import bandsaw, and use it", "import json, logging, pathlib", 1.07),
    Goal("The id of 100 MB, C order", "execution id", "SHA-256", 1.05),
    Goal(
        "The id of 100 MB, [!C]*",
        "execution id",
        "SHA-256",
        4,
        "its elements have to be brought into order first, and lie far apart",
    ),
    Goal("Memory for the id of an array of 100 MB", "C order", None, 50e6),
    Goal("Memory for the id of an array of 100 MB", "Fortran order, 3-D", None, 50e6),
    Goal(
        "A small hit",
        "hit",
        "open + read + unpickle",
        1.8,
        "arguments are bound and hashed; the entry is read and verified once in a second",
    ),
    Goal(
        "A small miss",
        "miss",
        "atomic write",
        1.5,
        "a file is locked, so that one computes for all, and its record is written",
    ),
    Goal(
        "A small hit",
        "joblib.Memory",
        "hit",
        5,
        "3.5 to 5.5, by machine and from run to run",
        least=True,
    ),
    Goal("A hit with an argument of 100 MB", "joblib.Memory", "hit", 2.2, least=True),
    Goal(
        "A hit with a result of 100 MB",
        "hit",
        "joblib.Memory",
        1,
        "its file is verified when a process reads it for the first time",
    ),
    Goal("A hit with a result of 100 MB, mapped", "joblib.Memory", "hit, mapped", 3, least=True),
    Goal("JSON, *, written", "bandsaw", "Python's own", 3),
    Goal("JSON, *, read", "bandsaw", "Python's own", 3),
    Goal("Pickle, *, written", "bandsaw", "Python's own", 1.2, _COPY),
    Goal("Pickle, *, read", "bandsaw", "Python's own", 1.2, _COPY),
    Goal(
        "A call in a process of its own",
        "own process",
        "python -c pass",
        0.3,
        "beside the fork, a session is written and read on both sides, and its end waited for",
    ),
    Goal(
        "A call in a process of its own",
        "NumPy preloaded",
        "python -c pass",
        0.35,
        "likewise; the fork of a process with more memory takes longer",
    ),
    Goal(
        "A call in a process of its own",
        "spawned",
        "python -c pass",
        2.2,
        "after Python, bandsaw and the modules that it needs are imported: logging, json, typing",
    ),
    Goal(
        "A call in a process that is reused",
        "warm process",
        "ProcessPoolExecutor",
        0.45,
        "a call carries a session, looks for output and for a process that has died, and compares "
        "environment, folder and levels of loggers with what the process knows",
    ),
    Goal(
        "100 MB to a process that is reused",
        "warm process",
        "ProcessPoolExecutor",
        0.15,
        "on the bound: from run to run it is 0.14 to 0.17",
    ),
    Goal(
        "100 MB to a process that is reused",
        "own process, NumPy preloaded",
        "ProcessPoolExecutor",
        0.2,
        "beside the copy, it costs a process",
    ),
    Goal(
        "* MB of bytes, there and back",
        "warm process",
        "ProcessPoolExecutor",
        0.5,
        "of 1 MB, half of the time goes into pages of memory that are had anew for each call",
    ),
    Goal(
        "100 MB back from a process that is reused",
        "warm process",
        "ProcessPoolExecutor",
        0.15,
        "from run to run it is 0.15 to 0.21",
    ),
    Goal(
        "1,000 calls in two kept processes",
        "map",
        "ProcessPoolExecutor",
        1,
        "each call carries a session, and an end of its own",
    ),
    Goal("Memory for 100 MB between processes", "sender", None, 5e6),
    Goal("Memory for 100 MB between processes", "receiver, all of it read", None, 105e6),
    Goal(
        "The first call over a new connection",
        "archive is there",
        "ssh HOST python -c pass",
        1.15,
        "bandsaw and the modules of the task are imported there, in the fork server",
    ),
    Goal(
        "The first call over a new connection",
        "archive is sent",
        "ssh, and the archive",
        1.2,
        "likewise; and each of its files is written there, and its digest compared",
    ),
    Goal(
        "A call over SSH in a process that is reused",
        "warm process",
        "execnet, echo",
        1,
        "the echo is two messages to one process; a call passes one process more, the hub, which "
        "serves all threads, and carries a session",
    ),
    Goal("A call over SSH in a process of its own", "there", "on this machine", 1.5),
    Goal(
        "100 MB there and back over SSH",
        "warm process",
        "ssh HOST cat",
        1,
        "bytes are pickled, and copied once more on their way through the hub",
    ),
    Goal(
        "A call on *",
        "kept process",
        "and half a millisecond",
        1,
        "a call passes one process more, and is claimed, so that it is never run twice",
    ),
    Goal(
        "A call on *",
        "own process",
        "and a process of its own here",
        1,
        "likewise",
    ),
    Goal(
        "An argument of 100 MB on *",
        "kept process",
        "its own call",
        1.3,
        "on the bound with Ray: it is mapped from Ray's store, as Ray itself does it, in a process "
        "more",
    ),
    Goal(
        "A result of 100 MB on *",
        "kept process",
        "its own call",
        1.3,
        "memory is had anew for each result, page by page, where Ray keeps its store",
    ),
    Goal(
        "1,000 calls on [DR]*",
        "map, kept processes",
        "its own calls",
        1,
        "each call carries a session, is claimed, so that it is never run twice, and passes one "
        "process more",
    ),
    Goal(
        "1,000 calls on Dask with two workers",
        "map, kept processes",
        "client.map, batch_size=100",
        1.2,
    ),
    Goal(
        "1,000 calls on Ray*",
        "map, kept processes",
        "chunks of 100",
        1.2,
        "a call in a chunk is a call of a function in a loop: it has no session, no process that "
        "may die, no claim and no output of its own",
    ),
    Goal(
        "Memory for 2,000 calls that wait",
        "in its queue, kept process",
        None,
        40e6,
        "each has a thread, and a thread that only waits takes 16 KB of the 20",
    ),
    Goal("Memory for 2,000 calls that wait", "on this side", None, 40e6),
    Goal("100 calls on Slurm", "map", "a bare array of jobs", 1.2),
    Goal(
        "40 calls over one connection, *",
        "8 at once",
        "one at a time",
        1,
        "0.7 to 1.02 from run to run where no data is sent: one call at a time keeps both "
        "processors busy, too",
    ),
)
