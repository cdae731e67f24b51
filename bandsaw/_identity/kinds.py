"""What a value is and holds, without running code of its own: `__class__` may be a property."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType, MemberDescriptorType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from builtins import isinstance as is_a
else:

    def is_a(value, kinds):
        """Says whether a value is of one of some classes, whatever it claims to be."""
        return issubclass(type(value), kinds)


# The name of a slot, and what reads it.
Member = tuple[str, Callable[[Any], Any]]

_mro = type.__dict__["__mro__"].__get__
_dict = type.__dict__["__dict__"].__get__


def attributes_of(owner: Any) -> Mapping[str, Any]:
    """Returns the attributes of a class or an object, without a look by any code of its own."""
    found: Any
    if is_a(owner, type):
        found = _dict(owner)
    else:
        try:
            found = object.__getattribute__(owner, "__dict__")
        except AttributeError:
            found = {}
    return found if is_a(found, (dict, MappingProxyType)) else {}


def mro_of(kind: type) -> tuple[type, ...]:
    return _mro(kind)  # type: ignore[no-any-return]


def module_of(kind: type) -> str:
    """Names the module of a class as the class has it."""
    return str(_dict(kind).get("__module__", "builtins"))


def defines(kind: type, name: str) -> bool:
    """Says whether objects of a class have an attribute by their class."""
    return any(name in _dict(base) for base in _mro(kind))


def members_of(kind: type) -> tuple[Member, ...]:
    """Finds the slots that objects of a class have."""
    return tuple(
        (name, member.__get__)
        for base in _mro(kind)
        for name, member in _dict(base).items()
        if type(member) is MemberDescriptorType and name[:2] != "__"
    )


def state_of(owner: Any, members: tuple[Member, ...]) -> dict[str, Any]:
    """Copies the attributes of a class or an object, those in slots included."""
    state = dict(attributes_of(owner))
    for name, read in members:
        try:
            state.setdefault(name, read(owner))
        except AttributeError:
            continue
    return state


__all__ = [
    "Member", "attributes_of", "defines", "is_a", "members_of", "module_of", "mro_of", "state_of"
]  # fmt: skip
