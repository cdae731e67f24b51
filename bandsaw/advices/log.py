"""An advice that logs the calls of tasks."""

from __future__ import annotations

import logging

from ..advice import Advice
from ..session import Session

logger = logging.getLogger(__name__)


class LoggingAdvice(Advice):
    """Logs a line before and a line after each execution, with level INFO.

    The lines go to the logger `bandsaw.advices.log` and name the task id, the execution id and the
    task. The one after says what came of it: a value of which type, or which exception.
    """

    def before(self, session: Session) -> None:
        """Logs `BEFORE task_id:execution_id` and the task. See `Advice.before`."""
        if logger.isEnabledFor(logging.INFO):
            logger.info(
                "BEFORE %s:%s %s",
                session.task.task_id,
                session.execution.execution_id,
                session.task,
            )
        session.proceed()

    def after(self, session: Session) -> None:
        """Logs `AFTER task_id:execution_id`, the task and the outcome. See `Advice.after`."""
        if logger.isEnabledFor(logging.INFO):
            result = session.result
            exception = getattr(result, "exception", None)
            outcome = "raised" if exception is not None else "returned"
            came = exception if exception is not None else getattr(result, "value", None)
            logger.info(
                "AFTER %s:%s %s %s %s",
                session.task.task_id,
                session.execution.execution_id,
                session.task,
                outcome,
                type(came).__name__,
            )
        session.proceed()
