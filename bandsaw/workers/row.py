"""A kept process that has further calls before it has answered the first.

near: AGAIN, AHEAD 1, AHEAD 2, ... ──► far: one after the other, see `tickets`
near: waits once for several   ◄────── far: DONE, DONE, ...

So the process does not idle while a thread of the caller wakes, and few writes and reads carry many
calls. `_futures.rows` says which calls these are. What does not end with DONE takes the common way
from there on: it is given to `Call`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, Callable, Optional

from ..result import Result
from ..session import Session
from . import again, frames
from .call import ANSWERS, Call, give, was_killed_early
from .frames import Frame
from .place import Place
from .pool import Pool, Worker
from .tickets import Tickets

# What is on its way has to fit into the buffer of a socket: who sends must never wait.
_MOST_BYTES = 4096


class Row:
    """What sends calls to one kept process, ahead of the answers.

    Attributes:
        child: The process.
        is_over: Whether it takes no more calls.
        was_early: Whether it had ended before it had read what was sent last.
    """

    def __init__(self, pool: Pool, worker: Worker, place_of: Callable[[Session], Place]) -> None:
        self.child = worker.child
        self.is_over = False
        self._pool = pool
        self._worker = worker
        self._place_of = place_of
        self.was_early = False
        # Of the calls that are sent together, the place and the last one's task and shape.
        self._place: Optional[Place] = None
        self._known: tuple[Any, Any, Optional[int]] = (None, None, None)
        # Whether the process has its end of the pipe for the tickets.
        self._is_told = True
        self._is_closed = False
        self._number = 0

    @property
    def is_wanted(self) -> bool:
        """Whether another thread waits for a process."""
        return self._pool.waiting > 0

    def message(self, session: Session) -> Optional[frames.Message]:
        """Writes a call, `None` if it cannot be sent so."""
        task, chain, number = self._known
        if task is not session.task or chain != session.advice_chain:
            number = self._number_of(session)
            self._known = session.task, session.advice_chain, number
        if number is None:
            return None
        place = self._place_for(session)
        if place.kind != self.child.kind:
            return None
        with place.carrier(session) as carrier:
            message = again.message(number, session)
        if message is None or carrier.has_files or sum(map(len, message[1])) > _MOST_BYTES:
            return None
        return message

    def _number_of(self, session: Session) -> Optional[int]:
        """Returns by which number the process knows calls of this kind."""
        shape = again.shape_of(session)
        if shape is None or "timeout" in session.task.kwargs:
            return None
        return self._worker.shapes.get(shape.key, (None,))[0]

    def _place_for(self, session: Session) -> Place:
        if self._place is None:
            self._place = self._place_of(session)
        return self._place

    def next_number(self) -> int:
        """Returns the number of the next ticket."""
        self._number = (self._number + 1) % 256
        return self._number

    def issue(self, numbers: bytearray) -> None:
        """Allows calls to begin that are about to be sent."""
        if numbers:
            if self._worker.tickets is None:
                self._worker.tickets = Tickets()
                self._is_told = False
            self._worker.tickets.issue(numbers)

    def send(self, messages: list[frames.Message], numbers: bytearray, session: Session) -> None:
        """Sends what was written. `numbers`: their tickets. `session`: one of theirs."""
        worker = self._worker
        worker.calls += len(messages)
        if numbers:
            messages = [
                (frames.AHEAD, (bytes((number,)), *body), None)
                for number, (_, body, _) in zip(numbers, messages)
            ]
            if not self._is_told and worker.tickets is not None:
                messages.insert(0, worker.tickets.message())
                self._is_told = True
        told = Call(session, self._place_for(session), None, None).news(self.child, False)
        if told:
            messages.insert(0, (frames.STATE, (json.dumps(told).encode("ascii"),), None))
        try:
            self.child.send(*messages)
        except OSError:
            self.child.has_read = False
        self._known = None, None, None

    def answers(self, session_of: Callable[[int], Session]) -> Sequence[Frame]:
        """Waits for answers, and returns those that are there. None came if the process is over.

        `session_of`: the session of the call whose answer is the next but so many.
        """
        child, found = self.child, []
        frame = child.take()
        # What was written before a message that came with others was not seen yet.
        is_seen = frame is None
        frame = frame or child.next()
        self._place = None  # nobody knows how long that took
        while frame is not None:
            if frame.kind == frames.BYE:
                break
            if frame.kind in ANSWERS:
                found.append(frame)
            else:
                session = session_of(len(found))
                Call(session, self._place_for(session), None, None).take_note(child, frame)
                is_seen = False
            frame = child.take() if found else child.next()
        if found:
            child.has_answered = True
            if len(found) > 1 or not is_seen:
                child.drain()
            child.forget_output()
        elif frame is not None or was_killed_early(child):
            self.is_over = self.was_early = True
        else:
            self.is_over = True
        return found

    def result_of(self, session: Session, answer: Frame) -> Optional[Result]:
        """Takes an answer, `None` if it has to take the common way."""
        if answer.kind != frames.DONE:
            return None
        if again.is_plain(answer.body):
            again.take_result(session, answer.body, session._moderator.before_called)
        else:
            with self._place_for(session).arrived(session, self.child):
                again.take_result(session, answer.body, session._moderator.before_called)
        return session.result  # type: ignore[no-any-return]

    def give(self, session: Session, answer: Optional[Frame]) -> None:
        """Has the walk that this thread begins next take an answer, or the end of the process."""
        give(self.child, answer, session)

    def take_back(self, most: int) -> bytes:
        """Takes back calls that have not begun; returns the numbers of their tickets."""
        tickets = self._worker.tickets
        return b"" if tickets is None else tickets.take_back(most)

    def cancel(self) -> None:
        """Ends the process."""
        self.child.cancel()

    def close(self) -> None:
        """Gives the process back, or ends it, once."""
        if self._is_closed:
            return
        self._is_closed = True
        if self.is_over or self.child.is_cancelled:
            self._pool.drop(self._worker)
        else:
            self._pool.give(self._worker)
