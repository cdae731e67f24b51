"""A file, or a folder with all that is in it, as a list of parts and one stream of bytes.

    parts_of ─► read ─► bytes ─► Arriving ─► the same under another path, whole or not at all

The stream has the contents of the files, one after the other, in the order of the parts.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Any, NamedTuple, Optional

from ..errors import FileTravelError

FILE, FOLDER, LINK = "file", "folder", "link"
PIECE = 1 << 18
_NO_LINK = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
# The coarsest time stamps of file systems: a second change within it is not seen.
_STAMP_NS = 2_000_000_000
_MOST_KNOWN = 1000

# Digests of what was read, by path, with the stamps that it had.
_known: dict[str, tuple[Any, str]] = {}


class Part(NamedTuple):
    """A file or folder.

    Attributes:
        name: Its path from the top, with `/` between names; empty for the top itself.
        kind: `FILE`, `FOLDER` or `LINK`.
        runs: Whether it is executable.
        size: The bytes of a file.
        target: Where a link leads.
    """

    name: str
    kind: str
    runs: bool = False
    size: int = 0
    target: str = ""


def parts_of(path: str) -> list[Part]:
    """Lists what is under a path. Links that lead out of a folder are refused."""
    try:
        return list(_parts_of(path))
    except OSError as error:
        if isinstance(error, FileTravelError):
            raise
        reason = "it does not exist" if isinstance(error, FileNotFoundError) else str(error)
        raise FileTravelError(f"The contents of {path!r} cannot be read: {reason}.") from error


def _parts_of(path: str) -> Iterator[Part]:
    status = os.stat(path)
    if stat.S_ISREG(status.st_mode):
        yield Part("", FILE, bool(status.st_mode & 0o100), status.st_size)
        return
    if not stat.S_ISDIR(status.st_mode):
        raise FileTravelError(f"{path!r} is no file and no folder, and cannot travel.")
    yield Part("", FOLDER)
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
                _check_link(top, name, target, path)
                yield Part(name, LINK, target=target)
            elif stat.S_ISDIR(mode):
                yield Part(name, FOLDER)
                pending.append(name)
            elif stat.S_ISREG(mode):
                size = entry.stat(follow_symlinks=False).st_size
                yield Part(name, FILE, bool(mode & 0o100), size)
            else:
                raise FileTravelError(f"{name!r} in {path!r} is no file and no folder.")


def _check_link(top: str, name: str, target: str, path: str) -> None:
    led = os.path.realpath(os.path.join(top, os.path.dirname(name), target))
    if os.path.isabs(target) or os.path.commonpath([led, top]) != top:
        raise FileTravelError(
            f"The link {name!r} in {path!r} leads out of it, to {target!r}: put what it leads to "
            "into the folder, or make it a File of its own."
        )


def check(parts: Sequence[Part]) -> None:
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
            raise FileTravelError(f"A file with the name {part.name!r} is refused.")
        if part.kind == FOLDER:
            folders.add(part.name)
    if not parts or len({part.name for part in parts}) != len(parts):
        raise FileTravelError("A list of files that is empty or names one twice is refused.")


def is_plain_name(name: str) -> bool:
    """Whether a name is that of one file in a folder, on every system."""
    return name not in ("", ".", "..") and not set(name) & set("/\\\0") and name[1:2] != ":"


def read(path: str, parts: Iterable[Part]) -> Iterator[bytes]:
    """Reads the contents in pieces."""
    for part in parts:
        if part.kind != FILE:
            continue
        inner = os.path.join(path, part.name) if part.name else path
        try:
            descriptor = os.open(inner, os.O_RDONLY | (_NO_LINK if part.name else 0))
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


class Digest:
    """Digests a stream of contents.

    A file counts by the SHA-256 of its contents, a folder by names, kinds and contents of all that
    is in it.
    """

    def __init__(self, parts: Sequence[Part]) -> None:
        self._parts = parts
        self._digests: dict[str, str] = {}
        self._pending = iter([part for part in parts if part.kind == FILE])
        self._part: Optional[Part] = None
        self._left = 0
        self._begin_next()

    def _begin_next(self) -> None:
        while True:
            self._part = next(self._pending, None)
            if self._part is None:
                return
            self._left, self._hash = self._part.size, sha256()
            self._begin(self._part)
            if self._left:
                return
            self._end_file(self._part)

    def _end_file(self, part: Part) -> None:
        self._end()
        self._digests[part.name] = self._hash.hexdigest()

    def _begin(self, part: Part) -> None:
        """Begins a file."""

    def _write(self, piece: memoryview) -> None:
        """Writes a piece of a file."""

    def _end(self) -> None:
        """Ends a file."""

    def take(self, data: Any) -> None:
        """Takes a piece of the stream."""
        view = memoryview(data)
        while view:
            if self._part is None:
                raise FileTravelError("There is more of a file than was announced.")
            piece, view = view[: self._left], view[self._left :]
            self._hash.update(piece)
            self._write(piece)
            self._left -= len(piece)
            if not self._left:
                self._end_file(self._part)
                self._begin_next()

    def digest(self) -> str:
        """Returns the digest, when all has been taken."""
        if self._part is not None:
            raise FileTravelError("A file did not arrive whole.")
        if self._parts[0].kind == FILE:
            return self._digests[""]
        whole = sha256(b"bandsaw folder\n")
        for part in sorted(self._parts):
            content = self._digests.get(part.name, part.target)
            whole.update(json.dumps([part.name, part.kind, part.runs, content]).encode() + b"\n")
        return whole.hexdigest()


def digest_of(path: str, parts: Optional[Sequence[Part]] = None) -> str:
    """Digests what is under a path, or what was listed of it."""
    parts = parts_of(path) if parts is None else parts
    digest = Digest(parts)
    for piece in read(path, parts):
        digest.take(piece)
    return digest.digest()


def known_digest_of(path: str) -> str:
    """Digests what is under a path, which is read only if it may have changed."""
    begun = time.time_ns()
    stamps = stamps_of(path)
    known = _known.get(path)
    if known is not None and known[0] == stamps:
        return known[1]
    digest = digest_of(path)
    # What was written just now may change once more under the same stamps.
    if stamps == stamps_of(path) and all(each[-2] + _STAMP_NS < begun for each in stamps):
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[path] = stamps, digest
    return digest


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


class Arriving(Digest):
    """Contents that arrive, next to where they are to be, under a temporary name.

    `is_kept`: nobody may write to it.
    """

    def __init__(self, target: str, parts: Sequence[Part], is_kept: bool = False) -> None:
        check(parts)
        folder = os.path.dirname(target)
        self._target, self._is_kept = target, is_kept
        self.path = os.path.join(folder, f".bandsaw-{os.urandom(8).hex()}")
        self._descriptor = -1
        with self._leaving_nothing():
            for part in parts:
                if part.kind == FOLDER:
                    os.mkdir(self._inner(part), 0o777)
            super().__init__(parts)

    def _inner(self, part: Part) -> str:
        return os.path.join(self.path, part.name) if part.name else self.path

    @contextlib.contextmanager
    def _leaving_nothing(self) -> Iterator[None]:
        try:
            yield
        except BaseException as error:
            self.abandon()
            if isinstance(error, OSError) and not isinstance(error, FileTravelError):
                raise FileTravelError(
                    f"{self._target!r} cannot be written: {error.strerror or error}. Nothing of it "
                    "was left."
                ) from error
            raise

    def _begin(self, part: Part) -> None:
        mode = 0o777 if part.runs else 0o666
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_LINK
        self._descriptor = os.open(self._inner(part), flags, mode)

    def _write(self, piece: memoryview) -> None:
        while piece:
            piece = piece[os.write(self._descriptor, piece) :]

    def _end(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def take(self, data: Any) -> None:
        """Takes a piece of the stream."""
        with self._leaving_nothing():
            super().take(data)

    def finish(self, digest: Optional[str] = None) -> str:
        """Puts it into its place, in exchange for what is there.

        `digest`: what it has to be, `None` if nobody knows. Returns its digest.
        """
        with self._leaving_nothing():
            found = self.digest()
            if digest is not None and found != digest:
                raise FileTravelError(f"{self._target!r} did not arrive as it was sent.")
            links = [part for part in self._parts if part.kind == LINK]
            for part in links:
                os.symlink(part.target, self._inner(part))
            for part in links:
                _check_link(os.path.realpath(self.path), part.name, part.target, self._target)
            if self._is_kept:
                make_read_only(self.path, self._parts)
            exchange(self.path, self._target)
        return found

    def abandon(self) -> None:
        """Leaves nothing of it."""
        if self._descriptor >= 0:
            self._end()
        remove(self.path)


def make_read_only(path: str, parts: Sequence[Part]) -> None:
    for part in reversed(parts):
        if part.kind != LINK:
            mode = 0o500 if part.kind == FOLDER or part.runs else 0o400
            os.chmod(os.path.join(path, part.name) if part.name else path, mode)


def exchange(path: str, target: str) -> None:
    """Renames something to what may be the name of something else of the same kind."""
    if not os.path.isdir(target) or os.path.islink(target):
        os.replace(path, target)
        return
    if not os.path.isdir(path):
        raise FileTravelError(f"{target!r} is a folder, and a file is to be put there.")
    older = f"{path}-older"
    os.rename(target, older)
    try:
        os.rename(path, target)
    except OSError:
        os.rename(older, target)
        raise
    remove(older)


def remove(path: str) -> None:
    """Removes a file or folder, which may be read-only or not there."""
    if os.path.isdir(path) and not os.path.islink(path):
        import shutil

        for folder, _, _ in os.walk(path):
            with contextlib.suppress(OSError):
                os.chmod(folder, 0o700)
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            os.unlink(path)
