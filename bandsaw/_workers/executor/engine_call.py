"""One session that an executor carries: submitted with all that it needs, and taken back."""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from ..._file import FileCarrier
from ..._files import carrying
from ..._session import telling
from ..._system import callers, ending
from ..._system.processes import flags_as_variables
from ...distribution import DistributionArchive
from ...errors import BandsawError
from ...run import get_run_id
from ...session import Session
from ...tasks import _FunctionWithClosureTask
from .. import repeat_calls
from ..call import MOST_SHAPES, Call
from ..carrier import Carrier, inherited_everywhere
from ..child import Child
from ..frames import FAILURE, STATE, DeadlineError, Message, NotBegunError
from ..near_fork_server import Check, ProcessKind
from . import engine_bulk
from .engine import Engine, Known
from .engine_child import EngineChild
from .engine_claims import caller, files_seen

if TYPE_CHECKING:
    from ..._files.crossing import Sent
    from .engine_carrying import Bringing


class Wanted(NamedTuple):
    """What a call wants of an executor."""

    options: Mapping[str, Any]  # the options of the call, as the engine names them
    # How many processes are kept below a worker, `None` for one of each call.
    workers: Optional[int]
    preload: tuple[str, ...]  # the modules to import before processes are forked
    # The environment variables that a task has there, besides those of the worker.
    variables: Mapping[str, str]
    seconds: Optional[float]  # how long the task may take
    # How many calls of a `map` are submitted together, `None` for what is best.
    batch: Optional[int]


class ExecutorCarrier(Carrier):
    """The workers of an executor; `is_broken` is told of errors in place of answers."""

    def __init__(
        self,
        engine: Engine,
        archive: DistributionArchive,
        wanted: Wanted,
        task: str,
        is_broken: Callable[[BaseException], None],
    ) -> None:
        self.engine = engine
        self.task = task
        self.archive = archive
        self.is_broken = is_broken
        self.kind = ProcessKind(engine.name, archive.digest, wanted.preload, ())
        self.name = f"executor {engine.name}"
        self.wanted = wanted
        # By which workers know calls of the kind, `None` if they keep none in mind.
        self.shape: Optional[str] = None
        # Those in the arguments.
        self.files: list[Sent] = []
        self._bringing: Optional[Bringing] = None
        self.call = callers.new_nonce()  # its name
        self.request = self._request()

    def _request(self) -> Mapping[str, Any]:
        """Returns what calls like this one tell a worker, made anew where it may have changed."""
        engine, archive, wanted = self.engine, self.archive, self.wanted
        made_of = (
            *(wanted, archive.digest, archive.places, get_run_id(), caller(os.getpid())),
            *(engine.claims.path, engine_bulk.door()),
        )
        known, request = engine.request
        if known == made_of:
            return request
        # What processes below a worker have from the beginning.
        common = {
            "beside": archive.places,
            "digest": archive.digest,
            "environment": {**flags_as_variables(), **wanted.variables},
            "preload": list(wanted.preload),
            "run_id": get_run_id(),
        }
        request = {
            **common,
            "common": hashlib.sha256(
                json.dumps(common, sort_keys=True).encode("ascii")
            ).hexdigest(),
            "caller": list(caller(os.getpid())),
            "claims": engine.claims.path,
            "door": engine_bulk.door(),
            "engine": engine.kind,
            "files": (),
            "files_back": engine.files_back,
            "files_seen": files_seen(),
            "python": None,
            "repeats": engine.repeats
            or any(wanted.options.get(name) for name in ("retries", "max_retries")),
            "seconds": wanted.seconds,
            "workers": wanted.workers,
        }
        engine.request = made_of, request
        return request

    def state(self, child: Child) -> bytes:
        """Returns the body of STATE for a process that may know nothing yet."""
        is_last = self.wanted.workers is None
        seen = inherited_everywhere(), self.wanted.variables, get_run_id(), is_last
        known, told = self.engine.told
        if known != seen:
            news = {**self.news(child, True), "is_last": is_last}
            told = json.dumps(news).encode("ascii")
            self.engine.told = seen, told
        return told

    def start(self, check: Check) -> EngineChild:
        """Leaves the check to the child: the other side is not known before it has the call."""
        return EngineChild(self.kind, self, check)

    def inherited(self) -> dict[str, Any]:
        return {"overlay": dict(self.wanted.variables)}

    def inherited_once(self) -> dict[str, Any]:
        return {"below_executor": True, "has_place": True}

    def file_carrier(self, session: Session) -> FileCarrier:
        return (carrying.Pointing if self.engine.is_here else carrying.Delivering)(session)

    def deliver(self, file_carrier: FileCarrier, child: Child) -> dict[str, Any]:
        from .engine_carrying import described

        assert isinstance(file_carrier, carrying.Delivering)
        self.files = list(file_carrier.files.values())
        self.request = {**self.request, "files": described(self.engine, self.files)}
        return {}

    def bringing(self, child: Child) -> Bringing:
        if self._bringing is None:
            from .engine_carrying import Bringing

            self._bringing = Bringing(self.engine, self.request, lambda: child.is_cancelled)
        return self._bringing

    def arrived(self, session: Session, child: Child) -> FileCarrier:
        if not isinstance(child, EngineChild) or child.files_back is None:
            return carrying.Arrived(session)
        from .engine_carrying import Arrived

        return Arrived(session, self.bringing(child), child.files_back)


class EngineCall(Call):
    _carrier: ExecutorCarrier
    _known: Optional[Known] = None

    def run(self, is_last_try: bool = True) -> None:
        carrier = self._carrier
        if isinstance(self._session.task, _FunctionWithClosureTask):
            carrier.request = {**carrier.request, "python": list(sys.version_info[:2])}
        with ending.held(self._end):
            message = self._short() or self._whole()
            child = carrier.start(self._check_can_read)
            child.send_whole = lambda: self._send_whole(child)
            try:
                self._begin_with(child)
                self._submit(child, message)
                del message
                answer = self._answer(child, None, True)
                if carrier.request["workers"] is None:
                    child.finish(task=str(self._session.task))
                elif self._known is not None:
                    self._known.has_come_back |= answer.kind != FAILURE
            except DeadlineError:
                raise self._timeout(child) from None
            except BandsawError as error:
                if not is_last_try and child.has_not_begun:
                    raise NotBegunError from error
                raise
            finally:
                held = ending.current.get()
                if held is not None:
                    held.withhold = None
                child.end()
        self._take_back(child, answer)

    def _short(self) -> Optional[Message]:
        """Returns the message of a call like an earlier one, `None` if it is to be sent whole."""
        carrier = self._carrier
        shape = (
            repeat_calls.shape_of(self._session) if carrier.request["workers"] is not None else None
        )
        if shape is None:
            return None
        shapes = carrier.engine.shapes
        known = shapes.get(shape.key)
        if known is None:
            if len(shapes) >= MOST_SHAPES:
                return None
            known = shapes.setdefault(shape.key, Known(shape))
        self._known, carrier.shape = known, known.name
        if known.is_owed or not known.has_come_back:
            known.is_owed = False
            return None
        self._position = self._session._moderator.before_called
        return repeat_calls.message(known.name, self._session, self._file_carrier_of)

    def _send_whole(self, child: EngineChild) -> None:
        if self._known is not None:
            self._known.is_owed = True
        self._submit(child, self._whole())

    def _whole(self) -> Message:
        with self._packed() as message:
            return message

    def _submit(self, child: EngineChild, message: Message) -> None:
        if self._file_carrier.has_files:
            self._carrier.deliver(self._file_carrier, child)
        if telling.wanted:
            self._session.facts.update(telling.sent(message, child.host, self._carrier.name))
        child.send((STATE, (self._carrier.state(child),), None), message)

    def _begin_with(self, child: Child) -> None:
        super()._begin_with(child)
        held = ending.current.get()
        if held is not None and isinstance(child, EngineChild):
            held.withhold = child.withhold

    def _death(self, child: Child, how: str = "") -> BandsawError:
        return self._killed(child) if child.is_cancelled else super()._death(child, how)
