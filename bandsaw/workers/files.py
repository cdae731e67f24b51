"""One session in another process where there are no channels: on Windows.

It travels in files, and the process is started anew. What it logs stays there.
"""

from __future__ import annotations

import os
from typing import Optional

from .._files import bundle, carrying
from .._system import directories
from .._system.files import open_private, private_folder
from ..distribution import owned_folders
from ..interpreter import Interpreter
from ..session import Session
from . import boundary, process


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
    what = f"The process of task {session.task}{boundary.execution_of(session)}"
    with private_folder(directory) as folder:
        sent, returned = folder / "session", folder / "session-back"
        with open(sent, "xb", opener=open_private) as stream, carrying.Outward(session):
            place = boundary.send(session, stream)
        archive = session.distribution_archive.path
        command = [
            # Unbuffered, so that what a task prints is seen when it prints it.
            *(interpreter.executable, "-u", str(archive)),
            *("--input", str(sent), "--output", str(returned), "--run-id", session.run_id),
        ]
        environment = {**os.environ, **interpreter.overlay(local=True)}
        if made_in is not None:
            environment[directories.VARIABLE] = made_in
        folders = [str(folder), *owned_folders(archive)]
        ended = process.run(command, environment, what, folders, seconds)
        if not returned.exists():
            raise ended.without_session(what)
        there = f"run by {interpreter.executable}"

        def get(path: str, target: str) -> None:
            bundle.get(bundle.beside(returned), path, target)

        with open(returned, "rb") as back, carrying.Arrived(session, get):
            boundary.take_back(session, boundary.read(back, session, there), place, there)
