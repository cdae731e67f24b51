"""Progress: shows while a workflow runs how far its calls are."""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Any, Optional

from . import modules
from ._recording.counts import Counting, kind_of, shower
from ._session import telling
from ._system import ending, work
from ._system.processes import in_forked_processes
from .errors import InvalidValueError
from .extensions import Extension

__all__ = ["Progress"]

# What ends sooner is not shown.
_SECONDS_UNTIL_SHOWN = 0.5
_SECONDS_BETWEEN_FRAMES = 0.2
# The thread ends at once, but on a busy machine; without it a terminal would lack its cursor.
_SECONDS_TO_FINISH = 30.0


class Progress(Extension):
    """Shows how far the calls of each task are, on standard error.

    In a terminal and in a notebook there is a bar for each task, below what is written meanwhile:
    calls that ended, that run, that a cache had, that failed, how many in a second, and the time
    that is left; and one for what calls wait for: code and files that are sent, environments that
    are made. Bars are drawn by `rich` (`pip install 'bandsaw[cli]'`). Elsewhere, and without
    `rich`, a line is written every few seconds. Calls that end within half a second show nothing.

    Args:
        seconds: How often a line is written where there are no bars.

    Attributes:
        seconds: As given.

    Raises:
        InvalidValueError: If `seconds` is no number above zero (a `ValueError`).
    """

    def __init__(self, *, seconds: float = 5.0) -> None:
        if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds > 0:
            raise InvalidValueError(f"seconds={seconds!r} of Progress has to be above zero.")
        self.seconds = seconds
        self._start_anew()
        in_forked_processes(self._start_anew)
        ending.at_exit(self._finish)

    def _start_anew(self) -> None:
        self._stops = False
        self._counting = Counting()
        self._works: list[work.Work] = []
        self._is_showing = False
        # It shows the end of all that it has counted after it has said that it is not showing.
        self._thread: Optional[threading.Thread] = None
        self._changed = threading.Event()

    def _finish(self) -> None:
        # A terminal gets its cursor back.
        self._stops = True
        self._changed.set()
        thread = self._thread
        if thread is not None:
            thread.join(_SECONDS_TO_FINISH)

    def on_init(self, configuration: Any) -> None:
        """Begins to count submitted calls. See `Extension.on_init`."""
        if not modules.is_far_end:
            telling.want(self._heard, configuration)
            if self._work_begun not in work.listeners:  # it may be in several configurations
                work.listeners.append(self._work_begun)

    def on_call_begun(self, session: Any) -> None:
        """Counts a call. See `Extension.on_call_begun`."""
        if modules.is_far_end:
            return
        with self._counting.lock:
            self._counting.begun(str(session.task))
            self._has_thread()

    def _has_thread(self) -> None:
        if not self._is_showing:
            thread = threading.Thread(
                target=self._show, args=(self._thread,), daemon=True, name="bandsaw-progress"
            )
            # Where there are no more threads, the next call tries again.
            with contextlib.suppress(RuntimeError):
                thread.start()
                self._thread, self._is_showing = thread, True

    def _work_begun(self, begun: work.Work) -> None:
        with self._counting.lock:
            self._works.append(begun)
            self._has_thread()

    def on_call_ended(self, session: Any, error: Optional[BaseException]) -> None:
        """Counts the end of a call. See `Extension.on_call_ended`."""
        if modules.is_far_end:
            return
        if error is None:
            error = getattr(session.result, "exception", None)
        has_failed = error is not None and kind_of(error) is not KeyboardInterrupt
        is_hit = session.facts.get("cache") == "hit"
        self._counting.ended(str(session.task), has_failed, is_hit)
        if not self._counting.active:
            self._changed.set()

    def _heard(self, task: Any, record: Any, error: Optional[BaseException]) -> None:
        if error is None:
            self._counting.submitted(str(task))
        else:
            self._counting.ended(str(task), True, False, has_begun=False)

    def _show(self, before: Optional[threading.Thread]) -> None:
        if before is not None:
            before.join()
        shown: Any = None
        shown_at = time.monotonic() + _SECONDS_UNTIL_SHOWN
        while True:
            left = shown_at - time.monotonic()
            self._changed.wait(_SECONDS_BETWEEN_FRAMES if shown else max(0.0, left))
            self._changed.clear()
            with self._counting.lock:
                rows = [*self._counting.rows(), *((one.name, one) for one in self._works)]
                ended = [one for one in self._works if one.is_over]
                is_idle = self._counting.is_over() and len(ended) == len(self._works)
                is_over = self._stops or is_idle
                if is_over:
                    self._is_showing = False
                    self._counting.clear()
            if not is_over and shown is None and time.monotonic() >= shown_at:
                shown = shower(self.seconds)
            # What has ended is shown once more.
            if shown is None or shown.show(rows, is_over):
                with self._counting.lock:
                    self._works = [one for one in self._works if one not in ended]
            if is_over:
                return

    def __getstate__(self) -> Any:
        return {"seconds": self.seconds}

    def __setstate__(self, state: Any) -> None:
        self.__init__(**state)  # type: ignore[misc]
