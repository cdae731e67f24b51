"""The classes that a class knows though its body does not name them."""

from __future__ import annotations

import abc
import sys
from typing import Any

from .firstparty import is_first_party
from .kinds import attributes_of, module_of, mro_of, qualname_of

SUBCLASSES = "__subclasses__"  # what code reads that asks for all of them


def registered_with(cls: type) -> tuple[type, ...]:
    """Returns the classes that were registered with an abstract base class."""
    if "_abc_impl" not in attributes_of(cls) or _asks_for_attributes(type(cls)):
        return ()
    registry = abc._get_dump(cls)[0]  # type: ignore[attr-defined]
    living = (reference() for reference in registry)
    return tuple(sorted((each for each in living if each is not None), key=id))


def subclasses_of(cls: type) -> tuple[type, ...]:
    """Returns the direct subclasses of the project that can be found by their names."""
    found: list[type] = type.__subclasses__(cls)
    return tuple(sorted(filter(_is_found_by_name, found), key=qualname_of))


def kin_of(cls: type) -> tuple[type, ...]:
    """Returns all of them, to compare them later."""
    return (*registered_with(cls), cls, *subclasses_of(cls))


def _is_found_by_name(cls: type) -> bool:
    # What a decorator has replaced lives until Python collects it.
    found: Any = sys.modules.get(module_of(cls))
    for name in qualname_of(cls).split("."):
        found = attributes_of(found).get(name)
    return found is cls and is_first_party(module_of(cls))


def _asks_for_attributes(kind: type) -> bool:
    return any("__getattribute__" in attributes_of(base) for base in mro_of(kind)[:-1]
               if is_first_party(module_of(base)))  # fmt: skip
