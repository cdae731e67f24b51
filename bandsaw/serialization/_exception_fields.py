"""What exceptions hold in their C structure, beside `args` and `__dict__`: `errno`, `code`, ...

The fields are found in the built-in classes, so that those which a newer Python adds are kept too.
"""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping
from typing import Any

from ..errors import DeserializationError
from ._classes import is_static

# `obj` of an AttributeError is whatever had no such attribute: a module, a session, anything.
_NOT_FIELDS = frozenset(vars(BaseException)) | {"obj", "exceptions", "message"}
_UNICODE_ERRORS = (UnicodeEncodeError, UnicodeDecodeError, UnicodeTranslateError)


def static_base(cls: type) -> type:
    """Finds the built-in exception class that a class is derived from.

    Args:
        cls: The class of an exception.

    Returns:
        The built-in class that gives instances their layout: its `__new__` makes them.
    """
    while not is_static(cls):
        assert cls.__base__ is not None
        cls = cls.__base__
    return cls


@functools.cache
def _fields(base: type) -> tuple[tuple[str, Any], ...]:
    kinds = (types.MemberDescriptorType, types.GetSetDescriptorType)
    return tuple(
        (name, member)
        for owner in base.__mro__
        for name, member in vars(owner).items()
        if isinstance(member, kinds) and name not in _NOT_FIELDS and owner is not object
    )


def fields_of(error: BaseException) -> dict[str, Any]:
    """Gives the fields of an exception that are set.

    Args:
        error: The exception.

    Returns:
        The values by the names of the fields.
    """
    fields = {}
    for name, member in _fields(static_base(type(error))):
        try:
            value = member.__get__(error)
        except (AttributeError, TypeError):
            continue
        if value is not None:
            fields[name] = value
    return fields


def set_fields(error: BaseException, fields: Mapping[str, Any]) -> None:
    """Sets the fields of an exception.

    Args:
        error: An exception that was made without arguments.
        fields: What `fields_of` returned, maybe on another version of Python.

    Raises:
        DeserializationError: If a field has a value that it cannot have.
    """
    members = dict(_fields(static_base(type(error))))
    known = {name: value for name, value in fields.items() if name in members}
    if isinstance(error, _UNICODE_ERRORS):
        if "object" not in known:
            return
        _check_unicode_fields(error, known)
    for name, value in known.items():
        try:
            members[name].__set__(error, value)
        except AttributeError:
            continue
        except TypeError as reason:
            raise DeserializationError(f"{name} of a {type(error).__name__}: {reason}") from reason


def _check_unicode_fields(error: BaseException, fields: Mapping[str, Any]) -> None:
    # Their `__str__` looks into the object at `start` without a check of its own.
    kind = bytes if isinstance(error, UnicodeDecodeError) else str
    if not (
        isinstance(fields["object"], kind)
        and type(fields.get("start")) is int
        and fields["start"] >= 0
        and type(fields.get("end")) is int
        and isinstance(fields.get("reason"), str)
        and isinstance(fields.get("encoding", ""), str)
    ):
        raise DeserializationError(f"The fields of a {type(error).__name__} do not fit together")
