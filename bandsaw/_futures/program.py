"""What becomes of submitted calls when the program ends, is interrupted, or forks."""

from __future__ import annotations

import atexit
import contextlib
import sys
import threading
from typing import Any, Optional

from .. import futures
from .._system import ending
from .._system.processes import in_forked_processes
from ..errors import ForkedError
from . import flight, lanes

# How long calls that were ended may take for that, when the program was interrupted.
_SECONDS_TO_END = 1.0
# Whether Ctrl-C has ended the calls of this process.
was_interrupted = False
_has_ended = False  # whether the script is over


def end_all() -> None:
    """Cancels what has not begun, and ends what runs in other processes."""
    global was_interrupted
    was_interrupted = True
    with flight.lock:
        calls: list[Any] = list(lanes.unfinished)
    # What has begun last may be needed by what began before.
    for call in calls:
        future = call.future
        if future is not None:
            future.cancel()
    for call in calls:
        call.kill()


def _at_the_end() -> None:
    """Called by the main thread when the script is over, before other threads are waited for."""
    global _has_ended
    if _has_ended:
        return
    try:
        _has_ended = True
        _begin_the_end()
    except KeyboardInterrupt:
        end_all()
        flight.stop()
        ending.is_interrupted = True
        raise


def _begin_the_end() -> None:
    # At a prompt that is of an earlier line.
    is_interrupted = getattr(sys, "last_type", None) is KeyboardInterrupt and not hasattr(
        sys, "ps1"
    )
    if is_interrupted:
        end_all()
    elif ending.needs_executors:
        try:
            flight.wait_for_all(None)
        except KeyboardInterrupt:
            is_interrupted = True
            end_all()
    seconds = _SECONDS_TO_END if is_interrupted else None
    # Python waits for it, and goes on without it when that is interrupted.
    thread = threading.Thread(target=_wait, args=(seconds,), name="bandsaw-end")
    # The last one to be registered is called first: before what ends processes.
    atexit.register(_stop, thread, is_interrupted)
    try:
        thread.start()
    except RuntimeError:
        # Python 3.12.0 and 3.12.1 begin no thread any more once the script is over.
        _wait(seconds)


def _stop(waits: threading.Thread, is_interrupted: bool) -> None:
    flight.stop()
    if is_interrupted or waits.is_alive():
        ending.is_interrupted = True
    if waits.is_alive():
        end_all()
        # What their threads do later could make Python forget the Ctrl-C.
        flight.wait_for_all(_SECONDS_TO_END)
    futures.end_failures(are_known=False)


def _if_interrupted_before() -> None:
    # Ctrl-C that comes just when the script is over keeps Python from calling what is above.
    if not _has_ended and lanes.unfinished:
        end_all()
        flight.stop()
        ending.is_interrupted = True


def _wait(seconds: Optional[float]) -> None:
    here = (threading.main_thread(), threading.current_thread())
    while flight.wait_for_all(seconds) and seconds is None:
        # The calls that are left need what an executor of somebody else computes.
        others = [one for one in threading.enumerate() if one not in here and not one.daemon]
        if not others:
            return
        for other in others:
            other.join()


@in_forked_processes
def _let_go() -> None:
    """Has the calls of the parent fail, in a process that was forked from it."""
    futures.end_failures(are_known=True)
    for call in flight.forget_parent():
        lost: Any = call
        if lost.future is None:
            continue
        lost.future._lose(
            ForkedError(
                f"The call of task {lost.task} was pending when this process was forked: it "
                "is the parent's. Submit calls in the process that waits for them."
            )
        )


# As the executors of the standard library do it.
_register: Any = getattr(threading, "_register_atexit", atexit.register)
_last: Any = None  # what Python keeps of the last time


def come_first() -> None:
    """Has calls be finished before executors of the standard library end, which they may need.

    Raises:
        RuntimeError: If the script is over.
    """
    global _last
    if ending.needs_executors:
        # What is registered last is called first, and they register themselves when imported.
        with contextlib.suppress(ImportError):
            import concurrent.futures.process
            import concurrent.futures.thread  # noqa: F401
    registered = getattr(threading, "_threading_atexits", [None])
    if _last is None or registered[-1] is not _last:
        _register(_at_the_end)
        _last = registered[-1]


try:
    come_first()
except RuntimeError:
    # The first call is submitted when the script is over: that is too late.
    flight.stop()
atexit.register(_if_interrupted_before)
