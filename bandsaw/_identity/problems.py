"""Where the code that counts could not be followed, for messages to the user."""

from __future__ import annotations

import builtins
import sys
import types
from types import FunctionType, ModuleType
from typing import Any

from .firstparty import canonical_module_name
from .forms import OpenForm
from .kinds import is_a, name_of, name_of_module, qualname_of
from .kinds import module_of as module_of_class
from .safe_opening import FOREIGN, NAMES, is_held_by_the_user
from .uses import ALL_VARIABLES

# They are locks, the process's own streams, and the like: nothing that a result depends on.
_BY_NAME_ONLY = frozenset(
    {
        "_thread.lock", "_thread.RLock", "threading._RLock", "_thread._localdummy",
        "_abc._abc_data",
    }
)  # fmt: skip
# Libraries keep track of their own objects by these.
_FROM_AFAR = frozenset(
    {
        "_thread._local", "weakref.ReferenceType", "weakref.WeakKeyDictionary",
        "weakref.WeakValueDictionary", "weakref.WeakSet", "_contextvars.ContextVar",
    }
)  # fmt: skip
# The modules that have functions which find code by a name or a path.
_OF_COMPUTED_NAMES = {
    *("builtins", "importlib", "importlib.util", "importlib._bootstrap_external"),
    *("pkgutil", "runpy", "sys", "importlib.metadata", "importlib_metadata", "pkg_resources"),
    *("pydoc", "werkzeug.utils", "django.utils.module_loading"),
    *("hydra.utils", "hydra._internal.instantiate._instantiate2"),
}


class Problems:
    """Collects what could not be followed: the place and the reason."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self._lines: dict[int, dict[str, int]] = {}

    def note(self, place: str, reason: str) -> None:
        self.found.append((place, reason))

    def lines_of(self, code: Any) -> dict[str, int]:
        """Gives the lines of the names that some code uses, empty at first."""
        lines = self._lines[id(code)] = {}
        return lines

    def stands_for(self, line: Any, code: Any) -> None:
        """Notes that something is written in place of some code."""
        self._lines[id(line)] = self._lines.get(id(code), {})

    def report(self, frames: list[OpenForm], value: Any, reason: str) -> None:
        """Notes a value that was reached, and that cannot be written or watched."""
        kind = name_of(type(value))
        is_stream = value is sys.stdin or value is sys.stdout or value is sys.stderr
        if is_stream or kind in _BY_NAME_ONLY:
            return
        if kind in _FROM_AFAR and not is_held_by_the_user(frames):
            return
        place = None
        for position, frame in enumerate(frames):
            if frame.form.tag == FOREIGN:
                place = None
            lines = self._lines.get(id(frame.value))
            if lines is None:
                continue
            place = label(frame.value)
            inner = frames[position + 1] if position + 1 < len(frames) else None
            if inner is not None and inner.form.tag == NAMES:
                index = len(inner.written)
                key = str(inner.form.children[index - index % 2])
                place = f"{place}: line {lines.get(key, 0)}, {key}"
        if place is None and is_a(value, (FunctionType, type)):
            place = label(value)
        if place is not None:
            self.note(place, f"a {kind} {reason}")


def label(code: Any) -> str:
    if is_a(code, ModuleType):
        return canonical_module_name(name_of_module(code))
    module = code.__globals__.get("__name__") if is_a(code, FunctionType) else None
    if is_a(code, type):
        return f"{canonical_module_name(module_of_class(code))}.{qualname_of(code)}"
    module = module or getattr(code, "__module__", "?")
    return f"{canonical_module_name(module)}.{getattr(code, '__qualname__', '?')}"


def is_dynamic(chain: tuple[str, ...], namespace: dict[str, Any], cells: dict[str, Any]) -> bool:
    """Says whether a call finds code by a computed name."""
    if chain[-1] in ALL_VARIABLES:
        return True
    value = cells.get(chain[0], namespace.get(chain[0], getattr(builtins, chain[0], None)))
    if len(chain) == 1:
        if is_a(value, type):
            return module_of_class(value) in _OF_COMPUTED_NAMES
        is_function = is_a(value, (FunctionType, types.BuiltinFunctionType))
        return is_function and value.__module__ in _OF_COMPUTED_NAMES
    # It may be known by another name here.
    name = name_of_module(value) if is_a(value, ModuleType) else chain[0]
    return ".".join((name, *chain[1:-1])) in _OF_COMPUTED_NAMES
