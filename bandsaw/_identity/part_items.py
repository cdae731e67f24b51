"""Items that say what a task id is made of: many are put together."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from hashlib import sha256
from typing import Any

from .firstparty import canonical_module_name, is_first_party
from .kinds import is_a

DIGITS = 16
ANY = "*"  # the name of the item of all variables of a module

# The kind, the name, the place and a text, see `bandsaw.fingerprint.parts_of`.
Item = tuple[str, str, str, str]


def module_item(module_name: str, digest: bytes) -> Item:
    """Makes the item of a module that counts as a whole."""
    name = canonical_module_name(module_name)
    return "module", name, place_of(module_name), digest.hex()[:DIGITS]


def merged(items: list[tuple[Any, Item]]) -> list[tuple[Any, Item]]:
    """Makes one item of functions or classes that have one name, as closures have."""
    found: dict[tuple[str, str, str], tuple[Any, set[str]]] = {}
    kept = {}
    for home, item in items:
        if item[0] in ("function", "class"):
            found.setdefault(item[:3], (home, set()))[1].add(item[3])
        else:
            kept[item] = home
    merged: list[tuple[Any, Item]] = [(home, item) for item, home in kept.items()]
    for key, (home, texts) in found.items():
        text = texts.pop() if len(texts) == 1 else hex_of(texts)
        merged.append((home, (*key, text)))
    return merged


def by_module(
    items: list[tuple[Any, Item]], computed: Mapping[str, str], limit: int
) -> list[tuple[Any, Item]]:
    """Makes one item of each module, beside those of variables that the source does not say.

    Of more variables than the limit, there is one item for those of a module.
    """
    used = {item[1] for _, item in items if item[0] == "value"}
    used |= {name.rpartition(".")[2] for name in used}
    computed = {key: digest for key, digest in computed.items() if key.partition(":")[2] in used}
    values: list[tuple[Any, Item]] = []
    for key, digest in computed.items():
        home, _, name = key.partition(":")
        values.append((home, ("value", name, place_of(home), digest[:DIGITS])))
    if len(values) > limit:
        texts: dict[str, list[str]] = {}
        for home, item in values:
            texts.setdefault(home, []).append(repr(item))
        values = [(h, ("value", ANY, place_of(h), hex_of(found))) for h, found in texts.items()]
    names = {key.partition(":")[2] for key in computed}
    kept = values
    groups: dict[Any, list[str]] = {}
    for home, item in items:
        if item[0] == "value" and not names.isdisjoint((item[1], item[1].rpartition(".")[2])):
            continue
        if item[0] in ("function", "class", "method", "value", "assigned"):
            groups.setdefault(home, []).append(repr(item))
        else:
            kept.append((home, item))
    for home, found in groups.items():
        kept.append((home, module_item(str(home), bytes.fromhex(hex_of(found)))))
    return kept


def hex_of(texts: Iterable[str]) -> str:
    return sha256("\n".join(sorted(texts)).encode("ascii", "backslashreplace")).hexdigest()[:DIGITS]


def place_of(module_name: Any) -> str:
    if not is_a(module_name, str) or not is_first_party(module_name):
        return ""
    path = canonical_module_name(module_name).replace(".", "/")
    is_package = "__path__" in getattr(sys.modules.get(module_name), "__dict__", {})
    return f"{path}/__init__.py" if is_package else f"{path}.py"
