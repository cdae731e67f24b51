"""What a relative directory means: the same for a whole run, in all processes of the machine."""

from __future__ import annotations

import os
from typing import Any, Optional

from .. import modules

# Tells a process that is started for a call where advices were made.
VARIABLE = "BANDSAW_MADE_IN"
# In a far end: where the advices were made on the other side, if that is the same machine.
_told: Optional[str] = None


def tell(folder: Optional[str]) -> None:
    """Has advices of this process, which is a far end, count as made in a folder."""
    global _told
    _told = folder


def working_directory() -> Optional[str]:
    """Returns the working directory, `None` where that has been removed."""
    try:
        return os.getcwd()
    except OSError:
        return None


class Anchor:
    """Remembers where an object was made, and what directories mean that were given to it.

    On another machine that is the working directory of each call.
    """

    __slots__ = ("_known", "_made_in")

    def __init__(self) -> None:
        self._made_in = working_directory()
        self._known: tuple[Any, str] = (None, "")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Anchor) and self._made_in == other._made_in

    def __hash__(self) -> int:
        return hash(self._made_in)

    @property
    def base(self) -> Optional[str]:
        """The folder that relative directories are relative to, `None` if it was removed."""
        if modules.is_far_end:
            return _told or working_directory()
        return self._made_in

    def of(self, directory: Any) -> str:
        """Returns the path of a directory: absolute, but where the base was removed."""
        known = self._known
        if known[0] is directory:
            return known[1]
        path = self.absolute(os.fspath(directory))
        if not modules.is_far_end:
            self._known = (directory, path)
        return path

    def absolute(self, path: str) -> str:
        """Returns a path as `of` does, without remembering it."""
        return path if os.path.isabs(path) else os.path.join(self.base or "", path)
