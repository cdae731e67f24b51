"""A store that a team shares, behind the cache of each machine.

```
a miss ──► get ──► a local temporary file ──► verified ──► the local entry
an entry ──► the local entry ──► StoreSending: put, in the background ──► the store
```

A store that does not answer, or fails, costs one warning, and is left alone for a while.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Optional

from .. import modules
from .._system.home import kept_folder
from ..errors import KeptFolderError, SignatureError
from ..serialization.json import JsonSerializer
from . import computation_locks, owned_files
from .shared_files import StoreFiles
from .shared_sending import StoreSending

logger = logging.getLogger("bandsaw.advices.cache")

# How long a call waits for the next bytes of an entry.
SECONDS_SILENT = 10.0
# How long a store that failed is left alone, at first and at most.
_SECONDS_AWAY = 60.0
_MOST_SECONDS_AWAY = 600.0

# The store answers, and says that it is full or not to be written to.
_NOT_AWAY = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM)

_stores: dict[str, Store] = {}


def store_of(url: str) -> Store:
    """Returns the store of this process at a URL."""
    found = _stores.get(url)
    return found if found is not None else _stores.setdefault(url, Store(url))


def key_of(folder: str, name: str) -> str:
    return f"{os.path.basename(folder)}/{name}"


def _masked(url: str) -> str:
    """Returns a URL without a password in it."""
    return re.sub(r"(//[^/@:]*):[^/@]*@", r"\1:****@", url)


class Store:
    """A store, as this process knows it."""

    def __init__(self, url: str) -> None:
        self.url = url  # where it is
        self._files = StoreFiles(url)
        self._away_until = 0.0
        self._pause = _SECONDS_AWAY
        self._told: set[str] = set()
        self.sending = StoreSending(self._files.put, self._cannot_send)

    def get(self, key: str, path: str) -> bool:
        """Copies an entry into a local file. Returns whether there is one; does not fail."""
        now = time.monotonic()
        if now < self._away_until or self._is_noted("away"):
            return False
        if self._away_until:
            # Other threads do not wait while this one tries.
            self._away_until = now + self._pause
        copy = _Copy(self._files, key, path)
        try:
            copy.wait()
        except FileNotFoundError:
            copy.is_there = False
        except PermissionError as error:
            # S3 says so of a missing key to those who may not list.
            self.tell("read", f"cannot be read: {error}")
            copy.is_there = False
        except Exception as error:
            if self._away_until:
                self._pause = min(2 * self._pause, _MOST_SECONDS_AWAY)
            self._away_until = time.monotonic() + self._pause
            self.tell("away", f"does not answer, calls go on without it: {_text(error)}")
            return False
        self._away_until, self._pause = 0.0, _SECONDS_AWAY
        return copy.is_there

    def _cannot_send(self, error: Exception, lost: int) -> None:
        what = "write" if getattr(error, "errno", None) in _NOT_AWAY else "away"
        lost_text = f"; {lost} of them are not sent" if lost else ""
        self.tell(what, f"takes no entries: {_text(error)}{lost_text}")

    def tell(self, what: str, text: str) -> None:
        """Warns, once for each kind of problem, also where each call has a process of its own."""
        is_told = what in self._told or self._is_noted(what)
        self._told.add(what)
        note = self._note(what)
        if note is not None and not is_told:
            with contextlib.suppress(OSError):
                note.touch()
                os.utime(note)
        level = logging.DEBUG if is_told else logging.WARNING
        logger.log(level, "The shared store %s %s", _masked(self.url), text)

    def _note(self, what: str) -> Optional[Path]:
        """The file by which processes that are started for calls tell each other of a problem."""
        if not modules.is_far_end:
            return None
        try:
            folder = kept_folder("stores")
        except KeptFolderError:
            return None
        return folder / f"{sha256(self.url.encode()).hexdigest()[:32]}-{what}"

    def _is_noted(self, what: str) -> bool:
        note = self._note(what)
        if note is None:
            return False
        try:
            return 0 <= time.time() - note.stat().st_mtime < _SECONDS_AWAY
        except OSError:
            return False

    def is_read_by(self, serializer: Any) -> bool:
        """Says whether entries that others wrote may be read, and warns once if not."""
        if getattr(serializer, "is_signed", False) is True or isinstance(
            serializer, JsonSerializer
        ):
            return True
        self.tell(
            "refused",
            f"is not read: others can write there, and to read an entry with {serializer!r} may "
            "run what they wrote. Use PickleSerializer(key=...), which reads only what was signed, "
            "or JsonSerializer(), or CachingAdvice(..., shared_trusted=True) if you trust all who "
            "can write there.",
        )
        return False

    def cannot_use(self, folder: str, name: str, error: Exception) -> None:
        """Warns of an entry; once if it is not signed with the key: others may not be, either."""
        why = str(error) or type(error).__name__
        text = f"The entry {key_of(folder, name)} is not used: {why}"
        if isinstance(error, SignatureError):
            self.tell("key", f"has entries that cannot be read with the key here. {text}")
        else:
            logger.warning("%s (%s)", text, _masked(self.url))

    def send(self, folder: str, name: str) -> None:
        """Sends a local entry, in the background if there is time for it."""
        if self._is_noted("away"):
            return
        self._files.load()
        self.sending.send(f"{folder}{os.sep}{name}", key_of(folder, name))

    @contextlib.contextmanager
    def copied(self, folder: str, name: str, is_kept: bool) -> Iterator[Optional[LocalCopy]]:
        """Has a copy of an entry in a local file, which is removed if it is not kept."""
        copy = LocalCopy(folder, name, is_kept)
        try:
            is_there = self.get(key_of(folder, name), copy.path)
            if is_there:
                # Some drivers make another file.
                os.chmod(copy.path, 0o600)
            yield copy if is_there else None
        finally:
            copy.close()


class LocalCopy:
    """A local file that an entry is copied into."""

    def __init__(self, folder: str, name: str, is_kept: bool) -> None:
        self._target = f"{folder}{os.sep}{name}"
        self._temporary: Optional[computation_locks.Temporary] = None
        if is_kept:
            try:
                self._temporary = computation_locks.separate(folder, name)
            except (OSError, owned_files.DamagedEntryError) as error:
                logger.debug("Nothing is kept in %s: %s", folder, error)
        if self._temporary is not None:
            self.path = self._temporary.temporary
        else:
            descriptor, self.path = tempfile.mkstemp(suffix=computation_locks.SUFFIX)
            os.close(descriptor)

    def keep(self, made: float) -> bool:
        """Makes the copy the local entry, as old as the entry is. Returns whether it is."""
        if self._temporary is None:
            return False
        now = time.time()
        os.utime(self.path, (now, min(made, now)))
        self._temporary.rename()
        return True

    def close(self) -> None:
        if self._temporary is not None:
            self._temporary.close()
        else:
            with contextlib.suppress(OSError):
                os.unlink(self.path)


class _Copy:
    """A copy on its way into a local file, in a thread of its own: a driver may wait for ever."""

    def __init__(self, source: StoreFiles, key: str, path: str) -> None:
        self._source = source
        self._key = key
        self._path = path
        self._error: Optional[BaseException] = None
        self._is_left = False
        self.is_there = True

    def wait(self) -> None:
        """Waits for the copy, as long as bytes arrive."""
        # A busy machine takes long to load a driver, and nothing can arrive before that.
        self._source.load()
        thread = threading.Thread(target=self._run, name="bandsaw-shared-read", daemon=True)
        seen = self._state()
        thread.start()
        while True:
            thread.join(SECONDS_SILENT)
            if not thread.is_alive():
                break
            state = self._state()
            if state == seen:
                self._is_left = True
                raise TimeoutError(f"nothing arrived in {SECONDS_SILENT:g} seconds")
            seen = state
        if self._error is not None:
            # Its traceback would keep the call's frames alive.
            raise self._error.with_traceback(None)

    def _run(self) -> None:
        try:
            self._source.get(self._key, self._path)
        except BaseException as error:
            self._error = error
        if self._is_left:
            with contextlib.suppress(OSError):
                os.unlink(self._path)

    def _state(self) -> Any:
        try:
            status = os.stat(self._path)
        except OSError:
            return None
        return status.st_size, status.st_mtime_ns, getattr(status, "st_blocks", 0)


def _text(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
