"""The fork servers of this process.

A fork server serves all calls with the same interpreter, code and preloaded modules, and ends with
this process, or when its code has been replaced and nothing runs in it any more.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Callable, TypeVar

from .._system import ending
from .._system.importing import late_import
from .._system.processes import in_forked_processes
from ..errors import WorkerStartError
from . import inheritance
from .child import Child
from .near_fork_server import AnyForkServer, Check, Code, LocalForkServer, ProcessKind

# Of so many states of the code the fork servers are kept that differ in nothing else.
_MOST_STATES = 4


_Server = TypeVar("_Server", bound=AnyForkServer)


class ForkServers(dict[ProcessKind, _Server]):
    """Fork servers here, or at the other end of a connection, by what they are for."""

    def __init__(self) -> None:
        self.start_anew()

    def start_anew(self) -> None:
        self.clear()
        self._lock = threading.Lock()
        self._locks: dict[ProcessKind, threading.Lock] = {}

    def of(self, kind: ProcessKind, start: Callable[[], _Server]) -> _Server:
        """Returns the fork server of a kind, started on first use."""
        fork_server = self.get(kind)
        if fork_server is not None and not fork_server.is_stale():
            return fork_server
        with self._lock:
            lock = self._locks.setdefault(kind, threading.Lock())
        with lock:
            fork_server = self.get(kind)
            if fork_server is not None and fork_server.is_stale():
                del self[kind]
                fork_server.replace()
                fork_server = None
            if fork_server is None:
                fork_server = self[kind] = start()
                self._replace_older(kind)
        return fork_server

    def _replace_older(self, kind: ProcessKind) -> None:
        """Ends those of earlier states of the code, which may be edited again and again."""
        # Those of some states stay: there may be several configurations.
        states = [
            each for other, each in list(self.items()) if other._replace(code=kind.code) == kind
        ]
        states.sort(key=lambda fork_server: fork_server.last_used)
        for older in states[:-_MOST_STATES]:
            if self.pop(older.kind, None) is not None:
                older.replace()


_fork_servers: ForkServers[LocalForkServer] = ForkServers()


def take_over(control: socket.socket, kind: Sequence[Any], hello: Mapping[str, Any]) -> None:
    """Notes, in a process of a task, how to reach the fork server that it was forked from."""
    executable, code, preload, at_start = kind
    known = ProcessKind(executable, code, tuple(preload), tuple((n, v) for n, v in at_start))
    _fork_servers[known] = LocalForkServer(known, control, None, hello, {})


def can_start() -> bool:
    """Whether the task has left open what leads to the fork servers of this process."""
    return all(fork_server.is_reachable() for fork_server in list(_fork_servers.values()))


def start(
    kind: ProcessKind, inherited: inheritance.Inherited, code: Code, check: Check, *, fork: bool
) -> Child:
    # A process of a task imports this module, and starts none.
    with late_import:
        from .fork_server_start import started

    for attempt in (1, 2):
        fork_server = _fork_servers.of(kind, lambda: started(kind, inherited, code))
        if fork_server.has_threads and kind.preload:
            # What it has loaded is of no use then, and would only be in the way.
            return start(kind._replace(preload=()), inherited, code, check, fork=False)
        check(fork_server.hello)
        try:
            return fork_server.take(fork)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                _forget(fork_server)  # somebody has ended it
                if attempt == 1:
                    continue
            raise WorkerStartError(f"A process for tasks could not be started: {error}") from error
    raise AssertionError("unreachable")


def prepare_next(kind: ProcessKind, *, fork: bool) -> None:
    fork_server = _fork_servers.get(kind)
    if fork_server is not None and fork_server.has_threads and kind.preload:
        fork_server, fork = _fork_servers.get(kind._replace(preload=())), False
    if fork_server is not None:
        fork_server.prepare_next(fork)


def _forget(fork_server: LocalForkServer) -> None:
    if _fork_servers.get(fork_server.kind) is fork_server:
        del _fork_servers[fork_server.kind]
    fork_server.close()


@ending.at_exit
def close_all() -> None:
    while _fork_servers:
        _, fork_server = _fork_servers.popitem()
        fork_server.close()


@in_forked_processes
def _let_go() -> None:
    # What is the parent's is not for a forked process to use, or to keep alive.
    for fork_server in _fork_servers.values():
        fork_server.let_go()
    _fork_servers.start_anew()
