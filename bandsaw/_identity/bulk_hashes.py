"""The hashes for bulk data: SHA-256, or a faster one from a package that users may install."""

from __future__ import annotations

from typing import Any, Optional

_CONSTRUCTORS = {"blake3": "blake3", "xxhash": "xxh3_128"}


def new_hash(name: Optional[str]) -> Any:
    """Starts a hash: `'blake3'`, `'xxhash'` (not collision resistant), or `None` for SHA-256."""
    if name is None:
        from hashlib import sha256

        return sha256()
    from ..errors import InvalidValueError

    constructor = _CONSTRUCTORS.get(name) if isinstance(name, str) else None
    if constructor is None:
        known = ", ".join(map(repr, _CONSTRUCTORS))
        raise InvalidValueError(f"unknown hash {name!r} for bulk data; known are {known}")
    from importlib import import_module

    try:
        return getattr(import_module(name), constructor)()
    except ImportError as error:
        raise InvalidValueError(
            f"to hash with {name!r}, install the package {name!r} ('pip install {name}')"
        ) from error
