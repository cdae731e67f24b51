"""Under which names code can be imported, also by another process.

The script that is run as `__main__` has no such name there. It gets the one under which it could
be imported, and in its own process that name leads back to `__main__` itself, so that the script
is never loaded twice and its classes stay the same classes.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import sys
import types
from collections.abc import Iterable, Mapping
from importlib.machinery import ModuleSpec
from typing import Any, Optional, Union

from ._script import find_script, is_of_cell, runs_cells
from .errors import NotImportableError

PathLike = Union[str, "os.PathLike[str]"]

# When bandsaw was imported, long before its modules are.
begun: int = vars(sys.modules[__name__.partition(".")[0]])["_begun"]
# Whether this process was started to work for another one. The runner says so.
is_far_end = False
# There, the name of the configuration by whose key every session has to be signed, if there is one.
# It comes with the archive, because a session cannot say of itself that it need not be signed.
signed_by: Optional[str] = None

_variables_of: Any = vars(types.ModuleType)["__dict__"]
_known_main: Optional[tuple[Any, Any, Any, Optional[str]]] = None
# The script and its file, as long as it said so: see `file_of`.
_script: tuple[Any, Any] = (None, None)


def file_of(module: Any) -> Any:
    """Returns the `__file__` of a module, `None` if it has none.

    Python takes it from the script when that has come to its end. Threads and exit functions may
    still call tasks then, so it is remembered from before.

    Args:
        module: The module.
    """
    global _script
    # Not by an attribute, which a module may make up, or be loaded for.
    try:
        if issubclass(type(module), types.ModuleType):
            variables = _variables_of.__get__(module)
        else:
            variables = object.__getattribute__(module, "__dict__")
        file = variables.get("__file__")
    except AttributeError:
        file = None
    if file is None:
        return _script[1] if module is not None and module is _script[0] else None
    if module is sys.modules.get("__main__"):
        _script = (module, file)
    return file


find_script()
file_of(sys.modules.get("__main__"))


def object_as_import(obj: Any) -> tuple[str, str]:
    """Returns the names under which an object can be imported.

    Args:
        obj: A function or a class.

    Returns:
        The object's name, dotted if it is part of a class, and the module's name. For an object of
        the `__main__` script it is the name under which the script can be imported.

    Raises:
        NotImportableError: If the object is local to a function, has no name, or was typed into an
            interactive session (a `ValueError`).
    """
    object_name = getattr(obj, "__qualname__", None) or getattr(obj, "__name__", None)
    module_name = getattr(obj, "__module__", None)
    if not object_name or not module_name:
        raise NotImportableError(f"Can't import {obj!r}: it has no name and module.")
    if "<locals>" in object_name:
        raise NotImportableError(
            f"Can't import local functions. Move {object_name} of {module_name} to the top level "
            "of its module."
        )
    if "<" in object_name:
        raise NotImportableError(
            f"Can't import {object_name} of {module_name}: give it a name with 'def'."
        )
    if module_name in ("__main__", "__mp_main__"):
        main = sys.modules.get("__main__")
        is_cell = module_name == "__main__" and is_of_cell(obj, object_name, main, file_of(main))
        main_name = None if is_cell else main_module_name()
        if module_name == "__mp_main__":
            # The second name is what multiprocessing runs the script as, before it is __main__.
            file_path = getattr(obj, "__globals__", {}).get("__file__")
            main_name = _find_main_module_name(None, file_path)
        if main_name is None:
            raise NotImportableError(
                f"Can't import {object_name} of __main__: it was not loaded from a script with a "
                "name like 'name.py'. Put it into a file with such a name."
            )
        module_name = main_name
    return object_name, module_name


def import_object(object_name: str, module_name: str) -> Any:
    """Imports an object.

    Args:
        object_name: The name of the object, dotted if it is part of a class.
        module_name: The name of its module.

    Returns:
        The object.

    Raises:
        ModuleNotFoundError: If there is no such module.
        AttributeError: If the module has no such object.
    """
    loaded = sys.modules.get(module_name)
    if getattr(getattr(loaded, "__spec__", None), "_initializing", False):
        # Another thread loads it, and may wait for this one. What is defined by now is there.
        with contextlib.suppress(AttributeError):
            return _attribute_of(loaded, object_name)
    return _attribute_of(import_module(module_name), object_name)


def _attribute_of(value: Any, object_name: str) -> Any:
    for part in object_name.split("."):
        if isinstance(value, type) and part.startswith("__") and not part.endswith("__"):
            # Python itself renames what is private to a class.
            part = f"_{value.__name__.lstrip('_')}{part}"
        value = getattr(value, part)
    return value


def import_module(module_name: str) -> types.ModuleType:
    """Imports a module, taking `__main__` where the name is that of the running script.

    Args:
        module_name: The dotted name.

    Returns:
        The module.
    """
    if module_name not in sys.modules and module_name == main_module_name():
        main = sys.modules["__main__"]
        return main._load() if isinstance(main, _LazyMain) else main
    return importlib.import_module(module_name)


def main_module_name() -> Optional[str]:
    """Returns the name under which the `__main__` script can be imported.

    Returns:
        The name, or `None` where `__main__` does not come from a `.py` file: in an interactive
        session, with `python -c`, and when a folder or an archive is run.
    """
    global _known_main
    main = sys.modules.get("__main__")
    spec, file_path = getattr(main, "__spec__", None), file_of(main)
    known = _known_main
    # Asked for whenever something is unpickled.
    if known is None or not (known[0] is main and known[1] is spec and known[2] is file_path):
        known = _known_main = (main, spec, file_path, _find_main_module_name(spec, file_path))
    return None if runs_cells(main) else known[3]


def _find_main_module_name(spec: Optional[ModuleSpec], file_path: Optional[str]) -> Optional[str]:
    if spec is not None and (spec.name != "__main__" or spec.loader is not None):
        return None if spec.name == "__main__" else str(spec.name)
    if file_path is None or not os.path.isfile(file_path):
        return None
    stem, suffix = os.path.splitext(os.path.basename(file_path))
    if suffix != ".py" or "." in stem:
        return None
    name = _guess_module_name_by_path(file_path) or stem
    return None if name == "__main__" else name


def importable_module_name(module_name: Optional[str]) -> Optional[str]:
    """Returns the name under which another process can import a module.

    Args:
        module_name: A name that is valid in this process.

    Returns:
        The same name, for `__main__` that of the script, `None` where there is none.
    """
    return main_module_name() if module_name == "__main__" else module_name


def adopt_main(name: str) -> None:
    """Makes a module the `__main__` of a far end, as soon as something of it is asked for.

    So what was pickled as part of `__main__` is found, and the script is one module under both its
    names. It does nothing where `__main__` is anything but bandsaw's own runner.

    Args:
        name: The name under which the script can be imported here.
    """
    # Not by an attribute: one of a script that is not loaded yet would load it.
    main = getattr(sys.modules.get("__main__"), "__dict__", {})
    if is_far_end and main.get("IS_FAR_END") is True:
        sys.modules["__main__"] = sys.modules.get(name) or _LazyMain(name)


def set_variables(environment: Mapping[str, str]) -> None:
    """Sets what a far end is told by the session that it goes on with.

    Args:
        environment: Environment variables, the search path among them.
    """
    os.environ.update(environment)
    given = environment.get("PYTHONPATH")
    if given:
        # After the archive, as if the variable had been set before Python started.
        sys.path[1:1] = [entry for entry in given.split(os.pathsep) if entry not in (*sys.path, "")]


class _LazyMain(types.ModuleType):
    """Stands for a `__main__` script that may never be needed and is not loaded until it is."""

    def __init__(self, name: str) -> None:
        super().__init__("__main__")
        self.__spec__ = ModuleSpec(name, None)

    def __getattr__(self, attribute: str) -> Any:
        assert self.__spec__ is not None
        is_special = attribute.startswith("__") and attribute.endswith("__")
        if is_special or not _may_define(self.__spec__.name, attribute):
            raise AttributeError(f"module '__main__' has no attribute {attribute!r}")
        return getattr(self._load(), attribute)

    def _load(self) -> types.ModuleType:
        assert self.__spec__ is not None
        module = sys.modules["__main__"] = importlib.import_module(self.__spec__.name)
        return module


# A script that uses one of them may define anything at run time.
_DYNAMIC = frozenset(("exec", "globals", "locals", "modules", "setattr", "vars", "__dict__"))


def _may_define(module_name: str, name: str) -> bool:
    """Looks, without executing it, whether a script can have a name at its top level."""
    try:
        spec = importlib.util.find_spec(module_name)
        loader: Any = None if spec is None else spec.loader
        code = loader.get_code(module_name)
    except Exception:
        return True  # to import it says what is wrong
    names = set(code.co_names)
    # "import *" leaves this tuple among the constants.
    return name in names or ("*",) in code.co_consts or not _DYNAMIC.isdisjoint(names)


def get_loaded_module_name_by_path(file_path: PathLike) -> Optional[str]:
    """Returns the name of the loaded module that comes from a file.

    Args:
        file_path: The path of the file.

    Returns:
        The name under which the module is loaded, or `None` if none comes from that file.
    """
    wanted = _normalized(file_path)
    found = None
    for name, module in list(sys.modules.items()):
        module_file = file_of(module)
        if not isinstance(module_file, str):
            continue
        # Comparing the last part first spares a look at the disk for almost all modules.
        if os.path.basename(module_file) != os.path.basename(wanted):
            continue
        if _normalized(module_file) == wanted:
            if name != "__main__":
                return name
            found = name
    return found


def _guess_module_name_by_path(
    file_path: PathLike, python_paths: Optional[Iterable[PathLike]] = None
) -> Optional[str]:
    """Returns the name under which a file could be imported.

    `python_paths`: the module search path, by default `sys.path`. Returns the dotted name below the
    first matching entry, `None` if the file is below none.
    """
    path = os.path.abspath(os.fspath(file_path))
    stem, suffix = os.path.splitext(path)
    if suffix != ".py":
        raise NotImportableError(f"Invalid python module {os.fspath(file_path)!r}: not a .py file.")
    for entry in sys.path if python_paths is None else python_paths:
        for base, target in (
            (os.path.abspath(os.fspath(entry)), stem),
            (os.path.realpath(os.fspath(entry)), os.path.realpath(stem + suffix)[:-3]),
        ):
            prefix = base if base.endswith(os.sep) else base + os.sep
            if not target.startswith(prefix):
                continue
            parts = target[len(prefix) :].split(os.sep)
            if parts[-1] == "__init__" and len(parts) > 1:
                parts.pop()
            if not any("." in part for part in parts):
                return ".".join(parts)
    return None


def _normalized(path: PathLike) -> str:
    return os.path.normcase(os.path.realpath(os.fspath(path)))
