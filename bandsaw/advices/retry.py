"""An advice that tries a call again when it has failed."""

from __future__ import annotations

import logging
import signal
import time
from collections.abc import Mapping
from typing import Any, Callable, Optional, Union

from .. import _task_options
from .._system import ending
from .._task_options import check_value
from .._tracebacks import add_note
from ..advice import Advice
from ..errors import InvalidValueError, UnserializableError
from ..result import Result
from ..session import Session

logger = logging.getLogger(__name__)

# How a process ends by KeyboardInterrupt: as shells write it, and as Python does.
_INTERRUPTED = (128 + signal.SIGINT, -signal.SIGINT)

On = Union[
    type[BaseException],
    tuple[type[BaseException], ...],
    Callable[[Exception], Union[bool, float, None]],
]


class RetryAdvice(Advice):
    """Tries what is later in the chain, and the task, again when the call has failed.

    Between two attempts it waits, in seconds,

        min(wait_max, wait_initial * wait_exp_base ** (attempt - 1) + random(0, wait_jitter))

    which is what the package `stamina` documents for its `retry`, and the defaults are that
    package's, but for the attempts and the timeout. While it waits, nothing of the later advices is
    open: no process, no lock.

    The last exception is raised as it is, with a note that says how many attempts there were and
    how long they took. What ends a process (`SystemExit`, `KeyboardInterrupt`), a call that was
    cancelled or killed, and arguments that cannot be sent are never tried again.

    Several of these advices in a chain count apart. A task says `@task(retry={'attempts': 5})` to
    have other values than those given here; `bandsaw.get_attempt()` tells it how many times it was
    begun.

    Args:
        attempts: How many attempts there are at most, the first one included.
        on: The exceptions after which to try again: a type, a tuple of types, or a function of the
            exception. The function returns `True`, a number of seconds to wait in place of those
            above, or `False` or `None` for not again.
        timeout: After how many seconds no attempt begins any more, by default never. One that runs
            is not cut.
        wait_initial: The seconds to wait after the first attempt, at least.
        wait_max: The most seconds to wait.
        wait_jitter: The most seconds by which a wait is longer, by chance.
        wait_exp_base: How many times longer each wait is than the one before.

    Attributes:
        attempts: As given.
        on: As given.
        timeout: As given.
        wait_initial: As given.
        wait_max: As given.
        wait_jitter: As given.
        wait_exp_base: As given.

    Raises:
        InvalidValueError: If a value cannot be used (a `ValueError`).
    """

    def __init__(
        self,
        attempts: int = 3,
        on: On = Exception,
        *,
        timeout: Optional[float] = None,
        wait_initial: float = 0.1,
        wait_max: float = 5.0,
        wait_jitter: float = 1.0,
        wait_exp_base: float = 2.0,
    ) -> None:
        self.attempts = attempts
        self.on = on
        self.timeout = timeout
        self.wait_initial = wait_initial
        self.wait_max = wait_max
        self.wait_jitter = wait_jitter
        self.wait_exp_base = wait_exp_base
        for name, check in _task_options.RETRY.items():
            problem = check(getattr(self, name))
            if problem is not None:
                raise InvalidValueError(f"RetryAdvice: {name}={getattr(self, name)!r} {problem}.")

    def before(self, session: Session) -> None:
        """Begins the first attempt. See `Advice.before`."""
        place = session._moderator.place
        vars(session).setdefault("_begun", {})[place] = time.monotonic()
        # An advice before this one may have the whole repeated.
        if session.context:
            session.context.pop(_key(place), None)
        session.proceed()

    def after(self, session: Session) -> None:
        """Has a call that failed tried again, after a while. See `Advice.after`.

        Raises:
            InvalidValueError: If the task's `retry` option, or what the function given as `on`
                returns, cannot be used (a `ValueError`).
        """
        # A task of the user's own may return anything.
        error = getattr(session.result, "exception", None)
        place = session._moderator.place
        # With how many attempts there were, and what they took, but for the first one.
        number, seconds = 1, 0.0
        if session.context:
            number, seconds = session.context.pop(_key(place), (number, seconds))
        if error is None:
            session.proceed()
            return
        now = time.monotonic()
        # Begun in another process if it is not known here.
        begun = vars(session).setdefault("_begun", {}).setdefault(place, now - seconds)
        options = self._options_of(session.task)
        wait = _wait_after(error, number, options)
        is_over = number >= options["attempts"]
        limit = options["timeout"]
        if wait is not None and limit is not None:
            is_over = is_over or now - begun + wait > limit
        if wait is None or is_over:
            if number > 1 or wait is not None:
                _note(error, number, now - begun)
            session.proceed()
            return
        logger.warning(
            "Task %s failed in attempt %d of %d and is tried again in %.3g s: %s: %s",
            *(session.task, number, options["attempts"], wait, type(error).__name__),
            str(error).partition("\n")[0],
        )
        session.context[_key(place)] = (number + 1, now - begun)
        failed: Result = session.result

        def pause() -> Optional[Result]:
            result = failed
            if ending.wait(wait):
                from ..errors import TaskKilledError

                killed = TaskKilledError(f"Task {session.task} was killed.")
                killed.__cause__ = error
                result = Result(exception=killed)
            elif limit is None or time.monotonic() - begun <= limit:
                return None
            else:
                _note(error, number, time.monotonic() - begun)
            session.context.pop(_key(place), None)
            return result

        session._moderator.repeat(session, pause)

    def _options_of(self, task: Any) -> Mapping[str, Any]:
        options = {name: getattr(self, name) for name in _task_options.RETRY}
        changed = (getattr(task, "kwargs", None) or {}).get("retry")
        if changed:
            check_value("retry", changed, _task_options.retry, task)
            options.update(changed)
        return options


def _key(place: int) -> str:
    return f"bandsaw.retry.{place}"


def _wait_after(error: BaseException, number: int, options: Mapping[str, Any]) -> Optional[float]:
    """Returns how many seconds to wait after an attempt, `None` if there is to be no other."""
    # Not at the top: every process of a task imports this module.
    from concurrent.futures import CancelledError

    from ..errors import TaskKilledError, WorkerDiedError

    never = (CancelledError, TaskKilledError, UnserializableError)
    if not isinstance(error, Exception) or isinstance(error, never):
        return None
    if isinstance(error, WorkerDiedError) and error.returncode in _INTERRUPTED:
        return None
    on = options["on"]
    said: Any
    if isinstance(on, (type, tuple)):
        said = isinstance(error, on)
    else:
        try:
            said = on(error)
        except Exception as fault:
            # As if it had been raised while the failure was handled, which it was.
            fault.__context__ = fault.__context__ or error
            raise
    if said is None or said is False:
        return None
    if said is not True:
        problem = _task_options.RETRY["wait_max"](said)
        if problem is not None:
            raise InvalidValueError(
                f"RetryAdvice: what on={on!r} returned for {type(error).__name__} cannot be "
                f"{said!r}: it {problem}, or True, False or None."
            ) from error
        return float(said)
    from random import uniform

    try:
        longer = options["wait_initial"] * options["wait_exp_base"] ** (number - 1)
    except OverflowError:
        longer = options["wait_max"]
    return min(options["wait_max"], longer + uniform(0, options["wait_jitter"]))  # type: ignore[no-any-return]


def _note(error: BaseException, number: int, seconds: float) -> None:
    attempts = "1 attempt" if number == 1 else f"{number} attempts"
    add_note(error, f"RetryAdvice gave up after {attempts} in {seconds:.3g} s.")
