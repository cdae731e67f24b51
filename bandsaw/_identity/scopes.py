"""Which names of the world around it a definition uses.

A use is a *chain*: the name and the attributes that are read from it (`prep.clean`). Names that
are bound within the definition are no uses, except where an import inside of it binds them.
"""

from __future__ import annotations

import ast
import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Optional

from .syntax import FUNCTIONS, IsLeftOut, dispatched_on, nodes_below, nodes_in, parse
from .uses import (
    ALL_VARIABLES,
    RUN_BY_IMPORT,
    Origin,
    Scope,
    Uses,
    bound_by_import,
    chain_of,
    collected,
    united,
)

# The module and the name in it, by the name that they are imported under, with the leading dots.
Imports = Mapping[str, tuple[str, str, int]]
_NO_IMPORTS: Imports = {}

_FUNCTIONS = (*FUNCTIONS, ast.Lambda)
# Variables that methods of tables of pandas read: `table.query("a < @limit")`, `eval`.
_IN_QUERY = re.compile(r"@([^\W\d]\w*)")
# Exception handlers, the captures of `match`, and the like.
_NAMED = frozenset(
    kind
    for kind in vars(ast).values()
    if isinstance(kind, type) and issubclass(kind, ast.AST) and {"name", "rest"} & {*kind._fields}
)
# As many levels of a tree are visited by functions that call each other, up to four for a level.
_DEEPEST = 60
# Where in a call of these the name stands that they find code by; `None` where it is in no text.
_DYNAMIC: dict[str, Optional[int]] = {
    **dict.fromkeys("eval exec globals resolve_name run_module run_path".split()),
    **dict.fromkeys(("entry_points", "iter_entry_points")),
    # Of pydoc, werkzeug, Django and Hydra.
    **dict.fromkeys(
        "locate import_string instantiate call get_class get_method get_object".split()
    ),
    **{"spec_from_file_location": None, "getattr": 1, "import_module": 0, "__import__": 0},
}
_MODULES = ("sys", "modules")


_methods: dict[type, Callable[[Any, Any], None]] = {}


class _Visitor:
    def __init__(self, is_left_out: IsLeftOut, imports: Imports) -> None:
        self.is_left_out = is_left_out
        self.imports = imports
        self.scope = Scope("outside", None)
        self.dynamic: list[tuple[tuple[str, ...], int, str]] = []
        self.in_decorator = False
        self.depth = 0
        # What is nested too deeply for functions that recur, with where it stands.
        self.deferred: list[tuple[ast.AST, Scope, bool]] = []

    def visit(self, node: ast.AST) -> None:
        # As `ast.NodeVisitor` does it, without making the name of the method each time.
        kind = type(node)
        method = _methods.get(kind)
        if method is None:
            name = f"visit_{kind.__name__}"
            method = _methods[kind] = getattr(_Visitor, name, _Visitor.generic_visit)
        if self.depth == _DEEPEST:
            self.deferred.append((node, self.scope, self.in_decorator))
            return
        self.depth += 1
        method(self, node)
        self.depth -= 1

    def visit_deferred(self) -> None:
        while self.deferred:
            node, self.scope, self.in_decorator = self.deferred.pop()
            self.visit(node)

    def within(self, kind: str) -> Scope:
        self.scope = Scope(kind, self.scope)
        return self.scope

    def leave(self) -> None:
        assert self.scope.parent is not None
        self.scope = self.scope.parent

    def use(self, chain: tuple[str, ...], line: int) -> None:
        self.scope.use(chain, line, self.in_decorator)

    def visit_Name(self, node: ast.Name) -> None:
        if isinstance(node.ctx, ast.Load):
            self.use((node.id,), node.lineno)
        else:
            self.scope.bind(node.id, node.lineno)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        chain = chain_of(node)
        if node.attr in ALL_VARIABLES:
            self.dynamic.append(((node.attr,), node.lineno, _source(node)))
        if chain is None:
            self.generic_visit(node)
        else:
            self.use(chain, node.lineno)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        if isinstance(node.target, ast.Name):
            self.use((node.target.id,), node.lineno)
        self.generic_visit(node)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        scope: Optional[Scope] = self.scope
        while scope is not None and scope.kind == "comprehension":
            scope = scope.parent
        if scope is not None:
            scope.bind(node.target.id, node.lineno)
        self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr in ("query", "eval"):
            for query in (*node.args[:1], *(each for each in node.keywords if each.arg == "expr")):
                for part in ast.walk(query):
                    for name in _IN_QUERY.findall(str(getattr(part, "value", ""))):
                        self.use((name,), node.lineno)
        chain = self.imported(chain_of(node.func))
        if chain is not None and chain[:-1] == _MODULES and node.args:
            self.use_loaded(node, node.args[0])
        elif chain is not None and chain[-1] in _DYNAMIC:
            position = _DYNAMIC[chain[-1]]
            argument = (
                node.args[position] if position is not None and position < len(node.args) else None
            )
            text = argument.value if isinstance(argument, ast.Constant) else None
            # A relative name of a module depends on what else the call is given.
            is_whole = chain[-1] == "getattr" or str(text)[:1] not in ("", ".")
            if not isinstance(text, str) or not is_whole:
                self.dynamic.append((chain, node.lineno, _source(node)))
            elif chain[-1] == "getattr":
                base = chain_of(node.args[0])
                if base is not None:
                    self.use((*base, text), node.lineno)
            else:
                self.use_module(text, node.lineno)
        self.generic_visit(node)

    def visit_Subscript(self, node: ast.Subscript) -> None:
        if self.imported(chain_of(node.value)) == _MODULES:
            self.use_loaded(node, node.slice)
        self.generic_visit(node)

    def use_loaded(self, node: Any, name: ast.expr) -> None:
        """Notes that a module is taken from those that are loaded."""
        if isinstance(name, ast.Constant) and isinstance(name.value, str):
            self.use_module(name.value, node.lineno)
        else:
            self.dynamic.append((_MODULES, node.lineno, _source(node)))

    def use_module(self, name: str, line: int) -> None:
        """Notes that a module is used by a name in a text."""
        bound = f"import {name}"
        self.scope.bind_import(bound, Origin(name, "", 0), line)
        self.use((bound,), line)

    def imported(self, chain: Optional[tuple[str, ...]]) -> Optional[tuple[str, ...]]:
        """Names what imports of the definition or of its module bind by where they take it from."""
        scope: Optional[Scope] = self.scope
        while chain is not None and scope is not None:
            for origin in scope.imports.get(chain[0], ()):
                if origin.name is not None and not origin.level:
                    name = (origin.name,) if origin.name else ()
                    return (*origin.module.split("."), *name, *chain[1:])
            if chain[0] in scope.bound:
                return chain
            scope = scope.parent
        if chain is None or chain[0] not in self.imports:
            return chain
        module, name_there, level = self.imports[chain[0]]
        return chain if level else (*module.split("."), name_there, *chain[1:])

    def visit_FunctionDef(self, node: Any) -> None:
        self.scope.bind(node.name, node.lineno)
        self.decorators(node)
        self.defaults(node.args)
        self.function(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.defaults(node.args)
        self.function(node)

    def decorators(self, node: Any) -> None:
        before, self.in_decorator = self.in_decorator, True
        for decorator in node.decorator_list:
            if not self.is_left_out(decorator):
                self.visit(decorator)
        self.in_decorator = before
        for annotation in dispatched_on(node) if isinstance(node, FUNCTIONS) else ():
            self.visit(annotation)

    def defaults(self, args: ast.arguments) -> None:
        for default in [*args.defaults, *args.kw_defaults]:
            if default is not None:
                self.visit(default)

    def function(self, node: Any) -> None:
        scope = self.within("function")
        args = node.args
        for arg in [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]:
            if arg is not None:
                scope.bind(arg.arg, node.lineno)
        for parameter in getattr(node, "type_params", ()):
            scope.bind(parameter.name, node.lineno)
        for statement in node.body if isinstance(node.body, list) else [node.body]:
            self.visit(statement)
        self.leave()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.scope.bind(node.name, node.lineno)
        self.decorators(node)
        for base in [*node.bases, *node.keywords]:
            self.visit(base)
        scope = self.within("class")
        for parameter in getattr(node, "type_params", ()):
            scope.bind(parameter.name, node.lineno)
        for statement in node.body:
            self.visit(statement)
        self.leave()

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if self.scope.kind == "class":
            self.visit(node.annotation)
            for quoted in quoted_in(node.annotation):
                self.visit(quoted)
        if node.value is not None:
            self.visit(node.value)
        self.visit(node.target)

    def comprehension(self, node: Any) -> None:
        self.visit(node.generators[0].iter)
        self.within("comprehension")
        for position, generator in enumerate(node.generators):
            self.visit(generator.target)
            if position:
                self.visit(generator.iter)
            for condition in generator.ifs:
                self.visit(condition)
        for name in ("key", "value", "elt"):
            if hasattr(node, name):
                self.visit(getattr(node, name))
        self.leave()

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = comprehension

    def visit_Import(self, node: Any) -> None:
        for name, origin in bound_by_import(node):
            self.scope.bind_import(name, origin, node.lineno)
            self.run_by(origin, node.lineno)

    visit_ImportFrom = visit_Import

    def run_by(self, origin: Origin, line: int) -> None:
        """Notes what an import in a function runs, whether what it binds is used or not."""
        if self.scope.kind != "outside":
            name = f"{RUN_BY_IMPORT}{origin.text()}"
            self.scope.bind_import(name, origin, line)
            self.use((name,), line)

    def visit_Global(self, node: ast.Global) -> None:
        self.scope.free |= set(node.names)

    def visit_Nonlocal(self, node: ast.Nonlocal) -> None:
        self.scope.enclosing |= set(node.names)

    def generic_visit(self, node: ast.AST) -> None:
        if type(node) in _NAMED:
            name = getattr(node, "name", None) or getattr(node, "rest", None)
            if isinstance(name, str) and isinstance(getattr(node, "lineno", None), int):
                self.scope.bind(name, node.lineno)  # type: ignore[attr-defined]
        for below in nodes_below(node):
            # As `visit` does with most of them, without the calls.
            if type(below) is not ast.Name:
                if type(below) is not ast.Constant:
                    self.visit(below)
            elif type(below.ctx) is ast.Load:
                self.scope.use((below.id,), below.lineno, self.in_decorator)
            else:
                self.scope.bind(below.id, below.lineno)


def quoted_in(annotation: ast.expr) -> Iterator[ast.expr]:
    """Yields the types that texts in an annotation name, as `"Node"` does."""
    pending: list[Any] = [annotation]
    for node in pending:  # which grows
        if isinstance(node, ast.Subscript):
            name = (chain_of(node.value) or ("",))[-1]
            if name == "Annotated" and isinstance(node.slice, ast.Tuple):
                pending.append(node.slice.elts[0])
            elif name != "Literal":
                pending.append(node.slice)
            continue
        pending += nodes_below(node)
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            with contextlib.suppress(SyntaxError, ValueError, RecursionError, MemoryError):
                statement = parse(f"({node.value})").body[0]
                if isinstance(statement, ast.Expr):
                    each: Any
                    for each in nodes_in(statement):
                        each.lineno = node.lineno
                    yield statement.value


def _source(node: ast.AST) -> str:
    try:
        return ast.unparse(node)[:80]
    except RecursionError:
        return "a deeply nested call"


def uses_of(
    nodes: Any, is_left_out: IsLeftOut = lambda decorator: False, imports: Imports = _NO_IMPORTS
) -> Uses:
    """Finds what a definition uses from outside, or the statements of a module.

    `imports`: what the module imports at its top, see `Source`.
    """
    visitor = _Visitor(is_left_out, imports)
    if isinstance(nodes, _FUNCTIONS):
        # Their defaults count by their values.
        if not isinstance(nodes, ast.Lambda):
            visitor.decorators(nodes)
        visitor.function(nodes)
    else:
        for node in nodes if isinstance(nodes, list) else [nodes]:
            visitor.visit(node)
    outside = visitor.scope
    visitor.visit_deferred()
    if not isinstance(nodes, _FUNCTIONS):
        # Names are those of the module, but for modules that are named in a text.
        outside.bound = {n: line for n, line in outside.bound.items() if n[:7] == "import "}
    return Uses(united(collected(outside)), tuple(visitor.dynamic))
