"""The processes of a hub that fork those of tasks, one for each kind."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import sys
import time
from typing import Any, NoReturn, Optional

from ..._system.processes import flags, kill_group, reap
from .. import frames, inheritance
from ..ends import channel_pair, lead_to_nowhere, pipe_pair, socket_of
from ..frames import Channel

_READ = 1 << 18
_SECONDS_TO_END = 5.0


class ForkServer:
    def __init__(self, pid: int, folder: str, control: socket.socket, errors: int) -> None:
        self.pid = pid  # its process id
        self.folder = folder  # its archive
        self.control = control  # where requests go to
        self.channel = Channel(control)  # the same, for what it says
        # What it writes to standard error is read from here, `None` after its end.
        self.errors: Optional[int] = errors
        self.has_said_hello = False  # whether it runs


class ForkServers:
    """Starts them, and hands on what they say. `hub`: the `Hub` that has the connection."""

    def __init__(self, hub: Any) -> None:
        self._hub = hub
        self._all: dict[int, ForkServer] = {}

    def get(self, stream: int) -> Optional[ForkServer]:
        return self._all.get(stream)

    def start(self, stream: int, body: bytes) -> None:
        request = json.loads(body)
        near, far = channel_pair()
        folder = self._hub.archive(request["digest"])
        self._hub.in_use.add(folder)
        errors, far_errors = pipe_pair()
        parent = os.getpid()
        try:
            pid = os.fork()
        except OSError:
            # There are too many processes.
            for end in (near.detach(), far.detach(), errors, far_errors):
                os.close(end)
            raise
        if pid == 0:
            near.close()
            os.close(errors)
            self._become(request, parent, far, far_errors)
        far.close()
        os.close(far_errors)
        at_start = inheritance.at_start({**os.environ, **request["environment"]})
        with contextlib.suppress(OSError):
            told: dict[str, Any] = {"at_start": at_start}
            if request.get("beside"):
                told["code"] = {"beside": request["beside"]}
            Channel(near).send_json(frames.STATE, told)
        fork_server = self._all[stream] = ForkServer(pid, folder, near, errors)
        self._hub.watch(near.fileno(), lambda: self._hear(stream, fork_server))
        os.set_blocking(errors, False)
        self._hub.watch(errors, lambda: self._hear_errors(stream, fork_server))

    def _become(
        self, request: dict[str, Any], parent: int, control: socket.socket, errors: int
    ) -> NoReturn:
        code = 1
        try:
            # Not a session of its own: a busy machine gives each its turn, and answers come late.
            os.setpgid(0, 0)
            # Their ends are noticed only if nobody else holds them.
            self._hub.let_go()
            os.dup2(control.fileno(), 0)
            os.dup2(errors, 2)
            lead_to_nowhere(1, os.O_WRONLY)
            os.close(control.detach())
            os.close(errors)
            code = _run(request, parent, self._hub.archive(request["digest"]))
        except BaseException as error:
            from ..._session.members import written_failure

            near = Channel(socket_of(os.dup(0)))
            near.send((frames.FAILURE, (written_failure(error),), None))
        finally:
            os._exit(code)

    def _hear(self, stream: int, fork_server: ForkServer) -> None:
        frame = None
        with contextlib.suppress(EOFError, OSError):
            fork_server.channel.read()
            frame = fork_server.channel.next()
            if frame is None:
                return
        if frame is not None:
            fork_server.has_said_hello = True
            self._hub.send(b"H", stream, bytes([frame.kind]), frame.body)
            return
        self._hub.unwatch(fork_server.control.fileno())
        del self._all[stream]
        while fork_server.errors is not None and self._hear_errors(stream, fork_server):
            pass
        self._hub.to_close.append(fork_server.control.close)
        code = _reaped(fork_server.pid, time.monotonic() + 1.0)
        self._hub.send(b"E", stream, str(code).encode())

    def _hear_errors(self, stream: int, fork_server: ForkServer) -> bool:
        """Hands on what a fork server writes, and returns whether there may be more."""
        if fork_server.errors is None:
            return False
        try:
            data = os.read(fork_server.errors, _READ)
        except BlockingIOError:
            return False
        if data:
            self._hub.send(b"L", stream, data)
            return True
        # The number may be that of another file soon.
        self._hub.unwatch(fork_server.errors)
        self._hub.to_close.append(functools.partial(os.close, fork_server.errors))
        fork_server.errors = None
        return False

    def end_what_stalls(self, now: float) -> None:
        for fork_server in self._all.values():
            stalls_at = fork_server.channel.stalls_at
            if stalls_at is not None and now >= stalls_at:
                kill_group(fork_server.pid)

    def forget(self, stream: int) -> bool:
        """Ends one that nobody wants any more, and returns whether it was one."""
        fork_server = self._all.get(stream)
        if fork_server is None:
            return False
        # That it ends is heard.
        fork_server.control.shutdown(socket.SHUT_WR)
        if not fork_server.has_said_hello:
            kill_group(fork_server.pid)
        return True

    def end(self) -> bool:
        """Ends all of them, and returns whether each could end what it has started."""
        for fork_server in self._all.values():
            fork_server.control.close()
        deadline = time.monotonic() + _SECONDS_TO_END
        codes = [
            _reaped(fork_server.pid, deadline if fork_server.has_said_hello else 0.0)
            for fork_server in self._all.values()
        ]
        return not any(codes)


def _run(request: dict[str, Any], parent: int, folder: str) -> int:
    """Becomes a fork server, in the process that was forked for it; returns an exit status."""
    environment = {**os.environ, **request["environment"]}
    executable = sys.executable
    if request["requirements"] is not None:
        from ...environments import Environment

        executable = Environment.deserialize(request["requirements"]).executable
    kind = [executable, folder, request["preload"]]
    settings = {"parent": parent, "kind": kind, "path": None, "run_id": request["run_id"]}
    args = [folder, "--fork-server", json.dumps(settings)]
    if executable != sys.executable or folder != sys.argv[0] or request["environment"]:
        os.execve(executable, [executable, *flags(), "-u", *args], environment)
    # As if it was started from there, without the time that it takes to start Python.
    from importlib.machinery import ModuleSpec
    from types import ModuleType

    path = os.path.join(folder, "__main__.py")
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__file__ = path
    main.__spec__ = ModuleSpec("__main__", None, origin=path)
    sys.argv[:] = args
    with open(path, "rb") as file:
        code = compile(file.read(), path, "exec")
    try:
        exec(code, main.__dict__)
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 0
    return 0


def _reaped(pid: int, deadline: float) -> int:
    """Waits for the end of a process, at last ends it, and returns how it ended."""
    kill = functools.partial(kill_group, pid)
    while (code := reap(pid, kill)) is None:
        if time.monotonic() >= deadline:
            kill()
            return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        time.sleep(0.002)
    return code
