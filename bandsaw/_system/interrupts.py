"""Moments at which a signal has to wait, or must not come.

Ctrl-C has to wait where what was opened has no owner yet, or is being closed. Python looks for
signals after calls and where functions begin, in the main thread only. An exception there loses
what the call returned, for example the numbers of open files.
"""

from __future__ import annotations

# Without the wrappers of the module `signal`, which are Python code and interrupted themselves.
import _signal  # type: ignore[import-not-found]
import contextlib
import io
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any, Callable, Optional

_SIGINT = int(signal.SIGINT)
_SIGPIPE = getattr(signal, "SIGPIPE", None)


class Deferred:
    """A context at whose end Ctrl-C is handled that came meanwhile. Do not wait in it."""

    __slots__ = ("_before", "_is_noted")

    def __init__(self) -> None:
        self._before: Optional[Callable[..., Any]] = None
        self._is_noted = False

    def __enter__(self) -> None:
        if threading.get_ident() == threading.main_thread().ident:
            handler = _signal.getsignal(_SIGINT)
            if callable(handler):
                self._before = handler
                _signal.signal(_SIGINT, self._note)

    def _note(self, *_: object) -> None:
        # Not the frame, which may hold this object.
        self._is_noted = True

    def __exit__(self, *_: object) -> None:
        before = self._before
        if before is not None:
            _signal.signal(_SIGINT, before)
            if self._is_noted:
                before(_SIGINT, None)


@contextlib.contextmanager
def broken_pipes_as_errors() -> Iterator[None]:
    """Has writing to a pipe that nobody reads be an error also where SIGPIPE ends the program."""
    if _SIGPIPE is None or _signal.getsignal(_SIGPIPE) != signal.SIG_DFL:
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [_SIGPIPE])
    try:
        yield
    finally:
        if _SIGPIPE not in before:
            # One that came waits for this thread.
            if _SIGPIPE in signal.sigpending():
                signal.sigwait([_SIGPIPE])
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def owned(number: int) -> io.FileIO:
    """Gives an open file an owner in C, which closes it when nobody refers to it any more."""
    try:
        return io.FileIO(number, "rb")
    except OSError:
        os.close(number)  # a folder, which nobody of ours sends
        raise
