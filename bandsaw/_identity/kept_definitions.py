"""What the source of large modules says of each definition, kept by the digest of its text.

A function or a class finds its definition by its name, its first line and its byte code, without
the syntax tree. Whether a decorator is that of a task depends on what it stands for: those answers
are kept with a definition, and asked again before it is believed.
"""

from __future__ import annotations

from types import CodeType
from typing import Any, NamedTuple, Optional

from . import kept_texts
from .kept_texts import Text, is_long
from .matching import digest_of_byte_code

_KIND = "definitions"


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
        first_set: The same with those that fill it, and what they use, plain.
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
        digests, kept = self.functions.get((code.co_name, code.co_firstlineno), _NOWHERE)
        return _believed(kept) if digest_of_byte_code(code) in digests else None

    def class_(self, qualified_name: str, codes: list[CodeType]) -> Optional[KeptDefinition]:
        """Finds what is kept of a class with the byte code of its methods, as `function` does."""
        if any(self.function(code) is None for code in codes):
            return None
        found = self.classes.get(qualified_name, [])
        if codes:
            line = min(code.co_firstlineno for code in codes)
            found = [each for each in found if each[0] <= line <= each[1]]
        return _believed(found[-1][2]) if found else None


def _believed(kept: Optional[tuple[Any, ...]]) -> KeptDefinition:
    if kept is None:
        raise LookupError
    return KeptDefinition._make(kept)


_NOWHERE: tuple[frozenset[bytes], None] = frozenset(), None


def read(text: Text) -> Optional[Table]:
    """Finds what is kept of a text; `None` if nothing is, or nothing to be believed."""
    plain = kept_texts.read(_KIND, text) if is_long(text) else None
    try:
        return None if plain is None else Table._make(plain)
    except TypeError:
        return None


def write(text: Text, table: Table) -> bool:
    """Keeps what was found out of a text, if that can be. Returns whether it is kept."""
    return kept_texts.write(_KIND, text, tuple(table))
