"""The decorator that makes a function a task."""

from __future__ import annotations

import functools
import sys
from collections.abc import Mapping
from types import FunctionType, TracebackType
from typing import TYPE_CHECKING, Any, Callable, Optional, TypeVar, overload

from ._arguments import naming_task
from ._coroutines import finished, is_coroutine_function
from ._system.importing import late_import
from .advice import advise_task_with_chain
from .config import get_configuration
from .errors import BandsawError, InvalidDecoratorError, RemoteError
from .execution import Execution
from .result import traceback_of
from .run import get_run_id
from .tasks import Task

if TYPE_CHECKING:
    from collections.abc import Coroutine, Iterable, Iterator
    from typing import Protocol

    from .futures import Future

    if sys.version_info >= (3, 10):
        from typing import Concatenate, ParamSpec
    else:
        from typing_extensions import Concatenate, ParamSpec

    P = ParamSpec("P")
    Q = ParamSpec("Q")
    R_co = TypeVar("R_co", covariant=True)
    S = TypeVar("S")

    class TaskFunction(Protocol[P, R_co]):
        """A decorated function, as type checkers see it.

        Arguments of `submit` and `map` may be futures, alone and in containers.
        """

        def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
            """Calls the task, and waits for its value."""

        @overload
        def submit(
            self: TaskFunction[Q, Coroutine[Any, Any, S]], *args: Any, **kwargs: Any
        ) -> Future[S]: ...

        @overload
        def submit(self: TaskFunction[Q, S], *args: Any, **kwargs: Any) -> Future[S]: ...

        @overload
        def map(
            self: TaskFunction[Q, Coroutine[Any, Any, S]],
            *iterables: Iterable[Any],
            buffersize: Optional[int] = None,
            timeout: Optional[float] = None,
        ) -> Iterator[S]: ...

        @overload
        def map(
            self: TaskFunction[Q, S],
            *iterables: Iterable[Any],
            buffersize: Optional[int] = None,
            timeout: Optional[float] = None,
        ) -> Iterator[S]: ...

        @overload
        def __get__(self, instance: None, owner: Any = None) -> TaskFunction[P, R_co]: ...

        @overload
        def __get__(
            self: TaskFunction[Concatenate[Any, Q], S], instance: object, owner: Any = None
        ) -> TaskFunction[Q, S]: ...


R = TypeVar("R")
new_object = object.__new__


@overload
def task(function: Callable[P, R], /) -> TaskFunction[P, R]: ...


@overload
def task(
    *, config: Optional[str] = None, chain: Optional[str] = None, **task_kwargs: Any
) -> Callable[[Callable[P, R]], TaskFunction[P, R]]: ...


def task(
    *task_args: Any,
    config: Optional[str] = None,
    chain: Optional[str] = None,
    **task_kwargs: Any,
) -> Any:
    """Makes a function a task: `@task`, `@task()`, `@task(chain='x', any='thing')`.

    Args:
        *task_args: The function, where the decorator is used without parentheses.
        config: The name of the configuration module. See `bandsaw.get_configuration` for the
            default.
        chain: The name of the advice chain, by default `default`.
        **task_kwargs: Kept on the task as `task.kwargs`, for advices. An option that our advices
            know, or that an advice of the configuration declares, is checked.

    Returns:
        A function to call like the one that was given. It has the attributes `__wrapped__`,
        `bandsaw_task`, `bandsaw_configuration` and `bandsaw_chain`, and two other ways to call it:
        `submit(*args, **kwargs)` returns a `bandsaw.Future` at once, and
        `map(*iterables, buffersize=None, timeout=None)` an iterator of the results for the items.

    Raises:
        ModuleNotFoundError: If there is no such configuration module.
        UnknownChainError: If the configuration has no such chain (a `ValueError`).
        InvalidDecoratorError: If there is more than one positional argument (a `RuntimeError`).
        UnknownOptionError: If the name of an option is close to a known one, or unknown and the
            configuration is strict about it (a `TypeError`).
        InvalidValueError: If an option cannot have the value that is given (a `ValueError`).
        UnsupportedTaskError: If it is not a plain function that is decorated (a `TypeError`).
    """
    if len(task_args) > 1:
        raise InvalidDecoratorError(
            "Invalid 'task' decorator. Its options are keywords: @task(chain='x')."
        )
    chain_name = "default" if chain is None else chain
    configuration = get_configuration(config)
    configuration.get_advice_chain(chain_name)
    get_run_id()

    def decorate(function: Any) -> Any:
        if not isinstance(function, FunctionType) and hasattr(function, "__func__"):
            return _above_other(function, decorate)
        the_task = Task.create_task(function, task_kwargs)
        if task_kwargs:
            from ._task_options import check_options

            check_options(task_kwargs, configuration, chain_name, the_task)
        configuration._note_task(function.__module__)
        call = _function_of(the_task, function, configuration, chain_name)
        owner = call.__qualname__.rpartition(".")[0]
        if not owner or owner.endswith("<locals>"):
            return call
        from ._futures.methods import TaskMethod

        return TaskMethod(call)

    return decorate(task_args[0]) if task_args else decorate


def _function_of(the_task: Task, function: Any, configuration: Any, chain_name: str) -> Any:
    """Makes the function that calls a task."""
    the_task._configuration = configuration
    if hasattr(the_task, "decorated_by"):
        the_task.decorated_by = decorated_anew
    # A configuration of the user's own may find its chains elsewhere.
    chain_list = configuration._chains.get(chain_name, ["unknown"])
    extensions = configuration.extensions

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        # These lists are changed in place: an empty one is all that an unadvised call looks at.
        if not (chain_list or extensions):
            __tracebackhide__ = True  # by pytest
            return function(*args, **kwargs)
        # An object made without its constructor costs half, which is felt in a call this short.
        execution = new_object(Execution)
        execution._execution_id, execution._task = None, the_task
        execution.args, execution.kwargs = args, kwargs
        try:
            result = advise_task_with_chain(the_task, execution, configuration, chain_name)
        except Exception as error:
            __tracebackhide__ = True  # by pytest
            raise _told(error, error.__traceback__, the_task, args, kwargs)  # noqa: B904
        except KeyboardInterrupt:
            __tracebackhide__ = True
            from . import _tracebacks as tracebacks

            tracebacks.leave_out_when_printed()
            raise
        exception = result.exception
        if exception is None:
            return result.value
        __tracebackhide__ = True
        raise _told(exception, traceback_of(result), the_task, args, kwargs)

    run: Any = call
    if is_coroutine_function(function):
        run = functools.partial(_finish, function, call)
        call = _awaitable(function, call)
    call.bandsaw_task = the_task  # type: ignore[attr-defined]
    call.bandsaw_configuration = configuration  # type: ignore[attr-defined]
    call.bandsaw_chain = chain_name  # type: ignore[attr-defined]
    call.submit = functools.partial(_submit, call, run)  # type: ignore[attr-defined]
    call.map = functools.partial(_map, call, run)  # type: ignore[attr-defined]
    return call


def decorated_anew(the_task: Any, config: str, chain_name: str) -> Any:
    """Makes the function that calls a task which was written by value."""
    return _function_of(the_task, the_task._function, get_configuration(config), chain_name)


def _above_other(other: Any, decorate: Callable[[Any], Any]) -> Any:
    """Decorates what is in a static method, a class method or another task of a class."""
    from ._futures.methods import TaskMethod

    if not isinstance(other, (staticmethod, classmethod, TaskMethod)):
        Task.create_task(other)  # refuses it
    decorated = decorate(other.__func__)
    function = getattr(decorated, "__func__", decorated)
    if isinstance(other, staticmethod):
        return staticmethod(function)
    return TaskMethod(function, isinstance(other, classmethod) or other.of_class)


def _awaitable(function: Any, walk: Any) -> Any:
    """Makes a coroutine function of a coroutine function and what walks the chain for it."""

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        configuration = call.bandsaw_configuration  # type: ignore[attr-defined]
        chain = call.bandsaw_chain  # type: ignore[attr-defined]
        if not (configuration._chains.get(chain, ["unknown"]) or configuration.extensions):
            return await function(*args, **kwargs)
        from ._futures import coroutines

        lane = coroutines.lane_of(configuration, chain)
        task = call.bandsaw_task  # type: ignore[attr-defined]
        return await coroutines.awaited(walk, task, lane, args, kwargs)

    return call


def _finish(function: Any, walk: Any, /, *args: Any, **kwargs: Any) -> Any:
    return finished(function, walk(*args, **kwargs))


@functools.cache
def _futures() -> tuple[Any, Any, Any]:
    with late_import:
        from ._futures import calls, flight
        from ._futures.mapping import Results

    return calls, flight, Results


def _submit(call: Any, run: Any, /, *args: Any, **kwargs: Any) -> Any:
    calls, flight, _ = _futures()
    lane = flight.lane_of(call.bandsaw_configuration, call.bandsaw_chain)
    return calls.SubmittedCall(run, call.bandsaw_task, lane, args, kwargs).board()


@naming_task
def _map(
    call: Any,
    run: Any,
    /,
    *iterables: Any,
    buffersize: Optional[int] = None,
    timeout: Optional[float] = None,
) -> Any:
    _, flight, Results = _futures()
    lane = flight.lane_of(call.bandsaw_configuration, call.bandsaw_chain)
    return Results(run, call.bandsaw_task, lane, iterables, buffersize, timeout)


# So many arguments are named in the note of an error.
_MOST_ARGUMENTS = 8


def _told(
    error: BaseException,
    traceback: Optional[TracebackType],
    the_task: Task,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> BaseException:
    """Has an error that leaves a task say which call it was, without the frames of bandsaw."""
    with late_import:
        from . import _tracebacks as tracebacks
        from ._cache.record import short_text
        from ._session.moderator import is_note_of_advice

    tracebacks.leave_out_when_printed()
    if isinstance(error, BandsawError) and not isinstance(error, RemoteError):
        return tracebacks.clean(error, traceback)  # it names the task itself
    notes: Any = getattr(error, "__notes__", None)
    notes = notes if isinstance(notes, list) else []
    # An error that each call raises anew may have them already.
    if any(is_note_of_advice(note, the_task) for note in notes):
        return tracebacks.clean(error, traceback)
    texts = [short_text(value) for value in args[:_MOST_ARGUMENTS]]
    texts += [f"{name}={short_text(value)}" for name, value in kwargs.items()]
    if len(args) > _MOST_ARGUMENTS or len(texts) > _MOST_ARGUMENTS:
        texts[_MOST_ARGUMENTS:] = ["..."]
    note = f"In the call {the_task}({', '.join(texts)})"
    if note not in notes:
        tracebacks.add_note(error, note)
    return tracebacks.clean(error, traceback)
