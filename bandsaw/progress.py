"""Progress: shows while a workflow runs how far its calls are."""

from __future__ import annotations

import atexit
import importlib
import sys
import threading
import time
from typing import Any, Optional

from . import modules
from ._session import facts
from ._system.processes import in_forked_processes
from ._system.units import told_seconds
from .errors import InvalidValueError
from .extensions import Extension

__all__ = ["Progress"]

# What ends sooner is not shown.
_SECONDS_UNTIL_SHOWN = 0.5
_SECONDS_BETWEEN_FRAMES = 0.2
_SECONDS_TO_FINISH = 2.0


class Progress(Extension):
    """Shows how far the calls of each task are, on standard error.

    In a terminal and in a notebook there is a bar for each task, below what is written meanwhile:
    calls that ended, that run, that a cache had, that failed, how many in a second, and the time
    that is left. Bars are drawn by `rich` (`pip install 'bandsaw[cli]'`). Elsewhere, and without
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
        atexit.register(self._finish)

    def _start_anew(self) -> None:
        self._stops = False
        self._lock = threading.Lock()
        self._tasks: dict[str, _Counts] = {}
        self._active = 0
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
        self._configuration = configuration
        if not modules.is_far_end:
            facts.want(self._heard)

    def on_call_begun(self, session: Any) -> None:
        """Counts a call. See `Extension.on_call_begun`."""
        if modules.is_far_end:
            return
        with self._lock:
            counts = self._of(session.task)
            counts.running += 1
            counts.begun += 1
            self._active += 1
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._show, daemon=True, name="bandsaw-progress"
                )
                self._thread.start()

    def on_call_ended(self, session: Any, error: Optional[BaseException]) -> None:
        """Counts the end of a call. See `Extension.on_call_ended`."""
        if modules.is_far_end:
            return
        result = session.result
        has_failed = error is not None or getattr(result, "exception", None) is not None
        with self._lock:
            counts = self._of(session.task)
            counts.running -= 1
            counts.done += 1
            counts.failed += has_failed
            counts.cached += session.facts.get("cache") == "hit"
            self._active -= 1
            thread = self._thread if not self._active else None
        if thread is not None:
            self._changed.set()

    def _heard(self, task: Any, record: Any, error: Optional[BaseException]) -> None:
        if getattr(task, "_configuration", None) is not self._configuration:
            return
        with self._lock:
            counts = self._of(task)
            if error is None:
                counts.submitted += 1
            else:
                counts.done += 1
                counts.failed += 1

    def _of(self, task: Any) -> _Counts:
        name = str(task)
        counts = self._tasks.get(name)
        if counts is None:
            counts = self._tasks[name] = _Counts()
        return counts

    def _show(self) -> None:
        shown: Any = None
        shown_at = time.monotonic() + _SECONDS_UNTIL_SHOWN
        while True:
            left = shown_at - time.monotonic()
            self._changed.wait(_SECONDS_BETWEEN_FRAMES if shown else max(0.0, left))
            self._changed.clear()
            with self._lock:
                rows = [(name, counts.copy()) for name, counts in self._tasks.items()]
                is_over = self._stops or (
                    not self._active
                    and all(counts.done >= counts.total for counts in self._tasks.values())
                )
                if is_over:
                    self._thread = None
                    self._tasks.clear()
            if not is_over and shown is None and time.monotonic() >= shown_at:
                shown = _shower(self.seconds)
            if shown is not None:
                shown.show(rows, is_over)
            if is_over:
                return

    def __getstate__(self) -> Any:
        return {"seconds": self.seconds}

    def __setstate__(self, state: Any) -> None:
        self.__init__(**state)  # type: ignore[misc]


class _Counts:
    def __init__(self) -> None:
        self.submitted = self.begun = self.running = self.done = self.cached = self.failed = 0
        self.since = time.monotonic()

    def copy(self) -> _Counts:
        made = _Counts()
        made.__dict__.update(self.__dict__)
        return made

    @property
    def total(self) -> int:
        # Those that were called directly were never submitted.
        return max(self.submitted, self.begun, self.done)

    def text(self) -> str:
        seconds = max(1e-9, time.monotonic() - self.since)
        rate = self.done / seconds
        parts = [f"{self.done} of {self.total} done"]
        for number, word in (
            (self.running, "running"),
            (self.cached, "cached"),
            (self.failed, "failed"),
        ):
            if number:
                parts.append(f"{number} {word}")
        if self.done:
            parts.append(f"{rate:.3g} a second")
            if self.total > self.done:
                parts.append(f"{told_seconds((self.total - self.done) / rate)} left")
        return ", ".join(parts)


def _shower(seconds: float) -> Any:
    try:
        console: Any = importlib.import_module("rich.console").Console(stderr=True)
        if console.is_terminal or console.is_jupyter:
            return _Bars(console)
    except ImportError:
        pass
    return _Lines(seconds)


class _Lines:
    """A line every few seconds, where something has changed."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._last = time.monotonic() - seconds
        self._texts: dict[str, str] = {}

    def show(self, rows: list[tuple[str, _Counts]], is_over: bool) -> None:
        now = time.monotonic()
        if now - self._last < self._seconds and not is_over:
            return
        self._last = now
        for name, counts in rows:
            text = counts.text()
            if self._texts.get(name) != text:
                self._texts[name] = text
                print(f"{name}: {text}", file=sys.stderr, flush=True)


class _Bars:
    """Bars of `rich`, below what is written meanwhile."""

    def __init__(self, console: Any) -> None:
        progress: Any = importlib.import_module("rich.progress")
        escape = importlib.import_module("rich.markup").escape
        self._escape = escape
        self._bars = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[text]}"),
            console=console,
            transient=False,
        )
        self._bars.start()
        self._known: dict[str, Any] = {}

    def show(self, rows: list[tuple[str, _Counts]], is_over: bool) -> None:
        for name, counts in rows:
            if name not in self._known:
                self._known[name] = self._bars.add_task(self._escape(name), text="")
            self._bars.update(
                self._known[name], total=counts.total, completed=counts.done, text=counts.text()
            )
        if is_over:
            self._bars.stop()
