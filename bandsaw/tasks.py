"""Tasks: the code to execute, and the id that is derived from it."""

from __future__ import annotations

import abc
import copyreg
import sys
from collections.abc import Mapping, Sequence
from types import CoroutineType
from typing import TYPE_CHECKING, Any, Callable, Optional

from ._coroutines import finished
from ._functions import check_is_plain, task_layers, without_task
from ._system import callers
from ._system.importing import late_import
from .errors import (
    BandsawError,
    DeserializationError,
    InvalidValueError,
    NotImportableError,
    UnserializableError,
)
from .modules import import_object, main_module_name, object_as_import
from .result import Result
from .serialization.serializer import Serializer
from .serialization.values import SerializableValue, ValueSerializer

if TYPE_CHECKING:
    import inspect

    from ._identity.arguments import Arguments
    from ._identity.carried import Carried
    from ._identity.watch import Watch
    from .execution import Execution


new_object = object.__new__
_OF_THIS_PROCESS = ("_arguments", "_configuration", "_derived", "_was_another")


class Task(SerializableValue, abc.ABC):
    """The code to execute. Subclasses say how, in `_execute`.

    Args:
        task_id: The id. By default it is derived from the code when it is first read.
        task_kwargs: What the author gave to `@task` for the advices.
    """

    _task_id: Optional[str] = None
    _task_kwargs: Mapping[str, Any] = {}
    # Made when an id is first read.
    _arguments: Optional[Arguments] = None
    # An id that was derived, and what notices when code was reloaded. In one piece, for threads.
    _derived: Optional[tuple[str, Watch]] = None
    _was_another = False  # whether this process has changed the code since the id was first read
    # The configuration of the task in this process, where it has one.
    _configuration: Any = None

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

    def _write_arguments(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, bytes]:
        arguments = self._arguments or self._known_arguments()
        configuration = self._configuration
        if configuration is None:
            return arguments.write(args, kwargs)
        hook = _hook_of(getattr(configuration, "serializer", None))
        return arguments.write(args, kwargs, hook, getattr(configuration, "bulk_hash", None))

    def _bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        return self._known_arguments().bind(tuple(args), kwargs)

    def _known_arguments(self) -> Arguments:
        if self._arguments is None:
            with late_import:
                from ._identity.arguments import Arguments
                from .fingerprint import digest_of_code

            self._arguments = Arguments(self.function, self._list_of("ignore"), digest_of_code)
        return self._arguments

    def _list_of(self, keyword: str) -> Sequence[Any]:
        value = self._task_kwargs.get(keyword, ())
        if not isinstance(value, (list, tuple)):
            raise InvalidValueError(
                f"Task {self}: {keyword}={value!r} has to be a list. Write @task({keyword}=[...])."
            )
        return value

    def _make_task_id(self) -> tuple[str, Watch]:
        with late_import:
            from .fingerprint import watched_task_id_of

        function = self.function
        return watched_task_id_of(
            function,
            function.__module__,
            function.__qualname__,
            version=self._task_kwargs.get("version"),
            depends=self._list_of("depends"),
            left_out=self._left_out(),
        )

    def _left_out(self) -> frozenset[str]:
        """The names of variables that do not count."""
        names = [name for name in self._list_of("state") if isinstance(name, str)]
        return frozenset([*names, *getattr(self._configuration, "_state", ())])

    def _changed_since_read(self) -> list[str]:
        """Names what has changed of the code since the id was read: it is that of other code."""
        derived = self._derived
        if derived is None or derived[1].is_current():
            return []
        return derived[1].settle()

    def _carried(self) -> Optional[Carried]:
        """Says what of the code another process may not have; `None` where no id was derived."""
        if self._derived is None:
            return None
        watch = self._derived[1]
        if watch.carried is None:
            with late_import:
                from ._identity.carried import carried_by

            watch.carried = carried_by(watch.seen)
        return watch.carried  # type: ignore[no-any-return]

    def _known_id(self) -> Optional[str]:
        """Returns the id if somebody has read it."""
        return self._task_id if self._derived is None else self.task_id

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
        """The function that the decorator was given.

        Raises:
            NotImportableError: If it is not to be had in this process (a `ValueError`).
        """
        if self._function is None:
            name = f"{self.module_name}.{self.function_name}"
            try:
                with callers.loading():
                    found = import_object(self.function_name, self.module_name)
            except BandsawError:
                raise
            except Exception as error:
                version = ".".join(map(str, sys.version_info[:3]))
                message = (
                    f"The task {name} cannot be imported by {sys.executable} (Python {version}): "
                    f"{type(error).__name__}: {error}."
                )
                if isinstance(error, ImportError):
                    message += (
                        " Send what is missing there along with "
                        "Configuration.add_modules_for_distribution(), or install it."
                    )
                raise NotImportableError(message) from error
            function = without_task(found, self._layer or 0)
            # What else has this name by now is no function: say so here and not where it is called.
            check_is_plain(function)
            self._function = function
        return self._function

    def execute(self, execution: Execution) -> Result:
        """Executes the task. See `Task.execute`.

        Raises:
            NotImportableError: If the function is not to be had in this process (a `ValueError`).
        """
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
        """Returns the names, the keywords and, if somebody has read it, the id.

        Raises:
            NotImportableError: If the name leads to another function by now (a `ValueError`).
        """
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
            self._layer = 0 if self._function is None else self._search_layer(self._function)
        return self._layer

    def _search_layer(self, function: Callable[..., Any]) -> int:
        # A script that was imported, too, is there twice. Elsewhere it is one.
        is_main = self.module_name == main_module_name()
        for module_name in (self.module_name, *(["__main__"] if is_main else [])):
            try:
                layers = task_layers(import_object(self.function_name, module_name))
            except (AttributeError, ImportError):
                continue
            for layer, found in enumerate(layers):
                if found is function:
                    return layer
        raise NotImportableError(
            f"The name {self.module_name}.{self.function_name} does not lead to the function that "
            "was made into a task under it: another process could not find it. Give each task a "
            "name of its own at the top level of its module."
        )

    @classmethod
    def deserialize(cls, values: Mapping[str, Any]) -> _FunctionTask:
        """Makes a task from what `serialized` returned."""
        task = cls(
            values["function_name"],
            values["module_name"],
            values["task_kwargs"],
            _layer=values["layer"],
        )
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

    Args:
        function: The function.
        task_kwargs: What the author gave to `@task` for the advices.
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

    @property
    def function(self) -> Callable[..., Any]:
        """The function that the decorator was given."""
        return self._function

    def _execute(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        return finished(self._function, self._function(*args, **kwargs))

    def serialized(self) -> dict[str, Any]:
        """Refuses: data that is no code must not turn into a function.

        Raises:
            UnserializableError: Always (a `TypeError`).
        """
        raise UnserializableError(
            f"The task {self} has no name in another process: only a PickleSerializer can write "
            f"it. {self._reason}"
        )

    @classmethod
    def deserialize(cls, values: Mapping[str, Any]) -> _FunctionWithClosureTask:
        """Refuses, as `serialized` does.

        Raises:
            DeserializationError: Always (a `ValueError`).
        """
        raise DeserializationError("A local function can only be read by a PickleSerializer.")

    def __reduce__(self) -> Any:
        try:
            import cloudpickle  # noqa: F401
        except ImportError as error:
            raise UnserializableError(
                f"The task {self} has no name in another process. {self._reason} Or install "
                "cloudpickle on both sides ('pip install bandsaw[cloudpickle]')."
            ) from error
        from .serialization._pickling import written_by_value

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
    import pickle

    try:
        function = pickle.loads(written)
    except ImportError as error:
        raise DeserializationError(
            "A local function crosses only where cloudpickle and all that it needs itself are "
            f"installed on both sides, and in {sys.executable} it does not load: {error}"
        ) from error
    task = _FunctionWithClosureTask(function, task_kwargs)
    task._task_id = task_id
    return task


def _deserialize(task_class: Any, values: Mapping[str, Any]) -> Any:
    return task_class.deserialize(values)


def _hook_of(serializer: Any) -> Any:
    """Finds what asks a serializer for canonical forms, if it would ever give one."""
    method = getattr(serializer, "canonical_form", None)
    base = getattr(method, "__func__", None)
    if base is Serializer.canonical_form:
        return None
    json: Any = sys.modules.get(f"{__package__}.serialization.json")
    if json is not None and base is json.JsonSerializer.canonical_form:
        own = (getattr(type(v), "canonical_form", None) for v in serializer.value_serializers)
        if all(form in (None, ValueSerializer.canonical_form) for form in own):
            return None
    return method
