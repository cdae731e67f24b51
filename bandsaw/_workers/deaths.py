"""What a caller is told of a call that cannot be made, or that gave no session back."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from typing import Any, Callable, Optional, TypeVar

from .._system import ending
from .._system.output import last_lines, said
from .._system.processes import advice_on_exit, describe_exit
from ..errors import (
    BandsawError,
    RemoteConnectionError,
    StalledError,
    TaskKilledError,
    TaskTimeoutError,
    WorkerDiedError,
    WorkerError,
    WorkerStartError,
)
from ..session import Session
from .child import Child
from .frames import DeadlineError

_Done = TypeVar("_Done")
# So many have to be missing until a process counts as lost.
MISSED_HEARTBEATS = 3
# A process that has just been started gives its first one within this.
_SECONDS_TO_BEGIN = 60.0


class CallErrors:
    """The errors of a call that may end without an answer."""

    _session: Session
    _carrier: Any
    _seconds: Optional[float]
    _heartbeat: Optional[float]

    @property
    def _what(self) -> str:
        # To make the id of an execution may cost much.
        session = self._session
        return f"The process of task {session.task}{session._execution_name()}"

    def _killed(self, child: Optional[Child]) -> TaskKilledError:
        where = "" if child is None else f" ({self._carrier.where(child)})"
        output, errors = ("", "") if child is None else child.tails()
        return TaskKilledError(
            f"{self._what} was killed, with all that it had started{where}."
            + _last_words(errors or output),
            -signal.SIGKILL,
            [self._carrier.kind.executable, self._carrier.kind.code],
            output,
            errors,
        )

    def _in_time(
        self, child: Child, deadline: Optional[float], act: Callable[[Any], _Done], looks: int
    ) -> _Done:
        """Does something until a deadline, and where signs of life are due no longer than that.

        `looks`: how often to begin again with it. A machine that stands still costs one of them.
        """
        if self._heartbeat is None:
            return act(deadline)
        least = 0.0 if child.is_heard else _SECONDS_TO_BEGIN
        silence = max(self._heartbeat * MISSED_HEARTBEATS, least)
        each = silence / looks
        while True:
            end = time.monotonic() + each
            try:
                return act(end if deadline is None else min(deadline, end))
            except DeadlineError as error:
                if deadline is not None and deadline <= end:
                    raise
                looks -= 1
                if not looks:
                    child.end()
                    how = f"gave no sign of life for {silence:g} s and was ended"
                    raise self._death(child, how) from error

    def _timeout(self, child: Child) -> TaskTimeoutError:
        child.end()
        _, errors = child.tails()
        return TaskTimeoutError(
            f"{self._what} took longer than {self._seconds:g} s and was ended, with all that it "
            f"had started ({self._carrier.where(child)})." + _last_words(errors)
        )

    def _stalled(self, child: Child, error: StalledError) -> StalledError:
        child.end()
        _, errors = child.tails()
        return StalledError(
            f"{self._what} was ended: {error} ({self._carrier.where(child)})." + _last_words(errors)
        )

    def _death(self, child: Child, how: str = "") -> BandsawError:
        if child.loss is not None and not how:
            return child.loss(f"{self._what} was lost")
        if child.is_cancelled and ending.is_ended():
            return self._killed(child)
        if child.start_error is not None:
            return WorkerStartError(
                f"{self._what} could not be started with {self._carrier.name}: "
                f"{os.strerror(child.start_error)}"
            )
        output, errors = child.tails()
        advice = ""  # of what was not ended here
        if how:
            pass
        elif child.returncode is None:
            how = "was lost: the process that had started it has ended"
        elif child.is_cancelled and child.returncode == -signal.SIGKILL:
            how = "closed its channel, and was ended,"
        else:
            how = f"ended with {describe_exit(child.returncode)}"
            advice = advice_on_exit(child.returncode)
        return WorkerDiedError(
            f"{self._what} {how} before it gave the session back ({self._carrier.where(child)})."
            + said(errors or output)
            + advice,
            -signal.SIGKILL if child.returncode is None else child.returncode,
            [self._carrier.kind.executable, self._carrier.kind.code],
            output,
            errors,
        )


def not_started(host: str, how: str, written: bytes) -> WorkerStartError:
    """Makes the error of a fork server that could not be started. `how`: why, or how it ended."""
    with contextlib.suppress(ValueError):
        how = f"it ended with {describe_exit(int(how))}"
    return WorkerStartError(
        f"A process for tasks could not be started on {host}: {how}." + said(last_lines(written))
    )


def refused_by(name: str, cause: Exception) -> Callable[[str], BandsawError]:
    """Makes the error of a call that an engine does not take."""

    def error(what: str) -> BandsawError:
        if isinstance(cause, WorkerError):
            return cause
        said = f"{type(cause).__name__}: {cause}"
        made = WorkerStartError(f"A call cannot be submitted to {name}: {said}")
        made.__cause__ = cause
        return made

    return error


def lost_by(name: str, cause: BaseException) -> Callable[[str], BandsawError]:
    """Makes the error of a call that an engine has lost."""
    is_connection = isinstance(cause, (ConnectionError, EOFError))
    kind = RemoteConnectionError if is_connection else WorkerDiedError

    def error(what: str) -> BandsawError:
        said = f"{type(cause).__name__}: {cause}".rstrip(": ")
        made = kind(f"{what}: {name} says {said}", 1, [name], None, str(cause))
        made.__cause__ = cause
        return made

    return error


def was_killed_early(child: Child) -> bool:
    """Whether a process had ended, or was killed, before it began with what was sent to it."""
    if child.has_read or child.is_cancelled or child.loss is not None or child.start_error:
        return False
    # One that has answered may have ended by itself since.
    return child.returncode is None or child.returncode < 0 or child.has_answered


def _last_words(text: str) -> str:
    return said(text) if text else ""
