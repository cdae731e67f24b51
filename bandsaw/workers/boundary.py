"""A session that goes to another process and comes back.

here                                   there
before(k) ─ send ──── session ───────► restore, proceed: before(k+1) ... task ... after(k+1)
before(k) ◄ take_back ─ session ────── save, when the walk has come to after(k), which stops it
    └─ proceed: after(k-1) ...
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import BinaryIO, Optional

from .. import _session_file
from ..errors import BandsawError
from ..session import Session


def send(
    session: Session, stream: BinaryIO, environment: Optional[Mapping[str, str]] = None
) -> int:
    """Saves a session whose innermost open call is an advice that moves it to another process.

    Args:
        session: The session.
        stream: Where to.
        environment: Variables for the far end to set before it does anything else.

    Returns:
        The place of that advice in the chain, counted from 1, for `take_back`.

    Raises:
        UnguardedCallError: If loading the task calls it again (a `RuntimeError`).
    """
    session.save(stream, environment)
    return session._moderator.before_called


def take_back(session: Session, stream: BinaryIO, place: int, there: str) -> None:
    """Restores a session that another process went on with.

    Args:
        session: The session that was sent. It is replaced.
        stream: Where from.
        place: The place of the advice that moved it.
        there: Says in errors where the other process was.

    Raises:
        SessionFileError: If the stream holds another session or none (a `ValueError`). No value of
            it was loaded.
        SignatureError: If the serializer has a key, and the session is not signed with it.
        AdviceError: If the walk stopped short of where it was to come back (a `RuntimeError`).
        BandsawError: The error that the other process sent instead.
    """
    task = session.task
    returned = Session()
    try:
        returned._unpack(_session_file.read(stream), session)
    except BandsawError as error:
        if error.where is None:
            error.where = f"task {task}, {there}"
        raise
    moderator = returned._moderator
    left = moderator.before_called - moderator.after_called - moderator._left_out
    if not (moderator.task_called and left == place - 1) and not moderator.is_finished:
        raise returned.stopped_short(moderator, " in the other process")
    moderator.take_over(session._moderator)
    session.task, session.execution = returned.task, returned.execution
    session.context, session.result = returned.context, returned.result
    session._moderator = moderator


def execution_of(session: Session) -> str:
    """Names the execution in messages, as far as its id is known already: it may cost much."""
    execution_id = getattr(session.execution, "_execution_id", None)
    return "" if execution_id is None else f", execution {execution_id},"
