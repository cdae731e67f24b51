"""Archives, and contents of files, on their way over a connection.

See `_archive.arriving` and `_files.crossing`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Callable

from ..._system import ending
from ...distribution import DistributionArchive
from ...errors import BandsawError, FileTravelError, WorkerStartError
from . import archive_sending
from .multiplexer import Stream
from .ssh_connection import Connection

if TYPE_CHECKING:
    from ..._files.crossing import Near, Sent


@contextlib.contextmanager
def _conversation(
    connection: Connection, what: str, refused: Callable[[str], BandsawError]
) -> Iterator[tuple[Stream, Callable[[], bytes]]]:
    """A stream, and what waits for its next answer."""
    stream = Stream(connection)

    def receive() -> bytes:
        if ending.is_ended():
            raise refused("the call was killed")
        if not stream.wait():
            raise connection.loss(f"{what} was lost")
        letter, body, _ = stream.inbox.popleft()
        if letter == b"E":
            raise refused(body.decode("utf-8", "replace"))
        return body

    try:
        yield stream, receive
    except BrokenPipeError as error:
        raise connection.loss(f"{what} was lost") from error
    finally:
        with contextlib.suppress(OSError):
            stream.send(b"Q")
        stream.release()


def put_archive(connection: Connection, archive: DistributionArchive) -> None:
    """Sends an archive, unless it is there."""
    if archive.digest in connection.digests:
        return
    host = connection.target.host

    def refused(why: str) -> WorkerStartError:
        return WorkerStartError(f"The archive cannot be put on {host}: {why}.")

    with _conversation(connection, "The archive", refused) as (stream, receive):

        def write(piece: bytes = b"") -> None:
            stream.send(b"Z", piece)

        def ask() -> bytes:
            write()
            return receive()

        stream.send(b"D", archive.digest.encode("ascii"))
        if receive() == b"0":
            archive_sending.send(archive, connection.tag, write, ask, host)
    connection.digests.add(archive.digest)


@contextlib.contextmanager
def _near(connection: Connection, what: str) -> Iterator[Near]:
    from ..._files.crossing import Near

    def refused(why: str) -> FileTravelError:
        return FileTravelError(f"{what} cannot cross: {why} [on {connection.target.host}]")

    with _conversation(connection, what, refused) as (stream, receive):
        yield Near(stream.send, receive, lambda: ending.is_ended() or stream.wait(0))


def put_files(connection: Connection, files: Sequence[Sent]) -> str:
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


def get_file(connection: Connection, path: str, target: str) -> None:
    with _near(connection, repr(path)) as near:
        near.get(path, target)
