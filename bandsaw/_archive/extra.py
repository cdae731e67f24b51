"""Files that the configuration names, which belong to no package.

/project/workflow.py   /project/sql/a.sql ─► workflow.py   sql/a.sql             as they lie here
/elsewhere/x.csv                          ─► bandsaw-files/x.csv
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from ..errors import DistributionFileError
from . import folders

# For what lies outside of the folders that modules are imported from.
ELSEWHERE = "bandsaw-files"


class Named(NamedTuple):
    member: str  # its path in the archive
    path: str  # where it lies
    why: str  # which name it was found by


def found(
    names: Iterable[tuple[str, str]], roots: Iterable[str], may_be_gone: bool
) -> Iterator[Named]:
    # Of two that a file lies in, the inner one is where its module looks.
    ordered = sorted(roots, key=len, reverse=True)
    for base, name in names:
        path = os.path.join(base, name)
        matches = [path] if os.path.lexists(path) else []
        if not matches and glob.has_magic(name):
            pattern = name if os.path.isabs(name) else os.path.join(glob.escape(base), name)
            matches = sorted(glob.glob(pattern, recursive=True))
        files = [file for match in matches for file in _files_of(os.path.abspath(match))]
        if not files and not may_be_gone:
            raise DistributionFileError(
                f"There is no file {name!r} in {base!r}, which was to be put into a distribution "
                "archive. Check the paths given to add_files_for_distribution()."
            )
        for outer, file in files:
            yield Named(_place(file, outer, ordered), file, f"named {name!r}")


def _files_of(path: str) -> list[tuple[str, str]]:
    if not os.path.isdir(path):
        is_wanted = os.path.isfile(path) and not path.endswith(".pyc")
        return [(os.path.dirname(path), path)] if is_wanted else []
    if os.path.basename(path) == "__pycache__":
        return []
    return [(os.path.dirname(path), file) for file in folders.find([path], None).paths.values()]


def _place(path: str, outer: str, roots: Iterable[str]) -> str:
    for root in roots:
        for here, there in ((path, root), (os.path.realpath(path), os.path.realpath(root))):
            if here.startswith(os.path.join(there, "")):
                return os.path.relpath(here, there).replace(os.sep, "/")
    return f"{ELSEWHERE}/{os.path.relpath(path, outer)}".replace(os.sep, "/")
