"""What goes into a distribution archive, and why.

Everything that goes in is known by its digest before anything is written: the digest is over the
names and bytes of all members, and is the name under which the archive is kept.
"""

from __future__ import annotations

import glob
import hashlib
import logging
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Callable, Optional

from .._identity.firstparty import is_first_party
from ..errors import DistributionError, DistributionFileError
from ..modules import file_of
from . import folders, locate
from .keep import MANIFEST
from .zip_archive import DIGITS, FORMAT, Content, with_digest

if TYPE_CHECKING:
    from ..config import Configuration

# So many archives say what modules import.
_MOST_LATEST = 4
# For files that were named, and lie outside of the folders that modules are imported from.
_ELSEWHERE = "bandsaw-files"

logger = logging.getLogger("bandsaw.distribution")
_TOLD = (folders.LARGE, folders.MUCH)
# What was left out is told once.
_told: set[str] = set()

_MAIN = b'''\
"""Executes a task that was sent here. Made by bandsaw."""
import sys

IS_FAR_END = True
SIGNED_BY = None
if sys.version_info < (3, 9):
    sys.exit("bandsaw needs Python 3.9 or newer, and %s is %s" % (sys.executable, sys.version))
if __name__ == "__main__":
    from bandsaw._archive import start

    start.prepare()
    if sys.argv[1:2] in (["--fork-server"], ["--worker"]):
        from bandsaw._workers.process_main import main
    else:
        from bandsaw.runner import main
    sys.exit(main(sys.argv[1:]))
'''


def collect(
    modules: Iterable[str],
    signed_by: Optional[str] = None,
    configuration_name: Optional[str] = None,
    reached_from: Optional[Mapping[str, str]] = None,
    earlier: Optional[Content] = None,
    known_imports: Optional[Mapping[str, list[str]]] = None,
    named_files: Sequence[tuple[str, str]] = (),
    loaded_text: Callable[[str], Optional[bytes]] = lambda path: None,
    filled: Collection[str] = (),
) -> Content:
    """Collects what goes into an archive.

    `reached_from`: modules from which first-party modules are reached, besides those named and the
    script, and what they are there for; `None` leaves out all that is only reached. `earlier`: all
    of whose members go in as well. `loaded_text`: says which text of a module is loaded. `filled`:
    see `closure.filled_by`.
    """
    named = sorted(set(modules))
    collected = _Collected(loaded_text, filled)
    if earlier is not None:
        for member, known in earlier.members.items():
            if member != "__main__.py":
                collected.add(member, earlier.read(member), known["why"])
                if known.get("executable"):
                    collected.executable.add(member)
    script = locate.main_name()
    collected.add_named("bandsaw", "bandsaw")
    if script is not None:
        collected.add_script(script)
    for name in named:
        # The script is there under its own name, and `__main__.py` is the archive's own.
        if name not in (script, "__main__"):
            is_configuration = name == configuration_name
            collected.add_named(
                name, "configuration" if is_configuration else "named", not is_configuration
            )
    imports = None
    if reached_from is not None:
        from .closure import reached
        from .imports import Imports

        imports = Imports(known_imports)
        known = dict(collected.modules())
        # What is installed reaches no code of the project.
        begin = [item for item in known.items() if item[0] == script or is_first_party(item[0])]
        for found in reached(known, begin, sorted(reached_from.items()), imports, filled):
            if found.data is None:
                collected.leave_out(found.member, found.why, found.path)
            else:
                collected.add(found.member, found.data, found.why, found.path)
    if named_files:
        # Of two that a file lies in, the inner one is where its module looks.
        roots = collected.roots or {base for base, _ in named_files}
        ordered = sorted(roots, key=len, reverse=True)
        for base, name in named_files:
            for outer, path in _files_named(base, name, earlier is not None):
                collected.add_file(_place(path, outer, ordered), path, f"named {name!r}")
        if any(member.startswith(_ELSEWHERE + "/") for member in collected.files):
            # What lies elsewhere here is beside the code in an archive only.
            collected.places.clear()
    main = _MAIN.replace(b"SIGNED_BY = None", f"SIGNED_BY = {signed_by!r}".encode())
    collected.add("__main__.py", main, "bandsaw")
    manifest = {
        "format": FORMAT,
        "main": script,
        "modules": named,
        "signed_by": signed_by,
        "first_party": reached_from is not None,
        "files": [name for _, name in named_files],
        # The other ones come and go without a change of the code.
        "left_out": {name: why for name, why in sorted(collected.left_out.items()) if why in _TOLD},
        "members": {
            name: {
                "size": len(data),
                "digest": hashlib.sha256(data).hexdigest()[:DIGITS],
                "why": collected.why[name],
                **({"executable": True} if name in collected.executable else {}),
            }
            for name, data in sorted(collected.files.items())
        },
    }
    content = Content(with_digest(manifest), collected.files.__getitem__, imports)
    content.roots, content.left_out = sorted(collected.roots), collected.left_out
    content.places = collected.places
    return content


def _files_named(base: str, name: str, may_be_gone: bool) -> list[tuple[str, str]]:
    """Finds the files of a name, each after the folder that what has the name lies in."""
    path = os.path.join(base, name)
    matches = [path] if os.path.lexists(path) else []
    if not matches and glob.has_magic(name):
        pattern = name if os.path.isabs(name) else os.path.join(glob.escape(base), name)
        matches = sorted(glob.glob(pattern, recursive=True))
    files = [file for match in matches for file in _files_of(os.path.abspath(match))]
    if not files and not may_be_gone:
        raise DistributionFileError(
            f"There is no file {name!r} in {base!r}, which was to be put into a distribution "
            "archive. Check the paths given to add_files_for_distribution()."
        )
    return files


def _files_of(path: str) -> list[tuple[str, str]]:
    if not os.path.isdir(path):
        is_wanted = os.path.isfile(path) and not path.endswith(".pyc")
        return [(os.path.dirname(path), path)] if is_wanted else []
    if os.path.basename(path) == "__pycache__":
        return []
    return [(os.path.dirname(path), file) for file in folders.find([path], None).paths.values()]


def _place(path: str, outer: str, roots: Iterable[str]) -> str:
    for root in roots:
        for here, there in ((path, root), (os.path.realpath(path), os.path.realpath(root))):
            if here.startswith(os.path.join(there, "")):
                return os.path.relpath(here, there).replace(os.sep, "/")
    return f"{_ELSEWHERE}/{os.path.relpath(path, outer)}".replace(os.sep, "/")


def lacks_a_task(content: Content, configuration: Configuration) -> bool:
    """Says whether there is a task of a configuration whose module an archive does not have."""
    needed = list(configuration._task_modules)
    if "__main__" in needed and content.manifest["main"] is None:
        from .closure import referred_to

        needed += referred_to("__main__")  # a notebook, where imports go on
    return not all(content.holds(name) for name in needed if is_first_party(name))


def known_imports() -> dict[str, list[str]]:
    """Reads what modules import, as far as it was found for archives that are kept."""
    from .._system.home import kept_folder
    from . import imports, keep

    try:
        return imports.read(map(Path, keep.latest(str(kept_folder("archives")))[:_MOST_LATEST]))
    except OSError:
        return {}  # nothing can be kept, or it was removed at this moment


class _Collected:
    """Files by their paths, each with the first reason for which it was added."""

    def __init__(
        self, loaded_text: Callable[[str], Optional[bytes]], filled: Collection[str]
    ) -> None:
        self._loaded_text, self._filled = loaded_text, filled
        self.files: dict[str, bytes] = {}
        self.why: dict[str, str] = {}
        self.left_out: dict[str, str] = {}
        self.executable: set[str] = set()
        # Where the project's modules are imported from here.
        self.roots: set[str] = set()
        self.places: dict[str, list[str]] = {}

    def add(self, member: str, data: bytes, why: str, path: Optional[str] = None) -> None:
        if member not in self.files:
            loaded = None if path is None else self._loaded_text(path)
            self.files[member], self.why[member] = data if loaded is None else loaded, why
            self.left_out.pop(member, None)
            if path is not None and os.name != "nt" and os.access(path, os.X_OK):
                self.executable.add(member)
        inner = os.sep + member.replace("/", os.sep)
        if path is not None and path.endswith(inner):
            root = path[: -len(inner)]
            self.roots.add(root)
            folders = self.places.setdefault(member.partition("/")[0], [])
            if root not in folders and not member.startswith("bandsaw/"):
                folders.append(root)

    def add_file(self, member: str, path: str, why: str) -> None:
        data = locate.read_file(path)
        if self.files.get(member, data) != data or member in ("__main__.py", MANIFEST):
            raise DistributionError(
                f"The file {path!r} cannot be put into a distribution archive: there is another "
                f"{member!r} in it."
            )
        is_member = member in self.files
        self.add(member, data, why)
        if not is_member and os.name != "nt" and os.access(path, os.X_OK):
            self.executable.add(member)

    def leave_out(self, member: str, why: str, path: Optional[str]) -> None:
        self.left_out[member] = why
        if why in _TOLD and member not in _told:
            _told.add(member)
            logger.warning(
                "%s is %s and does not go along to other machines. "
                "configuration.add_files_for_distribution() sends it.",
                path or member,
                why,
            )

    def add_script(self, name: str) -> None:
        path = file_of(sys.modules["__main__"])
        if path is None or not os.path.isfile(path):
            self.add_named(name, "main script")
            return
        self._add_packages_of(name)
        member = name.replace(".", "/") + ".py"
        self.add(member, locate.read_file(path), "main script", os.path.abspath(path))

    def add_named(self, name: str, why: str, everything: bool = True) -> None:
        spec = locate.located(name)
        folder = name.replace(".", "/")
        if locate.is_package(spec):
            places = list(spec.submodule_search_locations or ())
            package = folders.find(places, everything=everything, filled=self._filled)
            for inner, reason in package.left_out.items():
                self.leave_out(f"{folder}/{inner}", reason, os.path.join(places[0], inner))
            is_own = is_first_party(name)
            for inner, data in package.read():
                path = package.paths.get(inner) if is_own else None
                self.add(f"{folder}/{inner}", data, why, path)
        else:
            member = locate.member_of(name, spec)
            if member is None:
                raise DistributionError(
                    f"The module {name!r} cannot be put into a distribution archive: it has no "
                    f"file ({spec.origin!r}). Every Python that has it has it built in."
                )
            path = spec.origin if is_first_party(name) else None
            self.add(member, locate.read_origin(spec), why, path)
        self._add_packages_of(name)

    def _add_packages_of(self, name: str) -> None:
        parts = name.split(".")
        for length in range(1, len(parts)):
            package = ".".join(parts[:length])
            spec = locate.locate(package)
            member = None if spec is None else locate.member_of(package, spec)
            if spec is not None and member is not None:
                self.add(member, locate.read_origin(spec), f"package of {name}", spec.origin)

    def modules(self) -> Iterator[tuple[str, bytes]]:
        """Yields the names of the modules in it, with their sources, empty for compiled ones."""
        for member, data in sorted(self.files.items()):
            name = locate.module_of(member)
            if name is not None:
                yield name, data if member.endswith(".py") else b""
