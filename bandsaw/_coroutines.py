"""Coroutines of tasks: run on the event loop of who awaits the call, or on one of their own.

await f(x) ─► the chain, in a thread ─► finished(coroutine) ─► the caller's loop runs it
"""

from __future__ import annotations

from contextvars import ContextVar
from types import CoroutineType
from typing import Any, Optional

_CO_COROUTINE = 0x80


class Caller:
    """Who awaits a call."""

    __slots__ = ("call", "inner", "loop")

    def __init__(self, loop: Any) -> None:
        self.loop = loop  # the event loop
        self.call: Any = None
        self.inner: Any = None  # the coroutine on its way there, as a `concurrent.futures.Future`


# Where a coroutine of this context is awaited, `None` for nowhere.
caller: ContextVar[Optional[Caller]] = ContextVar("bandsaw_caller", default=None)


def is_coroutine_function(function: Any) -> bool:
    """Whether a plain function was written with `async def`, and is no generator."""
    return bool(function.__code__.co_flags & _CO_COROUTINE)


def finished(function: Any, value: Any) -> Any:
    """Returns what a function returned, for a coroutine function the value of its coroutine."""
    if type(value) is not CoroutineType or not is_coroutine_function(function):
        return value
    import asyncio

    awaiting = caller.get()
    if awaiting is None:
        return asyncio.run(value)
    awaiting.inner = asyncio.run_coroutine_threadsafe(value, awaiting.loop)
    error = awaiting.inner.exception()
    if error is not None:  # `result` takes one that counts as false for none
        raise error
    return awaiting.inner.result()
