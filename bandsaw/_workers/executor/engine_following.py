"""Calls in the processes below an engine's worker, one after another.

calls ─► process of its own for each, or one that is kept: it gets short ones ahead
      ◄─ what happened in each, and how it ended
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections import deque
from collections.abc import Iterable
from typing import Any, Callable, Optional

from ...errors import ProtocolError, StalledError
from .. import bulk_files, frames
from ..child import Child
from ..frames import AGAIN, BYE, CODE, DONE, EVENT, FAILURE, LARGEST_BODY, RETURN, STATE
from .engine_memory import Given, shared_at, view
from .engine_processes import Events, Process, Processes

# From this size on it is worth to look whether memory is shared.
_WORTH_A_LOOK = 1 << 20
# Ray interrupts a worker with what is seen only when its main thread does not wait.
_SECONDS_TO_LOOK = 0.5
# Calls that are shorter are sent to a kept process while an earlier one runs there: so many, of so
# many bytes together, which its channel takes. Then they cannot be cancelled any more.
_SHORT_SECONDS = 0.01
_MOST_AHEAD, _MOST_AHEAD_BYTES = 16, 1 << 16
# So many processes are lost before they read a call until it is a failure.
_MOST_LOST = 5
# How long a process may take to end at its deadline.
_SECONDS_TO_DIE = 10.0
# So often a fork server is started for one that has just ended.
_MOST_STARTS = 3


class Following:
    """Calls that a worker runs with the same processes.

    `calls`: a name and messages each, taken as they are run. `begins`: has a call begin, by its
    name; returns another word than `begun` if it must not. `answer`: takes a name, and what came of
    that call: such a word, or what happened, how it ended, and how many seconds that took.
    """

    def __init__(
        self,
        processes: Processes,
        request: Any,
        calls: deque[tuple[str, Any]],
        begins: Callable[[str], str],
        answer: Callable[..., None],
    ) -> None:
        self._processes, self._request = processes, request
        self._calls, self._begins, self._answer = calls, begins, answer
        self._kept: Optional[int] = request["workers"]
        self._process: Any = None
        # What the process has; the first one runs.
        self._sent: deque[tuple[str, Any]] = deque()
        self._most_sent = 1
        self._since = 0.0  # when the first one began
        self._ended: set[str] = set()  # calls that are to be ended
        self._lost = 0  # how often a process was lost before it read its call

    def run(self) -> None:
        """Runs calls until none is left."""
        try:
            while self._sent or self._calls:
                while self._calls and self._has_room():
                    self._begin(*self._calls.popleft())
                if self._sent:
                    self._follow()
        finally:
            self._end()

    def _has_room(self) -> bool:
        if len(self._sent) >= self._most_sent or (self._sent and self._process.is_ending):
            return False
        sizes = [len(messages[-1]) for _, messages in (*self._sent, self._calls[0])]
        return len(sizes) == 1 or sum(sizes) <= _MOST_AHEAD_BYTES

    def _begin(self, name: str, messages: Any) -> None:
        if messages[2][0] == AGAIN and not self._knows(messages[1]):
            self._answer(name, "whole")
            return
        # Before anybody may know that it has begun.
        self._processes.calls[name] = self
        word = self._begins(name)
        if word != "begun":
            del self._processes.calls[name]
            self._answer(name, word)
            return
        with self._processes.lock:
            self._sent.append((name, messages))
        self._since = self._since if len(self._sent) > 1 else time.monotonic()
        failure = self._take_process()
        if failure is not None:
            self._is_over(*failure, False)
            return
        if len(self._sent) == 1:
            self._has_begun()
        _pass_session(self._process, messages)
        if self._kept is None:
            self._processes.prepare_next()

    def _knows(self, shape: str) -> bool:
        """Whether the process that takes the next call knows calls like it."""
        self._take_process()
        return self._process is not None and shape in self._process.shapes

    def _take_process(self) -> Optional[tuple[Events, str]]:
        """Takes a process if there is none; returns what happened where none can be had."""
        for _ in range(_MOST_STARTS):
            if self._process is not None:
                return None
            failure = self._processes.start()
            if failure is not None:
                return failure
            try:
                self._process = self._processes.taken(self._kept)
            except BrokenPipeError:
                continue
            except OSError as error:
                return [(b"S", EVENT.pack(b"E", error.errno or 0))], ""
        return None if self._process is not None else ([(b"S", b"")], "")

    def kill(self, name: str) -> None:
        """Has a call ended. Called by another thread."""
        with self._processes.lock:
            self._ended.add(name)
        self._end_first()

    def _end_first(self) -> None:
        with self._processes.lock:
            process = self._process if self._sent and self._sent[0][0] in self._ended else None
            if process is not None:
                process.is_ending = True
                process.child.cancel()

    def _has_begun(self) -> None:
        self._since = time.monotonic()
        if self._ended:
            self._end_first()

    def _follow(self) -> None:
        """Waits for what becomes of the first call."""
        process, seconds = self._process, self._request["seconds"]
        deadline = None if seconds is None else self._since + seconds
        look = _SECONDS_TO_LOOK if self._request["engine"] == "ray" else None
        events, end = _followed(process, deadline, look, self._kept is not None)
        is_unread = not end and self._was_unread(events)
        if is_unread or events[-1:] == [(b"M", bytes([BYE]))]:
            # It was killed, or had ended itself, before it began with the call.
            self._lost += is_unread
            self._give_back()
            self._drop_process()
            return
        process.calls += 1
        is_whole = self._kept is not None and not end and events[-1][0] in b"MA"
        shape = self._sent[0][1][1]
        if is_whole and shape is not None and _kind(*events[-1]) != FAILURE:
            process.shapes.add(shape)
        self._is_over(events, end, is_whole)

    def _was_unread(self, events: Events) -> bool:
        """Whether the only call that the process had was lost before it read it."""
        process = self._process
        if process.child.has_read or process.has_asked or any(one in b"MA" for one, _ in events):
            return False
        is_wanted = len(self._sent) == 1 and self._sent[0][0] not in self._ended
        return is_wanted and self._lost < _MOST_LOST

    def _is_over(self, events: Events, end: str, is_whole: bool) -> None:
        """Notes what came of the first call. `is_whole`: whether its process goes on."""
        seconds = time.monotonic() - self._since
        with self._processes.lock:
            name, _ = self._sent.popleft()
            is_whole = is_whole and bool(self._sent or not self._process.is_ending)
        self._processes.calls.pop(name, None)
        if not is_whole:
            self._give_back()
            self._drop_process()
        is_short = is_whole and seconds < _SHORT_SECONDS and self._request["seconds"] is None
        self._most_sent = _MOST_AHEAD if is_short else 1
        self._answer(name, "events", events, end, seconds)
        if self._sent:
            self._has_begun()

    def _give_back(self) -> None:
        """Has calls be run later that were sent to a process, and have not begun there."""
        with self._processes.lock:
            left, self._sent = list(self._sent), deque()
        self._calls.extendleft(reversed(left))

    def _drop_process(self) -> None:
        with self._processes.lock:
            process, self._process = self._process, None
        if process is not None:
            process.child.end()

    def _end(self) -> None:
        is_whole = not self._sent
        self._give_back()
        if self._process is not None:
            self._processes.give(self._process, self._kept if is_whole else None)


def _pass_session(process: Process, messages: Any) -> None:
    state, shape, head, data = messages
    sent: list[frames.Message] = []
    is_new = shape is not None and shape not in process.shapes
    if is_new or process.state != state:
        # In one message: what the next one does not say of files is as if there were none.
        told = json.dumps({**json.loads(state), "number": shape}).encode("ascii")
        sent.append((STATE, (told if is_new else state,), None))
        process.state = state
    kind, head = head[0], head[1:]
    if isinstance(data, bytes) and len(data) <= LARGEST_BODY:
        # With one write, so that its reader wakes once.
        _send(process, *sent, (kind, (head, data), None))
        return
    file, place = _file_with(data)
    try:
        _send(process, *sent, (kind, (head, place), file))
    finally:
        os.close(file)


def _send(process: Process, *messages: frames.Message) -> None:
    try:
        process.child.send(*messages)
    except OSError:
        # It reads no more. Why, it says itself, or its fork server does.
        process.child.has_read = False


def _file_with(data: Any) -> tuple[int, bytes]:
    """Opens a file with data, and says where in it that is."""
    if isinstance(data, str):
        return os.open(data, os.O_RDONLY), b""
    views = [view(piece) for piece in (data if isinstance(data, list) else [data])]
    size = sum(map(len, views))
    shared = shared_at(views) if size >= _WORTH_A_LOOK else None
    if shared is not None:
        path, place = shared
        with contextlib.suppress(OSError):
            return os.open(path, os.O_RDONLY), place.to_bytes(8, "big")
    return bulk_files.create(views, size, None), b""


def _kind(letter: bytes, body: Any) -> int:
    kind: int = (body if letter == b"M" else body[0])[0]
    return kind


def _followed(
    process: Process, deadline: Optional[float], look: Optional[float], is_kept: bool
) -> tuple[Events, str]:
    """Returns what a process does until its call is over, and in which way the call was ended."""
    child, end, is_answered = process.child, "", False
    try:
        while True:
            limits = [] if deadline is None else [deadline]
            if look is not None:
                limits.append(time.monotonic() + look)
            try:
                frame = child.next(min(limits, default=None))
            except frames.DeadlineError:
                now = time.monotonic()
                if deadline is None or now < deadline:
                    continue
                if end:
                    break
                end, deadline = "deadline", now + _SECONDS_TO_DIE
                child.cancel()
                continue
            if frame is None:
                break
            if frame.kind == CODE:
                process.has_asked = True
                _send(process, frames.text_of_code(None))
                continue
            process.events.append(_event_of(frame))
            if is_kept and frame.kind in (RETURN, FAILURE, DONE, BYE):
                is_answered = True
                break
    except (OSError, ProtocolError, StalledError) as error:
        end = str(error)
    events, process.events = process.events, []
    return [*_beginning_of(child), *events, *(() if is_answered else _end_of(child))], end


def _event_of(frame: frames.Frame) -> tuple[bytes, Any]:
    body = bytes([frame.kind]) + frame.body
    if frame.descriptor is None:
        return b"M", body
    with frame.descriptor:
        return b"A", (body, Given(os.dup(frame.descriptor.fileno())))


def _beginning_of(child: Child) -> Events:
    return [] if child.pid is None else [(b"S", EVENT.pack(b"P", child.pid))]


def _end_of(child: Child) -> Iterable[tuple[bytes, bytes]]:
    if not child.is_over:
        return
    if not child.has_read:
        yield b"S", EVENT.pack(b"N", 0)
    if child.start_error is not None:
        yield b"S", EVENT.pack(b"E", child.start_error)
    elif child.returncode is not None:
        yield b"S", EVENT.pack(b"X", child.returncode)
    else:
        yield b"S", b""
