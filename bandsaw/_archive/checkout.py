"""The project's own code as it lies on this machine, and as it was when ids were made of it.

    near: Checkout.news ── id, packages, roots, files ──► far: `finder`
    near: Checkout.text ◄── the path of a file that has been edited since ── far

The text of each module is read when it is first seen, and again when the module was reloaded. So
there is always one state of the code, which a process is started for.
"""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import warnings
from types import CodeType
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from .._identity.firstparty import is_first_party
from .._identity.kinds import spec_of
from .._identity.watch import Watch, given_code, note_file
from .._system.home import kept_folder
from .._system.processes import in_forked_processes
from ..errors import IdentityWarning
from ..modules import file_of, importable_module_name, main_module_name
from . import edited, finder, locate

if TYPE_CHECKING:
    from ..config import Configuration

BEGIN = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "_workers", "process_script.py"
)
# Gives functions of notebooks the code that they have in the file now, and reloads nothing.
_RELOADS = "IPython.extensions.autoreload"
_EDITED = (
    "was changed after this process had loaded it, and before the first call that leaves the "
    "process: such calls run the code as it is in the file now. Start the program again, or reload "
    "the module, to have one state of the code."
)
_PARTLY = (
    "was changed, and this process has taken over only a part of that: calls that leave the "
    "process run the code as it was before. Reload the module, to have one state of the code."
)
_THIS_RUN = os.urandom(8).hex()


class _Text(NamedTuple):
    spec: Any
    stamp: tuple[int, int]
    data: bytes


class Texts:
    """The first-party modules that this process has loaded, and the text of their files."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = -1
        self._watched: dict[str, tuple[str, Any]] = {}
        # Of each of them the spec, for a look that costs little.
        self._specs: list[tuple[str, Any]] = []
        self._by_path: dict[str, _Text] = {}
        self._foreign: set[str] = set()
        self.packages: dict[str, tuple[Optional[str], Optional[list[str]]]] = {}
        # How often the text of a module that was known has changed, and what has come since then.
        self.generation = 0
        self.growth: list[dict[str, tuple[int, int]]] = []
        self.paths: Optional[tuple[str, ...]] = None
        self.roots: list[str] = []
        self._told: list[tuple[str, str]] = []
        # How many ids there had been when it was looked for code that was put into functions.
        self._number = 0
        self._edits = 0
        self._states: dict[str, edited.State] = {}

    def refresh(self) -> None:
        """Looks for modules that were loaded or reloaded since."""
        # On the way of every call: 25 ns for each module of the project.
        loaded = sys.modules
        is_due = self._number != Watch.number or _RELOADS in loaded
        if len(loaded) == self._count and not is_due:
            try:
                for name, spec in self._specs:
                    if loaded[name].__dict__.get("__spec__") is not spec:
                        break
                else:
                    return
            except (AttributeError, KeyError):
                pass  # somebody has put something else in its place
        with self._lock:
            self._count = len(loaded)
            self._scan()
            if is_due:
                self._number = Watch.number
                self._look_for_edits()
            if self._edits != Watch.edits:
                # Another process may have loaded the file of that time, though this one has not.
                self._edits = Watch.edits
                self.generation += 1
        while self._told:
            path, text = self._told.pop()
            warnings.warn_explicit(f"{path} {text}", IdentityWarning, path, 1)

    def _scan(self) -> None:
        grown: dict[str, tuple[int, int]] = {}
        for name, module in list(sys.modules.items()):
            if name in self._foreign:
                continue
            spec = spec_of(module)
            known = self._watched.get(name)
            if known is not None and (known[1] is spec or module is None):
                continue
            if not _may_be_ours(name):
                self._foreign.add(name)
                continue
            if "." not in name and name not in ("__main__", "__mp_main__"):
                self.packages[name] = _place_of(name, module)
            path = file_of(module)
            if isinstance(path, str) and path.endswith(".py") and os.path.isfile(path):
                path = os.path.abspath(path)
                if known is None:
                    note_file(name, path)
                self._watched[name] = path, spec
                self._read(path, module, spec, grown)
        self._specs = [(name, spec) for name, (_, spec) in self._watched.items()]
        if grown:
            self.growth.append(grown)
        self._find_roots()

    def _read(self, path: str, module: Any, spec: Any, grown: dict[str, tuple[int, int]]) -> None:
        known = self._by_path.get(path)
        if known is None and path in finder.files:
            return  # the process on the other side knows
        if known is not None and known.spec is spec:
            return
        try:
            with open(path, "rb") as file:
                status = os.fstat(file.fileno())
                data = file.read()
        except OSError:
            return
        if known is None and edited.since_loaded(module, path, status, data):
            self._told.append((path, _EDITED))
        stamp = status.st_size, status.st_mtime_ns
        text = _Text(spec, stamp, data)
        if known is not None and known.data != data:
            self._take(path, text)
        self._by_path[path] = text
        grown[path] = stamp

    def _look_for_edits(self) -> None:
        """Takes the text of a file as it is now where functions were given the code of that."""
        others: list[CodeType] = []
        for name, (path, spec) in self._watched.items():
            known = self._by_path.get(path)
            with contextlib.suppress(OSError):
                status = os.stat(path)
                stamp = status.st_size, status.st_mtime_ns
                if known is None or known.spec is not spec or known.stamp == stamp:
                    continue
                state = self._states.get(path)
                if state is None or state.stamp != stamp:
                    state = self._states[path] = edited.State(path, stamp, known.data)
                given, is_taken, is_whole = state.given(sys.modules.get(name))
                if is_taken and is_whole:
                    self._take(path, _Text(spec, stamp, state.data))
                    continue
                others += given
                if is_taken and not state.is_told:
                    state.is_told = True
                    self._told.append((path, _PARTLY))
        given_code[:] = others

    def _take(self, path: str, text: _Text) -> None:
        """Takes another text for one that was known."""
        self._by_path[path] = text
        # Processes that have loaded the earlier text are of no use any more.
        self.generation += 1
        self.growth[:] = [{path: text.stamp for path, text in self._by_path.items()}]

    def _find_roots(self) -> None:
        path = tuple(entry for entry in sys.path if isinstance(entry, str))
        if path != self.paths:
            self.paths = path
            entries = [os.path.abspath(entry) for entry in path]
            self.roots = [entry for entry in dict.fromkeys(entries) if locate.is_of_project(entry)]

    def text(self, path: str) -> Optional[bytes]:
        """Returns the text of a file, `None` for one of which nothing is known."""
        known = self._by_path.get(path)
        if known is not None:
            return known.data
        # In a process of a task: of a module that the other side has loaded.
        return finder.asked(path)


def _may_be_ours(name: str) -> bool:
    top_level = name.partition(".")[0]
    # What lies in a package with a file lies beside it.
    if top_level != name and file_of(sys.modules.get(top_level)) is not None:
        return is_first_party(top_level)
    return is_first_party(name)


def _place_of(name: str, module: Any) -> tuple[Optional[str], Optional[list[str]]]:
    spec = locate.locate(name)
    # A module may make up what it lacks.
    path = getattr(module, "__dict__", {}).get("__path__")
    locations = None if path is None else [os.path.abspath(str(entry)) for entry in path]
    file = file_of(module)
    origin = file if isinstance(file, str) else None if spec is None else spec.origin
    return (None if origin is None else os.path.abspath(origin)), locations


_texts = Texts()


def state() -> int:
    """Returns the number of the state of the code that this process has loaded."""
    _texts.refresh()
    return _texts.generation


def extent() -> tuple[int, int]:
    """Returns that number, and one that grows with the modules that are loaded."""
    return state(), len(_texts.growth)


def loaded_text(path: str) -> Optional[bytes]:
    """Returns the text that a loaded module was seen with, `None` for other files."""
    known = _texts._by_path.get(path)
    return None if known is None else known.data


class Checkout:
    """What a process of this machine is started from: the code as it lies."""

    program = BEGIN  # what Python is to run

    def __init__(self, configuration: Configuration, key: Any, signed_by: Optional[str]) -> None:
        self._key = key
        self._number = len(_known)
        self._signed_by = signed_by
        self._with_first_party = configuration._distributes_first_party
        self._named = {}
        for name in key[0]:
            self._named.update(_places(name))
        # Where that keeps byte code that cannot lie beside its source, or an empty text.
        self.byte_code = _folder_for_byte_code()

    @property
    def name(self) -> str:
        """The name of the state of the code. Processes of another state are of no use."""
        _texts.refresh()
        if finder.id and finder.key == self._key and not _texts.generation:
            return finder.id
        return f"{_THIS_RUN}-{_texts.generation}-{self._number}"

    def news(self, known: int) -> tuple[int, dict[str, Any]]:
        """Returns the number and the data for `finder.take` of what a process does not know yet."""
        number = len(_texts.growth) + 1
        if known == number:
            return number, {}
        packages = dict(self._named)
        grown: dict[str, tuple[int, int]] = {}
        roots: list[str] = []
        if self._with_first_party:
            packages = {**finder.packages, **_texts.packages, **packages}
            roots = list(dict.fromkeys([*_texts.roots, *finder.roots]))
            grown.update({} if known else finder.files)
            for part in _texts.growth[max(0, known - 1) :]:
                grown.update(part)
        name = main_module_name()
        main = file_of(sys.modules.get("__main__"))
        if name is not None and isinstance(main, str):
            if "." in name:
                packages.update(_places(name.rpartition(".")[0]))
            packages[name] = os.path.abspath(main), None
        packages.pop("bandsaw", None)
        return number, {
            "id": self.name,
            "key": self._key,
            "signed_by": self._signed_by,
            "packages": packages,
            "roots": roots,
            "files": grown,
        }

    def text(self, path: str) -> Optional[bytes]:
        return _texts.text(path)


_known: dict[Any, Checkout] = {}


def checkout_for(configuration: Configuration) -> Checkout:
    """Returns the code that processes of this machine load, from where it lies."""
    serializer, is_whole = configuration.serializer, configuration._distributes_first_party
    made_of = (serializer, is_whole, configuration.module_name, *configuration.distribution_modules)
    seen = getattr(configuration, "_checkout", None)
    if seen is not None and seen[0] == made_of:
        return seen[1]  # type: ignore[no-any-return]
    name = importable_module_name(configuration.module_name)
    modules = list(dict.fromkeys([*([name] if name else []), *configuration.distribution_modules]))
    is_signed = getattr(serializer, "is_signed", False) is True
    key = (*modules, is_signed, is_whole)
    known = _known.get(key)
    if known is None:
        plain = [modules, is_signed, is_whole]
        known = _known[key] = Checkout(configuration, plain, name if is_signed else None)
    configuration._checkout = made_of, known
    return known


def _places(name: str) -> dict[str, tuple[Optional[str], Optional[list[str]]]]:
    """Says where a module that was named lies, and the packages that it is in."""
    found = {}
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        part = ".".join(parts[:length])
        spec = locate.locate(part) if length < len(parts) else locate.located(part)
        if spec is None:
            continue
        locations = spec.submodule_search_locations
        origin = spec.origin if isinstance(spec.origin, str) and spec.has_location else None
        if origin is not None or locations is not None:
            found[part] = origin, None if locations is None else list(locations)
    return found


def _folder_for_byte_code() -> str:
    package = os.path.dirname(os.path.dirname(BEGIN))
    if not sys.dont_write_bytecode and os.access(package, os.W_OK):
        return ""
    try:
        return str(kept_folder("byte-code"))
    except OSError:
        return ""


@in_forked_processes
def _start_anew() -> None:
    # A thread of the parent may have held the lock.
    _texts._lock = threading.Lock()
