"""How many submitted calls run at once, which of them is next, and the threads they run in.

    add ─► Lane of a chain: those that a waiting call needs, then the others, as they became ready
             │ as many as the chain, and its configuration, allow
             ▼
           a thread: one for each call that runs, none for one that waits to begin

A call that waits for another one does not count. When nothing is free, each running call may have
one of those that it has submitted itself run beyond the bound, so that calls never wait for ever.
"""

from __future__ import annotations

import itertools
import threading
from collections import deque
from collections.abc import Sequence
from queue import Empty, SimpleQueue
from typing import Any, Optional

from .._system.interrupts import Deferred
from ..config import Configuration
from ..errors import ProgramEndedError
from .lanes import OVER, READY, RUNNING, WAITING, Flight, Lane, Passenger, unfinished

# A thread without work ends after so long.
_IDLE_SECONDS = 10.0
# Whoever frees objects while it is held may come back here, in the same thread.
lock = threading.RLock()
numbers = itertools.count()
_idle: list[SimpleQueue[Passenger]] = []
# Calls for which there is no thread, to be run by whoever waits for all.
_left: list[Passenger] = []
# Those that fail for it, once the lock is free: what is told of it may wait for other threads.
_refused: deque[tuple[Passenger, BaseException]] = deque()
_here = threading.local()


def lane_of(configuration: Configuration, name: str) -> Lane:
    """Returns the lane of a chain, which is made on first use and when the chain was replaced."""
    if is_stopped:
        raise ProgramEndedError(
            "No call can be submitted any more: the program is ending, and what was submitted "
            "before is finished. Call the task directly."
        )
    chain = configuration.get_advice_chain(name)
    flight: Any = configuration._flight
    lane: Optional[Lane] = None if flight is None else flight.lanes.get(name)
    if lane is not None and lane.chain is chain:
        if flight.limit != configuration._max_in_flight:
            flight.limit = configuration._max_in_flight
        return lane
    with lock:
        flight = configuration._flight
        if flight is None:
            flight = configuration._flight = Flight()
        flight.limit = configuration._max_in_flight
        lane = flight.lanes.get(name)
        if lane is None:
            lane = flight.lanes[name] = Lane(flight, chain)
        else:
            lane.replace(chain)
    assert isinstance(lane, Lane)
    return lane


def add(call: Passenger) -> None:
    lane = call.lane
    with lock:
        if call.state != WAITING:
            return
        call.number = next(numbers)
        lane.put(call)
        call.state = READY
        # The thread that has just ended a call takes the next one itself.
        if lane.has_room() and getattr(_here, "landing", None) is not lane.flight:
            _dispatch(lane.flight)
        parent = call.parent
        if parent is not None and call.state == READY and parent.state == RUNNING:
            if parent.children is None:
                parent.children = deque()
            parent.children.append(call)
            _run_beyond(parent)
    _refuse()


def _dispatch(flight: Flight) -> None:
    while True:
        call = _next(flight)
        if call is None:
            return
        # Ctrl-C in between would keep the place taken for ever.
        with Deferred():
            _take_place(call)
            _in_a_thread(call)


def _next(flight: Flight) -> Optional[Passenger]:
    return None if is_stopped else flight.next()


def _take_place(call: Passenger) -> None:
    lane = call.lane
    _begin(call)
    call.counts = True
    lane.running += 1
    lane.flight.running += 1
    lane.head()  # lets go of it


def _begin(call: Passenger) -> None:
    call.state = RUNNING
    if call.parent is not None:
        call.parent.active += 1


def _give_place(call: Passenger) -> None:
    """Gives the place of a call away: to one that it has running beyond the bound, if it has."""
    call.counts = False
    lane, extra = call.lane, call.extra
    while extra is not None and extra.state == RUNNING and extra.lane is lane and not extra.counts:
        if not extra.waits:
            extra.counts = True
            return
        extra = extra.extra  # one that waits itself needs no place
    lane.running -= 1
    lane.flight.running -= 1


def _run_beyond(parent: Passenger) -> None:
    """Has one call of a parent run if none does and nothing is free: the parent may wait for it."""
    children = parent.children
    while children and not parent.active and not parent.has_given and parent.state == RUNNING:
        call = children.popleft()
        if call.state == READY:
            _begin(call)
            parent.extra = call
            _in_a_thread(call)


def begin_wait(me: Optional[Passenger], awaited: Sequence[Passenger]) -> Optional[Passenger]:
    """Notes that a running call waits for others; returns it if it does."""
    landing = getattr(_here, "landing", None)
    if landing is not None:
        _here.landing = None
        with lock:
            _dispatch(landing)
        _refuse()
    if me is None:
        # A callback of its future may wait, while the call that has ended still has its place.
        me = getattr(_here, "ended", None)
    if me is None:
        return None
    with lock:
        if me.state != RUNNING:
            return None
        for call in awaited:
            _hurry(call)
        me.waits += 1
        # Calls of its own run beyond the bound.
        keeps_place = me.keeps_place and any(call.parent is me for call in awaited)
        if me.counts and not keeps_place:
            me.has_given = True
            _give_place(me)
        _dispatch(me.lane.flight)
    _refuse()
    return me


def end_wait(me: Passenger) -> None:
    """Notes that the wait is over. The call goes on at once, whatever the bound."""
    with lock:
        me.waits -= 1
        if me.has_given and not me.waits:
            me.has_given, me.counts = False, True
            me.lane.running += 1
            me.lane.flight.running += 1
            _run_beyond(me)
    _refuse()


def _hurry(call: Passenger) -> None:
    todo = [call]
    while todo:
        one = todo.pop()
        if one.is_urgent or one.state >= RUNNING:
            continue
        one.is_urgent = True
        if one.state == READY:
            one.lane.put(one)
        else:
            todo.extend(one.needed())


def leave(call: Passenger) -> bool:
    """Takes a call out that has not begun; returns whether it had not."""
    with lock:
        had_not = call.state < RUNNING
        if had_not:
            call.state = OVER
            unfinished.discard(call)
            call.lane.head()
            if has_waiters:
                changed.notify_all()
    return had_not


def begin_landing(call: Passenger, is_short: bool) -> None:
    """Has what becomes ready from now on wait until this thread takes its next call, if soon."""
    _here.landing, _here.ended = call.lane.flight if is_short else None, call


def _land(call: Passenger) -> Optional[Passenger]:
    """Frees the place of a call that is over; returns the one that this thread runs next."""
    flight, parent = call.lane.flight, call.parent
    with lock:
        _here.landing = _here.ended = None
        _is_over(call)
        following = _next(flight)
        if following is not None:
            _take_place(following)
            _dispatch(flight)
        if parent is not None:
            _run_beyond(parent)
    _refuse()
    return following


def _is_over(call: Passenger) -> None:
    parent = call.parent
    call.state = OVER
    unfinished.discard(call)
    if call.counts:
        _give_place(call)
    if parent is not None:
        parent.active -= 1
        if parent.extra is call:
            parent.extra = None
    call.parent = call.children = call.extra = None
    if has_waiters:
        changed.notify_all()


def _in_a_thread(call: Passenger) -> None:
    if _idle:
        _idle.pop().put(call)
        return
    inbox: SimpleQueue[Passenger] = SimpleQueue()
    # Not as an argument of the thread, which keeps those.
    inbox.put(call)
    try:
        threading.Thread(target=_serve, args=(inbox,), name="bandsaw-call", daemon=True).start()
    except RuntimeError as error:
        if has_waiters:
            # Python 3.12.0 and 3.12.1 begin no thread any more once the script is over.
            _left.append(call)
            changed.notify_all()
            return
        _refused.append((call, error))
        # Who has it begin goes on with the next one: there may be thousands.
        _is_over(call)


def _refuse() -> None:
    while _refused:
        try:
            call, error = _refused.popleft()
        except IndexError:
            return  # another thread was faster
        call.refuse(error)


def _serve(inbox: SimpleQueue[Passenger]) -> None:
    while True:
        try:
            call = inbox.get(timeout=_IDLE_SECONDS)
        except Empty:
            with lock:
                if inbox in _idle:
                    _idle.remove(inbox)
                    return
            continue
        _run(call)
        with lock:
            _idle.append(inbox)


def _run(call: Optional[Passenger]) -> None:
    """Runs a call, and those that it makes room for."""
    while call is not None:
        call.run()
        call = _land(call)


# At the end of the program

has_waiters = False
is_stopped = False
# Told when a call is over.
changed = threading.Condition(lock)


def stop() -> None:
    """Has no call begin any more."""
    global is_stopped
    is_stopped = True


def wait_for_all(seconds: Optional[float]) -> bool:
    """Waits until nothing runs or is ready; returns whether calls are left that wait for others."""
    global has_waiters
    while True:
        with lock:
            has_waiters = True
            changed.wait_for(_nothing_runs, seconds)
            if not _left:
                return bool(unfinished)
            call = _left.pop()
        _run(call)


def _nothing_runs() -> bool:
    return bool(_left) or all(call.state == WAITING for call in list(unfinished))


def forget_parent() -> list[Passenger]:
    """Begins anew in a process that was forked; returns the calls that are the parent's."""
    global lock, changed
    lock = threading.RLock()
    changed = threading.Condition(lock)
    lost = list(unfinished)
    unfinished.clear()
    _idle.clear()
    _left.clear()
    _refused.clear()
    for call in lost:
        call.state = OVER
        flight = call.lane.flight
        flight.lanes.clear()
        flight.running = 0
    return lost
