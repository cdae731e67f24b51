"""What is asked of another machine about files, at both ends of a connection.

| request             | answer              | what follows                                      |
|---------------------|---------------------|---------------------------------------------------|
| `look`: keys, names | `folder`, `lacking` |                                                   |
| `size`: bytes       | `is_there`          | whether contents of this size may be kept there   |
| `put`: parts        |                     | pieces of the contents, and `end` with the key,   |
|                     |                     | which is answered when they are in their place    |
| `get`: path         | `parts`             | `more` is answered by so many bytes of them       |
| `drop`: path        | `is_same`           | what was got is removed; whether it has changed   |
|                     |                     | meanwhile                                         |
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Callable, Optional

from .._system import file_contents, trees, work
from ..errors import FileTravelError
from . import destinations, kept

# How much is asked for at once, and how often: so much may be on its way.
_WINDOW = 1 << 21
_WINDOWS = 3
# After so many bytes it is looked whether the other end has refused them.
_LOOK_BYTES = 1 << 24
# To read contents of this size once more takes a moment.
_LARGE = 1 << 24


class Sent:
    """A file that a call sends, where it is not there yet.

    `digest`: what an id says that it has. `is_late`: what is large is digested while it is sent,
    where it is not known to be there.
    """

    def __init__(self, path: str, digest: str = "", is_late: bool = False) -> None:
        name = os.path.basename(path)
        self.path = path  # its path here
        self.name = name if trees.is_plain_name(name) else "file"  # its name there
        self.parts = trees.parts_of(path)
        self.size = sum(part.size for part in self.parts)
        self._stamps = trees.stamps_of(path)
        self._digest = digest or file_contents.digest_if_known(path)
        if not (is_late and self.size >= _LARGE):
            self._digest = self.digest
        # What the session calls it: its key, or what is told to be its key when that is known.
        self.called = self.key if self.is_digested else os.urandom(16).hex()

    @property
    def is_digested(self) -> bool:
        return bool(self._digest)

    @property
    def digest(self) -> str:
        if not self._digest:
            self._digest = file_contents.known_digest_of(self.path)
        return self._digest

    @property
    def key(self) -> str:
        """The name under which the contents are kept there."""
        return kept.key_of(self.parts, self.digest)

    def read(self) -> Generator[bytes, None, None]:
        """Reads the contents, and digests them on the way if they are not."""
        pieces = trees.read(self.path, self.parts)
        if self._digest:
            yield from pieces
            return
        with file_contents.digesting(self.path, self.parts) as digest:
            for piece in pieces:
                digest.take(piece)
                yield piece
        if trees.stamps_of(self.path) != self._stamps:
            raise FileTravelError(f"{self.path!r} was changed while it was sent.")
        self._digest = digest.digest()


class Near:
    """The near end, over a stream of its own.

    `send`: sends a request or a piece. `receive`: waits for an answer or a piece; it raises what
    the other end has refused. `has_come`: looks whether there is something to be received.
    """

    def __init__(
        self,
        send: Callable[[bytes, bytes], None],
        receive: Callable[[], bytes],
        has_come: Callable[[], bool],
    ) -> None:
        self._send, self._receive, self._has_come = send, receive, has_come

    def _ask(self, **request: Any) -> None:
        self._send(b"F", json.dumps(request).encode("ascii"))

    def look(self, files: Sequence[Sent]) -> tuple[str, set[str]]:
        """Returns the folder where contents are kept there, and the keys of those that lack."""
        self._ask(look=[[file.key, file.name] for file in files])
        answer = json.loads(self._receive())
        return answer["folder"], set(answer["lacking"])

    def may_have(self, size: int) -> bool:
        """Asks whether contents of this size may be kept there."""
        self._ask(size=size)
        is_there: bool = json.loads(self._receive())["is_there"]
        return is_there

    def put(self, file: Sent) -> None:
        self._ask(put=file.parts)
        unseen = 0
        with work.told(f"sending {file.name}", file.size) as sent:
            for piece in file.read():
                self._send(b"W", piece)
                sent.done += len(piece)
                unseen += len(piece)
                if unseen >= _LOOK_BYTES:
                    unseen = 0
                    if self._has_come():
                        self._receive()
            self._ask(end=file.key, name=file.name, digest=file.digest)
            self._receive()

    def get(self, path: str, target: str) -> None:
        self._ask(get=path)
        parts = [trees.TreePart(*part) for part in json.loads(self._receive())["parts"]]
        # The connection sees to it that they arrive as they are sent.
        arriving = file_contents.ArrivingContents(target, parts, is_digested=False)
        try:
            left = sum(part.size for part in parts)
            asked = 0
            with work.told(f"fetching {os.path.basename(path)}", left) as fetched:
                while left:
                    while asked < min(left, _WINDOW * _WINDOWS):
                        self._ask(more=_WINDOW)
                        asked += _WINDOW
                    piece = self._receive()
                    arriving.take(piece)
                    fetched.done += len(piece)
                    left -= len(piece)
                    asked -= len(piece)
            self._ask(drop=path)
            if not json.loads(self._receive())["is_same"]:
                raise FileTravelError(f"{path!r} was changed while it was fetched.")
            arriving.finish()
        except BaseException:
            arriving.abandon()
            with contextlib.suppress(OSError):
                self._ask(drop=path)  # nobody else will fetch it
            raise


def _stamps_of(path: str) -> list[Any]:
    # Without the time that changes when another link to a file comes or goes.
    return [stamp[:-1] for stamp in trees.stamps_of(path)]


class Far:
    """The far end of one stream; `send` sends an answer or a piece."""

    def __init__(self, send: Callable[[bytes, bytes], None]) -> None:
        self._send = send
        self._arriving: Optional[file_contents.ArrivingContents] = None
        self._pieces: Generator[bytes, None, None] = trees.read("", ())
        self._rest = b""
        self._stamps: Any = None

    def take(self, letter: bytes, body: bytes) -> None:
        if letter == b"W":
            if self._arriving is not None:
                try:
                    self._arriving.take(body)
                except BaseException:
                    # The near end sends on until it sees the error.
                    self.abandon()
                    raise
            return
        request = json.loads(body)
        [name] = {"look", "size", "put", "end", "get", "more", "drop"} & set(request)
        getattr(self, f"_{name}")(request)

    def _answer(self, **answer: Any) -> None:
        self._send(b"F", json.dumps(answer).encode("ascii"))

    def _look(self, request: Mapping[str, Any]) -> None:
        base = kept.folder()
        lacking = [key for key, name in request["look"] if not kept.is_there(base, key, name)]
        self._answer(folder=base, lacking=lacking)

    def _size(self, request: Mapping[str, Any]) -> None:
        self._answer(is_there=kept.may_have(kept.folder(), request["size"]))

    def _put(self, request: Mapping[str, Any]) -> None:
        self.abandon()
        parts = [trees.TreePart(*part) for part in request["put"]]
        self._arriving = kept.arriving(kept.folder(), parts)

    def _end(self, request: Mapping[str, Any]) -> None:
        arriving, self._arriving = self._arriving, None
        if arriving is not None:
            kept.arrived(
                kept.folder(), arriving, request["end"], request["name"], request["digest"]
            )
            self._answer()

    def _get(self, request: Mapping[str, Any]) -> None:
        parts = trees.parts_of(request["get"])
        self._stamps = _stamps_of(request["get"])
        self._pieces, self._rest = trees.read(request["get"], parts), b""
        self._answer(parts=parts)

    def _more(self, request: Mapping[str, Any]) -> None:
        left = request["more"]
        while left:
            piece = self._rest or next(self._pieces, b"")
            if not piece:
                return
            piece, self._rest = piece[:left], piece[left:]
            self._send(b"W", piece)
            left -= len(piece)

    def _drop(self, request: Mapping[str, Any]) -> None:
        self._answer(is_same=self._stamps == _stamps_of(request["drop"]))
        destinations.remove(request["drop"])

    def let_go(self) -> None:
        """Closes what is the parent's, in a process that was forked."""
        if self._arriving is not None:
            self._arriving.let_go()
        self._pieces.close()

    def abandon(self) -> None:
        """Leaves nothing of what has not arrived whole."""
        arriving, self._arriving = self._arriving, None
        if arriving is not None:
            arriving.abandon()
