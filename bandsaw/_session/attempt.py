"""How many times a call has begun its task, told to the task."""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from typing import Any

from .._system.importing import late_import

_current: ContextVar[int] = ContextVar("bandsaw_attempt", default=1)
# Whether a call of this process was in a later attempt than the first, or came with values to look
# at before its task is executed: until then nothing is done around it.
is_told = False


def get_attempt() -> int:
    """Tells a task how many times its call has begun it, this time included.

    Returns:
        1 in the first attempt, and outside of tasks, 2 in the second one, and so on.
    """
    return _current.get()


def execute(session: Any, number: int) -> Any:
    """Executes the task of a session in an attempt of that number."""
    code = session.__dict__.get("_code")
    if code is not None and code["values"]:
        with late_import:
            from .headers import look_at_code

        # Its module is loaded with it. Executing the task says why it cannot be loaded.
        with contextlib.suppress(Exception):
            _ = session.task.function
        look_at_code(session)
    token = _current.set(number)
    try:
        return session.task.execute(session.execution)
    finally:
        _current.reset(token)
