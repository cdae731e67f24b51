"""Imports the project's own code from where it lies, as it was when ids were made of it.

    packages    where each first-party package or module lies: these come before all others
    roots       the folders of the search path in which other ones may lie: these come last
    files       size and time of each file when it was read for an id

A file that has been edited since is not loaded. Its text of that time is asked for, and loaded
under its path. This module is imported before bandsaw: it uses the standard library alone.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import cache_from_source, spec_from_file_location
from typing import Any, Callable, Optional

_BANDSAW = "bandsaw"
# A file that was written so lately may be written again without another time in its byte code.
_RACY_SECONDS = 2.0
_INSTALLED = frozenset({"site-packages", "dist-packages"})

# What this process was told, for processes that it starts itself. `id` is empty in a process that
# was not started from code in place.
id: str = ""
packages: dict[str, tuple[Optional[str], Optional[list[str]]]] = {}
roots: list[str] = []
files: dict[str, tuple[int, int]] = {}
# Where an archive that runs has the text of that time, and what `beside` was told.
members: dict[str, str] = {}
beside: dict[str, list[str]] = {}
key: Any = None
byte_code = ""
# Asks the process on the other side for the text of a file; `None` where nobody can be asked.
ask: Optional[Callable[[str], Optional[bytes]]] = None
_texts: dict[str, bytes] = {}


def install(package: str, folder: str) -> None:
    """Has the project's modules imported from here.

    `package`: that of bandsaw, empty if Python finds it. `folder`: for byte code, empty for none.
    """
    global byte_code
    byte_code = folder
    if package:
        packages[_BANDSAW] = (os.path.join(package, "__init__.py"), [package])
    position = sys.meta_path.index(PathFinder) if PathFinder in sys.meta_path else 0
    sys.meta_path.insert(position, _Finder)


def take(code: Mapping[str, Any]) -> None:
    global id, key
    id, key = code["id"], code["key"]
    for name, (origin, locations) in code["packages"].items():
        packages[name] = origin, locations
    for path, (size, modified) in code["files"].items():
        files[path] = size, modified
    roots[:] = code["roots"]


def text_of(path: str) -> Optional[bytes]:
    """Returns the text that a file had when an id was made of it, where it has another one now."""
    known = files.get(path)
    if known is None:
        return None
    if path not in _texts:
        try:
            status = os.stat(path)
            if (status.st_size, status.st_mtime_ns) == known:
                return None
        except OSError:
            pass  # it is gone
        text = asked(path)
        if text is None or text == _read(path):
            return None
        _tell_linecache(path, text)
        return text
    return _texts[path]


def asked(path: str) -> Optional[bytes]:
    """Asks the archive, or the process on the other side, for the text that a file had."""
    text = _texts.get(path)
    if text is None and path in members:
        text = _read(members[path])
    elif text is None and ask is not None and path in files:
        text = ask(path)
        if text is not None:
            _texts[path] = text
    return text


def _read(path: str) -> Optional[bytes]:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return None


def _tell_linecache(path: str, text: bytes) -> None:
    import linecache
    from importlib.util import decode_source

    lines = decode_source(text).splitlines(keepends=True)
    # Without a time, it is never compared with the file.
    linecache.cache[path] = (len(text), None, lines, path)


class _Loader(SourceFileLoader):
    """Loads the text that a file had when an id was made of it."""

    def get_code(self, fullname: str) -> Any:
        text = text_of(self.path)
        if text is not None:
            return self.source_to_code(text, self.path)
        if not byte_code or not self._lacks_byte_code():
            return super().get_code(fullname)
        before = sys.dont_write_bytecode, sys.pycache_prefix
        sys.dont_write_bytecode, sys.pycache_prefix = False, byte_code
        try:
            return super().get_code(fullname)
        finally:
            sys.dont_write_bytecode, sys.pycache_prefix = before

    def get_data(self, path: str) -> bytes:
        text = text_of(path) if path == self.path else None
        return super().get_data(path) if text is None else text

    def set_data(self, path: str, data: Any, *, _mode: int = 0o666) -> None:
        try:
            age = time.time() - os.stat(self.path).st_mtime
        except OSError:
            return
        if age > _RACY_SECONDS:
            super().set_data(path, data, _mode=_mode)

    def _lacks_byte_code(self) -> bool:
        try:
            return not os.path.exists(cache_from_source(self.path))
        except NotImplementedError:
            return False


class _Finder:
    """Finds modules as Python does, but for those of the project. See `importlib.abc`."""

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        known = packages.get(fullname)
        spec = None if known is None else _located(fullname, *known)
        if spec is None:
            spec = _read_before(fullname, roots if path is None else path)
        if spec is None:
            spec = _found_by_others(cls, fullname, path, target)
        if spec is None and path is None and roots:
            spec = PathFinder.find_spec(fullname, roots)
        if spec is not None and type(spec.loader) is SourceFileLoader:
            origin = str(spec.origin)
            if origin in files or _is_ours(fullname, origin):
                spec.loader = _Loader(fullname, origin)
        return spec


def _located(
    name: str, origin: Optional[str], locations: Optional[Sequence[str]]
) -> Optional[ModuleSpec]:
    if origin is None:
        spec = ModuleSpec(name, None, is_package=True)
        spec.submodule_search_locations = list(locations or ())
        return spec
    if origin.endswith(".py") and (origin in files or os.path.isfile(origin)):
        folders = None if locations is None else list(locations)
        return spec_from_file_location(name, origin, submodule_search_locations=folders)
    # In a zip, or compiled for some Python, perhaps not this one.
    folder = os.path.dirname(origin if locations is None else os.path.dirname(origin))
    return PathFinder.find_spec(name, [folder])


def _read_before(name: str, path: Sequence[str]) -> Optional[ModuleSpec]:
    """Finds a module whose file may be gone, or may be a package by now."""
    last = name.rpartition(".")[2]
    for folder in path:
        inner = os.path.join(folder, last)
        for origin, locations in (
            (os.path.join(inner, "__init__.py"), [inner]),
            (inner + ".py", None),
        ):
            if origin in files:
                return spec_from_file_location(name, origin, submodule_search_locations=locations)
    return None


def _found_by_others(cls: type, name: str, path: Any, target: Any) -> Optional[ModuleSpec]:
    others = sys.meta_path[sys.meta_path.index(cls) + 1 :]  # type: ignore[arg-type]
    for finder in others:
        find_spec = getattr(finder, "find_spec", None)
        spec: Optional[ModuleSpec] = None if find_spec is None else find_spec(name, path, target)
        if spec is not None:
            return spec
    return None


def _is_ours(name: str, origin: str) -> bool:
    return name.partition(".")[0] in packages or (
        any(origin.startswith(root + os.sep) for root in roots)
        and _INSTALLED.isdisjoint(origin.split(os.sep))
    )
