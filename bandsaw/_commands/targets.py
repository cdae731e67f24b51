"""The caches, the task and the arguments that a command is given as texts."""

from __future__ import annotations

import argparse
import ast
import contextlib
import os
import re
from collections.abc import Sequence
from typing import Any, Optional

from ..config import Configuration, get_configuration
from ..errors import BandsawError, InvalidValueError
from ..modules import import_object
from . import stores

_KEYWORD = re.compile(r"([A-Za-z_]\w*)=(.*)", re.DOTALL)


def task_named(target: str) -> Any:
    names = target.split(".")
    for count in range(len(names) - 1, 0, -1):
        module_name = ".".join(names[:count])
        try:
            return import_object(".".join(names[count:]), module_name)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{module_name}.".startswith(f"{error.name}."):
                raise InvalidValueError(f"{module_name} cannot be imported: {error}.") from error
        except AttributeError as error:
            raise InvalidValueError(f"There is no {target}: {error}.") from error
    raise InvalidValueError(f"There is neither an entry nor a task {target!r}.")


def arguments_in(texts: Sequence[str]) -> tuple[list[Any], dict[str, Any]]:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for text in texts:
        match = _KEYWORD.fullmatch(text)
        value = match[2] if match else text
        with contextlib.suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            value = ast.literal_eval(value)
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
        if stores.is_url(directory):
            continue
        # The directory of a configured cache may not have been made yet.
        is_expected = given or os.path.lexists(directory)
        if is_expected and not os.path.isdir(directory):
            raise InvalidValueError(f"There is no directory {directory!r}.")
    return directories


def loaded(module_name: Optional[str], advice: str = "") -> Configuration:
    """Returns the configuration that a command is about. `advice`: what helps without it."""
    try:
        return get_configuration(module_name)
    except BandsawError:
        raise
    except Exception as error:
        raise InvalidValueError(
            f"The configuration cannot be loaded: {type(error).__name__}: {error}.{advice}"
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
