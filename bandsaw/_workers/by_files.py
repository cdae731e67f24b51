"""One session in another process where there are no channels: on Windows.

It travels in files, and the process is started anew. What it logs stays there.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from typing import Optional

from .._files import bundle, carrying
from .._system import directories, lifeline
from .._system.files import open_private, private_folder
from .._system.output import Tail, said
from .._system.processes import describe_exit, end_group, flags, why_not_started
from ..distribution import owned_folders
from ..errors import TaskTimeoutError, WorkerDiedError, WorkerStartError
from ..interpreter import Interpreter
from ..session import Session
from . import boundary


def run(
    session: Session,
    interpreter: Interpreter,
    directory: Optional[str],
    seconds: Optional[float],
    made_in: Optional[str],
) -> None:
    """Goes on with a session in a process of its own, and takes it back.

    `directory`: where the files are made, by default where temporary files go. `seconds`: how long
    it may take, `None` for ever. `made_in`: what relative directories of advices are relative to.
    """
    what = f"The process of task {session.task}{session._execution_name()}"
    with private_folder(directory) as folder:
        sent, returned = folder / "session", folder / "session-back"
        with open(sent, "xb", opener=open_private) as stream, carrying.Outward(session):
            position = boundary.send(session, stream)
        archive = session.distribution_archive.path
        command = [
            # Unbuffered, so that what a task prints is seen when it prints it.
            *(interpreter.executable, *flags(), "-u", str(archive)),
            *("--input", str(sent), "--output", str(returned), "--run-id", session.run_id),
        ]
        environment = {**os.environ, **interpreter.overlay(local=True)}
        if made_in is not None:
            environment[directories.VARIABLE] = made_in
        folders = [str(folder), *owned_folders(archive)]
        error = _ended(command, environment, what, folders, seconds)
        if not returned.exists():
            raise error
        there = f"run by {interpreter.executable}"

        def get(path: str, target: str) -> None:
            bundle.get(bundle.beside(returned), path, target)

        with open(returned, "rb") as back, carrying.Arrived(session, get):
            boundary.take_back(session, boundary.read(back, session, there), position, there)


_POSIX = os.name == "posix"


def _ended(
    command: Sequence[str],
    environment: dict[str, str],
    what: str,
    folders: Sequence[str],
    seconds: Optional[float],
) -> WorkerDiedError:
    """Runs a command to its end, passing on what it writes; what it started ends with it.

    Returns the error for a process that did not give the session back.
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
                f"{what} could not be started with the interpreter {command[0]!r}: "
                f"{why_not_started(command[0], error)}"
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
    return WorkerDiedError(
        f"{what} ended with {describe_exit(process.returncode)} before it gave the session back "
        f"(interpreter {command[0]}, pid {process.pid}).{said(errors or output)}",
        process.returncode,
        list(command),
        output,
        errors,
    )
