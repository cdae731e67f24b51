"""Files that were changed after they were loaded, before anybody had kept their text."""

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
            code = getattr(each, "__code__", None) if type(each) is types.FunctionType else None
            if code is not None and os.path.abspath(code.co_filename) == path:
                yield code
