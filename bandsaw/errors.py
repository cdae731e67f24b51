"""Every error that bandsaw itself raises.

Each one is a `BandsawError`, and also of the built-in type that fits it, so that code which
knows nothing of bandsaw can catch it. All of them pickle, and keep their data while they do.

```
BandsawError
├── ConfigurationError
│   ├── ConfigurationNotFoundError   ModuleNotFoundError
│   ├── ConfigurationMissingError    LookupError
│   ├── ConfigurationTypeError       TypeError
│   ├── UnknownChainError            KeyError, ValueError
│   ├── UnknownRemoteError           KeyError, ValueError
│   └── InvalidValueError            ValueError
├── TaskDefinitionError
│   ├── InvalidDecoratorError        RuntimeError
│   ├── UnknownOptionError           TypeError
│   ├── UnsupportedTaskError         TypeError
│   ├── NotImportableError           ValueError
│   └── UnguardedCallError           RuntimeError
├── RunIdError                       RuntimeError
├── IdentityError                    TypeError
├── AdviceError                      RuntimeError
│   ├── AdviceResultError            TypeError
│   └── SecondStepError
├── SessionError
│   ├── SessionFinishedError         RuntimeError
│   └── SessionFileError             ValueError
├── SerializationError
│   ├── UnserializableError          TypeError
│   ├── UnknownSerializerError       TypeError
│   ├── DeserializationError         ValueError
│   │   ├── LimitError               (the data is larger or deeper than the reader allows)
│   │   └── SignatureError           (the data is not signed by who has the key)
│   └── RemoteError                  (an exception whose class is not to be had here)
├── DistributionError
│   ├── DistributionModuleError      ModuleNotFoundError
│   └── DistributionFileError        FileNotFoundError
├── KeptFolderError                  OSError
├── FileTravelError                  OSError
│   └── MissingFileError             IdentityError, FileNotFoundError
├── DependencyError                  RuntimeError
├── ForkedError                      RuntimeError
├── ProgramEndedError                RuntimeError
├── EnvironmentBuildError            RuntimeError
└── WorkerError
    ├── WorkerStartError             OSError
    ├── WorkerDiedError              subprocess.CalledProcessError
    │   └── TaskKilledError
    ├── CodeMismatchError
    ├── TaskTimeoutError             TimeoutError
    ├── ProtocolError
    │   └── StalledError
    └── RemoteCommandError           subprocess.CalledProcessError
        └── RemoteConnectionError
RemoteTraceback                      (not raised: ends the cause chain of what came back)
IdentityWarning                      UserWarning
```
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Optional

from . import _tracebacks as tracebacks

if TYPE_CHECKING:
    from ._process_errors import RemoteCommandError as RemoteCommandError
    from ._process_errors import RemoteConnectionError as RemoteConnectionError
    from ._process_errors import TaskKilledError as TaskKilledError
    from ._process_errors import WorkerDiedError as WorkerDiedError

_PROCESS_ERRORS = (
    "RemoteCommandError",
    "RemoteConnectionError",
    "TaskKilledError",
    "WorkerDiedError",
)


if not TYPE_CHECKING:  # which would take any name for one of ours

    def __getattr__(name: str) -> Any:
        # Their base needs the module subprocess, which costs more to import than all of bandsaw.
        if name in _PROCESS_ERRORS:
            from . import _process_errors

            for error_name in _PROCESS_ERRORS:
                globals()[error_name] = getattr(_process_errors, error_name)
            return globals()[name]
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class BandsawError(Exception):
    """The base of all errors that bandsaw raises.

    Attributes:
        where: What was going on when the error was raised, as far as it is known: the advice, the
            phase and the task. Appended to the message.
    """

    where: Optional[str] = None

    def __new__(cls, *args: Any, **kwargs: Any) -> BandsawError:
        """Makes the error. What nobody catches is printed without the frames of bandsaw."""
        tracebacks.leave_out_when_printed()
        return super().__new__(cls, *args, **kwargs)

    def __str__(self) -> str:
        message = str(self.args[0]) if self.args else type(self).__name__
        # Below the lines that a process has written, and not at the end of the last one.
        space = "\n" if "\n" in message else " "
        return f"{message}{space}[in {self.where}]" if self.where else message


class ConfigurationError(BandsawError):
    """Something is wrong with a configuration module or with a value in it."""


class ConfigurationNotFoundError(ConfigurationError, ModuleNotFoundError):
    """The configuration module does not exist."""


class ConfigurationMissingError(ConfigurationError, LookupError):
    """The configuration module has no variable `configuration`."""


class ConfigurationTypeError(ConfigurationError, TypeError):
    """The variable `configuration` or something in it is of the wrong type."""


class UnknownChainError(ConfigurationError, KeyError, ValueError):
    """No advice chain of that name is configured."""


class UnknownRemoteError(ConfigurationError, KeyError, ValueError):
    """No remote of that name was added to the advice."""


class InvalidValueError(ConfigurationError, ValueError):
    """A value given to a constructor or to a task's keywords cannot be used."""


class TaskDefinitionError(BandsawError):
    """A function cannot be made into a task, or not in this way."""


class InvalidDecoratorError(TaskDefinitionError, RuntimeError):
    """`@task` was used in a form that it does not have."""


class UnknownOptionError(TaskDefinitionError, TypeError):
    """`@task` was given an option that there is not."""


class UnsupportedTaskError(TaskDefinitionError, TypeError):
    """`@task` was put above something that is not a plain function."""


class NotImportableError(TaskDefinitionError, ValueError):
    """An object has no name under which another process could import it."""


class UnguardedCallError(TaskDefinitionError, RuntimeError):
    """A module calls a task whenever it is loaded, in the task's own process as well."""


class RunIdError(BandsawError, RuntimeError):
    """The run id was set after it had been fixed."""


class IdentityError(BandsawError, TypeError):
    """A value has no canonical form, so that no id can be made of it."""


class AdviceError(BandsawError, RuntimeError):
    """An advice broke the rules of the chain, or raised an exception."""


class AdviceResultError(AdviceError, TypeError):
    """An advice concluded with something that is not a `Result`."""


class SecondStepError(AdviceError):
    """One call of an advice took more than one step."""


class SessionError(BandsawError):
    """A session cannot do what it was asked to."""


class SessionFinishedError(SessionError, RuntimeError):
    """A step was taken after the walk along the chain had ended."""


class SessionFileError(SessionError, ValueError):
    """A stream does not hold a session, or not the one that was expected."""


class SerializationError(BandsawError):
    """A value cannot be written or read."""


class UnserializableError(SerializationError, TypeError):
    """No serializer can write the value."""


class UnknownSerializerError(SerializationError, TypeError):
    """The data names a value serializer that is not registered."""


class DeserializationError(SerializationError, ValueError):
    """The data cannot be turned back into a value."""


class LimitError(DeserializationError):
    """The data is larger, deeper or more than the one who reads it allows."""


class SignatureError(DeserializationError):
    """The data is not signed with the key of who reads it, or for another purpose."""


class RemoteError(SerializationError):
    """Stands for an exception whose class is not to be had in this process.

    Attributes:
        type_name: The full name of the class that the exception had.
    """

    def __init__(self, message: str, type_name: str = "") -> None:
        super().__init__(message, type_name)
        self.type_name = type_name


class DistributionError(BandsawError):
    """A distribution archive cannot be built."""


class DistributionModuleError(DistributionError, ModuleNotFoundError):
    """A module that was named for distribution does not exist."""


class DistributionFileError(DistributionError, FileNotFoundError):
    """A file that was named for distribution does not exist."""


class KeptFolderError(BandsawError, OSError):
    """The folder for archives and environments cannot be used, or not safely."""


class FileTravelError(BandsawError, OSError):
    """A `bandsaw.File` is missing or was changed, cannot be copied, or may not be put somewhere."""


class MissingFileError(FileTravelError, FileNotFoundError, IdentityError):
    """There is nothing under the path of a `bandsaw.File` whose contents are needed."""


class EnvironmentBuildError(BandsawError, RuntimeError):
    """An environment with the packages that were asked for cannot be made."""


class DependencyError(BandsawError, RuntimeError):
    """A submitted call was never begun, because one that it needs failed or was cancelled.

    The failure of that one is the `__cause__`.
    """


class ForkedError(BandsawError, RuntimeError):
    """A submitted call belongs to the process that this one was forked from."""


class ProgramEndedError(BandsawError, RuntimeError):
    """A call was submitted when the program was about to end."""


class WorkerError(BandsawError):
    """Something went wrong with the other process."""


class WorkerStartError(WorkerError, OSError):
    """The other process could not be started."""


class CodeMismatchError(WorkerError):
    """An executor's worker has loaded other code than that of the call."""


class TaskTimeoutError(WorkerError, TimeoutError):
    """A task took longer than its `timeout` and was ended, with all that it had started."""


class ProtocolError(WorkerError):
    """The other process said something that is no message of ours, or not the one that is due."""


class StalledError(ProtocolError):
    """A message to or from the other process had begun, and made no progress."""


class RemoteTraceback(Exception):
    """The traceback of an exception that was raised in another process, as text.

    It is never raised. It ends the cause chain of the exception that came back, so that Python
    prints it together with that exception.
    """

    def __str__(self) -> str:
        return "\n" + str(self.args[0]) if self.args else ""


class IdentityWarning(UserWarning):
    """Something that a task reaches cannot be followed, so that it does not count."""
