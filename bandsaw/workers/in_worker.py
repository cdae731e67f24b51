"""A call in an executor's worker itself, with the code that is loaded there.

near: session, digest of its code ──► run, in the worker: restore, compare, proceed ──► session
      the same, and what the archive with that digest holds ◄── NEW, what is to be compared

The worker may have another `__main__`, and may lack modules that the call does not need. So what is
compared is each module of the archive that is loaded there, or would be.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Mapping
from concurrent.futures import CancelledError
from concurrent.futures import Future as AnyFuture
from contextvars import ContextVar
from typing import Any, Callable, Optional

from .. import run as run_of_process
from .._archive import checkout, files
from .._files import carrying
from .._session import members, told
from .._system import ending
from ..errors import CodeMismatchError, TaskKilledError, WorkerDiedError, WorkerStartError
from ..session import Session
from . import boundary, engine_files, engine_memory
from .engine import Engine

# Whether the code that runs now is a call of this kind, whose calls run in place.
_is_inside: ContextVar[bool] = ContextVar("bandsaw_in_worker", default=False)
# Says that the worker does not know what a digest stands for.
NEW = b"new"
# By the digest of an archive: the extent of the code here when it was found to be the same.
_same: dict[str, tuple[int, int]] = {}


def is_inside() -> bool:
    """Says whether what runs now was submitted to an executor's worker."""
    return _is_inside.get()


def _others(members: Mapping[str, Any]) -> list[str]:
    """Names the modules that are other ones in this process than in an archive."""
    found = []
    for member, known in members.items():
        name = files.module_of(member)
        if name is None or name == "__main__":
            continue
        spec = files.locate(name)
        path = getattr(spec, "origin", None)
        if spec is None or not isinstance(path, str) or not os.path.isfile(path):
            continue  # whoever imports it is told
        text = checkout.loaded_text(os.path.abspath(path))
        text = files.read_file(path) if text is None else text
        if hashlib.sha256(text).hexdigest()[: len(known["digest"])] != known["digest"]:
            found.append(name)
    return found


def run(
    digest: str,
    held: Optional[Mapping[str, Any]],
    run_id: str,
    files_seen: str,
    engine: str,
    sent: Mapping[str, Any],
) -> Any:
    """Goes on with a session in this process; returns it, or the error that prevents that.

    `held`: what the archive with that digest holds. `NEW` is returned where that is `None`, and is
    needed. `sent`: has the session as its `data`, which an engine may move its own way.
    """
    back = io.BytesIO()
    token = _is_inside.set(True)
    try:
        # The worker may have made one of its own, or have served another run before.
        run_of_process._RUN_ID = run_id
        carrying.forget()
        carrying.take_over({"files_seen": files_seen == engine_files.files_seen()})
        session = Session().restore(io.BytesIO(sent["data"]))
        nonce = session.nonce
        extent = checkout.extent()
        if _same.get(digest) != extent:
            if held is None:
                return NEW
            others = _others(held)
            if others:
                raise CodeMismatchError(
                    f"Task {session.task} was not run: the executor's worker has other code than "
                    f"the caller in {', '.join(others[:5])}. Start its workers anew, or have calls "
                    "run in processes below them: ExecutorAdvice(isolate=True)."
                )
            _same[digest] = extent
        told.proceed(session)
        session._nonce = nonce
        with carrying.Homeward(session):
            session.save(back)
    except (KeyboardInterrupt, GeneratorExit):
        raise
    except BaseException as error:
        back = io.BytesIO()
        members.write_failure(back, error)
    finally:
        _is_inside.reset(token)
    return engine_memory.moved_by(engine)(back.getbuffer())


def cross(
    session: Session,
    engine: Engine,
    options: Mapping[str, Any],
    is_broken: Callable[[BaseException], None],
) -> None:
    def submit(*what: Any) -> AnyFuture[Any]:
        return engine.submit(options, run, *what)

    name = engine.name
    stream = io.BytesIO()
    with carrying.Pointing(session):
        place = boundary.send(session, stream)
    archive = session.distribution_archive
    # For workers that are forked from this process.
    _same[archive.digest] = checkout.extent()
    what = session.run_id, engine_files.files_seen(), engine.kind, {"data": stream.getvalue()}
    data = _answer(session, submit, name, is_broken, archive.digest, None, *what)
    if data == NEW:
        known = archive.contents
        data = _answer(session, submit, name, is_broken, archive.digest, known, *what)
    there = f"run by {name}"
    with carrying.Arrived(session):
        boundary.take_back(session, boundary.read(io.BytesIO(data), session, there), place, there)


def _answer(
    session: Session,
    submit: Any,
    name: str,
    is_broken: Callable[[BaseException], None],
    *what: Any,
) -> Any:
    try:
        future: AnyFuture[Any] = submit(*what)
    except Exception as error:
        is_broken(error)
        raise WorkerStartError(
            f"Task {session.task} cannot be submitted: {name} says {type(error).__name__}: {error}"
        ) from error
    try:
        # A call that has not begun can be cancelled; one that runs cannot be ended.
        with ending.held(future.cancel):
            return future.result()
    except CancelledError as error:
        raise TaskKilledError(
            f"Task {session.task} was killed before {name} began with it.", -9, [name], None, None
        ) from error
    except Exception as error:
        is_broken(error)
        raise WorkerDiedError(
            f"Task {session.task} was lost: {name} says {type(error).__name__}: {error}",
            1,
            [name],
            None,
            str(error),
        ) from error
