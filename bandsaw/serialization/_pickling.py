"""Pickling and unpickling: the part of the serializer that needs the `pickle` module."""

from __future__ import annotations

import contextlib
import functools
import io
import pickle
import sys
import types
from collections.abc import Sequence
from typing import Any, BinaryIO, Optional

from .._system.importing import late_import
from ..errors import BandsawError, DeserializationError, SignatureError, UnserializableError
from ..modules import main_module_name
from . import _classes, _exceptions, _lacking, _out_of_band
from ._chunks import Chunks, FewChunks, Nowhere, TooLongError
from ._paths import find_culprit, instead_of, short_repr, type_name
from ._signing import SIGNED_MODULE
from ._writable import keep_writable
from .serializer import is_crossing

_PROTOCOL = 5
# Between processes, buffers below this are copied with the rest if there are many: that takes less
# time than to have each of them at a place of its own.
_SHORT, _MANY = 1 << 12, 16
_BY_NAME = (type, types.FunctionType, type(functools.lru_cache(len)))
_NODES = "_bandsaw_nodes"
_OURS = f"{__name__.partition('.')[0]}."
_MOVED = {
    # Newer Pythons write the first name, and older ones know only the second.
    "pathlib._local": "pathlib",
    # Cache entries may have been written before the modules were one.
    f"{_OURS}serialization._unpickling": __name__,
}
# Classes of ours that were looked up: each session and each cache entry names some.
_our_classes: dict[tuple[str, str], type] = {}


def _by_value() -> Any:
    with late_import:
        from . import _by_value as module

    return module


def pickled(value: Any) -> list[bytes]:
    """Pickles a value into pieces, with the `repr` of unpicklable parts of exceptions."""
    try:
        return _pickled(value, None)
    except Exception:
        if is_crossing():
            with contextlib.suppress(Exception):
                return _pickled(value, None, _ByValuePickler)
        # Exceptions that hold something unpicklable are rare, and to look for it takes time.
        chunks = Chunks()
        try:
            _CarefulPickler(chunks, {}).dump(value)
        except Exception as error:
            # Its text has the cause, which comes with others that nobody needs to read.
            raise _explained(value, error) from (None if is_crossing() else error)
        return chunks.written()


def pickled_with_buffers(
    value: Any, buffers: list[memoryview], most: Optional[int] = None
) -> list[bytes]:
    """Pickles a value exactly, and appends the buffers of arrays and the like to a list.

    `most`: raises `TooLongError` where there are more bytes, or buffers.
    """
    short = _SHORT if is_crossing() else 0

    def is_in_band(buffer: pickle.PickleBuffer) -> bool:
        view = memoryview(buffer)
        room = (short if len(buffers) >= _MANY else 0) if most is None else most
        if view.nbytes < room:
            return True
        # Other classes may do anything with the buffer that they get back, which is another one.
        if not _out_of_band.is_array(view.obj):
            return True
        if most is not None:
            raise TooLongError
        with contextlib.suppress(BufferError):
            buffers.append(buffer.raw())
            return False
        return True

    try:
        return _pickled(value, is_in_band, most=most)
    except Exception as error:
        if is_crossing():
            del buffers[:]
            with contextlib.suppress(Exception):
                return _pickled(value, is_in_band, _ByValuePickler, most)
        raise _explained(value, error) from (None if is_crossing() else error)


def _pickled(
    value: Any,
    callback: Any,
    pickler: Optional[type[_Pickler]] = None,
    most: Optional[int] = None,
) -> list[bytes]:
    chunks = Chunks() if most is None else FewChunks(most)
    writer = (pickler or _Pickler)(chunks, _PROTOCOL, buffer_callback=callback)
    writer.arrays = getattr(sys.modules.get("numpy"), "ndarray", ())
    table = _out_of_band.dispatch_table()
    if table is not None:
        writer.dispatch_table = table
    writer.dump(value)
    return chunks.written()


class _Pickler(pickle.Pickler):
    arrays: Any = ()  # the class of numpy's, where it is loaded

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, BaseException):
            return self._reduced(obj)
        if isinstance(obj, _BY_NAME) and getattr(obj, "__module__", None) in _classes.MAIN_NAMES:
            return _reduced_by_name(obj)
        return _out_of_band.reduced_array(obj) if isinstance(obj, self.arrays) else NotImplemented

    def _reduced(self, error: BaseException) -> Any:
        parts = self._parts_of(error)
        content = (parts["contents"], parts.get("traceback"))
        # Two steps, because what the exception holds may hold the exception.
        return _make, (parts["shapes"],), content, None, None, _fill

    def _parts_of(self, error: BaseException) -> dict[str, Any]:
        if not is_crossing():
            return _exceptions.describe(error)
        classes: list[type] = []
        parts = _exceptions.describe(error, classes)
        for shape, cls in zip(parts["shapes"], classes):
            if cls.__module__ in _classes.MAIN_NAMES and _by_value().is_nameless(cls):
                shape["class"] = cls
        return parts


class _ByValuePickler(_Pickler):
    """Has cloudpickle write functions and classes that no other process can import."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, _BY_NAME) and _by_value().is_nameless(obj):
            try:
                written = _by_value().written_by_value(obj)
            except UnserializableError as error:
                module, name = getattr(obj, "__module__", ""), getattr(obj, "__qualname__", "")
                raise UnserializableError(
                    f"{module}.{name or type_name(obj)} cannot be written by cloudpickle: {error}"
                ) from error
            return _by_value().load_by_value, (sys.version_info[:2], written)
        return super().reducer_override(obj)


class _CarefulPickler(_Pickler):
    """Puts the `repr` in place of everything in an exception that cannot be pickled.

    `known`: says of values, by their identity, whether they can be pickled. Shared with the
    picklers that try out parts, so that no part is tried twice.
    """

    def __init__(self, stream: Any, known: dict[int, tuple[bool, Any]]) -> None:
        super().__init__(stream, _PROTOCOL)
        self._known = known

    def _parts_of(self, error: BaseException) -> dict[str, Any]:
        parts = _exceptions.describe(error)
        keep_writable(parts, self._keep)
        return parts

    def _keep(self, value: Any) -> Any:
        if id(value) not in self._known:
            # While it is looked at, its `repr` stands for it where it is part of itself. The value
            # is kept alive along with its identity.
            self._known[id(value)] = False, value
            self._known[id(value)] = _works(value, self._known), value
        return value if self._known[id(value)][0] else short_repr(value)


def _works(value: Any, known: dict[int, tuple[bool, Any]]) -> bool:
    return _refusal(value, _CarefulPickler(Nowhere(), known)) is None


def _refusal(value: Any, pickler: Any = None) -> Optional[Exception]:
    """Says why a value cannot be written, functions and classes by value; `None` if it can."""
    try:
        (pickler or _ByValuePickler(Nowhere(), _PROTOCOL)).dump(value)
    except Exception as error:
        return error
    return None


def _explained(value: Any, error: Exception) -> UnserializableError:
    if isinstance(error, RecursionError):
        return UnserializableError(
            f"A value of type {type_name(value)} cannot be pickled: it is nested too deeply."
        )
    with late_import:
        from concurrent.futures import Future

        from .._identity.canonical import ABOUT_FUTURES

    known: dict[int, tuple[bool, Any]] = {}
    is_by_value = is_crossing() and _by_value().is_possible()
    is_ours = isinstance(error, BandsawError)

    def works(part: Any) -> bool:
        refusal = _refusal(part, _CarefulPickler(Nowhere(), known))
        refusal = refusal and (_refusal(part) if is_by_value else refusal)
        # What refuses itself in words is not looked into: it writes no attributes.
        return refusal is None or (is_ours and not isinstance(refusal, BandsawError))

    path, culprit = find_culprit(value, works, lambda part: not isinstance(part, Future))
    if is_by_value:
        error = _refusal(culprit) or error
    is_named, way_out = isinstance(culprit, _BY_NAME), ""
    what = f"The {getattr(culprit, '__name__', 'function')!r}" if is_named else "The value"
    if isinstance(error, BandsawError):
        at = "" if path == "value" else f" at {path}"
        return UnserializableError(f"{what}{at} cannot be pickled. {error}")
    if isinstance(culprit, Future):
        way_out = f": {ABOUT_FUTURES}"
    elif instead_of(culprit):
        way_out = f". {instead_of(culprit)}"
    elif isinstance(error, TypeError) and "pickle" in str(error):
        way_out = ". Make it in the task, or leave it out of its object with __getstate__"
    elif is_named or _by_value().is_nameless(type(culprit)):
        way_out = "; what is kept has to be found by its name: move it to the top level of a module"
        if is_crossing():
            way_out = (
                "; a local function or class crosses only with cloudpickle on both sides "
                "('pip install cloudpickle'): install it, or move it to the top level of "
                "a module"
            )
    return UnserializableError(
        f"{what} of type {type_name(culprit)} at {path} cannot be pickled: "
        f"{type(error).__name__}: {error}{way_out}."
    )


def _reduced_by_name(obj: Any) -> Any:
    module, name = _classes.name_of(obj)
    if module in _classes.MAIN_NAMES or "<" in name:
        if is_crossing():
            raise pickle.PicklingError(f"no other process can import {obj.__module__}.{name}")
        return NotImplemented
    outermost, *inner = name.split(".")
    # Not with getattr: a script that nobody has needed yet would be loaded for it.
    found: Any = vars(sys.modules["__main__"]).get(outermost)
    for part in inner:
        found = getattr(found, part, None)
    # Left to pickle otherwise, which says what is wrong with the name.
    return (find_global, (module, name)) if found is obj else NotImplemented


def _make(shapes: list[dict[str, Any]]) -> BaseException:
    made = _exceptions.make(shapes, trusted_modules=None)
    vars(made[0])[_NODES] = made, shapes
    return made[0]


def _fill(error: BaseException, content: tuple[list[dict[str, Any]], str | None]) -> None:
    _exceptions.fill(vars(error).pop(_NODES)[0], *content)


def unpickled(stream: BinaryIO, buffers: Sequence[Any] = ()) -> Any:
    """Unpickles a value, given the buffers that are out of band."""
    start = stream.tell() if getattr(stream, "seekable", bool)() else None
    unpickler = _Unpickler(stream, buffers=buffers)
    try:
        return unpickler.load()
    except DeserializationError as error:
        if start is not None and unpickler.found_an_error:
            stream.seek(start)
            with contextlib.suppress(Exception):
                value = _LenientUnpickler(stream, buffers=buffers).load()
                if _works(value, {}):  # only exceptions hold what is not to be had
                    return value
        raise error from error.__cause__
    except EOFError as error:
        raise DeserializationError("The data ends in the middle of a value.") from error
    except Exception as error:
        raise DeserializationError(
            f"The data cannot be unpickled: {type(error).__name__}: {error}"
        ) from error


def find_global(module_name: str, name: str) -> Any:
    """Finds what was pickled under the name by which its script can be imported."""
    outermost, *inner = name.split(".")
    value = _Unpickler(io.BytesIO()).find_class(module_name, outermost)
    for part in inner:
        try:
            value = getattr(value, part)
        except AttributeError as error:
            raise _lacking.absent(module_name, name, error) from error
    return value


class _Unpickler(pickle.Unpickler):
    found_an_error = False  # an exception is in the data

    def find_class(self, module_name: str, global_name: str) -> Any:
        ours = _our_classes.get((module_name, global_name))
        if ours is not None:
            return ours
        if module_name == SIGNED_MODULE:
            raise SignatureError(
                "The data is signed, and this serializer has no key to verify it with: give "
                "PickleSerializer(key=...) the key that it was signed with."
            )
        module_name = _MOVED.get(module_name, module_name)
        if module_name == main_module_name():
            module_name = "__main__"
        try:
            found = super().find_class(module_name, global_name)
            if isinstance(found, type) and found.__module__.startswith(_OURS):
                _our_classes[module_name, global_name] = found
            self.found_an_error |= found is _make
            return found
        except ModuleNotFoundError as error:
            if module_name.startswith("numpy._core.") and error.name != "numpy":  # of NumPy 2
                return self.find_class(module_name.replace("_core", "core", 1), global_name)
            raise DeserializationError(
                f"The data needs {module_name}.{global_name}, but the module {error.name!r} is not "
                "to be had here. If it is part of your project, put it into the distribution "
                "archive with Configuration.add_modules_for_distribution; otherwise install it for "
                f"this Python ({sys.executable})."
            ) from error
        except Exception as error:
            raise _lacking.absent(module_name, global_name, error) from error


class _LenientUnpickler(_lacking.Lenient, _Unpickler):
    """Puts the `repr` in place of what exceptions hold of classes that are not to be had here."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        found = super().find_class(module_name, global_name)
        return _fill_readable if found is _fill else found


def _fill_readable(error: BaseException, content: tuple[list[dict[str, Any]], str | None]) -> None:
    parts = {"shapes": vars(error)[_NODES][1], "contents": content[0]}
    keep_writable(parts, _CarefulPickler(Nowhere(), {})._keep)
    _fill(error, content)
