"""A file as an argument or a dependency, counted by what it contains."""

from __future__ import annotations

import os
from typing import Any, Union

_CHUNK = 1 << 20


class File:
    """A path whose file counts by its contents, not by its name.

    Attributes:
        path: The path as it was given, as a string.

    Args:
        path: The path of a file. It need not exist until an id is made of it.
    """

    __slots__ = ("path",)

    path: str

    def __init__(self, path: Union[str, os.PathLike[str]]) -> None:
        object.__setattr__(self, "path", os.fspath(path))

    def __fspath__(self) -> str:
        return self.path

    def __eq__(self, other: object) -> bool:
        return self.path == other.path if isinstance(other, File) else NotImplemented

    def __hash__(self) -> int:
        return hash((File, self.path))

    def __repr__(self) -> str:
        return f"File({self.path!r})"

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"a File cannot be changed: {name!r}")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a File cannot be changed: {name!r}")

    def __reduce__(self) -> tuple[type[File], tuple[str]]:
        return type(self), (self.path,)

    def digest(self) -> bytes:
        """Reads the file.

        Returns:
            The SHA-256 of its contents.

        Raises:
            IdentityError: The file is missing or cannot be read.
        """
        from hashlib import sha256

        digest = sha256()
        buffer = memoryview(bytearray(_CHUNK))
        try:
            with open(self.path, "rb", buffering=0) as stream:
                while True:
                    count = stream.readinto(buffer)
                    if not count:
                        return digest.digest()
                    digest.update(buffer[:count])
        except OSError as error:
            from .errors import IdentityError

            reason = "does not exist" if isinstance(error, FileNotFoundError) else str(error)
            raise IdentityError(f"the contents of {self!r} cannot be read: {reason}") from error
