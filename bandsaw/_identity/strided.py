"""Arrays whose elements do not lie in C order in memory, as contiguous chunks that do.

Neighbours in memory may lie far apart in C order. A line of the processor's cache that is fetched
for one of them has to be still there when the others are copied, so chunks are filled tile by tile.
The memory of chunks is used again, because fresh memory costs more than the copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from .._system.buffers import AHEAD

# In bytes: of a chunk, and of the largest one for the sake of whole cache lines; which part of the
# array the latter may be.
_CHUNK = 2 << 20
_LARGEST_CHUNK = 8 << 20
_SHARE = 12
_LINE = 64
# Of a tile: how many bytes along the axis whose elements are neighbours in memory, and how many
# elements along the others. Single bytes are worth more lines of the cache than they fill.
_NEIGHBOURS = 512
_OTHERS = 512
_OTHERS_OF_BYTES = 256
# An axis as short as this is copied one index at a time: it is too short for a loop in C.
_SHORT = 16
_MOST_CALLS = 64


def chunks_of(numpy: Any, value: Any) -> Iterator[Any]:
    """Copies an array, chunk by chunk.

    `value`: an array that is not empty. Returns arrays of bytes: the elements in C order. Only the
    last `AHEAD` ones are still whole when the next one is asked for, and the first of them is
    overwritten then.
    """
    value = _with_fewer_axes(value)
    shape, itemsize = value.shape, value.itemsize
    axis, row = value.ndim - 1, itemsize
    while axis > 0 and row * shape[axis] <= _CHUNK:
        row *= shape[axis]
        axis -= 1
    whole = max(1, _LINE // itemsize)
    largest = min(_LARGEST_CHUNK, value.nbytes // _SHARE)
    rows = max(1, _CHUNK // row, min(2 * whole, largest // row))
    rows = min(rows - rows % whole or rows, shape[axis])
    buffers = [numpy.empty((rows, *shape[axis + 1 :]), value.dtype) for _ in range(AHEAD)]
    for index in numpy.ndindex(*shape[:axis]):
        part = value[index]
        for start in range(0, len(part), rows):
            source = part[start : start + rows]
            buffers.append(buffers.pop(0))
            target = buffers[-1][: len(source)]
            _copy(numpy, target, source)
            yield target.reshape(-1).view(numpy.uint8)


def _with_fewer_axes(value: Any) -> Any:
    """Joins axes that are one in memory."""
    shape: list[int] = []
    last = 0
    for length, stride in zip(value.shape, value.strides):
        if length == 1:
            continue
        if shape and last == stride * length:
            shape[-1] *= length
        else:
            shape.append(length)
        last = stride
    return value.reshape(shape or (1,))


def _copy(numpy: Any, target: Any, source: Any, calls: int = 1) -> None:
    shape = source.shape
    last = len(shape) - 1
    if last and shape[last] < _SHORT and calls * shape[last] <= _MOST_CALLS:
        for index in range(shape[last]):
            _copy(numpy, target[..., index], source[..., index], calls * shape[last])
        return
    strides = [abs(stride) or 1 << 62 for stride in source.strides]
    nearest = strides.index(min(strides))
    if nearest == last:
        numpy.copyto(target, source)
        return
    rest = _OTHERS_OF_BYTES if source.itemsize == 1 else _OTHERS
    steps = []
    for axis in range(last, -1, -1):
        length = shape[axis]
        if axis == nearest:
            steps.append(max(1, _NEIGHBOURS // source.itemsize))
        else:
            steps.append(length if length < 1.5 * rest else rest)
            rest = max(1, rest // steps[-1])
    for tile in _tiles(shape, steps[::-1]):
        numpy.copyto(target[tile], source[tile])


def _tiles(shape: Iterable[int], steps: Iterable[int]) -> Iterator[tuple[slice, ...]]:
    from itertools import product

    return product(*(
        [slice(start, start + step) for start in range(0, length, step)]
        for length, step in zip(shape, steps)
    ))  # fmt: skip
