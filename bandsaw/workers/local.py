"""A call in another process of this machine."""

from __future__ import annotations

from typing import Any, Optional

from ..session import Session
from .call import Call
from .code import code_for
from .place import LocalPlace
from .pool import Pool


def in_own_process(
    session: Session, made_of: Any, seconds: Optional[float], heartbeat: Optional[float]
) -> None:
    place = LocalPlace(code_for(session._known_configuration()), *made_of)
    Call(session, place, seconds, heartbeat).in_own_process()


def in_warm_process(
    session: Session,
    made_of: Any,
    seconds: Optional[float],
    heartbeat: Optional[float],
    pool: Pool,
    idle_seconds: Optional[float],
) -> None:
    """Goes on with a session in a process of a pool, which knows where the last call went."""
    Call(session, _place_of(pool, session, made_of), seconds, heartbeat).in_warm_process(
        pool, idle_seconds
    )


def _place_of(pool: Pool, session: Session, made_of: Any) -> LocalPlace:
    code = code_for(session._known_configuration())
    place: Optional[LocalPlace] = pool.place
    if place is None or not place.is_for(code, made_of):
        place = pool.place = LocalPlace(code, *made_of)
    return place
