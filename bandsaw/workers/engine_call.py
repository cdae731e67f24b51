"""One session that an executor carries: submitted with all that it needs, and taken back."""

from __future__ import annotations

import contextlib
import json
import secrets
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, Callable, NamedTuple, Optional

from .._file import Carrier
from .._files import carrying
from .._system import ending
from ..distribution import DistributionArchive
from ..errors import RemoteConnectionError, WorkerDiedError, WorkerError, WorkerStartError
from ..run import get_run_id
from ..session import Session
from ..tasks import _FunctionWithClosureTask
from . import wire
from .call import Call
from .child import Child
from .engine import Engine, parts_of, submission
from .engine_hub import SERVER_ENDED
from .frames import SESSION, DeadlineError, Frame, Message
from .near_template import Kind, checked_hello
from .place import Place

# A machine that lacks the archive is brought it, which may reach another one of the machines.
_MOST_BRINGS = 3


class EngineChild(Child):
    """A process below an engine's worker, whose messages arrive when the call is over."""

    def __init__(self, kind: Kind, place: EnginePlace, check: Callable[[Any], None]) -> None:
        super().__init__(kind, place.engine.name, lambda was_lost: None, {})
        self._place = place
        self._check = check
        self._events: deque[tuple[bytes, Any]] = deque()
        self._frames: deque[Frame] = deque()
        self._end = ""
        self._future: Optional[Future[Any]] = None
        self._wakeup = threading.Event()
        self._messages: Any = None
        self._brings = 0
        self._seen = 0

    def send(self, *messages: Message, deadline: Optional[float] = None) -> None:
        """Submits the call. See `Child.send`."""
        (_, state, _), (_, session, _) = messages
        self._messages = b"".join(state), bytes(session[0]), b"".join(session[1:])
        self._submit(None)

    def _submit(self, archive: Any) -> None:
        place = self._place
        self._seen = place.engine.brought(place.archive)
        is_shared = place.engine.shared is not None
        if is_shared:
            archive = place.engine.archive_of(place.archive)
        what = submission(place.request, self._messages, archive, archive is not None)
        try:
            future = self._future = place.engine.submit(place.options, *what)
        except Exception as error:
            self._refuse(error)
            return
        del what
        future.add_done_callback(lambda done: self._wakeup.set())
        if self.is_cancelled:
            self.cancel()

    def _refuse(self, cause: Exception) -> None:
        self._place.is_broken(cause)
        name = self._place.name

        def error(what: str) -> WorkerError:
            if isinstance(cause, WorkerError):
                return cause
            said = f"{type(cause).__name__}: {cause}"
            made = WorkerStartError(f"A call cannot be submitted to {name}: {said}")
            made.__cause__ = cause
            return made

        self.loss, self.is_over = error, True

    def take(self) -> Optional[Frame]:
        """Takes a message that has arrived already. See `Child.take`."""
        return self._frames.popleft() if self._frames else None

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
            self._wakeup.wait(seconds)
            self._wakeup.clear()
        if future.done():
            self._future = None
            self._arrived(future)
        return True

    def _arrived(self, future: Future[Any]) -> None:
        try:
            answer = future.result()
        except (CancelledError, Exception) as error:
            self._is_lost_with(error)
            return
        word, self.host, *rest = answer
        if word == "missing":
            self._bring()
        elif word == "unfit":
            self.is_over = True
            self._check(json.loads(rest[0]))
        elif word == "events":
            events, self._end = rest
            self._events.extend(events)
            self._messages = None
            if self._end and self._end != "deadline":
                self._fail(self._end)
        else:
            self._fail(str(rest[0]))

    def _is_lost_with(self, error: BaseException) -> None:
        if not self.is_cancelled:
            self._place.is_broken(error)
            self._lose(error)
        self.is_over = True

    def _bring(self) -> None:
        place = self._place
        self._brings += 1
        if self._brings > _MOST_BRINGS:
            # Whatever machine it reaches: the call has all with it.
            self._submit(parts_of(place.archive))
            return
        try:
            place.engine.bring(place.archive, place.request, self._seen)
        except (CancelledError, Exception) as error:
            self._is_lost_with(error)
            return
        self._submit(None)

    def _take_next(self, letter: bytes, body: Any) -> None:
        if letter == b"A":
            head, data = body
            self._frames.append(Frame(head[0], head[1:], None, memoryview(bytearray(data))))
        elif letter == b"M":
            if body:
                self._frames.append(Frame(body[0], body[1:]))
        elif letter == b"S":
            self._take_event(body)
        elif letter == b"O":
            self._out.take(body)
        elif letter == b"R":
            self._errors.take(body)
        elif letter == b"H":
            self.is_over = True
            checked_hello(Frame(body[0], body[1:]), self.kind, self.host)

    def _fail(self, reason: str) -> None:
        def error(what: str) -> WorkerError:
            text = f"{what} on {self.host}: {reason}."
            if reason == SERVER_ENDED:
                return WorkerDiedError(text, 1, [self._place.name], None, None)
            return WorkerError(text)

        self.loss, self.is_over = error, True

    def _lose(self, cause: BaseException) -> None:
        name = self._place.name
        is_connection = isinstance(cause, (ConnectionError, EOFError))
        kind = RemoteConnectionError if is_connection else WorkerDiedError

        def error(what: str) -> WorkerError:
            said = f"{type(cause).__name__}: {cause}".rstrip(": ")
            made = kind(f"{what}: {name} says {said}", 1, [name], None, str(cause))
            made.__cause__ = cause
            return made

        self.loss = error

    def cancel(self) -> None:
        """Cancels the call if it has not begun, and has it ended if it has."""
        self.is_cancelled = True
        future = self._future
        if future is not None and not future.done() and not future.cancel():
            with contextlib.suppress(Exception):
                self._place.engine.kill(self._place.request["call"], future)
        self.is_over = True
        self._wakeup.set()

    def _let_go(self) -> None:
        self._future = None

    def abandon(self) -> None:
        """Leaves the call to the parent of this process. See `Child.abandon`."""


class Wanted(NamedTuple):
    """What a call wants of an executor.

    Attributes:
        options: The options of the call, as the engine names them.
        workers: How many processes are kept below a worker, `None` for one of each call.
        preload: The modules to import before processes are forked.
        directory: Where files may be made there, `None` for the folder for temporary files.
        variables: The environment variables that a task has there, besides those of the worker.
        seconds: How long the task may take.
    """

    options: Mapping[str, Any]
    workers: Optional[int]
    preload: tuple[str, ...]
    directory: Optional[str]
    variables: Mapping[str, str]
    seconds: Optional[float]


class EnginePlace(Place):
    """The workers of an executor.

    `is_broken`: told of an error that the executor gave instead of an answer.
    """

    def __init__(
        self,
        engine: Engine,
        archive: DistributionArchive,
        wanted: Wanted,
        is_broken: Callable[[BaseException], None],
    ) -> None:
        self.engine = engine
        self.archive = archive
        self.options = wanted.options
        self.is_broken = is_broken
        self.kind = Kind(engine.name, archive.digest, wanted.preload, ())
        self.name = f"executor {engine.name}"
        self._wanted = wanted
        self.check: Callable[[Any], None] = lambda hello: None
        self.request: dict[str, Any] = {
            "call": secrets.token_hex(16),
            "digest": archive.digest,
            "directory": wanted.directory,
            "environment": dict(wanted.variables),
            "preload": list(wanted.preload),
            "python": None,
            "run_id": get_run_id(),
            "seconds": wanted.seconds,
            "workers": wanted.workers,
        }

    def hello(self) -> Mapping[str, Any]:
        """Nothing has said anything before a call is submitted. See `Place.hello`."""
        return {}

    def start(self) -> Child:
        """Makes what will be a process. See `Place.start`."""
        return EngineChild(self.kind, self, self.check)

    def prepare_next(self) -> None:
        """Does nothing. See `Place.prepare_next`."""

    def inherited(self) -> dict[str, Any]:
        """Returns what processes inherit. See `Place.inherited`."""
        return {"overlay": dict(self._wanted.variables)}

    def inherited_once(self) -> dict[str, Any]:
        """Returns what they are told once. See `Place.inherited_once`."""
        return {"bulk_directory": self._wanted.directory, "below_executor": True}

    def carrier(self, session: Session) -> Carrier:
        """Returns what carries the files in a session there. See `Place.carrier`."""
        return carrying.Pointing(session)

    def message(self, members: Mapping[str, Sequence[Any]]) -> Message:
        """Makes the message of a session. See `Place.message`."""
        head, pieces, _ = wire.laid_out(members)
        return SESSION, [head, *pieces], None


class EngineCall(Call):
    """One session that an executor carries."""

    _place: EnginePlace

    def run(self) -> None:
        """Goes on with the session below an engine's worker, and takes it back."""
        place = self._place
        place.check = super()._check_can_read
        if isinstance(self._session.task, _FunctionWithClosureTask):
            place.request["python"] = list(sys.version_info[:2])
        with ending.held(self._end), self._packed() as message:
            child = self._start()
            try:
                self._begin_with(child)
                news = self.news(child, True)
                news["is_last"] = place.request["workers"] is None
                self._send(child, news, message, None)
                answer = self._answer(child, None, True)
                if news["is_last"]:
                    child.finish()
            except DeadlineError as error:
                raise self._timeout(child) from error
            finally:
                child.end()
        self._take_back(child, answer)

    def _check_can_read(self, hello: Mapping[str, Any]) -> None:
        """Leaves it to the other side, which is not known before it has the call."""
