"""The trace of a run in the format of trace events.

https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU describes it.
"""

from __future__ import annotations

import json
from typing import Any

from .places import rows_of


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
