"""Why calls were computed: found out when it is shown, from what the entries of caches remember."""

from __future__ import annotations

import math
import os
import re
from bisect import bisect_left
from typing import Any, Optional

from .._cache import bounds, compare, entry, owned_files
from .._cache.record import Record, read

# With so many entries a call is compared, the newest ones.
_MOST_COMPARED = 20
_MOST_DIFFERENCES = 3


def explain(calls: list[dict[str, Any]]) -> None:
    """Adds `why` to each call: why no cache had it, `None` where there was no miss."""
    begins = [call["begun"] for call in calls if call["begun"] is not None]
    entries = _Entries(min(begins, default=0.0))
    for call in calls:
        call["why"] = None
        if call["cache"] == "miss" and call["begun"] is not None:
            call["why"] = call["facts"].get("cache_why") or entries.why(call)


def reasons(calls: list[dict[str, Any]]) -> list[tuple[str, int, str]]:
    """Returns task, number of calls and the first one's reason, for those with the same kind."""
    found: dict[tuple[str, str], tuple[str, int, str]] = {}
    for call in calls:
        if call["why"] is not None:
            kind = call["task"], re.sub(r": [^;]*", "", call["why"])
            _, number, first = found.get(kind, ("", 0, call["why"]))
            found[kind] = call["task"], number + 1, first
    return sorted(found.values(), key=lambda reason: -reason[1])


class _Entries:
    """The entries of the caches that calls have asked, each read once."""

    def __init__(self, begun: float) -> None:
        self._begun = begun  # when the first call of the run began
        self._records: dict[str, Optional[Record]] = {}
        self._in_folders: dict[str, list[tuple[float, str]]] = {}
        self._folders: dict[tuple[str, str], list[str]] = {}

    def why(self, call: dict[str, Any]) -> Optional[str]:
        path = call["facts"].get("cache_entry")
        if not isinstance(path, str):
            return None
        folder, name = os.path.split(path)
        directory = os.path.dirname(folder)
        if not os.path.isdir(directory):
            return f"not known: {directory} is not here any more, or on another machine"
        others = [one for one in self._of_task(directory, call["task"]) if one != folder]
        begun = call["begun"]
        same_arguments = self._read(begun, [os.path.join(one, name) for one in others])
        same_code = self._read(begun, [one for one in self._before(begun, folder) if one != path])
        ours = self._record(path)
        if ours is None:
            if same_arguments:
                return "the code is not that of an entry with the same arguments"
            if same_code:
                return "there was no entry with these arguments"
        else:
            # What the run itself has made says less than what was there when it began.
            earlier = [found for found in same_code if found[1].made < self._begun]
            found = same_arguments + earlier or self._of_folders(self._begun, others)
            nearest = compare.nearest(ours, found or same_code or self._of_folders(begun, others))
            if nearest is not None:
                lines = [line.strip() for line in compare.lines_of(nearest.differences)]
                more = len(lines) - _MOST_DIFFERENCES
                told = "; ".join(lines[:_MOST_DIFFERENCES])
                return f"{told}; and {more} more" if more > 0 else told
        return "there was no entry of this task"

    def _read(self, begun: float, paths: list[str]) -> list[tuple[str, Record]]:
        """Reads the first entries that were there when a call began."""
        records = ((path, self._record(path)) for path in paths[:_MOST_COMPARED])
        return [(path, one) for path, one in records if one is not None and one.made < begun]

    def _of_folders(self, begun: float, folders: list[str]) -> list[tuple[str, Record]]:
        """Reads entries of some folders that were there at a time."""
        paths = [path for folder in folders for path in self._before(begun, folder)]
        return self._read(begun, paths)

    def _record(self, path: str) -> Optional[Record]:
        if path not in self._records:
            try:
                self._records[path] = read(entry.read_record(path))
            except (OSError, ValueError, owned_files.DamagedEntryError):
                self._records[path] = None
        return self._records[path]

    def _before(self, begun: float, folder: str) -> list[str]:
        """Returns the entries of a folder that were there at a time, the newest first."""
        found = self._in_folders.get(folder)
        if found is None:
            entries = sorted((one.written, one.path) for one in bounds.entries_of(folder))
            found = self._in_folders[folder] = entries
        end = bisect_left(found, (begun, ""))
        return [path for _, path in found[max(0, end - _MOST_COMPARED - 1) : end]][::-1]

    def _of_task(self, directory: str, task: str) -> list[str]:
        """Returns the folders in a cache that have entries of a task."""
        if (directory, "") not in self._folders:
            self._folders[directory, ""] = []
            for folder in bounds.folders_in(directory):
                records = map(self._record, self._before(math.inf, folder))
                first = next((record for record in records if record is not None), None)
                if first is not None:
                    self._folders.setdefault((directory, first.task), []).append(folder)
        return self._folders.get((directory, task), [])
