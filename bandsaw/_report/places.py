"""In which rows of a timeline calls are drawn: those that overlap have rows of their own."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from typing import Any


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
