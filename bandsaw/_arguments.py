"""Refuses what an object of ours cannot be made with, by an error that names the argument."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Any, Callable, Optional

from .errors import ConfigurationTypeError, InvalidValueError

# About a year.
MOST_SECONDS = 30_000_000


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def seconds(value: Any) -> Optional[str]:
    """Says what is wrong with a time span."""
    if _is_number(value) and 0 < value <= MOST_SECONDS:
        return None
    return f"has to be a number of seconds above 0, such as 30, and at most {MOST_SECONDS}"


def count(value: Any) -> Optional[str]:
    """Says what is wrong with a number of things."""
    return None if type(value) is int and value > 0 else "has to be a whole number above 0"


def checked_path(name: str, value: Any, of: str = "") -> Any:
    path = os.fspath(value) if isinstance(value, os.PathLike) else value
    if isinstance(path, str) and path:
        is_of_home = path[:2] in ("~", "~/")
        # `Path("s3://x")` is "s3:/x"; one letter is a drive of Windows.
        scheme, is_url, _ = path.partition(":/")
        if is_of_home or (is_url and scheme.isalnum() and len(scheme) > 1):
            # Only then: every process of a task imports this module.
            import warnings

            instead = "Did you mean Path(...).expanduser()?"
            if is_url:
                instead = "What takes a URL is CachingAdvice(shared=...)."
            warnings.warn(
                f"{name}={value!r}{of} means a path of that very name in the working directory. "
                f"{instead}",
                stacklevel=3,
            )
        return value
    raise InvalidValueError(f"{name}={value!r}{of} has to be a path.")


def checked_flag(name: str, value: Any, of: str = "") -> bool:
    if isinstance(value, bool):
        return value
    raise InvalidValueError(f"{name}={value!r}{of} has to be True or False.")


def checked_bound(name: str, bound: Any, unit: str) -> Any:
    if bound is None or (_is_number(bound) and bound > 0):
        return bound
    raise InvalidValueError(
        f"{name} has to be a number of {unit} above zero, or None for none, not {bound!r}"
    )


def checked_count(name: str, value: Any) -> Any:
    """Refuses what is no number of things, and not `None`."""
    if value is not None and count(value) is not None:
        raise InvalidValueError(f"{name}={value!r} {count(value)}.")
    return value


def checked_seconds(name: str, value: Any, whose: str) -> None:
    """Refuses what is no time span."""
    problem = seconds(value)
    if problem is not None:
        raise InvalidValueError(f"{whose}: {name}={value!r} {problem}.")


def checked_patience(name: str, value: Any) -> Optional[float]:
    """Returns how many seconds one waits at most, `None` for as long as it takes."""
    if value is None:
        return None
    # Numbers of any library.
    is_number = hasattr(value, "__float__") and not isinstance(value, bool)
    number = float(value) if is_number else float("nan")
    if number != number:
        raise InvalidValueError(f"{name}={value!r} has to be a number of seconds, or None.")
    return None if number > MOST_SECONDS else number


def checked_options(
    workers: Optional[int],
    max_tasks: Optional[int],
    idle_timeout: Optional[float],
    preload: Sequence[str],
    whose: str,
) -> tuple[Optional[int], Optional[int], Optional[float], tuple[str, ...]]:
    """Refuses options about processes that cannot be used."""
    checked_count("workers", workers)
    checked_count("max_tasks", max_tasks)
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


def naming_task(function: Callable[..., Any]) -> Callable[..., Any]:
    """Has a `map` refuse wrong keywords by an error that names the task."""

    @functools.wraps(function)
    def checked(task_function: Any, /, *args: Any, **options: Any) -> Any:
        for name in options:
            if name not in ("buffersize", "timeout"):
                raise TypeError(
                    f"map() of task {task_function.bandsaw_task} has no option {name!r}. What the "
                    "task is called with is given by position, as iterables: "
                    "itertools.repeat(value) for one value."
                )
        return function(task_function, *args, **options)

    return checked


def check_part(part: Any, wanted: str, *methods: str, otherwise: str = "") -> None:
    """Refuses a class that was not called, a name, a list, and what has none of some methods."""
    is_plain = type(part).__module__ == "builtins" and type(part) is not object
    has_some = not methods or any(hasattr(part, method) for method in methods)
    if isinstance(part, type) or is_plain:
        otherwise = ""
        if isinstance(part, type) and has_some:
            otherwise = f" Make one of the class: {part.__name__}(...)."
        elif isinstance(part, (list, tuple)):
            otherwise = " Give each one by itself, not in a list."
    elif has_some:
        return
    raise ConfigurationTypeError(f"{part!r} was given in place of {wanted}.{otherwise}")
