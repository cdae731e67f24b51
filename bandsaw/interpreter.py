"""Which Python a task runs in: executable, module search path and environment variables."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from typing import Any, Optional, TypeVar, Union

from .errors import InvalidValueError
from .serialization.values import SerializableValue

# Tells the far end which `sys.path` to take over: a list as JSON.
PATH_VARIABLE = "BANDSAW_SYS_PATH"

PathLike = Union[str, "os.PathLike[str]"]
_Self = TypeVar("_Self", bound="Interpreter")


class Interpreter(SerializableValue):
    """A Python interpreter.

    Args:
        path: The module search path. Where it is given it becomes `PYTHONPATH`, on a remote machine
            too. Where it is not, the attribute reads as `sys.path`, which is passed on only to the
            same executable on the same machine.
        executable: The Python to run, by default the one that runs now.

    Raises:
        InvalidValueError: If a part is not a path (a `ValueError`).
    """

    def __init__(
        self, path: Optional[Iterable[PathLike]] = None, executable: Optional[PathLike] = None
    ) -> None:
        if isinstance(path, (str, bytes, os.PathLike)):
            raise InvalidValueError(
                f"An interpreter's path is a list of folders, not one: write [{path!r}]"
            )
        if not (path is None or isinstance(path, Iterable)):
            raise InvalidValueError(f"An interpreter's path is a list of folders, not {path!r}")
        self._path = None if path is None else tuple(_as_text("path", part) for part in path)
        for entry in self._path or ():
            if os.pathsep in entry:
                raise InvalidValueError(
                    f"{os.pathsep!r} in {entry!r}, an entry of an interpreter's path, would end it."
                )
        self._executable = (
            sys.executable or "" if executable is None else _as_text("executable", executable)
        )
        self._environment: dict[str, str] = {}

    @property
    def path(self) -> tuple[str, ...]:
        """The module search path: what was given, else `sys.path`."""
        return tuple(sys.path) if self._path is None else self._path

    @property
    def executable(self) -> str:
        """The Python to run."""
        return self._executable

    @property
    def environment(self) -> dict[str, str]:
        """A copy of the environment variables that are laid over the inherited ones."""
        return dict(self._environment)

    def set_environment(self: _Self, **variables: str) -> _Self:
        """Sets the environment variables that are laid over the inherited ones.

        Args:
            **variables: Name and value of each. They replace what an earlier call set.

        Returns:
            This interpreter.

        Raises:
            InvalidValueError: If a name or a value cannot be an environment variable.
        """
        for name, value in variables.items():
            if not isinstance(value, str):
                raise InvalidValueError(
                    f"The environment variable {name} has to be a text, not {value!r} of type "
                    f"{type(value).__name__}: write {name}={str(value)!r}"
                )
            if not name or "=" in name or not is_passable(name + value):
                raise InvalidValueError(f"{name!r}={value!r} cannot be an environment variable")
        self._environment = dict(variables)
        return self

    def overlay(self, local: bool) -> dict[str, str]:
        """Returns the variables to lay over the environment of a process of this interpreter.

        Args:
            local: Whether the process runs on this machine.

        Returns:
            The variables that were set and, where a search path is to be passed on, `PYTHONPATH`
            for one that was given, else `BANDSAW_SYS_PATH`, which the far end takes over.
        """
        variables, path = self.local_overlay(os.pathsep if local else ":")
        if local and path is not None:
            import json

            # Not as PYTHONPATH, which other Pythons that the process starts would inherit.
            variables[PATH_VARIABLE] = json.dumps(path)
        return variables

    def local_overlay(self, separator: str = os.pathsep) -> tuple[dict[str, str], list[str] | None]:
        """Returns what a process of this interpreter on this machine is given by this one.

        Args:
            separator: Stands between the entries of a search path.

        Returns:
            The variables to lay over the environment, and the search path to take over if one is to
            be passed on.
        """
        variables = dict(self._environment)
        if self._path is not None:
            entries = list(self._path)
            if "PYTHONPATH" in variables:
                entries.append(variables["PYTHONPATH"])
            variables["PYTHONPATH"] = separator.join(entries)
            return variables, None
        if not self._is_this_one():
            return variables, None
        return variables, [entry or _here() for entry in sys.path if isinstance(entry, str)]

    @property
    def _told(self) -> tuple[Any, ...]:
        """What `local_overlay` depends on of the interpreter itself. It is not changed in place."""
        return self._path, self._executable, self._environment

    def _is_this_one(self) -> bool:
        # Without resolving links: the executable of a virtual environment is one to its base.
        if self._executable == (sys.executable or ""):
            return True
        return os.path.normcase(os.path.abspath(self._executable)) == os.path.normcase(
            os.path.abspath(sys.executable or "")
        )

    def serialized(self) -> dict[str, Any]:
        """Returns `path` (`None` where it was not given), `executable` and `environment`."""
        return {
            "path": self._path,
            "executable": self._executable,
            "environment": self.environment,
        }

    @classmethod
    def deserialize(cls, values: Mapping[str, Any]) -> Interpreter:
        """Makes an interpreter from what `serialized` returned."""
        interpreter = cls(path=values["path"], executable=values["executable"])
        return interpreter.set_environment(**values["environment"])

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Interpreter):
            return NotImplemented
        return self.serialized() == other.serialized()

    def __hash__(self) -> int:
        return hash((self._path, self._executable))

    def __repr__(self) -> str:
        path = "" if self._path is None else f"path={list(self._path)!r}, "
        return f"Interpreter({path}executable={self._executable!r})"


def _here() -> str:
    try:
        return os.getcwd()
    except OSError:
        return ""  # the folder is gone, and nothing can be imported from it


def checked_interpreter(interpreter: Any, where: str) -> Interpreter:
    """Refuses what was given in place of an interpreter.

    Args:
        interpreter: What was given.
        where: Says in the error to what it was given.

    Returns:
        The interpreter.

    Raises:
        InvalidValueError: If it is none; says how to make one.
    """
    if not isinstance(interpreter, Interpreter):
        raise InvalidValueError(
            f"The interpreter of {where} has to be a bandsaw.Interpreter, not {interpreter!r}: "
            "write bandsaw.Interpreter(executable='/path/to/python')."
        )
    return interpreter


def is_passable(text: str) -> bool:
    """Says whether a text can be given to another process, as an argument or a variable.

    Args:
        text: The text.
    """
    try:
        return b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        return False  # half of a character


def _as_text(what: str, value: PathLike) -> str:
    text: Any = value
    if isinstance(value, os.PathLike):
        text = os.fspath(value)
    if not isinstance(text, str) or not is_passable(text) or (what == "executable" and not text):
        raise InvalidValueError(f"An interpreter's {what} has to be a path, not {value!r}")
    return str(text)
