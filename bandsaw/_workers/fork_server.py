"""A clean process of one thread, which processes for tasks are forked from.

    near ── one byte and four descriptors ──► fork server ── fork ──► process of a task
      ▲                                          │ waits for it       │
      └────────── P pid ... X status ────────────┘                    └── channel, stdout, stderr

It imports what every task needs, once, and runs no code of a task. It owns the processes: it ends
them with all that they started when the near side asks for it, goes away, or is found dead; and it
says how they ended. A process that cannot be forked is started anew from the same executable.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import resource
import select
import signal
import socket
import subprocess
import sys
from typing import Any, Callable, NoReturn, Optional

from .._archive import finder
from .._system.processes import flags, reap
from . import fork_servers, frames, leaving, serving
from .ends import NO_SIGNAL, channel_pair, out_of_the_way, pipe_pair, rights_in, socket_of
from .frames import EVENT, Channel

FORK = b"F"  # has a process forked; otherwise it is started anew
_DESCRIPTORS = 4
# How often to look whether the parent is still there, where nothing tells.
_LOOK_MILLISECONDS = 1000
_PARENT_DEATH_SIGNAL = 1


class _Process:
    def __init__(self, pid: int, status: socket.socket) -> None:
        self.pid = pid  # its id, and that of its group
        self.status = status  # the socket that says how it goes

    def kill(self) -> None:
        # Before it has a group of its own there is only itself.
        for kill in (os.killpg, os.kill):
            try:
                kill(self.pid, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                continue
            return

    def tell(self, letter: bytes, number: int) -> None:
        """Says something about it to the near side, if that is there."""
        try:
            self.status.send(EVENT.pack(letter, number), NO_SIGNAL)
        except OSError:
            pass


class FarForkServer:
    def __init__(
        self, control: socket.socket, settings: dict[str, Any], hello: dict[str, Any]
    ) -> None:
        self._control = control
        self._kind, self._hello = settings["kind"], hello
        self._processes: dict[int, _Process] = {}
        # The processes of tasks have this end, so that calls of their own find a fork server.
        self.for_tasks, self._from_tasks = channel_pair()
        self._poll = select.poll()
        self._handlers: dict[int, Callable[[], None]] = {}
        self._own: list[Any] = [control, self._from_tasks]
        self._watch(control.fileno(), lambda: self._take_request(control))
        self._watch(self._from_tasks.fileno(), lambda: self._take_request(self._from_tasks))
        self._watch_children()
        parent = settings["parent"]
        self._parent: Optional[int] = parent if os.getppid() == parent else None
        self._watch_parent()
        self._set_death_signal = _death_signal()
        self._leaving = settings.get("leaving")  # of `leaving.tidy`, if that is for it to call
        # It has a descriptor for each process: without one it could not even say why none starts.
        # What it starts has the limit of the near side.
        self._most_open = _, more = resource.getrlimit(resource.RLIMIT_NOFILE)
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (more, more))

    def _watch(self, descriptor: int, handler: Callable[[], None]) -> None:
        self._poll.register(descriptor, select.POLLIN)
        self._handlers[descriptor] = handler

    def _watch_children(self) -> None:
        reading, self._wakeup = pipe_pair()
        for end in (reading, self._wakeup):
            os.set_blocking(end, False)
        self._own += [reading, self._wakeup]
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        # Ctrl-C is for the near side to handle.
        signal.signal(signal.SIGINT, signal.SIG_IGN)

        def reap_all() -> None:
            os.read(reading, 4096)
            for process in list(self._processes.values()):
                self._reap(process)

        self._watch(reading, reap_all)

    def _watch_parent(self) -> None:
        # Behind a launcher that is our parent instead, the end of the control socket has to do.
        if self._parent is None or not hasattr(os, "pidfd_open"):
            return
        try:
            descriptor = os.pidfd_open(self._parent)
        except OSError:
            return
        self._own.append(descriptor)
        self._parent = None
        self._watch(descriptor, self._end)

    def serve(self) -> NoReturn:
        """Does what is asked for, for as long as somebody can ask."""
        timeout = None if self._parent is None else _LOOK_MILLISECONDS
        while True:
            for descriptor, _ in self._poll.poll(timeout):
                handler = self._handlers.get(descriptor)
                if handler is not None:
                    handler()
            if self._parent is not None and os.getppid() != self._parent:
                self._end()

    def _end(self) -> NoReturn:
        for process in self._processes.values():
            process.kill()
        if self._leaving is not None:
            leaving.tidy(*self._leaving)
        os._exit(0)

    def _take_request(self, source: socket.socket) -> None:
        size = _DESCRIPTORS * array.array("i").itemsize
        data, ancillary, _, _ = source.recvmsg(1, socket.CMSG_SPACE(size), frames._FLAGS)
        if not data:
            self._end()
        given = rights_in(ancillary)
        if len(given) != _DESCRIPTORS:
            for descriptor in given:
                os.close(descriptor)
            return
        self._start(data, given)

    def _start(self, how: bytes, given: array.array[int]) -> None:
        channel, status, out, errors = given
        process = _Process(0, socket_of(status))
        fork_server = os.getpid()
        channel = out_of_the_way(channel)
        try:
            if how == FORK:
                process.pid = os.fork()
                if process.pid == 0:
                    self._become_process(fork_server, process, channel, out, errors)
            else:
                process.pid = self._spawned(fork_server, channel, out, errors)
        except (OSError, subprocess.SubprocessError) as error:
            process.tell(b"E", getattr(error, "errno", None) or errno.EAGAIN)
            process.status.close()
        else:
            self._processes[status] = process
            self._watch(status, lambda: self._hear(process))
            process.tell(b"P", process.pid)
        for descriptor in (channel, out, errors):
            os.close(descriptor)

    def _spawned(self, fork_server: int, channel: int, out: int, errors: int) -> int:
        """Starts a process from the executable, and returns its id."""

        # A debugger follows it once, and a fork with an `execv` after it twice.
        def begin() -> None:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            self._begin_process(fork_server)

        started = subprocess.Popen(
            [
                *(sys.executable, *flags(), "-u", sys.argv[0]),
                *("--worker", str(channel), finder.byte_code),
            ],
            stdout=out,
            stderr=errors,
            pass_fds=(channel,),
            preexec_fn=begin,
        )
        started.returncode = 0  # it is waited for here
        return started.pid

    def _hear(self, process: _Process) -> None:
        # Whatever it says, and if it is gone: nobody waits for the process any more.
        process.kill()
        self._poll.unregister(process.status)
        del self._handlers[process.status.fileno()]
        self._reap(process)

    def _reap(self, process: _Process) -> None:
        code = reap(process.pid, process.kill)
        if code is None:
            return
        descriptor = process.status.fileno()
        if self._handlers.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)
        del self._processes[descriptor]
        process.tell(b"X", code)
        process.status.close()

    def _begin_process(self, fork_server: int) -> None:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_NOFILE, self._most_open)
        if self._set_death_signal is not None:
            self._set_death_signal()
        if os.getppid() != fork_server:
            os._exit(1)  # what had started it was killed meanwhile

    def _become_process(
        self, fork_server: int, process: _Process, channel: int, out: int, errors: int
    ) -> NoReturn:
        code = 1
        try:
            self._begin_process(fork_server)
            self._let_go(process)
            os.dup2(out, 1)
            os.dup2(errors, 2)
            os.close(out)
            os.close(errors)
            fork_servers.take_over(self.for_tasks, self._kind, self._hello)
            _reseed()
            code = serving.serve_to_the_end(Channel(socket_of(channel)))
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(code)

    def _let_go(self, process: _Process) -> None:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for own in self._own:
            os.close(own if isinstance(own, int) else own.detach())
        for other in (process, *self._processes.values()):
            other.status.close()


def _reseed() -> None:
    # Otherwise every process would draw the same numbers.
    numpy_random: Any = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
    torch_generator: Any = getattr(sys.modules.get("torch"), "default_generator", None)
    if torch_generator is not None:
        torch_generator.seed()


def _death_signal() -> Optional[Callable[[], Any]]:
    """Returns what has the kernel end a process when the fork server is gone, where it can."""
    if sys.platform == "linux":
        with contextlib.suppress(ImportError, OSError, AttributeError):
            import ctypes

            prctl = ctypes.CDLL(None).prctl
            return lambda: prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
    return None
