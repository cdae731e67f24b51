"""Large data on its way to an engine's worker: in a file in memory, or in the engine's store.

Those buffers that calls of one `map` have in common go to the store once.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional

from .._system import ending
from . import bulk_files
from .engine_memory import Given

# What is smaller goes with the call.
WORTH_A_FILE = 1 << 20
# Smaller ones are sent with each call.
_LEAST_BYTES = 1 << 20
# So many are kept for a map. Where each call has one of its own, no more are held there in vain.
_MOST_KEPT = 4


def handed(engine: Any, pieces: Sequence[Any]) -> tuple[Any, Optional[Given]]:
    """Returns what is submitted in place of pieces, and the file that has to live until then.

    Workers on this machine read large data from that file, past the engine.
    """
    size = sum(map(len, pieces))
    if size >= WORTH_A_FILE and engine.shares_memory:
        return apart(pieces), None
    if size >= WORTH_A_FILE and engine.is_near:
        with contextlib.suppress(OSError):
            given = Given(bulk_files.create(pieces, size, None))
            return f"/proc/{os.getpid()}/fd/{given.descriptor}", given
    return b"".join(pieces), None


def apart(pieces: Sequence[Any]) -> list[Any]:
    """Returns the large ones of pieces as they are, and what is between them joined."""
    found: list[Any] = []
    small: list[Any] = []
    for piece in pieces:
        if len(piece) < _LEAST_BYTES:
            small.append(piece)
        else:
            found += [b"".join(small), piece]
            small = []
    return [one for one in [*found, b"".join(small)] if one]


class Stored(NamedTuple):
    """A buffer in a store."""

    reference: Any  # what is submitted in its place
    holder: Any  # as long as this lives, the store has it


class _Kept:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.stored: OrderedDict[bytes, Stored] = OrderedDict()


class Buffers:
    """The buffers of maps in an engine's store. `store`: puts one there."""

    def __init__(self, store: Callable[[Any], Stored]) -> None:
        self._store = store
        self._kept: weakref.WeakKeyDictionary[Any, _Kept] = weakref.WeakKeyDictionary()

    def stored(self, pieces: Sequence[Any]) -> Optional[tuple[list[Any], list[Any]]]:
        """Has the large ones of pieces be in the store.

        Returns what is submitted in place of the pieces, and what is to be held until the call is
        over; `None` if there are no large ones, or the call belongs to no map.
        """
        group = ending.group.get()
        if group is None or all(len(piece) < _LEAST_BYTES for piece in pieces):
            return None
        kept = self._kept.setdefault(group, _Kept())
        sent, held = apart(pieces), []
        for number, piece in enumerate(sent):
            if len(piece) >= _LEAST_BYTES:
                stored = self._stored(kept, piece)
                sent[number] = stored.reference
                held.append(stored.holder)
        return sent, held

    def _stored(self, kept: _Kept, piece: Any) -> Stored:
        digest = hashlib.sha256(piece).digest()
        with kept.lock:
            stored = kept.stored.pop(digest, None) or self._store(piece)
            kept.stored[digest] = stored
            while len(kept.stored) > _MOST_KEPT:
                kept.stored.popitem(last=False)
        return stored
