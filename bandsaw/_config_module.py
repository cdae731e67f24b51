"""The module that has a configuration: its name, its import, and what may be wrong with it."""

from __future__ import annotations

import os
import sys
from typing import Any, Optional

from .errors import (
    ConfigurationMissingError,
    ConfigurationNotFoundError,
    ConfigurationTypeError,
)
from .modules import get_loaded_module_name_by_path, import_module

CONFIGURATION_MODULE_ENV_VARIABLE = "BANDSAW_CONFIG_MODULE"
CONFIGURATION_MODULE_DEFAULT = "bandsaw_config"
_OTHER_ENV_VARIABLE = "BANDSAW_CONFIG"

EXAMPLE = """
A configuration module looks like this:

    import bandsaw
    configuration = bandsaw.Configuration()
    configuration.add_advice_chain(bandsaw.advices.log.LoggingAdvice())
"""

_BESIDE_HINT = "It lies beside the script as a rule.\n"
_FILE_HINT = "A module's name is written without '.py' and with dots in place of slashes.\n"


def _module_name(given: Optional[str]) -> tuple[str, str]:
    if given is not None:
        return given, "named by config= or --config"
    for variable in (CONFIGURATION_MODULE_ENV_VARIABLE, _OTHER_ENV_VARIABLE):
        name = os.environ.get(variable)
        if name:
            return name, f"named by the environment variable {variable}"
    return CONFIGURATION_MODULE_DEFAULT, (
        f"the default, as neither {CONFIGURATION_MODULE_ENV_VARIABLE} nor {_OTHER_ENV_VARIABLE} "
        "is set"
    )


def _here_hint(name: str) -> str:
    """Says what to do where the module lies in the working directory, and nobody looks there."""
    path = os.path.join(*name.split(".")) + ".py"
    if not os.path.exists(path) or os.getcwd() in (os.path.abspath(each) for each in sys.path):
        return ""
    return (
        f"There is one in the working directory, {os.getcwd()}, which is not in sys.path. "
        "Run a script of another folder as a module, 'python -m folder.script', or put the working "
        "directory into PYTHONPATH.\n"
    )


def imported(given: Optional[str]) -> tuple[str, Any]:
    """Imports a configuration module, and returns its name as well."""
    name, named_by = _module_name(given)
    if not isinstance(name, str) or not name or name.startswith("."):
        raise ConfigurationTypeError(
            f"A configuration is named as its module is imported, like 'bandsaw_config' or "
            f"'package.config', not as {name!r}."
        )
    try:
        return name, import_module(name)
    except Exception as error:
        from . import _tracebacks as tracebacks

        tracebacks.leave_out_when_printed()
        missing = error.name if isinstance(error, ModuleNotFoundError) else None
        # What the module itself fails to import is its own error.
        if missing is None or not (name + ".").startswith(missing + "."):
            raise
        places = "\n".join(f"    {entry or os.getcwd()}" for entry in sys.path)
        hint = _FILE_HINT if ".py" in name else _here_hint(name) or _BESIDE_HINT
        raise ConfigurationNotFoundError(
            f"No module named {missing!r}: the configuration module {name!r} ({named_by}) was "
            f"not found in sys.path:\n{places}\n{hint}{EXAMPLE}",
            name=missing,
        ) from None


def name_of(frame: Any) -> Optional[str]:
    """Returns the name of the loaded module whose code a frame runs."""
    path, name = frame.f_code.co_filename, frame.f_globals.get("__name__")
    if isinstance(name, str) and name != "__main__":
        if getattr(sys.modules.get(name), "__file__", None) == path:
            return name  # to look at all modules takes longer than to load this one
    return get_loaded_module_name_by_path(path)


def frame_that_makes(configuration: Any) -> Any:
    """Returns the frame outside of the constructors of an object that is being made."""
    frame: Any = sys._getframe(2)
    while frame.f_back is not None and frame.f_locals.get("self") is configuration:
        frame = frame.f_back  # the constructor of a subclass
    return frame


def configuration_variables() -> dict[str, str]:
    """Returns the environment variables of this process that say which configuration tasks get."""
    names = (CONFIGURATION_MODULE_ENV_VARIABLE, _OTHER_ENV_VARIABLE)
    return {name: os.environ[name] for name in names if name in os.environ}


_MOST_NAMES = 20  # that a message lists


def has_no_configuration(name: str, module: Any) -> ConfigurationMissingError:
    spec = getattr(module, "__spec__", None)
    unfinished = getattr(spec, "_initializing", False)
    names = sorted(each for each in vars(module) if not each.startswith("_"))
    more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
    return ConfigurationMissingError(
        f"The configuration module {name!r} ({_place_of(module)}) has no "
        "variable 'configuration'"
        + (
            ": it is still being imported. It must not import the module that has the tasks "
            "before that variable is set."
            if unfinished
            else f". It has: {', '.join(names[:_MOST_NAMES]) or 'nothing'}{more}."
        )
        + "\n"
        + EXAMPLE
    )


def _place_of(module: Any) -> Any:
    file = getattr(module, "__file__", None)
    # A folder without `__init__.py` is a module, too.
    return file or next((f"the folder {path}" for path in getattr(module, "__path__", ())), None)


def has_no_right_one(name: str, module: Any, found: Any) -> ConfigurationTypeError:
    return ConfigurationTypeError(
        f"The variable 'configuration' of the configuration module {name!r} "
        f"({_place_of(module)}) is of type {type(found).__name__} and "
        "has to be a bandsaw.Configuration.\n" + EXAMPLE
    )
