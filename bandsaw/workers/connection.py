"""The near end of a connection to another machine, which all threads share.

    Connection ── ssh HOST 'exec PYTHON -u -c ...' ──► bootstrap ──► hub ── processes
        └── RemoteChild, RemoteChild, RemoteTemplate ...: its streams

There is no thread that reads. Of the threads that wait for something, one reads for all of them,
and hands that on to another one when it has what it waits for.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import secrets
import select
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, Optional, cast

from ..distribution import DistributionArchive
from ..errors import BandsawError, RemoteCommandError, RemoteConnectionError, WorkerStartError
from . import bulk, streams
from ._exit import describe_exit
from .process import Tail, last_lines
from .streams import HEAD, PIECE

# How long the other side may take until it answers, a slow login included.
_SECONDS_TO_START = 120.0
_SECONDS_TO_END = 10.0
# The other side says more often than this that it is alive.
_SILENT_SECONDS = 4 * streams.ALIVE_SECONDS
# What may be printed before the program there begins to run.
_MOST_NOISE = 1 << 20
_READ = 1 << 18
_MOST_LATE_READS = 64
_PIPE_SIZE = 1 << 20
_Event = tuple[bytes, bytes, Optional[memoryview]]


class Target(NamedTuple):
    """Where a connection leads.

    Attributes:
        host: The name of the machine, for errors.
        command: The command that starts Python there and has it read a program, see `bootstrap`.
        directory: Where files may be made there.
        python: The Python there, for errors.
    """

    host: str
    command: tuple[str, ...]
    directory: str
    python: str


class Stream:
    """What belongs together on a connection.

    Args:
        connection: The connection.

    Attributes:
        connection: The connection.
        number: Its number there.
        inbox: What has arrived and was not taken yet.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.inbox: deque[_Event] = deque()
        self._wakeup: Optional[threading.Event] = None
        self._file: Optional[memoryview] = None
        self._filled = 0
        self.number = connection._add(self)

    def _take(self, letter: bytes, body: bytes) -> None:
        """Takes a message. Called by the thread that reads."""
        if letter == b"N":
            size = int.from_bytes(body, "big")
            try:
                self._file, self._filled = bulk.room(size), 0
                return
            except (OSError, ValueError, OverflowError) as error:
                # What concerns one task is no reason to end the others.
                letter, body = b"E", f"there is no room here for what it sends: {error}".encode()
        data = None
        if letter == b"A":
            data, self._file = self._file, None
            if data is None:
                return
        self.inbox.append((letter, body, data))
        wakeup = self._wakeup
        if wakeup is not None:
            wakeup.set()

    def send(self, letter: bytes, *pieces: Any) -> None:
        """Sends a message. See `Connection.send`."""
        self.connection.send(letter, self.number, *pieces)

    def wait(self, seconds: Optional[float] = None) -> bool:
        """Waits until something has arrived, and returns whether it has.

        Args:
            seconds: How long at the most, `None` until the connection is lost.
        """
        return self.connection._wait(self, seconds)

    def release(self) -> None:
        """Takes nothing more."""
        self.connection._release(self)


class Connection:
    """A connection that is open.

    Args:
        target: Where it leads.
        archive: What is needed there first.

    Attributes:
        target: As given.
        templates: The templates that were started over it, by what they are for.
        digests: The digests of the archives that are there.

    Raises:
        RemoteConnectionError: If it cannot be made (a `subprocess.CalledProcessError`).
        WorkerStartError: If nothing can be started there (an `OSError`).
    """

    def __init__(self, target: Target, archive: DistributionArchive) -> None:
        self._begin(target)
        try:
            self._greet({"digest": archive.digest}, archive)
        except BaseException:
            self.close(now=True)
            raise
        self.digests.add(archive.digest)

    def _begin(self, target: Target) -> None:
        self.target = target
        self.templates: dict[Any, Any] = {}
        self.digests: set[str] = set()
        self._locks: dict[Any, threading.Lock] = {}
        self._streams: dict[int, Stream] = {}
        self._number = 0
        self._data = bytearray()
        # Where the rest of a piece of a file goes, which is read straight into its place.
        self._rest: Optional[memoryview] = None
        self._write_lock = threading.Lock()
        self._read_lock = threading.Lock()
        self._reader: Optional[Stream] = None
        self._waiting: dict[Stream, threading.Event] = {}
        self._reason: Optional[str] = None
        self._is_closed = False
        try:
            self._process = subprocess.Popen(
                target.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                # Ctrl-C is for us to handle: the far side is ended by closing the connection.
                start_new_session=True,
            )
        except OSError as error:
            raise RemoteConnectionError(
                f"Could not reach {target.host}: the command {target.command[0]!r} cannot be "
                f"started: {error}",
                127,
                target.command,
            ) from error
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._in, self._out = self._process.stdin.fileno(), self._process.stdout.fileno()
        for descriptor in (self._in, self._out):
            _widen(descriptor)
        os.set_blocking(self._in, False)
        self._errors = Tail(self._process.stderr, None)
        self._poll = select.poll()
        self._poll.register(self._out, select.POLLIN)
        self._heard_at = time.monotonic()
        _open.add(self)

    def _greet(
        self, request: dict[str, Any], archive: Optional[DistributionArchive]
    ) -> dict[str, Any]:
        """Has the program there started, and what it needs sent; returns what it says."""
        try:
            return self._greeted(request, archive)
        except BrokenPipeError:
            self._give_up("it did not answer")

    def _greeted(
        self, request: dict[str, Any], archive: Optional[DistributionArchive]
    ) -> dict[str, Any]:
        mark = secrets.token_hex(16)
        request = {**request, "mark": mark, "directory": self.target.directory}
        program = bootstrap_program(request)
        deadline = time.monotonic() + _SECONDS_TO_START
        self._write(b"%d\n" % len(program), program)
        self._read_until(mark.encode(), deadline)
        content = self._answer(deadline)
        if archive is None:
            content["ahead"] = content["time"] - time.time()
            start = time.monotonic()
            self._write(b".")
            self._answer(deadline)
            content["round_trip"] = time.monotonic() - start
            return content
        version = tuple(content["python"])
        if version < (3, 9):
            raise WorkerStartError(
                f"{self.target.python} on {self.target.host} is Python "
                f"{'.'.join(map(str, version))}, and bandsaw needs Python 3.9 or newer."
            )
        self.tag = content["tag"]
        if not content["has"]:
            head, data = sent_archive(archive, self.tag)
            self._write(len(head).to_bytes(8, "big"), head, data)
        self._answer(time.monotonic() + _SECONDS_TO_START)
        return content

    def _answer(self, deadline: float) -> dict[str, Any]:
        line = self._read_until(b"\n", deadline)
        try:
            content: dict[str, Any] = json.loads(line)
        except ValueError:
            self._give_up(f"it answered {line[:80]!r}")
        if "error" in content:
            raise WorkerStartError(
                f"Nothing can be started on {self.target.host}: {content['error']}."
            )
        return content

    def _read_until(self, end: bytes, deadline: float) -> bytes:
        """Reads up to some bytes, and returns what comes before them."""
        searched = 0
        while True:
            found = self._data.find(end, searched)
            if found >= 0:
                before = bytes(self._data[:found])
                del self._data[: found + len(end)]
                return before
            if len(self._data) > _MOST_NOISE:
                self._give_up("it printed without end")
            searched = max(0, len(self._data) - len(end))
            left = deadline - time.monotonic()
            if left <= 0 or not self._poll.poll(left * 1000):
                self._give_up(f"it did not answer within {_SECONDS_TO_START:g} s")
            data = os.read(self._out, _READ)
            if not data:
                self._give_up("it did not answer")
            self._data += data

    def _give_up(self, how: str) -> NoReturn:
        status, words = self._ended()
        what, ending = "reach", self._ending(status)
        if status in (126, 127):
            how = "it cannot be run there"
        if status != 255:
            what = f"start {self.target.python} on"
        noise = last_lines(bytes(self._data))
        # To try it again would be in vain where there is no such Python.
        kind = RemoteCommandError if status in (126, 127) else RemoteConnectionError
        raise kind(
            f"Could not {what} {self.target.host}: {how}; {ending}."
            + _last_words("\n".join(filter(None, (noise, words)))),
            status or 1,
            list(self.target.command),
            noise,
            words,
        )

    def _ending(self, status: int) -> str:
        return f"{os.path.basename(self.target.command[0])} ended with {describe_exit(status)}"

    def lock_for(self, kind: Any) -> threading.Lock:
        """Returns the lock that is held while a template of some kind is started."""
        with self._read_lock:
            return self._locks.setdefault(kind, threading.Lock())

    # Messages

    def send(self, letter: bytes, stream: int, *pieces: Any) -> None:
        """Sends a message. Threads may do so at the same time.

        Args:
            letter: Which one, see `streams`.
            stream: The number of the stream.
            *pieces: What follows.

        Raises:
            OSError: If the connection is lost.
        """
        size = sum(map(len, pieces))
        with self._write_lock:
            if self._reason is not None:
                raise BrokenPipeError(self._reason)
            try:
                self._write(HEAD.pack(letter, stream, size), *pieces)
            except OSError as error:
                self._lose(f"nothing can be sent any more ({error})")
                raise BrokenPipeError(self._reason) from error
            except BaseException:
                # Half a message may be on its way.
                self._lose("it was interrupted in the middle of a message")
                raise

    def _write(self, *pieces: Any) -> None:
        data = b"".join(pieces) if len(pieces) != 1 else pieces[0]
        view = memoryview(data)
        while view:
            try:
                view = view[os.write(self._in, view) :]
            except BlockingIOError:
                if not _is_ready(self._in, select.POLLOUT, _SILENT_SECONDS):
                    raise BrokenPipeError(f"for {_SILENT_SECONDS:g} s it took nothing") from None

    def _add(self, stream: Stream) -> int:
        with self._read_lock:
            self._number += 1
            self._streams[self._number] = stream
            return self._number

    def _release(self, stream: Stream) -> None:
        # If it was interrupted, it may still count as waiting.
        self._stop_waiting(stream)
        with self._read_lock:
            self._streams.pop(stream.number, None)

    def _wait(self, stream: Stream, seconds: Optional[float]) -> bool:
        try:
            return self._waited(stream, seconds)
        except BaseException:
            # Whoever is interrupted must not be counted upon to read for others.
            self._stop_waiting(stream)
            raise

    def _waited(self, stream: Stream, seconds: Optional[float]) -> bool:
        deadline = None if seconds is None else time.monotonic() + seconds
        while not stream.inbox:
            wakeup: Optional[threading.Event] = None
            with self._read_lock:
                if self._reader is None or self._reader is stream:
                    self._reader = stream
                else:
                    wakeup = stream._wakeup = threading.Event()
                    self._waiting[stream] = wakeup
            if stream.inbox or self._reason is not None:
                # It came before anybody was told that we wait.
                self._stop_waiting(stream)
                break
            if wakeup is None:
                try:
                    self._read_for(stream, deadline)
                finally:
                    self._stop_waiting(stream)
                break
            left = None if deadline is None else deadline - time.monotonic()
            is_awake = wakeup.wait(left)
            if not is_awake or stream.inbox:
                self._stop_waiting(stream)
                break
        return bool(stream.inbox)

    def _stop_waiting(self, stream: Stream) -> None:
        with self._read_lock:
            stream._wakeup = None
            wakeup = self._waiting.pop(stream, None)
            was_told_to_read = wakeup is not None and wakeup.is_set() and self._reader is None
            if self._reader is stream:
                self._reader = None
                was_told_to_read = True
            if was_told_to_read:
                self._promote()
        if self._is_closed:
            self._close_out()

    def _promote(self) -> None:
        """Has another one read that waits. Called under the lock."""
        for wakeup in self._waiting.values():
            wakeup.set()
            if self._reason is None:
                return

    def _read_for(self, stream: Stream, deadline: Optional[float]) -> None:
        """Reads until something has come for a stream, the time is up or the connection is lost."""
        self._heard_at = time.monotonic()
        late = 0
        while not stream.inbox and self._reason is None and late < _MOST_LATE_READS:
            now = time.monotonic()
            left = self._heard_at + _SILENT_SECONDS - now
            if deadline is not None:
                left = min(left, deadline - now)
            # This is where an interrupt comes as a rule, and it does no harm here.
            if not self._poll.poll(max(0.0, left * 1000)):
                now = time.monotonic()
                if deadline is not None and now >= deadline:
                    return
                # This process may have been stopped itself, and something come meanwhile.
                if now >= self._heard_at + _SILENT_SECONDS and not self._poll.poll(1000):
                    self._lose(f"it gave no sign of life for {_SILENT_SECONDS:g} s")
                    return
                continue
            try:
                self._read()
            except BaseException:
                self._lose("it was interrupted in the middle of a message")
                raise
            # What has arrived already is read also when the time is up, the end above all.
            late += deadline is not None and time.monotonic() >= deadline

    def _read(self) -> None:
        try:
            if self._rest is not None:
                count = os.readv(self._out, [self._rest])
                self._rest = self._rest[count:] if count < len(self._rest) else None
                if not count:
                    self._lose("")
                self._heard_at = time.monotonic()
                return
            data = os.read(self._out, _READ)
        except OSError as error:
            self._lose(str(error))
            return
        if not data:
            self._lose("")
            return
        self._heard_at = time.monotonic()
        self._data += data
        while len(self._data) >= HEAD.size:
            letter, number, size = HEAD.unpack_from(self._data)
            end = HEAD.size + size
            stream = self._streams.get(number)
            if letter == b"B" and stream is not None and stream._file is not None:
                place = stream._file[stream._filled : stream._filled + size]
                stream._filled += size
                here = min(len(self._data), end)
                place[: here - HEAD.size] = memoryview(self._data)[HEAD.size : here]
                del self._data[:here]
                if here < end:
                    self._rest = place[here - HEAD.size :]
                    return
                continue
            if len(self._data) < end:
                return
            if letter not in b"MNBADHLSORGE":
                self._lose(f"something that is no message came: {bytes(self._data[:40])!r}")
                return
            body = bytes(memoryview(self._data)[HEAD.size : end])
            del self._data[:end]
            if stream is not None:
                stream._take(letter, body)

    # The end

    @property
    def is_lost(self) -> bool:
        """Whether nothing more will come."""
        return self._reason is not None

    def is_alive(self) -> bool:
        """Looks whether anything says that it is lost."""
        # Whoever reads will find it out.
        if (
            self._reason is None
            and self._reader is None
            and _is_ready(self._out, select.POLLIN, 0.0)
        ):
            stream = Stream(self)
            try:
                stream.wait(0)
            finally:
                stream.release()
        return self._reason is None

    def loss(self, what: str) -> BandsawError:
        """Makes the error of something that was lost with the connection.

        Args:
            what: Says what was.

        Returns:
            The error, with the last words of `ssh`.
        """
        status, words = self._ended()
        return RemoteConnectionError(
            f"{what} with the connection to {self.target.host}: {self._reason}; "
            f"{self._ending(status)}." + _last_words(words),
            status or 1,
            list(self.target.command),
            None,
            words,
        )

    def _lose(self, how: str) -> None:
        # First of all, so that nobody makes use of it whatever comes now.
        self._reason = self._reason or how or "it was closed at the other end"
        if how:
            self._process.terminate()
        with contextlib.suppress(RuntimeError):
            for wakeup in list(self._waiting.values()):
                wakeup.set()

    def _ended(self) -> tuple[int, str]:
        """Ends `ssh` if it has not ended, and returns how, with its last words."""
        process = self._process
        for end in (None, process.terminate, functools.partial(_kill, process)):
            if end is not None:
                end()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(1.0)
                break
        self._errors.finish()
        # With `ssh -v` what matters is lost among what it says of itself.
        lines = self._errors.all().splitlines()
        words = "\n".join(line for line in lines if not line.startswith("debug"))
        return process.wait(), last_lines(words.encode())

    def begin_close(self, now: bool = False) -> None:
        """Has the other end end all that runs there, and itself.

        Args:
            now: Whether not to wait for that.
        """
        _open.discard(self)
        self._reason = self._reason or "it was closed"
        for template in list(self.templates.values()):
            template.replace()
        if now:
            _kill(self._process)
        # Whoever writes has noticed the end by then, or is stopped by it.
        if not self._write_lock.acquire(timeout=_SECONDS_TO_END):
            _kill(self._process)
            self._write_lock.acquire()
        try:
            assert self._process.stdin is not None
            self._process.stdin.close()
        finally:
            self._write_lock.release()

    def close(self, now: bool = False) -> None:
        """Closes the connection. All that runs at the other end is ended.

        Args:
            now: Whether not to wait for the other end.
        """
        self.begin_close(now)
        deadline = time.monotonic() + _SECONDS_TO_END
        process, out = self._process, self._process.stdout
        assert out is not None
        with self._read_lock:
            self._is_closed = True
            has_reader = self._reader is not None
        # The other end closes it when all is over there, and may still have to say something.
        while not (now or has_reader or out.closed):
            if not _is_ready(self._out, select.POLLIN, max(0.0, deadline - time.monotonic())):
                break
            if not os.read(self._out, _READ):
                break
        try:
            process.wait(max(0.1, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            _kill(process)
            process.wait()
        self._close_out()
        self._errors.finish()

    def _close_out(self) -> None:
        # Never under the hands of somebody who reads: the number may be that of another file then.
        with self._read_lock:
            if self._is_closed and self._reader is None and self._process.stdout is not None:
                self._process.stdout.close()

    def let_go(self) -> None:
        """Closes what is the parent's, in a process that was forked."""
        process = self._process
        self._reason = "it is the parent's"
        # It is not ours to wait for.
        process.returncode = 0
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError, ValueError):
                cast(Any, stream).close()


def probe(target: Target, modules: Sequence[str]) -> dict[str, Any]:
    """Asks a machine what it is like. Nothing is left there.

    Args:
        target: The machine.
        modules: Names of modules.

    Returns:
        `python`, the version; `executable`; `missing`, those of the modules that are not installed;
        `free`, how many bytes its directory has room for; `ahead`, by how many seconds its clock
        is; `round_trip`, in seconds; `unusable`, why the directory cannot be used, if it cannot;
        `words`, what ssh wrote.

    Raises:
        RemoteConnectionError: If it cannot be reached (a `subprocess.CalledProcessError`).
        WorkerStartError: If its directory cannot be used (an `OSError`).
    """
    connection = Connection.__new__(Connection)
    connection._begin(target)
    try:
        content = connection._greet({"modules": list(modules)}, None)
    finally:
        connection.close()
    content["words"] = connection._errors.all()
    return content


def bootstrap_program(request: Mapping[str, Any]) -> bytes:
    """Returns the program that runs there first, also where bandsaw itself runs from an archive.

    Args:
        request: What it is to do, see `bootstrap`.

    Returns:
        The program, in ASCII.
    """
    import importlib.util

    name = "bandsaw.workers.bootstrap"
    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    loader: Any = spec.loader
    source: bytes = loader.get_data(spec.origin)
    # What is in the folder where it starts is none of its modules.
    return (
        f"import sys; sys.path[:] = filter(None, sys.path); names = {{'__name__': {name!r}}}\n"
        f"exec(compile({source!a}, {spec.origin!a}, 'exec'), names)\n"
        f"names['main']({dict(request)!a})\n"
    ).encode("ascii")


def sent_archive(archive: DistributionArchive, tag: str) -> tuple[bytes, bytes]:
    """Writes an archive for a machine that does not have it.

    Args:
        archive: The archive.
        tag: Which byte code its Python reads, see `bootstrap.tag`. If it is that of this one, the
            byte code that is kept goes along.

    Returns:
        What is in it, as JSON, and the compressed bytes.
    """
    import sys
    import zlib

    from .._archive import byte_code
    from .._archive.contents import MANIFEST
    from .._archive.zipped import content_of_folder
    from .bootstrap import tag as own_tag

    content = content_of_folder(archive.folder)
    names = [*sorted(content.members), MANIFEST]
    pieces = [content.read(name) for name in names]
    if tag == own_tag():
        for name, data in list(zip(names, pieces)):
            if name.endswith(".py"):
                inner, _, last = name.rpartition("/")
                kept = f"{inner}/__pycache__/{last[:-3]}.{sys.implementation.cache_tag}.pyc"
                code = byte_code.of_member(content, kept.lstrip("/"), name, data)
                if code is not None:
                    names.append(kept.lstrip("/"))
                    pieces.append(code)
    files = [(name, len(piece)) for name, piece in zip(names, pieces)]
    data = zlib.compress(b"".join(pieces), 1)
    return json.dumps({"files": files, "size": len(data)}).encode("ascii"), data


# All that are open, and those that calls find, by where they lead.
_open: set[Connection] = set()
_known: dict[Target, Connection] = {}
_locks: dict[Target, threading.Lock] = {}
_lock = threading.Lock()


def connection_to(target: Target, archive: DistributionArchive) -> Connection:
    """Returns a connection, opened on first use, and again when it is lost.

    Args:
        target: Where it leads.
        archive: What is needed there.

    Returns:
        The connection. The archive is there.

    Raises:
        RemoteConnectionError: If it cannot be made (a `subprocess.CalledProcessError`).
        WorkerStartError: If nothing can be started there (an `OSError`).
    """
    with _lock:
        lock = _locks.setdefault(target, threading.Lock())
    with lock:
        connection = _known.get(target)
        if connection is not None and not connection.is_alive():
            connection.close(now=True)
            connection = None
        if connection is None:
            connection = _known[target] = Connection(target, archive)
    return connection


def _is_ready(descriptor: int, event: int, seconds: float) -> bool:
    poll = select.poll()
    poll.register(descriptor, event)
    return bool(poll.poll(seconds * 1000))


def _kill(process: subprocess.Popen[bytes]) -> None:
    # What ssh has started to reach the host belongs to it. The number of a process that has been
    # waited for may be that of another one by now.
    if process.returncode is None:
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)


def _widen(descriptor: int) -> None:
    """Has a pipe take more at once, where the platform can."""
    try:
        import fcntl

        fcntl.fcntl(descriptor, getattr(fcntl, "F_SETPIPE_SZ", 1031), _PIPE_SIZE)
    except (ImportError, OSError):
        pass


def _last_words(words: str) -> str:
    return f" Its last words:\n{words}" if words else ""


@atexit.register
def close_all() -> None:
    """Closes all connections, after the processes that wait for work have been dismissed."""
    from . import pool

    pool.close_all()
    _known.clear()
    open_now = list(_open)
    for connection in open_now:
        connection.begin_close()
    for connection in open_now:
        connection.close()


def _let_go() -> None:
    global _lock
    _lock = threading.Lock()
    _locks.clear()
    _known.clear()
    for connection in list(_open):
        connection.let_go()
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go)


assert PIECE <= _READ
