r"""The folder for what is kept between runs: archives, environments, files that tasks returned.

    $BANDSAW_HOME, else $XDG_CACHE_HOME/bandsaw, else ~/.cache/bandsaw
    (on Windows %LOCALAPPDATA%\bandsaw)
        archives/       see `distribution`
        environments/   see `environments`
        files/          see `_files.destinations`
        outlines/       see `_identity.kept_texts`
        stores/         see `_cache.shared`

All that is in it can be made again: removing it costs time. Because the names in
it can be predicted, it has to be ours and closed to others.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Optional

from ..errors import KeptFolderError
from .files import hold_of_others, make_private

HOME_ENV_VARIABLE = "BANDSAW_HOME"


def kept_folder(kind: str, home: Optional[Path] = None) -> Path:
    """Returns the path of a folder for what is kept; only its owner can write to it and list it.

    `home`: where it is, by default as the environment says.
    """
    home = home or folder_of_user()
    folder = home / kind
    try:
        # Before anything is made in it.
        if home.exists():
            _check(home)
        make_private(folder)
        _check(folder)
    except OSError as error:
        raise KeptFolderError(
            f"The folder {str(folder)!r}, where bandsaw keeps {kind}, cannot be used: {error}. "
            f"Set {HOME_ENV_VARIABLE} to a folder that you alone can write to."
        ) from error
    return folder


def folder_of_user() -> Path:
    """Returns the path of the folder, which need not be there."""
    given = os.environ.get(HOME_ENV_VARIABLE)
    if given:
        return Path(given).absolute()
    if os.name == "nt":
        base = os.environ.get("LOCALAPPDATA") or os.path.expanduser(r"~\AppData\Local")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if base.startswith("~"):
        # Not a folder of that name in the working directory.
        raise KeptFolderError(
            f"There is no folder for what bandsaw keeps: the user has no home folder. Set "
            f"{HOME_ENV_VARIABLE} to a folder that you alone can write to."
        )
    return Path(base).absolute() / "bandsaw"


def _check(path: Path) -> None:
    status = os.lstat(path)
    if not stat.S_ISDIR(status.st_mode):
        raise OSError(f"{path} is a link or no folder")
    problem = hold_of_others(status)
    if problem:
        raise OSError(f"{path} {problem}")
