"""An execution: the arguments of one call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .errors import IdentityError
from .serialization.values import SerializableValue


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

    __slots__ = ("_execution_id", "_task", "_written", "args", "kwargs")

    def __init__(
        self,
        execution_id: Optional[str],
        args: Optional[Sequence[Any]] = None,
        kwargs: Optional[Mapping[str, Any]] = None,
    ) -> None:
        self._execution_id = execution_id
        self._task: Any = None
        # What the arguments were written as when the id was made.
        self._written: Optional[dict[str, bytes]] = None
        self.args: Sequence[Any] = () if args is None else args
        self.kwargs: Mapping[str, Any] = {} if kwargs is None else kwargs

    def of_task(self, task: Any) -> Execution:
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
            self._execution_id, self._written = self._task._identify_execution(
                self.args, self.kwargs
            )
        return self._execution_id

    @execution_id.setter
    def execution_id(self, execution_id: Optional[str]) -> None:
        self._execution_id = execution_id

    def _settle_id(self) -> bool:
        """Forgets an id that is not that of the arguments any more. Returns whether it was so."""
        known, task = self._execution_id, self._task
        if known is None or task is None:
            return False
        try:
            if task._identify_execution(self.args, self.kwargs)[0] == known:
                return False
        except IdentityError:
            pass  # said when somebody reads the id
        except Exception:
            return True  # nobody can tell: the task is of the user's own
        self._execution_id = self._written = None
        return True

    def bound_arguments(self) -> dict[str, Any]:
        """Tells which value each parameter gets.

        Returns:
            The values by the names of the parameters, with defaults applied and without the
            parameters that the task ignores: `*args` as a tuple, `**kwargs` as a dict. Arguments
            that do not fit the signature stand under `'*'` and `'**'`. Empty where there is no
            task, or one that is not made of a function.
        """
        if self._task is None:
            return {}
        try:
            bound: dict[str, Any] = self._task._bind(self.args, self.kwargs)
            return bound
        except NotImplementedError:
            return {}

    def argument_digests(self) -> dict[str, str]:
        """Digests each argument, to see which of them differ between two executions.

        Returns:
            16 hex digits by the names of the parameters, as in `bound_arguments`.

        Raises:
            IdentityError: If an argument has no canonical form (a `TypeError`); names which one.
        """
        task = self._task
        if task is None:
            return {}
        try:
            written = getattr(self, "_written", None)
            if written is None:
                self._written = written = task._write_arguments(self.args, self.kwargs)
            digests: dict[str, str] = task._known_arguments().digests_of(written)
            return digests
        except NotImplementedError:
            return {}

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
