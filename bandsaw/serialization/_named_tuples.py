"""The classes of named tuples that arrive."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, Callable

from ..errors import DeserializationError
from ._classes import find_class


def named_tuple_class(
    module: str,
    name: str,
    fields: tuple[str, ...],
    trusted_modules: Sequence[str],
    is_named_tuple_class: Callable[[type], bool],
) -> Any:
    """Finds the class of a named tuple, or makes one.

    Args:
        module: The module of the class.
        name: Its qualified name there.
        fields: The fields that the data has.
        trusted_modules: Modules that may be imported for this.
        is_named_tuple_class: Tells a named tuple's class from any other.

    Returns:
        The class of that name, or a fresh one of that name, fields and module, the same one each
        time, when there is none.

    Raises:
        DeserializationError: If the name is that of something else than a named tuple with these
            fields.
    """
    if not all(type(field) is str for field in fields):
        raise DeserializationError("The fields of a named tuple are not strings")
    cls: Any = find_class(module, name, trusted_modules)
    if cls is None:
        return _fresh_class(module, name, fields)
    if not is_named_tuple_class(cls):
        raise DeserializationError(f"{module}.{name} is not a named tuple")
    if cls._fields != fields:
        raise DeserializationError(
            f"The named tuple {module}.{name} has the fields {list(cls._fields)} here, but "
            f"{list(fields)} in the data"
        )
    return cls


@functools.cache
def _fresh_class(module: str, name: str, fields: tuple[str, ...]) -> Any:
    import collections

    cls: Any = collections.namedtuple(name.rpartition(".")[2], fields, module=module)  # type: ignore[misc]
    cls.__qualname__ = name
    return cls
