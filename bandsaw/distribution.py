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

from . import modules as names_of_modules
from .errors import DistributionError
from .modules import importable_module_name

if TYPE_CHECKING:
    from ._archive.contents import Content
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
        self._touched = 0.0

    @property
    def path(self) -> Path:
        """The path of the file, which is made if it is missing. An existing one stays as it is.

        Raises:
            DistributionError: If a module cannot be put into it, or it cannot be written.
        """
        path = self._path
        assert path is not None
        if not path.exists():
            with self._lock:
                if not path.exists():
                    self._write(path)
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
                    from ._archive import store

                    folder = self._folder = self._put(store.put_folder)
        self._mark_use(folder)
        return folder

    @property
    def known_folder(self) -> Path:
        """As `folder`, without a look whether what was made is still there."""
        return self.folder if self._folder is None else self._folder

    def _collect(self) -> Content:
        from ._archive.contents import collect

        return collect(self.modules, self.signed_by)

    def _current(self) -> Content:
        """The content as it is on the disk, or in memory. Called under the lock."""
        from ._archive.zipped import content_of_folder, content_of_zip

        if self._content is None:
            for place, content_of in (
                (self._folder, content_of_folder),
                (self._path, content_of_zip),
            ):
                if place is not None and place.exists():
                    try:
                        return content_of(place)
                    except DistributionError:
                        continue  # it is gone by now, or damaged
            self._content = self._collect()
            self._digest = self._content.digest
        return self._content

    def _write(self, path: Path) -> None:
        from ._archive.zipped import write_zip
        from ._files import make_private, whole_file

        try:
            content = self._current()
            make_private(path.parent)
            with whole_file(path) as stream:
                write_zip(content, stream)
        except OSError as error:
            raise DistributionError(f"The archive {str(path)!r} cannot be made: {error}") from error
        self._content = None

    def _put(self, put: Callable[[Path, Content], Path]) -> Path:
        from ._archive import process_folder, store

        for _ in range(3):
            content = self._current()
            try:
                place = store.kept_or(process_folder.process_folder, content, put)
            except FileNotFoundError:
                # What it was to be made from was removed meanwhile.
                continue
            except OSError as error:
                raise DistributionError(
                    f"The distribution archive {content.digest} cannot be written: {error}"
                ) from error
            self._content, self._digest, self._touched = None, content.digest, time.monotonic()
            return place
        raise DistributionError("The distribution archive is removed as soon as it is made.")

    def _mark_use(self, place: Path) -> None:
        now = time.monotonic()
        if now - self._touched > _TOUCH_SECONDS:
            from ._archive.store import touch

            self._touched = now
            touch(place)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DistributionArchive):
            return NotImplemented
        return self.modules == other.modules

    def __hash__(self) -> int:
        return hash(self.modules)

    def __repr__(self) -> str:
        place = "" if self._path is None else f"{str(self._path)!r}, "
        return f"DistributionArchive({place}{', '.join(map(repr, self.modules))})"


class _KeptArchive(DistributionArchive):
    """The archive of a configuration, kept under its digest.

    Args:
        configuration: What it is for.
        modules: The names of the modules in it that were named.
        running: The archive that this process runs from, if it holds what this one has to.
    """

    def __init__(
        self, configuration: Configuration, modules: tuple[str, ...], running: Optional[_Running]
    ) -> None:
        super().__init__("", *modules)
        self._path = None
        self._configuration = configuration
        self._running = running
        self._tasks_seen = 0
        if running is not None:
            self._content, self._digest = running.content, running.content.digest
            self._folder, self._path = running.folder, running.path

    @property
    def path(self) -> Path:
        path = self._path
        if path is None or not path.is_file():
            with self._lock:
                path = self._path
                if path is None or not path.is_file():
                    from ._archive import store

                    path = self._path = self._put(store.put_zip)
        self._mark_use(path)
        return path

    def _collect(self) -> Content:
        from ._archive.contents import collect

        configuration = self._configuration
        self._tasks_seen = _number_of_tasks(configuration)
        reached_from = None
        if configuration._distributes_first_party:
            reached_from = dict.fromkeys(_modules_of_parts(configuration), "configuration")
            reached_from.update(dict.fromkeys(list(configuration._task_modules), "has a task"))
        running = self._running or _running_archive()
        return collect(
            self.modules,
            self.signed_by,
            importable_module_name(configuration.module_name),
            reached_from,
            running.content if running is not None else None,
        )

    def lacks_a_task(self) -> bool:
        """Says whether a task was defined since that needs a module that is not in it."""
        number = _number_of_tasks(self._configuration)
        if number == self._tasks_seen or not self._configuration._distributes_first_party:
            return False
        with self._lock:
            if self._digest is None:
                return False  # it is collected later
            from ._archive.closure import referred_to
            from ._identity.firstparty import is_first_party

            content = self._current()
            needed = list(self._configuration._task_modules)
            if "__main__" in needed and content.manifest["main"] is None:
                needed += referred_to("__main__")  # a notebook, where imports go on
            if all(content.holds(name) for name in needed if is_first_party(name)):
                self._tasks_seen = number
                return False
            return True


class _Running:
    """The archive that this process was started from."""

    def __init__(self, content: Content, folder: Optional[Path], path: Optional[Path]) -> None:
        self.content = content
        self.folder = folder
        self.path = path


_ARCHIVES: dict[Any, _KeptArchive] = {}
_LOCK = threading.Lock()


def get_distribution_archive(configuration: Configuration) -> DistributionArchive:
    """Returns the archive of a configuration, one per configuration and process.

    It holds bandsaw, the `__main__` script, the configuration's module, the modules that the
    configuration names and, as long as `distribute_first_party` is on, what of the project's own
    code these and the modules of tasks reach. When a task is defined in a module that is not in it,
    the next call returns an archive that has that one, too.

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
    key = modules, is_signed, configuration._distributes_first_party
    archive = _ARCHIVES.get(key)
    if archive is None or archive.lacks_a_task():
        with _LOCK:
            archive = _ARCHIVES.get(key)
            if archive is None or archive.lacks_a_task():
                signed_by = name if is_signed else None
                running = _running_archive() if archive is None else None
                if running is not None and not _is_made_for(running, key, signed_by):
                    running = None
                archive = _KeptArchive(configuration, modules, running)
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


def _number_of_tasks(configuration: Configuration) -> int:
    return sum(list(configuration._task_modules.values()))


def _modules_of_parts(configuration: Configuration) -> list[str]:
    """The modules of what a configuration was given: advices, extensions, serializer."""
    chains = [part for chain in list(configuration._tuples.values()) for part in chain]
    parts = [*chains, *configuration.extensions, configuration.serializer, configuration]
    return [type(part).__module__ for part in parts]


def _is_there(folder: Path) -> bool:
    return os.path.isfile(os.path.join(folder, "__main__.py"))


def _running_archive() -> Optional[_Running]:
    """Finds the archive that this process was started from, if it is a far end."""
    if not names_of_modules.is_far_end:
        return None
    from ._archive import start, zipped

    root = Path(start.running_root())
    try:
        if root.is_dir():
            return _Running(zipped.content_of_folder(root), root, None)
        return _Running(zipped.content_of_zip(root), None, root)
    except DistributionError:
        return None  # bandsaw is installed here, or the archive is gone


def _is_made_for(running: _Running, key: Any, signed_by: Optional[str]) -> bool:
    from ._archive.contents import main_name

    modules, _, first_party = key
    manifest = running.content.manifest
    return (manifest["modules"], manifest["signed_by"], manifest["first_party"]) == (
        sorted(modules),
        signed_by,
        first_party,
    ) and manifest["main"] in (None, main_name())


def _start_anew() -> None:
    # The archives are the parent's, and a thread of the parent may have held a lock.
    global _LOCK
    _LOCK = threading.Lock()
    _ARCHIVES.clear()
    process_folder: Any = sys.modules.get(f"{__package__}._archive.process_folder")
    if process_folder is not None:
        process_folder.start_anew()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)
