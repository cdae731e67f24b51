"""The context: state that advices keep on a session."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, Optional

from .serialization.values import SerializableValue


class Context(SerializableValue, MutableMapping[str, Any]):
    """Key-value state that advices keep on a session. It travels with the session.

    Args:
        attributes: The state to begin with, by default none.

    Attributes:
        attributes: The dict behind the mapping.
    """

    __slots__ = ("attributes",)

    def __init__(self, attributes: Optional[dict[str, Any]] = None) -> None:
        self.attributes: dict[str, Any] = {} if attributes is None else attributes

    def __getitem__(self, key: str) -> Any:
        return self.attributes[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.attributes[key] = value

    def __delitem__(self, key: str) -> None:
        del self.attributes[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self.attributes)

    def __len__(self) -> int:
        return len(self.attributes)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Context):
            return NotImplemented
        return self.attributes == other.attributes

    __hash__ = None  # type: ignore[assignment]  # mutable, as a dict is

    def __repr__(self) -> str:
        return f"Context({self.attributes!r})"

    def serialized(self) -> dict[str, Any]:
        """Returns `attributes`."""
        return {"attributes": self.attributes}

    def __reduce__(self) -> Any:
        return type(self), (self.attributes,)

    @classmethod
    def deserialize(cls, values: Mapping[str, Any]) -> Context:
        """Makes a context from what `serialized` returned."""
        return cls(values["attributes"])
