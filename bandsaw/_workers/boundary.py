"""A session that goes to another process and comes back.

here                                   there
before(k) ─ send ──── session ───────► restore, proceed: before(k+1) ... task ... after(k+1)
before(k) ◄ take_back ─ session ────── save, when the walk has come to after(k), which stops it
    └─ proceed: after(k-1) ...
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Optional

from .._file import FileCarrier
from .._session import members, packing
from .._session.headers import NEW
from .._session.members import Saved
from ..context import Context
from ..errors import BandsawError
from ..session import Session
from . import inheritance, notices


def send(
    session: Session, stream: BinaryIO, environment: Optional[Mapping[str, str]] = None
) -> int:
    """Saves a session at an advice that moves it; returns its position in the chain from 1."""
    vars(session)["_warnings"] = {"filters": inheritance.filters()}
    session.save(stream, environment)
    return session._moderator.before_called


def packed(session: Session) -> tuple[int, dict[str, Sequence[Any]]]:
    """Writes a session as members, see `send`."""
    return session._moderator.before_called, packing.packed(session, new_values(session))


def new_values(session: Session) -> dict[str, str]:
    found = {}
    # Most calls never ask for one.
    context = getattr(session, "_context", None)
    if context is None or (type(context) is Context and not context.attributes):
        found["context"] = NEW
    if session.result is None:
        found["result"] = NEW
    return found


def take_back(session: Session, saved: Saved, position: int, there: str) -> None:
    returned = Session()
    try:
        returned._unpack(saved, session)
    except BandsawError as error:
        located(error, session, there)
        raise
    # Where a file is lost with the connection, the session can be sent once more.
    FileCarrier.check()
    packing.go_on_with(session, returned._moderator, position)
    session.task, session.execution = returned.task, returned.execution
    session.context, session.result = returned.context, returned.result
    session._code = returned._code
    if returned.facts:
        session.facts.update(returned.facts)
    for content in saved.header.get("warnings", {}).get("issued", ()):
        notices.issue(content)


def read(stream: BinaryIO, session: Session, there: str) -> Saved:
    """Reads a session that comes back, or raises what came in its place."""
    try:
        return members.read(stream)
    except BandsawError as error:
        located(error, session, there)
        raise


def located(error: BaseException, session: Session, there: str) -> BaseException:
    if isinstance(error, BandsawError) and error.where is None:
        error.where = f"task {session.task}{session._execution_name() or ','} {there}"
    return error
