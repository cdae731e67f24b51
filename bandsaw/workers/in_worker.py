"""A call in an executor's worker itself, with the code that is loaded there.

near: session, digest of its code ──► run, in the worker: restore, compare, proceed ──► session
"""

from __future__ import annotations

import io
from concurrent.futures import CancelledError
from concurrent.futures import Future as AnyFuture
from contextvars import ContextVar
from typing import Any, Callable

from .. import run as run_of_process
from .._files import carrying
from .._session import members, told
from .._system import ending
from ..errors import CodeMismatchError, TaskKilledError, WorkerDiedError, WorkerStartError
from ..session import Session
from . import boundary, engine_files

# Whether the code that runs now is a call of this kind, whose calls run in place.
_is_inside: ContextVar[bool] = ContextVar("bandsaw_in_worker", default=False)


def is_inside() -> bool:
    """Says whether what runs now was submitted to an executor's worker."""
    return _is_inside.get()


def run(digest: str, run_id: str, files_seen: str, data: bytes) -> bytes:
    """Goes on with a session in this process; returns it, or the error that prevents that."""
    back = io.BytesIO()
    token = _is_inside.set(True)
    try:
        # The worker may have made one of its own, or have served another run before.
        run_of_process._RUN_ID = run_id
        carrying.forget()
        carrying.take_over({"files_seen": files_seen == engine_files.files_seen()})
        session = Session().restore(io.BytesIO(data))
        nonce = session.nonce
        here = session.distribution_archive.digest
        if here != digest:
            raise CodeMismatchError(
                f"Task {session.task} was not run: the executor's worker has loaded other code "
                f"(archive {here[:12]}, and {digest[:12]} is wanted). Start its workers anew, or "
                "have calls run in processes below them: ExecutorAdvice(isolate=True)."
            )
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
    return back.getvalue()


def cross(
    session: Session, submit: Any, name: str, is_broken: Callable[[BaseException], None]
) -> None:
    stream = io.BytesIO()
    with carrying.Delivering(session):
        place = boundary.send(session, stream)
    digest = session.distribution_archive.digest
    there = f"run by {name}"
    try:
        seen = engine_files.files_seen()
        future: AnyFuture[bytes] = submit(run, digest, session.run_id, seen, stream.getvalue())
    except Exception as error:
        is_broken(error)
        raise WorkerStartError(
            f"Task {session.task} cannot be submitted: {name} says {type(error).__name__}: {error}"
        ) from error
    try:
        # A call that has not begun can be cancelled; one that runs cannot be ended.
        with ending.held(future.cancel):
            data = future.result()
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
    with carrying.Arrived(session):
        boundary.take_back(session, boundary.read(io.BytesIO(data), session, there), place, there)
