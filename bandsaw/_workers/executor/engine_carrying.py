"""Files of calls that an executor carries, see `engine_files`: brought to workers, and fetched."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from concurrent.futures import CancelledError, Future, TimeoutError
from typing import Any, BinaryIO, Callable, Optional

from ..._files import bundle, carrying, destinations
from ..._files.crossing import Sent
from ..._system import ending, work
from ..._system.buffers import rechunked
from ...errors import FileTravelError
from .engine import Engine, submission
from .engine_files import FILE_PIECE

# A machine that lacks contents is brought them. What keeps them from staying there may be over.
_MOST_BRINGS = 3
# So long a worker has for a piece.
_MOST_SECONDS = 600.0


def described(engine: Engine, files: Iterable[Sent]) -> list[dict[str, Any]]:
    """Returns what a worker is told of files before it has them."""
    told = []
    for file in files:
        one: dict[str, Any] = {"key": file.key, "name": file.name}
        if engine.shared_file is not None:
            one = {**_whole(file), "at": engine.shared_file(file.key, file.read)}
        told.append(one)
    return told


def _whole(file: Sent) -> dict[str, Any]:
    # Nothing of ours: a worker has none of it, and no bandsaw.
    parts = [tuple(part) for part in file.parts]
    return {"key": file.key, "name": file.name, "parts": parts, "digest": file.digest}


class Bringing:
    """What a call with that `request` has brought to workers that lacked it."""

    def __init__(
        self, engine: Engine, request: Mapping[str, Any], is_cancelled: Callable[[], bool]
    ) -> None:
        self._engine, self._is_cancelled = engine, is_cancelled
        self._request = {**request, "files": ()}
        self._times: dict[tuple[str, str, str], int] = {}

    def bring(self, file: Sent, host: str, worker: Any, folder: str, mark: int) -> None:
        """Brings contents to the machine of a worker. `mark`: see `Engine.once`."""
        place = host, folder, file.key
        self._times[place] = self._times.get(place, 0) + 1
        if self._times[place] > _MOST_BRINGS:
            raise FileTravelError(f"{file.path!r} was brought to {folder} on {host}, and is gone.")
        try:
            self._engine.once(place, mark, lambda: self._send(file, worker))
        except (CancelledError, Exception) as error:
            if isinstance(error, FileTravelError):
                raise
            raise FileTravelError(f"{file.path!r} cannot be brought to {host}: {error}") from error

    def _send(self, file: Sent, worker: Any) -> None:
        token = os.urandom(16).hex()
        size = file.size
        future: Optional[Future[Any]] = None
        try:
            with work.told(f"sending {file.name}", size) as sent:
                # Where no worker can be found again, all of it has to come with one submission.
                for piece in rechunked(file.read(), size if worker is None else FILE_PIECE):
                    if self._is_cancelled():
                        raise FileTravelError(f"Sending {file.path!r} was cancelled.")
                    is_last = sent.done + len(piece) == size
                    keep = {"keep": (token, _whole(file))} if is_last else {}
                    future = self._submitted(worker, piece, piece=(token, sent.done), **keep)
                    self._done(worker, future)
                    sent.done += len(piece)
        except BaseException:
            if future is not None:
                # Nobody waits for it, and it comes after the piece that may be on its way.
                future.add_done_callback(lambda done: self.drop(worker, f"file-{token}"))
            raise

    def drop(self, worker: Any, path: str) -> None:
        """Has contents removed there that nobody takes."""
        with contextlib.suppress(Exception):
            self._submitted(worker, drop=os.path.basename(path))

    def _submitted(self, worker: Any, data: Any = None, **what: Any) -> Future[Any]:
        submitted = submission({**self._request, **what}, None, None, None, True, data)
        if worker is not None and self._engine.at is not None:
            return self._engine.at(worker, *submitted)  # type: ignore[no-any-return]
        return self._engine.submit({}, *submitted)

    def _done(self, worker: Any, future: Future[Any]) -> tuple[Any, ...]:
        # One that may go anywhere waits in the engine's queue.
        seconds = None if worker is None else _MOST_SECONDS
        try:
            word, host, *rest = ending.result_of(future, seconds)
        except TimeoutError as error:
            if future.done():
                raise
            raise FileTravelError(f"{worker} did not answer within {seconds:g} s.") from error
        if word not in ("kept", "piece"):
            raise FileTravelError(f"{host} says {word} {' '.join(map(str, rest))}".strip())
        return tuple(rest)

    def fetch(self, worker: Any, path: str, size: int, into: BinaryIO) -> None:
        """Writes what a call has returned into a file."""
        done = 0
        try:
            with work.told("fetching files", size) as fetched:
                while done < size:
                    (piece,) = self._done(worker, self._submitted(worker, give=(path, done)))
                    into.write(piece)
                    done += len(piece)
                    fetched.done = done
                    if not piece:
                        raise FileTravelError(f"{path} did not come whole.")
        except BaseException:
            self.drop(worker, path)
            raise


class Arrived(carrying.Arrived):
    """A call comes back from a worker that sees other files: those in `found`."""

    def __init__(self, session: Any, bringing: Bringing, found: Any) -> None:
        super().__init__(session, self._taken)
        self._bringing, self._found = bringing, found
        # In a folder in common it is read where it is.
        is_shared = isinstance(found, tuple) and found[0] is None
        self._bundle: Optional[str] = found[1] if is_shared else None

    def _taken(self, path: str, target: str) -> None:
        if self._bundle is None:
            descriptor, self._bundle = tempfile.mkstemp(
                prefix=".bandsaw-", dir=destinations.run_folder()
            )
            with open(descriptor, "wb") as file:
                if isinstance(self._found, bytes):
                    file.write(self._found)
                else:
                    worker, there, size = self._found
                    self._bringing.fetch(worker, there, size, file)
        bundle.get(self._bundle, path, target)

    def __exit__(self, *error: Any) -> None:
        if self._bundle is not None:
            with contextlib.suppress(OSError):
                os.unlink(self._bundle)
        elif isinstance(self._found, tuple):
            self._bringing.drop(*self._found[:2])
        super().__exit__(*error)
