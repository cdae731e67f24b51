"""Small calls of one `map` that are submitted together, and come back each for itself.

calls of one kind ─► pack: full, or nothing comes any more ─► one submission ─► an answer for each
"""

from __future__ import annotations

import threading
import time
import weakref
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Callable, NamedTuple, Optional

from ..._system import ending
from ..frames import NotBegunError
from .engine import Engine, answer_of, submission

# So long a pack waits for the next call, and at most so long in all.
_QUIET_SECONDS = 0.005
_MOST_SECONDS = 0.1
# Larger ones are worth a submission each.
_MOST_BYTES = 1 << 17
# How much the last call counts for how long calls of its kind take: more if it was faster, because
# the first ones in a worker take longest.
_WEIGHT, _WEIGHT_OF_FASTER = 0.3, 0.7
_LOOK_SECONDS = 0.1
# The first one has to be begun by the engine, too.
_TIMES_TO_WAIT = 3


class _Entry(NamedTuple):
    call: str
    messages: tuple[Any, ...]
    future: Future[Any]


class _First(NamedTuple):
    end: float  # how long others wait for it at most
    is_over: threading.Event


class Pack:
    """Calls that share a submission."""

    def __init__(self, packer: Packer, kind: tuple[Any, ...]) -> None:
        self._packer = packer
        self.kind = kind  # what its calls have in common
        self.entries: list[_Entry] = []
        self.is_full = threading.Event()
        self._left: set[str] = set()
        self._future: Optional[Future[Any]] = None

    def submit(self) -> None:
        engine = self._packer.engine
        options, request, archive, with_program = self.kind
        entries = [one for one in self.entries if one.future.set_running_or_notify_cancel()]
        self._left = {one.call for one in entries}
        self.entries = entries
        if not entries:
            return
        calls, messages = [one.call for one in entries], [one.messages for one in entries]
        with_program = with_program or archive is not None
        try:
            what = submission(request, calls, messages, archive, with_program)
            self._future = engine.submit(options, *what)
        except BaseException as error:
            # Else the error, with all that its frames hold, would live as long as the packer.
            self.entries = []
            for one in entries:
                # What has hit the thread of one says nothing of the others.
                one.future.set_exception(
                    error if isinstance(error, Exception) else _not_begun(error)
                )
            if isinstance(error, Exception):
                return
            raise
        self._packer.count(1)
        self._future.add_done_callback(self._came)

    def _came(self, future: Future[Any]) -> None:
        self._packer.count(-1)
        self._future = None  # it knows the pack, and all answers
        entries, self.entries = self.entries, []
        for one in entries:
            if one.call not in self._left:
                self._packer.engine.claims.forget(one.call)
        try:
            word, host, *rest = answer_of(future)
        except BaseException as error:
            self._lost(entries, None if future.cancelled() else error)
            return
        answers = rest[0] if word == "calls" else [(word, host, *rest)] * len(entries)
        for one, answer in zip(entries, answers):
            one.future.set_result(answer)

    def _lost(self, entries: list[_Entry], error: Optional[BaseException]) -> None:
        engine = self._packer.engine
        never = [engine.claims.take(one.call) for one in entries]
        # Elsewhere a call may have begun although there is no sign of it.
        is_known = engine.is_here or not all(never)
        for one, has_not in zip(entries, never):
            lost = error or ConnectionError("the call was cancelled there")
            one.future.set_exception(_not_begun(error) if has_not and is_known else lost)

    def withhold(self, call: str) -> bool:
        """Has one of the calls not begin; returns whether that is sure."""
        is_sure = self._packer.engine.withhold(call, None)
        if is_sure:
            self._left.discard(call)
        return is_sure

    def kill(self, call: str) -> None:
        """Has one of the calls not begin, or end; all of them if no other one is left."""
        self._left.discard(call)
        engine = self._packer.engine
        is_last = not self._left and self._future is not None
        if not is_last and engine.withhold(call, None):
            return
        engine.kill(call, self._future if is_last else None)


def _not_begun(cause: Optional[BaseException]) -> NotBegunError:
    error = NotBegunError()
    error.__cause__ = cause
    return error


class Packer:
    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._lock = threading.Lock()
        self._open: list[Pack] = []
        self._seconds: dict[str, float] = {}
        self._first: dict[str, _First] = {}
        self._out = 0  # how many packs the engine has
        self._packs: weakref.WeakKeyDictionary[Future[Any], Pack] = weakref.WeakKeyDictionary()

    def count(self, packs: int) -> None:
        """Takes note of packs that were submitted, or have come back."""
        with self._lock:
            self._out += packs

    def measured(self, name: str, seconds: float) -> None:
        before = self._seconds.get(name, seconds)
        weight = _WEIGHT if seconds > before else _WEIGHT_OF_FASTER
        self._seconds[name] = before + (seconds - before) * weight
        first = self._first.get(name)
        if first is not None:
            first.is_over.set()

    def _found(self, name: str, is_cancelled: Callable[[], bool]) -> Optional[float]:
        """Returns how long calls of a kind take, `None` for the first one and while it runs long.

        The others wait for it some times as long as a submission is worth: packed they are fewer.
        """
        with self._lock:
            first = self._first.get(name)
            if first is None:
                seconds = self.engine.pack_seconds * _TIMES_TO_WAIT
                first = _First(time.monotonic() + seconds, threading.Event())
                self._first[name] = first
                return None
        while not is_cancelled() and (left := first.end - time.monotonic()) > 0:
            if first.is_over.wait(min(left, _LOOK_SECONDS)):
                break
        return self._seconds.get(name)

    def size(
        self, name: str, batch: Optional[int], data: Any, is_cancelled: Callable[[], bool]
    ) -> int:
        if ending.group.get() is None or isinstance(data, (list, str)) or len(data) > _MOST_BYTES:
            return 1
        if batch is not None:
            return batch
        engine, seconds = self.engine, self._seconds.get(name)
        if seconds is None and engine.most_packed > 1:
            seconds = self._found(name, is_cancelled)
        if seconds is None:
            return 1
        return max(1, min(engine.most_packed, int(engine.pack_seconds / max(seconds, 1e-4))))

    def submit(
        self,
        size: int,
        options: Mapping[str, Any],
        request: Mapping[str, Any],
        call: str,
        messages: tuple[Any, ...],
        archive: Any,
        with_program: bool,
    ) -> Future[Any]:
        """Submits a call with others of its kind. Who comes first waits a moment for them."""
        kind = options, request, archive, with_program
        future: Future[Any] = Future()
        with self._lock:
            pack = next((one for one in self._open if one.kind == kind), None)
            is_first = pack is None
            if pack is None:
                pack = Pack(self, kind)
                self._open.append(pack)
            self._packs[future] = pack
            pack.entries.append(_Entry(call, messages, future))
            if len(pack.entries) >= size:
                self._open.remove(pack)
                pack.is_full.set()
        if is_first:
            try:
                self._wait_for_others(pack)
            finally:
                with self._lock:
                    if pack in self._open:
                        self._open.remove(pack)
                pack.submit()
        return future

    def _wait_for_others(self, pack: Pack) -> None:
        end = time.monotonic() + _MOST_SECONDS
        found = 0
        while len(pack.entries) > found and time.monotonic() < end:
            found = len(pack.entries)
            # As long as packs are out, workers are busy and another one is better full than soon.
            quiet = min(_QUIET_SECONDS * (1 + self._out), max(0.0, end - time.monotonic()))
            if pack.is_full.wait(quiet):
                return

    def withhold(self, call: str, future: Future[Any]) -> bool:
        pack = self._packs.get(future)
        if pack is None:
            return self.engine.withhold(call, future)
        return future.cancel() or pack.withhold(call)

    def kill(self, call: str, future: Future[Any]) -> None:
        pack = self._packs.get(future)
        if pack is None:
            self.engine.kill(call, future)
        elif not future.cancel():
            pack.kill(call)


def packer_of(engine: Engine) -> Packer:
    if engine.packer is None:
        engine.packer = Packer(engine)
    return engine.packer  # type: ignore[no-any-return]
