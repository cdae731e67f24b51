"""Distribution archives: executable zips with the code that a task needs elsewhere.

```
names, script, tasks ─► content, digest ─┬─► folder   DIGEST/      a process of this machine runs it
                                         └─► path     DIGEST.pyz   another machine is sent it
```
"""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from ._system.processes import in_forked_processes
from .modules import importable_module_name

if TYPE_CHECKING:
    from ._archive.zip_archive import Content, Running
    from .config import Configuration

# How often an archive that is kept is marked as being in use.
_TOUCH_SECONDS = 3600.0


class DistributionArchive:
    """An executable zip (`.pyz`) with bandsaw, the `__main__` script and modules.

    Archives are equal if they are made of the same modules.

    Args:
        path: Where the file is, or is made when it is first asked for.
        *modules: The names of the modules and packages in it.

    Attributes:
        modules: The names of the modules and packages in it that were named.
        signed_by: The name of the configuration by whose key all sessions have to be signed that
            the archive is given, `None` for any session. Set before the file is made.
    """

    def __init__(self, path: Union[str, os.PathLike[str]], *modules: str) -> None:
        self._path: Optional[Path] = Path(path)
        self.modules: tuple[str, ...] = modules
        self.signed_by: Optional[str] = None
        self._lock = threading.RLock()
        # In memory, until it is on the disk.
        self._content: Optional[Content] = None
        self._digest: Optional[str] = None
        self._folder: Optional[Path] = None
        self._touched = float("-inf")
        # Known where it was collected.
        self.roots: list[str] = []
        self.places: dict[str, list[str]] = {}
        self.left_out: dict[str, str] = {}

    @property
    def path(self) -> Path:
        """The path of the file, which is made if it is missing. An existing one stays as it is.

        Raises:
            DistributionError: If a module cannot be put into it, or it cannot be written.
        """
        path = self._path
        if path is None or not path.exists():
            with self._lock:
                path = self._path
                if path is None or not path.exists():
                    path = self._path = self._make_file()
        return path

    @property
    def digest(self) -> str:
        """What names all that is in it: 32 hexadecimal digits of a SHA-256.

        Archives of the same digest have the same members, with the same bytes.

        Raises:
            DistributionError: If a module cannot be put into it.
        """
        with self._lock:
            if self._digest is None:
                self._digest = self._current().digest
            return self._digest

    @property
    def folder(self) -> Path:
        """The folder with its members, from which a process of this machine is started.

        `PYTHON FOLDER ...` does what `PYTHON ARCHIVE ...` does, and byte code is kept there. It is
        made if it is missing, and does not need the file.

        Raises:
            DistributionError: If a module cannot be put into it, or it cannot be written.
        """
        folder = self._folder
        if folder is None or not _is_there(folder):
            with self._lock:
                folder = self._folder
                if folder is None or not _is_there(folder):
                    from ._archive import stores

                    folder = self._folder = self._put(stores.put_folder)
        self._mark_use(folder)
        return folder

    @property
    def known_folder(self) -> Path:
        """As `folder`, without a look whether what was made is still there."""
        folder = self._folder
        if folder is None:
            return self.folder
        self._mark_use(folder)
        return folder

    @property
    def members(self) -> frozenset[str]:
        """The paths of the files in it."""
        with self._lock:
            return frozenset(self._current().members)

    @property
    def contents(self) -> dict[str, dict[str, Any]]:
        """The same paths, with the size and digest of each file and why it is in it."""
        with self._lock:
            return self._current().members

    def holds(self, module_name: str) -> bool:
        """Says whether a module is in it.

        Args:
            module_name: The name of the module.
        """
        with self._lock:
            return self._current().holds(module_name)

    def _collect(self) -> Content:
        from ._archive.selection import collect

        return collect(self.modules, self.signed_by)

    def _current(self) -> Content:
        """The content as it is on the disk, or in memory. Called under the lock."""
        from ._archive.stores import content_at

        content = self._content or content_at(self._folder, self._path)
        if content is None:
            content = self._content = self._collect()
            self._digest = content.digest
            self.roots, self.left_out = content.roots, content.left_out
            self.places = content.places
        return content

    def _put(self, put: Callable[[Path, Content], Path]) -> Path:
        from ._archive.stores import put_where_possible

        place, content = put_where_possible(put, self._current)
        self._content, self._digest, self._touched = None, content.digest, time.monotonic()
        return place

    def _make_file(self) -> Path:
        from ._archive.stores import write_file

        assert self._path is not None
        write_file(self._path, self._current)
        self._content = None
        return self._path

    def _mark_use(self, place: Path) -> None:
        now = time.monotonic()
        if now - self._touched > _TOUCH_SECONDS:
            from ._archive.keep import touch

            self._touched = now
            touch(str(place))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DistributionArchive):
            return NotImplemented
        return self.modules == other.modules

    def __hash__(self) -> int:
        return hash(self.modules)

    def __repr__(self) -> str:
        place = "" if self._path is None else f"{str(self._path)!r}, "
        return f"DistributionArchive({place}{', '.join(map(repr, self.modules))})"


class _ConfiguredArchive(DistributionArchive):
    """The archive of a configuration, which grows as tasks are defined; or the `running` one."""

    def __init__(
        self, configuration: Configuration, modules: tuple[str, ...], running: Optional[Running]
    ) -> None:
        super().__init__("", *modules)
        self._path = None
        self._configuration = configuration
        self._tasks_seen = 0
        # The state of the code that it is of, `None` until it is collected here.
        self._state: Optional[int] = None
        if running is not None:
            self._content, self._digest = running.content, running.content.digest
            self._folder, self._path = running.folder, running.path

    @property
    def path(self) -> Path:
        path = super().path
        self._mark_use(path)
        return path

    def _make_file(self) -> Path:
        from ._archive import stores

        return self._put(stores.put_zip)

    def _collect(self) -> Content:
        from ._archive import checkout, closure, selection, zip_archive

        self._state = checkout.state()
        configuration = self._configuration
        self._tasks_seen = _number_of_tasks(configuration)
        first_party = configuration._distributes_first_party
        earlier = zip_archive.running_archive()
        name = importable_module_name(configuration.module_name)
        return selection.collect(
            self.modules,
            self.signed_by,
            # A package that is named goes along whole, one that only configures as others do.
            configuration_name=None if name in configuration.distribution_modules else name,
            reached_from=closure.roots_of(configuration) if first_party else None,
            # What is not reached from here may be reached from where it was made.
            earlier=None if earlier is None else earlier.content,
            known_imports=selection.known_imports() if first_party else None,
            named_files=configuration._distribution_files,
            loaded_text=checkout.loaded_text,
            filled=closure.filled_by(configuration),
        )

    def is_outdated(self, configuration: Configuration) -> bool:
        """Says whether a module with a task, or another text of a module, was loaded since."""
        if self._state is not None:
            from ._archive import checkout

            if checkout.state() != self._state:
                return True
        if configuration is not self._configuration:
            self._configuration, self._tasks_seen = configuration, -1
        number = _number_of_tasks(configuration)
        if number == self._tasks_seen or not configuration._distributes_first_party:
            return False
        with self._lock:
            if self._digest is None:
                return False  # it is collected later
            from ._archive import selection

            if selection.lacks_a_task(self._current(), configuration):
                return True
            self._tasks_seen = number
            return False


def _number_of_tasks(configuration: Configuration) -> int:
    return sum(list(configuration._task_modules.values()))


_ARCHIVES: dict[Any, _ConfiguredArchive] = {}
_LOCK = threading.Lock()


def get_distribution_archive(configuration: Configuration) -> DistributionArchive:
    """Returns the archive of a configuration, one per configuration and process.

    It holds bandsaw, the `__main__` script, the configuration's module, the modules that the
    configuration names and, as long as `distribute_first_party` is on, what of the project's own
    code these and the modules of tasks reach. When a task is defined in a module that is not in it,
    or a module is reloaded that was edited, the next call returns an archive that has that, too.

    Args:
        configuration: Names the modules.

    Returns:
        The archive. It is kept in the folder that `BANDSAW_HOME` names, by default
        `~/.cache/bandsaw`, until it was not used for 30 days; where that folder cannot be used, in
        one for temporary files, and goes when the process ends.
    """
    name = importable_module_name(configuration.module_name)
    modules = tuple(dict.fromkeys([*([name] if name else []), *configuration.distribution_modules]))
    is_signed = getattr(configuration.serializer, "is_signed", False) is True
    named_files = tuple(configuration._distribution_files)
    key = modules, is_signed, configuration._distributes_first_party, named_files
    archive = _ARCHIVES.get(key)
    if archive is None or archive.is_outdated(configuration):
        with _LOCK:
            archive = _ARCHIVES.get(key)
            if archive is None or archive.is_outdated(configuration):
                from ._archive.zip_archive import running_archive

                signed_by = name if is_signed else None
                running = running_archive() if archive is None else None
                if running is not None and not running.is_made_for(
                    modules, signed_by, key[2], tuple(name for _, name in named_files)
                ):
                    running = None
                archive = _ConfiguredArchive(configuration, modules, running)
                archive.signed_by = signed_by
                _ARCHIVES[key] = archive
    return archive


def owned_folders(archive: Path) -> list[str]:
    """Returns the folders that serve an archive of this process, and go when the process ends."""
    from ._archive.process_folder import known_folder

    folder = known_folder()
    return [folder] if folder is not None and str(archive.parent) == folder else []


def make_folders_in(folder: str) -> None:
    """Has the folder for the archives of this process made in another one, which goes anyway.

    Args:
        folder: The folder.
    """
    from ._archive.process_folder import make_in

    make_in(folder)


def _is_there(folder: Path) -> bool:
    return os.path.isfile(os.path.join(folder, "__main__.py"))


@in_forked_processes
def _start_anew() -> None:
    # The archives are the parent's, and a thread of the parent may have held a lock.
    global _LOCK
    _LOCK = threading.Lock()
    _ARCHIVES.clear()
    process_folder: Any = sys.modules.get(f"{__package__}._archive.process_folder")
    if process_folder is not None:
        process_folder.start_anew()
