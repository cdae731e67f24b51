"""One submitted call: what it waits for, and how it runs.

submit ─► waits for futures ─► ready, in a lane ─► runs in a thread ─► over
│ one of them failed
└─► over, and so is all that waits for it
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError
from concurrent.futures import Future as AnyFuture
from types import MethodType
from typing import Any, Callable, Optional

from .._coroutines import caller
from .._session import telling
from .._system import ending
from .._tracebacks import message_of
from ..errors import DependencyError, TaskKilledError
from ..futures import Future, _Failure
from . import flight, lanes, program
from .finding import find

# The modules whose callbacks of futures take no time.
_OURS = frozenset((__name__, f"{__package__}.mapping"))
current: contextvars.ContextVar[Optional[SubmittedCall]] = contextvars.ContextVar(
    "bandsaw_submitted_call", default=None
)


class SubmittedCall(lanes.Passenger):
    __slots__ = (
        "_missing",
        "args",
        "context",
        "ending",
        "function",
        "future",
        "key",
        "kwargs",
        "plan",
        "record",
        "task",
    )

    def __init__(
        self,
        function: Callable[..., Any],
        task: Any,
        lane: lanes.Lane,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        needs_values: bool = True,
    ) -> None:
        # Says where in the arguments there are futures whose values are needed, `None` if nowhere.
        self.plan = find(args, kwargs) if needs_values else None
        parent = current.get()
        if parent is not None and parent.state != lanes.RUNNING:
            parent = None
        super().__init__(lane, parent)
        # Future[Any]() would be slower, and keep `Future[Any]`.
        future: Future[Any] = Future()
        # What will hold its value, `None` when it is over.
        self.future: Optional[Future[Any]] = future
        self.task = task
        future.task = task
        future._know(self)
        self.function = function  # what is called with `args` and `kwargs`, in the `context`
        self.args, self.kwargs = args, kwargs
        # What it changes in there is seen by nobody else.
        self.context = contextvars.copy_context()
        # What ends the call from another thread, `None` before it runs.
        self.ending: Optional[ending.Ending] = None
        # What is told of the call to whoever records calls, `None` if nobody does.
        self.record = telling.submitted(task)
        self.key: Optional[str] = None if self.record is None else self.record["key"]

    def board(self) -> Future[Any]:
        """Has the call run as soon as it may; returns its future."""
        future = self.future
        assert future is not None
        # Not before: Ctrl-C, which looks at all of them, may come while one is made.
        lanes.unfinished.add(self)
        if self.plan is None:
            self._is_ready()
            return future
        needed = self.plan.futures
        if self.record is not None:
            keys = [getattr(getattr(one, "_call", None), "key", None) for one in needed]
            self.record["needs"] = [key for key in keys if key is not None]
        # One more than there are, so that it is not ready before all of them were looked at.
        self._missing = len(needed) + 1
        for one in needed:
            one.add_done_callback(self.told)
        self._count_down()
        return future

    def told(self, needed: AnyFuture[Any]) -> None:
        """Takes note that a future is done which the call needs."""
        if needed.cancelled():
            _fail(self, needed, CancelledError())
            return
        error = AnyFuture.exception(needed)
        if error is None:
            self._count_down()
        else:
            _fail(self, needed, error)

    def _count_down(self) -> None:
        with flight.lock:
            self._missing -= 1
            is_ready = not self._missing
        if is_ready:
            self._is_ready()

    def _is_ready(self) -> None:
        if self.record is not None:
            self.record["ready"] = time.time()
        flight.add(self)

    def _never_begins(self, error: BaseException) -> None:
        record, self.record = self.record, None
        if record is not None:
            record["execution"] = self
            telling.tell(self.task, record, error)

    def needed(self) -> Sequence[lanes.Passenger]:
        plan = self.plan
        calls = [getattr(one, "_call", None) for one in plan.futures] if plan is not None else []
        return [call for call in calls if isinstance(call, SubmittedCall)]

    def run(self) -> None:
        if self.future is not None and self.future._begin():
            self.end(*self.context.run(self._outcome))

    def end(self, value: Any, error: Optional[BaseException]) -> None:
        """Gives the future what came of the call."""
        future = self.future
        assert future is not None
        if self.ending is not None and self.ending.close():
            value, error = None, _killed(error, future)
        is_cancelled = self.ending is not None and self.ending.is_cancelled
        self.forget()
        # A callback of the user's may take long, or wait for what a call does that becomes ready.
        flight.begin_landing(self, all(map(_is_ours, future._done_callbacks)))
        if is_cancelled:
            future._end_cancelled()
        else:
            future._end(value, error)

    def _outcome(self) -> tuple[Any, Optional[BaseException]]:
        current.set(self)
        awaiting = caller.get()
        if awaiting is not None and awaiting.call is not self:
            caller.set(None)  # it awaits another call, which has submitted this one
        if self.ending is None:
            self.ending = ending.Ending(self.lane.leaves_the_process, self.lane.crosses)
        ending.current.set(self.ending)
        try:
            args, kwargs = self.args, self.kwargs
            if self.plan is not None:
                args, kwargs = self.plan.replace(args, kwargs)
            # Nothing keeps them but the call itself.
            self.plan, self.args, self.kwargs = None, (), {}
            return self.function(*args, **kwargs), None
        except BaseException as error:
            # The first entry of the traceback is this very frame, which leads to the future.
            traceback = error.__traceback__
            return None, error.with_traceback(traceback.tb_next if traceback else None)

    def refuse(self, error: BaseException) -> None:
        self.fail(error, None)

    def fail(self, error: BaseException, failure: Any) -> None:
        flight.leave(self)
        future = self.future
        if future is not None and future._begin():
            self._never_begins(error)
            self.forget()
            future._end(None, error, failure)

    def forget(self) -> None:
        """Lets go of all that the call is about."""
        # The futures that were needed know the call for as long as they live.
        self.future = self.plan = None
        self.args, self.kwargs = (), {}
        self.context = self.function = None  # type: ignore[assignment]

    # What its future asks of it

    def begin_wait(self) -> Optional[lanes.Passenger]:
        """Notes that somebody waits for the call; returns the running call that does."""
        return flight.begin_wait(current.get(), (self,)) if self.state != lanes.OVER else None

    def begin_wait_for(self, calls: Sequence[lanes.Passenger]) -> Optional[lanes.Passenger]:
        """Notes that somebody waits for some of several calls. See `begin_wait`."""
        return flight.begin_wait(current.get(), calls)

    def end_wait(self, begun: Optional[lanes.Passenger]) -> None:
        if begun is not None:
            flight.end_wait(begun)

    def interrupt(self) -> None:
        """Ends all calls: Ctrl-C has come while somebody waited for this one."""
        program.end_all()

    def drop(self) -> None:
        if flight.leave(self):
            self._never_begins(CancelledError())
            self.forget()

    def withhold(self) -> bool:
        """Cancels the call where it waits elsewhere; returns whether it never begins there."""
        return self.ending is not None and self.ending.cancel()

    def kill(self) -> bool:
        """Ends the call if it runs in another process, or waits; returns whether it did."""
        if self.ending is None or self.state != lanes.RUNNING:
            return False
        return self.ending.end()


def take_record(task: Any) -> Optional[dict[str, Any]]:
    """Returns the record of the submitted call of a task that begins now, once."""
    call = current.get()
    if call is None or call.task is not task:
        return None
    record, call.record = call.record, None
    return record


def _killed(error: Optional[BaseException], future: Future[Any]) -> BaseException:
    if isinstance(error, TaskKilledError):
        return error
    killed = TaskKilledError(f"Task {future.task} was killed.")
    killed.__cause__ = error
    return killed


def _is_ours(callback: Any) -> bool:
    return type(callback) is MethodType and type(callback.__self__).__module__ in _OURS


_failing = threading.local()


def _fail(call: SubmittedCall, needed: AnyFuture[Any], error: BaseException) -> None:
    """Has a call fail, and all that needs it: one after the other, however long the chain is."""
    todo = getattr(_failing, "todo", None)
    if todo is not None:
        todo.append((call, needed, error))
        return
    todo = _failing.todo = deque([(call, needed, error)])
    try:
        while todo:
            call, needed, error = todo.popleft()
            whose, cause = getattr(needed, "task", "a future"), error
            while isinstance(cause, DependencyError) and cause.__cause__ is not None:
                whose, cause = getattr(cause, "_whose", whose), cause.__cause__
            call.fail(*_dependency_error(call, needed, whose, cause))
    finally:
        _failing.todo = None


def _dependency_error(
    call: SubmittedCall, needed: AnyFuture[Any], whose: Any, cause: BaseException
) -> tuple[BaseException, Any]:
    how = "was cancelled"
    if not isinstance(cause, CancelledError):
        how = f"failed: {type(cause).__name__}: {message_of(cause)}"
    what = whose if isinstance(whose, str) else f"task {whose}"
    error = DependencyError(
        f"Task {call.task} was not begun, because {what}, which it needs, {how}"
    )
    error.__cause__ = cause
    error._whose = whose  # type: ignore[attr-defined]
    failure = getattr(needed, "_failure", None)
    if failure is None:
        # Of a future that is not ours. All that needs it shares the failure.
        failure = needed._failure = _Failure(what[:1].upper() + what[1:], cause)  # type: ignore[attr-defined]
        # Whoever has cancelled it knows.
        failure.is_known = needed.cancelled()
    return error, failure
