"""Whether a result may be kept under the id of its call, and whether it will be found again."""

from __future__ import annotations

import contextlib
import logging
import os
from typing import Any

from .. import modules
from .._system.importing import late_import
from ..errors import IdentityWarning
from ..tasks import Task

logger = logging.getLogger("bandsaw.advices.cache")


def settle(task: Any) -> None:
    """Takes what a call has filled as state, also of a call that failed or is not kept."""
    # A cache fails no call; where a result is to be kept, the same is looked at again, and told.
    with contextlib.suppress(Exception):
        if isinstance(task, Task):
            task._changed_since_read()


def may_be_kept(session: Any, computation: Any) -> bool:
    """Whether a result is that of the code and arguments that its id speaks of; else warns."""
    if computation.changes == session._moderator.changes:
        return not _is_of_other_code(session)
    logger.warning(
        "The result of %s is not kept in the cache: it was computed in a later attempt, from "
        "arguments that an earlier one had changed in place.",
        session.task,
    )
    return False


def _is_of_other_code(session: Any) -> bool:
    task = session.task
    if not isinstance(task, Task):
        return False
    hint = ""
    changed = task._changed_since_read()
    if changed:
        what = "this code was changed while the call ran"
    else:
        came_back = session.__dict__.get("_code")
        if came_back is None:
            return False
        # Nothing but what runs a task has to look at its own code.
        changed = (session._code_now() if modules.is_far_end else came_back)["differs"]
        what = "this is not the same in the process that ran it"
        hint = " A mock or a value that was set here is not seen there: tests need an empty chain."
    if not changed:
        return False
    _warn(
        task,
        f"The result of {task} is not kept: {what}: {', '.join(changed[:5])}"
        f"{' and more' if changed[5:] else ''}.{hint} Leave it out of the id with "
        "@task(state=[...]) if results do not depend on it.",
    )
    return True


_MOST_NAMES = 10
# The tasks of which it was looked whether variables keep them from being found again.
_looked_at: set[str] = set()


def warn_of_variables(task: Any, computation: Any) -> None:
    """Warns of a miss that only variables with other values in each process have caused.

    Not where the process has changed the code since it first read the id, as a sweep does.
    """
    folder = computation.folder
    if folder in _looked_at or not isinstance(task, Task) or task._was_another:
        return
    _looked_at.add(folder)
    with late_import:
        from . import compare

    names = compare.variables_that_differ(os.path.dirname(folder), folder, computation.name, task)
    if names:
        first, left = names[:_MOST_NAMES], len(names) - _MOST_NAMES
        more = f" and {left} more" if left > 0 else ""
        _warn(
            task,
            f"{task} was computed again though its code and arguments are those of an entry in the "
            f"cache: {', '.join(first)}{more} holds another value in this process. "
            f"Leave it out with @task(state={first!r}) if results do not depend on it.",
        )


def _warn(task: Task, text: str) -> None:
    try:
        _warn_where_it_is(task, text)
    except IdentityWarning as error:
        logger.warning("%s", error)  # where warnings are errors, the call goes on


def _warn_where_it_is(task: Task, text: str) -> None:
    import warnings

    with late_import:
        from .._identity.kinds import innermost

    # The place that matters is the code of the task, as for what cannot be followed.
    try:
        function = innermost(task.function)
    except NotImplementedError:
        warnings.warn(text, IdentityWarning, stacklevel=5)  # a task of a class of the user's
        return
    code, variables = function.__code__, function.__globals__
    warnings.warn_explicit(
        text,
        IdentityWarning,
        code.co_filename,
        code.co_firstlineno,
        str(variables.get("__name__")),
        variables.setdefault("__warningregistry__", {}),
    )
