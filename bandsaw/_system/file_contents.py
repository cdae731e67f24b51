"""Contents of files and folders that are digested, or that arrive, as a stream of bytes.

`trees` says what the parts are and what the stream is.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import time
from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import Any, Optional

from ..errors import FileTravelError
from .files import is_settled, write_all
from .trees import (
    FILE,
    FOLDER,
    LINK,
    NO_LINK,
    PIECE,
    TreePart,
    check,
    check_link,
    parts_of,
    read,
    stamps_of,
)

_MOST_KNOWN = 1000
_MOST_AT_ONCE = 1 << 27
# How often others may be faster with a folder of the same name.
_MOST_EXCHANGES = 1000

# Digests of what was read, by path, with the stamps that it had.
_known: dict[str, tuple[Any, str]] = {}


class Digest:
    """Digests contents: of a folder, the names, kinds and contents of all that is in it."""

    def __init__(self, parts: Sequence[TreePart], is_digested: bool = True) -> None:
        self._parts = parts
        self._is_digested = is_digested
        self._digests: dict[str, str] = {}
        self._pending = iter([part for part in parts if part.kind == FILE])
        self._part: Optional[TreePart] = None
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

    def _end_file(self, part: TreePart) -> None:
        self._end()
        self._digests[part.name] = self._hash.hexdigest()

    def _begin(self, part: TreePart) -> None:
        """Begins a file."""

    def _write(self, piece: memoryview) -> None:
        """Writes a piece of a file."""

    def _end(self) -> None:
        """Ends a file."""

    def take(self, data: Any) -> None:
        view = memoryview(data)
        while view:
            if self._part is None:
                raise FileTravelError("There is more of a file than was announced.")
            piece, view = view[: self._left], view[self._left :]
            if self._is_digested:
                self._hash.update(piece)
            self._write(piece)
            self._left -= len(piece)
            if not self._left:
                self._end_file(self._part)
                self._begin_next()

    def digest(self) -> str:
        """Returns the digest, when all has been taken; nothing where none was asked for."""
        if self._part is not None:
            raise FileTravelError("A file did not arrive whole.")
        if not self._is_digested:
            return ""
        if self._parts[0].kind == FILE:
            return self._digests[""]
        whole = sha256(b"bandsaw folder\n")
        for part in sorted(self._parts):
            content = self._digests.get(part.name, part.target)
            whole.update(json.dumps([part.name, part.kind, part.runs, content]).encode() + b"\n")
        return whole.hexdigest()


def digest_of(path: str, parts: Optional[Sequence[TreePart]] = None) -> str:
    """Digests what is under a path, or what was listed of it."""
    parts = parts_of(path) if parts is None else parts
    digest = Digest(parts)
    for piece in read(path, parts):
        digest.take(piece)
    return digest.digest()


def digest_if_known(path: str) -> str:
    """Returns the digest of what was read and cannot have changed, else nothing."""
    known = _known.get(path)
    return known[1] if known is not None and known[0] == stamps_of(path) else ""


def known_digest_of(path: str, is_read: bool = False) -> str:
    """Digests a path, which is read only if it may have changed, or if `is_read`."""
    known = "" if is_read else digest_if_known(path)
    if known:
        return known
    parts = parts_of(path)
    with digesting(path, parts) as digest:
        for piece in read(path, parts):
            digest.take(piece)
    return digest.digest()


@contextlib.contextmanager
def digesting(path: str, parts: Sequence[TreePart]) -> Iterator[Digest]:
    """Has the digest of a path known that is made inside, unless the path changes meanwhile."""
    begun = time.time_ns()
    stamps = stamps_of(path)
    digest = Digest(parts)
    yield digest
    # What was written just now may change once more under the same stamps.
    if stamps == stamps_of(path) and all(is_settled(each[-2], begun) for each in stamps):
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[path] = stamps, digest.digest()


class ArrivingContents(Digest):
    """Contents that arrive, next to where they are to be, under a temporary name.

    `is_kept`: nobody may write to it. `is_digested`: whether it has a digest in the end.
    """

    def __init__(
        self,
        target: str,
        parts: Sequence[TreePart],
        is_kept: bool = False,
        is_digested: bool = True,
    ) -> None:
        check(parts)
        folder = os.path.dirname(target)
        self._target, self._is_kept = target, is_kept
        self.path = os.path.join(folder, f".bandsaw-{os.urandom(8).hex()}")
        self._descriptor = -1
        with self._leaving_nothing():
            for part in parts:
                if part.kind == FOLDER:
                    os.mkdir(self._inner(part), 0o777)
            super().__init__(parts, is_digested)

    def _inner(self, part: TreePart) -> str:
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

    def _begin(self, part: TreePart) -> None:
        mode = 0o777 if part.runs else 0o666
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | NO_LINK
        self._descriptor = os.open(self._inner(part), flags, mode)

    def _write(self, piece: memoryview) -> None:
        write_all(self._descriptor, [piece])

    def _end(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        os.close(descriptor)

    def take(self, data: Any) -> None:
        with self._leaving_nothing():
            super().take(data)

    def copy(self, path: str, is_linked: bool = False) -> None:
        """Takes the whole stream from a path here; `is_linked`: one may be seen in the other."""
        with self._leaving_nothing():
            # Others are looked at when they are copied.
            empty = [part for part in self._parts if part.kind == FILE and not part.size]
            for _ in read(path, empty):
                pass
        while self._part is not None:
            inner = os.path.join(path, self._part.name) if self._part.name else path
            with self._leaving_nothing():
                if is_linked and self._linked(inner, self._part):
                    continue
                try:
                    source = os.open(inner, os.O_RDONLY | (NO_LINK if self._part.name else 0))
                except OSError as error:
                    raise FileTravelError(f"{inner!r} cannot be read: {error}.") from error
                try:
                    while self._left:
                        count = _copied(source, self._descriptor, self._left)
                        self._left -= count
                        if not count:
                            break
                    if self._left or os.read(source, 1):
                        raise FileTravelError(f"{inner!r} was changed while it was read.")
                finally:
                    os.close(source)
                self._end_file(self._part)
                self._begin_next()

    def _linked(self, path: str, part: TreePart) -> bool:
        """Takes a file by a link, where that can be done."""
        target = self._inner(part)
        made = f"{self.path}-link"
        try:
            # Linux links a link, also where it is told to follow it.
            source = path if part.name else os.path.realpath(path)
            os.link(source, made, follow_symlinks=False)
        except (OSError, NotImplementedError):
            return False
        os.replace(made, target)
        self._end_file(part)
        self._begin_next()
        return True

    def finish(self, digest: Optional[str] = None, target: Optional[str] = None) -> str:
        """Exchanges it for what is there; returns its digest, which has to be `digest` if given.

        `target`: where it is to be after all, on the same file system.
        """
        with self._leaving_nothing():
            found = self.digest()
            if digest is not None and found != digest:
                raise FileTravelError(f"{self._target!r} did not arrive as it was sent.")
            if target is not None:
                moved = os.path.join(os.path.dirname(target), os.path.basename(self.path))
                os.rename(self.path, moved)
                self.path, self._target = moved, target
            links = [part for part in self._parts if part.kind == LINK]
            for part in links:
                os.symlink(part.target, self._inner(part))
            for part in links:
                check_link(os.path.realpath(self.path), part.name, part.target, self._target)
            if self._is_kept:
                make_read_only(self.path, self._parts)
            exchange(self.path, self._target)
        return found

    def abandon(self) -> None:
        self.let_go()
        remove(self.path)

    def let_go(self) -> None:
        """Leaves it to another process, which has made it."""
        if self._descriptor >= 0:
            self._end()


def _copied(source: int, target: int, size: int) -> int:
    """Copies some bytes between files. Returns how many."""
    copy = getattr(os, "copy_file_range", None)
    if copy is not None:
        with contextlib.suppress(OSError):
            count: int = copy(source, target, min(size, _MOST_AT_ONCE))
            if count:
                return count
    # The other way says what is wrong, or that there is no more.
    data = os.read(source, min(size, PIECE))
    write_all(target, [data])
    return len(data)


def make_read_only(path: str, parts: Sequence[TreePart]) -> None:
    for part in reversed(parts):
        if part.kind != LINK:
            mode = 0o500 if part.kind == FOLDER or part.runs else 0o400
            os.chmod(os.path.join(path, part.name) if part.name else path, mode)


def exchange(path: str, target: str) -> None:
    """Renames something to what may be the name of something else of the same kind."""
    older = f"{path}-older"
    is_folder = os.path.isdir(path)
    for left in reversed(range(_MOST_EXCHANGES)):
        is_exchanged = os.path.isdir(target) and not os.path.islink(target)
        if is_folder != is_exchanged and os.path.lexists(target):
            kinds = "a folder, and a file" if is_exchanged else "no folder, and a folder"
            raise FileTravelError(f"{target!r} is {kinds} is to be put there.")
        try:
            if is_exchanged:
                os.rename(target, older)
            os.replace(path, target)
            return remove(older)
        except OSError as error:
            # Another thread or process may have put a folder there, or its folder aside.
            is_gone = is_exchanged and error.errno == errno.ENOENT and os.path.isdir(path)
            if not (left and (is_gone or error.errno in (errno.ENOTEMPTY, errno.EEXIST))):
                if os.path.lexists(older):
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
