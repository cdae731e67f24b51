"""The file that a session is saved to.

A zip, whose members are stored as they are. A session that crosses a channel between processes
(`_workers/envelope.py`) has the same members, without the zip:

| member         | holds                                                                        |
|----------------|------------------------------------------------------------------------------|
| `session.json` | format, nonce, ids of task and execution as far as they are known, names of  |
|                | configuration, chain and main script, run id, position, environment          |
|                | variables and callers of the far end, the cache entries that wait for it,    |
|                | a random number of this file, the lengths of the buffers, which values are   |
|                | left out: where it goes they are known                                       |
| `seal`         | the SHA-256 of `session.json`, written by the serializer, if that one signs  |
| `task`         | the task, written by the configuration's serializer                          |
| `execution`    | the execution, likewise                                                      |
| `context`      | the context, likewise                                                        |
| `result`       | the result, likewise                                                         |
| `task.buffers` | what the serializer left out of `task`, one after the other, if it did       |
| ...            | likewise for the others                                                      |

A serializer that signs does so for a purpose, which names nonce, file and member: no member can
take the place of another one, of another session or of another file of the same session.

Where the far end failed outside of the task, it sends back the one member `failure` instead. It is
JSON and is never signed: the far end may have no configuration, and so no key, to sign it with.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, NamedTuple, Protocol

from .. import _tracebacks as tracebacks
from .._system.buffers import Pieces, stream_over
from ..errors import (
    DeserializationError,
    NotImportableError,
    RemoteError,
    SessionFileError,
    SignatureError,
    UnserializableError,
)
from ..serialization.serializer import Serializer, crossing, for_purpose
from . import headers

_VALUES = ("task", "execution", "context", "result")
_BUFFERS = {f"{name}.buffers": name for name in _VALUES}
_HEAD = "session.json"
_SEAL = "seal"
_FAILURE = "failure"
_NEEDED = {_HEAD, *_VALUES}
# In the order in which they are written.
MEMBERS = (_HEAD, _SEAL, *_VALUES, *_BUFFERS)
_KNOWN = set(MEMBERS)
_CHUNK = 1 << 20
_MOST_HEADER = 1 << 26
_MOST_FAILURE = 1 << 22
# Of the text of an error that takes more. It may be there twice, and a character take six bytes.
_MOST_TEXT = 200_000
_BEGINNING_OF_FAILURES = b'{"_serializer":"ExceptionSerializer",'


class Saved(NamedTuple):
    """A session that was read, with its values not loaded yet."""

    header: dict[str, Any]  # the plain data
    values: dict[str, bytes]  # what the serializer wrote, by the names of the values
    buffers: dict[str, Sequence[Any]]  # the buffers that it left out of each
    head: bytes  # the header as it was written
    # The digest that the serializer signed, as it wrote it; `None` if there is none.
    seal: bytes | None


def members_of(
    header: Mapping[str, Any],
    values: Mapping[str, Any],
    serializer: Serializer,
    task_name: str,
) -> dict[str, Sequence[Any]]:
    is_signed = getattr(serializer, "is_signed", False) is True
    header = {
        "format": headers.FORMAT,
        # Signatures are bound to this one file.
        "file": os.urandom(16).hex() if is_signed else "",
        **header,
    }
    members: dict[str, Sequence[Any]] = {}
    lengths = {}
    for name, value in values.items():
        own = for_purpose(serializer, _purpose(header, name))
        try:
            members[name], buffers = _written(value, own)
        except Exception as error:
            what = f"Task {task_name}" if name == "task" else f"The {name} of task {task_name}"
            is_told = isinstance(error, UnserializableError)
            reason = str(error) or type(error).__name__
            raise UnserializableError(
                f"{what} cannot be written by {serializer!r}: {reason}"
            ) from (error.__cause__ if is_told else error)
        if buffers:
            members[f"{name}.buffers"] = buffers
            lengths[name] = [buffer.nbytes for buffer in buffers]
    head = _encode({**header, "buffers": lengths}).encode("ascii")
    first: dict[str, Sequence[Any]] = {_HEAD: [head]}
    if is_signed:
        seal = Pieces()
        for_purpose(serializer, _SEAL_PURPOSE).serialize(_digest(head), seal)
        first[_SEAL] = seal.pieces
    return {**first, **members}


def write(stream: BinaryIO, members: Mapping[str, Sequence[Any]]) -> None:
    import zipfile

    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        for name, pieces in members.items():
            info = zipfile.ZipInfo(name)
            size = info.file_size = sum(memoryview(piece).nbytes for piece in pieces)
            with archive.open(info, "w", force_zip64=size >= zipfile.ZIP64_LIMIT) as member:
                for piece in pieces:
                    view = memoryview(piece)
                    for start in range(0, view.nbytes, _CHUNK):
                        # A copy: another thread may change an array between checksum and write.
                        member.write(bytes(view[start : start + _CHUNK]))


# In C code, and made once.
_encode = json.JSONEncoder(separators=(",", ":")).encode
_SEAL_PURPOSE = "session header"


def _purpose(header: Mapping[str, Any], name: str) -> str:
    return f"session {header['nonce']} {header['file']} {name}"


def _written(value: Any, serializer: Any) -> tuple[list[bytes], Sequence[memoryview]]:
    with crossing():
        if hasattr(serializer, "serialize_with_buffers"):
            stream = Pieces()
            try:
                buffers = serializer.serialize_with_buffers(value, stream)
                return stream.pieces, [memoryview(buffer).cast("B") for buffer in buffers]
            except Exception:
                # `serialize` may replace parts of an exception, so that it can travel.
                pass
        stream = Pieces()
        serializer.serialize(value, stream)
        return stream.pieces, ()


class Member(Protocol):
    """A member that was not read yet."""

    def data(self, most: int | None = None) -> Any:
        """Reads all of it, or raises `SessionFileError` if it has more bytes than `most`.

        These are `bytes`, or else a view of the memory where it lies.
        """

    def parts(self, lengths: Sequence[int]) -> Sequence[Any]:
        """Reads it as buffers of these lengths, or raises `SessionFileError` if it has others."""


def read(stream: BinaryIO) -> Saved:
    """Reads a session without loading any value of it."""
    from . import session_zip

    # What zipfile raises is translated in there, so that an error that was sent is raised outside.
    with session_zip.opened(stream) as members:
        if set(members) == {_FAILURE}:
            failure = members[_FAILURE].data(_MOST_HEADER)
        else:
            return read_members(members)
    raise failure_of(failure)


def read_members(members: Mapping[str, Member]) -> Saved:
    if _HEAD not in members or not members.keys() <= _KNOWN:
        raise SessionFileError(
            f"A session file has the members {', '.join(sorted(_NEEDED))} and maybe others, "
            f"and this one has {', '.join(sorted(members)) or 'none'}."
        )
    head = members[_HEAD].data(_MOST_HEADER)
    header = headers.checked(head)
    values, lengths = {}, header["buffers"]
    for name in _VALUES:
        if (name in members) == (name in header["left_out"]):
            raise SessionFileError(
                f"A session file has or leaves out its {name} otherwise than its header says."
            )
        if name in members:
            values[name] = members[name].data()
        if (f"{name}.buffers" in members) != (name in lengths):
            raise SessionFileError(
                f"A session file has buffers of {', '.join(sorted(lengths)) or 'no value'} by its "
                f"header, and the members {', '.join(sorted(members))}."
            )
    buffers = {name: members[f"{name}.buffers"].parts(lengths[name]) for name in lengths}
    seal = members[_SEAL].data(_MOST_HEADER) if _SEAL in members else None
    return Saved(header, values, buffers, head, seal)


def check_is_sealed(saved: Saved, configuration: str) -> None:
    """Checks that a session says that it is signed, and with whose key."""
    if saved.seal is None or saved.header["configuration"] != configuration:
        raise SignatureError(
            f"A session that is signed with the key of {configuration!r} was expected, and this "
            "one is not signed, or by another configuration."
        )


def verify(saved: Saved, serializer: Any) -> None:
    """Checks that the header is signed where the serializer signs."""
    if getattr(serializer, "is_signed", False) is not True:
        if saved.seal is None:
            return
        raise SignatureError(
            f"The session is signed, and the serializer here, {serializer!r}, has no key to verify "
            "it with. Both sides need the same key."
        )
    if saved.seal is None:
        raise SignatureError(
            f"The session is not signed, and {serializer!r} reads nothing else: whoever sends it "
            "needs the same key."
        )
    own = for_purpose(serializer, _SEAL_PURPOSE)
    stream = io.BytesIO(saved.seal)
    try:
        digest = own.deserialize(stream)
    except SignatureError:
        raise
    except Exception as error:
        raise SignatureError(f"The seal of the session file cannot be read: {error}") from error
    if digest != _digest(saved.head) or stream.read(1):
        raise SignatureError(
            "The session.json of the session file is not the one that was signed. Do not use it."
        )


def load(saved: Saved, serializer: Any, goes_on: bool) -> dict[str, Any]:
    """Loads the values of a session under the names of the members, but those left out.

    `goes_on`: whether it came to go on here. What comes back is data, and loads no code.
    """
    values = {}
    for name, data in saved.values.items():
        own = for_purpose(serializer, _purpose(saved.header, name))
        stream = stream_over(data)
        try:
            if name in saved.buffers:
                values[name] = own.deserialize_with_buffers(stream, saved.buffers[name])
            else:
                values[name] = own.deserialize(stream)
            if saved.seal is not None and stream.read(1):
                raise SignatureError("there is more than was signed")
        except Exception as error:
            kind = type(error) if isinstance(error, SignatureError) else DeserializationError
            raise kind(
                f"The {name} of a session cannot be read by {serializer!r}: {error}"
            ) from error
        if name == "task" and goes_on:
            _load_code(values[name])
    return values


def _load_code(task: Any) -> None:
    """Imports the module of a task, which may set up how arguments are read: units, say."""
    with contextlib.suppress(AttributeError, NotImplementedError):
        try:
            _ = task.function
        except NotImportableError as error:
            # The call may go on to another process, which has what is lacking here.
            if not isinstance(error.__cause__, ImportError):
                raise


def write_failure(stream: BinaryIO, error: BaseException) -> None:
    import zipfile

    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_FAILURE, written_failure(error))


def written_failure(error: BaseException) -> bytes:
    """Writes an error that kept a session from going on."""
    from ..serialization.json import JsonSerializer

    written = io.BytesIO()
    with contextlib.suppress(Exception):
        JsonSerializer().serialize(error, written)
        if written.tell() <= _MOST_FAILURE:
            return written.getvalue()
    written = io.BytesIO()
    name = f"{type(error).__module__}.{type(error).__qualname__}"
    text = f"{name}: {tracebacks.message_of(error)}"[:_MOST_TEXT]
    stand_in = RemoteError(text, name).with_traceback(error.__traceback__)
    JsonSerializer().serialize(stand_in, written)
    return written.getvalue()


def failure_of(data: bytes) -> BaseException:
    """Reads an error that was sent in place of a session."""
    from ..serialization.json import JsonSerializer

    # Failures are not signed: only JSON of an exception is read.
    if not data.startswith(_BEGINNING_OF_FAILURES):
        raise DeserializationError("The far end sent something that is no error.")
    error = JsonSerializer(max_size=_MOST_FAILURE, max_count=_MOST_FAILURE // 10).deserialize(
        io.BytesIO(data)
    )
    if isinstance(error, BaseException) and not isinstance(error, RemoteError):
        return error
    try:
        said = str(error)
    except Exception:
        said = "it cannot say what"
    failure = RemoteError(
        f"The far end failed with {type(error).__name__}: {said}", type(error).__name__
    )
    failure.__cause__ = error if isinstance(error, BaseException) else None
    return failure


def _digest(head: bytes) -> str:
    # Few sessions are signed, and to import it costs two milliseconds in each new process.
    from hashlib import sha256

    return sha256(head).hexdigest()
