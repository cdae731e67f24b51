"""The interface of an advice, and the way into a chain of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from .session import Session

if TYPE_CHECKING:
    from .config import Configuration
    from .execution import Execution
    from .result import Result


class Advice:
    """What happens around a task. Both methods only proceed until a subclass overrides them.

    Each call of `before` or `after` has to take exactly one step, once: `session.proceed()` or
    `session.conclude(result)`, or in `after` also `session.repeat()`. What stands after that step
    runs when everything later in the chain is over, so `with something: session.proceed()` in
    `before` is a valid advice.

    An advice keeps no state of a task on itself: one object serves all tasks, from any thread.

    Attributes:
        task_options: The options of `@task` that the advice reads from `session.task.kwargs`: their
            names, or a mapping from names to checks. A check is a function of the value. It returns
            `None`, or what is wrong with the value, such as `'has to be a number'`.
    """

    task_options: Union[Iterable[str], Mapping[str, Optional[Callable[[Any], Optional[str]]]]] = ()

    def before(self, session: Session) -> None:
        """Called on the way to the task.

        Args:
            session: The session of the call.
        """
        session.proceed()

    def after(self, session: Session) -> None:
        """Called on the way back, when `session.result` is there.

        Args:
            session: The session of the call.
        """
        session.proceed()


def advise_task_with_chain(
    task: Any,
    execution: Execution,
    configuration: Configuration,
    advice_chain: str = "default",
) -> Result:
    """Executes a task with the advices of a chain around it.

    Args:
        task: The task.
        execution: The arguments of the call.
        configuration: The configuration that has the chain.
        advice_chain: The name of the chain.

    Returns:
        The result of the task, or what an advice concluded with.

    Raises:
        UnknownChainError: If the configuration has no such chain (a `KeyError` and a `ValueError`).
        AdviceError: If an advice breaks the rules or raises an exception (a `RuntimeError`).
    """
    return Session(task, execution, configuration, advice_chain).initiate()
