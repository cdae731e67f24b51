"""The near end of a process for tasks: its messages, its output and its end, in one loop."""

from __future__ import annotations

import abc
import contextlib
import os
import select
import socket
import time
import weakref
from collections.abc import Mapping
from typing import Any, Callable, Optional

from .._system.interrupts import Deferred
from .._system.output import Output, last_lines
from .._system.processes import in_forked_processes, kill_group
from ..errors import BandsawError, ProtocolError
from . import frames, notices
from .ends import NO_SIGNAL, Ends
from .frames import BYE, EVENT, HEARTBEAT, LOG, WARNING, Channel, DeadlineError, Frame, Message

# A process that has closed its channel is about to end; one that is not is ended. That it has ended
# is told by another process, which may be kept waiting.
_SECONDS_TO_END = 5.0
# The most that is waited for something that has been killed.
_SECONDS_TO_DIE = 10.0
_READ = 65536


# What a forked process has to close.
_open: weakref.WeakSet[Child] = weakref.WeakSet()


class Child(abc.ABC):
    """A process of tasks; at last `closed` is told whether its fork server was found gone."""

    # On the class is what few change: many children wait at once, and one with more than thirty
    # attributes of its own takes five times as much memory.
    # Makes an error of what happened to it, if its machine can no longer be reached.
    loss: Optional[Callable[[str], BandsawError]] = None
    # Its process id, `None` as long as the fork server has not said it.
    pid: Optional[int] = None
    # How it ended, negative for a signal; `None` if it runs, or nobody knows.
    returncode: Optional[int] = None
    start_error: Optional[int] = None  # the `errno` for which it could not be started
    is_over = False  # whether it has ended
    is_cancelled = False  # whether it was ended from here
    is_heard = False  # whether it has sent anything
    has_answered = False  # whether it has gone on with a session before
    has_read = True  # whether it may have read all that was sent to it last
    _has_channel = True
    _lost_at = 0.0
    _is_lost = False

    def __init__(
        self, kind: Any, host: str, closed: Callable[[bool], None], told: Mapping[str, Any]
    ) -> None:
        self.kind = kind
        self.host = host
        self.told = dict(told)  # what it knows of the state of this process
        self._closed: Optional[Callable[[bool], None]] = closed
        self._out = Output("stdout")
        self._errors = Output("stderr")
        # Few at once, and an empty deque takes ten times as much memory.
        self._frames: list[Frame] = []
        _open.add(self)

    @abc.abstractmethod
    def send(self, *messages: Message, deadline: Optional[float] = None) -> None:
        """Sends messages. See `Channel.send`."""

    @abc.abstractmethod
    def cancel(self) -> None:
        """Has the fork server end the process and all that it started."""

    def take(self) -> Optional[Frame]:
        """Takes a message that has arrived already."""
        return self._frames.pop(0) if self._frames else None

    def _stalls_at(self) -> Optional[float]:
        """Says when a message that has begun to come counts as stalled, `None` if none has."""
        return None

    def _seconds_left_to_close(self) -> float:
        """Says how long the channel of a process that is over may take to be closed."""
        return 0.0

    @abc.abstractmethod
    def _step(self, seconds: Optional[float]) -> bool:
        """Waits until something can be read, and reads it; returns whether there was anything."""

    @abc.abstractmethod
    def _let_go(self) -> None:
        """Closes what is open here."""

    def abandon(self) -> None:
        """Closes what is the parent's, in a process that was forked."""

    def _channel_is_closed(self) -> None:
        self._has_channel, self._lost_at = False, time.monotonic()

    def _take_event(self, data: bytes) -> None:
        """Takes a message of the second socket, nothing at its end."""
        if len(data) < EVENT.size:
            # The fork server is gone, and with it whoever knew more.
            self.is_over = self._is_lost = True
            self._lost_at = time.monotonic()
            return
        letter, number = EVENT.unpack(data)
        if letter == b"P":
            self.pid = number
        elif letter == b"N":
            self.has_read = False
        elif letter == b"E":
            self.start_error, self.is_over = number, True
        elif letter == b"X":
            self.returncode, self.is_over = number, True

    def _take_told(self, letter: bytes, data: bytes) -> None:
        """Takes what another machine has said of the process, or what the process has written."""
        if letter == b"S":
            self._take_event(data)
        elif letter == b"O":
            self._out.take(data)
        elif letter == b"R":
            self._errors.take(data)

    def next(self, deadline: Optional[float] = None) -> Optional[Frame]:
        """Waits for the next message, `None` at the end, and passes on what the process writes."""
        while True:
            frame = self.take()
            if frame is not None:
                return frame
            if self.is_over:
                if not self._step(self._seconds_left_to_close()):
                    return None
                continue
            limit = deadline
            stalls_at = self._stalls_at() if self._has_channel else None
            if not self._has_channel and not self.is_cancelled:
                lost = self._lost_at + _SECONDS_TO_END
                limit = lost if limit is None else min(limit, lost)
            if stalls_at is not None and (limit is None or stalls_at < limit):
                limit = stalls_at
            left = None if limit is None else limit - time.monotonic()
            if left is None or left > 0:
                self._step(left)
            elif limit == stalls_at:
                # This process may have been stopped itself, and something come meanwhile.
                self._step(0.0)
                if self._stalls_at() == stalls_at and not self.is_over:
                    raise frames.stalled("there came", frames.STALLED_SECONDS)
            elif limit == deadline:
                raise DeadlineError
            else:
                self.cancel()

    def drain(self) -> None:
        while self._step(0.0):
            pass

    def said(self) -> tuple[list[Frame], bool]:
        """Takes what a process has said that waits for work, and whether it still does."""
        self.drain()
        said: list[Frame] = []
        while (frame := self.take()) is not None:
            if frame.kind not in (HEARTBEAT, LOG, WARNING):
                frame.discard()
                return said, False
            said.append(frame)
        return said, self._has_channel and not self.is_over

    def seems_alive(self) -> bool:
        """Looks whether anything says that a process that waits for work will not take it."""
        said, waits = self.said()
        try:
            for frame in said:
                notices.pass_on(frame, "", self.host)
        except ProtocolError:
            return False  # what says this takes no work
        return waits

    def finish(self, deadline: Optional[float] = None, task: str = "") -> None:
        """Waits for the end of the process, and passes on what is logged there until then."""
        while (frame := self.next(deadline)) is not None:
            notices.pass_on(frame, task, self.host)
            frame.discard()

    def dismiss(self) -> None:
        """Says that nothing more will be asked of the process, so that it ends by itself."""
        with contextlib.suppress(Exception):
            self.send((BYE, (), None))

    def retire(self, deadline: float) -> None:
        self.dismiss()
        with contextlib.suppress(Exception):
            self.finish(deadline)

    def end(self) -> None:
        """Ends the process if it runs, and gives up all that belongs to it."""
        try:
            # Once it is closed, the numbers of its descriptors may be those of others.
            if not self.is_over and self._closed is not None:
                self.cancel()
                with contextlib.suppress(Exception):
                    self.finish(time.monotonic() + _SECONDS_TO_DIE)
            with contextlib.suppress(Exception):
                # One that has ended by itself was not listened to until its end.
                while (frame := self.take()) is not None:
                    notices.pass_on(frame, "", self.host)
                    frame.discard()
        finally:
            self.close()

    def close(self) -> None:
        """Closes what is open here. The fork server ends a process that still runs."""
        with Deferred():
            closed, self._closed = self._closed, None
            if closed is not None:
                _open.discard(self)
                self._let_go()
                closed(self._is_lost)

    def tails(self) -> tuple[str, str]:
        return last_lines(self._out.kept), last_lines(self._errors.kept)

    def forget_output(self) -> None:
        """Has the last lines be those of the next call only."""
        self._out.kept = self._errors.kept = b""


class LocalChild(Child):
    def __init__(
        self, ends: Ends, kind: Any, closed: Callable[[bool], None], told: Mapping[str, Any]
    ) -> None:
        super().__init__(kind, socket.gethostname(), closed, told)
        channel, self._status, out, errors = self._ends = ends
        self._channel = Channel(channel)
        self._poll = select.poll()
        # Not methods of this object, which would then be referred to by itself.
        self._readers: dict[int, Callable[[LocalChild], bool]] = {
            # `poll` looks at them in this order: when it finds a message, it also finds what was
            # written before that.
            channel.fileno(): LocalChild._read_channel,
            out: lambda child: _pump(out, child._out),
            errors: lambda child: _pump(errors, child._errors),
            self._status.fileno(): LocalChild._read_status,
        }
        for descriptor in self._readers:
            os.set_blocking(descriptor, descriptor == channel.fileno())
            self._poll.register(descriptor, select.POLLIN)

    def send(self, *messages: Message, deadline: Optional[float] = None) -> None:
        try:
            self._channel.send(*messages, deadline=deadline, patience=frames.STALLED_SECONDS)
        except OSError:
            # The system may have no room for it: a process that lives would be waited for for ever.
            self._channel_is_closed()
            raise

    def cancel(self) -> None:
        self.is_cancelled = True
        with contextlib.suppress(OSError):
            self._status.send(EVENT.pack(b"K", 0), NO_SIGNAL)

    def take(self) -> Optional[Frame]:
        return self._channel.next()

    def _stalls_at(self) -> Optional[float]:
        return self._channel.stalls_at

    def _seconds_left_to_close(self) -> float:
        # It is killed when its fork server dies, a moment later. Only then the channel says whether
        # the process had read what was sent to it.
        if not (self._is_lost and self._has_channel):
            return 0.0
        # Where it was killed for sure, a busy machine may take its time.
        seconds = _SECONDS_TO_END if self.pid is None else _SECONDS_TO_DIE
        return max(0.0, self._lost_at + seconds - time.monotonic())

    def _step(self, seconds: Optional[float]) -> bool:
        if seconds is not None:
            seconds = min(seconds, frames.LONGEST_WAIT_SECONDS)
        ready = self._poll.poll(None if seconds is None else seconds * 1000)
        if len(ready) > 1 and ready[0][0] == self._channel.fileno():
            ready.append(ready.pop(0))  # what was written before a message is passed on before it
        for descriptor, _ in ready:
            if not self._readers[descriptor](self):
                self._poll.unregister(descriptor)
        return bool(ready)

    def _read_channel(self) -> bool:
        try:
            with Deferred():
                self._channel.read()
        except (EOFError, OSError):
            self._channel_is_closed()
            self.has_read = self.has_read and not self._channel.was_unread
            return False
        return True

    def _read_status(self) -> bool:
        try:
            data = self._status.recv(EVENT.size, socket.MSG_WAITALL)
        except BlockingIOError:
            return True
        except OSError:
            data = b""
        self._take_event(data)
        if self._is_lost and self.pid is not None and self.returncode is None:
            kill_group(self.pid)
        return not self.is_over

    def _let_go(self) -> None:
        with contextlib.suppress(OSError):
            self._channel.close()
        self._ends.close()

    def __del__(self) -> None:
        # An interrupt may have come before the caller knew of the process.
        if getattr(self, "_closed", None) is not None and self in _open:
            with contextlib.suppress(Exception):
                self.close()

    def abandon(self) -> None:
        self._let_go()


def _pump(descriptor: int, output: Output) -> bool:
    """Reads an output once, and returns whether there may be more."""
    try:
        data = os.read(descriptor, _READ)
    except BlockingIOError:
        return True
    except OSError:
        return False  # a task has closed it
    output.take(data)
    return bool(data)


@in_forked_processes
def _let_go() -> None:
    # They are the parent's. What holds their sockets open keeps their ends from being noticed.
    for child in list(_open):
        child.abandon()
    _open.clear()
