"""Contents in one file beside that of a session, where a call crosses in files and steps.

The bundle of a session `S` is `S-files`: for each file the length of a header (8 bytes), the header
as JSON, and the contents. The session, which may be signed, names each file by the key of its
contents.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, Optional

from .._system import file_contents, trees
from .._system.files import hold_of_others, make_private, open_private
from ..errors import FileTravelError
from . import carrying, kept
from .crossing import Sent

SUFFIX = "-files"


def beside(path: Any) -> str:
    """Returns where the bundle of a session is."""
    return f"{os.fspath(path)}{SUFFIX}"


def _add(stream: BinaryIO, path: str, parts: list[trees.TreePart], header: dict[str, Any]) -> None:
    data = json.dumps({**header, "parts": parts}).encode("ascii")
    try:
        stream.write(len(data).to_bytes(8, "big") + data)
        for piece in trees.read(path, parts):
            stream.write(piece)
    except OSError as error:
        if isinstance(error, FileTravelError):
            raise
        raise FileTravelError(f"{path!r} cannot be copied: {error}.") from error


def _files_in(stream: BinaryIO) -> Iterator[tuple[dict[str, Any], list[trees.TreePart]]]:
    """Finds the headers and parts. After each the stream is at the contents."""
    while size := stream.read(8):
        header = json.loads(stream.read(int.from_bytes(size, "big")))
        parts = [trees.TreePart(*part) for part in header["parts"]]
        end = stream.tell() + sum(part.size for part in parts)
        yield header, parts
        stream.seek(end)


def _take(stream: BinaryIO, target: str, parts: list[trees.TreePart], key: str) -> None:
    arriving = file_contents.ArrivingContents(target, parts)
    digest = key.rstrip("x")
    if key != kept.key_of(parts, digest):
        arriving.abandon()
        raise FileTravelError(f"{target!r} did not arrive as it was sent.")
    left = sum(part.size for part in parts)
    while left and (piece := stream.read(min(left, trees.PIECE))):
        arriving.take(piece)
        left -= len(piece)
    arriving.finish(digest)


def send(files: Iterable[Sent], session: Path) -> Optional[Path]:
    """Writes the contents that go along with a session. Returns the bundle if there are any."""
    files = list(files)
    if not files:
        return None
    path = beside(session)
    with open(path, "xb", opener=open_private) as stream:
        for file in files:
            _add(stream, file.path, file.parts, {"key": file.key, "name": file.name})
    return Path(path)


def receive(session: str, folder: str) -> None:
    """Puts contents that came along with a session into a folder of the call's own."""
    carrying.tell(folder)
    try:
        stream = open(beside(session), "rb")
    except FileNotFoundError:
        return
    with stream:
        make_private(Path(folder))
        held = hold_of_others(os.lstat(folder))
        if held:
            raise FileTravelError(f"{folder!r} {held}: files for a call are not put there.")
        for header, parts in _files_in(stream):
            key, name = header["key"], header["name"]
            if not kept.are_names(key, name):
                raise FileTravelError(f"Contents under the names {key!r}, {name!r} are refused.")
            target = kept.path_of(folder, key, name)
            make_private(Path(target).parent)
            _take(stream, target, parts, key)


class Back(carrying.Homeward):
    """A call goes back in files; `output`: where its session is written.

    The session calls a file by the key of its contents, a colon, and its path.
    """

    def __init__(self, session: Any, output: str) -> None:
        super().__init__(session)
        self._bundle = beside(output)

    def copied(self, path: str) -> str:
        parts = trees.parts_of(path)
        key = kept.key_of(parts, file_contents.known_digest_of(path))
        called = f"{key}:{path}"
        with open(self._bundle, "ab", opener=open_private) as stream:
            _add(stream, path, parts, {"path": called})
        return called


def get(bundle: str, path: str, target: str) -> None:
    """Takes a file out of a bundle that came back; the path is what `Back` calls it."""
    key, _, there = path.partition(":")
    with open(bundle, "rb") as stream:
        for header, parts in _files_in(stream):
            if header["path"] == path:
                return _take(stream, target, parts, key)
    raise FileTravelError(f"The contents of {there!r} did not come back.")
