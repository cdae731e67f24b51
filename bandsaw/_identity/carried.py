"""Whether another process that loads the same files has the code that an id speaks of.

near: carried_by(seen) ─► what only memory holds: it cannot be there
─► values that the files do not say: their digests go along
far:  Arrived(code) ─► those that have another value there, see `compared`
"""

from __future__ import annotations

import abc
import ast
import builtins
import sys
from collections.abc import Iterator, Mapping
from types import FunctionType, MappingProxyType, ModuleType
from typing import Any, NamedTuple, Optional

from ..modules import file_of
from .compared import ABSENT, MADE_ANEW, digest_of
from .definitions import definition_of
from .firstparty import is_first_party
from .globals import canonical_module_name
from .kinds import (
    attributes_of,
    bases_of,
    is_a,
    is_task,
    module_of,
    mro_of,
    name_of,
    qualname_of,
)
from .sources import Source, source_of
from .stored import (
    counts_in_a_class,
    is_mock,
    is_special_of_the_user,
    is_strange,
    unwrapped,
)
from .watch import MISSING, Seen, given_code

_CONTAINERS = (list, dict, set)
_NUMBERS = (bool, int, float, complex, type(None))


class Carried(NamedTuple):
    """What of the code an id speaks of another process may not have."""

    changed: tuple[str, ...]  # the names of what was changed in memory
    values: Mapping[str, str]  # the digests of values that the files do not say, by their names
    filled: frozenset[str]  # of these the containers that they say, and that anybody may fill
    state: tuple[str, ...]  # the names of attributes that the code itself assigns or fills


def carried_by(seen: Seen) -> Carried:
    """Compares what was read for an id with what its files say."""
    changed: dict[str, None] = dict.fromkeys(sorted(seen.replaced))
    values: dict[str, str] = {}
    filled: set[str] = set()
    for namespace, name, value in list(seen.names.values()):
        source = source_of_namespace(namespace)
        if id(namespace) in seen.places:
            digest = digest_of(value)
            if digest is not None and value is not MISSING:
                values[f"{seen.places[id(namespace)]}.{name}"] = digest
            continue
        if source is None or is_a(value, ModuleType):
            continue
        namespace, name, source = _origin(namespace, name, source, value)
        module = canonical_module_name(namespace["__name__"])
        if value is MISSING and (name in source.assigned or name in source.defined):
            values[f"{module}:{name}"] = ABSENT
        is_said = _is_said(name, value, namespace, source)
        if is_said is False:
            changed[f"{module}.{name}"] = None
        if is_said is None or not (is_said or is_a(value, (FunctionType, type))):
            digest = digest_of(value)
            if digest is not None:
                values[f"{module}:{name}"] = digest
    for one in list(seen.owners.values()):
        owner = one.owner
        if is_a(owner, type):
            module = canonical_module_name(module_of(owner))
            place = qualname_of(owner)
            said = _said_in(owner)
            others = frozenset(_changed_members(owner, one.state))
            changed.update(dict.fromkeys(f"{module}.{place}.{name}" for name in sorted(others)))
            for name, value in one.state.items():
                if name in seen.attributes or name == _MADE_WHEN_ASKED_FOR:
                    continue
                is_made = name[:2] == "__" and not is_special_of_the_user(name, value)
                if is_made and not _has_defaults(value):
                    continue
                if is_made or _is_compared(owner, name, value):
                    digest = digest_of(value)
                    if digest is not None:
                        values[f"{module}:{place}.{name}"] = digest
                        if name not in others and not _is_computed(said.get(name), value):
                            filled.add(f"{module}:{place}.{name}")
    for function, *_ in list(seen.functions.values()):
        module = canonical_module_name(function.__globals__.get("__name__"))
        if _is_only_in_memory(function):
            digest = digest_of(_member_of(function)) if _is_decorated_there(function) else None
            if digest is None:
                changed[f"{module}.{function.__qualname__}"] = None
            else:
                values[f"{module}:{function.__qualname__}"] = digest + MADE_ANEW
        elif _holds_by_default(function):
            digest = digest_of(function)
            if digest is not None:
                values[f"{module}:{function.__qualname__}"] = digest
    state = tuple(sorted(seen.attributes)) if values else ()
    return Carried(tuple(changed), MappingProxyType(values), frozenset(filled), state)


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
        there = attributes_of(sys.modules.get(_home(imported, namespace)))
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


def _is_compared(owner: type, name: str, member: Any) -> bool:
    """Says whether a member of a class may be another one than the body of the class says."""
    if counts_in_a_class(member, owner) or is_a(member, (*_CONTAINERS, *_PLAIN)):
        return True
    own = f"{qualname_of(owner)}.{name}"
    return name_of(type(member)) == "functools._lru_cache_wrapper" or any(
        is_a(each, FunctionType) and (each.__qualname__ != own or "__wrapped__" in each.__dict__)
        for each in unwrapped(member)
    )


def source_of_namespace(namespace: Mapping[str, Any]) -> Optional[Source]:
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
        if found is value:
            return True
        return None if found is MISSING or name in source.bound_below else False
    if is_a(value, (FunctionType, type)):
        if is_task(value):
            return True
        if is_a(value, FunctionType) and value.__globals__ is namespace:
            if value.__code__.co_filename[:1] == "<":
                return None  # made of a text
            if value.__qualname__ == name and "__wrapped__" not in value.__dict__:
                return True  # whether its own code is in the file is seen elsewhere
        elif is_a(value, type) and (module_of(value), qualname_of(value)) == (
            namespace.get("__name__"), name,
        ):  # fmt: skip
            return True
        is_bound = (
            name in source.assigned
            or source.defined.get(name)
            or name in source.bound_below
            or _has_star(source)
        )
        return None if is_bound else False
    if value is MISSING or name.startswith("__"):
        return True
    if name in source.defined and name not in source.assigned:
        return None if source.defined[name] else False
    statements = source.assigned.get(name, [])
    if len(statements) == 1 and is_a(statements[0], (ast.Assign, ast.AnnAssign)):
        statement = statements[0]
        targets = statement.targets if is_a(statement, ast.Assign) else [statement.target]
        if all(is_a(target, ast.Name) for target in targets) and statement.value is not None:
            is_said = is_literal(statement.value, value)
            # More may be put into a container while its module loads.
            return None if is_said is False and is_a(value, _CONTAINERS) else is_said
    return None


def _has_star(source: Source) -> bool:
    imports = [node for node in source.tree.body if is_a(node, ast.ImportFrom)]
    return any(alias.name == "*" for node in imports for alias in node.names)


def is_literal(node: ast.expr, value: Any, seen: Optional[Seen] = None) -> Optional[bool]:
    """Says whether a value is what an expression says; `None` if that cannot be told."""
    try:
        literal = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return None
    ours, theirs = digest_of(literal), digest_of(value, seen)
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
    bound: dict[Any, Any] = {}
    for child in node.body:
        targets = getattr(child, "targets", None) or [getattr(child, "target", None)]
        names = [target.id for target in targets if is_a(target, ast.Name)]
        bound.update(dict.fromkeys((getattr(child, "name", None), *names), child))
    bases = [said_by(base, attributes_of(module)) for base in node.bases]
    # Others, such as `typing.NamedTuple`, are functions that put others in their place.
    are_classes = all(base is MISSING or is_a(base, type) for base in bases)
    if are_classes and MISSING not in bases and not (node.keywords or node.decorator_list):
        said_bases = [id(base) for base in bases if base is not object]
        if said_bases != [id(base) for base in bases_of(cls) if base is not object]:
            yield "__bases__"
    is_shaped = not are_classes or _is_shaped(cls, node)
    set_there = _set_by_module(cls)
    for name, member in members.items():
        is_given = _is_given(cls, name, member, bound)
        is_special = name[:2] == "__" and type(cls) not in _PLAIN_KINDS
        is_special = is_special or name in set_there or ANY in set_there
        if is_special or (name not in bound and (is_shaped or name in _named_in(node))):
            is_given = False  # nobody knows
        if is_given or is_mock(member):
            yield name
    if not (is_shaped or any(is_a(child, ast.Delete) for child in node.body)):
        yield from _missing_members(cls, members, bound, set_there)
    for name, expression in _said_in(cls).items():
        member = members.get(name, MISSING)
        if expression is None or type(member) is cls:
            continue  # the members of an enumeration
        if type(cls) not in _PLAIN_KINDS or name in set_there or ANY in set_there:
            continue  # the metaclass or the module may have put another value there
        if is_a(member, _PLAIN):
            if is_literal(expression, member) is False:
                yield name
        elif is_a(member, type):
            if said_by(expression, attributes_of(module)) not in (member, MISSING):
                yield name


def _node_of(cls: type) -> Optional[ast.ClassDef]:
    module = sys.modules.get(module_of(cls))
    source = None if module is None else source_of_namespace(attributes_of(module))
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


def _named_in(body: ast.AST) -> Iterator[str]:
    """Yields the names that the body of a class may bind, also below its `if` and `try`."""
    for child in ast.iter_child_nodes(body):
        if is_a(child, _DEFS):
            yield child.name
        elif is_a(child, ast.alias):
            yield (child.asname or child.name).partition(".")[0]
        elif is_a(child, ast.Name):
            if is_a(child.ctx, ast.Store):
                yield child.id
        else:
            yield from _named_in(child)


ANY = "*"


def _set_by_module(cls: type) -> set[str]:
    """Names the attributes that the class's own module sets or deletes outside of its body.

    With `ANY` where it does so by computed names.
    """
    module = sys.modules.get(module_of(cls))
    source = None if module is None else source_of_namespace(attributes_of(module))
    found: set[str] = set()
    for expression, name in () if source is None else source.set_attributes:
        if said_by(expression, attributes_of(module)) in (cls, MISSING):
            found.add(name or ANY)
    return found


def _missing_members(
    cls: type, members: Mapping[str, Any], bound: Mapping[Any, Any], set_there: set[str]
) -> Iterator[str]:
    """Yields what the body of a class defines, and somebody has deleted or replaced."""
    for name, child in bound.items():
        is_value = is_a(child, ast.Assign) or (is_a(child, ast.AnnAssign) and child.value)
        if name is None or name[:2] == "__" or not (is_value or is_a(child, _DEFS)):
            continue
        if name in set_there:
            continue
        member = members.get(name, MISSING)
        is_replaced = (
            is_a(child, ast.ClassDef)
            and not child.decorator_list
            and not (is_a(member, type) and qualname_of(member) == f"{qualname_of(cls)}.{name}")
        )
        if member is MISSING or is_replaced:
            yield name


def _is_shaped(cls: type, node: ast.ClassDef) -> bool:
    """Says whether somebody may give the class more than its body says when it is made."""
    given = (attributes_of(base).get("__init_subclass__") for base in mro_of(cls)[1:-1])
    return bool(node.decorator_list) or type(cls) not in _PLAIN_KINDS or any(given)


def said_by(expression: ast.expr, namespace: Mapping[str, Any]) -> Any:
    """Returns what a dotted name stands for in a module; `MISSING` where it is not that simple."""
    if is_a(expression, ast.Name):
        return namespace.get(expression.id, getattr(builtins, expression.id, MISSING))
    if is_a(expression, ast.Attribute):
        return attributes_of(said_by(expression.value, namespace)).get(expression.attr, MISSING)
    return MISSING


def _is_given(cls: type, name: str, member: Any, bound: Mapping[Any, Any]) -> bool:
    """Says whether a method was set from outside of the body of its class."""
    functions = [each for each in unwrapped(member) if is_a(each, FunctionType)]
    if not functions:
        return False
    if name in bound:
        decorators = getattr(bound[name], "decorator_list", None)
        # Another decorator may give another function.
        is_plain = decorators is not None and all(
            ast.unparse(each) in (*_WRAPPERS, f"{name}.setter", f"{name}.deleter")
            for each in decorators
        )
        own = f"{qualname_of(cls)}.{name}"
        return is_plain and any(
            each.__qualname__ != own and "__wrapped__" not in each.__dict__ for each in functions
        )
    if name[:2] == "__":
        return is_special_of_the_user(name, member)
    return any(is_strange(each) and each.__module__ != module_of(cls) for each in functions)


_WRAPPERS = ("property", "staticmethod", "classmethod")
_DEFS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
_PLAIN_KINDS = (type, abc.ABCMeta)
_PLAIN = (*_NUMBERS, str, bytes, tuple, frozenset)


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
    return definition.node is None or _has_other_defaults(function, definition.node)


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
        if not is_a(found, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
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
    left = [name for name, each in held.items() if not is_a(each, (*_PLAIN, FunctionType, type))]
    if not left or not definition_of(function).changes.names.isdisjoint(left):
        return False
    return _member_of(function) is function


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
