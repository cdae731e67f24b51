"""`python -m bandsaw files`: the contents of files that are kept."""

from __future__ import annotations

import argparse
import functools
import json
import time
from typing import Any, Optional

from .._files import kept
from ..errors import InvalidValueError
from .console import add, age_in, counted, say, say_table, size_in, told_seconds, told_size

_counted = functools.partial(counted, one="place", many="places")


def add_arguments(commands: Any) -> None:
    ls = add(commands, "ls", "list what was sent here and what runs have returned, last used first")
    ls.add_argument("--json", action="store_true", help="print JSON")
    rm = add(commands, "rm", "remove what was not used within a day", "--older-than 7d")
    rm.add_argument(
        "--older-than", metavar="AGE", type=age_in, help="and not for so long, like 12h or 30d"
    )
    rm.add_argument(
        "--max-bytes",
        metavar="SIZE",
        type=size_in,
        help="and was not used for longest, until so much is left, like 500MB or 2GiB",
    )
    rm.add_argument("--all", action="store_true", help="all of this")


def _ls(parsed: argparse.Namespace) -> int:
    base = kept.folder()
    found = sorted(kept.found(base), key=lambda each: each.used, reverse=True)
    if parsed.json:
        say(json.dumps([each._asdict() for each in found], indent=1))
        return 0
    now = time.time()
    lines = [("USED", "SIZE", "WHAT", "WHERE")]
    for each in found:
        used = told_seconds(max(0.0, now - each.used))
        lines.append((used, told_size(each.size), each.what, each.path[len(base) + 1 :]))
    say_table(lines)
    say(f"{_counted(len(found))}, {told_size(sum(each.size for each in found))} in {base}")
    return 0


def _rm(parsed: argparse.Namespace) -> int:
    age: Optional[float] = parsed.older_than
    if (age is not None) + (parsed.max_bytes is not None) + parsed.all != 1:
        raise InvalidValueError(
            "Say what to remove: one of --older-than AGE, --max-bytes SIZE and --all."
        )
    if parsed.max_bytes is not None:
        age = kept.KEPT_SECONDS
    removed = kept.prune(kept.folder(), age or 0.0, parsed.max_bytes)
    say(f"removed {_counted(len(removed))}, {told_size(sum(each.size for each in removed))}")
    return 0


ACTIONS = {"ls": _ls, "rm": _rm}
