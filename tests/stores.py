"""Real stores that a team could share: servers of S3 and Google's kind, folders by SSH."""

import contextlib
import importlib.util
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request

from tests.faults import ssh_server

BUCKET = "team"
KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
# Failures may be in colours.
_REQUEST = re.compile(r'"(?:\x1b\[\d+m)*([A-Z]+) (\S+) HTTP/1\.\d(?:\x1b\[0m)?" (\d+)')


def lacks(*modules):
    """Names those modules that are not installed, as a reason to skip; empty if all are."""
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    return f"{', '.join(missing)} not installed: the extra 'shared-test'" if missing else ""


class S3:
    """A server of moto in a process of its own. What it holds goes with it."""

    scheme = "s3"
    command = ("moto.server", "-H", "127.0.0.1")
    _bucket = f"/{BUCKET}"

    def __init__(self, folder):
        self._log = folder / "server.log"
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.url = f"{self.scheme}://{BUCKET}/some/prefix"

    @property
    def variables(self):
        """What a process has in its environment to reach the server."""
        return {**KEYS, "FSSPEC_S3_ENDPOINT_URL": self._endpoint}

    @property
    def _endpoint(self):
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()

    def start(self):
        self._launch()
        end = time.monotonic() + 200
        while True:
            with contextlib.suppress(OSError), urllib.request.urlopen(self._first_request()):
                return
            if time.monotonic() > end:
                raise RuntimeError(f"it did not start: {self._log.read_text()}")
            time.sleep(0.05)
            if self._process.poll() is not None:
                self._launch()  # its port may be that of a connection for a moment

    def _launch(self):
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *self.command, "--port", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def _first_request(self):
        """Makes the bucket."""
        return urllib.request.Request(f"{self._endpoint}/{BUCKET}", method="PUT")

    def kill(self):
        self._process.kill()
        self._process.wait()

    def pause(self, number=signal.SIGSTOP):
        """Has the server stop in the middle of what it does; `SIGCONT` has it go on."""
        self._process.send_signal(number)

    def requests(self):
        """Lists the requests so far: the method, the path and the status."""
        found = _REQUEST.findall(self._log.read_text())
        return [
            (method, path.partition("?")[0], int(status))
            for method, path, status in found
            if path != self._bucket
        ]


class Google(S3):
    """An emulator of Google Cloud Storage in a process of its own."""

    scheme = "gs"
    command = (
        *("gcp_storage_emulator", "start", "--host", "127.0.0.1", "--in-memory"),
        *("--default-bucket", BUCKET),
    )
    _bucket = f"/storage/v1/b/{BUCKET}"

    @property
    def variables(self):
        """What a process has in its environment to reach the server."""
        # The emulator has no gRPC, by which the driver would ask for the kind of the bucket.
        return {
            "FSSPEC_GS_TOKEN": "anon",
            "FSSPEC_GS_ENDPOINT_URL": self._endpoint,
            "STORAGE_EMULATOR_HOST": self._endpoint,
            "GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT": "false",
        }

    def _first_request(self):
        return f"{self._endpoint}{self._bucket}"


class Sftp(ssh_server.Server):
    """A folder on an SSH server that can be killed and started again."""

    def __init__(self, folder):
        # Not the one of the other tests, whose exchange of keys paramiko lacks.
        self._server = ssh_server.example().Server()
        self._root = folder

    @property
    def url(self):
        return f"sftp://{self._server.user}@127.0.0.1:{self.port}{self._root}"

    @property
    def variables(self):
        """What a process has in its environment to reach the server."""
        return {"FSSPEC_SFTP_KEY_FILENAME": str(self._server.key_file)}

    def kill(self):
        self._server.kill()

    def cut(self):
        """Ends all connections as if the network was gone. Returns how many there were."""
        server = self._server._process.pid
        connections = [pid for pid in ssh_server.example()._family(server) if pid != server]
        for pid in connections:
            ssh_server.kill(pid)
        return len(connections)

    def pause(self, number=signal.SIGSTOP):
        """Has the server stop in the middle of what it does; `SIGCONT` has it go on."""
        for pid in ssh_server.example()._family(self._server._process.pid):
            os.kill(pid, number)
