"""`f.map`: calls for the items of iterables, some ahead of what is taken, results in order."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future as AnyFuture
from typing import Any, Callable, Optional

from .._arguments import checked_count, checked_patience
from .._system import ending
from ..futures import Future
from . import calls, lanes

# So many calls for each that can run are submitted ahead, unless the caller says otherwise. To
# submit several at a time wakes threads less often.
_AHEAD = 16


class Results(Iterator[Any]):
    """The results of a map. What has not begun is cancelled when it is closed or goes away."""

    _bandsaw_results = True  # known by it where futures are looked for

    def __init__(
        self,
        function: Callable[..., Any],
        task: Any,
        lane: lanes.Lane,
        iterables: Sequence[Iterable[Any]],
        buffersize: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> None:
        self._ahead: Optional[_Ahead] = None
        self._task = task
        if not iterables:
            raise TypeError("map() needs at least one iterable.")
        checked_count("buffersize", buffersize)
        timeout = checked_patience("timeout", timeout)
        self._end = None if timeout is None else time.monotonic() + timeout

        def call(args: tuple[Any, ...]) -> calls.SubmittedCall:
            return calls.SubmittedCall(function, task, lane, args, {})

        self._ahead = _Ahead(map(call, zip(*iterables)))
        self._size = lane.limit * _AHEAD if buffersize is None else buffersize
        self._least = self._size // 2 if buffersize is None else self._size - 1
        self._ahead.fill(self._size)

    def __repr__(self) -> str:
        return f"<Results of task {self._task}: take them with list() or in a loop>"

    def __iter__(self) -> Results:
        return self

    def __next__(self) -> Any:
        ahead = self._ahead
        if ahead is None:
            raise StopIteration
        try:
            future = ahead.next()
            left = None if self._end is None else max(0.0, self._end - time.monotonic())
            try:
                value = future.result(left)
            except StopIteration as error:
                # As Python says of a generator: by itself it would end the results without a word.
                raise RuntimeError(f"Task {self._task} raised StopIteration") from error
        except BaseException:
            __tracebackhide__ = True  # by pytest
            self.close()
            raise
        finally:
            future = None  # type: ignore[assignment]
        left_over = len(ahead)
        if left_over <= self._least:
            ahead.fill(self._size - left_over)
        return value

    def close(self) -> None:
        """Cancels what has not begun, and gives no more results."""
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            ahead.stop()

    def __del__(self, is_over: Callable[[], bool] = sys.is_finalizing) -> None:
        # Once the program is over, all calls have ended, and modules may be empty.
        if not is_over():
            self.close()


class _Ahead:
    """The calls that were submitted and whose results were not taken, in order."""

    def __init__(self, calls_to_come: Iterator[calls.SubmittedCall]) -> None:
        self._calls: Optional[Iterator[calls.SubmittedCall]] = calls_to_come
        self._futures: deque[Future[Any]] = deque()
        self._error: Optional[BaseException] = None

    def __len__(self) -> int:
        return len(self._futures)

    def fill(self, count: int) -> None:
        """Submits more calls, at most so many."""
        token = ending.group.set(self)
        try:
            self._fill(count)
        finally:
            ending.group.reset(token)

    def _fill(self, count: int) -> None:
        for _ in range(count):
            calls_to_come = self._calls
            if calls_to_come is None:
                return
            try:
                call = next(calls_to_come)
            except StopIteration:
                self._calls = None
                return
            except Exception as error:
                # The results before it come first.
                self._error, self._calls = error, None
                return
            future = call.future
            assert future is not None
            self._futures.append(future)
            # Nobody else knows it yet.
            future._done_callbacks.append(self._look_at)
            call.board()
            del call, future

    def next(self) -> Future[Any]:
        if self._futures:
            return self._futures.popleft()
        if self._error is not None:
            raise self._error
        raise StopIteration

    def _look_at(self, future: AnyFuture[Any]) -> None:
        if future._exception is not None:
            self._calls = None
            futures: list[AnyFuture[Any]] = list(self._futures)
            # Those before it go on: their results are given.
            where = futures.index(future) if future in futures else -1
            _cancel(futures[where + 1 :])

    def stop(self) -> None:
        """Cancels what has not begun."""
        self._calls = None
        futures, self._futures = self._futures, deque()
        _cancel(list(futures))


def _cancel(futures: Sequence[AnyFuture[Any]]) -> None:
    for future in reversed(futures):
        future.cancel()
