"""What a submitted call returns at once: a future, which will hold its value."""

from __future__ import annotations

import concurrent.futures
import logging
import threading
import weakref
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, Optional, Protocol, TypeVar

from . import _tracebacks as tracebacks
from .errors import TaskKilledError

logger = logging.getLogger(__name__)
R = TypeVar("R")
_PENDING, _RUNNING, _CANCELLED, _FINISHED = "PENDING", "RUNNING", "CANCELLED", "FINISHED"


class _Call(Protocol):
    """What a future asks of its call, as long as that is not over."""

    def begin_wait(self) -> Any: ...

    def begin_wait_for(self, calls: Sequence[Any]) -> Any: ...

    def end_wait(self, begun: Any) -> None: ...

    def interrupt(self) -> None: ...

    def drop(self) -> None: ...

    def withhold(self) -> bool: ...

    def kill(self) -> bool: ...


class Future(concurrent.futures.Future[R]):
    """The value of a submitted call, as soon as there is one.

    It is a `concurrent.futures.Future`, and works with `concurrent.futures.wait`,
    `as_completed` and `asyncio.wrap_future`.

    Attributes:
        task: The task that is called.
    """

    task: Any
    _call: Optional[_Call] = None
    _failure: Optional[_Failure] = None
    _waiters: _Waiters

    def result(self, timeout: Optional[float] = None) -> R:
        """Returns the value of the call, and waits for it.

        Args:
            timeout: How many seconds to wait, by default for ever.

        Returns:
            The value.

        Raises:
            DependencyError: If the call was never begun, because one that it needs failed (a
                `RuntimeError`).
            TaskKilledError: If the call was ended with `kill` (a `subprocess.CalledProcessError`).
            concurrent.futures.TimeoutError: If there is no value in time.
            concurrent.futures.CancelledError: If the call was cancelled.
        """
        if self._state == _FINISHED and self._exception is None:
            return self._result  # type: ignore[return-value]
        try:
            with _waiting(self):
                # `super().result` takes an exception that counts as false for none.
                if super().exception(timeout) is None:
                    return self._result  # type: ignore[return-value]
                raise self._exception  # type: ignore[misc]
        except Exception as error:
            __tracebackhide__ = True  # by pytest
            raise error.with_traceback(tracebacks.without_ours(error.__traceback__))  # noqa: B904

    def exception(self, timeout: Optional[float] = None) -> Optional[BaseException]:
        """Returns what the call raised, `None` if it returned, and waits for its end.

        Args:
            timeout: How many seconds to wait, by default for ever.

        Returns:
            The exception. See `result` for what bandsaw itself raises.
        """
        with _waiting(self):
            return super().exception(timeout)

    def cancel(self) -> bool:
        """Has a call that has not begun never begin. What needs it fails at once.

        One that waits in the queue of an engine or executor has not begun.

        Returns:
            Whether it is cancelled: `False` if it runs or is done.
        """
        call = self._call
        if not super().cancel():
            if call is None or not call.withhold():
                return False
            self._end_cancelled()
            return True
        if call is not None:
            call.drop()
        with self._condition:
            if self._state == _CANCELLED:
                # So that those who wait for several futures are told.
                self.set_running_or_notify_cancel()
        return True

    def kill(self) -> bool:
        """Ends the process of a call that runs in another one, with all that it has started.

        The future holds a `TaskKilledError` then.

        Returns:
            Whether it is ended: `False` if the call runs in this process, in an executor's worker
            (with `isolate=False`) or by the steps of an `SshBackend`, has not begun or is done.
            In this process, a call that waits for its next attempt is ended, and one that runs is
            not attempted again.
        """
        call = self._call
        return call is not None and call.kill()

    def _begin(self) -> bool:
        """Marks the call as running, and returns whether it may run."""
        with self._condition:
            may_run = self._state == _PENDING
            if may_run:
                self._state = _RUNNING
            return may_run

    def __init__(self) -> None:
        if not _IS_KNOWN:
            super().__init__()
        else:
            self._condition = _Condition()
            self._state = _PENDING
            self._result = self._exception = None
            self._done_callbacks: list[Any] = []
        self._waiters = _Waiters()

    def _know(self, call: _Call) -> None:
        self._call = self._waiters.call = call

    def _end(self, value: Any, error: Optional[BaseException], failure: Any = None) -> None:
        self._call = self._waiters.call = None
        if self._state == _FINISHED:
            return  # it was lost by a fork in the call itself
        if error is None:
            self.set_result(value)
            return
        self._failure = failure or _Failure(f"Task {self.task}", error)
        self.set_exception(error)

    def _end_cancelled(self) -> None:
        """Ends as cancelled although it was said to run: the call has not begun elsewhere."""
        with self._condition:
            if self._state != _RUNNING:
                return
            self._state = _CANCELLED
            self._condition.notify_all()
            self.set_running_or_notify_cancel()
        self._call = self._waiters.call = None
        self._invoke_callbacks()

    def _invoke_callbacks(self) -> None:
        # One that raises may neither end the thread of the call, which has others to run, nor keep
        # those from being told that need the value.
        for callback in self._done_callbacks:
            try:
                callback(self)
            except BaseException as error:
                # In the thread of the script, `sys.exit` and Ctrl-C end the program.
                is_main = threading.current_thread() is threading.main_thread()
                if is_main and not isinstance(error, Exception):
                    raise
                logging.getLogger("concurrent.futures").exception(
                    "exception calling callback for %r", self
                )

    def _lose(self, error: BaseException) -> None:
        """Fails without telling anybody: whoever wanted to know is in another process."""
        self._call = self._waiters.call = None
        # A thread of the parent may have held it.
        self._condition = threading.Condition()
        self._done_callbacks = []
        self._exception = error
        self._state = _FINISHED


class _waiting:  # used as a function
    """Tells the call of a future that somebody waits for it, and a failure that it is known."""

    __slots__ = ("_begun", "_call", "_future")

    def __init__(self, future: Future[Any]) -> None:
        self._future = future
        self._call = future._call

    def __enter__(self) -> None:
        if self._call is not None:
            self._begun = self._call.begin_wait()

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        future, call = self._future, self._call
        is_of_wait = error is not future._exception  # and not what the task raised
        if call is not None:
            call.end_wait(self._begun)
            if kind is KeyboardInterrupt and is_of_wait:
                call.interrupt()
        if kind is KeyboardInterrupt:
            tracebacks.leave_out_when_printed()
        elif kind is concurrent.futures.TimeoutError and is_of_wait:
            error.args = (f"Task {future.task} has not ended before the timeout.",)
        if future._failure is not None:
            future._failure.is_known = True


class _Condition(threading.Condition):
    """One that is made in a third of the time, and of fewer objects: each future has one."""

    _waiters: Any = ()
    # Without Python code, in which Ctrl-C would come when it is held and nobody is to release it.
    __enter__: Any = property(attrgetter("_lock.__enter__"))
    __exit__: Any = property(attrgetter("_lock.__exit__"))
    acquire: Any = property(attrgetter("_lock.acquire"))
    release: Any = property(attrgetter("_lock.release"))
    _release_save: Any = property(attrgetter("_lock._release_save"))
    _acquire_restore: Any = property(attrgetter("_lock._acquire_restore"))
    _is_owned: Any = property(attrgetter("_lock._is_owned"))

    def __init__(self) -> None:
        self._lock: Any = threading.RLock()

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Waits; Ctrl-C that comes between releasing and waiting finds the lock taken again."""
        waiter = threading.Lock()
        waiter.acquire()
        if not self._waiters:
            self._waiters = []
        self._waiters.append(waiter)
        release, restore, is_owned = self._release_save, self._acquire_restore, self._is_owned
        state, once = None, (1, threading.get_ident())
        is_told = False
        try:
            state = release()
            if timeout is None:
                is_told = waiter.acquire()
            else:
                is_told = waiter.acquire(True, timeout) if timeout > 0 else waiter.acquire(False)
        finally:
            # Ctrl-C may have come before the lock was released, or before its state was kept.
            if state or not is_owned():
                restore(state or once)
            if not is_told and waiter in self._waiters:
                self._waiters.remove(waiter)
        return is_told

    def notify_all(self) -> None:
        if self._waiters:
            super().notify_all()


# Whether a future of the standard library is made of what we know.
_IS_KNOWN = {*vars(concurrent.futures.Future())} == {
    *("_condition", "_state", "_result", "_exception", "_waiters", "_done_callbacks")
}


class _Waiters(list[Any]):
    """Those who wait for a call among others, by `concurrent.futures.wait` or `as_completed`."""

    call: Optional[_Call] = None

    def append(self, waiter: Any) -> None:
        """Adds one, and has its event tell that it waits."""
        super().append(waiter)
        if self.call is not None:
            if type(waiter.event) is not _Event:
                waiter.event = _Event()
            waiter.event.calls.append(self.call)


class _Event(threading.Event):
    """What somebody waits for who waits for several calls."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[_Call] = []  # the calls, until they know it
        self._first: Optional[_Call] = None  # any of them

    def wait(self, timeout: Optional[float] = None) -> bool:
        """Waits. See `Future.result`, which does so for one call."""
        if self.is_set():
            return True
        calls, self.calls = self.calls, []
        first = self._first = self._first or calls[0]
        begun = first.begin_wait_for(calls)
        try:
            return super().wait(timeout)
        except KeyboardInterrupt:
            first.interrupt()
            raise
        finally:
            first.end_wait(begun)


class _Failure:
    """A failure, shared by the futures that hold it. Logged if it goes away and nobody knows it."""

    def __init__(self, what: str, error: BaseException) -> None:
        # A call is killed by somebody who knows: by `Future.kill`, or Ctrl-C.
        self.is_known = isinstance(error, TaskKilledError)
        self.what = what
        self.error = error
        _failures.add(weakref.ref(self, _failures.discard))

    def tell(self) -> None:
        """Logs it if nobody knows it."""
        if not self.is_known:
            self.is_known = True
            info = type(self.error), self.error, tracebacks.without_ours(self.error.__traceback__)
            message = "%s failed, and nobody has asked for its result."
            if tracebacks.message_of(self.error).endswith("at interpreter shutdown"):
                message += " This Python begins no thread after the script: have that wait for it."
            logger.error(message, self.what, exc_info=info)

    __del__ = tell


# When Python takes modules to pieces at its end, it is too late to log.
_failures: set[weakref.ref[_Failure]] = set()


def end_failures(are_known: bool) -> None:
    """Logs the failures that nobody knows, or notes that they are another process's."""
    for failure in [reference() for reference in list(_failures)]:
        if failure is not None:
            failure.is_known = failure.is_known or are_known
            failure.tell()
