"""The script that is run, where another program runs it: a profiler, a tracer."""

from __future__ import annotations

import sys
import types
from typing import Any


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
