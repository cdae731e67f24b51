"""The far end of a connection to another machine: many processes on one pair of pipes.

    connection ◄── streams ──► hub ── template ── process of a task
                                 └─── template ── process, process

It has one thread, waits for nothing but `poll`, and runs no code of a task: it hands on what comes.
When the connection is closed or lost it ends all that was started, and itself. What is to be read
from processes waits there when the connection does not take it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import select
import socket
import struct
import sys
import time
from collections import deque
from typing import Any, Callable, NoReturn, Optional

from .._archive import keep, unpack
from .._archive.arriving import Arriving
from .._system.processes import kill_group, reap
from . import bulk, frames, state, streams
from .frames import EVENT, Channel
from .outbox import Outbox
from .streams import HEAD, packed

_READ = 1 << 18
# After an answer no more output is looked for than this.
_MOST_READS = 64
_SECONDS_TO_END = 5.0
_TOUCH_SECONDS = 3600.0
_START = struct.Struct("!Ic")


class _Template:
    def __init__(self, pid: int, folder: str, control: socket.socket, errors: int) -> None:
        self.pid = pid  # its process id
        self.folder = folder  # its archive
        self.control = control  # where requests go to
        self.channel = Channel(control)  # the same, for what it says
        # What it writes to standard error is read from here, `None` after its end.
        self.errors: Optional[int] = errors
        self.has_said_hello = False  # whether it runs


class _Process:
    def __init__(self, ends: frames.Ends, folder: str) -> None:
        self.ends = ends  # what leads to it
        # What its archive says of itself, in a folder that somebody may remove.
        self.manifest = os.path.join(folder, keep.MANIFEST)
        self.channel = Channel(ends.channel)  # its channel
        self.outputs = select.poll()  # both its outputs, as long as they are open
        for descriptor in (ends.out, ends.errors):
            self.outputs.register(descriptor, select.POLLIN)
        # What it has not taken yet, with the files that go along.
        self.unsent: deque[tuple[bytes, Optional[int]]] = deque()
        self.sent_at = 0.0
        self.file: Optional[int] = None  # the file that comes for it, `None` if none does
        # Its id, and that of its group, `None` as long as it is not known.
        self.pid: Optional[int] = None

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


def main(reading: int, writing: int, root: str, directory: Optional[str]) -> NoReturn:
    """Serves the near end until that is gone. `directory`: its own, `None` to remove it then."""
    # What a task needs besides the archive, such as environments, is kept in the same place.
    os.environ.setdefault("BANDSAW_HOME", root)
    hub = _Hub(reading, writing, root)
    try:
        hub.serve()
    except (EOFError, BrokenPipeError, ConnectionResetError):
        pass
    finally:
        hub.end()
        if directory is None:
            keep.remove(root)
        else:
            # Nobody waits for it now.
            keep.sweep(root, directory)
            files = os.path.join(os.environ["BANDSAW_HOME"], "files")
            if os.path.isdir(files):
                from .._files import kept

                kept.prune(files, kept.KEPT_SECONDS)
    os._exit(0)


class _Hub:
    def __init__(self, reading: int, writing: int, root: str) -> None:
        self._reading, self._writing, self._root = reading, writing, root
        self._all, self._narrow = select.poll(), select.poll()
        self._handlers: dict[int, Callable[[], Any]] = {reading: self._read}
        for poll in (self._all, self._narrow):
            poll.register(reading, select.POLLIN)
        self._outbox = Outbox(writing, self._wait_for_room)
        self._send = self._outbox.send
        self._data = bytearray()
        self._read_at = 0.0
        self._touched_at = time.monotonic()
        # Somebody else may sweep what is not used.
        self._in_use = {root, sys.argv[0]}
        self._templates: dict[int, _Template] = {}
        self._processes: dict[int, _Process] = {}
        self._arriving: dict[int, Arriving] = {}
        # Whether the near end is on this machine, and the files that it has not opened yet.
        self._is_seen = False
        self._given: dict[int, int] = {}
        # Each a `Far` of `_files.crossing`, which few connections need.
        self._files: dict[int, Any] = {}
        # Closed when no event of them can be left to be handled.
        self._to_close: list[Callable[[], Any]] = []
        self._actions: dict[bytes, Callable[[int, bytes], None]] = {
            b"T": self._start_template,
            b"P": self._start_process,
            b"M": self._pass_message,
            b"N": self._begin_file,
            b"B": self._take_piece,
            b"A": self._pass_file,
            b"V": self._open_file,
            b"K": self._cancel,
            b"Q": self._forget,
            b"D": self._look_for_archive,
            b"Z": self._take_archive,
            b"F": functools.partial(self._take_files, b"F"),
            b"W": functools.partial(self._take_files, b"W"),
        }

    def serve(self) -> NoReturn:
        while True:
            poll = self._narrow if self._outbox.has_much else self._all
            for descriptor, _ in poll.poll(streams.ALIVE_SECONDS * 1000):
                handler = self._handlers.get(descriptor)
                if handler is not None:
                    handler()
            for close in self._to_close:
                with contextlib.suppress(OSError):
                    close()
            self._to_close.clear()
            now = time.monotonic()
            if now - self._outbox.written_at >= streams.ALIVE_SECONDS and not self._outbox.is_full:
                self._send(b"G", 0)
            self._end_what_stalls(now)
            if now - self._touched_at >= _TOUCH_SECONDS:
                self._touched_at = now
                for folder in self._in_use:
                    with contextlib.suppress(OSError):
                        os.utime(folder)

    def _end_what_stalls(self, now: float) -> None:
        if self._data and now - self._read_at >= frames.STOPPED_SECONDS:
            raise EOFError("the near end stopped in the middle of a message")
        for template in self._templates.values():
            stalls_at = template.channel.stalls_at
            if stalls_at is not None and now >= stalls_at:
                kill_group(template.pid)
        for stream, process in self._processes.items():
            stall = process.stall(now)
            if stall and process.ends.channel.fileno() in self._handlers:
                self._unwatch(process.ends.channel.fileno())
                process.drop_unsent()
                self._send(b"E", stream, stall.encode())

    def end(self) -> None:
        for arriving in (*self._arriving.values(), *self._files.values()):
            arriving.abandon()
        for template in self._templates.values():
            template.control.close()
        deadline = time.monotonic() + _SECONDS_TO_END
        for template in self._templates.values():
            if _reaped(template.pid, deadline if template.has_said_hello else 0.0) != 0:
                # It could not end what it has started.
                for process in self._processes.values():
                    if process.pid is not None:
                        kill_group(process.pid)
        # Somebody in between may still hold the connection open.
        for descriptor in (self._reading, self._writing):
            os.close(descriptor)

    def _watch(self, descriptor: int, handler: Callable[[], Any]) -> None:
        self._handlers[descriptor] = handler
        self._all.register(descriptor, select.POLLIN)

    def _unwatch(self, descriptor: int) -> None:
        if self._handlers.pop(descriptor, None) is not None:
            self._all.unregister(descriptor)

    def _wait_for_room(self, is_full: bool) -> None:
        if is_full:
            self._handlers[self._writing] = self._outbox.flush
        else:
            del self._handlers[self._writing]
        for poll in (self._all, self._narrow):
            if is_full:
                poll.register(self._writing, select.POLLOUT)
            else:
                poll.unregister(self._writing)

    # What comes from the near end

    def _read(self) -> None:
        data = os.read(self._reading, _READ)
        if not data:
            raise EOFError("the connection was closed")
        self._data += data
        self._read_at = time.monotonic()
        while len(self._data) >= HEAD.size:
            letter, stream, size = HEAD.unpack_from(self._data)
            end = HEAD.size + size
            if len(self._data) < end:
                return
            body = bytes(memoryview(self._data)[HEAD.size : end])
            del self._data[:end]
            try:
                self._actions[letter](stream, body)
            except (BrokenPipeError, EOFError):
                raise
            except Exception as error:
                what = f"{type(error).__name__}: {error}, in {self._root}"
                self._send(b"E", stream, what.encode("utf-8", "replace"))

    def _look_for_archive(self, stream: int, body: bytes) -> None:
        folder = self._archive(body.decode("ascii"))
        is_there = unpack.is_whole(folder)
        if is_there:
            keep.touch(folder)
        else:
            self._arriving[stream] = Arriving(folder)
        self._send(b"D", stream, b"1" if is_there else b"0")

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
        self._send(b"D", stream, arriving.end_part())

    def _archive(self, digest: str) -> str:
        return os.path.join(self._root, "archives", digest)

    def _take_files(self, letter: bytes, stream: int, body: bytes) -> None:
        far = self._files.get(stream)
        if far is None:
            from .._files.crossing import Far

            def send(letter: bytes, body: bytes) -> None:
                self._send(letter, stream, body)

            far = self._files[stream] = Far(send)
        far.take(letter, body)

    # Templates

    def _start_template(self, stream: int, body: bytes) -> None:
        request = json.loads(body)
        near, far = frames.channel_pair()
        folder = self._archive(request["digest"])
        self._in_use.add(folder)
        errors, far_errors = frames.pipe_pair()
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            near.close()
            os.close(errors)
            self._become_template(request, parent, far, far_errors)
        far.close()
        os.close(far_errors)
        at_start = state.at_start({**os.environ, **request["environment"]})
        with contextlib.suppress(OSError):
            Channel(near).send_json(frames.STATE, {"at_start": at_start})
        template = self._templates[stream] = _Template(pid, folder, near, errors)
        self._watch(near.fileno(), lambda: self._hear_template(stream, template))
        os.set_blocking(errors, False)
        self._watch(errors, lambda: self._hear_errors(stream, template))

    def _become_template(
        self, request: dict[str, Any], parent: int, control: socket.socket, errors: int
    ) -> NoReturn:
        code = 1
        try:
            # Not a session of its own: a busy machine gives each its turn, and answers come late.
            os.setpgid(0, 0)
            # Their ends are noticed only if nobody else holds them.
            closing = [*self._to_close, *(each.ends.close for each in self._processes.values())]
            for close in (*closing, *(far.let_go for far in self._files.values())):
                with contextlib.suppress(OSError):
                    close()
            files = [each.file for each in self._processes.values() if each.file is not None]
            files += [file for each in self._processes.values() for _, file in each.unsent if file]
            files += [*self._outbox.files, *self._given.values()]
            for descriptor in (*self._handlers, self._reading, self._writing, *files):
                with contextlib.suppress(OSError):
                    os.close(descriptor)
            os.dup2(control.fileno(), 0)
            os.dup2(errors, 2)
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            for descriptor in (control.detach(), errors, nowhere):
                os.close(descriptor)
            code = _template(request, parent, self._archive(request["digest"]))
        except BaseException as error:
            from .._session.members import written_failure

            near = Channel(socket.socket(fileno=os.dup(0)))
            near.send((frames.FAILURE, (written_failure(error),), None))
        finally:
            os._exit(code)

    def _hear_template(self, stream: int, template: _Template) -> None:
        frame = None
        with contextlib.suppress(EOFError, OSError):
            template.channel.read()
            frame = template.channel.next()
            if frame is None:
                return
        if frame is not None:
            template.has_said_hello = True
            self._send(b"H", stream, bytes([frame.kind]), frame.body)
            return
        self._unwatch(template.control.fileno())
        del self._templates[stream]
        while template.errors is not None and self._hear_errors(stream, template):
            pass
        self._to_close.append(template.control.close)
        code = _reaped(template.pid, time.monotonic() + 1.0)
        self._send(b"E", stream, str(code).encode())

    def _hear_errors(self, stream: int, template: _Template) -> bool:
        """Hands on what a template writes, and returns whether there may be more."""
        if template.errors is None:
            return False
        try:
            data = os.read(template.errors, _READ)
        except BlockingIOError:
            return False
        if data:
            self._send(b"L", stream, data)
            return True
        # The number may be that of another file soon.
        self._unwatch(template.errors)
        self._to_close.append(functools.partial(os.close, template.errors))
        template.errors = None
        return False

    # Processes

    def _start_process(self, stream: int, body: bytes) -> None:
        number, how = _START.unpack(body)
        template = self._templates.get(number)
        try:
            if template is None:
                self._send(b"S", stream)
                return
            ends = frames.ask_for_process(template.control, how)
        except BrokenPipeError:
            self._send(b"S", stream)
            return
        except OSError as error:
            self._send(b"S", stream, EVENT.pack(b"E", error.errno or 0))
            return
        process = self._processes[stream] = _Process(ends, template.folder)
        for descriptor in (ends.channel.fileno(), ends.status.fileno(), ends.out, ends.errors):
            os.set_blocking(descriptor, False)
        self._watch(ends.channel.fileno(), lambda: self._hear_channel(stream, process))
        self._watch(ends.status.fileno(), lambda: self._hear_status(stream, process))
        self._watch(ends.out, lambda: self._hear_output(stream, b"O", ends.out, process))
        self._watch(ends.errors, lambda: self._hear_output(stream, b"R", ends.errors, process))

    def _pass_message(self, stream: int, body: bytes, file: Optional[int] = None) -> None:
        process = self._processes.get(stream)
        if process is not None:
            if body[0] == frames.SESSION and not os.path.isfile(process.manifest):
                folder = os.path.dirname(process.manifest)
                raise FileNotFoundError(f"somebody has removed the archive {folder}")
            head = frames.head_of(body[0], len(body) - 1, file is not None)
            if not process.unsent:
                process.sent_at = time.monotonic()
            process.unsent.append((head + body[1:], file))
            self._deliver(process)

    def _deliver(self, process: _Process) -> None:
        """Sends a process what it takes. What it does not take waits: others must not."""
        channel, unsent = process.ends.channel, process.unsent
        try:
            while unsent:
                data, file = unsent[0]
                sent = channel.sendmsg([data], [] if file is None else frames.rights_to(file))
                if file is not None:
                    os.close(file)
                process.sent_at = time.monotonic()
                unsent[0] = (data[sent:], None)
                if sent == len(data):
                    unsent.popleft()
        except BlockingIOError:
            pass
        except OSError:
            # It reads no more. Why, it says itself, or its template does.
            process.drop_unsent()
        if channel.fileno() in self._handlers:
            self._all.modify(channel, select.POLLIN | select.POLLOUT if unsent else select.POLLIN)

    def _begin_file(self, stream: int, body: bytes) -> None:
        process = self._processes.get(stream)
        if process is not None:
            process.file = bulk.opened(int.from_bytes(body, "big"), None)

    def _open_file(self, stream: int, body: bytes) -> None:
        """Takes a body in a file that is seen here, or word that one of ours was opened there."""
        given = self._given.pop(stream, None)
        if given is not None:
            os.close(given)
        self._is_seen = True
        process = self._processes.get(stream)
        if process is not None and body:
            process.file = os.open(body, os.O_RDONLY)

    def _take_piece(self, stream: int, body: bytes) -> None:
        process = self._processes.get(stream)
        if process is None or process.file is None:
            return  # it is over, or there was no room
        try:
            bulk.append(process.file, body)
        except OSError:
            os.close(process.file)
            process.file = None
            raise

    def _pass_file(self, stream: int, body: bytes) -> None:
        process = self._processes.get(stream)
        if process is not None and process.file is not None:
            file, process.file = process.file, None
            self._pass_message(stream, body, file)

    def _cancel(self, stream: int, body: bytes) -> None:
        process = self._processes.get(stream)
        if process is not None:
            with contextlib.suppress(OSError):
                process.ends.status.send(EVENT.pack(b"K", 0))

    def _forget(self, stream: int, body: bytes) -> None:
        arriving = self._arriving.pop(stream, None) or self._files.pop(stream, None)
        if arriving is not None:
            arriving.abandon()
            return
        template = self._templates.get(stream)
        if template is not None:
            # That it ends is heard.
            template.control.shutdown(socket.SHUT_WR)
            if not template.has_said_hello:
                kill_group(template.pid)
            return
        process = self._processes.pop(stream, None)
        self._outbox.drop(stream)
        given = self._given.pop(stream, None)
        if given is not None:
            os.close(given)
        if process is None:
            return
        ends = process.ends
        for descriptor in (ends.channel.fileno(), ends.status.fileno(), ends.out, ends.errors):
            self._unwatch(descriptor)
        process.drop_unsent()
        if process.file is not None:
            os.close(process.file)
        # It closes the channel's descriptors that nobody took, too.
        self._to_close += [process.channel.close, ends.close]

    def _hear_channel(self, stream: int, process: _Process) -> None:
        if process.unsent:
            self._deliver(process)
        try:
            process.channel.read()
        except BlockingIOError:
            return
        except (EOFError, OSError):
            self._unwatch(process.ends.channel.fileno())
            self._send(b"M", stream)
            return
        while True:
            try:
                frame = process.channel.next()
            except Exception as error:
                # Something else than a message: nothing that follows can be understood.
                self._unwatch(process.ends.channel.fileno())
                self._send(b"E", stream, str(error).encode())
                return
            if frame is None:
                return
            # What was written before the message comes before it.
            self._drain(process.outputs)
            message = bytes([frame.kind]) + frame.body
            if frame.descriptor is None:
                self._send(b"M", stream, message)
                continue
            descriptor = os.dup(frame.descriptor.fileno())
            if self._is_seen:
                self._given[stream] = descriptor
                self._send(b"V", stream, f"/proc/{os.getpid()}/fd/{descriptor}".encode())
                self._send(b"A", stream, message)
            else:
                self._outbox.send_file(stream, descriptor, packed(b"A", stream, message))

    def _hear_status(self, stream: int, process: _Process) -> None:
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
                # Its template is gone, which would have ended what it has started.
                kill_group(process.pid)
            self._unwatch(status.fileno())
            # All that it has written comes before its end.
            last = select.poll()
            last.register(process.ends.channel, select.POLLIN)
            self._drain(last)
            self._drain(process.outputs)
        self._send(b"S", stream, data)

    def _hear_output(self, stream: int, letter: bytes, descriptor: int, process: _Process) -> None:
        try:
            data = os.read(descriptor, streams.PIECE)
        except BlockingIOError:
            return
        if not data:
            self._unwatch(descriptor)
            process.outputs.unregister(descriptor)
        self._send(letter, stream, data)

    def _drain(self, outputs: select.poll) -> None:
        for _ in range(_MOST_READS):
            ready = [self._handlers.get(descriptor) for descriptor, _ in outputs.poll(0)]
            handlers = list(filter(None, ready))
            if not handlers:
                return
            for handler in handlers:
                handler()


def _template(request: dict[str, Any], parent: int, folder: str) -> int:
    """Becomes a template, in the process that was forked for it; returns an exit status."""
    environment = {**os.environ, **request["environment"]}
    executable = sys.executable
    if request["requirements"] is not None:
        from ..environments import Environment

        executable = Environment.deserialize(request["requirements"]).executable
    kind = [executable, folder, request["preload"]]
    settings = {"parent": parent, "kind": kind, "path": None, "run_id": request["run_id"]}
    args = [folder, "--template", json.dumps(settings)]
    if executable != sys.executable or folder != sys.argv[0] or request["environment"]:
        os.execve(executable, [executable, "-u", *args], environment)
    # As if it was started from there, without the time that it takes to start Python.
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    path = os.path.join(folder, "__main__.py")
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__file__ = path
    main.__spec__ = ModuleSpec("__main__", None, origin=path)
    sys.argv[:] = args
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    try:
        exec(code, main.__dict__)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 0
    return 0


def _reaped(pid: int, deadline: float) -> int:
    """Waits for the end of a process, at last ends it, and returns how it ended."""
    kill = functools.partial(kill_group, pid)
    while (code := reap(pid, kill)) is None:
        if time.monotonic() >= deadline:
            kill()
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        time.sleep(0.002)
    return code
