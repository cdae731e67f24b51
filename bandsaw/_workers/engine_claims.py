"""Whether a call has begun in an executor's worker, or never will: who is first says it.

near: take ─► begun-CALL -> "ended"          far: begun-CALL -> "begun", see `engine_far`

It is a symbolic link, which is made with what it says in one step, on shared file systems too.
"""

from __future__ import annotations

import contextlib
import functools
import os
import tempfile
import time
from typing import Callable, Optional

from .._archive.keep import kept_root
from .engine_machine import claim, started, tell

# What has begun can be ended a moment later, which is long where its worker gets no processor.
_SECONDS_TO_BEGIN = 30.0


@functools.lru_cache(1)
def caller(pid: int) -> tuple[str, int, str]:
    """Says which process this is, see `started`. `pid`: that of this process."""
    return started(pid)


class Claims:
    """A folder of claims. `folder`: returns its path."""

    def __init__(self, folder: Callable[[], str]) -> None:
        self._folder = folder
        self._path: Optional[str] = None

    @property
    def path(self) -> str:
        if self._path is None:
            self._path = self._folder()
        return self._path

    def take(self, call: str) -> bool:
        """Has a call never begin where the folder is seen; returns whether it had not."""
        path = self._of(call)
        try:
            os.symlink(claim("ended", caller(os.getpid())), path)
        except FileExistsError:
            # Its worker may be removing it, which it does when the call has ended.
            with contextlib.suppress(OSError):
                return os.readlink(path).startswith("ended")
            return False
        except OSError:
            return False
        return True

    def forget(self, call: str) -> None:
        """Removes what was said of a call."""
        with contextlib.suppress(OSError):
            os.unlink(self._of(call))

    def end(self, call: str, seconds: float = _SECONDS_TO_BEGIN) -> bool:
        """Has a call that has begun ended; returns whether its worker was told to."""
        end = time.monotonic() + seconds
        while not tell(self.path, call):
            if not os.path.lexists(self._of(call)) or time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    def _of(self, call: str) -> str:
        return os.path.join(self.path, "begun-" + call)


# Of this machine and user.
HERE = Claims(lambda: kept_root(tempfile.gettempdir())[0])
