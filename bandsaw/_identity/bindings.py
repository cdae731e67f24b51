"""Which names a scope binds, and what it and those in it use from outside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Optional

from .uses import Origin, Use


class Scope:
    def __init__(self, kind: str, parent: Optional[Scope]) -> None:
        self.kind = kind
        self.parent = parent
        self.bound: dict[str, int] = {}
        self.free: set[str] = set()
        self.enclosing: set[str] = set()
        self.imports: dict[str, Origin] = {}
        # With the first line of each. Where it is may count in the body of a class.
        self.uses: dict[tuple[tuple[str, ...], bool, int], int] = {}
        self._is_class = kind == "class"
        self.children: list[Scope] = []
        if parent is not None:
            parent.children.append(self)

    def use(self, chain: tuple[str, ...], line: int, is_decorator: bool) -> None:
        key = chain, is_decorator, line if self._is_class else 0
        known = self.uses.get(key)
        if known is None or line < known:
            self.uses[key] = line

    def bind(self, name: str, line: int) -> None:
        self.bound[name] = min(line, self.bound.get(name, line))


def collected(scope: Scope) -> Iterator[Use]:
    for (chain, is_decorator, _), line in scope.uses.items():
        for origin in _origins(scope, chain[0], line):
            yield Use(chain, line, origin, is_decorator)
    for child in scope.children:
        yield from collected(child)


def _origins(scope: Scope, name: str, line: int) -> list[Optional[Origin]]:
    """Returns nothing for a local name, `None` for one from outside, else its import."""
    current: Optional[Scope] = scope
    while current is not None:
        is_visible = current is scope or current.kind != "class"
        if name in current.free:
            return [None]
        if is_visible and name in current.bound and name not in current.enclosing:
            origin = current.imports.get(name)
            found: list[Optional[Origin]] = [] if origin is None else [origin]
            if current.kind == "class" and line <= current.bound[name]:
                # `x = x` in the body of a class reads the global one.
                found.append(None)
            return found
        current = current.parent
    return [None]
