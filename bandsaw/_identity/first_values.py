"""What reached code sets, fills or draws from, as it was first: that is what it counts by.

The tables are by the identity of an object. It is kept with them, so that its identity is not used
again.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import CellType, FunctionType
from typing import Any

from .firstparty import is_first_party
from .held_contents import contents_of, rebuilt
from .kinds import is_a

# Stands for a name that is not there.
MISSING = object()

_attributes: dict[int, tuple[Any, dict[str, Any]]] = {}
_contents: dict[int, tuple[Any, Any]] = {}
_cells: dict[int, tuple[CellType, Any]] = {}
# What objects that are drawn from, or are in installed ones that change them, were written as.
_forms: dict[int, tuple[Any, Any]] = {}
# What names of something installed stood for when an id first spoke of them: by modules and
# classes, and names.
_installed: dict[tuple[int, str], tuple[Any, Any]] = {}


def is_other_than_first(owner: Any, name: str, value: Any) -> bool:
    """Says whether a name of something installed stands for something else than at first."""
    first = _installed.setdefault((id(owner), name), (owner, value))[1]
    is_there = first is not MISSING and value is not MISSING
    return is_there and first is not value and not is_wrapped_at_home(value, first)


def is_wrapped_at_home(value: Any, first: Any) -> bool:
    """Says whether a package has put a wrapper of its own around an installed function of its own.

    As PyTorch does with methods of an optimizer when the first one is made.
    """
    home = _package_of(first)
    while is_a(value, FunctionType) and value is not first and _package_of(value) == home:
        value = value.__dict__.get("__wrapped__")
    return bool(home) and value is first and not is_first_party(home)


def _package_of(function: Any) -> str:
    home = function.__globals__.get("__name__") if is_a(function, FunctionType) else None
    return home.partition(".")[0] if type(home) is str else ""


def first_attributes(owner: Any) -> Mapping[str, Any]:
    """Returns the attributes of an object that reached code has filled, as they were first."""
    known = _attributes.get(id(owner))
    return {} if known is None else known[1]


def note_attribute(owner: Any, name: str, value: Any) -> None:
    """Notes what an attribute was before reached code set it first, `MISSING` if it was not."""
    _attributes.setdefault(id(owner), (owner, {}))[1].setdefault(name, value)


def first_contents(container: Any) -> Any:
    """Returns a container as it was before reached code filled it: mostly the container itself."""
    known = _contents.get(id(container))
    return container if known is None else known[1]


def note_contents(container: Any, contents: Any) -> None:
    """Notes what was in a container before reached code filled it first."""
    _contents.setdefault(id(container), (container, rebuilt(container, contents)))


def kept_as_first(container: Any) -> Any:
    """Returns a container that reached code fills as it was when it was first seen."""
    if id(container) not in _contents:
        contents = contents_of(container)
        if contents is not None:
            note_contents(container, contents)
    return first_contents(container)


def first_of_cell(cell: CellType) -> Any:
    """Returns what was first seen in a cell that reached code sets anew."""
    return _cells.setdefault(id(cell), (cell, content_of(cell)))[1]


def content_of(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        return MISSING


def first_form(value: Any, form: Any) -> Any:
    """Returns what an object was written as when it was first seen."""
    return _forms.setdefault(id(value), (value, form))[1]


def known_form(value: Any) -> Any:
    """Returns what an object was written as when it was first seen; mostly `None` is known."""
    known = _forms.get(id(value))
    return None if known is None else known[1]
