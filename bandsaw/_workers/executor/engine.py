"""An executor, and what is submitted to it: a builtin with text and bytes.

    EngineCall ── EngineChild ── executor.submit(eval, EXPRESSION, {...}) ──► engine_far.run
        ◄── events ────────────────────────────────────────────────────────── what happened

So the other side needs nothing but a Python. It gets the program and the archive when it says that
they are missing there.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import itertools
import json
import os
import threading
import weakref
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from typing import Any, Callable, Optional

from ..._archive.arriving import bits_of
from ..._archive.keep import MANIFEST, tag
from ..._futures import flight
from ..._futures.program import come_first
from ..._system import ending
from ..._system.processes import in_forked_processes
from ...distribution import DistributionArchive
from ...errors import ProtocolError, WorkerError
from ..deaths import not_started
from ..ssh import archive_sending, ssh_start
from .engine_bulk import Buffers, Stored
from .engine_claims import HERE, Claims
from .engine_processes import NOT_STARTED

# Of so much it is known when it was brought.
_MOST_BROUGHT = 1000
# `name`, `source` and `args` are its globals, `data` a local: what an engine may move its own way.
# The first one is of calls that have no program with them. It is short, as each call compiles it.
EXPRESSION = "getattr(__import__('sys').modules.get(name), 'run', 'missing'.format)(*args, data)"
_WITH_PROGRAM = (
    "(lambda modules, data: vars(modules[name])['run'](*args, data) if name in modules else "
    "(lambda new: (exec(source, vars(new)), "
    "vars(modules.setdefault(name, new))['run'](*args, data))[1])(type(modules['sys'])(name))"
    ")(__import__('sys').modules, data)"
)


class Known:
    """A kind of calls, and the name that workers know it by."""

    def __init__(self, shape: Any) -> None:
        self.shape = shape  # kept alive, because its key is about the identity of objects
        self.name = os.urandom(8).hex()
        self.has_come_back = False  # whether a worker has taken such a call
        self.is_owed = False  # whether the next call is to be sent whole, see `Engine.owes_program`


@dataclasses.dataclass(eq=False)
class Engine:
    """An executor, and what is known of it."""

    name: str  # what it is, for errors
    submit: Callable[..., Future[Any]]  # takes options, a function and arguments
    # Has a call ended that runs there, by its name; its future is `None` if it shares it.
    kill: Callable[[str, Optional[Future[Any]]], object]
    # Has a call never begin there, and returns whether that is sure; called as `kill` is.
    withhold: Callable[[str, Optional[Future[Any]]], bool]
    # Where the executor reads a file with an archive, `None` if archives are sent.
    shared: Optional[Callable[[str, Callable[[], Sequence[bytes]]], str]] = None
    claims: Claims = HERE  # see there
    is_here: bool = False  # whether its workers see claims for sure
    # How much work of small calls is submitted at once, 0 if each is by itself.
    pack_seconds: float = 0.0
    most_packed: int = 1  # at most so many calls are
    repeats: bool = False  # whether calls that were lost with a worker are run again there
    # Has the large buffers of maps be in the engine's store, `None` if it has none.
    store: Optional[Callable[[bytes], Stored]] = None
    # Whether it may run a call again that is over, because its result was lost.
    runs_lost_again: bool = False
    kind: str = ""  # which engine it is, empty for other executors
    # Has a function called in a worker, or on its machine, by the name that it has given itself,
    # and returns a future; see `engine_files`. `None` if they cannot be told apart.
    at: Optional[Callable[..., Any]] = None
    # Where the executor reads the contents of a file, `None` if they are sent.
    shared_file: Optional[Callable[[str, Callable[[], Iterable[bytes]]], str]] = None
    files_back: Optional[str] = None  # a folder in common for files that come back
    # Whether its store takes buffers apart, and workers see them in memory that they share.
    shares_memory: bool = False

    def __post_init__(self) -> None:
        self.buffers = None if self.store is None else Buffers(self.store)
        # Whether workers are on this machine, as far as their answers tell.
        self.is_near: Optional[bool] = None
        self.packer: Any = None  # what puts calls together, see `packs`
        # What calls were told last, see `ExecutorCarrier`: of what it was made, and what it is.
        self.told: tuple[Any, bytes] = (None, b"")
        self.request: tuple[Any, Mapping[str, Any]] = (None, {})
        # The kinds of calls that workers may know, by the keys of their shapes: see `repeat_calls`.
        self.shapes: dict[Any, Known] = {}
        # Whether the next call is to take the program along. What is submitted anew for one that
        # lacks something may reach another worker each time: so a later call brings it, too.
        self.owes_program = False
        self._lock = threading.Lock()
        self._marks = itertools.count()
        # What is being brought, and who waits for it.
        self._brings: dict[Any, list[threading.Event]] = {}
        self._brought: dict[Any, int] = {}

    def mark(self) -> int:
        """Returns what `once` is told of the time at which a call is submitted."""
        return next(self._marks)

    def once(self, key: Any, mark: int, bring: Callable[[], object]) -> None:
        """Has something be brought to a machine, unless another call has done it since a mark."""
        while not ending.is_ended():
            woken = threading.Event()
            try:
                with self._lock:
                    if self._brought.get(key, -1) >= mark:
                        return
                    waiting = self._brings.setdefault(key, [])
                    waiting.append(woken)
                if waiting[0] is woken:
                    bring()
                    self._note(key)
                else:
                    with ending.held(woken.set):
                        woken.wait()
            finally:
                with self._lock:
                    others = self._brings.get(key, [])
                    if others and others[0] is woken:
                        del self._brings[key]
                        for other in others:
                            other.set()
        raise CancelledError

    def _note(self, key: Any) -> None:
        with self._lock:
            self._brought.pop(key, None)
            self._brought[key] = self.mark()
            if len(self._brought) > _MOST_BROUGHT:
                del self._brought[next(iter(self._brought))]

    def bring(self, archive: DistributionArchive, request: Mapping[str, Any], mark: int) -> None:
        """Sends an archive to a machine that lacks it. `mark`: see `once`."""

        def bring() -> None:
            future = self.submit({}, *submission(request, None, None, parts_of(archive), True))
            with contextlib.suppress(WorkerError):
                ending.result_of(future)

        self.once(archive.digest, mark, bring)


def parts_of(archive: DistributionArchive) -> tuple[bytes, bytes]:
    """Returns an archive as `_archive.arriving` takes it, all of it."""
    parts = [bytearray(), bytearray()]
    number = 0
    members = json.loads((archive.folder / MANIFEST).read_bytes())["members"]

    def ask() -> bytes:
        nonlocal number
        number += 1
        return bits_of(members, members)

    archive_sending.send(
        archive, tag(), lambda piece: parts[number].extend(piece), ask, "an executor"
    )
    return bytes(parts[0]), bytes(parts[1])


_program: Optional[tuple[str, str]] = None


def program() -> tuple[str, str]:
    global _program
    if _program is None:
        lines = [
            f"exec(compile({source!a}, {path!a}, 'exec'))"
            for path, source in ssh_start.sources("bandsaw._workers.executor.engine_far")
        ]
        text = "\n".join(lines)
        _program = "_bandsaw_" + hashlib.sha256(text.encode()).hexdigest()[:32], text
    return _program


def submission(
    request: Mapping[str, Any],
    call: Any,
    messages: Any,
    archive: Any,
    with_program: bool,
    data: Any = None,
) -> tuple[Any, ...]:
    """Returns what is submitted: a function and its arguments. The last one may be large.

    Many that wait hold the same request: it is not changed.
    """
    name, text = program()
    head: Any = None
    if isinstance(messages, list):
        head, data = [one[:-1] for one in messages], [one[-1] for one in messages]
    elif messages is not None:
        head, data = messages[:-1], messages[-1]
    scope: dict[str, Any] = {"name": name, "args": (request, call, head, archive)}
    if not with_program:
        return eval, EXPRESSION, scope, {"data": data}
    scope["source"] = text
    return eval, _WITH_PROGRAM, scope, {"data": data}


def answer_of(future: Future[Any]) -> Sequence[Any]:
    """Returns what `engine_far.run` does; where there is no program, `missing` without a host."""
    answer = future.result()
    if answer == "missing":
        return answer, ""
    if not isinstance(answer, (tuple, list)):
        raise ProtocolError(f"its future holds {answer!r:.50}, and not what the function returned")
    return answer


def failed_with(reason: str, host: str) -> Callable[[str], WorkerError]:
    """Makes the error of a call that could not be run on a machine, by what that says."""

    def error(what: str) -> WorkerError:
        if reason.startswith(NOT_STARTED):
            how, _, written = reason[len(NOT_STARTED) :].partition("\n")
            return not_started(host, how, written.encode())
        return WorkerError(f"{what} on {host}: {reason}.")

    return error


def killing(call: str) -> tuple[Any, ...]:
    """Returns what ends a call, run in the worker that has it, as a function and arguments."""
    module = "__import__('sys').modules.get(name)"
    text = f"(lambda there: vars(there)['kill'](call) if there else None)({module})"
    return eval, text, {"name": program()[0], "call": call}


def withholding(call: str) -> tuple[Any, ...]:
    """Returns what has a call never begin in a worker, and whether it has not, to be run there."""
    text = (
        "vars(__import__('sys')).setdefault('_bandsaw_begun', {}).setdefault(call, 'ended') "
        "== 'ended'"
    )
    return eval, text, {"call": call}


# By the identity of executors, which may be equal or have no hash, with a reference that tells when
# one is gone.
_engines: dict[int, tuple[Any, Engine]] = {}
# Threads that have locks, or bring something, are the parent's.
in_forked_processes(_engines.clear)


def engine_of(executor: Any) -> Engine:
    known = _engines.get(id(executor))
    if known is None:
        _come_first()
        reference = _reference_to(executor)
        make = getattr(executor, "_bandsaw_engine", None)
        engine = _of_any(executor, reference) if make is None else make()
        known = _engines.setdefault(id(executor), (reference, engine))
    return known[1]


def _reference_to(executor: Any) -> Callable[[], Any]:
    number = id(executor)
    try:
        return weakref.ref(executor, lambda gone: _engines.pop(number, None))
    except TypeError:
        return lambda: executor  # of a class with slots


def _come_first() -> None:
    # Its packages may have been imported only now.
    with contextlib.suppress(RuntimeError):
        come_first()


def end_all(executors: Iterable[Any]) -> None:
    """Ends executors of a process of multiprocessing, which waits for their processes first."""
    flight.wait_for_all(None)
    for executor in executors:
        shutdown = getattr(executor, "shutdown", None)
        if shutdown is not None:
            shutdown()


def _of_any(executor: Any, reference: Callable[[], Any]) -> Engine:
    first = threading.Lock()  # taken by the first submission
    # A worker of these cannot be anywhere else.
    is_here = type(executor).__module__.partition(".")[0] in ("concurrent", "loky")

    def submit(options: Mapping[str, Any], *what: Any) -> Future[Any]:
        future: Future[Any] = reference().submit(*what)
        if first.acquire(False):
            _come_first()  # that of loky registers itself then
        if not hasattr(future, "add_done_callback"):
            raise TypeError(f"submit() returned {future!r}, which is no concurrent.futures.Future")
        return future

    def withhold(call: str, future: Optional[Future[Any]]) -> bool:
        if future is not None and future.cancel():
            return True
        return is_here and HERE.take(call)

    def kill(call: str, future: Optional[Future[Any]]) -> None:
        if not HERE.take(call):
            HERE.end(call)

    return Engine(type(executor).__name__, submit, kill, withhold, is_here=is_here)
