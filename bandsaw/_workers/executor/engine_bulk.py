"""Large data between this process and an engine's workers: to them, and past their engine back.

    caller: file ── its path ──► worker        where that is on this machine, see `engine_memory`
    caller ── buffers ──► engine's store       those that calls of one `map` share go there once
    worker ── connect, the name of the call and an open file ──► door of the caller
    worker ── its answer, without the contents ──► engine ──► take ──► the file

Nothing waits at the door itself: a file lies in the queue of its socket until the answer comes.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import socket
import sys
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional

from ..._system import ending
from ..._system.buffers import room
from ..._system.processes import in_forked_processes
from ...errors import ProtocolError
from .. import bulk_files
from ..ends import rights_in
from ..frames import Frame
from .engine_memory import Given, is_of_this_user

# What is smaller goes with the call.
WORTH_A_FILE = 1 << 20
# So many are kept for a map. Where each call has one of its own, no more are held there in vain.
_MOST_KEPT = 4
_MOST_WAITING = 128
_lock = threading.Lock()
_socket: Optional[socket.socket] = None
_name = ""
# The files of calls that somebody waits for.
_came: dict[str, io.FileIO] = {}


def handed(engine: Any, pieces: Sequence[Any]) -> tuple[Any, Optional[Given]]:
    """Returns what is submitted in place of pieces, and the file that has to live until then.

    Workers on this machine read large data from that file, past the engine.
    """
    size = sum(map(len, pieces))
    if size >= WORTH_A_FILE and engine.shares_memory:
        return apart(pieces), None
    if size >= WORTH_A_FILE and engine.is_near:
        with contextlib.suppress(OSError):
            given = Given(bulk_files.create(pieces, size, None))
            return f"/proc/{os.getpid()}/fd/{given.descriptor}", given
    return b"".join(pieces), None


def apart(pieces: Sequence[Any]) -> list[Any]:
    """Returns the large ones of pieces as they are, and what is between them joined."""
    found: list[Any] = []
    small: list[Any] = []
    for piece in pieces:
        if len(piece) < WORTH_A_FILE:
            small.append(piece)
        else:
            found += [b"".join(small), piece]
            small = []
    return [one for one in [*found, b"".join(small)] if one]


class Stored(NamedTuple):
    """A buffer in a store."""

    reference: Any  # what is submitted in its place
    holder: Any  # as long as this lives, the store has it


class _Kept:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stored: OrderedDict[bytes, Stored] = OrderedDict()


class Buffers:
    """The buffers of maps in an engine's store. `store`: puts one there."""

    def __init__(self, store: Callable[[Any], Stored]) -> None:
        self._store = store
        self._kept: weakref.WeakKeyDictionary[Any, _Kept] = weakref.WeakKeyDictionary()

    def stored(self, pieces: Sequence[Any]) -> Optional[tuple[list[Any], list[Any]]]:
        """Has the large ones of pieces be in the store.

        Returns what is submitted in place of the pieces, and what is to be held until the call is
        over; `None` if there are no large ones, or the call belongs to no map.
        """
        group = ending.group.get()
        if group is None or all(len(piece) < WORTH_A_FILE for piece in pieces):
            return None
        kept = self._kept.setdefault(group, _Kept())
        sent, held = apart(pieces), []
        for number, piece in enumerate(sent):
            if len(piece) >= WORTH_A_FILE:
                stored = self._stored(kept, piece)
                sent[number] = stored.reference
                held.append(stored.holder)
        return sent, held

    def _stored(self, kept: _Kept, piece: Any) -> Stored:
        digest = hashlib.sha256(piece).digest()
        with kept.lock:
            stored = kept.stored.pop(digest, None) or self._store(piece)
            kept.stored[digest] = stored
            while len(kept.stored) > _MOST_KEPT:
                kept.stored.popitem(last=False)
        return stored


def door() -> str:
    """Returns the name of the door of this process, nothing where there can be none."""
    global _socket, _name
    if sys.platform != "linux":
        return ""
    with _lock:
        if _socket is None:
            name, made = f"bandsaw-{os.urandom(16).hex()}", None
            try:
                made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                made.setblocking(False)
                made.bind(f"\0{name}")
                made.listen(_MOST_WAITING)
            except OSError:  # a container may have no such sockets
                if made is not None:
                    made.close()
                return ""
            _name, _socket = name, made
        return _name


def take(call: str) -> io.FileIO:
    """Takes the file of a call whose answer says that it was handed over."""
    with _lock:
        _let_in()
        if call not in _came:
            raise ProtocolError("A worker has not handed over the result that it announces.")
        return _came.pop(call)


def frame_of(kind: int, head: bytes, data: Any) -> Frame:
    """Makes a message of its head, and of data that came in a file or past the channel."""
    if isinstance(data, io.FileIO):
        return Frame(kind, head, data)
    # Arrays in it are written to.
    copied = room(len(data))
    copied[:] = data
    return Frame(kind, head, None, copied)


def forget(call: str) -> None:
    """Lets go of what came for a call of which nobody takes the answer."""
    with _lock:
        with contextlib.suppress(OSError):
            _let_in()
        left = _came.pop(call, None)
        if left is not None:
            left.close()


def _let_in() -> None:
    while _socket is not None:
        try:
            end, _ = _socket.accept()
        except BlockingIOError:
            return
        with end:
            if not is_of_this_user(end):
                continue
            end.setblocking(False)
            # One that has not sent yet learns that it is too late, and sends the contents.
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RD)
            try:
                # Not `recv_fds`: some Pythons do not pass its flags on.
                one = socket.CMSG_SPACE(4)
                call, ancillary, *_ = end.recvmsg(64, one, socket.MSG_CMSG_CLOEXEC)
            except OSError:
                continue
            for descriptor in rights_in(ancillary):
                old = _came.pop(call.decode(), None)
                if old is not None:
                    old.close()
                _came[call.decode()] = io.FileIO(descriptor)


@ending.at_exit
def _close() -> None:
    if _socket is not None:
        _socket.close()


@in_forked_processes
def _let_go() -> None:
    global _lock, _socket
    _lock = threading.Lock()
    _close()  # it is the parent's
    _socket = None
    _came.clear()
