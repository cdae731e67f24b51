"""NumPy's arrays and scalars as JSON. Loaded only where NumPy is, or where the data names it."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from ..errors import DeserializationError
from ._tables import checked
from .values import ValueSerializer

_SIMPLE_TYPE = re.compile(r"[<>|=]?[a-zA-Z]\d*(\[\w+\])?")


class NumpySerializer(ValueSerializer):
    """Writes arrays and scalars: type, shape, and the bytes of the items as Base64.

    The items of an array of objects are written as values. Arrays of a derived class (masked
    arrays, matrices) and structured types that hold objects are not written.
    """

    def can_serialize_value(self, value: Any) -> bool:
        import numpy

        return type(value) is numpy.ndarray or (
            isinstance(value, numpy.generic) and type(value) is value.dtype.type
        )

    def serialize_value(self, value: Any) -> Any:
        import numpy

        array = numpy.asarray(value)
        dtype = array.dtype
        representation: dict[str, Any] = {"dtype": dtype.str, "shape": list(array.shape)}
        if array is not value:
            representation["scalar"] = True
        elif array.flags.fnc:
            representation["order"] = "F"
        if dtype.kind == "O" and dtype.names is None:
            return {**representation, "items": list(array.flat)}
        if dtype.names is not None:
            representation["dtype"] = _described(dtype.descr)
        if dtype.hasobject or _dtype(representation["dtype"]) != dtype:
            raise TypeError(f"the type {dtype} has no name that stands for it")
        order: Any = representation.get("order", "C")
        data = binascii.b2a_base64(array.tobytes(order), newline=False).decode("ascii")
        return {**representation, "data": data}

    def deserialize_value(self, representation: Any) -> Any:
        import numpy

        dtype = _dtype(representation["dtype"])
        shape = tuple(checked(size, int) for size in checked(representation["shape"], list))
        order: Any = checked(representation.get("order", "C"), str)
        if "items" in representation:
            items = checked(representation["items"], list)
            array: Any = numpy.empty(len(items), dtype=object)
            array[:] = items
            # They come in the order of `flat`, whatever that of the array in memory.
            array = numpy.asarray(array.reshape(shape), order=order)
        elif dtype.hasobject:
            raise DeserializationError("Bytes do not make an array of objects")
        else:
            data = base64.b64decode(checked(representation["data"], str), validate=True)
            # A copy, because an array over `bytes` is read-only.
            array = numpy.frombuffer(bytearray(data), dtype=dtype) if data else _empty(dtype, shape)
        array = array.reshape(shape, order=order)
        return array[()] if representation.get("scalar") else array


def _empty(dtype: Any, shape: Any) -> Any:
    import numpy

    # Items without a size, or none at all: `frombuffer` takes neither.
    if dtype.itemsize and 0 not in shape:
        raise DeserializationError("An array has no data")
    return numpy.ndarray(shape, dtype=dtype)


def _described(descr: Any) -> Any:
    return [[list(p) if type(p) is tuple else _nested(p) for p in field] for field in descr]


def _nested(part: Any) -> Any:
    return _described(part) if type(part) is list else part


def _dtype(described: Any) -> Any:
    import numpy

    return numpy.dtype(_checked_type(described))


def _checked_type(described: Any) -> Any:
    if type(described) is str and _SIMPLE_TYPE.fullmatch(described):
        return described
    fields = []
    for field in checked(described, list):
        name, kind, *shape = checked(field, list)
        fields.append((_checked_name(name), _checked_type(kind), *map(tuple, shape)))
    return fields


def _checked_name(name: Any) -> Any:
    return tuple(name) if type(name) is list else checked(name, str)
