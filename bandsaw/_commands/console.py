"""What the commands of `python -m bandsaw` share: how they fail, and how they tell things."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from typing import Any, Callable

from ..errors import BandsawError


def add(commands: Any, name: str, text: str) -> argparse.ArgumentParser:
    """Adds a command.

    Args:
        commands: What `add_subparsers` returned.
        name: Its name.
        text: What it does, for the help.

    Returns:
        Its parser.
    """
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + "."
    )
    return command


def run(action: Callable[[], int] | None, parser: argparse.ArgumentParser) -> int:
    """Runs a command.

    Args:
        action: What to do, `None` if no command was named.
        parser: Prints the help then.

    Returns:
        The exit status: 0 for success, 1 if something is wrong. The reason is printed to standard
        error.
    """
    if action is None:
        parser.print_help()
        return 0
    try:
        status = action()
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever read it has seen enough. Nothing more is written when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        say("interrupted", sys.stderr)
        return 130
    except (BandsawError, OSError) as error:
        say(f"error: {error}", sys.stderr)
        return 1
    return status


def say_table(lines: Sequence[Sequence[str]]) -> None:
    """Prints lines as columns.

    Args:
        lines: The columns of each line, as many for each.
    """
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        say("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())


def told_size(size: float) -> str:
    """Tells a size to humans.

    Args:
        size: The size in bytes.

    Returns:
        A number of at most four digits and a unit, powers of a thousand.
    """
    for unit in ("B", "kB", "MB", "GB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def told_seconds(seconds: float) -> str:
    """Tells a time span to humans, in the unit that fits."""
    seconds = max(0.0, seconds)
    for unit, length in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.2g} s"


def told_time(seconds: float) -> str:
    """Tells a point in time to humans, as it is here."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def say(text: str, stream: Any = None) -> None:
    """Prints a text, with what cannot be printed escaped."""
    # What a file is called and what is in it may be anything.
    print("".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text), file=stream)
