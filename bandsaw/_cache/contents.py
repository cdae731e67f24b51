"""A result as the contents of an entry: its values, their large data, the files that it names."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Sequence
from typing import Any

from .._files import keeping
from ..result import Result
from ..serialization.serializer import exactly, for_purpose
from . import entry, files, record
from .computation import Computation


def of(session: Any, computation: Computation) -> tuple[list[Any], bool]:
    """Returns the parts of the entry for a call's result, and whether it has large data apart."""
    begun = computation.begun
    seconds = None if begun is None else time.perf_counter() - begun
    folder, name = computation.folder, computation.name
    payload = io.BytesIO()
    serializer = _serializer(session, folder, name)
    buffers: Sequence[Any] = ()
    with exactly(), keeping.Keeping(folder) as files_of_result:
        if hasattr(serializer, "serialize_with_buffers"):
            buffers = serializer.serialize_with_buffers(session.result, payload)
        else:
            serializer.serialize(session.result, payload)
    remembered = record.written(session.task, folder, computation.arguments, seconds)
    ids = entry.ids_of(folder, name)
    contents = files_of_result.contents()
    return entry.packed(ids, remembered, payload.getbuffer(), buffers, contents), bool(buffers)


def _serializer(session: Any, folder: str, name: str) -> Any:
    """Returns the serializer for one entry: what was signed for another is none of this call's."""
    serializer = session.serializer
    if getattr(serializer, "is_signed", False) is True:
        return for_purpose(serializer, f"cache entry {os.path.basename(folder)}/{name}")
    return serializer


def result_in(found: entry.Entry, folder: str, name: str, session: Any, with_files: bool) -> Result:
    """Reads the result out of an entry, and may bring its files back to where they lack."""
    if with_files and found.contents is not None:
        with keeping.Bringing(found.contents) as bringing:
            result = result_in(found, folder, name, session, with_files=False)
        session.facts["returned_files"] = bringing.paths
        return result
    stream = io.BytesIO(found.payload)
    serializer = _serializer(session, folder, name)
    if found.buffers:
        result = serializer.deserialize_with_buffers(stream, found.buffers)
    else:
        result = serializer.deserialize(stream)
    if isinstance(result, Result) and result.exception is None:
        return result
    raise files.DamagedEntryError(f"it holds {type(result)!r}")
