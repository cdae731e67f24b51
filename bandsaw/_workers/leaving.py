"""What is done on another machine, or below an executor's worker, when nobody waits any more."""

from __future__ import annotations

import contextlib
import os
from typing import Optional

from .._archive import keep
from .._system.home import HOME_ENV_VARIABLE


def tidy(root: str, directory: Optional[str], box: str = "") -> None:
    """Removes what nobody uses of what is kept in a root, or the root.

    `directory`: where the root lies, nothing if it is to be removed. `box`: a file to be removed.
    """
    if box:
        with contextlib.suppress(OSError):
            os.unlink(box)
    if not directory:
        keep.remove(root)
        return
    keep.sweep(root, directory)
    files = os.path.join(os.environ[HOME_ENV_VARIABLE], "files")
    if os.path.isdir(files):
        from .._files import kept

        kept.prune(files, kept.KEPT_SECONDS)
