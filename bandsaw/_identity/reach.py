"""The code that a function reaches, as forms: each definition with the values of its names.

```
function -> definition (_definitions) -> names (_scopes) -> values at run time (_names) -> forms
```
"""

from __future__ import annotations

import functools
import sys
import types
from collections.abc import Collection, Iterable, Mapping
from types import FunctionType, ModuleType
from typing import Any, Optional, Union

from .canonical import opaque
from .changes import Changes
from .definitions import Definition, definition_of, definition_of_class, write_code
from .firstparty import is_first_party, is_standard_library
from .forms import MAP, PARTS, Form, Frame, Written, write_str
from .globals import canonical_module_name, global_name
from .kinds import attributes_of, is_a
from .names import CHANGING, cells_of, holds_code, module_source, resolve
from .syntax import write_syntax
from .unloaded import parts_of
from .watch import Seen, first_attributes, is_first_unset

# The tags of installed functions, of what a definition uses from outside, and of tasks.
FOREIGN, NAMES, TASK = b"!foreign;", b"!names;", b"!task;"
_PLAIN = (type(None), bool, int, float, complex, str, bytes, tuple, frozenset, list, dict, set)
_SIMPLE = (type(None), bool, int, float, complex, str, bytes)
_CONTAINERS = (tuple, frozenset, list, dict, set)


class Reach:
    """Gives the forms of functions, classes and modules to a `Writer`.

    `left_out`: the variables that do not count: the names of their modules and their own.

    Attributes:
        problems: What could not be followed: the place and the reason.
        seen: What was read.
        state: The variables that reached code assigns or fills: they count as they are first set.
    """

    def __init__(
        self,
        skip: Iterable[str] = (),
        left_out: Collection[str] = (),
        earlier: Optional[Reach] = None,
    ) -> None:
        self.problems: list[tuple[str, str]] = []
        self.seen = Seen()
        self.state: set[tuple[int, str]] = set() if earlier is None else set(earlier.state)
        self._attributes = set() if earlier is None else set(earlier.seen.attributes)
        self._no_state: set[tuple[int, str]] = set()
        self._reads: set[str] = set()
        self._methods: dict[int, tuple[str, Changes]] = {}
        self._skip = tuple(skip)
        self._left_out = left_out
        self._lines: dict[int, dict[str, int]] = {}

    def form(self, code: Any) -> Union[bytes, Form]:
        """Gives the form of code.

        Returns the form: by content if it is first-party, else by name.
        """
        if is_a(code, FunctionType):
            return self._function(code)
        if is_a(code, type):
            return self._class(code)
        if is_a(code, ModuleType):
            return self._module(code)
        written = write_code(code)
        return b"!code;%d:" % len(written) + written

    def _is_followed(self, module: Any) -> bool:
        if not is_a(module, str):
            return True
        if not is_first_party(module):
            return False
        return not any(module == name or module.startswith(name + ".") for name in self._skip)

    def note_module(self, name: Any) -> None:
        """Notes a module that was reached."""
        module = sys.modules.get(name) if is_a(name, str) else None
        if module is not None:
            self.seen.modules[name] = module, attributes_of(module).get("__spec__")
            return
        for made in parts_of(name) if is_a(name, str) else ():
            self.seen.unloaded(made.module.__name__, made.path)
            for read in made.read:
                self.seen.name(*read)

    def is_state(self, namespace: Mapping[str, Any], name: str) -> bool:
        """Says whether reached code assigns or fills a variable of a module."""
        key = id(namespace), name
        if name in self._attributes or key in self.state:
            return True
        self._no_state.add(key)
        return False

    def is_left_out(self, namespace: Mapping[str, Any], name: str) -> bool:
        """Says whether the author has left a variable out."""
        if not self._left_out:
            return False
        module = namespace.get("__name__")
        return f"{module}.{name}" in self._left_out or (
            f"{canonical_module_name(module)}.{name}" in self._left_out
        )

    def is_settled(self) -> bool:
        """Says whether all counts by what is known of it now, at the end of the walk."""
        self._note_called_methods()
        return not any(
            key in self.state or key[1] in self.seen.attributes for key in self._no_state
        )

    def _note_changes(self, definition: Definition, namespace: Mapping[str, Any]) -> None:
        changes = definition.changes
        for name, method in changes.methods:
            self._methods[id(method)] = name, method
        self.seen.attributes |= changes.attributes
        self._reads |= changes.reads
        if changes.declared or changes.names:
            used = {use.chain[0] for use in definition.uses.names}
            names = changes.declared | (changes.names & used)
            self.state |= {(id(namespace), name) for name in names}

    def _note_called_methods(self) -> None:
        """Notes what methods change that reached code may call; others are called by other code."""
        pending = list(self._methods.values())
        while True:
            called, others = [], []
            for item in pending:
                is_called = item[0] in self._reads or item[0][:2] == "__"
                (called if is_called else others).append(item)
            if not called:
                return
            pending = others
            for _, changes in called:
                self.seen.attributes |= changes.attributes
                self._reads |= changes.reads

    def is_state_attribute(self, name: str, value: Any) -> bool:
        """Says whether reached code assigns or fills an attribute of a class."""
        if holds_code(value):
            return False
        if name not in self._attributes:
            self._no_state.add((0, name))
        return name in self._attributes

    def _function(self, function: FunctionType) -> Union[bytes, Form]:
        attributes = function.__dict__
        if "bandsaw_task" in attributes:
            return self._task(function)
        # The name of the module, not `__module__`: decorators copy that from what they wrap.
        module = function.__globals__.get("__name__")
        wrapped = attributes.get("__wrapped__")
        if not self._is_followed(module):
            name = global_name(module, function.__code__.co_name if wrapped else _name(function))
            cells = _foreign_cells(module, function)
            if not cells and wrapped is None:
                return name
            return Form(FOREIGN, PARTS, (Written(name), tuple(cells), wrapped))
        self.note_module(module)
        definition = definition_of(function)
        self.seen.function(function)
        self._note_changes(definition, function.__globals__)
        names = self._names(function, definition, function.__globals__, cells_of(function))
        return Form(
            b"!function;",
            PARTS,
            (
                definition.digest,
                names,
                function.__defaults__,
                function.__kwdefaults__,
                wrapped,
            ),
        )

    def _task(self, function: FunctionType) -> Form:
        task = function.__dict__["bandsaw_task"]
        kwargs = getattr(task, "kwargs", None) or {}
        inner = function.__dict__.get("__wrapped__")
        version = kwargs.get("version") if is_a(kwargs, dict) else None
        if version is not None:
            name = f"{canonical_module_name(function.__module__)}.{function.__qualname__}"
            inner = (name, version)
        return Form(TASK, PARTS, (inner, kwargs.get("depends") or None))

    def _names(
        self, code: Any, definition: Definition, namespace: dict[str, Any], cells: dict[str, Any]
    ) -> Form:
        label = _label(code)
        lines = self._lines[id(code)] = {}
        found: dict[str, Any] = {}
        for use in definition.uses.names:
            key, value = resolve(use, namespace, cells, definition.source, self)
            if is_a(value, Exception):
                self.problems.append((f"{label}: line {use.line}, {key}", str(value)))
                value = Written(b"u")
            if use.is_decorator and not is_a(value, (FunctionType, type, Written)):
                value = Written(opaque(value))
            if is_a(value, Form) and value.tag == CHANGING:
                reason = "code that it reaches fills it, so it counts as it is first set"
                self.problems.append((f"{label}: line {use.line}, {key}", reason))
            found[key] = value
            lines.setdefault(key, use.line)
        for chain, line, text in definition.uses.dynamic:
            if _is_dynamic(chain, namespace, cells):
                self.problems.append(
                    (f"{label}: line {line}, {text}", "it reaches code by a computed name")
                )
        children: list[Any] = []
        for key, value in sorted(found.items()):
            children += (key, value)
        return Form(NAMES, MAP, children)

    def _class(self, cls: type) -> Union[bytes, Form]:
        module = cls.__module__
        if not self._is_followed(module) and not _is_made_by_types(cls):
            return global_name(module, cls.__qualname__)
        self.note_module(module)
        namespace = _namespace(cls)
        self.seen.owner(cls)
        members = {**attributes_of(cls), **first_attributes(cls)}
        members = {name: value for name, value in members.items() if not is_first_unset(value)}
        methods = list(_methods(cls, members))
        parts: list[Any] = [canonical_module_name(module), cls.__qualname__]
        parts.append(tuple(base for base in cls.__bases__ if base is not object))
        # Metaclasses of Python's own follow from the bases, and one of them was renamed.
        is_python_s = is_standard_library(type(cls).__module__)
        parts.append(None if is_python_s else type(cls))
        definition = definition_of_class(cls, methods, namespace)
        if definition is None:
            parts.append(_members_form(cls, members))
            return Form(b"!class;", PARTS, parts)
        self._note_changes(definition, namespace)
        cells: dict[str, Any] = {}
        for method in methods:
            self.seen.function(method)
            cells.update(cells_of(method))
        cells.pop("__class__", None)
        parts += [
            definition.digest,
            self._names(cls, definition, namespace, cells),
            self._attributes_form(members, methods),
        ]
        return Form(b"!class;", PARTS, parts)

    def _attributes_form(self, members: dict[str, Any], methods: list[FunctionType]) -> Form:
        """What a class holds beyond its source: values that were computed or set from outside."""
        own = {id(method) for method in methods}
        children: list[Any] = []
        for name in sorted(members):
            value = members[name]
            if name.startswith("__") or (name.startswith("_") and name.endswith("_")):
                continue
            if self.is_state_attribute(name, value):
                continue  # it counts as the body of the class first sets it
            functions = [f for f in _unwrapped(value) if is_a(f, FunctionType)]
            is_set_elsewhere = bool(functions) and not own.issuperset(map(id, functions))
            if is_set_elsewhere or type(value) in _CONTAINERS:
                children += (name, value)
            elif is_a(value, _SIMPLE) and not name.startswith("_is_"):
                children += (name, value)
        return Form(b"!attributes;", MAP, children)

    def _module(self, module: ModuleType) -> bytes:
        name = canonical_module_name(module.__name__)
        if not self._is_followed(module.__name__):
            return global_name(module.__name__, "")
        self.note_module(module.__name__)
        source = module_source(module)
        written = write_syntax(source.tree) if source is not None else b""
        return b"!module;" + write_str(name) + write_str(written.decode("utf-8", "surrogatepass"))

    def report(self, frames: list[Frame], value: Any, reason: str) -> None:
        """Notes a value that was reached, and that cannot be written or watched."""
        kind = f"{type(value).__module__}.{type(value).__qualname__}"
        is_stream = value is sys.stdin or value is sys.stdout or value is sys.stderr
        if is_stream or kind in _BY_NAME_ONLY:
            return
        place = None
        for position, frame in enumerate(frames):
            if frame.form.tag == FOREIGN:
                place = None
            lines = self._lines.get(id(frame.value))
            if lines is None:
                continue
            place = _label(frame.value)
            inner = frames[position + 1] if position + 1 < len(frames) else None
            if inner is not None and inner.form.tag == NAMES:
                index = len(inner.written)
                key = str(inner.form.children[index - index % 2])
                place = f"{place}: line {lines.get(key, 0)}, {key}"
        if place is None and is_a(value, (FunctionType, type)):
            place = _label(value)
        if place is not None:
            self.problems.append((place, f"a {kind} {reason}"))


# They are locks, the process's own streams, and the like: nothing that a result depends on.
_BY_NAME_ONLY = frozenset(
    {
        "_thread.lock", "_thread.RLock", "threading._RLock", "_thread._local",
        "_thread._localdummy", "weakref.ReferenceType", "weakref.WeakKeyDictionary",
        "weakref.WeakValueDictionary", "weakref.WeakSet", "_abc._abc_data",
        "_contextvars.ContextVar",
    }
)  # fmt: skip


def _foreign_cells(module: Any, function: FunctionType) -> list[Any]:
    """What an installed function closes over: decorators keep there what they were given."""
    cells = [value for _, value in sorted(cells_of(function).items())]
    if not is_standard_library(str(module)):
        return cells
    if "registry" in function.__dict__:
        # `functools.singledispatch`; how it keeps its functions differs between versions.
        return [function.__dict__["registry"]]
    return [
        value
        for value in cells
        if not (
            is_a(value, FunctionType)
            and is_standard_library(str(value.__globals__.get("__name__")))
            and "__wrapped__" not in value.__dict__
        )
    ]


def _name(function: FunctionType) -> str:
    return function.__qualname__


def _label(code: Any) -> str:
    module = code.__globals__.get("__name__") if is_a(code, FunctionType) else None
    module = module or getattr(code, "__module__", "?")
    return f"{canonical_module_name(module)}.{getattr(code, '__qualname__', '?')}"


def _is_dynamic(chain: tuple[str, ...], namespace: dict[str, Any], cells: dict[str, Any]) -> bool:
    import builtins

    if len(chain) == 1:
        value = cells.get(chain[0], namespace.get(chain[0], getattr(builtins, chain[0], None)))
        is_function = is_a(value, (FunctionType, types.BuiltinFunctionType, type))
        return is_function and value.__module__ in ("builtins", "importlib")
    return chain[:-1] in (("importlib",), ("builtins",))


def _is_made_by_types(cls: type) -> bool:
    """Whether `types.new_class` made it, which claims such classes for its own module."""
    return cls.__module__ == "types" and vars(types).get(cls.__qualname__) is not cls


def _namespace(cls: type) -> dict[str, Any]:
    module = sys.modules.get(cls.__module__)
    if module is not None:
        return vars(module)
    for value in vars(cls).values():
        if is_a(value, FunctionType):
            return value.__globals__
    return {}


def _unwrapped(member: Any) -> Iterable[Any]:
    if is_a(member, (staticmethod, classmethod)):
        return (member.__func__,)
    if is_a(member, property):
        return (member.fget, member.fset, member.fdel)
    if is_a(member, (functools.partial, functools.cached_property)):
        return (member, member.func)
    return (member,)


def _methods(cls: type, members: dict[str, Any]) -> Iterable[FunctionType]:
    """Yields the functions that the body of the class defines, as its source has them."""
    for name in sorted(members):
        for function in _unwrapped(members[name]):
            if (
                is_a(function, FunctionType)
                and function.__code__.co_name != "<lambda>"
                and function.__qualname__ == f"{cls.__qualname__}.{function.__code__.co_name}"
                and function.__module__ == cls.__module__
                and not function.__code__.co_filename.startswith("<string>")
                and "__wrapped__" not in function.__dict__
            ):
                yield function


def _members_form(cls: type, members: dict[str, Any]) -> Form:
    """The members of a class that has no source."""
    children: list[Any] = []
    enum = sys.modules.get("enum")
    if enum is not None and is_a(cls, enum.EnumMeta):
        named = {name: member._value_ for name, member in cls.__members__.items()}
    elif issubclass(cls, tuple) and "_fields" in members:
        named = {"_fields": members["_fields"], "_defaults": members.get("_field_defaults")}
        named.update({n: v for n, v in members.items() if not n.startswith("_")
                      and n not in members["_fields"]})  # fmt: skip
    else:
        named = {
            name: value
            for name, value in members.items()
            if is_a(value, (FunctionType, staticmethod, classmethod, property, *_PLAIN))
            and name not in _NOISE
        }
        if "__dataclass_fields__" in members:
            fields = members["__dataclass_fields__"].values()
            named = {n: v for n, v in named.items() if not n.startswith("__")}
            named["__dataclass_fields__"] = [field.name for field in fields]
    for name, value in sorted(named.items()):
        children += (name, value)
    return Form(b"!members;", MAP, children)


_NOISE = frozenset(
    {
        "__module__", "__dict__", "__weakref__", "__doc__", "__qualname__", "__firstlineno__",
        "__static_attributes__", "__annotations__", "__annotate__", "__annotate_func__",
        "__annotations_cache__", "__abstractmethods__", "__parameters__", "__orig_bases__",
        "__match_args__", "__hash__", "__slots__",
    }
)  # fmt: skip
