"""Contents of files on a connection, see `_file_transfer.crossing`."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from .._file_transfer.crossing import Near, Sent
from ..errors import FileTravelError
from .multiplexer import Stream
from .ssh_connection import Connection


@contextlib.contextmanager
def _near(connection: Connection, what: str) -> Iterator[Near]:
    stream = Stream(connection)

    def receive() -> bytes:
        if not stream.wait():
            raise connection.loss(f"{what} was lost")
        letter, body, _ = stream.inbox.popleft()
        if letter == b"E":
            raise FileTravelError(
                f"{what} cannot cross: {body.decode('utf-8', 'replace')} "
                f"[on {connection.target.host}]"
            )
        return body

    try:
        yield Near(stream.send, receive, lambda: stream.wait(0))
    except BrokenPipeError as error:
        raise connection.loss(f"{what} was lost") from error
    finally:
        with contextlib.suppress(OSError):
            stream.send(b"Q")
        stream.release()


def put(connection: Connection, files: Sequence[Sent]) -> str:
    """Sends the contents that lack there. Returns the folder where they are kept."""
    with _near(connection, "What the files of a call have") as near:
        folder, lacking = near.look([file for file in files if file.is_digested])
    for file in files:
        if not file.is_digested:
            _put_digested(connection, file)
        elif file.key in lacking:
            _put(connection, file)
    return folder


def _put(connection: Connection, file: Sent) -> None:
    # Of several calls with the same contents one sends them.
    with connection.lock_for(f"file {file.key}"), _near(connection, repr(file.path)) as near:
        _, lacking = near.look([file])
        if lacking:
            near.put(file)


def _put_digested(connection: Connection, file: Sent) -> None:
    """Sends contents while they are digested, unless they may be there."""
    with connection.lock_for(f"files of {file.size} bytes"):
        with _near(connection, repr(file.path)) as near:
            if not near.may_have(file.size):
                return near.put(file)
        # Digested first.
        assert file.key
    _put(connection, file)


def get(connection: Connection, path: str, target: str) -> None:
    with _near(connection, repr(path)) as near:
        near.get(path, target)
