"""Finds each `bandsaw.File` in a value that crosses to another process, or that is kept.

    near: Outward ── came ─────► far: notes which files are the caller's
    near: Arriving ◄─ arrived ── far: Homeward, puts copies of the others into the run's folder

A serializer asks each `File` how it is to be made again (`File.__reduce__`). While one of these
objects is entered, it answers for the files that this thread comes across.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Callable, Optional

from .. import modules
from .._file import File, FileCarrier
from .._system.importing import late_import
from ..errors import FileTravelError, MissingFileError

# Most calls have no files: what it takes to carry some is imported for the first one.
if TYPE_CHECKING:
    from .crossing import Sent


class _OfThread(threading.local):
    """Of the call that a thread runs: an executor's worker may run several at once."""

    def __init__(self) -> None:
        # The files that came with the arguments, and what the caller calls them.
        self.came: dict[str, str] = {}
        # Those with paths of the caller, which mean others where a task changes its directory.
        self.given: dict[int, File] = {}
        # The files that another process has put into the folder of the run, for the caller.
        self.passing: set[str] = set()


_here = _OfThread()
# In a far end on another machine: where contents are kept that were sent there.
_kept_in = ""
# Keys of contents for which a session has other names, see `crossing.Sent`.
_keys: Mapping[str, str] = {}
# In a far end below an executor's worker: whether the caller's paths mean the same files here, and
# if not, the path of a session beside which a bundle of the files that are returned is made.
_is_seen = False
back: Optional[str] = None
# Whether the other side fetches what is returned, which takes it no longer than the call.
is_fetched = False


def tell(folder: str) -> None:
    """Says where contents are kept that were sent here."""
    global _kept_in
    _kept_in = folder


def take_over(content: Mapping[str, Any]) -> None:
    """Takes over what a far end is told about files."""
    global is_fetched, _is_seen, _keys, back
    is_fetched = content.get("is_fetched", is_fetched)
    _is_seen, back = content.get("files_seen", True), content.get("files_back")
    _keys = content.get("files_keys", {})
    if "files_folder" in content:
        tell(content["files_folder"])


def forget() -> None:
    _here.came.clear()
    _here.given.clear()
    _here.passing.clear()


def pass_on(path: str) -> None:
    """Notes that a file lies in the folder of the run already, for the caller."""
    if modules.is_far_end:
        _here.passing.add(path)


class Outward(FileCarrier):
    """A call goes to another process on this machine: nothing is copied."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def carried(self, file: File) -> tuple[Any, ...]:
        self._checked(file)
        return came, (file.path, file.to)

    def _checked(self, file: File) -> str:
        """Checks that contents agree with the id that was made of them; returns their digest."""
        if getattr(self._session.execution, "_execution_id", None) is None:
            return ""
        return check_is_same(file)


def check_is_same(file: File) -> str:
    """Refuses a file with other contents than its id was made of. Returns their digest."""
    seen = file._seen
    if seen is None:
        return ""
    with late_import:
        from .._system import file_contents, trees

    stamps, digest = seen
    path = file.path
    if trees.stamps_of(path) != stamps and bytes.fromhex(file_contents.digest_of(path)) != digest:
        raise FileTravelError(
            f"The contents of {file!r} have changed between the id of the call and the call. Do "
            "not write to a file, or into a folder, while a call that gets it is under way. A "
            "cache or the file of a recorder in the folder is written to as well."
        )
    return digest.hex()


def came(path: str, to: Optional[str]) -> File:
    """Makes a file of the caller's."""
    _here.came[os.path.abspath(path)] = path
    file = File(path, to)
    _here.given[id(file)] = file
    return file


class Sending(Outward):
    """A call goes to another machine."""

    def __init__(self, session: Any, is_late: bool = False) -> None:
        super().__init__(session)
        self._is_late = is_late
        self.files: dict[str, Sent] = {}  # what has to be there before the call

    def carried(self, file: File) -> tuple[Any, ...]:
        with late_import:
            from .crossing import Sent

        digest = self._checked(file)

        path = os.path.abspath(file.path)
        if path not in self.files:
            self.has_files = True
            self.files[path] = Sent(path, digest, self._is_late)
        sent = self.files[path]
        return came_along, (sent.called, sent.name, file.path, file.to)


def came_along(key: str, name: str, path: str, to: Optional[str]) -> File:
    """Makes a file whose contents were sent here. `path`: what the caller calls it."""
    with late_import:
        from . import kept

    here = kept.path_of(_kept_in, _keys.get(key, key), name)
    _here.came[here] = path
    return File(here, to)


class Delivering(Sending):
    """A call goes to a process that may see the same files as this one, or not."""

    def carried(self, file: File) -> tuple[Any, ...]:
        return delivered, (os.path.abspath(file.path), *super().carried(file)[1])


class Pointing(Outward):
    """A call goes to a process that has to see the same files as this one: nothing is sent."""

    def carried(self, file: File) -> tuple[Any, ...]:
        super().carried(file)
        return delivered, (os.path.abspath(file.path), "", "", file.path, file.to)


def delivered(here: str, key: str, name: str, path: str, to: Optional[str]) -> File:
    """Makes a file of the caller's, which is seen here under a path, or was sent."""
    if not _is_seen:
        if not _kept_in:
            raise FileTravelError(
                f"{path!r} is not sent to an executor's worker that runs calls itself, or belongs "
                "to a pool of this machine, and this one sees other files than the caller: use "
                "ExecutorAdvice(isolate=True)."
            )
        return came_along(key, name, path, to)
    _here.came[here] = path
    return File(here, to)


class _Returning(FileCarrier):
    """Puts files into the folder of the run. Where the value fails, it leaves none there."""

    def __init__(self, session: Any) -> None:
        self._session = session
        self._placed: list[str] = []

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        if self._placed and (kind is not None or self._failure is not None):
            from . import destinations

            for path in self._placed:
                destinations.remove(path)
        super().__exit__(kind, error, traceback)


class Homeward(_Returning):
    """A call goes back to where it came from."""

    _copies: Optional[dict[tuple[str, Optional[str]], str]] = None

    def carried(self, file: File) -> tuple[Any, ...]:
        path = os.path.abspath(file.path)
        if _here.given.get(id(file)) is file:
            return File, (file.path, file.to)
        if path in _here.came:
            return File, (_here.came[path], file.to)
        # Values may be written more than once.
        copies = self._copies = {} if self._copies is None else self._copies
        key = path, file.to
        if key not in copies:
            try:
                self._check_is_free(file)
                copies[key] = self.copied(path)
            except OSError:
                # An exception arrives also without the files in it.
                if getattr(self._session.result, "exception", None) is not None:
                    return File, (file.path, file.to)
                raise
        return arrived, (copies[key], file.to)

    def _check_is_free(self, file: File) -> None:
        """Refuses what would replace another file of the result, before any arrives."""
        if file.to is not None:
            taken = [filled(to, path) for path, to in self._copies or () if to is not None]
            check_is_free(filled(file.to, file.path), taken)

    def copied(self, path: str) -> str:
        """Copies a file to where the other side finds it. Returns what it is called there."""
        if path in _here.passing:
            return path
        with late_import:
            from . import destinations

        copy = destinations.new_place(os.path.basename(path), self._session.nonce)
        # The next call comes when it was fetched.
        try:
            destinations.copy(path, copy, is_linked=is_fetched)
        except BaseException as error:
            destinations.remove(copy)
            if not isinstance(error, MissingFileError):
                raise
            raise MissingFileError(
                f"{error} A file in a result has to be there until its task has returned: not in a "
                "temporary folder that the task itself removes."
            ) from error.__cause__
        self._placed.append(copy)
        return copy


class Arrived(_Returning):
    """A call comes back; `get` copies a file of the other machine, by default of this one."""

    _files: Optional[dict[tuple[str, Optional[str]], File]] = None

    def __init__(self, session: Any, get: Optional[Callable[[str, str], None]] = None) -> None:
        super().__init__(session)
        self._get = get

    def arrived(self, path: str, to: Optional[str]) -> File:
        """Has a file be where it is to arrive. A value may have it several times."""
        files = self._files = {} if self._files is None else self._files
        if (path, to) not in files:
            files[path, to] = self._brought(path, to)
        return files[path, to]

    def _brought(self, path: str, to: Optional[str]) -> File:
        with late_import:
            from . import destinations

        if self._get is not None:
            here = destinations.new_place(os.path.basename(path))
            self._placed.append(here)
            self._get(path, here)
            path = here
        elif not os.path.lexists(path):
            raise FileTravelError(
                f"{path!r} was returned, and is not there: the process that has put it there sees "
                "other files than this one."
            )
        if "_ids" in self._session.__dict__:
            # One that was restored here goes on to another process.
            _here.passing.add(path)
            return File(path, to)
        target = path
        if to is not None:
            place = filled(to, path)
            target = destinations.below(os.getcwd(), place)
            check_is_free(target, [file.path for file in (self._files or {}).values()])
            destinations.move(path, target)
            to = destinations.settled(to, place)
        elif self._get is None:
            target = destinations.taken_over(path)
        known = self._session.facts.get("returned_files")  # the task may have noted something
        self._session.facts["returned_files"] = [*(known if type(known) is list else ()), target]
        return File(target, to)


def check_is_free(target: str, taken: Iterable[str]) -> None:
    """Refuses a place where another file of the same value is, and one in or above it."""
    for path in taken:
        one, other = os.path.normpath(path) + os.sep, os.path.normpath(target) + os.sep
        if one.startswith(other) or other.startswith(one):
            raise FileTravelError(
                f"Two files of one result arrive at {path!r} and {target!r}, where one would "
                "replace the other: give each File a 'to' of its own."
            )


def filled(to: str, path: str) -> str:
    """Puts the name of a file into the path where it is to arrive."""
    return to.replace("{name}", os.path.basename(os.path.abspath(path)))


def arrived(path: str, to: Optional[str]) -> File:
    """Makes a file that another process has put into the folder of the run."""
    carrier = FileCarrier.current()
    if not isinstance(carrier, Arrived):
        return File(path, to)
    if carrier._get is None:
        carrier._placed.append(path)
    return carrier.guarded(lambda: carrier.arrived(path, to), File(path, to))
