"""The files of a shared store, on any file system that fsspec has a driver for.

An entry is whole or absent: where the file system renames files, it is written under a temporary
name first. Object stores take it in one put, which they show when it is complete.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import importlib.util
import os
import re
import threading
import weakref
from concurrent.futures import Future

# Loaded with the configuration: it cannot be loaded any more when the script is over.
from concurrent.futures.thread import ThreadPoolExecutor
from typing import Any, Callable, TypeVar

from .. import modules
from ..errors import InvalidValueError

R = TypeVar("R")

SUFFIX = ".tmp"
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.:-]*://.+", re.DOTALL)
# Of these it is known without loading fsspec.
_KNOWN = {"file", "local", "s3", "s3a", "gs", "gcs", "sftp", "ssh", "abfs", "az", "http", "https"}
_GOOGLE = re.compile(r"gc?s://", re.IGNORECASE)
_LOCAL = re.compile(r"(?:file|local)://", re.IGNORECASE)
# To close the connections of the parent in a forked process would disturb those of the parent.
_of_parents: list[Any] = []
# The event loops that use an executor of ours.
_prepared: weakref.WeakSet[Any] = weakref.WeakSet()


def checked(url: Any) -> str:
    if isinstance(url, str) and _URL.fullmatch(url):
        _check_scheme(url)
        return url
    raise InvalidValueError(
        f"shared has to be the URL of a store, such as 's3://bucket/prefix' or 'file:///mnt/team', "
        f"not {url!r}"
    )


def _check_scheme(url: str) -> None:
    scheme = re.split("::?", url, maxsplit=1)[0].lower()
    if scheme in _KNOWN or modules.is_far_end or importlib.util.find_spec("fsspec") is None:
        return
    from fsspec import available_protocols

    known = available_protocols()
    if scheme not in known:
        near = difflib.get_close_matches(scheme, known, 1)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise InvalidValueError(f"shared={url!r}: fsspec has no file system {scheme!r}.{hint}")


def resolved(url: str, anchored: Callable[[str], str]) -> str:
    """Returns the URL of a store with an absolute path. `anchored` makes a local path absolute."""
    match = _LOCAL.match(url)
    if match is None:
        return url
    path = url[match.end() :]
    return f"file://{anchored(path)}"


class StoreFiles:
    """The files of a store, by keys `task id/execution id`.

    Connections are made on first use, by one thread at a time, and not used in forked processes.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._pid = os.getpid()
        self._is_loaded = False
        # Google's driver asks for the object once where it is told headers, else it lists, too.
        self._options: Any = {"headers": {}} if _GOOGLE.match(url) else {}
        # File systems with their open connections, and the path of the store in each.
        self._idle: list[tuple[Any, str]] = []

    def get(self, key: str, path: str) -> None:
        """Copies a file into a local one. Raises `FileNotFoundError` if there is none."""
        self.run(lambda system, root: system.get_file(f"{root}/{key}", path, **self._options))

    def put(self, path: str, key: str) -> None:
        """Copies a local file into the store, whole or not at all."""

        def put(system: Any, root: str) -> None:
            if not _renames(system):
                system.put_file(path, f"{root}/{key}")
                return
            folder, name = f"{root}/{key}".rsplit("/", 1)
            temporary = f"{folder}/.{name}.{os.urandom(8).hex()}{SUFFIX}"
            try:
                try:
                    system.put_file(path, temporary)
                except OSError as error:
                    # SFTP has no number for a folder that another one made at the same time.
                    if error.errno not in (None, errno.ENOENT, errno.EEXIST):
                        raise
                    _make(folder, system)
                    system.put_file(path, temporary)
                system.mv(temporary, f"{folder}/{name}")
            except BaseException:
                with contextlib.suppress(Exception):
                    system.rm_file(temporary)
                raise

        self.run(put)

    def load(self) -> None:
        """Loads the driver. Some modules cannot be loaded any more when the program ends."""
        if not self._is_loaded:
            self._is_loaded = True
            with contextlib.suppress(Exception):
                from fsspec.core import get_filesystem_class, split_protocol

                get_filesystem_class(split_protocol(self._url)[0])

    def run(self, action: Callable[[Any, str], R]) -> R:
        """Calls an action with a file system and the path of the store in it."""
        while True:
            found, is_new = self._take()
            try:
                result = action(*found)
            except (FileNotFoundError, PermissionError):
                self._idle.append(found)
                raise
            except Exception:
                # The server may have been restarted since the connection was made.
                if is_new:
                    raise
                continue
            self._idle.append(found)
            return result

    def _take(self) -> tuple[tuple[Any, str], bool]:
        if self._pid != os.getpid():
            _of_parents.append(self._idle)
            self._idle, self._pid = [], os.getpid()
        try:
            return self._idle.pop(), False
        except IndexError:
            return self._connected(), True

    def _connected(self) -> tuple[Any, str]:
        try:
            from fsspec.core import url_to_fs
        except ModuleNotFoundError as error:
            raise ModuleNotFoundError(
                f"{error}. Shared stores need it: pip install fsspec"
            ) from error
        # An instance that others use may list folders from its memory.
        system, root = url_to_fs(self._url, skip_instance_cache=True)
        _prepare(system)
        return system, str(root).rstrip("/")


def _make(folder: str, system: Any) -> None:
    """Makes a folder with its parents, also where others make some of them meanwhile."""
    if system.exists(folder):
        return
    parent = folder.rpartition("/")[0]
    if parent:
        _make(parent, system)
    try:
        system.mkdir(folder, create_parents=False)
    except OSError:
        if not system.exists(folder):
            raise


def _renames(system: Any) -> bool:
    """Whether a file system has a rename of its own, and is no object store that copies."""
    from fsspec.spec import AbstractFileSystem

    return type(system).mv is not AbstractFileSystem.mv and not getattr(system, "async_impl", False)


class _Executor(ThreadPoolExecutor):
    """Takes calls also when Python has ended its executors, which it does before the last call.

    Calls that were submitted run on when the script is over, and have their results sent. Drivers
    that work in an event loop look up names of hosts in its executor.
    """

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        try:
            return super().submit(function, *args, **kwargs)
        except RuntimeError:
            future: Future[Any] = Future()

            def run() -> None:
                try:
                    future.set_result(function(*args, **kwargs))
                except BaseException as error:
                    future.set_exception(error)

            threading.Thread(target=run, name="bandsaw-shared-last", daemon=True).start()
            return future


def _prepare(system: Any) -> None:
    """Has the event loop of a file system, if it has one, use such an executor."""
    loop = getattr(system, "loop", None) if getattr(system, "async_impl", False) else None
    if loop is not None and loop not in _prepared:
        _prepared.add(loop)
        loop.call_soon_threadsafe(loop.set_default_executor, _Executor())
