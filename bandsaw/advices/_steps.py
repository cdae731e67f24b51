"""A call on another machine by files and steps: for backends without a `connection_command`.

create_dir; the archive, the session and its files there; execute; what comes back; delete_dir
"""

from __future__ import annotations

import functools
import logging
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Optional

from .._files import bundle, carrying
from .._system import ending
from .._system.files import open_private, private_folder
from .._system.output import TAIL_BYTES, last_lines, last_words
from .._system.processes import describe_exit
from .._workers import boundary
from ..errors import AdviceError, BandsawError, FileTravelError, TaskKilledError, WorkerDiedError
from ..session import Session
from ._remote import Remote, SshBackend

# Named after the advice, as its users know it.
logger = logging.getLogger(f"{__package__}.ssh")


def move(
    session: Session,
    backend: SshBackend,
    remote: Remote,
    variables: Mapping[str, str],
    directory: Optional[str],
) -> None:
    # Nobody there can predict the name, and so put something in the way.
    remote_folder = remote.directory / f"bandsaw-{os.urandom(16).hex()}"
    with private_folder(directory) as folder:
        sent, returned = folder / "session", folder / "session-back"
        carrier = carrying.Sending(session)
        with open(sent, "xb", opener=open_private) as stream, carrier:
            # Along with the session, so that it arrives with any backend.
            position = boundary.send(session, stream, variables)
        files = bundle.send(carrier.files.values(), sent)

        @functools.cache
        def fetched() -> str:
            here = Path(bundle.beside(returned))
            try:
                backend.copy_file_from_remote(remote, remote_folder / here.name, here)
            except Exception as error:
                raise FileTravelError(
                    f"The files that task {session.task} has returned on {remote.host} cannot be "
                    f"fetched: {error}"
                ) from error
            return str(here)

        def get(path: str, target: str) -> None:
            bundle.get(fetched(), path, target)

        try:
            try:
                # No step of a backend can be ended from here.
                with ending.held(lambda: False):
                    if ending.is_ended():
                        raise TaskKilledError(
                            f"Task {session.task} was killed before it began on {remote.host}.",
                            *(-9, [remote.host], None, None),
                        )
                    backend.create_dir(remote, remote_folder)
                    _run(session, backend, remote, remote_folder, sent, returned, files)
            except BandsawError:
                raise
            except Exception as error:
                # Whatever a backend of the user's own raises, the error says where.
                raise AdviceError(
                    f"The backend {type(backend).__name__} of SshAdvice.before failed for "
                    f"task {session.task} on {remote.host}: {type(error).__name__}: {error}"
                ) from error
            with open(returned, "rb") as back, carrying.Arrived(session, get):
                there = f"run on {remote.host}"
                boundary.take_back(session, boundary.read(back, session, there), position, there)
        finally:
            _delete(backend, remote, remote_folder)


def _run(
    session: Session,
    backend: SshBackend,
    remote: Remote,
    folder: Path,
    sent: Path,
    returned: Path,
    files: Optional[Path],
) -> None:
    there = {name: folder / name for name in ("distribution.pyz", "session", "session-back")}
    archive = session.distribution_archive.path
    backend.copy_file_to_remote(remote, archive, there["distribution.pyz"])
    backend.copy_file_to_remote(remote, sent, there["session"])
    if files is not None:
        backend.copy_file_to_remote(remote, files, folder / files.name)
    try:
        backend.execute_remote(
            remote,
            remote.interpreter.executable,
            there["distribution.pyz"].as_posix(),
            *("--input", there["session"].as_posix()),
            *("--output", there["session-back"].as_posix()),
            *("--run-id", session.run_id),
        )
    except subprocess.CalledProcessError as error:
        raise WorkerDiedError(
            f"The remote process of task {session.task}{session._execution_name()} on "
            f"{remote.host} ended with {describe_exit(error.returncode)} before it gave the "
            f"session back: {error}{_last_words(error)}",
            error.returncode,
            error.cmd,
            error.output,
            error.stderr,
        ) from error
    backend.copy_file_from_remote(remote, there["session-back"], returned)


def _last_words(error: subprocess.CalledProcessError) -> str:
    written = error.stderr or error.output or b""
    data = written if isinstance(written, bytes) else str(written).encode("utf-8", "replace")
    words = last_lines(data[-TAIL_BYTES:])
    return "" if words in str(error) else last_words(words)


def _delete(backend: SshBackend, remote: Remote, folder: Path) -> None:
    try:
        backend.delete_dir(remote, folder)
    except Exception as error:
        # What the call gives or raises is worth more than this.
        logger.warning("The folder %s is left behind on %s: %s", folder, remote.host, error)
