"""Pickling: with `_unpickling`, the part of the serializer that needs the `pickle` module."""

from __future__ import annotations

import copyreg
import operator
import pickle
import sys
import types
from typing import Any

from ..errors import UnserializableError
from ..modules import main_module_name
from . import _classes, _exceptions
from ._paths import find_culprit, short_repr
from ._unpickling import find_global, unpickled

__all__ = ["find_global", "pickled", "pickled_with_buffers", "unpickled"]

_PROTOCOL = 5
# A frame ends with the first value behind 64 KiB, and values that are as long stand alone.
_LONGEST_FRAME = 1 << 18
# The names of the script's module as pickle writes them.
_WRITTEN_NAMES = [b"\x8c" + bytes([len(name)]) + name.encode() for name in _classes.MAIN_NAMES]
_BY_NAME = (type, types.FunctionType)
_NODES = "_bandsaw_nodes"


class _Chunks(list[bytes]):
    """A stream that keeps what the pickler writes, large `bytes` as the very objects they are."""

    write = list.append


def pickled(value: Any) -> list[bytes]:
    """Pickles a value.

    Args:
        value: Any value.

    Returns:
        The pickled bytes, in pieces.

    Raises:
        UnserializableError: If the value or a part of it cannot be pickled.
    """
    try:
        return _pickled(value, None, [])
    except Exception:
        # Exceptions that hold something unpicklable are rare, and to look for it takes time.
        chunks = _Chunks()
        try:
            _CarefulPickler(chunks, {}).dump(value)
        except Exception as error:
            raise _explained(value, error) from error
        return chunks


def pickled_with_buffers(value: Any, buffers: list[memoryview]) -> list[bytes]:
    """Pickles a value exactly, with the buffers of arrays and the like out of band.

    Args:
        value: Any value.
        buffers: Gets the buffers.

    Returns:
        The pickled bytes, in pieces.

    Raises:
        UnserializableError: If the value or a part of it cannot be pickled.
    """

    def is_in_band(buffer: pickle.PickleBuffer) -> bool:
        # Others may do anything with the buffer that they are given back, which is another one.
        if not _is_array(memoryview(buffer).obj):
            return True
        try:
            buffers.append(buffer.raw())
        except BufferError:
            return True
        return False

    try:
        return _pickled(value, is_in_band, buffers)
    except Exception as error:
        raise _explained(value, error) from error


def _is_array(owner: Any) -> bool:
    numpy: Any = sys.modules.get("numpy")
    arrow: Any = sys.modules.get("pyarrow")
    return (numpy is not None and isinstance(owner, numpy.ndarray)) or (
        arrow is not None and isinstance(owner, arrow.Buffer)
    )


def _pickled(value: Any, callback: Any, buffers: list[memoryview]) -> list[bytes]:
    """Pickles without a call of Python code for each object, if nothing needs one."""
    chunks = _Chunks() if main_module_name() is None else _Watching()
    pickler = pickle.Pickler(chunks, _PROTOCOL, buffer_callback=callback)
    pickler.dispatch_table = _Reducers()
    try:
        pickler.dump(value)
    except _MainNamedError:
        buffers.clear()
        chunks = _Chunks()
        _Pickler(chunks, _PROTOCOL, buffer_callback=callback).dump(value)
    return chunks


class _MainNamedError(Exception):
    """Something may be written by its name in the script, which readers know by another name."""


class _Watching(_Chunks):
    """Stops the pickler, which asks nobody about functions and classes, at the script's module."""

    def __init__(self) -> None:
        count = 2 if _classes.MAIN_NAMES[1] in sys.modules else 1
        self._written = _WRITTEN_NAMES[:count]

    def write(self, chunk: bytes) -> None:
        # Anything longer is a single large value.
        if len(chunk) <= _LONGEST_FRAME:
            for name in self._written:
                if name in chunk:
                    raise _MainNamedError
        self.append(chunk)


class _Reducers(dict[type, Any]):
    """How objects are taken apart, by their type: all as they say themselves, but for exceptions.

    The pickler looks here in C code, for each type once.
    """

    def __init__(self) -> None:
        super().__init__(_ours)

    def __missing__(self, cls: type) -> Any:
        if issubclass(cls, type):
            # A class, which is written by its name.
            raise KeyError(cls)
        found = copyreg.dispatch_table.get(cls)
        if issubclass(cls, BaseException):
            found = _reduced_exactly
        self[cls] = found or _reduced_as_usual
        if found is None and cls.__module__.startswith(_OUR_MODULES):
            # One of them is in everything that is kept or sent.
            _ours[cls] = _reduced_as_usual
        return self[cls]


_OUR_MODULES = f"{__name__.partition('.')[0]}."
_ours: dict[type, Any] = {}


class _Pickler(pickle.Pickler):
    def __init__(self, stream: Any, *arguments: Any, **more: Any) -> None:
        super().__init__(stream, *arguments, **more)
        # Types of which nothing has to be looked at.
        self._ordinary: set[type] = set()

    def reducer_override(self, obj: Any) -> Any:
        cls = type(obj)
        if cls in self._ordinary:
            return NotImplemented
        if isinstance(obj, BaseException):
            return _reduced(obj, self._keep)
        if isinstance(obj, _BY_NAME) and obj.__module__ in _classes.MAIN_NAMES:
            return _reduced_by_name(obj)
        if not issubclass(cls, _BY_NAME):
            self._ordinary.add(cls)
        return NotImplemented

    def _keep(self, value: Any) -> Any:
        return _as_it_is(value)


class _CarefulPickler(_Pickler):
    """Puts the `repr` in place of everything in an exception that cannot be pickled.

    Args:
        stream: Where to write.
        known: Says of values, by their identity, whether they can be pickled. Shared with the
            picklers that try out parts, so that no part is tried twice.
    """

    def __init__(self, stream: Any, known: dict[int, tuple[bool, Any]]) -> None:
        super().__init__(stream, _PROTOCOL)
        self._known = known

    def _keep(self, value: Any) -> Any:
        if id(value) not in self._known:
            # While it is looked at, its `repr` stands for it where it is part of itself. The value
            # is kept alive along with its identity.
            self._known[id(value)] = False, value
            self._known[id(value)] = _works(value, self._known), value
        return value if self._known[id(value)][0] else short_repr(value)


class _Nowhere:
    """A stream that forgets what is written."""

    def write(self, data: Any) -> int:
        return len(data)


def _works(value: Any, known: dict[int, tuple[bool, Any]]) -> bool:
    try:
        _CarefulPickler(_Nowhere(), known).dump(value)
    except Exception:
        return False
    return True


def _explained(value: Any, error: Exception) -> UnserializableError:
    if isinstance(error, RecursionError):
        return UnserializableError(
            f"A value of type {_type_name(value)} cannot be pickled: it is nested too deeply."
        )
    known: dict[int, tuple[bool, Any]] = {}
    path, culprit = find_culprit(value, lambda part: _works(part, known))
    what = f"The {culprit.__name__!r}" if isinstance(culprit, _BY_NAME) else "The value"
    return UnserializableError(
        f"{what} of type {_type_name(culprit)} at {path} cannot be pickled: "
        f"{type(error).__name__}: {error}"
    )


def _type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"


def _reduced_by_name(obj: Any) -> Any:
    module, name = _classes.name_of(obj)
    if module in _classes.MAIN_NAMES or "<" in name:
        return NotImplemented
    found: Any = sys.modules["__main__"]
    for part in name.split("."):
        found = getattr(found, part, None)
    # Left to pickle otherwise, which says what is wrong with the name.
    return (find_global, (module, name)) if found is obj else NotImplemented


def _reduced_exactly(error: BaseException) -> Any:
    return _reduced(error, _as_it_is)


def _as_it_is(value: Any) -> Any:
    return value


_reduced_as_usual = operator.methodcaller("__reduce_ex__", _PROTOCOL)


def _reduced(error: BaseException, keep: _exceptions.Keep) -> Any:
    parts = _exceptions.describe(error, keep)
    content = (parts["contents"], parts.get("traceback"))
    # Two steps, because what the exception holds may hold the exception.
    return _make, (parts["shapes"],), content, None, None, _fill


def _make(shapes: list[dict[str, Any]]) -> BaseException:
    made = _exceptions.make(shapes, trusted_modules=None)
    vars(made[0])[_NODES] = made
    return made[0]


def _fill(error: BaseException, content: tuple[list[dict[str, Any]], str | None]) -> None:
    made = vars(error).pop(_NODES)
    _exceptions.fill(made, *content)
