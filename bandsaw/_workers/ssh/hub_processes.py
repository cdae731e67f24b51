"""The processes of tasks at the far end of a connection: what goes to them, and what they say."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import time
from collections import deque
from collections.abc import Iterator
from typing import Any, Callable, Optional

from ..._archive import keep
from ..._system.files import write_all
from ..._system.processes import kill_group
from .. import bulk_files, frames
from ..ends import NO_SIGNAL, Ends, ask_for_process, rights_to
from ..frames import EVENT, Channel
from . import multiplexer
from .hub_fork_servers import ForkServers
from .multiplexer import Outbox, packed

# After an answer no more output is looked for than this.
_MOST_READS = 64
# Says that a process has not read all that came for it.
_UNREAD = EVENT.pack(b"N", 0)


class Process:
    def __init__(self, ends: Ends, folder: str) -> None:
        self.ends = ends  # what leads to it
        # What its archive says of itself, in a folder that somebody may remove.
        self.manifest = os.path.join(folder, keep.MANIFEST)
        self.channel = Channel(ends.channel)
        self.outputs = select.poll()  # both its outputs, as long as they are open
        for descriptor in (ends.out, ends.errors):
            self.outputs.register(descriptor, select.POLLIN)
        # What it has not taken yet, with the files that go along.
        self.unsent: deque[tuple[bytes, Optional[int]]] = deque()
        self.sent_at = 0.0
        self.file: Optional[int] = None  # the file that comes for it, `None` if none does
        # Its id, and that of its group, `None` as long as it is not known.
        self.pid: Optional[int] = None
        self.has_read = False  # whether it may have read all that came for it
        self.passed = 0  # how many messages were passed to it while its channel was open

    def stall(self, now: float) -> str:
        """Says in which way a message has begun and makes no progress; nothing if none does."""
        stalls_at = self.channel.stalls_at
        if stalls_at is not None and now >= stalls_at:
            return str(frames.stalled("there came", frames.STALLED_SECONDS))
        if self.unsent and now >= self.sent_at + frames.STALLED_SECONDS:
            return str(frames.stalled("the process took", frames.STALLED_SECONDS))
        return ""

    def drop_unsent(self) -> None:
        for _, file in self.unsent:
            if file is not None:
                os.close(file)
        self.unsent.clear()


class Processes:
    """Hands on between them and the near end, as each takes it. `hub`: has the connection."""

    def __init__(self, hub: Any, fork_servers: ForkServers, outbox: Outbox) -> None:
        self._hub = hub
        self._fork_servers = fork_servers
        self._outbox = outbox
        self._all: dict[int, Process] = {}

    def end_what_stalls(self, now: float) -> None:
        for stream, process in self._all.items():
            stall = process.stall(now)
            if stall and process.ends.channel.fileno() in self._hub.handlers:
                self._hub.unwatch(process.ends.channel.fileno())
                process.drop_unsent()
                self._hub.send(b"E", stream, stall.encode())

    def kill_all(self) -> None:
        for process in self._all.values():
            if process.pid is not None:
                kill_group(process.pid)

    def descriptors(self) -> Iterator[int]:
        """Names what is open for them, but for the ends of processes, which close themselves."""
        for process in self._all.values():
            if process.file is not None:
                yield process.file
            yield from (file for _, file in process.unsent if file)

    def closers(self) -> list[Callable[[], Any]]:
        return [process.ends.close for process in self._all.values()]

    def start(self, stream: int, body: bytes) -> None:
        number, how = multiplexer.START.unpack(body)
        fork_server = self._fork_servers.get(number)
        try:
            if fork_server is None:
                raise BrokenPipeError
            ends = ask_for_process(fork_server.control, how)
        except BrokenPipeError:
            # It has just ended.
            self._hub.send(b"S", stream, _UNREAD)
            self._hub.send(b"S", stream)
            return
        except OSError as error:
            self._hub.send(b"S", stream, EVENT.pack(b"E", error.errno or 0))
            return
        process = self._all[stream] = Process(ends, fork_server.folder)
        for descriptor in ends.descriptors:
            os.set_blocking(descriptor, False)
        self._hub.watch(ends.channel.fileno(), lambda: self._hear_channel(stream, process))
        self._hub.watch(ends.status.fileno(), lambda: self._hear_status(stream, process))
        self._hub.watch(ends.out, lambda: self._hear_output(stream, b"O", ends.out, process))
        self._hub.watch(ends.errors, lambda: self._hear_output(stream, b"R", ends.errors, process))

    def pass_message(self, stream: int, body: bytes, file: Optional[int] = None) -> None:
        process = self._all.get(stream)
        if process is not None:
            if body[0] == frames.SESSION and not os.path.isfile(process.manifest):
                folder = os.path.dirname(process.manifest)
                raise FileNotFoundError(f"somebody has removed the archive {folder}")
            process.passed += process.ends.channel.fileno() in self._hub.handlers
            head = frames.head_of(body[0], len(body) - 1, file is not None)
            if not process.unsent:
                process.sent_at = time.monotonic()
            process.unsent.append((head + body[1:], file))
            self._deliver(process)

    def _deliver(self, process: Process) -> None:
        """Sends a process what it takes. What it does not take waits: others must not."""
        channel, unsent = process.ends.channel, process.unsent
        try:
            while unsent:
                data, file = unsent[0]
                sent = channel.sendmsg([data], [] if file is None else rights_to(file))
                if file is not None:
                    os.close(file)
                process.sent_at = time.monotonic()
                process.has_read = True
                unsent[0] = (data[sent:], None)
                if sent == len(data):
                    unsent.popleft()
        except BlockingIOError:
            pass
        except OSError:
            # It reads no more. Why, it says itself, or its fork server does.
            process.drop_unsent()
            process.has_read = False
        self._hub.watch_room(channel.fileno(), bool(unsent))

    def begin_file(self, stream: int, body: bytes) -> None:
        process = self._all.get(stream)
        if process is not None:
            process.file = bulk_files.opened(int.from_bytes(body, "big"), None)

    def take_piece(self, stream: int, body: bytes) -> None:
        process = self._all.get(stream)
        if process is None or process.file is None:
            return  # it is over, or there was no room
        try:
            write_all(process.file, [body])
        except OSError:
            os.close(process.file)
            process.file = None
            raise

    def pass_file(self, stream: int, body: bytes) -> None:
        process = self._all.get(stream)
        if process is not None and process.file is not None:
            file, process.file = process.file, None
            self.pass_message(stream, body, file)

    def cancel(self, stream: int, body: bytes) -> None:
        process = self._all.get(stream)
        if process is not None:
            with contextlib.suppress(OSError):
                process.ends.status.send(EVENT.pack(b"K", 0), NO_SIGNAL)

    def forget(self, stream: int) -> None:
        process = self._all.pop(stream, None)
        self._outbox.drop(stream)
        if process is None:
            return
        ends = process.ends
        for descriptor in ends.descriptors:
            self._hub.unwatch(descriptor)
        process.drop_unsent()
        if process.file is not None:
            os.close(process.file)
        # It closes the channel's descriptors that nobody took, too.
        self._hub.to_close += [process.channel.close, ends.close]

    def _hear_channel(self, stream: int, process: Process) -> None:
        if process.unsent:
            self._deliver(process)
        try:
            process.channel.read()
        except BlockingIOError:
            return
        except (EOFError, OSError):
            self._hub.unwatch(process.ends.channel.fileno())
            if process.channel.was_unread or not process.has_read:
                self._hub.send(b"S", stream, _UNREAD)
            self._hub.send(b"M", stream)
            return
        while True:
            try:
                frame = process.channel.next()
            except Exception as error:
                # Something else than a message: nothing that follows can be understood.
                self._hub.unwatch(process.ends.channel.fileno())
                self._hub.send(b"E", stream, str(error).encode())
                return
            if frame is None:
                return
            # What was written before the message comes before it.
            self._drain(process.outputs)
            message = bytes([frame.kind]) + frame.body
            if frame.descriptor is None:
                self._hub.send(b"M", stream, message)
                continue
            descriptor = os.dup(frame.descriptor.fileno())
            self._outbox.send_file(stream, descriptor, packed(b"A", stream, message))

    def _hear_status(self, stream: int, process: Process) -> None:
        status = process.ends.status
        try:
            data = status.recv(EVENT.size, socket.MSG_WAITALL)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data[:1] == b"P":
            _, process.pid = EVENT.unpack(data)
        else:
            if not data and process.pid is not None:
                # Its fork server is gone, which would have ended what it has started.
                kill_group(process.pid)
            self._hub.unwatch(status.fileno())
            # All that it has written comes before its end.
            last = select.poll()
            last.register(process.ends.channel, select.POLLIN)
            self._drain(last)
            self._drain(process.outputs)
            self._hub.send(b"S", stream, EVENT.pack(b"C", process.passed))
        self._hub.send(b"S", stream, data)

    def _hear_output(self, stream: int, letter: bytes, descriptor: int, process: Process) -> None:
        try:
            data = os.read(descriptor, multiplexer.PIECE)
        except BlockingIOError:
            return
        if not data:
            self._hub.unwatch(descriptor)
            process.outputs.unregister(descriptor)
        self._hub.send(letter, stream, data)

    def _drain(self, outputs: select.poll) -> None:
        for _ in range(_MOST_READS):
            ready = [self._hub.handlers.get(descriptor) for descriptor, _ in outputs.poll(0)]
            handlers = list(filter(None, ready))
            if not handlers:
                return
            for handler in handlers:
                handler()
