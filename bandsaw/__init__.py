"""bandsaw splits one workflow, a script of plain functions, into tasks that run separately."""

from __future__ import annotations

import importlib
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    # The second name says to type checkers that users may have it.
    from . import advice as advice
    from . import advices as advices
    from . import config as config
    from . import context as context
    from . import decorator as decorator
    from . import distribution as distribution
    from . import environments as environments
    from . import errors as errors
    from . import execution as execution
    from . import extensions as extensions
    from . import fingerprint as fingerprint
    from . import futures as futures
    from . import identifier as identifier
    from . import interpreter as interpreter
    from . import io as io
    from . import modules as modules
    from . import result as result
    from . import run as run
    from . import runner as runner
    from . import serialization as serialization
    from . import session as session
    from . import tasks as tasks
    from . import user as user
    from ._commands.explain import explain
    from ._file import File
    from ._session.moderator import get_attempt
    from .advice import Advice
    from .config import Configuration, get_configuration
    from .decorator import task
    from .environments import Environment
    from .extensions import Extension
    from .futures import Future
    from .identifier import identifier_from_string
    from .interpreter import Interpreter
    from .result import Result
    from .run import get_run_id, set_run_id
    from .serialization import JsonSerializer, PickleSerializer, SerializableValue
    from .session import Session

__version__ = "1.0.0.dev0"

# In nanoseconds since the epoch: of files that are changed later, something else may be loaded.
_begun = time.time_ns()

__all__ = [
    "Advice",
    "Configuration",
    "Environment",
    "Extension",
    "File",
    "Future",
    "Interpreter",
    "JsonSerializer",
    "PickleSerializer",
    "Result",
    "SerializableValue",
    "Session",
    "__version__",
    "explain",
    "get_attempt",
    "get_configuration",
    "get_run_id",
    "identifier_from_string",
    "set_run_id",
    "task",
]

_HOMES = {
    "Advice": "advice",
    "Configuration": "config",
    "Environment": "environments",
    "Extension": "extensions",
    "File": "_file",
    "Future": "futures",
    "Interpreter": "interpreter",
    "JsonSerializer": "serialization",
    "PickleSerializer": "serialization",
    "Result": "result",
    "SerializableValue": "serialization",
    "Session": "session",
    "explain": "_commands.explain",
    "get_attempt": "_session.moderator",
    "get_configuration": "config",
    "get_run_id": "run",
    "identifier_from_string": "identifier",
    "set_run_id": "run",
    "task": "decorator",
}
# What is not exported, and often looked for here.
_ELSEWHERE = {
    "CachingAdvice": "advices.cache",
    "Context": "context",
    "DaskExecutor": "engines",
    "DistributionArchive": "distribution",
    "Execution": "execution",
    "ExecutorAdvice": "advices.executor",
    "LoggingAdvice": "advices.log",
    "Progress": "progress",
    "RayExecutor": "engines",
    "Recorder": "recording",
    "Remote": "advices.ssh",
    "RetryAdvice": "advices.retry",
    "Serializer": "serialization",
    "SlurmExecutor": "engines",
    "SshAdvice": "advices.ssh",
    "SshBackend": "advices.ssh",
    "SubprocessAdvice": "advices.subprocess",
    "Task": "tasks",
    "Tracing": "tracing",
    "ValueSerializer": "serialization.values",
}
_ROOMS = (
    "advice",
    "advices",
    "config",
    "context",
    "decorator",
    "distribution",
    "engines",
    "environments",
    "errors",
    "execution",
    "extensions",
    "fingerprint",
    "futures",
    "identifier",
    "interpreter",
    "io",
    "modules",
    "progress",
    "recording",
    "result",
    "run",
    "runner",
    "serialization",
    "session",
    "tasks",
    "tracing",
    "user",
)


if not TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> Any:
        # Loading lazily keeps `import bandsaw` next to free, here and in every process that is
        # started.
        if name in _HOMES:
            value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
            globals()[name] = value
            return value
        if name in _ROOMS:
            return importlib.import_module(f"{__name__}.{name}")
        home = _ELSEWHERE.get(name, "errors" if name.endswith("Error") else None)
        hint = "" if home is None else f": look in {__name__}.{home}"
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}{hint}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_ROOMS})
