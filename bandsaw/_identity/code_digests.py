"""The digest of code with all that it reaches, kept for as long as nothing of that has changed."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from types import FunctionType, ModuleType
from typing import Any, Optional

from .._system.processes import in_forked_processes
from ..errors import IdentityError, IdentityWarning
from . import canonical
from .firstparty import canonical_module_name, global_name, is_first_party
from .kept_texts import remove_most
from .kinds import attributes_of, innermost, is_a, is_below, name_of_module, qualname_of
from .loaded_together import together_for
from .reach import settled
from .sources import module_source, source_of
from .stored import Whole
from .syntax import write_syntax
from .watch import Seen, Watch

_reported: set[str] = set()
# A warning has ten lines at the most.
_MOST_PLACES = 7


class Snapshot:
    """The digest of code, for as long as what it reaches is as it was."""

    __slots__ = ("as_now", "code", "digest", "watch")

    def __init__(self, code: Any, digest: bytes, seen: Seen, as_now: bool) -> None:
        self.code = code
        self.as_now = as_now
        self.watch = Watch(seen)
        self.digest = digest

    def __reduce__(self) -> Any:
        # Of a function that is sent elsewhere by value.
        return type(None), ()


# In the dictionary of the function itself: it holds what refers to the function.
_SNAPSHOT = "__bandsaw_snapshot__"
_MOST_CLASSES = 1000
# By identity, because classes may define equality. Those that were used last.
_classes: dict[int, Snapshot] = {}


def _keep_snapshot(code: Any, snapshot: Snapshot) -> None:
    if is_a(code, FunctionType):
        code.__dict__[_SNAPSHOT] = snapshot
        return
    _classes.pop(id(code), None)
    _classes[id(code)] = snapshot
    while len(_classes) > _MOST_CLASSES:
        _classes.pop(next(iter(_classes)), None)


def kept_snapshot(code: Any) -> Optional[Snapshot]:
    snapshot = code.__dict__.get(_SNAPSHOT) if is_a(code, FunctionType) else _classes.get(id(code))
    # `functools.wraps` copies the dictionary of a function.
    return snapshot if snapshot is not None and snapshot.code is code else None


class Walk:
    """What is found on the way of making one id."""

    __slots__ = ("_left_out", "problems", "seen")

    def __init__(self, left_out: Collection[str] = ()) -> None:
        self.seen = Seen()  # what was read
        # What could not be followed: the place and the reason.
        self.problems: list[tuple[str, str]] = []
        self._left_out = left_out

    def digest(self, code: Any, skip: tuple[str, ...] = (), as_now: bool = False) -> bytes:
        """Digests code with all that it reaches.

        `as_now`: whether also what it sets and fills itself counts as it is now.
        """
        with _without_full_collections():
            known = together_for(self._left_out)
            options = {"skip": skip, "left_out": self._left_out, "as_now": as_now}
            digest, reach = settled(code, _label(code), known, **options)
            remove_most()
            known.keep()
            if reach.is_by_source and known.places is not None:
                reach.seen.places_of_modules[id(known.places)] = known.places
        self.problems += reach.problems.found
        self.seen.include(reach.seen)
        if is_a(code, (FunctionType, type)) and not skip and not self._left_out:
            _keep_snapshot(code, Snapshot(code, digest, reach.seen, as_now))
        return digest

    def digest_in_value(self, code: Any) -> bytes:
        """Digests code that is part of a value, see `digest_of_code`."""
        if isinstance(code, ModuleType):
            return self._digest_of_module(code)
        snapshot = snapshot_of(code)
        if snapshot is None:
            return self.digest(code, as_now=True)
        self.seen.include(snapshot.watch.seen)
        return snapshot.digest

    def _digest_of_module(self, module: ModuleType) -> bytes:
        """Digests a module by its name, one of the project also by what it says and holds."""
        own = name_of_module(module)
        parts = [canonical_module_name(own).encode()]
        # One that is not loaded under its name was made or loaded by hand.
        if is_first_party(own) or sys.modules.get(own) is not module:
            held = {
                name: value
                for name, value in attributes_of(module).items()
                if not (name[:2] == "__" == name[-2:] or is_below(value, own, name))
            }
            with suppress(IdentityError):  # one that was made by hand has no source
                parts.append(_digest_of_source(module))
            parts.append(self.digest(held, as_now=True))
        return sha256(b"module " + b"".join(parts)).digest()

    def digest_of_dependency(self, dependency: Any, position: int) -> bytes:
        """Digests something that `depends` names."""
        if isinstance(dependency, ModuleType):
            self.seen.modules.update(_loaded_modules(dependency))
            return _digest_of_source(dependency)
        if isinstance(dependency, (FunctionType, type)):
            return self.digest(dependency)
        if not is_a(dependency, (str, bytes, int, float, type(None))):
            reading = Whole(dependency, canonical.Writer.written_anew, True, None)
            if reading.is_small():
                self.seen.reading(reading)
        return canonical.digest_of_value(
            dependency, self.digest_in_value, name=f"depends[{position}]"
        )

    def warn(self, code: Any) -> None:
        """Reports all that could not be followed, once for each code and process."""
        if not self.problems:
            return
        is_module = isinstance(code, ModuleType)
        name = name_of_module(code) if is_module else getattr(code, "__module__", "?")
        module = canonical_module_name(name)
        label = module if is_module else f"{module}.{_label(code)}"
        places = list(dict.fromkeys(f"\n    {place}: {reason}" for place, reason in self.problems))
        left = len(places) - _MOST_PLACES
        if left > 1:
            command = f"python -m bandsaw cache explain {label}"
            places[_MOST_PLACES:] = [f"\n    and {left} more: {command!r} lists all"]
        text = (
            f"The id of {label} does not depend on what cannot be followed:"
            + "".join(places)
            + "\nIf results depend on it, name it with @task(depends=[...]), or write "
            "@task(version=...) and change it whenever the code changes."
        )
        if text in _reported:
            return
        import warnings

        _reported.add(text)
        # The place that matters is the code, not whoever asked for its id.
        inner = getattr(innermost(code), "__code__", None)
        warnings.warn_explicit(
            text,
            IdentityWarning,
            getattr(inner, "co_filename", module),
            getattr(inner, "co_firstlineno", 1),
            module,
        )


def snapshot_of(code: Any) -> Optional[Snapshot]:
    # What a function closes over can change at any time.
    if not is_a(code, (FunctionType, type)) or (
        is_a(code, FunctionType) and code.__closure__ is not None
    ):
        return None
    snapshot = kept_snapshot(code)
    if snapshot is None or not snapshot.as_now or not snapshot.watch.is_current():
        return None
    return snapshot


def _label(code: Any) -> str:
    if isinstance(code, type):
        return qualname_of(code)
    return str(getattr(code, "__qualname__", qualname_of(type(code))))


def _digest_of_source(module: ModuleType) -> bytes:
    """Digests all source of a module, and of everything below it where it is a package."""
    own = name_of_module(module)
    if not is_first_party(own):
        return sha256(global_name(own, "")).digest()
    digest = sha256(canonical_module_name(own).encode())
    folders = list(attributes_of(module).get("__path__", ()))
    source = module_source(module)
    if source is not None:
        digest.update(write_syntax(source.tree))
    elif not folders:
        raise IdentityError(f"the module {own!r} has no source to make an id of")
    for folder in folders:
        for name, path in sorted(_files_below(folder)):
            source = source_of(path, {})
            if source is None:
                raise IdentityError(f"{path!r} cannot be parsed, so no id can be made of it")
            written = sha256(write_syntax(source.tree)).digest()
            digest.update(b"%d:" % len(name) + name.encode() + written)
    return digest.digest()


def _loaded_modules(module: ModuleType) -> dict[str, tuple[Any, Any]]:
    """Finds a first-party module and the loaded ones below it, with their specs, by name."""
    if not is_first_party(module.__name__):
        return {}
    below = module.__name__ + "."
    loaded = {name: found for name, found in list(sys.modules.items()) if name.startswith(below)}
    loaded[module.__name__] = module
    return {name: (found, getattr(found, "__spec__", None)) for name, found in loaded.items()
            if isinstance(found, ModuleType)}  # fmt: skip


def _files_below(folder: str) -> Iterator[tuple[str, str]]:
    for parent, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(parent, name)
                yield os.path.relpath(path, folder).replace(os.sep, "/"), path


_NEVER = 1_000_000_000
_SELDOM = 50_000
_usual_thresholds = gc.get_threshold()


@contextmanager
def _without_full_collections() -> Iterator[None]:
    """Has Python collect what is young only, and less often: syntax trees hold no cycles."""
    global _usual_thresholds
    before = gc.get_threshold()
    if before[2] == _NEVER:
        yield  # another thread makes an id
        return
    try:
        _usual_thresholds = before
        gc.set_threshold(max(before[0], _SELDOM) if before[0] else 0, before[1], _NEVER)
        yield
    finally:
        # Somebody may have set others meanwhile.
        if gc.get_threshold()[2] == _NEVER:
            gc.set_threshold(*before)


@in_forked_processes
def _set_usual_thresholds() -> None:
    if gc.get_threshold()[2] == _NEVER:
        gc.set_threshold(*_usual_thresholds)
