"""Whose code a module is: the project's own, an installed distribution's, or Python's.

The project's own code is *first-party*: it counts line by line. An installed distribution counts
by its name and version, the standard library by name only, see `global_name`.
"""

from __future__ import annotations

import os
import sys
from functools import lru_cache
from hashlib import sha256
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, Optional

from .._system.importing import late_import
from ..modules import file_of, main_module_name
from .forms import write_str
from .kinds import attributes_of, is_a

_OURS = __name__.partition(".")[0]
# The bandsaw of an archive that runs calls in an executor's worker, see `engine_far`.
_OURS_OF_WORKERS = "_bandsaw_"
_INSTALLED = frozenset({"site-packages", "dist-packages"})
# What newer versions of Python moved.
_RENAMED = {"pathlib._local": "pathlib", "pathlib._abc": "pathlib", "re._compiler": "re"}

_first_party: dict[str, bool] = {}
_distributions: dict[str, Optional[tuple[str, str]]] = {}
_names_by_top_level: Optional[dict[str, list[str]]] = None


def is_first_party(module_name: str) -> bool:
    """Says whether a module is the project's own code.

    Returns `True` for `__main__` and for every module that comes from a file or a zip archive
    outside of Python's own folders and of every `site-packages`, so also for the source of an
    editable install. `False` for everything else: the standard library, installed distributions,
    bandsaw itself, and names that cannot be found.
    """
    if module_name in ("__main__", "__mp_main__"):
        return True
    known = _first_party.get(module_name)
    if known is None:
        known = _judge(module_name)
        # A name that is not to be found now may be there later.
        if known or module_name in sys.modules:
            _first_party[module_name] = known
    return known


def is_standard_library(module_name: str) -> bool:
    """Says whether a module is built in, frozen, or lies in Python's own library."""
    top_level = module_name.partition(".")[0]
    names = getattr(sys, "stdlib_module_names", None)
    if names is not None:
        return top_level in names
    if top_level in sys.builtin_module_names:
        return True
    location = _location(top_level)
    if location in ("built-in", "frozen"):
        return True
    return location is not None and _is_below_standard_library(location)


def distribution_of(module_name: str) -> Optional[tuple[str, str]]:
    """Finds the name and version of what a module came with; `None` for Python's own."""
    top_level = module_name.partition(".")[0]
    if top_level not in _distributions:
        _distributions[top_level] = _find_distribution(top_level)
    return _distributions[top_level]


def _find_distribution(top_level: str) -> Optional[tuple[str, str]]:
    if top_level != _OURS and is_standard_library(top_level):
        return None
    if top_level != _OURS:
        # 38 ms to import: only for who uses installed distributions at all.
        with late_import:
            from importlib import metadata

        for name in _distribution_names(top_level):
            try:
                distribution = metadata.distribution(name)
                return name, distribution.version + _contents_of(distribution)
            except (metadata.PackageNotFoundError, ValueError):
                continue  # a name may be no name of a distribution
    # Not by an attribute, which a module may make up.
    version = getattr(sys.modules.get(top_level), "__dict__", {}).get("__version__", "")
    return top_level, version if isinstance(version, str) else ""


def _contents_of(distribution: Any) -> str:
    """Digests what was not installed from an index: its version may stay when its code changes."""
    is_conda_s = (distribution.read_text("INSTALLER") or "").strip() == "conda"
    record = distribution.read_text("RECORD")
    if is_conda_s or record is None or distribution.read_text("direct_url.json") is None:
        return ""
    # Scripts and what is said of the installation differ from environment to environment.
    lines = (line for line in record.splitlines()
             if line[:2] != ".." and ".dist-info/" not in line and ",sha256=" in line)  # fmt: skip
    return f" {sha256(chr(10).join(sorted(lines)).encode()).hexdigest()[:16]}"


def _distribution_names(top_level: str) -> list[str]:
    global _names_by_top_level
    if _names_by_top_level is None:
        _names_by_top_level = _read_distribution_names()
    return sorted(_names_by_top_level.get(top_level, [])) or [top_level]


def _read_distribution_names() -> dict[str, list[str]]:
    with late_import:
        from importlib import metadata

    names: dict[str, list[str]] = {}
    for distribution in metadata.distributions():
        name = _name_of(distribution)
        if not name:
            continue
        listed = (distribution.read_text("top_level.txt") or "").split()
        if not listed:
            files = _files_of(distribution)
            listed = [f.partition("/")[0].partition(".")[0] for f in files]
        for top_level in set(listed):
            if name not in names.setdefault(top_level, []):
                names[top_level].append(name)
    return names


# By hand: with all that is installed, the parsers of the standard library take a second.


def _name_of(distribution: Any) -> Optional[str]:
    for line in (distribution.read_text("METADATA") or "").splitlines():
        key, _, value = line.partition(":")
        if key.lower() == "name":
            return value.strip()
        if not line:
            break
    name: Optional[str] = distribution.metadata["Name"]
    return name


def _files_of(distribution: Any) -> list[str]:
    """Returns the paths of modules, relative to the folder that they are installed in."""
    record = distribution.read_text("RECORD")
    if record is None:
        paths = [file.as_posix() for file in distribution.files or ()]
    else:
        paths = [line.partition(",")[0].strip('"') for line in record.splitlines()]
    return [path for path in paths if path.endswith((".py", ".so"))]


def _judge(module_name: str) -> bool:
    top_level = module_name.partition(".")[0]
    if top_level == _OURS or top_level.startswith(_OURS_OF_WORKERS) or not top_level:
        return False
    module = sys.modules.get(module_name)
    location = _location(module_name if module is not None else top_level)
    if location is None:
        # Made by hand (`types.ModuleType`): nobody installed it.
        is_by_hand = module is not None and module.__dict__.get("__spec__") is None
        return is_by_hand and top_level not in getattr(sys, "stdlib_module_names", ())
    # A project may shadow a name of the standard library, so the location decides.
    return location not in ("built-in", "frozen") and not _is_foreign(location)


def _location(module_name: str) -> Optional[str]:
    """Returns the file or folder of a module, `built-in`, `frozen`, or `None` if unknown."""
    module = sys.modules.get(module_name)
    if isinstance(module, ModuleType):
        file = file_of(module)
        if isinstance(file, str):
            return file
        spec = attributes_of(module).get("__spec__")
        if spec is None:
            return "built-in" if module_name in sys.builtin_module_names else None
    else:
        spec = find_spec(module_name)
    return _location_of_spec(spec)


class Onlooker:
    """A finder that finds modules as all others do, to look at those that are imported."""


def find_spec(module_name: str) -> Any:
    """Finds a top-level module: looking for a submodule would import its package."""
    for finder in sys.meta_path:
        find = getattr(finder, "find_spec", None)
        if find is None or is_a(finder, Onlooker):
            continue
        try:
            spec = find(module_name, None)
        except Exception:
            continue
        if spec is not None:
            return spec
    return None


def find_below(name: str, folders: list[str]) -> Optional[ModuleSpec]:
    """Finds a module in the folders of a package that need not be loaded."""
    try:
        return PathFinder.find_spec(name, folders)
    except KeyError:
        # The path of a package without `__init__.py` looks for the package around it, and that is
        # not loaded. Under its last name alone there is none around it.
        found = PathFinder.find_spec(name.rpartition(".")[2], folders)
        spec = ModuleSpec(name, None, is_package=True)
        assert found is not None
        spec.submodule_search_locations = list(found.submodule_search_locations or ())
        return spec


def _location_of_spec(spec: Any) -> Optional[str]:
    if spec is None:
        return None
    origin = spec.origin
    if isinstance(origin, str) and origin != "namespace":
        return origin
    for folder in spec.submodule_search_locations or ():
        return str(folder)
    return None


def _is_installed(location: str) -> bool:
    return not _INSTALLED.isdisjoint(location.replace("\\", "/").split("/"))


def is_foreign_place(folder: str) -> bool:
    """Says whether a folder or zip of the search path holds no code of the project."""
    return _is_foreign(os.path.join(folder, "any"))


def _is_foreign(location: str) -> bool:
    return _is_installed(location) or _is_below_standard_library(location)


def _is_below_standard_library(location: str) -> bool:
    if _is_installed(location):
        return False
    path = os.path.normcase(os.path.abspath(location))
    return any(path.startswith(folder) for folder in _standard_library_folders())


@lru_cache(maxsize=1)
def _standard_library_folders() -> tuple[str, ...]:
    # `os` lies where the rest of the standard library does, which `sysconfig` would say too but
    # takes milliseconds to import.
    found = {os.path.dirname(os.path.abspath(os.__file__))}
    found |= {os.path.realpath(folder) for folder in found}
    found |= {os.path.join(folder, "lib-dynload") for folder in found}
    zipped = f"python{sys.version_info[0]}{sys.version_info[1]}.zip"
    found |= {os.path.join(os.path.dirname(folder), zipped) for folder in found}
    return tuple(os.path.normcase(folder) + os.sep for folder in sorted(found))


def global_name(module: Any, name: Any) -> bytes:
    """Writes the name of something installed, with the version of what is not Python's own.

    What a compiled module of the project has counts by the file of that module.
    """
    module = _RENAMED.get(str(module), module or "builtins")
    distribution = distribution_of(module)
    parts = [str(module), str(name), *(distribution or ())]
    compiled = compiled_file(str(module))
    if compiled:
        parts += ["", "", compiled][len(parts) - 2 :]
    return b"g%d:" % len(parts) + b"".join(write_str(part) for part in parts)


def compiled_file(module: str) -> str:
    """Digests the file of a compiled module of the project; empty for all else."""
    path = file_of(sys.modules.get(module))
    if type(path) is not str or not path.endswith(_COMPILED) or not is_first_party(module):
        return ""
    if path not in _compiled_files:
        try:
            with open(path, "rb") as file:
                _compiled_files[path] = sha256(file.read()).hexdigest()
        except OSError:
            return ""
    return _compiled_files[path]


_COMPILED = tuple(EXTENSION_SUFFIXES)
_compiled_files: dict[str, str] = {}  # a loaded one is never read again


def names_of_global(written: bytes) -> tuple[str, str, str, str]:
    """Reads module, name, distribution and version, empty for Python's own."""
    count, _, rest = written[1:].partition(b":")
    names = []
    for _ in range(int(count)):
        length, _, rest = rest[1:].partition(b":")
        names.append(rest[: int(length)].decode("utf-8", "surrogatepass"))
        rest = rest[int(length) :]
    module, name, distribution, version = (*names, "", "")[:4]
    return module, name, distribution, version


def unversioned_name(written: bytes) -> bytes:
    """Takes the distribution and its version out of what `global_name` wrote."""
    module, name, _, _ = names_of_global(written)
    return b"g2:" + write_str(module) + write_str(name)


def canonical_module_name(name: Any) -> str:
    """Gives the name by which a module, or the script, can be imported."""
    if name not in ("__main__", "__mp_main__"):
        return str(name)
    return main_module_name() or "__main__"
