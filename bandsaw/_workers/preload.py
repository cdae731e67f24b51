"""What a fork server imports before processes are forked from it, and what it says about itself."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
from typing import Any

from .. import __version__
from .._archive import finder
from .._system import callers
from ..errors import WorkerStartError
from . import frames

# What the processes of tasks import: here it is imported once for all of them.
_USED_BY_TASKS = (
    *("decorator", "execution", "tasks", "_workers.notices"),
    *("serialization._pickling", "serialization.json"),
    *("advices.cache", "advices.log", "advices.ssh", "advices.subprocess"),
)


def prepare(preload: list[str]) -> dict[str, Any]:
    missing = [name for name in (*preload, "cloudpickle") if _is_missing(name)]
    content: dict[str, Any] = {
        "format": frames.FORMAT,
        "bandsaw": __version__,
        "python": list(sys.version_info[:3]),
        "implementation": sys.implementation.name,
        "platform": os.uname().sysname,
        "executable": sys.executable,
        "pickle": _pickle_protocol(),
        "pid": os.getpid(),
        "missing": missing,
    }
    package = __name__.partition(".")[0]
    for name in _USED_BY_TASKS:
        importlib.import_module(f"{package}.{name}")
    before = set(sys.modules)
    for name in preload:
        if name not in missing:
            _import(name)
    content["files"] = _watched_files(before)
    content["threads"] = _thread_count()
    if content["threads"] > 1 and len(sys._current_frames()) == 1:
        # Libraries that are made for it, such as the OpenBLAS in NumPy, end their threads before a
        # fork, and start them again on either side where they are first needed. Threads that run
        # Python, such as those of a debugger, do not end, and may hold what a fork would wait for.
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        os.waitpid(pid, 0)
        content["threads"] = _thread_count()
    return content


def _import(name: str) -> None:
    try:
        with callers.loading():
            importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise WorkerStartError(
            f"A process for tasks could not be started: preload asks for {name}, and to import it "
            f"there failed with {type(error).__name__}: {error}"
        ) from error


def _is_missing(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is None
    except (ImportError, ValueError, AttributeError):
        return True


def _pickle_protocol() -> int:
    import pickle

    return pickle.HIGHEST_PROTOCOL


def _watched_files(before: set[str]) -> list[list[Any]]:
    """Lists the files of the user's own modules that were loaded, which may be edited."""
    found = []
    for name in set(sys.modules) - before:
        path = getattr(sys.modules[name], "__file__", None)
        if not path or "site-packages" in path or path.startswith((sys.base_prefix, sys.path[0])):
            continue
        if path in finder.files:
            continue  # there is another fork server when that was loaded again
        try:
            status = os.stat(path)
        except OSError:
            continue
        found.append([path, status.st_mtime_ns, status.st_size])
    return found


def _thread_count() -> int:
    try:
        return len(os.listdir("/proc/self/task"))
    except OSError:
        return threading.active_count()
