"""The charts and the table of a report, made with bokeh."""

from __future__ import annotations

import importlib
import re
from typing import Any

from .trace import rows_of

# A palette that people with each kind of colour blindness can tell apart (Okabe and Ito, 2008).
PALETTE = ("#0072B2", "#009E73", "#CC79A7", "#56B4E9", "#F0E442", "#999999")
FAILED = "#D55E00"
_INK = "#808080"
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def plain(value: Any) -> str:
    """Returns a text of one line for a chart; bokeh shows it as text."""
    return _CONTROL.sub("?", "" if value is None else str(value)).replace("\n", " ")


def colours(tasks: list[str]) -> dict[str, str]:
    return {task: PALETTE[number % len(PALETTE)] for number, task in enumerate(tasks)}


def _bokeh(name: str) -> Any:
    return importlib.import_module(f"bokeh.{name}")


def _figure(**options: Any) -> Any:
    made = _bokeh("plotting").figure(
        sizing_mode="stretch_width", background_fill_alpha=0, border_fill_alpha=0,
        outline_line_color=None, active_scroll=None, **options,
    )  # fmt: skip
    for axis in made.axis:
        axis.axis_label_text_color = axis.major_label_text_color = _INK
        axis.axis_line_color = axis.major_tick_line_color = axis.minor_tick_line_color = _INK
    made.grid.grid_line_alpha = 0.2
    return made


def _source(run: dict[str, Any], calls: list[dict[str, Any]], colour: dict[str, str]) -> Any:
    begin = run["begun"]
    # What is shorter would not be seen.
    least = run["seconds"] / 1000
    data: dict[str, list[Any]] = {name: [] for name in (
        "task", "arguments", "state", "row", "left", "right", "submitted", "waited", "took",
        "host", "pid", "place", "cpu", "memory", "sent", "received", "attempts", "error",
        "colour", "end", "why",
    )}  # fmt: skip
    for _, row, placed in rows_of(calls):
        for call in placed:
            submitted = call["submitted"] if call["submitted"] is not None else call["begun"]
            is_failed = call["state"] == "failed"
            values = (
                plain(call["task"]), plain(call["arguments"]), call["state"], row,
                call["begun"] - begin, call["ended"] - begin, submitted - begin,
                call["begun"] - submitted, call["seconds"], plain(call["host"]), call["pid"],
                plain(call["place"]), call["cpu"], (call["memory"] or 0) / 1e6,
                call["sent"] or 0, call["received"] or 0, call["attempts"], plain(call["error"]),
                FAILED if is_failed else colour[call["task"]],
                # A little shorter, so that calls that follow each other are told apart.
                max(call["ended"] - 2 * least, call["begun"] + least) - begin, plain(call["why"]),
            )  # fmt: skip
            for name, value in zip(data, values):
                data[name].append(value)
    return _bokeh("models").ColumnDataSource(data)


def made(run: dict[str, Any], calls: list[dict[str, Any]]) -> dict[str, Any]:
    """Makes the charts of a run, by the names of the places in the page."""
    tasks = list(dict.fromkeys(call["task"] for call in calls))
    colour = colours(tasks)
    begun = [call for call in calls if call["begun"] is not None and call["ended"] is not None]
    source = _source(run, begun, colour)
    rows = max(source.data["row"], default=1)
    timeline = _figure(
        height=min(900, 140 + 18 * rows), x_axis_label="seconds", y_range=(rows + 0.7, 0.3),
        tools="xpan,xwheel_zoom,box_zoom,reset,save,tap", output_backend="canvas", name="timeline",
    )  # fmt: skip
    # Each machine or engine is named at its first row.
    first: dict[str, int] = {}
    for row, host in sorted(zip(source.data["row"], source.data["host"])):
        first.setdefault(host, row)
    names = {row: host if len(host) < 14 else f"{host[:12]}…" for host, row in first.items()}
    timeline.yaxis.ticker = list(names)
    timeline.yaxis.major_label_overrides = names
    timeline.ygrid.visible = False
    # Segments: to draw ten thousand of them takes a tenth of the time that bars take.
    timeline.segment(
        "submitted", "row", "left", "row", source=source, line_color="colour", line_alpha=0.3,
        line_width=5,
    )  # fmt: skip
    bars = []
    for is_hit in (False, True):
        shown = [(state == "hit") == is_hit for state in source.data["state"]]
        view = _bokeh("models").CDSView(filter=_bokeh("models").BooleanFilter(shown))
        bars.append(timeline.segment(
            "left", "row", "end", "row", source=source, view=view, line_color="colour",
            line_width=14, line_dash="3 2" if is_hit else "solid",
        ))  # fmt: skip
    timeline.add_tools(_bokeh("models").HoverTool(renderers=bars, tooltips=[
        ("task", "@task"), ("arguments", "@arguments"), ("state", "@state"), ("took", "@took s"),
        ("waited", "@waited s"), ("where", "@host, pid @pid, @place"), ("processor", "@cpu s"),
        ("peak memory", "@memory MB"), ("sent, received", "@sent, @received bytes"),
        ("attempts", "@attempts"), ("error", "@error"), ("why computed", "@why"),
    ]))  # fmt: skip
    return {
        "timeline": timeline,
        "graph": _graph(calls, colour),
        "usage": _usage(run, begun),
        "table": _table(source),
    }


def _table(source: Any) -> Any:
    models = _bokeh("models")

    number = models.NumberFormatter(format="0.000")
    titles = {"task": "task", "arguments": "arguments", "state": "state", "host": "host",
              "pid": "pid", "error": "error"}  # fmt: skip
    columns = [models.TableColumn(field=name, title=title) for name, title in titles.items()]
    for name, title in {
        "left": "begun",
        "waited": "waited",
        "took": "took",
        "cpu": "processor",
    }.items():
        columns.insert(-1, models.TableColumn(field=name, title=f"{title} (s)", formatter=number))
    wanted = models.TextInput(
        title="Show calls with this text", name="filter", placeholder="task, state, host ..."
    )
    shown = models.CustomJSFilter(args={"wanted": wanted}, code="""
        const text = wanted.value_input.toLowerCase(), data = source.data;
        const of = ["task", "arguments", "state", "host", "error"];
        return data.task.map((_, row) =>
            !text || of.some(name => String(data[name][row]).toLowerCase().includes(text)));
    """)  # fmt: skip
    wanted.js_on_change(
        "value_input", models.CustomJS(args={"source": source}, code="source.change.emit()")
    )
    table = models.DataTable(
        source=source, columns=columns, view=models.CDSView(filter=shown), height=400,
        sizing_mode="stretch_width", index_position=None, name="calls", reorderable=False,
        # Its rows are white, also where the page is dark, and no narrower than can be read.
        styles={"min-width": "900px"},
        stylesheets=[":host, .slick-header { color-scheme: light; color: #222; background: #fff }"],
    )  # fmt: skip
    column = _bokeh("layouts").column
    scrolled = column(table, sizing_mode="stretch_width", styles={"overflow-x": "auto"})
    return column(wanted, scrolled, sizing_mode="stretch_width")


def _usage(run: dict[str, Any], calls: list[dict[str, Any]]) -> Any:
    """Processors in use and memory of the processes, over time, as far as calls tell."""
    made = _figure(height=220, x_axis_label="seconds", tools="xpan,xwheel_zoom,reset",
                   y_axis_label="processors, gigabytes", name="usage")  # fmt: skip
    changes: list[tuple[float, float, float]] = []
    for call in calls:
        if not call["seconds"] or call["state"] == "hit":
            continue
        share = (call["cpu"] or 0.0) / call["seconds"]
        memory = (call["memory"] or 0) / 1e9
        changes.append((call["begun"] - run["begun"], share, memory))
        changes.append((call["ended"] - run["begun"], -share, -memory))
    changes.sort(key=lambda change: change[0])
    times, processors, memories = [0.0], [0.0], [0.0]
    for time, share, memory in changes:
        times.append(time)
        processors.append(max(0.0, processors[-1] + share))
        memories.append(max(0.0, memories[-1] + memory))
    made.step(times, processors, mode="after", color=PALETTE[0], legend_label="processors in use")
    made.step(times, memories, mode="after", color=PALETTE[1], line_dash="dashed",
              legend_label="memory (GB)")  # fmt: skip
    made.legend.background_fill_alpha = made.legend.border_line_alpha = 0
    made.legend.label_text_color = _INK
    made.legend.orientation = "horizontal"
    made.add_layout(made.legend[0], "above")
    return made


def _graph(calls: list[dict[str, Any]], colour: dict[str, str]) -> Any:
    """The tasks, and which of them waited for which, from left to right."""
    from .._recording.reading import tasks

    task_of = {call["key"]: call["task"] for call in calls}
    edges: dict[tuple[str, str], int] = {}
    for call in calls:
        for key in [*call["needs"], call["parent"]]:
            if key in task_of:
                edge = task_of[key], call["task"]
                edges[edge] = edges.get(edge, 0) + 1
    depth = dict.fromkeys(colour, 0)
    for _ in range(len(depth)):
        for one, other in edges:
            if one != other:
                depth[other] = min(len(depth), max(depth[other], depth[one] + 1))
    heights: dict[int, int] = {}
    place = {}
    columns = sorted(set(depth.values()))  # those that wait for each other stand far to the right
    for task, level in depth.items():
        level = columns.index(level)
        heights[level] = heights.get(level, 0) + 1
        place[task] = float(level), -float(heights[level])
    made = _figure(height=120 + 60 * max(heights.values(), default=1), tools="pan,wheel_zoom,reset",
                   name="graph")  # fmt: skip
    made.axis.visible = made.grid.visible = False
    made.x_range.range_padding = made.y_range.range_padding = 0.4
    for (one, other), number in edges.items():
        (x, y), (to_x, to_y) = place[one], place[other]
        middle = (x + to_x) / 2
        made.bezier(x, y, to_x, to_y, middle, y, middle, to_y, color=_INK, alpha=0.6,
                    line_width=1 + min(4, number / 50))  # fmt: skip
    summed = {task["task"]: task for task in tasks(calls)}
    models = _bokeh("models")
    nodes = models.ColumnDataSource({
        "x": [place[task][0] for task in colour], "y": [place[task][1] for task in colour],
        "task": [plain(task) for task in colour], "colour": list(colour.values()),
        "label": [f"{plain(task).rpartition('.')[2]} x {summed[task]['calls']}" for task in colour],
        "calls": [summed[task]["calls"] for task in colour],
        "hits": [summed[task]["hits"] for task in colour],
        "failures": [summed[task]["failures"] for task in colour],
        "seconds": [summed[task]["seconds"] for task in colour],
    })  # fmt: skip
    dots = made.scatter("x", "y", size=16, color="colour", source=nodes)
    made.add_layout(models.LabelSet(x="x", y="y", text="label", source=nodes, y_offset=12,
                             text_color=_INK, text_align="center",
                             text_font_size="12px"))  # fmt: skip
    made.add_tools(models.HoverTool(renderers=[dots], tooltips=[
        ("task", "@task"), ("calls", "@calls"), ("hits", "@hits"), ("failures", "@failures"),
        ("time", "@seconds s"),
    ]))  # fmt: skip
    return made
