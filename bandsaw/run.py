"""The run id: one name for one run of a workflow in all its processes."""

from __future__ import annotations

import os
import threading
from typing import Optional

from .errors import InvalidValueError, RunIdError

_RUN_ID: Optional[str] = None
_LOCK = threading.Lock()
# The id of the run of another process that this one works for.
_given: Optional[str] = None


def get_run_id() -> str:
    """Returns the id of this run.

    It is made on first use, at the latest when the first task is defined, and stays the same from
    then on. Processes that work for this run are given it.

    Returns:
        The id: 16 random hexadecimal digits unless `set_run_id` was called.
    """
    global _RUN_ID
    if _RUN_ID is None:
        with _LOCK:
            if _RUN_ID is None:
                _RUN_ID = os.urandom(8).hex()
    return _RUN_ID


def set_run_id(run_id: str) -> None:
    """Sets the id of this run.

    Args:
        run_id: The id, a text that is not empty and does not begin with `-`. Has to be set before
            the first task is defined. A process that works for a run has its id already, and does
            nothing here: so a script may set it above its tasks.

    Raises:
        RunIdError: If the id is already fixed (a `RuntimeError`).
        InvalidValueError: If it is not such a text (a `ValueError`).
    """
    global _RUN_ID
    if not isinstance(run_id, str) or not run_id or run_id.startswith("-"):
        raise InvalidValueError(
            f"A run id is a text that is not empty and does not begin with '-', not {run_id!r}"
        )
    with _LOCK:
        if _RUN_ID is not None:
            if _RUN_ID == _given:
                return
            raise RunIdError(
                f"Run ID was already set to '{_RUN_ID}'. Call set_run_id() before the first task "
                "is defined."
            )
        _RUN_ID = run_id


def take_run_id(run_id: str) -> None:
    """Takes over the id of the run that this process works for."""
    global _RUN_ID, _given
    with _LOCK:
        _RUN_ID = _given = run_id
