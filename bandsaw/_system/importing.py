"""Late imports that a fork waits for.

A child that is forked while another thread imports something would wait for ever for that module:
the thread that has its lock is not there.
"""

from __future__ import annotations

import os
import threading

# Longer than any of these imports. What forks may itself be what an import waits for.
_LONGEST_SECONDS = 30

late_import = threading.RLock()
_is_held = threading.local()


def _hold() -> None:
    _is_held.now = late_import.acquire(timeout=_LONGEST_SECONDS)


def _release() -> None:
    if _is_held.now:
        late_import.release()


def _start_anew() -> None:
    # Others import the lock by its name. This process has one thread, which may have it.
    if _is_held.now:
        late_import.release()
    else:
        late_import._at_fork_reinit()  # type: ignore[attr-defined]


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_start_anew)
