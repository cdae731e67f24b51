"""Interpreters that are made of what a task needs: virtual environments, kept by a digest."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Optional

from . import modules
from ._arguments import checked_path
from ._environments import versions
from ._environments.requirements import checked, masked
from .errors import EnvironmentBuildError, InvalidValueError
from .interpreter import Interpreter, PathLike


class Environment(Interpreter):
    """An interpreter with certain packages, made when its `executable` is first asked for.

    It is a virtual environment, made with `uv` where that is on the path, else with `venv` and
    `pip`, whose settings (files and variables, such as indexes) apply. It is kept in
    `$BANDSAW_HOME/environments`, by default `~/.cache/bandsaw/environments`, under the digest of
    the requirements and of the base Python, and serves all that ask for the same. Of several
    threads and processes that need it at once, one makes it. While it is made, a line on standard
    error says so.

    A task in it sees what is installed there. `bandsaw` need not be: it comes along. That of a
    remote is made there, with the Python that `python` finds there.

    Args:
        requirements: What to install, each one a text as in `numpy>=1.26,<2` (PEP 508). Order and
            repetitions do not matter.
        python: The Python that it is made of: a version, as in `3.11`, which is looked for; version
            specifiers, as in `>=3.9,<3.13`; the path or the name of an executable. By default the
            Python that runs now, which is also the first choice among those that fit.

    Raises:
        InvalidValueError: If a requirement or `python` is not of these forms (a `ValueError`).
    """

    # Where it was found or made by this process.
    _folder: Optional[Path] = None
    # The script that was not there to be read.
    _lacking: Optional[str] = None

    def __init__(self, requirements: Iterable[str] = (), python: Optional[PathLike] = None) -> None:
        super().__init__()
        self._requirements = checked(requirements)
        self._python = _checked_python(python)

    @classmethod
    def from_script(cls, path: PathLike) -> Environment:
        """Makes an environment with what a script says that it needs, in inline metadata (PEP 723).

        `dependencies` become the requirements and `requires-python` becomes `python`. On Python
        3.9 and 3.10 this needs the extra `environments`.

        A task's process loads the configuration, too, and may not have the script. There the
        environment is one that cannot be used.

        Args:
            path: The script. It is read, but not run.

        Returns:
            The environment, which is not made yet.

        Raises:
            InvalidValueError: If the script has no such metadata, or not in the right form (a
                `ValueError`).
            EnvironmentBuildError: If the extra is needed and missing (a `RuntimeError`).
            OSError: If the script cannot be read.
        """
        from ._environments.script import read_metadata

        name = os.fspath(checked_path("path", path, " of a script"))
        try:
            dependencies, requires_python = read_metadata(name)
        except (FileNotFoundError, NotADirectoryError):
            if not modules.is_far_end:
                raise
            # The archive of this process is named by `__file__`, or it runs on another machine.
            environment = cls()
            environment._lacking = name
            return environment
        try:
            # Never the name of an executable. Where it says nothing, every Python will do.
            python = (requires_python or "").strip(" ,")
            versions.clauses_of(python)
            return cls(dependencies, python or None)
        except InvalidValueError as error:
            raise InvalidValueError(f"In the block `# /// script` of {name!r}: {error}") from error

    @property
    def requirements(self) -> tuple[str, ...]:
        """What is installed, sorted."""
        return self._requirements

    @property
    def python(self) -> Optional[str]:
        """The Python that was asked for, `None` for the one that runs now."""
        return self._python

    @property
    def path(self) -> tuple[str, ...]:
        """Nothing: an environment has a search path of its own."""
        return ()

    @property
    def executable(self) -> str:
        """The Python to run. The environment is made if it is missing.

        Raises:
            EnvironmentBuildError: If it cannot be made; has the last lines of the tool that tried
                (a `RuntimeError`). Nothing is left of it.
            KeptFolderError: If the folder for it cannot be used (an `OSError`).
        """
        from ._environments import store, tools

        self._check_is_known()
        folder = self._folder
        # Somebody may have removed it since.
        if folder is None or not store.is_whole(folder):
            folder = self._folder = store.ready(self._requirements, self._python)
        return str(tools.python_in(folder))

    @property
    def is_made(self) -> bool:
        """Whether it is there already. This makes nothing.

        Raises:
            EnvironmentBuildError: If there is no Python to make it of (a `RuntimeError`).
            KeptFolderError: If the folder for it cannot be used (an `OSError`).
        """
        from ._environments import pythons, store

        self._check_is_known()
        return store.is_whole(store.folder_of(self._requirements, pythons.find(self._python)))

    def _check_is_known(self) -> None:
        if self._lacking is not None:
            raise EnvironmentBuildError(
                f"The script {self._lacking!r}, which says what is needed, is not where this task "
                "runs."
            )

    def _is_this_one(self) -> bool:
        # Not even where it is: what it does not contain, a task in it is not to see.
        return False

    def serialized(self) -> dict[str, Any]:
        """Returns what was asked for: `requirements`, `python` and `environment`."""
        return {
            "requirements": list(self._requirements),
            "python": self._python,
            "environment": self.environment,
        }

    @classmethod
    def deserialize(cls, values: Mapping[str, Any]) -> Environment:
        """Makes an environment from what `serialized` returned. It is not built by that."""
        environment = cls(values["requirements"], values["python"])
        return environment.set_environment(**values["environment"])

    def __getstate__(self) -> dict[str, Any]:
        # Where it arrives, there may be another folder and another Python.
        return {name: value for name, value in self.__dict__.items() if name != "_folder"}

    def __hash__(self) -> int:
        return hash((self._requirements, self._python))

    def __repr__(self) -> str:
        python = "" if self._python is None else f", python={self._python!r}"
        return f"{type(self).__name__}({masked(self._requirements)!r}{python})"


def _checked_python(python: Any) -> Optional[str]:
    if python is None:
        return None
    text = os.fspath(python) if isinstance(python, os.PathLike) else python
    if not isinstance(text, str) or not text.strip() or "\0" in text:
        raise InvalidValueError(
            f"The Python of an environment has to be a text, not {python!r}: write a version, as "
            "in '3.11', version specifiers, as in '>=3.9,<3.13', or the path of an executable."
        )
    if versions.is_version(text.strip()):
        text = text.strip()
        versions.clauses_of(text)
    return text
