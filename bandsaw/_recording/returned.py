"""Says whether a returned file was changed since its call was recorded."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Optional

from .._system import trees
from ..errors import FileTravelError


def paths_in(facts: Mapping[str, Any]) -> list[str]:
    """Returns the paths that a call has returned; a task may have noted others by that name."""
    noted = facts.get("returned_files")
    return [each for each in noted if isinstance(each, str)] if isinstance(noted, list) else []


def stamps_of(facts: Mapping[str, Any]) -> dict[str, Optional[str]]:
    """Returns what tells for each path whether something was changed, `None` where it is not known.

    Args:
        facts: What was noted of a call.
    """
    return {path: _stamp(path) for path in paths_in(facts)}


def _stamp(path: str) -> Optional[str]:
    try:
        stamps = trees.stamps_of(path)
    except FileTravelError:
        return None
    # Not the identity: a cache may put the same contents there anew.
    known = [(name, size, modified) for name, _, _, _, size, modified, _ in stamps]
    return hashlib.sha256(repr(known).encode("utf-8", "backslashreplace")).hexdigest()[:16]


def what_became(path: str, call: dict[str, Any]) -> Optional[str]:
    """Says what became of a returned file, `None` if nothing did.

    Args:
        path: The absolute path of the file, or of one in a returned folder.
        call: The call that has returned it, as it was recorded.
    """
    if not os.path.exists(path):
        return "It is not there any more."
    # By its time alone: the clock of its disk may differ, and somebody may have set it back.
    is_newer = os.path.getmtime(path) > call["ended"] + 1
    stamps = call["facts"].get("returned_stamps")
    for known in (path, *map(str, Path(path).parents)) if isinstance(stamps, dict) else ():
        if stamps.get(known) is not None:
            if _stamp(known) == stamps[known]:
                return None
            is_newer = is_newer or known == path
            return "It was changed since." if is_newer else f"What is in {known} was changed since."
    return "It was changed since." if is_newer else None
