"""A task that is awaited: its chain is walked in a thread, and the event loop goes on."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Callable

from .. import _coroutines
from .._coroutines import Caller
from . import calls, flight, lanes


def lane_of(configuration: Any, name: str) -> lanes.Lane:
    """Returns the lane of a chain; without a bound where calls stay in this process."""
    lane = flight.lane_of(configuration, name)
    if lane.leaves_the_process:
        return lane
    with flight.lock:
        unbounded = _unbounded.lanes.get("")
        if unbounded is None:
            unbounded = _unbounded.lanes[""] = lanes.Lane(_unbounded, ())
            unbounded.limit = sys.maxsize
    return unbounded


# Calls that run on the loop of who awaits them take no room.
_unbounded = lanes.Flight()


async def awaited(
    function: Callable[..., Any],
    task: Any,
    lane: lanes.Lane,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> Any:
    """Has a function called in a thread, and waits for its value.

    The coroutine of the task runs on the loop of the caller if it runs in this process.
    """
    caller = Caller(asyncio.get_running_loop())
    before = _coroutines.caller.set(caller)
    try:
        call = caller.call = calls.SubmittedCall(function, task, lane, args, kwargs, False)
    finally:
        _coroutines.caller.reset(before)
    future = call.board()
    try:
        return await asyncio.wrap_future(future)
    except asyncio.CancelledError:
        # One that has not begun is cancelled by now.
        future.kill()
        if caller.inner is not None:
            caller.inner.cancel()
        future.add_done_callback(_is_known)
        raise


def _is_known(future: Any) -> None:
    if not future.cancelled():
        future.exception()
