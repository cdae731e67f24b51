"""What runs in an engine's worker: it gets an archive ready, and has a hub run calls.

This file is sent as text, after the modules on which it builds, and is executed once in a process.
It needs the standard library of Python only: no module of bandsaw is imported in the worker, which
may have another version of it.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import sys
import tempfile
import threading
from collections import deque
from typing import Any

if "." in __name__:
    # Else it was sent as text, and they are there.
    from ..._archive.arriving import ArrivingArchive
    from ..._archive.keep import MANIFEST, kept_root, touch
    from ..._archive.unpack import is_whole
    from ..ssh.bootstrap import OLDEST, missing
    from .engine_claims import claim, is_forsaken
    from .engine_files import (
        drop,
        files_seen,
        give_piece,
        keep_file,
        prepared,
        returned,
        take_piece,
    )
    from .engine_following import Following
    from .engine_hub import NearHub
    from .engine_memory import Given, hand_over, moved_by


_MOST_KNOWN = 10000
_lock = threading.Lock()
_hubs: dict[Any, NearHub] = {}
_roots: dict[str, Any] = {}
# Of calls that are here, were here, or are never to begin, which of that: `begun`, `over`, `ended`.
# Who adds one first has said it.
_begun: dict[str, str] = vars(sys).setdefault("_bandsaw_begun", {})


def run(request: Any, call: Any, messages: Any, archive: Any, data: Any = None) -> Any:
    """Runs a call, or several in a row, or keeps an archive for calls that come later.

    `request`: plain data, see `ExecutorCarrier`. `call`: its name. `messages`: the body of STATE,
    by which name a process keeps calls like this one in mind, and the head of SESSION or AGAIN;
    `None` if nothing is to be run. `archive`: its two parts, see `arriving`; or a path to a file
    with both; or `None`, if it may be here. `data`: what comes after the head, or the path of a
    file with it. Where `call` is a list of names, messages and data are lists with those of each.

    Returns a tuple that begins with a word: `missing` if the archive is lacking, `lacking` if files
    are, `unseen` if a file of the caller cannot be opened, `whole` if there is no process here that
    knows calls like this one, `kept`, `ended` if the call was cancelled before, `lost` if the
    worker was in which it had begun, `unstarted` with a reason if no process could be started for
    it, `error` with another one, `calls` with the answers of several, `piece` with one of a file,
    or `events` with the host, what happened, how it ended, how many seconds that took, and how the
    files that it returns are had.
    """
    begun: dict[str, str] = {}
    try:
        return _run(request, call, messages, archive, data, begun)
    finally:
        are_over(request, begun)


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


def _run(request: Any, call: Any, messages: Any, archive: Any, data: Any, begun: Any) -> Any:
    host, is_one = socket.gethostname(), isinstance(call, str)
    answers: dict[str, Any] = {}
    try:
        if sys.version_info < OLDEST:
            version = ".".join(map(str, sys.version_info[:3]))
            told = f"it is Python {version}, and bandsaw needs Python 3.9 or newer"
            return "unstarted", host, told
        if not sys.executable:
            return "unstarted", host, "it does not say which Python it is (sys.executable is empty)"
        needed = request.get("python")
        if needed is not None:
            here = list(sys.version_info[:2])
            if here != needed or missing(["cloudpickle"]):
                hello = {"python": list(sys.version_info[:3]), "missing": missing(["cloudpickle"])}
                return "unfit", host, json.dumps(hello)
        if request["files_seen"] != files_seen():
            request = {**request, "beside": {}}
        directory = tempfile.gettempdir()
        with _lock:
            known = _roots.get(directory)
            # Somebody may have tidied up. It has to be ours again.
            if known is None or not os.path.isdir(os.path.join(known[0], "archives")):
                known = _roots[directory] = kept_root(directory)
        root, is_temporary = known
        folder = os.path.join(root, "archives", request["digest"])
        key = directory, request["hub"]
        hub = _hubs.get(key)
        if hub is None or not os.path.exists(os.path.join(folder, MANIFEST)):
            if not is_whole(folder):
                if archive is None:
                    return "missing", host
                _keep(folder, archive)
            touch(folder)
        piece = request.get("piece")
        if piece is not None:
            take_piece(root, piece, data)
        elif "drop" in request:
            drop(root, request["drop"])
        elif "give" in request:
            return "piece", host, give_piece(root, *request["give"])
        if messages is None and "keep" not in request:
            return "kept", host
        calls: deque[Any] = deque()
        if messages is not None:
            several = [(call, messages, data)] if is_one else zip(call, messages, data)
            calls.extend((name, (*head, last)) for name, head, last in several)
        while True:
            hub = _hub(key, folder, root, is_temporary)
            try:
                if messages is None:
                    keep_file(hub, root, *request["keep"])
                    return "kept", host
                _follow(hub, root, request, calls, begun, answers)
            except KeyboardInterrupt:
                # Ray cancels what runs so. What was sent last may have been sent in part.
                hub.end()
                raise
            finally:
                hub.release()
            if not calls:
                break
        if is_one:
            return answers[call]
        return "calls", host, [answers[name] for name in call]
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "submitit":
            raise  # Slurm ends the job
        word = "error" if begun or messages is None else "unstarted"
        said = word, host, f"{type(error).__name__}: {error}"
        if answers and not is_one:
            return "calls", host, [answers.get(name, said) for name in call]
        return said


def _hub(key: Any, folder: str, root: str, is_temporary: bool) -> NearHub:
    """Returns the hub of an archive, which has noted that a call begins."""
    with _lock:
        hub = _hubs.get(key)
        if hub is None or not hub.take():
            for other in [known for known, old in _hubs.items() if old.is_gone()]:
                del _hubs[other]
            hub = _hubs[key] = NearHub(folder, root, "" if is_temporary else key[0])
        return hub


def _follow(hub: NearHub, root: str, request: Any, calls: Any, begun: Any, answers: Any) -> None:
    """Runs calls until none is left, or the hub has ended, and notes what came of each."""
    host = socket.gethostname()
    for place, (name, messages) in enumerate(calls):
        calls[place] = name, prepared(hub, root, request, name, messages)
    name, messages = calls[0]
    if isinstance(messages[0], str) and messages[0] == "lacking":
        answers[name] = tuple(messages)
        calls.clear()
        return
    if isinstance(messages[-1], str) and not _is_seen(request, messages[-1]):
        answers[name] = "unseen", host
        calls.clear()
        return

    def answer(name: str, word: str, *what: Any) -> None:
        if not what:
            answers[name] = word, host
            if word == "whole":
                # The process to which it was sent has not taken it, and the next one knows none
                # like it: it begins when it is sent whole.
                take_back(request, name, begun)
            return
        events, end, seconds = what
        events = [(letter, _sendable(body, request, name)) for letter, body in events]
        answers[name] = word, host, events, end, seconds, returned(root, request, name)

    say = functools.partial(begins, request, hub.box, begun=begun)
    Following(hub, request, calls, say, answer).run()


def _is_seen(request: Any, path: str) -> bool:
    """Whether a path means here what it means to the caller, and can be opened."""
    return request["files_seen"] == files_seen() and os.access(path, os.R_OK)


def _sendable(body: Any, request: Any, call: str) -> Any:
    """Returns a body as it goes back: a large one uncopied where the engine takes buffers apart.

    The contents are `None` where the caller has been given the file.
    """
    if not isinstance(body, tuple) or not isinstance(body[1], Given):
        return body
    door = request["door"]
    if door and request["files_seen"] == files_seen():
        if hand_over(body[1].descriptor, door, call):
            return body[0], None
    return body[0], moved_by(request["engine"])(body[1].view())


def kill(call: str) -> None:
    """Ends a call that runs below this worker, if it does."""
    for hub in list(_hubs.values()):
        hub.kill(call)


def _keep(folder: str, archive: Any) -> None:
    if isinstance(archive, str):
        with open(archive, "rb") as file:
            size = int.from_bytes(file.read(8), "big")
            archive = file.read(size), file.read()
    arriving = ArrivingArchive(folder)
    try:
        arriving.take(archive[0])
        arriving.end_part()
        # All of it was sent, also what other archives here have.
        unpacking = arriving._unpacking
        for name in set(unpacking._members) - set(unpacking.lacking):
            os.unlink(unpacking._place(name))
        unpacking.lacking.update(unpacking._members)
        arriving.take(archive[1])
        arriving.end_part()
    except OSError as error:
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, folder) from error
    finally:
        arriving.abandon()


def _let_go_of_hubs() -> None:
    global _lock
    _lock = threading.Lock()
    hubs = list(_hubs.values())
    _hubs.clear()
    for hub in hubs:
        with contextlib.suppress(OSError):
            hub.let_go()


os.register_at_fork(after_in_child=_let_go_of_hubs)
