"""The near end of a hub, in an engine's worker: calls in processes below it.

    engine's worker: Hub ── pipes ──► hub ── template ── process of a call
                                       └─── process of a call

The hub ends when its pipes are closed, with all that runs below it: at the latest when the worker
ends, earlier when it had nothing to do for a while. For its messages see `streams`.

This file is sent as text and needs the standard library of Python only, see `engine_far`.
"""

import json
import os
import queue
import select
import struct
import subprocess
import sys
import threading
import time

# For a type checker. To import it takes longer than most of what is done here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any
if "." in __name__:
    # Else it was sent as text, and is there.
    from .engine_memory import given, in_memory, may_look, shared_at, view

# As in `streams`, `frames` and `remote`.
_HEAD = struct.Struct("!cII")
_START = struct.Struct("!Ic")
_PIECE = 1 << 18
_LARGEST_BODY = 1 << 17
# From this size on it is worth to look whether memory is shared.
_WORTH_A_LOOK = 1 << 20
_HELLO, _STATE, _SESSION, _RETURN, _FAILURE, _DONE, _BYE, _CODE = 1, 2, 3, 6, 7, 9, 10, 11
# After so many seconds without a call the processes that were kept for one are ended.
_IDLE_SECONDS = 60.0
# What was said of a call is not removed by who said it if that was killed.
_CLAIM_SECONDS = 7 * 86400.0
# Contents that are on their way grow, or are fetched at once.
_FILE_SECONDS = 86400.0
# A process that has closed its channel is about to end.
_SECONDS_TO_END = 1.0
# As in `near_template`.
_OWN_GROUP: "dict[str, Any]" = (
    {"process_group": 0} if sys.version_info >= (3, 11) else {"start_new_session": True}
)
# It says every fifteen seconds that it is there.
_MOST_SILENT_SECONDS = 120.0
SERVER_ENDED = "the server of processes below the executor's worker has ended"
_HUB = """
import os, sys
folder, root, directory = sys.argv[1:]
sys.path[:] = [folder, *filter(None, sys.path)]
sys.argv[:] = [folder]
reading, writing = os.dup(0), os.dup(1)
nowhere = os.open(os.devnull, os.O_RDONLY)
os.dup2(nowhere, 0)
os.dup2(2, 1)
from bandsaw._archive import start
start.prepare()
from bandsaw.workers import hub
hub.main(reading, writing, root, directory or None)
"""


class Process:
    """A process of a call, as a stream of the hub."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self.calls = 0
        # What said that it was started.
        self.start: Any = None
        # A file that comes: its size is known before its pieces.
        self.file: Any = None


class Hub:
    """A fork server for an archive, and a thread that reads what comes from it."""

    def __init__(self, folder: str, root: str, directory: str) -> None:
        self._pid = os.getpid()
        self._server = subprocess.Popen(
            [sys.executable, "-u", "-c", _HUB, folder, root, directory],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            # An interrupt is for the worker to handle.
            **_OWN_GROUP,
        )
        self._folder, self._root = folder, root
        assert self._server.stdin and self._server.stdout
        self._in, self._out = self._server.stdin.fileno(), self._server.stdout.fileno()
        self._lock = threading.Lock()
        self._write_lock = threading.Lock()
        self._processes: dict[int, Process] = {}
        self._kills: dict[int, Process] = {}
        self._number = 0
        # The call that it is made for.
        self._calls = 1
        self._used_at = time.monotonic()
        self._is_gone = False
        self._template: Any = None
        self._idle: list[Process] = []
        self._next: list[Process] = []
        self._woken, self._wakeup = os.pipe()
        _sweep(root)
        # Whether both ends may open each other's files, so that large bodies pass no pipe.
        self._has_files = hasattr(os, "memfd_create") and may_look(self._server.pid)
        if self._has_files:
            self._send(b"V", 0)
        thread = threading.Thread(target=self._read_all, daemon=True, name="bandsaw-hub")
        thread.start()

    def take(self) -> bool:
        """Notes that a call begins; returns whether the hub is there."""
        with self._lock:
            if self._is_gone or self._server.poll() is not None:
                return False
            self._calls += 1
            return True

    def is_gone(self) -> bool:
        return self._is_gone or self._server.poll() is not None

    def release(self) -> None:
        with self._lock:
            self._calls -= 1
            self._used_at = time.monotonic()

    def call(self, request: "Any", messages: "Any", begun_at: "list[float]") -> "Any":
        """Runs a call. Returns what happened, and how it ended; notes when processes can start."""
        try:
            return self._call(request, messages, begun_at)
        except BrokenPipeError:
            return [], SERVER_ENDED

    def _call(self, request: "Any", messages: "Any", begun_at: "list[float]") -> "Any":
        fifo = os.path.join(self._root, "call-" + request["call"])
        # What is written to it ends the call, see `engine.kill_here`. It is there before anything
        # is started, and keeps what comes meanwhile. Who has both ends is not told of closed ones.
        _unlink(fifo)  # of a worker that was lost
        os.mkfifo(fifo, 0o600)
        listening = os.open(fifo, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            failure = self._start_template(request)
            if failure is not None:
                return failure
            begun_at.append(time.monotonic())
            kept = request["workers"]
            while True:
                process = self._taken(self._next if kept is None else self._idle)
                ending = self._follow(process, request, messages, kept, listening)
                if ending is not None:
                    return ending
        finally:
            _unlink(fifo)
            os.close(listening)

    def _start_template(self, request: "Any") -> "Any":
        with self._lock:
            template = self._template
            if template is None:
                template = self._template = self._new(), threading.Lock(), []
        stream, lock, hello = template
        with lock:
            if not hello:
                content = {
                    "beside": request["beside"],
                    "digest": request["digest"],
                    "preload": request["preload"],
                    "environment": request["environment"],
                    "requirements": None,
                    "run_id": request["run_id"],
                }
                self._send(b"T", stream.number, json.dumps(content).encode("ascii"))
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
        with self._lock:
            if self._template is template:
                self._template = None
        if letter == b"H":
            return [(b"H", body)], ""
        how = body.decode("utf-8", "replace")
        said = written[-4000:].decode("utf-8", "replace")
        return [], f"a process could not be started there ({how}): {said}"

    def _new(self) -> Process:
        self._number += 1
        process = self._processes[self._number] = Process(self._number)
        return process

    def _started(self) -> Process:
        with self._lock:
            process = self._new()
            template = self._template[0].number
        self._send(b"P", process.number, _START.pack(template, b"F"))
        return process

    def _taken(self, ready: "Any") -> Process:
        """Takes a process that waits, or a new one."""
        while True:
            try:
                process: Process = ready.pop()
            except IndexError:
                return self._started()
            events = []
            while not process.inbox.empty():
                events.append(process.inbox.get())
            if all(letter == b"S" and body[:1] == b"P" for letter, body in events) or (
                process.calls and not any(letter in b"MES" for letter, _ in events)
            ):
                for event in events:
                    process.inbox.put(event)
                return process
            self._drop(process)

    def _drop(self, process: Process) -> None:
        with self._lock:
            self._processes.pop(process.number, None)
        try:
            self._send(b"Q", process.number)
        except BrokenPipeError:
            pass

    def _follow(
        self, process: Process, request: "Any", messages: "Any", kept: "Any", listening: int
    ) -> "Any":
        """Has a process run a call. Returns what happened; `None` if it did not take the call."""
        is_kept = kept is not None
        with self._lock:
            if self._is_gone:
                raise BrokenPipeError
            self._kills[listening] = process
            os.write(self._wakeup, b".")
        is_whole = False
        file = None
        try:
            file = self._pass_session(process, messages)
            seconds = request["seconds"]
            deadline = None if seconds is None else time.monotonic() + seconds
            if not is_kept and not self._next:
                self._next.append(self._started())
            events, end = self._followed(process, deadline, is_kept)
            if events is None:
                return None
            is_whole = is_kept and not end and events[-1][0] in b"MA"
            process.calls += 1
            if process.start is not None and process.calls > 1:
                events.insert(0, process.start)
            return events, end
        finally:
            with self._lock:
                del self._kills[listening]
            if file is not None:
                os.close(file)
            if is_whole and len(self._idle) < kept:
                self._idle.append(process)
            else:
                self._drop(process)

    def _pass_session(self, process: Process, messages: "Any") -> "Any":
        """Sends a session. Returns a descriptor to be closed when it was read, `None` if none."""
        state, head, data = messages
        number = process.number
        if isinstance(data, bytes) and len(data) <= _LARGEST_BODY:
            # With one write, so that its reader wakes once.
            session = bytes([_SESSION]) + head + data
            self._send(b"M", number, bytes([_STATE]) + state, (b"M", number, session))
            return None
        self._send(b"M", number, bytes([_STATE]) + state)
        views = [view(piece) for piece in (data if isinstance(data, list) else [data])]
        file, path = None, data if isinstance(data, str) else None
        if self._has_files and path is None:
            shared = shared_at(views) if sum(map(len, views)) >= _WORTH_A_LOOK else None
            if shared is not None:
                path, place = shared
                head += place.to_bytes(8, "big")
            else:
                file = in_memory(views)
                path = None if file is None else f"/proc/{os.getpid()}/fd/{file}"
        if path is not None and self._has_files:
            self._send(b"V", number, path.encode())
        else:
            self._send(b"N", number, sum(map(len, views)).to_bytes(8, "big"))
            for one in views:
                for start in range(0, len(one), _PIECE):
                    self._send(b"B", number, one[start : start + _PIECE])
        self._send(b"A", number, bytes([_SESSION]) + head)
        return file

    def _followed(self, process: Process, deadline: "Any", is_kept: bool) -> "Any":
        events: list[Any] = []
        end, closes_at, is_answered = "", None, False
        while True:
            limits = [limit for limit in (deadline, closes_at) if limit is not None]
            left = None if not limits else max(0.0, min(limits) - time.monotonic())
            try:
                letter, body = process.inbox.get(timeout=left)
            except queue.Empty:
                if deadline is not None and time.monotonic() >= deadline:
                    end, deadline = "deadline", None
                closes_at = None
                self._send(b"K", process.number)
                continue
            if letter == b"S":
                events.append((letter, body))
                if body[:1] == b"P":
                    process.start = letter, body
                    continue
                return events, end
            if letter == b"M" and not body:
                closes_at = time.monotonic() + _SECONDS_TO_END
            elif letter == b"M" and body[0] == _CODE:
                self._send(b"M", process.number, bytes([_CODE]) + b"0")
                continue
            elif letter == b"E":
                return events, body.decode("utf-8", "replace")
            elif letter in (b"M", b"A"):
                kind = body[0] if letter == b"M" else body[0][0]
                if kind == _BYE and process.calls and not is_answered:
                    return None, ""
                is_answered = is_answered or kind in (_RETURN, _FAILURE, _DONE)
            events.append((letter, body))
            if is_answered and is_kept:
                return events, end

    # Messages

    def _send(self, letter: bytes, number: int, body: "Any" = b"", following: "Any" = ()) -> None:
        data = _HEAD.pack(letter, number, len(body)) + body
        if following:
            letter, number, body = following
            data += _HEAD.pack(letter, number, len(body)) + body
        data = memoryview(data)
        with self._write_lock:
            if self._is_gone:
                raise BrokenPipeError
            while data:
                data = data[os.write(self._in, data) :]

    def _read_all(self) -> None:
        data = bytearray()
        waiting = select.poll()
        silent, look = 0.0, _IDLE_SECONDS / 4
        try:
            while True:
                waiting = select.poll()
                with self._lock:
                    kills = dict(self._kills)
                for descriptor in (self._out, self._woken, *kills):
                    waiting.register(descriptor, select.POLLIN)
                ready = [found for found, _ in waiting.poll(look * 1000)]
                # Looks, and not time that passed: this process itself may have been stopped.
                silent = 0.0 if self._out in ready else silent + (0.0 if ready else look)
                if silent > _MOST_SILENT_SECONDS:
                    self._server.kill()
                if self._woken in ready:
                    os.read(self._woken, 4096)
                for descriptor in ready:
                    if descriptor in kills:
                        self._kill(descriptor)
                if self._out in ready:
                    piece = os.read(self._out, _PIECE)
                    if not piece:
                        return
                    data += piece
                    self._take_messages(data)
                with self._lock:
                    idle = time.monotonic() - self._used_at
                    if not self._calls and idle >= _IDLE_SECONDS:
                        self._is_gone = True
                        return
        except OSError:
            pass
        finally:
            self._end()

    def _kill(self, descriptor: int) -> None:
        with self._lock:
            process = self._kills.get(descriptor)
        try:
            if process is not None and os.read(descriptor, 1):
                self._send(b"K", process.number)
        except OSError:
            pass

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
                self._send(b"V", number)
            else:
                if letter == b"A":
                    pieces, process.file = process.file, None
                    body = body, pieces[0] if len(pieces) == 1 else b"".join(pieces)
                process.inbox.put((letter, body))
        del data[:start]

    def _end(self) -> None:
        with self._lock:
            self._is_gone = True
            processes = list(self._processes.values())
            os.close(self._woken)
            os.close(self._wakeup)
        for process in processes:
            process.inbox.put((b"E", SERVER_ENDED.encode()))
        with self._write_lock:
            for stream in (self._server.stdin, self._server.stdout):
                assert stream is not None
                stream.close()
        try:
            self._server.wait(10 * _SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self._server.kill()
            self._server.wait()

    def let_go(self) -> None:
        """Closes what is the parent's, in a process that was forked."""
        if not self._is_gone:
            for descriptor in (self._in, self._out, self._woken, self._wakeup, *self._kills):
                os.close(descriptor)
        self._server.returncode = 0


def _sweep(root: str) -> None:
    """Removes what was left of calls by workers that were killed."""
    for name in os.listdir(root):
        path = os.path.join(root, name)
        if name.startswith("begun-"):
            try:
                is_old = time.time() - os.lstat(path).st_mtime > _CLAIM_SECONDS
                if is_old or _is_orphan(os.readlink(path)):
                    os.unlink(path)
            except FileNotFoundError:
                pass
        elif name.startswith(("file-", "back-")):
            try:
                if time.time() - os.lstat(path).st_mtime > _FILE_SECONDS:
                    os.unlink(path)
            except FileNotFoundError:
                pass
        elif name.startswith("call-"):
            try:
                if time.time() - os.lstat(path).st_mtime > _IDLE_SECONDS:
                    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
            except FileNotFoundError:
                pass
            except OSError:  # nobody reads it
                _unlink(path)


_this: "dict[int, str]" = {}


def this_machine() -> str:
    """Names what a number of a process is of: the machine since it was started, and a namespace."""
    pid = os.getpid()
    if pid not in _this:
        try:
            with open("/proc/sys/kernel/random/boot_id") as file:
                _this[pid] = f"{file.read().strip()} {os.stat('/proc/self/ns/pid').st_ino}"
        except OSError:
            _this[pid] = ""
    return _this[pid]


def started(pid: int) -> "tuple[str, int, str]":
    """Tells a process from all that were or will be."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return this_machine(), pid, file.read().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return this_machine(), pid, ""


def _is_orphan(claim: str) -> bool:
    """Whether a claim is of a caller on this machine that has ended."""
    try:
        caller = tuple(json.loads(claim.partition(" ")[2]))
    except ValueError:
        return False
    return bool(caller[0]) and caller[0] == this_machine() and started(caller[1]) != caller


def _unlink(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
