"""A file, or a folder with all that is in it, as a list of parts and one stream of bytes.

    parts_of ─► read ─► bytes ─► file_contents.ArrivingContents ─► the same elsewhere, or nothing

The stream has the contents of the files, one after the other, in the order of the parts.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from ..errors import FileTravelError, MissingFileError

FILE, FOLDER, LINK = "file", "folder", "link"
PIECE = 1 << 18
NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)


class TreePart(NamedTuple):
    name: str  # its path from the top, with `/` between names; empty for the top itself
    kind: str  # `FILE`, `FOLDER` or `LINK`
    runs: bool = False  # whether it is executable
    size: int = 0  # the bytes of a file
    target: str = ""  # where a link leads


def parts_of(path: str) -> list[TreePart]:
    """Lists what is under a path. Links that lead out of a folder are refused."""
    try:
        return list(_parts_of(path))
    except OSError as error:
        if isinstance(error, FileTravelError):
            raise
        kind, reason = FileTravelError, str(error)
        # A file in a folder may have gone since the folder was listed.
        if isinstance(error, FileNotFoundError) and not os.path.exists(path):
            kind, reason = MissingFileError, "it does not exist"
        raise kind(f"The contents of {path!r} cannot be read: {reason}.") from error


def _parts_of(path: str) -> Iterator[TreePart]:
    status = os.stat(path)
    if stat.S_ISREG(status.st_mode):
        yield TreePart("", FILE, bool(status.st_mode & 0o100), status.st_size)
        return
    if not stat.S_ISDIR(status.st_mode):
        raise FileTravelError(f"{path!r} is no file and no folder, and cannot travel.")
    yield TreePart("", FOLDER)
    top = os.path.realpath(path)
    pending = [""]
    while pending:
        folder = pending.pop()
        with os.scandir(os.path.join(top, folder)) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
        for entry in found:
            name = f"{folder}/{entry.name}".lstrip("/")
            mode = entry.stat(follow_symlinks=False).st_mode
            if stat.S_ISLNK(mode):
                target = os.readlink(entry.path)
                check_link(top, name, target, path)
                yield TreePart(name, LINK, target=target)
            elif stat.S_ISDIR(mode):
                yield TreePart(name, FOLDER)
                pending.append(name)
            elif stat.S_ISREG(mode):
                size = entry.stat(follow_symlinks=False).st_size
                yield TreePart(name, FILE, bool(mode & 0o100), size)
            else:
                raise FileTravelError(f"{name!r} in {path!r} is no file and no folder.")


def check_link(top: str, name: str, target: str, path: str) -> None:
    led = os.path.realpath(os.path.join(top, os.path.dirname(name), target))
    if os.path.isabs(target) or os.path.commonpath([led, top]) != top:
        raise FileTravelError(
            f"The link {name!r} in {path!r} leads out of it, to {target!r}: put what it leads to "
            "into the folder, or make it a File of its own."
        )


def check(parts: Sequence[TreePart]) -> None:
    """Refuses parts from elsewhere with names that may lead out of where they are to arrive."""
    folders = set()
    for position, part in enumerate(parts):
        if not position:
            fits = part.name == "" and part.kind in (FILE, FOLDER)
            fits = fits and (part.kind == FOLDER or len(parts) == 1)
        else:
            names = part.name.split("/")
            fits = "/".join(names[:-1]) in folders and all(map(is_plain_name, names))
        fits = fits and part.kind in (FILE, FOLDER, LINK) and part.size >= 0
        if part.kind == LINK:
            led = os.path.normpath(os.path.join(os.path.dirname(part.name), part.target))
            fits = fits and not os.path.isabs(part.target) and led.split(os.sep)[0] != ".."
        if not fits:
            to = f", a link to {part.target!r}," if part.kind == LINK else ""
            raise FileTravelError(f"A file with the name {part.name!r}{to} is refused.")
        if part.kind == FOLDER:
            folders.add(part.name)
    if not parts or len({part.name for part in parts}) != len(parts):
        raise FileTravelError("A list of files that is empty or names one twice is refused.")


def is_plain_name(name: str) -> bool:
    """Whether a name is that of one file in a folder, on every system."""
    other = set("/\\\0:" if os.name == "nt" else "/\\\0")
    return name not in ("", ".", "..") and not set(name) & other


def read(path: str, parts: Iterable[TreePart]) -> Generator[bytes, None, None]:
    for part in parts:
        if part.kind != FILE:
            continue
        inner = os.path.join(path, part.name) if part.name else path
        try:
            descriptor = os.open(inner, os.O_RDONLY | (NO_LINK if part.name else 0))
            with open(descriptor, "rb", buffering=0) as file:
                left = part.size
                while left and (piece := file.read(min(left, PIECE))):
                    left -= len(piece)
                    yield piece
                if left or file.read(1):
                    raise FileTravelError(f"{inner!r} was changed while it was read.")
        except OSError as error:
            if isinstance(error, FileTravelError):
                raise
            raise FileTravelError(f"{inner!r} cannot be read: {error}.") from error


def stamps_of(path: str) -> tuple[tuple[Any, ...], ...]:
    """Tells by size, times and identity of all files whether something has changed."""
    found = []
    for part in parts_of(path):
        inner = os.path.join(path, part.name) if part.name else path
        try:
            status = os.lstat(inner) if part.name else os.stat(inner)
        except OSError as error:
            raise FileTravelError(f"{inner!r} cannot be read: {error}.") from error
        size = status.st_size if part.kind == FILE else 0
        times = (status.st_mtime_ns, status.st_ctime_ns)
        found.append((part.name, part.runs, status.st_dev, status.st_ino, size, *times))
    return tuple(found)
