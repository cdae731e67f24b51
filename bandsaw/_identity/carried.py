"""Whether another process that loads the same files has the code that an id speaks of.

near: carried_by(seen) ─► what only memory holds: it cannot be there
─► values that the files do not say: their digests go along
far:  differing(values) ─► those that have another value there
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any, NamedTuple, Optional

from ..modules import file_of, main_module_name
from .canonical import WITHOUT_FORM, Writer, as_leaf
from .definitions import definition_of
from .firstparty import is_first_party
from .globals import canonical_module_name
from .kinds import attributes_of, bases_of, is_a, module_of, name_of_module, qualname_of
from .sources import Source, source_of
from .stored import counts_in_a_class, is_mock, is_strange
from .watch import MISSING, Seen, content_of

_CONTAINERS = (list, dict, set)
_NUMBERS = (bool, int, float, complex, type(None))


class Carried(NamedTuple):
    """What of the code an id speaks of another process may not have."""

    changed: tuple[str, ...]  # the names of what was changed in memory
    values: Mapping[str, str]  # the digests of values that the files do not say, by their names
    filled: frozenset[str]  # of these the containers that they say, and that anybody may fill


def carried_by(seen: Seen) -> Carried:
    """Compares what was read for an id with what its files say."""
    changed: dict[str, None] = {}
    values: dict[str, str] = {}
    filled: set[str] = set()
    for namespace, name, value in list(seen.names.values()):
        source = _source_of_namespace(namespace)
        if id(namespace) in seen.places:
            digest = _digest(value)
            if digest is not None and value is not MISSING:
                values[f"{seen.places[id(namespace)]}.{name}"] = digest
            continue
        if source is None or is_a(value, ModuleType):
            home = namespace.get("__name__")
            if is_a(home, str) and not is_first_party(home) and is_strange(value):
                changed[f"{home}.{name}"] = None
            continue
        is_said = _is_said(name, value, namespace, source)
        if is_said is None:
            digest = _digest(value)
            if digest is not None:
                values[f"{canonical_module_name(namespace['__name__'])}:{name}"] = digest
        elif not is_said:
            changed[f"{canonical_module_name(namespace['__name__'])}.{name}"] = None
    for one in list(seen.owners.values()):
        owner = one.owner
        if is_a(owner, type):
            module = canonical_module_name(module_of(owner))
            place = qualname_of(owner)
            said = _said_in(owner)
            for name in _changed_members(owner, one.state):
                changed[f"{module}.{place}.{name}"] = None
            for name, value in one.state.items():
                if name in seen.attributes or name[:2] == "__":
                    continue
                is_computed = is_a(value, _PLAIN) and _is_computed(said.get(name), value)
                if is_computed or counts_in_a_class(value) or is_a(value, _CONTAINERS):
                    digest = _digest(value)
                    if digest is not None:
                        values[f"{module}:{place}.{name}"] = digest
                        if not _is_computed(said.get(name), value):
                            filled.add(f"{module}:{place}.{name}")
    for function, *_ in list(seen.functions.values()):
        if _is_only_in_memory(function):
            module = canonical_module_name(function.__globals__.get("__name__"))
            changed[f"{module}.{function.__qualname__}"] = None
    return Carried(tuple(changed), MappingProxyType(values), frozenset(filled))


def _source_of_namespace(namespace: Mapping[str, Any]) -> Optional[Source]:
    """The source of a module of the project that has a file; the cells of a notebook have none."""
    name = namespace.get("__name__")
    module = sys.modules.get(name) if is_a(name, str) else None
    if module is None or attributes_of(module) is not namespace or not is_first_party(str(name)):
        return None
    file = file_of(module)
    return source_of(file, dict(namespace)) if is_a(file, str) else None


def _is_said(name: str, value: Any, namespace: Mapping[str, Any], source: Source) -> Optional[bool]:
    """Whether the file says that a name stands for a value; `None` if that cannot be told."""
    imported = source.imports.get(name)
    if imported is not None:
        home = sys.modules.get(_home(imported, namespace))
        if home is None:
            return None
        found = attributes_of(home).get(imported[1], MISSING)
        return None if found is MISSING else found is value
    if is_a(value, (FunctionType, type)):
        if "bandsaw_task" in attributes_of(value):
            return True
        if is_a(value, FunctionType) and value.__globals__ is namespace:
            if value.__qualname__ == name and "__wrapped__" not in value.__dict__:
                return True  # whether its own code is in the file is seen elsewhere
        elif is_a(value, type) and (module_of(value), qualname_of(value)) == (
            namespace.get("__name__"), name,
        ):  # fmt: skip
            return True
        return None if name in source.assigned or source.defined.get(name) else False
    if value is MISSING or name.startswith("__"):
        return True
    if name in source.defined and name not in source.assigned:
        return None if source.defined[name] else False
    statements = source.assigned.get(name, [])
    if len(statements) == 1 and is_a(statements[0], (ast.Assign, ast.AnnAssign)):
        statement = statements[0]
        targets = statement.targets if is_a(statement, ast.Assign) else [statement.target]
        if all(is_a(target, ast.Name) for target in targets) and statement.value is not None:
            return is_literal(statement.value, value)
    return None


def is_literal(node: ast.expr, value: Any, seen: Optional[Seen] = None) -> Optional[bool]:
    """Says whether a value is what an expression says; `None` if that cannot be told."""
    try:
        literal = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    ours, theirs = _digest(literal), _digest(value, seen)
    return None if theirs is None else ours == theirs


def _home(imported: tuple[str, str, int], namespace: Mapping[str, Any]) -> str:
    module, _, level = imported
    if not level:
        return module
    parts = str(namespace.get("__package__") or "").split(".")
    kept = parts[: len(parts) - level + 1]
    return ".".join([*kept, module] if module else kept)


def _changed_members(cls: type, members: Mapping[str, Any]) -> Iterator[str]:
    """Yields the names of members that were set from outside of the body of a class."""
    module, node = sys.modules.get(module_of(cls)), _node_of(cls)
    if node is None:
        return
    bound = {getattr(child, "name", None) for child in node.body}
    bases = [_said_by(base, attributes_of(module)) for base in node.bases]
    if MISSING not in bases and not node.keywords:
        if [*map(id, bases)] != [id(base) for base in bases_of(cls) if base is not object]:
            yield "__bases__"
    for name, member in members.items():
        if is_mock(member):
            yield name
        if not is_a(member, FunctionType) or name.startswith("__"):
            continue
        if name in bound:
            is_own = member.__qualname__ == f"{qualname_of(cls)}.{name}"
            if not is_own and not _is_decorated(node, name):
                yield name
        elif not node.decorator_list and member.__module__ != module_of(cls):
            yield name
    for name, expression in _said_in(cls).items():
        member = members.get(name, MISSING)
        if expression is not None and is_a(member, _PLAIN):
            if is_literal(expression, member) is False:
                yield name
        elif expression is not None and is_a(member, type):
            if _said_by(expression, attributes_of(module)) not in (member, MISSING):
                yield name


def _node_of(cls: type) -> Optional[ast.ClassDef]:
    module = sys.modules.get(module_of(cls))
    source = None if module is None else _source_of_namespace(attributes_of(module))
    return None if source is None else source.class_(qualname_of(cls), [])


def _said_in(cls: type) -> dict[str, Any]:
    """Finds the expressions of a class's attributes; `None` for a name that is assigned twice."""
    said: dict[str, Any] = {}
    for statement in getattr(_node_of(cls), "body", ()):
        if is_a(statement, ast.Assign) and len(statement.targets) == 1:
            target = statement.targets[0]
        elif is_a(statement, ast.AnnAssign) and statement.value is not None:
            target = statement.target
        else:
            continue
        if is_a(target, ast.Name):
            said[target.id] = None if target.id in said else statement.value
    return said


def _is_computed(expression: Any, value: Any) -> bool:
    return expression is not None and is_literal(expression, value) is None


def _said_by(expression: ast.expr, namespace: Mapping[str, Any]) -> Any:
    """Returns what a dotted name stands for in a module; `MISSING` where it is not that simple."""
    if is_a(expression, ast.Name):
        return namespace.get(expression.id, getattr(builtins, expression.id, MISSING))
    if is_a(expression, ast.Attribute):
        return attributes_of(_said_by(expression.value, namespace)).get(expression.attr, MISSING)
    return MISSING


def _is_decorated(node: ast.ClassDef, name: str) -> bool:
    return any(
        getattr(child, "name", None) == name and getattr(child, "decorator_list", [])
        for child in node.body
    )


_PLAIN = (*_NUMBERS, str, bytes, tuple, frozenset)


def _is_only_in_memory(function: FunctionType) -> bool:
    source = _source_of_namespace(function.__globals__)
    if source is None:
        return False
    name, code = function.__qualname__, function.__code__
    if source.defined.get(name) is False and code.co_name != name:
        return True  # it was given other code
    definition = definition_of(function)
    # Methods of data classes are made of a text.
    if code.co_name == "<lambda>" or code.co_filename == "<string>":
        return False
    return definition.node is None or _has_other_defaults(function, definition.node)


def _has_other_defaults(function: FunctionType, node: Any) -> bool:
    said = node.args.defaults
    held = function.__defaults__ or ()
    named = function.__kwdefaults__ or {}
    if len(said) != len(held):
        return True
    pairs = list(zip(said, held))
    for argument, expression in zip(node.args.kwonlyargs, node.args.kw_defaults):
        if (expression is not None) != (argument.arg in named):
            return True
        if expression is not None:
            pairs.append((expression, named[argument.arg]))
    return any(is_literal(expression, value) is False for expression, value in pairs)


def _digest(value: Any, seen: Optional[Seen] = None) -> Optional[str]:
    formless: list[str] = []

    def report(frames: Any, value: Any, reason: str) -> None:
        if reason.startswith(WITHOUT_FORM):
            formless.append(reason)

    writer = Writer(as_leaf(_digest_of_definition), report=report, seen=seen or Seen())
    try:
        written = writer.write(value)
    except Exception:
        return None
    return None if formless else sha256(written).hexdigest()[:32]


def _digest_of_definition(code: Any) -> bytes:
    if is_a(code, FunctionType):
        definition = definition_of(code)
        changes, held = definition.changes, []
        for variable, cell in zip(code.__code__.co_freevars, code.__closure__ or ()):
            value = content_of(cell)
            # What it sets or fills itself is state.
            if variable not in changes.enclosing and variable not in changes.names:
                if value is not MISSING and not is_a(value, (FunctionType, type, ModuleType)):
                    held.append(f"{variable}:{_digest(value)}")
        if not held:
            return definition.digest
        return sha256(definition.digest + ";".join(held).encode()).digest()
    name: Any
    if is_a(code, type):
        name, module = qualname_of(code), canonical_module_name(module_of(code))
    else:
        name, module = name_of_module(code), "None"
    return sha256(f"{module}.{name}".encode("utf-8", "surrogatepass")).digest()


def differing(values: Mapping[str, str], is_same_machine: bool) -> list[str]:
    """Names the values that are others in this process than where they come from.

    A module that is not loaded here was of no use. Text and paths may rightly be others on another
    machine, so only numbers are compared there.
    """
    found = []
    for key, digest in values.items():
        module_name, _, name = key.partition(":")
        module = sys.modules.get(module_name)
        if module is None and module_name == main_module_name():
            module = sys.modules.get("__main__")
        value: Any = MISSING if module is None else module
        for each in name.split("."):
            value = attributes_of(value).get(each, MISSING)
        if value is MISSING or (not is_same_machine and not is_a(value, _NUMBERS)):
            continue
        ours = _digest(value)
        if ours is not None and ours != digest:
            found.append(f"{module_name}.{name}")
    return found
