"""Where processes for tasks are started: on this machine, or on another one."""

from __future__ import annotations

import abc
import logging
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Optional

from .. import modules
from .._archive import checkout, finder, zip_archive
from .._file import FileCarrier
from .._files import carrying
from .._session import telling
from .._system import directories
from ..distribution import get_distribution_archive
from ..interpreter import Interpreter
from ..run import get_run_id
from ..session import Session
from . import envelope, fork_servers, inheritance
from .child import Child
from .frames import SESSION, Message
from .near_fork_server import Check, Code, ProcessKind

if TYPE_CHECKING:
    from ..config import Configuration
    from ..distribution import DistributionArchive


# What processes inherit on any machine, see `inherited_everywhere`.
_EVERYWHERE = ("levels", "disable", "filters", "facts", "arguments")
# Whether bandsaw lies in a folder, and not in a zip.
_IS_IN_FILES = os.path.isfile(checkout.BEGIN)


def inherited_everywhere() -> tuple[Any, ...]:
    return (
        *(inheritance.levels(), logging.root.manager.disable, inheritance.filters()),
        *(telling.wanted, inheritance.arguments()),
    )


class Carrier(abc.ABC):
    # Of what kind the processes are. Those of another kind are of no use for the call.
    kind: ProcessKind
    name: str  # says in errors with what they run, and where

    def where(self, child: Child) -> str:
        """Says in errors where a call runs."""
        return self.name if child.pid is None else f"{self.name}, pid {child.pid}"

    @abc.abstractmethod
    def start(self, check: Check) -> Child:
        """Starts a process, if `check` raises nothing of what the other side says of itself."""

    def prepare_next(self) -> None:
        """Has a process started for the next call, if that needs no waiting."""

    @abc.abstractmethod
    def inherited(self) -> dict[str, Any]:
        """Returns what processes inherit, and are told again when it has changed."""

    def code_news(self, known: int) -> tuple[int, dict[str, Any]]:
        """Returns what a process does not know yet of its code. See `Code.news`."""
        return known, {}

    def text_of_code(self, path: str) -> Optional[bytes]:
        """Returns the text that a file had when an id was made of it."""
        return None

    @abc.abstractmethod
    def inherited_once(self) -> dict[str, Any]:
        """Returns what they are told once."""

    def news(self, child: Child, is_new: bool) -> dict[str, Any]:
        """Returns what a process does not know yet of what it inherits."""
        told, news = child.told, {}
        everywhere = zip(_EVERYWHERE, inherited_everywhere())
        for name, value in (*self.inherited().items(), *everywhere):
            known = told.get(name, self)
            # Most are the same objects as before, which takes no time to see.
            if known is not value and known != value:
                told[name] = news[name] = value
        number, code = self.code_news(told.get("code", 0))
        if code:
            told["code"], news["code"] = number, code
        if is_new:
            news.update(self.inherited_once())
            news["run_id"] = get_run_id()
        return news

    @abc.abstractmethod
    def file_carrier(self, session: Session) -> FileCarrier:
        """Returns what carries the files in a session there."""

    def deliver(self, file_carrier: FileCarrier, child: Child) -> dict[str, Any]:
        """Has the files of a session be there before it is sent; returns what to tell."""
        return {}

    def arrived(self, session: Session, child: Child) -> FileCarrier:
        """Returns what takes the files in a session that comes back from a process."""
        return carrying.Arrived(session)

    def message(self, members: Mapping[str, Sequence[Any]]) -> Message:
        """Makes the message of a session; its descriptor is to be closed afterwards."""
        head, pieces, _ = envelope.laid_out(members)
        return SESSION, [head, *pieces], None


class LocalProcesses(NamedTuple):
    """What an advice says of the processes of its calls."""

    interpreter: Interpreter
    preload: tuple[str, ...]
    fork: bool  # whether they may be forked
    directory: Optional[str]  # for bulk data
    made_in: Optional[str]  # what relative directories of advices are relative to


class LocalCarrier(Carrier):
    def __init__(self, code: Code, wanted: LocalProcesses) -> None:
        self._code = code
        self._wanted = wanted
        self._state = inheritance.inherited(wanted.interpreter)
        executable = wanted.interpreter.executable
        self.kind = ProcessKind(executable, code.name, wanted.preload, self._state.at_start)
        self.name = f"interpreter {executable}"

    def is_for(self, code: Code, wanted: LocalProcesses) -> bool:
        """Returns whether one made of these arguments now would be like this one."""
        return (
            code is self._code
            and wanted == self._wanted
            # Of an interpreter that was changed meanwhile it is another one.
            and inheritance.inherited(wanted.interpreter) is self._state
            and code.name == self.kind.code
        )

    def start(self, check: Check) -> Child:
        self.kind = self.kind._replace(code=self._code.name)
        return fork_servers.start(self.kind, self._state, self._code, check, fork=self._wanted.fork)

    def prepare_next(self) -> None:
        fork_servers.prepare_next(self.kind, fork=self._wanted.fork)

    def code_news(self, known: int) -> tuple[int, dict[str, Any]]:
        return self._code.news(known)

    def text_of_code(self, path: str) -> Optional[bytes]:
        return self._code.text(path)

    def inherited(self) -> dict[str, Any]:
        return {
            "environment": self._state.environment,
            "path": self._state.path,
            "directory": directories.working_directory(),
            "made_in": self._wanted.made_in,
        }

    def inherited_once(self) -> dict[str, Any]:
        return {"umask": inheritance.umask(), "bulk_directory": self._wanted.directory}

    def file_carrier(self, session: Session) -> FileCarrier:
        return carrying.Outward(session)

    def message(self, members: Mapping[str, Sequence[Any]]) -> Message:
        return envelope.message(SESSION, members, self._wanted.directory)


def carrier_for(
    configuration: Configuration, wanted: LocalProcesses, last: Optional[LocalCarrier] = None
) -> LocalCarrier:
    """Returns where a call goes: where the last one went, if nothing has changed."""
    code = _code_for(configuration)
    if last is not None and last.is_for(code, wanted):
        return last
    return LocalCarrier(code, wanted)


class Archived:
    """An archive that this process was started from, which nested calls run from as well."""

    byte_code = ""

    def __init__(self, archive: DistributionArchive) -> None:
        self._archive = archive

    @property
    def name(self) -> str:
        return str(self._archive.known_folder)

    @property
    def program(self) -> str:
        """The folder of the archive, made anew if it is missing."""
        return str(self._archive.folder)

    def news(self, known: int) -> tuple[int, dict[str, Any]]:
        if finder.beside and not known:
            return 1, {"beside": finder.beside}
        return known, {}

    def text(self, path: str) -> Optional[bytes]:
        return None


def _code_for(configuration: Configuration) -> Code:
    is_in_place = not modules.is_far_end or finder.id or zip_archive.running_archive() is None
    if is_in_place and _IS_IN_FILES:
        return checkout.checkout_for(configuration)
    return Archived(get_distribution_archive(configuration))
