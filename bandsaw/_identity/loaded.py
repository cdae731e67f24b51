"""What a loaded module has instead of what its source says.

What the source says is compared with it. What it does not say, such as the results of calls, is
looked at when the module has just been loaded, where an id has spoken of the module before that.
"""

from __future__ import annotations

import ast
import contextlib
import sys
from collections.abc import Callable
from functools import partial
from types import CodeType, FunctionType, MemberDescriptorType
from typing import Any, Optional

from .by_source import known_module, module_of
from .changes import NOTHING
from .definitions import defaults_of, definition_of
from .first_values import MISSING, content_of
from .firstparty import Onlooker, is_first_party
from .kinds import attributes_of, is_a, is_task, name_of, qualname_of
from .kinds import module_of as home_of
from .loaded_together import Together
from .module_parts import Module, executed
from .static_names import is_literal, paired_defaults, said_by
from .stored import is_special_of_the_user, is_strange
from .syntax import DEFINITIONS, FUNCTIONS
from .watch import Seen, Watch

_KINDS = {
    **{name: f"builtins.{name}" for name in ("property", "staticmethod", "classmethod")},
    "cached_property": "functools.cached_property",
}
# What bandsaw keeps in functions.
OURS = frozenset(("__wrapped__", "bandsaw_task", "__bandsaw_snapshot__"))


class First:
    """What a name stood for when its module was loaded."""

    def __init__(self, value: Any, digest: bytes, seen: Seen) -> None:
        self.digest = digest  # its digest
        self.take(value, seen)

    def take(self, value: Any, seen: Seen) -> None:
        self._value = value  # a value of that digest, by which others need no walk
        self.watch = Watch(seen)  # what notices whether it is the same

    def is_same(self, value: Any) -> bool:
        """Says whether a value has its digest without a walk, `False` where that is not known."""
        seen = self.watch.seen
        is_known = value is self._value and seen.is_whole and self.watch.is_current()
        return is_known and all(len(members) == size for members, size in seen.sizes)


# Digests a value with what it reaches, and says what was read.
Walk = Callable[[Any, Together], tuple[bytes, Seen]]


def is_as_said(module: Module, name: str, value: Any, seen: Seen) -> bool:
    """Says whether a name of a loaded module stands for what its source says."""
    outline = module.outline
    if name not in outline.statements:
        return _is_imported(module, name, value)
    if value is MISSING and name in outline.deleted:
        return True
    node: Any = outline.statements[name]
    if is_a(node, FUNCTIONS):
        if node.decorator_list and is_task(value):
            value = attributes_of(value).get("__wrapped__")
            return _is_function(module, node, value, seen)
        if node.decorator_list:
            return _is_decorated(module, node, list(node.decorator_list), value, seen)
        return _is_function(module, node, value, seen)
    if is_a(node, ast.ClassDef):
        return is_a(value, type) and _is_class(module, node, value, seen)
    if is_a(node, (ast.Assign, ast.AnnAssign)) and node.value is not None:
        return name in outline.lazy and is_literal(node.value, value, seen) is True
    return False


def _is_imported(module: Module, name: str, value: Any) -> bool:
    outline = module.outline
    inner = sys.modules.get(f"{module.name}.{name}", MISSING)
    if name not in outline.imports:
        return value is MISSING or value is inner or bool(outline.stars)
    for origin in outline.imports[name]:
        home = module.absolute(origin)
        if origin.name is None:
            home = home.partition(".")[0]
        expected: Any = sys.modules.get(home, MISSING)
        if origin.name:
            known = attributes_of(expected).get(origin.name, MISSING)
            expected = known if known is not MISSING else sys.modules.get(f"{home}.{origin.name}")
            if not is_first_party(home) and not is_strange(value):
                return True
        if value is expected:
            return True
    return value is inner


def _is_function(module: Module, node: Any, value: Any, seen: Seen) -> bool:
    if not is_a(value, FunctionType):
        return False
    if not _is_node(module.source.function(value.__code__), node):
        return False
    if not OURS.issuperset(attributes_of(value)):
        return False
    seen.function(value)
    pairs = paired_defaults(value, defaults_of(node))
    return pairs is not None and all(is_literal(said, held, seen) for said, held in pairs)


def _is_node(found: Any, node: Any) -> bool:
    """Says whether a definition is a certain one: the tree may have been made anew meanwhile."""
    places = (found.lineno, found.col_offset) if is_a(found, type(node)) else None
    return places == (node.lineno, node.col_offset)


def _is_decorated(module: Module, node: Any, decorators: list[Any], value: Any, seen: Seen) -> bool:
    """Says whether a value is a function in the wrappers of its decorators, the outermost first.

    Wrappers are functions in the code of a decorator, or installed ones. They may hold nothing but
    what is decorated, what the source gives to the decorator, and what they change themselves.
    """
    if not decorators:
        return _is_function(module, node, value, seen)
    decorator, given = decorators[0], []
    if is_a(decorator, ast.Call):
        given = [*decorator.args, *(keyword.value for keyword in decorator.keywords)]
        decorator = decorator.func
    maker = said_by(decorator, module.loaded() or {})
    if not is_a(maker, FunctionType):
        return False
    is_ours = is_first_party(str(maker.__globals__.get("__name__")))
    codes = _codes_in(maker.__code__)
    if is_ours and not codes:  # it returns what it was given
        return _is_decorated(module, node, decorators[1:], value, seen)
    if name_of(type(value)) == "functools._lru_cache_wrapper" and not is_ours:
        inner = attributes_of(value).get("__wrapped__")
        return _is_decorated(module, node, decorators[1:], inner, seen)
    if not is_a(value, FunctionType) or not OURS.issuperset(attributes_of(value)):
        return False
    home = str(value.__globals__.get("__name__"))
    if value.__code__ not in codes if is_ours else is_first_party(home):
        return False
    seen.function(value)
    changes = definition_of(value).changes if is_ours else NOTHING
    held = []
    for name, cell in zip(value.__code__.co_freevars, value.__closure__ or ()):
        held.append((name, content_of(cell)))
        if name in changes.enclosing:
            seen.cells.pop(id(cell), None)
    held += [("", each) for each in value.__defaults__ or ()]
    held += [("", each) for each in (value.__kwdefaults__ or {}).values()]
    inner = [each for _, each in held if is_a(each, FunctionType)]
    return (
        len(inner) == 1
        and _is_decorated(module, node, decorators[1:], inner[0], seen)
        and all(
            each is inner[0]
            or name in changes.names
            or name in changes.enclosing
            or any(_is_given(expression, each, seen) for expression in given)
            for name, each in held
        )
    )


def _is_given(expression: Any, value: Any, seen: Seen) -> bool:
    inner = Seen()
    if not is_literal(expression, value, inner):
        return False
    seen.include(inner)
    return True


def _codes_in(code: CodeType) -> list[CodeType]:
    consts = [each for each in code.co_consts if is_a(each, CodeType)]
    # Not those of comprehensions.
    found = [each for each in consts if each.co_name[:1] != "<" or each.co_name == "<lambda>"]
    return found + [inner for each in found for inner in _codes_in(each)]


def _is_class(module: Module, node: ast.ClassDef, cls: type, seen: Seen) -> bool:
    found = module.source.class_(qualname_of(cls), [])
    if not _is_node(found, node) or home_of(cls) != module.name:
        return False
    seen.owner(cls)
    said: dict[str, Any] = {}
    for statement in node.body:
        for name in _names_of(statement):
            said[name] = None if name in said else statement
    members = attributes_of(cls)
    if any(is_a(each, FUNCTIONS) and name not in members for name, each in said.items()):
        return False
    return all(_is_member(module, said.get(n), n, v, seen) for n, v in members.items())


def _names_of(statement: Any) -> list[str]:
    if is_a(statement, DEFINITIONS):
        return [statement.name]
    targets = getattr(statement, "targets", None) or [getattr(statement, "target", None)]
    return [target.id for target in targets if is_a(target, ast.Name)]


def _is_member(module: Module, said: Any, name: str, member: Any, seen: Seen) -> bool:
    if is_a(said, FUNCTIONS):
        kinds = [_kind_by(each) for each in said.decorator_list]
        others = [each for each, kind in zip(said.decorator_list, kinds) if kind is None]
        parts, kind = [member], next(filter(None, kinds), "")
        if kind:
            if name_of(type(member)) != kind:
                return False
            names = (
                ("fget", "fset", "fdel") if kind == "builtins.property" else ("func", "__func__")
            )
            parts = [getattr(member, name, None) for name in names]
        return all(
            _is_decorated(module, said, others, each, seen) for each in parts if each is not None
        )
    if said is not None:
        # A slot, and what stands in its place until it is assigned.
        value = getattr(said, "value", None)
        return is_a(member, MemberDescriptorType) or (
            value is not None and is_literal(value, member, seen) is True
        )
    if name[:2] == "__" or name == "_abc_impl" or is_a(member, MemberDescriptorType):
        return not is_special_of_the_user(name, member)
    return False


def _kind_by(decorator: ast.expr) -> Optional[str]:
    """Says of what kind the objects are that a decorator makes, which are looked into."""
    # To write the source of each again takes most of the time.
    name = getattr(decorator, "attr", None) or getattr(decorator, "id", None)
    if name is None:
        name = ast.unparse(decorator).rpartition(".")[2]
    return _KINDS.get("property" if name in ("setter", "getter", "deleter") else name)


class _Finder(Onlooker):
    """Finds modules as all others do, and looks at those of the project when they are loaded."""

    def __init__(self, walk: Walk) -> None:
        self._walk = walk
        self._depth = 0
        self._loaded: list[tuple[str, Any]] = []

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if known_module(name) is None:
            return None
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            spec = None if find is None or finder is self else find(name, path, target)
            if spec is not None:
                loader = spec.loader
                if hasattr(loader, "exec_module") and not is_a(loader, _Loader):
                    spec.loader = _Loader(loader, partial(self._execute, spec, loader))
                return spec
        return None

    def _execute(self, spec: Any, loader: Any, module: Any) -> None:
        name, spec.loader = spec.name, loader
        with contextlib.suppress(AttributeError):
            module.__loader__ = loader
        if attributes_of(module).get("__spec__") is not spec:
            loader.exec_module(module)
            return
        module_of(name)  # as its file is now
        self._depth += 1
        try:
            loader.exec_module(module)
            self._loaded.append((name, spec))
        finally:
            self._depth -= 1
            # Those that import each other are whole only when all of them are there.
            if not self._depth:
                executed[:] = [spec for _, spec in self._loaded]
                together = Together()
                while self._loaded:
                    self._take(*self._loaded.pop(), together)
                executed.clear()

    def _take(self, name: str, spec: Any, together: Together) -> None:
        module, variables = known_module(name), attributes_of(sys.modules.get(name))
        if module is None or variables.get("__spec__") is not spec:
            return
        module.spec, module.first = spec, {}
        for each, value in list(variables.items()):
            # Whatever goes wrong: it counts by its value then.
            with contextlib.suppress(Exception):
                if each[:2] != "__" and not is_as_said(module, each, value, Seen()):
                    digest, seen = self._walk(value, together)
                    module.first[each] = First(value, digest, seen)


class _Loader:
    """Stands for a loader, which other modules may share, until a module is executed."""

    def __init__(self, loader: Any, exec_module: Callable[[Any], None]) -> None:
        self._loader = loader
        self.exec_module = exec_module

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)


_finder: Optional[_Finder] = None


def look_when_loaded(walk: Walk) -> None:
    """Has the modules of which ids have spoken looked at when they are loaded."""
    global _finder
    if _finder is None:
        _finder = _Finder(walk)
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
