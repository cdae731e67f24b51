"""An advice that moves a task to another machine over SSH."""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import time
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional, Union

from .. import _task_options, errors
from .._arguments import checked_options, checked_path
from .._config_module import configuration_variables
from .._system import ending
from .._system.directories import Anchor
from .._system.importing import late_import
from .._system.processes import in_forked_processes
from .._task_options import check_value
from ..advice import Advice
from ..environments import Environment
from ..errors import (
    BandsawError,
    InvalidValueError,
    UnknownRemoteError,
)
from ..interpreter import Interpreter, checked_interpreter
from ..session import Session
from ._moving import go_on_after, note_what_is_missing, pool_of, timeout_of
from ._openssh import SshCommandLineBackend
from ._remote import Remote, SshBackend, command_of, python_of

if TYPE_CHECKING:
    from .._workers.ssh.ssh_start import Target

__all__ = ["Remote", "SshAdvice", "SshBackend", "SshCommandLineBackend"]

logger = logging.getLogger(__name__)
# For so long, other remotes of a list are better than one that failed.
_AVOIDED_SECONDS = 30.0
# Before a remote is tried again, which may just be started: the second time twice as long, and so
# on, but no longer than 2 ** 6 times this.
_PAUSE_SECONDS = 0.5
_MOST_DOUBLINGS = 6


class SshAdvice(Advice):
    """Runs the rest of the chain and the task on another machine.

    A task picks its remote with `@task(ssh={'remote': 'NAME'})`, by default the one named
    `default`, or the one of several that runs the fewest tasks of this process at the moment, with
    `@task(ssh={'remote': ['a', 'b']})`. With `@task(ssh={'retries': 2})` it is run again, up to two
    times, when the connection could not be made or was lost; each time on another one of several
    remotes. What the task itself raises is never a reason for that.

    There is one connection to each remote. It is opened for the first task, kept until this process
    ends, and opened again when it was lost. By default each execution has a process of its own
    there, as with `SubprocessAdvice`, whose promises about output, logging, time limits and what is
    left behind hold here, too. When the connection is lost, all that runs there is ended.

    A backend that has no `connection_command` works with files and steps, without all this.

    Args:
        directory: Where the files that the session travels in are made here, for the time of the
            call, if the backend works with files. Made on first use if it is missing. By default
            the folder for temporary files.
        backend: What reaches the remotes, by default a `SshCommandLineBackend`.
        workers: How many processes to keep warm on each remote, and to use again, by default none.
        preload: Names of modules to import once there, before processes are forked.
        max_tasks: After how many executions a warm process is replaced, by default never.
        idle_timeout: After how many seconds without work a warm process ends, by default never.

    Attributes:
        directory: The directory as a `Path`, `None` if none was given.
        backend: The backend.
        remotes: The remotes under their names.
        workers: As given.
        preload: As given, as a tuple.
        max_tasks: As given.
        idle_timeout: As given.

    Raises:
        InvalidValueError: If a value cannot be used (a `ValueError`).
    """

    _crosses = True

    def __init__(
        self,
        directory: Optional[Union[str, os.PathLike[str]]] = None,
        backend: Optional[SshBackend] = None,
        *,
        workers: Optional[int] = None,
        preload: Sequence[str] = (),
        max_tasks: Optional[int] = None,
        idle_timeout: Optional[float] = None,
    ) -> None:
        given = directory is not None
        self.directory = Path(checked_path("directory", directory)) if given else None
        self._anchor = Anchor()
        ways = "connection_command", "execute_remote"
        if backend is not None and not any(hasattr(backend, way) for way in ways):
            raise InvalidValueError(f"backend={backend!r} of an SshAdvice has to be an SshBackend.")
        self.backend: SshBackend = SshCommandLineBackend() if backend is None else backend
        self.remotes: dict[str, Remote] = {}
        self.workers, self.max_tasks, self.idle_timeout, self.preload = checked_options(
            workers, max_tasks, idle_timeout, preload, "SshAdvice"
        )

    @property
    def max_in_flight(self) -> Optional[int]:
        """How many submitted calls run at once: `workers` times the number of remotes.

        Without `workers` it is `None`, for the number of processors.
        """
        return None if self.workers is None else self.workers * max(1, len(self.remotes))

    def add_remote(self, remote: Remote, name: str = "default") -> SshAdvice:
        """Adds a machine, replacing an earlier one of the same name.

        Args:
            remote: The machine.
            name: The name under which tasks ask for it.

        Returns:
            This advice.

        Raises:
            InvalidValueError: If it is no remote, or the name no text (a `ValueError`).
        """
        if not isinstance(name, str):
            raise InvalidValueError(f"The name of a remote is a text, not {name!r}.")
        self.remotes[name] = _checked_remote(name, remote)
        return self

    def before(self, session: Session) -> None:
        """Moves the session to a remote and takes it back. See `Advice.before`.

        A failure of the crossing is the result: a `RemoteConnectionError` if the connection could
        not be made, or was lost, a `WorkerDiedError` if the remote did not give the session back
        (each a `subprocess.CalledProcessError`), a `WorkerStartError` if the process could not be
        started there (an `OSError`), a `TaskTimeoutError` if the task took longer than its
        `timeout` (a `TimeoutError`).

        Raises:
            UnknownRemoteError: If the task asks for a remote that was not added (a `KeyError` and a
                `ValueError`).
        """
        go_on_after(session, lambda: self._cross(session))

    def _cross(self, session: Session) -> None:
        names, retries = self._choice_of(session.task)
        failed: list[str] = []
        lost: Optional[BandsawError] = None
        while True:
            with _least_busy(self, names, failed) as (name, load):
                tries = failed.count(name)
                if tries:
                    ending.wait(_pause_before(tries))
                if lost is not None and ending.is_ended():
                    raise lost
                remote = self.remotes[name]
                try:
                    self._move(session, remote)
                    note_what_is_missing(session, None, remote.host)
                    break
                except errors.RemoteConnectionError as error:
                    if error.where is not None:
                        raise  # it happened there, in another connection than ours
                    load.failed_at = time.monotonic()
                    if len(failed) >= retries:
                        raise
                    failed.append(name)
                    lost = error
                    logger.warning("Task %s is run again: %s", session.task, error)
                except BandsawError as error:
                    note_what_is_missing(session, error, remote.host)
                    raise

    def after(self, session: Session) -> None:
        """Ends the walk on the remote: it goes on here. See `Advice.after`."""

    def _choice_of(self, task: Any) -> tuple[list[str], int]:
        """Returns which remotes a task may run on, and how often it is tried again."""
        options = getattr(task, "kwargs", {}).get("ssh", {})
        check_value("ssh", options, _task_options.ssh, task)
        retries = options.get("retries", 0)
        names = options.get("remote", "default")
        if isinstance(names, str):
            names = [names]
        for name in names:
            if name not in self.remotes:
                known = ", ".join(map(repr, self.remotes)) or "none"
                asks = f"asks for the remote {name!r}"
                if "remote" not in options:
                    asks = "names no remote, which means 'default'"
                message = f"Task {task} {asks}, and the SshAdvice has: {known}."
                if self.remotes:
                    message += f" Name one: @task(ssh={{'remote': {next(iter(self.remotes))!r}}})."
                else:
                    message += " Add one: SshAdvice().add_remote(Remote(...))."
                raise UnknownRemoteError(message)
            _checked_remote(name, self.remotes[name])
        return list(names), retries

    def _move(self, session: Session, remote: Remote) -> None:
        interpreter = checked_interpreter(remote.interpreter, f"the remote {remote.host}")
        seconds = timeout_of(session)
        target = _target_of(self.backend, remote)
        if target is None:
            self._move_by_files(session, remote, interpreter, seconds)
            return
        with late_import:
            from .._workers.call import Call
            from .._workers.ssh.ssh_carrier import SshCarrier

        requirements = None
        shown = target.python
        if isinstance(interpreter, Environment):
            requirements, shown = interpreter.serialized(), repr(interpreter)
        variables = _variables(interpreter)
        archive = session.distribution_archive
        carrier = SshCarrier(target, archive, variables, self.preload, shown, requirements)
        call = Call(session, carrier, seconds)
        if self.workers is None:
            call.in_own_process()
        else:
            pool = pool_of(self, target, self.workers, self.max_tasks)
            call.in_warm_process(pool, self.idle_timeout)

    def _move_by_files(
        self,
        session: Session,
        remote: Remote,
        interpreter: Interpreter,
        seconds: Optional[float],
    ) -> None:
        for given, what in (
            (isinstance(interpreter, Environment), "an Environment on the remote"),
            (seconds is not None, "the timeout of a task"),
            (self.workers is not None, "workers"),
        ):
            if given:
                raise InvalidValueError(
                    f"Task {session.task} on {remote.host}: {what} needs a backend with a "
                    f"connection_command, which {type(self.backend).__name__} does not have."
                )
        from . import _steps

        directory = None if self.directory is None else self._anchor.of(self.directory)
        _steps.move(session, self.backend, remote, _variables(interpreter), directory)


def _pause_before(tries: int) -> float:
    return _PAUSE_SECONDS * 2.0 ** min(tries - 1, _MOST_DOUBLINGS)


def _checked_remote(name: str, remote: Any) -> Remote:
    if not hasattr(remote, "interpreter"):
        raise InvalidValueError(
            f"The remote {name!r} of the SshAdvice has to be a Remote(host=..., interpreter=...), "
            f"not {remote!r}."
        )
    return remote  # type: ignore[no-any-return]


def _variables(interpreter: Interpreter) -> dict[str, str]:
    """Returns the environment variables that a task has there, besides those of a login."""
    return {**configuration_variables(), **interpreter.overlay(local=False)}


# To make a command line costs more than to see that nothing has changed.
_targets: weakref.WeakKeyDictionary[Remote, tuple[Any, Optional[Target]]] = (
    weakref.WeakKeyDictionary()
)


def _target_of(backend: SshBackend, remote: Remote) -> Optional[Target]:
    """Returns where a connection to a remote leads, `None` if there is none."""
    given = {**vars(remote), "options": dict(remote.options)}
    given["backend"] = backend, dict(getattr(backend, "__dict__", {}))
    known, target = _targets.get(remote, (None, None))
    if known != given:
        target, python = None, python_of(remote)
        command = command_of(backend, remote, python)
        if command is not None:
            from .._workers.ssh.ssh_start import Target

            directory = remote.directory.as_posix()
            target = Target(remote.host, tuple(command), directory, python)
        _targets[remote] = given, target
    return target


class _Load:
    """What runs on a remote of an advice, and when that failed last."""

    tasks = 0
    failed_at = float("-inf")


# Not on the advice, which may be copied and pickled.
_loads: weakref.WeakKeyDictionary[SshAdvice, dict[str, _Load]] = weakref.WeakKeyDictionary()
_lock = threading.Lock()


@contextlib.contextmanager
def _least_busy(
    advice: SshAdvice, names: list[str], failed: list[str]
) -> Iterator[tuple[str, _Load]]:
    """Picks the remote that runs the fewest tasks, and counts one more for it meanwhile.

    `failed`: those that failed this task, which come last. Before them come those that failed
    another one a moment ago: nothing runs there, and that is no merit.
    """
    with _lock:
        now = time.monotonic()
        loads = _loads.setdefault(advice, {})

        def order(name: str) -> tuple[int, bool, int]:
            load = loads.setdefault(name, _Load())
            return failed.count(name), now - load.failed_at < _AVOIDED_SECONDS, load.tasks

        name = min(names, key=order)
        load = loads[name]
        load.tasks += 1
    try:
        yield name, load
    finally:
        with _lock:
            load.tasks -= 1


@in_forked_processes
def _let_go() -> None:
    global _lock
    _lock = threading.Lock()
    _loads.clear()
