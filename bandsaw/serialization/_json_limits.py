"""How much a JSON text holds, found out before it is read.

What is far from the limits, and that is nearly everything, is seen to be so by counting bytes in C.
"""

from __future__ import annotations

import re
from typing import BinaryIO

from ..errors import LimitError

_CHUNK = 1 << 20
_STRING = re.compile(rb'"[^"]*"?')
_NO_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_OTHER_TO_SQUARE = bytes.maketrans(b"{}", b"[]")
# After so many levels, to look at each bracket takes no longer.
_LEVELS_AT_ONCE = 100


def read(stream: BinaryIO, max_size: int) -> bytes:
    """Reads a stream to its end.

    Args:
        stream: Where from.
        max_size: How many bytes there may be.

    Returns:
        The bytes.

    Raises:
        LimitError: If there are more. No more than that are kept.
    """
    parts, size = [], 0
    while True:
        part = stream.read(_CHUNK)
        if not part:
            break
        size += len(part)
        if size > max_size:
            raise LimitError(
                f"The data is longer than the {max_size} bytes of JsonSerializer(max_size=...)."
            )
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def check(data: bytes, max_depth: int | None, max_count: int) -> None:
    """Checks how deep and how much a text is.

    Args:
        data: The text. If it is no JSON, that is found out later.
        max_depth: How deep lists and objects may be in each other, `None` for any depth.
        max_count: How many values there may be.

    Raises:
        LimitError: If it is deeper, or more.
    """
    if max_depth is None:
        max_depth = len(data)
    # What is in strings counts too here, so that this is too much rather than too little.
    if len(data) <= max_depth and len(data) < max_count:
        return
    opening = data.count(b"[") + data.count(b"{")
    if opening <= max_depth and opening + data.count(b",") < max_count:
        return
    without_strings = data
    if b'"' in data:
        # Without escapes, a string ends at the next quotation mark.
        plain = data.replace(b"\\\\", b"").replace(b'\\"', b"")
        without_strings = _STRING.sub(b"", plain)
    brackets = without_strings.translate(_OTHER_TO_SQUARE, _NO_BRACKETS)
    if brackets.count(b"[") + without_strings.count(b",") >= max_count:
        raise LimitError(
            f"The data has more than the {max_count} values of JsonSerializer(max_count=...)."
        )
    if _depth(brackets) > max_depth:
        raise LimitError(
            f"The data is deeper than the {max_depth} levels of JsonSerializer(max_depth=...)."
        )


def _depth(brackets: bytes) -> int:
    for depth in range(_LEVELS_AT_ONCE):
        if not brackets:
            return depth
        # The innermost pairs go, so that one level after the other does.
        brackets = brackets.replace(b"[]", b"")
    depth = deepest = 0
    for bracket in brackets:
        depth += 1 if bracket == 0x5B else -1
        deepest = max(deepest, depth)
    return _LEVELS_AT_ONCE + deepest
