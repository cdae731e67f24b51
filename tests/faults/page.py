"""The figures of a run: as data, as a table, and on the page about reliability."""

from __future__ import annotations

import datetime
import json
import os
import platform
import textwrap

from .figures import SORTS
from .rounds import ROOT

PAGE = ROOT / "docs" / "explanation" / "reliability.md"
JSON = ROOT / "docs" / "measured" / "faults.json"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


def figures_of(looks, seed, minutes):
    """Returns the figures of some campaigns as plain data, with where they are from."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} CPUs",
        "python": platform.python_version(),
        "seed": seed,
        "minutes": round(minutes, 1),
        "campaigns": {
            each.name: {
                "rounds": each.rounds,
                "calls": each.figures.calls,
                "injected": dict(sorted(each.figures.injected.items())),
                **{sort: each.figures.found(sort) for sort in SORTS},
            }
            for each in looks
        },
    }


def as_json(told):
    """Returns figures as the text of a file."""
    return json.dumps(told, indent=2) + "\n"


def _rows(told):
    """Returns the cells of a table: its head, a row for each campaign, and what is injected."""
    yield ["campaign", "rounds", "injected", "calls", *SORTS.values()], ""
    for name, found in told["campaigns"].items():
        numbers = [found["rounds"], sum(found["injected"].values()), found["calls"]]
        cells = [name, *(f"{each:,}" for each in [*numbers, *map(found.get, SORTS)])]
        yield cells, ", ".join(f"{number:,} {kind}" for kind, number in found["injected"].items())


def plain_table(told, width):
    """Returns a table for a terminal: numbers, and below them what was injected."""
    rows = list(_rows(told))
    widths = [max(len(row[place]) for row, _ in rows) for place in range(len(rows[0][0]))]
    lines = []
    for (name, *numbers), injected in rows:
        cells = [name.ljust(widths[0]), *map(str.rjust, numbers, widths[1:])]
        lines.append("  ".join(cells))
        indent = " " * 4
        lines += textwrap.wrap(injected, max(width, 60), initial_indent=indent,
                               subsequent_indent=indent)  # fmt: skip
    return "\n".join(lines)


def markdown(told):
    """Returns what stands between the marks on the page."""
    rows = list(_rows(told))
    head = [*rows[0][0], "of these kinds"]
    lines = [
        f"A run of {told['minutes']} minutes on {told['date']}, Python {told['python']} on "
        f"{told['machine']}, seed {told['seed']}:",
        "",
        f"| {' | '.join(head)} |",
        f"|---|{'---:|' * (len(head) - 2)}---|",
        *(f"| {' | '.join([*cells, injected])} |" for cells, injected in rows[1:]),
    ]
    return "\n".join(lines) + "\n"


def with_figures(text, told):
    """Returns the text of the page with other figures."""
    before, _, rest = text.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{markdown(told)}{END}{after}"


def write(told):
    """Writes the data, and the page."""
    JSON.parent.mkdir(exist_ok=True)
    JSON.write_text(as_json(told), encoding="utf-8")
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(with_figures(text, told), encoding="utf-8")
