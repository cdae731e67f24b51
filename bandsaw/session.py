"""The session: one advised call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, BinaryIO, Optional

from ._session.moderator import _Moderator
from ._system import callers
from ._system.importing import late_import
from .config import Configuration, get_configuration
from .context import Context
from .errors import AdviceError, InvalidValueError, SessionError
from .result import Result
from .run import get_run_id
from .serialization.serializer import Serializer

if TYPE_CHECKING:
    from ._session.members import Saved
    from .distribution import DistributionArchive


class Session:
    """One advised call: task, execution, context, result, and the position in the advice chain.

    A session can be saved, and restored to go on in another thread, process or on another machine,
    any number of times.

    Args:
        task: The task: any object with `execute(execution)`.
        execution: The arguments of the call.
        configuration: The configuration that has the chain.
        advice_chain: The name of the chain.

    Attributes:
        task: The task.
        execution: The arguments of the call.
        result: The result, `None` until there is one.
        configuration: The configuration.
        advice_chain: The name of the chain.
    """

    # Slots make a session cheap; `__dict__` lets advices set attributes.
    __slots__ = (
        "__dict__",
        "_context",
        "_walk",
        "advice_chain",
        "configuration",
        "execution",
        "result",
        "task",
    )
    # Set where a session was sent, or has arrived. See `_session.packing`.
    _nonce: str
    _ids: Optional[dict[str, str]]
    _sent: dict[str, Any]
    _code: dict[str, Any]

    def __init__(
        self,
        task: Any = None,
        execution: Any = None,
        configuration: Any = None,
        advice_chain: str = "default",
    ) -> None:
        self.task = task
        self.execution = execution
        self.configuration = configuration
        self.advice_chain = advice_chain
        self.result: Any = None
        # Made when it is first asked for, as context and nonce are: a session has to cost next to
        # nothing.
        self._walk: Optional[_Moderator] = None

    @property
    def context(self) -> Context:
        """The state that advices keep on the session, a `Context`."""
        try:
            return self._context
        except AttributeError:
            self._context: Context = Context()
            return self._context

    @context.setter
    def context(self, context: Context) -> None:
        self._context = context

    @property
    def nonce(self) -> str:
        """What a session is recognized by when it comes back: random, kept by save and restore."""
        nonce: Optional[str] = self.__dict__.get("_nonce")
        # In one step: several threads may ask first.
        return nonce or self.__dict__.setdefault("_nonce", callers.new_nonce())

    @property
    def serializer(self) -> Serializer:
        """The serializer of the configuration."""
        return self._known_configuration().serializer

    @property
    def distribution_archive(self) -> DistributionArchive:
        """The archive with the code that the task needs elsewhere."""
        from .distribution import get_distribution_archive

        return get_distribution_archive(self._known_configuration())

    @property
    def run_id(self) -> str:
        """The id of the run, the same in all its processes."""
        return get_run_id()

    def initiate(self) -> Result:
        """Walks the whole chain.

        Returns:
            The result. The extensions have been told before and after.

        Raises:
            AdviceError: If an advice breaks the rules of the chain or raises an exception (a
                `RuntimeError`).
        """
        configuration = self.configuration
        if configuration is None:
            configuration = self._known_configuration()
        if not configuration.extensions:
            return self._walked(configuration)
        from ._session import telling

        return telling.walk(self, configuration)

    def _walked(self, configuration: Any) -> Result:
        moderator = self._walk
        if moderator is None:
            moderator = self._walk = _Moderator(configuration.get_advice_chain(self.advice_chain))
        moderator.next(self)
        # A session that was restored on the way has another moderator than the one it began with.
        moderator = self._walk or self._moderator
        if not moderator.walked:
            raise self.stopped_short(moderator)
        return self.result  # type: ignore[no-any-return]

    @property
    def facts(self) -> dict[str, Any]:
        """What was noted of the call, as plain data by names: see `note`."""
        facts: dict[str, Any] = self.__dict__.setdefault("_facts", {})
        return facts

    def note(self, **facts: Any) -> None:
        """Notes facts of the call, for extensions. They come back with it from other processes.

        Args:
            **facts: Plain data by names: texts, numbers, `None`, lists and dicts of these.

        Raises:
            InvalidValueError: If a value is no plain data (a `ValueError`).
        """
        from ._session import telling

        self.facts.update(telling.checked(facts))

    def proceed(self) -> None:
        """Takes the next step along the chain, and returns when all that follows is over.

        Raises:
            SessionFinishedError: If the walk had ended (a `RuntimeError`).
            SecondStepError: If the advice has taken its step already (a `RuntimeError`).
        """
        moderator = self._walk
        if moderator is None:
            moderator = self._moderator
        moderator.next(self)

    def conclude(self, result: Result) -> None:
        """Sets the result and goes on, before the task was executed past all that is later.

        The afters that follow are those of the advices *before* the one that concluded.

        Args:
            result: The result of the call.

        Raises:
            AdviceResultError: If an advice gives something that is no `Result` (a `TypeError`).
            SessionFinishedError: If the walk had ended (a `RuntimeError`).
            SecondStepError: If the advice has taken its step already (a `RuntimeError`).
        """
        self._moderator.conclude(self, result)

    def repeat(self) -> None:
        """Ends the attempt, to walk what is later in the chain, and the task, once more.

        Only a call of `after` may do so, in place of `proceed` or `conclude`. It returns at once.
        When the calls of the later advices have returned, and what they had opened around their
        step is closed, the step that the advice took in `before` is taken again: with the same
        context, a new nonce and no result. Until then `result` is the old one. If that `before` was
        called in another process, the outermost step of this one is taken again.

        Raises:
            AdviceError: If no `after` is being called (a `RuntimeError`).
            SessionFinishedError: If the walk had ended (a `RuntimeError`).
            SecondStepError: If the advice has taken its step already (a `RuntimeError`).
        """
        self._moderator.repeat(self)

    def _begin_attempt(self, moderator: _Moderator) -> None:
        self._walk = moderator
        self.result = None
        if "_nonce" in self.__dict__:
            self.__dict__.setdefault("_nonces", []).append(self.__dict__.pop("_nonce"))

    def save(self, stream: BinaryIO, environment: Optional[Mapping[str, str]] = None) -> None:
        """Writes everything but the advices themselves, as a zip.

        Args:
            stream: A binary stream that is open for writing. It is left open.
            environment: Environment variables that a far end sets before it goes on. They may hold
                secrets, and are part of no command line.

        Raises:
            SessionError: If the configuration comes from no module, so that it could not be found
                again.
            SerializationError: If something cannot be written; names what.
        """
        with late_import:
            from ._session import members, packing

        members.write(stream, packing.packed(self, {}, environment))

    def restore(self, stream: BinaryIO) -> Session:
        """Replaces everything with what was saved, the position in the chain included.

        Args:
            stream: A binary stream that is open for reading. It is left open.

        Returns:
            This session.

        Raises:
            InvalidValueError: If it is no stream (a `ValueError`).
            SessionFileError: If the stream holds no session (a `ValueError`).
            SignatureError: If it is not signed with the key of the serializer that has one.
            SerializationError: If something in it cannot be read; names what.
        """
        from ._session import members

        if not hasattr(stream, "read"):
            raise InvalidValueError(
                "A session is restored from a binary stream, such as open('call.session', 'rb'), "
                f"not from {stream!r}"
            )
        return self._unpack(members.read(stream))

    def _unpack(self, saved: Saved, sent: Optional[Session] = None) -> Session:
        """Does what `restore` does, and accepts only the session that was sent, if one is given."""
        from ._session import packing

        if sent is not None:
            packing.unpack(self, saved, sent, get_configuration)
        else:
            with callers.loading():
                packing.unpack(self, saved, None, get_configuration)
        return self

    def _code_now(self) -> dict[str, Any]:
        """What is known of the code that its task ran, or will run. See `headers.code_of`."""
        from ._session import headers

        return headers.code_of(self.task, self)

    def _known_ids(self) -> dict[str, str]:
        """The ids of the call that are known already, or were where it comes from."""
        # An advice may have put another execution in place of the one that came.
        ids = self.__dict__.get("_ids")
        if ids is None:
            ids = {}
            # To make them may cost much.
            for name, part in (("task", self.task), ("execution", self.execution)):
                known = getattr(part, f"_{name}_id", None)
                if known is not None:
                    ids[name] = str(known)
        return ids

    @property
    def _moderator(self) -> _Moderator:
        if self._walk is None:
            configuration = self.configuration
            self._walk = _Moderator(
                None if configuration is None else configuration.get_advice_chain(self.advice_chain)
            )
        return self._walk

    @_moderator.setter
    def _moderator(self, moderator: _Moderator) -> None:
        self._walk = moderator

    @property
    def _configuration(self) -> Any:
        return self.configuration

    @_configuration.setter
    def _configuration(self, configuration: Any) -> None:
        self.configuration = configuration

    @property
    def _advice_chain(self) -> str:
        return self.advice_chain

    @_advice_chain.setter
    def _advice_chain(self, advice_chain: str) -> None:
        self.advice_chain = advice_chain

    def stopped_short(self, moderator: _Moderator, there: str = "") -> AdviceError:
        """Makes the error for a walk that ended too early.

        Args:
            moderator: Knows which advice took no step.
            there: Where that was, if not in this process.

        Returns:
            The error, which names the advice, the phase and the task.
        """
        advice = moderator.current_advice
        phase = "after" if moderator.after_called else "before"
        return AdviceError(
            f"Not all advice has been applied. Misbehaving advice {advice!r}: "
            f"{type(advice).__name__}.{phase} of task {self.task} neither proceeded nor "
            f"concluded{there}. Call session.proceed() or session.conclude(result) in it."
        )

    def _execution_name(self) -> str:
        """Names the execution in the message of an error, where it has an id."""
        try:
            execution_id = self.execution.execution_id
        except Exception:
            # Arguments of which no id can be made, or an execution of the user's own.
            return ""
        return "" if execution_id is None else f", execution {execution_id},"

    def _known_configuration(self) -> Configuration:
        if self.configuration is None:
            raise SessionError("This session has no configuration: give it one, or restore it.")
        return self.configuration  # type: ignore[no-any-return]
