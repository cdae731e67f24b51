"""What makes an environment and installs into it: uv where it is on the path, else venv and pip.

    this process ── pipe, lock ──► Python that watches the pipe ── lock ──► uv or pip
        ends, in whatever way ──── end of file ──► removes what is half made, and kills its group

No shell is involved, and requirements are lines of a file, not arguments: these can be seen by all
users, and may contain what gives access to a host.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from .._system import lifeline
from .._system.files import open_private
from .._system.output import Tail, said
from .._system.processes import describe_exit, end_group
from ..errors import EnvironmentBuildError
from ..interpreter import PATH_VARIABLE
from .pythons import Python, find_uv

# Variables that lead pip or uv to another Python or folder, or keep them from installing.
_SPOILING = (
    *("PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "PYTHONEXECUTABLE", "PYTHONPLATLIBDIR"),
    *("VIRTUAL_ENV", "CONDA_PREFIX", "__PYVENV_LAUNCHER__", PATH_VARIABLE),
    *("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_PYTHON", "PIP_REQUIRE_VIRTUALENV"),
    *("PIP_REQUIREMENT", "PIP_EDITABLE", "PIP_DRY_RUN", "PIP_GROUP"),
    *("UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_PYTHON_PREFERENCE", "UV_MANAGED_PYTHON"),
    *("UV_NO_MANAGED_PYTHON", "UV_WORKING_DIR", "UV_WORKING_DIRECTORY", "UV_PROJECT"),
)
_FILE = "requirements.txt"
# Where bandsaw is imported from: a folder, or the archive that a far end runs.
_ROOT = str(Path(__file__).parent.parent.parent)
# Ends its group, and removes the folder, when the process that started it is gone.
_WATCHER = """
import subprocess, sys
sys.path.append(sys.argv[1])
from bandsaw._system import lifeline
lifeline.follow()
# The lock goes on to the tool.
code = subprocess.call(sys.argv[2:], close_fds=False)
sys.exit(code if code >= 0 else 128 - code)
"""


def python_in(folder: Path) -> Path:
    """Returns the path of the executable of an environment, whether it exists or not."""
    if os.name == "nt":
        return folder / "Scripts" / "python.exe"
    return folder / "bin" / "python"


def build(folder: Path, base: Python, requirements: Sequence[str], lock: int, what: str) -> str:
    """Makes an environment. `folder`: where to. There must be nothing."""
    python, file = str(python_in(folder)), folder / _FILE
    uv = find_uv()
    if uv is not None:
        make = [uv, "venv", "--python", base.executable, str(folder)]
        install = [uv, "pip", "install", "--python", python, "-r", str(file)]
    else:
        make = [base.executable, "-I", "-m", "venv", str(folder)]
        if not requirements:
            make.insert(-1, "--without-pip")
        install = [
            *(python, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input", "--no-color"),
            *("install", "--no-user", "--progress-bar=off", "-r", str(file)),
        ]
    _run(make, folder, base, lock, what)
    if requirements:
        with open(file, "x", encoding="utf-8", opener=open_private) as stream:
            # An old pip would take the encoding of the locale.
            stream.write("\n".join(["# -*- coding: utf-8 -*-", *requirements, ""]))
        _run(install, folder, base, lock, what)
        file.unlink()
    return "pip" if uv is None else "uv"


def _run(command: list[str], folder: Path, base: Python, lock: int, what: str) -> None:
    with lifeline.held([str(folder)]) as (held, descriptors):
        full, inherited = command, (*descriptors, lock)
        if os.name == "posix":
            full = [base.executable, "-I", "-S", "-B", "-c", _WATCHER, _ROOT, *command]
        else:
            inherited = ()
        try:
            started = subprocess.Popen(
                full,
                # Not the working directory of this process: pip and uv may read settings there.
                cwd=folder.parent,
                env={**_environment(), **held},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=inherited,
                start_new_session=os.name == "posix",
            )
        except OSError as error:
            raise EnvironmentBuildError(
                f"{what} cannot be made: `{shlex.join(command)}` cannot be started: {error}"
            ) from error
        assert started.stdout is not None
        try:
            tail = Tail(started.stdout, None)
            started.wait()
        finally:
            end_group(started)
    last = tail.finish()
    if started.returncode:
        raise EnvironmentBuildError(
            f"{what} cannot be made: `{shlex.join(command)}` ended with "
            f"{describe_exit(started.returncode)}.{said(last)}"
        )


def _environment() -> dict[str, str]:
    variables = {name: value for name, value in os.environ.items() if name not in _SPOILING}
    # As variables, which an older uv ignores, and not as options, which it refuses.
    uv = {"UV_NO_PROGRESS": "1", "UV_NO_PROJECT": "1", "UV_PYTHON_DOWNLOADS": "never"}
    return {**variables, "NO_COLOR": "1", **uv}
