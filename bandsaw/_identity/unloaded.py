"""Modules of the project that nobody has loaded, as their source says that they will be.

A task that imports a module when it runs has the same id before that and after. Nothing of a
module is executed for it that consists of functions, constants and imports of its like, and of
nothing else: there the source says all. Any other is imported when the id is made.
"""

from __future__ import annotations

import ast
import importlib
import sys
import threading
from importlib.machinery import PathFinder
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, Optional

from .._system.processes import in_forked_processes
from .firstparty import find_spec, is_first_party
from .kinds import attributes_of, is_a
from .sources import Source, source_of
from .watch import MISSING

_FROM_ELSEWHERE = object()
_CONSTANTS = (type(None), bool, int, float, complex, str, bytes)


class _Unclear(Exception):
    """The source does not say for sure what a module will be."""


class Unloaded(NamedTuple):
    """A module that is not loaded."""

    module: ModuleType  # a module in whose namespace is what is known
    source: Source  # what it was made of
    path: str  # where that lies
    # What was taken from modules that are loaded: namespace, name, value.
    read: list[tuple[dict[str, Any], str, Any]]
    needed: set[str]  # the modules that are not loaded either, and that it imports


_made: dict[str, Unloaded] = {}
# While a module is filled, it is known only to the thread that does it.
_lock = threading.RLock()


@in_forked_processes
def _start_anew() -> None:
    global _lock
    _lock = threading.RLock()
    _made.clear()


def module_of(name: str) -> Optional[ModuleType]:
    """Finds a module of the project, loaded or not; `None` for one that has to be imported."""
    loaded = sys.modules.get(name)
    if loaded is not None:
        return loaded if is_a(loaded, ModuleType) else None
    with _lock:
        known = made_for(name)
        if known and all(map(_is_current, known)):
            return known[0].module
        if known:
            _made.clear()  # any of them may have what was taken from the others
        try:
            return _make(name)
        except (_Unclear, RecursionError):
            _made.clear()
            return None


def parts_of(name: str) -> list[Unloaded]:
    """Returns what a module that is not loaded was made of, and those that it needs."""
    with _lock:
        return made_for(name) if module_of(name) is not None else []


def exists(name: str) -> bool:
    """Says whether there is a module of a name, loaded or not."""
    return name in sys.modules or _spec(name) is not None


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


def _make(name: str) -> ModuleType:
    spec = _spec(name)
    folders = None if spec is None else spec.submodule_search_locations
    path: Any = None if spec is None else spec.origin
    if folders is not None and (path is None or path == "namespace"):
        return _named(name, list(folders))
    if not is_a(path, str) or not path.endswith(".py"):
        raise _Unclear
    source = source_of(path, {})
    if source is None:
        raise _Unclear
    module = _named(name, None if folders is None else list(folders))
    vars(module)["__file__"] = path
    made = _made[name] = Unloaded(module, source, path, [], set())
    _Filling(made).fill()
    return module


def _named(name: str, folders: Optional[list[str]]) -> ModuleType:
    module = ModuleType(name)
    vars(module)["__package__"] = name if folders is not None else name.rpartition(".")[0]
    if folders is not None:
        vars(module)["__path__"] = folders
    return module


class _Filling:
    """Fills the namespace of one module."""

    def __init__(self, made: Unloaded) -> None:
        self._made = made
        self._names = vars(made.module)
        self._bound: set[str] = set()

    def fill(self) -> None:
        tree = self._made.source.tree
        # What is declared in a function is bound by whoever calls it.
        if any(is_a(node, ast.Global) for node in ast.walk(tree)):
            raise _Unclear
        for statement in tree.body:
            if is_a(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
                self._bind(statement.name, self._function(statement))
            elif is_a(statement, ast.Import):
                self._import(statement)
            elif is_a(statement, ast.ImportFrom):
                self._import_from(statement)
            elif is_a(statement, (ast.Assign, ast.AnnAssign)):
                self._assign(statement)
            elif not _has_no_effect(statement) or self._names.get("TYPE_CHECKING") is True:
                raise _Unclear

    def _bind(self, name: str, value: Any) -> None:
        if name in self._bound:
            raise _Unclear
        self._bound.add(name)
        self._names[name] = value

    def _function(self, node: Any) -> FunctionType:
        codes = self._made.source.codes().get((node.name, node.lineno), [])
        if node.decorator_list or len(codes) != 1 or codes[0].co_freevars:
            raise _Unclear
        made = FunctionType(
            codes[0], self._names, node.name, tuple(map(_constant, node.args.defaults)) or None
        )
        made.__kwdefaults__ = {
            argument.arg: _constant(default)
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults)
            if default is not None
        } or None
        return made

    def _assign(self, statement: Any) -> None:
        targets = statement.targets if is_a(statement, ast.Assign) else [statement.target]
        if len(targets) != 1 or not is_a(targets[0], ast.Name):
            raise _Unclear
        if statement.value is not None:
            self._bind(targets[0].id, _constant(statement.value))

    def _import(self, statement: ast.Import) -> None:
        for alias in statement.names:
            found = self._imported(alias.name)
            if alias.asname:
                self._bind(alias.asname, found)
                continue
            name = alias.name.partition(".")[0]
            # `import a.b` and `import a.c` bind the same.
            self._bound.discard(name)
            self._bind(name, self._imported(name))

    def _import_from(self, statement: ast.ImportFrom) -> None:
        package = str(self._names["__package__"]).split(".")
        kept = package[: len(package) - statement.level + 1] if statement.level else []
        home = ".".join([*kept, statement.module] if statement.module else kept)
        if home == "__future__":
            return
        for alias in statement.names:
            if alias.name == "*":
                raise _Unclear
            self._bind(alias.asname or alias.name, self._attribute(home, alias.name))

    def _attribute(self, home: str, name: str) -> Any:
        module = self._imported(home)
        value = attributes_of(module).get(name, MISSING)
        if value is not MISSING:
            if sys.modules.get(home) is module:
                self._made.read.append((vars(module), name, value))
            return value
        if is_first_party(home):
            return self._imported(f"{home}.{name}")
        return (
            _FROM_ELSEWHERE if _spec(f"{home}.{name}") is None else _named(f"{home}.{name}", None)
        )

    def _imported(self, name: str) -> ModuleType:
        loaded = sys.modules.get(name)
        if loaded is not None:
            return loaded
        if is_first_party(name):
            self._made.needed.add(name)
            found = module_of(name)
            if found is not None:
                return found
        elif _spec(name) is not None:
            return _named(name, None)  # an installed one counts by its name
        raise _Unclear


def _constant(node: ast.expr) -> Any:
    """Returns a value that nobody can change."""
    try:
        value = ast.literal_eval(node)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        raise _Unclear from None
    if not _is_constant(value):
        raise _Unclear
    return value


def _is_constant(value: Any) -> bool:
    return is_a(value, _CONSTANTS) or (is_a(value, tuple) and all(map(_is_constant, value)))


def _has_no_effect(statement: ast.stmt) -> bool:
    if is_a(statement, ast.Pass):
        return True
    if is_a(statement, ast.Expr):
        return is_a(statement.value, ast.Constant)
    if not is_a(statement, ast.If) or statement.orelse:
        return False
    written = ast.dump(statement.test)
    return written in _NEVER_TRUE


# While a module is imported by another one.
_NEVER_TRUE = frozenset(
    ast.dump(ast.parse(text, mode="eval").body)
    for text in ("__name__ == '__main__'", "TYPE_CHECKING", "typing.TYPE_CHECKING")
)
