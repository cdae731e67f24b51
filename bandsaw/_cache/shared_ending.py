"""Lets drivers work until the last call of a program: executors of Python end before that.

Calls that were submitted run on when the script is over, and have their results sent. Drivers that
work in an event loop look up names of hosts in its executor, which takes nothing any more then.
"""

from __future__ import annotations

import threading
import weakref
from concurrent.futures import Future

# Loaded with the configuration: it cannot be loaded any more when the script is over.
from concurrent.futures.thread import ThreadPoolExecutor
from typing import Any, Callable

_prepared: weakref.WeakSet[Any] = weakref.WeakSet()


class _Executor(ThreadPoolExecutor):
    """Takes calls also when Python has ended its executors."""

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        try:
            return super().submit(function, *args, **kwargs)
        except RuntimeError:
            future: Future[Any] = Future()

            def run() -> None:
                try:
                    future.set_result(function(*args, **kwargs))
                except BaseException as error:
                    future.set_exception(error)

            threading.Thread(target=run, name="bandsaw-shared-last", daemon=True).start()
            return future


def prepare(system: Any) -> None:
    """Has the event loop of a file system, if it has one, use such an executor."""
    loop = getattr(system, "loop", None) if getattr(system, "async_impl", False) else None
    if loop is not None and loop not in _prepared:
        _prepared.add(loop)
        loop.call_soon_threadsafe(loop.set_default_executor, _Executor())
