"""Objects and classes with attributes, and what these were when an id was made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .first_values import MISSING
from .firstparty import is_first_party, is_standard_library
from .kinds import (
    Member,
    attributes_of,
    is_a,
    is_one,
    kind_of,
    members_of,
    memos_of,
    module_of,
    mro_of,
    reader_of,
    state_of,
)


class Owner:
    """Something with attributes, and what they were.

    Attributes:
        owner: A class, or an object.
        state: Its attributes by their names, without what its methods keep of what they compute.
        is_foreign: Whether its class is not of the project: nobody reads what its methods change.
        left_out: The names of attributes that do not count.
    """

    __slots__ = ("_kind", "_members", "_read", "is_foreign", "left_out", "owner", "state")

    def __init__(self, owner: Any, is_foreign: bool, left_out: frozenset[str]) -> None:
        is_class = is_a(owner, type)
        self.owner = owner
        self.is_foreign = is_foreign
        self._kind = kind_of(owner)
        self._members: tuple[Member, ...] = () if is_class else members_of(type(owner))
        self.left_out = left_out if is_class else memos_of(type(owner)) | left_out
        self._read = attributes_of if is_class else reader_of(type(owner))
        self.state: Mapping[str, Any] = dict(self.now())

    def now(self) -> Mapping[str, Any]:
        """Returns its attributes as they are now."""
        if not self._members and not self.left_out:
            try:
                return self._read(self.owner)
            except (AttributeError, TypeError):
                return attributes_of(self.owner)  # its class has other bases now
        state = state_of(self.owner, self._members)
        return {name: value for name, value in state.items() if name not in self.left_out}

    def anew(self) -> Owner:
        return Owner(self.owner, self.is_foreign, self.left_out)

    def is_set_by_base(self, name: str) -> bool:
        """Says whether an attribute is new that an installed base of a class may have set there."""
        if name[:1] != "_" or name in self.state or not is_a(self.owner, type):
            return False
        homes = [module_of(base) for base in mro_of(self.owner)]
        return not all(is_first_party(home) or is_standard_library(home) for home in homes)

    def has_other_kind(self) -> bool:
        """Says whether it has another class, or other bases, than it had."""
        return kind_of(self.owner) is not self._kind

    def is_same(self) -> bool:
        return not self.has_other_kind() and has_same(self.now(), self.state)


def has_same(now: Mapping[str, Any], known: Mapping[str, Any]) -> bool:
    """Says whether attributes have the values that they had."""
    if len(now) != len(known):
        return False
    for name, value in known.items():
        found = now.get(name, MISSING)
        if found is not value and not is_one(found, value):
            return False
    return True
