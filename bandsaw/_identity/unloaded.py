"""Modules of the project that nobody has loaded, as their source says that they will be.

source ─► functions and plain values, as an import would make them
       ─► UNKNOWN for the rest ─► `with_value`

A task that imports a module when it runs has the same id before that and after. Nothing of the
module is executed for it, unless the task uses a name that only execution gives a value.
"""

from __future__ import annotations

import ast
import builtins
import importlib
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from types import CodeType, FunctionType, ModuleType
from typing import Any, NamedTuple, Optional

from .firstparty import find_spec, is_first_party
from .kinds import attributes_of, is_a
from .sources import Source, source_of
from .watch import MISSING

# Stands for a value that the source does not say.
UNKNOWN = object()
_FROM_ELSEWHERE = object()
_MUTABLE = (list, dict, set)
# They could bind any name.
_DYNAMIC = frozenset({"exec", "eval", "globals", "locals", "vars", "setattr", "modules"})


class Unloaded(NamedTuple):
    """A module that is not loaded.

    Attributes:
        module: A module in whose namespace is what is known.
        source: What it was made of.
        path: Where that lies.
        read: What was taken from modules that are loaded: namespace, name, value.
        needed: The modules that are not loaded either, and that it imports.
    """

    module: ModuleType
    source: Source
    path: str
    read: list[tuple[dict[str, Any], str, Any]]
    needed: set[str]


_made: dict[str, Unloaded] = {}


def module_of(name: str) -> Optional[ModuleType]:
    """Finds a module of the project, loaded or not; `None` for one that has to be imported."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded if is_a(loaded, ModuleType) else None
    known = made_for(name)
    if known and all(map(_is_current, known)):
        return known[0].module
    if known:
        _made.clear()  # any of them may have what was taken from the others
    return _make(name)


def made_for(name: str) -> list[Unloaded]:
    """Returns what was made for a module that is not loaded, and for those that it needs."""
    found: dict[str, Optional[Unloaded]] = {}
    pending = [name]
    while pending:
        each = pending.pop()
        if each not in found and each not in sys.modules:
            found[each] = made = _made.get(each)
            pending += () if made is None else made.needed
    return [made for made in found.values() if made is not None]


def imported(name: str) -> Any:
    """Imports a module. Returns it, or an exception that says why that cannot be done."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        return ImportError(f"it cannot be imported here: {error}")


def with_value(namespace: dict[str, Any], name: str) -> tuple[dict[str, Any], Any]:
    """Imports a module for a name of which its source does not say what it stands for.

    Returns the namespace of the module and what the name stands for there: an exception if the
    module cannot be imported.
    """
    module = imported(namespace["__name__"])
    if is_a(module, Exception):
        return namespace, module
    return vars(module), vars(module).get(name, MISSING)


def _is_current(known: Unloaded) -> bool:
    spec = _spec(known.module.__name__)
    if spec is None or spec.origin != known.path:
        return False  # another one has come in front of it
    if source_of(known.path, {}) is not known.source:
        return False
    return all(namespace.get(name, MISSING) is value for namespace, name, value in known.read)


def _spec(name: str) -> Any:
    package, _, _ = name.rpartition(".")
    if not package:
        return find_spec(name)
    loaded = sys.modules.get(package)
    if loaded is not None:
        folders = attributes_of(loaded).get("__path__")
    else:
        parent = _spec(package)
        folders = None if parent is None else parent.submodule_search_locations
    try:
        return None if folders is None else PathFinder.find_spec(name, list(folders))
    except Exception:
        return None  # what a package says of its folders may be anything


def _make(name: str) -> Optional[ModuleType]:
    spec = _spec(name)
    folders = None if spec is None else spec.submodule_search_locations
    path: Any = None if spec is None else spec.origin
    if folders is not None and (path is None or path == "namespace"):
        return _named(name, list(folders))
    if not is_a(path, str) or not path.endswith(".py"):
        return None
    source = source_of(path, {})
    if source is None or _is_dynamic(source.tree):
        return None
    module = _named(name, None if folders is None else list(folders))
    vars(module)["__file__"] = path
    made = _made[name] = Unloaded(module, source, path, [], set())
    try:
        _Filling(made).fill()
    except RecursionError:
        del _made[name]
        return None
    return module


def _named(name: str, folders: Optional[list[str]]) -> ModuleType:
    module = ModuleType(name)
    vars(module)["__package__"] = name if folders is not None else name.rpartition(".")[0]
    if folders is not None:
        vars(module)["__path__"] = folders
    return module


def _is_dynamic(tree: ast.Module) -> bool:
    for node in _executed(tree.body):
        if is_a(node, ast.ImportFrom) and node.names[0].name == "*":
            return True
        if is_a(node, ast.Name) and node.id in _DYNAMIC:
            return True
        if is_a(node, ast.Attribute) and node.attr in _DYNAMIC:
            return True
    return False


def _executed(statements: list[ast.stmt]) -> Iterator[ast.AST]:
    """Yields the nodes that an import executes: not the bodies of functions."""
    pending: list[ast.AST] = [*statements]
    while pending:
        node = pending.pop()
        yield node
        if is_a(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            pending += getattr(node, "decorator_list", [])
            pending += [each for each in (*node.args.defaults, *node.args.kw_defaults) if each]
        else:
            pending += ast.iter_child_nodes(node)


class _Filling:
    """Fills the namespace of one module."""

    def __init__(self, made: Unloaded) -> None:
        self._made = made
        self._names = vars(made.module)
        self._containers: list[str] = []

    def fill(self) -> None:
        others: list[ast.stmt] = []
        body = [each for each in self._made.source.tree.body if not _has_no_effect(each)]
        for statement in body:
            if is_a(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self._bind(statement.name, self._function(statement))
            elif is_a(statement, ast.ClassDef):
                self._bind(statement.name, UNKNOWN)
            elif is_a(statement, ast.Import):
                self._import(statement)
            elif is_a(statement, ast.ImportFrom):
                self._import_from(statement)
            elif is_a(statement, (ast.Assign, ast.AnnAssign)):
                if not self._assign(statement):
                    others.append(statement)
            else:
                others.append(statement)
        for node in _executed(others):
            if is_a(node, ast.Name):
                stays = is_a(node.ctx, ast.Load) and not self._can_change(node.id)
                if not stays:
                    self._names[node.id] = UNKNOWN
            elif is_a(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                self._names[node.name] = UNKNOWN
            elif is_a(node, (ast.Import, ast.ImportFrom)):
                for alias in node.names:
                    self._names[(alias.asname or alias.name).partition(".")[0]] = UNKNOWN
            elif is_a(node, ast.ExceptHandler) and node.name:
                self._names[node.name] = UNKNOWN

        if self._containers and any(map(self._may_fill, _executed(body))):
            for name in self._containers:
                self._names[name] = UNKNOWN

    def _may_fill(self, node: ast.AST) -> bool:
        """Whether code of the project is called, which may fill any container."""
        called = [node.func] if is_a(node, ast.Call) else getattr(node, "decorator_list", [])
        for function in called:
            while is_a(function, (ast.Attribute, ast.Call)):
                function = function.value if is_a(function, ast.Attribute) else function.func
            value = self._names.get(getattr(function, "id", ""), MISSING)
            is_foreign = value is _FROM_ELSEWHERE or (
                is_a(value, ModuleType) and not is_first_party(value.__name__)
            )
            if not is_foreign and (
                value is not MISSING or not hasattr(builtins, getattr(function, "id", ""))
            ):
                return True
        return False

    def _bind(self, name: str, value: Any) -> None:
        # Which of two holds, only execution says for sure.
        self._names[name] = UNKNOWN if name in self._names else value

    def _can_change(self, name: str) -> bool:
        return is_a(self._names.get(name), _MUTABLE)

    def _function(self, node: Any) -> Any:
        first = node.lineno
        codes = self._made.source.codes().get((node.name, first), [])
        if node.decorator_list or len(codes) != 1 or codes[0].co_freevars:
            return UNKNOWN
        code: CodeType = codes[0]
        try:
            defaults = tuple(map(ast.literal_eval, node.args.defaults))
            named = {
                argument.arg: ast.literal_eval(default)
                for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults)
                if default is not None
            }
        except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
            return UNKNOWN
        made = FunctionType(code, self._names, node.name, defaults or None)
        made.__kwdefaults__ = named or None
        return made

    def _assign(self, statement: Any) -> bool:
        targets = statement.targets if is_a(statement, ast.Assign) else [statement.target]
        if not all(is_a(target, ast.Name) for target in targets):
            return False
        if statement.value is None:
            return True
        value: Any = UNKNOWN
        if is_a(statement.value, ast.Name):
            value = self._names.get(statement.value.id, UNKNOWN)
        else:
            try:
                value = ast.literal_eval(statement.value)
            except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
                pass
        if is_a(value, _MUTABLE) and not value:
            value = UNKNOWN  # it waits for others to fill it
        for target in targets:
            name = getattr(target, "id", "")
            self._bind(name, value)
            if is_a(value, _MUTABLE):
                self._containers.append(name)
        return True

    def _import(self, statement: ast.Import) -> None:
        for alias in statement.names:
            name = alias.name if alias.asname else alias.name.partition(".")[0]
            found = self._imported(alias.name)
            if found is not UNKNOWN and name != alias.name:
                found = self._imported(name)
            self._names[alias.asname or name] = found

    def _import_from(self, statement: ast.ImportFrom) -> None:
        package = str(self._names["__package__"]).split(".")
        kept = package[: len(package) - statement.level + 1] if statement.level else []
        home = ".".join([*kept, statement.module] if statement.module else kept)
        for alias in statement.names:
            bound = alias.asname or alias.name
            if home == "__future__":
                continue
            self._names[bound] = self._attribute(home, alias.name)

    def _attribute(self, home: str, name: str) -> Any:
        module = self._imported(home)
        if module is UNKNOWN:
            return UNKNOWN
        value = attributes_of(module).get(name, MISSING)
        if value is not MISSING:
            if sys.modules.get(home) is module:
                self._made.read.append((vars(module), name, value))
            return value
        inner = self._imported(f"{home}.{name}")
        if inner is not UNKNOWN:
            return inner
        return UNKNOWN if is_first_party(home) else _FROM_ELSEWHERE

    def _imported(self, name: str) -> Any:
        """Returns a module as far as it is needed here, or `UNKNOWN` if it has to be imported."""
        loaded = sys.modules.get(name)
        if loaded is not None:
            return loaded
        if is_first_party(name):
            self._made.needed.add(name)
            return module_of(name) or UNKNOWN
        # An installed one counts by its name.
        return UNKNOWN if _spec(name) is None else _named(name, None)


def _has_no_effect(statement: ast.stmt) -> bool:
    if is_a(statement, (ast.Pass, ast.Expr)):
        return is_a(statement, ast.Pass) or is_a(getattr(statement, "value", None), ast.Constant)
    if not is_a(statement, ast.If) or getattr(statement, "orelse", None):
        return False
    test = statement.test
    if is_a(test, ast.Compare):
        return is_a(test.left, ast.Name) and test.left.id == "__name__"
    return (getattr(test, "id", None) or getattr(test, "attr", None)) == "TYPE_CHECKING"
