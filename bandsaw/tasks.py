"""Tasks: the code to execute, and the id that is derived from it."""

from __future__ import annotations

import abc
import copyreg
import sys
from collections.abc import Mapping, Sequence
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Callable, Optional

from ._coroutines import finished
from ._functions import check_is_plain, imported, layer_of
from ._task_ids import Identified
from .errors import DeserializationError, NotImportableError, UnserializableError
from .modules import object_as_import
from .result import Result
from .serialization.values import SerializableValue

if TYPE_CHECKING:
    import inspect

    from .execution import Execution

new_object = object.__new__
_OF_THIS_PROCESS = ("_arguments", "_configuration", "_derived", "_was_another")


class Task(Identified, SerializableValue, abc.ABC):
    """The code to execute. Subclasses say how, in `_execute`.

    Args:
        task_id: The id. By default it is derived from the code when it is first read.
        task_kwargs: What the author gave to `@task` for the advices.
    """

    def __init__(
        self, task_id: Optional[str] = None, task_kwargs: Optional[Mapping[str, Any]] = None
    ) -> None:
        if task_id is not None:
            self._task_id = task_id
        if task_kwargs:
            self._task_kwargs = dict(task_kwargs)

    @staticmethod
    def create_task(obj: Any, task_kwargs: Optional[Mapping[str, Any]] = None) -> Task:
        """Makes a task of a function.

        Args:
            obj: The function.
            task_kwargs: What the author gave to `@task` for the advices.

        Returns:
            A task that finds the function by its name, or for local functions one that holds it.

        Raises:
            UnsupportedTaskError: If it is anything but a plain function (a `TypeError`).
        """
        check_is_plain(obj)
        try:
            function_name, module_name = object_as_import(obj)
        except NotImportableError as error:
            return _FunctionWithClosureTask(obj, task_kwargs, _reason=str(error))
        return _FunctionTask(function_name, module_name, task_kwargs, _function=obj)

    @property
    def task_id(self) -> Any:
        """The id: the same for the same code, and different for different code.

        One that is derived is derived again when a module that it depends on was reloaded.
        """
        if self._task_id is not None:
            return self._task_id
        derived = self._derived
        if derived is None or not derived[1].is_current():
            made = self._make_task_id()
            if derived is not None and derived[0] != made[0]:
                self._was_another = True
            derived = self._derived = made
        return derived[0]

    @task_id.setter
    def task_id(self, task_id: Optional[str]) -> None:
        self._derived = None
        self._task_id = task_id

    @property
    def kwargs(self) -> dict[str, Any]:
        """A copy of what the author gave to `@task` for the advices."""
        return dict(self._task_kwargs)

    @property
    def function(self) -> Callable[..., Any]:
        """The function that the decorator was given."""
        raise NotImplementedError(f"{type(self).__name__} is not made of a function")

    @property
    def source(self) -> str:
        """The source code of the function, as it stands in its file."""
        import inspect

        return inspect.getsource(self.function)

    @property
    def bytecode(self) -> bytes:
        """The byte code of the function."""
        return self.function.__code__.co_code

    @property
    def signature(self) -> inspect.Signature:
        """The signature of the function."""
        import inspect

        return inspect.signature(self.function)

    def execute(self, execution: Execution) -> Result:
        """Executes the task.

        Args:
            execution: The arguments.

        Returns:
            The result: the value that was returned, or the `Exception` that was raised.
        """
        try:
            return Result(self._execute(execution.args, execution.kwargs))
        except Exception as error:
            # The first entry of the traceback is this very frame.
            traceback = error.__traceback__
            return Result(exception=error.with_traceback(traceback.tb_next if traceback else None))

    @abc.abstractmethod
    def _execute(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """Calls the code."""

    def execution_id_of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str:
        """Derives an execution id from the arguments of a call.

        Args:
            args: The positional arguments.
            kwargs: The keyword arguments.

        Returns:
            The id.

        Raises:
            IdentityError: If an argument has no canonical form (a `TypeError`); names which one.
        """
        return self._known_arguments().id_of(self._write_arguments(args, kwargs))

    def _identify_execution(
        self, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> tuple[str, Optional[dict[str, bytes]]]:
        """Makes the id, and what each argument was written as: `None` from a subclass's own way."""
        if type(self).execution_id_of is not Task.execution_id_of:
            return self.execution_id_of(args, kwargs), None
        written = self._write_arguments(args, kwargs)
        return self._known_arguments().id_of(written), written

    def __getstate__(self) -> Any:
        # For subclasses that pickle as any object does.
        state = {n: value for n, value in self.__dict__.items() if n not in _OF_THIS_PROCESS}
        if self._derived is not None:
            state["_task_id"] = self.task_id
        names: Any = copyreg._slotnames(type(self))  # type: ignore[attr-defined]
        slots = {name: getattr(self, name) for name in names if hasattr(self, name)}
        return (state, slots) if slots else state

    def __str__(self) -> str:
        try:
            function = self.function
        except Exception:
            return type(self).__name__
        return f"{function.__module__}.{function.__qualname__}"


class _FunctionTask(Task):
    """A task whose function can be imported by name, dotted if it is part of a class."""

    def __init__(
        self,
        function_name: str,
        module_name: str,
        task_kwargs: Optional[Mapping[str, Any]] = None,
        *,
        _function: Optional[Callable[..., Any]] = None,
        _layer: Optional[int] = None,
    ) -> None:
        super().__init__(None, task_kwargs)
        self.function_name = function_name
        self.module_name = module_name
        self._function = _function
        self._layer = _layer

    @property
    def function(self) -> Callable[..., Any]:
        """The function, a `NotImportableError` where it is not to be had in this process."""
        if self._function is None:
            self._function = imported(self.function_name, self.module_name, self._layer or 0)
        return self._function

    def execute(self, execution: Execution) -> Result:
        """Executes the task, without a call in between. See `Task.execute`."""
        function = self._function or self.function
        try:
            value = function(*execution.args, **execution.kwargs)
            if type(value) is CoroutineType:
                value = finished(function, value)
        except Exception as error:
            traceback = error.__traceback__
            return Result(exception=error.with_traceback(traceback.tb_next if traceback else None))
        result = new_object(Result)
        result.value, result.exception = value, None
        return result

    def _execute(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return finished(self.function, self.function(*args, **kwargs))

    def serialized(self) -> dict[str, Any]:
        """Returns the names, the keywords and, if somebody has read it, the id."""
        return {
            "function_name": self.function_name,
            "module_name": self.module_name,
            "task_kwargs": dict(self._task_kwargs),
            "task_id": self._known_id(),
            "layer": self._find_layer(),
        }

    def _find_layer(self) -> int:
        """Says how many other tasks lie between the function and this one's decorator."""
        if self._layer is None:
            function, names = self._function, (self.function_name, self.module_name)
            self._layer = 0 if function is None else layer_of(function, *names)
        return self._layer

    @classmethod
    def deserialize(cls, values: Mapping[str, Any]) -> _FunctionTask:
        """Makes a task from what `serialized` returned."""
        names = values["function_name"], values["module_name"]
        task = cls(*names, values["task_kwargs"], _layer=values["layer"])
        task._task_id = values["task_id"]
        return task

    def __reduce__(self) -> Any:
        return _deserialize, (type(self), self.serialized())

    def __str__(self) -> str:
        return f"{self.module_name}.{self.function_name}"

    def __repr__(self) -> str:
        return f"_FunctionTask({self.function_name!r}, {self.module_name!r})"


class _FunctionWithClosureTask(Task):
    """A task whose function has no name elsewhere: local, a lambda, or typed into a REPL.

    It runs in place. It crosses to another process only where cloudpickle is installed on both
    sides, with the same minor version of Python.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        task_kwargs: Optional[Mapping[str, Any]] = None,
        *,
        _reason: str = "",
    ) -> None:
        super().__init__(None, task_kwargs)
        self._function = function
        # Why it has no name elsewhere, for messages.
        self._reason = _reason
        # What makes the function that calls it, elsewhere.
        self.decorated_by: Optional[Callable[..., Any]] = None

    @property
    def function(self) -> Callable[..., Any]:
        """The function that the decorator was given."""
        return self._function

    def _execute(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return finished(self._function, self._function(*args, **kwargs))

    def serialized(self) -> dict[str, Any]:
        """Refuses: data that is no code must not turn into a function."""
        raise UnserializableError(
            f"The task {self} has no name in another process: only a PickleSerializer can write "
            f"it. {self._reason}"
        )

    @classmethod
    def deserialize(cls, values: Mapping[str, Any]) -> _FunctionWithClosureTask:
        """Refuses, as `serialized` does."""
        raise DeserializationError("A local function can only be read by a PickleSerializer.")

    def __reduce__(self) -> Any:
        try:
            import cloudpickle  # noqa: F401
        except ImportError as error:
            raise UnserializableError(
                f"The task {self} has no name in another process. {self._reason} Or install "
                "cloudpickle on both sides ('pip install cloudpickle')."
            ) from error
        from .serialization._by_value import is_writing_by_value, written_by_value

        if is_writing_by_value():
            # A task that calls itself comes to itself again.
            return _make_closure_task, (self._function, dict(self._task_kwargs), self._known_id())
        try:
            written = written_by_value(self._function)
        except UnserializableError as error:
            raise UnserializableError(
                f"The task {self} cannot be written by cloudpickle: {error}"
            ) from error
        version = sys.version_info[:2]
        return _read_closure_task, (version, written, dict(self._task_kwargs), self._known_id())

    def __repr__(self) -> str:
        return f"_FunctionWithClosureTask({self._function!r})"


def _read_closure_task(
    version: tuple[int, int], written: bytes, task_kwargs: Any, task_id: Any
) -> _FunctionWithClosureTask:
    ours = sys.version_info[:2]
    if version != ours:
        raise DeserializationError(
            "A local function crosses only between Pythons of the same minor version: it was "
            f"written by {version[0]}.{version[1]} and this is {ours[0]}.{ours[1]}. Move it to "
            "the top level of a module."
        )
    from .serialization._by_value import read_by_value

    try:
        function = read_by_value(written)
    except ImportError as error:
        raise DeserializationError(
            "A local function crosses only where cloudpickle and all that it needs itself are "
            f"installed on both sides, and in {sys.executable} it does not load: {error}"
        ) from error
    return _make_closure_task(function, task_kwargs, task_id)


def _make_closure_task(function: Any, task_kwargs: Any, task_id: Any) -> _FunctionWithClosureTask:
    task = _FunctionWithClosureTask(function, task_kwargs)
    task._task_id = task_id
    return task


def _deserialize(task_class: Any, values: Mapping[str, Any]) -> Any:
    return task_class.deserialize(values)
