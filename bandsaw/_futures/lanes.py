"""Submitted calls on their way to a thread: their states, and the order in which they begin.

A configuration has a flight, and the flight a lane for each chain.
"""

from __future__ import annotations

import contextlib
import heapq
import os
from collections import deque
from collections.abc import Sequence
from typing import Any, Optional

from ..errors import InvalidValueError

WAITING, READY, RUNNING, OVER = range(4)
# All calls that have boarded and are not over.
unfinished: set[Passenger] = set()


class Passenger:
    """A call on its way through a lane."""

    __slots__ = (
        "active",
        "children",
        "counts",
        "extra",
        "has_given",
        "is_urgent",
        "keeps_place",
        "lane",
        "number",
        "parent",
        "state",
        "waits",
    )

    def __init__(self, lane: Lane, parent: Optional[Passenger]) -> None:
        self.lane = lane
        self.parent = parent  # the running call that has submitted it, if one has
        self.state = WAITING  # `WAITING` for others, `READY`, `RUNNING` or `OVER`
        self.number = 0  # its place in the order in which calls became ready
        self.is_urgent = False  # whether a waiting call needs it
        self.counts = False  # whether it takes one of the places of its lane
        self.waits = 0  # how many waits for other calls are going on in it
        self.has_given = False  # whether it has given its place away for that time
        # Whether it holds a thread of a pool: who got its place could wait there for that thread.
        self.keeps_place = False
        self.active = 0  # how many of the calls that it has submitted run
        # The one of them that was begun last beyond the bound.
        self.extra: Optional[Passenger] = None
        # Those of them that were ready when nothing was free.
        self.children: Optional[deque[Passenger]] = None

    def run(self) -> None:
        raise NotImplementedError

    def refuse(self, error: BaseException) -> None:
        """Has the call fail: there is no thread for it."""
        raise NotImplementedError

    def needed(self) -> Sequence[Passenger]:
        """Returns the calls that it waits for."""
        raise NotImplementedError


class Lane:
    """The submitted calls of one chain.

    Attributes:
        flight: All lanes of the configuration.
        chain: The advices.
        limit: How many calls may run at once.
        leaves_the_process: Whether an advice of the chain says how many calls it takes.
        crosses: Whether an advice of ours brings the calls to other processes.
        running: How many places are taken.
    """

    def __init__(self, flight: Flight, chain: Sequence[Any]) -> None:
        self.flight = flight
        self.replace(chain)
        self.running = 0
        self._urgent: list[tuple[int, Passenger]] = []
        self._ready: deque[Passenger] = deque()

    def replace(self, chain: Sequence[Any]) -> None:
        """Has the calls go through another chain from now on, if it says well how many it takes."""
        who_says = next((one for one in chain if hasattr(one, "max_in_flight")), None)
        self.limit, self._is_sure = _limit_of(who_says)
        self.chain = chain
        self._who_says = who_says
        self.leaves_the_process = who_says is not None
        self.crosses = any(getattr(type(one), "_crosses", False) for one in chain)

    def look(self) -> None:
        """Sees how many calls the chain takes: an executor may have been made since."""
        # An error would end a thread that takes its next call, and the rest would wait for ever.
        with contextlib.suppress(Exception):
            self.limit, self._is_sure = _limit_of(self._who_says)

    def has_room(self) -> bool:
        if not self._is_sure:
            self.look()
        return self.running < self.limit

    def put(self, call: Passenger) -> None:
        if call.is_urgent:
            heapq.heappush(self._urgent, (call.number, call))
        else:
            self._ready.append(call)

    def head(self) -> Optional[Passenger]:
        while self._urgent:
            call = self._urgent[0][1]
            if call.state == READY:
                return call
            heapq.heappop(self._urgent)
        while self._ready:
            call = self._ready[0]
            if call.state == READY:
                return call
            self._ready.popleft()
        return None


class Flight:
    """The submitted calls of a configuration."""

    def __init__(self) -> None:
        self.limit: Optional[int] = None  # how many may run at once in all lanes together
        self.lanes: dict[str, Lane] = {}  # the lanes by the names of their chains
        self.running = 0  # how many places are taken

    def next(self) -> Optional[Passenger]:
        """Returns the call that may begin next, if one may."""
        if self.limit is not None and self.running >= self.limit:
            return None
        found = None
        for lane in self.lanes.values():
            if lane.has_room():
                call = lane.head()
                if call is not None and (found is None or _order(call) < _order(found)):
                    found = call
        return found


def _order(call: Passenger) -> tuple[bool, int]:
    return not call.is_urgent, call.number


def _limit_of(advice: Any) -> tuple[int, bool]:
    """Returns how many calls an advice takes at once, and whether that stays so."""
    limit = getattr(advice, "max_in_flight", None)
    if limit is not None and not (type(limit) is int and limit > 0):
        raise InvalidValueError(
            f"{type(advice).__name__}.max_in_flight={limit!r} has to be a whole number "
            "above 0, or None for the number of processors."
        )
    return limit or _processors(), advice is None or limit is not None


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
