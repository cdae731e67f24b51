"""The code that a process of this machine runs: where it lies, or in the archive that runs here."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any, Optional, Protocol

from .._archive import checkout, finder, running
from ..distribution import get_distribution_archive

if TYPE_CHECKING:
    from ..config import Configuration
    from ..distribution import DistributionArchive


class Code(Protocol):
    """The code that a process runs. See `_archive.checkout`."""

    @property
    def program(self) -> str:
        """What Python is to run."""

    @property
    def name(self) -> str:
        """The name of the state that it is in."""

    @property
    def byte_code(self) -> str:
        """Where byte code is kept that cannot lie beside its source, or an empty text."""

    def news(self, known: int) -> tuple[int, dict[str, Any]]:
        """Returns what a process does not know yet, and the number for what it knows then."""

    def text(self, path: str) -> Optional[bytes]:
        """Returns the text that a file had when an id was made of it."""


class Archived:
    """An archive that this process was started from, which nested calls run from as well."""

    byte_code = ""

    def __init__(self, archive: DistributionArchive) -> None:
        self._archive = archive

    @property
    def name(self) -> str:
        return str(self._archive.known_folder)

    @property
    def program(self) -> str:
        """The folder of the archive, made anew if it is missing."""
        return str(self._archive.folder)

    def news(self, known: int) -> tuple[int, dict[str, Any]]:
        if finder.beside and not known:
            return 1, {"beside": finder.beside}
        return known, {}

    def text(self, path: str) -> Optional[bytes]:
        return None


@functools.lru_cache(None)
def _is_in_files() -> bool:
    return os.path.isfile(checkout.BEGIN)


def code_for(configuration: Configuration) -> Code:
    is_in_place = finder.id or running.running_archive() is None
    if is_in_place and _is_in_files():
        return checkout.checkout_for(configuration)
    return Archived(get_distribution_archive(configuration))
