"""The project's own modules that others reach, by imports or at run time.

What a module imports is read from its source, at any depth: an import in a function counts. What
it was given while the program ran, such as plugins in a registry, is read from its globals.
"""

from __future__ import annotations

import ast
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from importlib.machinery import ModuleSpec
from types import FunctionType, ModuleType
from typing import Any, NamedTuple, Optional

from .._identity.firstparty import is_first_party
from ..errors import DistributionError
from ..modules import main_module_name
from . import files


class Found(NamedTuple):
    """A module that was reached.

    Attributes:
        name: Its name.
        member: The path of its file in the archive.
        data: The file.
        why: What it was reached from.
    """

    name: str
    member: str
    data: bytes
    why: str


def reached(
    known: Iterable[str], begin: Iterable[tuple[str, bytes]], roots: Iterable[tuple[str, str]]
) -> Iterator[Found]:
    """Finds first-party modules.

    Args:
        known: The names of the modules that are in the archive already.
        begin: Those of them that are followed, with their sources.
        roots: The names of modules that are found as well if they are first-party, and why.
            `__main__` is only followed.

    Yields:
        Each module once. What is not to be found or cannot be read is left out: nobody named it.
    """
    walk = _Walk(known)
    walk.pending.extend(begin)
    for name, why in roots:
        if name == "__main__":
            # It may have no file, as in a notebook; a script goes in under its own name.
            walk.pending.append((name, b""))
        else:
            walk.want(name, why)
    yield from walk.found()
    while walk.pending:
        name, source = walk.pending.popleft()
        for other in dict.fromkeys([*imported(name, source), *referred_to(name)]):
            walk.want(other, f"reached from {name}")
        yield from walk.found()


class _Walk:
    def __init__(self, known: Iterable[str]) -> None:
        # The script that runs goes in under its own name, and the archive has a main of its own.
        self._known = {"__main__", "__mp_main__", *known}
        self.pending: deque[tuple[str, bytes]] = deque()
        self._found: list[Found] = []

    def found(self) -> list[Found]:
        found, self._found = self._found, []
        return found

    def want(self, name: str, why: str) -> None:
        # To import a module is to import its packages first.
        parts = name.split(".")
        for length in range(1, len(parts) + 1):
            part = ".".join(parts[:length])
            if part in self._known:
                continue
            self._known.add(part)
            # `from package import name` may be anything, and nothing that is a module.
            if not part.isprintable() or not is_first_party(part):
                return
            spec = files.locate(part)
            if spec is None:
                return
            member = files.member_of(part, spec)
            if member is None:
                continue  # a namespace package
            try:
                data = files.read_origin(spec)
            except DistributionError:
                return
            self._found.append(Found(part, member, data, why))
            self.pending.append((part, data if member.endswith(".py") else b""))


def imported(name: str, source: bytes) -> list[str]:
    """Reads the names of what a module imports.

    Args:
        name: The name of the module.
        source: Its source, empty where there is none.

    Returns:
        Full names, some of which may be those of functions or the like in modules. In order.
    """
    if b"import" not in source:
        return []
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return []
    package = _package_of(name)
    names: dict[str, None] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(package, node.level, node.module or "")
            if base:
                names[base] = None
                names.update((f"{base}.{alias.name}", None) for alias in node.names)
    return [found for found in names if not found.endswith(".*")]


def _package_of(name: str) -> str:
    module = sys.modules.get(name)
    package = getattr(module, "__package__", None)
    if isinstance(package, str):
        return package
    spec: Optional[ModuleSpec] = files.locate(name)
    return name if spec is not None and files.is_package(spec) else name.rpartition(".")[0]


def _absolute(package: str, level: int, module: str) -> str:
    if not level:
        return module
    parts = package.split(".") if package else []
    if level > len(parts):
        return ""
    return ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])


def referred_to(name: str) -> list[str]:
    """Reads the names of modules that a loaded module refers to by its globals.

    Args:
        name: The name of the module.

    Returns:
        The names of the modules themselves, and of those that its functions, classes and other
        objects come from, one level into containers. In order.
    """
    module = sys.modules.get("__main__" if name == main_module_name() else name)
    names: dict[str, None] = {}
    for value in list(getattr(module, "__dict__", {}).values()):
        names.update(dict.fromkeys(_homes(value)))
        for inner in _inner(value):
            names.update(dict.fromkeys(_homes(inner)))
    return list(names)


def _inner(value: Any) -> list[Any]:
    # Exact types: what a class of somebody's own does when it is asked is not known.
    try:
        if type(value) is dict:
            return [*value.keys(), *value.values()]
        if type(value) in (list, tuple, set, frozenset):
            return list(value)
    except RuntimeError:
        pass  # another thread changes it
    return []


def _homes(value: Any) -> Iterator[str]:
    if isinstance(value, ModuleType):
        yield value.__name__
        return
    if type(value) is FunctionType:
        # Decorators copy `__module__` from what they wrap.
        home = value.__globals__.get("__name__")
        if isinstance(home, str):
            yield home
    named = vars(value).get("__module__") if isinstance(value, type) else None
    if named is None and type(value) is FunctionType:
        named = value.__module__
    if isinstance(named, str):
        yield named
    kind = type(value).__module__
    if isinstance(kind, str) and kind != "builtins":
        yield kind
