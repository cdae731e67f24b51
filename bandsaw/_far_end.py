"""What makes a process that was started with an archive a far end."""

from __future__ import annotations

import json
import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any, Optional

from . import modules
from ._system import directories
from .interpreter import PATH_VARIABLE


def prepare() -> bool:
    """Makes a process that was started with an archive a far end. Returns whether it was."""
    if not getattr(sys.modules["__main__"], "IS_FAR_END", False):
        return False
    modules.is_far_end = True
    modules.signed_by = getattr(sys.modules["__main__"], "SIGNED_BY", None)
    directories.tell(os.environ.pop(directories.VARIABLE, None))
    if getattr(sys.modules["__main__"], "IS_LOCAL", False):
        return True
    # What is not in the archive is imported from where the process on the other side does.
    given = os.environ.pop(PATH_VARIABLE, None)
    if given is not None:
        sys.path[1:1] = [entry for entry in json.loads(given) if entry not in sys.path]
    sys.meta_path.append(_RestOfPackages)
    return True


class _RestOfPackages:
    """Finds modules of packages of which an archive holds a part.

    The archive comes first on the search path of a far end, so that what it holds is what was sent.
    What else is in such a package is found where the package lies otherwise.
    """

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Optional[ModuleSpec]:
        """Looks for a module that is not in the folders of its package. See `importlib.abc`."""
        package = fullname.rpartition(".")[0]
        if not package or path is None:
            return None
        inner = package.split(".")
        folders = [os.path.join(entry, *inner) for entry in sys.path if isinstance(entry, str)]
        return PathFinder.find_spec(fullname, [folder for folder in folders if folder not in path])
