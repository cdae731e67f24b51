"""Objects that keep their state out of sight: written anew to see whether they are the same."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any, Optional

from .held_contents import MOST_BYTES
from .kinds import is_a
from .stored import is_of_the_user

Write = Callable[[Any], Optional[bytes]]


class Whole:
    """Something that is written as a whole, as `pickle` writes it.

    Two pickles of equal tables may differ. Then what counts is written. `has_more`: whether
    more counts than is in a pickle.
    """

    __slots__ = ("_pickled", "_write", "_written", "value")

    def __init__(self, value: Any, write: Write, has_more: bool) -> None:
        self.value = value
        self._write = write
        self._written = write(value)
        self._pickled = None if self._written is None or has_more else _pickled(value)

    def is_small(self) -> bool:
        return self._written is not None

    def is_same(self) -> bool:
        pickled = None if self._pickled is None else _pickled(self.value)
        if pickled is None or pickled != self._pickled:
            if self._write(self.value) != self._written:
                return False
            self._pickled = pickled
        return True


class Pointer:
    """Something that points to others, such as a weak reference."""

    __slots__ = ("_known", "_read", "value")

    def __init__(self, value: Any, read: Callable[[Any], tuple[Any, ...]]) -> None:
        self.value = value
        self._read = read
        self._known = read(value)

    def is_same(self) -> bool:
        now = self._read(self.value)
        return len(now) == len(self._known) and all(
            one is other for one, other in zip(now, self._known)
        )


class _OfTheUser(Exception):
    pass


class _Pickler(pickle.Pickler):
    """Pickles no object of the user's: their own code would run."""

    def reducer_override(self, value: Any) -> Any:
        if is_of_the_user(value if is_a(value, type) else type(value)):
            raise _OfTheUser
        return NotImplemented


def _pickled(value: Any) -> Optional[bytes]:
    stream, buffers = io.BytesIO(), []  # type: ignore[var-annotated]
    try:
        _Pickler(stream, 5, buffer_callback=buffers.append).dump(value)
        views = [buffer.raw() for buffer in buffers]
    except Exception:
        return None
    if stream.tell() + sum(view.nbytes for view in views) > MOST_BYTES:
        return None
    return b"".join([stream.getvalue(), *views])
