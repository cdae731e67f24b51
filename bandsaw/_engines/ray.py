"""Calls on the workers of a Ray cluster."""

from __future__ import annotations

import contextlib
import pickle
import socket
import sys
import threading
import time
import weakref
from collections.abc import Mapping
from concurrent.futures import Future, InvalidStateError
from typing import Any, Callable, Optional

from .._system.processes import in_forked_processes
from .._workers.executor.engine import Engine
from .._workers.executor.engine_bulk import Stored
from .._workers.executor.engine_claims import HERE
from .executor import EngineExecutor, begun_future, in_thread

# Ray takes no builtin. A function of no module is sent as it is, so that none is needed there. What
# is in Ray's store is found only as an argument by itself: `None` stands for it. Ray writes and
# reads each argument with Python code: our own calls, and what they return, are written as one.
# A worker of a Ray that was started behind a shell's `&` ignores the interrupt of who cancels it.
_CALL = """
def bandsaw_call(call, *args):
    if callable(call):
        return call(*args)
    import pickle
    import signal
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    function, *rest, last = pickle.loads(call)
    if args and last is None:
        last, = args
    elif args:
        found = iter(args)
        last = {"data": [next(found) if one is None else one for one in last["data"]]}
    buffers = []
    written = pickle.dumps(function(*rest, last), 5, buffer_callback=buffers.append)
    return [written, *buffers] if buffers else written
"""
_LARGE = 1 << 17
# A worker that has another temporary folder than the caller cannot be told.
_SECONDS_TO_TELL = 2.0
# To start Ray anew takes longer.
_SECONDS_TO_LOOK = 0.5


class RayExecutor(EngineExecutor):
    """Submits calls to Ray. One that is started already is used, but not that of a parent by fork.

    Args:
        **init: What `ray.init` takes, for where it is not started.

    Attributes:
        init: As given.
    """

    engine = "ray"
    package = "ray"
    task_options = (
        *("accelerator_type", "label_selector", "max_retries", "memory", "num_cpus", "num_gpus"),
        *("resources", "runtime_env", "scheduling_strategy"),
    )

    def __init__(self, **init: Any) -> None:
        self.init = init
        super().__init__()

    def _start_anew(self) -> None:
        super()._start_anew()
        self._remote: Any = None
        # The options of the last call, and the same with them.
        self._last: tuple[Any, Any, Any] = (None, None, None)
        # The engine's own reference of each of our futures.
        self._references: weakref.WeakKeyDictionary[Future[Any], Any] = weakref.WeakKeyDictionary()
        self._watching, self._is_watched = threading.Lock(), False

    def _started(self) -> tuple[Any, Any]:
        ray = self._imported("ray")
        if _is_parents:
            raise ConnectionError(
                "Ray was started or connected before this process was forked, and serves the "
                "parent only: start processes by the method 'spawn', or fork before the first call."
            )
        with self._reaching():
            if not ray.is_initialized():
                if threading.current_thread() is threading.main_thread():
                    ray.init(**self.init)
                else:
                    # On Linux the processes that Ray starts are ended with the thread that has
                    # started them.
                    in_thread(lambda: ray.init(**self.init), lasts=True).result()
                self._remote = None
            if self._remote is None:
                namespace: dict[str, Any] = {"__name__": "__main__"}
                exec(_CALL, namespace)
                self._remote = ray.remote(namespace["bandsaw_call"])
            return ray, self._remote

    def submit_with(
        self, options: Mapping[str, Any], function: Callable[..., Any], *args: Any
    ) -> Future[Any]:
        """Submits a call with options. See `EngineExecutor.submit_with`."""
        ray, remote = self._started()
        # A worker that is lost may have begun the call: that is for `RetryAdvice` to say.
        known, of, call = self._last
        if of is not remote or known != options:
            call = remote.options(**{"max_retries": 0, **options})
            self._last = options, remote, call
        *small, last = args
        data = last.get("data") if isinstance(last, dict) else None
        stored: list[Any] = []
        if isinstance(data, list) and all(hasattr(piece, "__len__") for piece in data):
            # Large if it is not of several calls.
            if max(map(len, data)) > _LARGE:
                last = ray.put({"data": [pickle.PickleBuffer(piece) for piece in data]})  # uncopied
        elif isinstance(data, list):
            stored = [piece for piece in data if isinstance(piece, ray.ObjectRef)]
            last = {"data": [None if isinstance(one, ray.ObjectRef) else one for one in data]}
        elif data is not None and len(data) > _LARGE:
            last = ray.put({"data": pickle.PickleBuffer(data)})  # uncopied
        is_ours = function is eval
        if not is_ours:
            reference = call.remote(function, *small, last)
        else:
            if isinstance(last, ray.ObjectRef):
                stored, last = [last], None
            reference = call.remote(pickle.dumps((function, *small, last), 5), *stored)
        ours = begun_future()
        with self._watching:
            self._references[ours] = reference
            if not self._is_watched:
                threading.Thread(target=self._watch, daemon=True, name="bandsaw-ray").start()
                self._is_watched = True

        def pass_on(theirs: Future[Any]) -> None:
            with contextlib.suppress(InvalidStateError):
                try:
                    answer = theirs.result()
                    ours.set_result(_read(answer) if is_ours else answer)
                except BaseException as error:
                    ours.set_exception(error)

        reference.future().add_done_callback(pass_on)
        return ours

    def _watch(self) -> None:
        """Ends the calls of a Ray that is shut down, which forgets them, as long as there are."""
        while True:
            time.sleep(_SECONDS_TO_LOOK)
            is_there = self._imported("ray").is_initialized()
            with self._watching:
                running = [one for one in self._references if not one.done()]
                self._is_watched = is_there and bool(running)
                if not self._is_watched:
                    break
        for one in running:
            with contextlib.suppress(InvalidStateError):
                one.set_exception(ConnectionError("Ray was shut down (`ray.shutdown()`)"))

    def _bandsaw_engine(self, **more: Any) -> Engine:
        return super()._bandsaw_engine(store=self._stored, at=self._at, shares_memory=True)

    def _stored(self, data: bytes) -> Stored:
        reference = self._started()[0].put(pickle.PickleBuffer(data))
        return Stored(reference, reference)

    def _kill(self, call: str, future: Optional[Future[Any]]) -> None:
        # Never by force: what Ray gave the worker meanwhile would be lost as well, or Ray would
        # take a processor for busy from then on.
        if HERE.take(call) or not HERE.end(call, _SECONDS_TO_TELL):
            self._cancel(future)

    def _withhold(self, call: str, future: Optional[Future[Any]]) -> bool:
        # Nobody else can be asked whether a call has begun.
        nodes = self._imported("ray").nodes()
        hosts = {node["NodeManagerHostname"] for node in nodes if node["Alive"]}
        is_sure = hosts == {socket.gethostname()} and HERE.take(call)
        if is_sure:
            self._cancel(future)
        return is_sure

    def _ask_all(self, seconds: float, *what: Any) -> list[Any]:
        ray, _ = self._started()
        asked = [self._asked(node["NodeID"], *what) for node in ray.nodes() if node["Alive"]]
        return ray.get(asked, timeout=seconds)  # type: ignore[no-any-return]

    def _at(self, node: str, *what: Any) -> Future[Any]:
        return self._asked(node, *what).future()  # type: ignore[no-any-return]

    def _asked(self, node: str, function: Callable[..., Any], *args: Any) -> Any:
        strategy = self._imported("ray.util.scheduling_strategies").NodeAffinitySchedulingStrategy
        where = strategy(node, soft=False)
        call = self._started()[1].options(num_cpus=0, scheduling_strategy=where)
        return call.remote(function, *args)

    def _cancel(self, future: Optional[Future[Any]]) -> None:
        """Has a call never begin, or its worker interrupted, which ends what runs below it."""
        reference = None if future is None else self._references.get(future)
        if reference is not None:
            self._imported("ray").cancel(reference)

    def shutdown(self, wait: bool = True) -> None:
        """Does nothing: Ray ends with the program, or by `ray.shutdown()`.

        Args:
            wait: Accepted as other executors have it.
        """


_is_parents = False  # whether the Ray of this process is that of its parent


@in_forked_processes
def _note_parents() -> None:
    global _is_parents
    # A module of that name may be the user's.
    is_initialized = getattr(sys.modules.get("ray"), "is_initialized", bool)
    _is_parents = _is_parents or is_initialized()


def _read(answer: Any) -> Any:
    written, *buffers = [answer] if isinstance(answer, bytes) else answer
    return pickle.loads(written, buffers=buffers)
