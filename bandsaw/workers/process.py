"""A child process whose output comes through, and whose death is explained."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import NamedTuple, Optional

from .._system import lifeline
from .._system.output import Tail
from .._system.processes import describe_exit, end_group
from ..errors import TaskTimeoutError, WorkerDiedError, WorkerStartError

_POSIX = os.name == "posix"


class Ended(NamedTuple):
    """How a process ended."""

    command: list[str]  # the executable and its arguments
    pid: int  # the number of the process
    returncode: int  # the exit status, negative for a signal
    output: str  # the last lines that it wrote to its standard output
    errors: str  # the last lines that it wrote to its standard error

    def without_session(self, what: str) -> WorkerDiedError:
        """Makes the error for a process that did not give the session back."""
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
    """Runs a command to its end, passing on what it writes; what it started ends with it."""
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
