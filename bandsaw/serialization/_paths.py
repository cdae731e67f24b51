"""Where inside a value the part is that cannot be written. Used once writing it has failed."""

from __future__ import annotations

import types
from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import Any, Callable

_DEPTH = 100
_SIMPLE = (str, bytes, int, float, complex, type(None))
_INSTEAD: tuple[tuple[Any, str], ...] = (
    ((types.GeneratorType, KeysView, ValuesView, ItemsView), "Make a list of what it gives"),
    (types.CoroutineType, "Await it in the task"),
    (types.ModuleType, "Import it in the task"),
    (memoryview, "Make bytes of it"),
)
_OPAQUE = (type, types.FunctionType, types.BuiltinFunctionType, types.ModuleType)


def find_culprit(
    value: Any,
    works: Callable[[Any], bool],
    is_open: Callable[[Any], bool] = lambda part: True,
) -> tuple[str, Any]:
    """Finds the path, like `value['a'][0].lock`, and the innermost part that cannot be written."""
    seen = {id(value)}

    def search(path: str, part: Any, depth: int) -> tuple[str, Any] | None:
        leads_back = False
        if depth and is_open(part):
            for step, child in _children(part):
                if works(child):
                    continue
                if id(child) not in seen:
                    seen.add(id(child))
                    found = search(path + step, child, depth - 1)
                    if found is not None:
                        return found
                # The child may fail only because it refers to a part around it.
                leads_back = True
        return None if leads_back else (path, part)

    return search("value", value, _DEPTH) or ("value", value)


def instead_of(culprit: Any) -> str:
    """Says what to do with a part that is never written; an empty text if it is of no such kind."""
    return next((instead for kinds, instead in _INSTEAD if isinstance(culprit, kinds)), "")


def find_circle(value: Any) -> tuple[str, Any] | None:
    """Gives the path at which a part of a value is found again in itself, and that part."""
    is_open, done = {id(value)}, set()
    # The stack keeps values alive, so that no identity is reused.
    stack = [("value", value, _children(value))]
    while stack:
        path, part, children = stack[-1]
        for step, child in children:
            if id(child) in is_open:
                return path + step, child
            if id(child) not in done and not isinstance(child, _SIMPLE):
                is_open.add(id(child))
                stack.append((path + step, child, _children(child)))
                break
        else:
            stack.pop()
            is_open.discard(id(part))
            done.add(id(part))
    return None


def _children(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, _OPAQUE):
        return
    kind = f"{str(type(value).__module__).partition('.')[0]}.{type(value).__qualname__}"
    if kind == "pandas.DataFrame":
        for name, column in value.items():
            yield f"[{short_repr(name)}]", column
        return
    if kind == "pandas.Series":
        if value.dtype.kind != "O" or hasattr(value.dtype, "na_value"):
            yield ".array", value.array
        else:
            for index, item in enumerate(value):
                yield f".iloc[{index}]", item
        return
    if isinstance(value, dict):
        for key, item in dict.items(value):
            yield f"[{short_repr(key)}]", item
            yield f".key({short_repr(key)})", key
    elif isinstance(value, (list, tuple)):
        names = getattr(value, "_fields", None)
        for index, item in enumerate(value):
            yield f".{names[index]}" if isinstance(names, tuple) else f"[{index}]", item
    elif isinstance(value, (set, frozenset)):
        for item in value:
            yield f".item({short_repr(item)})", item
    elif isinstance(value, types.MethodType):
        yield ".__self__", value.__self__
    if isinstance(value, BaseException):
        yield ".args", value.args
    from ._classes import state_of

    for name, item in state_of(value).items():
        yield f".{name}", item


def short_repr(value: Any) -> str:
    """Gives at most 200 characters of the `repr`, and a text for a value whose `repr` fails."""
    try:
        text = repr(value)
    except Exception:
        text = f"<{type(value).__module__}.{type(value).__qualname__} without repr>"
    return text if len(text) <= 200 else text[:197] + "..."


def type_name(value: Any) -> str:
    return f"{type(value).__module__}.{type(value).__qualname__}"
