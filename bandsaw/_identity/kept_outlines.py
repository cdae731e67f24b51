"""What the source of large modules says, kept in our home folder by the digest of its text.

To find it out takes most of the time that a first id of a large project takes. It is plain data,
and follows from the text alone, from what is built in, and from whose modules it imports: those
answers are kept with it, and asked again before it is believed.

A function or a class finds its definition by its name, its first line and its byte code, without
the syntax tree. Whether a decorator is that of a task depends on what it stands for: those answers
are kept with a definition, and asked again, too.
"""

from __future__ import annotations

import builtins
import marshal
from collections.abc import Callable, Iterable
from types import CodeType
from typing import Any, NamedTuple, Optional, Union

from . import kept_texts
from .changes import Changes
from .kept_texts import Text, is_large, is_long
from .matching import place_of
from .uses import Origin, Use, Uses

_OUTLINE, _DEFINITIONS = "outline", "definitions"


class Top(NamedTuple):
    """What the top level of a module binds, see `Outline`."""

    names: frozenset[str]
    imports: dict[str, list[Origin]]
    stars: list[Origin]
    loops: frozenset[str]
    has_run: bool  # whether it has more than functions, constants and imports


class Facts:
    """What was found out of the source of a module.

    Of one that is kept, what its parts use and change is plain until somebody asks for it.
    """

    def __init__(self) -> None:
        self.top: Optional[Top] = None
        self.foreign: dict[tuple[str, int], bool] = {}  # whether imports are of other projects
        self.built_in: dict[str, bool] = {}
        self.said: dict[str, bool] = {}
        self.origins: Optional[frozenset[Origin]] = None
        self.parts: dict[str, tuple[bytes, Union[Uses, bytes]]] = {}
        self.changes: dict[str, Union[Changes, bytes]] = {}
        self.is_kept = False

    def part(self, name: str) -> tuple[bytes, Uses]:
        """Returns the digest of a part, and what it uses."""
        digest, uses = self.parts[name]
        return digest, uses_of_plain(uses)

    def changes_of(self, name: str) -> Optional[Changes]:
        known = self.changes.get(name)
        return None if known is None else changes_of_plain(known)


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
    plain = kept_texts.read(_OUTLINE, text) if is_large(text) else None
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
    facts.parts, facts.changes = plain[-2:]
    facts.is_kept = True
    return kept_texts.write(_OUTLINE, text, plain)


def _plain(facts: Facts) -> Any:
    top = facts.top
    assert top is not None
    imports = {name: _tuples(origins) for name, origins in top.imports.items()}
    parts = {name: (digest, plain_uses(uses)) for name, (digest, uses) in facts.parts.items()}
    changes = {name: plain_changes(c) for name, c in facts.changes.items()}
    origins = None if facts.origins is None else _tuples(facts.origins)
    plain_top = top.names, imports, _tuples(top.stars), top.loops, top.has_run
    return plain_top, facts.foreign, facts.built_in, facts.said, origins, parts, changes


def plain_uses(uses: Union[Uses, bytes]) -> bytes:
    if isinstance(uses, bytes):
        return uses
    found = [(*use[:2], use.origin and tuple(use.origin), use[3]) for use in uses.names]
    return marshal.dumps((found, uses.dynamic))


def uses_of_plain(plain: Union[Uses, bytes]) -> Uses:
    if not isinstance(plain, bytes):
        return plain
    uses, dynamic = marshal.loads(plain)
    found = [_use((c, line, o and _origin(o), d)) for c, line, o, d in uses]
    return Uses(tuple(found), dynamic)


def plain_changes(changes: Union[Changes, bytes]) -> bytes:
    return changes if isinstance(changes, bytes) else marshal.dumps(_tuple_of(changes))


def changes_of_plain(plain: Union[Changes, bytes]) -> Changes:
    return plain if not isinstance(plain, bytes) else _changes_of(marshal.loads(plain))


def _tuples(origins: Iterable[Origin]) -> list[tuple[Any, ...]]:
    return [tuple(origin) for origin in origins]


def _tuple_of(changes: Changes) -> tuple[Any, ...]:
    methods = [(name, _tuple_of(method)) for name, method in changes.methods]
    return tuple(changes._replace(methods=methods))  # type: ignore[arg-type]


def _facts_of(data: Any) -> Facts:
    facts = Facts()
    top, facts.foreign, facts.built_in, facts.said, origins, facts.parts, facts.changes = data
    facts.is_kept = True
    names, imports, stars, loops, has_run = top
    imports = {name: _origins(found) for name, found in imports.items()}
    facts.top = Top(names, imports, _origins(stars), loops, has_run)
    facts.origins = None if origins is None else frozenset(_origins(origins))
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


class KeptDefinition(NamedTuple):
    """What is kept of a definition, plain."""

    digest: bytes  # the SHA-256 of its normal form
    uses: bytes  # what it uses from outside
    changes: bytes  # what it changes when it is called
    # Whether decorators are those of tasks, by the names that they are written with.
    asked: tuple[tuple[tuple[str, ...], bool], ...]
    says: tuple[Any, ...]  # of a class its `Body`, of a function its `Defaults`


class Table(NamedTuple):
    """What is kept of a module.

    Attributes:
        functions: The digests of the byte code that its functions have, and what is kept of each,
            nothing where only the syntax tree tells, by name and first line.
        classes: The first and last lines of its classes, and what is kept of each, as of
            functions, by the qualified name.
        imports: What its top-level `from` imports bind: the module, the name in it and the level.
        imported: The modules that its top level imports, with the level and the names.
        assigned: The statements that assign a name at its top level, in their normal form.
        first_set: The same with those that fill it, or a class, and what they use, plain.
        computed: The names for which one of them has more than a literal.
        defined: The functions and classes at its top level, and whether they are decorated.
    """

    functions: dict[tuple[str, int], tuple[frozenset[bytes], Optional[tuple[Any, ...]]]]
    classes: dict[str, list[tuple[int, int, Optional[tuple[Any, ...]]]]]
    imports: dict[str, tuple[str, str, int]]
    imported: list[tuple[str, int, tuple[str, ...]]]
    assigned: dict[str, tuple[bytes, ...]]
    first_set: dict[str, tuple[tuple[bytes, ...], bytes]]
    computed: frozenset[str]
    defined: dict[str, bool]

    def function(self, code: CodeType) -> Optional[KeptDefinition]:
        """Finds what is kept of a function; `None` if its source does not compile to its code.

        Raises LookupError: If that is not to be told without the syntax tree.
        """
        key = self._place_of(code)
        return None if key is None else _believed(self.functions[key][1])

    def class_(self, qualified_name: str, codes: list[CodeType]) -> Optional[KeptDefinition]:
        """Finds what is kept of a class with the byte code of its methods, as `function` does."""
        lines = []
        for code in codes:
            key = self._place_of(code)
            if key is None:
                return None
            _believed(self.functions[key][1])
            lines.append(key[1])
        found = self.classes.get(qualified_name, [])
        if lines:
            line = min(lines)
            found = [each for each in found if each[0] <= line <= each[1]]
        elif len(found) > 1:
            raise LookupError
        return _believed(found[-1][2]) if found else None

    def _place_of(self, code: CodeType) -> Optional[tuple[str, int]]:
        return place_of(code, self.functions, lambda key: self.functions.get(key, _NOWHERE)[0])


def _believed(kept: Optional[tuple[Any, ...]]) -> KeptDefinition:
    if kept is None:
        raise LookupError
    return KeptDefinition._make(kept)


_NOWHERE: tuple[frozenset[bytes], None] = frozenset(), None


def read_table(text: Text) -> Optional[Table]:
    """Finds what is kept of the definitions in a text; `None` as `read` does."""
    plain = kept_texts.read(_DEFINITIONS, text) if is_long(text) else None
    try:
        return None if plain is None else Table._make(plain)
    except TypeError:
        return None


def write_table(text: Text, table: Table) -> None:
    """Keeps what was found out of the definitions in a text, if that can be."""
    kept_texts.write(_DEFINITIONS, text, tuple(table))
