"""The plain data of a saved session: what has to be in it, and what has to come back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from .._system.processes import this_machine
from ..errors import SessionFileError

FORMAT = 4
_HEADER: dict[str, tuple[type, ...]] = {
    "format": (int,),
    "file": (str,),
    "nonce": (str,),
    "ids": (dict,),
    "configuration": (str,),
    "advice_chain": (str,),
    "run_id": (str,),
    "main": (str, type(None)),
    "moderator": (dict,),
    "environment": (dict,),
    "callers": (list,),
    "computing": (list,),
    "buffers": (dict,),
    "left_out": (dict,),
    "code": (dict,),
}
# Why a value is not there: whoever reads has the very same, or it is the one of a new session.
SAME, NEW = "same", "new"
# What a session that comes back still has.
KEPT = ("nonce", "ids", "configuration", "run_id")
_COUNTS = ("before_called", "after_called", "left_out", "attempt", "changes")
_FLAGS = ("task_called", "is_finished")


def checked(data: bytes) -> dict[str, Any]:
    """Reads a header: all that has to be there is, and is of the right type."""
    try:
        # As text: of bytes, it would guess an encoding, and import that.
        header = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise SessionFileError(f"The session.json of a session file is no JSON: {error}") from error
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        found = header.get("format") if isinstance(header, dict) else None
        raise SessionFileError(
            f"A session file of format {FORMAT} was expected, and this one has {found!r:.100}. "
            "Both sides need the same version of bandsaw."
        )
    for name, types in _HEADER.items():
        if name not in header or type(header[name]) not in types:
            raise SessionFileError(
                f"A session file's {name!r} cannot be {header.get(name)!r:.100}."
            )
    texts = (*header["environment"].values(), *header["ids"].values())
    for text in (*texts, *header["callers"], *header["computing"]):
        if not isinstance(text, str):
            raise SessionFileError(f"A session file cannot have {text!r:.100} in place of a text.")
    for name, text in header["environment"].items():
        if not name or "=" in name or "\0" in name + text or _has_no_bytes(name + text):
            raise SessionFileError(f"A session file cannot have a variable {name!r:.100}.")
    for name in (*_COUNTS, *_FLAGS):
        value: Any = header["moderator"].get(name)
        if not (isinstance(value, bool) if name in _FLAGS else type(value) is int and value >= 0):
            raise SessionFileError(f"A session file's position {name!r} cannot be {value!r:.100}.")
    for name, why in header["left_out"].items():
        if why not in (SAME, NEW):
            raise SessionFileError(f"A session file cannot leave out {name!r:.100}: {why!r:.100}.")
    code = header["code"]
    values, differs = code.get("values"), code.get("differs")
    if not isinstance(values, dict) or not isinstance(differs, list):
        raise SessionFileError(f"A session file cannot say of its code: {code!r:.100}.")
    state = code.get("state", [])
    if not isinstance(state, list):
        raise SessionFileError(f"A session file cannot say of its code: {code!r:.100}.")
    for text in (*values, *values.values(), *differs, *state):
        if not isinstance(text, str):
            raise SessionFileError(f"A session file cannot have {text!r:.100} in place of a text.")
    if not isinstance(header.get("facts", {}), dict):
        raise SessionFileError("The facts of a session file have no names.")
    warned = header.get("warnings", {})
    if not isinstance(warned, dict) or not _are_warnings(warned):
        raise SessionFileError("The warnings of a session file are none.")
    for lengths in header["buffers"].values():
        if type(lengths) is not list or not all(type(n) is int and n >= 0 for n in lengths):
            raise SessionFileError("The lengths of buffers in a session file are no list of sizes.")
    return header


def _are_warnings(warned: Mapping[str, Any]) -> bool:
    filters, issued = warned.get("filters", []), warned.get("issued", [])
    return (
        isinstance(filters, list)
        and isinstance(issued, list)
        and all(map(_is_filter, filters))
        and all(isinstance(each, dict) for each in issued)
    )


def _is_filter(given: Any) -> bool:
    """Whether it is what `_workers.inheritance.filters` makes of a filter."""
    if not isinstance(given, list) or len(given) != 6:
        return False
    action, message, module, name, place, line = given
    return all(isinstance(text, str) for text in (action, module, name)) and (
        type(line) is int
        and all(
            pattern is None
            or (list(map(type, pattern)) == [str, int] if isinstance(pattern, list) else False)
            for pattern in (message, place)
        )
    )


def _has_no_bytes(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeError:
        return True
    return False


def code_of(task: Any, session: Any) -> dict[str, Any]:
    """Says of which code the id of a task speaks, where somebody has read it.

    Returns the digests of values that the files of the code do not say, and the names of what
    another process cannot have, or has not.
    """
    received = session.__dict__.get("_code")
    if received is not None:
        found: list[str] = []
        if received["values"]:
            look_at_code(session, is_again=False)
            found = session._arrived.differing()
        return {**received, "differs": list(dict.fromkeys([*received["differs"], *found]))}
    carried = task._carried() if hasattr(task, "_carried") else None
    if carried is None:
        return {"values": {}, "differs": []}
    code = {"values": dict(carried.values), "differs": list(carried.changed)}
    if carried.values:
        code.update(machine=this_machine(), state=list(carried.state))
    return code


def look_at_code(session: Any, is_again: bool = True) -> None:
    """Looks at the values of which the id of a received session speaks.

    Before the task is executed: what it changes of its own state is no other code.
    """
    from .._archive import finder
    from .._identity.compared import ArrivedValues

    if "_arrived" in session.__dict__:
        if not is_again:
            return
        session._code = session._code_now()
    is_here = bool(finder.id) or session._code.get("machine") == this_machine()
    session._arrived = ArrivedValues(session._code, is_here)


def check_returned(header: Mapping[str, Any], sent: Mapping[str, Any], task_name: str) -> None:
    """Sees by its header that a session that comes back is the one that was sent."""
    for name, expected in sent.items():
        if header[name] != expected:
            raise SessionFileError(
                f"Another session came back than the one of task {task_name} that was sent: its "
                f"{name} should be {expected!r:.200}, and is {header[name]!r:.200}."
            )
