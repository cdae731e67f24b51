"""`python -m bandsaw check`: what a configuration holds, and whether it can be reached."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Optional

from .._identity.firstparty import is_standard_library
from .._system.processes import why_not_started
from ..advices._remote import command_of, python_of
from ..config import Configuration, get_configuration
from ..distribution import DistributionArchive, get_distribution_archive
from ..environments import Environment
from ..errors import BandsawError
from ..interpreter import Interpreter, checked_interpreter
from .targets import reason_of

_OLDEST = (3, 9)
_PROBE = "import sys; print('.'.join(map(str, sys.version_info[:3])))"
_PROBE_SECONDS = 60.0
# Differences of clocks below this are not reported.
_CLOCK_SECONDS = 2.0


def check_configuration(module_name: Optional[str] = None) -> int:
    """Prints what a configuration holds and reaches; the exit status is 1 if something is wrong."""
    try:
        configuration = get_configuration(module_name)
    except Exception as error:
        print(f"error: the configuration cannot be loaded: {reason_of(error)}", file=sys.stderr)
        return 1
    problems: list[str] = []
    modules: list[str] = []
    _print_parts(configuration)
    try:
        archive = get_distribution_archive(configuration)
        print(f"distribution archive: {archive.path.stat().st_size // 1024 + 1} kB")
        modules = _needed_modules(archive)
    except Exception as error:
        problems.append(f"the distribution archive cannot be built: {error}")
    for name, chain in configuration._tuples.items():
        print(f"advice chain {name!r}:" + ("" if chain else " no advices"))
        for advice in chain:
            print(f"  {_class_name(advice)}")
            for what, found, problem in _reach(advice, modules):
                print(f"    {what}: {problem or found}")
                if problem is not None:
                    problems.append(f"chain {name!r}, {_class_name(advice)}, {what}: {problem}")
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 1 if problems else 0


def _print_parts(configuration: Configuration) -> None:
    module = sys.modules.get(configuration.module_name or "")
    print(f"configuration: {configuration.module_name} ({getattr(module, '__file__', None)})")
    print(f"serializer: {_class_name(configuration.serializer)}")
    extensions = ", ".join(_class_name(extension) for extension in configuration.extensions)
    print(f"extensions: {extensions or 'none'}")
    print(f"distribution modules: {', '.join(configuration.distribution_modules) or 'none'}")


def _reach(advice: Any, modules: list[str]) -> Iterator[tuple[str, str, Optional[str]]]:
    if hasattr(advice, "interpreter"):
        try:
            interpreter = checked_interpreter(advice.interpreter, type(advice).__name__)
        except BandsawError as error:
            yield "interpreter", "", str(error)
        else:
            yield _reach_interpreter(interpreter)
    if hasattr(advice, "_executor"):
        yield _reach_executor(advice, modules)
    remotes = getattr(advice, "remotes", None)
    if isinstance(remotes, dict) and hasattr(advice, "backend"):
        if not remotes:
            yield "remotes", "", "none was added: call add_remote(bandsaw.advices.ssh.Remote(...))"
        for name, remote in remotes.items():
            yield (
                f"remote {name!r} ({getattr(remote, 'host', remote)})",
                *_probe_remote(advice.backend, remote, modules),
            )


def _reach_interpreter(interpreter: Interpreter) -> tuple[str, str, Optional[str]]:
    if isinstance(interpreter, Environment):
        what = f"environment {interpreter!r}"
        try:
            if not interpreter.is_made:
                # A check must not install anything.
                return what, "not made yet, the first task that needs it will have it made", None
            return (f"{what} {interpreter.executable}", *_probe_interpreter(interpreter))
        except BandsawError as error:
            return what, "", str(error)
    return (f"interpreter {interpreter.executable}", *_probe_interpreter(interpreter))


def _probe_interpreter(interpreter: Interpreter) -> tuple[str, Optional[str]]:
    try:
        probed = subprocess.run(
            [interpreter.executable, "-c", _PROBE],
            env={**os.environ, **interpreter.overlay(local=True)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_PROBE_SECONDS,
        )
    except (OSError, subprocess.SubprocessError) as error:
        return "", f"cannot be started: {why_not_started(str(interpreter.executable), error)}"
    # A script that starts it may have written something before.
    version = (probed.stdout.split() or [""])[-1]
    if probed.returncode != 0 or not re.fullmatch(r"\d+\.\d+\.\d+", version):
        said = probed.stderr.strip() or f"it ended with exit code {probed.returncode}"
        return "", f"is no Python that works: {said}"
    return f"Python {version}", _too_old(version)


def _probe_remote(backend: Any, remote: Any, modules: list[str]) -> tuple[str, Optional[str]]:
    try:
        interpreter = checked_interpreter(getattr(remote, "interpreter", None), "the remote")
        command = command_of(backend, remote, python_of(remote))
        if command is not None:
            return _reached(remote, interpreter, command, modules)
        backend.execute_remote(remote, remote.interpreter.executable, "-c", "pass")
    except Exception as error:
        return "", f"cannot be reached: {error}"
    return f"{remote.interpreter.executable} runs", None


def _reached(
    remote: Any, interpreter: Interpreter, command: Sequence[str], modules: list[str]
) -> tuple[str, Optional[str]]:
    from .._workers.ssh.ssh_start import Target, probe

    is_made_there = isinstance(interpreter, Environment)
    if command[0] == "ssh":
        # With -v, ssh prints the key of the host.
        command = [command[0], "-v", *command[1:]]
    directory = remote.directory.as_posix()
    told = probe(
        Target(remote.host, tuple(command), directory, python_of(remote)),
        [] if is_made_there else modules,
    )
    version = ".".join(map(str, told["python"]))
    parts = [f"Python {version} at {told['executable']}"]
    if is_made_there:
        parts[0] += f", which makes {interpreter!r} when a task needs it"
    key = re.search(r"Server host key: (\S+ \S+)", told["words"])
    if key is not None:
        parts.append(f"host key {key.group(1)}")
    parts.append(f"{told['round_trip'] * 1000:.1f} ms there and back")
    ahead = told["ahead"]
    if abs(ahead) > _CLOCK_SECONDS:
        parts.append(f"its clock is {abs(ahead):.0f} s {'ahead' if ahead > 0 else 'behind'}")
    else:
        parts.append("its clock is right")
    problem = _too_old(version)
    if "unusable" in told:
        problem = f"its directory {directory} cannot be used: {told['unusable']}"
    else:
        parts.append(f"{told['free'] / 1e9:.1f} GB free in {directory}")
    if told["missing"]:
        parts.append(f"not installed there: {', '.join(told['missing'])}")
    return ", ".join(parts), problem


def _needed_modules(archive: DistributionArchive) -> list[str]:
    """Lists what the code of an archive imports that is installed here, and does not go along."""
    from .._archive.imports import Imports
    from .._archive.zip_archive import content_of_folder

    content = content_of_folder(archive.folder)
    needed: set[str] = set()
    for member in content.members:
        if member.endswith(".py") and not member.startswith("bandsaw/"):
            module = member[: -len(".py")].replace("/", ".")
            module = module[: -len(".__init__")] if module.endswith(".__init__") else module
            names = Imports().of(module, content.read(member))
            needed.update(name.partition(".")[0] for name in names)
    return [
        name
        for name in sorted(needed)
        if not is_standard_library(name) and not content.holds(name) and _is_here(name)
    ]


def _is_here(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError, AttributeError):
        return False


def _too_old(version: str) -> Optional[str]:
    if tuple(map(int, version.split(".")[:2])) < _OLDEST:
        return f"Python {version} is too old: bandsaw needs {_OLDEST[0]}.{_OLDEST[1]} or newer"
    return None


def _class_name(part: Any) -> str:
    return f"{type(part).__module__}.{type(part).__qualname__}"


# A worker of Slurm is a job, which may have to wait.
_WORKER_SECONDS = 60.0
# Run in the worker, which needs no bandsaw for it.
_WORKER_PROBE = (
    "(lambda sys, find: {'python': '.'.join(map(str, sys.version_info[:3])), "
    "'missing': [name for name in names if not find(name)], "
    "'os': __import__('os').name})"
    "(__import__('sys'), __import__('importlib.util').util.find_spec)"
)


def _reach_executor(advice: Any, modules: Sequence[str]) -> tuple[str, str, Optional[str]]:
    """Returns what the executor of an advice is, what was found there, and what is wrong."""
    what = "executor"
    try:
        executor = advice._executor()
        what = f"executor {type(executor).__name__}"
        names = [*modules, *([] if advice.isolate else ["bandsaw"])]
        workers = _asked(executor, names)
    except FutureTimeoutError:
        return what, "", f"no worker has begun with a call in {_WORKER_SECONDS:g} s"
    except Exception as error:
        return what, "", f"cannot be reached: {type(error).__name__}: {error}"
    return what, *_said(workers, advice.isolate)


def _asked(executor: Any, names: Sequence[str]) -> list[dict[str, Any]]:
    probe = (eval, _WORKER_PROBE, {"names": names})
    ask_all = getattr(executor, "_ask_all", None)
    if ask_all is not None:
        return ask_all(_WORKER_SECONDS, *probe)  # type: ignore[no-any-return]
    return [executor.submit(*probe).result(_WORKER_SECONDS)]


def _said(workers: Sequence[dict[str, Any]], isolate: bool) -> tuple[str, Optional[str]]:
    if not workers:
        return "", "it has no workers"
    versions = Counter(worker["python"] for worker in workers)
    missing = Counter(name for worker in workers for name in worker["missing"])
    pythons = [
        f"Python {version}" + (f" ({number} workers)" if len(versions) > 1 else "")
        for version, number in sorted(versions.items())
    ]
    parts = [f"{len(workers)} worker{'s' * (len(workers) > 1)} asked", *pythons]
    if missing:
        lacking = [
            name + (f" ({number} workers)" if number < len(workers) else "")
            for name, number in sorted(missing.items())
        ]
        parts.append(f"not installed there: {', '.join(lacking)}")
    problem = next(filter(None, map(_too_old, versions)), None)
    if any(worker["os"] != "posix" for worker in workers):
        problem = "its workers have no POSIX system"
    if missing["bandsaw"] and not isolate:
        problem = "bandsaw is not installed there, which isolate=False needs"
    return ", ".join(parts), problem
