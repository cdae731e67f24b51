"""The entries that this process has verified, and that have not changed since.

A change is seen by the stamps of the file. Of a file whose times are too young to show a second
change nothing is remembered.
"""

from __future__ import annotations

import os
import time
from typing import Any

_MOST = 4096
# Calls that are made again and again need not read anew, but file systems shall see the use.
_SECONDS_RECENT = 1.0
_MOST_RECENT = 256

_large: dict[str, tuple[int, ...]] = {}
_recent: dict[str, tuple[float, tuple[int, ...], Any]] = {}


def stamps_of(status: os.stat_result) -> tuple[int, ...]:
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def has_same_contents(now: os.stat_result, before: os.stat_result) -> bool:
    """Says whether an open file is unchanged, though another one may have taken its place."""
    return (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns)


def remember_large(path: str, status: os.stat_result) -> None:
    if len(_large) >= _MOST:
        _large.clear()
    _large[path] = stamps_of(status)


def is_large(path: str, status: os.stat_result) -> bool:
    """Whether this process has verified what a path holds, which is mapped or more than 1 MB."""
    return _large.get(path) == stamps_of(status)


def remember_recent(path: str, status: os.stat_result, entry: Any) -> None:
    """Keeps a short entry for a second."""
    if len(_recent) >= _MOST_RECENT:
        _recent.clear()
    _recent[path] = time.monotonic() + _SECONDS_RECENT, stamps_of(status), entry


def recent(path: str) -> Any:
    """The entry at a path as it was read within the last second, `None` if that is not known."""
    known = _recent.get(path)
    if known is None or known[0] < time.monotonic() or known[1] != stamps_of(os.lstat(path)):
        return None
    return known[2]
