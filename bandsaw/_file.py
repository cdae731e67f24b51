"""A file as an argument, a result or a dependency, counted by what it contains."""

from __future__ import annotations

import contextlib
import copyreg
import os
import threading
from typing import Any, Callable, Optional, TypeVar, Union

_Made = TypeVar("_Made")
_Self = TypeVar("_Self", bound="FileCarrier")
_thread = threading.local()


class FileCarrier:
    """Answers for the files in a value that this thread writes or reads. Not for users.

    Serializers explain their errors in many ways. The first error that concerns a file is kept, and
    raised at the end in place of what they made of it.

    Attributes:
        has_files: Whether there are files that have to be sent before the value.
    """

    # On the class, because each call makes some, and few find a file.
    _failure: Optional[BaseException] = None
    has_files = False
    # Whether values that are read may have files in them.
    takes_files = True

    def __enter__(self: _Self) -> _Self:
        self._before = getattr(_thread, "carrier", None)
        _thread.carrier = self
        return self

    def __exit__(self, kind: Any, error: Any, traceback: Any) -> None:
        _thread.carrier = self._before
        if self._failure is not None and (kind is None or issubclass(kind, Exception)):
            raise self._failure from None

    @staticmethod
    def check() -> None:
        """Raises the error that this thread's carrier has kept, before more is done."""
        carrier = FileCarrier.current()
        if carrier is not None and carrier._failure is not None:
            raise carrier._failure

    @staticmethod
    def current() -> Optional[FileCarrier]:
        """Returns the one that this thread has entered last."""
        return getattr(_thread, "carrier", None)

    def carried(self, file: File) -> tuple[Any, ...]:
        """Says how a file is to be made again: a function and its arguments."""
        return File, (file.path, file.to)

    def guarded(self, make: Callable[[], _Made], otherwise: _Made) -> _Made:
        """Makes something, or keeps the error."""
        if self._failure is None:
            try:
                return make()
            except Exception as error:
                self._failure = error
        return otherwise


def _text(path: Any) -> Any:
    return os.fspath(path) if isinstance(path, os.PathLike) else path


def _is_below(to: Any) -> bool:
    if not isinstance(to, str) or os.path.isabs(to):
        return False
    parts = to.replace("\\", "/").split("/")
    rest = to.replace("{name}", "")
    return not ({"..", ".", ""} & set(parts) or {"{", "}", "\0"} & set(rest))


class File:
    """A path whose file or folder counts by its contents, and travels with the calls of tasks.

    As an argument it is there wherever the task runs, under a path of that machine. In what a task
    returns, it arrives where the caller is: in a folder of the run's own, or where `to` says. A
    folder is a file with all that is in it. See the how-to "files in and out of tasks".

    Attributes:
        path: The path as it was given, as a string.
        to: Where it arrives when a task in another process returns it, or `None`.

    Args:
        path: The path of a file or folder. It need not exist until it is needed.
        to: Where a returned one is put at the caller: a path below its working directory, in which
            `{name}` stands for the name of the file. What is there is replaced.

    Raises:
        InvalidValueError: If `path` or `to` cannot be a path, or `to` is absolute or has `..` in it
            (a `ValueError`).
    """

    __slots__ = ("_plain", "_seen", "path", "to")

    path: str
    to: Optional[str]
    # Stamps and digest of the contents when an id was made of it.
    _seen: Optional[tuple[Any, bytes]]
    # What stands for one of a derived class in ids and in data.
    _plain: Optional[File]

    def __init__(
        self,
        path: Union[str, os.PathLike[str]],
        to: Union[str, os.PathLike[str], None] = None,
    ) -> None:
        path, to = _text(path), _text(to)
        if not isinstance(path, str) or not path or "\0" in path:
            from .errors import InvalidValueError

            raise InvalidValueError(f"File({path!r}): that cannot be a path.")
        object.__setattr__(self, "path", path)
        if to is not None and not _is_below(to):
            from .errors import InvalidValueError

            raise InvalidValueError(
                f"File(..., to={to!r}): that has to be a path below the working directory of the "
                "caller, without '.' and '..', and with no name in braces but {name}"
            )
        object.__setattr__(self, "to", to)
        object.__setattr__(self, "_seen", None)
        object.__setattr__(self, "_plain", None)

    def __fspath__(self) -> str:
        return self.path

    # As of a `Path`: not everything that takes a path knows `os.fspath`.
    __str__ = __fspath__

    def __eq__(self, other: object) -> bool:
        return self.path == other.path if isinstance(other, File) else NotImplemented

    def __hash__(self) -> int:
        return hash((File, self.path))

    def __repr__(self) -> str:
        to = "" if self.to is None else f", to={self.to!r}"
        return f"File({self.path!r}{to})"

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a File cannot be changed: {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a File cannot be changed: {name!r}")

    def __reduce__(self) -> tuple[Any, ...]:
        if type(self) is not File:
            if self._plain is None:
                object.__setattr__(self, "_plain", File(self.path, self.to))
            names = set(copyreg._slotnames(type(self))).difference(File.__slots__)  # type: ignore
            slots = {name: getattr(self, name) for name in sorted(names) if hasattr(self, name)}
            made_of = type(self), self._plain, *([slots] if slots else [])
            return _derived, made_of, getattr(self, "__dict__", None)
        plain = File, (self.path,) if self.to is None else (self.path, self.to)
        carrier = FileCarrier.current()
        return plain if carrier is None else carrier.guarded(lambda: carrier.carried(self), plain)

    def digest(self) -> bytes:
        """Reads the contents.

        Returns:
            The SHA-256 of the contents of a file. For a folder that of the names, kinds and
            contents of all that is in it.

        Raises:
            IdentityError: It cannot be read. If there is nothing, a `MissingFileError`.
        """
        from ._system import file_contents, trees
        from .errors import FileTravelError, IdentityError, MissingFileError

        try:
            stamps = trees.stamps_of(self.path)
            digest = bytes.fromhex(file_contents.known_digest_of(self.path, is_read=True))
        except FileTravelError as error:
            kind, reason, where = IdentityError, str(error), ""
            if not os.path.isabs(self.path):
                with contextlib.suppress(OSError):  # the working directory was removed
                    where = f" in the working directory, {os.getcwd()}"
            if isinstance(error, MissingFileError):
                kind, reason = MissingFileError, f"it does not exist{where}"
            what = f"The contents of {self!r} cannot be read: {reason}"
            raise kind(what) from error.__cause__
        object.__setattr__(self, "_seen", (stamps, digest))
        return digest


def _derived(cls: type[File], plain: File, slots: Optional[dict[str, Any]] = None) -> File:
    file = object.__new__(cls)
    File.__init__(file, plain.path, plain.to)
    # Carriers know the plain one.
    for name, value in {"_plain": plain, **(slots or {})}.items():
        object.__setattr__(file, name, value)
    return file
