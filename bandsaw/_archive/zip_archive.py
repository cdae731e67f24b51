"""Archives as zips that are the same bytes wherever the content is the same."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import DistributionError
from . import unpack
from .keep import MANIFEST
from .selection import FORMAT, Content

if TYPE_CHECKING:
    import zipfile

# The earliest time that a zip can hold: archives of the same content are the same bytes.
_TIME = (1980, 1, 1, 0, 0, 0)


def write_zip(content: Content, stream: BinaryIO) -> None:
    import zipfile

    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted([*content.members, MANIFEST, *_namespaces(content.members)]):
            info = zipfile.ZipInfo(name, _TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3  # what it is on POSIX, and elsewhere would not be
            if name.endswith("/"):
                info.external_attr = 0o40700 << 16
                archive.writestr(info, b"")
                continue
            is_executable = content.members.get(name, {}).get("executable")
            info.external_attr = (0o700 if is_executable else 0o600) << 16
            data = content.manifest_bytes() if name == MANIFEST else content.read(name)
            archive.writestr(info, data)


def _namespaces(members: Collection[str]) -> list[str]:
    # Most Pythons find a package without `__init__.py` in a zip only by an entry of its folder.
    sources = [name for name in members if name.endswith(".py")]
    folders = {name[: slash.start() + 1] for name in sources for slash in re.finditer("/", name)}
    return sorted(folder for folder in folders if f"{folder}__init__.py" not in members)


def content_of_zip(path: Path) -> Content:
    """Reads an archive. Returns what is in it. The members are read when one is asked for."""
    members: dict[str, bytes] = {}

    def read(name: str) -> bytes:
        if not members:
            with _opened(path) as archive:
                members.update((inner, archive.read(inner)) for inner in archive.namelist())
        if name not in members:
            raise DistributionError(f"{str(path)!r} is damaged: {name!r} is not in it")
        return members[name]

    with _opened(path) as archive:
        return Content(checked_manifest(archive.read(MANIFEST)), read)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[zipfile.ZipFile]:
    import zipfile
    import zlib

    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except (
        *(OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error),
        # A flipped bit may ask for a password, or for another compression.
        RuntimeError,
    ) as error:
        raise DistributionError(f"{str(path)!r} is no distribution archive: {error}") from error


def content_of_folder(folder: Path) -> Content:
    """Reads an archive that was unpacked; its members are read when they are asked for."""

    def read(name: str) -> bytes:
        with open(os.path.join(folder, *name.split("/")), "rb") as file:
            return file.read()

    try:
        return Content(checked_manifest(read(MANIFEST)), read)
    except (OSError, KeyError, ValueError) as error:
        raise DistributionError(f"{str(folder)!r} is no distribution archive: {error}") from error


def checked_manifest(data: bytes) -> dict[str, Any]:
    """Reads what an archive says of itself."""
    manifest = unpack.checked_manifest(data)
    if not isinstance(manifest, dict) or manifest["format"] != FORMAT:
        raise ValueError("its format is that of another version of bandsaw")
    for name in (
        "digest",
        "main",
        "modules",
        "signed_by",
        "first_party",
        "files",
        "left_out",
        "members",
    ):
        manifest[name]
    return manifest
