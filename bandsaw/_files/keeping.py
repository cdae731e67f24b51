"""Contents of the files in a value that is kept, and how they are had again.

    Keeping: value ─► serializer ─► bytes, and one stream with the contents of all files
    Bringing: bytes ─► serializer ─► value, whose files are written where they lack or are others

A file that is as it was is left alone. Another one is brought to its `to` if it had come there,
else to its path if that is a relative one, else into the folder of the run: an entry may come from
another place. A file of the arguments comes back as that of the call that gets the entry.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from typing import Any, BinaryIO, Callable, Optional

from .._file import File, FileCarrier
from .._system import file_contents, trees
from .._system.files import make_private
from .._system.importing import late_import
from ..errors import FileTravelError


class Finding(FileCarrier):
    """Finds the files in a value while it is written."""

    def __init__(self) -> None:
        self.files: list[File] = []

    def carried(self, file: File) -> tuple[Any, ...]:
        self.files.append(file)
        return super().carried(file)


class _OfCall(FileCarrier):
    """Knows the files in the arguments of a call; `find` finds them when they are needed."""

    def __init__(self, find: Callable[[], Sequence[File]]) -> None:
        self._find = find
        self._found: Optional[list[tuple[File, str]]] = None

    def files_given(self) -> list[tuple[File, str]]:
        """Returns the files with the digests that they had when the ids were made."""
        if self._found is None:
            self._found = []
            for file in self._find():
                with contextlib.suppress(FileTravelError):
                    seen = file._seen and file._seen[1].hex()
                    path = os.path.abspath(file.path)
                    self._found.append((file, seen or file_contents.known_digest_of(path)))
        return self._found


class Keeping(_OfCall):
    """Collects contents in a file without a name in a folder while a value is written."""

    def __init__(self, folder: str, find: Callable[[], Sequence[File]]) -> None:
        super().__init__(find)
        self._folder = folder
        self._written: dict[str, tuple[Any, ...]] = {}
        self._spooled: Optional[BinaryIO] = None

    def carried(self, file: File) -> tuple[Any, ...]:
        path = os.path.abspath(file.path)
        for each, digest in self.files_given():
            if os.path.abspath(each.path) == path and file_contents.known_digest_of(path) == digest:
                self._written.setdefault(path, ())
                return given, (file.path, file.to, digest)
        if path not in self._written:
            self._written[path] = self._spool(path)
        return kept, (file.path, file.to, *self._written[path])

    def _spool(self, path: str) -> tuple[Any, ...]:
        parts = trees.parts_of(path)
        digest = file_contents.Digest(parts)
        try:
            if self._spooled is None:
                with late_import:
                    import tempfile
                    from pathlib import Path

                make_private(Path(self._folder))
                self._spooled = tempfile.TemporaryFile(dir=self._folder)
            offset = self._spooled.tell()
            for piece in trees.read(path, parts):
                digest.take(piece)
                self._spooled.write(piece)
            self._spooled.flush()
        except OSError as error:
            if isinstance(error, FileTravelError):
                raise
            raise FileTravelError(f"The contents of {path!r} cannot be kept: {error}.") from error
        return digest.digest(), [list(part) for part in parts], offset

    def contents(self) -> Optional[memoryview]:
        """Returns the contents of all files, mapped; `None` if the value has no files."""
        if self._spooled is None:
            return memoryview(b"") if self._written else None
        import mmap

        with self._spooled as spooled:
            size = spooled.tell()
            if not size:
                return memoryview(b"")
            return memoryview(mmap.mmap(spooled.fileno(), size, access=mmap.ACCESS_READ))


class Refusing(FileCarrier):
    """Has a value be read only if no files are in it: they would be put where others say."""

    takes_files = False


class Bringing(_OfCall):
    """Has the files at `paths` be there while a value is read, from kept `contents`."""

    def __init__(self, contents: Any, find: Callable[[], Sequence[File]]) -> None:
        super().__init__(find)
        self._contents = memoryview(contents)
        self.paths: list[str] = []

    def given(self, path: str, to: Optional[str], digest: str) -> File:
        paths = [each.path for each, found in self.files_given() if found == digest]
        if not paths:
            raise FileTravelError(f"the call has no file with the contents that {path!r} had")
        return File(path if path in paths else paths[0], to)

    def brought(self, *content: Any) -> File:
        file = self._brought(*content)
        self.paths.append(os.path.abspath(file.path))
        return file

    def _brought(
        self, path: str, to: Optional[str], digest: str, parts: Sequence[Any], offset: int
    ) -> File:
        with late_import:
            from . import carrying, destinations

        name = os.path.basename(os.path.abspath(path))
        listed = [trees.TreePart(*part) for part in parts]
        place = "" if to is None else to.replace("{name}", name)
        has_come = os.path.abspath(path).endswith(os.sep + os.path.normpath(place))
        if has_come and to is not None:
            # It came there in some working directory, perhaps of another checkout.
            to = destinations.settled(to, place)
            path = os.path.abspath(place)
        with contextlib.suppress(FileTravelError):
            if file_contents.known_digest_of(os.path.abspath(path)) == digest:
                return File(path, to)
        if has_come and to is not None:
            target = destinations.below(os.getcwd(), place)
            result = File(target, to)
        elif destinations.is_relative(os.path.normpath(path)):
            target = destinations.below(os.getcwd(), os.path.normpath(path))
            result = File(path, to)
        else:
            target = destinations.new_place(name)
            carrying.pass_on(target)
            result = File(target, to)
        end = offset + sum(part.size for part in listed)
        arriving = file_contents.ArrivingContents(target, listed)
        for start in range(offset, end, trees.PIECE):
            arriving.take(self._contents[start : min(start + trees.PIECE, end)])
        arriving.finish(digest)
        return result


def kept(path: str, to: Optional[str], *content: Any) -> File:
    """Makes a file of which the contents are kept with the value."""
    plain = File(path, to)
    carrier = FileCarrier.current()
    if not isinstance(carrier, Bringing):
        return plain
    return carrier.guarded(lambda: carrier.brought(path, to, *content), plain)


def given(path: str, to: Optional[str], digest: str) -> File:
    """Makes a file that came with the arguments of the call."""
    plain = File(path, to)
    carrier = FileCarrier.current()
    if not isinstance(carrier, Bringing):
        return plain
    return carrier.guarded(lambda: carrier.given(path, to, digest), plain)
