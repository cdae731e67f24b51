"""Whether what is written has to come back as it is.

An exception on its way to a caller has to arrive, and what it holds may arrive as its `repr`. A
value that is kept to be served again must not change.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

_thread = threading.local()


@contextlib.contextmanager
def exactly() -> Iterator[None]:
    """Has this thread refuse to write, meanwhile, what would come back as something else.

    Yields:
        Nothing.
    """
    before = is_required()
    _thread.is_required = True
    try:
        yield
    finally:
        _thread.is_required = before


def is_required() -> bool:
    """Says whether what is written has to come back as it is."""
    return getattr(_thread, "is_required", False)
