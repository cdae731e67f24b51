"""Calls in processes of a hub, see `engine_hub`, one after another, in an engine's worker.

    calls ─► process of its own for each, or one that is kept: it gets short ones ahead
          ◄─ what happened in each, and how it ended

This file is sent as text and needs the standard library of Python only, see `engine_far`.
"""

from __future__ import annotations

import json
import os
import queue
import time
from collections import deque
from typing import Any

if "." in __name__:
    # Else it was sent as text, and is there.
    from .engine_hub import SERVER_ENDED, NearHub, NearProcess
    from .engine_memory import in_memory, shared_at, view

# As in `multiplexer` and `frames`.
_PIECE = 1 << 18
_LARGEST_BODY = 1 << 17
_STATE, _RETURN, _FAILURE, _AGAIN, _DONE, _BYE, _CODE = 2, 6, 7, 8, 9, 10, 11
# From this size on it is worth to look whether memory is shared.
_WORTH_A_LOOK = 1 << 20
# A process that has closed its channel is about to end.
_SECONDS_TO_CLOSE = 1.0
# Ray interrupts a worker with what is seen only when its main thread does not wait.
_SECONDS_TO_LOOK = 0.5
# Calls that are shorter are sent to a kept process while an earlier one runs there: so many, of so
# many bytes together, which its channel takes. Then they cannot be cancelled any more.
_SHORT_SECONDS = 0.01
_MOST_AHEAD, _MOST_AHEAD_BYTES = 16, 1 << 16
# So many processes are lost before they read a call until it is a failure.
_MOST_LOST = 5


class Following:
    """Calls that a worker runs with one hub.

    `calls`: a name and messages each, taken as they are run. `begins`: has a call begin, by its
    name; returns another word than `begun` if it must not. `answer`: takes a name, and what came of
    that call: such a word, or what happened, how it ended, and how many seconds that took.
    """

    def __init__(self, hub: NearHub, request: Any, calls: Any, begins: Any, answer: Any) -> None:
        self._hub, self._request = hub, request
        self._calls, self._begins, self._answer = calls, begins, answer
        self._kept = request["workers"]
        self._process: Any = None
        # What the process has, with descriptors to be closed later; the first one runs.
        self._sent: deque[Any] = deque()
        self._most_sent = 1
        self._since = 0.0  # when the first one began
        self._ended: set[str] = set()  # calls that are to be ended
        self._lost = 0  # how often a process was lost before it read its call

    def run(self) -> None:
        """Runs calls until none is left, or the hub has ended after some."""
        is_first = True
        try:
            while self._sent or (self._calls and (is_first or not self._hub.is_gone())):
                is_first = False
                try:
                    while self._calls and self._has_room():
                        self._begin(*self._calls.popleft())
                    if self._sent:
                        self._follow()
                except BrokenPipeError:
                    self._is_over([], SERVER_ENDED, False)
        finally:
            self._end()

    def _has_room(self) -> bool:
        if len(self._sent) >= self._most_sent or (self._sent and self._process.is_ending):
            return False
        sizes = [len(one[1][-1]) for one in (*self._sent, self._calls[0])]
        return len(sizes) == 1 or sum(sizes) <= _MOST_AHEAD_BYTES

    def _begin(self, name: str, messages: Any) -> None:
        if messages[2][0] == _AGAIN and not self._knows(messages[1]):
            self._answer(name, "whole")
            return
        # Before anybody may know that it has begun.
        self._hub.calls[name] = self
        word = self._begins(name)
        if word != "begun":
            del self._hub.calls[name]
            self._answer(name, word)
            return
        with self._hub.lock:
            self._sent.append([name, messages, None])
        if len(self._sent) == 1:
            self._since = time.monotonic()
        failure = self._hub.start_fork_server(self._request)
        if failure is not None:
            events, end = failure
            self._is_over(events, end, False)
            return
        if self._process is None:
            self._process = self._hub.taken(self._kept)
        if len(self._sent) == 1:
            self._has_begun()
        self._sent[-1][2] = _pass_session(self._hub, self._process, messages)
        if self._kept is None:
            self._hub.prepare_next()

    def _knows(self, shape: str) -> bool:
        """Whether the process that takes the next call knows calls like it."""
        try:
            if self._process is None and self._hub.start_fork_server(self._request) is None:
                self._process = self._hub.taken(self._kept)
        except BrokenPipeError:
            pass  # the hub has ended, and another one will know nothing
        return self._process is not None and shape in self._process.shapes

    def kill(self, name: str) -> None:
        """Has a call ended. Called by another thread."""
        with self._hub.lock:
            self._ended.add(name)
        self._end_first()

    def _end_first(self) -> None:
        with self._hub.lock:
            process = self._process if self._sent and self._sent[0][0] in self._ended else None
            if process is not None:
                process.is_ending = True
        if process is not None:
            self._hub.send(b"K", process.number)

    def _has_begun(self) -> None:
        self._since = time.monotonic()
        if self._ended:
            self._end_first()

    def _follow(self) -> None:
        """Waits for what becomes of the first call."""
        process, seconds = self._process, self._request["seconds"]
        deadline = None if seconds is None else self._since + seconds
        look = _SECONDS_TO_LOOK if self._request["engine"] == "ray" else None
        events, end = _followed(self._hub, process, deadline, look, self._kept is not None)
        is_unread = not end and self._was_unread(events)
        if is_unread or events[-1:] == [(b"M", bytes([_BYE]))]:
            # It was killed, or had ended itself, before it began with the call.
            self._lost += is_unread
            self._give_back()
            self._process = None
            self._hub.drop(process)
            return
        process.calls += 1
        if process.start is not None and process.calls > 1:
            events.insert(0, process.start)
        is_whole = self._kept is not None and not end and events[-1][0] in b"MA"
        shape = self._sent[0][1][1]
        if is_whole and shape is not None and _kind(*events[-1]) != _FAILURE:
            process.shapes.add(shape)
        self._is_over(events, end, is_whole)

    def _was_unread(self, events: Any) -> bool:
        """Whether the only call that the process had was lost before it read it."""
        told = {letter + body[:1] if letter == b"S" else letter for letter, body in events if body}
        if b"SN" not in told or told & {b"M", b"A"} or self._process.has_asked:
            return False
        is_wanted = len(self._sent) == 1 and self._sent[0][0] not in self._ended
        return is_wanted and self._lost < _MOST_LOST

    def _is_over(self, events: Any, end: str, is_whole: bool) -> None:
        """Notes what came of the first call. `is_whole`: whether its process goes on."""
        seconds = time.monotonic() - self._since
        with self._hub.lock:
            name, _, file = self._sent.popleft()
            is_whole = is_whole and bool(self._sent or not self._process.is_ending)
        self._hub.calls.pop(name, None)
        if file is not None:
            os.close(file)
        if not is_whole:
            self._give_back()
            process, self._process = self._process, None
            if process is not None:
                self._hub.drop(process)
        is_short = is_whole and seconds < _SHORT_SECONDS and self._request["seconds"] is None
        self._most_sent = _MOST_AHEAD if is_short else 1
        self._answer(name, "events", events, end, seconds)
        if self._sent:
            self._has_begun()

    def _give_back(self) -> None:
        """Has calls be run later that were sent to a process, and have not begun there."""
        with self._hub.lock:
            left, self._sent = list(self._sent), deque()
        for name, messages, file in reversed(left):
            if file is not None:
                os.close(file)
            self._calls.appendleft((name, messages))

    def _end(self) -> None:
        process, is_whole = self._process, not self._sent
        self._give_back()
        if process is not None:
            self._hub.give(process, self._kept if is_whole else None)


def _pass_session(hub: NearHub, process: NearProcess, messages: Any) -> Any:
    """Sends a session. Returns a descriptor to be closed when it was read, `None` if none."""
    state, shape, head, data = messages
    number = process.number
    is_new = shape is not None and shape not in process.shapes
    news = []
    if is_new or process.state != state:
        # In one message: what the next one does not say of files is as if there were none.
        told = json.dumps({**json.loads(state), "number": shape}).encode("ascii")
        news.append(bytes([_STATE]) + (told if is_new else state))
        process.state = state
    if isinstance(data, bytes) and len(data) <= _LARGEST_BODY:
        # With one write, so that its reader wakes once.
        hub.send(b"M", number, *news, head + data)
        return None
    if news:
        hub.send(b"M", number, *news)
    views = [view(piece) for piece in (data if isinstance(data, list) else [data])]
    file, path = None, data if isinstance(data, str) else None
    if hub.has_files and path is None:
        shared = shared_at(views) if sum(map(len, views)) >= _WORTH_A_LOOK else None
        if shared is not None:
            path, place = shared
            head += place.to_bytes(8, "big")
        else:
            file = in_memory(views)
            path = None if file is None else f"/proc/{os.getpid()}/fd/{file}"
    if path is not None and hub.has_files:
        hub.send(b"V", number, path.encode())
    else:
        hub.send(b"N", number, sum(map(len, views)).to_bytes(8, "big"))
        for one in views:
            for start in range(0, len(one), _PIECE):
                hub.send(b"B", number, one[start : start + _PIECE])
    hub.send(b"A", number, head)
    return file


def _kind(letter: bytes, body: Any) -> int:
    kind: int = (body if letter == b"M" else body[0])[0]
    return kind


def _followed(
    hub: NearHub, process: NearProcess, deadline: Any, look: Any, is_kept: bool
) -> tuple[list[Any], str]:
    events: list[Any] = []
    end, closes_at, is_answered = "", None, False
    while True:
        limits = [limit for limit in (deadline, closes_at) if limit is not None]
        left = None if not limits else max(0.0, min(limits) - time.monotonic())
        try:
            wait = left if look is None or (left is not None and left < look) else look
            letter, body = process.inbox.get(timeout=wait)
        except queue.Empty:
            if wait != left:
                continue
            if deadline is not None and time.monotonic() >= deadline:
                end, deadline = "deadline", None
            closes_at = None
            hub.send(b"K", process.number)
            continue
        if letter == b"S":
            events.append((letter, body))
            if body[:1] == b"P":
                process.start = letter, body
            if body[:1] in (b"P", b"N", b"C"):
                continue
            return events, end
        if letter == b"M" and not body:
            closes_at = time.monotonic() + _SECONDS_TO_CLOSE
        elif letter == b"M" and body[0] == _CODE:
            process.has_asked = True
            hub.send(b"M", process.number, bytes([_CODE]) + b"0")
            continue
        elif letter == b"E":
            return events, body.decode("utf-8", "replace")
        elif letter in (b"M", b"A"):
            is_answered = is_answered or _kind(letter, body) in (_RETURN, _FAILURE, _DONE, _BYE)
        events.append((letter, body))
        if is_answered and is_kept:
            return events, end
