"""An SSH server that can be stopped, started again and looked at from outside."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
from pathlib import Path

from . import workers_seen as seen

ROOT = Path(__file__).resolve().parent.parent.parent


def example():
    """Loads the module of the server that the examples use."""
    spec = importlib.util.spec_from_file_location(
        "bandsaw_example_sshd_of_faults", ROOT / "examples" / "remote" / "sshd.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def quick(module):
    """Returns the class of the server of the examples, with logins that take half of the time."""

    class Quick(module.Server):
        def _set_environment(self):
            # The exchange of keys that is the usual one today takes the other half.
            return f"{super()._set_environment()}KexAlgorithms curve25519-sha256\n"

    return Quick


class Server:
    """A server on one port, with one key, for all of its life, as a context manager."""

    def __init__(self, environment=()):
        self._server = quick(example())(environment)

    def __enter__(self):
        self._server.__enter__()
        return self

    def __exit__(self, *_):
        self._server.__exit__()

    @property
    def port(self):
        return self._server.port

    @property
    def folder(self):
        """Where its files are."""
        return self._server.key_file.parent

    def arguments(self, **changed):
        """Returns what a `Remote` needs to reach the server."""
        return {
            "host": "127.0.0.1",
            "port": self.port,
            "user": self._server.user,
            "key_file": str(self._server.key_file),
            "options": {
                "UserKnownHostsFile": str(self._server.known_hosts),
                "GlobalKnownHostsFile": "/dev/null",
                "IdentitiesOnly": "yes",
            },
            **changed,
        }

    def stop(self):
        """Takes no more connections. Those that are open stay open."""
        self._server._process.terminate()
        self._server._process.wait()

    def start(self):
        """Takes connections again."""
        server, folder = self._server, self.folder
        for _ in range(100):  # the port may be in use for a moment
            server._process = subprocess.Popen(
                [server._tools["sshd"], "-D", "-f", folder / "config", "-E", folder / "log"],
                stdin=subprocess.DEVNULL,
            )
            if server._listens():
                return
        raise RuntimeError("sshd did not start again")

    def processes(self):
        """Returns the far side: the ids of all processes that were started over a connection."""
        mark = re.compile(rb"(?:^|\0)SSH_CONNECTION=127\.0\.0\.1 \d+ 127\.0\.0\.1 %d\0" % self.port)
        found = []
        for pid in _pids():
            with contextlib.suppress(OSError):
                if mark.search(Path(f"/proc/{pid}/environ").read_bytes()) and not is_gone(pid):
                    found.append(pid)
        return found

    def hubs(self):
        """Returns those of them that a process of the server has started."""
        return [pid for pid in self.pythons() if name_of(parent_of(pid)).startswith("sshd")]

    def pythons(self):
        """Returns those that are Pythons already: a start-up file of the shell may be at work yet.

        What that runs is not to be killed. It may hold a lock, for which later logins would wait.
        """
        return [pid for pid in self.processes() if name_of(pid).startswith("python")]

    def connections(self):
        """Returns the processes of the server that serve a connection each."""
        return [parent_of(pid) for pid in self.hubs()]

    def cut(self, *hubs):
        """Ends connections as if the network was gone; all if none is named."""
        for pid in hubs or self.hubs():
            kill(parent_of(pid))

    def is_empty(self, seconds=10.0):
        """Waits until nothing of the far side runs any more, and returns whether that is so."""
        return seen.settles(lambda: not self.processes(), seconds)


def kill(pid, number=signal.SIGKILL):
    """Sends a signal to a process that may be gone."""
    with contextlib.suppress(ProcessLookupError):
        if pid > 1:
            os.kill(pid, number)


def clients(port):
    """Returns the processes `ssh` that this process has started for a port."""
    found = []
    for pid in _pids():
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
            is_ours = parent_of(pid) == os.getpid() and not is_gone(pid)
            if is_ours and words[0] == b"ssh" and b"%d" % port in words:
                found.append(pid)
    return found


def parent_of(pid):
    """Returns the parent of a process, 0 if it is gone."""
    return int((_stat(pid) or ["", "0"])[1])


def is_gone(pid):
    """Says whether a process has ended; a zombie counts as gone."""
    return (_stat(pid) or ["Z"])[0] == "Z"


def name_of(pid):
    """Returns the name of a process, nothing if it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""


def _stat(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def left_in(directory):
    """Returns what is in a remote directory besides the archives that are kept there."""
    root = Path(directory) / f"bandsaw-{os.geteuid()}"
    kept = root / "archives"
    found = [path for path in Path(directory).glob("*") if path != root]
    found += [path for path in root.glob("*") if path != kept]
    found += [path for path in kept.glob("*") if not re.fullmatch("[0-9a-f]{32}", path.name)]
    return sorted(map(str, found))
