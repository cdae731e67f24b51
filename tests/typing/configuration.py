"""What a type checker sees of configurations, interpreters and the run. Never run."""

import os
from pathlib import Path
from typing import Any, Optional

from typing_extensions import assert_type

import bandsaw
from bandsaw.config import (
    CONFIGURATION_MODULE_DEFAULT,
    CONFIGURATION_MODULE_ENV_VARIABLE,
    Configuration,
    get_configuration,
)
from bandsaw.distribution import DistributionArchive, get_distribution_archive
from bandsaw.extensions import Extension
from bandsaw.identifier import identifier_from_bytes, identifier_from_string
from bandsaw.run import get_run_id, set_run_id
from bandsaw.serialization import Serializer
from bandsaw.user import get_current_username

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(bandsaw.Advice(), bandsaw.advices.log.LoggingAdvice())
    .add_advice_chain(name="empty")
    .add_extension(bandsaw.Extension())
    .set_serializer(bandsaw.JsonSerializer())
    .set_bulk_hash("blake3")
    .add_modules_for_distribution("a", "b")
    .add_files_for_distribution("a.csv", Path("b"))
    .distribute_first_party(False)
)
assert_type(configuration, Configuration)
assert_type(configuration.get_advice_chain("empty"), tuple[Any, ...])
assert_type(configuration.serializer, Serializer)
assert_type(configuration.extensions, list[Extension])
assert_type(configuration.distribution_modules, list[str])
assert_type(configuration.module_name, Optional[str])
assert_type(configuration.bulk_hash, Optional[str])

assert_type(bandsaw.get_configuration(), Configuration)
assert_type(get_configuration("my_config"), Configuration)
assert_type(CONFIGURATION_MODULE_ENV_VARIABLE, str)
assert_type(CONFIGURATION_MODULE_DEFAULT, str)

configuration.set_strict_options()
configuration.add_advice_chain("cache")  # type: ignore[arg-type]
configuration.add_advice_chain(bandsaw.Advice)  # type: ignore[arg-type]
configuration.add_advice_chain(nom="empty")  # type: ignore[call-arg]
configuration.add_extension(bandsaw.Extension)  # type: ignore[arg-type]
configuration.set_serializer("json")  # type: ignore[arg-type]
configuration.add_modules_for_distribution(os)  # type: ignore[arg-type]
configuration.add_files_for_distribution(7)  # type: ignore[arg-type]
configuration.get_advice_chain()  # type: ignore[call-arg]
bandsaw.get_configuration(bandsaw)  # type: ignore[arg-type]
bandsaw.Configuration("name")  # type: ignore[call-arg]

archive = get_distribution_archive(configuration)
assert_type(archive, DistributionArchive)
assert_type(archive.path, Path)
assert_type(DistributionArchive("archive.pyz", "a", "b").modules, tuple[str, ...])
DistributionArchive("archive.pyz", ["a"])  # type: ignore[arg-type]

interpreter = bandsaw.Interpreter(executable="/usr/bin/python3").set_environment(A="1")
assert_type(interpreter, bandsaw.Interpreter)
assert_type(bandsaw.Interpreter(["lib", Path("src")]).path, tuple[str, ...])
assert_type(interpreter.executable, str)
assert_type(interpreter.environment, dict[str, str])
bandsaw.Interpreter(3)  # type: ignore[arg-type]
interpreter.set_environment(A=1)  # type: ignore[arg-type]
interpreter.environment = {}  # type: ignore[misc]

environment = bandsaw.Environment(["numpy<2"], python=">=3.9,<3.13").set_environment(A="1")
assert_type(environment, bandsaw.Environment)
assert_type(environment.requirements, tuple[str, ...])
assert_type(environment.python, Optional[str])
assert_type(environment.is_made, bool)
assert_type(bandsaw.Environment.from_script("script.py"), bandsaw.Environment)
an_interpreter: bandsaw.Interpreter = environment
bandsaw.Environment([1])  # type: ignore[list-item]
bandsaw.Environment(executable="python")  # type: ignore[call-arg]

file = bandsaw.File(Path("data.csv"))
bandsaw.File("data.csv", to=Path("models/{name}"))
bandsaw.File("data.csv", to=3)  # type: ignore[arg-type]
assert_type(file.path, str)
assert_type(os.fspath(file), str)
with open(file) as stream:
    assert_type(stream.read(), str)
bandsaw.File(3)  # type: ignore[arg-type]

assert_type(bandsaw.__version__, str)
assert_type(bandsaw.get_run_id(), str)
assert_type(get_run_id(), str)
assert_type(bandsaw.identifier_from_string("text"), str)
assert_type(identifier_from_string("text"), str)
assert_type(identifier_from_bytes(memoryview(b"bytes")), str)
assert_type(get_current_username(), str)
bandsaw.set_run_id("run")
set_run_id("run")
bandsaw.set_run_id(1)  # type: ignore[arg-type]
bandsaw.identifier_from_string(b"bytes")  # type: ignore[arg-type]
identifier_from_bytes("text")  # type: ignore[arg-type]
bandsaw.unknown  # type: ignore[attr-defined]
