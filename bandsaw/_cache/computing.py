"""A call that computes an entry, and its result as the contents of the entry.

Contents are the values, their large data, and the files that the result names.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Mapping, Sequence
from typing import Any, Optional

from .._file import File
from .._files import keeping
from .._system.buffers import Pieces, stream_over
from ..result import Result
from ..serialization.serializer import exactly, for_purpose
from . import computation_locks, entry, owned_files, record

logger = logging.getLogger(__name__)


class Computation:
    """What a call that computes an entry knows between the two halves of its advice."""

    __slots__ = ("arguments", "begun", "changes", "folder", "mode", "name", "path", "temporary")

    def __init__(self, folder: str, name: str, mode: Optional[str]) -> None:
        # The absolute path of the task's folder: the task may change the working directory.
        self.folder = folder
        if not os.path.isabs(folder):
            # There may be no working directory any more.
            with contextlib.suppress(OSError):
                self.folder = os.path.abspath(folder)
        self.name = name  # the name of the entry
        self.path = f"{self.folder}{os.sep}{name}"  # the path of the entry
        self.mode = mode  # what `mode_of` said
        # The file that becomes the entry, if this call has it.
        self.temporary: Optional[computation_locks.Temporary] = None
        # The descriptions of the arguments then, which the task may change.
        self.arguments: Mapping[str, Any] = {}
        # The clock when the task was begun, `None` if that was in another process.
        self.begun: Optional[float] = None
        self.changes = 0  # how often arguments had been changed by then, see `_Moderator.changes`

    def begin(self, session: Any) -> None:
        try:
            self.arguments = record.arguments_of(session.execution)
        except Exception as error:
            logger.debug("The arguments of %s cannot be described: %s", session.task, error)
        self.begun = time.perf_counter()
        self.changes = session._moderator.changes

    def finish(self, parts: Sequence[Any], times: int) -> None:
        """Makes parts the entry. `times`: see `computation_locks.Temporary.finish`."""
        if self.temporary is None:
            self.temporary = computation_locks.separate(self.folder, self.name)
        self.temporary.finish(parts, times)

    def close(self) -> None:
        temporary, self.temporary = self.temporary, None
        if temporary is not None:
            temporary.close()


def of(session: Any, computation: Computation) -> tuple[list[Any], bool]:
    """Returns the parts of the entry for a call's result, and whether it has large data apart."""
    begun = computation.begun
    seconds = None if begun is None else time.perf_counter() - begun
    folder, name = computation.folder, computation.name
    payload = Pieces()
    serializer = _serializer(session, folder, name)
    with exactly(), keeping.Keeping(folder, lambda: _files_given(session)) as files_of_result:
        buffers = _written(serializer, session.result, payload)
    remembered = record.written(session.task, folder, computation.arguments, seconds)
    ids = entry.ids_of(folder, name)
    contents = files_of_result.contents()
    return entry.packed(ids, remembered, payload.pieces, buffers, contents), bool(buffers)


def _written(serializer: Any, value: Any, stream: Pieces) -> Sequence[Any]:
    """Writes a value; returns the buffers that the serializer leaves out of it."""
    if hasattr(serializer, "serialize_with_buffers"):
        buffers: Sequence[Any] = serializer.serialize_with_buffers(value, stream)
        return buffers
    serializer.serialize(value, stream)
    return ()


def _files_given(session: Any) -> Sequence[File]:
    """Returns the files in the arguments of a call; of what cannot be written, none."""
    execution = session.execution
    with keeping.Finding() as finding, contextlib.suppress(Exception):
        _written(session.serializer, [execution.args, execution.kwargs], Pieces())
    return finding.files


def _serializer(session: Any, folder: str, name: str) -> Any:
    """Returns the serializer for one entry: what was signed for another is none of this call's."""
    serializer = session.serializer
    if _is_signed(serializer):
        return for_purpose(serializer, f"cache entry {os.path.basename(folder)}/{name}")
    return serializer


def result_in(found: entry.Entry, folder: str, name: str, session: Any, with_files: bool) -> Result:
    """Reads the result out of an entry, and may bring its files back to where they lack."""
    if with_files and found.contents is not None:
        with keeping.Bringing(found.contents, lambda: _files_given(session)) as bringing:
            result = result_in(found, folder, name, session, with_files=False)
        session.facts["returned_files"] = bringing.paths
        return result
    stream = stream_over(found.payload)
    serializer = _serializer(session, folder, name)
    if found.buffers:
        result = serializer.deserialize_with_buffers(stream, found.buffers)
    else:
        result = serializer.deserialize(stream)
    if isinstance(result, Result) and result.exception is None:
        return result
    raise owned_files.DamagedEntryError(f"it holds {type(result)!r}")


def shared_result_in(
    found: entry.Entry, folder: str, name: str, session: Any, is_trusted: bool
) -> Result:
    """Reads the result out of an entry that others may have written, its files if they may not."""
    if is_trusted or _is_signed(session.serializer):
        return result_in(found, folder, name, session, with_files=True)
    with keeping.Refusing():
        return result_in(found, folder, name, session, with_files=False)


def _is_signed(serializer: Any) -> bool:
    return getattr(serializer, "is_signed", False) is True
