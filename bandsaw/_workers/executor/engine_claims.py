"""Whether a call has begun in an executor's worker, or never will: who is first says it.

near: take ─► begun-CALL -> "ended"          far: begins ─► begun-CALL -> "begun"

It is a symbolic link, which is made with what it says in one step, on shared file systems too. Also
which process is which on a machine, and what workers that were killed have left on it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import sys
import tempfile
import time
from typing import Any, Callable

from ..._archive.keep import kept_root

# What has begun can be ended a moment later, which is long where its worker gets no processor.
_SECONDS_TO_BEGIN = 30.0
# What was said of a call is not removed by who said it if that was killed.
_CLAIM_SECONDS = 7 * 86400.0
# Contents that are on their way grow, or are fetched at once.
_FILE_SECONDS = 86400.0
# A caller that says nothing for so long was killed.
_SILENT_SECONDS = 3600.0
# A call that has just begun has no reader of its file yet.
_CALL_SECONDS = 60.0


def sweep_boxes(root: str) -> None:
    """Removes what was left of calls by workers and callers that were killed."""
    for name in os.listdir(root):
        path = os.path.join(root, name)
        if name.startswith("begun-"):
            with contextlib.suppress(FileNotFoundError):
                is_old = time.time() - os.lstat(path).st_mtime > _CLAIM_SECONDS
                if is_old or _is_orphan(os.readlink(path)):
                    os.unlink(path)
        elif name.startswith(("file-", "back-")):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - os.lstat(path).st_mtime > _FILE_SECONDS:
                    os.unlink(path)
        elif name.startswith("call-"):
            try:
                if time.time() - os.lstat(path).st_mtime > _CALL_SECONDS:
                    os.close(os.open(path, os.O_WRONLY | os.O_NONBLOCK))
            except FileNotFoundError:
                pass
            except OSError:  # nobody reads it
                unlink(path)


def claim(word: str, caller: Any, box: str = "-") -> str:
    """Says of a call that it has begun, or is not to. `box`: see `new_box`.

    File systems keep a link of less than 60 characters without a block of its own, which takes a
    fraction of the time.
    """
    return f"{word} {box} {json.dumps(caller, separators=(',', ':'))}"


def new_box(root: str) -> tuple[str, int]:
    """Makes a file that takes names of calls that are to be ended. Returns its name, and opens it.

    Its name is short, see `claim`, and no other file of the folder has it.
    """
    while True:
        box = os.urandom(3).hex()
        path = os.path.join(root, "call-" + box)
        try:
            os.mkfifo(path, 0o600)
        except FileExistsError:
            continue
        # Who has both ends is not told of closed ones.
        return box, os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def tell(root: str, call: str) -> bool:
    """Has a call ended that runs below a worker; returns whether it was found."""
    try:
        box = os.readlink(os.path.join(root, "begun-" + call)).split()[1]
        descriptor = os.open(os.path.join(root, "call-" + box), os.O_WRONLY | os.O_NONBLOCK)
    except OSError:
        return False
    try:
        os.write(descriptor, call.encode("ascii") + b"\n")
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


_this: dict[int, str] = {}


def this_machine() -> str:
    """Names what a number of a process is of: the machine since it was started, and a namespace."""
    pid = os.getpid()
    if pid not in _this:
        try:
            with open("/proc/sys/kernel/random/boot_id") as file:
                _this[pid] = f"{file.read(8)}-{os.stat('/proc/self/ns/pid').st_ino:x}"
        except OSError:
            _this[pid] = ""
    return _this[pid]


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


def started(pid: int) -> tuple[str, int, str]:
    """Tells a process from all that were or will be."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return this_machine(), pid, file.read().rpartition(b")")[2].split()[19].decode()
    except OSError:
        return this_machine(), pid, ""


def is_forsaken(claim: str, caller: Any) -> bool:
    """Whether nobody waits any more for a call that has waited in a queue, and claims to begin.

    On the caller's machine it is seen. Elsewhere the caller says beside the claim that it lives;
    both times are those of the file system.
    """
    if caller[0] and caller[0] == this_machine():
        return started(caller[1]) != tuple(caller)
    try:
        alive = os.stat(os.path.join(os.path.dirname(claim), "alive")).st_mtime
        return os.lstat(claim).st_mtime - alive > _SILENT_SECONDS
    except OSError:
        return False


def _is_orphan(claim: str) -> bool:
    """Whether a claim is of a caller on this machine that has ended."""
    try:
        caller = tuple(json.loads(claim.split(" ", 2)[-1]))
    except ValueError:
        return False
    return bool(caller[0]) and caller[0] == this_machine() and started(caller[1]) != caller


def unlink(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)


@functools.lru_cache(1)
def caller(pid: int) -> tuple[str, int, str]:
    """Says which process this is, see `started`. `pid`: that of this process."""
    return started(pid)


class Claims:
    """A folder of claims. `folder`: returns its path."""

    def __init__(self, folder: Callable[[], str]) -> None:
        self._folder = folder

    @property
    def path(self) -> str:
        return self._folder()

    def take(self, call: str) -> bool:
        """Has a call never begin where the folder is seen; returns whether it had not."""
        path = self._of(call)
        try:
            os.symlink(claim("ended", caller(os.getpid())), path)
        except FileExistsError:
            # Its worker may be removing it, which it does when the call has ended.
            with contextlib.suppress(OSError):
                return os.readlink(path).startswith("ended")
            return False
        except OSError:
            return False
        return True

    def forget(self, call: str) -> None:
        with contextlib.suppress(OSError):
            os.unlink(self._of(call))

    def end(self, call: str, seconds: float = _SECONDS_TO_BEGIN) -> bool:
        """Has a call that has begun ended; returns whether its worker was told to."""
        end = time.monotonic() + seconds
        while not tell(self.path, call):
            if not os.path.lexists(self._of(call)) or time.monotonic() > end:
                return False
            time.sleep(0.01)
        return True

    def _of(self, call: str) -> str:
        return os.path.join(self.path, "begun-" + call)


# Of this machine and user.
HERE = Claims(functools.lru_cache(1)(lambda: kept_root(tempfile.gettempdir())[0]))


_MOST_KNOWN = 10000
# Of calls that are here, were here, or are never to begin, which of that: `begun`, `over`, `ended`.
# Who adds one first has said it.
_begun: dict[str, str] = vars(sys).setdefault("_bandsaw_begun", {})


def are_over(request: Any, begun: dict[str, str]) -> None:
    """Says that calls have ended."""
    for name in begun:
        _begun[name] = "over"
        # Where the near end sees the claim it removes it when it knows how the call ended.
        if request["files_seen"] != files_seen():
            _unclaim(request, name)


def take_back(request: Any, call: str, begun: dict[str, str]) -> None:
    """Says that a call has not begun after all: it is submitted once more."""
    if begun.pop(call, None) is not None:
        _begun.pop(call, None)
        _unclaim(request, call)


def _unclaim(request: Any, call: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(os.path.join(request["claims"], "begun-" + call))


def _forget_some() -> None:
    """Bounds what is known of calls that are over, or were cancelled elsewhere."""
    if len(_begun) > 2 * _MOST_KNOWN:
        for call in list(_begun)[:-_MOST_KNOWN]:
            if _begun.get(call) != "begun":
                _begun.pop(call, None)


def begins(request: Any, box: str, call: str, begun: dict[str, str]) -> str:
    """Says that a call begins, unless another word was said of it, which is returned."""
    path = os.path.join(request["claims"], "begun-" + call)
    # By whom, so that it is known when nobody needs it any more.
    said = claim("begun", request["caller"], box)
    if call in begun:
        # It was not taken by the process to which it was sent.
        if begun[call] != box:
            begun[call] = box
            _say_anew(path, said)
        return "begun"
    begun[call] = box
    _forget_some()
    known = _begun.setdefault(call, "begun")
    if known == "over":
        # The engine has lost what came of it.
        if not request["repeats"]:
            return "lost"
        _begun[call] = "begun"
    elif known != "begun":
        return "ended"
    try:
        os.symlink(said, path)
        if request["engine"] == "slurm" and is_forsaken(path, request["caller"]):
            return "ended"
    except FileExistsError:
        try:
            if not os.readlink(path).startswith("begun"):
                return "ended"
        except OSError:
            return "ended"  # the caller has just forgotten it
        # It began in a worker that was lost, and the engine has it run again.
        if not request["repeats"]:
            return "lost"
        _say_anew(path, said)
    except OSError:
        # The folder that all machines share goes with the executor.
        if request["engine"] == "slurm" and not os.path.isdir(request["claims"]):
            return "ended"
    return "begun"


def _say_anew(path: str, said: str) -> None:
    with contextlib.suppress(OSError):  # the folder is not of this machine
        os.symlink(said, path + "-new")
        os.replace(path + "-new", path)
