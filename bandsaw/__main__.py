# PYTHON_ARGCOMPLETE_OK
"""The command line: `python -m bandsaw`."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import Any, Optional, TextIO

from . import __version__
from ._commands import archive, cache, console, env, files, runs

_GROUPS: dict[str, tuple[str, str, Any]] = {
    "cache": (
        "look into caches and manage them",
        "Lists, explains, verifies and removes what CachingAdvices have kept.",
        cache,
    ),
    "archive": (
        "look at what travels with tasks",
        "Builds, lists and runs the archives that carry the code of tasks.",
        archive,
    ),
    "env": (
        "look at environments and manage them",
        "Lists, makes and removes the environments that bandsaw.Environment keeps.",
        env,
    ),
    "runs": (
        "see what happened in runs",
        "Shows what a bandsaw.recording.Recorder has written: runs, their calls, and failures.",
        runs,
    ),
    "files": (
        "look at the contents of files that are kept",
        "Lists and removes contents that were sent here, and files that runs have returned.",
        files,
    ),
}


def main(args: Optional[Sequence[str]] = None) -> int:
    """Runs the command line.

    Args:
        args: The arguments, by default those of the process.

    Returns:
        The exit status: 0 for success, 1 if something was found that is wrong.

    Raises:
        SystemExit: For `--help` and `--version`, and with status 2 if the arguments are wrong.
    """
    is_script = os.path.basename(sys.argv[0]).startswith("bandsaw")
    if is_script and os.getcwd() not in sys.path:
        # As with `python -m`: the configuration and the tasks lie there.
        sys.path.insert(0, os.getcwd())
    parser = make_parser("bandsaw" if is_script else "python -m bandsaw")
    if "_ARGCOMPLETE" in os.environ:
        # A shell asks how the words of a command go on.
        with contextlib.suppress(ImportError):
            importlib.import_module("argcomplete").autocomplete(parser)
    output: Optional[TextIO] = sys.stdout
    if output is None:
        # It was closed before the program was started.
        sys.stdout = open(os.devnull, "w")
    elif isinstance(output, io.TextIOWrapper) and output.errors in ("strict", "surrogateescape"):
        # Paths and values may have characters that the output has no code for.
        output.reconfigure(errors="backslashreplace")
    parsed = parser.parse_args(args)
    if parsed.command == "check":
        from ._commands.check import check_configuration

        return console.run(lambda: check_configuration(parsed.config))
    if parsed.command is None or parsed.action is None:
        getattr(parsed, "help", parser.print_help)()
        return 0
    return console.run(lambda: parsed.actions[parsed.action](parsed))


def make_parser(program: str) -> argparse.ArgumentParser:
    """Makes the parser of the command line, with all commands."""
    parser = argparse.ArgumentParser(
        prog=program,
        description="Splits one workflow into tasks that run separately.",
        epilog=f"example: {program} check",
    )
    parser.add_argument("--version", action="version", version=f"bandsaw {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="check a configuration",
        description="Loads a configuration, lists what is in it, and says for each interpreter "
        "and remote whether it can be reached and which Python it is. Exits with status 1 where "
        "one cannot.",
        epilog=f"example: {program} check --config bandsaw_config",
    )
    check.add_argument(
        "--config",
        metavar="MODULE",
        help="the configuration module (default: the one that tasks would get)",
    )
    for name, (text, description, module) in _GROUPS.items():
        group = commands.add_parser(
            name, help=text, description=description, epilog=f"example: {program} {name} ls"
        )
        module.add_arguments(group.add_subparsers(dest="action", metavar="COMMAND"))
        group.set_defaults(actions=module.ACTIONS, help=group.print_help)
    return parser


if __name__ == "__main__":
    sys.exit(main())
