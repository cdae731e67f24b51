"""An advice that moves a task to another machine over SSH."""

from __future__ import annotations

import logging
import os
import secrets
import subprocess
from pathlib import Path
from typing import Any, Optional, Union

from .._files import open_private, private_folder
from ..advice import Advice
from ..errors import (
    AdviceError,
    BandsawError,
    InvalidValueError,
    UnknownRemoteError,
    WorkerDiedError,
)
from ..interpreter import checked_interpreter
from ..session import Session
from ..workers import boundary
from ..workers._exit import describe_exit
from ._openssh import SshCommandLineBackend
from ._remote import Remote, SshBackend

__all__ = ["Remote", "SshAdvice", "SshBackend", "SshCommandLineBackend"]

logger = logging.getLogger(__name__)


class SshAdvice(Advice):
    """Runs the rest of the chain and the task on another machine.

    A task picks its remote with `@task(ssh={'remote': 'NAME'})`, by default the one named
    `default`.

    Args:
        directory: Where the files that the session travels in are made here, for the time of the
            call. Made on first use if it is missing. By default the folder for temporary files.
        backend: What reaches the remotes, by default a `SshCommandLineBackend`.

    Attributes:
        directory: The directory as a `Path`, `None` if none was given.
        backend: The backend.
        remotes: The remotes under their names.
    """

    def __init__(
        self,
        directory: Optional[Union[str, os.PathLike[str]]] = None,
        backend: Optional[SshBackend] = None,
    ) -> None:
        self.directory = None if directory is None else Path(directory)
        self.backend: SshBackend = SshCommandLineBackend() if backend is None else backend
        self.remotes: dict[str, Remote] = {}

    def add_remote(self, remote: Remote, name: str = "default") -> SshAdvice:
        """Adds a machine, replacing an earlier one of the same name.

        Args:
            remote: The machine.
            name: The name under which tasks ask for it.

        Returns:
            This advice.
        """
        self.remotes[name] = remote
        return self

    def before(self, session: Session) -> None:
        """Moves the session to the remote and takes it back. See `Advice.before`.

        Raises:
            UnknownRemoteError: If the task asks for a remote that was not added (a `KeyError` and a
                `ValueError`).
            WorkerDiedError: If the remote did not give the session back (a
                `subprocess.CalledProcessError`).
        """
        remote = self._remote_of(session.task)
        interpreter = checked_interpreter(remote.interpreter, f"the remote {remote.host}")
        # Nobody there can predict the name, and so put something in the way.
        remote_folder = remote.directory / f"bandsaw-{secrets.token_hex(16)}"
        with private_folder(self.directory) as folder:
            sent, returned = folder / "session", folder / "session-back"
            with open(sent, "xb", opener=open_private) as stream:
                # Along with the session, so that it arrives with any backend.
                place = boundary.send(session, stream, interpreter.overlay(local=False))
            try:
                self.backend.create_dir(remote, remote_folder)
                self._run(session, remote, remote_folder, sent, returned)
            except BandsawError:
                raise
            except Exception as error:
                # Whatever a backend of the user's own raises, the error says where.
                raise AdviceError(
                    f"The backend {type(self.backend).__name__} of SshAdvice.before failed for "
                    f"task {session.task} on {remote.host}: {type(error).__name__}: {error}"
                ) from error
            finally:
                self._delete(remote, remote_folder)
            with open(returned, "rb") as stream:
                there = f"run on {remote.host}"
                boundary.take_back(session, boundary.read(stream, session, there), place, there)
        session.proceed()

    def after(self, session: Session) -> None:
        """Ends the walk on the remote: it goes on here. See `Advice.after`."""

    def _remote_of(self, task: Any) -> Remote:
        options = getattr(task, "kwargs", {}).get("ssh", {})
        if not isinstance(options, dict) or not set(options) <= {"remote"}:
            raise InvalidValueError(
                f"Task {task}: ssh={options!r} cannot be used. Write "
                "@task(ssh={'remote': 'NAME'})."
            )
        name = options.get("remote", "default")
        if name not in self.remotes:
            known = ", ".join(map(repr, self.remotes)) or "none"
            raise UnknownRemoteError(
                f"Task {task} asks for the remote {name!r}, and the SshAdvice has: {known}."
            )
        return self.remotes[name]

    def _run(
        self, session: Session, remote: Remote, folder: Path, sent: Path, returned: Path
    ) -> None:
        there = {name: folder / name for name in ("distribution.pyz", "session", "session-back")}
        archive = session.distribution_archive.path
        self.backend.copy_file_to_remote(remote, archive, there["distribution.pyz"])
        self.backend.copy_file_to_remote(remote, sent, there["session"])
        try:
            self.backend.execute_remote(
                remote,
                remote.interpreter.executable,
                there["distribution.pyz"].as_posix(),
                *("--input", there["session"].as_posix()),
                *("--output", there["session-back"].as_posix()),
                *("--run-id", session.run_id),
            )
        except subprocess.CalledProcessError as error:
            raise WorkerDiedError(
                f"The remote process of task {session.task}{boundary.execution_of(session)} on "
                f"{remote.host} ended with {describe_exit(error.returncode)} before it gave the "
                f"session back: {error}",
                error.returncode,
                error.cmd,
                error.output,
                error.stderr,
            ) from error
        self.backend.copy_file_from_remote(remote, there["session-back"], returned)

    def _delete(self, remote: Remote, folder: Path) -> None:
        try:
            self.backend.delete_dir(remote, folder)
        except Exception as error:
            # What the call gives or raises is worth more than this.
            logger.warning("The folder %s is left behind on %s: %s", folder, remote.host, error)
