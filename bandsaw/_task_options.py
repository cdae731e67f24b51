"""The options of `@task`: which there are, and which values they take.

Our own are known whatever the chain, without the modules of the advices that read them. An advice
of ours adds a line to `OURS`; one of the user's own declares its options as `Advice.task_options`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Callable, Optional

from ._arguments import MOST_SECONDS, count, seconds
from .errors import InvalidValueError, UnknownOptionError

# Says what is wrong with a value, `None` for nothing.
Check = Callable[[Any], Optional[str]]

# Options of `executor` may be given for each of them, under its name.
ENGINES = ("dask", "ray", "slurm")
# So similar are words of five letters of which one is wrong.
_SIMILAR = 0.8


def cache(value: Any) -> Optional[str]:
    """Wants what `CachingAdvice` understands."""
    if isinstance(value, Mapping):
        if set(value) <= {"refresh"} and isinstance(value.get("refresh", True), bool):
            return None
    elif isinstance(value, bool):
        return None
    return "has to be True, False, or {'refresh': True} for a task that is computed at each call"


def ssh(value: Any) -> Optional[str]:
    """Wants what `SshAdvice` understands."""
    if not isinstance(value, Mapping) or not set(value) <= {"remote", "retries"}:
        return (
            "has to be {'remote': 'NAME'}, with 'retries': 2 for example if it may be run again "
            "when the connection is lost"
        )
    retries, names = value.get("retries", 0), value.get("remote", "default")
    if type(retries) is not int or retries < 0:
        return "needs a whole number as 'retries', 0 or more"
    if not isinstance(names, str) and _names(names):
        return "needs the name of a remote or a list of such names as 'remote'"
    return None


def _list(value: Any) -> Optional[str]:
    return None if isinstance(value, (list, tuple)) else "has to be a list"


def _names(value: Any) -> Optional[str]:
    if isinstance(value, (list, tuple)) and value and all(type(name) is str for name in value):
        return None
    return "has to be a list of names"


def _state(value: Any) -> Optional[str]:
    if _list(value) or not all(
        type(name) is str and "." in name and all(map(str.isidentifier, name.split(".")))
        for name in value
    ):
        return "has to be a list of dotted names, such as ['lib._x']"
    return None


def mapping(value: Any) -> Optional[str]:
    if isinstance(value, Mapping) and all(isinstance(name, str) for name in value):
        return None
    return "has to be a dict with options as keys"


def executor(value: Any) -> Optional[str]:
    """Wants what `ExecutorAdvice` understands; an engine checks its own names when it is known."""
    problem = mapping(value)
    if problem is None and value.get("batch") is not None:
        problem = count(value["batch"])
        problem = problem and f"has a value of 'batch' that cannot be: it {problem}"
    for engine in ENGINES:
        if problem is None and engine in value and mapping(value[engine]):
            problem = f"has options for {engine!r} that cannot be: they have to be a dict"
    return problem


def _reasons(value: Any) -> Optional[str]:
    for one in value if isinstance(value, tuple) else (value,):
        is_class = isinstance(one, type)
        if not (issubclass(one, BaseException) if is_class else callable(one) and one is value):
            return (
                "has to be a type of exceptions, a tuple of such types, or a function of the "
                "exception"
            )
    return None


def _wait(value: Any) -> Optional[str]:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and 0 <= value <= MOST_SECONDS:
        return None
    return f"has to be a number, 0 or more, and at most {MOST_SECONDS}"


# What `RetryAdvice` takes.
RETRY: Mapping[str, Check] = {
    "attempts": count,
    "on": _reasons,
    "timeout": lambda value: None if value is None else seconds(value),
    "wait_initial": _wait,
    "wait_max": _wait,
    "wait_jitter": _wait,
    "wait_exp_base": _wait,
}


def retry(value: Any) -> Optional[str]:
    """Wants what `RetryAdvice` understands."""
    if mapping(value) or not set(value) <= set(RETRY):
        return f"has to be a dict with some of the keys {', '.join(RETRY)}"
    for name, given in value.items():
        problem = RETRY[name](given)
        if problem is not None:
            return f"has a value of {name!r} that cannot be: it {problem}"
    return None


OURS: Mapping[str, Optional[Check]] = {
    "batch": count,
    "cache": cache,
    "depends": _list,
    "executor": executor,
    "ignore": _list,
    "retry": retry,
    "ssh": ssh,
    "state": _state,
    "timeout": seconds,
    "version": None,
}
# Given like options, and taken by the decorator itself.
_TAKEN = ("chain", "config")
# These are the same as not to give the option.
_MAY_BE_NONE = frozenset(("batch", "timeout", "version"))


def check_value(name: str, value: Any, check: Check, task: Any) -> None:
    """Raises `InvalidValueError` for a value that an option cannot have."""
    problem = check(value)
    if problem is not None:
        raise InvalidValueError(f"Task {task}: {name}={value!r} cannot be used: it {problem}.")


def check_options(options: Mapping[str, Any], configuration: Any, chain: str, task: Any) -> None:
    """Checks what was given to `@task`, and raises for the first option that cannot be right."""
    known: dict[str, Optional[Check]] = {}
    for declared in _declared(configuration, chain):
        known.update(declared if isinstance(declared, Mapping) else dict.fromkeys(declared))
    known.update(OURS)
    for name, value in options.items():
        if name not in known:
            _check_name(name, [*known, *_TAKEN], configuration, task)
            continue
        if name == "ignore" and value:
            # Its names have to be those of parameters.
            task._known_arguments()
        check = known[name]
        if check is not None and not (value is None and name in _MAY_BE_NONE):
            check_value(name, value, check, task)


def _declared(configuration: Any, chain: str) -> Iterator[Any]:
    for advices in (*configuration._tuples.values(), configuration.get_advice_chain(chain)):
        for advice in advices:
            declared = getattr(advice, "task_options", ())
            yield (declared,) if isinstance(declared, str) else declared


def _check_name(name: str, known: list[str], configuration: Any, task: Any) -> None:
    from difflib import get_close_matches

    close = get_close_matches(name, known, 1, _SIMILAR)
    if not close and not configuration._is_strict:
        return
    meant = f"Did you mean {close[0]!r}?" if close else f"There are: {', '.join(sorted(known))}."
    raise UnknownOptionError(
        f"Task {task}: @task has no option {name!r}. {meant} An advice that reads an option of its "
        f"own declares it: task_options = ({name!r},)."
    )
