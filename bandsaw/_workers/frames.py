"""The messages between the two sides of a process boundary, and the channel they travel on.

The channel is a socket of its own: what a task prints goes elsewhere and cannot enter it. Each
message is a frame: 16 bytes with a mark, the kind, a flag and the length of the body, and the body.

| kind      | way          | body                                                                  |
|-----------|--------------|-----------------------------------------------------------------------|
| HELLO     | far to near  | JSON: versions, what is missing there, what was preloaded; first      |
| STATE     | near to far  | JSON: what a process inherits, and the process there does not have;   |
|           |              | for a fork server, before its HELLO: the variables it started with    |
| SESSION   | near to far  | the members of a session, see `envelope`                              |
| HEARTBEAT | far to near  | nothing: the process is alive; where it was asked for, every so often |
| LOG       | far to near  | JSON: one record of `logging`                                         |
| RETURN    | far to near  | the members of the session that comes back                            |
| FAILURE   | far to near  | JSON: the error that kept the session from going on                   |
| AGAIN     | near to far  | a session like an earlier one, see `repeat_calls`: number, arguments  |
| DONE      | far to near  | the result of a session, and nothing else of it has changed           |
| BYE       | both         | nothing: no more sessions will be sent, or taken                      |
| CODE      | far to near  | the path of a file of the project that was edited while the call ran  |
|           | near to far  | 1 and the text that it had when the call began, 0 if nobody knows     |
| WARNING   | far to near  | JSON: one warning that the filters let through                        |
| FACTS     | far to near  | JSON: what was noted of the call there; before what ends it           |

Where a body is large, the frame brings the descriptor of a file that holds it (`bulk_files`). A
second socket belongs to the process as a whole, and has messages of 9 bytes, a letter and a number:

| letter | way         | number                                                                  |
|--------|-------------|-------------------------------------------------------------------------|
| P      | far to near | the id of the process that was started                                  |
| E      | far to near | why it could not be started: an `errno`                                 |
| K      | near to far | 0: cancel, which ends the process and all that it has started           |
| X      | far to near | how the process ended: its exit status, negative for a signal           |

To close either has the same effect as K.
"""

from __future__ import annotations

import array
import io
import json
import os
import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

from .._system.interrupts import owned
from ..errors import ProtocolError, StalledError
from .ends import NO_SIGNAL, rights_in, rights_to

FORMAT = 2
NAMES = (
    *("", "HELLO", "STATE", "SESSION", "HEARTBEAT", "LOG", "RETURN", "FAILURE"),
    *("AGAIN", "DONE", "BYE", "CODE", "WARNING", "FACTS"),
)
HELLO, STATE, SESSION, HEARTBEAT, LOG, RETURN, FAILURE = range(1, 8)
AGAIN, DONE, BYE, CODE, WARNING, FACTS = range(8, len(NAMES))
_HEAD = struct.Struct("!4sBB2xQ")
_MARK = b"bsw\1"
_PLAIN, _WITH_FILE = 0, 1
# What is larger travels in a file. On Linux a sender of less does not wait for a reader, as a rule.
LARGEST_BODY = 1 << 17
MOST_BODY = 1 << 26
_CHUNK = 1 << 17
_ONE_DESCRIPTOR = socket.CMSG_SPACE(array.array("i").itemsize) if os.name == "posix" else 0
# Programs that a task starts are not to have what came along.
_FLAGS = int(getattr(socket, "MSG_CMSG_CLOEXEC", 0))
# Plain numbers: an `IntFlag` takes microseconds for each `&`.
_CUT = int(getattr(socket, "MSG_CTRUNC", 0))
_AT_ONCE = (getattr(socket, "MSG_DONTWAIT", 0) | NO_SIGNAL,)
# How long a message that has begun to come may make no progress. Nothing is waited for between
# messages: a task that is busy in C code sends none.
STALLED_SECONDS = 60.0
# The same where the near side sends, which its user may have stopped for a while.
STOPPED_SECONDS = 600.0
# `poll` counts milliseconds in 32 bits, which are 24 days: who waits longer looks again.
LONGEST_WAIT_SECONDS = 1_000_000.0

EVENT = struct.Struct("!cq")


# Kind, pieces of the body, and the descriptor that goes along if there is one.
Message = tuple[int, Sequence[Any], Optional[int]]


def json_message(kind: int, content: Any) -> Message:
    return kind, (json.dumps(content).encode("ascii"),), None


def text_of_code(text: Optional[bytes]) -> Message:
    """Makes the answer to a message CODE."""
    return CODE, (b"0",) if text is None else (b"1", text), None


class DeadlineError(Exception):
    """The time was up. Not for users."""


class NotBegunError(Exception):
    """The process was killed before it had read the session. Not for users."""


class Frame(NamedTuple):
    kind: int
    body: bytes
    # The open file that came along, `None` if none did. Whoever takes the frame closes it.
    descriptor: Optional[io.FileIO] = None
    # What such a file would hold, where the machines have no file in common.
    data: Optional[memoryview] = None

    def discard(self) -> None:
        """Closes the file that came along, for a message that nobody takes."""
        if self.descriptor is not None:
            self.descriptor.close()


class Channel:
    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._lock: Any = threading.RLock()
        # Each message, the descriptor that goes along, and how much of it was sent each time. If an
        # error comes in the middle of a message, the next `send` begins with the rest.
        self._unsent: list[tuple[bytes, Optional[int], list[int]]] = []
        self._data = bytearray()
        # Kept, because to make one of this size costs more than to read a small message.
        self._chunk = memoryview(bytearray(_CHUNK))
        self._descriptors: deque[io.FileIO] = deque()
        self._put_back: deque[Frame] = deque()
        self._heard_at = 0.0
        self._was_cut = False  # whether a file could not be opened that came along
        # Whether the other side went away without having read all that was sent to it.
        self.was_unread = False

    def fileno(self) -> int:
        """Returns the descriptor, for `poll`."""
        return self._socket.fileno()

    def send(
        self,
        *messages: Message,
        deadline: Optional[float] = None,
        patience: Optional[float] = None,
    ) -> None:
        """Sends messages, all at once. Threads may do so at the same time.

        `patience`: how long the other side may take nothing. By default for ever: a near side whose
        output goes to a pager reads on when its user does.
        """
        pieces: list[Any] = []
        going_along = None
        for kind, body, descriptor in messages:
            has_file = descriptor is not None
            if has_file:
                going_along = descriptor
            pieces.append(head_of(kind, sum(map(len, body)), has_file))
            pieces += body
        self._unsent.append((b"".join(pieces), going_along, []))
        # A signal handler that came into the middle of a message leaves its own to be sent next.
        while self._unsent and not self._lock._is_owned():
            with self._lock:
                while self._unsent:
                    self._send_first(deadline, patience)

    def _send_first(self, deadline: Optional[float], patience: Optional[float]) -> None:
        """Sends what the socket takes of the message whose turn it is."""
        data, going_along, counts = self._unsent[0]
        rest = (memoryview(data)[sum(counts) :] if counts else data,)
        if counts or going_along is None:
            sending = map(self._socket.send, rest, _AT_ONCE)
        else:
            sending = map(self._socket.sendmsg, (rest,), (rights_to(going_along),), _AT_ONCE)
        try:
            # In one step: a signal handler may raise an error between two.
            counts += sending
        except BlockingIOError:
            self._wait_for_room(deadline, patience)
        except OSError:
            if going_along is not None and not counts:
                # The number of a descriptor may be that of another file when the next one is sent.
                self._unsent.pop(0)
            raise
        if sum(counts) == len(data):
            self._unsent.pop(0)

    def _wait_for_room(self, deadline: Optional[float], patience: Optional[float]) -> None:
        left = None if deadline is None else deadline - time.monotonic()
        is_patient = patience is None or (left is not None and left < patience)
        if not is_patient:
            left = patience
        if not is_ready(self._socket, select.POLLOUT, left):
            raise DeadlineError if is_patient else stalled("the other side took", left)

    def send_json(self, kind: int, content: Any) -> None:
        self.send(json_message(kind, content))

    def receive(self, patience: Optional[float] = None) -> Frame:
        while True:
            frame = self.next()
            if frame is not None:
                return frame
            seconds = STOPPED_SECONDS if patience is None else patience
            if self._data and not is_ready(self._socket, select.POLLIN, seconds):
                raise stalled("there came", seconds)
            self.read()

    @property
    def stalls_at(self) -> Optional[float]:
        """When the message that has begun to come counts as stalled, `None` if none has."""
        return self._heard_at + STALLED_SECONDS if self._data else None

    def next(self) -> Optional[Frame]:
        """Takes a message that has arrived already, `None` if there is none or not all of it."""
        if self._put_back:
            return self._put_back.popleft()
        data = self._data
        if not data:
            return None
        if len(data) < _HEAD.size:
            if not _MARK.startswith(data[:4]):
                raise _no_message(data)
            return None
        mark, kind, flag, size = _HEAD.unpack_from(data)
        if mark != _MARK or not HELLO <= kind <= FACTS or flag > _WITH_FILE or size > MOST_BODY:
            raise _no_message(data)
        end = _HEAD.size + size
        if len(data) < end:
            return None
        body = bytes(memoryview(data)[_HEAD.size : end])
        del data[:end]
        if flag == _PLAIN:
            return Frame(kind, body)
        if kind not in (SESSION, RETURN) or not self._descriptors:
            why = ": too many files are open here, see `ulimit -n`" if self._was_cut else ""
            raise ProtocolError(f"A message {NAMES[kind]} has no file that could come along{why}.")
        return Frame(kind, body, self._descriptors.popleft())

    def receive_code(self) -> Frame:
        """Waits for a message CODE, and leaves others that came before it for later."""
        others = []
        while (frame := self.receive()).kind != CODE:
            others.append(frame)
        self._put_back.extend(others)
        return frame

    def read(self) -> None:
        """Reads what has arrived, and waits if that is nothing."""
        try:
            count, ancillary, flags, _ = self._socket.recvmsg_into(
                (self._chunk,), _ONE_DESCRIPTOR, _FLAGS
            )
            if flags & _CUT:
                self._was_cut = True
        except ConnectionResetError:
            # So Linux says it where the other end of such a socket had something to read.
            count, ancillary, self.was_unread = 0, [], True
        if ancillary:
            self._descriptors.extend(map(owned, rights_in(ancillary)))
        if not count:
            raise EOFError("the other side has closed the channel")
        self._heard_at = time.monotonic()
        self._data += self._chunk[:count]

    def close(self) -> None:
        while self._descriptors:
            self._descriptors.popleft().close()
        self._socket.close()


def is_ready(end: Any, event: int, seconds: Optional[float]) -> bool:
    """Waits for an event. A machine that stands still costs one look of ten."""
    poll = select.poll()
    poll.register(end, event)
    if not seconds:
        return bool(poll.poll(seconds))
    return any(poll.poll(max(0.0, seconds * 100)) for _ in range(10))


def head_of(kind: int, size: int, has_file: bool) -> bytes:
    return _HEAD.pack(_MARK, kind, _WITH_FILE if has_file else _PLAIN, size)


def stalled(what: str, seconds: Optional[float]) -> StalledError:
    return StalledError(
        f"A message between the processes had begun, and {what} nothing more of it for "
        f"{seconds:g} s"
    )


def _no_message(data: bytearray) -> ProtocolError:
    return ProtocolError(
        f"Something came through the channel between the processes that is no message: "
        f"{bytes(data[:40])!r}."
    )


def from_json(frame: Frame) -> dict[str, Any]:
    try:
        content = json.loads(frame.body.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise ProtocolError(
            f"The body of a message {NAMES[frame.kind]} is no JSON: {error}."
        ) from error
    if not isinstance(content, dict):
        raise ProtocolError(f"The body of a message {NAMES[frame.kind]} is no JSON object.")
    return content
