"""An advice that moves a task to another process on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Optional, Union

from .._files import open_private, private_folder
from ..advice import Advice
from ..distribution import owned_folders
from ..interpreter import Interpreter, checked_interpreter
from ..session import Session
from ..workers import boundary, process


class SubprocessAdvice(Advice):
    """Runs the rest of the chain and the task in a process of its own.

    Args:
        directory: Where the files that the session travels in are made, for the time of the call.
            Made on first use if it is missing. By default the folder for temporary files.
        interpreter: The Python of the process, by default the one that runs now.

    Attributes:
        directory: The directory as a `Path`, `None` if none was given.
        interpreter: The interpreter.
    """

    def __init__(
        self,
        directory: Optional[Union[str, os.PathLike[str]]] = None,
        interpreter: Optional[Interpreter] = None,
    ) -> None:
        self.directory = None if directory is None else Path(directory)
        self.interpreter = Interpreter() if interpreter is None else interpreter

    def before(self, session: Session) -> None:
        """Moves the session into another process and takes it back. See `Advice.before`.

        Raises:
            WorkerDiedError: If the process ended before it gave the session back (a
                `subprocess.CalledProcessError`).
            WorkerStartError: If it could not be started (an `OSError`).
        """
        interpreter = checked_interpreter(self.interpreter, "SubprocessAdvice")
        what = f"The process of task {session.task}{boundary.execution_of(session)}"
        with private_folder(self.directory) as folder:
            sent, returned = folder / "session", folder / "session-back"
            with open(sent, "xb", opener=open_private) as stream:
                place = boundary.send(session, stream)
            archive = session.distribution_archive.path
            command = [
                # Unbuffered, so that what a task prints is seen when it prints it.
                *(interpreter.executable, "-u", str(archive)),
                *("--input", str(sent), "--output", str(returned), "--run-id", session.run_id),
            ]
            environment = {**os.environ, **interpreter.overlay(local=True)}
            ended = process.run(command, environment, what, [str(folder), *owned_folders(archive)])
            if not returned.exists():
                raise ended.without_session(what)
            with open(returned, "rb") as stream:
                boundary.take_back(session, stream, place, f"run by {interpreter.executable}")
        session.proceed()

    def after(self, session: Session) -> None:
        """Ends the walk in the other process: it goes on in this one. See `Advice.after`."""
