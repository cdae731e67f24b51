"""What a function holds beside its code: the variables that it closes over, and its defaults."""

from __future__ import annotations

from types import FunctionType
from typing import Any

from .changes import Changes
from .contents import base_of
from .effects import Effects
from .firstparty import is_standard_library
from .firsts import first_of_cell, kept_as_first
from .forms import PARTS, Form
from .kinds import is_a
from .names import CHANGING, cells_of, holds_code
from .problems import Problems, label

FILLED = "code that it reaches fills it, so it counts as it is first set"


def closed_over(function: FunctionType, changes: Changes, effects: Effects) -> dict[str, Any]:
    """Reads what a function closes over; what reached code sets or fills as it was first."""
    values = cells_of(function)
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        if name not in values or holds_code(values[name]) or callable(values[name]):
            continue
        if name in changes.enclosing:
            effects.cells[id(cell)] = cell
        if id(cell) in effects.cells:
            effects.seen.forget_cell(cell)
            values[name] = Form(CHANGING, PARTS, (first_of_cell(cell),))
        elif name in changes.names and base_of(values[name]) is not None:
            values[name] = Form(CHANGING, PARTS, (kept_as_first(values[name]),))
    return values


def defaults_of(function: FunctionType, changes: Changes, problems: Problems) -> tuple[Any, Any]:
    """Reads the defaults of a function; what it fills counts as it was first."""
    held, named, code = function.__defaults__, function.__kwdefaults__, function.__code__
    if not changes.names or not (held or named):
        return held, named

    def first(name: str, value: Any) -> Any:
        if name not in changes.names or base_of(value) is None or holds_code(value):
            return value
        problems.note(f"{label(function)}: {name}", FILLED)
        return Form(CHANGING, PARTS, (kept_as_first(value),))

    names = code.co_varnames[: code.co_argcount]
    if held:
        held = tuple(map(first, names[-len(held) :], held))
    if named:
        named = {name: first(name, value) for name, value in named.items()}
    return held, named


def closed_over_outside(module: Any, function: FunctionType) -> list[Any]:
    """Reads what an installed function closes over: decorators keep there what they were given."""
    cells = [value for _, value in sorted(cells_of(function).items())]
    if not is_standard_library(str(module)):
        return cells
    if "registry" in function.__dict__:
        # `functools.singledispatch`; how it keeps its functions differs between versions.
        return [function.__dict__["registry"]]
    return [
        value
        for value in cells
        if not (
            is_a(value, FunctionType)
            and is_standard_library(str(value.__globals__.get("__name__")))
            and "__wrapped__" not in value.__dict__
        )
    ]
