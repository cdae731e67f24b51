"""What a caller is told of a call that cannot be made, or that gave no session back."""

from __future__ import annotations

import os
import signal
from typing import Any, Optional

from .._system import ending
from .._system.output import said
from .._system.processes import advice_on_exit, describe_exit
from ..errors import (
    BandsawError,
    StalledError,
    TaskKilledError,
    TaskTimeoutError,
    WorkerDiedError,
    WorkerStartError,
)
from ..session import Session
from .child import Child


class CallErrors:
    """The errors of a call that may end without an answer."""

    _session: Session
    _place: Any
    _seconds: Optional[float]

    @property
    def _what(self) -> str:
        # To make the id of an execution may cost much.
        session = self._session
        return f"The process of task {session.task}{session._execution_name()}"

    def _killed(self, child: Optional[Child]) -> TaskKilledError:
        where = "" if child is None else f" ({self._place.where(child)})"
        output, errors = ("", "") if child is None else child.tails()
        return TaskKilledError(
            f"{self._what} was killed, with all that it had started{where}."
            + _last_words(errors or output),
            -signal.SIGKILL,
            [self._place.kind.executable, self._place.kind.code],
            output,
            errors,
        )

    def _timeout(self, child: Child) -> TaskTimeoutError:
        child.end()
        _, errors = child.tails()
        return TaskTimeoutError(
            f"{self._what} took longer than {self._seconds:g} s and was ended, with all that it "
            f"had started ({self._place.where(child)})." + _last_words(errors)
        )

    def _stalled(self, child: Child, error: StalledError) -> StalledError:
        child.end()
        _, errors = child.tails()
        return StalledError(
            f"{self._what} was ended: {error} ({self._place.where(child)})." + _last_words(errors)
        )

    def _death(self, child: Child, how: str = "") -> BandsawError:
        if child.loss is not None and not how:
            return child.loss(f"{self._what} was lost")
        if child.is_cancelled and ending.is_ended():
            return self._killed(child)
        if child.start_error is not None:
            return WorkerStartError(
                f"{self._what} could not be started with {self._place.name}: "
                f"{os.strerror(child.start_error)}"
            )
        output, errors = child.tails()
        if how:
            pass
        elif child.returncode is None:
            how = "was lost: the process that had started it has ended"
        elif child.is_cancelled:
            how = "closed its channel, and was ended,"
        else:
            how = f"ended with {describe_exit(child.returncode)}"
        return WorkerDiedError(
            f"{self._what} {how} before it gave the session back ({self._place.where(child)})."
            + said(errors or output)
            + advice_on_exit(child.returncode),
            -signal.SIGKILL if child.returncode is None else child.returncode,
            [self._place.kind.executable, self._place.kind.code],
            output,
            errors,
        )


def was_killed_early(child: Child) -> bool:
    """Whether a process had ended, or was killed, before it began with what was sent to it."""
    if child.has_read or child.is_cancelled or child.loss is not None or child.start_error:
        return False
    # One that has answered may have ended by itself since.
    return child.returncode is None or child.returncode < 0 or child.has_answered


def _last_words(text: str) -> str:
    return said(text) if text else ""
