"""Calls on the workers of a Dask cluster."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
import weakref
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, InvalidStateError, wait
from queue import Empty, SimpleQueue
from typing import Any, Callable, Optional

from .._workers.executor.engine import Engine, killing, withholding
from .._workers.executor.engine_bulk import Stored
from ..errors import InvalidValueError
from .executor import EngineExecutor, begun_future, in_thread

# What is larger is sent to a worker, and not with the description of the call over the scheduler.
_LARGE = 1 << 20
_SECONDS_TO_ANSWER = 5.0
# A worker that has a result may be stopped.
_SECONDS_TO_GATHER = 600.0
_MOST_GATHERED = 50
_IDLE_SECONDS = 5.0


class DaskExecutor(EngineExecutor):
    """Submits calls to a Dask cluster.

    Args:
        client_or_address: A `distributed.Client`, or the address of a scheduler, to which it
            connects on first use.
        **submit_options: Options for each call, as `Client.submit` has them: `resources`,
            `retries`, `priority`, `workers`, `allow_other_workers`.

    Attributes:
        submit_options: As given.

    Raises:
        InvalidValueError: If there is neither a client nor an address (a `ValueError`).
    """

    engine = "dask"
    package = "distributed"
    task_options = ("allow_other_workers", "priority", "resources", "retries", "workers")

    _client: Any = None

    def __init__(self, client_or_address: Any, **submit_options: Any) -> None:
        if not (isinstance(client_or_address, str) or hasattr(client_or_address, "scatter")):
            raise InvalidValueError(
                f"client_or_address={client_or_address!r} of a DaskExecutor has to be a "
                "distributed.Client or the address of a scheduler."
            )
        self._given = client_or_address
        self._made_in = os.getpid()
        self.submit_options = submit_options
        super().__init__()

    def _start_anew(self) -> None:
        super()._start_anew()
        if self._client is not None:
            _abandoned.append(self._client)
        self._client = None
        # What all workers are asked, and until when it is waited for.
        self._asking: tuple[Optional[Future[Any]], float] = None, 0.0
        self._gathering = _Gathering()
        # The engine's own future of each of ours.
        self._futures: weakref.WeakKeyDictionary[Future[Any], Any] = weakref.WeakKeyDictionary()

    @property
    def client(self) -> Any:
        """The client, which connects on first use."""
        with self._reaching():
            client = self._client
            # It closes itself where the scheduler was away for long.
            if client is None or (client is not self._given and client.status == "closed"):
                client = self._client = self._connected()
            return client

    def _connected(self) -> Any:
        given, options = self._given, {}
        if not isinstance(given, str):
            if self._made_in == os.getpid():
                return given
            # That of the parent has its threads there.
            given, options = given.scheduler.address, {"security": given.security}
        client = self._imported("distributed").Client
        return client(given, set_as_default=False, **options)

    def submit_with(
        self, options: Mapping[str, Any], function: Callable[..., Any], *args: Any
    ) -> Future[Any]:
        """Submits a call with options. See `EngineExecutor.submit_with`."""
        client = self.client
        # Unlike the arguments that Dask is given elsewhere, these never mean the same call.
        settings = {**self.submit_options, **options, "pure": False}
        *small, last = args
        data = last.get("data") if isinstance(last, dict) else None
        if data is not None and len(data) > _LARGE:
            if isinstance(data, bytes):
                last = {"data": memoryview(data)}  # uncopied
            last = client.scatter([last], hash=False)[0]
        theirs = client.submit(function, *small, last, **settings)
        ours = begun_future()
        self._futures[ours] = theirs
        gathering = self._gathering
        theirs.add_done_callback(lambda done: gathering.hand(done, ours))
        return ours

    def _bandsaw_engine(self, **more: Any) -> Engine:
        return super()._bandsaw_engine(
            repeats=bool(self.submit_options.get("retries")),
            store=self._stored,
            runs_lost_again=True,
            at=self._at,
        )

    def _at(self, worker: str, *what: Any) -> Future[Any]:
        """Calls a function in a worker, whatever else that does."""
        # A function of no module would be sent as byte code, which other Pythons cannot read.
        call = asyncio.to_thread
        return in_thread(lambda: self.client.run(call, *what, workers=[worker])[worker])

    def _stored(self, data: bytes) -> Stored:
        scattered = self.client.scatter([memoryview(bytes(data))], hash=False)[0]
        return Stored(scattered, scattered)

    def _kill(self, call: str, future: Optional[Future[Any]]) -> None:
        self._cancel(future)
        self._on_all(*killing(call))

    def _withhold(self, call: str, future: Optional[Future[Any]]) -> bool:
        # Each worker says whether the call has begun there, and it will begin at none that has not.
        found = self._on_all(*withholding(call))
        is_sure = found is not None and all(found.values())
        if is_sure:
            self._cancel(future)
        return is_sure

    def _ask_all(self, seconds: float, *what: Any) -> list[Any]:
        return list(in_thread(lambda: self.client.run(*what)).result(seconds).values())

    def _cancel(self, future: Optional[Future[Any]]) -> None:
        theirs = None if future is None else self._futures.get(future)
        if theirs is not None:
            theirs.cancel()

    def _on_all(self, *what: Any) -> Any:
        """Calls a function on all workers; returns what they say, `None` if it cannot be done."""
        asking, until = self._asking
        if asking is not None:
            wait([asking], max(0.0, until - time.monotonic()))
            # A scheduler that is lost must hold nobody up.
            if not asking.done():
                return None
        asking = in_thread(lambda: self.client.run(*what))
        self._asking = asking, time.monotonic() + _SECONDS_TO_ANSWER
        with contextlib.suppress(Exception):
            return asking.result(_SECONDS_TO_ANSWER)
        return None

    def shutdown(self, wait: bool = True) -> None:
        """Closes the connection, if it was made here.

        Args:
            wait: Accepted as other executors have it.
        """
        with self._lock:
            client, self._client = self._client, None
        if client is not None and client is not self._given:
            client.close()


# Clients of the parent in a forked process: they would be closed for the parent, too.
_abandoned: list[Any] = []


class _Gathering:
    """Takes results as they come, all that are there at once, in a thread that ends when idle."""

    def __init__(self) -> None:
        self._done: SimpleQueue[Any] = SimpleQueue()
        self._lock = threading.Lock()
        self._is_running = False

    def hand(self, theirs: Any, ours: Future[Any]) -> None:
        self._done.put((theirs, ours))
        with self._lock:
            if self._is_running:
                return
            self._is_running = True
        try:
            threading.Thread(target=self._run, daemon=True, name="bandsaw-dask").start()
        except RuntimeError:
            self._run()  # there are no more threads, or the program is over

    def _run(self) -> None:
        while True:
            try:
                pairs = [self._done.get(timeout=_IDLE_SECONDS)]
            except Empty:
                with self._lock:
                    self._is_running = not self._done.empty()
                    if not self._is_running:
                        return
                continue
            with contextlib.suppress(Empty):
                while len(pairs) < _MOST_GATHERED:
                    pairs.append(self._done.get_nowait())
            _settle(pairs)
            del pairs


def _settle(pairs: Sequence[tuple[Any, Future[Any]]]) -> None:
    finished = [theirs for theirs, _ in pairs if theirs.status == "finished"]
    try:
        found = _found(finished, _SECONDS_TO_GATHER)
    except Exception:
        found = {}
        for each in finished:
            try:
                found.update(_found([each], _SECONDS_TO_GATHER / 10))
            except Exception as lost:
                found[each.key] = lost
    for theirs, ours in pairs:
        value, error = _outcome(theirs, found)
        # It may be cancelled already.
        with contextlib.suppress(InvalidStateError):
            if error is None:
                ours.set_result(value)
            else:
                ours.set_exception(error)
        # The worker need not keep it, nor another one compute it again when that is lost. Not
        # before somebody goes on: the scheduler is told, and what follows waits for that.
        with contextlib.suppress(Exception):
            theirs.release()


def _found(futures: Sequence[Any], seconds: float) -> dict[Any, Any]:
    """Asks for results. `Client.gather` would wait until those are computed anew that are lost."""
    found: dict[Any, Any] = {}
    keys = {theirs.key for theirs in futures}
    while keys:
        client = futures[0].client
        said = client.sync(client.scheduler.gather, keys=list(keys), callback_timeout=seconds)
        if said["status"] == "OK":
            found.update(said["data"])
            break
        for key in said["keys"]:
            keys.discard(key)
            found[key] = RuntimeError("the result was lost with the worker")
    return found


def _outcome(theirs: Any, found: Mapping[Any, Any]) -> tuple[Any, Any]:
    try:
        if theirs.key in found:
            value = found[theirs.key]
            return (None, value) if isinstance(value, BaseException) else (value, None)
        if theirs.cancelled():
            return None, ConnectionError("the scheduler has cancelled the call, or is lost")
        if theirs.status != "error":
            return None, RuntimeError("the result was lost with the worker")
        return None, theirs.exception(timeout=_SECONDS_TO_ANSWER)
    except Exception as error:
        return None, error  # it is lost with its worker
