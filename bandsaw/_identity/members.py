"""What a class holds, beside what its source says."""

from __future__ import annotations

import ast
import sys
import types
from collections.abc import Iterable
from functools import cached_property, lru_cache
from types import FunctionType
from typing import Any

from .effects import Effects
from .firsts import MISSING
from .forms import MAP, Form, Written
from .kinds import attributes_of, is_a, qualname_of
from .kinds import module_of as module_of_class
from .stored import counts_in_a_class, is_code, is_mock, is_special_of_the_user, unwrapped

ATTRIBUTES = b"!attributes;"  # the tag of what a class holds beyond its source
_DEFS = (ast.FunctionDef, ast.AsyncFunctionDef)
_SIMPLE = (type(None), bool, int, float, complex, str, bytes)
_CONTAINERS = (tuple, frozenset, list, dict, set)
# Also classes, and what keeps what it has computed.
_IN_A_CLASS = (
    *(FunctionType, staticmethod, classmethod, property, cached_property),
    *(type(lru_cache(len)), type, *_SIMPLE, *_CONTAINERS),
)
_NOISE = frozenset(
    {
        "__module__", "__dict__", "__weakref__", "__doc__", "__qualname__", "__firstlineno__",
        "__static_attributes__", "__annotations__", "__annotate__", "__annotate_func__",
        "__annotations_cache__", "__abstractmethods__", "__parameters__", "__orig_bases__",
        "__match_args__", "__hash__", "__slots__",
    }
)  # fmt: skip


def is_made_by_types(cls: type) -> bool:
    """Whether `types.new_class` made it, which claims such classes for its own module."""
    return module_of_class(cls) == "types" and vars(types).get(qualname_of(cls)) is not cls


def namespace_of(cls: type) -> Any:
    module = sys.modules.get(module_of_class(cls))
    if module is not None:
        return attributes_of(module)
    for value in attributes_of(cls).values():
        if is_a(value, FunctionType):
            return value.__globals__
    return {}


def methods_of(cls: type, members: dict[str, Any]) -> Iterable[FunctionType]:
    """Yields the functions that the body of the class defines, as its source has them."""
    for name in sorted(members):
        for function in unwrapped(members[name]):
            if (
                is_a(function, FunctionType)
                and function.__code__.co_name != "<lambda>"
                and function.__qualname__ == f"{qualname_of(cls)}.{function.__code__.co_name}"
                and function.__module__ == module_of_class(cls)
                and not function.__code__.co_filename.startswith("<string>")
                and "__wrapped__" not in function.__dict__
            ):
                yield function


def attributes_form(
    cls: type,
    node: Any,
    members: dict[str, Any],
    methods: list[FunctionType],
    effects: Effects,
) -> Form:
    """What a class holds beyond its source: values that were computed or set from outside."""
    own = {id(method) for method in methods}
    children: list[Any] = []
    said = {t.id for each in getattr(node, "body", ()) if is_a(each, ast.Assign)
            for t in each.targets if is_a(t, ast.Name)} - _NOISE  # fmt: skip
    for statement in getattr(node, "body", ()):
        if is_a(statement, _DEFS) and not statement.decorator_list:
            value = members.get(_private(statement.name, node.name), MISSING)
            if not is_a(value, (FunctionType, staticmethod, classmethod)):
                replaced = Written(b"!missing;") if value is MISSING else value
                children += (statement.name, replaced)
    for name in sorted(members):
        value = members[name]
        functions = [f for f in unwrapped(value) if is_a(f, FunctionType)]
        if name.startswith("__") or (name.startswith("_") and name.endswith("_")):
            is_own = bool(functions) and own.issuperset(map(id, functions))
            is_special = not is_own and is_special_of_the_user(name, value)
            if is_special or (name in said and is_a(value, (*_SIMPLE, *_CONTAINERS))):
                children += (name, value)
            continue
        # What reached code sets or fills counts as the body of the class first sets it.
        if effects.is_state_attribute(name, value):
            continue
        is_set_elsewhere = is_mock(value) or (
            bool(functions) and not own.issuperset(map(id, functions))
        )
        is_container = any(type(value) is each for each in _CONTAINERS)
        is_more = is_container or is_a(value, type) or counts_in_a_class(value, cls)
        if is_set_elsewhere or is_more:
            children += (name, value)
        elif is_a(value, _SIMPLE) and not name.startswith("_is_"):
            children += (name, value)
    return Form(ATTRIBUTES, MAP, children)


def _private(name: str, class_name: str) -> str:
    is_private = name.startswith("__") and not name.endswith("__")
    return f"_{class_name.lstrip('_')}{name}" if is_private else name


def members_form(cls: type, members: dict[str, Any]) -> Form:
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
            if name not in _NOISE and _counts_without_source(name, value, cls)
        }
        if "__dataclass_fields__" in members:
            fields = members["__dataclass_fields__"].values()
            named = {n: v for n, v in named.items() if not n.startswith("__")}
            named["__dataclass_fields__"] = [field.name for field in fields]
    for name, value in sorted(named.items()):
        children += (name, value)
    return Form(b"!members;", MAP, children)


def _counts_without_source(name: str, member: Any, cls: type) -> bool:
    if is_a(member, _IN_A_CLASS) or counts_in_a_class(member, cls):
        return True
    # Those with an underscore are of installed packages that make classes, above all.
    return name[:1] != "_" and not is_code(member)
