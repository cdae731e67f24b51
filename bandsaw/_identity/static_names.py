"""What the files of the project say that names, and the members of classes, stand for."""

from __future__ import annotations

import abc
import ast
import builtins
import sys
from collections.abc import Iterator, Mapping
from types import FunctionType
from typing import Any, Optional

from .._script import runs_cells
from ..modules import file_of
from .compared import digest_of
from .definitions import Defaults
from .first_values import MISSING
from .firstparty import is_first_party
from .kinds import attributes_of, bases_of, is_a, is_task, module_of, mro_of, qualname_of
from .sources import Source, source_of
from .stored import is_mock, is_special_of_the_user, is_strange, unwrapped
from .syntax import DEFINITIONS, literals_of
from .uses import absolute
from .watch import Seen

CONTAINERS = (list, dict, set)
PLAIN = (bool, int, float, complex, type(None), str, bytes, tuple, frozenset)
ANY = "*"
_PLAIN_KINDS = (type, abc.ABCMeta)
_WRAPPERS = ("property", "staticmethod", "classmethod")


def source_of_namespace(namespace: Mapping[str, Any]) -> Optional[Source]:
    """The source of a module of the project that has a file; the cells of a notebook have none."""
    name = namespace.get("__name__")
    module = sys.modules.get(name) if is_a(name, str) else None
    if module is None or attributes_of(module) is not namespace or not is_first_party(str(name)):
        return None
    if runs_cells(module):
        return None
    file = file_of(module)
    return source_of(file, dict(namespace)) if is_a(file, str) else None


def is_said(name: str, value: Any, namespace: Mapping[str, Any], source: Source) -> Optional[bool]:
    """Whether the file says that a name stands for a value; `None` if that cannot be told."""
    imported = source.imports.get(name)
    if imported is not None:
        home = sys.modules.get(absolute(imported, namespace.get("__package__")))
        if home is None:
            return None
        found = attributes_of(home).get(imported[1], MISSING)
        if found is value:
            return True
        return None if found is MISSING or name in source.blocks.names else False
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
            source.assigns(name)
            or source.defined.get(name)
            or name in source.blocks.names
            or _has_star(source)
        )
        return None if is_bound else False
    is_of_python = name[:2] == "__" == name[-2:] and not source.assigns(name)
    if value is MISSING or is_of_python:
        return True
    if name in source.defined and not source.assigns(name):
        return None if source.defined[name] else False
    statements = source.assigned.get(name, []) if source.assigns(name) else []
    if len(statements) == 1 and is_a(statements[0], (ast.Assign, ast.AnnAssign)):
        statement = statements[0]
        targets = statement.targets if is_a(statement, ast.Assign) else [statement.target]
        if all(is_a(target, ast.Name) for target in targets) and statement.value is not None:
            said = is_literal(statement.value, value)
            # More may be put into a container while its module loads.
            return None if said is False and is_a(value, CONTAINERS) else said
    return None


def _has_star(source: Source) -> bool:
    return any("*" in names for _, _, names in source.imported)


def is_literal(node: Any, value: Any, seen: Optional[Seen] = None) -> Optional[bool]:
    """Says whether a value is what an expression says; `None` if that cannot be told."""
    for literal in literals_of(node):
        ours, theirs = digest_of(literal), digest_of(value, seen)
        return None if theirs is None else ours == theirs
    return None


def said_by(expression: ast.expr, namespace: Mapping[str, Any]) -> Any:
    """Returns what a dotted name stands for in a module; `MISSING` where it is not that simple."""
    if is_a(expression, ast.Name):
        return namespace.get(expression.id, getattr(builtins, expression.id, MISSING))
    if is_a(expression, ast.Attribute):
        return attributes_of(said_by(expression.value, namespace)).get(expression.attr, MISSING)
    return MISSING


def paired_defaults(function: FunctionType, said: Defaults) -> Optional[list[tuple[Any, Any]]]:
    """Pairs what a definition says of the defaults with them; `None` if it has others."""
    held, named = function.__defaults__ or (), function.__kwdefaults__ or {}
    if len(said.given) != len(held) or {name for name, _ in said.named} != named.keys():
        return None
    return [*zip(said.given, held), *((each, named[name]) for name, each in said.named)]


def changed_members(cls: type, members: Mapping[str, Any]) -> Iterator[tuple[str, bool]]:
    """Yields the names of members that were set from outside of the body of a class.

    With each, whether that is sure: its module or its metaclass may have done it.
    """
    module, node = sys.modules.get(module_of(cls)), _node_of(cls)
    if node is None:
        return
    bound: dict[Any, Any] = {}
    for child in node.body:
        targets = getattr(child, "targets", None) or [getattr(child, "target", None)]
        names = [target.id for target in targets if is_a(target, ast.Name)]
        bound.update(dict.fromkeys((getattr(child, "name", None), *names), child))
    bases = [said_by(base, attributes_of(module)) for base in node.bases]
    # `class Parser(Parser)` has taken the name of its base.
    bases = [MISSING if base is cls else base for base in bases]
    # Others, such as `typing.NamedTuple`, are functions that put others in their place.
    are_classes = all(base is MISSING or is_a(base, type) for base in bases)
    # A metaclass, as that of `typing.TypedDict`, may do so as well.
    is_plain = are_classes and MISSING not in bases and type(cls) in _PLAIN_KINDS
    # Another definition of the name, in `else`, stands in the body.
    is_only = all(getattr(child, "name", None) != node.name for child in node.body)
    if is_plain and is_only and not (node.keywords or node.decorator_list):
        # `class Stack[T]:` has a base that it does not name.
        implied = {id(object)}
        if getattr(node, "type_params", None):
            implied.add(id(attributes_of(sys.modules.get("typing")).get("Generic")))
        said_bases = [id(base) for base in bases if id(base) not in implied]
        if said_bases != [id(base) for base in bases_of(cls) if id(base) not in implied]:
            yield "__bases__", True
    is_shaped = not are_classes or _is_shaped(cls, node)
    set_there = _set_by_module(cls)
    for name, member in members.items():
        is_given = _is_given(cls, name, member, bound)
        is_special = name[:2] == "__" and type(cls) not in _PLAIN_KINDS
        if is_special or (name not in bound and (is_shaped or name in _named_in(node))):
            is_given = False  # nobody knows
        if is_given or is_mock(member):
            yield name, is_mock(member) or not set_there & {name, ANY}
    if not (is_shaped or any(is_a(child, ast.Delete) for child in node.body)):
        yield from _missing_members(cls, members, bound, set_there)
    for name, expression in said_in(cls).items():
        member = members.get(name, MISSING)
        if expression is None or type(member) is cls:
            continue  # the members of an enumeration
        is_sure = type(cls) in _PLAIN_KINDS and not set_there & {name, ANY}
        if is_a(member, PLAIN):
            if is_literal(expression, member) is False:
                yield name, is_sure
        elif is_a(member, type):
            found = said_by(expression, attributes_of(module))
            if not (found is member or found is MISSING):
                yield name, is_sure


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


def _is_shaped(cls: type, node: ast.ClassDef) -> bool:
    """Says whether somebody may give the class more than its body says when it is made."""
    given = (attributes_of(base).get("__init_subclass__") for base in mro_of(cls)[1:-1])
    return bool(node.decorator_list) or type(cls) not in _PLAIN_KINDS or any(given)


def _named_in(body: ast.AST) -> Iterator[str]:
    """Yields the names that the body of a class may bind, also below its `if` and `try`."""
    for child in ast.iter_child_nodes(body):
        if is_a(child, DEFINITIONS):
            yield child.name
        elif is_a(child, ast.alias):
            yield (child.asname or child.name).partition(".")[0]
        elif is_a(child, ast.Name):
            if is_a(child.ctx, ast.Store):
                yield child.id
        else:
            yield from _named_in(child)


def _set_by_module(cls: type) -> set[str]:
    """Names the attributes that the class's own module sets or deletes outside of its body.

    With `ANY` where it does so by computed names.
    """
    variables = attributes_of(sys.modules.get(module_of(cls)))
    source = source_of_namespace(variables)
    found: set[str] = set()
    for expression, name in () if source is None else source.blocks.attributes:
        owner = said_by(expression, variables)
        if owner is cls or owner is MISSING:
            found.add(name or ANY)
    return found


def _missing_members(
    cls: type, members: Mapping[str, Any], bound: Mapping[Any, Any], set_there: set[str]
) -> Iterator[tuple[str, bool]]:
    """Yields what the body of a class defines, and somebody has deleted or replaced."""
    for name, child in bound.items():
        is_value = is_a(child, ast.Assign) or (is_a(child, ast.AnnAssign) and child.value)
        if name is None or name[:2] == "__" or not (is_value or is_a(child, DEFINITIONS)):
            continue
        member = members.get(name, MISSING)
        is_replaced = (
            is_a(child, ast.ClassDef)
            and not child.decorator_list
            and not (is_a(member, type) and qualname_of(member) == f"{qualname_of(cls)}.{name}")
        )
        if member is MISSING or is_replaced:
            yield name, not set_there & {name, ANY}


def said_in(cls: type) -> dict[str, Any]:
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


def _node_of(cls: type) -> Optional[ast.ClassDef]:
    source = source_of_namespace(attributes_of(sys.modules.get(module_of(cls))))
    return None if source is None else source.class_(qualname_of(cls), [])


def is_computed(expression: Any, value: Any) -> bool:
    return expression is not None and is_literal(expression, value) is None
