"""Files and folders that belong to their owner, appear whole, and go again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, BinaryIO, Optional, Union

if TYPE_CHECKING:
    from pathlib import Path

# FAT counts in two seconds. What is finer than a millisecond follows the tick of the system's
# clock, 10 ms at most.
_COARSE_NS, _FINE_NS = 2_000_000_000, 100_000_000


# What is written at once. Linux takes 1024 pieces. In a virtual machine, ext4 of Linux 6.18 needed
# ten times as long where a write had a megabyte or more.
_PIECES, _BYTES = 1024, 1 << 18


def write_all(descriptor: int, pieces: Iterable[Any]) -> None:
    """Writes bytes that lie in pieces, short ones together."""
    together: list[memoryview] = []
    size = 0
    for piece in pieces:
        for start in range(0, len(piece), _BYTES):
            part = memoryview(piece)[start : start + _BYTES]
            if size + len(part) > _BYTES or len(together) == _PIECES:
                _write(descriptor, together)
                together, size = [], 0
            together.append(part)
            size += len(part)
    _write(descriptor, together)


def _write(descriptor: int, parts: list[memoryview]) -> None:
    done = os.writev(descriptor, parts) if len(parts) > 1 and hasattr(os, "writev") else 0
    for part in parts:
        rest = part[done:]
        done = max(0, done - len(part))
        while rest:
            rest = rest[os.write(descriptor, rest) :]


def is_settled(stamp: int, now: int) -> bool:
    """Says whether a change of a file after now would be seen by the time that it has, in ns."""
    return stamp + (_FINE_NS if stamp % 1_000_000 else _COARSE_NS) < now


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Makes a file that is there whole or not at all, readable by its owner only.

    A device, a pipe or the output of this process is written to: nothing takes its place.
    """
    output = output_at(path)
    if output or (os.path.exists(path) and not os.path.isfile(path)):
        # To open the file behind `>>` anew would empty it.
        with open(output or path, "wb", closefd=not output) as file:
            yield file
        return
    # Imported late, here and below: all processes of tasks load this module, few make files.
    import tempfile

    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name[:32]}-", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def output_at(path: Union[str, Path]) -> int:
    """Returns to which output of this process a link leads, as `/dev/stdout` does: 1, 2, or 0."""
    for number in (1, 2) if os.path.islink(path) else ():
        with contextlib.suppress(OSError):
            if os.path.samestat(os.stat(path), os.fstat(number)):
                return number
    return 0


def write_whole(path: Path, *parts: Union[bytes, memoryview]) -> None:
    """Writes a file so that it is there whole or not at all, see `whole_file`."""
    with whole_file(path) as file:
        for part in parts:
            file.write(part)


def make_private(folder: Path) -> None:
    """Makes a folder for its owner only, and likewise those above it, where they are missing."""
    if not folder.is_dir() and folder != folder.parent:
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)


@contextlib.contextmanager
def private_folder(directory: Optional[Union[str, os.PathLike[str]]]) -> Iterator[Path]:
    """Makes a folder with an unpredictable name for its owner, and removes it at the end."""
    import shutil
    import tempfile
    from pathlib import Path

    if directory is not None:
        make_private(Path(directory))
    folder = tempfile.mkdtemp(prefix="bandsaw-", dir=directory)
    try:
        yield Path(folder).absolute()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


_HAS_OWNERS = hasattr(os, "geteuid")


def hold_of_others(status: os.stat_result) -> str:
    """Says what other users have to do with a file, nothing if they can only read it."""
    if _HAS_OWNERS and status.st_uid != os.geteuid():
        return "belongs to another user"
    return "can be written by other users" if _HAS_OWNERS and status.st_mode & 0o022 else ""


def open_private(path: str, flags: int) -> int:
    """An `opener` for `open` that makes files readable by their owner only."""
    return os.open(path, flags, 0o600)


def size_of(path: Path) -> int:
    """Returns the bytes of a file, or of all files in a folder. Files may vanish meanwhile."""
    files = [str(path)]
    if path.is_dir():
        files = [os.path.join(inner, name) for inner, _, names in os.walk(path) for name in names]
    size = 0
    for file in files:
        with contextlib.suppress(OSError):
            size += os.lstat(file).st_size
    return size
