"""Contents that came from another machine, kept by their digest, so that they come once.

    BANDSAW_HOME/files/kept/KEY/content    a file or folder that nobody may write to
                               /stamps     sizes and times of all that is in it
                               /as/NAME    a link to the content, for each name that it came under
    BANDSAW_HOME/files/runs/RUN/...        see `destinations`

Before each use it is seen by the stamps whether something has changed. A process
that uses KEY or RUN locks the folder.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Optional

from .._system import file_contents, home, trees
from .._system.files import make_private, size_of, write_whole

KIND = "files"
KEPT_SECONDS = 30 * 86400
# What was used within this time may be in use.
IN_USE_SECONDS = 86400
# How much is kept of what came from other machines and is not in use.
MAX_BYTES = 2 * 10**9
MAX_BYTES_ENV_VARIABLE = "BANDSAW_MAX_FILE_BYTES"
_SECONDS_BETWEEN_LOOKS = 60.0
# Each takes a descriptor.
_MOST_HELD = 200
# With more, it is quicker to digest contents than to look for their size.
_MOST_READ = 1000
_SIZE = 4  # where a row of stamps has the size
_KEY = re.compile("[0-9a-f]{64}x?")


def folder() -> str:
    return str(home.kept_folder(KIND))


def key_of(parts: Sequence[trees.TreePart], digest: str) -> str:
    """Names contents, with what the digest of a single file does not tell."""
    return digest + "x" * parts[0].runs


def are_names(key: str, name: str) -> bool:
    """Whether it is a key, and the name of a file."""
    return _KEY.fullmatch(key) is not None and trees.is_plain_name(name)


def path_of(base: str, key: str, name: str) -> str:
    return os.path.join(base, "kept", key, "as", name)


def is_there(base: str, key: str, name: str) -> bool:
    """Whether contents are there and as they came, under this name, too."""
    if not are_names(key, name):
        return False
    place = os.path.join(base, "kept", key)
    hold(place)
    try:
        stamps = json.loads(Path(place, "stamps").read_bytes())
        if json.loads(_stamps_of(place)) != stamps:
            return False
        _name(place, name)
        os.utime(place)
    except (OSError, ValueError):
        return False
    return True


def may_have(base: str, size: int) -> bool:
    """Whether there may be contents of this size. That there are none is sure."""
    places = list(Path(base, "kept").glob("*/stamps"))
    if len(places) > _MOST_READ:
        return True
    with contextlib.suppress(OSError, ValueError):
        return any(
            sum(row[_SIZE] for row in json.loads(stamps.read_bytes())) == size for stamps in places
        )
    return True


def arriving(base: str, parts: Sequence[trees.TreePart]) -> file_contents.ArrivingContents:
    """Takes contents of which it is not known yet under which key they are kept."""
    folder = Path(base, "kept")
    make_private(folder)
    return file_contents.ArrivingContents(str(folder / "content"), parts, is_kept=True)


def arrived(
    base: str, arriving: file_contents.ArrivingContents, key: str, name: str, digest: str
) -> None:
    """Keeps contents that have arrived, and that have to have this digest."""
    if not are_names(key, name):
        arriving.abandon()
        raise ValueError(f"{key!r}, {name!r} names no contents")
    place = os.path.join(base, "kept", key)
    make_private(Path(place))
    hold(place)
    arriving.finish(digest, os.path.join(place, "content"))
    write_whole(Path(place, "stamps"), _stamps_of(place))
    _name(place, name)
    tidy(base)


_held: dict[str, int] = {}


def hold(path: str) -> None:
    """Notes that this process uses something that is kept, until it and its forks end."""
    known = _held.get(path)
    if known is not None:
        with contextlib.suppress(OSError):
            if os.path.samestat(os.fstat(known), os.stat(path)):
                return
        # It was removed and made anew, which another thread may just find out, too.
        known = _held.pop(path, -1)
        with contextlib.suppress(OSError):
            os.close(known)
    if len(_held) >= _MOST_HELD:
        return
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):
        return  # then what counts is when it was used last
    if _held.setdefault(path, descriptor) != descriptor:
        os.close(descriptor)
        return
    with contextlib.suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_SH)


@contextlib.contextmanager
def _free(path: Path) -> Iterator[bool]:
    """Keeps processes from beginning to use something, and says whether none uses it."""
    try:
        import fcntl

        descriptor = os.open(path, os.O_RDONLY)
    except (ImportError, OSError):
        yield True
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


_looked: dict[str, float] = {}


def tidy(base: str) -> None:
    """Removes what is too old or too much, now and then."""
    now = time.monotonic()
    if now - _looked.get(base, -math.inf) > _SECONDS_BETWEEN_LOOKS:
        _looked[base] = now
        most = os.environ.get(MAX_BYTES_ENV_VARIABLE) or ""
        prune(base, KEPT_SECONDS, int(most) if most.isdigit() else MAX_BYTES, ("kept",))


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


class KeptFile(NamedTuple):
    path: str  # where it is
    used: float  # when it was used last, in seconds since the epoch
    size: int
    what: str  # what it is: the names of contents, or the run that has returned files


def found(base: str) -> Iterator[KeptFile]:
    for path, used in _used(base):
        if path.name[0] == ".":
            continue  # on its way
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


def _told(path: Path, used: float) -> KeptFile:
    what = f"returned in run {path.name}"
    if path.parent.name == "kept":
        names = path / "as"
        what = ", ".join(sorted(os.listdir(names))) if names.is_dir() else "did not arrive whole"
    return KeptFile(str(path), used, size_of(path), what)


def prune(
    base: str,
    older_than: float,
    max_bytes: Optional[int] = None,
    bounded: Sequence[str] = ("kept", "runs"),
) -> list[KeptFile]:
    """Removes what was not used for so many seconds.

    `max_bytes`: what may be left of `bounded`; what was used longest ago goes first. What was used
    within a day stays, and what a process uses that is there. Returns what was removed.
    """
    removed, total, now = [], 0, time.time()
    for path, used in sorted(_used(base), key=lambda each: each[1], reverse=True):
        age, too_much = now - used, False
        if max_bytes is not None and path.parent.name in bounded:
            total += size_of(path)
            too_much = total > max_bytes
        if age <= IN_USE_SECONDS or not (too_much or age > older_than):
            continue
        # Renamed first, so that nobody finds half of it.
        aside = path.with_name(f".{os.urandom(8).hex()}")
        with contextlib.suppress(OSError), _free(path) as is_free:
            if is_free:
                told = _told(path, used)
                os.rename(path, aside)
                file_contents.remove(str(aside))
                removed.append(told)
    return removed
