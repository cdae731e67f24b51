"""One session in another process: sent, followed, and taken back.

here                                    there
STATE, SESSION ───────────────────────► restore, proceed ...
output, LOG: passed on ◄─────────────── ... task ...
RETURN, FAILURE or the end ◄─────────── save
"""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any, Optional

from .._file import FileCarrier
from .._session import members, telling
from .._session.members import failure_of
from .._system import callers, ending
from .._system.importing import late_import
from .._system.interrupts import Deferred, owned
from ..errors import ProtocolError, StalledError, UnserializableError, WorkerError
from ..session import Session
from ..tasks import _FunctionWithClosureTask
from . import boundary, envelope, frames, notices, repeat_calls
from .carrier import Carrier
from .child import Child
from .deaths import MISSED_HEARTBEATS, CallErrors, was_killed_early
from .frames import DeadlineError, Frame, Message, NotBegunError
from .pool import Pool, Worker

# What ends a call.
ANSWERS = (frames.RETURN, frames.DONE, frames.FAILURE, frames.BYE)
# How many kinds of calls a process that is reused keeps in mind.
MOST_SHAPES = 1000
# How many processes may end themselves for want of work in the very moment when some comes.
_MOST_GOODBYES = 20
# How often a call is begun again with another process because the one before was killed too early.
_MOST_BEGINNINGS = 5
_NO_FILES = FileCarrier()


class Call(CallErrors):
    """A call in another process.

    `seconds`: how long it may take, `None` for ever. `heartbeat`: after how many seconds the
    process gives a sign of life each time, `None` for never.
    """

    def __init__(
        self,
        session: Session,
        carrier: Carrier,
        seconds: Optional[float],
        heartbeat: Optional[float] = None,
    ) -> None:
        self._session = session
        self._carrier: Carrier = carrier
        self._seconds = seconds
        self._heartbeat = heartbeat
        self._file_carrier = _NO_FILES
        # Whether the process has asked for code: it has read the session then.
        self._has_asked = False
        # What another thread has ended when it ends the call.
        self._child: Optional[Child] = None

    def in_own_process(self) -> None:
        with ending.held(self._end), self._packed() as message:
            for left in reversed(range(_MOST_BEGINNINGS)):
                try:
                    return self._in_own_process(message, is_last_try=not left)
                except NotBegunError:
                    continue
                except BaseException:
                    self._forsake()
                    raise

    def _in_own_process(self, message: Message, is_last_try: bool) -> None:
        child = self._carrier.start(self._check_can_read)
        try:
            self._begin_with(child)
            deadline = self._deadline()
            news = self._news(child, True)
            news["is_last"] = True
            if callers.holds_place():
                news["has_place"] = True
            self._send(child, news, message, deadline)
            self._carrier.prepare_next()
            answer = self._answer(child, deadline, is_last_try)
            try:
                # What the task has left to be done at the end belongs to the call.
                child.finish(deadline, str(self._session.task))
            except BaseException:
                answer.discard()
                raise
        except DeadlineError:
            raise self._timeout(child) from None
        except StalledError as error:
            raise self._stalled(child, error) from error
        finally:
            child.end()
        self._take_back(child, answer)

    def in_warm_process(self, pool: Pool, idle_seconds: Optional[float]) -> None:
        def end() -> None:
            self._end()
            pool.wake()

        with ending.held(end):
            worker = self._in_warm_process(pool, idle_seconds)
        # It may have been ended after it had answered.
        if worker.child.is_cancelled:
            pool.drop(worker)
            raise self._killed(worker.child)
        pool.give(worker)

    def _in_warm_process(self, pool: Pool, idle_seconds: Optional[float]) -> Worker:
        def start() -> Child:
            return self._carrier.start(self._check_can_read)

        shape = repeat_calls.shape_of(self._session)
        for left in reversed(range(_MOST_GOODBYES)):
            try:
                worker = pool.take(self._carrier.kind, start)
            except ending.EndedError:
                raise self._killed(None) from None
            answer = None
            try:
                self._begin_with(worker.child)
                answer = self._in_worker(worker, shape, idle_seconds, not left)
                if answer.kind != frames.BYE:
                    self._take_back(worker.child, answer)
            except NotBegunError:
                pool.drop(worker)
                continue
            except BaseException as error:
                if answer is None or isinstance(error, (Exception, KeyboardInterrupt)):
                    # What else it may send is not for the next call to find. A signal handler may
                    # have raised anything.
                    pool.drop(worker)
                    self._forsake()
                else:
                    pool.give(worker)  # the task has raised what ends a program
                raise
            if answer.kind != frames.BYE:
                return worker
            # It had ended itself just when this session was sent, and did not take it.
            pool.drop(worker)
        raise ProtocolError(
            f"{self._what} took its leave instead of giving the session back "
            f"({self._carrier.where(worker.child)})."
        )

    def _in_worker(
        self,
        worker: Worker,
        shape: Optional[repeat_calls.Shape],
        idle_seconds: Optional[float],
        is_last_try: bool,
    ) -> Frame:
        news = self._news(worker.child, worker.calls == 0)
        if worker.calls == 0:
            news.update(idle_seconds=idle_seconds, has_place=True)
        key = None if shape is None else shape.key
        known = worker.shapes.get(key)
        message = None
        if known is not None:
            message = repeat_calls.message(known[0], self._session, self._file_carrier_of)
        if message is not None:
            self._position = self._session._moderator.before_called
            return self._exchange(worker, news, message, is_last_try)
        number = len(worker.shapes)
        if key is not None and known is None and number < MOST_SHAPES:
            news["number"] = number
        with self._packed() as message:
            answer = self._exchange(worker, news, message, is_last_try)
        if "number" in news and answer.kind in (frames.RETURN, frames.DONE):
            # Kept with what it is about, whose identity is part of the key.
            worker.shapes[key] = (number, shape)
        return answer

    def _file_carrier_of(self, session: Session) -> FileCarrier:
        self._file_carrier = self._carrier.file_carrier(session)
        return self._file_carrier

    def _exchange(
        self, worker: Worker, news: Mapping[str, Any], message: Message, is_last_try: bool
    ) -> Frame:
        child = worker.child
        child.forget_output()
        worker.calls += 1
        try:
            deadline = self._deadline()
            self._send(child, news, message, deadline)
            return self._answer(child, deadline, is_last_try)
        except DeadlineError:
            raise self._timeout(child) from None
        except StalledError as error:
            raise self._stalled(child, error) from error

    def _check_can_read(self, hello: Mapping[str, Any]) -> None:
        """Refuses what the other side could not read, before it is sent."""
        if not isinstance(self._session.task, _FunctionWithClosureTask):
            return
        theirs, ours = hello["python"], sys.version_info[:3]
        problem = None
        if tuple(theirs[:2]) != ours[:2]:
            there, here = ".".join(map(str, theirs)), ".".join(map(str, ours))
            problem = (
                f"that is Python {there}, this is Python {here}, and local functions cross only "
                "between Pythons of the same minor version. Move it"
            )
        elif "cloudpickle" in hello["missing"]:
            problem = (
                "cloudpickle, which reads local functions and those of a notebook, is not "
                "installed there. Install it on both sides ('pip install cloudpickle'), or "
                "move the task"
            )
        if problem is not None:
            raise UnserializableError(
                f"The task {self._session.task} cannot go to {self._carrier.name}: {problem} to "
                "the top level of a module."
            )

    def _forsake(self) -> None:
        """Removes the files that a process has placed for the caller, and did not hand over."""
        with late_import:
            from .._files import destinations

        destinations.forsake(self._session.nonce)

    def _begin_with(self, child: Child) -> None:
        self._child = child
        if ending.is_ended():
            raise self._killed(child)

    def _end(self) -> None:
        """Has the process ended. Called by another thread."""
        child = self._child
        if child is not None:
            child.cancel()

    @contextlib.contextmanager
    def _packed(self) -> Iterator[Message]:
        with self._file_carrier_of(self._session):
            self._position, members = boundary.packed(self._session)
        try:
            with Deferred():
                message = self._carrier.message(members)
                file = None if message[2] is None else owned(message[2])
        except OSError as error:
            raise WorkerError(
                f"The session of task {self._session.task} cannot be sent to {self._carrier.name}: "
                f"there is no room for its data: {error}"
            ) from error
        # The pieces are in the file now, or about to be sent.
        del members
        try:
            yield message
        finally:
            if file is not None:
                file.close()

    def _news(self, child: Child, is_new: bool) -> dict[str, Any]:
        news = self._carrier.news(child, is_new)
        if is_new:
            news["heartbeat_seconds"] = self._heartbeat
        return news

    def _send(
        self,
        child: Child,
        told: Mapping[str, Any],
        message: Message,
        deadline: Optional[float],
    ) -> None:
        if self._file_carrier.has_files:
            told = {**told, **self._carrier.deliver(self._file_carrier, child)}
        messages = [message]
        if told:
            messages.insert(0, frames.json_message(frames.STATE, told))
        if telling.wanted:
            self._session.facts.update(telling.sent(message, child.host, self._carrier.name))
        try:
            self._in_time(child, deadline, lambda until: child.send(*messages, deadline=until), 1)
        except OSError:
            # Nobody reads it. What the process has said last says why.
            child.has_read = False

    def _deadline(self) -> Optional[float]:
        return None if self._seconds is None else time.monotonic() + self._seconds

    def _answer(self, child: Child, deadline: Optional[float], is_last_try: bool) -> Frame:
        is_first = True
        while True:
            frame = self._in_time(child, deadline, child.next, MISSED_HEARTBEATS)
            child.is_heard = True
            if frame is None:
                if not (is_last_try or self._has_asked) and was_killed_early(child):
                    raise NotBegunError
                raise self._death(child)
            if frame.kind in ANSWERS:
                if not is_first:
                    # What was written between two messages that came together was not seen yet.
                    child.drain()
                child.has_answered = True
                return frame
            self._take_note(child, frame)
            is_first = False

    def _take_note(self, child: Child, frame: Frame) -> None:
        """Takes a message that the process sends while it is busy with the call."""
        if notices.pass_on(frame, str(self._session.task), child.host):
            return
        if frame.kind == frames.FACTS:
            self._session.facts.update(frames.from_json(frame))
        elif frame.kind == frames.CODE:
            self._has_asked = True
            text = self._carrier.text_of_code(frame.body.decode())
            with contextlib.suppress(OSError):
                child.send(frames.text_of_code(text))
        elif frame.kind != frames.HEARTBEAT:
            raise ProtocolError(
                f"{self._what} sent a message {frames.NAMES[frame.kind]} where none is due "
                f"({self._carrier.where(child)})."
            )

    def _take_back(self, child: Child, answer: Frame) -> None:
        if telling.wanted:
            self._session.facts.update(telling.received(answer))
        session, position = self._session, self._position
        if answer.kind == frames.DONE and answer.body.startswith(repeat_calls.PLAINLY):
            repeat_calls.take_result(session, answer.body, position)  # there are no files in it
            return
        with self._carrier.arrived(session, child):
            where = f"run by {self._carrier.where(child)}"
            if answer.kind == frames.FAILURE:
                raise boundary.located(failure_of(answer.body), session, where)
            if answer.kind == frames.DONE:
                repeat_calls.take_result(session, answer.body, position)
                return
            if "_sent" not in session.__dict__:
                repeat_calls.note_sent(session)
            saved = members.read_members(envelope.members(answer))
            boundary.take_back(session, saved, position, where)
