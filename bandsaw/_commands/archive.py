"""`python -m bandsaw archive`: what travels with tasks, and why."""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Optional

from .._archive import keep
from .._archive.zip_archive import Content, content_of_folder, content_of_zip
from .._system.files import output_at, whole_file
from .._system.home import kept_folder
from ..distribution import DistributionArchive, get_distribution_archive
from ..errors import DistributionError, InvalidValueError
from .console import add, age_in, counted, say, say_table, size_in, told_seconds, told_size
from .targets import loaded, reason_of

_SHORT = 12
_counted = functools.partial(counted, one="archive")


def add_arguments(commands: Any) -> None:
    build = add(
        commands,
        "build",
        "build the archive of a configuration, and print its path",
        "--output workflow.zip",
    )
    build.add_argument("--output", metavar="FILE", help="where to (default: where they are kept)")
    ls = add(
        commands,
        "ls",
        "list what is in an archive and why, or the archives that are kept",
        "--kept",
    )
    ls.add_argument("archive", nargs="?", help="a file or folder (default: of the configuration)")
    ls.add_argument("--kept", action="store_true", help="the archives that are kept")
    for command in (build, ls):
        command.add_argument(
            "--config",
            metavar="MODULE",
            help="the configuration module (default: the one that tasks would get)",
        )
        command.add_argument(
            "--module",
            metavar="NAME",
            action="append",
            default=[],
            help="a module with tasks, which is imported: what these reach is in it",
        )
    run = add(commands, "run", "go on with a saved session, as a far end does", "workflow.zip -h")
    run.add_argument("archive", help="the file or folder")
    rest = run.add_argument("arguments", nargs=argparse.REMAINDER, help="see `run ARCHIVE -h`")
    rest.required = False  # it is named as that otherwise
    rm = add(
        commands,
        "rm",
        "remove archives that are kept and were not used within a day",
        "--older-than 30d",
    )
    rm.add_argument(
        "--older-than", metavar="AGE", type=_age_in, help="and not for so long: days, or like 12h"
    )
    rm.add_argument(
        "--max-bytes",
        metavar="SIZE",
        type=size_in,
        help="and were not used for longest, until so much is left, like 500MB or 2GiB",
    )
    rm.add_argument("--all", action="store_true", help="all of these")


def _age_in(text: str) -> float:
    return float(text) * 86400 if text.replace(".", "", 1).isdecimal() else age_in(text)


def _build(parsed: argparse.Namespace) -> int:
    archive = _configured(parsed)
    path = archive.path
    if parsed.output is not None:
        output = Path(parsed.output)
        if not output.parent.is_dir():
            raise InvalidValueError(f"There is no folder {str(output.parent)!r}: make it first.")
        with open(path, "rb") as source, whole_file(output) as target:
            shutil.copyfileobj(source, target)
        path = output
        if output_at(output) == 1:
            return 0
    # Not escaped: scripts read this path.
    print(path)
    return 0


def _configured(parsed: argparse.Namespace) -> DistributionArchive:
    configuration = loaded(parsed.config)
    for name in parsed.module:
        try:
            importlib.import_module(name)
        except Exception as error:
            raise InvalidValueError(
                f"The module {name!r} cannot be imported: {reason_of(error)}."
            ) from error
    return get_distribution_archive(configuration)


def _ls(parsed: argparse.Namespace) -> int:
    if parsed.kept and parsed.archive:
        raise InvalidValueError("Either name an archive or list those that are kept.")
    if parsed.kept:
        return _ls_kept()
    # What was left out is known best where the archive is made.
    content = _content(parsed.archive) if parsed.archive else _configured(parsed)._collect()
    lines = [("SIZE", "MEMBER", "WHY")]
    for name, member in sorted(content.members.items()):
        lines.append((told_size(member["size"]), name, member["why"]))
    lines += [("-", name, f"left out: {why}") for name, why in sorted(content.left_out.items())]
    say_table(lines)
    total = sum(member["size"] for member in content.members.values())
    say(f"{len(content.members)} files, {told_size(total)}, digest {content.digest}")
    if content.manifest["signed_by"] is not None:
        say(f"takes only sessions that are signed with the key of {content.manifest['signed_by']}")
    return 0


def _content(archive: str | Path) -> Content:
    path = Path(archive)
    return content_of_folder(path) if path.is_dir() else content_of_zip(path)


def _ls_kept() -> int:
    base = kept_folder("archives")
    now = time.time()
    lines, total, counted_files = [("DIGEST", "USED", "SIZE", "FORM")], 0, set[Any]()
    kept = [Path(path) for path in keep.kept(str(base))]
    for path in sorted(kept, key=_used, reverse=True):
        # What an archive shares with one that was used later is that one's.
        size = sum(keep.sizes_of_new(str(path), counted_files))
        total += size
        form = "folder" if path.is_dir() else "file"
        lines.append((path.name[:_SHORT], told_seconds(now - _used(path)), told_size(size), form))
    say_table(lines)
    say(f"{_counted(len({path.stem for path in kept}))}, {told_size(total)} in {base}")
    return 0


def _used(path: Path) -> float:
    try:
        return os.lstat(path).st_mtime
    except OSError:
        return 0.0


def _run(parsed: argparse.Namespace) -> int:
    # Raises unless the file is an archive of bandsaw.
    _content(parsed.archive)
    status = subprocess.call([sys.executable, "-u", parsed.archive, *parsed.arguments])
    return status if status >= 0 else 128 - status


def _rm(parsed: argparse.Namespace) -> int:
    age: Optional[float] = parsed.older_than
    if (age is not None) + (parsed.max_bytes is not None) + parsed.all != 1:
        raise InvalidValueError(
            "Say what to remove: one of --older-than AGE, --max-bytes SIZE and --all."
        )
    base = kept_folder("archives")
    before = _bytes_in(base)
    if parsed.max_bytes is not None:
        age = keep.KEPT_SECONDS
    removed = keep.prune(str(base), age or 0, parsed.max_bytes)
    number = len({Path(path).stem for path in removed})
    say(f"removed {_counted(number)}, {told_size(max(0, before - _bytes_in(base)))}")
    left = len({Path(path).stem for path in keep.kept(str(base))})
    if parsed.all and left:
        raise DistributionError(
            f"Left, because used within a day and maybe in use: {_counted(left)}."
        )
    return 0


def _bytes_in(base: Path) -> int:
    return sum(keep.sizes_of_new(str(base), set()))


ACTIONS = {"build": _build, "ls": _ls, "run": _run, "rm": _rm}
