"""The trace of a run in the format of trace events.

https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU describes it.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from typing import Any


def made(run: dict[str, Any], calls: list[dict[str, Any]]) -> str:
    """Returns the JSON: each call is an event of its process, in a row without overlaps."""
    begun = [call for call in calls if call["begun"] is not None and call["ended"] is not None]
    hosts = {host: number for number, host in enumerate(sorted({c["host"] for c in begun}), 1)}
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "process_name", "pid": number, "args": {"name": host}}
        for host, number in hosts.items()
    ]
    for (host, _), row, placed in rows_of(begun):
        for call in placed:
            events.append({
                "ph": "X", "name": call["task"], "cat": call["state"], "pid": hosts[host],
                "tid": row, "ts": (call["begun"] - run["begun"]) * 1e6,
                "dur": call["seconds"] * 1e6,
                "args": {
                    "arguments": call["arguments"], "state": call["state"], "pid": call["pid"],
                    "cpu seconds": call["cpu"], "peak memory": call["memory"],
                    "error": call["error"], **call["facts"],
                },
            })  # fmt: skip
    return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})


def rows_of(
    calls: list[dict[str, Any]],
) -> Iterator[tuple[tuple[str, int], int, list[dict[str, Any]]]]:
    """Yields the host and process, the number of the row, and the calls in it.

    Processes that served one call each share rows: what matters is how many run at once.
    """
    by_host: dict[str, list[dict[str, Any]]] = {}
    for call in calls:
        by_host.setdefault(call["host"] or "?", []).append(call)
    number = 0
    for host in sorted(by_host):
        free: list[tuple[float, int]] = []
        rows: list[list[dict[str, Any]]] = []
        of_process: dict[int, int] = {}
        for call in sorted(by_host[host], key=lambda call: (call["begun"], -call["ended"])):
            row = of_process.get(call["pid"])
            if row is None or rows[row][-1]["ended"] > call["begun"]:
                if free and free[0][0] <= call["begun"]:
                    row = heapq.heappop(free)[1]
                else:
                    row = len(rows)
                    rows.append([])
            else:
                free = [entry for entry in free if entry[1] != row]
                heapq.heapify(free)
            rows[row].append(call)
            of_process[call["pid"]] = row
            heapq.heappush(free, (call["ended"], row))
        for placed in rows:
            number += 1
            yield (host, placed[0]["pid"]), number, placed
