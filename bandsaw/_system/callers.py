"""For which tasks a process works: loading their code must not call them without end."""

from __future__ import annotations

import contextlib
import sys
import threading
import types
import weakref
from collections.abc import Iterable, Iterator
from typing import Optional

from .. import modules
from ..errors import UnguardedCallError

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
        if frame.f_code.co_name == "<module>" and name != "__main__":
            return str(name)
        frame = frame.f_back
    thread, before = threading.current_thread(), _before
    if thread in _born or (before is not None and thread not in before):
        return "its code"
    return None
