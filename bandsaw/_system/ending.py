"""How a call that runs in another process is ended from another thread of this one.

Future.kill ─► Ending.end ─► Child.cancel           in the thread of who ends it
Future.cancel ─► Ending.cancel ─► Child.withhold    so, where the call waits in a queue elsewhere
Call: held(child.cancel) ... TaskKilledError        in the thread of the call
"""

from __future__ import annotations

import atexit
import contextlib
import sys
import threading
from concurrent.futures import CancelledError, Future
from contextvars import ContextVar
from typing import Any, Callable, Optional

# What ends processes, or writes what is left. A thread of a call may import it when the script is
# over already; it is still called after that call has ended.
_at_exit = contextlib.ExitStack()
at_exit = _at_exit.callback
# Whether Ctrl-C ends the program.
is_interrupted = False
# Whether calls need executors of the standard library, which stop when Python begins to end.
needs_executors = False


def at_exit_of_multiprocessing(function: Callable[[], object], priority: int = 0) -> None:
    """Has a function called when this process ends, where multiprocessing looks after that.

    Its processes that were forked end without calling what atexit knows, and begin by forgetting
    what their parent has asked for. Its queues close with a priority of 10.
    """
    util: Any = sys.modules.get("multiprocessing.util")
    if util is not None:
        util.Finalize(None, function, exitpriority=priority)


class EndedError(Exception):
    """Somebody has ended the call that waits. Not for users."""


class Ending:
    """Whether a call was ended, and what ends it.

    Attributes:
        is_ended: Whether somebody has ended the call.
        is_cancelled: Whether that was before it began.
        withhold: Has the call never begin elsewhere, and returns whether that is sure.
        is_whole: Whether it may be ended while it runs, and not only while it waits.
        crosses: Whether an advice of ours brings it to another process: it is ended before and
            after that, too.
    """

    # On the class, because each submitted call has one, and few are ended.
    is_ended = is_cancelled = False
    withhold: Optional[Callable[[], bool]] = None
    # Whether it is ended when it begins to wait for its next attempt.
    _is_due = False
    _is_over = False

    def __init__(self, is_whole: bool = True, crosses: bool = True) -> None:
        self.is_whole = is_whole
        self.crosses = crosses
        # A signal handler that ends calls, or whoever frees futures, may come back here.
        self._lock = threading.RLock()
        self._ends: list[Callable[[], object]] = []

    def end(self) -> bool:
        """Ends what runs or would begin elsewhere for the call; returns whether it is ended."""
        with self._lock:
            if self._is_over:
                return False
            if not self._ends and not (self.is_whole and self.crosses):
                self._is_due = True
                return False
            was_ended, self.is_ended = self.is_ended, True
            # The future of a call that runs in an executor's worker cannot be cancelled.
            if False in [end() for end in self._ends]:
                self.is_ended, self._is_due = was_ended, True
            return self.is_ended

    def cancel(self) -> bool:
        """Has a call never begin that waits elsewhere; returns whether it is cancelled."""
        with self._lock:
            # Else what waits elsewhere is a call in one that runs here.
            withhold = self.withhold if self.is_whole else None
            if not self.is_ended and withhold is not None and withhold():
                self.is_ended = self.is_cancelled = True
                for end in self._ends:
                    end()
            return self.is_cancelled

    def close(self) -> bool:
        """Has nobody end the call any more, which is over; returns whether somebody has."""
        with self._lock:
            self._is_over = True
            return self.is_ended

    def add(self, end: Callable[[], object], is_wait: bool = False) -> bool:
        """Notes what ends the call from now on; returns whether that is too late."""
        with self._lock:
            self._ends.append(end)
            self.is_ended = self.is_ended or (self._is_due and is_wait)
            return self.is_ended

    def remove(self, end: Callable[[], object]) -> None:
        """Forgets it. Afterwards nobody calls it."""
        with self._lock:
            self._ends.remove(end)


@atexit.register
def _end() -> None:
    global is_interrupted
    try:
        _at_exit.close()
    except KeyboardInterrupt:
        is_interrupted = True
    finally:
        if is_interrupted:
            # The program is to end by SIGINT, as shells want it. Python remembers that nobody has
            # caught Ctrl-C until a thread calls `exec` or `eval` of a text, and many modules do.
            with contextlib.suppress(KeyboardInterrupt):
                exec("raise KeyboardInterrupt")


# Of the submitted call that runs in this context.
current: ContextVar[Optional[Ending]] = ContextVar("bandsaw_ending", default=None)
# Stands for the `map` to which it belongs.
group: ContextVar[Any] = ContextVar("bandsaw_group", default=None)


def is_ended() -> bool:
    """Whether somebody has ended the submitted call in which this is asked."""
    ending = current.get()
    return ending is not None and ending.is_ended


class held:  # used as a function
    """Has `end` called when somebody ends the submitted call, at once if that was before."""

    __slots__ = ("_end", "_ending", "_is_wait")

    def __init__(self, end: Callable[[], object], is_wait: bool = False) -> None:
        ending = current.get()
        self._ending = ending if ending is None or is_wait or ending.is_whole else None
        self._end, self._is_wait = end, is_wait

    def __enter__(self) -> None:
        if self._ending is not None and self._ending.add(self._end, self._is_wait):
            self._end()

    def __exit__(self, *args: object) -> None:
        if self._ending is not None:
            self._ending.remove(self._end)


def result_of(future: Future[Any], seconds: Optional[float] = None) -> Any:
    """Waits for a result, but not longer than the call goes on: then it is a `CancelledError`."""
    woken = threading.Event()
    future.add_done_callback(lambda done: woken.set())
    with held(woken.set):
        woken.wait(seconds)
    if is_ended() and not future.done():
        future.cancel()
        raise CancelledError
    return future.result(0)


def wait(seconds: float) -> bool:
    """Waits, but not longer than the call goes on; returns whether somebody has ended the call."""
    event = threading.Event()
    with held(event.set, True):
        return event.wait(seconds)
