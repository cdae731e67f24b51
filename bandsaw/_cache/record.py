"""What an entry remembers: the call that it is the result of, and what its ids were made of.

Two lines of JSON: one for the call, and one for the code, which is the same for all entries of a
task. Values are remembered as short texts and as digests, never as themselves.
"""

from __future__ import annotations

import contextlib
import json
import reprlib
import time
from collections import deque
from collections.abc import Iterator, Mapping
from enum import Enum
from itertools import islice
from json.encoder import encode_basestring_ascii as _quoted
from types import FunctionType, MemberDescriptorType
from typing import Any, NamedTuple, Optional

from .._system.importing import late_import
from ..execution import Execution
from ..modules import importable_module_name
from ..tasks import Task

_LONGEST_TEXT = 80
_MOST_TEXTS = 24
# Of an object: estimators have many, and each may be what differs.
_MOST_FIELDS = 64
_DEEPEST = 4
_LARGEST_INT = 1 << 200
_CONTAINERS = (dict, list, tuple)
_MOST_KNOWN = 1000

# The lines of the tasks of this process, by their folders.
_code_lines: dict[str, bytes] = {}


class Argument(NamedTuple):
    # The digest of the value; `None` where its one text says all, or it is not known.
    digest: Optional[str]
    texts: dict[str, str]  # short texts of the value and of its parts, by their paths


class Record(NamedTuple):
    task: str  # the name of the task
    made: float  # when it was made, in seconds since the epoch
    seconds: Optional[float]  # how long the computation took, `None` where it is not known
    arguments: dict[str, Argument]  # the arguments by the names of their parameters
    parts: list[list[str]]  # what the task id was made of, see `bandsaw.fingerprint.parts_of`


def arguments_of(execution: Any) -> dict[str, Argument]:
    """Describes the arguments of a call, before the task can change them."""
    if not isinstance(execution, Execution):
        return {}
    described: dict[str, Argument] = {}
    digests: Optional[dict[str, str]] = None
    for name, value in execution.bound_arguments().items():
        text = _exact_text(value)
        if text is not None:
            described[name] = Argument(None, {name: text})
            continue
        if digests is None:
            digests = execution.argument_digests()
        described[name] = Argument(digests.get(name), texts_of(name, value))
    return described


def parts_of(task: Any) -> list[list[str]]:
    """Returns the same as `bandsaw.fingerprint.parts_of`; nothing for tasks of no function."""
    if not isinstance(task, Task):
        return []
    with late_import:
        from ..fingerprint import parts_of as parts_of_function

    kwargs = task.kwargs
    return parts_of_function(
        task.function, version=kwargs.get("version"), depends=kwargs.get("depends", ())
    )


def written(
    task: Any, folder: str, arguments: Mapping[str, Argument], seconds: Optional[float]
) -> bytes:
    # By hand, because this is on the way of every call that is computed; in ASCII, because a text
    # may hold lone surrogates.
    told = []
    for name, (digest, texts) in arguments.items():
        parts = ",".join([f"{_quoted(path)}:{_quoted(text)}" for path, text in texts.items()])
        quoted = "null" if digest is None else _quoted(digest)
        told.append(f"{_quoted(name)}:[{quoted},{{{parts}}}]")
    took = "null" if seconds is None else f"{seconds:.6f}"
    call = (
        f'{{"task":{_quoted(str(task))},"made":{time.time():.3f},"seconds":{took},'
        f'"arguments":{{{",".join(told)}}}}}\n'
    )
    return call.encode("ascii") + _code(task, folder)


def _code(task: Any, folder: str) -> bytes:
    line = _code_lines.get(folder)
    if line is None:
        try:
            parts = parts_of(task)
        except Exception:
            # A result is kept even if its code cannot be described.
            parts = []
        if len(_code_lines) >= _MOST_KNOWN:
            _code_lines.clear()
        line = _code_lines[folder] = json.dumps(parts, separators=(",", ":")).encode("ascii")
    return line


_DAMAGES = (ValueError, LookupError, TypeError, AttributeError, RecursionError, ArithmeticError)


def read(data: bytes) -> Record:
    try:
        call, parts = (json.loads(line) for line in data.split(b"\n"))
        seconds = call["seconds"]
        arguments = {
            str(name): Argument(
                None if digest is None else str(digest),
                {str(path): str(text) for path, text in dict(texts).items()},
            )
            for name, (digest, texts) in call["arguments"].items()
        }
        return Record(
            str(call["task"]),
            float(call["made"]),
            None if seconds is None else float(seconds),
            arguments,
            [[str(kind), str(name), str(place), str(text)] for kind, name, place, text in parts],
        )
    except _DAMAGES as error:
        raise ValueError(f"its record is damaged: {error!r}") from error


def texts_of(name: str, value: Any) -> dict[str, str]:
    """Describes the plain values in a value by path, and what has no room by size or type."""
    texts: dict[str, str] = {}
    pending = deque([(name, value, 0)])
    while pending:
        path, value, depth = pending.popleft()
        most = _MOST_TEXTS if depth or not _has_fields(value) else _MOST_FIELDS
        room = max(0, most - len(texts) - len(pending))
        parts = list(islice(_parts(value), room + 1)) if depth < _DEEPEST else []
        if not parts or len(parts) > room:
            texts[path] = short_text(value)
            continue
        if type(value) not in _CONTAINERS:
            # Another class may have the same fields.
            texts[path] = (
                _name_of(type(value)) if not isinstance(value, type) else short_text(value)
            )
        pending += [(path + step, part, depth + 1) for step, part in parts]
    return texts


def _parts(value: Any) -> Iterator[tuple[str, Any]]:
    """Looks into containers, objects and classes, without running code of theirs."""
    kind = type(value)
    if isinstance(value, dict):
        for key, part in dict.items(value):
            yield f"[{short_text(key)}]", part
    elif isinstance(value, tuple) and isinstance(kind.__dict__.get("_fields"), tuple):
        yield from ((f".{name}", part) for name, part in zip(kind._fields, tuple.__iter__(value)))
    elif isinstance(value, list):
        yield from ((f"[{index}]", part) for index, part in enumerate(list.__iter__(value)))
    elif isinstance(value, tuple):
        yield from ((f"[{index}]", part) for index, part in enumerate(tuple.__iter__(value)))
    elif isinstance(value, type):
        for name, part in vars(value).items():
            part = getattr(part, "__func__", part) if type(part) in _METHODS else part
            if isinstance(part, FunctionType):
                yield f".{name}", part
    elif _has_fields(value):
        yield from ((f".{name}", part) for name, part in _fields(value).items())


_METHODS = (classmethod, staticmethod)


def _has_fields(value: Any) -> bool:
    kind = type(value)
    is_told = _home_of(kind) in _TOLD_BY_REPR or isinstance(value, (Enum, FunctionType))
    return not is_told and _home_of(kind).partition(".")[0] not in ("builtins", *_WITH_SHAPES)


def _fields(value: Any) -> dict[str, Any]:
    try:
        found = dict(object.__getattribute__(value, "__dict__"))
    except Exception:
        found = {}
    for cls in type(value).__mro__:
        for name, member in vars(cls).items():
            if isinstance(member, MemberDescriptorType):
                with contextlib.suppress(AttributeError):
                    found.setdefault(name, member.__get__(value))
    return found


def _exact_text(value: Any) -> Optional[str]:
    """Tells a value that its text says all about, type and value."""
    kind = type(value)
    if kind is str:
        return repr(value) if len(value) <= _LONGEST_TEXT else None
    if kind is int:
        return repr(value) if -_LARGEST_INT < value < _LARGEST_INT else None
    return repr(value) if kind in _EXACT else None


_EXACT = (float, bool, type(None), complex)


def short_text(value: Any) -> str:
    """Describes a value in a few words, without running code of its class."""
    text = _exact_text(value)
    if text is not None:
        return text
    kind = type(value)
    if kind is str:
        return f"{value[:_LONGEST_TEXT]!r}... ({len(value)} characters)"
    if _home_of(kind) in _TOLD_BY_REPR:
        return repr(value)[:_LONGEST_TEXT]
    name = _name_of(kind)
    if kind in _SMALL and len(value) <= _MOST_SHOWN:
        if all(map(_is_plain, value if kind is not dict else (*value, *value.values()))):
            return reprlib.repr(value)
    if kind in (dict, list, tuple, set, frozenset, bytes, bytearray):
        return f"{name} of {len(value)}"
    if _home_of(kind).partition(".")[0] in _WITH_SHAPES:
        return f"{name} {_shape_of(value)}"[: 2 * _LONGEST_TEXT]
    label = value.__dict__.get("_name_") if isinstance(value, Enum) else None
    if isinstance(value, type):
        label = _name_of(value)
    elif isinstance(value, FunctionType):
        with late_import:
            from .._identity.definitions import definition_of

        label = f"{value.__qualname__} {definition_of(value).digest.hex()[:_DIGITS]}"
    return f"{name} {label}" if isinstance(label, str) else name


_SMALL = (tuple, list, dict, set, frozenset, bytes)
_MOST_SHOWN = 6
_DIGITS = 8


def _is_plain(value: Any) -> bool:
    return _exact_text(value) is not None


def _home_of(kind: type) -> str:
    # A class may have set its `__module__` to anything.
    home: Any = kind.__module__
    return home if isinstance(home, str) else "?"


def _name_of(kind: type) -> str:
    home = _home_of(kind)
    if home == "builtins":
        return kind.__qualname__
    # The script has another name where it is imported.
    return f"{importable_module_name(home) or home}.{kind.__qualname__}"


def _shape_of(value: Any) -> str:
    try:
        shape = getattr(value, "shape", "")
        if shape == ():
            return str(value)
        return f"{shape} {getattr(value, 'dtype', '')}".strip()
    except Exception:
        return ""


# `repr()` of other classes may run user code.
_WITH_SHAPES = frozenset(
    ("numpy", "pandas", "pyarrow", "polars", "scipy", "torch", "tensorflow", "jax", "jaxlib")
)
_TOLD_BY_REPR = frozenset(
    ("datetime", "decimal", "fractions", "uuid", "pathlib", "pathlib._local", "bandsaw._file")
)
