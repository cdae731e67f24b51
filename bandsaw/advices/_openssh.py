"""The backend that uses the OpenSSH client of this machine.

    ssh HOST 'exec PYTHON -u -c ...'        the connection, see `_workers.ssh.ssh_connection`
    ssh HOST 'exec PYTHON -I -S -c ...'     a step, for who calls one: each has its own connection
        stdin  ─►  size, program (_far_side.py), what it is to do, bytes of a file
        stdout ◄─  whatever a start-up file prints, MARK, answer, bytes of a file or output

The far side needs a Python and nothing else: no scp, no particular login shell. Nothing of a call
is part of a command line but the path of the interpreter. Closing standard input ends what runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, BinaryIO, Callable, Optional, Union

from .._system.interrupts import Deferred, broken_pipes_as_errors
from .._system.output import Tail, last_words
from .._system.processes import describe_exit, end_group, flags
from ..errors import InvalidValueError
from ._remote import Remote, SshBackend

# Has Python there read a program and execute it. One line without single quotes and exclamation
# marks, which no login shell changes on the way. Python 2 could not even read that program.
_BOOT = (
    "import sys;sys.version_info<(3,)and sys.exit("
    '"bandsaw needs Python 3.9 or newer, and this is %d.%d.%d"%sys.version_info[:3]);'
    "b=sys.stdin.buffer;exec(b.read(int(b.readline())))"
)
# What is literal, once quoted, for each shell that may be the login shell: fish reads a backslash
# between quotes, csh an exclamation mark, and zsh what begins with an equals sign.
_EXECUTABLE = re.compile(r"[^-=\\!][^\\!]*")
_NOISE_LIMIT = 1 << 20
# How long the other side may take until its program runs, a slow login included.
_SECONDS_TO_START = 120.0
_OPTIONS = {
    "BatchMode": "yes",
    "ConnectTimeout": "30",
    "ServerAliveInterval": "15",
    # What the user's configuration may have for interactive use, and would be in the way.
    "ClearAllForwardings": "yes",
    "PermitLocalCommand": "no",
    "RemoteCommand": "none",
}


class SshCommandLineBackend(SshBackend):
    """Reaches remotes with the command line tool `ssh`.

    Host aliases, users, ports, keys, jump hosts and the checking of host keys are as the user's
    OpenSSH configuration says; only what was given to the `Remote` goes over it. It never asks for
    a password (`BatchMode`).
    """

    @staticmethod
    def login(remote: Remote) -> str:
        """Returns `user@host`."""
        return f"{remote.user}@{remote.host}"

    @staticmethod
    def get_remote_path(remote: Remote, path: Union[str, Path]) -> str:
        """Returns `user@host:path`."""
        return f"{SshCommandLineBackend.login(remote)}:{Path(path).as_posix()}"

    def connection_command(self, remote: Remote, executable: str) -> Optional[list[str]]:
        """Returns the command line of `ssh`; none for a subclass whose steps are to be used."""
        steps = (
            *("create_dir", "copy_file_to_remote", "copy_file_from_remote"),
            *("execute_remote", "delete_dir"),
        )
        own = type(self)
        if any(getattr(own, step) is not getattr(SshCommandLineBackend, step) for step in steps):
            return None
        options = " ".join(map(shlex.quote, flags()))
        return ssh_command(remote, executable, f"{options} -u -c '{_BOOT}'".lstrip())

    def create_dir(self, remote: Remote, remote_path: Path) -> None:
        """Makes a folder, for its owner only. See `SshBackend.create_dir`."""
        self._ask(remote, f"make {remote_path}", operation="make", path=remote_path.as_posix())

    def copy_file_to_remote(self, remote: Remote, local_path: Path, remote_path: Path) -> None:
        """Copies a file there, readable by its owner only. See `SshBackend.copy_file_to_remote`."""
        with open(local_path, "rb") as file:
            self._ask(
                remote,
                f"send {remote_path}",
                payload=file,
                operation="put",
                path=remote_path.as_posix(),
                size=os.fstat(file.fileno()).st_size,
            )

    def copy_file_from_remote(self, remote: Remote, remote_path: Path, local_path: Path) -> None:
        """Copies a file from there. See `SshBackend.copy_file_from_remote`."""
        import shutil

        def receive(answer: dict[str, Any], stream: IO[bytes]) -> None:
            with open(
                local_path, "wb", opener=lambda path, flags: os.open(path, flags, 0o600)
            ) as f:
                shutil.copyfileobj(stream, f, 1 << 20)
                if f.tell() != answer["size"]:
                    raise EOFError(f"{f.tell()} of {answer['size']} bytes arrived")

        self._ask(
            remote,
            f"fetch {remote_path}",
            receive=receive,
            operation="get",
            path=remote_path.as_posix(),
        )

    def delete_dir(self, remote: Remote, remote_path: Path) -> None:
        """Removes a folder and all that is in it. See `SshBackend.delete_dir`."""
        self._ask(remote, f"remove {remote_path}", operation="remove", path=remote_path.as_posix())

    def execute_remote(self, remote: Remote, executable: str, *arguments: str) -> None:
        """Runs a command, with the environment of the remote's interpreter.

        What it writes comes through as it is written. If the connection breaks, it is ended. See
        `SshBackend.execute_remote`.

        Raises:
            RemoteCommandError: If it fails (a `subprocess.CalledProcessError`).
        """
        request = {
            "operation": "run",
            "command": [executable, *arguments],
            "environment": remote.interpreter.overlay(local=False),
            "folder": _folder_of_call(arguments),
        }
        with _Conversation(remote, request, None, "stderr") as conversation:
            Tail(conversation.stdout, "stdout").finish(None)
            conversation.finish(f"run {executable}")

    def _ask(
        self,
        remote: Remote,
        what: str,
        payload: Optional[BinaryIO] = None,
        receive: Optional[Callable[[dict[str, Any], IO[bytes]], None]] = None,
        **request: Any,
    ) -> None:
        with _Conversation(remote, request, payload, None) as conversation:
            line = conversation.stdout.readline()
            try:
                answer = json.loads(line)
            except ValueError:
                answer = {"error": "the connection was closed before it answered"}
            problem = answer.get("error")
            if problem is None and receive is not None:
                try:
                    receive(answer, conversation.stdout)
                except EOFError as error:
                    problem = str(error)
            conversation.finish(what, problem)


class _Conversation:
    """One `ssh` process: sends a program and its request, and skips to where the answer begins."""

    def __init__(
        self,
        remote: Remote,
        request: dict[str, Any],
        payload: Optional[BinaryIO],
        errors_to: Optional[str],
    ) -> None:
        self._remote = remote
        self._mark = os.urandom(16).hex().encode()
        self._command = ssh_command(remote, remote.interpreter.executable, f"-I -S -c '{_BOOT}'")
        with Deferred():
            self._open(request, payload, errors_to)

    def _open(
        self, request: dict[str, Any], payload: Optional[BinaryIO], errors_to: Optional[str]
    ) -> None:
        # Far processes that only read the configuration do without.
        import subprocess

        from ..errors import RemoteCommandError

        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                # Ctrl-C is for us to handle: the far side is ended by closing the connection.
                start_new_session=os.name == "posix",
            )
        except OSError as error:
            raise RemoteCommandError(
                f"The command 'ssh' of OpenSSH cannot be started: {error}", 127, self._command
            ) from error
        assert self._process.stdout and self._process.stderr and self._process.stdin
        self.stdout = self._process.stdout
        self._errors = Tail(self._process.stderr, errors_to)
        self._writer = threading.Thread(
            target=self._send, args=(request, payload), daemon=True, name="bandsaw-ssh"
        )
        self._writer.start()

    def __del__(self) -> None:
        # Ctrl-C came before anybody was in it.
        process = getattr(self, "_process", None)
        if process is not None and process.returncode is None:
            end_group(process)

    def __enter__(self) -> _Conversation:
        try:
            self._skip_to_mark()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            end_group(self._process)
        self._writer.join()
        assert self._process.stdin is not None
        for stream in (self._process.stdin, self.stdout):
            with contextlib.suppress(OSError), broken_pipes_as_errors():
                stream.close()

    def _send(self, request: dict[str, Any], payload: Optional[BinaryIO]) -> None:
        import shutil

        from .._workers.ssh.ssh_start import source_of

        stream = self._process.stdin
        assert stream is not None
        _, far_side = source_of("bandsaw.advices._far_side")
        program = f"mark={self._mark!r}\nrequest={request!a}\n".encode() + far_side
        with contextlib.suppress(OSError, ValueError), broken_pipes_as_errors():
            stream.write(b"%d\n" % len(program) + program)
            if payload is not None:
                shutil.copyfileobj(payload, stream, 1 << 20)
            stream.flush()

    def _skip_to_mark(self) -> None:
        # What it does then may take as long as it takes, and ends with the connection.
        timer = threading.Timer(_SECONDS_TO_START, self._process.kill)
        timer.daemon = True
        timer.start()
        seen = bytearray()
        try:
            while not seen.endswith(self._mark):
                byte = self.stdout.read(1)
                if not byte or len(seen) > _NOISE_LIMIT:
                    self.finish("start the interpreter", "it did not answer")
                seen += byte
        finally:
            timer.cancel()

    def finish(self, what: str, problem: Optional[str] = None) -> None:
        """Waits for the end, and raises a `RemoteCommandError` if something went wrong."""
        from ..errors import RemoteCommandError, RemoteConnectionError

        if problem is None:
            self._writer.join()
        status = self._process.wait()
        errors = self._errors.finish()
        if status == 0 and problem is None:
            return
        parts = [f"Could not {what} on {self._remote.host}"]
        if problem is not None:
            parts.append(problem)
        if status == 255:
            parts.append("the connection failed or was lost (ssh ended with exit code 255)")
        elif status != 0:
            parts.append(f"it ended with {describe_exit(status)}")
        message = ": ".join(parts) + "." + last_words(errors)
        # With this status, commands end as well, but not before they have begun.
        kind = RemoteConnectionError if problem and status == 255 else RemoteCommandError
        raise kind(message, status or 1, self._command, None, errors)


def _folder_of_call(arguments: Sequence[str]) -> Optional[str]:
    """Returns the folder of a call, which the far side removes if the connection is lost."""
    folder, _, _ = arguments[0].rpartition("/") if arguments else ("", "", "")
    return folder if re.fullmatch(r"bandsaw-[0-9a-f]{32}", folder.rpartition("/")[2]) else None


def ssh_command(remote: Remote, executable: str, arguments: str) -> list[str]:
    """Returns the command line that starts a Python there; its arguments are quoted."""
    command = ["ssh", "-T"]
    # Their case does not matter, and the first one counts.
    given = {name.lower() for name in remote.options}
    ours = {name: value for name, value in _OPTIONS.items() if name.lower() not in given}
    for name, value in {**ours, **remote.options}.items():
        command += ["-o", f"{name}={value}"]
    if remote._port is not None:
        command += ["-p", str(remote._port)]
    if remote._user is not None:
        command += ["-l", remote._user]
    if remote.key_file is not None:
        command += ["-i", os.path.expanduser(os.fspath(remote.key_file))]
    if not _EXECUTABLE.fullmatch(executable) or not executable.isprintable():
        raise InvalidValueError(
            "A remote interpreter's executable must not begin with '-' or '=', or contain control "
            f"characters, '\\' or '!', which shells treat in different ways: {executable!r}."
        )
    return [*command, "--", remote.host, f"exec {shlex.quote(executable)} {arguments}"]
