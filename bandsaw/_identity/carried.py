"""Whether another process that loads the same files has the code that an id speaks of.

near: carried_by(seen) ─► what only memory holds: it cannot be there
─► values that the files do not say: their digests go along
far:  Arrived(code) ─► those that have another value there, see `compared`
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any, NamedTuple

from ..modules import file_of
from .compared import ABSENT, MADE_ANEW, digest_of, is_hidden
from .definitions import definition_of
from .first_values import MISSING
from .firstparty import canonical_module_name
from .kinds import attributes_of, is_a, module_of, name_of, qualname_of
from .sources import Source
from .static_names import (
    CONTAINERS,
    PLAIN,
    changed_members,
    is_computed,
    is_literal,
    is_said,
    paired_defaults,
    said_in,
    source_of_namespace,
)
from .stored import counts_in_a_class, is_code, is_mock, is_special_of_the_user, unwrapped
from .syntax import DEFINITIONS
from .uses import absolute
from .watch import Seen, given_code


class Carried(NamedTuple):
    """What of the code an id speaks of another process may not have."""

    changed: tuple[str, ...]  # the names of what was changed in memory
    values: Mapping[str, str]  # the digests of values that the files do not say, by their names
    filled: frozenset[str]  # of these the containers that they say, and that anybody may fill
    state: tuple[str, ...]  # the names of attributes that the code itself assigns or fills


def carried_by(seen: Seen) -> Carried:
    """Compares what was read for an id with what its files say."""
    changed: dict[str, None] = {}
    values: dict[str, str] = {}
    filled: set[str] = set()

    def is_digested(key: str, value: Any, suffix: str = "") -> bool:
        digest = digest_of(value)
        if digest is not None:
            values[key] = digest + suffix
        return digest is not None

    def is_set(key: str, value: Any) -> bool:
        # Any module may have done it as it was loaded, on each machine: the other process tells.
        return not (value is MISSING or is_mock(value)) and is_digested(key, value, MADE_ANEW)

    for name in sorted(seen.replaced):
        module, place, owner = _place_of(name)
        value = attributes_of(owner).get(place.rpartition(".")[2], MISSING)
        home = sys.modules.get(module_of(owner)) if is_a(owner, type) else owner
        if "__builtins__" not in attributes_of(home) or not is_set(f"{module}:{place}", value):
            changed[name] = None
    for namespace, name, value in list(seen.names.values()):
        source = source_of_namespace(namespace)
        if id(namespace) in seen.places:
            if value is not MISSING:
                is_digested(f"{seen.places[id(namespace)]}.{name}", value)
            continue
        if source is None or is_a(value, ModuleType):
            continue
        namespace, name, source = _origin(namespace, name, source, value)
        module = canonical_module_name(namespace["__name__"])
        if value is MISSING:
            if name in source.defined or name in source.imports or source.assigns(name):
                values[f"{module}:{name}"] = ABSENT
            continue
        said = is_said(name, value, namespace, source)
        if said is False:
            if is_set(f"{module}:{name}", value):
                continue
            changed[f"{module}.{name}"] = None
        if said is None or not (said or is_a(value, (FunctionType, type))):
            is_digested(f"{module}:{name}", value)
    for one in list(seen.owners.values()):
        owner = one.owner
        if not is_a(owner, type) or is_hidden(owner):
            continue
        module, place = canonical_module_name(module_of(owner)), qualname_of(owner)
        expressions = said_in(owner)
        found = changed_members(owner, one.state)
        others = {name: is_sure for name, is_sure in found if name not in one.left_out}
        for name, value in one.state.items():
            if name in seen.attributes or name == _MADE_WHEN_ASKED_FOR:
                continue
            is_made = name[:2] == "__" and not is_special_of_the_user(name, value)
            in_body = name in expressions
            if _has_defaults(value) if is_made else _is_compared(owner, name, value, in_body):
                key = f"{module}:{place}.{name}"
                if is_digested(key, value) and name not in others:
                    if not is_computed(expressions.get(name), value):
                        filled.add(key)
        for name in sorted(others):
            if others[name] or name not in seen.attributes:
                value = one.state.get(name, MISSING)
                if value is MISSING and name != "__bases__":
                    values[f"{module}:{place}.{name}"] = ABSENT
                elif not is_set(f"{module}:{place}.{name}", value):
                    changed[f"{module}.{place}.{name}"] = None
    for function, *_ in list(seen.functions.values()):
        module = canonical_module_name(function.__globals__.get("__name__"))
        key = f"{module}:{function.__qualname__}"
        if _is_only_in_memory(function):
            is_made_there = _is_decorated_there(function)
            if not (is_made_there and is_digested(key, _member_of(function), MADE_ANEW)):
                changed[f"{module}.{function.__qualname__}"] = None
        elif _holds_by_default(function):
            is_digested(key, function)
    state = tuple(sorted(seen.attributes)) if values else ()
    return Carried(tuple(changed), MappingProxyType(values), frozenset(filled), state)


def _place_of(name: str) -> tuple[str, str, Any]:
    """Finds the module, the name in it, and what has the last part of that, of something dotted."""
    module, place = name, ""
    while module and module not in sys.modules:
        module, _, last = module.rpartition(".")
        place = f"{last}.{place}" if place else last
    owner: Any = sys.modules.get(module)
    for each in place.split(".")[:-1]:
        owner = attributes_of(owner).get(each, MISSING)
    return module, place, owner


# Where a flag has the combinations of its members: each is put there when it is first asked for.
_MADE_WHEN_ASKED_FOR = "_value2member_map_"


def _origin(
    namespace: Mapping[str, Any], name: str, source: Source, value: Any
) -> tuple[Mapping[str, Any], str, Source]:
    """Finds where a name that modules import from each other stands for a value first."""
    seen = set()
    while name in source.imports and (id(namespace), name) not in seen:
        seen.add((id(namespace), name))
        imported = source.imports[name]
        there = attributes_of(sys.modules.get(absolute(imported, namespace.get("__package__"))))
        home = source_of_namespace(there)
        if home is None or there.get(imported[1], MISSING) is not value:
            break
        namespace, name, source = there, imported[1], home
    return namespace, name, source


def _has_defaults(member: Any) -> bool:
    """Says whether a method has defaults, which decorators of classes read from their fields."""
    return any(
        is_a(each, FunctionType) and bool(each.__defaults__ or each.__kwdefaults__)
        for each in unwrapped(member)
    )


def _is_compared(owner: type, name: str, member: Any, in_body: bool) -> bool:
    """Says whether a member of a class may be another one than the body of the class says."""
    is_container = any(type(member) is each for each in CONTAINERS)
    if is_container or counts_in_a_class(member, owner) or is_a(member, PLAIN):
        return True
    if in_body and not is_code(member):
        return True
    own = f"{qualname_of(owner)}.{name}"
    return name_of(type(member)) == "functools._lru_cache_wrapper" or any(
        is_a(each, FunctionType) and (each.__qualname__ != own or "__wrapped__" in each.__dict__)
        for each in unwrapped(member)
    )


def _is_only_in_memory(function: FunctionType) -> bool:
    if any(code is function.__code__ for code in given_code):
        return True
    source = source_of_namespace(function.__globals__)
    if source is None:
        return False
    name, code = function.__qualname__, function.__code__
    if source.defined.get(name) is False and code.co_name != name:
        return True  # it was given other code
    home = file_of(sys.modules.get(function.__globals__["__name__"]))
    is_renamed = code.co_name != name.rpartition(".")[2] and "__wrapped__" not in function.__dict__
    if is_renamed and home not in (None, code.co_filename):
        return True  # the same for a decorated one, or a method
    definition = definition_of(function)
    # Methods of data classes are made of a text.
    if code.co_name == "<lambda>" or code.co_filename == "<string>":
        return False
    if not definition.is_by_source:
        return True
    pairs = paired_defaults(function, definition.says)
    return pairs is None or any(is_literal(said, value) is False for said, value in pairs)


def _is_decorated_there(function: FunctionType) -> bool:
    """Says whether a decorator may have made the code, as it does in each process."""
    source = source_of_namespace(function.__globals__)
    if source is None or any(code is function.__code__ for code in given_code):
        return False
    found: Any = source.tree
    is_decorated = False
    for name in function.__qualname__.split("."):
        named = [node for node in found.body if getattr(node, "name", None) == name]
        found = named[-1] if named else ast.Pass()
        if not is_a(found, DEFINITIONS):
            return False
        is_decorated = is_decorated or bool(found.decorator_list)
    return is_decorated and any(each is function for each in unwrapped(_member_of(function)))


def _member_of(function: FunctionType) -> Any:
    """What has the function's name in its module or class."""
    found: Any = sys.modules.get(str(function.__globals__.get("__name__")))
    for name in function.__qualname__.split("."):
        found = attributes_of(found).get(name)
    return found


def _holds_by_default(function: FunctionType) -> bool:
    """Says whether a function that has a name of its own has defaults that others may change."""
    code, given = function.__code__, function.__defaults__ or ()
    names = code.co_varnames[: code.co_argcount]
    held = {**dict(zip(names[len(names) - len(given) :], given)), **(function.__kwdefaults__ or {})}
    left = [name for name, each in held.items() if not is_a(each, (*PLAIN, FunctionType, type))]
    if not left or not definition_of(function).changes.names.isdisjoint(left):
        return False
    return _member_of(function) is function
