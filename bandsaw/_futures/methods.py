"""A task in a class: `instance.method.submit(x)` is about that instance."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Iterator
from typing import Any, Optional

from .._arguments import naming_task
from ..errors import InvalidDecoratorError


class TaskMethod:
    """A decorated function in a class. Called by itself it is the function.

    Args:
        function: The function that calls the task.
        of_class: Whether it is bound to the class, as a class method is.
    """

    __qualname__: str
    __wrapped__: Any

    def __init__(self, function: Any, of_class: bool = False) -> None:
        functools.update_wrapper(self, function)
        # Those of the function do not know what they are bound to.
        del self.__dict__["submit"], self.__dict__["map"]
        self.__wrapped__ = function.__wrapped__
        self.__func__ = function
        self.of_class = of_class

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__func__(*args, **kwargs)

    def __get__(self, instance: Any, owner: Any = None) -> Any:
        if self.of_class:
            return BoundTask(self.__func__, type(instance) if owner is None else owner)
        return self.__func__ if instance is None else BoundTask(self.__func__, instance)

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        self._check_is_no_class_method()
        return self.__func__.submit(*args, **kwargs)

    @naming_task
    def map(
        self,
        *iterables: Any,
        buffersize: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> Iterator[Any]:
        self._check_is_no_class_method()
        results = self.__func__.map(*iterables, buffersize=buffersize, timeout=timeout)
        return results  # type: ignore[no-any-return]

    def _check_is_no_class_method(self) -> None:
        """Refuses what a class method of newer Pythons asks for without its class."""
        code = self.__wrapped__.__code__
        if code.co_argcount and code.co_varnames[0] == "cls":
            raise InvalidDecoratorError(
                f"{self.__qualname__} is a class method whose class is not known here: write @task "
                "above @classmethod, then submit and map get it."
            )

    def __reduce__(self) -> Any:
        from ..serialization._by_value import NAMES, is_writing_by_value

        if is_writing_by_value():
            names = {name: self.__dict__.get(name) for name in NAMES}
            return TaskMethod, (self.__func__, self.of_class), names
        return self.__qualname__  # by its name

    def __repr__(self) -> str:
        return f"<task {self.__qualname__}>"


class BoundTask:
    """A task bound to an instance, or to a class."""

    __slots__ = ("__func__", "__self__")

    def __init__(self, function: Any, bound_to: Any) -> None:
        self.__func__ = function  # the function that calls the task
        self.__self__ = bound_to  # what it is bound to

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__func__(self.__self__, *args, **kwargs)

    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Submits a call. See `bandsaw.decorator.TaskFunction`."""
        return self.__func__.submit(self.__self__, *args, **kwargs)

    @naming_task
    def map(
        self,
        *iterables: Any,
        buffersize: Optional[int] = None,
        timeout: Optional[float] = None,
    ) -> Iterator[Any]:
        """Submits a call for each item. See `bandsaw.decorator.TaskFunction`."""
        import itertools

        bound = itertools.repeat(self.__self__)
        if not iterables:
            raise TypeError("map() needs at least one iterable.")
        results = self.__func__.map(bound, *iterables, buffersize=buffersize, timeout=timeout)
        return results  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__func__, name)

    @property
    def __signature__(self) -> inspect.Signature:
        signature = inspect.signature(self.__func__)
        _, *parameters = signature.parameters.values()
        return signature.replace(parameters=parameters)

    @property
    def __doc__(self) -> Optional[str]:  # type: ignore[override]
        return self.__func__.__doc__  # type: ignore[no-any-return]

    @property
    def __module__(self) -> str:  # type: ignore[override]
        return self.__func__.__module__  # type: ignore[no-any-return]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, BoundTask):
            return NotImplemented
        return self.__self__ is other.__self__ and self.__func__ == other.__func__

    def __hash__(self) -> int:
        return hash((id(self.__self__), self.__func__))

    def __reduce__(self) -> Any:
        return getattr, (self.__self__, self.__func__.__name__)

    def __repr__(self) -> str:
        return f"<bound task {self.__func__.__qualname__} of {self.__self__!r}>"
