"""Strategies for values that are written and read, and what makes two of them the same."""

import collections
import dataclasses
import math
import types

from hypothesis import strategies as st

from bandsaw.context import Context
from bandsaw.execution import Execution
from bandsaw.result import Result

from .serialization_values import Bits, Colour, Data, OwnError, Pair

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.complex_numbers()
    | st.text()
    | st.binary()
    | st.datetimes()
    | st.timedeltas()
    | st.decimals(allow_nan=False)
    | st.fractions()
    | st.uuids()
    | st.sampled_from([Colour.RED, Bits.ONE | Bits.TWO, ..., "_serializer", "\ud83d\ude00"[:1]])
    | st.builds(range, st.integers(-9, 9), st.integers(-9, 9), st.integers(1, 9))
)
hashables = st.recursive(
    scalars.filter(lambda value: value == value),
    lambda inner: (
        st.lists(inner, max_size=3).map(tuple)
        | st.frozensets(inner, max_size=3)
        | st.builds(Pair, inner, inner)
    ),
    max_leaves=4,
)


def _raised(error, cause):
    """Raises an exception, so that it has a traceback, with or without a cause."""
    try:
        raise error from cause
    except Exception as caught:
        return caught


def _exceptions(inner):
    made = (
        st.builds(ValueError, inner, inner)
        | st.builds(OwnError, st.text(), code=inner)
        | st.builds(KeyError, inner)
        | st.builds(OSError, st.integers(1, 5), st.text())
    )
    return made | st.builds(_raised, made, st.none() | made)


values = st.recursive(
    scalars | hashables | st.binary().map(bytearray),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=3).map(tuple)
        | st.dictionaries(hashables, inner, max_size=3)
        | st.dictionaries(st.text(), inner, max_size=3)
        | st.sets(hashables, max_size=3)
        | st.builds(Data, inner, inner)
        | st.builds(Pair, inner, inner)
        | st.builds(collections.deque, st.lists(inner, max_size=2), st.just(3))
        | st.builds(types.SimpleNamespace, a=inner)
        | st.builds(Result, inner)
        | st.builds(Result, exception=_exceptions(inner))
        | st.builds(Execution, st.text(), st.lists(inner, max_size=2).map(tuple),
                    st.dictionaries(st.text(), inner, max_size=2))
        | st.builds(Context, st.dictionaries(st.text(), inner, max_size=2))
        | _exceptions(inner)
    ),
    max_leaves=10,
)  # fmt: skip


def form_of(value):
    """Returns what is equal for values that are the same, in value and type, at any depth."""
    kind = type(value).__qualname__
    if isinstance(value, (float, complex)):
        parts = (value,) if isinstance(value, float) else (value.real, value.imag)
        # NaN is not equal to itself, and 0.0 is equal to -0.0.
        return kind, ["nan" if math.isnan(part) else repr(part) for part in parts]
    if isinstance(value, (dict, Context)):
        return kind, [(form_of(key), form_of(value[key])) for key in value]
    if isinstance(value, collections.deque):
        return kind, value.maxlen, [form_of(item) for item in value]
    if isinstance(value, (list, tuple)):
        return kind, [form_of(item) for item in value]
    if isinstance(value, (set, frozenset)):
        return kind, sorted(repr(form_of(item)) for item in value)
    if isinstance(value, BaseException):
        cause = value.__cause__
        is_text = type(cause).__name__ == "RemoteTraceback"
        state = {name: item for name, item in vars(value).items() if name != "__notes__"}
        return (
            kind,
            form_of(value.args),
            form_of(state),
            getattr(value, "errno", None),
            None if cause is None or is_text else form_of(cause),
        )
    if isinstance(value, Result):
        return kind, form_of(value.value), form_of(value.exception)
    if isinstance(value, Execution):
        return kind, value.execution_id, form_of(value.args), form_of(value.kwargs)
    if dataclasses.is_dataclass(value) or isinstance(value, types.SimpleNamespace):
        return kind, form_of(vars(value))
    return kind, repr(value)
