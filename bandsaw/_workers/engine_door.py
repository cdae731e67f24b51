"""Where workers on this machine hand over large results: as files, past their engine.

    worker ── connect, the name of the call and an open file ──► Door      see `engine_door`
    worker ── its answer, without the contents ──► engine ──► take ──► the file

Nothing waits at the door itself: a file lies in the queue of its socket until the answer comes.
"""

from __future__ import annotations

import array
import contextlib
import io
import os
import socket
import struct
import sys
import threading
from typing import Optional

from .._system import ending
from .._system.processes import in_forked_processes
from ..errors import ProtocolError

_MOST_WAITING = 128
_ONE_DESCRIPTOR = socket.CMSG_SPACE(4)
_PEER = struct.Struct("3i")
_lock = threading.Lock()
_socket: Optional[socket.socket] = None
_name = ""
# The files of calls that somebody waits for.
_came: dict[str, io.FileIO] = {}


def opened() -> str:
    """Returns the name of the door of this process, nothing where there can be none."""
    global _socket, _name
    if sys.platform != "linux":
        return ""
    with _lock:
        if _socket is None:
            _name = f"bandsaw-{os.urandom(16).hex()}"
            _socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            _socket.setblocking(False)
            _socket.bind(f"\0{_name}")
            _socket.listen(_MOST_WAITING)
        return _name


def take(call: str) -> io.FileIO:
    """Takes the file of a call whose answer says that it was handed over."""
    with _lock:
        _let_in()
        if call not in _came:
            raise ProtocolError("A worker has not handed over the result that it announces.")
        return _came.pop(call)


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
            credentials = end.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
            if _PEER.unpack(credentials)[1] != os.geteuid():
                continue
            end.setblocking(False)
            # One that has not sent yet learns that it is too late, and sends the contents.
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RD)
            try:
                call, ancillary, *_ = end.recvmsg(64, _ONE_DESCRIPTOR, socket.MSG_CMSG_CLOEXEC)
            except OSError:
                continue
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    (descriptor,) = array.array("i", content)
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
