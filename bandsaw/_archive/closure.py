"""The project's own modules that others reach, by imports or at run time.

What a module imports is read from its source, at any depth: an import in a function counts. What
it was given while the program ran, such as plugins in a registry, is read from its globals.
"""

from __future__ import annotations

import functools
import sys
from collections import deque
from collections.abc import Iterable, Iterator
from itertools import chain, islice
from types import FunctionType, MethodType, ModuleType
from typing import Any, NamedTuple

from .._identity.firstparty import is_first_party
from ..errors import DistributionError
from ..modules import main_module_name
from . import files
from .imports import Imports

# Who registers more has data there, and no plugins.
_MOST_INNER = 10_000


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
    known: Iterable[str],
    begin: Iterable[tuple[str, bytes]],
    roots: Iterable[tuple[str, str]],
    imports: Imports,
) -> Iterator[Found]:
    """Finds first-party modules.

    Yields each module once. What is not to be found or cannot be read is left out: nobody named it.
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
        for other in dict.fromkeys([*imports.of(name, source), *referred_to(name)]):
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


def referred_to(name: str) -> list[str]:
    """Reads the names of modules that a loaded module refers to by its globals.

    Returns the names of the modules themselves, and of those that its functions, classes and other
    objects come from: those in its globals, in containers there, and in the attributes of
    first-party classes and objects there. In order.
    """
    module = sys.modules.get("__main__" if name == main_module_name() else name)
    names: dict[str, None] = {}
    for value in list(getattr(module, "__dict__", {}).values()):
        for reached_value in chain((value,), _elements(value), _attributes(value)):
            names.update(dict.fromkeys(_homes(reached_value)))
    return list(names)


def _elements(value: Any) -> list[Any]:
    # Exact types: what a class of somebody's own does when it is asked is not known.
    kind = type(value)
    try:
        if kind is dict:
            return list(islice(chain(value.keys(), value.values()), _MOST_INNER))
        if kind in (list, tuple, set, frozenset):
            return list(islice(value, _MOST_INNER))
    except RuntimeError:
        pass  # another thread changes it
    return []


def _attributes(value: Any) -> Iterator[Any]:
    """What a registry holds that is a class or an object of one."""
    cls = value if isinstance(value, type) else type(value)
    home = cls.__module__
    if not isinstance(home, str) or home == "builtins" or not is_first_party(home):
        return
    if cls is value:
        # Those that were defined in modules that nobody else refers to.
        yield from type.__subclasses__(cls)
    for attribute in list(getattr(value, "__dict__", {}).values()):
        yield attribute
        yield from _elements(attribute)


def _homes(value: Any) -> Iterator[str]:
    kind = type(value)
    if kind is MethodType or kind is functools.partial:
        value = value.__func__ if kind is MethodType else value.func
        kind = type(value)
    if isinstance(value, ModuleType):
        named = value.__name__
    elif kind is FunctionType:
        # Decorators copy `__module__` from what they wrap.
        home = value.__globals__.get("__name__")
        if isinstance(home, str):
            yield home
        named = value.__module__
    elif isinstance(value, type):
        named = value.__module__
    else:
        named = kind.__module__
    if isinstance(named, str) and named != "builtins":
        yield named
