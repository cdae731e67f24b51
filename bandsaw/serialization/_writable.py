"""What stands for parts of exceptions that cannot be written, and what such an exception says."""

from __future__ import annotations

import contextlib
from typing import Any, Callable

from ._exceptions import fill, make
from .serializer import is_exact


def keep_writable(parts: Any, keep: Callable[[Any], Any]) -> None:
    """Replaces arguments, attributes and fields by what `keep` returns, but where `is_exact`.

    `keep`: returns the `repr` of what cannot be written, anything else for what can be.
    """
    if is_exact():
        return
    for shape in parts["shapes"]:
        if "reduced" in shape and keep(shape["reduced"]) is not shape["reduced"]:
            del shape["reduced"]
    arriving = []
    is_changed = False
    for content in parts["contents"]:
        there = {**content}
        for kind in ("args", "state", "fields"):
            values = content[kind]
            there[kind] = values.copy()
            for key in range(len(values)) if kind == "args" else list(values):
                kept = keep(values[key])
                if isinstance(kept, str) and kept is not values[key]:
                    there[kind][key] = kept
                    is_changed = True
                values[key] = kept
        arriving.append(there)
    if is_changed:
        with contextlib.suppress(Exception):
            _keep_texts(parts, arriving)


def _keep_texts(parts: Any, arriving: list[dict[str, Any]]) -> None:
    # `__str__` may need what has been replaced. It is tried out here: a reader may run no code.
    made = make(parts["shapes"], ())
    fill(made, arriving)
    for shape, content, error in zip(parts["shapes"], parts["contents"], made):
        try:
            str(error)
        except Exception:
            content["text"] = shape["message"]
