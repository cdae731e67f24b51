"""The uses of names: what a definition takes from the world around it, and what it binds itself."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Optional

# What the names of uses begin with that are import statements themselves.
RUN_BY_IMPORT = "import of "

# Attributes that hold all variables of a module.
ALL_VARIABLES = frozenset(("__globals__", "f_globals"))


class Origin(NamedTuple):
    """Where an import statement takes a name from."""

    module: str  # the module as written
    name: Optional[str]  # the name in the module, or `None` where the module itself is bound
    level: int  # the number of leading dots

    def text(self) -> str:
        """Says it shortly; different origins differ."""
        name = "" if self.name is None else f":{self.name}"
        return f"{'.' * self.level}{self.module}{name}"


def bound_by_import(node: Any) -> list[tuple[str, Origin]]:
    """Names what an import statement binds, with where it takes that from."""
    if isinstance(node, ast.ImportFrom):
        module, level = node.module or "", node.level
        return [(each.asname or each.name, Origin(module, each.name, level)) for each in node.names]
    # `import a.b` binds `a`, and `import a.b as c` binds `a.b`.
    return [
        (each.asname or each.name.partition(".")[0],
         Origin(each.name, None if each.asname is None else "", 0))
        for each in node.names
    ]  # fmt: skip


def absolute(origin: tuple[str, Any, int], package: Any) -> str:
    """Names the module that an import in a package is from."""
    module, _, level = origin
    if not level:
        return module
    parts = str(package or "").split(".")
    kept = parts[: len(parts) - level + 1]
    return ".".join([*kept, module] if module else kept)


class Use(NamedTuple):
    """One use of a name from outside."""

    chain: tuple[str, ...]  # the name and the attributes
    line: int  # the line of its first use
    origin: Optional[Origin] = None  # for names that are imported within the definition, where from
    is_decorator: bool = False  # whether it is used in a decorator only

    def text(self) -> str:
        """Names what is used, and the import that it is from; different uses differ."""
        text = ".".join(self.chain)
        if self.origin is None or text.startswith(RUN_BY_IMPORT):
            return text
        return f"{text}, {RUN_BY_IMPORT}{self.origin.text()}"


class Uses(NamedTuple):
    names: tuple[Use, ...]  # the uses, sorted
    # Calls that reach code by a computed name: the chain called, the line, the source.
    dynamic: tuple[tuple[tuple[str, ...], int, str], ...]


def chain_of(node: ast.AST) -> Optional[tuple[str, ...]]:
    """Reads a name with attributes. Returns its parts, or `None` if it is anything else."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name):
        return (node.id, *reversed(parts))
    return None


def merged(each: Iterable[Uses]) -> Uses:
    """Returns what several statements use together."""
    each = list(each)
    if len(each) == 1:
        return each[0]
    names = united(use for uses in each for use in uses.names)
    return Uses(names, tuple(call for uses in each for call in uses.dynamic))


def united(uses: Iterable[Use]) -> tuple[Use, ...]:
    """Sorts uses, and makes one of those of the same name from the same place."""
    found: dict[tuple[tuple[str, ...], Optional[Origin]], Use] = {}
    for use in uses:
        key = use.chain, use.origin
        known = found.setdefault(key, use)
        if known.line > use.line or (known.is_decorator and not use.is_decorator):
            is_decorator = use.is_decorator and known.is_decorator
            found[key] = use._replace(is_decorator=is_decorator, line=min(use.line, known.line))
    return tuple(sorted(found.values(), key=lambda use: (use.chain, str(use.origin))))


class Scope:
    """Which names a scope binds, and what it uses from outside."""

    def __init__(self, kind: str, parent: Optional[Scope]) -> None:
        self.kind = kind
        self.parent = parent
        self.bound: dict[str, int] = {}
        self.free: set[str] = set()
        self.enclosing: set[str] = set()
        # What each name may be imported from, as in `try` and `except ImportError`.
        self.imports: dict[str, list[Origin]] = {}
        # With the first line of each. Where it is may count in the body of a class.
        self.uses: dict[tuple[tuple[str, ...], bool, int], int] = {}
        self._is_class = kind == "class"
        self.children: list[Scope] = []
        if parent is not None:
            parent.children.append(self)

    def use(self, chain: tuple[str, ...], line: int, is_decorator: bool) -> None:
        key = chain, is_decorator, line if self._is_class else 0
        known = self.uses.get(key)
        if known is None or line < known:
            self.uses[key] = line

    def bind(self, name: str, line: int) -> None:
        self.bound[name] = min(line, self.bound.get(name, line))

    def bind_import(self, name: str, origin: Origin, line: int) -> None:
        self.bind(name, line)
        origins = self.imports.setdefault(name, [])
        if origin not in origins:
            origins.append(origin)


def collected(scope: Scope) -> Iterator[Use]:
    for (chain, is_decorator, _), line in scope.uses.items():
        for origin in _origins(scope, chain[0], line):
            yield Use(chain, line, origin, is_decorator)
    # Others that read the variable, or the attribute of the class, find there what was imported.
    elsewhere = scope.imports if scope.kind == "class" else scope.free | scope.enclosing
    for name in scope.imports.keys() & elsewhere:
        for each in scope.imports[name]:
            yield Use((name,), scope.bound[name], each)
    for child in scope.children:
        yield from collected(child)


def _origins(scope: Scope, name: str, line: int) -> list[Optional[Origin]]:
    """Returns nothing for a local name, `None` for one from outside, else its import."""
    current: Optional[Scope] = scope
    while current is not None:
        is_visible = current is scope or current.kind != "class"
        if name in current.free:
            return [None]
        if is_visible and name in current.bound and name not in current.enclosing:
            found: list[Optional[Origin]] = [*current.imports.get(name, ())]
            if current.kind == "class" and line <= current.bound[name]:
                # `x = x` in the body of a class reads the global one.
                found.append(None)
            return found
        current = current.parent
    return [None]
