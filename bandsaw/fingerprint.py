"""Fingerprints: what code a function depends on, as a digest.

A function counts by its own definition and by everything first-party that it reaches: helpers,
classes, constants, closures and defaults, through modules, as they are at run time. Installed
distributions count by name and version, the standard library by name.

A definition counts in a normal form: positions, comments, docstrings, the `@task` decorator and
the annotations of functions are left out (annotations in the bodies of classes count, because
dataclasses read them). Where there is no source, the byte code counts, which holds for one minor
version of Python.

Module-level names that functions of the module change while the program runs (a cache, a counter)
count by the statements that first set them; containers that hold functions or classes count by what
they hold.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from hashlib import sha256
from types import CodeType, FunctionType, ModuleType
from typing import Any, Optional

from ._identity.canonical import Writer, digest_of_value
from ._identity.names import canonical_module_name
from ._identity.reach import Reach
from .identifier import identifier_from_string

__all__ = [
    "IdentityWarning",
    "canonical_module_name",
    "digest_of_code",
    "execution_id_of",
    "fingerprint",
    "is_current",
    "task_id_of",
]

_reported: set[str] = set()


class IdentityWarning(UserWarning):
    """Something that a task reaches cannot be followed, so that it does not count."""


class _Snapshot:
    """The digest of code, for as long as no module that it reaches is reloaded."""

    __slots__ = ("_modules", "_reference", "digest")

    def __init__(self, code: Any, digest: bytes, reach: Reach) -> None:
        identity = id(code)
        self._reference = weakref.ref(code, lambda _: _snapshots.pop(identity, None))
        self._modules = list(reach.modules.items())
        self.digest = digest

    def is_current(self) -> bool:
        import sys

        modules = sys.modules
        return all(
            modules.get(name) is module and getattr(module, "__spec__", None) is spec
            for name, (module, spec) in self._modules
        )


# By identity, because classes may define equality.
_snapshots: dict[int, _Snapshot] = {}


def fingerprint(function: Any, *, skip: Iterable[str] = ()) -> str:
    """Digests a function together with all first-party code that it reaches.

    Args:
        function: A function, class or anything callable.
        skip: Names of modules that count by name only, with the modules below them.

    Returns:
        64 hex digits: the same on every Python, platform and hash seed, and for `__main__` as for
        the module imported by its name.

    Warns:
        IdentityWarning: Something cannot be followed. It is named, once in a process.
    """
    return _digest(function, tuple(skip)).hex()


def _digest(code: Any, skip: tuple[str, ...] = ()) -> bytes:
    reach = Reach(skip)
    label = getattr(code, "__qualname__", type(code).__name__)
    writer = Writer(reach.form, name=label, report=reach.report)
    digest = sha256(writer.write(code)).digest()
    _warn(code, label, reach)
    if isinstance(code, (FunctionType, type)):
        _snapshots[id(code)] = _Snapshot(code, digest, reach)
    return digest


def _warn(code: Any, label: str, reach: Reach) -> None:
    module = canonical_module_name(getattr(code, "__module__", "?"))
    for place, reason in dict.fromkeys(reach.problems):
        text = (
            f"{place}: {reason}, so the id of {module}.{label} does not depend on it. If results "
            "do, name what they depend on with @task(depends=[...]), or write @task(version=...) "
            "and change it whenever the code changes."
        )
        if text not in _reported:
            import warnings

            _reported.add(text)
            # The place that matters is the code, not whoever asked for its id.
            inner = getattr(code, "__code__", None)
            warnings.warn_explicit(
                text,
                IdentityWarning,
                getattr(inner, "co_filename", module),
                getattr(inner, "co_firstlineno", 1),
                module,
            )


def is_current(function: Any) -> bool:
    """Says whether the last fingerprint of a function still holds.

    Args:
        function: A function of which a fingerprint was made.

    Returns:
        `False` if there is none, or if a module that it reaches was reloaded since.
    """
    snapshot = _snapshots.get(id(function))
    return snapshot is not None and snapshot.is_current()


def digest_of_code(code: Any) -> bytes:
    """Digests a function, class or module that is (part of) a value.

    Args:
        code: The function, class, module or code object. Code is read once in a process and again
            after a reload; what a function closes over is read every time.

    Returns:
        32 bytes.
    """
    if isinstance(code, ModuleType):
        return sha256(b"module " + canonical_module_name(code.__name__).encode()).digest()
    if isinstance(code, CodeType):
        return _digest(code)
    if getattr(code, "__closure__", None) is None:
        snapshot = _snapshots.get(id(code))
        if snapshot is not None and snapshot.is_current():
            return snapshot.digest
    return _digest(code)


def task_id_of(
    function: Any,
    module_name: str,
    qualified_name: str,
    *,
    version: Optional[Any] = None,
    depends: Iterable[Any] = (),
) -> str:
    """Makes the id of a task.

    Args:
        function: The function that the decorator was given.
        module_name: The module of the task.
        qualified_name: Its qualified name in that module.
        version: The author's word for the state of the code; replaces the fingerprint.
        depends: What the task depends on besides: functions, modules (all their source), and any
            values, among them `bandsaw.File`. The order does not count.

    Returns:
        The id.

    Raises:
        IdentityError: Something in `depends` or the version has no canonical form.
    """
    code = fingerprint(function) if version is None else digest_of_value(version, name="version")
    depends = tuple(depends)
    digests = sorted({_digest_of_dependency(d, n) for n, d in enumerate(depends)})
    name = canonical_module_name(module_name)
    parts = ("task", name, qualified_name, version is None, code, digests)
    return identifier_from_string(digest_of_value(parts).hex())


def _digest_of_dependency(dependency: Any, position: int) -> bytes:
    if isinstance(dependency, ModuleType):
        from ._identity.whole_modules import digest_of_module

        return digest_of_module(dependency)
    if isinstance(dependency, (FunctionType, type)):
        return _digest(dependency)
    return digest_of_value(dependency, name=f"depends[{position}]")


def execution_id_of(
    bound_arguments: Mapping[str, Any],
    *,
    hook: Any = None,
    bulk_hash: Optional[str] = None,
) -> str:
    """Makes the id of an execution.

    Args:
        bound_arguments: The arguments by the names of their parameters, as a binder returns them.
        hook: See `bandsaw._identity.canonical.digest_of_value`.
        bulk_hash: See `bandsaw._identity.canonical.digest_of_value`.

    Returns:
        The id.

    Raises:
        IdentityError: An argument has no canonical form; the message has the path to it.
    """
    from ._identity.canonical import digest_of_arguments

    digest = digest_of_arguments(bound_arguments, digest_of_code, hook, bulk_hash)
    return identifier_from_string(digest.hex())
