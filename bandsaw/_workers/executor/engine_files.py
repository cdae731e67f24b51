"""Contents of files in an engine's worker: they arrive in pieces, and those returned are read.

    call ─► lacking ─► pieces in ROOT/file-TOKEN ─► hub: kept by digest     call again
    call ─► ROOT/back-CALL-files, which is read in pieces and removed

Each piece is a submission. Any worker of the machine may take it: nothing is remembered in between.

This file is sent as text and needs the standard library of Python only, see `engine_far`.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from typing import Any

if "." in __name__:
    # Else it was sent as text, and is there.
    from .engine_claims import this_machine
    from .engine_hub import NearHub, NearProcess

# So large are pieces of contents. What is returned and no larger comes with the result.
FILE_PIECE = 1 << 23
_FILE_READ = 1 << 18


_seen: dict[int, str] = {}


def files_seen() -> str:
    """Names the machine, user and file systems: where this is equal, paths mean the same files."""
    pid = os.getpid()
    if pid not in _seen:
        seen = [socket.gethostname(), str(getattr(os, "geteuid", int)())]
        for path in ("/", "/proc/self/ns/mnt"):
            with contextlib.suppress(OSError):
                status = os.stat(path)
                seen.append(f"{status.st_dev}:{status.st_ino}")
        _seen[pid] = " ".join([*seen, this_machine()])
    return _seen[pid]


def worker_name(engine: str) -> Any:
    """Returns by which name an engine finds this worker again, `None` if it has none."""
    try:
        if engine == "ray":
            return sys.modules["ray"].get_runtime_context().get_node_id()
        if engine == "dask":
            return sys.modules["distributed"].get_worker().address
    except Exception:
        pass  # the near end says that the files cannot go there
    return None


def prepared(hub: NearHub, root: str, request: Any, call: str, messages: Any) -> Any:
    """Returns messages that tell a call where its files are, or a list of what lacks here."""
    files = request["files"]
    news: dict[str, Any] = {"files_seen": request["files_seen"] == files_seen()}
    if not news["files_seen"]:
        news["files_back"] = _back(root, request, call)
        if files:
            folder, lacking = _looked(hub, files)
            for one in files:
                if one["key"] in lacking and one.get("at"):
                    _put(hub, one, one["at"])
                    lacking.remove(one["key"])
            if lacking:
                return ["lacking", socket.gethostname(), worker_name(request["engine"]), folder,
                        lacking]  # fmt: skip
            news["files_folder"] = folder
    elif not files:
        return messages
    state = {**json.loads(messages[0]), **news}
    return (json.dumps(state).encode("ascii"), *messages[1:])


def _back(root: str, request: Any, call: str) -> str:
    return os.path.join(request["files_back"] or root, "back-" + call)


def returned(root: str, request: Any, call: str) -> Any:
    """Says how files that a call returns are had: `None` if there are none.

    Else the name of the worker, and the path and size of a file with all of them; or the bytes.
    """
    if request["files_seen"] == files_seen():
        return None
    path = _back(root, request, call) + "-files"
    try:
        size = os.path.getsize(path)
    except OSError:
        return None
    name = worker_name(request["engine"])
    if request["files_back"] or (name is not None and size > FILE_PIECE):
        return name, path, size
    with open(path, "rb") as file:
        data = file.read()
    os.unlink(path)
    return data


def take_piece(root: str, piece: Any, data: bytes) -> None:
    """Takes a piece of contents. `piece`: a token for all of them, and where it begins."""
    token, offset = piece
    path = os.path.join(root, "file-" + token)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o600)
    with open(descriptor, "wb") as file:
        file.seek(offset)
        file.write(data)


def drop(root: str, name: str) -> None:
    """Removes contents whose rest does not come, or that are not fetched."""
    if name.startswith(("file-", "back-")):
        with contextlib.suppress(OSError):
            os.unlink(os.path.join(root, os.path.basename(name)))


def keep_file(hub: NearHub, root: str, token: str, one: Any) -> None:
    """Has contents that have come in pieces be kept."""
    path = os.path.join(root, "file-" + token)
    try:
        _put(hub, one, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(path)


def give_piece(root: str, path: str, offset: int) -> bytes:
    """Reads a piece of what a call has returned. With the last one it is removed."""
    if os.path.dirname(path) != root or not os.path.basename(path).startswith("back-"):
        raise ValueError(f"{path!r} was not returned by a call")
    with open(path, "rb") as file:
        file.seek(offset)
        data = file.read(FILE_PIECE)
        is_last = not file.read(1)
    if is_last:
        os.unlink(path)
    return data


@contextlib.contextmanager
def _asking(hub: NearHub) -> Any:
    """A stream of the hub for what is asked about files, see `_files.crossing`."""
    with hub.lock:
        stream = hub.new()
    try:
        yield stream
    finally:
        hub.drop(stream)


def _ask(hub: NearHub, stream: NearProcess, **request: Any) -> None:
    hub.send(b"F", stream.number, json.dumps(request).encode("ascii"))


def _answer(stream: NearProcess) -> Any:
    letter, body = stream.inbox.get()
    if letter == b"E":
        raise OSError(body.decode("utf-8", "replace"))
    return json.loads(body)


def _looked(hub: NearHub, files: Any) -> Any:
    with _asking(hub) as stream:
        _ask(hub, stream, look=[[one["key"], one["name"]] for one in files])
        answer = _answer(stream)
    return answer["folder"], answer["lacking"]


def _put(hub: NearHub, one: Any, path: str) -> None:
    with open(path, "rb") as file, _asking(hub) as stream:
        _ask(hub, stream, put=one["parts"])
        for piece in iter(lambda: file.read(_FILE_READ), b""):
            hub.send(b"W", stream.number, piece)
        _ask(hub, stream, end=one["key"], name=one["name"], digest=one["digest"])
        _answer(stream)
