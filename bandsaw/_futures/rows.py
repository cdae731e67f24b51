"""Calls that one thread has in one kept process, the next ones sent before the last answer.

    lane ─► first call, sent alone ─ answer ─► 2 more ─ answers ─► 4 more ... while they are short
              └─ those that have not begun come back when a place is free, or somebody cancels them

Which advice can do so says its method `open_row`, see `advices.subprocess` and `workers.row`.
"""

from __future__ import annotations

import time
from collections import deque
from types import FunctionType
from typing import Any

from .._session import facts
from ..execution import Execution
from ..session import Session
from . import flight
from .lanes import READY, Lane

# So many calls are on their way at the most.
_MOST = 16
# Where calls take longer than this, fewer are on their way, at last one: the process idles for so
# little. It is no less, because on a busy machine a thread waits for a processor so long.
_SHORT_SECONDS = 0.005
# In place of the number of a ticket: what is sent alone begins in any case.
_ALONE = -1


class Row:
    """The calls on their way to a process.

    Attributes:
        lane: Their lane.
        far: What sends them.
        calls: The calls, in order, each with the number of its ticket.
    """

    def __init__(self, lane: Lane, far: Any) -> None:
        self.lane = lane
        self.far = far
        self.calls: deque[tuple[int, Any]] = deque()

    def send(self, written: list[tuple[Any, Any]]) -> None:
        """Sends calls with their messages. From one on that has none they go back to the lane."""
        lacks = next((index for index, (_, one) in enumerate(written) if one is None), None)
        is_alone = len(written) == 1 and not self.calls
        messages, numbers = [], bytearray()
        with flight.lock:
            if lacks is not None:
                written[lacks][0].goes_ahead = False
                for call, _ in reversed(written[lacks:]):
                    self._bring_back(call)
            for call, message in written[:lacks]:
                if call.future.cancelled():
                    flight.are_over([call])
                    call.forget()
                    continue
                number = _ALONE if is_alone else self.far.next_number()
                if is_alone:
                    call.begin()
                else:
                    numbers.append(number)
                messages.append(message)
                self.calls.append((number, call))
                call.row = self
            # So soon, that from now on all that has not begun can be taken back.
            self.far.issue(numbers)
        if messages:
            self.far.send(messages, numbers, written[0][0].session)

    def _bring_back(self, call: Any) -> None:
        call.row, call.state = None, READY
        self.lane.put_back(call)

    def take_back(self, most: int) -> bool:
        """Has calls that have not begun be ready again. Called under the lock.

        One stays: who waits for answers has to get one. Returns whether there were any.
        """
        most = min(most, len(self.calls) - 1)
        return most > 0 and self._took_back(most)

    def _took_back(self, most: int) -> bool:
        numbers = set(self.far.take_back(most))
        if numbers:
            for number, call in reversed(self.calls):
                if number in numbers:
                    self._bring_back(call)
            self.calls = deque(one for one in self.calls if one[0] not in numbers)
        return bool(numbers)

    def lost(self) -> list[tuple[int, Any]]:
        """Has what has not begun be ready again; returns what had."""
        with flight.lock:
            for _, call in self.calls:
                call.goes_ahead = False
            self._took_back(255)
            begun, self.calls = list(self.calls), deque()
        return begun


def lead(first: Any) -> bool:
    """Runs a call, and others that follow, in a kept process; returns whether that can be done."""
    lane: Lane = first.lane
    open_row = getattr(lane.chain[0], "open_row", None) if lane.chain else None
    if open_row is None or lane.flight.limit is not None or not _is_prepared(first):
        return False
    far = open_row(first.session)
    if far is None:
        return False
    row = Row(lane, far)
    try:
        message = _written(first, far)
        if message is None:
            return False
        with flight.lock:
            lane.rows.append(row)
        try:
            _drive(row, first, message)
        except BaseException as error:
            far.is_over = True
            begun = row.lost()
            for _, call in begun:
                call.refuse(error)
            flight.are_over([call for _, call in begun])
        finally:
            with flight.lock:
                lane.rows.remove(row)
    finally:
        far.close()
    return True


def _drive(row: Row, first: Any, message: Any) -> None:
    far, most, calls = row.far, 1, [(first, message)]
    while True:
        if calls:
            row.send(calls)
        if not row.calls:
            return
        began = time.perf_counter()
        answers = far.answers(lambda index: row.calls[index][1].session)
        seconds = time.perf_counter() - began
        if not answers:
            begun = row.lost()
            far.close()
            for number, call in begun:
                _lose(call, far, number == _ALONE)
            flight.are_over([call for _, call in begun])
            return
        with flight.lock:
            landed = [row.calls.popleft()[1] for _ in answers]
        flight.begin_landing(first)
        for call, answer in zip(landed, answers):
            _land(call, far, answer)
        most = (
            min(2 * most, _MOST) if seconds < _SHORT_SECONDS * len(answers) else max(1, most // 2)
        )
        calls = [(call, _written(call, far)) for call in flight.land_all(row, landed, most)]
        # Nothing of a call is kept while others are waited for.
        del answers, landed, call, answer


def _is_prepared(call: Any) -> bool:
    """Makes the session of a call that can be sent ahead; returns whether it can."""
    try:
        return call.session is not None or call.context.run(_prepare, call)
    except Exception:
        return False  # said on the common way


def _prepare(call: Any) -> bool:
    function = call.function
    # That of a coroutine is another one.
    if not isinstance(function, FunctionType) or call.record or facts.wanted:
        return False
    configuration, chain = function.bandsaw_configuration, function.bandsaw_chain  # type: ignore[attr-defined]
    if configuration.extensions:
        return False
    if call.plan is not None:
        call.args, call.kwargs = call.plan.replace(call.args, call.kwargs)
        call.plan = None
    execution = Execution(None, call.args, call.kwargs).of_task(call.task)
    call.session = Session(call.task, execution, configuration, chain)
    # As if the first advice had been called, which moves it.
    call.session._moderator.before_called = 1
    return True


def _written(call: Any, far: Any) -> Any:
    """Writes a call; returns the message, `None` if the call has to take the common way."""
    try:
        return call.context.run(far.message, call.session) if _is_prepared(call) else None
    except Exception:
        return None  # said on the common way


def _land(call: Any, far: Any, answer: Any) -> None:
    """Gives a call the answer of its process."""
    call.row = None
    if not call.begin():
        call.forget()  # cancelled in the very moment when it began
        return
    result = None
    try:
        if call.ending is None:
            result = call.context.run(far.result_of, call.session, answer)
    except Exception:
        pass  # said on the common way
    if result is None or result.exception is not None:
        far.give(call.session, answer)
        call.run_alone()
    else:
        call.end(result.value, None)


def _lose(call: Any, far: Any, was_alone: bool) -> None:
    """Takes note that the process has ended in which a call had begun."""
    call.row = None
    if not (was_alone and far.was_early):
        far.give(call.session, None)
    call.run_alone()
