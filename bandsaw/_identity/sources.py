"""From a function or class at run time to its definition in the source.

A module's source is parsed once, when somebody asks for more than is kept of it. A definition is
only believed when the source compiles to the byte code that the function really has: a file may
have been edited since it was imported.
"""

from __future__ import annotations

import ast
import contextlib
import io
import os
from functools import cached_property
from types import CodeType, ModuleType
from typing import Any, Optional, Union

from .._system.importing import late_import
from ..modules import file_of
from . import kept_outlines
from .kept_outlines import Facts, Table, uses_of_plain
from .kinds import attributes_of, is_a
from .matching import digest_of_byte_code, narrowed, place_of
from .scopes import uses_of
from .syntax import FUNCTIONS, literals_of, nodes_below, nodes_in, parse, write_syntax
from .top_level import CALLED, Bindings, Blocks
from .uses import Uses

Definition = Union[ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef]

# Also `with open(path) as file`.
_LOOPS = (ast.For, ast.AsyncFor, ast.While, ast.withitem)
_sources: dict[str, tuple[Any, Optional[Source]]] = {}
# The sources of so many modules are read as fast without what can be kept of short ones.
_FEW = 50


class Source:
    def __init__(self, data: Union[str, bytes], filename: str) -> None:
        self.data = data  # its text, or the contents of its file
        self._filename = filename
        self._first_set: dict[str, tuple[tuple[bytes, ...], Uses]] = {}

    @property
    def text(self) -> str:
        return self.data if isinstance(self.data, str) else _decoded(self.data)

    @cached_property
    def tree(self) -> ast.Module:
        """Its syntax tree, made when somebody asks for it."""
        return parse(self.text)

    @cached_property
    def kept(self) -> Optional[Facts]:
        """What was found out of its top level, `None` where nothing is kept."""
        return kept_outlines.read(self.data)

    @cached_property
    def table(self) -> Optional[Table]:
        """What was found out of its definitions, `None` where nothing is kept."""
        return kept_outlines.read_table(self.data)

    @property
    def _read(self) -> Union[Table, Bindings]:
        """What its top level binds, without the syntax tree where it need not be made."""
        table = None if "tree" in self.__dict__ else self.table
        return self._bindings if table is None else table

    @cached_property
    def _bindings(self) -> Bindings:
        return Bindings(self.tree)

    @property
    def imports(self) -> dict[str, tuple[str, str, int]]:
        """What its top-level `from` imports bind: the module, the name in it and the level."""
        return self._read.imports

    @property
    def imported(self) -> list[tuple[str, int, tuple[str, ...]]]:
        """The modules that its top level imports, with the level and the names."""
        return self._read.imported

    def assigns(self, name: str) -> bool:
        """Says whether a top-level statement assigns a name."""
        return name in self._read.assigned

    def statements(self, name: str) -> tuple[bytes, ...]:
        """Writes the top-level statements that assign a name."""
        found: Any = self._read.assigned.get(name, ())
        return tuple(e if isinstance(e, bytes) else write_syntax(e) for e in found)

    def first_set(self, name: str) -> tuple[tuple[bytes, ...], Uses]:
        """Writes the top-level statements that set and fill a name, or a class, with what they use.

        What their loops bind is left out: later loops of a script bind such names again.
        """
        read = self._read
        if isinstance(read, Table):
            written, plain = read.first_set.get(name, ((), Uses((), ())))
            return written, uses_of_plain(plain)
        known = self._first_set.get(name)
        if known is None:
            statements = [*read.assigned.get(name, ()), *read.filling.get(name, ())]
            loops = [node for node in nodes_in(*statements) if isinstance(node, _LOOPS)]
            nodes = (node for node in nodes_in(*loops) if isinstance(node, ast.Name))
            bound = {node.id for node in nodes if not isinstance(node.ctx, ast.Load)}
            uses = uses_of(statements, imports=read.imports)
            names = tuple(use for use in uses.names if use.chain[0] not in bound)
            known = tuple(map(write_syntax, statements)), uses._replace(names=names)
            self._first_set[name] = known
        return known

    @property
    def roots_of_calls(self) -> list[str]:
        """What the top level gives a function to, or something else by its name."""
        return [name[: -len(CALLED)] for name in self._read.assigned if name.endswith(CALLED)]

    def statements_of_calls(self, root: str) -> tuple[tuple[bytes, ...], Uses]:
        """Writes the statements that do so, with what they use."""
        return self.first_set(root + CALLED)

    def computes(self, name: str) -> bool:
        """Says whether one of them has more than a literal."""
        read = self._read
        if isinstance(read, Table):
            return name in read.computed
        values = (getattr(each, "value", None) for each in read.assigned.get(name, ()))
        return any(value is not None and not literals_of(value) for value in values)

    @property
    def assigned(self) -> dict[str, list[ast.stmt]]:
        """The top-level statements that assign a name."""
        return self._bindings.assigned

    @property
    def defined(self) -> dict[str, bool]:
        """The functions and classes at the top level, and whether they are decorated."""
        return self._read.defined

    @cached_property
    def blocks(self) -> Blocks:
        """What anything but a definition or an import at the top level binds and sets."""
        return Blocks(self.tree)

    def forget_tree(self) -> None:
        """Has it made anew for who asks for it again."""
        for name in ("tree", "_bindings", "blocks", "index", "_compiled"):
            self.__dict__.pop(name, None)

    @cached_property
    def index(self) -> Index:
        """The definitions in it."""
        return Index(self.tree)

    def function(self, code: CodeType) -> Any:
        """Finds the definition of a function if it is there, the same, and not to be mistaken."""
        functions = self.index.functions
        key = place_of(code, functions, self.digests)
        if key is None or key not in functions:
            return None
        nodes = functions[key]
        if len(nodes) == 1:
            return nodes[0]
        nodes = narrowed(nodes, code)
        forms = {ast.dump(node) for node in nodes}
        return nodes[0] if len(forms) == 1 else None

    def class_(self, qualified_name: str, codes: list[CodeType]) -> Optional[ast.ClassDef]:
        """Finds the definition of a class if it is there and still the same."""
        nodes = self.index.classes.get(qualified_name, [])
        lines = []
        for code in codes:
            function = self.function(code)
            if function is None:
                return None
            lines.append(function.lineno)
        if lines:
            nodes = [n for n in nodes if n.lineno <= min(lines) <= (n.end_lineno or n.lineno)]
        elif len(nodes) > 1:
            # One in `if` and one in `else`, say: which it is nobody knows, so all count.
            *others, last = nodes
            parts = {name: getattr(last, name) for name in last._fields}
            parts["body"] = [*last.body, *others]
            return ast.copy_location(ast.ClassDef(**parts), last)
        return nodes[-1] if nodes else None

    def digests(self, key: tuple[str, int]) -> frozenset[bytes]:
        """Digests the byte code that functions of a name and a first line have."""
        if self.table is not None:
            return self.table.functions[key][0] if key in self.table.functions else frozenset()
        return frozenset(map(digest_of_byte_code, self._compiled.get(key, ())))

    @cached_property
    def _compiled(self) -> dict[tuple[str, int], list[CodeType]]:
        found: dict[tuple[str, int], list[CodeType]] = {}
        flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT  # as notebooks compile their cells
        pending = []
        # An edited file may be one that can be parsed, but not compiled: no code is of it.
        with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
            pending.append(compile(self.text, self._filename, "exec", flags, dont_inherit=True))
        while pending:
            code = pending.pop()
            found.setdefault((code.co_name, code.co_firstlineno), []).append(code)
            pending += [const for const in code.co_consts if isinstance(const, CodeType)]
        return found


class Index:
    """The definitions of a module: functions by name and first line, classes by qualified name."""

    def __init__(self, tree: ast.AST) -> None:
        self.functions: dict[tuple[str, int], list[Any]] = {}
        self.classes: dict[str, list[ast.ClassDef]] = {}
        pending: list[tuple[ast.AST, str]] = [(tree, "")]
        while pending:
            parent, prefix = pending.pop()
            for child in nodes_below(parent):
                below = prefix
                if isinstance(child, FUNCTIONS):
                    first = min([child.lineno, *(d.lineno for d in child.decorator_list)])
                    self.functions.setdefault((child.name, first), []).append(child)
                    below = f"{prefix}{child.name}.<locals>."
                elif isinstance(child, ast.Lambda):
                    self.functions.setdefault(("<lambda>", child.lineno), []).append(child)
                    below = f"{prefix}<lambda>.<locals>."
                elif isinstance(child, ast.ClassDef):
                    self.classes.setdefault(prefix + child.name, []).append(child)
                    below = f"{prefix}{child.name}."
                elif isinstance(child, ast.Name):
                    continue
                pending.append((child, below))


def module_source(module: ModuleType) -> Optional[Source]:
    """Finds the parsed source of a module. Returns the source, or `None` where there is none."""
    filename = file_of(module)
    if not is_a(filename, str):
        return None
    return source_of(filename, dict(attributes_of(module)))


def stamp_of(path: str) -> Any:
    """What changes with a file, `None` where there is none."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        return None
    # The time of the change: the other one can be set back.
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def are_many() -> bool:
    """Says whether this process has read the sources of more than a few modules."""
    return len(_sources) > _FEW


def stamp_of_source(path: str) -> Any:
    """Returns the stamp of a file as it was when it was read."""
    return _sources.get(path, (None, None))[0]


def source_of(
    filename: str, namespace: dict[str, Any], is_outlined: bool = False
) -> Optional[Source]:
    """Parses the source of a module, from a file, an archive or a notebook, if there is one.

    `is_outlined`: whether what is kept of its top level does instead.
    """
    stamp = stamp_of(filename)
    known = _sources.get(filename)
    if known is not None and known[0] == stamp and stamp is not None:
        return known[1]
    source = None
    try:
        data = _read(filename, namespace, stamp is not None)
        if known is not None and known[1] is not None and known[1].data == data:
            source = known[1]
        elif data is not None:
            source = Source(data, filename)
            is_kept = is_outlined and source.kept is not None
            if not is_kept and source.table is None:
                _ = source.tree  # or there is none
    except (OSError, SyntaxError, ValueError, RecursionError, SystemError, MemoryError):
        source = None
    _sources[filename] = stamp, source
    return source


def _decoded(data: bytes) -> str:
    with late_import:
        import tokenize
    encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
    return io.TextIOWrapper(io.BytesIO(data), encoding).read()


def _read(filename: str, namespace: dict[str, Any], is_file: bool) -> Union[str, bytes, None]:
    if is_file:
        with open(filename, "rb") as stream:
            return stream.read()
    loader = namespace.get("__loader__")
    name = namespace.get("__name__")
    spec = namespace.get("__spec__")
    if hasattr(loader, "get_source") and isinstance(name, str):
        try:
            text = loader.get_source(getattr(spec, "name", name))  # type: ignore[union-attr]
        except (ImportError, OSError):
            text = None
        if isinstance(text, str):
            return text
    with late_import:
        import linecache

    return "".join(linecache.getlines(filename, namespace)) or None
