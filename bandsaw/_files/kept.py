"""Contents that came from another machine, kept by their digest, so that they come once.

    BANDSAW_HOME/files/kept/KEY/content    a file or folder that nobody may write to
                               /stamps     sizes and times of all that is in it
                               /as/NAME    a link to the content, for each name that it came under
    BANDSAW_HOME/files/runs/RUN/...        see `places`

Before each use it is seen by the stamps whether something has changed.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from .._system import contents, home, trees
from .._system.files import make_private, size_of, write_whole

KIND = "files"
KEPT_SECONDS = 30 * 86400
# What was used within this time may be in use.
IN_USE_SECONDS = 86400
_KEY = re.compile("[0-9a-f]{64}x?")


def folder() -> str:
    """Returns the folder for what is kept of files."""
    return str(home.kept_folder(KIND))


def key_of(parts: Sequence[trees.Part], digest: str) -> str:
    """Names contents, with what the digest of a single file does not tell."""
    return digest + "x" * parts[0].runs


def path_of(base: str, key: str, name: str) -> str:
    """Returns the path of contents under a name."""
    return os.path.join(base, "kept", key, "as", name)


def is_there(base: str, key: str, name: str) -> bool:
    """Whether contents are there and as they came, under this name, too."""
    if not _KEY.fullmatch(key) or not trees.is_plain_name(name):
        return False
    place = os.path.join(base, "kept", key)
    try:
        stamps = json.loads(Path(place, "stamps").read_bytes())
        if json.loads(_stamps_of(place)) != stamps:
            return False
        _name(place, name)
        os.utime(place)
    except (OSError, ValueError):
        return False
    return True


def arriving(base: str, key: str, parts: Sequence[trees.Part]) -> contents.Arriving:
    """Takes contents that are not there."""
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} names no contents")
    place = Path(base, "kept", key)
    make_private(place)
    return contents.Arriving(str(place / "content"), parts, is_kept=True)


def arrived(base: str, key: str, name: str) -> None:
    """Notes that contents have arrived."""
    place = os.path.join(base, "kept", key)
    write_whole(Path(place, "stamps"), _stamps_of(place))
    _name(place, name)


def _stamps_of(place: str) -> bytes:
    return json.dumps(trees.stamps_of(os.path.join(place, "content"))).encode()


def _name(place: str, name: str) -> None:
    link = Path(place, "as", name)
    target = os.path.join("..", "content")
    if link.is_symlink() and os.readlink(link) == target:
        return
    make_private(link.parent)
    made = link.with_name(f".{os.urandom(8).hex()}")
    made.symlink_to(target)
    os.replace(made, link)


class Found(NamedTuple):
    """Something that is kept.

    Attributes:
        path: Where it is.
        used: When it was used last, in seconds since the epoch.
        size: Its bytes.
        what: What it is: the names of contents, or the run that has returned files.
    """

    path: str
    used: float
    size: int
    what: str


def found(base: str) -> Iterator[Found]:
    """Lists what is kept."""
    for path, used in _used(base):
        with contextlib.suppress(OSError):
            yield _told(path, used)


def _used(base: str) -> list[tuple[Path, float]]:
    """Lists what is kept, and when it was used last."""
    listed = []
    for kind in ("kept", "runs"):
        inner = Path(base, kind)
        for path in sorted(inner.iterdir()) if inner.is_dir() else ():
            with contextlib.suppress(OSError):
                listed.append((path, path.stat().st_mtime))
    return listed


def _told(path: Path, used: float) -> Found:
    what = f"returned in run {path.name}"
    if path.parent.name == "kept":
        names = path / "as"
        what = ", ".join(sorted(os.listdir(names))) if names.is_dir() else "did not arrive whole"
    return Found(str(path), used, size_of(path), what)


def prune(base: str, older_than: float, max_bytes: Optional[int] = None) -> list[Found]:
    """Removes what was not used for so many seconds.

    `max_bytes`: what may be left; what was used longest ago goes first. What was used within a day
    stays. Returns what was removed.
    """
    removed, total, now = [], 0, time.time()
    for path, used in sorted(_used(base), key=lambda each: each[1], reverse=True):
        age, too_much = now - used, False
        if max_bytes is not None:
            total += size_of(path)
            too_much = total > max_bytes
        if age > IN_USE_SECONDS and (too_much or age > older_than):
            # Renamed first, so that nobody finds half of it.
            aside = path.with_name(f".{os.urandom(8).hex()}")
            with contextlib.suppress(OSError):
                told = _told(path, used)
                os.rename(path, aside)
                contents.remove(str(aside))
                removed.append(told)
    return removed
