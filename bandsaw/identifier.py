"""Identifiers: the first hex digits of a SHA-256.

The length is 16 digits, or what the environment variable `BANDSAW_ID_LENGTH` said when this module
was imported or reloaded.
"""

from __future__ import annotations

import os
from typing import Any, Union

ID_LENGTH_ENV_VARIABLE = "BANDSAW_ID_LENGTH"
ID_LENGTH_DEFAULT = 16
_LONGEST = 64
_sha256: Any = None


def _id_length() -> int:
    text = os.environ.get(ID_LENGTH_ENV_VARIABLE)
    if text is None or not text.strip():
        return ID_LENGTH_DEFAULT
    if text.strip().isdecimal() and 1 <= int(text) <= _LONGEST:
        return int(text)
    from .errors import InvalidValueError

    raise InvalidValueError(
        f"{ID_LENGTH_ENV_VARIABLE} has to be a number from 1 to {_LONGEST}, not {text!r}"
    )


ID_LENGTH = _id_length()


def identifier_from_bytes(buffer: Union[bytes, bytearray, memoryview]) -> str:
    """Makes an identifier of bytes.

    Args:
        buffer: Any contiguous buffer; it is read in place.

    Returns:
        The first 16 hex digits of its SHA-256, or as many as `BANDSAW_ID_LENGTH` asks for.

    Raises:
        InvalidValueError: If it is no buffer (a `ValueError`).
    """
    global _sha256
    if _sha256 is None:
        # OpenSSL takes longer to load than all the rest of `import bandsaw`.
        from hashlib import sha256 as _sha256
    try:
        return str(_sha256(buffer).hexdigest()[:ID_LENGTH])
    except TypeError as error:
        raise _invalid("bytes or another buffer", buffer) from error


def identifier_from_string(string: str) -> str:
    """Makes an identifier of a string.

    Args:
        string: Any string, lone surrogates included; its UTF-8 is what counts.

    Returns:
        The identifier, see `identifier_from_bytes`.

    Raises:
        InvalidValueError: If it is no string (a `ValueError`).
    """
    if not isinstance(string, str):
        raise _invalid("a string", string)
    return identifier_from_bytes(string.encode("utf-8", "surrogatepass"))


def _is_like_id(name: str) -> bool:
    """Says whether a file's name has the form of our ids; assigned ids may have any."""
    digits = name[name.startswith("_") :]  # see `_cache.modes.entry_name`
    return 4 <= len(digits) <= _LONGEST and not digits.strip("0123456789abcdef")


def _invalid(expected: str, given: object) -> Exception:
    from .errors import InvalidValueError

    return InvalidValueError(f"An identifier is made of {expected}, not of {given!r:.100}")
