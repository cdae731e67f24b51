"""`bandsaw runs`: what a Recorder has written."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from typing import Any, Optional

from .._recording import counts, misses, reading, returned
from .._system.files import output_at
from ..errors import ConfigurationError, ConfigurationNotFoundError, InvalidValueError
from .console import (
    add,
    age_in,
    counted,
    printable,
    say,
    say_table,
    told_seconds,
    told_size,
    told_time,
)

_MOST_SHOWN = 20
_WIDEST = 70


def add_arguments(commands: Any) -> None:
    ls = add(commands, "ls", "list the runs, the newest first")
    show = add(
        commands,
        "show",
        "show one run: its tasks, and what was slow",
        "--calls --task workflow.train",
    )
    show.add_argument("--calls", action="store_true", help="list all calls")
    show.add_argument("--task", metavar="TASK", help="only the calls of one task")
    failures = add(commands, "failures", "show what failed in a run, with tracebacks")
    compare = add(commands, "compare", "compare two runs, task by task", "3f2a last")
    report = add(commands, "report", "write a report of a run: one HTML file", "-o run.html")
    report.add_argument("-o", "--output", metavar="FILE", help="where to write it")
    report.add_argument(
        "--format", choices=("html", "trace"), default="html",
        help="`trace` is what Perfetto and Chrome's about:tracing open (default: html)",
    )  # fmt: skip
    watch = add(commands, "watch", "show how far a run is, until it ends")
    watch.add_argument(
        "--seconds", type=age_in, default=1.0, metavar="SPAN", help="how often (default: 1s)"
    )
    made = add(
        commands, "made", "say which call and run a returned file is from", "results/model.joblib"
    )
    made.add_argument("path", metavar="PATH", help="the file, or a folder")
    prune = add(commands, "prune", "remove old runs", "--older-than 30d")
    prune.add_argument(
        "--older-than", type=age_in, default="30d", metavar="SPAN",
        help="as in 90m, 12h, 30d; a number alone is seconds (default: 30d)",
    )  # fmt: skip
    for command in (show, failures, compare, report, watch):
        _add_run(command, "run", "the beginning of its id (default: the last run)", nargs="?",
                 default="last")  # fmt: skip
    _add_run(compare, "other", "the run to compare it with; tables show the first run -> this one")
    for command in (ls, show, failures, compare, report, watch, made, prune):
        command.add_argument("--file", metavar="FILE", help="the file (default: the project's)")
        command.add_argument("--config", metavar="MODULE", help="the configuration module")
    for command in (ls, show, failures, compare):
        command.add_argument("--json", action="store_true", help="print JSON")


def _add_run(command: Any, name: str, text: str, **options: Any) -> None:
    command.add_argument(name, metavar="RUN", help=text, **options).completer = _ids


def _ids(prefix: str, parsed_args: Any, **_: Any) -> list[str]:
    # For completion in a shell.
    with reading.reading(file_of(parsed_args)) as connection:
        return [run["run"] for run in reading.runs(connection)]


def file_of(parsed: argparse.Namespace) -> str:
    """Returns the file that is meant: of the recorder of the configuration, if there is one."""
    if parsed.file is not None:
        return str(os.path.abspath(parsed.file))
    from ..recording import Recorder
    from .targets import loaded

    try:
        configuration = loaded(parsed.config, " Name a file with --file.")
    except ConfigurationError as error:
        if parsed.config is not None or not isinstance(error, ConfigurationNotFoundError):
            raise
        return reading.file_in_home(os.getcwd())
    for extension in configuration.extensions:
        if isinstance(extension, Recorder):
            return extension.file_of(configuration)
    return reading.default_file(configuration)


def _ls(parsed: argparse.Namespace) -> int:
    with reading.reading(file_of(parsed)) as connection:
        found = reading.runs(connection)
    if parsed.json:
        return _say_json(found)
    lines = [("RUN", "BEGUN", "TOOK", "STATE", "CALLS", "HITS", "FAILED", "COMMAND")]
    for run in found:
        lines.append((
            run["run"], told_time(run["begun"]), told_seconds(run["seconds"]), run["state"],
            str(run["calls"]), str(run["hits"]), str(run["failures"]), run["command"][:60],
        ))  # fmt: skip
    say_table(lines)
    say(counted(len(found), "run"))
    return 0


def _show(parsed: argparse.Namespace) -> int:
    with reading.reading(file_of(parsed)) as connection:
        run = reading.run_of(connection, parsed.run)
        calls = reading.calls(connection, run["run"])
        # A call is written when it has ended.
        progress = reading.progress(connection, run) if run["ended"] is None else []
    if parsed.task is not None:
        names = ", ".join(sorted({call["task"] for call in calls})) or "none"
        calls = [call for call in calls if call["task"] == parsed.task]
        if not calls:
            raise InvalidValueError(
                f"Run {run['run']} has no call of a task {parsed.task!r}. Its tasks are: {names}."
            )
    tasks = reading.tasks(calls)
    misses.explain(calls)
    if parsed.json:
        return _say_json({**run, "tasks": tasks, "list": calls})
    _say_run(run)
    lines = [("TASK", "CALLS", "HITS", "FAILED", "TIME", "LONGEST", "PROCESSOR", "MEMORY")]
    for task in tasks:
        lines.append((
            task["task"], str(task["calls"]), str(task["hits"]), str(task["failures"]),
            told_seconds(task["seconds"]), told_seconds(task["longest"]),
            told_seconds(task["cpu"]), told_size(task["memory"]) if task["memory"] else "-",
        ))  # fmt: skip
    say_table(lines)
    for name, known in progress:
        left = known.total - known.done
        if left and parsed.task in (None, name):
            say(f"and of {name} {counted(left, 'call')} not ended, {known.running} of them begun")
    reasons = misses.reasons(calls)
    if reasons:
        say("\nWhy calls were computed, though there is a cache:")
    for name, number, why in reasons[:_MOST_SHOWN]:
        say(f"  {name}: {why}{f' (and {number - 1} more)' if number > 1 else ''}")
    if parsed.calls or parsed.task:
        say("")
        _say_calls(calls)
    else:
        slow = sorted(calls, key=lambda call: -(call["seconds"] or 0.0))[:5]
        if slow:
            say("\nThe slowest calls:")
            _say_calls(slow)
    return 0


def _say_run(run: dict[str, Any]) -> None:
    say(
        f"run {run['run']} of {run['command']}, {told_time(run['begun'])}, "
        f"{run['state']} after {told_seconds(run['seconds'])}: {counted(run['calls'], 'call')}, "
        f"{counted(run['hits'], 'hit')}, {counted(run['failures'], 'failure')}\n"
    )


def _say_calls(calls: list[dict[str, Any]]) -> None:
    lines = [("CALL", "STATE", "WAITED", "TOOK", "WHERE")]
    for call in calls:
        waited = None
        if call["submitted"] is not None and call["begun"] is not None:
            waited = call["begun"] - call["submitted"]
        text = f"{call['task']}({call['arguments'] or ''})"
        lines.append((
            text if len(text) <= _WIDEST else text[: _WIDEST - 3] + "...",
            call["state"], _told(waited),
            _told(call["seconds"]), call["where"] or "-",
        ))  # fmt: skip
    say_table(lines)


def _told(seconds: Optional[float]) -> str:
    return "-" if seconds is None else told_seconds(seconds)


def _failures(parsed: argparse.Namespace) -> int:
    with reading.reading(file_of(parsed)) as connection:
        run = reading.run_of(connection, parsed.run)
        calls = [call for call in reading.calls(connection, run["run"]) if call["error"]]
    if parsed.json:
        return _say_json(calls)
    _say_run(run)
    for call in calls[:_MOST_SHOWN]:
        where = call["where"] and f" on {call['where']}"
        say(f"{call['task']}({call['arguments'] or ''}): {call['state']}{where}")
        say("    " + (call["traceback"] or call["error"]).rstrip().replace("\n", "\n    ") + "\n")
    if len(calls) > _MOST_SHOWN:
        say(f"and {len(calls) - _MOST_SHOWN} more: --json has all")
    return 0


def _compare(parsed: argparse.Namespace) -> int:
    with reading.reading(file_of(parsed)) as connection:
        both = [reading.run_of(connection, name) for name in (parsed.run, parsed.other)]
        found = [
            {task["task"]: task for task in reading.tasks(reading.calls(connection, run["run"]))}
            for run in both
        ]
    names = list(dict.fromkeys([*found[0], *found[1]]))
    if parsed.json:
        of_runs = [[each.get(name) for each in found] for name in names]
        return _say_json([{"task": name, "runs": each} for name, each in zip(names, of_runs)])
    for run in both:
        _say_run(run)
    lines = [("TASK", "CALLS", "HITS", "FAILED", "TIME", "RATIO")]
    for name in names:
        one, other = (each.get(name) for each in found)
        ratio = "-"
        if one and other and one["seconds"]:
            ratio = f"{other['seconds'] / one['seconds']:.2f}"
        columns = [
            " -> ".join(str(each[key]) if each else "-" for each in (one, other))
            for key in ("calls", "hits", "failures")
        ]
        times = " -> ".join(told_seconds(each["seconds"]) if each else "-" for each in (one, other))
        lines.append((name, *columns, times, ratio))
    say_table(lines)
    return 0


def _report(parsed: argparse.Namespace) -> int:
    from .. import _report

    with reading.reading(file_of(parsed)) as connection:
        run = reading.run_of(connection, parsed.run)
        _report.check(parsed.format)  # before all is read, which may take long
        calls = reading.calls(connection, run["run"])
    # An id may be any text.
    name = re.sub(r"[^\w.-]", "_", run["run"])
    path = parsed.output or f"bandsaw-{name}.{'html' if parsed.format == 'html' else 'json'}"
    try:
        _report.write(path, parsed.format, run, calls)
    except OSError as error:
        reason = error.strerror or error
        raise InvalidValueError(f"The report cannot be written to {path!r}: {reason}.") from error
    if output_at(path) != 1:
        say(f"wrote {path}")
    return 0


def _watch(parsed: argparse.Namespace) -> int:
    path = file_of(parsed)
    with reading.reading(path) as connection:
        name = reading.run_of(connection, parsed.run)["run"]
    shown = counts.shower(parsed.seconds, sys.stdout)
    is_over = False
    try:
        while not is_over:
            with reading.reading(path) as connection:
                run = reading.run_of(connection, name)
                rows = reading.progress(connection, run)
            is_over = run["state"] != "running"
            shown.show([(printable(task), one) for task, one in rows], is_over)
            if not is_over:
                time.sleep(parsed.seconds)
    finally:
        if not is_over:
            shown.show([], True)  # a terminal gets its cursor back
    _say_run(run)
    return 0


def _made(parsed: argparse.Namespace) -> int:
    with reading.reading(file_of(parsed)) as connection:
        found = reading.calls_that_returned(connection, os.path.abspath(parsed.path))
        # On the machine of a task only calls are written.
        commands = {run["run"]: f" of {run['command']}" for run in reading.runs(connection)}
    if not found:
        raise InvalidValueError(
            f"No recorded call has returned {parsed.path!r} as a bandsaw.File from another process."
        )
    newest = found[0]
    ids = newest["task_id"], newest["execution_id"]
    of_the_same = [one for one in found if (one["task_id"], one["execution_id"]) == ids]
    computed = next((one for one in of_the_same if one["state"] != "hit"), None)
    for call, how in ((computed, "returned"), (newest, "taken from a cache")):
        if call is not None and (how == "returned" or call["state"] == "hit"):
            say(f"{how} by {call['task']}({call['arguments'] or ''}) in run {call['in_run']}"
                f"{commands.get(call['in_run'], '')}, {told_time(call['ended'])}")  # fmt: skip
    what = returned.what_became(os.path.abspath(parsed.path), newest)
    if what is not None:
        say(what)
    return 0


def _prune(parsed: argparse.Namespace) -> int:
    oldest = time.time() - parsed.older_than
    with reading.reading(file_of(parsed)) as connection:
        old = [
            run["run"]
            for run in reading.runs(connection)
            if run["begun"] < oldest and run["state"] != "running"
        ]
        with connection:
            for name in old:
                for table in ("calls", "runs", "interrupted", "progress"):
                    connection.execute(f"DELETE FROM {table} WHERE run = ?", (name,))
        connection.execute("VACUUM")
    say(f"removed {counted(len(old), 'run')}")
    return 0


def _say_json(content: Any) -> int:
    say(json.dumps(content, indent=1))
    return 0


ACTIONS = {
    "ls": _ls,
    "show": _show,
    "failures": _failures,
    "compare": _compare,
    "report": _report,
    "watch": _watch,
    "made": _made,
    "prune": _prune,
}
