"""What a cache is asked to do with a call, and the name of the call's entry."""

from __future__ import annotations

import os
from typing import Any, Optional

from .. import _task_options
from .._task_options import check_value
from ..errors import IdentityError, InvalidValueError

MODE_ENV_VARIABLE = "BANDSAW_CACHE"
_MODE_KEY = getattr(os.environ, "encodekey", str)(MODE_ENV_VARIABLE)
_MODES = ("off", "refresh", "read-only")
_LONGEST_NAME = 128


def mode_of(task: Any) -> Optional[str]:
    """Says what a cache is to do with the calls of a task.

    Args:
        task: The task.

    Returns:
        `'off'`, `'refresh'`, `'read-only'`, or `None` for the usual.

    Raises:
        InvalidValueError: If the task's `cache` keyword or `BANDSAW_CACHE` has a value that means
            nothing (a `ValueError`).
    """
    environ: Any = os.environ
    try:
        # On the way of each hit: 0.1 us in place of 1 where it is not set.
        is_set = _MODE_KEY in environ._data
    except AttributeError:
        is_set = True  # somebody has put something else there
    mode = (environ.get(MODE_ENV_VARIABLE) or None) if is_set else None
    if mode is not None and mode not in _MODES:
        known = ", ".join(map(repr, _MODES))
        raise InvalidValueError(
            f"The environment variable {MODE_ENV_VARIABLE} cannot be {mode!r}. It may be {known}, "
            "or not set."
        )
    option = (getattr(task, "kwargs", None) or {}).get("cache", True)
    if option is True or mode == "off":
        return mode
    if option is False:
        return "off"
    check_value("cache", option, _task_options.cache, task)
    return "refresh" if option.get("refresh") and mode is None else mode


def entry_name(an_id: Any) -> str:
    """Returns an id as the name of a file; one that cannot be is replaced by its digest."""
    if type(an_id) is str and an_id.isalnum() and an_id.isascii() and len(an_id) <= _LONGEST_NAME:
        return an_id
    if an_id is None:
        raise IdentityError("A call without an id cannot be cached: its task has no signature.")
    text = str(an_id)
    if type(an_id) is str and text.isprintable() and 0 < len(text.encode()) <= _LONGEST_NAME:
        # What begins with a dot or an underscore is ours.
        if text[0] not in "._" and not set(text) & set("/\\:"):
            return text
    from hashlib import sha256

    named = text if type(an_id) is str else f"{type(an_id).__qualname__} {text}"
    return "_" + sha256(named.encode("utf-8", "surrogatepass")).hexdigest()
