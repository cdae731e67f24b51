"""What the source of large modules says, kept in our home folder by the digest of its text.

To find it out takes most of the time that a first id of a large project takes. It is plain data,
and follows from the text alone, from what is built in, and from whose modules it imports: those
answers are kept with it, and asked again before it is believed.

A file that is damaged or that others can write is never read, one of another version of Python or
bandsaw is never found. It is made anew then; nobody is told, because nothing of it can be lost.
"""

from __future__ import annotations

import builtins
import contextlib
import marshal
import os
import stat
import sys
from collections.abc import Callable, Iterable
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple, Optional, Union

from .._system.files import hold_of_others, write_whole
from .._system.importing import late_import
from .changes import Changes
from .uses import Origin, Use, Uses

if TYPE_CHECKING:
    from pathlib import Path

# Shorter texts are read as fast as what is kept of them.
_SHORTEST = 4_000
_MOST_BYTES = 64 << 20
# The modules that find out what is kept.
_MAKERS = (
    "changes definitions kept_outlines module_parts outlines scopes sources syntax uses".split()
)


class Top(NamedTuple):
    """What the top level of a module binds, see `Outline`."""

    names: frozenset[str]
    imports: dict[str, list[Origin]]
    stars: list[Origin]
    loops: frozenset[str]
    has_run: bool  # whether it has more than functions, constants and imports


class Facts:
    """What was found out of the source of a module.

    Of one that is kept, what is said of its parts is plain text until somebody asks for it.
    """

    def __init__(self) -> None:
        self.top: Optional[Top] = None
        self.foreign: dict[tuple[str, int], bool] = {}  # whether imports are of other projects
        self.built_in: dict[str, bool] = {}
        self.said: dict[str, bool] = {}
        self.origins: Optional[frozenset[Origin]] = None
        self.parts: dict[str, tuple[bytes, Uses]] = {}
        self.changes: dict[str, Changes] = {}
        self.is_kept = False
        self._plain_parts: dict[str, tuple[bytes, bytes]] = {}
        self._plain_changes: dict[str, bytes] = {}

    def part(self, name: str) -> Optional[tuple[bytes, Uses]]:
        """Returns the digest of a part, and what it uses."""
        plain = self._plain_parts.get(name)
        if plain is None:
            return self.parts.get(name)
        uses, dynamic = marshal.loads(plain[1])
        found = [_use((c, line, o and _origin(o), d)) for c, line, o, d in uses]
        return plain[0], Uses(tuple(found), dynamic)

    def digest(self, name: str) -> Optional[bytes]:
        known = self._plain_parts.get(name) or self.parts.get(name)
        return None if known is None else known[0]

    def changes_of(self, name: str) -> Optional[Changes]:
        plain = self._plain_changes.get(name)
        return self.changes.get(name) if plain is None else _changes_of(marshal.loads(plain))

    def take(self, parts: dict[str, tuple[bytes, bytes]], changes: dict[str, bytes]) -> None:
        """Takes what is plain of the parts in place of what was made of that."""
        self._plain_parts, self._plain_changes = parts, changes
        self.parts.clear()
        self.changes.clear()
        self.is_kept = True


_use: Callable[[Iterable[Any]], Use] = Use._make
_origin: Callable[[Iterable[Any]], Origin] = Origin._make


def is_large(data: Union[str, bytes]) -> bool:
    return len(data) >= _SHORTEST


def holds(facts: Facts, is_foreign: Callable[[Origin], bool]) -> bool:
    """Says whether all answers are still the same that facts were made with."""
    return all(
        is_foreign(Origin(module, None, level)) is answer
        for (module, level), answer in facts.foreign.items()
    ) and all(hasattr(builtins, name) is answer for name, answer in facts.built_in.items())


def read(text: Union[str, bytes]) -> Optional[Facts]:
    """Finds what is kept of a text; `None` if nothing is, or nothing to be believed."""
    path = _path_of(text) if is_large(text) else None
    if path is None:
        return None
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or hold_of_others(status):
                return None
            data = file.read()
        if sha256(data[32:]).digest() != data[:32]:
            return None
        return _facts_of(marshal.loads(data[32:]))
    except (OSError, ValueError, TypeError, EOFError):
        return None


def write(text: Union[str, bytes], facts: Facts) -> bool:
    """Keeps all that was found out of a text, if that can be. Returns whether it is kept."""
    path = _path_of(text)
    try:
        plain = _plain(facts)
        facts.take(*plain[-2:])
        if path is None:
            return False
        data = marshal.dumps(plain)
        write_whole(path, sha256(data).digest(), data)
    except (OSError, ValueError, RuntimeError):
        return False
    return True


def remove_most() -> None:
    """Removes what was kept first, once there is too much of it."""
    folder = _folder()
    with contextlib.suppress(OSError):
        files = [(each.stat(), each.path) for each in os.scandir(folder or "")]
        left = sum(status.st_size for status, _ in files)
        if folder is None or left <= _MOST_BYTES:
            return
        for status, path in sorted(files, key=lambda file: file[0].st_mtime_ns):
            if left <= _MOST_BYTES // 2:
                break
            with contextlib.suppress(OSError):
                os.unlink(path)
                left -= status.st_size


_known_folder: tuple[Any, Optional[Path]] = (None, None)


def _folder() -> Optional[Path]:
    """Returns where it is kept, `None` where nothing can be."""
    global _known_folder
    names = "BANDSAW_HOME", "XDG_CACHE_HOME", "HOME", "LOCALAPPDATA"
    place = tuple(map(os.environ.get, names))
    if _known_folder[0] != place:
        folder = None
        with late_import:
            from .._system.home import kept_folder
        with contextlib.suppress(Exception):
            folder = kept_folder("outlines")
        _known_folder = place, folder
    return _known_folder[1]


def _path_of(text: Union[str, bytes]) -> Optional[Path]:
    folder, version = _folder(), _version()
    if folder is None or version is None:
        return None
    data = text.encode("utf-8", "surrogatepass") if isinstance(text, str) else text
    return folder / sha256(version + data).hexdigest()


_known_version: Optional[tuple[Optional[bytes]]] = None


def _version() -> Optional[bytes]:
    """Names what would find out something else: Python, and our own code; `None` if unknown."""
    global _known_version
    if _known_version is None:
        digest: Any = sha256(f"{sys.implementation.cache_tag} {sys.version}".encode())
        try:
            for name in _MAKERS:
                with open(os.path.join(os.path.dirname(__file__), f"{name}.py"), "rb") as file:
                    digest.update(sha256(file.read()).digest())
            _known_version = (digest.digest(),)
        except OSError:
            _known_version = (None,)
    return _known_version[0]


def _plain(facts: Facts) -> Any:
    top = facts.top
    assert top is not None
    imports = {name: _tuples(origins) for name, origins in top.imports.items()}
    parts = {name: (digest, _plain_uses(uses)) for name, (digest, uses) in facts.parts.items()}
    changes = {name: marshal.dumps(_plain_changes(c)) for name, c in facts.changes.items()}
    origins = None if facts.origins is None else _tuples(facts.origins)
    plain_top = top.names, imports, _tuples(top.stars), top.loops, top.has_run
    return plain_top, facts.foreign, facts.built_in, facts.said, origins, parts, changes


def _plain_uses(uses: Uses) -> bytes:
    found = [(*use[:2], use.origin and tuple(use.origin), use[3]) for use in uses.names]
    return marshal.dumps((found, uses.dynamic))


def _tuples(origins: Iterable[Origin]) -> list[tuple[Any, ...]]:
    return [tuple(origin) for origin in origins]


def _plain_changes(changes: Changes) -> tuple[Any, ...]:
    methods = [(name, _plain_changes(method)) for name, method in changes.methods]
    return tuple(changes._replace(methods=methods))  # type: ignore[arg-type]


def _facts_of(data: Any) -> Facts:
    facts = Facts()
    top, facts.foreign, facts.built_in, facts.said, origins, parts, changes = data
    names, imports, stars, loops, has_run = top
    imports = {name: _origins(found) for name, found in imports.items()}
    facts.top = Top(names, imports, _origins(stars), loops, has_run)
    facts.origins = None if origins is None else frozenset(_origins(origins))
    facts.take(parts, changes)
    return facts


def _origins(found: Any) -> list[Origin]:
    return list(map(_origin, found))


def _changes_of(found: Any) -> Changes:
    # Most of the sets are empty, and there may be thousands.
    parts: Any = [each or (_EMPTY if type(each) is frozenset else each) for each in found]
    changes = Changes(*parts)
    methods = tuple([(name, _changes_of(method)) for name, method in changes.methods])
    return changes._replace(methods=methods)


_EMPTY: frozenset[Any] = frozenset()
