"""The environments that are kept.

    $BANDSAW_HOME/environments/      see `_system.home`
        DIGEST/                      a virtual environment, made in its place: it cannot be moved
            bandsaw.json             the marker: what it is. Written last
        DIGEST.lock                  there while the environment is made or removed

The digest is that of the requirements, of the base Python and of `_FORMAT`. What is there without a
marker was interrupted, and is made anew.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Optional

from .._system import work
from .._system.file_locks import Lock
from .._system.files import write_whole
from .._system.home import kept_folder
from .._system.output import pass_on
from ..errors import EnvironmentBuildError
from . import pythons, tools
from .requirements import masked, told

_FORMAT = 1
_MARKER = "bandsaw.json"
_DIGEST = re.compile(r"[0-9a-f]{32}")
# Environments of which this process has printed that they are made or waited for.
_announced: set[Path] = set()


class KeptEnvironment(NamedTuple):
    digest: str  # the name of its folder
    folder: Path  # the folder
    record: Optional[dict[str, Any]]  # what the marker says, `None` where there is none
    used: float  # when a process last asked for it, in seconds since the epoch
    is_busy: bool  # whether somebody makes or removes it right now


def ready(requirements: Sequence[str], asked: Optional[str]) -> Path:
    """Returns the folder of an environment, which is made where it is missing."""
    base = pythons.find(asked)
    folder = folder_of(requirements, base)
    if not is_whole(folder):
        _make_once(folder, base, requirements)
    with contextlib.suppress(OSError):
        os.utime(folder / _MARKER)
    return folder


def folder_of(requirements: Sequence[str], base: pythons.Python) -> Path:
    """Returns the folder of an environment, whether it exists or not."""
    asked = json.dumps(
        [_FORMAT, sorted(requirements), base.executable, base.full_version, base.kind]
    )
    digest = hashlib.sha256(asked.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    return kept_folder("environments") / digest


def is_whole(folder: Path) -> bool:
    """Says whether an environment was made to its end, and its Python is still there."""
    # `exists` follows links: where the base Python was removed, a dead link is left.
    return (folder / _MARKER).exists() and tools.python_in(folder).exists()


def _make_once(folder: Path, base: pythons.Python, requirements: Sequence[str]) -> None:
    what = f"an environment with {told(requirements)} (Python {base.full_version})"
    try:
        with _locked(folder, what) as lock:
            if not is_whole(folder):
                _announced.add(folder)
                with work.told(f"making {what}"):
                    _make(folder, base, requirements, lock, what)
    except OSError as error:
        raise EnvironmentBuildError(f"{_sentence(what)} cannot be made: {error}") from error


def _make(
    folder: Path, base: pythons.Python, requirements: Sequence[str], lock: int, what: str
) -> None:
    began = time.monotonic()
    _say(f"making {what} ...")
    remove_tree(folder)
    try:
        tool = tools.build(folder, base, requirements, lock, _sentence(what))
        seconds = time.monotonic() - began
        record = {
            "requirements": masked(requirements),
            "python": base.full_version,
            "base": base.executable,
            "made": time.time(),
            "seconds": seconds,
            "tool": tool,
        }
        write_whole(folder / _MARKER, json.dumps(record).encode("ascii"))
    except BaseException:
        with contextlib.suppress(OSError):
            remove_tree(folder)
        raise
    _say(f"made it in {seconds:.0f} s" if seconds >= 10 else f"made it in {seconds:.1f} s")


@contextlib.contextmanager
def _locked(folder: Path, what: str) -> Iterator[int]:
    def on_wait() -> None:
        if folder not in _announced:
            _announced.add(folder)
            _say(f"waiting until somebody else has made {what} ...")

    lock = _lock_of(folder)
    lock.acquire(on_wait=on_wait)
    try:
        assert lock.descriptor is not None
        yield lock.descriptor
    finally:
        lock.release()


def _lock_of(folder: Path) -> Lock:
    return Lock(folder.with_name(f"{folder.name}.lock"))


def kept() -> list[KeptEnvironment]:
    """Lists all environments, those that are being made and those that are half made included."""
    found = []
    for folder in kept_folder("environments").iterdir():
        if _DIGEST.fullmatch(folder.name) and folder.is_dir():
            with contextlib.suppress(FileNotFoundError):
                found.append(_look_at(folder))
    return sorted(found, key=lambda environment: (-environment.used, environment.digest))


def _look_at(folder: Path) -> KeptEnvironment:
    record = None
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        found = json.loads((folder / _MARKER).read_bytes())
        # What is damaged, or of another version, is told as what was interrupted.
        record = {
            **found,
            "requirements": list(map(str, found["requirements"])),
            "python": str(found["python"]),
            "made": float(found["made"]),
        }
    used = os.stat(folder if record is None else folder / _MARKER).st_mtime
    is_busy = False
    lock = _lock_of(folder)
    if record is None and lock.path.exists():
        is_busy = not lock.acquire(wait=False)
        lock.release()
    return KeptEnvironment(folder.name, folder, record, used, is_busy)


def remove(folder: Path) -> bool:
    """Removes an environment, unless somebody is making it. Returns whether it was removed."""
    lock = _lock_of(folder)
    if not lock.acquire(wait=False):
        return False
    try:
        remove_tree(folder)
    finally:
        lock.release()
    return True


def remove_tree(folder: Path) -> None:
    """Removes a folder. From the first moment on it counts as half made."""
    with contextlib.suppress(FileNotFoundError):
        (folder / _MARKER).unlink()
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(folder)


def _sentence(what: str) -> str:
    return what[0].upper() + what[1:]


def _say(text: str) -> None:
    pass_on(f"bandsaw: {text}\n", "stderr")
