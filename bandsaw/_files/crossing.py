"""What is asked of another machine about files, at both ends of a connection.

| request             | answer              | what follows                                      |
|---------------------|---------------------|---------------------------------------------------|
| `look`: keys, names | `folder`, `lacking` |                                                   |
| `put`: key          |                     | pieces of the contents, and `end`, which is       |
|                     |                     | answered when they are in their place             |
| `get`: path         | `parts`             | `more` is answered by so many bytes of them       |
| `drop`: path        | `is_same`           | what was got is removed; whether it has changed   |
|                     |                     | meanwhile                                         |
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Generator, Mapping, Sequence
from typing import Any, Callable, NamedTuple, Optional

from .._system import contents, trees, work
from ..errors import FileTravelError
from . import kept, places

# How much is asked for at once, and how often: so much may be on its way.
_WINDOW = 1 << 21
_WINDOWS = 3
# After so many bytes it is looked whether the other end has refused them.
_LOOK_BYTES = 1 << 24


class Sent(NamedTuple):
    path: str  # its path here
    name: str  # its name there
    parts: list[trees.Part]
    digest: str  # the digest of that

    @property
    def key(self) -> str:
        """The name under which the contents are kept there."""
        return kept.key_of(self.parts, self.digest)


class Near:
    """The near end, over a stream of its own.

    `send`: sends a request or a piece. `receive`: waits for an answer or a piece; it raises what
    the other end has refused. `is_refused`: looks whether something has come.
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

    def put(self, file: Sent) -> None:
        self._ask(put=file.key, name=file.name, parts=file.parts, digest=file.digest)
        unseen = 0
        with work.told(f"sending {file.name}", sum(part.size for part in file.parts)) as sent:
            for piece in trees.read(file.path, file.parts):
                self._send(b"W", piece)
                sent.done += len(piece)
                unseen += len(piece)
                if unseen >= _LOOK_BYTES:
                    unseen = 0
                    if self._has_come():
                        self._receive()
            self._ask(end=True)
            self._receive()

    def get(self, path: str, target: str) -> None:
        self._ask(get=path)
        parts = [trees.Part(*part) for part in json.loads(self._receive())["parts"]]
        # The connection sees to it that they arrive as they are sent.
        arriving = contents.Arriving(target, parts, is_digested=False)
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
            raise


def _stamps_of(path: str) -> list[Any]:
    # Without the time that changes when another link to a file comes or goes.
    return [stamp[:-1] for stamp in trees.stamps_of(path)]


class Far:
    """The far end of one stream; `send` sends an answer or a piece."""

    def __init__(self, send: Callable[[bytes, bytes], None]) -> None:
        self._send = send
        self._arriving: Optional[contents.Arriving] = None
        self._request: Mapping[str, Any] = {}
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
        [name] = {"look", "put", "end", "get", "more", "drop"} & set(request)
        getattr(self, f"_{name}")(request)

    def _answer(self, **answer: Any) -> None:
        self._send(b"F", json.dumps(answer).encode("ascii"))

    def _look(self, request: Mapping[str, Any]) -> None:
        base = kept.folder()
        lacking = [key for key, name in request["look"] if not kept.is_there(base, key, name)]
        self._answer(folder=base, lacking=lacking)

    def _put(self, request: Mapping[str, Any]) -> None:
        self.abandon()
        self._request = request
        parts = [trees.Part(*part) for part in request["parts"]]
        self._arriving = kept.arriving(kept.folder(), request["put"], parts)

    def _end(self, request: Mapping[str, Any]) -> None:
        arriving, self._arriving = self._arriving, None
        if arriving is not None:
            arriving.finish(self._request["digest"])
            kept.arrived(kept.folder(), self._request["put"], self._request["name"])
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
        path = os.path.realpath(request["drop"])
        runs = os.path.realpath(os.path.join(kept.folder(), places.RUNS))
        if path.startswith(runs + os.sep):
            contents.remove(path)
            for _ in range(2):
                path = os.path.dirname(path)
                with contextlib.suppress(OSError):
                    os.rmdir(path)

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
