"""What the commands of `python -m bandsaw` share: how they fail, and how they print."""

from __future__ import annotations

import argparse
import importlib
import math
import os
import re
import sys
import time
from collections.abc import Sequence
from typing import Any, Callable

from .._system.units import counted, told_seconds, told_size
from ..errors import BandsawError

__all__ = ["add", "age_in", "counted", "run", "say", "say_table", "size_in", "told_seconds",
           "told_size", "told_time"]  # fmt: skip

_NOT_BROKEN = 20
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12,
          "ki": 2**10, "mi": 2**20, "gi": 2**30, "ti": 2**40}  # fmt: skip
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}


def add(commands: Any, name: str, text: str, example: str = "") -> argparse.ArgumentParser:
    """Adds a command, whose help is the text and an example with these arguments."""
    command: argparse.ArgumentParser = commands.add_parser(
        name, help=text, description=text[0].upper() + text[1:] + "."
    )
    command.epilog = f"example: {command.prog} {example}".rstrip()
    return command


def run(action: Callable[[], int]) -> int:
    """Runs a command. Returns the exit status, and prints errors to standard error."""
    try:
        status = action()
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader has seen enough. Nothing more is written when the process ends.
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
    """Prints lines as columns: in a terminal as a table of `rich`, where that is installed."""
    if sys.stdout.isatty() and _say_rich_table(lines):
        return
    widths = [max(map(len, column)) for column in zip(*lines)]
    for line in lines:
        say("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip())


def _say_rich_table(lines: Sequence[Sequence[str]]) -> bool:
    try:
        table: Any = importlib.import_module("rich.table").Table(box=None, pad_edge=False)
        console: Any = importlib.import_module("rich.console").Console(highlight=False)
        text = importlib.import_module("rich.text").Text
    except ImportError:
        return False
    left = console.width + 2
    rows = [[text(printable(cell)) for cell in line] for line in lines]
    for column in zip(*rows):
        # What is short is not broken: people copy it.
        width = min(_NOT_BROKEN, max(map(len, column)))
        table.add_column(column[0], overflow="fold", min_width=width)
        left -= width + 2
    if left < 0:
        return False
    for row in rows[1:]:
        table.add_row(*row)
    console.print(table)
    return True


def told_time(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def say(text: str, stream: Any = None) -> None:
    print(printable(text), file=stream)


def printable(text: str) -> str:
    """Escapes characters that are not printable: file names may have any."""
    return "".join(c if c.isprintable() or c == "\n" else ascii(c)[1:-1] for c in text)


def size_in(text: str) -> int:
    """Reads a size like `500MB` or `2GiB`."""
    lowered = re.sub("b$", "", text.strip().lower())
    return max(1, int(_number(text, lowered, _UNITS, "size", "500MB or 2GiB")))


def age_in(text: str) -> float:
    """Reads a time span like `90m` or `30d`, in seconds."""
    return _number(text, text.strip().lower(), _SECONDS, "time span", "90m, 12h or 30d")


def _number(text: str, lowered: str, units: dict[str, int], what: str, example: str) -> float:
    match = re.fullmatch(r"(\d+(?:\.\d*)?)\s*([a-z]*)", lowered)
    if match is None or match[2] not in units or not float(match[1]):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no {what}: write a number above zero and a unit, like {example}"
        )
    number = float(match[1]) * units[match[2]]
    if math.isinf(number):
        raise argparse.ArgumentTypeError(f"{text!r} is too large")
    return number
