"""The result of a task: a value or an exception."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional

from .serialization.values import SerializableValue

_HASHED_TYPES = (int, float, complex, str, bool, type(None))


class Result(SerializableValue):
    """What a task returned or raised.

    Results are equal if their values are equal and their exceptions have the same type and
    arguments.

    Args:
        value: What was returned.
        exception: What was raised, `None` if the task returned.

    Attributes:
        value: What was returned.
        exception: What was raised, `None` if the task returned.
    """

    __slots__ = ("_raised", "exception", "value")

    def __init__(self, value: Any = None, exception: Optional[BaseException] = None) -> None:
        self.value = value
        self.exception = exception
        if exception is not None:
            given: Any = exception
            if not isinstance(given, BaseException):
                from .errors import AdviceResultError

                raise AdviceResultError(f"Result(exception={exception!r}): that is no exception.")
            self._raised = (exception, exception.__traceback__)

    def __reduce__(self) -> Any:
        return type(self), (self.value, self.exception)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Result):
            return NotImplemented
        mine, theirs = self.exception, other.exception
        if mine is None or theirs is None:
            return mine is theirs and _equal(self.value, other.value)
        return (
            type(mine) is type(theirs)
            and _equal(mine.args, theirs.args)
            and _equal(self.value, other.value)
        )

    def __hash__(self) -> int:
        # Values of other types may equal one whose hash differs or that has none: a set equals a
        # frozenset, a bytearray equals bytes.
        value = self.value if type(self.value) in _HASHED_TYPES else None
        return hash((type(self.exception), value))

    def __repr__(self) -> str:
        if self.exception is not None:
            return f"Result(exception={self.exception!r})"
        return f"Result(value={self.value!r})"

    def serialized(self) -> dict[str, Any]:
        """Returns `value` and `exception`."""
        return {"value": self.value, "exception": self.exception}

    @classmethod
    def deserialize(cls, values: Mapping[str, Any]) -> Result:
        """Makes a result from what `serialized` returned."""
        return cls(value=values["value"], exception=values["exception"])


def traceback_of(result: Any) -> Any:
    """Returns the traceback that the exception of a result had when the result was made.

    Raised any number of times with it, an exception shows the way to where it was raised first, and
    does not collect the ways of the other times.

    Args:
        result: A result with an exception.

    Returns:
        The traceback; of an exception that was assigned later, the one it has.
    """
    exception, traceback = getattr(result, "_raised", (None, None))
    return traceback if exception is result.exception else result.exception.__traceback__


def _equal(one: Any, other: Any) -> bool:
    if one is other:
        return True
    try:
        return bool(one == other)
    except ValueError:
        # Arrays compare element by element and refuse to be one truth value.
        from .fingerprint import digest_of_value

        return digest_of_value(one) == digest_of_value(other)
