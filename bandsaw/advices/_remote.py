"""A machine to run tasks on, and the interface of what reaches it."""

from __future__ import annotations

import abc
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Optional, Union

from ..environments import Environment
from ..errors import InvalidValueError
from ..interpreter import Interpreter, checked_interpreter, is_passable
from ..user import get_current_username

PathLike = Union[str, "os.PathLike[str]"]

# What OpenSSH's own client refuses in names given on its command line, and whitespace.
_NOT_IN_NAMES = re.compile(r"[\s\x00-\x1f\x7f'\"`$;&<>|(){}]")
_OPTION_NAME = re.compile(r"[A-Za-z][A-Za-z0-9]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class Remote:
    """A machine that is reached over SSH.

    What is not given here is what the user's OpenSSH configuration says.

    Args:
        host: The name, address or alias of the machine. Required.
        port: The port of its SSH server.
        user: The user to log in as.
        key_file: The file with the private key to log in with.
        interpreter: The Python to run there. Required.
        directory: Where archives and environments are kept there, and files are made for the time
            of a call, by default `/tmp`. An absolute path; `~` means nothing there.
        options: More options for OpenSSH's client, as in `ssh -o NAME=VALUE`.

    Attributes:
        host: The host.
        key_file: The key file, `None` if none was given.
        interpreter: The interpreter.
        directory: The directory, a `Path`.
        options: The further options.

    Raises:
        InvalidValueError: If host or interpreter is missing, or something given cannot be used or
            could be taken for something else (a `ValueError`).
    """

    def __init__(
        self,
        host: Optional[str] = None,
        port: Optional[int] = None,
        user: Optional[str] = None,
        key_file: Optional[PathLike] = None,
        interpreter: Optional[Interpreter] = None,
        directory: Optional[PathLike] = None,
        options: Optional[Mapping[str, str]] = None,
    ) -> None:
        if not host:
            raise InvalidValueError("Remote needs a host: Remote(host='example.org', ...).")
        if interpreter is None:
            raise InvalidValueError(
                "Remote needs an interpreter: the Python to run there, as in "
                "Remote(interpreter=bandsaw.Interpreter(executable='/usr/bin/python3'), ...)."
            )
        self.host = _checked_name("host", host)
        self.user = user
        self.port = port
        self.key_file = key_file
        for what, path in (("key_file", key_file), ("directory", directory)):
            is_path = isinstance(path, (str, os.PathLike)) and os.fspath(path) != ""
            if path is not None and not (is_path and is_passable(os.fspath(path))):
                raise InvalidValueError(f"A remote's {what} cannot be a path: {path!r}.")
        if key_file is not None and re.search(r"[%$\x00-\x1f]", os.fspath(key_file)):
            raise InvalidValueError(
                f"A remote's key_file must not contain '%', '$' or control characters, which "
                f"OpenSSH would expand: {os.fspath(key_file)!r}."
            )
        self.interpreter = checked_interpreter(interpreter, f"the remote {host}")
        self.directory = Path("/tmp" if directory is None else directory)
        if self.directory.parts[:1] and self.directory.parts[0].startswith("~"):
            raise InvalidValueError(
                f"A remote's directory is not expanded there: write an absolute path in place of "
                f"{os.fspath(self.directory)!r}."
            )
        try:
            self.options: dict[str, str] = dict({} if options is None else options)
        except (TypeError, ValueError):
            raise InvalidValueError(
                f"A remote's options have to be a dict, such as {{'ConnectTimeout': '5'}}, not "
                f"{options!r}."
            ) from None
        for name, value in self.options.items():
            is_option = isinstance(name, str) and _OPTION_NAME.fullmatch(name)
            is_value = isinstance(value, (str, int)) and not isinstance(value, bool)
            text = str(value)
            if not (is_option and is_value) or _CONTROL.search(text) or not is_passable(text):
                raise InvalidValueError(f"A remote's option cannot be {name!r}: {value!r}.")

    @property
    def port(self) -> int:
        """The port, 22 if none was given."""
        return 22 if self._port is None else self._port

    @port.setter
    def port(self, port: Optional[int]) -> None:
        if port is not None and not (
            isinstance(port, int) and not isinstance(port, bool) and 0 < port < 65536
        ):
            raise InvalidValueError(f"A remote's port is a number from 1 to 65535, not {port!r}.")
        self._port = port

    @property
    def user(self) -> str:
        """The user, the local one if none was given."""
        return get_current_username() if self._user is None else self._user

    @user.setter
    def user(self, user: Optional[str]) -> None:
        self._user = None if user is None else _checked_name("user", user)

    def __repr__(self) -> str:
        return f"Remote(host={self.host!r}, interpreter={self.interpreter!r})"


def _checked_name(what: str, name: str) -> str:
    is_text = isinstance(name, str) and name and is_passable(name)
    if not is_text or name.startswith("-") or _NOT_IN_NAMES.search(name):
        raise InvalidValueError(
            f"A remote's {what} must not begin with '-' or contain spaces, quotes or characters "
            f"that mean something to a shell: {name!r}."
        )
    return name


class SshBackend(abc.ABC):
    """Reaches a remote machine, with files and steps. Subclasses say how.

    With a `connection_command`, all goes over one connection. Without one it sees, for each call
    and in this order: `create_dir`; the archive and the session copied there; `execute_remote`;
    the session copied back; `delete_dir`. Where a call has files, one with their contents is copied
    along.
    """

    def connection_command(self, remote: Remote, executable: str) -> Optional[Sequence[str]]:
        """Returns a command that connects its standard streams with a Python there.

        Args:
            remote: The machine.
            executable: The Python.

        Returns:
            The command and its arguments, `None` if there is none, which is the default. It runs
            `EXECUTABLE -c PROGRAM` there, with a program that reads a line with a number from
            standard input and executes so many bytes that follow it; and it copies the standard
            streams unchanged.
        """
        return None

    def create_dir(self, remote: Remote, remote_path: Path) -> None:
        """Makes a folder for the files of a call. Does nothing by default.

        Args:
            remote: The machine.
            remote_path: The path there. It does not exist yet, and nobody can predict it.
        """

    @abc.abstractmethod
    def copy_file_to_remote(self, remote: Remote, local_path: Path, remote_path: Path) -> None:
        """Copies a file to the remote machine.

        Args:
            remote: The machine.
            local_path: The file here.
            remote_path: Where to copy it there.
        """

    @abc.abstractmethod
    def copy_file_from_remote(self, remote: Remote, remote_path: Path, local_path: Path) -> None:
        """Copies a file from the remote machine.

        Args:
            remote: The machine.
            remote_path: The file there.
            local_path: Where to copy it here.
        """

    @abc.abstractmethod
    def execute_remote(self, remote: Remote, executable: str, *arguments: str) -> None:
        """Runs a command on the remote machine and waits for its end.

        Args:
            remote: The machine.
            executable: What to run.
            *arguments: Its arguments.

        Raises:
            subprocess.CalledProcessError: If it fails.
        """

    def delete_dir(self, remote: Remote, remote_path: Path) -> None:
        """Removes the folder of a call and all that is in it. Does nothing by default.

        Args:
            remote: The machine.
            remote_path: The path there.
        """


def python_of(remote: Remote) -> str:
    """Returns the Python that answers on a remote; of an environment, the one that makes it."""
    interpreter = remote.interpreter
    if not isinstance(interpreter, Environment):
        return interpreter.executable
    python = interpreter.python or ""
    return python if "/" in python else "python3"


def command_of(backend: SshBackend, remote: Remote, executable: str) -> Optional[list[str]]:
    """Returns how a backend connects with a Python, `None` if by files, as on Windows."""
    connection_command = getattr(backend, "connection_command", None)
    if connection_command is None or os.name != "posix":
        return None
    command = connection_command(remote, executable)
    return list(command) if isinstance(command, (list, tuple)) else None
