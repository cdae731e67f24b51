"""Files that were changed after they were loaded."""

from __future__ import annotations
import __future__

import ast
import contextlib
import importlib.util
import inspect
import marshal
import os
import types
from collections.abc import Iterator
from importlib.machinery import SourceFileLoader
from typing import Any, Optional

from .. import modules
from .._identity.compared import digest_of
from .._identity.first_values import MISSING
from .._identity.kinds import attributes_of
from .._identity.static_names import is_literal

_DEFAULTS = "()"  # stands for the defaults of a function
_PLAIN = (ast.Constant, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop)


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
        self._before, self._now = _Said(before, path), _Said(self.data, path)
        self.is_told = False  # whether somebody was told that the module has only a part of it

    def given(self, module: Any) -> tuple[list[types.CodeType], bool, bool]:
        """Compares what the module has in memory with its file as it is now.

        Returns the code of functions that the file did not have before, whether anything was taken
        from the file as it is now, and whether all was. Lines count no more than for an id: what
        is above a function may be longer now.
        """
        before, now = self._before, self._now
        loaded = [] if module is None else list(_loaded(module, self._path))
        # What `%autoreload 2` of IPython adds it compiles from a text.
        added = [] if module is None else list(_loaded(module, "<string>"))
        loaded += [code for code in added if _shapes_in(code) <= now.functions]
        given = [code for code in loaded if not _shapes_in(code) <= before.functions]
        inside = {shape for code in loaded for shape in _shapes_in(code)}
        taken = [_is_held(module, place, value) for place, value in now.changed_since(before)]
        # What is not seen here, as what decorators hold, may still be of the text before.
        is_whole = (
            inside <= now.functions
            and now.functions - before.functions <= inside
            and now.rest <= before.rest
            and all(taken)
        )
        return given, bool(given) or any(taken), is_whole


class _Said:
    """What the text of a module says: its functions, its plain values, and what else it runs."""

    def __init__(self, data: bytes, path: str) -> None:
        self.functions: set[Any] = set()
        self.values: dict[tuple[str, ...], ast.expr] = {}
        self.rest: set[Any] = set()
        try:
            code = compile(data, path, "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return
        self.functions = _shapes_in(code)
        self._read(ast.parse(data).body, ())

    def _read(self, statements: list[ast.stmt], place: tuple[str, ...]) -> None:
        for node in statements:
            target = None
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                # Its code is among the functions.
                defaults = ast.Tuple(node.args.defaults, ast.Load())
                self.values[(*place, node.name, _DEFAULTS)] = defaults
                self._note((*place, node.name), *node.args.kw_defaults, *node.decorator_list)
            elif isinstance(node, ast.ClassDef):
                self._read(node.body, (*place, node.name))
                self._note((*place, node.name), *node.bases, *node.keywords, *node.decorator_list)
            elif isinstance(node, ast.Assign) and len(node.targets) == 1:
                target = node.targets[0]
            elif isinstance(node, ast.AnnAssign) and node.value is not None:
                target = node.target
            elif isinstance(node, (ast.Import, ast.ImportFrom, ast.Pass)) or (
                isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
            ):
                continue
            else:
                self._note(place, node)
            if isinstance(target, ast.Name):
                self.values[(*place, target.id)] = node.value  # type: ignore[attr-defined]
            elif target is not None:
                self._note(place, node)

    def _note(self, place: tuple[str, ...], *nodes: Optional[ast.AST]) -> None:
        self.rest |= {(*place, ast.dump(each)) for each in nodes if each is not None}

    def changed_since(self, before: _Said) -> list[tuple[tuple[str, ...], ast.expr]]:
        known = {place: ast.dump(value) for place, value in before.values.items()}
        return [each for each in self.values.items() if known.get(each[0]) != ast.dump(each[1])]


def _is_held(module: Any, place: tuple[str, ...], value: ast.expr) -> bool:
    """Says whether a module has a value of which its text says what it is."""
    held: Any = module
    for name in place:
        if held is MISSING:
            return False
        if name == _DEFAULTS:
            function = held.__func__ if type(held) in (staticmethod, classmethod) else held
            held = getattr(function, "__defaults__", None) or ()
        else:
            held = attributes_of(held).get(name, MISSING)
    if held is MISSING:
        return False
    if all(isinstance(each, _PLAIN) for each in ast.walk(value)):
        with contextlib.suppress(Exception):  # a sum of numbers or texts, which Python does itself
            code = compile(ast.Expression(value), "<constant>", "eval")
            return digest_of(eval(code, {})) == digest_of(held)
    return is_literal(value, held) is True


def _shapes_in(code: types.CodeType) -> set[Any]:
    """The functions in some code, with all that is in them: not what a module or class runs."""
    if code.co_flags & inspect.CO_OPTIMIZED:
        return set(map(_shape, _codes(code)))
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return set().union(*map(_shapes_in, inner))


def _shape(code: types.CodeType) -> Any:
    inner = tuple(map(_constant, code.co_consts))
    names = code.co_names, code.co_varnames, code.co_freevars, code.co_cellvars
    counts = code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount
    # IPython compiles what it adds as its own code.
    flags = code.co_flags & ~__future__.annotations.compiler_flag
    return code.co_name, code.co_code, inner, names, counts, flags


def _constant(value: Any) -> Any:
    if isinstance(value, types.CodeType):
        return value.co_name  # it has a shape of its own
    if isinstance(value, (tuple, frozenset)):
        return type(value)(map(_constant, value))  # the order of a set is any
    return type(value), repr(value)


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
            if code is not None and path in (code.co_filename, os.path.abspath(code.co_filename)):
                yield code
