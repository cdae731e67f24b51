"""What of a folder goes into an archive: all that is in it, or what is worth sending.

Folders may lie in a zip. Links are followed.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple, Optional

from ..errors import DistributionError
from ..identifier import _is_like_id
from . import locate

# Larger data is rather fetched than sent along with code. Modules may be larger.
LARGEST_FILE = 16 * 2**20
LARGE = "larger than 16 MB"
# As well as much of it.
MOST_BYTES = 512 * 2**20
MUCH = "data of a package with more than 512 MB of it"
_CACHES = ("__pycache__", "node_modules", "site-packages", "dist-packages")
# Caches and virtual environments say by such a file what they are.
_SIGNS = ("CACHEDIR.TAG", "pyvenv.cfg")


class FolderFiles(NamedTuple):
    paths: dict[str, str]  # where each of them lies, by its path below the folder
    zipped: dict[str, bytes]  # the bytes of those that lie in a zip
    left_out: dict[str, str]  # why files and folders were left out, by their paths below the folder

    def read(self) -> Iterator[tuple[str, bytes]]:
        yield from self.zipped.items()
        for name, path in self.paths.items():
            yield name, locate.read_file(path)


def find(
    folders: Iterable[str],
    largest: Optional[int] = LARGEST_FILE,
    everything: bool = False,
    filled: Collection[str] = (),
) -> FolderFiles:
    """Finds the files that are worth sending: not hidden, no cache, none above `largest` bytes.

    `filled`: real paths of the folders of caches, and of the files of recorders.
    """
    found = FolderFiles({}, {}, {})
    total = 0
    for folder in reversed(list(folders)):
        if os.path.isdir(folder):
            left_out = None if everything else found.left_out
            for name, path, size in _walk(folder, "", (), left_out, largest, filled):
                found.paths[name] = path
                total += 0 if name.endswith(locate.SUFFIXES) else size
            continue
        for name, data in _zipped(folder):
            reason = None if everything else _reason(name, len(data), largest)
            if reason is None:
                found.zipped[name] = data
            else:
                found.left_out[name] = reason
    if largest is not None and not everything and total > MOST_BYTES:
        for name in [name for name in found.paths if not name.endswith(locate.SUFFIXES)]:
            del found.paths[name]
        found.left_out[""] = MUCH
    names: dict[str, Any]
    for names in (found.paths, found.zipped):
        for name in [name for name in names if name.endswith(".pyc") and name[:-1] in names]:
            del names[name]
    return found


def _reason(name: str, size: int, largest: Optional[int]) -> Optional[str]:
    unwanted = next(filter(None, map(_unwanted, name.split("/"))), None)
    return unwanted or (LARGE if _is_too_large(name, size, largest) else None)


def _unwanted(name: str) -> Optional[str]:
    if name.startswith("."):
        return "hidden"
    return "cache or environment" if name in _CACHES else None


def _is_too_large(name: str, size: int, largest: Optional[int]) -> bool:
    return largest is not None and size > largest and not name.endswith(locate.SUFFIXES)


def _walk(
    folder: str,
    inner: str,
    above: tuple[str, ...],
    left_out: Optional[dict[str, str]],
    largest: Optional[int],
    filled: Collection[str],
) -> Iterator[tuple[str, str, int]]:
    """Yields paths below a folder, full paths and sizes; without `left_out` all but byte code."""
    real = os.path.realpath(folder)
    if real in above:
        return  # a link to a folder that it lies in
    try:
        with os.scandir(folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except OSError as error:
        if left_out is None or not above:
            raise locate.unreadable(folder, error) from error
        left_out[inner.rstrip("/")] = "not to be read"
        return
    for entry in found:
        try:
            status = entry.stat()
        except OSError:
            continue  # a link that leads nowhere, or gone since
        is_folder = stat.S_ISDIR(status.st_mode)
        if not is_folder and not stat.S_ISREG(status.st_mode):
            continue
        path = inner + entry.name
        # All names in a zip are in UTF-8.
        reason = None if _is_utf8(entry.name) else "not named in UTF-8"
        if left_out is None:
            reason = "byte code" if entry.name == "__pycache__" else reason
        else:
            reason = reason or _unwanted(entry.name)
            place = real if is_folder else os.path.join(real, entry.name)
            if reason is None and place in filled:
                # Other folders may lie beside those of a cache, such as one for each year.
                is_filled = not is_folder or (_is_like_id(entry.name) and _has_entry(entry.path))
                reason = "kept by a cache or a recorder" if is_filled else None
            if reason is None and is_folder and _has_sign(entry.path):
                reason = "cache or environment"
            if reason is None and not is_folder:
                if _is_too_large(path, status.st_size, largest):
                    reason = LARGE
                elif not os.access(entry.path, os.R_OK):
                    reason = "not to be read"
        if reason is not None and left_out is not None:
            left_out[path] = reason
        if reason is None:
            if is_folder:
                inside = path + "/", (*above, real), left_out, largest, filled
                yield from _walk(entry.path, *inside)
            else:
                yield path, entry.path, status.st_size


def _has_entry(folder: str) -> bool:
    names = os.listdir(folder) if os.access(folder, os.R_OK | os.X_OK) else []
    return any(_is_like_id(each) and os.path.isfile(f"{folder}/{each}") for each in names)


def _is_utf8(name: str) -> bool:
    try:
        return bool(name.encode())
    except UnicodeEncodeError:
        return False


def _has_sign(folder: str) -> bool:
    return any(os.path.exists(os.path.join(folder, name)) for name in _SIGNS)


def _zipped(location: str) -> Iterator[tuple[str, bytes]]:
    import zipfile

    archive_path, inner = location, ""
    while archive_path and not os.path.isfile(archive_path):
        archive_path, _, last = archive_path.rpartition(os.sep)
        inner = f"{last}/{inner}"
    if not archive_path or not zipfile.is_zipfile(archive_path):
        raise DistributionError(f"The folder {location!r} of a package does not exist.")
    with zipfile.ZipFile(archive_path) as archive:
        for name in archive.namelist():
            if name.startswith(inner) and not name.endswith("/"):
                yield name[len(inner) :], archive.read(name)
