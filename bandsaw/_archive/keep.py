"""The folder in which archives are kept, here and on other machines.

    DIGEST/        what is in an archive, and byte code of each Python that ran it
    DIGEST.pyz     the archive as a zip
    .DIGEST-xyz    in the making, or on its way out

Each appears whole: it is made beside its place under a name that nobody can predict, and renamed.
Any number of processes may make the same one at the same time; the first one wins.

This module is imported, and also sent as text to other machines, where there is nothing but the
standard library of some Python, 3.6 or newer.
"""

import os
import re
import stat
import sys
import time

# For a type checker. To import it takes longer than most of what is done here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Optional

# Plain data about an archive, in the archive.
MANIFEST = "bandsaw-archive.json"
# Byte code is valid for the time of its source: the earliest one that a zip can hold (UTC).
TIME = 315532800
# How long an archive is kept that nobody uses, and how long one may be in use unseen.
KEPT_SECONDS = 30 * 86400
IN_USE_SECONDS = 86400
# A zip is copied, or unpacks itself when it is executed.
ZIP_IN_USE_SECONDS = 2 * 3600
# How much is kept of what is not in use.
MAX_BYTES = 2 * 10**9
MAX_BYTES_ENV_VARIABLE = "BANDSAW_MAX_ARCHIVE_BYTES"
_OURS = re.compile(r"[0-9a-f]{32}(\.pyz)?|\.[0-9a-f]{8,32}(\.pyz)?-\w+")


def kept_root(directory: str) -> "Any":
    """Makes the owner's folder for what is kept; returns also whether it is for this run only."""
    os.makedirs(directory, mode=0o700, exist_ok=True)
    root = os.path.join(os.path.abspath(directory), f"bandsaw-{os.geteuid()}")
    try:
        for folder in root, os.path.join(root, "archives"):
            if not os.path.lexists(folder):
                try:
                    os.mkdir(folder, 0o700)
                except FileExistsError:
                    pass  # somebody else was faster
            status = os.lstat(folder)
            is_folder = stat.S_ISDIR(status.st_mode)
            if not is_folder or status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise OSError(f"{folder} is not ours alone")
        if not os.access(os.path.join(root, "archives"), os.W_OK):
            raise OSError(f"{root} cannot be written")
        return root, False
    except OSError:
        import tempfile

        # Somebody has taken the name, which can be predicted.
        root = tempfile.mkdtemp(prefix=os.path.basename(root) + "-", dir=directory)
        os.mkdir(os.path.join(root, "archives"), 0o700)
        return root, True


def running_root() -> str:
    """Returns the folder or the zip that bandsaw is imported from."""
    return os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def sweep(root: str, directory: str) -> None:
    """Removes on another machine what nobody has used for a long time."""
    prune(os.path.join(root, "archives"), KEPT_SECONDS, max_bytes())
    own = re.compile(rf"bandsaw-({os.geteuid()}-\w+|[0-9a-f]{{32}})")
    for name in filter(own.fullmatch, listed(directory)):
        path = os.path.join(directory, name)
        try:
            status = os.lstat(path)
            is_old = status.st_mtime < time.time() - KEPT_SECONDS
            if status.st_uid == os.geteuid() and is_old:
                remove(path)
        except OSError:
            continue  # another one was faster


def latest(base: str) -> "list[str]":
    """Lists the archives that are unpacked, beginning with those that were used last."""
    found = []
    for name in listed(base):
        if re.fullmatch("[0-9a-f]{32}", name):
            path = os.path.join(base, name)
            try:
                found.append((os.lstat(path).st_mtime, path))
            except OSError:
                continue
    return [path for _, path in sorted(found, reverse=True)]


def listed(folder: str) -> "list[str]":
    try:
        return os.listdir(folder)
    except OSError:
        return []  # it may be entered, but not listed


def touch(path: str) -> None:
    try:
        os.utime(path)
    except OSError:
        pass


_held: "dict[str, Any]" = {}


def hold(folder: str) -> None:
    """Notes that this process uses an archive, for as long as it or one that it forks is there."""
    if folder not in _held:
        try:
            import fcntl

            _held[folder] = os.open(os.path.join(folder, MANIFEST), os.O_RDONLY)
            fcntl.flock(_held[folder], fcntl.LOCK_SH | fcntl.LOCK_NB)
        except (ImportError, OSError):
            pass  # then what counts is when it was used last


def _is_held(path: str) -> bool:
    try:
        import fcntl

        descriptor = os.open(os.path.join(path, MANIFEST), os.O_RDONLY)
    except (ImportError, OSError):
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(descriptor)


def prune(base: str, older_than: float, max_bytes: "Optional[int]" = None) -> "list[str]":
    """Removes archives that were not used for some time, and what was left unfinished.

    Archives that were used within a day, or are in use, stay. For `max_bytes` those go first that
    were not used for longest.
    """
    now = time.time()
    removed, left = [], []
    for name in listed(base):
        path = os.path.join(base, name)
        try:
            status = os.lstat(path) if _OURS.fullmatch(name) else None
            if status is None or (hasattr(os, "geteuid") and status.st_uid != os.geteuid()):
                continue
            age = now - status.st_mtime
            if name.startswith("."):
                if age > IN_USE_SECONDS:
                    remove(path)
            elif age > max(older_than, IN_USE_SECONDS) and not _is_held(path):
                discard(path)
                removed.append(path)
            else:
                left.append((age, path))
        except OSError:
            continue  # another one was faster
    if max_bytes is not None:
        removed += _shrunk(left, max_bytes)
    return removed


def _shrunk(found: "list[tuple[float, str]]", max_bytes: int) -> "list[str]":
    """Removes archives until the bytes of those that are left have a bound."""
    removed: list[str] = []
    unused = [
        path
        for age, path in found
        if age > (ZIP_IN_USE_SECONDS if path.endswith(".pyz") else IN_USE_SECONDS)
    ]
    if not unused:
        return removed
    counted: set[Any] = set()
    total = 0
    for _, path in sorted(found):
        # A file that a younger one has, too, takes no room of its own.
        total += sum(sizes_of_new(path, counted))
        if total > max_bytes and path in unused and not _is_held(path):
            try:
                discard(path)
            except OSError:
                continue
            removed.append(path)
    return removed


def kept(base: str) -> "list[str]":
    names = [name for name in listed(base) if _OURS.fullmatch(name) and name[0] != "."]
    return [os.path.join(base, name) for name in sorted(names)]


def sizes_of_new(path: str, counted: "set[Any]") -> "Iterator[int]":
    """Yields the sizes of the files below a path that were not counted yet, and counts them."""
    folders = [path]
    while folders:
        folder = folders.pop()
        for inner in [os.path.join(folder, name) for name in listed(folder)] or [folder]:
            try:
                status = os.lstat(inner)
            except OSError:
                continue
            key = status.st_dev, status.st_ino
            if stat.S_ISDIR(status.st_mode):
                if inner != folder:
                    folders.append(inner)
            elif key not in counted or not status.st_ino:
                counted.add(key)
                yield status.st_size


def max_bytes() -> int:
    try:
        return int(os.environ.get(MAX_BYTES_ENV_VARIABLE) or MAX_BYTES)
    except ValueError:
        return MAX_BYTES


def discard(path: str) -> None:
    """Removes an archive, so that it is there whole or not at all at any time."""
    base, name = os.path.split(path)
    aside = os.path.join(base, "." + name[:8] + "-" + os.urandom(8).hex())
    os.mkdir(aside, 0o700)
    try:
        os.rename(path, os.path.join(aside, name))
    except FileNotFoundError:
        pass  # another one was faster
    finally:
        remove(aside)


def remove(path: str) -> None:
    import shutil

    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        os.unlink(path)


def tag() -> str:
    """Says which byte code this Python reads."""
    magic = vars(sys.modules["_frozen_importlib_external"])["MAGIC_NUMBER"]
    return f"{sys.implementation.cache_tag} {magic.hex()}"
