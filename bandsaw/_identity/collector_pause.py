"""Python's collector of cycles while an id is made."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

from .._system.processes import in_forked_processes

_NEVER = 1_000_000_000
_SELDOM = 50_000
_usual = gc.get_threshold()


@contextlib.contextmanager
def without_full_collections() -> Iterator[None]:
    """Has Python collect what is young only, and less often: syntax trees hold no cycles."""
    global _usual
    before = gc.get_threshold()
    if before[2] == _NEVER:
        yield  # another thread makes an id
        return
    try:
        _usual = before
        gc.set_threshold(max(before[0], _SELDOM) if before[0] else 0, before[1], _NEVER)
        yield
    finally:
        # Somebody may have set others meanwhile.
        if gc.get_threshold()[2] == _NEVER:
            gc.set_threshold(*before)


@in_forked_processes
def _start_anew() -> None:
    if gc.get_threshold()[2] == _NEVER:
        gc.set_threshold(*_usual)
