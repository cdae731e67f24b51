"""The start of Python on another machine, and the pipes that lead to it.

Login ── ssh HOST 'exec PYTHON -u -c ...' ──► bootstrap, which is sent the archive ──► hub
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, NoReturn, Optional, cast

from ..._system import ending
from ..._system.interrupts import Deferred, broken_pipes_as_errors
from ..._system.output import Tail, last_lines, last_words
from ..._system.processes import describe_exit, ends_within, kill_group
from ...distribution import DistributionArchive
from ...errors import RemoteCommandError, RemoteConnectionError, WorkerStartError
from ..frames import is_ready
from . import multiplexer

# The most that is read at once.
READ = 1 << 18
# The other side says more often than this that it is alive.
SILENT_SECONDS = 4 * multiplexer.ALIVE_SECONDS
# How long the other side may take until it answers, a slow login included, and until it has ended.
_SECONDS_TO_START = 120.0
_SECONDS_TO_END = 10.0
# How long a call that is killed meanwhile may go unnoticed.
_LOOK_SECONDS = 1.0
# What may be printed before the program there begins to run.
_MOST_NOISE = 1 << 20
_PIPE_SIZE = 1 << 20
# From this size on, to copy a piece costs more than to write it by itself.
_WORTH_NO_COPY = 1 << 16
_MOST_AT_ONCE = 16


class Target(NamedTuple):
    """Where a connection leads."""

    host: str  # the name of the machine, for errors
    # The command that starts Python there and has it read a program, see `bootstrap`.
    command: tuple[str, ...]
    directory: str  # where files may be made there
    python: str  # the Python there, for errors


class Login:
    """A command that leads to another machine, and has Python run there.

    Attributes:
        target: As given.
        data: What has arrived and was not taken yet.
        out: The descriptor of what arrives.
    """

    def __init__(self, target: Target) -> None:
        self.target = target
        self.data = bytearray()
        with Deferred():
            self._open()

    def _open(self) -> None:
        try:
            self._process = subprocess.Popen(
                self.target.command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                # Ctrl-C is for us to handle: the far side is ended by closing the connection.
                start_new_session=True,
            )
        except OSError as error:
            raise RemoteConnectionError(
                f"Could not reach {self.target.host}: the command "
                f"{self.target.command[0]!r} cannot be started: {error}",
                127,
                self.target.command,
            ) from error
        assert self._process.stdin and self._process.stdout and self._process.stderr
        self._in, self.out = self._process.stdin.fileno(), self._process.stdout.fileno()
        for descriptor in (self._in, self.out):
            _widen(descriptor)
        os.set_blocking(self._in, False)
        self._errors = Tail(self._process.stderr, None)

    def __del__(self) -> None:
        # Ctrl-C came before it had an owner: at the end of its input the command ends.
        process = getattr(self, "_process", None)
        if process is not None and process.returncode is None:
            process.stdin.close()

    def greet(
        self, request: dict[str, Any], archive: Optional[DistributionArchive]
    ) -> dict[str, Any]:
        """Has the program there started, and what it needs sent, unless it is only asked."""
        try:
            return self._greeted(request, archive)
        except BrokenPipeError:
            self._give_up("it did not answer")

    def _greeted(
        self, request: dict[str, Any], archive: Optional[DistributionArchive]
    ) -> dict[str, Any]:
        mark = os.urandom(16).hex()
        request = {**request, "mark": mark, "directory": self.target.directory}
        program = bootstrap_program(request)
        deadline = time.monotonic() + _SECONDS_TO_START
        self.write(b"%d\n" % len(program), program)
        self._read_until(mark.encode(), deadline)
        content = self._answer(deadline)
        if archive is None:
            content["ahead"] = content["time"] - time.time()
            start = time.monotonic()
            self.write(b".")
            self._answer(deadline)
            content["round_trip"] = time.monotonic() - start
            return content
        version = tuple(content["python"])
        if version < (3, 9):
            raise WorkerStartError(
                f"{self.target.python} on {self.target.host} is Python "
                f"{'.'.join(map(str, version))}, and bandsaw needs Python 3.9 or newer."
            )
        if content["has"]:
            self._answer(deadline)
        else:
            from . import archive_sending

            def ask() -> bytes:
                self.write(bytes(4))
                answer = self._answer(time.monotonic() + _SECONDS_TO_START)
                return bytes.fromhex(answer.get("lacking", ""))

            def write(piece: bytes) -> None:
                self.write(len(piece).to_bytes(4, "big"), piece)

            archive_sending.send(archive, content["tag"], write, ask, self.target.host)
        return content

    def _answer(self, deadline: float) -> dict[str, Any]:
        line = self._read_until(b"\n", deadline)
        try:
            content: dict[str, Any] = json.loads(line)
        except ValueError:
            self._give_up(f"it answered {line[:80]!r}")
        if "error" in content:
            problem = f"Nothing can be started on {self.target.host}: {content['error']}."
            raise WorkerStartError(problem)
        return content

    def _read_until(self, end: bytes, deadline: float) -> bytes:
        """Reads up to some bytes, and returns what comes before them."""
        searched = 0
        while True:
            found = self.data.find(end, searched)
            if found >= 0:
                before = bytes(self.data[:found])
                del self.data[: found + len(end)]
                return before
            if len(self.data) > _MOST_NOISE:
                self.terminate()
                self._give_up("it printed without end")
            searched = max(0, len(self.data) - len(end))
            left = max(0.0, deadline - time.monotonic())
            if not is_ready(self.out, select.POLLIN, min(left, _LOOK_SECONDS)):
                if left and not ending.is_ended():
                    continue
                self.terminate()
                late = f"it did not answer within {_SECONDS_TO_START:g} s"
                self._give_up("the call was killed" if left else late)
            data = os.read(self.out, READ)
            if not data:
                self._give_up("it did not answer")
            self.data += data

    def _give_up(self, how: str) -> NoReturn:
        status, words = self.ended()
        what, ending = "reach", self.ending(status)
        if status in (126, 127):
            how = "it cannot be run there"
        if status != 255:
            what = f"start {self.target.python} on"
        noise, more = last_lines(bytes(self.data)), words
        if status == 255 and words:
            more, _, how = words.rpartition("\n")  # the cause comes last
        # To try it again would be in vain where there is no such Python.
        kind = RemoteCommandError if status in (126, 127) else RemoteConnectionError
        raise kind(
            f"Could not {what} {self.target.host}: {how.rstrip('.')}; {ending}."
            + last_words("\n".join(filter(None, (noise, more)))),
            status or 1,
            list(self.target.command),
            noise,
            words,
        )

    def ending(self, status: int) -> str:
        return f"{os.path.basename(self.target.command[0])} ended with {describe_exit(status)}"

    def write(self, *pieces: Any) -> None:
        done = 0
        with broken_pipes_as_errors():
            if len(pieces) != 1 and len(pieces[-1]) < _WORTH_NO_COPY:
                pieces = (b"".join(pieces),)
            elif len(pieces) != 1:
                with contextlib.suppress(BlockingIOError):
                    done = os.writev(self._in, pieces[:_MOST_AT_ONCE])
            for piece in pieces:
                self._write(memoryview(piece)[done:])
                done = max(0, done - len(piece))

    def _write(self, view: memoryview) -> None:
        while view:
            try:
                view = view[os.write(self._in, view) :]
            except BlockingIOError:
                if not is_ready(self._in, select.POLLOUT, SILENT_SECONDS):
                    raise BrokenPipeError(f"for {SILENT_SECONDS:g} s it took nothing") from None

    def ended(self) -> tuple[int, str]:
        """Ends the command if it has not ended, and returns how, with its last words."""
        process = self._process
        for end in (None, self.terminate, self.kill):
            if end is not None:
                end()
            if ends_within(process, _SECONDS_TO_END):
                break
        self._errors.finish()
        # With `ssh -v` what matters is lost among what it says of itself.
        lines = self._errors.all().splitlines()
        words = "\n".join(line for line in lines if not line.startswith("debug"))
        return process.wait(), last_lines(words.encode())

    def kill(self) -> None:
        """Ends the command at once, with what it has started to reach the machine."""
        # The number of a process that has been waited for may be that of another one by now.
        if self._process.returncode is None:
            kill_group(self._process.pid)

    def terminate(self) -> None:
        self._process.terminate()

    def words(self) -> str:
        return self._errors.all()

    def close_in(self) -> None:
        """Closes the way there, at which the other end ends all that runs there, and itself."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def finish(self, is_read: bool) -> None:
        """Waits for the command, and ends it when that takes too long."""
        deadline = time.monotonic() + _SECONDS_TO_END
        out = self._process.stdout
        assert out is not None
        while is_read and not out.closed:
            left = max(0.0, deadline - time.monotonic())
            if not (is_ready(self.out, select.POLLIN, left) and os.read(self.out, READ)):
                break
        if not ends_within(self._process, max(1.0, deadline - time.monotonic())):
            self.kill()
            self._process.wait()
        self._errors.finish()

    def close(self) -> None:
        assert self._process.stdout is not None
        self._process.stdout.close()

    def let_go(self) -> None:
        """Closes what is the parent's, in a process that was forked."""
        process = self._process
        # It is not ours to wait for.
        process.returncode = 0
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError, ValueError):
                cast(Any, stream).close()


def probe(target: Target, modules: Sequence[str]) -> dict[str, Any]:
    """Asks a machine what it is like. Nothing is left there.

    Returns `python`, the version; `executable`; `missing`, those of the modules that are not
    installed; `free`, how many bytes its directory has room for; `ahead`, by how many seconds its
    clock is; `round_trip`, in seconds; `unusable`, why the directory cannot be used, if it cannot;
    `words`, what ssh wrote.
    """
    login = Login(target)
    try:
        content = login.greet({"modules": list(modules)}, None)
    finally:
        login.close_in()
        login.finish(is_read=True)
        login.close()
    return {**content, "words": login.words()}


# What runs there first, and what it builds on.
_PROGRAM = (
    *("bandsaw._archive.keep", "bandsaw._archive.unpack", "bandsaw._archive.arriving"),
    "bandsaw._workers.ssh.bootstrap",
)


def bootstrap_program(request: Mapping[str, Any]) -> bytes:
    """Returns the program that runs there first, also where bandsaw itself runs from an archive."""
    lines = [
        # What is in the folder where it starts is none of its modules.
        "import sys; sys.path[:] = filter(None, sys.path)",
        "names = {'__name__': 'bootstrap'}",
        *(f"exec(compile({source!a}, {path!a}, 'exec'), names)" for path, source in sources()),
    ]
    lines += [
        f"ready = names['main']({dict(request)!a})",
        "if ready:",
        "    from bandsaw._workers.ssh import hub",
        "    hub.main(*ready)\n",
    ]
    return "\n".join(lines).encode("ascii")


def sources(*names: str) -> Iterator[tuple[str, bytes]]:
    """Yields paths and texts of what runs first on another machine, and of more modules."""
    for name in (*_PROGRAM, *names):
        yield source_of(name)


def source_of(name: str) -> tuple[str, bytes]:
    """Returns path and text of a module of ours, also where it is imported from a zip."""
    import importlib.util

    spec = importlib.util.find_spec(name)
    assert spec is not None and spec.origin is not None
    loader: Any = spec.loader
    return spec.origin, loader.get_data(spec.origin)


def _widen(descriptor: int) -> None:
    """Has a pipe take more at once, where the platform can."""
    with contextlib.suppress(ImportError, OSError):
        import fcntl

        fcntl.fcntl(descriptor, getattr(fcntl, "F_SETPIPE_SZ", 1031), _PIPE_SIZE)
