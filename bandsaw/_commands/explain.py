"""Why a call is served from the cache, or is not."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any, Optional

from .._cache import compare, entry, record
from .._cache.modes import mode_of
from ..advices.cache import CachingAdvice
from ..errors import InvalidValueError
from ..execution import Execution
from ..session import Session


class Explanation:
    """Why a call would be served from the cache, or would not.

    `print` it, or use its attributes.

    Attributes:
        task: The name of the task.
        is_hit: Whether the call would be served.
        can_be_made: Whether the arguments fit the task.
        reason: Why or why not.
        path: The path of the entry that the call has or would have.
        nearest: The path of the entry that differs least from the call, if it is not served and
            there is another entry of the task.
        differences: In what that entry differs, a sentence each.
    """

    __slots__ = ("can_be_made", "differences", "is_hit", "nearest", "path", "reason", "task")

    def __init__(
        self,
        task: str,
        is_hit: bool,
        reason: str,
        path: str,
        nearest: Optional[str] = None,
        differences: Sequence[str] = (),
        can_be_made: bool = True,
    ) -> None:
        self.can_be_made = can_be_made
        self.task = task
        self.is_hit = is_hit
        self.reason = reason
        self.path = path
        self.nearest = nearest
        self.differences = list(differences)

    def __str__(self) -> str:
        if not self.can_be_made:
            return f"{self.task} cannot be called like this: {self.reason}"
        outcome = "served from the cache" if self.is_hit else "computed"
        lines = [f"{self.task} would be {outcome}: {self.reason}"]
        if self.nearest is not None:
            lines.append(f"The nearest entry is {self.nearest}. It differs in this:")
            lines += compare.lines_of(self.differences)
        return "\n".join(lines)

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {self}>"


def explain(task: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Explanation:
    """Says whether a call would be served from the cache, and if not, what differs.

    The task is not executed, and nothing is written.

    Args:
        task: A decorated function, in whose chain is a `bandsaw.advices.cache.CachingAdvice`.
        *args: The positional arguments of the call.
        **kwargs: The keyword arguments of the call.

    Returns:
        The explanation. Of several caches in the chain it is that of the first one that would serve
        the call, or else of the first one.

    Raises:
        InvalidValueError: If the function is no task, or its chain has no cache (a `ValueError`).
        IdentityError: If an argument has no canonical form (a `TypeError`); names which one.
    """
    return explained(task, args, kwargs)


def explained(
    task: Callable[..., Any],
    args: Sequence[Any],
    kwargs: dict[str, Any],
    folders: Optional[Sequence[str]] = None,
    told: Callable[[str], str] = str,
) -> Explanation:
    """Explains a call by caches in folders, or by those of its chain.

    `told`: returns a path as it is, or the URL that it stands for in a picture of a store.
    """
    the_task = getattr(task, "bandsaw_task", None)
    if the_task is not None and hasattr(task, "__self__"):
        args = (task.__self__, *args)
    if the_task is None:
        raise InvalidValueError(f"explain() takes a function decorated with @task, not {task!r}.")
    chain = getattr(task, "bandsaw_chain", "default")
    if folders is None:
        advices = task.bandsaw_configuration.get_advice_chain(chain)  # type: ignore[attr-defined]
    else:
        advices = tuple(map(CachingAdvice, folders))
    caches = [advice for advice in advices if isinstance(advice, CachingAdvice)]
    if not caches:
        raise InvalidValueError(
            f"The advice chain {chain!r} of the task {the_task} has no CachingAdvice."
        )
    misfit = _misfit(the_task, args, kwargs)
    if misfit is not None:
        return Explanation(str(the_task), False, f"{misfit}.", "", can_be_made=False)
    execution = Execution(None, args, kwargs).of_task(the_task)
    session = Session(the_task, execution, task.bandsaw_configuration, chain)  # type: ignore[attr-defined]
    explanations = [_of_cache(cache, session, told) for cache in caches]
    return next((found for found in explanations if found.is_hit), explanations[0])


def _misfit(task: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Optional[TypeError]:
    try:
        task.signature.bind(*args, **kwargs)
    except TypeError as error:
        return error
    except (NotImplementedError, ValueError):
        pass  # nothing is known of its parameters
    return None


def _of_cache(cache: CachingAdvice, session: Session, told: Callable[[str], str]) -> Explanation:
    task, execution = session.task, session.execution
    folder, name = cache.place_of(task, execution)
    entry_path = os.path.join(folder, name)
    path = told(entry_path)
    mode = mode_of(task)
    if mode in ("off", "refresh"):
        what = "the cache is off" if mode == "off" else "it is to be refreshed"
        return Explanation(str(task), False, f"{what} for it.", path)
    if path != entry_path:
        # The picture of a store is without the contents of entries.
        if os.path.exists(entry_path):
            return Explanation(str(task), True, "the store has an entry.", path)
        problem: Optional[str] = ""
    else:
        problem = _problem(cache, folder, name)
    if problem is None and not cache.can_load(session):
        problem = (
            "its entry cannot be read: it was written by another serializer, or signed with "
            "another key or not at all."
        )
    if problem is None:
        return Explanation(str(task), True, "there is an intact entry.", path)
    if problem:
        return Explanation(str(task), False, problem, path)
    wanted = record.Record(
        str(task), time.time(), None, record.arguments_of(execution), record.parts_of(task)
    )
    nearest = compare.nearest_entry(cache.root, wanted, entry_path)
    if nearest is None:
        reason = f"{told(str(cache.directory))} has no entry of this task."
        return Explanation(str(task), False, reason, path)
    reason = "there is no entry for this code and these arguments."
    return Explanation(str(task), False, reason, path, told(nearest.path), nearest.differences)


def _problem(cache: CachingAdvice, folder: str, name: str) -> Optional[str]:
    """Says what is wrong with an entry: `None` for nothing, nothing if it is not there."""
    try:
        problem = entry.problem_of(folder, name)
        age = abs(time.time() - os.stat(os.path.join(folder, name)).st_mtime)
    except FileNotFoundError:
        return ""
    if problem is not None:
        return f"its entry cannot be used: {problem}."
    if cache.max_age is not None and age > cache.max_age:
        return f"its entry is {age:.0f} s old, and max_age is {cache.max_age:g} s."
    return None
