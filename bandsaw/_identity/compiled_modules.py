"""The canonical forms of what compiled modules of the project hold: their file, and its imports."""

from __future__ import annotations

import sys
from types import FunctionType, ModuleType
from typing import Any, Union

from .first_values import kept_as_first
from .firstparty import compiled_file, global_name
from .forms import PARTS, Form, Written
from .kinds import attributes_of, is_a, is_below, module_of


def open_global(module: Any, name: Any) -> Union[bytes, Form]:
    """Gives the form of a name: of a compiled module of the project, with what that imports."""
    written = global_name(module, name)
    imported = imports_of_compiled(module)
    return Form(b"!compiled;", PARTS, (Written(written), *imported)) if imported else written


def imports_of_compiled(module: Any) -> tuple[Any, ...]:
    """Returns what a compiled module of the project holds, but for its own code.

    Its file says nothing of code and values that it imports. Its values count as they were when
    they were first seen: it may change its own.
    """
    if not compiled_file(str(module)):
        return ()
    home = sys.modules[module]
    names = [name for name in attributes_of(home) if type(name) is str and name[:2] != "__"]
    held = [(name, attributes_of(home)[name]) for name in sorted(names)]
    code = [(name, value) for name, value in held
            if is_a(value, FunctionType)
            or (is_a(value, type) and module_of(value) != module)
            or (is_a(value, ModuleType) and not is_below(value, module, name))]  # fmt: skip
    if id(home) not in _values:
        values = [(name, kept_as_first(value)) for name, value in held if _is_data(value)]
        _values[id(home)] = home, values
    values = _values[id(home)][1]
    return (code, values) if code or values else ()


# By the identity of modules, which are kept with them: their values when they were first seen.
_values: dict[int, tuple[ModuleType, Any]] = {}
_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def _is_data(value: Any, depth: int = 9) -> bool:
    if any(type(value) is kind for kind in (tuple, frozenset, list, set)):
        return depth > 0 and all(_is_data(each, depth - 1) for each in value)
    if type(value) is dict:
        return depth > 0 and _is_data([*value, *value.values()], depth - 1)
    return any(type(value) is kind for kind in _PLAIN)
