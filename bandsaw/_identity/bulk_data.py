"""Bulk data: read where it lies, never copied as a whole."""

from __future__ import annotations

import gc
import re
import sys
from collections.abc import Iterable, Iterator
from hashlib import sha256
from importlib import import_module
from typing import TYPE_CHECKING, Any, Optional

from .._system.buffers import update
from .._system.importing import late_import
from .forms import PARTS, SEQUENCE, Form, NoForm, write_str
from .kinds import attributes_of, is_a

if TYPE_CHECKING:
    from .forms import AnyWriter

_INLINE = 224
# In the format of a buffer, see PEP 3118; `Z` before another letter says that it is complex.
_POINTER = re.compile("[OPz&X]|Z(?![fdg])")
_NAMES_OF_FIELDS = re.compile(":[^:]*:")
# Of an array that does not lie in C order, so many bytes are copied at once.
_CHUNK = 2 << 20


def written_buffer(buffer: Any, writer: AnyWriter) -> bytes:
    """Writes format, shape and contents of a buffer in C order; their digest where it is long."""
    view = memoryview(buffer)
    shape = b"" if view.ndim == 1 and view.format == "B" else _described(view)
    if view.nbytes <= _INLINE or not view.c_contiguous:
        return shape + written_chunks(view.nbytes, [view.tobytes()], writer)
    return shape + written_chunks(view.nbytes, [view], writer)


def _described(view: memoryview) -> bytes:
    if _POINTER.search(_NAMES_OF_FIELDS.sub("", view.format)):
        raise NoForm("its elements are addresses of other objects")
    text = f"{view.format}{view.itemsize}{view.shape}".encode()
    return b"%%%d:%b" % (len(text), text)


def written_chunks(size: int, chunks: Iterable[Any], writer: AnyWriter) -> bytes:
    """Writes contiguous buffers as one. Returns the bytes, or their digest where there are many."""
    writer.bulk += size
    if size <= _INLINE:
        return b"%d:" % size + b"".join(bytes(chunk) for chunk in chunks)
    digest = new_hash(writer.bulk_hash)
    update(digest, chunks, size)
    name = (writer.bulk_hash or "").encode()
    content: bytes = digest.digest()
    return b"%d#%b:%b" % (size, name, content)


def open_numpy(value: Any, writer: AnyWriter) -> Any:
    """Opens an array, scalar or dtype of numpy; `None` for what pickles as any object."""
    numpy = sys.modules.get("numpy")
    ndarray = getattr(numpy, "ndarray", None)
    if numpy is None or ndarray is None:
        return None
    if type(value) is ndarray:
        return _array(numpy, value, writer, b"a")
    if is_a(value, ndarray):
        return _array_subclass(numpy, value, writer)
    if is_a(value, numpy.generic):
        return Form(b"!numpy.scalar;", PARTS, (numpy.asarray(value),))
    if is_a(value, numpy.dtype):
        return b"!numpy.dtype;" + _dtype(value)
    return None


def _array_subclass(numpy: Any, value: Any, writer: AnyWriter) -> Form:
    parts: list[Any] = [type(value)]
    state: Any = attributes_of_array(numpy, value)
    if is_a(value, numpy.ma.MaskedArray):
        if value is numpy.ma.masked:
            return Form(b"!numpy.masked;", PARTS, ())
        # What lies under the mask is nobody's value, and neither is the fill value's cache.
        mask = numpy.ma.getmaskarray(value)
        parts += [numpy.asarray(value.filled()), mask, value.fill_value]
    else:
        # A class may give something of its own kind for `value.view(...)`.
        parts.append(numpy.ndarray.view(value, numpy.ndarray))
    if not writer.is_careful and says_more(type(value)):
        state = _beside_elements(value, 7 if is_a(value, numpy.ma.MaskedArray) else 5)
    parts.append(state or None)
    return Form(b"!numpy.subclass;", PARTS, parts, ("",) * len(parts))


# What numpy keeps in a masked array. Its mask and its fill value are counted by themselves.
_OF_MASKED = frozenset(
    "_mask _fill_value _hardmask _sharedmask _isfield _baseclass _optinfo _basedict".split()
)


def attributes_of_array(numpy: Any, value: Any) -> dict[str, Any]:
    """Returns the attributes of an array of a derived class, without numpy's own."""
    if is_a(value, numpy.memmap):
        return {}  # what it knows of its file is not its value
    state = dict(attributes_of(value))
    if is_a(value, numpy.ma.MaskedArray):
        state = {name: each for name, each in state.items() if name not in _OF_MASKED}
        if value.hardmask:
            state["_hardmask"] = True
    return state


def says_more(kind: type) -> bool:
    """Says whether a class of arrays pickles by a method that is not numpy's."""
    for base in kind.__mro__:
        if "__reduce__" in base.__dict__ or "__reduce_ex__" in base.__dict__:
            return base.__module__.partition(".")[0] != "numpy"
    return False


def _beside_elements(value: Any, elements: int) -> Any:
    """Returns what an array pickles as, without its elements and how they lie."""

    def left(part: Any) -> Any:
        if type(part) is not tuple:
            return part
        is_state = len(part) >= elements and (type(part[0]), type(part[1])) == (int, tuple)
        if is_state and part[:2] == (1, value.shape):
            return part[elements:]
        return tuple(map(left, part))

    try:
        function, *parts = value.__reduce_ex__(5)
    except Exception as error:
        raise NoForm(str(error) or type(error).__name__) from error
    if str(getattr(function, "__module__", "")).partition(".")[0] == "numpy":
        function = None  # its name depends on the version
    return function, left(tuple(parts))


def _array(numpy: Any, value: Any, writer: AnyWriter, tag: bytes) -> Any:
    dtype = value.dtype
    head = b"%b%b%d:%b;" % (
        tag, _dtype(dtype), value.ndim, b",".join(b"%d" % n for n in value.shape),
    )  # fmt: skip
    if dtype.names is not None:
        # Between the fields there may be padding, which holds whatever was in memory.
        fields = [value[name] for name in dtype.names]
        return Form(b"!" + head, PARTS, fields, [f"[{name!r}]" for name in dtype.names])
    if dtype.hasobject:
        return Form(b"!" + head, SEQUENCE, value.ravel(order="C").tolist())
    if dtype.kind == "V" and value.nbytes == 0:
        return head
    if value.nbytes == 0:
        return head + written_chunks(0, [], writer)
    if dtype.kind in "fc" and numpy.finfo(dtype).nmant == _MANTISSA_OF_80_BITS:
        return head + written_chunks(value.nbytes, _without_padding(numpy, value), writer)
    if value.flags.c_contiguous:
        # Not every dtype has a buffer; bytes have.
        return head + written_chunks(value.nbytes, [value.reshape(-1).view(numpy.uint8)], writer)
    return head + written_chunks(value.nbytes, chunks_of(numpy, value), writer)


def chunks_of(numpy: Any, value: Any) -> Iterator[Any]:
    """Copies an array chunk by chunk, as arrays of bytes: the elements in C order."""
    rows = _CHUNK * len(value) // value.nbytes
    if rows == 0 and value.ndim > 1:
        for part in value:
            yield from chunks_of(numpy, part)
        return
    rows = max(rows, 1)
    for start in range(0, len(value), rows):
        part = value[start : start + rows]
        # Single bytes far apart are brought together first: to fetch each by itself takes long.
        part = part.copy("K") if part.itemsize == 1 else part
        yield numpy.ascontiguousarray(part).reshape(-1).view(numpy.uint8)


def _without_padding(numpy: Any, value: Any) -> Iterable[Any]:
    """Copies numbers of 80 bits: in memory, up to six bytes of anything lie behind each."""
    size = value.itemsize if value.dtype.kind == "f" else value.itemsize // 2
    if value.flags.c_contiguous:
        flat = value.reshape(-1)
        chunks: Iterable[Any] = (flat[at : at + _AT_ONCE] for at in range(0, len(flat), _AT_ONCE))
    else:
        chunks = chunks_of(numpy, value)
    for chunk in chunks:
        copy = chunk.view(numpy.uint8).reshape(-1, size).copy()
        copy[:, 10:] = 0
        yield copy.reshape(-1)


_MANTISSA_OF_80_BITS = 63
_AT_ONCE = 1 << 16


def _dtype(dtype: Any) -> bytes:
    if dtype.names is not None:
        fields = [dtype.fields[name] for name in dtype.names]
        text = b"".join(
            b"%d:%b%d;%b" % (len(n.encode()), n.encode(), field[1], _dtype(field[0]))
            + b"".join(b"=" + write_str(str(title)) for title in field[2:])
            for n, field in zip(dtype.names, fields)
        )
        return b"{%d,%d:%b}" % (len(fields), dtype.itemsize, text)
    if dtype.subdtype is not None:
        base, shape = dtype.subdtype
        return b"(%b%b)" % (_dtype(base), repr(tuple(map(int, shape))).encode())
    name = dtype.str if dtype.kind != "T" else str(dtype)
    return b"<%b>" % name.encode()


def open_ufunc(value: Any, writer: AnyWriter) -> Form:
    """What `numpy.frompyfunc` has made of a function, which only the collector knows."""
    made_of = [each for each in gc.get_referents(value) if callable(each)]
    if made_of:
        return Form(b"!ufunc;", PARTS, (*made_of, value.nin, value.nout, value.identity))
    with late_import:
        from .reduced import open_reduced

    return open_reduced(value)


def open_array(value: Any, writer: AnyWriter) -> bytes:
    if value.typecode in "uw":
        raise NoForm("arrays of characters depend on the platform; use a string")
    return b"!array;%b%d;" % (value.typecode.encode(), value.itemsize) + written_buffer(
        memoryview(value).cast("B"), writer
    )


_CONSTRUCTORS = {"blake3": "blake3", "xxhash": "xxh3_128"}


def new_hash(name: Optional[str]) -> Any:
    """Starts a hash: `'blake3'`, `'xxhash'` (not collision resistant), or `None` for SHA-256."""
    if name is None:
        return sha256()
    from ..errors import InvalidValueError

    constructor = _CONSTRUCTORS.get(name) if isinstance(name, str) else None
    if constructor is None:
        known = ", ".join(map(repr, _CONSTRUCTORS))
        raise InvalidValueError(
            f"There is no hash {name!r} for bulk data. It may be {known}, or None for SHA-256."
        )
    try:
        with late_import:
            return getattr(import_module(name), constructor)()
    except ImportError as error:
        raise InvalidValueError(
            f"to hash with {name!r}, install the package {name!r} ('pip install {name}')"
        ) from error
