"""The near end of a hub, in an engine's worker: calls in processes below it.

    engine's worker: NearHub ── pipes ──► hub ── fork server ── process of a call
                                       └─── process of a call

The hub ends when its pipes are closed, with all that runs below it: at the latest when the worker
ends, earlier when it had nothing to do for a while. For its messages see `multiplexer`.

This file is sent as text and needs the standard library of Python only, see `engine_far`.
"""

from __future__ import annotations

import json
import os
import queue
import select
import struct
import subprocess
import sys
import threading
import time
from typing import Any

if "." in __name__:
    # Else it was sent as text, and is there.
    from .engine_claims import new_box, sweep_boxes, unlink
    from .engine_memory import given, may_look

# As in `multiplexer`, `frames` and `ssh_carrier`.
_HEAD = struct.Struct("!cII")
_START = struct.Struct("!Ic")
_PIECE = 1 << 18
_HELLO = 1
# HEARTBEAT, LOG and WARNING, which a thread may send that a task has left.
_SAID = b"\4", b"\5", b"\14"
# A name is 32 characters and the end of a line.
_WHOLE_NAMES = 33 * 100
# After so many seconds without a call the processes that were kept for one are ended.
_IDLE_SECONDS = 60.0
_SECONDS_TO_END = 10.0
SERVER_ENDED = "the server of processes below the executor's worker has ended"
# Comes before how what was to start a process has ended, and on further lines what it wrote.
NOT_STARTED = "no process could be started: "
# As in `near_fork_server`.
_OWN_GROUP: dict[str, Any] = (
    {"process_group": 0} if sys.version_info >= (3, 11) else {"start_new_session": True}
)
# It says every fifteen seconds that it is there.
_MOST_SILENT_SECONDS = 120.0
_HUB = """
import os, sys
folder, root, directory, box = sys.argv[1:]
sys.path[:] = [folder, *filter(None, sys.path)]
sys.argv[:] = [folder]
reading, writing = os.dup(0), os.dup(1)
nowhere = os.open(os.devnull, os.O_RDONLY)
os.dup2(nowhere, 0)
os.dup2(2, 1)
from bandsaw._archive import start
start.prepare()
from bandsaw._workers.ssh import hub
hub.main(reading, writing, root, directory or None, box)
"""


class NearProcess:
    """A process of a call, as a stream of the hub."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.calls = 0
        # What said that it was started.
        self.start: Any = None
        # What it was told last, and the kinds of calls that it has in mind.
        self.state = b""
        self.shapes: set[str] = set()
        # Whether it was to be ended with a call, which it may have answered just before.
        self.is_ending = False
        # A file that comes: its size is known before its pieces.
        self.file: Any = None
        self.has_asked = False  # whether it has asked for code, which is sent to it, too


def _has_ended(fork_server: NearProcess) -> bool:
    """Whether a fork server that had started was killed, as when the machine lacks memory."""
    while not fork_server.inbox.empty():
        if fork_server.inbox.get()[0] == b"E":
            return True
    return False


class NearHub:
    """A fork server for an archive, and a thread that reads what comes from it."""

    def __init__(self, folder: str, root: str, directory: str) -> None:
        self._pid = os.getpid()
        sweep_boxes(root)
        self.box, self._ended = new_box(root)
        path = os.path.join(root, "call-" + self.box)
        try:
            self._server = subprocess.Popen(
                [sys.executable, "-u", "-c", _HUB, folder, root, directory, path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                # What is below it cannot start without.
                stderr=subprocess.DEVNULL if sys.__stderr__ is None else None,
                bufsize=0,
                # An interrupt is for the worker to handle.
                **_OWN_GROUP,
            )
        except BaseException:
            os.close(self._ended)
            unlink(path)
            raise
        assert self._server.stdin and self._server.stdout
        self._in, self._out = self._server.stdin.fileno(), self._server.stdout.fileno()
        self.lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._processes: dict[int, NearProcess] = {}
        # Those that run, by name, and who follows each.
        self.calls: dict[str, Any] = {}
        self._number = 0
        self._calls = 1  # the one that it is made for
        self._used_at = time.monotonic()
        self._is_gone = False
        self._fork_server: Any = None
        self._idle: list[NearProcess] = []
        self._next: list[NearProcess] = []
        # Whether both ends may open each other's files, so that large bodies pass no pipe.
        self.has_files = hasattr(os, "memfd_create") and may_look(self._server.pid)
        thread = threading.Thread(target=self._read_all, daemon=True, name="bandsaw-hub")
        try:
            if self.has_files:
                self.send(b"V", 0)
            thread.start()
        except BaseException:
            self._end()
            raise

    def take(self) -> bool:
        """Notes that a call begins; returns whether the hub is there."""
        with self.lock:
            if self._is_gone or self._server.poll() is not None:
                return False
            self._calls += 1
            return True

    def is_gone(self) -> bool:
        return self._is_gone or self._server.poll() is not None

    def release(self) -> None:
        with self.lock:
            self._calls -= 1
            self._used_at = time.monotonic()

    def end(self) -> None:
        self._server.kill()
        self._server.wait()

    def start_fork_server(self, request: Any) -> Any:
        with self.lock:
            fork_server = self._fork_server
            if fork_server is None or (fork_server[2] and _has_ended(fork_server[0])):
                fork_server = self._fork_server = self.new(), threading.Lock(), []
        stream, lock, hello = fork_server
        with lock:
            if not hello:
                names = "beside", "digest", "preload", "environment", "run_id"
                content = {**{name: request[name] for name in names}, "requirements": None}
                self.send(b"T", stream.number, json.dumps(content).encode("ascii"))
                written = b""
                while not hello:
                    letter, body = stream.inbox.get()
                    if letter == b"L":
                        written += body
                    else:
                        hello.append((letter, body, written))
        letter, body, written = hello[0]
        if letter == b"H" and body[0] == _HELLO:
            return None
        with self.lock:
            if self._fork_server is fork_server:
                self._fork_server = None
        if letter == b"H":
            return [(b"H", body)], ""
        how = body.decode("utf-8", "replace")
        if how == SERVER_ENDED:
            return [], how
        return [], f"{NOT_STARTED}{how}\n{written[-4000:].decode('utf-8', 'replace')}"

    def new(self) -> NearProcess:
        self._number += 1
        process = self._processes[self._number] = NearProcess(self._number)
        return process

    def _started(self) -> NearProcess:
        with self.lock:
            process = self.new()
            fork_server = self._fork_server[0].number
        self.send(b"P", process.number, _START.pack(fork_server, b"F"))
        return process

    def taken(self, kept: Any) -> NearProcess:
        """Takes a process that waits, or a new one. `kept`: how many may be, `None` for none."""
        ready = self._next if kept is None else self._idle
        while True:
            try:
                process: NearProcess = ready.pop()
            except IndexError:
                return self._started()
            events = []
            while not process.inbox.empty():
                events.append(process.inbox.get())
            if all(letter == b"S" and body[:1] == b"P" for letter, body in events) or (
                process.calls
                and not any(letter in b"MES" and body[:1] not in _SAID for letter, body in events)
            ):
                for event in events:
                    process.inbox.put(event)
                return process
            self.drop(process)

    def prepare_next(self) -> None:
        """Starts a process for a call of its own that may come."""
        if not self._next:
            self._next.append(self._started())

    def give(self, process: NearProcess, kept: Any) -> None:
        """Takes a process back, to be used again if no more than `kept` are."""
        if kept is not None and len(self._idle) < kept:
            self._idle.append(process)
        else:
            self.drop(process)

    def kill(self, name: str) -> None:
        """Ends a call, if it runs here."""
        following = self.calls.get(name)
        if following is not None:
            following.kill(name)

    def drop(self, process: NearProcess) -> None:
        with self.lock:
            self._processes.pop(process.number, None)
        try:
            self.send(b"Q", process.number)
        except BrokenPipeError:
            pass

    # Messages

    def send(self, letter: bytes, number: int, *bodies: Any) -> None:
        pieces = []
        for body in bodies or (b"",):
            pieces += [_HEAD.pack(letter, number, len(body)), body]
        data = memoryview(b"".join(pieces))
        with self._write_lock:
            if self._is_gone:
                raise BrokenPipeError
            while data:
                data = data[os.write(self._in, data) :]

    def _read_all(self) -> None:
        data = bytearray()
        silent, look = 0.0, _IDLE_SECONDS / 4
        try:
            waiting = select.poll()
            for descriptor in (self._out, self._ended):
                waiting.register(descriptor, select.POLLIN)
            while True:
                ready = [found for found, _ in waiting.poll(look * 1000)]
                # Looks, and not time that passed: this process itself may have been stopped.
                silent = 0.0 if self._out in ready else silent + (0.0 if ready else look)
                if silent > _MOST_SILENT_SECONDS:
                    self._server.kill()
                if self._ended in ready:
                    for name in os.read(self._ended, _WHOLE_NAMES).decode("ascii").split():
                        self.kill(name)
                if self._out in ready:
                    piece = os.read(self._out, _PIECE)
                    if not piece:
                        return
                    data += piece
                    self._take_messages(data)
                with self.lock:
                    idle = time.monotonic() - self._used_at
                    if not self._calls and idle >= _IDLE_SECONDS:
                        self._is_gone = True
                        return
        except OSError:
            pass
        finally:
            self._end()

    def _take_messages(self, data: bytearray) -> None:
        start = 0
        while len(data) - start >= _HEAD.size:
            letter, number, size = _HEAD.unpack_from(data, start)
            end = start + _HEAD.size + size
            if len(data) < end:
                break
            body: Any = bytes(memoryview(data)[start + _HEAD.size : end])
            start = end
            process = self._processes.get(number)
            if process is None:
                continue
            if letter == b"N":
                process.file = []
            elif letter == b"B":
                process.file.append(body)
            elif letter == b"V":
                try:
                    process.file = [given(body.decode())]
                except OSError as error:
                    # The other calls go on.
                    process.file = [b""]
                    process.inbox.put((b"E", f"what it sent cannot be read: {error}".encode()))
                self.send(b"V", number)
            else:
                if letter == b"A":
                    pieces, process.file = process.file, None
                    body = body, pieces[0] if len(pieces) == 1 else b"".join(pieces)
                process.inbox.put((letter, body))
        del data[:start]

    def _end(self) -> None:
        with self.lock:
            self._is_gone = True
            processes = list(self._processes.values())
            os.close(self._ended)
        for process in processes:
            process.inbox.put((b"E", SERVER_ENDED.encode()))
        with self._write_lock:
            for stream in (self._server.stdin, self._server.stdout):
                assert stream is not None
                stream.close()
        try:
            self._server.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def let_go(self) -> None:
        """Closes what is the parent's, in a process that was forked."""
        if not self._is_gone:
            for descriptor in (self._in, self._out, self._ended):
                os.close(descriptor)
        self._server.returncode = 0
