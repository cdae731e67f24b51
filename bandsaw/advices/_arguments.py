"""Refuses what an advice cannot be made with, by an error that names the argument."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, Optional

from .._task_options import seconds
from ..errors import InvalidValueError


def checked_path(name: str, value: Any) -> Any:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(path, str):
        return value
    raise InvalidValueError(f"{name}={value!r} has to be a path.")


def checked_flag(name: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    raise InvalidValueError(f"{name}={value!r} has to be True or False.")


def checked_bound(name: str, bound: Any) -> Any:
    is_number = isinstance(bound, (int, float)) and not isinstance(bound, bool)
    if bound is None or (is_number and bound > 0):
        return bound
    raise InvalidValueError(
        f"{name} has to be a number above zero, or None for none, not {bound!r}"
    )


def checked_seconds(name: str, value: Any, whose: str) -> None:
    """Refuses what is no time span."""
    problem = seconds(value)
    if problem is not None:
        raise InvalidValueError(f"{whose}: {name}={value!r} {problem}.")


def checked_options(
    workers: Optional[int],
    max_tasks: Optional[int],
    idle_timeout: Optional[float],
    preload: Sequence[str],
    whose: str,
) -> tuple[Optional[int], Optional[int], Optional[float], tuple[str, ...]]:
    """Refuses options about processes that cannot be used."""
    for name, value in (("workers", workers), ("max_tasks", max_tasks)):
        if value is not None and not (type(value) is int and value > 0):
            raise InvalidValueError(f"{name}={value!r} has to be a whole number above 0.")
    if idle_timeout is not None:
        checked_seconds("idle_timeout", idle_timeout, whose)
    if workers is None and not (max_tasks is None and idle_timeout is None):
        raise InvalidValueError(
            "max_tasks and idle_timeout are about warm processes: add workers=N."
        )
    if not isinstance(preload, (list, tuple)) or not all(
        isinstance(name, str) and name for name in preload
    ):
        raise InvalidValueError(
            f"preload={preload!r} has to be a list of the names of modules: preload=['numpy']."
        )
    return workers, max_tasks, idle_timeout, tuple(preload)
