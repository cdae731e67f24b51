"""The first steps in an engine's worker: an archive is made ready, and its code runs calls.

    ExecutorCarrier ══► run: archive ─► bandsaw of the archive, `engine_worker`: calls

This file is sent as text, after the modules on which it builds, and is executed once in a process.
It needs the standard library of Python only. What it imports of bandsaw has a name of its own: the
worker may have another version.
"""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import os
import socket
import sys
import tempfile
import threading
from typing import Any

if "." in __name__:
    # Else it was sent as text, and they are there.
    from ..._archive.arriving import ArrivingArchive
    from ..._archive.keep import MANIFEST, hold, kept_root, touch
    from ..._archive.unpack import is_whole
    from ..ssh.bootstrap import OLDEST, missing


_lock = threading.Lock()
_roots: dict[str, Any] = {}
# By the folders of archives: their module `engine_worker`.
_workers: dict[str, Any] = {}


def run(request: Any, call: Any, messages: Any, archive: Any, data: Any = None) -> Any:
    """Runs a call, or several in a row, or keeps an archive for calls that come later.

    `request`: plain data, see `ExecutorCarrier`. `call`: its name. `messages`: the body of STATE,
    by which name a process keeps calls like this one in mind, and the head of SESSION or AGAIN;
    `None` if nothing is to be run. `archive`: its two parts, see `arriving`; or a path to a file
    with both; or `None`, if it may be here. `data`: what comes after the head, or the path of a
    file with it. Where `call` is a list of names, messages and data are lists with those of each.

    Returns a tuple that begins with a word: `missing` if the archive is lacking, `lacking` if files
    are, `unseen` if a file of the caller cannot be opened, `whole` if there is no process here that
    knows calls like this one, `kept`, `ended` if the call was cancelled before, `lost` if the
    worker was in which it had begun, `unstarted` with a reason if no process could be started for
    it, `error` with another one, `calls` with the answers of several, `piece` with one of a file,
    or `events` with the host, what happened, how it ended, how many seconds that took, and how the
    files that it returns are had.
    """
    host = socket.gethostname()
    try:
        if sys.version_info < OLDEST:
            version = ".".join(map(str, sys.version_info[:3]))
            told = f"it is Python {version}, and bandsaw needs Python 3.9 or newer"
            return "unstarted", host, told
        if not sys.executable:
            return "unstarted", host, "it does not say which Python it is (sys.executable is empty)"
        needed = request.get("python")
        if needed is not None:
            here = list(sys.version_info[:2])
            if here != needed or missing(["cloudpickle"]):
                hello = {"python": list(sys.version_info[:3]), "missing": missing(["cloudpickle"])}
                return "unfit", host, json.dumps(hello)
        directory, root, is_temporary = _root()
        folder = os.path.join(root, "archives", request["digest"])
        if folder not in _workers or not os.path.exists(os.path.join(folder, MANIFEST)):
            if not is_whole(folder):
                if archive is None:
                    return "missing", host
                _keep(folder, archive)
            touch(folder)
        worker = _worker(folder)
        place = folder, root, "" if is_temporary else directory
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "submitit":
            raise  # Slurm ends the job
        return "unstarted", host, f"{type(error).__name__}: {error}"
    return worker.run(request, place, call, messages, data)


def kill(call: str) -> None:
    """Ends a call that runs below this worker, if it does."""
    for worker in {*_workers.values()}:
        worker.kill(call)


def _root() -> Any:
    """Returns where temporary files go, the folder there for what is kept, and whether for now."""
    directory = tempfile.gettempdir()
    with _lock:
        known = _roots.get(directory)
        # Somebody may have tidied up. It has to be ours again.
        if known is None or not os.path.isdir(os.path.join(known[0], "archives")):
            known = _roots[directory] = kept_root(directory)
    return directory, *known


def _worker(folder: str) -> Any:
    """Imports what runs calls from an archive, once for all of them with the same bandsaw."""
    with _lock:
        known = _workers.get(folder)
        if known is not None and os.path.exists(known.__file__):
            return known
        with open(os.path.join(folder, MANIFEST), encoding="utf-8") as file:
            members = json.load(file)["members"]
        ours = {name: one for name, one in members.items() if name.startswith("bandsaw/")}
        told = json.dumps(ours, sort_keys=True).encode("utf-8")
        name = "_bandsaw_" + hashlib.sha256(told).hexdigest()[:16]
        path = os.path.join(folder, "bandsaw")
        package = sys.modules.get(name)
        if package is None or not os.path.isdir(package.__path__[0]):
            for old in [one for one in sys.modules if one == name or one.startswith(name + ".")]:
                del sys.modules[old]
            hold(folder)
            spec: Any = importlib.util.spec_from_file_location(
                name, os.path.join(path, "__init__.py"), submodule_search_locations=[path]
            )
            package = sys.modules[name] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(package)
        worker = importlib.import_module(name + "._workers.executor.engine_worker")
        _workers[folder] = worker
        return worker


def _keep(folder: str, archive: Any) -> None:
    if isinstance(archive, str):
        with open(archive, "rb") as file:
            size = int.from_bytes(file.read(8), "big")
            archive = file.read(size), file.read()
    arriving = ArrivingArchive(folder)
    try:
        arriving.take(archive[0])
        arriving.end_part()
        # All of it was sent, also what other archives here have.
        unpacking = arriving._unpacking
        for name in set(unpacking._members) - set(unpacking.lacking):
            os.unlink(unpacking._place(name))
        unpacking.lacking.update(unpacking._members)
        arriving.take(archive[1])
        arriving.end_part()
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, folder) from error
    finally:
        arriving.abandon()


def _let_go() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_let_go)
