"""Notices when a module that an id was made from is loaded again."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping
from typing import Any


class Watch:
    """Says whether modules are still those that an id was made from.

    `modules`: the modules and their specs by their names, as they were when they were read.
    `importlib.reload` gives a module another spec.
    """

    __slots__ = ("_watched",)

    def __init__(self, modules: Mapping[str, tuple[Any, Any]]) -> None:
        # Weakly: a module that was thrown away is not kept by an id of its code.
        self._watched = [
            (name, _reference(module), spec) for name, (module, spec) in modules.items()
        ]

    def is_current(self) -> bool:
        """Says whether none of the modules was reloaded or replaced."""
        # On the way of every hit of a cache: half a microsecond for five modules.
        loaded = sys.modules
        for name, reference, spec in self._watched:
            module = loaded.get(name)
            if module is not reference() or getattr(module, "__spec__", None) is not spec:
                return False
        return True

    def modules(self) -> dict[str, tuple[Any, Any]]:
        """Returns the modules that are still there, and their specs, by their names."""
        return {name: (reference(), spec) for name, reference, spec in self._watched}


def _reference(module: Any) -> Callable[[], Any]:
    try:
        return weakref.ref(module)
    except TypeError:
        # What stands in for a module in `sys.modules` may be anything.
        return lambda: module
