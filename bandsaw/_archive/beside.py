"""Has a process that an archive started import the project's code from where it lies.

    near: Content.places ── from which folders members of the archive were read ──► far: take

The archive says what each module was. A file that is another one by now is loaded as the archive
has it, under its own path. So the data beside the code is found, and nothing of it is copied.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Optional

from . import finder
from .keep import MANIFEST, running_root


def take(found: Mapping[str, Sequence[str]]) -> None:
    """Has this process, and those it forks, import what is in the archive from these folders."""
    if finder.beside:
        return
    finder.beside.update({top: list(folders) for top, folders in found.items()})
    root = running_root()
    with open(os.path.join(root, MANIFEST), "rb") as file:
        members = json.load(file)["members"]
    for member, known in members.items():
        path = _place(member, found) if member.endswith(".py") else None
        if path is not None:
            finder.files[path] = _stamp(path, known["digest"])
            finder.members[path] = os.path.join(root, member)
    for top, folders in found.items():
        if top.endswith(".py"):
            finder.packages[top[:-3]] = os.path.join(folders[0], top), None
        elif any(os.path.isdir(os.path.join(folder, top)) for folder in folders):
            inner = f"{top}/__init__.py"
            origin = _place(inner, found) if inner in members else None
            finder.packages[top] = origin, [os.path.join(folder, top) for folder in folders]
    finder.roots[:] = list(dict.fromkeys(folder for each in found.values() for folder in each))
    # What it keeps goes with the archive.
    finder.install("", os.path.join(root, "__pycache__") if sys.dont_write_bytecode else "")


def _place(member: str, found: Mapping[str, Sequence[str]]) -> Optional[str]:
    folders = found.get(member.partition("/")[0])
    if not folders:
        return None
    paths = [os.path.join(folder, *member.split("/")) for folder in folders]
    return next(filter(os.path.isfile, paths), paths[0])


def _stamp(path: str, digest: str) -> tuple[int, int]:
    """Returns size and time of a file, of no file if it is not the one of a digest."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if hashlib.sha256(file.read()).hexdigest()[: len(digest)] == digest:
                return status.st_size, status.st_mtime_ns
    except OSError:
        pass
    return -1, -1
