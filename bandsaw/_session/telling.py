"""What extensions are told of a call: its walk, and facts of it.

Facts are plain data that is noted on its way, and comes back with it from other processes.
"""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Mapping
from typing import Any, Callable, Optional

from .._system.processes import in_forked_processes
from ..errors import InvalidValueError
from ..result import Result

# Whether an extension of this process wants to know what a call costs and where it ran.
wanted = False
# Called with the task and the record of each call that is submitted; when it never begins, again
# with the error, and with what has its arguments as `execution` in the record.
Listener = Callable[[Any, dict[str, Any], Optional[BaseException]], None]
# With the configurations whose tasks each listener is told of.
listeners: dict[Listener, list[Any]] = {}
_numbers = itertools.count(1)
# Tells this process from others, too: numbers of processes are given again, and on each machine.
_process = ""


def want(listener: Optional[Listener] = None, configuration: Any = None) -> None:
    """Has facts be noted from now on, and a listener be told of the tasks of a configuration."""
    global wanted
    wanted = True
    if listener is not None:
        listeners.setdefault(listener, []).append(configuration)


def new_key() -> str:
    """Returns what tells a call from the others of its run."""
    global _process
    if not _process:
        _process = f"{os.getpid()}-{os.urandom(4).hex()}"
    return f"{_process}-{next(_numbers)}"


@in_forked_processes
def _be_another() -> None:
    global _process
    _process = ""


def submitted(task: Any) -> Optional[dict[str, Any]]:
    """Returns the record of a call that is submitted now, `None` if nobody wants one."""
    if not wanted:
        return None
    record = {"key": new_key(), "submitted": time.time()}
    tell(task, record, None)
    return record


def tell(task: Any, record: dict[str, Any], error: Optional[BaseException]) -> None:
    """Tells all who listen. What goes wrong with them fails no call."""
    configuration = getattr(task, "_configuration", None)
    for listener, configurations in list(listeners.items()):
        try:
            if any(configuration is one for one in configurations):
                listener(task, record, error)
        except Exception:
            # Not at the top: some processes of tasks need it for nothing else.
            import logging

            logging.getLogger(__name__).exception("A call of task %s cannot be told", task)


def checked(facts: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns facts if all of them are plain data."""
    for name, value in facts.items():
        try:
            json.dumps(value)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidValueError(
                f"The fact {name!r} of a call has to be plain data, such as texts and numbers, and "
                f"is a {type(value).__name__}: {error}"
            ) from error
    return facts


def sent(message: Any, host: str, place: str) -> dict[str, Any]:
    """Says what a message costs that moves a call elsewhere, and where it goes."""
    size = sum(map(len, message[1]))
    if message[2] is not None:
        size += os.fstat(message[2]).st_size
    return {"host": host, "place": place, "sent": size}


def received(frame: Any) -> dict[str, Any]:
    """Says what a message costs that brings a call back."""
    size = len(frame.body) + (0 if frame.data is None else len(frame.data))
    if frame.descriptor is not None:
        size += os.fstat(frame.descriptor.fileno()).st_size
    return {"received": size}


def note(session: Any, **facts: Any) -> None:
    """Notes facts of a call, if an extension wants to know them."""
    if wanted:
        session.note(**facts)


class Measured:
    """What a call uses in its process, as facts."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.time(), time.process_time()

    def facts(self) -> dict[str, Any]:
        """Returns processor seconds, the peak of memory in bytes, and when the call began there."""
        found: dict[str, Any] = {
            "pid": os.getpid(),
            "far_begun": self._wall,
            "far_ended": time.time(),
            "cpu_seconds": time.process_time() - self._cpu,
        }
        try:
            import resource
        except ImportError:
            return found  # on Windows
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found["peak_memory"] = peak * (1 if os.uname().sysname == "Darwin" else 1024)
        return found


def walk(session: Any, configuration: Any) -> Result:
    """Walks the chain of a session, and tells the extensions before and after."""
    extensions = configuration.extensions
    for extension in extensions:
        extension.on_before_advice(session.task, session.execution, session.context)
    begun = []
    error = None
    try:
        for extension in extensions:
            # An extension of the user's own may be older than this method.
            if hasattr(extension, "on_call_begun"):
                begun.append(extension)
                extension.on_call_begun(session)
        result: Result = session._walked(configuration)
        for extension in extensions:
            extension.on_after_advice(session.task, session.execution, session.context, result)
        return result
    except BaseException as raised:
        error = raised
        raise
    finally:
        for extension in begun:
            if hasattr(extension, "on_call_ended"):
                extension.on_call_ended(session, error)
        error = None


def proceed(session: Any) -> None:
    """Goes on with a session that came from another process, and tells the extensions."""
    resumed = []
    nonce = getattr(session, "nonce", None)
    try:
        # Who takes the steps by hand may have a session of another kind.
        for extension in getattr(getattr(session, "configuration", None), "extensions", ()):
            if hasattr(extension, "on_call_resumed"):
                resumed.append(extension)
                extension.on_call_resumed(session)
        session.proceed()
    finally:
        for extension in resumed:
            if hasattr(extension, "on_call_left"):
                extension.on_call_left(session)
    if nonce is not None:
        # By which the other side knows it, however often it was tried.
        session._nonce = nonce
