"""A recorder: writes what happened to each call of a run into one file."""

from __future__ import annotations

import os
import sys
import time
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

from ._arguments import checked_flag, checked_path
from ._recording.record_file import NONCE
from ._session import telling
from ._system.directories import Anchor
from .extensions import Extension

if TYPE_CHECKING:
    from .config import Configuration

__all__ = ["Recorder"]

_MOST_ARGUMENTS = 10
_around: ContextVar[Optional[str]] = ContextVar("bandsaw_recorded_call", default=None)


class Recorder(Extension):
    """Writes each call of a run into one SQLite file, which `bandsaw runs` shows.

    Written are: the task, ids that somebody has read, arguments in short, when the call was
    submitted, became ready, began and ended, where it ran, whether a cache had it, attempts, bytes
    sent and received, processor seconds and peak memory in its process, its exception with the
    traceback, the calls that it waited for, and what `Session.note` was told.

    Many processes and threads write to one file. Each has one thread that writes, several times a
    second: a program that is killed loses at most its last second. What cannot be written is lost,
    with one warning; it never fails a call.

    Args:
        path: The file, made on first use. By default one for each project, in the folder where
            bandsaw keeps things. A relative path is relative to where the recorder was made.
        values: Whether arguments are written, in short and as `reprlib` does: plain data only, of
            other objects the type.

    Attributes:
        path: As given.
        values: As given.

    Raises:
        InvalidValueError: If the path is none (a `ValueError`).
    """

    def __init__(
        self, path: Optional[Union[str, os.PathLike[str]]] = None, *, values: bool = True
    ) -> None:
        self.path = None if path is None else checked_path("path", path, " of a Recorder")
        self.values = checked_flag("values", values, " of a Recorder")
        self._anchor = Anchor()
        self._file: Optional[str] = None

    def file_of(self, configuration: Configuration) -> str:
        """Returns the absolute path of the file.

        Args:
            configuration: The configuration that the recorder was added to.
        """
        from ._recording.reading import default_file

        if self.path is not None:
            return os.path.abspath(self._anchor.of(self.path))
        return default_file(configuration)

    @property
    def _fills(self) -> tuple[str, ...]:
        if self.path is None:
            return ()
        # SQLite has two more files beside it.
        return tuple(self._anchor.of(self.path) + end for end in ("", "-wal", "-shm"))

    def on_init(self, configuration: Configuration) -> None:
        """Begins to want facts. See `Extension.on_init`."""
        self._configuration = configuration
        telling.want(self._heard, configuration)

    def on_call_begun(self, session: Any) -> None:
        """Notes when and as what a call begins. See `Extension.on_call_begun`."""
        known = session.__dict__
        if "_record" in known:  # there may be several recorders
            call = dict(known["_record"])
        else:
            call = _used().calls.take_record(session.task) or {"key": telling.new_key()}
            call["parent"] = _around.get()
            known["_record"] = dict(call)
            call["token"] = _around.set(call["key"])
        call["begun"] = time.time()
        call["cpu"] = time.thread_time()
        call["task"] = str(session.task)
        call["chain"] = session.advice_chain
        if self.values:
            call["arguments"] = _arguments(session.execution)
        known.setdefault("_recorded", {})[id(self)] = call
        self._write("begun", call["task"])

    def on_call_ended(self, session: Any, error: Optional[BaseException]) -> None:
        """Hands over what is known of the call. See `Extension.on_call_ended`."""
        session.__dict__.pop("_record", None)  # it may be begun once more
        call = session.__dict__.get("_recorded", {}).pop(id(self), None)
        if call is None:
            return
        try:
            if "token" in call:
                _around.reset(call.pop("token"))
        except ValueError:
            pass  # it has ended in another context than it began in
        call["ended"] = time.time()
        call["cpu"] = time.thread_time() - call["cpu"]
        call["facts"] = dict(session.facts)
        # Of each attempt that has left the process: it is the parent of the calls made there.
        nonces = *session.__dict__.get("_nonces", ()), session.__dict__.get("_nonce", "")
        if any(nonces):
            call["facts"]["nonce"] = " ".join(nonces)
        if "returned_files" in session.facts:
            from ._recording import returned

            call["facts"]["returned_stamps"] = returned.stamps_of(call["facts"])
        call["attempts"] = session._moderator.attempt
        task = session.task
        # As it was read last: to look whether it still holds would cost more than the record.
        derived = getattr(task, "_derived", None)
        call["task_id"] = derived[0] if derived else getattr(task, "_task_id", None)
        call["execution_id"] = getattr(session.execution, "_execution_id", None)
        if error is None and session.result is not None:
            error = getattr(session.result, "exception", None)
        self._end(call, error)

    def on_call_resumed(self, session: Any) -> None:
        """Has calls that the task makes here told as its own. See `Extension.on_call_resumed`."""
        session.__dict__.setdefault("_around", _around.get())
        _around.set(NONCE + session.nonce)

    def on_call_left(self, session: Any) -> None:
        """Writes the calls that a task has made in its process. See `Extension.on_call_left`."""
        _around.set(session.__dict__.get("_around"))
        # The process may be ended at any time from now on. What is not loaded has written nothing.
        writing = sys.modules.get("bandsaw._recording.writing")
        if writing is not None:
            writing.flush()

    def _heard(self, task: Any, record: dict[str, Any], error: Optional[BaseException]) -> None:
        if error is None:
            self._write("submitted", str(task))
        else:
            # It is never begun.
            call = {**record, "task": str(task), "ended": time.time()}
            execution = call.pop("execution")
            if self.values:
                call["arguments"] = _arguments(execution)
            self._end(call, error)

    def _end(self, call: dict[str, Any], error: Optional[BaseException]) -> None:
        if error is not None:
            kind = _used().counts.kind_of(error)
            call["error"] = f"{kind.__module__}.{kind.__qualname__}"
            call["exception"] = error
        self._write("ended", call)

    def _write(self, what: str, of: Any) -> None:
        if self._file is None:
            try:
                self._file = self.file_of(self._configuration)
            except Exception as problem:
                _used().writing.warn(str(problem))
                return
        _used().writing.write(self._file, what, of)

    def __repr__(self) -> str:
        return f"Recorder({self.path!r})"


class _Used(NamedTuple):
    calls: Any
    counts: Any
    writing: Any
    short_text: Any


@lru_cache(None)
def _used() -> _Used:
    # Loaded with the first call, and once: an import at each call takes microseconds.
    from ._cache.record import short_text
    from ._futures import calls
    from ._recording import counts, writing

    return _Used(calls, counts, writing, short_text)


def _arguments(execution: Any) -> str:
    short_text = _used().short_text
    args, kwargs = execution.args, execution.kwargs
    texts = [short_text(value) for value in args[:_MOST_ARGUMENTS]]
    for name in list(kwargs)[: max(0, _MOST_ARGUMENTS - len(texts))]:
        texts.append(f"{name}={short_text(kwargs[name])}")
    if len(args) + len(kwargs) > len(texts):
        texts.append("...")
    return ", ".join(texts)
