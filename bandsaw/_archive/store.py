"""The folder in which archives are kept, each named by its digest.

    DIGEST/        what is in the archive, and byte code of each Python that ran it
    DIGEST.pyz     the archive
    .DIGEST-xyz    in the making, or on its way out

Each appears whole: it is made beside its place under a name that nobody can predict, and renamed.
Any number of processes may make the same one at the same time; the first one wins.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
import stat
import tempfile
import time
from pathlib import Path

from .._system.files import whole_file
from . import byte_code, imports
from .byte_code import TIME
from .contents import MANIFEST, Content
from .zipped import write_zip

# How long an archive is kept that nobody uses, and how long one may be in use unseen.
KEPT_SECONDS = 30 * 86400
IN_USE_SECONDS = 86400
_OURS = re.compile(r"[0-9a-f]{32}(\.pyz)?|\.[0-9a-f]{8,32}(\.pyz)?-\w+")


def put_folder(base: Path, content: Content) -> Path:
    """Unpacks an archive where it is not unpacked yet."""
    target = base / content.digest
    if is_whole(target, content):
        touch(target)
        return target
    temporary = Path(tempfile.mkdtemp(prefix=f".{content.digest[:8]}-", dir=base))
    try:
        _fill(temporary, content)
        byte_code.take_over(latest(base), temporary, content)
        while not _renamed(temporary, target):
            if is_whole(target, content):
                shutil.rmtree(temporary)
                break
            discard(target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    prune(base, KEPT_SECONDS)
    return target


def put_zip(base: Path, content: Content) -> Path:
    """Writes an archive where it is not written yet."""
    target = base / f"{content.digest}.pyz"
    if _is_zip(target):
        touch(target)
        return target
    if target.is_dir() and not target.is_symlink():
        discard(target)
    with whole_file(target) as stream:
        write_zip(content, stream)
    prune(base, KEPT_SECONDS)
    return target


def _fill(folder: Path, content: Content) -> None:
    made = {""}
    for name in [*content.members, MANIFEST]:
        inner, _, _ = name.rpartition("/")
        if inner not in made:
            os.makedirs(folder / inner, mode=0o700, exist_ok=True)
            made.add(inner)
        path = os.path.join(folder, *name.split("/"))
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content.manifest_bytes() if name == MANIFEST else content.read(name))
        os.utime(path, (TIME, TIME))
    if content.imports is not None:
        (folder / imports.FILE_NAME).write_bytes(content.imports.as_bytes())


_BINARY = getattr(os, "O_BINARY", 0)


def _renamed(temporary: Path, target: Path) -> bool:
    try:
        os.rename(temporary, target)
    except OSError as error:
        # Something was there. Somebody else may have removed it meanwhile.
        taken = error.errno in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
        # Windows says the same of a folder that is there and of one that cannot be written.
        if not taken and not (error.errno == errno.EACCES and os.path.lexists(target)):
            raise
        return False
    return True


def is_whole(folder: Path, content: Content) -> bool:
    """Says whether a folder holds an archive that nobody has damaged."""
    try:
        with open(folder / MANIFEST, "rb") as file:
            if file.read() != content.manifest_bytes():
                return False
        for name, member in content.members.items():
            status = os.lstat(os.path.join(folder, *name.split("/")))
            # Who edits a file leaves another time.
            if (status.st_size, int(status.st_mtime)) != (member["size"], TIME):
                return False
    except OSError:
        return False
    return not folder.is_symlink()


def _is_zip(path: Path) -> bool:
    """Whether the end of a zip is there, which a file cut short does not have."""
    try:
        with open(path, "rb") as file:
            file.seek(-22, os.SEEK_END)
            return file.read(4) == b"PK\5\6" and stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def latest(base: Path, number: int = 4) -> list[Path]:
    """Lists the archives that are unpacked and were used last."""
    found = []
    with os.scandir(base) as entries:
        for entry in entries:
            if re.fullmatch("[0-9a-f]{32}", entry.name):
                with contextlib.suppress(OSError):
                    found.append((entry.stat(follow_symlinks=False).st_mtime, entry.path))
    return [Path(path) for _, path in sorted(found, reverse=True)[:number]]


def _listed(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:
        return []


def touch(path: Path) -> None:
    """Notes that an archive is in use."""
    with contextlib.suppress(OSError):
        os.utime(path)


def discard(path: Path) -> None:
    """Removes an archive, so that it is there whole or not at all at any time."""
    aside = tempfile.mkdtemp(prefix=f".{path.name[:8]}-", dir=path.parent)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, os.path.join(aside, path.name))
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def prune(base: Path, older_than: float) -> list[Path]:
    """Removes archives that were not used for some time, and what was left unfinished."""
    limit = time.time() - max(older_than, IN_USE_SECONDS)
    removed = []
    for name in _listed(base):
        path = base / name
        if _OURS.fullmatch(name):
            with contextlib.suppress(OSError):
                if os.lstat(path).st_mtime < limit:
                    if name.startswith("."):
                        _remove(path)
                    else:
                        discard(path)
                        removed.append(path)
    return removed


def kept(base: Path) -> list[Path]:
    """Lists the archives that are kept."""
    names = (name for name in _listed(base) if _OURS.fullmatch(name))
    return [base / name for name in sorted(names) if not name.startswith(".")]


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink()
