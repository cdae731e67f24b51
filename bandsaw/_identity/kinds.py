"""Of which kind a value is, without running code of its own: `__class__` may be a property."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from builtins import isinstance as is_a
else:

    def is_a(value, kinds):
        """Says whether a value is of one of some classes, whatever it claims to be."""
        return issubclass(type(value), kinds)


__all__ = ["is_a"]
