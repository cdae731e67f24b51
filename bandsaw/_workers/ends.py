"""The two ends of sockets and pipes, and how a fork server is given those of a process."""

from __future__ import annotations

import array
import contextlib
import os
import socket
from collections.abc import Iterable
from typing import Any, NamedTuple, Optional

_FAR_UP = 256
# A program may have SIGPIPE end it: not where the other side of one of its calls has ended.
NO_SIGNAL = getattr(socket, "MSG_NOSIGNAL", 0)


def channel_pair() -> tuple[socket.socket, socket.socket]:
    """Makes both ends of a channel, neither of them in the place of a standard stream."""
    near, far = socket.socketpair()
    return _above_standard(near), _above_standard(far)


def socket_of(descriptor: int) -> socket.socket:
    """Makes a socket of a descriptor. It waits whatever `socket.setdefaulttimeout` says."""
    end = socket.socket(fileno=descriptor)
    end.settimeout(None)
    return end


def pipe_pair() -> tuple[int, int]:
    """Makes both ends of a pipe, likewise."""
    ends = []
    for end in os.pipe():
        ends.append(_moved(end, 3) if end <= 2 else end)
    return ends[0], ends[1]


def number_of(end: socket.socket) -> Optional[tuple[int, int]]:
    """Tells a socket from others that may get its descriptor, `None` if it is closed."""
    try:
        status = os.fstat(end.fileno())
    except OSError:
        return None
    return status.st_dev, status.st_ino


class Ends(NamedTuple):
    """What leads to a process."""

    channel: socket.socket
    status: socket.socket  # the second socket
    out: int  # what it writes to its standard output is read from here
    errors: int  # likewise its standard error

    @property
    def descriptors(self) -> tuple[int, int, int, int]:
        return self.channel.fileno(), self.status.fileno(), self.out, self.errors

    def close(self) -> None:
        with contextlib.ExitStack() as closing:
            # A task may have closed all descriptors.
            closing.enter_context(contextlib.suppress(OSError))
            for end in self:
                closing.callback(_close, end)


def ask_for_process(control: socket.socket, how: bytes) -> Ends:
    """Has a fork server start a process; whether it could be started is known later."""
    pairs: list[Any] = []
    with contextlib.ExitStack() as ours, contextlib.ExitStack() as theirs:
        for make in (channel_pair, channel_pair, pipe_pair, pipe_pair):
            near, far = make()
            ours.callback(_close, near)
            theirs.callback(_close, far)
            pairs.append((near, far))
        near_ends, far_ends = (Ends(*ends) for ends in zip(*pairs))
        # Not `send_fds`, which passes no flags on.
        control.sendmsg([how], rights_to(*far_ends.descriptors), NO_SIGNAL)
        ours.pop_all()
    return near_ends


def rights_to(*descriptors: int) -> list[tuple[int, int, Any]]:
    """Returns what has open files go along, for `sendmsg`."""
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))]


def rights_in(ancillary: Iterable[tuple[int, int, bytes]]) -> array.array[int]:
    """Returns the descriptors of open files that came along, as `recvmsg` returns them."""
    found = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            found.frombytes(content[: len(content) - len(content) % found.itemsize])
    return found


def _close(end: Any) -> None:
    if isinstance(end, int):
        os.close(end)
    else:
        end.close()


def lead_to_nowhere(descriptor: int, flags: int) -> None:
    """Has nothing be read there, and what is written there be lost."""
    nowhere = os.open(os.devnull, flags)
    os.dup2(nowhere, descriptor)
    os.close(nowhere)


def out_of_the_way(descriptor: int) -> int:
    """Gives a descriptor a number that programs which close "all" others often leave alone."""
    try:
        return _moved(descriptor, _FAR_UP)
    except OSError:
        return descriptor


def _above_standard(end: socket.socket) -> socket.socket:
    # Where a standard stream is closed, its number is free, and what is printed would come here.
    if end.fileno() <= 2:
        with end:
            return socket_of(_copied(end.fileno(), 3))
    end.settimeout(None)
    return end


def _moved(descriptor: int, least: int) -> int:
    """Gives a descriptor another number, which is no less than that."""
    higher = _copied(descriptor, least)
    os.close(descriptor)
    return higher


def _copied(descriptor: int, least: int) -> int:
    """Gives a descriptor one more number, which is no less than that."""
    import fcntl

    return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, least)
