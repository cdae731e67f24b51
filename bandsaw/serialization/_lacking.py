"""What stands for an object of a class that is not to be had here, until its `repr` does.

Where nothing may stand for it, an error says so.
"""

from __future__ import annotations

import pickle
from typing import Any

from ..errors import DeserializationError, SignatureError
from ._paths import type_name


def absent(module_name: str, name: str, error: Exception) -> DeserializationError:
    """Makes the error for a class or function that is not to be had here."""
    text = f"The data needs {module_name}.{name}, which is not to be had here: {error}. Is another "
    text += "version of the code in use at this end?"
    if module_name == "__main__":
        text += " What is defined below if __name__ == '__main__': is there in the process of the "
        text += "script only: move it to the top level."
    return DeserializationError(text)


class _LackingClass(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return cls  # such as a class method that makes instances


class _Lacking(metaclass=_LackingClass):
    """Takes whatever pickle gives to objects, and cannot be pickled."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> _Lacking:
        return object.__new__(cls)

    def _take(self, *_args: Any) -> None:
        pass

    __setstate__ = __setitem__ = append = extend = add = _take

    def __reduce_ex__(self, protocol: Any) -> Any:
        raise TypeError("its class is not to be had here")

    def __repr__(self) -> str:
        return f"<{type_name(self)}, which is not to be had here>"


class Lenient(pickle.Unpickler):
    """Makes a class in place of one that is not to be had here."""

    def find_class(self, module_name: str, global_name: str) -> Any:
        try:
            return super().find_class(module_name, global_name)
        except SignatureError:
            raise
        except DeserializationError:
            named = {"__module__": module_name, "__qualname__": global_name}
            return _LackingClass(global_name, (_Lacking,), named)
