"""The far end of a connection to another machine: many processes on one pair of pipes.

    ssh_connection ◄── multiplexer ──► hub ── fork server ── process of a task
                                         └─── fork server ── process, process
                                          (hub_fork_servers)  (hub_processes)

It has one thread, waits for nothing but `poll`, and runs no code of a task: it hands on what comes.
When the connection is closed or lost it ends all that was started, and itself. What is to be read
from processes waits there when the connection does not take it.
"""

from __future__ import annotations

import contextlib
import functools
import os
import select
import signal
import sys
import time
from typing import Any, Callable, NoReturn, Optional

from ..._archive import keep, unpack
from ..._archive.arriving import ArrivingArchive
from ..._system.home import HOME_ENV_VARIABLE
from .. import frames, leaving
from . import multiplexer
from .hub_fork_servers import ForkServers
from .hub_processes import Processes
from .multiplexer import HEAD, Outbox

_READ = 1 << 18
_TOUCH_SECONDS = 3600.0


def main(reading: int, writing: int, root: str, directory: Optional[str]) -> NoReturn:
    """Serves the near end until that is gone. `root`, `directory`: see `leaving.tidy`."""
    # What a task needs besides the archive, such as environments, is kept in the same place.
    os.environ.setdefault(HOME_ENV_VARIABLE, root)
    # How processes end is for it to know, whatever has started it ignores.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    hub = Hub(reading, writing, root)
    try:
        hub.serve()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        hub.end()
        leaving.tidy(root, directory)
    os._exit(0)


class Hub:
    def __init__(self, reading: int, writing: int, root: str) -> None:
        self._reading, self._writing, self._root = reading, writing, root
        self._all, self._narrow = select.poll(), select.poll()
        self.handlers: dict[int, Callable[[], Any]] = {reading: self._read}
        for poll in (self._all, self._narrow):
            poll.register(reading, select.POLLIN)
        self._outbox = Outbox(writing, self._wait_for_room)
        self.send = self._outbox.send
        self._room = memoryview(bytearray(_READ))
        self._data = bytearray()
        # How much is to come of a piece of contents, and the stream that it is for.
        self._left = self._left_of = 0
        self._read_at = 0.0
        self._touched_at = time.monotonic()
        # Somebody else may sweep what is not used.
        self.in_use = {root, sys.argv[0]}
        self._arriving: dict[int, ArrivingArchive] = {}
        # Each a `Far` of `_files.crossing`, which few connections need.
        self._files: dict[int, Any] = {}
        # Closed when no event of them can be left to be handled.
        self.to_close: list[Callable[[], Any]] = []
        self._fork_servers = ForkServers(self)
        self._processes = Processes(self, self._fork_servers, self._outbox)
        self._actions: dict[bytes, Callable[[int, bytes], None]] = {
            b"T": self._fork_servers.start,
            b"P": self._processes.start,
            b"M": self._processes.pass_message,
            b"N": self._processes.begin_file,
            b"B": self._processes.take_piece,
            b"A": self._processes.pass_file,
            b"K": self._processes.cancel,
            b"Q": self._forget,
            b"D": self._look_for_archive,
            b"Z": self._take_archive,
            b"F": functools.partial(self._take_files, b"F"),
            b"W": functools.partial(self._take_files, b"W"),
        }

    def serve(self) -> NoReturn:
        while True:
            poll = self._narrow if self._outbox.has_much else self._all
            for descriptor, _ in poll.poll(multiplexer.ALIVE_SECONDS * 1000):
                handler = self.handlers.get(descriptor)
                if handler is not None:
                    handler()
            for close in self.to_close:
                with contextlib.suppress(OSError):
                    close()
            self.to_close.clear()
            now = time.monotonic()
            if (
                now - self._outbox.written_at >= multiplexer.ALIVE_SECONDS
                and not self._outbox.is_full
            ):
                self.send(b"G", 0)
            self._end_what_stalls(now)
            if now - self._touched_at >= _TOUCH_SECONDS:
                self._touched_at = now
                for folder in self.in_use:
                    with contextlib.suppress(OSError):
                        os.utime(folder)

    def _end_what_stalls(self, now: float) -> None:
        if (self._data or self._left) and now - self._read_at >= frames.STOPPED_SECONDS:
            raise EOFError("the near end stopped in the middle of a message")
        self._fork_servers.end_what_stalls(now)
        self._processes.end_what_stalls(now)

    def end(self) -> None:
        for arriving in (*self._arriving.values(), *self._files.values()):
            arriving.abandon()
        if not self._fork_servers.end():
            self._processes.kill_all()
        # Somebody in between may still hold the connection open.
        for descriptor in (self._reading, self._writing):
            os.close(descriptor)

    def watch(self, descriptor: int, handler: Callable[[], Any]) -> None:
        self.handlers[descriptor] = handler
        self._all.register(descriptor, select.POLLIN)

    def unwatch(self, descriptor: int) -> None:
        if self.handlers.pop(descriptor, None) is not None:
            self._all.unregister(descriptor)

    def watch_room(self, descriptor: int, is_wanted: bool) -> None:
        """Has the handler of one that is watched also called when it takes more."""
        if descriptor in self.handlers:
            self._all.modify(descriptor, select.POLLIN | (select.POLLOUT if is_wanted else 0))

    def _wait_for_room(self, is_full: bool) -> None:
        if is_full:
            self.handlers[self._writing] = self._outbox.flush
        else:
            del self.handlers[self._writing]
        for poll in (self._all, self._narrow):
            if is_full:
                poll.register(self._writing, select.POLLOUT)
            else:
                poll.unregister(self._writing)

    # What comes from the near end

    def _read(self) -> None:
        room = self._room[: self._left or _READ]
        count = os.readv(self._reading, [room])
        if not count:
            raise EOFError("the connection was closed")
        self._read_at = time.monotonic()
        if self._left:
            self._left -= count
            self._act(b"W", self._left_of, room[:count])
            return
        self._data += room[:count]
        while len(self._data) >= HEAD.size:
            letter, stream, size = HEAD.unpack_from(self._data)
            end = HEAD.size + size
            lacking = end - len(self._data)
            if lacking > 0:
                if letter != b"W":
                    return
                # Contents need not be put together.
                self._left, self._left_of = lacking, stream
            body = bytes(memoryview(self._data)[HEAD.size : end])
            del self._data[:end]
            self._act(letter, stream, body)

    def _act(self, letter: bytes, stream: int, body: Any) -> None:
        try:
            self._actions[letter](stream, body)
        except (BrokenPipeError, EOFError):
            raise
        except Exception as error:
            what = f"{type(error).__name__}: {error}, in {self._root}"
            self.send(b"E", stream, what.encode("utf-8", "replace"))

    def _look_for_archive(self, stream: int, body: bytes) -> None:
        folder = self.archive(body.decode("ascii"))
        is_there = unpack.is_whole(folder)
        if is_there:
            keep.touch(folder)
        else:
            self._arriving[stream] = ArrivingArchive(folder)
        self.send(b"D", stream, b"1" if is_there else b"0")

    def _take_archive(self, stream: int, body: bytes) -> None:
        arriving = self._arriving[stream]
        if body:
            arriving.take(body)
            return
        if not os.path.isdir(os.path.join(self._root, "archives")):
            # Somebody has removed it all. It has to be ours again.
            root, is_temporary = keep.kept_root(os.path.dirname(self._root))
            if is_temporary:
                keep.remove(root)
        self.send(b"D", stream, arriving.end_part())

    def archive(self, digest: str) -> str:
        return os.path.join(self._root, "archives", digest)

    def _take_files(self, letter: bytes, stream: int, body: Any) -> None:
        far = self._files.get(stream)
        if far is None:
            from ..._files.crossing import Far

            def send(letter: bytes, body: bytes) -> None:
                self.send(letter, stream, body)

            far = self._files[stream] = Far(send)
        far.take(letter, body)

    def _forget(self, stream: int, body: bytes) -> None:
        arriving = self._arriving.pop(stream, None) or self._files.pop(stream, None)
        if arriving is not None:
            arriving.abandon()
        elif not self._fork_servers.forget(stream):
            self._processes.forget(stream)

    def let_go(self) -> None:
        """Closes what is open here, in a process that was forked."""
        closers = [*self.to_close, *self._processes.closers()]
        for close in (*closers, *(far.let_go for far in self._files.values())):
            with contextlib.suppress(OSError):
                close()
        files = (*self._processes.descriptors(), *self._outbox.files)
        for descriptor in (*self.handlers, self._reading, self._writing, *files):
            with contextlib.suppress(OSError):
                os.close(descriptor)
