"""The task and the arguments that a command is given as texts."""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Sequence
from typing import Any

from ..errors import InvalidValueError
from ..modules import import_object

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
