"""Exceptions as plain data, for all serializers.

An exception is a small graph: causes, contexts, members of groups, and exceptions among the
arguments and attributes refer to each other, possibly in circles. It is written as two lists:

    shapes    what has to be known to make each exception: class, message, members of a group
    contents  what is set once all are made: args, attributes, fields of the C structure, links

The first exception of both lists is the one that was described. No constructor of a user's class
runs: an exception is made by the `__new__` of the built-in class that it is derived from. Only one
with C code of its own is made by what its `__reduce_ex__` says, and only where pickles are read.
"""

from __future__ import annotations

import contextlib
import functools
import sys
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Callable

from .. import _tracebacks as tracebacks
from ..errors import DeserializationError, RemoteError, RemoteTraceback, UnserializableError
from . import _classes
from .serializer import is_exact

# Descriptors of the base: the class of an exception may define these names otherwise.
_ARGS: Any = vars(BaseException)["args"]
_CAUSE: Any = vars(BaseException)["__cause__"]
_CONTEXT: Any = vars(BaseException)["__context__"]
_SUPPRESS: Any = vars(BaseException)["__suppress_context__"]


def describe(error: BaseException, classes: list[type] | None = None) -> dict[str, Any]:
    """Takes an exception apart: shapes, contents and, if it was raised here, its traceback.

    `classes`: where the class of each shape is put.
    """
    has_to_be_found = is_exact()
    text = tracebacks.text_of(error)
    chain = {id(link) for link in _chain(error)} if text is not None else set()
    order: list[BaseException] = []
    numbers: dict[int, int] = {}

    def number(found: BaseException) -> int:
        if id(found) not in numbers:
            numbers[id(found)] = len(order)
            order.append(found)
        return numbers[id(found)]

    number(error)
    shapes: list[dict[str, Any]] = []
    contents: list[dict[str, Any]] = []
    # The list grows while it is walked: an endless chain of causes needs no recursion.
    for current in order:
        if has_to_be_found:
            _check_is_found(_classes.own_class(current))
        shapes.append(_shape(current, number))
        if classes is not None:
            classes.append(_classes.own_class(current))
        # The new traceback includes the one of an earlier crossing, which must not appear twice.
        cause = _CAUSE.__get__(current)
        if id(current) in chain and isinstance(cause, RemoteTraceback):
            cause = _CAUSE.__get__(cause)
        contents.append(_content(current, cause, number))
    parts: dict[str, Any] = {"shapes": shapes, "contents": contents}
    if text is not None:
        parts["traceback"] = text
    return parts


def _check_is_found(cls: type) -> None:
    found: Any = sys.modules.get(cls.__module__)
    for name in cls.__qualname__.split("."):
        found = getattr(found, name, None)
    if found is not cls:
        raise UnserializableError(
            f"An exception of the class {cls.__module__}.{cls.__qualname__} would not come back as "
            "one: no such class is found under that name. Move it to the top level of its module."
        )


def rebuild(parts: dict[str, Any], trusted_modules: Sequence[str] | None = ()) -> Any:
    """Makes the exception that `describe` took apart. The far traceback ends its cause chain."""
    made = make(parts["shapes"], trusted_modules)
    fill(made, parts["contents"], parts.get("traceback"))
    return made[0]


def make(
    shapes: list[dict[str, Any]], trusted_modules: Sequence[str] | None
) -> list[BaseException]:
    """Makes an exception for each shape. They hold nothing yet."""
    made: dict[int, BaseException] = {}
    pending = list(range(len(shapes)))[::-1]
    opened = set()
    while pending:
        index = pending[-1]
        members = shapes[index].get("members")
        missing = [i for i in members or () if i not in made]
        if missing and index in opened:
            raise DeserializationError("A group of exceptions contains itself")
        if missing:
            # A group cannot be changed, so its members are made first.
            opened.add(index)
            pending.extend(missing)
            continue
        pending.pop()
        if index not in made:
            group = None if members is None else [made[i] for i in members]
            made[index] = _make_one(shapes[index], group, trusted_modules)
    return [made[index] for index in range(len(shapes))]


def fill(
    made: list[BaseException], contents: list[dict[str, Any]], text: str | None = None
) -> None:
    """Gives exceptions their contents, and the first one its formatted traceback."""
    if len(made) != len(contents):
        raise DeserializationError("The parts of an exception do not belong together")
    for error, content in zip(made, contents):
        args = list(content["args"])
        state = dict(content["state"])
        for place, key, index in content["links"]:
            if place == "args":
                args[key] = made[index]
            elif place == "state":
                state[key] = made[index]
            elif place == "cause":
                _CAUSE.__set__(error, made[index])
            elif place == "context":
                _CONTEXT.__set__(error, made[index])
        if _is_stand_in(error):
            _classes.set_state(error, {**state, "type_name": vars(error)["type_name"]})
        else:
            _classes.set_state(error, state)
            _set_fields(error, content["fields"])
            made_with = _ARGS.__get__(error)[:2] if _is_group(error) else ()  # of a group
            _ARGS.__set__(error, (*made_with, *args))
            if "text" in content:
                cls: Any = type(error)
                with contextlib.suppress(TypeError):  # of built-in classes
                    cls = _classes.with_text(cls, f"{content['text']}")
                    vars(object)["__class__"].__set__(error, cls)  # not by code of the user
        _SUPPRESS.__set__(error, bool(content["suppress"]))
    if text is not None:
        _attach(made[0], RemoteTraceback(text))


def _shape(error: BaseException, number: Callable[[BaseException], int]) -> dict[str, Any]:
    cls: Any = _classes.own_class(error)
    module, name = _classes.name_of(cls)
    shape: dict[str, Any] = {
        "module": module,
        "type": name,
        "message": tracebacks.message_of(error),
    }
    if _is_group(error):
        base: Any = _static_base(type(error))
        shape["message"] = str.__str__(base.message.__get__(error))
        shape["members"] = [number(member) for member in base.exceptions.__get__(error)]
    elif not _can_be_made(cls):
        try:
            reduced: Any = error.__reduce_ex__(4)
            shape["reduced"] = [reduced[0], tuple(reduced[1])]
        except Exception:
            pass  # then it arrives as a RemoteError
    return shape


@functools.lru_cache(maxsize=256)
def _can_be_made(cls: Any) -> bool:
    """Says whether the built-in base can make exceptions of a class: not of one with its own C."""
    base: Any = _static_base(cls)
    try:
        base.__new__(cls)
    except TypeError:
        return False
    return True


def _is_group(error: BaseException) -> bool:
    return hasattr(_static_base(type(error)), "exceptions")


def _is_stand_in(error: BaseException) -> bool:
    # Only a stand-in has arguments right after it was made.
    return type(error) is RemoteError and _ARGS.__get__(error) != ()


def _content(
    error: BaseException,
    cause: BaseException | None,
    number: Callable[[BaseException], int],
) -> dict[str, Any]:
    links: list[list[Any]] = []

    def kept(place: str, key: Any, value: Any) -> Any:
        if isinstance(value, BaseException):
            links.append([place, key, number(value)])
            return None
        return value

    args = _ARGS.__get__(error)[2 if _is_group(error) else 0 :]
    content = {
        "args": [kept("args", index, value) for index, value in enumerate(args)],
        "state": {
            name: kept("state", name, value) for name, value in _classes.state_of(error).items()
        },
        "fields": _fields_of(error),
        "suppress": _SUPPRESS.__get__(error),
        "links": links,
    }
    if _classes.own_class(error) is not type(error):
        content["text"] = str(error)
    if cause is not None:
        links.append(["cause", None, number(cause)])
    context = _CONTEXT.__get__(error)
    if context is not None:
        links.append(["context", None, number(context)])
    return content


def _make_one(
    shape: dict[str, Any],
    members: list[BaseException] | None,
    trusted_modules: Sequence[str] | None,
) -> BaseException:
    module, name, message = shape["module"], shape["type"], shape["message"]
    if type(message) is not str:
        raise DeserializationError("The message of an exception is not a string")
    cls: Any = shape.get("class") if trusted_modules is None else None
    if cls is None:
        try:
            cls = _classes.find_class(module, name, trusted_modules)
        except DeserializationError as error:
            if error.__cause__ is None:
                raise  # else its module fails here, for example for syntax that is too new
    if cls is None:
        return RemoteError(message, f"{module}.{name}")
    if BaseException not in cls.__mro__:
        raise DeserializationError(f"{module}.{name} is not an exception")
    base: Any = _static_base(cls)
    args = (message, members) if hasattr(base, "exceptions") else ()
    try:
        # A class with a constructor in C code of its own is made as it says itself, which is done
        # for who may run code here only.
        if trusted_modules is None and "reduced" in shape:
            function, arguments = shape["reduced"]
            made = function(*arguments)
            if type(made) is cls:
                return made  # type: ignore[no-any-return]
        return base.__new__(cls, *args)  # type: ignore[no-any-return]
    except Exception:
        return RemoteError(message, f"{module}.{name}")


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Walks along what Python prints together with an exception, the exception first."""
    seen = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        yield link
        seen.add(id(link))
        follower = _CAUSE.__get__(link)
        if follower is None and not _SUPPRESS.__get__(link):
            follower = _CONTEXT.__get__(link)
        link = follower


def _attach(error: BaseException, text: RemoteTraceback) -> None:
    links = list(_chain(error))
    last = next((link for link in links[::-1] if _CAUSE.__get__(link) is None), links[-1])
    suppress = _SUPPRESS.__get__(last)
    # There is one already where the causes are a circle, which stays one.
    _CAUSE.__set__(text, _CAUSE.__get__(last))
    _CAUSE.__set__(last, text)
    # To set a cause changes `__suppress_context__`, which has to come back unchanged.
    _SUPPRESS.__set__(last, suppress)


# What exceptions hold in their C structure beside `args` and `__dict__` (`errno`, `code`, ...) is
# found in the built-in classes, so that fields which a newer Python adds are kept too.
# `obj` of an AttributeError may be any object, even a module or a session.
_NOT_FIELDS = frozenset(vars(BaseException)) | {"obj", "exceptions", "message"}


def _static_base(cls: type) -> type:
    """Finds the built-in exception class whose `__new__` makes instances of a class."""
    while not _classes.is_static(cls):
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


def _fields_of(error: BaseException) -> dict[str, Any]:
    fields = {}
    for name, member in _fields(_static_base(type(error))):
        try:
            value = member.__get__(error)
        except (AttributeError, TypeError):
            continue
        if value is not None:
            fields[name] = value
    return fields


def _set_fields(error: BaseException, fields: Mapping[str, Any]) -> None:
    """Sets fields that `_fields_of` gave, maybe on another version of Python."""
    members = dict(_fields(_static_base(type(error))))
    known = {name: value for name, value in fields.items() if name in members}
    if isinstance(error, (UnicodeEncodeError, UnicodeDecodeError, UnicodeTranslateError)):
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
