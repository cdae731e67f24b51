"""The script that is run, where another program runs it: a profiler, a tracer, marimo."""

from __future__ import annotations

import functools
import os
import sys
import types
from typing import Any, Optional


class _OfVariables(types.ModuleType):
    __slots__ = ("_variables",)
    _variables: dict[str, Any]


class Script(_OfVariables):
    """The script that another program runs as `__main__` without a module, as `cProfile` does.

    A module cannot take over the dict that the script runs in, so what is asked for is looked up
    there.
    """

    # As one of Python's own: it is read without running anything.
    __dict__ = vars(_OfVariables)["_variables"]

    def __init__(self, variables: dict[str, Any], replaced: Any) -> None:
        super().__init__("__main__")
        own = vars(types.ModuleType)["__dict__"].__get__(self)
        # Nobody else may keep the module of the program that goes on when the script has ended.
        own.update(__file__=variables["__file__"], _replaced=replaced)
        vars(_OfVariables)["_variables"].__set__(self, variables)

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__[name]
        except KeyError:
            raise AttributeError(f"module '__main__' has no attribute {name!r}") from None

    def __setattr__(self, name: str, value: Any) -> None:
        self.__dict__[name] = value

    def __delattr__(self, name: str) -> None:
        if name not in self.__dict__:
            raise AttributeError(f"module '__main__' has no attribute {name!r}")
        del self.__dict__[name]


def find_script() -> None:
    """Makes the script `__main__` that is running, where another program is that runs it."""
    main, frame = sys.modules.get("__main__"), sys._getframe()
    while frame is not None:
        variables = frame.f_globals
        if variables.get("__name__") == "__main__" and frame.f_code.co_name == "<module>":
            file = variables.get("__file__")
            is_of_main = variables is getattr(main, "__dict__", None)
            if not is_of_main and isinstance(file, str) and file.endswith(".py"):
                sys.modules["__main__"] = Script(variables, main)
            return
        frame = frame.f_back  # type: ignore[assignment]


# The module whose code are cells of a notebook, which its file has in functions.
_of_cells: Any = None


def runs_cells(main: Any) -> bool:
    """Says whether nobody can import what `__main__` has, though it has a file."""
    return main is not None and main is _of_cells


def is_of_cell(function: Any, name: str, main: Any, file: Any) -> bool:
    """Says whether a function of `__main__` is not at the top level of the file, as in marimo.

    What is true of one function is true of all that are asked for later.
    """
    global _of_cells
    if runs_cells(main):
        return True
    filename = getattr(getattr(function, "__code__", None), "co_filename", "<")
    if not isinstance(file, str) or filename[:1] == "<":
        return False
    if filename != file and os.path.exists(filename):
        return False  # a decorator's, or what the script has run of another file
    name = name.partition(".")[0]
    if _has_at_top_level(file, name) or (filename == file and not _has_in_function(file, name)):
        return False
    _of_cells = main
    return True


def _has_at_top_level(file: str, name: str) -> bool:
    source = _source_of(file)
    if f"\ndef {name}(".encode("utf-8", "replace") in source:
        return True
    names = _names_in(source)
    return names is None or name in names[0]


def _has_in_function(file: str, name: str) -> bool:
    """Says whether a function of a file has the name: others are made by the script as it runs."""
    names = _names_in(_source_of(file))
    return names is None or name in names[1]


@functools.lru_cache(maxsize=1)
def _source_of(file: str) -> bytes:
    try:
        with open(file, "rb") as stream:
            return stream.read()
    except OSError:
        return b""


@functools.lru_cache(maxsize=1)
def _names_in(source: bytes) -> Optional[tuple[frozenset[str], frozenset[str]]]:
    """Finds the names that a source uses at its top level, and the local ones of its functions.

    `None` where that cannot be told.
    """
    try:
        code = compile(source, "", "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return None
    functions = [each for each in code.co_consts if isinstance(each, types.CodeType)]
    local = (name for each in functions for name in (*each.co_varnames, *each.co_cellvars))
    return (frozenset(code.co_names), frozenset(local)) if source else None
