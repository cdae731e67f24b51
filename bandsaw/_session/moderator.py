"""The walk along an advice chain.

    initiate ─► before(1) ─► before(2) ─► task ─► after(2) ─► after(1) ─► finished
                    │ conclude                                     ▲
                    └── skips all that is later ── after(0) ◄──────┘ afters of the earlier ones

Each arrow is one step, taken inside the call it starts from, so that the calls are nested. Where
the walk stands is plain data, which travels; which calls are open is known only to the process
that makes them.

`repeat` in after(k) marks the walk. All calls return up to the step that before(k) took, which
takes it once more. If that call is not of this process, the outermost step does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from typing import Any, Callable, Optional

from .._system.importing import late_import
from .._tracebacks import add_note
from ..errors import (
    AdviceError,
    AdviceResultError,
    BandsawError,
    SecondStepError,
    SessionFinishedError,
)
from ..result import Result
from ..serialization.values import SerializableValue

# What the innermost open call of this process has done. Without one, whoever calls may step.
_NO_CALL, _CALLED, _STEPPED = 0, 1, 2
# How many times a call has begun its task.
_attempt: ContextVar[int] = ContextVar("bandsaw_attempt", default=1)


# What the note of an error that an advice raised begins with.
_NOTE = "Raised in "


def is_note_of_advice(note: Any, task: Any) -> bool:
    """Says whether a note names the advice that raised an error in a call of a task."""
    return isinstance(note, str) and note.startswith(_NOTE) and note.endswith(f" of task {task}")


def get_attempt() -> int:
    """Tells a task how many times its call has begun it, this time included.

    Returns:
        1 in the first attempt, and outside of tasks, 2 in the second one, and so on. In a task with
        an empty chain it is the number of the task that calls it.
    """
    return _attempt.get()


def _execute(session: Any, number: int) -> Any:
    """Executes the task of a session, which is told the number of the attempt."""
    code = session.__dict__.get("_code")
    if code is not None and code["values"]:
        with late_import:
            from .headers import look_at_code

        # Its module is loaded with it. Executing the task says why it cannot be loaded.
        with contextlib.suppress(Exception):
            _ = session.task.function
        look_at_code(session)
    token = _attempt.set(number)
    try:
        return session.task.execute(session.execution)
    finally:
        _attempt.reset(token)


class _Moderator(SerializableValue):
    """Knows the position in the chain and takes the next step."""

    # Whether a call of this process was in a later attempt than the first, or came with values to
    # look at before its task is executed: until then nothing is done around it.
    is_told = False
    # Not in slots: they are set only where a walk is repeated, or a session restored on its way.
    attempt = 1  # how many times the task was begun, or would have been
    changes = 0  # how many of the attempts began with arguments that an earlier one had changed
    _pause: Optional[Callable[[], Any]] = None
    # The moderator that this one took over from.
    _earlier: Optional[_Moderator] = None

    # Slots make a session cheap; `__dict__` lets advices set attributes.
    __slots__ = (
        "__dict__",
        "_assigned",
        "_left_out",
        "_repeats",
        "_state",
        "advice_chain",
        "after_called",
        "before_called",
        "task_called",
        "walked",
    )

    def __init__(self, advice_chain: Optional[Sequence[Any]] = None) -> None:
        # The advices. They are not part of what is serialized or pickled.
        self.advice_chain: Sequence[Any] = () if advice_chain is None else advice_chain
        self.before_called = 0  # how many calls of `before` were begun
        self.after_called = 0  # how many calls of `after` were begun
        # Whether the task was executed, or skipped by an advice that concluded.
        self.task_called = False
        self.walked = False
        # 1 after an advice concluded on the way to the task: its own `after` is left out.
        self._left_out = 0
        # With how many calls of `before` the attempt begins that is to follow.
        self._repeats = 0
        self._state = _NO_CALL

    @property
    def is_finished(self) -> bool:
        return self.walked

    @is_finished.setter
    def is_finished(self, is_finished: bool) -> None:
        self.walked = is_finished

    _is_finished = is_finished

    @property
    def current_advice(self) -> Any:
        """The advice whose call was begun last, `None` when finished or without advices."""
        if self.walked or not self.advice_chain:
            return None
        counts = (self.before_called, self.after_called)
        assigned = getattr(self, "_assigned", None)
        if assigned is not None and assigned[1] == counts:
            return assigned[0]
        index = self.place - 1
        return self.advice_chain[index] if 0 <= index < len(self.advice_chain) else None

    @current_advice.setter
    def current_advice(self, advice: Any) -> None:
        # Until the next call is begun.
        self._assigned = (advice, (self.before_called, self.after_called))

    @property
    def place(self) -> int:
        """The place in the chain, counted from 1, of the advice whose call was begun last."""
        if not self.after_called:
            return self.before_called
        return self.before_called - self.after_called - self._left_out + 1

    def next(self, session: Any, is_repeated: bool = False) -> None:
        """Takes the next step; `is_repeated`: the caller repeats it where it has to be."""
        state = self._state
        if state == _STEPPED or self.walked:
            raise _no_step_left(self)
        chain = self.advice_chain
        if self.task_called:
            begun = 0
        else:
            begun = self.before_called
            if begun < len(chain):
                self.before_called = begun + 1
                advice = chain[begun]
                self._state = _CALLED
                try:
                    advice.before(session)
                except Exception as error:
                    self._mark(0)
                    _note_fault(session, advice, "before", error)
                    raise
                finally:
                    self._state = state and _STEPPED
                if self._repeats and not is_repeated:
                    self._walk_anew(session, begun, state)
                return
            self.task_called = True
            try:
                if _Moderator.is_told:
                    session.result = _execute(session, self.attempt)
                else:
                    session.result = session.task.execute(session.execution)
            except BandsawError as error:
                error.where = error.where or f"task {session.task}"
                raise
            except Exception as error:
                # A task of the user's own that does not catch what its code raises.
                session.result = Result(exception=error)
        index = self.before_called - self.after_called - self._left_out - 1
        if index < 0:
            self.walked = True
            return
        self.after_called += 1
        advice = chain[index]
        self._state = _CALLED
        try:
            advice.after(session)
        except Exception as error:
            self._mark(0)
            _note_fault(session, advice, "after", error)
            raise
        finally:
            self._state = state and _STEPPED
        if self._repeats and not is_repeated:
            self._walk_anew(session, begun, state)

    def repeat(self, session: Any, pause: Optional[Callable[[], Any]] = None) -> None:
        """Has the walk go back to the step that the advice took in `before`.

        `pause` is called between the attempts. A result that it returns ends them: the walk goes on
        as if the advice had set it and proceeded.
        """
        state = self._state
        if state == _STEPPED or self.walked:
            raise _no_step_left(self)
        if not self.after_called:
            raise AdviceError(
                f"{_named(session, self.current_advice, 'before')} called repeat(), which is a "
                "step of after: there is no attempt yet that could be repeated."
            )
        self._state = state and _STEPPED
        self._pause = pause
        self._mark(self.place)
        if not state:
            self._walk_anew(session, 0, state)

    def _mark(self, begun: int) -> None:
        walk: Optional[_Moderator] = self
        while walk is not None:
            walk._repeats = begun
            walk = walk._earlier

    def _walk_anew(self, session: Any, begun: int, state: int) -> None:
        """Takes a step again for as long as it is repeated, if it is the one."""
        while self._repeats and (self._repeats == begun or not state):
            # Another one, if the session was restored meanwhile.
            last: _Moderator = session._walk
            first, pause = self._repeats, last._pause
            last._mark(0)
            last._pause = None
            result = None if pause is None else pause()
            if result is None:
                self._begin_attempt(session, first, last)
            else:
                session.result = result
            walk: _Moderator = session._walk
            walk._state = state
            walk.next(session, True)

    def _begin_attempt(self, session: Any, first: int, last: _Moderator) -> None:
        self.advice_chain = last.advice_chain
        self.before_called, self.after_called = first, 0
        self.task_called, self._left_out = False, 0
        self.attempt = last.attempt + 1
        _Moderator.is_told = True
        settle = getattr(session.execution, "_settle_id", None)
        self.changes = last.changes + (settle is not None and settle())
        session._begin_attempt(self)

    def skip(self, session: Any) -> None:
        """Takes a step past the later advices and the task, to the afters of the earlier ones."""
        if not self.task_called and self._state != _STEPPED and not self.walked:
            self.task_called = True
            self._left_out = 1
        self.next(session)

    def conclude(self, session: Any, result: Any) -> None:
        """Sets the result and takes the step that follows from it."""
        if self._state == _STEPPED or self.walked:
            raise _no_step_left(self)
        if self._state == _CALLED and not isinstance(result, Result):
            raise AdviceResultError(
                f"conclude() takes a bandsaw.Result, not {result!r} of type "
                f"{type(result).__name__}."
            )
        session.result = result
        self.skip(session)

    def take_over(self, other: _Moderator) -> None:
        """Takes over; an advice whose call is open there may take its step with this one."""
        self._state = other._state and _CALLED
        if other._state:
            self._earlier = other

    def serialized(self) -> dict[str, Any]:
        """Returns the position; the advices are found again by the name of their chain."""
        return {
            "before_called": self.before_called,
            "after_called": self.after_called,
            "task_called": self.task_called,
            "is_finished": self.walked,
            "left_out": self._left_out,
            "attempt": self.attempt,
            "changes": self.changes,
        }

    @classmethod
    def deserialize(cls, values: Mapping[str, Any]) -> _Moderator:
        """Makes a moderator, without advices, from what `serialized` returned."""
        moderator = cls()
        moderator.before_called = values["before_called"]
        moderator.after_called = values["after_called"]
        moderator.task_called = values["task_called"]
        moderator.is_finished = values["is_finished"]
        moderator._left_out = values["left_out"]
        attempts, changes = values.get("attempt", 1), values.get("changes", 0)
        if attempts > 1:
            _Moderator.is_told = True
            moderator.attempt, moderator.changes = attempts, changes
        return moderator

    def __reduce__(self) -> Any:
        return self.deserialize, (self.serialized(),)


def _no_step_left(moderator: _Moderator) -> BandsawError:
    if moderator.walked:
        return SessionFinishedError(
            "Session already finished advising. Each call of before or after takes one step, "
            "and none is taken when the call of the task is over."
        )
    return SecondStepError(
        "A second step was taken: each call of before or after takes exactly one of proceed() and "
        "conclude(), or in after repeat(), once."
    )


def _note_fault(session: Any, advice: Any, phase: str, error: Exception) -> None:
    """Has an error say in which advice it was raised; the innermost one says so."""
    if not isinstance(error, BandsawError):
        notes = getattr(error, "__notes__", ())
        if not any(is_note_of_advice(note, session.task) for note in notes):
            add_note(error, f"{_NOTE}{_named(session, advice, phase)}")
    elif error.where is None and type(error) is not AdviceError:
        # It names its own cause.
        error.where = _named(session, advice, phase)


def _named(session: Any, advice: Any, phase: str) -> str:
    if advice is None:
        return f"The caller of task {getattr(session, 'task', None)}"
    return f"{type(advice).__name__}.{phase} of task {getattr(session, 'task', None)}"
