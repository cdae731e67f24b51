"""Archives in the folder in which they are kept: as folders and as zips."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from .._system.files import whole_file
from ..errors import DistributionError
from . import imports, keep, unpack
from .contents import Content
from .keep import KEPT_SECONDS
from .zipped import write_zip


def put_folder(base: Path, content: Content) -> Path:
    """Unpacks an archive where it is not unpacked yet."""
    target = base / content.digest
    if unpack.is_whole(str(target)):
        keep.touch(str(target))
        return target
    try:
        unpacking = unpack.Unpacking(str(target), content.manifest_bytes())
        try:
            for name in list(unpacking.lacking):
                unpacking.add(name, [content.read(name)])
            if content.imports is not None:
                unpacking.add(imports.FILE_NAME, [content.imports.as_bytes()])
            unpacking.finish()
        except BaseException:
            unpacking.abandon()
            raise
    except ValueError as error:
        raise DistributionError(f"The archive {content.digest} is damaged: {error}") from error
    keep.prune(str(base), KEPT_SECONDS, keep.max_bytes())
    return target


def put_zip(base: Path, content: Content) -> Path:
    """Writes an archive where it is not written yet."""
    target = base / f"{content.digest}.pyz"
    if _is_zip(target):
        keep.touch(str(target))
        return target
    if target.is_dir() and not target.is_symlink():
        keep.discard(str(target))
    with whole_file(target) as stream:
        write_zip(content, stream)
    keep.prune(str(base), KEPT_SECONDS, keep.max_bytes())
    return target


def _is_zip(path: Path) -> bool:
    """Whether the end of a zip is there, which a file cut short does not have."""
    try:
        with open(path, "rb") as file:
            file.seek(-22, os.SEEK_END)
            return file.read(4) == b"PK\5\6" and stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False
