"""Extensions: told of what happens to all tasks of a configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

if TYPE_CHECKING:
    from .config import Configuration
    from .context import Context
    from .execution import Execution
    from .result import Result


class Extension:
    """Base of an extension. Each method does nothing until a subclass overrides it."""

    def on_init(self, configuration: Configuration) -> None:
        """Called once per process, when the configuration was loaded.

        Args:
            configuration: The configuration that the extension was added to.
        """

    def on_before_advice(self, task: Any, execution: Execution, context: Context) -> None:
        """Called before the advice chain is walked, in the process that called the task.

        Args:
            task: The task that was called.
            execution: The arguments of the call.
            context: The session's context.
        """

    def on_after_advice(
        self, task: Any, execution: Execution, context: Context, result: Result
    ) -> None:
        """Called after the advice chain was walked, in the process that called the task.

        Args:
            task: The task that was called.
            execution: The arguments of the call.
            context: The session's context.
            result: What the call gives.
        """

    def on_call_begun(self, session: Any) -> None:
        """Called after `on_before_advice`, with the session of the call.

        Args:
            session: The call, a `Session`. Its `facts` are empty.
        """

    def on_call_ended(self, session: Any, error: Optional[BaseException]) -> None:
        """Called when the call has ended in whatever way, after `on_after_advice` where that is.

        Args:
            session: The call, a `Session`. Its `facts` have what was noted on its way.
            error: What was raised through: by an advice, or what ends a program. `None` where there
                is a result, which may be that of a failure.
        """

    def on_call_resumed(self, session: Any) -> None:
        """Called in another process that goes on with a call, before it does.

        Args:
            session: The call, a `Session`, with the context that came along.
        """

    def on_call_left(self, session: Any) -> None:
        """Called in such a process when the call goes back, or has failed there.

        Args:
            session: The call, a `Session`.
        """
