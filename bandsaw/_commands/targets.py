"""The caches, the task and the arguments that a command is given as texts.

A shared store is looked at in a local picture of it.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import re
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from typing import Any, Optional

from .._cache import entry, shared_files
from .._cache.shared_listing import Listing
from .._file import File
from ..config import Configuration, get_configuration
from ..errors import BandsawError, InvalidValueError
from ..modules import import_object

_KEYWORD = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)
_FILE = re.compile(r"""(?:bandsaw\.)?File\(("[^"]*"|'[^']*')\)""")


def task_named(target: str) -> Any:
    names = target.split(".")
    for count in range(len(names) - 1, 0, -1):
        module_name = ".".join(names[:count])
        try:
            return import_object(".".join(names[count:]), module_name)
        except Exception as error:
            if isinstance(error, ModuleNotFoundError) and f"{module_name}.".startswith(
                f"{error.name}."
            ):
                continue
            if isinstance(error, AttributeError) and module_name in sys.modules:
                raise InvalidValueError(f"There is no {target}: {error}.") from error
            raise InvalidValueError(
                f"The module {module_name!r} cannot be imported: {reason_of(error)}."
            ) from error
    reason = f": there is no module {names[0]!r} in {os.getcwd()} and sys.path" if names[1:] else ""
    raise InvalidValueError(
        f"There is neither an entry nor a task {target!r}{reason}. `bandsaw cache ls` lists the "
        "entries."
    )


def arguments_in(texts: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in texts:
        match = _KEYWORD.fullmatch(text)
        value = match[2] if match else text
        file = _FILE.fullmatch(value)
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            value = ast.literal_eval(file[1] if file else value)
            if file:
                value = File(value)
        if match:
            kwargs[match[1]] = value
        else:
            args.append(value)
    return args, kwargs


def directories_of(parsed: argparse.Namespace) -> Sequence[str]:
    """Returns directories of caches and URLs of stores: those given, else those configured."""
    if "://" in getattr(parsed, "target", "") and parsed.arguments:
        parsed.store = [parsed.target]
        parsed.target, *parsed.arguments = parsed.arguments
    given = [*(parsed.directory or ()), *getattr(parsed, "store", ())]
    directories = given or _configured(parsed.config, getattr(parsed, "shared", False))
    for directory in directories:
        if is_url(directory):
            continue
        # The directory of a configured cache may not have been made yet.
        is_expected = given or os.path.lexists(directory)
        if is_expected and not os.path.isdir(directory):
            raise InvalidValueError(f"There is no directory {directory!r}.")
    return directories


def reason_of(error: Exception) -> str:
    """Says what an error was, and in which line of a module it was raised."""
    if isinstance(error, BandsawError):
        return str(error)
    places = [
        (os.path.basename(frame.filename), frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if frame.name == "<module>" and os.path.isabs(frame.filename)
    ]
    # Errors of syntax say it themselves.
    is_told = isinstance(error, SyntaxError) or not places
    place = "" if is_told else " ({}, line {})".format(*places[-1])
    return f"{type(error).__name__}: {error}{place}"


def loaded(module_name: Optional[str], advice: str = "") -> Configuration:
    """Returns the configuration that a command is about. `advice`: what helps without it."""
    try:
        return get_configuration(module_name)
    except BandsawError:
        raise
    except Exception as error:
        raise InvalidValueError(
            f"The configuration cannot be loaded: {reason_of(error)}.{advice}"
        ) from error


def _configured(module_name: Optional[str], is_of_stores: bool) -> list[str]:
    from ..advices.cache import CachingAdvice

    configuration = loaded(module_name, " Name a cache with --directory.")
    caches = [
        advice
        for chain in configuration._tuples.values()
        for advice in chain
        if isinstance(advice, CachingAdvice)
    ]
    if is_of_stores:
        found = {cache.shared_url: None for cache in caches if cache.shared_url is not None}
        if not found:
            raise InvalidValueError(
                f"{configuration} has no CachingAdvice with a shared store. Name one with "
                "--directory."
            )
        return list(found)
    found = {_shown(cache): None for cache in caches}
    if not found:
        raise InvalidValueError(
            f"{configuration} has no CachingAdvice. Name a cache with --directory."
        )
    return list(found)


def _shown(advice: Any) -> str:
    given = os.fspath(advice.directory)
    return given if os.path.abspath(given) == os.path.abspath(advice.root) else str(advice.root)


# The stores, by the folders of their pictures.
_pictures: dict[str, Listing] = {}


def is_url(directory: str) -> bool:
    return "://" in directory


def listing(url: str) -> Listing:
    return Listing(shared_files.resolved(shared_files.checked(url), os.path.abspath))


@contextlib.contextmanager
def pictured(directories: Sequence[str]) -> Iterator[list[str]]:
    """Has stores among directories be replaced by the folders of their pictures."""
    if not any(map(is_url, directories)):
        yield list(directories)
        return
    with tempfile.TemporaryDirectory(prefix="bandsaw-stores-") as parent:
        shown = []
        for number, directory in enumerate(directories):
            if is_url(directory):
                folder = os.path.join(parent, str(number))
                os.mkdir(folder, 0o700)
                _pictures[folder] = listing(directory)
                for _ in _pictures[folder].pictured(folder):
                    pass
                directory = folder
            shown.append(directory)
        try:
            yield shown
        finally:
            _pictures.clear()


def _in_picture(path: str) -> tuple[Optional[Listing], str]:
    """Returns the store that a path stands for, and its key there."""
    for folder, store in _pictures.items():
        if f"{path}{os.sep}".startswith(folder + os.sep):
            return store, path[len(folder) + 1 :].replace(os.sep, "/")
    return None, ""


def told(path: str) -> str:
    """Returns a path, or the URL that it stands for."""
    store, key = _in_picture(path)
    return path if store is None else f"{store.url}/{key}".rstrip("/")


def problem_of(path: str) -> Optional[str]:
    store, key = _in_picture(path)
    if store is None:
        return entry.problem_of(*os.path.split(path))
    with tempfile.TemporaryDirectory(prefix="bandsaw-entry-") as folder:
        return store.problem_of(key, folder)


def remove(path: str) -> None:
    store, key = _in_picture(path)
    if store is not None:
        store.remove(key)
    os.unlink(path)
