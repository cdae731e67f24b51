"""A child process whose output comes through, and whose death is explained."""

from __future__ import annotations

import codecs
import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import IO, NamedTuple, Optional

from ..errors import TaskTimeoutError, WorkerDiedError, WorkerStartError
from . import lifeline
from ._exit import describe_exit

_POSIX = os.name == "posix"
# What is kept of the output for an error's message: the stack of a crash, and what came before it.
TAIL_BYTES = 8192
_TAIL_LINES = 50
# After the process has ended, something it started may hold its pipes open for ever.
_DRAIN_SECONDS = 1.0


class Tail:
    """Passes what a process writes on to a stream of ours, and keeps the last of it.

    Args:
        pipe: What the process writes to.
        stream_name: `stdout` or `stderr`: the attribute of `sys` to pass it on to. `None` only
            keeps.
    """

    def __init__(self, pipe: IO[bytes], stream_name: Optional[str]) -> None:
        self._pipe = pipe
        self._stream_name = stream_name
        self._kept = b""
        self._thread = threading.Thread(target=self._pump, daemon=True, name="bandsaw-output")
        self._thread.start()

    def _pump(self) -> None:
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        # Some of it may have been read into a buffer already.
        read = getattr(self._pipe, "read1", self._pipe.read)
        with self._pipe:
            while True:
                data = read(65536)
                self._kept = (self._kept + data)[-TAIL_BYTES:]
                if self._stream_name is not None:
                    pass_on(decoder.decode(data, final=not data), self._stream_name)
                if not data:
                    return

    def finish(self, seconds: Optional[float] = _DRAIN_SECONDS) -> str:
        """Waits for the rest of the output.

        Args:
            seconds: How long to wait at the most, `None` for as long as it takes.

        Returns:
            The last lines.
        """
        self._thread.join(seconds)
        return last_lines(self._kept)

    def all(self) -> str:
        """Returns what is kept of it by now."""
        return self._kept.decode("utf-8", "replace")


def last_lines(data: bytes) -> str:
    """Returns the last lines of an output, for a message."""
    return "\n".join(data.decode("utf-8", "replace").splitlines()[-_TAIL_LINES:])


def pass_on(text: str, stream_name: str) -> None:
    """Writes text to a standard stream, wherever that leads now; it may be closed or missing."""
    stream = getattr(sys, stream_name, None)
    if not text or stream is None:
        return
    encoding = getattr(stream, "encoding", None) or "utf-8"
    with contextlib.suppress(ValueError, OSError):
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()


class Ended(NamedTuple):
    """How a process ended.

    Attributes:
        command: The executable and its arguments.
        pid: The number of the process.
        returncode: The exit status, negative for a signal.
        output: The last lines that it wrote to its standard output.
        errors: The last lines that it wrote to its standard error.
    """

    command: list[str]
    pid: int
    returncode: int
    output: str
    errors: str

    def without_session(self, what: str) -> WorkerDiedError:
        """Makes the error for a process that did not give the session back.

        Args:
            what: Says what the process was to do.
        """
        last = self.errors or self.output
        return WorkerDiedError(
            f"{what} ended with {describe_exit(self.returncode)} before it gave the session back "
            f"(interpreter {self.command[0]}, pid {self.pid})."
            + (f" The last lines that it wrote:\n{last}" if last else " It wrote nothing."),
            self.returncode,
            self.command,
            self.output,
            self.errors,
        )


def run(
    command: Sequence[str],
    environment: dict[str, str],
    what: str,
    folders: Sequence[str] = (),
    seconds: Optional[float] = None,
) -> Ended:
    """Runs a command to its end. What it writes comes through as it is written.

    The command ends with this process, and what it started ends with it.

    Args:
        command: The executable and its arguments.
        environment: The whole environment of the process.
        what: Says in errors what the process was to do.
        folders: What the command removes if this process ends before it.
        seconds: How long it may take, `None` for ever.

    Returns:
        How it ended.

    Raises:
        WorkerStartError: If it cannot be started (an `OSError`).
        TaskTimeoutError: If it took longer (a `TimeoutError`).
    """
    with lifeline.held(folders) as (variables, descriptors):
        try:
            process = subprocess.Popen(
                command,
                env={**environment, **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                pass_fds=descriptors,
                # A group of its own, so that what it starts can be ended with it.
                start_new_session=_POSIX,
            )
        except OSError as error:
            raise WorkerStartError(
                f"{what} could not be started with the interpreter {command[0]!r}: {error}"
            ) from error
        assert process.stdout is not None and process.stderr is not None
        tails: list[Tail] = []
        try:
            tails = [Tail(process.stdout, "stdout"), Tail(process.stderr, "stderr")]
            process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise TaskTimeoutError(
                f"{what} took longer than {seconds:g} s and was ended, with all that it had "
                f"started (interpreter {command[0]}, pid {process.pid})."
            ) from error
        finally:
            # Nothing that it started survives it, whichever way it ended.
            end_group(process)
    output, errors = (tail.finish() for tail in tails)
    return Ended(list(command), process.pid, process.returncode, output, errors)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Kills a process and all that it started, and waits for it."""
    if _POSIX:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        process.kill()
    process.wait()
