"""The file that a session is saved to.

A zip, whose members are stored as they are:

| member         | holds                                                                        |
|----------------|------------------------------------------------------------------------------|
| `session.json` | format, nonce, names of configuration, chain and main script, run id,       |
|                | position, environment variables and callers of the far end, the cache        |
|                | entries that wait for it                                                     |
| `task`         | the task, written by the configuration's serializer                          |
| `execution`    | the execution, likewise                                                      |
| `context`      | the context, likewise                                                        |
| `result`       | the result, likewise                                                         |

Where the far end failed outside of the task, it sends back the one member `failure` instead.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

from .errors import (
    BandsawError,
    DeserializationError,
    RemoteError,
    SessionFileError,
    UnserializableError,
)
from .serialization.json import JsonSerializer
from .serialization.serializer import Serializer

_FORMAT = 1
_VALUES = ("task", "execution", "context", "result")
_MEMBERS = {"session.json", *_VALUES}
_HEADER: dict[str, tuple[type, ...]] = {
    "format": (int,),
    "nonce": (str,),
    "configuration": (str,),
    "advice_chain": (str,),
    "run_id": (str,),
    "main": (str, type(None)),
    "moderator": (dict,),
    "environment": (dict,),
    "callers": (list,),
    "computing": (list,),
}
_COUNTS = ("before_called", "after_called", "left_out")
_FLAGS = ("task_called", "is_finished")
_FAILURE = "failure"


def write(
    stream: BinaryIO,
    header: Mapping[str, Any],
    values: Mapping[str, Any],
    serializer: Serializer,
    task_name: str,
) -> None:
    """Writes a session.

    Args:
        stream: Where to.
        header: The plain data.
        values: What the serializer writes, under the names of the members.
        serializer: Writes the values.
        task_name: Names the task in errors.

    Raises:
        SerializationError: If a value cannot be written; names which.
    """
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("session.json", json.dumps({"format": _FORMAT, **header}))
        for name in _VALUES:
            with archive.open(name, "w", force_zip64=True) as member:
                try:
                    serializer.serialize(values[name], member)  # type: ignore[arg-type]
                except Exception as error:
                    what = f"The {name} of task {task_name} cannot be written by {serializer!r}"
                    raise UnserializableError(f"{what}: {error}") from error


def read(stream: BinaryIO) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Reads a session without loading any value of it.

    Args:
        stream: Where from.

    Returns:
        The plain data, and the bytes of each value.

    Raises:
        SessionFileError: If the stream holds no session (a `ValueError`).
        BandsawError: The error that the far end sent in place of a session.
    """
    members = _members(stream)
    if set(members) == {_FAILURE}:
        raise _failure(members[_FAILURE])
    if set(members) != _MEMBERS:
        raise SessionFileError(
            f"A session file has the members {', '.join(sorted(_MEMBERS))}, and this one has "
            f"{', '.join(sorted(members)) or 'none'}."
        )
    try:
        header = json.loads(members.pop("session.json"))
    except (ValueError, RecursionError) as error:
        raise SessionFileError(f"The session.json of a session file is no JSON: {error}") from error
    if not isinstance(header, dict) or header.get("format") != _FORMAT:
        found = header.get("format") if isinstance(header, dict) else None
        raise SessionFileError(
            f"A session file of format {_FORMAT} was expected, and this one has {found!r}. Both "
            "sides need the same version of bandsaw."
        )
    for name, types in _HEADER.items():
        if type(header.get(name)) not in types:
            raise SessionFileError(f"A session file's {name!r} cannot be {header.get(name)!r}.")
    for text in (*header["environment"].values(), *header["callers"], *header["computing"]):
        if not isinstance(text, str):
            raise SessionFileError(f"A session file cannot have {text!r} in place of a text.")
    for name in (*_COUNTS, *_FLAGS):
        value: Any = header["moderator"].get(name)
        if not (isinstance(value, bool) if name in _FLAGS else type(value) is int and value >= 0):
            raise SessionFileError(f"A session file's position {name!r} cannot be {value!r}.")
    return header, members


def load(members: Mapping[str, bytes], serializer: Serializer) -> dict[str, Any]:
    """Loads the values of a session.

    Args:
        members: The bytes of each value.
        serializer: Reads the values.

    Returns:
        The values under the names of the members.

    Raises:
        SerializationError: If a value cannot be read; names which.
    """
    values = {}
    for name in _VALUES:
        try:
            values[name] = serializer.deserialize(io.BytesIO(members[name]))
        except Exception as error:
            raise DeserializationError(
                f"The {name} of a session cannot be read by {serializer!r}: {error}"
            ) from error
    return values


def write_failure(stream: BinaryIO, error: BaseException) -> None:
    """Writes an error in place of a session.

    Args:
        stream: Where to.
        error: What went wrong at this end, outside of the task.
    """
    written = io.BytesIO()
    try:
        JsonSerializer().serialize(error, written)
    except Exception:
        written = io.BytesIO()
        name = f"{type(error).__module__}.{type(error).__qualname__}"
        stand_in = RemoteError(f"{name}: {error}", name).with_traceback(error.__traceback__)
        JsonSerializer().serialize(stand_in, written)
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(_FAILURE, written.getvalue())


def _failure(data: bytes) -> BaseException:
    error = JsonSerializer().deserialize(io.BytesIO(data))
    if isinstance(error, BandsawError):
        return error
    message = f"The far end failed with {type(error).__name__}: {error}"
    failure = RemoteError(message, type(error).__name__)
    failure.__cause__ = error if isinstance(error, BaseException) else None
    return failure


def _members(stream: BinaryIO) -> dict[str, bytes]:
    seekable = stream if stream.seekable() else io.BytesIO(stream.read())
    try:
        with zipfile.ZipFile(seekable) as archive:
            names = archive.namelist()
            if len(set(names)) != len(names) or not set(names) <= _MEMBERS | {_FAILURE}:
                raise SessionFileError(f"A session file cannot have the members {names}.")
            for info in archive.infolist():
                if info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 0x1:
                    raise SessionFileError("The members of a session file are stored as they are.")
            return {name: archive.read(name) for name in names}
    except SessionFileError:
        raise
    # A damaged zip is reported by zipfile in all these ways.
    except (zipfile.BadZipFile, EOFError, ValueError, OSError, NotImplementedError, KeyError) as e:
        raise SessionFileError(
            f"A session file was expected, and this is none or is damaged: {e or type(e).__name__}"
        ) from e
