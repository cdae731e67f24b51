"""Whether what wraps a function gives it just the arguments that it is given itself.

Such a wrapper is `def wrapper(*args, **kwargs): return function(*args, **kwargs)`. Another one may
give another value than the default for a parameter that is left out.
"""

from __future__ import annotations

import ast
import inspect
from types import FunctionType
from typing import Any

from .first_values import MISSING, content_of
from .kinds import attributes_of, is_a
from .sources import source_of
from .syntax import nodes_in


def applies_defaults(function: Any, signature: inspect.Signature) -> bool:
    """Says whether parameters that a call leaves out get the defaults of a signature."""
    while is_a(function, FunctionType):
        attributes = attributes_of(function)
        if "__signature__" in attributes:
            return False
        wrapped = attributes.get("__wrapped__")
        is_own = wrapped is None
        if is_own or inspect.signature(function, follow_wrapped=False) == signature:
            return True
        if not _passes_on(function, wrapped):
            return False
        function = wrapped
    return False


def _passes_on(function: FunctionType, wrapped: Any) -> bool:
    """Says whether a wrapper does nothing with its arguments but to pass them on as they are."""
    code = function.__code__
    source = source_of(code.co_filename, function.__globals__)
    node: Any = None if source is None else source.function(code)
    if node is None or node.args.vararg is None or node.args.kwarg is None:
        return False
    if function.__defaults__ or code.co_kwonlyargcount:
        return False
    cells = cells_of(function)
    given = [*code.co_varnames[: code.co_argcount], node.args.vararg.arg, node.args.kwarg.arg]
    nodes = nodes_in(*node.body) if is_a(node.body, list) else nodes_in(node.body)
    number = 0
    for call in nodes:
        if not is_a(call, ast.Call):
            continue
        # Either `wrapped(*args, **kwargs)` or `run(wrapped, *args, **kwargs)`.
        for callee, args in ((call.func, call.args), *zip(call.args[:1], [call.args[1:]])):
            is_wrapped = is_a(callee, ast.Name) and cells.get(callee.id) is wrapped
            number += is_wrapped and _names_in(args, call.keywords) == given
    # What else uses them may look at them.
    names = [each.id for each in nodes if is_a(each, ast.Name)]
    return number > 0 and all(names.count(name) == number for name in given[-2:])


def _names_in(args: list[ast.expr], keywords: list[ast.keyword]) -> list[str]:
    """Reads `a, b, *args, **kwargs`; nothing where there is anything else."""
    if not args:
        return []
    *first, last = args
    values = [*first, getattr(last, "value", None), *(each.value for each in keywords)]
    is_plain = is_a(last, ast.Starred) and [each.arg for each in keywords] == [None]
    names = [each.id for each in values if is_a(each, ast.Name)]
    return names if is_plain and len(names) == len(values) else []


def cells_of(function: FunctionType) -> dict[str, Any]:
    cells = zip(function.__code__.co_freevars, function.__closure__ or ())
    held = ((name, content_of(cell)) for name, cell in cells)
    return {name: value for name, value in held if value is not MISSING}
