"""The archive of a configuration, which grows with the tasks that are defined."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Optional

from ..distribution import DistributionArchive
from ..modules import importable_module_name
from . import contents, roots, running

if TYPE_CHECKING:
    from ..config import Configuration
    from .contents import Content
    from .running import Running


class ConfiguredArchive(DistributionArchive):
    """The archive of a configuration, kept under its digest.

    Args:
        configuration: What it is for.
        modules: The names of the modules in it that were named.
        running: The archive that this process runs from, if it holds what this one has to.
    """

    def __init__(
        self, configuration: Configuration, modules: tuple[str, ...], running: Optional[Running]
    ) -> None:
        super().__init__("", *modules)
        self._path = None
        self._configuration = configuration
        self._tasks_seen = 0
        if running is not None:
            self._content, self._digest = running.content, running.content.digest
            self._folder, self._path = running.folder, running.path

    @property
    def path(self) -> Path:
        path = super().path
        self._mark_use(path)
        return path

    def _make_file(self) -> Path:
        from . import store

        return self._put(store.put_zip)

    def _collect(self) -> Content:
        configuration = self._configuration
        self._tasks_seen = _number_of_tasks(configuration)
        first_party = configuration._distributes_first_party
        earlier = running.running_archive()
        return contents.collect(
            self.modules,
            self.signed_by,
            importable_module_name(configuration.module_name),
            roots.roots_of(configuration) if first_party else None,
            # What is not reached from here may be reached from where it was made.
            None if earlier is None else earlier.content,
            roots.known_imports() if first_party else None,
            configuration._distribution_files,
        )

    def lacks_a_task(self, configuration: Configuration) -> bool:
        """Says whether a task was defined since that needs a module that is not in it."""
        if configuration is not self._configuration:
            self._configuration, self._tasks_seen = configuration, -1
        number = _number_of_tasks(configuration)
        if number == self._tasks_seen or not configuration._distributes_first_party:
            return False
        with self._lock:
            if self._digest is None:
                return False  # it is collected later
            if roots.lacks_a_task(self._current(), configuration):
                return True
            self._tasks_seen = number
            return False


def _number_of_tasks(configuration: Configuration) -> int:
    return sum(list(configuration._task_modules.values()))
