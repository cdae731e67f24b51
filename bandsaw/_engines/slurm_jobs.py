"""Calls as jobs: what Slurm is told of them, what it says, and the folder that machines share.

In that folder are archives, contents of files, and buffers.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import subprocess
import threading
import time
import weakref
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Callable, NamedTuple

from .._system.files import make_private, whole_file, write_whole
from .._workers.executor.engine_bulk import Stored
from .._workers.frames import EVENT

OVER = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL"),
    *("OUT_OF_MEMORY", "REVOKED", "TIMEOUT"),
}
# What Slurm does to a job by itself, or is told to do.
BY_SLURM = OVER - {"COMPLETED", "FAILED"}
RUNNING = {"RUNNING", "COMPLETING"}
_MOST_WORDS = 2000
# Contents of files stay in the folder so long after their last use.
_FILE_SECONDS = 30 * 86400.0
# Names of jobs in one command.
_MOST_CANCELLED = 500
logger = logging.getLogger(__name__)


class JobCall(NamedTuple):
    options: tuple[tuple[str, Any], ...]
    function: Callable[..., Any]
    args: tuple[Any, ...]
    future: Future[Any]


class Job:
    def __init__(self, job: Any, future: Future[Any]) -> None:
        self.job = job
        self.future = future
        self.looks = 0
        # Whether the result may be of a run that Slurm has ended: its state says it.
        self.is_doubtful = False


def settings(given: dict[str, Any]) -> dict[str, Any]:
    """Returns parameters under the names that Slurm has for them."""
    minutes = given.pop("timeout_min", given.pop("time", None))
    # The signal that announces the end would otherwise come at the start of a short job.
    settings: dict[str, Any] = {"signal_delay_s": 1}
    # For what submitit has no name.
    more = dict(given.pop("additional_parameters", None) or {})
    gpus = given.pop("gpus", None)
    if gpus is not None:
        more.setdefault("gpus", gpus)
    memory = given.pop("mem_gb", None)
    if memory is not None:
        settings["mem"] = f"{int(memory * 1024)}MB"
    if minutes is not None:
        seconds = round(float(minutes) * 60)
        settings["time"] = max(1, round(float(minutes)))
        if seconds % 60:
            more.setdefault("time", f"{seconds // 60}:{seconds % 60:02}")
    if more:
        settings["additional_parameters"] = more
    return {**settings, **given}


def states() -> Any:
    """Asks Slurm for the states of all jobs of this user, `None` if it does not answer."""
    command = ["squeue", "-h", "-r", "-t", "all", "-u", str(os.geteuid()), "-o", "%i|%T"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return None
    if done.returncode:
        return None
    return dict(line.strip().split("|", 1) for line in done.stdout.splitlines() if "|" in line)


def submit(submitit: Any, folder: Path, calls: Sequence[JobCall]) -> list[Any]:
    """Submits calls with the same options: as one array, if they are several."""
    executor = submitit.SlurmExecutor(folder=folder, max_num_timeout=0)
    executor.update_parameters(**settings(dict(calls[0].options)))
    with executor.batch() if len(calls) > 1 else contextlib.nullcontext():
        return [executor.submit(one.function, *one.args) for one in calls]


def cancel(jobs: Sequence[Any]) -> Sequence[Any]:
    """Tells Slurm of all jobs at once that are to be cancelled; returns those it was told of."""
    for start in range(0, len(jobs), _MOST_CANCELLED):
        command = ["scancel", *(job.job_id for job in jobs[start : start + _MOST_CANCELLED])]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired) as error:
            logger.warning("Jobs of Slurm cannot be cancelled yet: %s", error)
            return jobs[:start]
        if done.returncode:
            logger.warning("Jobs of Slurm cannot be cancelled: %s", done.stderr.strip())
    return jobs


def is_doubtful(value: Any) -> bool:
    """Whether a result says that processes were ended, which may have been Slurm."""
    if not isinstance(value, tuple):
        return False  # of a call in the worker itself
    for word, _, *rest in value[2] if value[0] == "calls" else [value]:
        if word == "events":
            events, end, *_ = rest
            # Nothing follows when what had started the process was ended itself.
            ends = {
                EVENT.unpack(body)[1] if body else None for letter, body in events if letter == b"S"
            }
            if end == "deadline":
                continue
            if ends & {None, -signal.SIGTERM, -signal.SIGKILL}:
                return True
    return False


def lost(job: Any, state: Any) -> RuntimeError:
    words = ""
    for path in (job.paths.stderr, job.paths.stdout):
        with contextlib.suppress(OSError):
            words = words or path.read_text(errors="replace")[-_MOST_WORDS:]
    said = f"job {job.job_id} is {state or 'not known any more'}, and left no result"
    return RuntimeError(said + (f". Its last words:\n{words}" if words else ""))


class _Holder:
    """What lives as long as a file is needed."""


def _unlink(path: Path, pid: int) -> None:
    if pid == os.getpid():  # it is needed until the process ends that has made it
        path.unlink(missing_ok=True)


class SharedFolder:
    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = threading.Lock()

    def file(self, key: str, pieces: Callable[[], Iterable[bytes]]) -> str:
        """Has the contents of a file be in the folder. What nobody has used for long is removed."""
        folder = self.path / "files"
        path = folder / key
        with self._lock:
            try:
                os.utime(path)
            except FileNotFoundError:
                make_private(folder)
                left = [*self.path.glob("back-*"), *self.path.glob("buffer-*")]
                for other in (*folder.iterdir(), *left):
                    with contextlib.suppress(OSError):
                        if time.time() - other.stat().st_mtime > _FILE_SECONDS:
                            other.unlink()
                with whole_file(path) as file:
                    for piece in pieces():
                        file.write(piece)
        return str(path)

    def stored(self, data: bytes) -> Stored:
        make_private(self.path)
        path = self.path / f"buffer-{os.urandom(8).hex()}"
        holder = _Holder()
        weakref.finalize(holder, _unlink, path, os.getpid())
        path.touch(0o600)
        path.write_bytes(data)
        return Stored(str(path), holder)

    def archive(self, digest: str, parts: Callable[[], Sequence[bytes]]) -> str:
        folder = self.path / "archives"
        make_private(folder)
        path = folder / digest
        if not path.exists():
            manifest, files = parts()
            write_whole(path, len(manifest).to_bytes(8, "big"), manifest, files)
        return str(path)
