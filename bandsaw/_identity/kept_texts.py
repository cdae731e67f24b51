"""What was found out of texts, kept in our home folder by their digests: plain data.

A file that is damaged or that others can write is never read, one of another version of Python or
bandsaw is never found. It is made anew then; nobody is told, because nothing of it can be lost.
"""

from __future__ import annotations

import contextlib
import marshal
import os
import stat
import sys
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Optional, Union

from .._system.files import hold_of_others, write_whole
from .._system.importing import late_import

if TYPE_CHECKING:
    from pathlib import Path

Text = Union[str, bytes]

# Shorter texts are read as fast as what is kept of them, and most memory is that of their trees.
_SHORTEST = 1_000
_MOST_BYTES = 128 << 20
# The modules that find out what is kept.
_MAKERS = (
    "changes definitions kept_outlines kept_texts matching module_parts"
    " outlines scopes sources syntax top_level uses".split()
)


def is_large(text: Text) -> bool:
    """Says whether it pays to keep what a text says, where there are many."""
    return len(text) >= _SHORTEST


def is_long(text: Text) -> bool:
    """Says whether it pays also where there are few."""
    return len(text) >= 4 * _SHORTEST


def read(kind: str, text: Text) -> Any:
    """Finds what is kept of a text; `None` if nothing is, or nothing to be believed."""
    path = _path_of(kind, text)
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or hold_of_others(status):
                return None
            data = file.read()
        if sha256(data[32:]).digest() != data[:32]:
            return None
        return marshal.loads(data[32:])
    except (OSError, ValueError, TypeError, EOFError):
        return None


def write(kind: str, text: Text, plain: Any) -> bool:
    """Keeps what was found out of a text, if that can be. Returns whether it is kept."""
    path = _path_of(kind, text)
    if path is None:
        return False
    global _has_grown
    try:
        data = marshal.dumps(plain)
        write_whole(path, sha256(data).digest(), data)
    except (OSError, ValueError, RuntimeError):
        return False
    _has_grown = True
    return True


_has_grown = False


def remove_most() -> None:
    """Removes what was kept first, once there is too much of it."""
    global _has_grown
    if not _has_grown:
        return
    _has_grown = False
    folder = _folder()
    with contextlib.suppress(OSError):
        files = [(each.stat(), each.path) for each in os.scandir(folder or "")]
        left = sum(status.st_size for status, _ in files)
        if folder is None or left <= _MOST_BYTES:
            return
        for status, path in sorted(files, key=lambda file: file[0].st_mtime_ns):
            if left <= _MOST_BYTES // 2:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
                left -= status.st_size


def _folder() -> Optional[Path]:
    """Returns where it is kept, `None` where nothing can be."""
    names = "BANDSAW_HOME", "XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"
    return _folder_at(tuple(map(os.environ.get, names)))


@lru_cache(maxsize=1)
def _folder_at(place: tuple[Optional[str], ...]) -> Optional[Path]:
    with late_import:
        from .._system.home import kept_folder
    with contextlib.suppress(Exception):
        return kept_folder("outlines")
    return None


def _path_of(kind: str, text: Text) -> Optional[Path]:
    folder, version = _folder(), _version()
    if folder is None or version is None:
        return None
    if isinstance(text, str):
        # The same bytes in a file may be other text, if the file names an encoding.
        kind, text = f"{kind} of text", text.encode("utf-8", "surrogatepass")
    return folder / sha256(version + kind.encode() + text).hexdigest()


@lru_cache(maxsize=1)
def _version() -> Optional[bytes]:
    """Names what would find out something else: Python, and our own code; `None` if unknown."""
    python = f"{sys.implementation.cache_tag} {sys.version} {sys.flags.optimize}"
    digest: Any = sha256(python.encode())
    try:
        for name in _MAKERS:
            with open(os.path.join(os.path.dirname(__file__), f"{name}.py"), "rb") as file:
                digest.update(sha256(file.read()).digest())
    except OSError:
        return None
    return digest.digest()  # type: ignore[no-any-return]
