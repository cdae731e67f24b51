"""The Python that an environment is made of."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from ..errors import EnvironmentBuildError
from . import versions

_OLDEST = (3, 9)
_NEWEST_MINOR = 40
_PROBE_SECONDS = 60.0

# Run by any Python, also by one that is too old. In the environment of another one, what that one
# was made of: an environment of an environment would end with it.
_PROBE = """
import json, os, sys, sysconfig
base = getattr(sys, "_base_executable", None) or sys.executable
level, serial = sys.version_info[3:]
suffix = "" if level == "final" else "%s%d" % (level, serial)
kind = "%s %s" % (sys.implementation.name, sysconfig.get_platform())
told = json.dumps([base and os.path.realpath(base), list(sys.version_info[:3]), suffix, kind])
"""


class Python(NamedTuple):
    executable: str  # the path of the executable, with all links resolved
    version: versions.Version  # Major, minor and micro
    suffix: str  # what follows these in the name of a pre-release
    kind: str  # the implementation and the platform

    @property
    def full_version(self) -> str:
        return ".".join(map(str, self.version)) + self.suffix


def find(asked: Optional[str]) -> Python:
    """Finds the Python that was asked for.

    `asked`: a version, version specifiers, the path or the name of an executable, or `None` for the
    Python that runs now. Returns the Python. Where several fit, the one that runs now, else the
    newest on the path, else the newest of pyenv, else what uv finds.
    """
    if asked is None:
        this = _this()
        if not this.executable:
            raise EnvironmentBuildError(
                "The Python that runs now has no executable to make an environment of. Name one as "
                "python=, for example by its version."
            )
        return this
    if versions.is_version(asked):
        return _of_version(asked)
    executable = shutil.which(asked)
    found = None if executable is None else _probe(executable)
    if found is None:
        raise EnvironmentBuildError(
            f"{asked!r} is no Python that works. Give the path of one, a version, as in '3.11', or "
            "version specifiers, as in '>=3.9,<3.13'."
        )
    if found.version < _OLDEST:
        raise EnvironmentBuildError(
            f"{asked!r} is Python {found.full_version}. Tasks need {_OLDEST[0]}.{_OLDEST[1]} or "
            "newer."
        )
    return found


def _this() -> Python:
    names: dict[str, str] = {}
    exec(_PROBE, names)  # the same words as in another process
    return _told(names["told"])


def _of_version(asked: str) -> Python:
    clauses = versions.clauses_of(asked)
    this = _this()
    if this.executable and versions.fits(this.version, clauses):
        return this
    for executable in _candidates(asked, clauses):
        found = _probe(executable)
        if found is not None and _OLDEST <= found.version and versions.fits(found.version, clauses):
            return found
    uv = "uv knows none" if find_uv() else "there is no uv to ask"
    raise EnvironmentBuildError(
        f"No Python {asked} was found. This one is {this.full_version}, none on the path or in "
        f"{_pyenv()} fits, runs and is {_OLDEST[0]}.{_OLDEST[1]} or newer, and {uv}. Install one, "
        "or give the path of one as python."
    )


def _candidates(asked: str, clauses: Sequence[versions.Clause]) -> Iterator[str]:
    for minor in range(_NEWEST_MINOR, _OLDEST[1] - 1, -1):
        if versions.minor_may_fit(minor, clauses):
            yield from _on_the_path(f"python3.{minor}")
    for version, executable in sorted(_of_pyenv(), reverse=True):
        if versions.fits(version, clauses):
            yield executable
    uv = find_uv()
    if uv is not None:
        # uv may know further Pythons. `uv python find` installs none.
        wanted = asked if asked[0].isdigit() else "".join(asked.split())
        executable = _output_of([uv, "python", "find", wanted]).strip()
        if executable:
            yield executable


def find_uv() -> Optional[str]:
    """Returns the path of a uv that works, `None` where there is none on the path."""
    return next((path for path in _on_the_path("uv") if _output_of([path, "--version"])), None)


def _on_the_path(name: str) -> Iterator[str]:
    # The first one may be a shim that leads nowhere.
    for folder in os.environ.get("PATH", os.defpath).split(os.pathsep):
        executable = shutil.which(name, path=folder) if folder else None
        if executable is not None:
            yield os.path.abspath(executable)


def _pyenv() -> Path:
    return Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"), "versions")


def _of_pyenv() -> Iterator[tuple[versions.Version, str]]:
    for folder in _pyenv().glob("*"):
        match = re.fullmatch(r"(\d+)\.(\d+)\.(\d+)", folder.name)
        if match is not None:
            yield (int(match[1]), int(match[2]), int(match[3])), str(folder / "bin" / "python")


def _probe(executable: str) -> Optional[Python]:
    # Isolated (-I) from the environment variables and the working directory of this process.
    told = _output_of([executable, "-I", "-c", f"{_PROBE}\nprint(told)"])
    try:
        # A script that starts it may have written something before.
        return _told(told.rstrip().rpartition("\n")[2])
    except (ValueError, TypeError):
        return None


def _told(text: str) -> Python:
    executable, version, suffix, kind = json.loads(text)
    return Python(executable, tuple(version), suffix, kind)


def _output_of(command: Sequence[str]) -> str:
    variables = {k: v for k, v in os.environ.items() if k != "__PYVENV_LAUNCHER__"}
    try:
        asked = subprocess.run(
            command,
            env=variables,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=_PROBE_SECONDS,
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return asked.stdout if asked.returncode == 0 else ""
