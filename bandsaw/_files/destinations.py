"""Where files arrive: in a folder of the run's own, or below the working directory.

What the calls of a run have returned is `BANDSAW_HOME/files/runs/RUN/TOKEN/NAME`.
"""

from __future__ import annotations

import contextlib
import os
import re
from hashlib import sha256
from pathlib import Path

from .._system import file_contents, home, trees
from .._system.files import make_private
from ..errors import FileTravelError, KeptFolderError
from ..run import get_run_id
from . import kept

RUNS = "runs"
# Run ids that name their folder; users may set any text.
_PLAIN = re.compile(r"[0-9A-Za-z_][0-9A-Za-z_.-]{,63}")


def _run_folder_below(base: Path) -> Path:
    run = get_run_id()
    if not _PLAIN.fullmatch(run):
        run = sha256(run.encode("utf-8", "surrogatepass")).hexdigest()
    return base / RUNS / run


def run_folder() -> str:
    base = home.kept_folder(kept.KIND)
    folder = _run_folder_below(base)
    if not folder.is_dir():
        kept.tidy(str(base))
        make_private(folder)
    kept.hold(str(folder))
    return str(folder)


def new_place(name: str, call: str = "") -> str:
    """Returns a path with this name in a new folder of the run, `call`: for this call."""
    if not trees.is_plain_name(name):
        raise FileTravelError(f"A file with the name {name!r} is refused.")
    for is_last in (*[False] * 99, True):
        folder = os.path.join(run_folder(), call + os.urandom(8).hex())
        try:
            os.mkdir(folder, 0o700)
            break
        except FileNotFoundError:
            # When the last file of another call was fetched, the folder of the run went with it.
            if is_last:
                raise
    return os.path.join(folder, name)


def forsake(call: str) -> None:
    """Removes the places that a process has made for a call, and that nobody will take."""
    with contextlib.suppress(KeptFolderError):
        run = _run_folder_below(home.folder_of_user() / kept.KIND)
        for place in run.glob(f"{call}?*"):
            file_contents.remove(str(place))
        with contextlib.suppress(OSError):
            run.rmdir()


def remove(path: str) -> None:
    """Removes a file from the folder of its run, and folders that are empty then."""
    path = os.path.realpath(path)
    if _is_of_runs(path):
        file_contents.remove(path)
        _leave(path)


def _is_of_runs(path: str) -> bool:
    runs = os.path.realpath(home.kept_folder(kept.KIND) / RUNS)
    return os.path.realpath(path).startswith(runs + os.sep)


def taken_over(path: str) -> str:
    """Has a file be in the folder of the run, where a process with another home has put it."""
    with contextlib.suppress(KeptFolderError):
        if not _is_of_runs(path):
            target = new_place(os.path.basename(path))
            move(path, target)
            return target
    return path


def _leave(path: str) -> None:
    """Removes the folders in which a file was, up to that of the run, if they are empty."""
    for _ in range(2):
        path = os.path.dirname(path)
        with contextlib.suppress(OSError):
            os.rmdir(path)


def is_relative(name: str) -> bool:
    """Whether a path leads nowhere but below where it begins."""
    names = name.replace(os.sep, "/").split("/")
    return all(map(trees.is_plain_name, names))


def below(folder: str, name: str) -> str:
    """Makes the folders of a path below a folder; names that lead elsewhere are refused."""
    if not is_relative(name):
        raise FileTravelError(
            f"A file is not put at {name!r}: that has to be a path below the working directory, "
            "without '..'."
        )
    folder = os.path.realpath(folder)
    path = os.path.join(folder, name)
    inner = os.path.dirname(path)
    try:
        # What is there already, before anything is made in it.
        there = inner
        while not os.path.lexists(there):
            there = os.path.dirname(there)
        if os.path.realpath(there) != there:
            raise FileTravelError(f"A file is not put at {path!r}: {there!r} is or has a link.")
        os.makedirs(inner, exist_ok=True)
    except OSError as error:
        if isinstance(error, FileTravelError):
            raise
        raise FileTravelError(f"A file cannot be put at {path!r}: {error}.") from error
    return path


def settled(to: str, place: str) -> str:
    """Returns the `to` of a file that has come to its place: with braces, that would be no `to`."""
    return to if {"{", "}"} & set(place) else place


def copy(path: str, target: str, is_linked: bool = False) -> None:
    """Copies a file or folder, whole or not at all.

    `is_linked`: what is written to the one may be seen in the other.
    """
    arriving = file_contents.ArrivingContents(target, trees.parts_of(path), is_digested=False)
    arriving.copy(path, is_linked)
    arriving.finish()


def move(path: str, target: str) -> None:
    """Moves a file or folder out of its folder in that of the run."""
    try:
        file_contents.exchange(path, target)
    except OSError as error:
        if isinstance(error, FileTravelError):
            raise
        # Another file system.
        copy(path, target)
        file_contents.remove(path)
    _leave(path)
