"""An advice that moves a task to another process on this machine."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Optional, Union

from .._arguments import checked_flag, checked_options, checked_path, checked_seconds
from .._system.directories import Anchor
from .._system.files import make_private
from .._system.importing import late_import
from ..advice import Advice
from ..errors import WorkerStartError
from ..interpreter import Interpreter, checked_interpreter
from ..session import Session
from ._moving import go_on_after, pool_of, timeout_of

if TYPE_CHECKING:
    from pathlib import Path


_HAS_CHANNELS = os.name == "posix"


@functools.lru_cache(None)
def _rooms() -> tuple[Any, Any]:
    """Imports what moves sessions, which most processes of tasks never need, and finds it again."""
    with late_import:
        from .._workers import call, carrier

    return call, carrier


class SubprocessAdvice(Advice):
    """Runs the rest of the chain and the task in another process.

    By default each execution has a process of its own. Where the platform allows it, it is forked
    from a clean process of one thread, the fork server, which has imported what every task needs;
    so Python starts once and not for each call. Nothing of a call is left in it.

    What the process writes comes through as it is written, and what it logs reaches the loggers
    here. It has the working directory and the environment of this process, and an empty standard
    input. When the call ends, in whatever way, all that was started in it has ended too. A task
    with `@task(timeout=30)` may take that many seconds.

    Args:
        directory: Where a file for bulk data is made if there is no room for it in memory. Made on
            first use if it is missing. By default the folder for temporary files.
        interpreter: The Python of the process, by default the one that runs now.
        workers: How many processes to keep warm and to use again, by default none. What one task
            leaves in the memory of such a process, the next one finds.
        fork: Whether processes may be forked. If not, each starts Python anew.
        preload: Names of modules to import once, before processes are forked. If they start
            threads, processes start anew, without them.
        max_tasks: After how many executions a warm process is replaced, by default never.
        idle_timeout: After how many seconds without work a warm process ends, by default never.
        heartbeat: After how many seconds each time the process gives a sign of life. One that
            misses three, for example because somebody has stopped it, is ended. By default it need
            not: a process that dies is noticed without it, and one that is busy in C code may give
            none.

    Attributes:
        directory: The directory as a `Path`, `None` if none was given.
        interpreter: The interpreter.
        workers: As given.
        fork: As given.
        preload: As given, as a tuple.
        max_tasks: As given.
        idle_timeout: As given.
        heartbeat: As given.

    Raises:
        InvalidValueError: If a value cannot be used (a `ValueError`).
    """

    _crosses = True

    def __init__(
        self,
        directory: Optional[Union[str, os.PathLike[str]]] = None,
        interpreter: Optional[Interpreter] = None,
        *,
        workers: Optional[int] = None,
        fork: bool = True,
        preload: Sequence[str] = (),
        max_tasks: Optional[int] = None,
        idle_timeout: Optional[float] = None,
        heartbeat: Optional[float] = None,
    ) -> None:
        self.directory: Optional[Path] = None
        if directory is not None:
            # Not at the top: every process of a task imports this module.
            from pathlib import Path

            self.directory = Path(checked_path("directory", directory))
            if str(self.directory).rstrip("0123456789.") in ("python", "pypy"):
                import warnings

                warnings.warn(
                    f"directory={str(directory)!r} of SubprocessAdvice is a folder for bulk data, "
                    "which is made if it is missing. The Python of the process is named by "
                    f"interpreter=bandsaw.Interpreter(executable={str(directory)!r}).",
                    stacklevel=2,
                )
        self._anchor = Anchor()
        if interpreter is None:
            interpreter = Interpreter()
        self.interpreter = checked_interpreter(interpreter, "SubprocessAdvice")
        if heartbeat is not None:
            checked_seconds("heartbeat", heartbeat, "SubprocessAdvice")
        self.fork = checked_flag("fork", fork)
        self.workers, self.max_tasks, self.idle_timeout, self.preload = checked_options(
            workers, max_tasks, idle_timeout, preload, "SubprocessAdvice"
        )
        self.heartbeat = heartbeat

    @property
    def max_in_flight(self) -> Optional[int]:
        """How many submitted calls run at once: `workers`, `None` for the number of processors."""
        return self.workers

    def before(self, session: Session) -> None:
        """Moves the session into another process and takes it back. See `Advice.before`.

        A failure of the crossing is the result: a `WorkerDiedError` if the process ended before it
        gave the session back (a `subprocess.CalledProcessError`), a `WorkerStartError` if it could
        not be started (an `OSError`), a `TaskTimeoutError` if the task took longer than its
        `timeout` (a `TimeoutError`).
        """
        go_on_after(session, lambda: self._move(session))

    def _move(self, session: Session) -> None:
        interpreter = checked_interpreter(self.interpreter, "SubprocessAdvice")
        seconds = timeout_of(session)
        directory, base = None, self._anchor.base
        if self.directory is not None:
            directory = self._anchor.of(self.directory)
            try:
                make_private(type(self.directory)(directory))
            except OSError as error:
                raise WorkerStartError(
                    f"The directory {str(self.directory)!r} of SubprocessAdvice cannot be made: "
                    f"{error}"
                ) from error
        if _HAS_CHANNELS:
            call, carrier = _rooms()
            configuration = session._known_configuration()
            wanted = carrier.LocalProcesses(interpreter, self.preload, self.fork, directory, base)
            if self.workers is None:
                where = carrier.carrier_for(configuration, wanted)
                call.Call(session, where, seconds, self.heartbeat).in_own_process()
                return
            pool = pool_of(self, None, self.workers, self.max_tasks)
            where = pool.carrier = carrier.carrier_for(configuration, wanted, pool.carrier)
            moved = call.Call(session, where, seconds, self.heartbeat)
            moved.in_warm_process(pool, self.idle_timeout)
        else:
            from .._workers import by_files

            by_files.run(session, interpreter, directory, seconds, base)

    def after(self, session: Session) -> None:
        """Ends the walk in the other process: it goes on in this one. See `Advice.after`."""
