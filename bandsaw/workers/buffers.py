"""Large buffers that calls of one `map` have in common: each goes to an engine's store once."""

from __future__ import annotations

import hashlib
import threading
import weakref
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Callable, NamedTuple, Optional

from .._system import ending

# Smaller ones are sent with each call.
_LEAST_BYTES = 1 << 20
# So many are kept for a map. Where each call has one of its own, no more are held there in vain.
_MOST_KEPT = 4


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

    def __init__(self, store: Callable[[bytes], Stored]) -> None:
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
        sent: list[Any] = []
        held = []
        small: list[Any] = []
        for piece in pieces:
            if len(piece) < _LEAST_BYTES:
                small.append(piece)
                continue
            stored = self._stored(kept, piece)
            sent += [b"".join(small), stored.reference]
            held.append(stored.holder)
            small = []
        return [*sent, b"".join(small)], held

    def _stored(self, kept: _Kept, piece: Any) -> Stored:
        digest = hashlib.sha256(piece).digest()
        with kept.lock:
            stored = kept.stored.pop(digest, None) or self._store(bytes(piece))
            kept.stored[digest] = stored
            while len(kept.stored) > _MOST_KEPT:
                kept.stored.popitem(last=False)
        return stored
