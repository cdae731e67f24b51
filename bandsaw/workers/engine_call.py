"""One session that an executor carries: submitted with all that it needs, and taken back."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Callable, NamedTuple, Optional

from .._file import Carrier
from .._files import carrying
from .._system import ending
from ..distribution import DistributionArchive
from ..errors import BandsawError
from ..run import get_run_id
from ..session import Session
from ..tasks import _FunctionWithClosureTask
from . import door, wire
from .call import Call
from .child import Child
from .claims import caller
from .engine import Engine
from .engine_child import EngineChild
from .engine_files import files_seen
from .frames import SESSION, DeadlineError, Message, NotBegunError
from .near_template import Check, Kind
from .place import Place

if TYPE_CHECKING:
    from .._files.crossing import Sent
    from .engine_carrying import Bringing


class Wanted(NamedTuple):
    """What a call wants of an executor."""

    options: Mapping[str, Any]  # the options of the call, as the engine names them
    # How many processes are kept below a worker, `None` for one of each call.
    workers: Optional[int]
    preload: tuple[str, ...]  # the modules to import before processes are forked
    # Where files may be made there, `None` for the folder for temporary files.
    directory: Optional[str]
    # The environment variables that a task has there, besides those of the worker.
    variables: Mapping[str, str]
    seconds: Optional[float]  # how long the task may take
    # How many calls of a `map` are submitted together, `None` for what is best.
    batch: Optional[int]


class EnginePlace(Place):
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
        self.batch = wanted.batch
        self.archive = archive
        self.options = wanted.options
        self.is_broken = is_broken
        self.kind = Kind(engine.name, archive.digest, wanted.preload, ())
        self.name = f"executor {engine.name}"
        self._wanted = wanted
        # Those in the arguments.
        self.files: list[Sent] = []
        self._bringing: Optional[Bringing] = None
        self.request: dict[str, Any] = {
            "beside": archive.places,
            "call": secrets.token_hex(16),
            "caller": list(caller(os.getpid())),
            "claims": engine.claims.path,
            "digest": archive.digest,
            "directory": wanted.directory,
            "door": door.opened(),
            "engine": engine.kind,
            "environment": dict(wanted.variables),
            "files": (),
            "files_back": engine.files_back,
            "files_seen": files_seen(),
            "preload": list(wanted.preload),
            "python": None,
            "repeats": engine.repeats
            or any(wanted.options.get(name) for name in ("retries", "max_retries")),
            "run_id": get_run_id(),
            "seconds": wanted.seconds,
            "workers": wanted.workers,
        }

    def start(self, check: Check) -> Child:
        """Leaves the check to the child: the other side is not known before it has the call."""
        return EngineChild(self.kind, self, check)

    def prepare_next(self) -> None:
        """Does nothing. See `Place.prepare_next`."""

    def inherited(self) -> dict[str, Any]:
        return {"overlay": dict(self._wanted.variables)}

    def inherited_once(self) -> dict[str, Any]:
        return {"bulk_directory": self._wanted.directory, "below_executor": True}

    def carrier(self, session: Session) -> Carrier:
        return (carrying.Pointing if self.engine.is_here else carrying.Delivering)(session)

    def deliver(self, carrier: Carrier, child: Child) -> dict[str, Any]:
        from .engine_carrying import described

        if isinstance(carrier, carrying.Delivering):
            self.files = list(carrier.files.values())
            self.request["files"] = described(self.engine, self.files)
        return {}

    def bringing(self, child: Child) -> Bringing:
        if self._bringing is None:
            from .engine_carrying import Bringing

            self._bringing = Bringing(self.engine, self.request, lambda: child.is_cancelled)
        return self._bringing

    def arrived(self, session: Session, child: Child) -> Carrier:
        if not isinstance(child, EngineChild) or child.files_back is None:
            return carrying.Arrived(session)
        from .engine_carrying import Arrived

        return Arrived(session, self.bringing(child), child.files_back)

    def message(self, members: Mapping[str, Sequence[Any]]) -> Message:
        head, pieces, _ = wire.laid_out(members)
        return SESSION, [head, *pieces], None


class EngineCall(Call):
    _place: EnginePlace

    def run(self, is_last_try: bool = True) -> None:
        place = self._place
        if isinstance(self._session.task, _FunctionWithClosureTask):
            place.request["python"] = list(sys.version_info[:2])
        with ending.held(self._end), self._packed() as message:
            child = self._place.start(self._check_can_read)
            try:
                self._begin_with(child)
                news = self._news(child, True)
                news["is_last"] = place.request["workers"] is None
                self._send(child, news, message, None)
                answer = self._answer(child, None, True)
                if news["is_last"]:
                    child.finish()
            except DeadlineError as error:
                raise self._timeout(child) from error
            except BandsawError as error:
                if not is_last_try and isinstance(child, EngineChild) and child.has_not_begun:
                    raise NotBegunError from error
                raise
            finally:
                held = ending.current.get()
                if held is not None:
                    held.withhold = None
                child.end()
        self._take_back(child, answer)

    def _begin_with(self, child: Child) -> None:
        super()._begin_with(child)
        held = ending.current.get()
        if held is not None and isinstance(child, EngineChild):
            held.withhold = child.withhold

    def _death(self, child: Child, how: str = "") -> BandsawError:
        return self._killed(child) if child.is_cancelled else super()._death(child, how)
