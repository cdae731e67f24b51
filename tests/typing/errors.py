"""What a type checker sees of the errors: each is also what Python users expect it to be."""

import subprocess
from typing import Optional

from typing_extensions import assert_type

import bandsaw
from bandsaw import errors

ours: list[type[errors.BandsawError]] = [
    errors.ConfigurationError,
    errors.TaskDefinitionError,
    errors.SessionError,
    errors.SerializationError,
    errors.DistributionError,
    errors.WorkerError,
]
configuration: list[type[errors.ConfigurationError]] = [
    errors.ConfigurationNotFoundError,
    errors.ConfigurationMissingError,
    errors.ConfigurationTypeError,
    errors.UnknownChainError,
    errors.UnknownRemoteError,
    errors.InvalidValueError,
]
lookup: list[type[LookupError]] = [
    errors.ConfigurationMissingError,
    errors.UnknownChainError,
    errors.UnknownRemoteError,
]
missing: list[type[ModuleNotFoundError]] = [
    errors.ConfigurationNotFoundError,
    errors.DistributionModuleError,
]
runtime: list[type[RuntimeError]] = [
    errors.AdviceError,
    errors.AdviceResultError,
    errors.DependencyError,
    errors.EnvironmentBuildError,
    errors.ForkedError,
    errors.InvalidDecoratorError,
    errors.ProgramEndedError,
    errors.RunIdError,
    errors.SecondStepError,
    errors.SessionFinishedError,
    errors.UnguardedCallError,
]
system: list[type[OSError]] = [
    errors.DistributionFileError,
    errors.FileTravelError,
    errors.MissingFileError,
    errors.KeptFolderError,
    errors.TaskTimeoutError,
    errors.WorkerStartError,
]
process: list[type[subprocess.CalledProcessError]] = [
    errors.RemoteCommandError,
    errors.RemoteConnectionError,
    errors.TaskKilledError,
    errors.WorkerDiedError,
]
of_type: list[type[TypeError]] = [
    errors.ConfigurationTypeError,
    errors.IdentityError,
    errors.UnknownOptionError,
    errors.UnknownSerializerError,
    errors.UnserializableError,
    errors.UnsupportedTaskError,
]
of_value: list[type[ValueError]] = [
    errors.DeserializationError,
    errors.InvalidValueError,
    errors.LimitError,
    errors.NotImportableError,
    errors.SessionFileError,
    errors.SignatureError,
    errors.UnknownChainError,
    errors.UnknownRemoteError,
]
worker: list[type[errors.WorkerError]] = [
    errors.CodeMismatchError,
    errors.ProtocolError,
    errors.StalledError,
    errors.WorkerDiedError,
]

ours.append(errors.RemoteTraceback)  # type: ignore[arg-type]
runtime.append(errors.IdentityError)  # type: ignore[arg-type]
process.append(errors.WorkerStartError)  # type: ignore[arg-type]
errors.UnknownError  # type: ignore[attr-defined]

try:
    bandsaw.get_configuration()
except bandsaw.errors.WorkerDiedError as died:
    assert_type(died.returncode, int)
    died.exit_code  # type: ignore[attr-defined]
except bandsaw.errors.RemoteError as remote:
    assert_type(remote.type_name, str)
except bandsaw.errors.BandsawError as error:
    assert_type(error.where, Optional[str])
