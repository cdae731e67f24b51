"""Signed data: what stands before a payload, and how it is verified.

| bytes | holds                                                                |
|-------|----------------------------------------------------------------------|
| 24    | the mark, as text `cbandsaw.signed` and `pickle1`, a line each       |
| 32    | the HMAC-SHA256 of all of the following                              |
| 8     | the length of the payload                                            |
| n     | the payload                                                          |

Signed are, in this order: the mark, the lengths of purpose and payload, the number of buffers that
are out of band, the length of each, the purpose, the payload, the buffers. The lengths come first
and have 8 bytes each (big endian), so that no two messages have the same text.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

from ..errors import SignatureError

SIGNED_MODULE = "bandsaw.signed"
# Read as a pickle, this names a module that does not exist: a reader without signatures stops here.
_MARK = f"c{SIGNED_MODULE}\npickle1\n".encode("ascii")
_DIGEST = 32
_LENGTH = 8
_CHUNK = 1 << 20


def signed(
    key: bytes, purpose: str, payload: Sequence[bytes], buffers: Sequence[Any] = ()
) -> bytes:
    """Makes mark, signature and length, which are written before a payload."""
    length = sum(map(len, payload))
    signature = _signature(key, purpose, length, payload, buffers)
    return b"".join((_MARK, signature, length.to_bytes(_LENGTH, "big")))


def verified(key: bytes, purpose: str, stream: BinaryIO, buffers: Sequence[Any] = ()) -> bytes:
    """Reads a signed payload, and no further. It is verified as it is then in memory."""
    # Each process of a task imports this module, and few sign.
    import hmac

    mark = _read(stream, len(_MARK))
    if mark != _MARK:
        raise SignatureError(
            "The data is not signed, and this serializer reads nothing else: whoever writes it "
            "needs a PickleSerializer with the same key. Data from before the key was set has to "
            "be written again."
        )
    head = _read(stream, _DIGEST + _LENGTH)
    length = int.from_bytes(head[_DIGEST:], "big")
    payload = _read(stream, length) if len(head) == _DIGEST + _LENGTH else b""
    if len(head) < _DIGEST + _LENGTH or len(payload) < length:
        raise SignatureError("The signed data ends early, so that it cannot be verified.")
    signature = _signature(key, purpose, length, (payload,), buffers)
    if not hmac.compare_digest(signature, head[:_DIGEST]):
        what = f" as {purpose!r}" if purpose else ""
        raise SignatureError(
            f"The signature of the data does not fit: it was not written{what} by somebody with "
            "this key, or was changed since. See that both sides have the same key, and do not use "
            "the data otherwise."
        )
    return payload


def _signature(
    key: bytes, purpose: str, length: int, payload: Sequence[Any], buffers: Sequence[Any]
) -> bytes:
    import hmac

    name = purpose.encode("utf-8", "surrogatepass")
    views = [memoryview(buffer).cast("B") for buffer in buffers]
    numbers = (len(name), length, len(views), *(view.nbytes for view in views))
    digest = hmac.new(key, _MARK, "sha256")
    digest.update(b"".join(number.to_bytes(_LENGTH, "big") for number in numbers))
    parts: list[Any] = [name, *payload, *views]
    for part in parts:
        digest.update(part)
    return digest.digest()


def _read(stream: BinaryIO, size: int) -> bytes:
    # The size is not verified yet: each read asks for no more than was received so far.
    data = stream.read(min(size, _CHUNK))
    if len(data) == size:
        return data
    parts, done = [data], len(data)
    while data and done < size:
        data = stream.read(min(size - done, max(done, _CHUNK)))
        parts.append(data)
        done += len(data)
    return b"".join(parts)
