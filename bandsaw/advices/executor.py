"""An advice that runs tasks on an executor: a pool of processes, or an engine."""

from __future__ import annotations

import atexit
import sys
import threading
import weakref
from collections.abc import Mapping, Sequence
from typing import Any, Callable, Optional

from .._arguments import checked_count, checked_flag, checked_options, count
from .._config_module import configuration_variables
from .._system import callers, ending
from .._system.importing import late_import
from .._system.processes import in_forked_processes
from .._task_options import ENGINES, check_value, mapping
from ..advice import Advice
from ..errors import InvalidValueError, UnknownOptionError
from ..session import Session
from ._moving import go_on_after, note_what_is_missing, timeout_of

# Options of `@task(executor={...})` that are ours, whatever the executor.
_OURS = ("batch",)
# How often a call is given to an executor of which it was told that it has not begun there.
_MOST_BEGINNINGS = 5


class ExecutorAdvice(Advice):
    """Runs the rest of the chain and the task on an executor.

    Each call is submitted to it. The executor's worker needs a Python 3.9 or newer, and neither
    `bandsaw` nor the code of the workflow: what is missing there is sent once. The call runs in a
    process of its own below the worker, from the archive of its code. So a worker that goes on
    for weeks runs the code as it is now, a task that dies takes no worker along, and a deadline
    (`@task(timeout=30)`) ends it. What the task writes and logs comes when it is over.

    In a process that it has started, an `ExecutorAdvice` does nothing: nested calls run there.

    Args:
        executor: What has a method `submit` that returns a `concurrent.futures.Future`, or a
            function without arguments that makes such an executor. It is called on first use, and
            again after its executor was broken; it is never sent anywhere.
        isolate: Whether a call has a process below the executor's worker. If not, it runs in the
            worker itself, which needs `bandsaw` and the workflow, and only if its modules are those
            of the call's archive (`CodeMismatchError`). Then a deadline is an error,
            and `Future.kill` ends only what the worker has not begun.
        workers: How many processes below each of the executor's workers are kept and used again,
            by default none.
        preload: Names of modules to import once, before processes are forked.
        max_in_flight: How many submitted calls are given to the executor at once. By default what
            the executor says of itself, else the number of processors.

    Attributes:
        executor: As given.
        isolate: As given.
        workers: As given.
        preload: As given, as a tuple.

    Raises:
        InvalidValueError: If a value cannot be used (a `ValueError`).
    """

    _crosses = True

    def __init__(
        self,
        executor: Any,
        *,
        isolate: bool = True,
        workers: Optional[int] = None,
        preload: Sequence[str] = (),
        max_in_flight: Optional[int] = None,
    ) -> None:
        if isinstance(executor, type) or not (
            callable(getattr(executor, "submit", None)) or callable(executor)
        ):
            raise InvalidValueError(
                f"executor={executor!r} has to be an executor, such as ProcessPoolExecutor(), or a "
                "function that makes one: ExecutorAdvice(lambda: ProcessPoolExecutor())."
            )
        checked_flag("isolate", isolate)
        if not isolate and (workers is not None or preload):
            raise InvalidValueError(
                "workers and preload are for processes below the executor's workers, and with "
                "isolate=False there are none."
            )
        self._max_in_flight: Optional[int] = checked_count("max_in_flight", max_in_flight)
        ending.needs_executors = True
        self.executor = executor
        self.isolate = isolate
        self.workers, _, _, self.preload = checked_options(
            workers, None, None, preload, "ExecutorAdvice"
        )

    @property
    def max_in_flight(self) -> Optional[int]:
        """How many submitted calls the executor is given at once, `None` where nobody says."""
        if self._max_in_flight is not None:
            return self._max_in_flight
        executor = self.executor if hasattr(self.executor, "submit") else _made.get(self)
        for name in ("max_in_flight", "_max_workers"):
            number = getattr(executor, name, None)
            if type(number) is int and number > 0:
                return number
        return None

    def before(self, session: Session) -> None:
        """Submits the session to the executor and takes it back. See `Advice.before`.

        A failure of the crossing is the result: a `WorkerDiedError` if the task's process or the
        executor's worker ended before it gave the session back, a `WorkerStartError` if nothing
        could be started, a `RemoteConnectionError` if the engine is lost, a `TaskTimeoutError` if
        the task took longer than its `timeout`.
        """
        with late_import:
            from .._workers import inheritance

        if inheritance.is_below_executor or callers.is_in_worker.get():
            # To load a script once for each task must not run the workflow once for each.
            callers.callers_of(str(session.task))
            session.__dict__.setdefault("_in_place", set()).add(id(self))
            submitted = ending.current.get()
            if submitted is not None:
                submitted.crosses = False
            session.proceed()
            return
        move = self._move if self.isolate else self._move_into_worker
        go_on_after(session, lambda: move(session))

    def after(self, session: Session) -> None:
        """Ends the walk in the other process: it goes on in this one. See `Advice.after`."""
        if id(self) in session.__dict__.get("_in_place", ()):
            session.proceed()

    def _move(self, session: Session) -> None:
        with late_import:
            from .._workers.executor.engine import engine_of
            from .._workers.executor.engine_call import EngineCall, ExecutorCarrier, Wanted
            from .._workers.frames import NotBegunError

        seconds = timeout_of(session)
        archive = session.distribution_archive
        for left in reversed(range(_MOST_BEGINNINGS)):
            executor = self._executor()
            options, batch = _options_of(session.task, executor)
            variables = configuration_variables()
            wanted = Wanted(options, self.workers, self.preload, variables, seconds, batch)
            carrier = ExecutorCarrier(
                engine_of(executor), archive, wanted, str(session.task), self._is_broken(executor)
            )
            call = EngineCall(session, carrier, seconds)
            try:
                call.run(not left)
            except NotBegunError:
                continue
            except Exception as error:
                note_what_is_missing(session, error, carrier.name)
                raise
            note_what_is_missing(session, None, carrier.name)
            return

    def _move_into_worker(self, session: Session) -> None:
        with late_import:
            from .._workers.executor import in_worker
            from .._workers.executor.engine import engine_of

        if timeout_of(session) is not None:
            raise InvalidValueError(
                f"Task {session.task} has a timeout, and nothing can end it in an executor's "
                "worker: leave it out, or use ExecutorAdvice(isolate=True)."
            )
        executor = self._executor()
        engine = engine_of(executor)
        options, _ = _options_of(session.task, executor)
        in_worker.cross(session, engine, options, self._is_broken(executor))

    def _is_broken(self, executor: Any) -> Callable[[BaseException], None]:
        def is_broken(error: BaseException) -> None:
            from concurrent.futures import BrokenExecutor

            if isinstance(error, BrokenExecutor):
                with _lock:
                    if _made.get(self) is executor:
                        del _made[self]

        return is_broken

    def _executor(self) -> Any:
        if hasattr(self.executor, "submit"):
            return self.executor
        with _lock:
            executor = _made.get(self)
            if executor is None:
                executor = self.executor()
                if not callable(getattr(executor, "submit", None)):
                    raise InvalidValueError(
                        f"The function given to ExecutorAdvice has to make an executor, and made "
                        f"{executor!r}."
                    )
                _made[self] = executor
                ending.at_exit_of_multiprocessing(_end_made, priority=20)
            return executor


# What functions have made in this process. Not on the advice, which may be copied and pickled.
_made: weakref.WeakKeyDictionary[ExecutorAdvice, Any] = weakref.WeakKeyDictionary()


def _end_made() -> None:
    process: Any = sys.modules["multiprocessing.process"]
    if process.parent_process() is not None:
        with late_import:
            from .._workers.executor.engine import end_all
        end_all(list(_made.values()))


# Pools of Python let go with the modules of the program complain of modules that are gone.
atexit.register(_made.clear)
# A function that makes an executor may ask another advice for its own.
_lock = threading.RLock()


@in_forked_processes
def _let_go() -> None:
    global _lock
    _lock = threading.RLock()
    # The executor is the parent's.
    _made.clear()


def _options_of(task: Any, executor: Any) -> tuple[Mapping[str, Any], Optional[int]]:
    """Returns the options of a task for an executor, under the engine's own names, and `batch`."""
    told: Mapping[str, Any] = getattr(task, "kwargs", {})
    given: Mapping[str, Any] = told.get("executor") or {}
    check_value("executor", given, mapping, task)
    batch: Optional[int] = given.get("batch", told.get("batch"))
    if batch is not None:
        check_value("batch", batch, count, task)
    engine = getattr(executor, "engine", None)
    options: dict[str, Any] = {}
    for name, value in given.items():
        if name in ENGINES:
            check_value(f"executor[{name!r}]", value, mapping, task)
            if name == engine:
                options.update(value)
        elif name not in _OURS:
            options[name] = value
    known = getattr(executor, "task_options", ())
    for name in options:
        if name not in known:
            names = ", ".join(map(repr, sorted((*known, *_OURS))))
            raise UnknownOptionError(
                f"Task {task}: the executor {type(executor).__name__} has no option {name!r}; it "
                f"knows {names}."
            )
    return options, batch
