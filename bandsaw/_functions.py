"""Functions of tasks: which can be one, and which one lies under a name that was decorated."""

from __future__ import annotations

import sys
import types
from typing import Any

from ._system import callers
from .errors import BandsawError, NotImportableError, UnsupportedTaskError
from .modules import import_object, main_module_name

_CO_GENERATOR, _CO_ASYNC_GENERATOR = 0x20, 0x200


def check_is_plain(obj: Any) -> None:
    """Refuses what cannot be a task."""
    instead = None
    if not isinstance(obj, types.FunctionType):
        instead = "Decorate a plain function that calls it"
        if isinstance(obj, (staticmethod, classmethod, property)):
            instead = f"Write @task below @{type(obj).__name__}"
        elif isinstance(obj, str):
            instead = f"A chain is named by its keyword: @task(chain={obj!r})"
        elif isinstance(obj, type):
            instead = "Decorate a function that makes the object, or the class's methods"
        kind = f"{type(obj).__module__}.{type(obj).__qualname__}"
    elif obj.__code__.co_flags & _CO_ASYNC_GENERATOR:
        kind = "async generator function"
        instead = "Return a list, or decorate a coroutine function that consumes the generator"
    elif obj.__code__.co_flags & _CO_GENERATOR:
        kind = "generator function"
        instead = "Return a list, or decorate a function that consumes the generator"
    if instead is not None:
        name = getattr(obj, "__qualname__", None) or repr(obj)
        raise UnsupportedTaskError(f"Unsupported task object of type {kind}: {name}. {instead}.")


def task_layers(obj: Any) -> list[Any]:
    """Returns the functions that tasks were made of on the way down to the innermost one.

    Decorators that use `functools.wraps` copy the attributes of what they wrap, so of several
    wrappers with the same task the innermost is bandsaw's own.

    Returns the functions, from the innermost to the outermost; the object itself if it is no task.
    """
    if isinstance(obj, property):
        obj = obj.fget
    seen: list[Any] = []
    while obj is not None and not any(obj is other for other in seen):
        seen.append(obj)
        wrapped = getattr(obj, "__wrapped__", None)
        obj = _held_task(obj) if wrapped is None else wrapped
    found: list[Any] = []
    for index, wrapper in enumerate(seen[:-1]):
        task = getattr(wrapper, "bandsaw_task", None)
        if task is not None and task is not getattr(seen[index + 1], "bandsaw_task", None):
            found.append(seen[index + 1])
    return found[::-1] or seen[:1]


def _held_task(obj: Any) -> Any:
    """Finds the task that a decorator has put into an object, as a command of click is one."""
    if not isinstance(obj, (types.FunctionType, types.ModuleType, type)):
        for value in list(getattr(obj, "__dict__", {}).values()):
            if "bandsaw_task" in getattr(value, "__dict__", ()):
                return value
    return None


def without_task(obj: Any, layer: int) -> Any:
    """Returns what the decorator of bandsaw's own layer was given; an object that is no task."""
    layers = task_layers(obj)
    return layers[min(layer, len(layers) - 1)]


def imported(function_name: str, module_name: str, layer: int) -> Any:
    """Imports the function of a task by its name."""
    name = f"{module_name}.{function_name}"
    try:
        with callers.loading():
            found = import_object(function_name, module_name)
    except BandsawError:
        raise
    except Exception as error:
        version = ".".join(map(str, sys.version_info[:3]))
        message = (
            f"The task {name} cannot be imported by {sys.executable} (Python {version}): "
            f"{type(error).__name__}: {error}."
        )
        if isinstance(error, AttributeError) and module_name in sys.modules:
            message += (
                " It has to be defined where the module is imported, too: at the top level, and "
                "not below if __name__ == '__main__':"
            )
        elif isinstance(error, ImportError):
            message += (
                " Send what is missing there along with "
                "Configuration.add_modules_for_distribution(), or install it."
            )
        raise NotImportableError(message) from error
    function = without_task(found, layer)
    # What else has this name by now is no function: say so here and not where it is called.
    check_is_plain(function)
    return function


def layer_of(function: Any, function_name: str, module_name: str) -> int:
    """Says how many other tasks lie between a function and the decorator under its name."""
    # A script that was imported, too, is there twice. Elsewhere it is one.
    is_main = module_name == main_module_name()
    for name in (module_name, *(["__main__"] if is_main else [])):
        try:
            layers = task_layers(import_object(function_name, name))
        except (AttributeError, ImportError):
            continue
        for layer, found in enumerate(layers):
            if found is function:
                return layer
    raise NotImportableError(
        f"The name {module_name}.{function_name} does not lead to the function that "
        "was made into a task under it: another process could not find it. Give each task a "
        "name of its own at the top level of its module."
    )
