"""Where the files of modules lie, without importing a module.

A module that is loaded is where it was loaded from; any other is looked for as an import would.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from typing import Any, Optional

from .._identity.firstparty import find_below, is_foreign_place
from ..errors import DistributionError, DistributionModuleError
from ..modules import file_of, main_module_name

# Of files that are modules, in the order in which an import looks for them.
SUFFIXES = (*EXTENSION_SUFFIXES, ".py", ".pyc")


def locate(name: str) -> Optional[ModuleSpec]:
    """Finds a module. Returns what is known of it, `None` if it is not to be found."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        spec: Optional[ModuleSpec] = getattr(loaded, "__spec__", None)
        if spec is not None and (spec.origin or spec.submodule_search_locations is not None):
            return _thawed(name, spec)
        file = file_of(loaded)
        # Made by a program and not by an import, but from a file all the same.
        return importlib.util.spec_from_file_location(name, file) if file else None
    package, _, last = name.rpartition(".")
    if not last:
        return None
    try:
        if not package:
            # A name without a dot is found without an import.
            spec = importlib.util.find_spec(name)
            return None if spec is None else _thawed(name, spec)
        locations = _locations(package)
        return find_below(name, locations) if locations else None
    except (ImportError, ValueError, AttributeError):
        return None


def _thawed(name: str, spec: ModuleSpec) -> ModuleSpec:
    """Parts of the standard library are frozen into newer Pythons. Their sources are there, too."""
    file = getattr(spec.loader_state, "filename", None) if spec.origin == "frozen" else None
    if not isinstance(file, str) or not os.path.isfile(file):
        return spec
    folders = [os.path.dirname(file)] if is_package(spec) else None
    thawed = importlib.util.spec_from_file_location(name, file, submodule_search_locations=folders)
    return thawed or spec


def _locations(package: str) -> Optional[list[str]]:
    # A package may have changed its path when it was loaded.
    path = getattr(sys.modules.get(package), "__dict__", {}).get("__path__")
    if path is None:
        spec = locate(package)
        path = None if spec is None else spec.submodule_search_locations
    return None if path is None else list(path)


def located(name: str) -> ModuleSpec:
    """Finds a module that was named explicitly."""
    spec, reason = locate(name), None
    if spec is None and "." in name and sys.modules.get(name) is None:
        try:
            # Its packages may have to be imported to say where it is.
            spec = importlib.util.find_spec(name)
        except Exception as error:
            reason = error
    if spec is None:
        raise DistributionModuleError(
            f"No module named {name!r}, which was to be put into a distribution archive"
            + (f": {reason}" if reason else "")
            + ". Check the names given to add_modules_for_distribution().",
            name=name,
        ) from reason
    return spec


def is_package(spec: ModuleSpec) -> bool:
    """Says whether a module is a package, with or without an `__init__`."""
    return spec.submodule_search_locations is not None


def member_of(name: str, spec: ModuleSpec) -> Optional[str]:
    """Returns the path in the archive of a module's own file, `None` where it has none."""
    origin = spec.origin
    if not isinstance(origin, str) or not (spec.has_location or os.path.isfile(origin)):
        return None
    for suffix in SUFFIXES:
        if origin.endswith(suffix):
            inner = name.replace(".", "/")
            return inner + ("/__init__" if is_package(spec) else "") + suffix
    return None


def module_of(member: str) -> Optional[str]:
    """Returns the name of the module whose file a member is, `None` for any other file."""
    for suffix in SUFFIXES:
        if member.endswith(suffix):
            name = member[: -len(suffix)].replace("/", ".")
            name = name[: -len(".__init__")] if name.endswith(".__init__") else name
            return name if all(part.isidentifier() for part in name.split(".")) else None
    return None


def read_origin(spec: ModuleSpec) -> bytes:
    """Reads a module's own file, which may lie in a zip."""
    origin = str(spec.origin)
    if os.path.isfile(origin):
        return read_file(origin)
    loader: Any = spec.loader
    try:
        data: bytes = loader.get_data(origin)
    except (OSError, AttributeError) as error:
        raise unreadable(origin, error) from error
    return data


def read_file(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise unreadable(path, error) from error


def unreadable(path: str, error: Exception) -> DistributionError:
    return DistributionError(
        f"The file {path!r} cannot be put into a distribution archive: "
        f"{getattr(error, 'strerror', None) or error}."
    )


def is_of_project(folder: str) -> bool:
    """Says whether an entry of the search path is neither Python's nor for what is installed."""
    return os.path.exists(folder) and not is_foreign_place(folder)


def main_name() -> Optional[str]:
    """Returns the name of the script that goes in: bandsaw's own commands are none."""
    if getattr(sys.modules.get("__main__"), "__dict__", {}).get("IS_FAR_END") is True:
        return None
    name = main_module_name()
    return None if name is None or name.partition(".")[0] == "bandsaw" else name
