"""The near end of a call that an executor carries: what is submitted, and what comes of it."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections import deque
from collections.abc import Sequence
from concurrent.futures import BrokenExecutor, CancelledError, Future
from queue import Empty, SimpleQueue
from typing import Any, Callable, Optional

from ..._system import ending
from ...errors import BandsawError, ProtocolError
from ..child import Child
from ..deaths import lost_by, refused_by
from ..fork_server_start import checked_hello
from ..frames import DeadlineError, Frame, Message, NotBegunError
from ..near_fork_server import ProcessKind
from . import engine_bulk
from .engine import answer_of, failed_with, parts_of, submission
from .engine_bulk import handed
from .engine_processes import NOT_STARTED
from .packs import packer_of

# A machine that lacks the archive is brought it, which may reach another one of the machines.
_MOST_BRINGS = 3


class EngineChild(Child):
    """A process below an engine's worker, whose messages arrive when the call is over."""

    has_not_begun = False  # whether the call was lost, and has not begun for sure
    _events: Optional[deque[tuple[bytes, Any]]] = None
    _end = ""
    _future: Optional[Future[Any]] = None
    # What has to live as long as the call needs it.
    _held: Any = None
    _brings = 0
    # Whether the call has the program with it.
    _has_program = False
    # How the files that it returns are had, `None` if there are none or they are seen here. See
    # `engine_files.returned`.
    files_back: Any = None
    _is_submitted = _is_submitting = _is_withheld = False

    def __init__(self, kind: ProcessKind, carrier: Any, check: Callable[[Any], None]) -> None:
        super().__init__(kind, carrier.engine.name, lambda was_lost: None, {})
        self._carrier = carrier
        self._check = check
        # Many of these objects wait at once. An event takes ten times as much memory.
        self._wakeup: SimpleQueue[None] = SimpleQueue()
        self._messages: Any = None
        if carrier.engine.owes_program and ending.group.get() is None:
            # Calls that are submitted together are alike.
            self._has_program, carrier.engine.owes_program = True, False
        # Has all of the session sent, where a worker does not know calls of its kind.
        self.send_whole: Callable[[], object] = lambda: None
        self._packer = packer_of(carrier.engine)
        # Held while it is found out whether the call can be cancelled, and never while we wait.
        self._withholding, self._lock = threading.RLock(), threading.RLock()

    def send(self, *messages: Message, deadline: Optional[float] = None) -> None:
        (_, state, _), (kind, session, _) = messages
        head, *pieces = session
        self._messages = (
            b"".join(state),
            self._carrier.shape,
            bytes([kind]) + head,
            self._data(pieces),
        )
        self._submit(None)

    def _data(self, pieces: Sequence[Any]) -> Any:
        buffers = self._carrier.engine.buffers
        # Why it cannot be reached is said when the call is submitted.
        with contextlib.suppress(Exception):
            found = None if buffers is None else buffers.stored(pieces)
            if found is not None:
                data, self._held = found
                return data
        data, self._held = handed(self._carrier.engine, pieces)
        return data

    def _bring_data(self) -> None:
        """Sends what a worker could not read from a file here."""
        self._carrier.engine.is_near = False
        self._messages = *self._messages[:-1], bytes(self._held.view())
        self._submit(None)

    def _submit(self, archive: Any) -> None:
        carrier = self._carrier
        self._mark = carrier.engine.mark()
        shared = carrier.engine.shared
        if shared is not None:
            archive = shared(carrier.archive.digest, lambda: parts_of(carrier.archive))
        with self._lock:
            is_wanted = not self._is_withheld
            if is_wanted:
                self._is_submitted = self._is_submitting = True
        if not is_wanted:
            return
        # An engine may take its time, and whoever cancels the call does not wait for it.
        try:
            future = self._submitted(archive)
        except Exception as error:
            self._refuse(error)
            return
        with self._lock:
            self._future, self._is_submitting = future, False
        future.add_done_callback(lambda done: self._wakeup.put(None))
        if self._is_withheld:
            self._take_out(future)
            future.add_done_callback(self._forget)
        elif self.is_cancelled:
            self.cancel()

    def _take_out(self, future: Future[Any]) -> bool:
        """Has the engine forget a call that has not begun; returns whether that is sure."""
        with contextlib.suppress(Exception):
            return self._packer.withhold(self._carrier.call, future)
        return False

    def _submitted(self, archive: Any) -> Future[Any]:
        carrier, messages = self._carrier, self._messages
        size = self._packer.size(
            carrier.task, carrier.wanted.batch, messages[-1], lambda: self.is_cancelled
        )
        if size > 1 and not isinstance(archive, tuple) and not carrier.request["files"]:
            found = archive, self._has_program
            kind = carrier.wanted.options, carrier.request
            return self._packer.submit(size, *kind, carrier.call, messages, *found)
        with_program = self._has_program or archive is not None
        what = submission(carrier.request, carrier.call, messages, archive, with_program)
        return carrier.engine.submit(carrier.wanted.options, *what)  # type: ignore[no-any-return]

    def _refuse(self, cause: Exception) -> None:
        self._carrier.is_broken(cause)
        self.loss, self.is_over = refused_by(self._carrier.name, cause), True
        self.has_not_begun = isinstance(cause, BrokenExecutor)

    def _step(self, seconds: Optional[float]) -> bool:
        if self._events:
            self._take_next(*self._events.popleft())
            return True
        if self._end == "deadline" and not self.is_cancelled:
            self.is_over, self._end = True, ""
            raise DeadlineError
        future = self._future
        if future is None or self.is_over:
            return False
        if not future.done():
            with contextlib.suppress(Empty):
                self._wakeup.get(timeout=seconds)
        if future.done():
            self._future = None
            self._arrived(future)
        return True

    def _arrived(self, future: Future[Any]) -> None:
        try:
            word, host, *rest = answer_of(future)
        except NotBegunError as error:
            cause = error.__cause__ or error
            self._carrier.is_broken(cause)
            self._forget()
            self.loss = lost_by(self._carrier.name, cause)
            self.has_not_begun = self.is_over = True
            return
        except (CancelledError, Exception) as error:
            with self._withholding:
                self._is_lost_with(error)
            return
        self.host = host or self.host
        engine = self._carrier.engine
        if host and engine.is_near is not False:
            engine.is_near = host == socket.gethostname()
        if word == "missing":
            self._bring()
            return
        if word == "whole":
            self.send_whole()
            return
        if word == "unseen":
            self._bring_data()
            return
        if word == "lacking":
            self._bring_files(*rest)
            return
        self._forget()
        if word == "unfit":
            self.is_over = True
            self._check(json.loads(rest[0]))
        elif word == "events":
            events, self._end, seconds, self.files_back = rest
            self._packer.measured(self._carrier.task, seconds)
            try:
                self._events = deque(map(self._with_file, events))
            except ProtocolError:
                if not self.is_cancelled:
                    raise
                self.is_over = True  # who has cancelled the call has let go of its file
            self._messages = self._held = None
            if self._end and self._end != "deadline":
                self._fail(self._end)
        elif word == "lost":
            self._is_lost_with(RuntimeError("the worker was lost in which the call had begun"))
        elif word == "ended":
            self._is_lost_with(ConnectionError("the call was cancelled there"))
        else:
            self._fail(NOT_STARTED * (word == "unstarted") + str(rest[0]))

    def _with_file(self, event: tuple[bytes, Any]) -> tuple[bytes, Any]:
        letter, body = event
        if letter == b"A" and body[1] is None:
            body = body[0], engine_bulk.take(self._carrier.call)
        return letter, body

    def _is_lost_with(self, error: BaseException) -> None:
        self.is_over = True
        if self.is_cancelled:
            return
        self._carrier.is_broken(error)
        engine = self._carrier.engine
        # Another one's process may have broken the executor.
        self.has_not_begun = (
            isinstance(error, BrokenExecutor)
            and engine.is_here
            and engine.claims.take(self._carrier.call)
        )
        if not engine.runs_lost_again:
            engine.claims.forget(self._carrier.call)
        self.loss = lost_by(self._carrier.name, error)

    def _bring(self) -> None:
        if not self._has_program:
            # The worker may lack the program only, and what is submitted besides the call may
            # reach another one each time.
            self._has_program = True
            self._carrier.engine.owes_program = True
            self._submit(None)
            return
        carrier = self._carrier
        self._brings += 1
        if self._brings > _MOST_BRINGS:
            # Whatever machine it reaches: the call has all with it.
            self._submit(parts_of(carrier.archive))
            return
        try:
            carrier.engine.bring(carrier.archive, carrier.request, self._mark)
        except (CancelledError, Exception) as error:
            self._is_lost_with(error)
            return
        self._submit(None)

    def _bring_files(self, worker: Any, folder: str, keys: Sequence[str]) -> None:
        try:
            for file in self._carrier.files:
                if file.key in keys:
                    self._carrier.bringing(self).bring(file, self.host, worker, folder, self._mark)
        except BandsawError:
            if not self.is_cancelled:
                raise
            self.is_over = True
            return
        self._submit(None)

    def _take_next(self, letter: bytes, body: Any) -> None:
        if letter == b"A":
            head, data = body
            self._frames.append(engine_bulk.frame_of(head[0], head[1:], data))
        elif letter == b"M":
            if body:
                self._frames.append(Frame(body[0], body[1:]))
        elif letter == b"H":
            self.is_over = True
            checked_hello(Frame(body[0], body[1:]), self.kind, self.host)
        else:
            self._take_told(letter, body)

    def _fail(self, reason: str) -> None:
        self.loss, self.is_over = failed_with(reason, self.host), True

    def cancel(self) -> None:
        """Cancels the call if it has not begun, and has it ended if it has."""
        self.is_cancelled = True
        future = self._future
        if future is not None and not future.done() and not self._is_withheld:
            with contextlib.suppress(Exception):
                self._packer.kill(self._carrier.call, future)
            future.add_done_callback(self._forget)
        self.is_over = True
        self._wakeup.put(None)

    def withhold(self) -> bool:
        """Has the call never begin; returns whether that is sure."""
        with self._withholding:
            with self._lock:
                future, is_sure = self._future, not self._is_submitted
                if is_sure:
                    self._is_withheld = True
            if future is not None and not future.done():
                is_sure = self._take_out(future)
            elif self._is_submitting:
                with contextlib.suppress(Exception):
                    is_sure = self._carrier.engine.withhold(self._carrier.call, None)
            if is_sure:
                self.is_cancelled = True
                with self._lock:
                    self._is_withheld = True
                    submitted = None if future is self._future else self._future
                if submitted is not None:
                    self._take_out(submitted)
                # One that goes on needs what it hands over.
                for one in filter(None, (future, submitted)):
                    one.add_done_callback(self._forget)
        return is_sure

    def _forget(self, done: Any = None) -> None:
        """Removes what was said of the call, when nobody will ask any more."""
        if done is not None:
            engine_bulk.forget(self._carrier.call)
        self._carrier.engine.claims.forget(self._carrier.call)

    def _let_go(self) -> None:
        self._future = None
        # They know the call, whose arguments would else live until garbage is collected.
        del self._check, self.send_whole
        if self._events is None:
            # A worker may have handed over what it returns, and been lost before it said so.
            engine_bulk.forget(self._carrier.call)
