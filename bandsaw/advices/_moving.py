"""What the advices have in common that move tasks to other processes."""

from __future__ import annotations

import contextlib
import threading
import weakref
from typing import TYPE_CHECKING, Any, Callable, Optional

from .._arguments import seconds
from .._system.processes import in_forked_processes
from .._task_options import check_value
from ..errors import BandsawError, EnvironmentBuildError, WorkerError
from ..result import Result
from ..session import Session

if TYPE_CHECKING:
    from .._workers.pool import Pool


def go_on_after(session: Session, cross: Callable[[], None]) -> None:
    """Takes the step of an advice that crosses; a failure of `cross` is the call's result."""
    try:
        cross()
    except (WorkerError, EnvironmentBuildError) as error:
        if error.where is None:
            advice = type(session._moderator.current_advice).__name__
            error.where = f"{advice}.before of task {session.task}"
        traceback = error.__traceback__
        failure = error.with_traceback(traceback and traceback.tb_next)
        session.conclude(Result(exception=failure))
    else:
        session.proceed()


def timeout_of(session: Session) -> Optional[float]:
    """Returns how many seconds the task of a session may take, `None` for ever."""
    limit: Any = getattr(session.task, "kwargs", {}).get("timeout")
    if limit is not None:
        check_value("timeout", limit, seconds, session.task)
    return limit  # type: ignore[no-any-return]


def note_what_is_missing(session: Session, error: Optional[BaseException], host: str) -> None:
    """Has the error of a call on another machine say which modules are missing there."""
    if error is None and session.result is not None:
        error = session.result.exception
    if error is not None:
        from .._archive import missing

        # A note that cannot be made must not take the place of the error.
        with contextlib.suppress(BandsawError, OSError):
            missing.note(error, session.distribution_archive, host)
            missing.name_files_here(error, session.distribution_archive)


# Not on the advice, which may be copied and pickled.
_pools: weakref.WeakKeyDictionary[Any, dict[Any, Pool]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


def pool_of(advice: Any, place: Any, size: int, max_tasks: Optional[int]) -> Pool:
    """Returns the pool of warm processes of an advice, which is made on first use."""
    pools = _pools.get(advice)
    pool = None if pools is None else pools.get(place)
    if pool is not None:
        return pool
    from .._workers.pool import Pool

    with _lock:
        pools = _pools.setdefault(advice, {})
        pool = pools.get(place)
        if pool is None:
            pool = pools[place] = Pool(size, max_tasks)
            finalizer: Any = weakref.finalize(advice, pool.close)
            finalizer.atexit = False
        return pool


@in_forked_processes
def _let_go() -> None:
    global _lock
    _lock = threading.Lock()
