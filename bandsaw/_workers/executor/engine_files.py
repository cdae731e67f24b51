"""Contents of files in an engine's worker: they arrive in pieces, and those returned are read.

    call ─► lacking ─► pieces in ROOT/file-TOKEN ─► kept by digest          call again
    call ─► ROOT/back-CALL-files, which is read in pieces and removed

Each piece is a submission. Any worker of the machine may take it: nothing is remembered in between.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
from pathlib import Path
from typing import Any

from ..._files import kept
from ..._system.home import HOME_ENV_VARIABLE, kept_folder
from ..._system.trees import TreePart
from .engine_claims import files_seen

# So large are pieces of contents. What is returned and no larger comes with the result.
FILE_PIECE = 1 << 23
_FILE_READ = 1 << 18


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


def prepared(root: str, request: Any, call: str, messages: Any) -> Any:
    """Returns messages that tell a call where its files are, or a list of what lacks here."""
    files = request["files"]
    news: dict[str, Any] = {"files_seen": request["files_seen"] == files_seen()}
    if not news["files_seen"]:
        news["files_back"] = _back(root, request, call)
        if files:
            folder, lacking = _looked(root, files)
            for one in files:
                if one["key"] in lacking and one.get("at"):
                    _put(root, one, one["at"])
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


def keep_file(root: str, token: str, one: Any) -> None:
    """Has contents that have come in pieces be kept."""
    path = os.path.join(root, "file-" + token)
    try:
        _put(root, one, path)
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


def _looked(root: str, files: Any) -> tuple[str, list[str]]:
    base = _base(root)
    return base, [one["key"] for one in files if not kept.is_there(base, one["key"], one["name"])]


def _put(root: str, one: Any, path: str) -> None:
    base = _base(root)
    arriving = kept.arriving(base, [TreePart(*part) for part in one["parts"]])
    try:
        with open(path, "rb") as file:
            for piece in iter(lambda: file.read(_FILE_READ), b""):
                arriving.take(piece)
        kept.arrived(base, arriving, one["key"], one["name"], one["digest"])
    except BaseException:
        arriving.abandon()
        raise


def _base(root: str) -> str:
    """Makes the folder where the processes below this worker look for contents."""
    return str(kept_folder(kept.KIND, Path(os.environ.get(HOME_ENV_VARIABLE) or root)))
