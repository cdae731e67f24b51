"""Where an archive can be had from, and where it can be put."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Callable, Optional

from .._system.files import make_private, whole_file
from .._system.home import kept_folder
from ..errors import DistributionError
from . import imports, keep, process_folder, unpack
from .keep import KEPT_SECONDS
from .zip_archive import Content, content_of_folder, content_of_zip, write_zip

_TRIES = 3


def content_at(folder: Optional[Path], path: Optional[Path]) -> Optional[Content]:
    """Reads an archive from where it is whole; `None` if it is in neither place."""
    if folder is not None and folder.is_dir():
        try:
            content = content_of_folder(folder)
        except DistributionError:
            content = None  # it is gone by now, or damaged
        if content is not None and unpack.is_whole(str(folder)):
            return content
    if path is not None and path.exists():
        try:
            return content_of_zip(path)
        except DistributionError:
            pass
    return None


def write_file(path: Path, content: Callable[[], Content]) -> None:
    """Writes an archive to a place that somebody has chosen."""
    try:
        make_private(path.parent)
        with whole_file(path) as stream:
            write_zip(content(), stream)
    except OSError as error:
        raise DistributionError(f"The archive {str(path)!r} cannot be made: {error}") from error


def kept(content: Content, put: Callable[[Path, Content], Path]) -> Path:
    """Puts an archive into the folder for what is kept, else into that of this process."""
    try:
        return put(kept_folder("archives"), content)
    except OSError:
        # It is not ours alone, or read-only, or the disk is full.
        return put(Path(process_folder.process_folder()), content)


def put_where_possible(
    put: Callable[[Path, Content], Path], content: Callable[[], Content]
) -> tuple[Path, Content]:
    """Does the same, and begins again where what it is made from was removed meanwhile."""
    problem: Optional[OSError] = None
    for _ in range(_TRIES):
        given = content()
        try:
            return kept(given, put), given
        except FileNotFoundError as error:
            problem = error  # what it was to be made from, or in, was removed meanwhile
        except OSError as error:
            problem = error
            break
    raise DistributionError(f"The distribution archive cannot be written: {problem}") from problem


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
