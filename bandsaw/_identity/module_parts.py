"""A module by its source: its parts, and what each of them uses.

What is found out of the source of a large module is kept for other processes, see
`kept_outlines`.
"""

from __future__ import annotations

import ast
import sys
import threading
from collections.abc import Iterator
from functools import cached_property
from hashlib import sha256
from types import ModuleType
from typing import Any, Optional

from .._system.processes import in_forked_processes
from .changes import NOTHING, Changes, changes_of
from .definitions import is_task_decorator
from .firstparty import canonical_module_name, is_first_party
from .forms import inline, write_str
from .kept_outlines import Facts, Top, holds, write
from .kept_texts import is_large, is_long
from .kinds import attributes_of, is_a
from .outlines import Outline
from .scopes import uses_of
from .sources import Source, are_many
from .syntax import DEFINITIONS, IsLeftOut, nodes_in, statements_in, write_syntax
from .top_level import Bindings
from .uses import Origin, Use, Uses, absolute, chain_of, merged

# The parts of a module that count with each of its names: what is run when it is loaded, with all
# that it imports, and its own statements of that.
WHOLE, RUN = "", "<module>"
# All statements of a module, for who uses the module itself.
EVERYTHING = "*"
_IMPORTERS = ("import_module", "__import__")
# The specs of modules that were executed just now, before Python takes the first of them as loaded.
executed: list[Any] = []


class Part:
    """What one name of a module stands for."""

    def __init__(self, module: Module, name: str) -> None:
        self.module = module  # the module
        self.name = name  # the name, or `WHOLE`
        # As functions and classes have them.
        self.__module__ = module.name
        self.__qualname__ = name if name.isidentifier() else "<module>"
        if name not in module.facts.parts:
            module.facts.parts[name] = self._read()
        # The digest of its statement, of `WHOLE` that of all that count with the module.
        self.digest: Any = module.facts.parts[name][0]

    @property
    def uses(self) -> Uses:
        """What its statements use from outside."""
        return self.module.facts.part(self.name)[1]

    @cached_property
    def written_name(self) -> bytes:
        """Its name, which no other part of the project has."""
        place = canonical_module_name(self.module.name)
        return inline(b"!part;" + write_str(place) + write_str(self.name))

    def _read(self) -> tuple[bytes, Uses]:
        module, name, outline = self.module, self.name, self.module.outline
        node = outline.statements.get(name)
        nodes: list[Any] = list(outline.eager) if name == RUN else []
        if name == EVERYTHING:
            nodes = list(module.source.tree.body)
        if name in outline.lazy or is_a(node, DEFINITIONS):
            nodes = self._counted(node)
        read = [module.read(node, self.is_left_out) for node in nodes]
        uses = merged(uses for _, uses in read)
        if name == EVERYTHING:
            own = tuple(Use((each,), 0) for each in sorted({*outline.statements, *outline.imports}))
            uses = merged((uses, Uses(own, ())))
        return sha256(b"".join(digest for digest, _ in read)).digest(), uses

    @property
    def changes(self) -> Changes:
        """What it changes when it is called."""
        known = self.module.facts.changes_of(self.name)
        if known is None:
            node = self.module.outline.statements.get(self.name)
            known = changes_of(node) if is_a(node, DEFINITIONS) else NOTHING
            self.module.facts.changes[self.name] = known
        return known

    @property
    def kind(self) -> str:
        """What it is: a `function`, a `class` or a `value`; what a module runs is one function."""
        node = self.module.outline.statements.get(self.name)
        if is_a(node, ast.ClassDef):
            return "class"
        return "value" if node is not None and not is_a(node, DEFINITIONS) else "function"

    def _options(self, decorator: ast.expr) -> Optional[set[Any]]:
        if not is_task_decorator(decorator, {}, self.module.source):
            return None
        return {word.arg for word in getattr(decorator, "keywords", ())}

    def is_left_out(self, decorator: ast.expr) -> bool:
        options = self._options(decorator)
        return options is not None and options.isdisjoint(("version", "depends"))

    def _counted(self, node: Any) -> list[Any]:
        """Of a task with a version its author's word counts, and not its source."""
        decorators = getattr(node, "decorator_list", [])
        versioned = [each for each in decorators if "version" in (self._options(each) or ())]
        return versioned or [node]


class Module:
    def __init__(self, name: str, is_package: bool, path: Optional[str], source: Source) -> None:
        self.name = name  # its name
        self.package = name if is_package else name.rpartition(".")[0]  # that of its package
        self.is_package = is_package
        self.path = path  # its file; none of a folder that is a package without one
        self.source = source  # what that says
        self.spec: Any = None  # the one that it was loaded with, if it is loaded
        # What its names stood for when it was loaded, as far as the source does not say.
        self.first: dict[str, Any] = {}
        self._outline: Optional[tuple[ast.Module, Outline]] = None
        self._parts: dict[str, Part] = {}
        self._read: dict[ast.AST, tuple[bytes, Uses]] = {}
        self._answers: dict[tuple[str, int], bool] = {}
        known = source.kept
        # What is plain of what is known of it.
        self.facts = known if known is not None and holds(known, self._is_foreign) else Facts()
        self.top = self.facts.top or self._make_top()
        is_worth_it = is_long(source.data) or (is_large(source.data) and are_many())
        if is_worth_it and not self.facts.is_kept:
            self._read_all()

    @property
    def outline(self) -> Outline:
        """What its top level does, with the syntax tree."""
        # Another module of the same file may have had the tree be forgotten.
        tree, known = self.source.tree, self._outline
        if known is None or known[0] is not tree:
            known = self._outline = tree, Outline(self.source, self._is_foreign)
        return known[1]

    def _make_top(self) -> Top:
        outline, facts = self.outline, self.facts
        facts.built_in, facts.foreign = outline.built_in, dict(self._answers)
        names, loops = frozenset(outline.statements), frozenset(outline.loops)
        facts.top = Top(names, outline.imports, outline.stars, loops, bool(outline.eager))
        return facts.top

    def is_said(self, name: str) -> bool:
        """Says whether the source says what a variable is, see `Outline.is_said`."""
        known = self.facts.said.get(name)
        if known is None:
            known = self.facts.said[name] = self.outline.is_said(name)
        return known

    def _read_all(self) -> None:
        """Finds out all that may be asked, for other processes, and forgets the syntax tree."""
        for name in (WHOLE, RUN, EVERYTHING, *self.top.names):
            _ = self.part(name).changes
            self.is_said(name)
        _ = self.origins
        self._parts.clear()
        write(self.source.data, self.facts)
        self.forget_tree()

    def forget_tree(self) -> None:
        """Has the syntax tree be made anew for who asks for it again.

        Of a module that is loaded it is asked for, to compare it with what is in memory.
        """
        if self.loaded() is not None:
            return
        self._read.clear()
        self._outline = None
        self.source.forget_tree()

    def part(self, name: str) -> Part:
        known = self._parts.get(name)
        return known if known is not None else self._parts.setdefault(name, Part(self, name))

    def read(self, node: ast.AST, is_left_out: IsLeftOut) -> tuple[bytes, Uses]:
        """Digests a statement, and finds what it uses; once, though several parts have it."""
        known = self._read.get(node)
        if known is None:
            digest = sha256(write_syntax(node, is_left_out)).digest()
            known = self._read[node] = digest, uses_of([node], is_left_out, self.source.imports)
        return known

    def absolute(self, origin: Origin) -> str:
        """Names the module that an import is from."""
        return absolute(origin, self.package)

    def _is_foreign(self, origin: Origin) -> bool:
        answer = not is_first_party(self.absolute(origin))
        self._answers[origin.module, origin.level] = answer
        return answer

    def loaded(self) -> Optional[dict[str, Any]]:
        """Returns its variables if it is loaded, and not just being so."""
        return variables_of(sys.modules.get(self.name))

    @property
    def origins(self) -> frozenset[Origin]:
        """All that is imported anywhere in it."""
        known = self.facts.origins
        if known is None:
            known = self.facts.origins = frozenset(_origins_in(self.source))
        return known


def _origins_in(source: Source) -> Iterator[Origin]:
    """Yields all that is imported anywhere in a piece of source."""
    # Other characters may stand for those of a name.
    is_named = not source.text.isascii() or any(name in source.text for name in _IMPORTERS)
    for node in (nodes_in if is_named else statements_in)(source.tree):
        if is_a(node, ast.Import):
            yield from (Origin(alias.name, None, 0) for alias in node.names)
        elif is_a(node, ast.ImportFrom):
            yield from (Origin(node.module or "", alias.name, node.level) for alias in node.names)
        elif is_a(node, ast.Call) and node.args and is_a(node.args[0], ast.Constant):
            chain, name = chain_of(node.func), node.args[0].value
            if chain and chain[-1] in _IMPORTERS and is_a(name, str):
                inner = name.lstrip(".")
                yield Origin(inner, None, len(name) - len(inner))


def variables_of(module: Any) -> Optional[dict[str, Any]]:
    if not is_a(module, ModuleType):
        return None
    variables: Any = attributes_of(module)
    spec = variables.get("__spec__")
    is_begun = attributes_of(spec).get("_initializing")
    return None if is_begun and not any(spec is each for each in executed) else variables


@in_forked_processes
def _free_locks() -> None:
    """Gives what is computed once a new lock: another thread may have held it at the fork.

    From Python 3.12 on it has none.
    """
    for kind in (Source, Bindings, Part):
        for each in attributes_of(kind).values():
            if is_a(each, cached_property) and "lock" in each.__dict__:
                each.__dict__["lock"] = threading.RLock()
