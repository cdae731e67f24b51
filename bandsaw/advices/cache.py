"""An advice that keeps results and serves them again.

```
before: ids ─► entry? ──► intact ──────────────────────────────────► conclude
                 └─ none, damaged or too old ─► wait for whoever computes it ─► entry? ─► conclude
                                                 none: in the shared store? ─► kept ─► conclude
                                                                                  └─ none ─► proceed
after:  result ─► written to the locked temporary file ─► renamed ─► shared later ─► proceed
```
"""

from __future__ import annotations

import logging
import os
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Callable, Optional, Union

from .._arguments import checked_bound, checked_flag, checked_path
from .._cache import computation_locks, computing, entry, owned_files, record
from .._cache.computing import Computation
from .._cache.modes import entry_name, mode_of
from .._cache.trust import may_be_kept, settle, warn_of_variables
from .._session import telling
from .._system import callers
from .._system.directories import Anchor
from ..advice import Advice
from ..errors import InvalidValueError
from ..result import Result
from ..session import Session

logger = logging.getLogger(__name__)


class CachingAdvice(Advice):
    """Keeps the values that tasks return, and serves them without executing the task again.

    A result is kept in one file, `directory / task_id / execution_id`, readable by its owner only.
    Exceptions are not kept. A file that is damaged or cannot be read or written costs a warning and
    a computation, and never the call. Of several calls for the same missing entry, in threads and
    processes, one computes it and the others wait.

    A task says `@task(cache=False)` to be left alone and `@task(cache={'refresh': True})` to be
    computed at each call. The environment variable `BANDSAW_CACHE` does it for all tasks: `off`
    neither reads nor writes, `refresh` computes and replaces what is there, `read-only` serves what
    is there and keeps nothing new.

    Args:
        directory: Where the files are. Made on first use if it is missing.
        max_bytes: What all entries together may have, in bytes; by default any number. What was
            used longest ago goes first, when an entry is written.
        max_age: How old an entry may get, in seconds or as a `timedelta`; by default any age. An
            older one is computed again, and removed when another one is written.
        mmap: Whether large data in results (the arrays of NumPy, pandas and Arrow) is not read but
            mapped from the file, read-only. Needs a `PickleSerializer`.
        keep_if: Is given the value of a result and says whether to keep it; by default all are.
        shared: The URL of a store that a team shares, on any file system that `fsspec` has a driver
            for: `"s3://bucket/prefix"`, `"sftp://host/path"`, `"file:///mnt/team"`. What is not in
            the directory is looked for there, and then kept in the directory; what was computed is
            sent there in the background, until the end of the program. A store that is away costs
            one warning, and no call. By default there is none.
        shared_trusted: Whether entries of the store are read with any serializer. By default only
            with one that verifies signatures (`PickleSerializer(key=...)`) or runs nothing
            (`JsonSerializer()`), because others can write there.

    Attributes:
        directory: The directory, a `Path`.
        max_bytes: The bytes that all entries together may have, or `None`.
        max_age: The seconds that an entry is served for, or `None`.
        mmap: Whether large data is mapped.
        keep_if: Says which values to keep, or `None`.
        shared: The URL of the shared store as given, or `None`.
        shared_trusted: Whether its entries are read with any serializer.

    Raises:
        InvalidValueError: If an argument cannot be used (a `ValueError`).
    """

    def __init__(
        self,
        directory: Union[str, os.PathLike[str]],
        max_bytes: Optional[int] = None,
        max_age: Union[float, timedelta, None] = None,
        *,
        mmap: bool = False,
        keep_if: Optional[Callable[[Any], Any]] = None,
        shared: Optional[str] = None,
        shared_trusted: bool = False,
    ) -> None:
        self.directory = Path(checked_path("directory", directory))
        self._anchor = Anchor()
        self.max_bytes = checked_bound("max_bytes", max_bytes, "bytes")
        seconds = max_age.total_seconds() if isinstance(max_age, timedelta) else max_age
        self.max_age = checked_bound("max_age", seconds, "seconds (or a timedelta)")
        self.mmap = checked_flag("mmap", mmap)
        if not (keep_if is None or callable(keep_if)):
            raise InvalidValueError(f"keep_if={keep_if!r} has to be a function of a value.")
        self.keep_if = keep_if
        self.shared = shared
        if shared is not None:
            from .._cache import shared_files

            self.shared = shared_files.checked(shared)
        self.shared_trusted = checked_flag("shared_trusted", shared_trusted)

    def before(self, session: Session) -> None:
        """Concludes with the result that was kept, where there is one. See `Advice.before`.

        Raises:
            IdentityError: If an argument has no canonical form (a `TypeError`); names which one.
            InvalidValueError: If the task's `cache` keyword or `BANDSAW_CACHE` has a value that
                means nothing (a `ValueError`).
        """
        mode = mode_of(session.task)
        if mode == "off":
            session.proceed()
            return
        folder, name = self.place_of(session.task, session.execution)
        result = None if mode == "refresh" else self._load(folder, name, session, logging.WARNING)
        if result is None and mode == "read-only":
            result = self._load_shared(folder, name, session, is_kept=False)
        if result is not None:
            _serve(result, name, session)
        elif mode == "read-only":
            _note_miss(session, f"{folder}{os.sep}{name}")
            session.proceed()
        else:
            self._compute(Computation(folder, name, mode), session)

    def after(self, session: Session) -> None:
        """Keeps the value that the task returned. See `Advice.after`."""
        # There is none where the session came from another process on its way.
        computation = _computations.get((id(session), id(self)))
        try:
            settle(session.task)
            # A task of the user's own may return anything.
            if getattr(session.result, "exception", None) is None:
                if computation is None:
                    mode = mode_of(session.task)
                    if mode in (None, "refresh"):
                        place = self.place_of(session.task, session.execution)
                        self._keep(session, Computation(*place, mode))
                else:
                    self._keep(session, computation)
        finally:
            if computation is not None:
                computation.close()
        session.proceed()

    def place_of(self, task: Any, execution: Any) -> tuple[str, str]:
        """Says where the result of a call is kept.

        Args:
            task: The task.
            execution: The arguments.

        Returns:
            The path of the folder, and the name of the file in it.

        Raises:
            IdentityError: If the call has no id (a `TypeError`).
        """
        return f"{self.root}{os.sep}{entry_name(task.task_id)}", entry_name(execution.execution_id)

    @property
    def root(self) -> str:
        """The path of the directory: a relative one is relative to where the advice was made."""
        return self._anchor.of(self.directory)

    @property
    def _fills(self) -> tuple[str, ...]:
        return (self.root,)

    @property
    def shared_url(self) -> Optional[str]:
        """The URL of the shared store, if there is one; a local path in it is absolute."""
        if self.shared is None:
            return None
        from .._cache import shared_files

        return shared_files.resolved(self.shared, self._anchor.absolute)

    def can_load(self, session: Session) -> bool:
        """Says whether the entry of a call can be read with the session's serializer.

        Args:
            session: The call.

        Returns:
            Whether there is a result that could be served.
        """
        place = self.place_of(session.task, session.execution)
        return self._load(*place, session, logging.DEBUG, with_files=False) is not None

    def _compute(self, computation: Computation, session: Session) -> None:
        key, path = (id(session), id(self)), computation.path
        try:
            if computation.mode is None and path not in callers.held(session):
                result = self._wait(computation, session)
                if result is not None:
                    computation.close()
                    _serve(result, computation.name, session)
                    return
            _note_miss(session, path)
            if computation.mode == "refresh":
                telling.note(session, cache_why="it was to be computed again")
            computation.begin(session)
            _computations[key] = computation
            callers.hold(path, session)
            try:
                session.proceed()
            finally:
                callers.release(path, session)
        finally:
            _computations.pop(key, None)
            computation.close()

    def _wait(self, computation: Computation, session: Session) -> Optional[Result]:
        """Waits for the right to compute an entry, and returns the result if it is there then."""
        folder, name = computation.folder, computation.name
        try:
            while computation.temporary is None:
                computation.temporary = computation_locks.wait_for(folder, name)
                result = self._load(folder, name, session, logging.DEBUG)
                if result is not None:
                    return result
        except (OSError, owned_files.DamagedEntryError) as error:
            logger.debug("Nobody waits for %s: %s", computation.path, error)
        return self._load_shared(folder, name, session, is_kept=True)

    def _load(
        self, folder: str, name: str, session: Session, level: int, with_files: bool = True
    ) -> Optional[Result]:
        """Reads an entry, and brings the files in its result back to where they lack."""
        # Where none is expected: cheaper than the exception that says so.
        if level == logging.DEBUG and not os.access(f"{folder}{os.sep}{name}", os.F_OK):
            return None
        try:
            found = entry.read(folder, name, mapped=self.mmap, stamped=self.max_bytes is not None)
            age = abs(time.time() - found.status.st_mtime)  # a clock may have gone back
            if self.max_age is not None and age > self.max_age:
                why = f"its entry was {age:.0f} s old, max_age is {self.max_age:g} s"
                telling.note(session, cache_why=why)
                return None
            return computing.result_in(found, folder, name, session, with_files)
        except FileNotFoundError:
            return None
        except Exception as error:
            # Where there is no folder, nothing can be kept either, and that is warned of.
            if isinstance(error, NotADirectoryError) and mode_of(session.task) is None:
                level = logging.DEBUG
            # Not the error itself, whose traceback would keep the session alive.
            problem = str(error) or type(error).__name__
        logger.log(level, "The cache entry %s is not used: %s", os.path.join(folder, name), problem)
        telling.note(session, cache_why=f"its entry could not be used: {problem}")
        return None

    def _load_shared(
        self, folder: str, name: str, session: Session, is_kept: bool
    ) -> Optional[Result]:
        """Looks for an entry in the shared store, and keeps it in the directory."""
        store, trusted = self._shared_store(), self.shared_trusted
        if store is None or not (trusted or store.is_read_by(session.serializer)):
            return None
        try:
            with store.copied(folder, name, is_kept) as copy:
                if copy is None:
                    return None
                # On Windows a file that is mapped cannot be renamed.
                mapped = self.mmap and os.name == "posix"
                found = entry.read(folder, name, mapped=mapped, path=copy.path)
                made = record.read(found.record).made
                if self.max_age is not None and abs(time.time() - made) > self.max_age:
                    return None
                result = computing.shared_result_in(found, folder, name, session, trusted)
                if copy.keep(made):
                    self._keep_bounds(folder, name, found.status.st_size)
                return result
        except Exception as error:
            store.cannot_use(folder, name, error)
        return None

    def _shared_store(self) -> Any:
        """The store that is shared, `None` if there is none."""
        url = self.shared_url
        if url is None:
            return None
        from .._cache import shared

        return shared.store_of(url)

    def _keep(self, session: Session, computation: Computation) -> None:
        try:
            if not isinstance(session.result, Result):
                raise TypeError(f"{session.result!r} is no bandsaw.Result")
            is_wanted = self.keep_if is None or self.keep_if(session.result.value)
            if not (is_wanted and may_be_kept(session, computation)):
                return
            # It may have come in the meantime; an intact one stays as it is.
            found, place = None, (computation.folder, computation.name)
            if computation.mode != "refresh":
                found = self._load(*place, session, logging.DEBUG, with_files=False)
            if found is None and self._store(computation, session) and self.mmap:
                found = self._load(*place, session, logging.WARNING, with_files=False)
            if found is None or self.mmap:
                warn_of_variables(session.task, computation)
            if found is not None and self.mmap:
                # The first call returns what the later ones do.
                session.result = found
        except Exception as error:
            logger.warning("The result of %s is not kept in the cache: %s", session.task, error)
        finally:
            computation.close()

    def _store(self, computation: Computation, session: Session) -> bool:
        folder, name = computation.folder, computation.name
        parts, has_buffers = computing.of(session, computation)
        size = sum(map(len, parts))
        if self.max_bytes is not None and size > self.max_bytes:
            raise ValueError(f"its {size} bytes are more than max_bytes={self.max_bytes}")
        is_bounded = self.max_bytes is not None or self.max_age is not None
        computation.finish(parts, time.time_ns() if is_bounded else 0)
        self._keep_bounds(folder, name, size)
        if self.shared is not None:
            self._shared_store().send(folder, name)
        return has_buffers

    def _keep_bounds(self, folder: str, name: str, size: int) -> None:
        if self.max_bytes is not None or self.max_age is not None:
            from .._cache import bounds

            bounds.keep(folder, name, size, self.max_bytes, self.max_age)


def _serve(result: Result, name: str, session: Session) -> None:
    logger.info("Served from the cache: %s (%s)", session.task, name)
    telling.note(session, cache="hit")
    session.conclude(result)


def _note_miss(session: Session, path: str) -> None:
    # What the entry differs in from others is found out when somebody looks.
    if telling.wanted:
        session.note(cache="miss", cache_entry=os.path.abspath(path))


# By the session and the advice: a chain may have several caches.
_computations: dict[tuple[int, int], Computation] = {}
