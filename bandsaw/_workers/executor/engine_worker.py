"""Calls in an engine's worker: each is claimed, gets its files, and runs in a process below it.

engine_far ─► run ─► Following ─► Processes ─► fork server ─► process of a call

It is imported from an archive, under another name than bandsaw, see `engine_far`.
"""

from __future__ import annotations

import functools
import os
import socket
import threading
from collections import deque
from typing import Any

from ..._system import ending
from ..._system.processes import in_forked_processes
from .engine_claims import are_over, begins, files_seen, take_back
from .engine_files import drop, give_piece, keep_file, prepared, returned, take_piece
from .engine_following import Following
from .engine_memory import Given, hand_over, moved_by
from .engine_processes import Processes

_lock = threading.Lock()
# By where temporary files go and what the calls have in common.
_processes: dict[Any, Processes] = {}


def run(request: Any, place: Any, call: Any, messages: Any, data: Any) -> Any:
    """Does what `engine_far.run` is asked for, with an archive that is there.

    `place`: its folder, the one for what is kept, and where temporary files go: nothing if what is
    kept there is for now.
    """
    begun: dict[str, str] = {}
    answers: dict[str, Any] = {}
    is_one, host = isinstance(call, str), socket.gethostname()
    try:
        return _run(request, place, call, messages, data, begun, answers)
    except Exception as error:
        if type(error).__module__.partition(".")[0] == "submitit":
            raise  # Slurm ends the job
        word = "error" if begun or messages is None else "unstarted"
        said = word, host, f"{type(error).__name__}: {error}"
        if answers and not is_one:
            return "calls", host, [answers.get(name, said) for name in call]
        return said
    finally:
        are_over(request, begun)


def _run(
    request: Any,
    place: Any,
    call: Any,
    messages: Any,
    data: Any,
    begun: dict[str, str],
    answers: dict[str, Any],
) -> Any:
    host, is_one = socket.gethostname(), isinstance(call, str)
    _, root, directory = place
    if request["files_seen"] != files_seen():
        request = {**request, "beside": {}}
    if "piece" in request:
        take_piece(root, request["piece"], data)
    elif "drop" in request:
        drop(root, request["drop"])
    elif "give" in request:
        return "piece", host, give_piece(root, *request["give"])
    if messages is None:
        if "keep" in request:
            keep_file(root, *request["keep"])
        return "kept", host
    several = [(call, messages, data)] if is_one else zip(call, messages, data)
    calls = deque((name, (*head, last)) for name, head, last in several)
    processes = _taken((directory, request["common"]), place, request)
    try:
        _follow(processes, root, request, calls, begun, answers)
    finally:
        processes.release()
    if is_one:
        return answers[call]
    return "calls", host, [answers[name] for name in call]


def _taken(key: Any, place: Any, request: Any) -> Processes:
    """Returns the processes of such calls, which have noted that one begins."""
    with _lock:
        processes = _processes.get(key)
        if processes is None or not processes.take():
            for other in [known for known, old in _processes.items() if old.is_closed]:
                del _processes[other]
            processes = _processes[key] = Processes(place, request)
        return processes


def _follow(
    processes: Processes, root: str, request: Any, calls: Any, begun: Any, answers: Any
) -> None:
    """Runs calls until none is left, and notes what came of each."""
    host = socket.gethostname()
    for place, (name, messages) in enumerate(calls):
        calls[place] = name, prepared(root, request, name, messages)
    name, messages = calls[0]
    if isinstance(messages[0], str) and messages[0] == "lacking":
        answers[name] = tuple(messages)
        return
    if isinstance(messages[-1], str) and not _is_seen(request, messages[-1]):
        answers[name] = "unseen", host
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

    say = functools.partial(begins, request, processes.box, begun=begun)
    Following(processes, request, calls, say, answer).run()


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
    for processes in list(_processes.values()):
        processes.kill(call)


@ending.at_exit
def _close_all() -> None:
    for processes in list(_processes.values()):
        processes.close()


@in_forked_processes
def _let_go() -> None:
    global _lock
    _lock = threading.Lock()
    # They are the parent's.
    for processes in _processes.values():
        processes.let_go()
    _processes.clear()
