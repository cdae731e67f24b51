"""What modules import, read from their sources.

To parse a large project takes a second. So what was found is kept beside an unpacked archive, and
holds for the same module with the same bytes.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Optional

from .._identity.syntax import parse
from . import locate

# In the folder of an unpacked archive, and no part of the archive.
FILE_NAME = "bandsaw-imports.json"

_IMPORT = re.compile(r"\bimport[ \t]+([^\W\d][\w.]*(?:[ \t]+as[ \t]+\w+)?(?:[ \t]*,[ \t\w.,]*)?)")
_FROM = re.compile(r"\bfrom[ \t]+([^\W\d][\w.]*)[ \t]+import\b")
_BY_CALL = re.compile(r"""\b(?:import_module|__import__)\(\s*["']([^\W\d][\w.]*)["']""")


class Imports:
    def __init__(self, known: Optional[Mapping[str, list[str]]] = None) -> None:
        self._known = known or {}
        # What was asked for: the names, by module and digest of its source.
        self.found: dict[str, list[str]] = {}

    def of(self, name: str, source: bytes) -> list[str]:
        """Finds the full names of what one module imports; some may be those of functions."""
        if b"import" not in source:
            return []
        key = f"{name} {hashlib.sha256(source).hexdigest()}"
        names = self._known.get(key)
        if names is None:
            try:
                tree = parse(source)
            except (SyntaxError, ValueError, RecursionError, SystemError, MemoryError):
                return []  # another Python may be able to
            names = list(dict.fromkeys(_imported(tree, _package_of(name))))
        self.found[key] = names
        return names

    def as_bytes(self) -> bytes:
        return json.dumps(self.found, sort_keys=True).encode()


def named_in(source: bytes) -> list[str]:
    """Finds the first names of what a module may import, without parsing it; some may be words."""
    if b"import" not in source:
        return []
    text = source.decode("utf-8", "replace")
    names = [part.split()[0] for found in _IMPORT.findall(text) for part in found.split(",")
             if part.strip()]  # fmt: skip
    return list(dict.fromkeys([*names, *_FROM.findall(text), *_BY_CALL.findall(text)]))


def read(folders: Iterable[Path]) -> dict[str, list[str]]:
    known: dict[str, list[str]] = {}
    for folder in folders:
        try:
            kept: Any = json.loads((folder / FILE_NAME).read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(kept, dict):
            known.update(kept)
    return known


def _imported(tree: ast.AST, package: str) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(package, node.level, node.module or "")
            if base:
                yield base
                yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")
        elif isinstance(node, ast.Call) and node.args and _is_import(node.func):
            argument = node.args[0]
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                text = argument.value
                name = _absolute(package, len(text) - len(text.lstrip(".")), text.lstrip("."))
                if name:
                    yield name


def _is_import(function: ast.expr) -> bool:
    name = getattr(function, "id", None) or getattr(function, "attr", None)
    return name in ("import_module", "__import__")


def _package_of(name: str) -> str:
    package = getattr(sys.modules.get(name), "__dict__", {}).get("__package__")
    if isinstance(package, str):
        return package
    spec = locate.locate(name)
    return name if spec is not None and locate.is_package(spec) else name.rpartition(".")[0]


def _absolute(package: str, level: int, module: str) -> str:
    if not level:
        return module
    parts = package.split(".") if package else []
    if level > len(parts):
        return ""
    return ".".join([*parts[: len(parts) - level + 1], *([module] if module else [])])
