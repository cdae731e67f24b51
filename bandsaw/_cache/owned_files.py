"""Files of a cache are opened only if they are ours, and never through a link."""

from __future__ import annotations

import os
import stat
import time

from .._system.files import hold_of_others

# `O_NONBLOCK`: to open a pipe must not wait. Windows lacks most of these.
_ALWAYS = 0
for _name in ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY"):
    _ALWAYS |= getattr(os, _name, 0)
READ = os.O_RDONLY | _ALWAYS
WRITE = os.O_RDWR | os.O_CREAT | _ALWAYS
# To list entries must not change the time of their last use.
LOOK = READ | getattr(os, "O_NOATIME", 0)
# Only its owner can open a folder to others, and each look costs as much as to open an entry.
_SECONDS_TRUSTED = 1.0
_MOST_TRUSTED = 4096

# Folders that were checked, and until when the check holds.
_trusted: dict[str, float] = {}


class DamagedEntryError(Exception):
    """A file is no entry, or not a whole one, or not to be trusted. Says why."""


def open_to_look(path: str, opened: list[int]) -> int:
    """Opens a file to look at it; the time of its last access stays where it is ours."""
    try:
        opened.extend(map(os.open, (path,), (LOOK,)))
    except PermissionError:
        opened.extend(map(os.open, (path,), (READ,)))
    return opened[0]


def check_status(status: os.stat_result, *, is_written: bool = False) -> None:
    """Refuses what is no file, or what others own or can write to."""
    _check_owner(status)
    if not stat.S_ISREG(status.st_mode):
        raise DamagedEntryError("it is no file")
    if is_written and status.st_nlink > 1:
        raise DamagedEntryError("the file has another name, too")


def check_folder(folder: str) -> None:
    """Refuses a folder that is not there, leads elsewhere, or that others can write to.

    What was found of an absolute path holds for a second.
    """
    now = time.monotonic()
    if _trusted.get(folder, 0.0) > now:
        return
    status = os.lstat(folder)
    if not stat.S_ISDIR(status.st_mode):
        raise DamagedEntryError("the folder it is in is a link or no folder")
    _check_owner(status)
    if os.path.isabs(folder):
        if len(_trusted) >= _MOST_TRUSTED:
            _trusted.clear()
        _trusted[folder] = now + _SECONDS_TRUSTED


def _check_owner(status: os.stat_result) -> None:
    # Other users could write a pickle that runs their code.
    if hold_of_others(status):
        raise DamagedEntryError("it or its folder belongs to or can be written by other users")
