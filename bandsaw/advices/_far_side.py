"""What runs on a remote machine to make, send, fetch and remove files, and to run a command.

This file is sent as text to the remote's Python, which executes it with `mark` (bytes that begin
its answer) and `request` (plain data) given. It needs nothing but the standard library of any
supported Python, and no module of bandsaw.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import Any, Callable


def make(path: str) -> None:
    """Makes a folder for its owner only, and those above it where they are missing."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    os.mkdir(path, 0o700)
    answer({})


def put(path: str, size: int) -> None:
    """Writes what follows on standard input to a new file."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        while size:
            data = sys.stdin.buffer.read(min(size, 1 << 20))
            if not data:
                raise EOFError("the connection was closed while a file was sent")
            file.write(data)
            size -= len(data)
    answer({})


def get(path: str) -> None:
    """Writes a file to standard output, after its size."""
    with open(path, "rb") as file:
        answer({"size": os.fstat(file.fileno()).st_size})
        shutil.copyfileobj(file, sys.stdout.buffer, 1 << 20)


def remove(path: str) -> None:
    if os.path.lexists(path):
        shutil.rmtree(path)
    answer({})


def run(command: Any, environment: dict[str, str], folder: Any) -> int:
    """Runs a command; once the connection is closed, ends it and removes the folder."""
    process = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        start_new_session=True,
    )

    def end() -> None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except OSError:
            pass  # nothing is left; macOS says of zombies that they are not ours

    def watch() -> None:
        while os.read(0, 4096):
            pass
        end()
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    status = process.wait()
    end()
    return status if status >= 0 else 128 - status


def answer(parts: dict[str, Any]) -> None:
    sys.stdout.buffer.write(json.dumps(parts).encode() + b"\n")
    sys.stdout.buffer.flush()


def main(mark: bytes, request: dict[str, Any]) -> None:
    operations: dict[str, Callable[..., Any]] = {
        "make": make,
        "put": put,
        "get": get,
        "remove": remove,
        "run": run,
    }
    sys.stdout.buffer.write(mark)
    sys.stdout.buffer.flush()
    status = 1
    try:
        status = operations[request.pop("operation")](**request) or 0
    except Exception as error:
        if "command" in request:
            sys.stderr.write(f"{error}\n")
            status = 127
        else:
            answer({"error": f"{type(error).__name__}: {error}"})
    sys.stdout.flush()
    sys.stderr.flush()
    # The thread that waits for the end of the connection must not keep the process.
    os._exit(status)


if "mark" in globals():
    main(globals()["mark"], globals()["request"])
