"""`python -m bandsaw env`: the environments that are kept."""

from __future__ import annotations

import argparse
import functools
import json
import sys
import time
from typing import Any

from .._environments import store
from .._system.files import size_of
from ..environments import Environment
from ..errors import InvalidValueError
from .console import add, counted, say, say_table, told_seconds, told_size

_SHORT = 12
_counted = functools.partial(counted, one="environment")


def add_arguments(commands: Any) -> None:
    ls = add(commands, "ls", "list the environments, the one that was used last first")
    ls.add_argument("--json", action="store_true", help="print JSON")
    build = add(
        commands,
        "build",
        "make an environment, and print the path of its Python",
        "'numpy>=1.26,<2' --python 3.12",
    )
    build.add_argument("requirement", nargs="*", help="what to install, as in 'numpy>=1.26,<2'")
    build.add_argument(
        "--python",
        metavar="PYTHON",
        help="a version, version specifiers or an executable (default: this Python)",
    )
    build.add_argument("--script", metavar="FILE", help="what the inline metadata of FILE says")
    rm = add(commands, "rm", "remove environments", "--all")
    rm.add_argument("digest", nargs="*", help="the digest as `ls` prints it, or its beginning")
    rm.add_argument("--all", action="store_true", help="all environments")


def _ls(parsed: argparse.Namespace) -> int:
    found = [(environment, size_of(environment.folder)) for environment in store.kept()]
    if parsed.json:
        say(json.dumps([_as_json(environment, size) for environment, size in found], indent=1))
        return 0
    now = time.time()
    lines = [("DIGEST", "PYTHON", "AGE", "USED", "SIZE", "REQUIREMENTS")]
    for environment, size in found:
        record = environment.record
        used = told_seconds(now - environment.used)
        python, age, requirements = "", "", f"({_state(environment)})"
        if record is not None:
            python, age = record["python"], told_seconds(now - record["made"])
            requirements = ", ".join(record["requirements"]) or "-"
        lines.append(
            (environment.digest[:_SHORT], python, age, used, told_size(size), requirements)
        )
    say_table(lines)
    say(f"{_counted(len(found))}, {told_size(sum(size for _, size in found))}")
    return 0


def _state(environment: store.KeptEnvironment) -> str:
    if environment.record is not None:
        return "whole"
    return "being made" if environment.is_busy else "interrupted"


def _as_json(environment: store.KeptEnvironment, size: int) -> dict[str, Any]:
    return {
        "digest": environment.digest,
        "path": str(environment.folder),
        "state": _state(environment),
        "size": size,
        "used": environment.used,
        **(environment.record or {}),
    }


def _build(parsed: argparse.Namespace) -> int:
    if parsed.script is not None:
        if parsed.requirement or parsed.python is not None:
            raise InvalidValueError("A script says itself what it needs: give nothing else.")
        environment = Environment.from_script(parsed.script)
    else:
        environment = Environment(parsed.requirement, parsed.python)
    # Not escaped: scripts read this path.
    print(environment.executable)
    return 0


def _rm(parsed: argparse.Namespace) -> int:
    if bool(parsed.all) + bool(parsed.digest) != 1:
        raise InvalidValueError("Say what to remove: one of digests and --all.")
    there = store.kept()
    found = there if parsed.all else [_find(text, there) for text in parsed.digest]
    removed, size, status = 0, 0, 0
    for environment in {environment.digest: environment for environment in found}.values():
        bytes_of_it = size_of(environment.folder)
        if store.remove(environment.folder):
            removed, size = removed + 1, size + bytes_of_it
        else:
            status = 1
            name = environment.digest[:_SHORT]
            say(f"error: {name} is just being made, and is left alone", sys.stderr)
    say(f"removed {_counted(removed)}, {told_size(size)}")
    return status


def _find(text: str, there: list[store.KeptEnvironment]) -> store.KeptEnvironment:
    found = [environment for environment in there if text and environment.digest.startswith(text)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise InvalidValueError(
            f"There is no environment {text!r}. `bandsaw env ls` lists those that there are."
        )
    digests = ", ".join(environment.digest[:_SHORT] for environment in found[:5])
    raise InvalidValueError(f"{len(found)} environments begin with {text!r}: {digests}")


ACTIONS = {"ls": _ls, "build": _build, "rm": _rm}
