"""Byte code that one unpacked archive has and another one can use."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
from collections.abc import Iterable
from importlib.util import cache_from_source
from pathlib import Path
from typing import Optional

from ..errors import DistributionError
from .contents import Content
from .zipped import content_of_folder

# The earliest time that a zip can hold (UTC). Byte code is valid for the time of its source.
TIME = 315532800
# After the magic number: flags, and time and size of the source.
_HEADER = struct.Struct("<III")


def take_over(others: Iterable[Path], folder: Path, content: Content) -> None:
    """Links byte code that other unpacked archives have of the very same files.

    After an edit of one module, the others need not be compiled again.
    """
    wanted: dict[str, dict[str, str]] = {}
    for name, member in content.members.items():
        if name.endswith(".py"):
            inner, _, file_name = name.rpartition("/")
            wanted.setdefault(inner, {})[file_name[:-3]] = member["digest"]
    for other in others:
        try:
            members = content_of_folder(other).members
        except DistributionError:
            continue  # it is being removed
        for inner, digests in wanted.items():
            there, here = other / inner / "__pycache__", folder / inner / "__pycache__"
            for found in _listed(there):
                stem = found.partition(".")[0]
                known = members.get(f"{inner}/{stem}.py".lstrip("/"), {}).get("digest")
                if found.endswith(".pyc") and known and known == digests.get(stem):
                    _link(there / found, here / found)


def of_member(content: Content, kept: str, name: str, data: bytes) -> Optional[bytes]:
    """Finds byte code for a module of an archive that was unpacked.

    Returns the byte code, as it is valid there, `None` if there is none.
    """
    with contextlib.suppress(OSError):
        return content.read(kept)
    # What Python keeps of bandsaw itself, where it is installed.
    source = os.path.join(os.path.dirname(__file__), "..", "..", *name.split("/"))
    try:
        with open(cache_from_source(os.path.abspath(source), optimization=""), "rb") as file:
            code = file.read()
        with open(source, "rb") as file:
            status = os.fstat(file.fileno())
            is_same = file.read() == data
    except (OSError, NotImplementedError):
        return None
    magic, valid_for = code[:4], (0, int(status.st_mtime) & 0xFFFFFFFF, status.st_size)
    if not is_same or code[4:16] != _HEADER.pack(*valid_for):
        return None
    return magic + _HEADER.pack(0, TIME, len(data)) + code[16:]


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def _link(there: Path, here: Path) -> None:
    with contextlib.suppress(OSError):
        here.parent.mkdir(mode=0o700, exist_ok=True)
        try:
            # Byte code is replaced and never written in place, so that it can be shared.
            os.link(there, here)
        except FileExistsError:
            pass
        except OSError:
            shutil.copyfile(there, here)
