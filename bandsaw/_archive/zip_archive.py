"""What an archive holds: read from a zip, a folder, or the archive that this process runs from.

Archives of the same content are zips of the same bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Callable, NamedTuple, Optional

from .. import modules
from ..errors import DistributionError
from . import locate, unpack
from .keep import MANIFEST, running_root

if TYPE_CHECKING:
    import zipfile

    from .imports import Imports

FORMAT = 2
# Part of what is made of an archive by name; SHA-256 cut to 128 bits.
DIGITS = 32
# The earliest time that a zip can hold.
_TIME = (1980, 1, 1, 0, 0, 0)


class Content:
    """What an archive holds.

    Args:
        manifest: What is said of it in its member `bandsaw-archive.json`.
        read: Gives the bytes of a member.
        imports: What its modules import, where that was looked for.
    """

    def __init__(
        self,
        manifest: dict[str, Any],
        read: Callable[[str], bytes],
        imports: Optional[Imports] = None,
    ) -> None:
        self.manifest = manifest
        self.read = read
        self.imports = imports
        # The folders that its modules are imported from here, where it was collected here.
        self.roots: list[str] = []
        # The same by the first parts of the paths of members, see `beside`.
        self.places: dict[str, list[str]] = {}
        # Why files of its packages were left out, by the paths that they would have.
        self.left_out: dict[str, str] = dict(manifest["left_out"])

    @property
    def digest(self) -> str:
        """The name of all that is in it."""
        return str(self.manifest["digest"])

    @property
    def members(self) -> dict[str, dict[str, Any]]:
        """The members by name, with `size`, `digest` and `why`; the manifest is not among them."""
        members: dict[str, dict[str, Any]] = self.manifest["members"]
        return members

    def manifest_bytes(self) -> bytes:
        return unpack.as_bytes(self.manifest)

    def holds(self, module_name: str) -> bool:
        """Says whether a module, the running script as `__main__` too, is in it."""
        if module_name in ("__main__", self.manifest["main"]):
            return True
        inner = module_name.replace(".", "/")
        return any(inner + suffix in self.members for suffix in ("/__init__.py", *locate.SUFFIXES))


def with_digest(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """Names content by a digest over all that is in it."""
    named = {name: value for name, value in manifest.items() if name != "digest"}
    return {**named, "digest": hashlib.sha256(unpack.as_bytes(named)).hexdigest()[:DIGITS]}


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


class Running(NamedTuple):
    content: Content
    folder: Optional[Path]  # where it is unpacked, if that is what runs
    path: Optional[Path]  # the zip, if that is what runs

    def is_made_for(
        self,
        named: tuple[str, ...],
        signed_by: Optional[str],
        first_party: bool,
        named_files: tuple[str, ...],
    ) -> bool:
        """Says whether it is what would be made here, so that nothing has to be made."""
        manifest = self.content.manifest
        made_of = [manifest[key] for key in ("modules", "signed_by", "first_party", "files")]
        if made_of != [sorted(named), signed_by, first_party, list(named_files)]:
            return False
        return manifest["main"] in (None, locate.main_name())


def running_archive() -> Optional[Running]:
    """Finds the archive that this process was started from, `None` if it was from none."""
    if not modules.is_far_end:
        return None
    root = Path(running_root())
    try:
        if root.is_dir():
            return Running(content_of_folder(root), root, None)
        return Running(content_of_zip(root), None, root)
    except DistributionError:
        return None  # or it is gone
