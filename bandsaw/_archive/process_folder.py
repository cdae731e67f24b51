"""The folder for archives of one process, where none can be kept. It goes when the process ends."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import threading
from typing import Optional

from .._system import ending

_folder: Optional[tuple[int, str]] = None
# Where it is made, by default where temporary files go.
_parent: Optional[str] = None
_lock = threading.Lock()


def process_folder() -> str:
    global _folder
    with _lock:
        if _folder is None or not os.path.isdir(_folder[1]):
            # A forked child may outlive the parent whose folder it is.
            there = _parent is not None and os.path.isdir(_parent)
            folder = tempfile.mkdtemp(prefix="bandsaw-", dir=_parent if there else None)
            if _folder is None:
                atexit.register(_remove)
                ending.at_exit_of_multiprocessing(_remove)
            _folder = (os.getpid(), folder)
        return _folder[1]


def known_folder() -> Optional[str]:
    return None if _folder is None else _folder[1]


def make_in(folder: str) -> None:
    """Has the folder made in another one, which goes anyway."""
    global _parent
    _parent = folder


def start_anew() -> None:
    """Leaves the folder to the parent. Called in a forked child."""
    global _folder, _parent, _lock
    _lock = threading.Lock()
    if _folder is not None:
        # It may end without a word: then its folder goes with the parent's.
        _parent = _folder[1]
    _folder = None


def _remove() -> None:
    # A forked child that ends in the ordinary way must not take its parent's archives along.
    if _folder is not None and _folder[0] == os.getpid():
        shutil.rmtree(_folder[1], ignore_errors=True)
