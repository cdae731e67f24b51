"""What a process inherits from the one that starts it, for processes that were started earlier.

near: taken(...) ── STATE ──► far: apply(...)
"""

from __future__ import annotations

import functools
import os
import re
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, Optional

from .._archive import finder
from .._system import directories
from ..interpreter import Interpreter
from ..modules import importable_module_name

# Of these, the start of a process takes notice, or what is loaded with it.
_AT_START = ("PYTHON", "LD_", "DYLD_", "MALLOC_", "GLIBC_", "LC_", "ASAN_")
_NAMED = ("LANG", "LANGUAGE")

# The search path that the interpreter itself made, and the one that was laid over it last.
_own_path: list[str] = []
_laid_over: Optional[list[str]] = None


class Inherited(NamedTuple):
    environment: dict[str, str]  # the environment variables
    # Those of them that cannot be changed any more when Python runs.
    at_start: tuple[tuple[str, str], ...]
    # The search path for what is not in the archive, `None` for the interpreter's own.
    path: Optional[list[str]]


def _raw() -> Any:
    # To decode the whole environment costs as much as all the rest of a call.
    return getattr(os.environ, "_data", os.environ)


_last: tuple[Any, Any, Optional[Inherited]] = (None, None, None)
# The same for the interpreter of the last call: it, what it and this process had, and the answer.
_last_seen: tuple[Any, Any, Any, Any, Any] = (None, None, None, None, None)


def inherited(interpreter: Interpreter) -> Inherited:
    global _last, _last_seen
    seen, told, entries, environment, answer = _last_seen
    raw = _raw()
    if seen is interpreter and told == interpreter._told and entries == sys.path:
        if environment == raw:
            return answer  # type: ignore[no-any-return]
    overlay, path = interpreter.local_overlay()
    executable = interpreter.executable
    known_raw, known_for, known = _last
    if known is None or known_for != (executable, overlay) or known_raw != raw:
        environment = {**os.environ, **_activated(executable), **overlay}
        known = Inherited(environment, at_start(environment), path)
        _last = (raw.copy(), (executable, overlay), known)
    if known.path != path:
        known = known._replace(path=path)
        _last = (*_last[:2], known)
    # An empty entry stands for the working directory, which may change.
    if "" not in sys.path:
        _last_seen = interpreter, interpreter._told, sys.path[:], raw.copy(), known
    return known


def at_start(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    """Returns the variables that cannot be changed any more when Python runs, with their values."""
    return tuple(
        sorted(
            (name, value)
            for name, value in environment.items()
            if name.startswith(_AT_START) or name in _NAMED
        )
    )


def _activated(executable: str) -> dict[str, str]:
    """Returns the variables of an activated environment, for that of the other interpreter."""
    ours = os.environ.get("VIRTUAL_ENV")
    if not ours or executable == sys.executable:
        return {}
    folder, name = os.path.split(os.path.dirname(os.path.abspath(executable)))
    if os.path.normpath(ours) == folder:
        return {}
    is_environment = os.path.isfile(os.path.join(folder, "pyvenv.cfg"))
    before = os.path.join(os.path.normpath(ours), name)
    path = []
    for entry in os.environ.get("PATH", "").split(os.pathsep):
        if not entry or os.path.normpath(entry) != before:
            path.append(entry)
        elif is_environment:
            path.append(os.path.join(folder, name))
    return {
        # An empty one counts as none with all programs that look at it.
        "VIRTUAL_ENV": folder if is_environment else "",
        "PATH": os.pathsep.join(path),
    }


def umask() -> Optional[int]:
    """Returns the file mode creation mask, `None` where it cannot be read without changing it."""
    try:
        with open("/proc/self/status", "rb") as file:
            for line in file:
                if line.startswith(b"Umask:"):
                    return int(line.split()[1], 8)
    except (OSError, ValueError):
        pass
    return None


_own_arguments: list[list[str]] = []


def arguments() -> list[list[str]]:
    """Returns the arguments of the program, as they are and as the program was given them."""
    global _own_arguments
    now = getattr(sys, "argv", None) or []  # a program that embeds Python has none
    if _own_arguments and _own_arguments[0] == now:
        return _own_arguments
    names = sys.modules.get(f"{__package__.partition('.')[0]}._identity.names")
    given = getattr(sys, "orig_argv", getattr(names, "_ARGUMENTS", now))
    _own_arguments = [[text for text in each if isinstance(text, str)] for each in (now, given)]
    return _own_arguments


is_below_executor = False  # whether this process runs a call below the worker of an executor
# Has the time zone be that of the variable TZ, where the platform can.
_set_time_zone = getattr(time, "tzset", bool)
# What this process was told last, for when a task has changed it.
_environment: dict[Any, Any] = {}
# What it had before it was told anything.
_own_environment: Optional[dict[str, str]] = None
_directory: Optional[str] = None
_arguments: Optional[list[list[str]]] = None


def apply(state: Mapping[str, Any]) -> None:
    global _environment, _own_environment, _directory, _arguments, is_below_executor
    is_below_executor = state.get("below_executor", is_below_executor)
    environment = state.get("environment")
    if state.get("overlay") is not None:
        if _own_environment is None:
            _own_environment = dict(os.environ)
            _directory = directories.working_directory()
        environment = {**_own_environment, **state["overlay"]}
    if environment is not None:
        os.environ.update(environment)
        for name in [name for name in os.environ if name not in environment]:
            del os.environ[name]
        _set_time_zone()
    if "made_in" in state:
        directories.tell(state["made_in"])
    _environment = _raw().copy()
    _directory = state.get("directory", _directory)
    _arguments = state.get("arguments", _arguments)
    undo()
    if state.get("umask") is not None:
        os.umask(state["umask"])
    if state.get("path") is not None:
        _lay_over(state["path"])
    if "levels" in state or "disable" in state:
        _take_levels(state.get("levels"), state.get("disable"))
    if "filters" in state:
        take_filters(state["filters"])


def undo() -> None:
    """Gives this process the environment, directory and arguments that it was told last."""
    raw = _raw()
    if raw != _environment:
        environment = os.environ if raw is os.environ else os.environb
        for name in set(raw) - set(_environment):
            del environment[name]
        environment.update(_environment)
        _set_time_zone()
    if _arguments is not None and sys.argv != _arguments[0]:
        # Ids compare the two, and are so the same in both processes.
        if type(sys.argv) is list:
            sys.argv[:] = _arguments[0]
        else:
            sys.argv = _arguments[0][:]
        sys.orig_argv = _arguments[1]
    if _directory is not None and _directory != directories.working_directory():
        try:
            os.chdir(_directory)
        except OSError:
            pass  # it was removed meanwhile, as could happen to any process in it


def _lay_over(path: list[str]) -> None:
    global _laid_over
    if path == _laid_over:
        return
    if _laid_over is None:
        _own_path[:] = sys.path
    _laid_over = path
    if finder.id:
        sys.path[:] = [*path, *(entry for entry in _own_path if entry not in path)]
        return
    sys.path[1:] = [entry for entry in path if entry not in _own_path] + _own_path[1:]


# Where `levels` keeps what it returns: `setLevel` of any logger clears this dictionary.
_LEVELS: Any = "bandsaw: levels"


# The names of the loggers whose levels were taken over.
_levels_given: set[str] = set()
# Of these the levels of loggers that nobody has asked for yet.
_levels_to_come: dict[str, int] = {}


def levels() -> dict[str, int]:
    """Returns the levels of loggers by name: one dictionary as long as none was set."""
    import logging  # which a hub does not need

    root = logging.root
    cache: dict[Any, Any] = getattr(root, "_cache", {})
    kept: list[dict[str, int]] = cache.get(_LEVELS, [])
    if kept:
        return kept[0]
    # Before levels are looked at: another thread may change one meanwhile.
    kept = cache[_LEVELS] = []
    found = {"": root.level}
    # A copy: other threads may make loggers.
    for name, logger in root.manager.loggerDict.copy().items():
        # What is not of this class stands for a parent that does not exist yet.
        if isinstance(logger, logging.Logger) and logger.level:
            found[name] = logger.level
    kept.append(found)
    return kept[0]


def _take_levels(given: Optional[Mapping[str, int]], disable: Optional[int]) -> None:
    """Has loggers make the records that the other side wants; `None`: as before."""
    import logging

    if disable is not None:
        logging.disable(disable)
    if given is None:
        return
    manager = logging.root.manager
    there = {"": logging.root, **manager.loggerDict}
    for name in _levels_given - set(given):
        if isinstance(there.get(name), logging.Logger):
            logging.getLogger(name).setLevel(logging.NOTSET)
    _levels_given.clear()
    _levels_to_come.clear()
    for name, level in given.items():
        _levels_given.add(name)
        if name in there:
            logging.getLogger(name or None).setLevel(level)
        else:
            _levels_to_come[name] = level
    if _levels_to_come:
        manager.getLogger = _new_logger  # type: ignore[method-assign]


def _new_logger(name: str) -> Any:
    """Makes a logger when its module asks for it: that may want one of a class of its own."""
    import logging

    found = logging.Manager.getLogger(logging.root.manager, name)
    # A copy: other threads may make loggers.
    for each in [each for each in list(_levels_to_come) if f"{name}.".startswith(f"{each}.")]:
        level = _levels_to_come.pop(each, 0)
        logger = logging.Manager.getLogger(logging.root.manager, each)
        if not logger.level:
            logger.setLevel(level)
    return found


_last_filters: tuple[list[Any], list[Any]] = ([], [])
_filters_given: Optional[list[Any]] = None


def filters() -> list[Any]:
    global _last_filters
    if warnings.filters != _last_filters[0]:
        now: list[Any] = list(warnings.filters)
        _last_filters = (
            now,
            [
                [action, _pattern(message), *_name_of(category), _pattern(module), line]
                for action, message, category, module, line in now
            ],
        )
    return _last_filters[1]


def _pattern(given: Any) -> Any:
    if given is None:
        return None
    if isinstance(given, str):
        # The filters that Python starts with have names in place of patterns.
        return [re.escape(importable_module_name(given) or given) + r"\Z", 0]
    return [given.pattern, given.flags]


def _name_of(category: type) -> tuple[str, str]:
    return importable_module_name(category.__module__) or "__main__", category.__qualname__


def take_filters(given: Sequence[Any]) -> None:
    global _filters_given
    added = (
        []
        if _filters_given is None
        else [each for each in warnings.filters if each not in _filters_given]
    )
    _filters_given = [
        (action, _compiled(message), _category(module, name), _compiled(place), line)
        for action, message, module, name, place, line in given
    ]
    # What modules have added that are loaded here alone comes after what the caller wants.
    warnings.filters[:] = [*_filters_given, *added]  # type: ignore[index]


def _compiled(pattern: Any) -> Optional[re.Pattern[str]]:
    return None if pattern is None else re.compile(*pattern)


class _Named(type):
    """The class of categories that are known by name: to import them here could do anything."""

    def __subclasscheck__(cls, other: type) -> bool:
        return any(_name_of(each) == vars(cls)["_named"] for each in other.__mro__)


@functools.lru_cache
def _category(module: str, name: str) -> type:
    found = vars(sys.modules["builtins"]).get(name) if module == "builtins" else None
    return (
        found if isinstance(found, type) else _Named(name, (Warning,), {"_named": (module, name)})
    )
