"""What runs first on a remote machine, with nothing there but a Python.

    ssh HOST 'exec PYTHON -u -c ...'   reads this file and executes it
        ◄─ MARK, {python, has, ...}    what is printed before the mark is none of ours
        ─► {files}, bytes              the archive, if it is not there
        ◄─ {}                          or {error}; then `hub` goes on from the archive

It is sent as text and executed, and its `main` is called with a request of plain data. It needs the
standard library of Python only, of 3.6 or newer, to be able to say that a version is too old. What
is not needed each time is imported where it is.

    DIRECTORY/bandsaw-UID/archives/DIGEST/      an archive, kept for 30 days after its last use
    DIRECTORY/bandsaw-UID/archives/.xyz         in the making
    DIRECTORY/bandsaw-UID-xyz/archives/DIGEST/  where the former cannot be ours alone: for one run
"""

import hashlib
import json
import os
import stat
import sys
import time

# For a type checker. To import it takes longer than most of what is done here.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

OLDEST = (3, 9)
MANIFEST = "bandsaw-archive.json"
# Byte code is valid for the time of its source: the earliest one that a zip can hold.
TIME = 315532800
KEPT_SECONDS = 30 * 86400
UNFINISHED_SECONDS = 86400
_CHUNK = 1 << 20


def kept_root(directory: str) -> "Any":
    """Makes the folder for what is kept, for its owner only.

    Returns its path, and whether it is for this run only.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    root = os.path.join(os.path.abspath(directory), f"bandsaw-{os.geteuid()}")
    try:
        for folder in root, os.path.join(root, "archives"):
            if not os.path.lexists(folder):
                try:
                    os.mkdir(folder, 0o700)
                except FileExistsError:
                    pass  # somebody else was faster
            status = os.lstat(folder)
            is_folder = stat.S_ISDIR(status.st_mode)
            if not is_folder or status.st_uid != os.geteuid() or status.st_mode & 0o077:
                raise OSError(f"{folder} is not ours alone")
        if not os.access(os.path.join(root, "archives"), os.W_OK):
            raise OSError(f"{root} cannot be written")
        return root, False
    except OSError:
        import tempfile

        # Somebody has taken the name, which can be predicted.
        root = tempfile.mkdtemp(prefix=os.path.basename(root) + "-", dir=directory)
        os.mkdir(os.path.join(root, "archives"), 0o700)
        return root, True


def checked_manifest(data: bytes, digest: str) -> "Any":
    """Reads what an archive says of itself; an error if that is not what the digest stands for."""
    manifest = json.loads(data.decode())
    said = manifest.pop("digest")
    text = json.dumps(manifest, sort_keys=True, separators=(",", ":")) + "\n"
    if not hashlib.sha256(text.encode()).hexdigest()[: len(said)] == said == digest:
        raise ValueError("it is another archive")
    return manifest


def is_whole(folder: str) -> bool:
    """Says whether a folder holds the archive by whose digest it is named, undamaged."""
    try:
        with open(os.path.join(folder, MANIFEST), "rb") as file:
            manifest = checked_manifest(file.read(), os.path.basename(folder))
        for name, member in manifest["members"].items():
            status = os.lstat(os.path.join(folder, *name.split("/")))
            if (status.st_size, int(status.st_mtime)) != (member["size"], TIME):
                return False
    except (OSError, ValueError, KeyError, AttributeError, TypeError):
        return False
    return True


def put(folder: str, files: "Any", data: bytes) -> None:
    """Unpacks an archive where others see it whole or not at all.

    Takes the names and sizes of the files, and their compressed bytes.
    """
    import zlib

    base, digest = os.path.split(folder)
    content, position = {}, 0
    joined = zlib.decompress(data)
    for name, size in files:
        content[name] = joined[position : position + size]
        position += size
    for name, member in checked_manifest(content[MANIFEST], digest)["members"].items():
        if not hashlib.sha256(content[name]).hexdigest().startswith(member["digest"]):
            raise ValueError(f"{name} of the archive did not arrive whole")
    temporary = os.path.join(base, f".{digest[:8]}-{os.urandom(8).hex()}")
    os.mkdir(temporary, 0o700)
    try:
        made = {temporary}
        for name, piece in content.items():
            path = os.path.join(temporary, *name.split("/"))
            above = os.path.dirname(path)
            if above not in made:
                os.makedirs(above, mode=0o700, exist_ok=True)
                made.add(above)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                write(descriptor, piece)
            finally:
                os.close(descriptor)
            os.utime(path, (TIME, TIME))
        for _ in range(3):
            try:
                os.rename(temporary, folder)
                return
            except OSError:
                if is_whole(folder):
                    break  # another one was faster
                remove(folder)
        else:
            raise OSError(f"the archive cannot be put at {folder}")
    except BaseException:
        remove(temporary)
        raise
    remove(temporary)


def remove(path: str) -> None:
    """Removes a file or a folder, if it can be removed."""
    import shutil

    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path, ignore_errors=True)
    elif os.path.lexists(path):
        os.unlink(path)


def sweep(root: str, directory: str) -> None:
    """Removes what nobody has used for a long time, and what was left unfinished."""
    import re

    now = time.time()
    own = re.compile(rf"bandsaw-({os.geteuid()}-\w+|[0-9a-f]{{32}})")
    places = (
        (os.path.join(root, "archives"), re.compile(r"[0-9a-f]{32}"), KEPT_SECONDS),
        (os.path.join(root, "archives"), re.compile(r"\.[0-9a-f]{8}-\w+"), UNFINISHED_SECONDS),
        (directory, own, KEPT_SECONDS),
    )
    for folder, pattern, seconds in places:
        try:
            names = os.listdir(folder)
        except OSError:
            continue  # it may be entered, but not listed
        for name in names:
            path = os.path.join(folder, name)
            try:
                status = os.lstat(path) if pattern.fullmatch(name) else None
                if status and status.st_uid == os.geteuid() and status.st_mtime < now - seconds:
                    remove(path)
            except OSError:
                continue  # another one was faster


def read_exactly(descriptor: int, size: int) -> bytes:
    """Reads so many bytes."""
    data = bytearray()
    while len(data) < size:
        piece = os.read(descriptor, min(size - len(data), _CHUNK))
        if not piece:
            raise EOFError("the connection was closed")
        data += piece
    return bytes(data)


def write(descriptor: int, data: bytes) -> None:
    """Writes all of it."""
    while data:
        data = data[os.write(descriptor, data) :]


def answer(descriptor: int, content: "Any") -> None:
    """Writes a line of plain data."""
    write(descriptor, json.dumps(content).encode("ascii") + b"\n")


def missing(names: "Any") -> "Any":
    """Returns those of the modules that are not installed."""
    from importlib.util import find_spec

    lacking = []
    for name in names:
        try:
            if find_spec(name) is None:
                lacking.append(name)
        except (ImportError, ValueError, AttributeError):
            lacking.append(name)
    return lacking


def tag() -> str:
    """Says which byte code this Python reads."""
    magic = vars(sys.modules["_frozen_importlib_external"])["MAGIC_NUMBER"]
    return f"{sys.implementation.cache_tag} {magic.hex()}"


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
            os.utime(folder)
        else:
            size = int.from_bytes(read_exactly(reading, 8), "big")
            head = json.loads(read_exactly(reading, size).decode("ascii"))
            put(folder, head["files"], read_exactly(reading, head["size"]))
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
