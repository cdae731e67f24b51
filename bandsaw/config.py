"""The configuration of a workflow: advice chains, extensions, serializer, modules to send along."""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, Optional, Union

from . import _config_module
from ._arguments import check_part, checked_count, checked_flag
from .errors import ConfigurationTypeError, UnknownChainError
from .extensions import Extension
from .serialization.pickle import PickleSerializer
from .serialization.serializer import Serializer

if TYPE_CHECKING:
    from .advice import Advice

CONFIGURATION_MODULE_ENV_VARIABLE = _config_module.CONFIGURATION_MODULE_ENV_VARIABLE
CONFIGURATION_MODULE_DEFAULT = _config_module.CONFIGURATION_MODULE_DEFAULT
_MISSING = object()
_LOCK = threading.RLock()


class Configuration:
    """What happens around the tasks of a workflow.

    A new configuration has an empty advice chain named `default`. Configurations are equal if their
    modules have the same name.

    Attributes:
        serializer: Turns values into bytes and back, at first a `PickleSerializer`.
        extensions: The extensions, in the order in which they were added.
        distribution_modules: The names of the modules that are sent along with tasks.
        bulk_hash: The name of the hash of large arguments, at first `None` for SHA-256.
        module_name: The name of the module that the configuration comes from, `None` if it comes
            from none.
    """

    def __init__(self) -> None:
        self.serializer: Serializer = PickleSerializer()
        self.bulk_hash: Optional[str] = None
        self.extensions: list[Extension] = []
        self.distribution_modules: list[str] = []
        # Folders, and paths or patterns relative to them.
        self._distribution_files: list[tuple[str, str]] = []
        # Decorated functions look at these very lists, which are changed in place.
        self._chains: dict[str, list[Any]] = {"default": []}
        self._tuples: dict[str, tuple[Any, ...]] = {"default": ()}
        self._is_initialized = False
        self._task_modules: dict[str, int] = {}  # how many tasks of it each module has
        self._distributes_first_party = True
        self._max_in_flight: Optional[int] = None
        self._flight: Any = None  # the submitted calls, when there are any
        # The code that processes of this machine run, and what it was found by.
        self._checkout: Any = None
        self._state: frozenset[str] = frozenset()
        self._is_strict = False
        frame = _config_module.frame_that_makes(self)
        self._made_in = frame.f_code.co_filename
        self.module_name: Optional[str] = _config_module.name_of(frame)

    def add_advice_chain(self, *advices: Advice, name: str = "default") -> Configuration:
        """Adds an advice chain, replacing an earlier one of the same name.

        Args:
            *advices: The advices, the first one outermost.
            name: The name under which tasks ask for the chain.

        Returns:
            This configuration.

        Raises:
            ConfigurationTypeError: If something given can be no advice, or the name is no text (a
                `TypeError`).
        """
        if not isinstance(name, str):
            raise ConfigurationTypeError(f"The name of an advice chain is a text, not {name!r}.")
        for advice in advices:
            is_extension = isinstance(advice, Extension)
            hint = " Extensions are added by add_extension()." if is_extension else ""
            wanted = "an advice: an object with before(session) and after(session)"
            check_part(advice, wanted, "before", "after", otherwise=hint)
        with _LOCK:
            self._tuples[name] = advices
            self._chains.setdefault(name, [])[:] = advices
        return self

    def get_advice_chain(self, name: str) -> tuple[Any, ...]:
        """Returns the advices of a chain.

        Args:
            name: The name of the chain.

        Returns:
            The advices, the first one outermost.

        Raises:
            UnknownChainError: If there is no such chain (a `KeyError` and a `ValueError`).
        """
        try:
            return self._tuples[name]
        except (KeyError, TypeError):
            raise UnknownChainError(
                f"Unknown advice chain {name}. {self} has: {', '.join(sorted(self._tuples))}."
            ) from None

    def add_extension(self, extension: Extension) -> Configuration:
        """Adds an extension.

        Args:
            extension: The extension.

        Returns:
            This configuration.

        Raises:
            ConfigurationTypeError: If it can be no extension (a `TypeError`).
        """
        hint = " Advices are added by add_advice_chain()." if hasattr(extension, "before") else ""
        wanted = "an extension: an object of a class derived from Extension"
        check_part(extension, wanted, "on_init", otherwise=hint)
        self.extensions.append(extension)
        return self

    def set_serializer(self, serializer: Serializer) -> Configuration:
        """Sets the serializer.

        Args:
            serializer: The serializer.

        Returns:
            This configuration.

        Raises:
            ConfigurationTypeError: If it can be no serializer (a `TypeError`).
        """
        check_part(serializer, "a serializer: an object of a class derived from Serializer")
        self.serializer = serializer
        return self

    def set_bulk_hash(self, name: Optional[str]) -> Configuration:
        """Sets the hash of large buffers (arrays, bytes) among the arguments of tasks.

        The execution ids of such arguments differ from those that another hash makes.

        Args:
            name: `'blake3'`, or `'xxhash'` for XXH3 with 128 bits: the fastest, but *not collision
                resistant*: whoever can choose the data can give two arguments one id. Each needs
                the package of that name. `None` for SHA-256.

        Returns:
            This configuration.

        Raises:
            InvalidValueError: If there is no such hash, or its package is not installed (a
                `ValueError`).
        """
        if name is not None:
            from ._identity.bulk_data import new_hash

            new_hash(name)
        self.bulk_hash = name
        return self

    def add_modules_for_distribution(self, *names: str) -> Configuration:
        """Names modules that are sent along with tasks to other processes and machines.

        Args:
            *names: The names of modules or packages; a package is sent whole.

        Returns:
            This configuration.

        Raises:
            ConfigurationTypeError: If something given is not a name (a `TypeError`).
        """
        for name in names:
            if not isinstance(name, str):
                raise ConfigurationTypeError(
                    f"add_modules_for_distribution takes names of modules, not {name!r}"
                )
            if name not in self.distribution_modules:
                self.distribution_modules.append(name)
        return self

    def set_max_in_flight(self, number: Optional[int]) -> Configuration:
        """Bounds how many submitted calls of all chains together run at once.

        Each chain has a bound of its own besides: what its first advice that leaves the process
        says (`workers` of a `SubprocessAdvice`), else the number of processors.

        Args:
            number: The bound, `None` for none.

        Returns:
            This configuration.

        Raises:
            InvalidValueError: If it is no whole number above 0 (a `ValueError`).
        """
        self._max_in_flight = checked_count("max_in_flight", number)
        return self

    def add_files_for_distribution(self, *paths: Union[str, os.PathLike[str]]) -> Configuration:
        """Names files that are sent along with tasks to other machines.

        The files of packages need not be named. There, a file lies in the same place below the
        folder that modules are imported from as here, so that one beside a script lies beside it.
        What lies elsewhere is put into the folder `bandsaw-files` beside the script.

        Args:
            *paths: Files, folders with all that is in them, or patterns such as `data/*.csv`;
                relative ones from the folder of the file in which this configuration was made, or
                from the current folder where it was made in none. Hidden files and caches in
                folders are left out.

        Returns:
            This configuration. A path that leads nowhere is a `DistributionFileError` (a
            `FileNotFoundError`) of the first call that goes elsewhere.

        Raises:
            ConfigurationTypeError: If something given is no path (a `TypeError`).
        """
        is_file = os.path.isfile(self._made_in)
        base = os.path.dirname(os.path.abspath(self._made_in)) if is_file else os.getcwd()
        for path in paths:
            if not isinstance(path, (str, os.PathLike)) or not isinstance(os.fspath(path), str):
                raise ConfigurationTypeError(
                    f"add_files_for_distribution takes paths of files, not {path!r}"
                )
            named = base, os.fspath(path)
            if named not in self._distribution_files:
                self._distribution_files.append(named)
        return self

    def distribute_first_party(self, enabled: bool = True) -> Configuration:
        """Says whether the project's own modules are sent along without being named.

        At first they are: those that the script, this configuration, its tasks and the modules
        named with `add_modules_for_distribution` reach, by imports or at run time.

        Args:
            enabled: Whether they are. If not, only what is named is sent along.

        Returns:
            This configuration.
        """
        self._distributes_first_party = checked_flag("enabled", enabled)
        return self

    def add_state(self, *names: str) -> Configuration:
        """Names variables that are state and no code: the ids of tasks do not depend on them.

        Such are those that hold another value in each process, like a random number or the time of
        the start. `@task(state=[...])` does the same for one task.

        Args:
            *names: The names of variables with those of their modules, as in `lib.started`.

        Returns:
            This configuration.

        Raises:
            ConfigurationTypeError: If a name is no text with a dot in it (a `TypeError`).
        """
        for name in names:
            if not isinstance(name, str) or "." not in name.strip("."):
                raise ConfigurationTypeError(
                    f"add_state() takes names such as 'module.variable', not {name!r}."
                )
        self._state |= frozenset(names)
        return self

    def set_strict_options(self, enabled: bool = True) -> Configuration:
        """Says whether `@task` refuses options that nobody knows.

        At first it keeps them for advices that do not declare what they read, and refuses only a
        name that is close to a known one. See `Advice.task_options`.

        Args:
            enabled: Whether it does.

        Returns:
            This configuration.
        """
        self._is_strict = checked_flag("enabled", enabled)
        return self

    def _note_task(self, module_name: str) -> None:
        with _LOCK:
            self._task_modules[module_name] = self._task_modules.get(module_name, 0) + 1

    def __reduce_ex__(self, protocol: Any) -> Any:
        from .serialization._by_value import is_writing_by_value

        if is_writing_by_value():
            # What its advices hold may be of this process.
            return get_configuration, (self.module_name,)
        return super().__reduce_ex__(protocol)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Configuration):
            return NotImplemented
        return self.module_name == other.module_name

    def __hash__(self) -> int:
        return hash(self.module_name)

    def __str__(self) -> str:
        return f"The configuration in {self.module_name or 'no module'}"


def get_configuration(configuration_module: Optional[str] = None) -> Configuration:
    """Imports a configuration module and returns its configuration.

    The first time in a process, every extension's `on_init` is called.

    Args:
        configuration_module: The name of the module. By default what the environment variable
            `BANDSAW_CONFIG_MODULE` says, else `BANDSAW_CONFIG`, else `bandsaw_config`.

    Returns:
        The module's variable `configuration`.

    Raises:
        ConfigurationNotFoundError: If there is no such module (a `ModuleNotFoundError`).
        ConfigurationMissingError: If it has no variable `configuration` (a `LookupError`).
        ConfigurationTypeError: If the variable is no `Configuration` (a `TypeError`).
    """
    name, module = _config_module.imported(configuration_module)
    # `__main__` while it runs, and a module in an import cycle, may not have come to it yet.
    configuration = getattr(module, "configuration", _MISSING)
    if configuration is _MISSING:
        raise _config_module.has_no_configuration(name, module)
    if not isinstance(configuration, Configuration):
        raise _config_module.has_no_right_one(name, module, configuration)
    with _LOCK:
        if not configuration._is_initialized:
            configuration._is_initialized = True
            configuration.module_name = name
            try:
                for extension in configuration.extensions:
                    extension.on_init(configuration)
            except BaseException:
                configuration._is_initialized = False
                raise
    return configuration
