"""Which cache entries are being computed, and by which calls: a call must not wait for itself."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

# The entries that calls of this process compute, each with the thread and the session, and those
# that this process was started for: to wait for one of them may be to wait for oneself.
_held: list[tuple[int, Any, str]] = []
_inherited: frozenset[str] = frozenset()


def hold(path: str, session: Any) -> None:
    """Notes that a call computes the entry at an absolute path."""
    _held.append((threading.get_ident(), session, path))


def release(path: str, session: Any) -> None:
    _held.remove((threading.get_ident(), session, path))


def held(session: Any) -> list[str]:
    """Lists the entries that wait for a call: those that its thread, process or itself computes."""
    if not _held:
        return [*_inherited]
    thread = threading.get_ident()
    found = [
        path
        for where, other, path in list(_held)
        # A call may have gone on in another thread, also by being saved and restored.
        if where == thread or other is session or other.nonce == session.nonce
    ]
    return [*_inherited, *found]


def inherit(paths: Iterable[str]) -> None:
    """Notes which entries, as `held` listed them, the process computes that this one works for."""
    global _inherited
    _inherited = frozenset(paths)
