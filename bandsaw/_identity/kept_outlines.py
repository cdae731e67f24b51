"""What the source of large modules says, kept in our home folder by the digest of its text.

To find it out takes most of the time that a first id of a large project takes. It is plain data,
and follows from the text alone, from what is built in, and from whose modules it imports: those
answers are kept with it, and asked again before it is believed.
"""

from __future__ import annotations

import builtins
import marshal
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Optional

from . import kept_texts
from .changes import Changes
from .kept_texts import Text, is_large
from .uses import Origin, Use, Uses

_KIND = "outline"


class Top(NamedTuple):
    """What the top level of a module binds, see `Outline`."""

    names: frozenset[str]
    imports: dict[str, list[Origin]]
    stars: list[Origin]
    loops: frozenset[str]
    has_run: bool  # whether it has more than functions, constants and imports


class Facts:
    """What was found out of the source of a module.

    Of one that is kept, what is said of its parts is plain text until somebody asks for it.
    """

    def __init__(self) -> None:
        self.top: Optional[Top] = None
        self.foreign: dict[tuple[str, int], bool] = {}  # whether imports are of other projects
        self.built_in: dict[str, bool] = {}
        self.said: dict[str, bool] = {}
        self.origins: Optional[frozenset[Origin]] = None
        self.parts: dict[str, tuple[bytes, Uses]] = {}
        self.changes: dict[str, Changes] = {}
        self.is_kept = False
        self._plain_parts: dict[str, tuple[bytes, bytes]] = {}
        self._plain_changes: dict[str, bytes] = {}

    def part(self, name: str) -> Optional[tuple[bytes, Uses]]:
        """Returns the digest of a part, and what it uses."""
        plain = self._plain_parts.get(name)
        if plain is None:
            return self.parts.get(name)
        return plain[0], uses_of_plain(plain[1])

    def digest(self, name: str) -> Optional[bytes]:
        known = self._plain_parts.get(name) or self.parts.get(name)
        return None if known is None else known[0]

    def changes_of(self, name: str) -> Optional[Changes]:
        plain = self._plain_changes.get(name)
        return self.changes.get(name) if plain is None else changes_of_plain(plain)

    def take(self, parts: dict[str, tuple[bytes, bytes]], changes: dict[str, bytes]) -> None:
        """Takes what is plain of the parts in place of what was made of that."""
        self._plain_parts, self._plain_changes = parts, changes
        self.parts.clear()
        self.changes.clear()
        self.is_kept = True


_use: Callable[[Iterable[Any]], Use] = Use._make
_origin: Callable[[Iterable[Any]], Origin] = Origin._make


def holds(facts: Facts, is_foreign: Callable[[Origin], bool]) -> bool:
    """Says whether all answers are still the same that facts were made with."""
    return all(
        is_foreign(Origin(module, None, level)) is answer
        for (module, level), answer in facts.foreign.items()
    ) and all(hasattr(builtins, name) is answer for name, answer in facts.built_in.items())


def read(text: Text) -> Optional[Facts]:
    """Finds what is kept of a text; `None` if nothing is, or nothing to be believed."""
    plain = kept_texts.read(_KIND, text) if is_large(text) else None
    try:
        return None if plain is None else _facts_of(plain)
    except (ValueError, TypeError):
        return None


def write(text: Text, facts: Facts) -> bool:
    """Keeps all that was found out of a text, if that can be. Returns whether it is kept."""
    try:
        plain = _plain(facts)
    except (ValueError, RuntimeError):
        return False
    facts.take(*plain[-2:])
    return kept_texts.write(_KIND, text, plain)


def _plain(facts: Facts) -> Any:
    top = facts.top
    assert top is not None
    imports = {name: _tuples(origins) for name, origins in top.imports.items()}
    parts = {name: (digest, plain_uses(uses)) for name, (digest, uses) in facts.parts.items()}
    changes = {name: plain_changes(c) for name, c in facts.changes.items()}
    origins = None if facts.origins is None else _tuples(facts.origins)
    plain_top = top.names, imports, _tuples(top.stars), top.loops, top.has_run
    return plain_top, facts.foreign, facts.built_in, facts.said, origins, parts, changes


def plain_uses(uses: Uses) -> bytes:
    found = [(*use[:2], use.origin and tuple(use.origin), use[3]) for use in uses.names]
    return marshal.dumps((found, uses.dynamic))


def uses_of_plain(plain: bytes) -> Uses:
    uses, dynamic = marshal.loads(plain)
    found = [_use((c, line, o and _origin(o), d)) for c, line, o, d in uses]
    return Uses(tuple(found), dynamic)


def plain_changes(changes: Changes) -> bytes:
    return marshal.dumps(_tuple_of(changes))


def changes_of_plain(plain: bytes) -> Changes:
    return _changes_of(marshal.loads(plain))


def _tuples(origins: Iterable[Origin]) -> list[tuple[Any, ...]]:
    return [tuple(origin) for origin in origins]


def _tuple_of(changes: Changes) -> tuple[Any, ...]:
    methods = [(name, _tuple_of(method)) for name, method in changes.methods]
    return tuple(changes._replace(methods=methods))  # type: ignore[arg-type]


def _facts_of(data: Any) -> Facts:
    facts = Facts()
    top, facts.foreign, facts.built_in, facts.said, origins, parts, changes = data
    names, imports, stars, loops, has_run = top
    imports = {name: _origins(found) for name, found in imports.items()}
    facts.top = Top(names, imports, _origins(stars), loops, has_run)
    facts.origins = None if origins is None else frozenset(_origins(origins))
    facts.take(parts, changes)
    return facts


def _origins(found: Any) -> list[Origin]:
    return list(map(_origin, found))


def _changes_of(found: Any) -> Changes:
    # Most of the sets are empty, and there may be thousands.
    parts: Any = [each or (_EMPTY if type(each) is frozenset else each) for each in found]
    changes = Changes(*parts)
    methods = tuple([(name, _changes_of(method)) for name, method in changes.methods])
    return changes._replace(methods=methods)


_EMPTY: frozenset[Any] = frozenset()
