"""Files that were changed after they were loaded."""

from __future__ import annotations

import importlib.util
import marshal
import os
import types
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from typing import Any, Optional

from .. import modules


def since_loaded(module: Any, path: str, status: os.stat_result, data: bytes) -> bool:
    """Says whether a module was loaded from another text than its file has now.

    Told by the functions of the module, and by the byte code that Python keeps of it. An edit that
    neither of them shows is not seen: of a constant, where there is no byte code.
    """
    if max(status.st_mtime_ns, status.st_ctime_ns) < modules.begun:
        return False
    spec = getattr(module, "__spec__", None)
    if spec is not None and type(spec.loader) is not SourceFileLoader:
        return False  # another loader may make another code of the same text
    try:
        now = compile(data, path, "exec", dont_inherit=True)
    except (SyntaxError, ValueError):
        return True
    then = _kept_byte_code(path)
    if then is not None and then != now:
        return True
    known = set(_codes(now))
    return any(code not in known for code in _loaded(module, path))


class State:
    """A file as it is now, and whether a module that was loaded earlier has the code of that."""

    def __init__(self, path: str, stamp: Any, before: bytes) -> None:
        self.stamp = stamp
        with open(path, "rb") as file:
            self.data = file.read()
        self._path = path
        self._before, self._now = _shapes(before, path), _shapes(self.data, path)

    def given(self, module: Any) -> tuple[list[types.CodeType], bool]:
        """Returns the code of functions that the file did not have before, and whether it has all.

        Lines count no more than for an id: what is above a function may be longer now.
        """
        loaded = [] if module is None else list(_loaded(module, self._path))
        given = [code for code in loaded if not _shapes_in(code) <= self._before]
        inside = {shape for code in loaded for shape in _shapes_in(code)}
        # What is not seen here, as what decorators hold, may still be of the text before.
        is_whole = inside <= self._now and self._now - self._before <= inside
        return given, is_whole


def _shapes(data: bytes, path: str) -> set[Any]:
    try:
        return _shapes_in(compile(data, path, "exec", dont_inherit=True))
    except (SyntaxError, ValueError):
        return set()


def _shapes_in(code: types.CodeType) -> set[Any]:
    return set(map(_shape, _codes(code)))


def _shape(code: types.CodeType) -> Any:
    inner = tuple(
        # It has a shape of its own.
        each.co_name if isinstance(each, types.CodeType) else (type(each), repr(each))
        for each in code.co_consts
    )
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_flags
    return code.co_name, code.co_code, inner, names, counts


def _kept_byte_code(path: str) -> Optional[types.CodeType]:
    """Returns the code that Python has kept of a file, maybe of an earlier state of it."""
    try:
        with open(importlib.util.cache_from_source(path), "rb") as file:
            head, code = file.read(16), file.read()
    except (OSError, NotImplementedError):
        return None
    # PEP 552: with a flag, it may not have been compared with the file.
    if head[:4] != importlib.util.MAGIC_NUMBER or any(head[4:8]):
        return None
    try:
        loaded = marshal.loads(code)
    except (EOFError, ValueError, TypeError):
        return None
    return loaded if isinstance(loaded, types.CodeType) else None


def _codes(code: types.CodeType) -> Iterator[types.CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, types.CodeType):
            yield from _codes(each)


def _loaded(module: Any, path: str) -> Iterator[types.CodeType]:
    for value in list(vars(module).values()):
        inner = list(vars(value).values()) if isinstance(value, type) else [value]
        for each in inner:
            if type(each) in (staticmethod, classmethod):
                each = each.__func__
            code = getattr(each, "__code__", None) if type(each) is types.FunctionType else None
            if code is not None and os.path.abspath(code.co_filename) == path:
                yield code
