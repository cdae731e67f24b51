"""How far the calls of each task are, and how that is shown."""

from __future__ import annotations

import importlib
import sys
import threading
import time
from collections.abc import Sequence
from typing import Any, Optional, Union

from .._futures import program
from .._system.units import told_seconds
from .._system.work import Work
from ..errors import TaskKilledError


def kind_of(error: BaseException) -> type[BaseException]:
    """Returns the type of what has ended a call: Ctrl-C kills what still runs."""
    if isinstance(error, TaskKilledError) and program.was_interrupted:
        return KeyboardInterrupt
    return type(error)


class Counts:
    """How far the calls of a task are."""

    NAMES = ("submitted", "begun", "running", "done", "cached", "failed")

    def __init__(self, since: float, numbers: tuple[int, ...] = (0,) * 6) -> None:
        self.since = since  # when the first one was submitted or begun, in seconds since the epoch
        self.until: Optional[float] = None  # when all was over, `None` as long as it is not
        self.submitted, self.begun, self.running, self.done, self.cached, self.failed = numbers

    def numbers(self) -> tuple[int, ...]:
        return tuple(getattr(self, name) for name in self.NAMES)

    @property
    def total(self) -> int:
        # Those that were called directly were never submitted.
        return max(self.submitted, self.begun, self.done + self.running)

    def text(self) -> str:
        seconds = max(1e-9, (self.until or time.time()) - self.since)
        rate = self.done / seconds
        parts = [f"{self.done} of {self.total} done"]
        for number, word in (
            (self.running, "running"),
            (self.cached, "cached"),
            (self.failed, "failed"),
        ):
            if number > 0:
                parts.append(f"{number} {word}")
        if self.done:
            parts.append(f"{rate:,.0f} a second" if rate >= 100 else f"{rate:.3g} a second")
            if self.total > self.done and self.until is None:
                parts.append(f"{told_seconds((self.total - self.done) / rate)} left")
        return ", ".join(parts)


class Counting:
    """Counts the calls of this process."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # held while something is counted
        self.active = 0  # how many calls run
        self.has_changed = False  # whether something was counted since `rows` was asked
        self._tasks: dict[str, Counts] = {}

    def submitted(self, task: str) -> None:
        with self.lock:
            self._of(task).submitted += 1

    def begun(self, task: str) -> None:
        with self.lock:
            counts = self._of(task)
            counts.running += 1
            counts.begun += 1
            self.active += 1

    def ended(self, task: str, has_failed: bool, is_hit: bool, has_begun: bool = True) -> None:
        with self.lock:
            counts = self._of(task)
            counts.running -= has_begun
            counts.done += 1
            counts.failed += has_failed and has_begun
            counts.cached += is_hit
            self.active -= has_begun

    def rows(self) -> list[tuple[str, Counts]]:
        with self.lock:
            self.has_changed = False
            return [
                (name, Counts(counts.since, counts.numbers()))
                for name, counts in self._tasks.items()
            ]

    def is_over(self) -> bool:
        return not self.active and all(one.done >= one.total for one in self._tasks.values())

    def clear(self) -> None:
        self._tasks.clear()

    def _of(self, task: str) -> Counts:
        self.has_changed = True
        counts = self._tasks.get(task)
        if counts is None:
            counts = self._tasks[task] = Counts(time.time())
        return counts


def shower(seconds: float, stream: Any = None) -> Any:
    """Returns what shows counts: bars of `rich` in a terminal and in a notebook, else lines."""
    try:
        module: Any = importlib.import_module("rich.console")
        file = stream or sys.stderr
        console = module.Console(file=file)
        if file is not None and (console.is_terminal or console.is_jupyter):
            return _Bars(console)
    except ImportError:
        pass
    return _Lines(seconds, stream)


class _Lines:
    """A line every few seconds, where something has changed."""

    def __init__(self, seconds: float, stream: Any) -> None:
        self._seconds = seconds
        self._stream = stream
        self._last = time.monotonic() - seconds
        self._texts: dict[str, str] = {}

    def show(self, rows: Sequence[tuple[str, Union[Counts, Work]]], is_over: bool) -> bool:
        """Shows rows, or does not yet. Returns whether it did."""
        now = time.monotonic()
        if now - self._last < self._seconds and not is_over:
            return False
        self._last = now
        for name, counts in rows:
            text = counts.text()
            if self._texts.get(name) != text:
                self._texts[name] = text
                file = self._stream or sys.stderr
                if file is not None:  # `print` would take standard output instead
                    print(f"{name}: {text}", file=file, flush=True)
        return True


class _Bars:
    """Bars of `rich`: in a terminal below what is written meanwhile, in a notebook in its cell."""

    def __init__(self, console: Any) -> None:
        progress: Any = importlib.import_module("rich.progress")
        self._escape = importlib.import_module("rich.markup").escape
        self._bars = progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[text]}"),
            console=console,
            transient=False,
        )
        # In a notebook, rich would need ipywidgets, and take over what tasks write.
        self._is_cell = console.is_jupyter
        self._shown: Any = None
        if not self._is_cell:
            self._bars.start()
        self._known: dict[str, Any] = {}

    def show(self, rows: Sequence[tuple[str, Union[Counts, Work]]], is_over: bool) -> bool:
        for name, counts in rows:
            if name not in self._known:
                self._known[name] = self._bars.add_task(self._escape(name), text="")
            self._bars.update(
                self._known[name], total=counts.total, completed=counts.done, text=counts.text()
            )
        if self._is_cell:
            table = self._bars.make_tasks_table(self._bars.tasks)
            if self._shown is None:
                display: Any = importlib.import_module("IPython.display").display
                self._shown = display(table, display_id=True)
            else:
                self._shown.update(table)
        elif is_over:
            self._bars.stop()
        return True
