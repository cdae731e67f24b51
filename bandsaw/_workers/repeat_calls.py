"""Calls that differ from an earlier one in their arguments only, in a process that is reused.

    near: SESSION, numbered ──────► far: remembers task, configuration and position
    near: AGAIN number, arguments ─► far: makes the session of these
    near: takes the result ◄─ DONE ─ far: if nothing else of the session has changed

To write and read a whole session takes several times as long as all the rest of such a call. This
is for the serializer and the tasks that most calls have; all others are sent whole.
"""

from __future__ import annotations

import contextlib
import io
import pickle
from collections.abc import Sequence
from sys import getsizeof
from typing import Any, Callable, NamedTuple, Optional

from .. import modules
from .._file import FileCarrier
from .._session import packing
from .._session.moderator import _Moderator
from .._system import callers
from ..context import Context
from ..errors import SessionFileError
from ..execution import Execution
from ..result import Result
from ..serialization import PickleSerializer
from ..serialization.serializer import crossing
from ..session import Session
from ..tasks import _FunctionTask
from .frames import AGAIN, DONE, LARGEST_BODY, Message

new_object = object.__new__
_UNCHANGING = (str, int, float, bool, type(None))
# What needs nothing of our pickler, and the mark of what was written without it.
_PLAIN = frozenset((*_UNCHANGING, bytes, complex))
PLAINLY = b"="


class Shape(NamedTuple):
    """What calls have in common. It keeps alive what it is about."""

    task: Any
    configuration: Any
    chain: str  # the name of the chain
    position: int  # how many advices were called
    task_id: Optional[str]  # the id of the task if it is known
    main: Optional[str]  # the name of the script
    callers: tuple[str, ...]  # see `callers.callers_of`
    key: tuple[Any, ...]  # what tells shapes apart: objects by their identity


# Of the last call: what a shape is made of, and the shape. Calls of one task follow each other.
_last: tuple[tuple[Any, ...], Optional[Shape]] = ((), None)


def shape_of(session: Session) -> Optional[Shape]:
    """Returns the shape of a call, `None` if it has to be sent whole each time."""
    global _last
    task, configuration = session.task, session.configuration
    if type(task) is not _FunctionTask or type(session.execution) is not Execution:
        return None
    context, moderator = getattr(session, "_context", None), session._walk or session._moderator
    if context is not None and (type(context) is not Context or context.attributes):
        return None
    if moderator.after_called or moderator.task_called or moderator.walked or moderator._left_out:
        return None
    if moderator.attempt > 1 or session.result is not None:
        return None
    made_of = (
        *(id(task), id(configuration), id(configuration.serializer), session.advice_chain),
        *(moderator.before_called, task._task_id),
    )
    known, shape = _last
    # It keeps alive what the numbers are about.
    if made_of == known and task._derived is None and not modules.is_far_end:
        return shape
    shape = _shape_of(session, task, configuration, moderator)
    if shape is not None:
        _last = made_of, shape
    return shape


def _shape_of(
    session: Session, task: Any, configuration: Any, moderator: _Moderator
) -> Optional[Shape]:
    serializer = configuration.serializer
    if type(serializer) is not PickleSerializer or serializer.is_signed:
        return None
    carried = task._carried()
    if carried is not None and (carried.values or carried.changed):
        return None  # the other side looks at them each time
    if not all(type(value) in _UNCHANGING for value in task._task_kwargs.values()):
        return None
    rest = (
        *(session.advice_chain, moderator.before_called, task._known_id()),
        *(modules.main_module_name(), tuple(callers.callers_of(str(task)))),
    )
    return Shape(task, configuration, *rest, key=(id(task), id(configuration), *rest))


def message(
    number: Any, session: Session, file_carrier: Callable[[Session], FileCarrier]
) -> Optional[Message]:
    """Makes the message of a known shape, `None` if arguments are better sent otherwise.

    `file_carrier`: makes what carries the files in it, and is called where there may be some.
    """
    execution, own = session.execution, session.__dict__
    ids = session._known_ids()
    own.pop("_sent", None)
    own["_sent_ids"] = ids
    args, kwargs = execution.args, execution.kwargs
    content = (
        *(number, own.get("_nonce") or session.nonce, ids, callers.held(session)),
        *(execution._execution_id, args, kwargs),
    )
    values = (*args, *kwargs.values()) if kwargs else args
    if type(args) is tuple and _PLAIN.issuperset(map(type, values)):
        return _plain_message(AGAIN, content, values)
    with file_carrier(session):
        return _message(AGAIN, content)


def note_sent(session: Session) -> None:
    """Has a session come back as if it had been sent whole."""
    session._sent = {
        "nonce": session.nonce,
        "ids": session.__dict__["_sent_ids"],
        "configuration": modules.importable_module_name(session.configuration.module_name),
        "run_id": session.run_id,
    }


def _plain_message(kind: int, content: Any, values: Sequence[Any]) -> Optional[Message]:
    if sum(map(getsizeof, values)) > LARGEST_BODY:
        return None  # to write it for nothing would cost a copy
    data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    return (kind, (PLAINLY, data), None) if len(data) <= LARGEST_BODY else None


def _message(kind: int, content: Any) -> Optional[Message]:
    from ..serialization._chunks import TooLongError
    from ..serialization._pickling import pickled_with_buffers

    try:
        with crossing():
            return kind, pickled_with_buffers(content, [], LARGEST_BODY), None
    except (TooLongError, Exception):
        # Errors are said with the name of the part, when the session is written whole.
        return None


def restored(known: dict[Any, Shape], data: bytes) -> Session:
    """Makes a session of what is known and what was sent."""
    number, nonce, ids, paths, execution_id, args, kwargs = _read(data)
    shape = known[number]
    session = Session(
        shape.task, Execution(execution_id, args, kwargs), shape.configuration, shape.chain
    )
    session.execution.of_task(shape.task)
    moderator = _Moderator(shape.configuration.get_advice_chain(shape.chain))
    moderator.before_called = shape.position
    session._moderator = moderator
    session._nonce, session._ids = nonce, ids
    callers.note(shape.callers)
    callers.inherit(paths)
    return session


def done(
    session: Session, left_out: dict[str, str], file_carrier: FileCarrier
) -> Optional[Message]:
    """Makes the message of a result alone, `None` if it is better sent otherwise."""
    if len(left_out) < 3 or "result" in left_out:
        return None
    code = session.__dict__.get("_code")
    if code is not None and code["values"] and session._code_now() != code:
        return None  # what differs here is for the other side to know
    moderator, result = session._moderator, session.result
    counts: Any = moderator.before_called, moderator.after_called, moderator._left_out
    if moderator.attempt > 1 or moderator.walked or not moderator.task_called:
        counts = moderator.serialized()
    if type(result) is Result and result.exception is None and type(result.value) in _PLAIN:
        value = result.value
        return _plain_message(DONE, (session.nonce, counts, None, value), (value,))
    with file_carrier:
        return _message(DONE, (session.nonce, counts, result, None))


def take_result(session: Session, data: bytes, position: int) -> None:
    """Takes the result of a call, which goes on where it came to. See `boundary.take_back`."""
    # What was written plainly holds nothing that would look whether it crosses.
    with contextlib.nullcontext() if data.startswith(PLAINLY) else crossing():
        nonce, counts, result, value = _read(data)
    if nonce != (session.__dict__.get("_nonce") or session.nonce):
        raise SessionFileError(
            f"The result of another call than that of task {session.task} came back."
        )
    if result is not None:
        FileCarrier.check()
    walk = session._walk or session._moderator
    if type(counts) is tuple and counts[0] - counts[1] - counts[2] == position - 1:
        # In place of another moderator, which would take over from this one.
        walk.before_called, walk.after_called, walk._left_out = counts
        walk.task_called = True
    else:
        if type(counts) is tuple:
            names = ("before_called", "after_called", "left_out")
            counts = {**walk.serialized(), **dict(zip(names, counts)), "task_called": True}
        moderator = _Moderator.deserialize(counts)
        moderator.advice_chain = walk.advice_chain
        packing.go_on_with(session, moderator, position)
    if result is None:
        result = new_object(Result)
        result.value, result.exception = value, None
    session.result = result
    if getattr(session.task, "_derived", None) is not None:
        # The code that was sent is that which computed, or more than the result would have come.
        session._code = session._code_now()


def _read(data: bytes) -> Any:
    if data.startswith(PLAINLY):
        return pickle.loads(memoryview(data)[1:])
    from ..serialization._pickling import unpickled

    return unpickled(io.BytesIO(data))
