"""Numbers that are used once: random for each process, and counted in it, which costs less."""

from __future__ import annotations

import itertools
import os

from .processes import in_forked_processes

_random = ""
_counted = itertools.count()


def new_nonce() -> str:
    """Returns 32 hexadecimal digits that no other session has, of whatever process."""
    return f"{_random or _begin()}{next(_counted) & 0xFFFFFFFF:08x}"


def is_of_this_process(nonce: str) -> bool:
    return bool(_random) and nonce.startswith(_random)


def _begin() -> str:
    global _random
    _random = os.urandom(12).hex()
    return _random


@in_forked_processes
def _begin_anew() -> None:
    global _random
    _random = ""
