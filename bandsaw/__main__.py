"""The command line: `python -m bandsaw`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Optional

from . import __version__
from ._commands import archive, cache, env


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
    of_cache = commands.add_parser(
        "cache",
        help="look into caches and manage them",
        description="Lists, explains, verifies and removes what CachingAdvices have kept.",
    )
    cache.add_arguments(of_cache)
    of_archive = commands.add_parser(
        "archive",
        help="look at what travels with tasks",
        description="Builds, lists and runs the archives that carry the code of tasks.",
    )
    archive.add_arguments(of_archive)
    of_env = commands.add_parser(
        "env",
        help="look at environments and manage them",
        description="Lists, makes and removes the environments that bandsaw.Environment keeps.",
    )
    env.add_arguments(of_env)
    parsed = parser.parse_args(args)
    if parsed.command == "cache":
        return cache.run(parsed, of_cache)
    if parsed.command == "archive":
        return archive.run(parsed, of_archive)
    if parsed.command == "env":
        return env.run(parsed, of_env)
    if parsed.command == "check":
        from ._commands.check import check_configuration

        return check_configuration(parsed.config)
    parser.print_help()
    return 0


if __name__ == "__main__":
    sys.exit(main())
