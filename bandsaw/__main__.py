"""The command line: `python -m bandsaw`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Optional

from . import __version__, _archive_command, _cache_command, _environment_command


def main(args: Optional[Sequence[str]] = None) -> int:
    """Runs the command line.

    Args:
        args: The arguments, by default those of the process.

    Returns:
        The exit status: 0 for success, 1 if something was found that is wrong.

    Raises:
        SystemExit: For `--help` and `--version`, and with status 2 if the arguments are wrong.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bandsaw",
        description="Splits one workflow into tasks that run separately.",
    )
    parser.add_argument("--version", action="version", version=f"bandsaw {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    check = commands.add_parser(
        "check",
        help="check a configuration",
        description="Loads a configuration, lists what is in it, and says for each interpreter "
        "and remote whether it can be reached and which Python it is. Exits with status 1 where "
        "one cannot.",
    )
    check.add_argument(
        "--config",
        metavar="MODULE",
        help="the configuration module (default: the one that tasks would get)",
    )
    cache = commands.add_parser(
        "cache",
        help="look into caches and manage them",
        description="Lists, explains, verifies and removes what CachingAdvices have kept.",
    )
    _cache_command.add_arguments(cache)
    archive = commands.add_parser(
        "archive",
        help="look at what travels with tasks",
        description="Builds, lists and runs the archives that carry the code of tasks.",
    )
    _archive_command.add_arguments(archive)
    env = commands.add_parser(
        "env",
        help="look at environments and manage them",
        description="Lists, makes and removes the environments that bandsaw.Environment keeps.",
    )
    _environment_command.add_arguments(env)
    parsed = parser.parse_args(args)
    if parsed.command == "cache":
        return _cache_command.run(parsed, cache)
    if parsed.command == "archive":
        return _archive_command.run(parsed, archive)
    if parsed.command == "env":
        return _environment_command.run(parsed, env)
    if parsed.command == "check":
        from ._check import check_configuration

        return check_configuration(parsed.config)
    parser.print_help()
    return 0


if __name__ == "__main__":
    sys.exit(main())
