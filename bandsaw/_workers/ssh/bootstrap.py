"""What runs first on a remote machine, with nothing there but a Python.

    ssh HOST 'exec PYTHON -u -c ...'   reads this file and executes it
        ◄─ MARK, {python, has, ...}    what is printed before the mark is none of ours
        ─► what the archive says       if it is not there, see `_archive.arriving`
        ◄─ {lacking}                   what of it is not there
        ─► these files
        ◄─ {}                          or {error}; then `hub` goes on from the archive

It is sent as text, after the modules on which it builds, and its `main` is called with a request of
plain data. It needs the standard library of Python only, of 3.6 or newer, to be able to say that a
version is too old. What is not needed each time is imported where it is.

    DIRECTORY/bandsaw-UID/archives/DIGEST/      an archive, kept for 30 days after its last use
    DIRECTORY/bandsaw-UID/archives/.xyz         in the making
    DIRECTORY/bandsaw-UID-xyz/archives/DIGEST/  where the former cannot be ours alone: for one run
"""

import json
import os
import select
import sys
import time

if "." in __name__:
    # Else it was sent as text, and they are there.
    from ..._archive.arriving import ArrivingArchive
    from ..._archive.keep import kept_root, tag, touch
    from ..._archive.unpack import is_whole

# For a type checker. To import it takes longer than most of what is done here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OLDEST = (3, 9)
_CHUNK = 1 << 20
# How long the near end may be stopped in the middle of a message, for example by its user.
STOPPED_SECONDS = 600.0


def read_exactly(descriptor: int, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        if not select.select([descriptor], [], [], STOPPED_SECONDS)[0]:
            raise EOFError("the near end stopped in the middle of a message")
        piece = os.read(descriptor, min(size - len(data), _CHUNK))
        if not piece:
            raise EOFError("the connection was closed")
        data += piece
    return bytes(data)


def write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def take_part(descriptor: int, arriving: "ArrivingArchive") -> None:
    """Reads a part of an archive: pieces after their sizes, and a size of 0."""
    while True:
        size = int.from_bytes(read_exactly(descriptor, 4), "big")
        if not size:
            return
        arriving.take(read_exactly(descriptor, size))


def answer(descriptor: int, content: "Any") -> None:
    write(descriptor, json.dumps(content).encode("ascii") + b"\n")


def missing(names: "Any") -> "Any":
    from importlib.util import find_spec

    lacking = []
    for name in names:
        try:
            if find_spec(name) is None:
                lacking.append(name)
        except (ImportError, ValueError, AttributeError):
            lacking.append(name)
    return lacking


def main(request: "Any") -> "Any":
    """Gets the archive ready. Returns the arguments of `hub.main`, `None` if it is not to go on."""
    reading, writing = os.dup(0), os.dup(1)
    # What is printed from here on is for standard error, and nothing can be read by accident.
    nowhere = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nowhere, 0)
    os.close(nowhere)
    os.dup2(2, 1)
    write(writing, request["mark"].encode("ascii"))
    directory = request["directory"]
    try:
        if "modules" in request:
            probed(reading, writing, request)
            return None
        content: Any = {"python": list(sys.version_info[:3])}
        if sys.version_info < OLDEST:
            answer(writing, content)
            return None
        root, is_temporary = kept_root(directory)
        folder = os.path.join(root, "archives", request["digest"])
        content["tag"] = tag()
        content["has"] = is_whole(folder)
        answer(writing, content)
        if content["has"]:
            touch(folder)
        else:
            arriving = ArrivingArchive(folder)
            try:
                take_part(reading, arriving)
                answer(writing, {"lacking": arriving.end_part().hex()})
                take_part(reading, arriving)
                arriving.end_part()
            finally:
                arriving.abandon()
        answer(writing, {})
    except EOFError:
        return None  # nobody is there any more
    except Exception as error:
        what = f"{type(error).__name__}: {error}"
        answer(writing, {"error": f"in its directory {directory}, {what}"})
        return None
    sys.argv[:] = [folder]
    sys.path.insert(0, folder)
    from bandsaw._archive import start

    start.prepare()
    return reading, writing, root, None if is_temporary else directory


def probed(reading: int, writing: int, request: "Any") -> None:
    """Says what this machine is like, and answers once more, for the time that this takes."""
    import shutil

    content: Any = {
        "python": list(sys.version_info[:3]),
        "executable": sys.executable,
        "missing": missing(request["modules"]),
        "time": time.time(),
    }
    try:
        root, is_temporary = kept_root(request["directory"])
        content["free"] = shutil.disk_usage(root).free
        if is_temporary:
            shutil.rmtree(root)
    except OSError as error:
        content["unusable"] = str(error)
    answer(writing, content)
    read_exactly(reading, 1)
    answer(writing, {})
