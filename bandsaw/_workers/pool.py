"""Warm processes, which are reused: the one that was used last is used next."""

from __future__ import annotations

import logging
import threading
import time
import weakref
from typing import Any, Callable, Optional

from .._system import ending
from .._system.processes import in_forked_processes
from .child import Child
from .near_fork_server import ProcessKind

# How long processes may take to end by themselves, when this one ends or for their age.
_SECONDS_TO_END = 5.0
_LOOK_SECONDS = 1.0
# As long as calls follow each other so soon, they do not look at a process before they send to it.
_TRUSTED_SECONDS = 0.001
logger = logging.getLogger(__name__)


class Worker:
    """A process that goes on with one session after the other.

    Its place in the pool is free again at the latest when nobody refers to it any more.
    """

    child: Child

    def __init__(self, pool: Pool) -> None:
        self.calls = 0  # how many sessions it was given
        # The calls that it knows, with their numbers, by their keys: see `repeat_calls`.
        self.shapes: dict[Any, tuple[int, Any]] = {}
        # Until when nobody looks whether it has ended. If it has, the call is begun again with
        # another one.
        self.trusted_until = 0.0
        self._pool: Optional[Pool] = pool
        pool._count += 1

    def leave(self) -> None:
        pool, self._pool = self._pool, None
        if pool is not None:
            with pool._lock:
                pool._count -= 1
                pool._changed.notify()

    __del__ = leave


class Pool:
    """Keeps warm processes, each for `max_tasks` sessions, `None` for any number."""

    def __init__(self, size: int, max_tasks: Optional[int]) -> None:
        self._size = size
        self._max_tasks = max_tasks
        # Where the last call went, for the next one if nothing has changed.
        self.carrier: Any = None
        self._start_anew()
        _pools.add(self)

    def _start_anew(self) -> None:
        # Taken itself, and not by the condition: an interrupt there would leave it taken.
        self._lock = threading.RLock()
        self._changed = threading.Condition(self._lock)
        self._idle: list[Worker] = []
        self._count = 0
        # How many threads wait for a process.
        self.waiting = 0

    def take(self, kind: ProcessKind, start: Callable[[], Child]) -> Worker:
        """Takes a process to be given back or dropped, and waits while all are in use."""
        while True:
            with self._lock:
                while not self._idle and self._count >= self._size:
                    if ending.is_ended():
                        raise ending.EndedError
                    # An interrupt may keep somebody from telling.
                    self.waiting += 1
                    try:
                        self._changed.wait(_LOOK_SECONDS)
                    finally:
                        self.waiting -= 1
                is_new = not self._idle
                worker = Worker(self) if is_new else self._idle.pop()
            if is_new:
                try:
                    worker.child = start()
                    return worker
                except BaseException:
                    worker.leave()
                    raise
            try:
                if worker.child.kind == kind and (
                    time.monotonic() < worker.trusted_until or worker.child.seems_alive()
                ):
                    return worker
            except BaseException:
                self.drop(worker)
                raise
            logger.debug("The process %s is replaced.", worker.child.pid)
            self.drop(worker)

    def wake(self) -> None:
        """Has those who wait look whether their calls were ended."""
        with self._lock:
            self._changed.notify_all()

    def give(self, worker: Worker) -> None:
        if self._max_tasks is not None and worker.calls >= self._max_tasks:
            worker.child.retire(time.monotonic() + _SECONDS_TO_END)
            self.drop(worker)
            return
        worker.trusted_until = time.monotonic() + _TRUSTED_SECONDS
        with self._lock:
            self._idle.append(worker)
            if self.waiting:
                self._changed.notify()

    def drop(self, worker: Worker) -> None:
        try:
            worker.child.end()
        finally:
            worker.leave()

    def close(self) -> None:
        """Ends the processes that wait. They may do what is registered for their end."""
        with self._lock:
            idle, self._idle = self._idle, []
        for worker in idle:
            worker.child.dismiss()
        deadline = time.monotonic() + _SECONDS_TO_END
        for worker in idle:
            worker.child.retire(deadline)
            self.drop(worker)


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


@ending.at_exit
def close_all() -> None:
    """Ends the processes of all pools. Called before the fork servers are ended."""
    for pool in list(_pools):
        pool.close()


@in_forked_processes
def _let_go() -> None:
    # The processes are the parent's, and a thread of the parent may have held a lock.
    for pool in list(_pools):
        pool._start_anew()
