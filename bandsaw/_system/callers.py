"""What a process works on: its sessions, for which tasks, and which entries of a cache wait for it.

To load the code of a task must not call it without end, and a call must not wait for itself.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import threading
import types
import weakref
from collections.abc import Iterable, Iterator
from contextvars import ContextVar
from typing import Any, Optional

from .. import modules
from ..errors import UnguardedCallError
from .processes import in_forked_processes

# What the nonces of this process begin with. To count costs less than to make each at random.
_random = ""
_counted = itertools.count()
# The cache entries that calls of this process compute, each with the thread and the session, and
# those that this process was started for: to wait for one of them may be to wait for oneself.
_held: list[tuple[int, Any, str]] = []
_inherited: frozenset[str] = frozenset()
# Whether this process, or one that it works for, is one of a limited number, or what runs now has
# a place in an executor: another call may wait for its end.
has_place = False
is_in_worker: ContextVar[bool] = ContextVar("bandsaw_in_worker", default=False)
# In a far end, the tasks that its task was called for, itself included.
_callers: tuple[str, ...] = ()
# While a far end loads code: the threads that there were before.
_before: Optional[set[threading.Thread]] = None
# The threads that were started while code was loaded, and may outlive that.
_born: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def note(callers: Iterable[str]) -> bool:
    """Notes who sent the first session of a far end; returns whether that was this one."""
    global _callers
    if not modules.is_far_end or _callers:
        return False
    _callers = tuple(callers)
    return True


def forget() -> None:
    """Has the next session that a far end is given count as its first one."""
    global _callers
    _callers = ()


def known() -> tuple[str, ...]:
    return _callers


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Has a far end know that code is loaded meanwhile, and which threads that starts."""
    global _before
    if not modules.is_far_end or _before is not None:
        yield
        return
    _before = set(threading.enumerate())
    try:
        yield
    finally:
        before, _before = _before, None
        _born.update(thread for thread in threading.enumerate() if thread not in before)


def holds_place() -> bool:
    """Says whether another call may wait for the end of the one that asks."""
    return has_place or is_in_worker.get()


def callers_of(task_name: str) -> list[str]:
    """Returns the tasks that a call is made for: itself, and those whose code is being loaded."""
    loaded = _loaded_module() if modules.is_far_end else None
    if loaded is None:
        return [task_name]
    is_preloaded = not _callers and _before is not None
    if task_name in _callers or is_preloaded:
        whose = "its tasks" if is_preloaded else "that task"
        raise UnguardedCallError(
            f"The task {task_name} is called while {loaded} is loaded in the process of {whose}, "
            "which would go on for ever. Put what calls tasks at the top level of a script or "
            "module below: if __name__ == '__main__':"
        )
    return [*_callers, task_name]


def _loaded_module() -> Optional[str]:
    """Names the module for whose sake this thread runs: it loads it, or was started by that."""
    frame: Optional[types.FrameType] = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__")
        if frame.f_code.co_name == "<module>":
            if "IS_FAR_END" in frame.f_globals:
                break  # what runs it is a debugger
            if name != "__main__":
                return str(name)
        frame = frame.f_back
    thread, before = threading.current_thread(), _before
    if thread in _born or (before is not None and thread not in before):
        return "its code"
    return None


def new_nonce() -> str:
    """Returns 32 hexadecimal digits that no other session has, of whatever process."""
    return f"{_random or _begin()}{next(_counted) & 0xFFFFFFFF:08x}"


def is_of_this_process(nonce: str) -> bool:
    return bool(_random) and nonce.startswith(_random)


def _begin() -> str:
    global _random
    _random = os.urandom(12).hex()
    return _random


@in_forked_processes
def _begin_anew() -> None:
    global _random
    _random = ""


def hold(path: str, session: Any) -> None:
    """Notes that a call computes the entry at an absolute path."""
    _held.append((threading.get_ident(), session, path))


def release(path: str, session: Any) -> None:
    _held.remove((threading.get_ident(), session, path))


def held(session: Any) -> list[str]:
    """Lists the entries that wait for a call: those that its thread, process or itself computes."""
    if not _held:
        return [*_inherited]
    thread = threading.get_ident()
    found = [
        path
        for where, other, path in list(_held)
        # A call may have gone on in another thread, also by being saved and restored.
        if where == thread or other is session or other.nonce == session.nonce
    ]
    return [*_inherited, *found]


def inherit(paths: Iterable[str]) -> None:
    """Notes which entries, as `held` listed them, the process computes that this one works for."""
    global _inherited
    _inherited = frozenset(paths)
