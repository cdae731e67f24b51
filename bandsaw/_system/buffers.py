"""Bulk data: memory for it, and its digest."""

from __future__ import annotations

import contextlib
import io
import mmap
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

# How many chunks a reader may be ahead of the digest.
AHEAD = 2
# From this size on, one thread hashes and another one makes the chunks.
_LARGE = 8 << 20
# From this size on, memory comes from `mmap`, which does not write zeros into it.
_SMALL = 1 << 16
# From this size on it is worth to have fewer and larger pages.
_HUGE = 1 << 22


def room(size: int) -> memoryview:
    """Returns memory, pages of its own where it is large, that no forked process shares."""
    flags = getattr(mmap, "MAP_PRIVATE", 0) | getattr(mmap, "MAP_ANONYMOUS", 0)
    if size >= _SMALL and flags:
        # The number of mappings of a process is limited. Beyond it, `bytearray` works.
        with contextlib.suppress(OSError):
            found = mmap.mmap(-1, size, flags=flags)
            if size >= _HUGE:
                with contextlib.suppress(OSError, AttributeError):
                    found.madvise(mmap.MADV_HUGEPAGE)
            return memoryview(found)
    return memoryview(bytearray(size))


class Pieces(io.BufferedIOBase):
    """A stream that keeps what is written, large `bytes` as the very objects they are."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        # A copy of everything mutable: its owner may change it later.
        self.pieces.append(data if type(data) is bytes else bytes(data))
        return len(self.pieces[-1])


def stream_over(data: Any) -> BinaryIO:
    """Opens bytes in memory for reading. They are not copied, unless they are few."""
    is_copied = type(data) is not bytes and len(data) > _SMALL
    return io.BufferedReader(_Memory(data)) if is_copied else io.BytesIO(data)


class _Memory(io.RawIOBase):
    def __init__(self, data: Any) -> None:
        self._data = memoryview(data)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: len(self._data)}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        piece = self._data[self._position : self._position + len(buffer)]
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)


def rechunked(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Cuts and joins chunks: each has that size but for the last one, which is always there."""
    waiting = bytearray()
    for chunk in chunks:
        waiting += chunk
        while len(waiting) > size:
            yield bytes(waiting[:size])
            del waiting[:size]
    yield bytes(waiting)


def memory_at(address: int, size: int, owner: Any) -> memoryview:
    """Shows memory of an object that has no buffer; the object is kept as long as the view is."""
    if not size:
        return memoryview(b"")  # it may be nowhere
    import ctypes

    found = (ctypes.c_ubyte * size).from_address(address)
    found.owner = owner  # type: ignore[attr-defined]
    return memoryview(found).cast("B")


def has_elements(torch: Any, tensor: Any) -> bool:
    """Says whether a tensor of PyTorch is nothing but elements that lie in memory."""
    if tensor.layout is not torch.strided or tensor.device.type == "meta":
        return False
    # Older versions have names of dimensions.
    has_names = hasattr(tensor, "has_names") and tensor.has_names()
    return not (tensor.is_quantized or tensor.is_nested or tensor._is_zerotensor() or has_names)


def update(digest: Any, chunks: Iterable[Any], size: int) -> None:
    """Hashes chunks. Many of them are hashed in another thread while the next ones are made."""
    if size >= _LARGE and isinstance(chunks, Iterator):
        _update_meanwhile(digest, chunks)
    else:
        for chunk in chunks:
            digest.update(chunk)


def _update_meanwhile(digest: Any, chunks: Iterator[Any]) -> None:
    from queue import SimpleQueue
    from threading import Semaphore, Thread

    made: SimpleQueue[Any] = SimpleQueue()
    free = Semaphore(AHEAD)
    errors: list[BaseException] = []

    def hash_them() -> None:
        while (chunk := made.get()) is not None:
            try:
                digest.update(chunk)
            except BaseException as error:
                errors.append(error)
            free.release()

    thread = Thread(target=hash_them, name="bandsaw-hash", daemon=True)
    try:
        try:
            thread.start()
        except RuntimeError:
            # No more threads can be started, or the interpreter is ending.
            for chunk in chunks:
                digest.update(chunk)
            return
        # A chunk is made only when one of the buffers is free.
        while free.acquire():
            chunk = next(chunks, None)
            if chunk is None:
                break
            made.put(chunk)
    finally:
        made.put(None)
        if thread.ident is not None:
            thread.join()
    if errors:
        raise errors[0]
