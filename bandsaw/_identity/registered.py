"""What a module gives to installed packages as it is loaded: they call it, and name it nowhere.

As in `yaml.SafeLoader.add_constructor("!unit", read_unit)` at the top level, or by a decorator with
arguments that gives the function back as it is: `@Language.component("clean")`. It counts for all
functions and classes of that module, with the statement.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any, Optional

from .by_source import Reader
from .firstparty import is_first_party
from .forms import PARTS, Form
from .kinds import attributes_of, is_a, name_of_module
from .names import resolve
from .sources import Source, module_source
from .stored import is_strange
from .uses import Use, Uses, absolute

_REGISTERED = "<registered>"
_LAMBDA = b"(Lambda"


def resolved(
    uses: Uses,
    namespace: dict[str, Any],
    cells: dict[str, Any],
    source: Optional[Source],
    reader: Reader,
) -> Iterator[tuple[Use, str, Any]]:
    """Yields what the names that a definition uses stand for, and what its module registers."""
    for use in uses.names:
        yield use, *resolve(use, namespace, cells, source, reader)
    form = _registered(str(namespace.get("__name__")), reader)
    if form.children:
        yield Use((_REGISTERED,), 0), _REGISTERED, form


def _registered(module_name: str, reader: Reader) -> Form:
    # Functions that a decorator makes of a text may have variables of their own.
    module = sys.modules.get(module_name)
    key = id(module), _REGISTERED
    if key not in reader.stated:
        source = module_source(module) if is_a(module, ModuleType) else None
        parts = [] if source is None else _parts(attributes_of(module), source, reader)
        reader.stated[key] = Form(b"!registered;", PARTS, parts)
    return reader.stated[key]


def _parts(namespace: Any, source: Source, reader: Reader) -> list[Any]:
    parts: list[Any] = []
    for root in source.roots_of_calls:
        if _is_installed(root, namespace, source):
            written, uses = source.statements_of_calls(root)
            given = [use for use in uses.names if is_strange(_value_of(use, namespace))]
            if given or any(_LAMBDA in each for each in written):
                parts += written
                for use in given:
                    parts += resolve(use, namespace, {}, source, reader)
    return parts


def _is_installed(root: str, namespace: dict[str, Any], source: Source) -> bool:
    origin = source.imports.get(root)
    if origin is not None:
        return not is_first_party(absolute(origin, namespace.get("__package__")))
    value = namespace.get(root)
    return is_a(value, ModuleType) and not is_first_party(name_of_module(value))


def _value_of(use: Use, namespace: dict[str, Any]) -> Any:
    value = namespace.get(use.chain[0])
    for name in use.chain[1:]:
        if not is_a(value, ModuleType):
            break
        value = attributes_of(value).get(name)
    return value
