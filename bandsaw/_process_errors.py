"""The part of `bandsaw.errors` that is loaded when it is first used."""

from __future__ import annotations

import subprocess
from typing import Any

from .errors import BandsawError, WorkerError


class _ProcessError(WorkerError, subprocess.CalledProcessError):
    """A command that failed, with a message of its own, for a person to read."""

    def __init__(
        self,
        message: str,
        returncode: int = 1,
        cmd: Any = None,
        output: Any = None,
        stderr: Any = None,
    ) -> None:
        BandsawError.__init__(self, message, returncode, cmd, output, stderr)
        self.returncode = returncode
        self.cmd = cmd
        self.output = output
        self.stderr = stderr


class WorkerDiedError(_ProcessError):
    """The process that ran a task ended without giving the session back."""

    __module__ = "bandsaw.errors"


class TaskKilledError(WorkerDiedError):
    """A submitted call was ended with `Future.kill`."""

    __module__ = "bandsaw.errors"


class RemoteCommandError(_ProcessError):
    """A command on a remote machine failed, or the machine could not be reached."""

    __module__ = "bandsaw.errors"


class RemoteConnectionError(RemoteCommandError):
    """The connection to a remote machine could not be made, or was lost."""

    __module__ = "bandsaw.errors"
