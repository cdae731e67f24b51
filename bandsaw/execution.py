"""An execution: the arguments of one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Optional

from .serialization.values import SerializableValue

if TYPE_CHECKING:
    from .tasks import Task


class Execution(SerializableValue):
    """The arguments of one call of a task, and an id that is derived from them.

    Args:
        execution_id: The id. `None` for a call of a task that was tied to it with `of_task`: then
            the id is made from the arguments when it is first read.
        args: The positional arguments, by default none.
        kwargs: The keyword arguments, by default none.

    Attributes:
        args: The positional arguments.
        kwargs: The keyword arguments.
    """

    __slots__ = ("_execution_id", "_task", "args", "kwargs")

    def __init__(
        self,
        execution_id: Optional[str],
        args: Optional[Sequence[Any]] = None,
        kwargs: Optional[Mapping[str, Any]] = None,
    ) -> None:
        self._execution_id = execution_id
        self._task: Optional[Task] = None
        self.args: Sequence[Any] = () if args is None else args
        self.kwargs: Mapping[str, Any] = {} if kwargs is None else kwargs

    def of_task(self, task: Task) -> Execution:
        """Ties the execution to a task, whose signature its id is made with.

        Args:
            task: The task that is called.

        Returns:
            This execution.
        """
        self._task = task
        return self

    @property
    def execution_id(self) -> Any:
        """The id: the same for the same arguments, however they were passed.

        Raises:
            IdentityError: If an argument has no canonical form (a `TypeError`); names which one.
        """
        if self._execution_id is None and self._task is not None:
            self._execution_id = self._task.execution_id_of(self.args, self.kwargs)
        return self._execution_id

    @execution_id.setter
    def execution_id(self, execution_id: Optional[str]) -> None:
        self._execution_id = execution_id

    def serialized(self) -> dict[str, Any]:
        """Returns `execution_id` (`None` if nobody has read it yet), `args` and `kwargs`."""
        return {"execution_id": self._execution_id, "args": self.args, "kwargs": self.kwargs}

    @classmethod
    def deserialize(cls, values: Mapping[str, Any]) -> Execution:
        """Makes an execution from what `serialized` returned."""
        return cls(values["execution_id"], values["args"], values["kwargs"])

    def __reduce__(self) -> Any:
        return type(self), (self._execution_id, self.args, self.kwargs)

    def __repr__(self) -> str:
        return f"Execution({self._execution_id!r}, args={self.args!r}, kwargs={self.kwargs!r})"
