"""What makes a process that was started with an archive a far end, and has it serve tasks.

--fork-server SETTINGS   its socket is standard input, see `fork_server`
--worker FD              its channel is open under that number, see `serving`
--input FILE ...         the session is in a file, see `runner`
"""

from __future__ import annotations

import contextlib
import faulthandler
import gc
import importlib
import importlib.util
import json
import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, Optional

from .. import __version__, modules, run
from .._archive import finder
from .._system import callers, directories
from ..errors import WorkerStartError
from ..interpreter import PATH_VARIABLE
from . import frames, inheritance
from .ends import lead_to_nowhere, socket_of
from .frames import Channel

# What the processes of tasks import: here it is imported once for all of them.
_USED_BY_TASKS = (
    *("decorator", "execution", "tasks", "_workers.notices"),
    *("serialization._pickling", "serialization.json"),
    *("advices.cache", "advices.log", "advices.ssh", "advices.subprocess"),
)
_open_until_the_end: list[Channel] = []


def main(args: Sequence[str]) -> int:
    """Serves the process on the other side, and returns the exit status."""
    mode, argument = args[:2]
    become_far_end()
    # What a task sees is no business of ours.
    del sys.argv[1:]
    if mode == "--fork-server":
        return _serve_as_fork_server(json.loads(argument))
    from . import serving

    # So that a process that crashes in C code says where.
    faulthandler.enable()
    os.set_inheritable(int(argument), False)
    channel = Channel(socket_of(int(argument)))
    # Open until the process has ended: to close it says that it is about to.
    _open_until_the_end.append(channel)
    # As a forked process does: to take Python apart takes time, and nobody gains from it.
    os._exit(serving.serve_to_the_end(channel))


def become_far_end() -> bool:
    """Makes a process that was started with an archive a far end. Returns whether it was."""
    if not getattr(sys.modules["__main__"], "IS_FAR_END", False):
        return False
    modules.is_far_end = True
    modules.signed_by = getattr(sys.modules["__main__"], "SIGNED_BY", None)
    directories.tell(os.environ.pop(directories.VARIABLE, None))
    if getattr(sys.modules["__main__"], "IS_LOCAL", False):
        return True
    # What is not in the archive is imported from where the process on the other side does.
    given = os.environ.pop(PATH_VARIABLE, None)
    if given is not None:
        sys.path[1:1] = [entry for entry in json.loads(given) if entry not in sys.path]
    sys.meta_path.append(_RestOfPackages)
    return True


class _RestOfPackages:
    """Finds modules of packages of which an archive holds a part.

    The archive comes first on the search path of a far end, so that what it holds is what was sent.
    What else is in such a package is found where the package lies otherwise.
    """

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        """Looks for a module that is not in the folders of its package. See `importlib.abc`."""
        package = fullname.rpartition(".")[0]
        if not package or path is None:
            return None
        inner = package.split(".")
        folders = [os.path.join(entry, *inner) for entry in sys.path if isinstance(entry, str)]
        return PathFinder.find_spec(fullname, [folder for folder in folders if folder not in path])


def _serve_as_fork_server(settings: dict[str, Any]) -> int:
    """Serves the process that started this one until that is gone.

    `settings`: `parent`, the id of that process; `run_id`; `kind`, see `near_fork_server`, but
    for its variables, which are the first message; `path`, the search path for what is to be
    imported, `None` for the one of this interpreter.
    """
    from . import serving
    from .fork_server import FarForkServer

    control = socket_of(os.dup(0))
    lead_to_nowhere(0, os.O_RDONLY)
    _give_up_terminal()
    # The thread that made the first call may keep some waiting, which is no matter of later ones.
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    channel = Channel(control)
    try:
        content = frames.from_json(channel.receive())
        settings["kind"].append(content["at_start"])
        serving.take_code(content)
        # What is preloaded may define tasks.
        run.take_run_id(settings["run_id"])
        inheritance.apply({"path": settings["path"]})
        with serving.Asking(channel):
            content = _preloaded(settings["kind"][2])
    except EOFError:
        return 0  # nobody waits for us any more
    except Exception as error:
        from .._session.members import written_failure

        channel.send((frames.FAILURE, (written_failure(error),), None))
        return 0
    # So that a process that crashes in C code says where.
    faulthandler.enable()
    fork_server = FarForkServer(control, settings, content)
    channel.send_json(frames.HELLO, content)
    # Whoever reads what this process writes has read enough.
    lead_to_nowhere(2, os.O_RDWR)
    gc.collect()
    gc.freeze()
    fork_server.serve()


def _give_up_terminal() -> None:
    """Has this process, and what it starts, have no terminal, as in a session of its own.

    What asks for a password there is to fail, and not to wait for ever.
    """
    with contextlib.suppress(OSError):
        terminal = os.open("/dev/tty", os.O_RDWR)
        try:
            import fcntl
            import termios

            fcntl.ioctl(terminal, termios.TIOCNOTTY)
        finally:
            os.close(terminal)


def _preloaded(preload: list[str]) -> dict[str, Any]:
    """Imports what every task needs, and says what this process is like."""
    missing = [name for name in (*preload, "cloudpickle") if _is_missing(name)]
    content: dict[str, Any] = {
        "format": frames.FORMAT,
        "bandsaw": __version__,
        "python": list(sys.version_info[:3]),
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
        with contextlib.suppress(ChildProcessError):  # where SIGCHLD is ignored
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
