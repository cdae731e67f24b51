"""A call in an executor's worker itself, with the code that is loaded there.

near: session, digest of its code ──► run, in the worker: restore, compare, proceed ──► session
      the same, and what the archive with that digest holds ◄── NEW, what is to be compared
      the same, without a file ◄── UNSEEN, the file that the data is in
      nothing                  ◄── ENDED, the call was cancelled before, see `engine_claims`

Where the worker is on the same machine, large data passes the engine by, as a file in memory.

The worker may have another `__main__`, and may lack modules that the call does not need. So what is
compared is each module of the archive that is loaded there, or would be.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from concurrent.futures import CancelledError
from concurrent.futures import Future as AnyFuture
from contextlib import contextmanager, suppress
from threading import Event
from typing import Any, Callable, NamedTuple, Optional

from ... import run as run_of_process
from ..._archive import checkout, locate
from ..._files import carrying
from ..._futures import calls
from ..._session import members, packing, telling
from ..._system import callers, ending
from ...errors import CodeMismatchError, ProtocolError, TaskKilledError, WorkerStartError
from ...session import Session
from .. import boundary, bulk_files, envelope, inheritance, repeat_calls, serving
from ..deaths import lost_by
from ..frames import RETURN
from . import engine_bulk, engine_claims, engine_memory
from .engine import Engine
from .engine_bulk import WORTH_A_FILE, handed

# Says that the worker does not know what a digest stands for.
NEW = b"new"
# Says that the worker cannot open the file of the caller.
UNSEEN = b"unseen"
# Says that the call is not to begin any more.
ENDED = b"ended"
# By the digest of an archive: the extent of the code here when it was found to be the same.
_same: dict[str, tuple[int, int]] = {}
# The submitted calls that wait in this process, by their names. A pool of threads runs them here.
_waiting: dict[str, Any] = {}


class WaitingProcess(NamedTuple):
    """The process that waits for a call."""

    door: str  # where it takes files, empty if it takes none
    call: str  # the name of the call
    request: Mapping[str, Any]  # what `engine_claims` has to know to say that the call begins


def _others(members: Mapping[str, Any]) -> list[str]:
    """Names the modules that are other ones in this process than in an archive."""
    found = []
    for member, known in members.items():
        name = locate.module_of(member)
        if name is None or name == "__main__":
            continue
        spec = locate.locate(name)
        path = getattr(spec, "origin", None)
        if spec is None or not isinstance(path, str) or not os.path.isfile(path):
            continue  # whoever imports it is told
        text = checkout.loaded_text(os.path.abspath(path))
        text = locate.read_file(path) if text is None else text
        if hashlib.sha256(text).hexdigest()[: len(known["digest"])] != known["digest"]:
            found.append(name)
    return found


def run(
    caller: WaitingProcess,
    digest: str,
    held: Optional[Mapping[str, Any]],
    run_id: str,
    engine: str,
    head: bytes,
    sent: Mapping[str, Any],
) -> Any:
    """Goes on with a session in this process; returns it, or the error that prevents that.

    `held`: what the archive with that digest holds. `NEW` is returned where that is `None`, and is
    needed, and `ENDED` where the call was cancelled. `head`, and the `data` that is `sent`: a
    session, see `envelope`; the data may be the path of a file, or pieces in the engine's store. So
    it comes back, too, and whether both see the same files; an error without a head. Data is what
    an engine may move its own way, and `None` where the caller has got the file.
    """
    token = callers.is_in_worker.set(True)
    # What a task submits in this very process runs beyond the bound while it waits for that.
    inside = calls.current.set(_waiting.get(caller.call))
    begun: dict[str, str] = {}
    try:
        if engine_claims.begins(caller.request, "-", caller.call, begun) != "begun":
            return ENDED
        # The worker may have made one of its own, or have served another run before.
        run_of_process.take_run_id(run_id)
        carrying.forget()
        is_seen = caller.request["files_seen"] == engine_claims.files_seen()
        carrying.take_over({"files_seen": is_seen})
        try:
            answer = _go_on(caller, digest, held, engine, head, sent["data"], is_seen)
            if answer in (NEW, UNSEEN):
                engine_claims.take_back(caller.request, caller.call, begun)
            return answer
        finally:
            bulk_files.keep_lent()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return None, members.written_failure(error), False
    finally:
        engine_claims.are_over(caller.request, begun)
        calls.current.reset(inside)
        callers.is_in_worker.reset(token)


def _go_on(
    caller: WaitingProcess,
    digest: str,
    held: Optional[Mapping[str, Any]],
    engine: str,
    head: bytes,
    data: Any,
    is_seen: bool,
) -> Any:
    if isinstance(data, str):
        # On another machine the path may lead to another file.
        if not is_seen:
            return UNSEEN
        try:
            data = io.FileIO(data)
        except OSError:
            return UNSEEN
    saved = _saved(head, data)
    session = Session()
    session._unpack(saved)
    del saved, data
    had = serving.parts_of(session)
    extent = checkout.extent()
    if _same.get(digest) != extent:
        if held is None:
            return NEW
        others = _others(held)
        if others:
            raise CodeMismatchError(
                f"Task {session.task} was not run: the executor's worker has other code than "
                f"the caller in {', '.join(others[:5])}. Start its workers anew, or have calls "
                "run in processes below them: ExecutorAdvice(isolate=True)."
            )
        _same[digest] = extent
    telling.proceed(session)
    with carrying.Homeward(session):
        packed = packing.packed(session, serving.same(session, had))
    head, pieces, size = envelope.laid_out(packed)
    if is_seen and size >= WORTH_A_FILE and caller.door:
        given = engine_memory.Given(bulk_files.create(pieces, size, None))
        if engine_memory.hand_over(given.descriptor, caller.door, caller.call):
            return head, None, is_seen
    return head, engine_memory.moved_by(engine)(b"".join(pieces)), is_seen


def _saved(head: bytes, data: Any) -> members.Saved:
    if isinstance(data, list):
        shared = engine_memory.shared_at([memoryview(piece) for piece in data])
        if shared is None:
            data = b"".join(data)
        else:
            path, place = shared
            data, head = io.FileIO(path), head + place.to_bytes(8, "big")
    return members.read_members(envelope.members(engine_bulk.frame_of(RETURN, head, data)))


def cross(
    session: Session,
    engine: Engine,
    options: Mapping[str, Any],
    is_broken: Callable[[BaseException], None],
) -> None:
    vars(session)["_warnings"] = {"filters": inheritance.filters()}
    with carrying.Pointing(session):
        position, packed = boundary.packed(session)
    head, pieces, _ = envelope.laid_out(packed)
    data, held = handed(engine, pieces)
    sent = {"data": data}
    del packed, pieces, data
    archive = session.distribution_archive
    # For workers that are forked from this process.
    _same[archive.digest] = checkout.extent()
    request = {
        "caller": engine_claims.caller(os.getpid()),
        "claims": engine.claims.path,
        "engine": engine.kind,
        "files_seen": engine_claims.files_seen(),
        "repeats": True,
    }
    caller = WaitingProcess(engine_bulk.door(), callers.new_nonce(), request)
    what = session.run_id, engine.kind, head, sent
    known: Any = None
    while True:
        answer = _answer(session, engine, options, is_broken, caller, archive.digest, known, *what)
        if answer == NEW:
            known = archive.contents
        elif answer == UNSEEN:
            assert held is not None
            engine.is_near = False
            sent["data"] = bytes(held.view())
        else:
            break
    if not isinstance(answer, (tuple, list)):
        raise ProtocolError(
            f"The future of task {session.task} on {engine.name} holds {answer!r:.50}, and not "
            "what the function returned."
        )
    head, data, is_seen = answer
    if head is not None and engine.is_near is not False:
        engine.is_near = is_seen
    if head is not None and data is None:
        data = engine_bulk.take(caller.call)
    there = f"run by {engine.name}"
    if head is None:
        raise boundary.located(members.failure_of(data), session, there)
    if "_sent" not in vars(session):
        repeat_calls.note_sent(session)
    with carrying.Arrived(session):
        boundary.take_back(session, _saved(head, data), position, there)


@contextmanager
def _noted(name: str, withhold: Callable[[], bool]) -> Iterator[None]:
    call, held = calls.current.get(), ending.current.get()
    _waiting[name] = call
    if call is not None:
        call.keeps_place = True
    if held is not None:
        held.withhold = withhold
    try:
        yield
    finally:
        if held is not None:
            held.withhold = None
        del _waiting[name]
        if call is not None:
            call.keeps_place = False


def _answer(
    session: Session,
    engine: Engine,
    options: Mapping[str, Any],
    is_broken: Callable[[BaseException], None],
    caller: WaitingProcess,
    *what: Any,
) -> Any:
    name = engine.name
    future: Optional[AnyFuture[Any]] = None
    withheld, woken = Event(), Event()
    answer: Any = ENDED

    def withhold() -> bool:
        # A call that has not begun can be cancelled; one that runs cannot be ended, and it may run
        # before `submit` returns.
        if not withheld.is_set() and not (future is not None and future.done()):
            with suppress(Exception):
                if engine.withhold(caller.call, future):
                    withheld.set()
                    woken.set()
        return withheld.is_set()

    def forget(done: Any = None) -> None:
        engine_bulk.forget(caller.call)  # nobody takes what it may still hand over
        engine.claims.forget(caller.call)

    try:
        with ending.held(withhold), _noted(caller.call, withhold):
            if withheld.is_set() or ending.is_ended():
                raise CancelledError
            try:
                future = engine.submit(options, run, caller, *what)
            except Exception as error:
                is_broken(error)
                raise WorkerStartError(
                    f"Task {session.task} cannot be submitted: {name} says "
                    f"{type(error).__name__}: {error}"
                ) from error
            future.add_done_callback(lambda done: woken.set())
            if withheld.is_set():  # meanwhile
                with suppress(Exception):
                    engine.withhold(caller.call, future)
            woken.wait()
            if not withheld.is_set():
                answer = future.result()
            if answer == ENDED:
                raise CancelledError
            return answer
    except CancelledError as error:
        raise TaskKilledError(
            f"Task {session.task} was killed before {name} began with it.",
            *(-9, [name], None, None),
        ) from error
    except WorkerStartError:
        raise
    except Exception as error:
        is_broken(error)
        why, cause = "", error.__cause__ or error
        if isinstance(cause, ImportError):
            why = f" ({cause}; with isolate=False its workers need bandsaw and the workflow)"
        raise lost_by(name, error)(f"Task {session.task} was lost{why}") from error
    finally:
        if answer != ENDED:
            engine.claims.forget(caller.call)
        elif future is None:
            forget()
        else:
            withhold()  # after Ctrl-C it may wait there still
            future.add_done_callback(forget)
