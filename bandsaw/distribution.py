"""Distribution archives: executable zips with the code that a task needs elsewhere."""

from __future__ import annotations

import atexit
import importlib.util
import io
import os
import shutil
import sys
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from ._files import write_whole
from .errors import DistributionError, DistributionModuleError
from .modules import importable_module_name, main_module_name

if TYPE_CHECKING:
    from .config import Configuration

_MAIN = b'''\
"""Executes a task that was sent here. Made by bandsaw."""
import sys

IS_FAR_END = True
SIGNED_BY = None
if sys.version_info < (3, 9):
    sys.exit("bandsaw needs Python 3.9 or newer, and %s is %s" % (sys.executable, sys.version))
if __name__ == "__main__":
    from bandsaw.runner import main

    sys.exit(main(sys.argv[1:]))
'''
# The earliest time that a zip can hold: archives of the same content are the same bytes.
_TIME = (1980, 1, 1, 0, 0, 0)
_LEFT_OUT = ("__pycache__",)


class DistributionArchive:
    """An executable zip (`.pyz`) with bandsaw, the `__main__` script and modules.

    Archives are equal if they are made of the same modules.

    Args:
        path: Where the file is, or is made when it is first asked for.
        *modules: The names of the modules and packages in it.

    Attributes:
        modules: The names of the modules and packages in it.
        signed_by: The name of the configuration by whose key all sessions have to be signed that
            the archive is given, `None` for any session. Set before the file is made.
    """

    def __init__(self, path: Union[str, os.PathLike[str]], *modules: str) -> None:
        self._path = Path(path)
        self.modules: tuple[str, ...] = modules
        self.signed_by: Optional[str] = None
        self._lock = threading.Lock()

    @property
    def path(self) -> Path:
        """The path of the file, which is made if it is missing. An existing one stays as it is.

        Raises:
            DistributionError: If a module cannot be put into it.
        """
        if not self._path.exists():
            with self._lock:
                if not self._path.exists():
                    content = _build(self.modules, self.signed_by)
                    self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                    write_whole(self._path, content)
        return self._path

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DistributionArchive):
            return NotImplemented
        return self.modules == other.modules

    def __hash__(self) -> int:
        return hash(self.modules)

    def __repr__(self) -> str:
        return f"DistributionArchive({str(self._path)!r}, {', '.join(map(repr, self.modules))})"


_ARCHIVES: dict[Any, DistributionArchive] = {}
_LOCK = threading.Lock()
_FOLDER: Optional[tuple[int, str]] = None
# Where it is made, by default where temporary files go.
_parent_folder: Optional[str] = None


def get_distribution_archive(configuration: Configuration) -> DistributionArchive:
    """Returns the archive of a configuration, one per configuration and process.

    Args:
        configuration: Names the modules. Its own module is in the archive, too.

    Returns:
        The archive. Its file goes when the process ends.
    """
    name = importable_module_name(configuration.module_name)
    modules = tuple(dict.fromkeys([*([name] if name else []), *configuration.distribution_modules]))
    is_signed = getattr(configuration.serializer, "is_signed", False) is True
    key = modules, is_signed
    with _LOCK:
        archive = _ARCHIVES.get(key)
        if archive is None:
            file_name = f"distribution-{len(_ARCHIVES)}.pyz"
            archive = DistributionArchive(os.path.join(_folder(), file_name), *modules)
            archive.signed_by = name if is_signed else None
            _ARCHIVES[key] = archive
        return archive


def owned_folders(archive: Path) -> list[str]:
    """Returns the folders that serve an archive of this process, and go when the process ends."""
    return [_FOLDER[1]] if _FOLDER is not None and str(archive.parent) == _FOLDER[1] else []


def make_folders_in(folder: str) -> None:
    """Has the folder for the archives of this process made in another one, which goes anyway.

    Args:
        folder: The folder.
    """
    global _parent_folder
    _parent_folder = folder


def _folder() -> str:
    global _FOLDER
    if _FOLDER is None:
        # A forked child may outlive the parent whose folder it is.
        there = _parent_folder is not None and os.path.isdir(_parent_folder)
        folder = tempfile.mkdtemp(prefix="bandsaw-", dir=_parent_folder if there else None)
        _FOLDER = (os.getpid(), folder)
        atexit.register(_remove_folder)
        util: Any = sys.modules.get("multiprocessing.util")
        if util is not None:
            # The processes of multiprocessing end without calling what atexit knows.
            util.Finalize(None, _remove_folder, exitpriority=0)
    return _FOLDER[1]


def _remove_folder() -> None:
    # A forked child that ends in the ordinary way must not take its parent's archives along.
    if _FOLDER is not None and _FOLDER[0] == os.getpid():
        shutil.rmtree(_FOLDER[1], ignore_errors=True)


def _start_anew() -> None:
    # The archives are the parent's, and a thread of the parent may have held the lock.
    global _FOLDER, _LOCK, _parent_folder
    if _FOLDER is not None:
        # It may end without a word: then its folder goes with the parent's.
        _parent_folder = _FOLDER[1]
    _FOLDER, _LOCK = None, threading.Lock()
    _ARCHIVES.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


def _build(modules: tuple[str, ...], signed_by: Optional[str]) -> bytes:
    content: dict[str, bytes] = {}
    main_name = main_module_name()
    if main_name is not None:
        content.update(_main_files(main_name))
    for name in ("bandsaw", *modules):
        if name != main_name:
            content.update(_files_of(name))
    content["__main__.py"] = _MAIN.replace(b"= None", f"= {signed_by!r}".encode())
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(content):
            info = zipfile.ZipInfo(name, _TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = 0o600 << 16
            archive.writestr(info, content[name])
    return written.getvalue()


def _main_files(name: str) -> dict[str, bytes]:
    file_path = getattr(sys.modules["__main__"], "__file__", None)
    if file_path is None or not os.path.isfile(file_path):
        return dict(_files_of(name))
    files: dict[str, bytes] = {}
    package = name.rpartition(".")[0]
    if package and importlib.util.find_spec(package) is not None:
        files.update(_parents_of(name))
    files[name.replace(".", "/") + ".py"] = Path(file_path).read_bytes()
    return files


def _files_of(name: str) -> dict[str, bytes]:
    spec = _spec_of(name)
    files = _parents_of(name)
    folder = name.replace(".", "/")
    if spec.submodule_search_locations is not None:
        # Earlier locations of a namespace package win, as they do when it is imported.
        for location in reversed(list(spec.submodule_search_locations)):
            files.update((f"{folder}/{inner}", data) for inner, data in _read_folder(location))
    elif spec.origin is not None and spec.origin.endswith(".py"):
        files[folder + ".py"] = _read_source(spec)
    else:
        raise DistributionError(
            f"The module {name!r} cannot be put into a distribution archive: it is made of "
            f"{spec.origin!r}, and only Python source can be imported from a zip. Install it on "
            "the other side."
        )
    return files


def _parents_of(name: str) -> dict[str, bytes]:
    files = {}
    parts = name.split(".")
    for length in range(1, len(parts)):
        spec = _spec_of(".".join(parts[:length]))
        if spec.origin is not None and spec.origin.endswith(".py"):
            files["/".join(parts[:length]) + "/__init__.py"] = _read_source(spec)
    return files


def _spec_of(name: str) -> ModuleSpec:
    loaded = sys.modules.get(name)
    try:
        if loaded is not None and loaded.__spec__ is None and loaded.__file__ is not None:
            # Made by a program and not by an import, but from a file all the same.
            return importlib.util.spec_from_file_location(name, loaded.__file__)  # type: ignore
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError, AttributeError) as error:
        raise DistributionModuleError(
            f"No module named {name!r}, which was to be put into a distribution archive: {error}",
            name=name,
        ) from error
    if spec is None:
        raise DistributionModuleError(
            f"No module named {name!r}, which was to be put into a distribution archive. Check the "
            "names given to add_modules_for_distribution().",
            name=name,
        )
    return spec


def _read_source(spec: ModuleSpec) -> bytes:
    assert spec.origin is not None
    if os.path.isfile(spec.origin):
        return Path(spec.origin).read_bytes()
    loader: Any = spec.loader
    data: bytes = loader.get_data(spec.origin)
    return data


def _read_folder(location: str) -> Iterator[tuple[str, bytes]]:
    if os.path.isdir(location):
        for folder, folders, names in os.walk(location):
            folders[:] = sorted(name for name in folders if name not in _LEFT_OUT)
            for name in sorted(names):
                if not name.endswith((".pyc", *EXTENSION_SUFFIXES)):
                    path = os.path.join(folder, name)
                    inner = os.path.relpath(path, location).replace(os.sep, "/")
                    yield inner, Path(path).read_bytes()
        return
    # The location may lie in a zip: a far end that builds an archive of its own.
    archive_path, inner_path = location, ""
    while archive_path and not os.path.isfile(archive_path):
        archive_path, _, last = archive_path.rpartition(os.sep)
        inner_path = f"{last}/{inner_path}"
    if not archive_path or not zipfile.is_zipfile(archive_path):
        raise DistributionError(f"The folder {location!r} of a package does not exist.")
    with zipfile.ZipFile(archive_path) as archive:
        for name in archive.namelist():
            if name.startswith(inner_path) and not name.endswith("/"):
                yield name[len(inner_path) :], archive.read(name)
