"""What the code of a definition assigns or changes while the program runs, beyond its own names."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any, NamedTuple

from .syntax import DEFINITIONS, branches_in, is_of_script

_MUTATORS = frozenset(
    "append appendleft add update setdefault insert extend extendleft pop popitem popleft remove "
    "discard clear sort reverse __setitem__ __delitem__ inc increment write put".split()
)

# They make an object or a class, which nobody else has yet.
MAKERS = frozenset(
    "__init__ __new__ __post_init__ __setstate__ __set_name__ __init_subclass__ __attrs_post_init__"
    "".split()
)
# Of these those that are not run while modules load, as classes are made.
_MAKERS_OF_OBJECTS = MAKERS - {"__set_name__", "__init_subclass__"}


class Changes(NamedTuple):
    declared: frozenset[str]  # the names that it declares as global
    enclosing: frozenset[str]  # the names that it declares as those of an enclosing function
    names: frozenset[str]  # names of variables whose contents it changes, local ones among them
    attributes: frozenset[str]  # Attributes, by name alone, of whatever has them
    reads: frozenset[str]  # the names of attributes that it reads: of methods that it may call
    shared: frozenset[str]  # the attributes that it does not change of `self` alone
    # Of a class, the same for each of its functions, by their names. What makes its objects counts
    # as the class itself, with the variables that it changes.
    methods: tuple[tuple[str, Changes], ...] = ()
    # Which of its variables it gives to what it calls: the name of that, with a dot before it for
    # one of an object or a module, where, and which.
    gives: frozenset[tuple[str, Any, str]] = frozenset()
    name: str = ""
    parameters: tuple[str, ...] = ()
    assigned: frozenset[str] = frozenset()  # of `shared` those that it assigns, and does not fill

    def of(self, method: str) -> Changes:
        """Returns what a method of a class changes."""
        return next((each for name, each in self.methods if name == method), self)

    def fills(self, parameter: str) -> Iterator[tuple[str, Any]]:
        """Yields as what it is called, and where what a parameter stands for is given to it."""
        is_method = self.parameters[:1] in (("self",), ("cls",))
        for called in (f".{self.name}",) if is_method else (self.name, f".{self.name}"):
            yield called, self.parameters.index(parameter) - is_method
            yield called, parameter


_CHANGING = (ast.Attribute, ast.Call, ast.Subscript)
NOTHING = Changes(*[frozenset()] * 6)  # type: ignore[arg-type]


def changes_of(definition: ast.AST) -> Changes:
    """Reads what the functions in a definition assign or change."""
    if isinstance(definition, ast.ClassDef):
        methods = [
            (child.name, _in_class(changes_of(child), definition.name))
            for child in definition.body
            if isinstance(child, DEFINITIONS) and child.name not in MAKERS
        ]
        made = [
            changes_of(child)
            for child in definition.body
            if isinstance(child, DEFINITIONS) and child.name in _MAKERS_OF_OBJECTS
        ]
        return NOTHING._replace(
            methods=tuple(methods),
            declared=frozenset().union(*(each.declared for each in made)),
            names=frozenset().union(*(each.names for each in made)),
        )
    declared: set[str] = set()
    enclosing: set[str] = set()
    names: set[str] = set()
    attributes: set[str] = set()
    shared: set[str] = set()
    assigned: set[str] = set()
    reads: set[str] = set()
    gives: set[tuple[str, Any, str]] = set()
    for node in branches_in(definition):
        if isinstance(node, ast.Global):
            declared.update(node.names)
        elif isinstance(node, ast.Nonlocal):
            enclosing.update(node.names)
        elif isinstance(node, _CHANGING):
            if isinstance(node, ast.Attribute):
                reads.add(node.attr)
            elif isinstance(node, ast.Call):
                gives.update(_given(node))
            _index(node, names, attributes, shared, assigned)
    parts = map(frozenset, (declared, enclosing, names, attributes, reads, shared))
    name, arguments = getattr(definition, "name", ""), getattr(definition, "args", None)
    parameters = () if arguments is None else _parameters_of(arguments)
    found = Changes(*parts)  # type: ignore[arg-type]
    found = found._replace(gives=frozenset(gives), name=name, parameters=parameters)
    return found._replace(assigned=frozenset(assigned))


def private(name: str, class_name: str) -> str:
    """Gives the name that Python gives a private attribute in the body of a class."""
    is_private = name.startswith("__") and not name.endswith("__")
    return f"_{class_name.lstrip('_')}{name}" if is_private else name


def _in_class(changes: Changes, class_name: str) -> Changes:
    named: Any = {
        field: frozenset(private(name, class_name) for name in getattr(changes, field))
        for field in ("attributes", "reads", "shared", "assigned")
    }
    return changes._replace(**named)


def filling(tree: ast.Module) -> dict[str, list[ast.stmt]]:
    """Finds the statements that fill variables as a module is loaded.

    What only runs in the script (`if __name__ == "__main__":`) is left out.
    """
    found: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        if isinstance(statement, (*DEFINITIONS, ast.Assign, ast.Import, ast.ImportFrom)):
            continue
        if is_of_script(statement):
            continue
        for name in changes_of(statement).names:
            found.setdefault(name, []).append(statement)
    return found


def _parameters_of(arguments: ast.arguments) -> tuple[str, ...]:
    held = (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)
    return tuple(argument.arg for argument in held)


def _given(call: ast.Call) -> Iterator[tuple[str, Any, str]]:
    called = call.func.id if isinstance(call.func, ast.Name) else None
    if isinstance(call.func, ast.Attribute):
        called = f".{call.func.attr}"
    given: list[tuple[Any, ast.expr]] = [
        *enumerate(call.args),
        *((each.arg, each.value) for each in call.keywords),
    ]
    for place, value in given:
        if isinstance(value, ast.Name) and called is not None:
            yield called, place, value.id


def _index(
    node: ast.AST,
    names: set[str],
    attributes: set[str],
    shared: set[str],
    assigned: set[str],
) -> None:
    target: Any = None
    if isinstance(node, (ast.Subscript, ast.Attribute)) and not isinstance(node.ctx, ast.Load):
        if isinstance(node, ast.Attribute):
            attributes.add(node.attr)
            # `self.x = 1` sets nothing of the class.
            if not (isinstance(node.value, ast.Name) and node.value.id == "self"):
                shared.add(node.attr)
                assigned.add(node.attr)
        target = node.value
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        target = node.func.value if node.func.attr in _MUTATORS else None
    while isinstance(target, (ast.Subscript, ast.Attribute)):
        if isinstance(target, ast.Attribute):
            attributes.add(target.attr)
            shared.add(target.attr)
        target = target.value
    if isinstance(target, ast.Name):
        names.add(target.id)
