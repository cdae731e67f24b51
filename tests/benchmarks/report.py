"""Tables and plots for the documentation, from what was measured and kept as JSON."""

import collections
from pathlib import Path

import pyperf

from .goals import GOALS
from .measure import BYTE, SEPARATOR, ratio, told

ROOT = Path(__file__).parents[2]
DATA = ROOT / "docs" / "measured" / "benchmarks.json"
PAGE = ROOT / "docs" / "explanation" / "performance.md"
BEGIN, END = "<!-- measured: begin -->\n", "<!-- measured: end -->\n"
KINDS = {"floor": "plain Python", "ours": "bandsaw", "peer": "peer"}


def write(suite):
    """Writes the page's tables, and its plots beside the data."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    text = before + BEGIN + section(suite) + END + rest.split(END)[1]
    PAGE.write_text(text, encoding="utf-8")
    plot(suite)


def section(suite):
    """Returns the part of the page that is made of figures."""
    parts = [
        *measured_of(suite),
        "## Goals",
        goals_of(suite),
        "## Where others are faster",
        losses_of(suite),
        "## Tables",
        *tables_of(suite),
    ]
    return "\n" + "\n\n".join(parts) + "\n\n"


def measured_of(suite):
    """Says when and with what it was measured; of which sections, if not all at once."""
    sections = collections.defaultdict(dict)
    for bench in suite:
        about = bench.get_metadata()
        versions = ", ".join(
            f"{name[: -len('_version')]} {value}"
            for name, value in sorted(about.items())
            if name.endswith("_version") and name != "python_version"
        )
        text = (
            f"Measured on {about['date'].split()[0]}: CPython {about['python_version']}, "
            f"{about['platform']}, {about.get('cpu_count', '?')} processors "
            f"({about.get('cpu_model_name', 'unknown')}), with {versions}."
        )
        sections[text][about["section"]] = True
    if len(sections) == 1:
        return [*sections]
    return [f"{', '.join(names)}: {text[0].lower()}{text[1:]}" for text, names in sections.items()]


def joined(suite, newer):
    """Returns what was measured, with newer figures of some sections in place of the older."""
    found = rows_of(newer)
    older = [bench for bench in suite if bench.get_metadata()["section"] not in found]
    return pyperf.BenchmarkSuite([*older, *newer])


def goals_of(suite):
    """Returns a table of the goals: what was to be, and what is."""
    lines = ["| what | compared with | goal | measured | |", "|---|---|---|---|---|"]
    for goal in GOALS:
        for title, figure in goal.found(suite):
            if goal.other is None:
                bound, shown = told(goal.most, BYTE), told(figure, BYTE)
            else:
                bound, shown = f"{goal.most:g}", f"{figure:.2f}"
            met = "met" if goal.is_met(figure) else f"**missed**: {goal.reason}"
            way = "at least" if goal.least else "at most"
            what = f"{title}: {goal.one} | {goal.other or '-'}"
            lines.append(f"| {what} | {way} {bound} | {shown} | {met} |")
    return "\n".join(lines)


def rows_of(suite):
    """Returns the measured rows by section and table: kind, name, x, benchmark."""
    sections = collections.defaultdict(lambda: collections.defaultdict(list))
    for bench in suite:
        title, name, *_ = bench.get_name().split(SEPARATOR)
        about = bench.get_metadata()
        sections[about["section"]][title].append((about["kind"], name, about.get("x"), bench))
    return sections


def titled(suite):
    """Returns the tables without their sections: titles and rows."""
    return [item for tables in rows_of(suite).values() for item in tables.items()]


def losses_of(suite):
    """Returns a table of the peers that did the same in less time."""
    lines = ["| what | peer | its time, as a part of ours |", "|---|---|---|"]
    for title, rows in titled(suite):
        for kind, name, x, bench in rows:
            ours = next((row[3] for row in rows if row[0] == "ours" and row[2] == x), None)
            if kind == "peer" and ours and ratio(bench.get_values(), ours.get_values()) < 0.995:
                at = "" if x is None else f", {x:,}"
                part = ratio(bench.get_values(), ours.get_values())
                lines.append(f"| {title}{at} | {name} | {part:.2f} |")
    return "\n".join(lines) if len(lines) > 2 else "None of those that were measured."


def tables_of(suite):
    """Returns the tables as Markdown: one for a section, and one for each series."""
    for section, tables in rows_of(suite).items():
        yield f"### {section}"
        single = {title: rows for title, rows in tables.items() if rows[0][2] is None}
        sizes = {title: rows for title, rows in single.items() if _unit(rows) == BYTE}
        lines = ["| | | | median | least | ratio |", "|---|---|---|--:|--:|--:|"]
        for title, rows in single.items():
            if title not in sizes:
                lines += _lines(title, rows)
        yield "\n".join(lines)
        if sizes:
            lines = ["| | | peak |", "|---|---|--:|"]
            for title, rows in sizes.items():
                for _, name, _, bench in rows:
                    lines.append(f"| {title} | {name} | {told(bench.median(), BYTE)} |")
            yield "\n".join(lines)
        for title in (title for title in tables if title not in single):
            yield f"**{title}**"
            yield _series(tables[title])
            yield f"![{title}](../measured/{_file(title)})"


def _unit(rows):
    return rows[0][3].get_unit()


def _lines(title, rows):
    reference = next(bench for kind, _, _, bench in rows if kind == "ours")
    for kind, name, _, bench in rows:
        part = ratio(bench.get_values(), reference.get_values())
        shown = [told(bench.median()), told(min(bench.get_values())), f"{part:.2f}"]
        yield f"| {title} | {name} | {KINDS[kind]} | {' | '.join(shown)} |"
        title = ""


def _series(rows):
    points = list(dict.fromkeys(x for _, _, x, _ in rows))
    names = list(dict.fromkeys((kind, name) for kind, name, _, _ in rows))
    found = {(name, x): bench.median() for _, name, x, bench in rows}
    lines = [
        "| | | " + " | ".join(f"{x:,}" for x in points) + " |",
        "|---|---|" + "--:|" * len(points),
    ]
    for kind, name in names:
        shown = [told(found[name, x]) if (name, x) in found else "-" for x in points]
        lines.append(f"| {name} | {KINDS[kind]} | {' | '.join(shown)} |")
    return "\n".join(lines)


def plots_of(suite):
    """Returns where the plots are."""
    return [DATA.parent / _file(title) for title, rows in titled(suite) if rows[0][2] is not None]


def plot(suite):
    """Draws each table that grows."""
    import matplotlib

    matplotlib.use("svg")
    # The same figures make the same file.
    matplotlib.rcParams["svg.hashsalt"] = "bandsaw"
    from matplotlib import pyplot

    for title, rows in titled(suite):
        if rows[0][2] is None:
            continue
        figure, axes = pyplot.subplots(figsize=(6, 3.5), layout="constrained")
        for name in dict.fromkeys(name for _, name, _, _ in rows):
            kind = next(kind for kind, other, _, _ in rows if other == name)
            points = [(x, bench.median()) for _, other, x, bench in rows if other == name]
            style = {"floor": "k:", "ours": "o-", "peer": "x--"}[kind]
            axes.plot(*zip(*points), style, label=name)
        xs = [x for _, _, x, _ in rows]
        if min(xs) > 0:
            axes.set_xscale("log", base=2 if max(xs) < 10 else 10)
        axes.set_yscale("log")
        axes.set_xlabel(title.split(", ")[0])
        axes.set_ylabel("seconds")
        axes.legend(fontsize="small")
        figure.savefig(DATA.parent / _file(title), metadata={"Date": None})
        pyplot.close(figure)


def _file(title):
    return "".join(c if c.isalnum() else "-" for c in title.lower()) + ".svg"
