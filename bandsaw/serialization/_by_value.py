"""Functions and classes that no other process can import, written and read by value."""

from __future__ import annotations

import contextlib
import functools
import io
import pickle
import sys
import threading
import types
from typing import Any, BinaryIO

from ..errors import DeserializationError, UnserializableError
from ..modules import main_module_name
from . import _classes
from .serializer import is_crossing


def is_possible() -> bool:
    """Says whether there is what writes and reads by value."""
    try:
        import cloudpickle  # noqa: F401
    except ImportError:
        return False
    return True


def written_by_value(code: Any) -> bytes:
    """Has cloudpickle write a function or a class.

    Raises:
        UnserializableError: If it cannot: names the variable that is in the way.
    """
    try:
        return _dumped(code)
    except Exception as error:
        raise UnserializableError(f"{_in_the_way(code)}{error}") from error


def _dumped(code: Any) -> bytes:
    stream = io.BytesIO()
    was_begun, _writing.is_begun = is_writing_by_value(), True
    try:
        _writer()(stream).dump(code)
    finally:
        _writing.is_begun = was_begun
    return stream.getvalue()


def is_writing_by_value() -> bool:
    """Says whether this thread is below `written_by_value`, where what was written is known."""
    return getattr(_writing, "is_begun", False)


_writing = threading.local()


@functools.cache
def _writer() -> Any:
    import cloudpickle

    class ByValueWriter(cloudpickle.CloudPickler):  # type: ignore[misc]
        """Writes what calls a task as that task, without the chain that it passes here."""

        def reducer_override(self, obj: Any) -> Any:
            if type(obj) in _WRAPPERS or _is_dispatching(obj):
                reduced = _reduced_wrapper(obj)
                if reduced is not None:
                    return reduced
            task = obj.__dict__.get("bandsaw_task") if type(obj) is types.FunctionType else None
            if getattr(getattr(obj, "__wrapped__", None), "bandsaw_task", None) is task:
                task = None  # what wraps the function of a task has its attributes, too
            config = None if task is None else obj.bandsaw_configuration.module_name
            decorated_by = getattr(task, "decorated_by", None)
            if config is None or decorated_by is None or not is_nameless(obj):
                return super().reducer_override(obj)
            state = {name: value for name, value in obj.__dict__.items() if name not in _OF_TASKS}
            state.update((name, getattr(obj, name)) for name in NAMES)
            given = task, config, obj.bandsaw_chain
            return decorated_by, given, state, None, None, _set_attributes

    return ByValueWriter


# Attributes of the function that calls a task, which the one that is made there has as well.
_OF_TASKS = {
    *("__wrapped__", "submit", "map"),
    *("bandsaw_task", "bandsaw_configuration", "bandsaw_chain"),
}
NAMES = ("__module__", "__name__", "__qualname__", "__doc__")


_MEMO = type(functools.lru_cache(len))
_OF_METHODS = (functools.cached_property, functools.singledispatchmethod)
_WRAPPERS = (_MEMO, *_OF_METHODS)
# A lock up to Python 3.11, and weak references from 3.13 on: each wrapper has its own.
_OF_PROCESS = ("lock", "_method_cache")
_any_dispatching: Any = functools.singledispatch(len)
_DISPATCHING = _any_dispatching.__code__


def _is_dispatching(obj: Any) -> bool:
    return type(obj) is types.FunctionType and obj.__code__ is _DISPATCHING


def _reduced_wrapper(obj: Any) -> Any:
    """Says how to make a wrapper of `functools` anew that cannot be pickled, or only by name."""
    if type(obj) in _OF_METHODS:
        state = {name: value for name, value in vars(obj).items() if name not in _OF_PROCESS}
        return type(obj), (obj.func,), state
    if not is_nameless(obj):
        return None
    if type(obj) is _MEMO:
        parameters = obj.cache_parameters()
        given = obj.__wrapped__, parameters["maxsize"], parameters["typed"]
        return _memo, given, _attributes(obj), None, None, _set_attributes
    registry = dict(obj.registry)
    held = registry, _attributes(obj)
    return functools.singledispatch, (registry[object],), held, None, None, _register


def _attributes(wrapper: Any) -> dict[str, Any]:
    """Returns what somebody has set on a wrapper."""
    ours = vars(functools.lru_cache(len) if type(wrapper) is _MEMO else _any_dispatching)
    return {name: value for name, value in vars(wrapper).items() if name not in (*ours, *NAMES)}


def _memo(function: Any, maxsize: Any, typed: bool) -> Any:
    return functools.lru_cache(maxsize, typed)(function)


def _register(dispatching: Any, state: Any) -> None:
    registry, attributes = state
    for kind, function in registry.items():
        dispatching.register(kind, function)
    _set_attributes(dispatching, attributes)


def _set_attributes(function: Any, state: Any) -> None:
    for name, value in state.items():
        setattr(function, name, value)


def _in_the_way(code: Any) -> str:
    """Names the variables on the way to what cloudpickle cannot write."""
    path = ""
    seen: list[Any] = []
    while type(code) is types.FunctionType and not any(code is one for one in seen):
        seen.append(code)
        names = code.__code__.co_names
        read = {name: code.__globals__[name] for name in names if name in code.__globals__}
        for name, cell in zip(code.__code__.co_freevars, code.__closure__ or ()):
            with contextlib.suppress(ValueError):
                read[name] = cell.cell_contents
        for name, value in read.items():
            try:
                _dumped(value)
            except Exception:
                path, code = f"{path}{'.' if path else ''}{name}", value
                break
        else:
            break
    if not path:
        return ""
    kind = type(code)
    return f"its variable {path!r}, a {kind.__module__}.{kind.__qualname__}, is in the way: "


def is_nameless(obj: Any) -> bool:
    """Whether a function or class is local, a lambda, or of a script without a name."""
    # What is cached of a partial function has no name.
    module, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", "")
    if module in _classes.MAIN_NAMES and main_module_name() is None:
        return True
    found: Any = sys.modules.get(str(module))
    for part in name.split("."):
        found = getattr(found, "__dict__", {}).get(part)
    return found is not obj


def load_by_value(version: tuple[int, int], data: bytes) -> Any:
    try:
        import cloudpickle  # noqa: F401
    except ImportError as error:
        raise DeserializationError(_CANNOT_LOAD.format("cloudpickle is not installed")) from error
    if tuple(version) != sys.version_info[:2]:
        theirs, ours = (".".join(map(str, each[:2])) for each in (version, sys.version_info))
        raise DeserializationError(_CANNOT_LOAD.format(f"it was written by Python {theirs}, "
                                                       f"and this is Python {ours}"))  # fmt: skip
    return read_by_value(data)


def read_by_value(data: bytes) -> Any:
    """Reads what `written_by_value` wrote."""
    return _ByValueUnpickler(io.BytesIO(data)).load()


class _ByValueUnpickler(pickle.Unpickler):
    """Makes no class twice, and leaves the classes of a caller as they are when they come back.

    cloudpickle sets their attributes anew, to functions that see a copy of the caller's variables.
    """

    def __init__(self, stream: BinaryIO) -> None:
        super().__init__(stream)
        self._left: set[int] = set()

    def find_class(self, module_name: str, global_name: str) -> Any:
        found = super().find_class(module_name, global_name)
        if module_name == "cloudpickle.cloudpickle":
            if global_name in ("_make_skeleton_class", "_make_skeleton_enum"):
                return functools.partial(self._found_or_made, found)
            if global_name == "_class_setstate":
                return functools.partial(self._set_unless_left, found)
        return found

    def _found_or_made(self, make: Any, *args: Any) -> Any:
        import cloudpickle.cloudpickle as internals

        *_, tracker_id, _ = args
        # cloudpickle looks after it made one more, which runs metaclasses and `__init_subclass__`.
        found = internals._DYNAMIC_CLASS_TRACKER_BY_ID.get(tracker_id)
        if found is None:
            return make(*args)
        if is_crossing():
            self._left.add(id(found))
        return found

    def _set_unless_left(self, set_state: Any, cls: Any, state: Any) -> Any:
        return cls if id(cls) in self._left else set_state(cls, state)


_CANNOT_LOAD = (
    "A local function or class in the data cannot be loaded: {}. It crosses only with cloudpickle "
    "on both sides and the same minor version of Python: move it to the top level of a module."
)
