"""Entries that were missed only because variables hold other values in each process."""

from __future__ import annotations

import os
from typing import Any

from . import bounds, entry, files, record

# Of so many tasks of the cache it is looked at most.
_MOST_FOLDERS = 1000


def that_differ(directory: str, folder: str, name: str, task: Any) -> list[str]:
    """Names the variables in whose values alone an entry differs from one of another task id.

    `folder` and `name` are those of the entry. Variables whose values stand in the source are not
    named: those were edited. Returns nothing where there is no such entry.
    """
    carried = task._carried()
    if carried is None or not carried.values:
        return []
    computed = {key.partition(":")[2]: key.replace(":", ".") for key in carried.values}
    ours = {tuple(part[:3]): part[3] for part in record.parts_of(task)}
    for number, other in enumerate(bounds.folders_in(directory)):
        path = os.path.join(other, name)
        if number >= _MOST_FOLDERS or os.path.basename(other) == os.path.basename(folder):
            continue
        if not os.path.exists(path):
            continue
        try:
            found = record.read(entry.read_record(path))
        except (OSError, ValueError, files.DamagedEntryError):
            continue
        if found.task != str(task):
            continue
        theirs = {tuple(part[:3]): part[3] for part in found.parts}
        changed = {key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key)}
        names = {key[1].rpartition(".")[2] for key in changed if key[0] == "value"}
        if changed and len(names) == len(changed) and names.issubset(computed):
            return sorted(computed[name] for name in names)
    return []
