"""Tracebacks as users read them: their own frames, and a note that names the call."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from types import TracebackType
from typing import Any, Optional

# `full` has the frames of bandsaw shown, too.
VARIABLE = "BANDSAW_TRACEBACK"
_OURS = os.path.dirname(os.path.abspath(__file__)) + os.sep
_LIBRARY = os.path.dirname(os.__file__) + os.sep
_MOST_LINKS = 50
_has_hook = False


class _Filter:
    """Says of one frame after the other whether users see it."""

    def __init__(self) -> None:
        self._is_full = os.environ.get(VARIABLE) == "full"
        self._leaves_out = False

    def shows(self, filename: str) -> bool:
        # Between our frames and the user's, or at the end, are some of the standard library.
        is_ours = filename.startswith(_OURS) or (self._leaves_out and _is_of_library(filename))
        self._leaves_out = is_ours and not self._is_full
        return not self._leaves_out


def _is_of_library(filename: str) -> bool:
    if filename.startswith("<frozen "):
        return True
    return filename.startswith(_LIBRARY) and "-packages" + os.sep not in filename


def without_ours(traceback: Optional[TracebackType]) -> Optional[TracebackType]:
    """Returns a traceback without the frames of bandsaw."""
    kept = []
    which = _Filter()
    while traceback is not None:
        if which.shows(traceback.tb_frame.f_code.co_filename):
            kept.append(traceback)
        traceback = traceback.tb_next
    found: Optional[TracebackType] = None
    for part in reversed(kept):
        found = TracebackType(found, part.tb_frame, part.tb_lasti, part.tb_lineno)
    return found


def clean(error: BaseException, traceback: Optional[TracebackType]) -> BaseException:
    """Gives an error a traceback without the frames of bandsaw, and those that it is chained to."""
    for link in _links(error):
        link.__traceback__ = without_ours(link.__traceback__)
    return error.with_traceback(without_ours(traceback))


def leave_out_when_printed() -> None:
    """Has Python print what nobody catches without the frames of bandsaw.

    The frame of the call itself is in a traceback until the error has left it.
    """
    global _has_hook
    if _has_hook:
        return
    _has_hook = True
    before = sys.excepthook

    def excepthook(
        kind: type[BaseException], error: BaseException, traceback: Optional[TracebackType]
    ) -> None:
        # What is printed is what the error refers to.
        with contextlib.suppress(Exception):
            traceback = clean(error, traceback).__traceback__
        before(kind, error, traceback)

    sys.excepthook = excepthook


def _links(error: BaseException) -> Iterator[BaseException]:
    pending = [error.__cause__, error.__context__]
    seen = {id(error)}
    while pending and len(seen) < _MOST_LINKS:
        link = pending.pop()
        if link is not None and id(link) not in seen:
            seen.add(id(link))
            yield link
            pending += [link.__cause__, link.__context__]


def add_note(error: BaseException, note: str) -> None:
    """Adds a note to an error; before Python 3.11 it is kept, and not printed."""
    notes: Any = getattr(error, "__notes__", None)
    with contextlib.suppress(Exception):
        vars(error)["__notes__"] = [*(notes if isinstance(notes, list) else ()), note]


def text_of(error: BaseException) -> Optional[str]:
    """Writes the traceback of an error, see `formatted`; `None` if it was not raised here."""
    return None if error.__traceback__ is None else formatted(error)


def message_of(error: BaseException) -> str:
    try:
        return str.__str__(str(error))
    except Exception:
        return f"<{type(error).__name__} without message>"


def formatted(error: BaseException) -> str:
    """Writes the traceback of an error, and of what it is chained to, as Python prints it."""
    import traceback

    try:
        return _formatted(error)
    except Exception:
        # For example an error of syntax somewhere in the chain whose line is no text.
        lines = traceback.format_tb(without_ours(error.__traceback__))
        return "".join([*lines, f"{type(error).__qualname__}: {message_of(error)}\n"])


def _formatted(error: BaseException) -> str:
    import traceback

    whole = traceback.TracebackException(type(error), error, error.__traceback__)
    pending: list[Any] = [whole]
    seen: set[int] = set()
    while pending:
        part = pending.pop()
        if part is None or id(part) in seen:
            continue
        seen.add(id(part))
        if part.stack is not None:
            which = _Filter()
            part.stack[:] = [frame for frame in part.stack if which.shows(frame.filename)]
        pending += [part.__cause__, part.__context__, *(getattr(part, "exceptions", None) or ())]
    return "".join(whole.format())
