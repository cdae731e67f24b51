"""What a call that computes an entry knows between the two halves of its advice."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Mapping
from typing import Any, Optional

from . import locks, record

logger = logging.getLogger(__name__)


class Computation:
    __slots__ = ("arguments", "begun", "changes", "folder", "mode", "name", "path", "temporary")

    def __init__(self, folder: str, name: str, mode: Optional[str]) -> None:
        # The absolute path of the task's folder: the task may change the working directory.
        self.folder = folder
        if not os.path.isabs(folder):
            # There may be no working directory any more.
            with contextlib.suppress(OSError):
                self.folder = os.path.abspath(folder)
        self.name = name  # the name of the entry
        self.path = f"{self.folder}{os.sep}{name}"  # the path of the entry
        self.mode = mode  # what `mode_of` said
        # The file that becomes the entry, if this call has it.
        self.temporary: Optional[locks.Temporary] = None
        # The descriptions of the arguments then, which the task may change.
        self.arguments: Mapping[str, Any] = {}
        # The clock when the task was begun, `None` if that was in another process.
        self.begun: Optional[float] = None
        self.changes = 0  # how often arguments had been changed by then, see `_Moderator.changes`

    def begin(self, session: Any) -> None:
        try:
            self.arguments = record.arguments_of(session.execution)
        except Exception as error:
            logger.debug("The arguments of %s cannot be described: %s", session.task, error)
        self.begun = time.perf_counter()
        self.changes = session._moderator.changes

    def close(self) -> None:
        temporary, self.temporary = self.temporary, None
        if temporary is not None:
            temporary.close()
