"""An SSH server of one's own: on a loopback port, with its own keys, in a temporary folder.

Nothing of the user's `~/.ssh` and nothing of the system's server is read or written.
"""

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path


class NotInstalledError(RuntimeError):
    """OpenSSH's server or one of its tools is missing."""


class Server:
    """A running `sshd`, as a context manager. It is stopped at the end and leaves nothing.

    Attributes:
        port: The port it listens at, on 127.0.0.1.
        user: The user it lets in: the one that started it.
        key_file: The private key that it accepts.
        known_hosts: A file that holds the server's own key.
        scratch: A folder for those who log in. It goes with the server.
    """

    def __init__(self, environment=()):
        """Looks for the tools that are needed.

        Args:
            environment: Variables that logins get besides their own, as a dict. `HOME` is an
                empty folder, so that nobody's start-up files are run, and `TMPDIR` is `scratch`.
        """
        self._environment = dict(environment)
        search = os.pathsep.join([os.environ.get("PATH", ""), "/usr/sbin", "/usr/local/sbin"])
        self._tools = {name: shutil.which(name, path=search) for name in ("sshd", "ssh-keygen")}
        missing = [name for name, path in self._tools.items() if path is None]
        if missing:
            raise NotInstalledError(
                f"{' and '.join(missing)} not found. Install OpenSSH's server, for example with"
                " 'apt-get install openssh-server'. It need not be running."
            )
        self.user = getpass.getuser()

    def __enter__(self):
        self._folder = Path(tempfile.mkdtemp(prefix="sshd-"))
        try:
            self._start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        process = getattr(self, "_process", None)
        if process is not None:
            process.terminate()
            process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self):
        """Ends the server and all that was started through it, as when its machine breaks down."""
        self._process.send_signal(signal.SIGSTOP)  # it lets nobody in any more
        for pid in _family(self._process.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()

    def accepted(self):
        """How many logins the server has let in so far."""
        return self._log().count("Accepted publickey")

    def _log(self):
        return (self._folder / "log").read_text(errors="replace")

    def _start(self):
        self.scratch = self._folder / "scratch"
        self.scratch.mkdir()
        self.key_file = self._make_key("client")
        host_key = self._make_key("host")
        # As root, sshd wants this folder for the part of it that runs without privileges.
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        authorized = self._folder / "authorized_keys"
        authorized.write_text(self._public(self.key_file))
        (self._folder / "log").touch()

        for _ in range(5):  # another program may take the free port before sshd does
            self.port = _free_port()
            config = self._folder / "config"
            config.write_text(
                f"ListenAddress 127.0.0.1\n"
                f"Port {self.port}\n"
                f'HostKey "{host_key}"\n'
                f'AuthorizedKeysFile "{authorized}"\n'
                f"PidFile none\n"
                f"PasswordAuthentication no\n"
                f"KbdInteractiveAuthentication no\n"
                f"AllowUsers {self.user}\n"
                f"PermitRootLogin prohibit-password\n"
                f"UsePAM no\n"  # no session of the system is opened for these logins
                f"StrictModes no\n"  # the temporary folder's parents are open to all
                f"MaxStartups 100\n"
                f"{self._set_environment()}"
                f"Subsystem sftp internal-sftp\n"
            )
            self._process = subprocess.Popen(
                [self._tools["sshd"], "-D", "-f", config, "-E", self._folder / "log"],
                stdin=subprocess.DEVNULL,
            )
            if self._listens():
                break
        else:
            raise RuntimeError(f"sshd did not start: {self._log()}")
        self.known_hosts = self._folder / "known_hosts"
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {self._public(host_key)}")

    def _set_environment(self):
        home = self._folder / "home"
        home.mkdir(exist_ok=True)
        variables = []
        own = {"HOME": str(home), "TMPDIR": str(self.scratch), **self._environment}
        for name, value in own.items():
            escaped = value.replace("\\", "\\\\").replace('"', '\\"')
            variables.append(f' "{name}={escaped}"')
        return f"SetEnv{''.join(variables)}\n"

    def _make_key(self, name):
        path = self._folder / name
        command = [self._tools["ssh-keygen"], "-q", "-t", "ed25519", "-N", "", "-f", path]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return path

    @staticmethod
    def _public(key):
        return key.with_name(key.name + ".pub").read_text()

    def _listens(self):
        deadline = time.monotonic() + 60
        while self._process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=20).close()
                return True
            except OSError:
                time.sleep(0.05)
        self._process.kill()
        self._process.wait()
        return False


def _free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _family(pid):
    """The ids of a process, of those that it has started, and so on."""
    if os.path.isdir("/proc/self"):
        found = [path.name for path in Path("/proc").iterdir() if path.name.isdigit()]
        rows = [(int(name), _parent(name)) for name in found]
    else:
        table = subprocess.check_output(["ps", "-A", "-o", "pid=,ppid="], text=True)
        rows = [map(int, line.split()) for line in table.splitlines()]
    children = {}
    for child, parent in rows:
        children.setdefault(parent, []).append(child)
    family = [pid]
    for member in family:
        family += children.get(member, ())
    return family


def _parent(name):
    try:
        return int(Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None  # it has ended meanwhile
