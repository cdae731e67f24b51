"""Reports of a run: one page of HTML, or a trace for Perfetto.

calls ─► charts (bokeh) ─► page: one file, opened without a network
      └► trace: JSON of trace events
"""

from __future__ import annotations

from typing import Any

from .._system.files import whole_file


def check(form: str) -> None:
    """Raises an error if a package is missing that a form of reports needs."""
    if form != "trace":
        from . import page

        page.bokeh()


def write(path: str, form: str, run: dict[str, Any], calls: list[dict[str, Any]]) -> None:
    """Writes a report of a run to a file, which is there whole or not at all."""
    from pathlib import Path

    if form == "trace":
        from . import trace

        text = trace.made(run, calls)
    else:
        from .._recording import misses
        from . import page

        misses.explain(calls)

        text = page.made(run, calls)
    with whole_file(Path(path).absolute()) as file:
        file.write(text.encode("utf-8", "replace"))
