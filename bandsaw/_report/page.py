"""The page of a report: one HTML file with all that it needs."""

from __future__ import annotations

import html
import importlib
import time
from collections.abc import Sequence
from string import Template
from typing import Any

from .._system.units import told_seconds, told_size
from ..errors import InvalidValueError

_MOST_FAILURES = 200
_SLOWEST = 10
_PARTS = ["bokeh", "bokeh-widgets", "bokeh-tables"]
_PAGE = Template("""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>Run $run</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none';
 script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline';
 img-src data: blob:; font-src data:; connect-src data:">
<style>
:root { color-scheme: light dark; --line: #8884; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; padding: 1rem; max-width: 1200px; }
h1 { font-size: 1.3rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.figures { display: flex; flex-wrap: wrap; gap: .5rem 2rem; padding: 0; list-style: none; }
.figures b { display: block; font-size: 1.4rem; }
table.plain { border-collapse: collapse; width: 100%; }
.wide { overflow-x: auto; }
table.plain td, table.plain th { border-bottom: 1px solid var(--line); padding: .2rem .5rem;
 text-align: left; }
table.plain td:nth-child(n + 2):not(:last-child) { white-space: nowrap; }
pre { overflow-x: auto; border-left: 3px solid #D55E00; padding-left: .8rem; }
details { margin: .5rem 0; } summary { cursor: pointer; overflow-wrap: anywhere; }
.note { opacity: .75; }
@media print { details > * { display: block; } pre { white-space: pre-wrap; }
 details::details-content { content-visibility: visible; display: block; } }
</style>
$scripts
</head><body>
<h1>$command</h1>
<p class="note">Run $run, $begun, on $host with Python $python. The run $state.</p>
<ul class="figures">$figures</ul>
<h2>Timeline</h2>
<p class="note">One bar for each call, in the colour of its task. Striped: from the cache. Red:
failed. Thin: waiting. Drag to move, zoom with the tools at the right; hover to see what is known
of a call.</p>
$timeline
<h2>Tasks</h2>
<p class="note">A line leads from a task to one that waited for it, or that it called.</p>
$graph
$tasks
$misses
<h2 id="failures">Failures</h2>
$failures
<h2>The slowest calls</h2>
$slowest
<h2>Processors and memory</h2>
$usage
<h2>All calls</h2>
$table
$plots
</body></html>
""")


def bokeh() -> tuple[Any, Any]:
    """Returns the two modules of the package that a page needs first."""
    try:
        return importlib.import_module("bokeh.embed"), importlib.import_module("bokeh.resources")
    except ImportError as error:
        raise InvalidValueError(
            "A report is made with bokeh: pip install 'bandsaw[report]'. `bandsaw runs show` and "
            "`--format trace` need nothing."
        ) from error


def made(run: dict[str, Any], calls: list[dict[str, Any]]) -> str:
    embed, resources = bokeh()
    from . import charts

    plots, parts = embed.components(charts.made(run, calls))
    return _PAGE.substitute(
        run=_text(run["run"]),
        command=_text(run["command"] or "A run"),
        begun=time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(run["begun"])),
        host=_text(run["host"]),
        python=_text(run["python"]),
        state={
            "ended": "has ended",
            "interrupted": "was interrupted",
            "lost": "was lost: its program was killed",
        }.get(run["state"], "was still running"),
        scripts=resources.Resources("inline", components=_PARTS).render(),
        figures="".join(f"<li><b>{_text(v)}</b>{_text(n)}</li>" for n, v in _figures(run, calls)),
        tasks=_tasks(calls),
        misses=_misses(calls),
        failures=_failures(calls),
        slowest=_slowest(calls),
        plots=plots,
        **parts,
    )


def _text(value: Any) -> str:
    return html.escape("" if value is None else str(value))


def _figures(run: dict[str, Any], calls: list[dict[str, Any]]) -> list[tuple[str, str]]:
    worked: dict[str, list[float]] = {}
    for call in calls:
        if call["state"] == "done":
            worked.setdefault(call["task"], []).append(call["seconds"] or 0.0)
    saved, hits = 0.0, [call for call in calls if call["state"] == "hit"]
    for call in hits:
        known = worked.get(call["task"])
        if known:
            saved += sum(known) / len(known)
    return [
        ("calls", str(len(calls))),
        ("from the cache", str(len(hits))),
        ("failed", str(sum(call["state"] == "failed" for call in calls))),
        ("time", told_seconds(run["seconds"])),
        ("time of all calls", told_seconds(sum(call["seconds"] or 0.0 for call in calls))),
        # By the mean of the calls of the same task that were computed in this run.
        ("saved by the cache, about", told_seconds(saved) if saved else "-"),
    ]


def _rows(head: tuple[str, ...], rows: Sequence[tuple[Any, ...]]) -> str:
    lines = ["<tr>" + "".join(f"<th>{_text(cell)}</th>" for cell in head) + "</tr>"]
    lines += ["<tr>" + "".join(f"<td>{_text(cell)}</td>" for cell in row) + "</tr>" for row in rows]
    return f'<div class="wide"><table class="plain">{"".join(lines)}</table></div>'


def _tasks(calls: list[dict[str, Any]]) -> str:
    from .._recording.reading import tasks

    rows = [
        (task["task"], task["calls"], task["hits"], task["failures"], told_seconds(task["seconds"]),
         told_seconds(task["longest"]), told_size(task["memory"]) if task["memory"] else "-")
        for task in tasks(calls)
    ]  # fmt: skip
    return _rows(("task", "calls", "hits", "failed", "time", "longest", "peak memory"), rows)


def _misses(calls: list[dict[str, Any]]) -> str:
    from .._recording.misses import reasons

    found = reasons(calls)
    if not found:
        return ""
    table = _rows(("task", "calls", "why no cache had it"), found)
    return f"<h2>Why calls were computed</h2>{table}"


def _failures(calls: list[dict[str, Any]]) -> str:
    found = [call for call in calls if call["error"] is not None]
    if not found:
        return "<p>None.</p>"
    parts = []
    for call in found[:_MOST_FAILURES]:
        where = call["where"] or "never begun"
        what = f"{call['task']}({call['arguments'] or ''})"
        parts.append(
            f"<details><summary>{_text(what)}: {_text(call['error'])} ({_text(where)})</summary>"
            f"<pre>{_text(call['traceback'])}</pre></details>"
        )
    if len(found) > _MOST_FAILURES:
        parts.append(f"<p>And {len(found) - _MOST_FAILURES} more.</p>")
    return "".join(parts)


def _slowest(calls: list[dict[str, Any]]) -> str:
    slow = sorted((c for c in calls if c["seconds"]), key=lambda call: -call["seconds"])
    rows = [
        (f"{call['task']}({call['arguments'] or ''})"[:200], told_seconds(call["seconds"]),
         call["state"], call["where"])
        for call in slow[:_SLOWEST]
    ]  # fmt: skip
    return _rows(("call", "took", "state", "where"), rows)
