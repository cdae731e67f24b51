"""What the executors of engines have in common."""

from __future__ import annotations

import abc
import contextlib
import importlib
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from typing import Any, Callable, Optional

from .._system.processes import in_forked_processes
from .._workers.executor.engine import Engine
from ..errors import WorkerStartError


class EngineExecutor(abc.ABC):
    """An executor whose calls have options, under the engine's own names.

    Attributes:
        engine: The name of the engine.
        package: What it takes to be installed.
        task_options: The options that a call may have.
        max_in_flight: How many calls it is given at once. More wait here.
    """

    engine: str
    package: str
    task_options: tuple[str, ...] = ()
    max_in_flight: int = 100
    # How much work of small calls one submission is worth.
    _pack_seconds = 0.1

    def __init__(self) -> None:
        _all.add(self)
        self._start_anew()

    def _start_anew(self) -> None:
        """Begins with nothing, also in a forked process: what is there is the parent's."""
        self._lock = threading.Lock()
        self._failure = 0.0, ""  # when the engine could not be reached last, and why

    @contextlib.contextmanager
    def _reaching(self) -> Iterator[None]:
        """Holds the lock while the engine is reached; whoever waited for it shares a failure."""
        asked = time.monotonic()
        with self._lock:
            failed, why = self._failure
            if failed > asked:
                raise ConnectionError(why)
            try:
                yield
            except Exception as error:
                self._failure = time.monotonic(), f"{type(error).__name__}: {error}"
                raise

    def submit(self, function: Callable[..., Any], /, *args: Any) -> Future[Any]:
        """Submits a call without options.

        Args:
            function: The function.
            *args: Its arguments.

        Returns:
            What will hold its result.
        """
        return self.submit_with({}, function, *args)

    @abc.abstractmethod
    def submit_with(
        self, options: Mapping[str, Any], function: Callable[..., Any], *args: Any
    ) -> Future[Any]:
        """Submits a call with options.

        Args:
            options: The options.
            function: The function.
            *args: Its arguments.

        Returns:
            What will hold its result.
        """

    @abc.abstractmethod
    def _kill(self, call: str, future: Optional[Future[Any]]) -> None:
        """Has a call never begin there, or ended if it has."""

    @abc.abstractmethod
    def _withhold(self, call: str, future: Optional[Future[Any]]) -> bool:
        """Has a call never begin; returns whether that is sure."""

    def _ask_all(self, seconds: float, *what: Any) -> list[Any]:
        """Calls a function in each worker, or where there are none before there are calls, in one.

        Returns what it returned.
        """
        future = self.submit(*what)
        try:
            return [future.result(seconds)]
        finally:
            self._kill("", future)

    def _bandsaw_engine(self, **more: Any) -> Engine:
        return Engine(
            type(self).__name__,
            self.submit_with,
            self._kill,
            self._withhold,
            kind=self.engine,
            pack_seconds=self._pack_seconds,
            # So that there are some for each worker.
            most_packed=max(1, self.max_in_flight // 4),
            **more,
        )

    def _imported(self, name: str) -> Any:
        try:
            return importlib.import_module(name)
        except ImportError as error:
            raise WorkerStartError(
                f"{type(self).__name__} needs the package {self.package!r}: "
                f"pip install 'bandsaw[{self.engine}]' ({error})"
            ) from error

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


_all: weakref.WeakSet[EngineExecutor] = weakref.WeakSet()


@in_forked_processes
def _let_go() -> None:
    for executor in list(_all):
        executor._start_anew()


def in_thread(function: Callable[[], Any], lasts: bool = False) -> Future[Any]:
    """Calls what may never come back; nobody has to wait for it.

    `lasts`: whether the thread lives as long as the process, if no error is raised.
    """
    future = begun_future()

    def run() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)
        else:
            if lasts:
                threading.Event().wait()

    threading.Thread(target=run, daemon=True, name="bandsaw-engine").start()
    return future


def begun_future() -> Future[Any]:
    """Returns a future of which only the engine knows whether its call has begun."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    return future
