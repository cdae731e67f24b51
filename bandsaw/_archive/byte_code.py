"""Byte code that one unpacked archive has and another one can use."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

from ..errors import DistributionError
from .contents import Content
from .zipped import content_of_folder


def take_over(others: Iterable[Path], folder: Path, content: Content) -> None:
    """Links byte code that other unpacked archives have of the very same files.

    After an edit of one module, the others need not be compiled again.

    Args:
        others: The folders of those archives.
        folder: The folder that was unpacked.
        content: What is in it.
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
