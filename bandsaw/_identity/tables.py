"""Forms of what pandas, pyarrow, torch and xarray hold: columns and elements, wherever they lie.

None is imported here: whoever has a table or a tensor has them loaded.
"""

from __future__ import annotations

import contextlib
import copy
import copyreg
import sys
from typing import TYPE_CHECKING, Any, Optional, Union

from .._system.buffers import has_elements, memory_at
from .bulk_data import written_buffer, written_chunks
from .forms import PARTS, SEQUENCE, Fields, Form, NoForm, Written
from .kinds import attributes_of, is_a, module_of, name_of

if TYPE_CHECKING:
    from .forms import AnyWriter


def open_table(value: Any, writer: AnyWriter) -> Optional[Union[bytes, Form]]:
    """Opens tables, columns, tensors and their like; `None` for what counts by its reduced form."""
    if module_of(type(value)).partition(".")[0] == "xarray":
        return _open_labelled(value, writer)
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        opened = _open_torch(torch, value, writer)
        if opened is not None:
            return opened
    pandas: Any = sys.modules.get("pandas")
    if pandas is not None:
        opened = _open_pandas(pandas, value)
        if opened is not None:
            return opened
    arrow: Any = sys.modules.get("pyarrow")
    return _open_arrow(arrow, value, writer) if arrow is not None else None


def _open_labelled(value: Any, writer: AnyWriter) -> Optional[Form]:
    """Opens what xarray labels; `None` for its other objects."""
    kind = type(value)
    names = copyreg._slotnames(kind)  # type: ignore[attr-defined]
    if "_attrs" not in names and "_variable" not in names:
        return None
    state = dict(attributes_of(value))
    for name in names:
        with contextlib.suppress(AttributeError):
            state[name] = object.__getattribute__(value, name)
    for name in _MADE_WHEN_ASKED & state.keys():
        state[name] = state[name] or None
    for name in _NO_VALUES & state.keys():
        del state[name]
    data = state.get("_data")
    holder = name_of(type(data))
    is_lazy = holder.startswith("xarray.") and "Pandas" not in holder
    if is_lazy and not writer.is_careful:
        try:
            # A copy, so that what is read now is not kept in the user's.
            state["_data"] = sys.modules["numpy"].asarray(copy.copy(data))
        except Exception as error:
            raise NoForm(f"it cannot be read: {type(error).__name__}: {error}") from error
    return Form(b"O", PARTS, (kind, (), Fields(state), None, None), ("",) * 5)


# What is made when it is first asked for: `None` or empty until then.
_MADE_WHEN_ASKED = frozenset(("_attrs", "_encoding"))
# Accessors that were asked for, and how files are closed.
_NO_VALUES = frozenset(("_cache", "_close"))


def _open_torch(torch: Any, value: Any, writer: AnyWriter) -> Optional[Form]:
    kind = type(value)
    if (kind is torch.Tensor or kind is torch.nn.Parameter) and has_elements(torch, value):
        plain = value.detach().resolve_conj().resolve_neg().cpu().contiguous()
        elements = _elements(plain, plain.numel() * plain.element_size(), writer)
        described = (str(value.dtype), tuple(value.shape), str(value.device), value.requires_grad)
        # Of others it is not kept, and to ask for it is warned of.
        gradient = value.grad if value.is_leaf or value.retains_grad else None
        state = attributes_of(value)
        parts = (kind, described, elements, gradient, Fields(dict(state)) if state else None)
        return Form(b"!tensor;", PARTS, parts)
    # What they pickle as says where they lie in memory.
    if is_a(value, torch.UntypedStorage):
        return Form(b"!storage;", PARTS, (kind, _elements(value.cpu(), value.nbytes(), writer)))
    if is_a(value, torch.storage.TypedStorage):
        return Form(b"!storage;", PARTS, (kind, str(value.dtype), value._untyped_storage))
    return None


def _elements(holder: Any, size: int, writer: AnyWriter) -> Written:
    memory = memory_at(holder.data_ptr(), size, holder)
    return Written(written_chunks(size, [memory], writer))


def _open_pandas(pandas: Any, value: Any) -> Optional[Form]:
    kind = type(value)
    if isinstance(value, pandas.DataFrame):
        columns = [value.iloc[:, position].array for position in range(value.shape[1])]
        parts = [kind, value.index, value.columns, columns, value.attrs or None, _extra(value)]
        return Form(b"!frame;", PARTS, parts, ("", ".index", ".columns", "", ".attrs", ""))
    if isinstance(value, pandas.Series):
        parts = [kind, value.index, value.name, value.array, value.attrs or None, _extra(value)]
        return Form(b"!series;", PARTS, parts, ("", ".index", ".name", "", ".attrs", ""))
    if isinstance(value, pandas.MultiIndex):
        levels = [value.get_level_values(n).array for n in range(value.nlevels)]
        return Form(b"!index;", PARTS, (kind, list(value.names), levels))
    if isinstance(value, pandas.RangeIndex):
        return Form(
            b"!range;", PARTS, (kind, value.name, range(value.start, value.stop, value.step))
        )
    if isinstance(value, pandas.Index):
        frequency = getattr(value, "freqstr", None)
        return Form(b"!index;", PARTS, (kind, value.name, value.array, frequency))
    if isinstance(value, pandas.Categorical):
        parts = [kind, value.categories, value.ordered, value.codes]
        return Form(b"!categorical;", PARTS, parts)
    if isinstance(value, pandas.api.extensions.ExtensionArray):
        return Form(b"!column;", PARTS, (kind, str(value.dtype), _content(value)))
    if value is pandas.NaT or value is pandas.NA:
        return Form(b"!missing;", PARTS, (kind,))
    return None


def _extra(value: Any) -> Any:
    names = getattr(value, "_metadata", ())
    extra = {name: getattr(value, name, None) for name in names if name != "name"}
    if not value.flags.allows_duplicate_labels:
        extra["flags.allows_duplicate_labels"] = False
    return Fields(extra) if extra else None


# What pandas calls a type of numpy's in a column, in its newer and older versions.
_OF_NUMPY = ("NumpyEADtype", "PandasDtype")


def _content(value: Any) -> Any:
    numpy: Any = sys.modules["numpy"]
    if isinstance(value.dtype, numpy.dtype) or type(value.dtype).__name__ in _OF_NUMPY:
        # Missing values are of different types in an array of objects, and are told apart there.
        return numpy.asarray(value)
    if type(value.dtype).__name__ == "ArrowDtype":
        return value.__arrow_array__()
    mask = numpy.asarray(value.isna())
    # Columns of texts in Arrow warn where they are asked for `_data`.
    data = getattr(value, "_data", None) if hasattr(value, "_mask") else None
    if isinstance(data, numpy.ndarray):
        # What lies under the mask is nobody's value.
        return [mask, numpy.where(mask, data.dtype.type(0), data)]
    if value.dtype.kind == "M" and hasattr(value, "asi8"):
        return [mask, value.asi8]
    return [None if missing else item for missing, item in zip(mask, value)]


def _open_arrow(arrow: Any, value: Any, writer: AnyWriter) -> Optional[Union[bytes, Form]]:
    if isinstance(value, (arrow.Table, arrow.RecordBatch)):
        columns = [_column(arrow, column) for column in value.columns] or value.num_rows
        return Form(b"!table;", PARTS, (type(value).__name__, value.schema, columns))
    if isinstance(value, arrow.ChunkedArray):
        return Form(b"!chunked;", PARTS, (value.type, _column(arrow, value)))
    if isinstance(value, arrow.Array):
        return Form(b"!arrow;", PARTS, (value.type, _column(arrow, value)))
    if isinstance(value, arrow.Schema):
        fields = [value.field(position) for position in range(len(value.names))]
        return Form(b"!schema;", PARTS, (fields, value.metadata))
    if isinstance(value, arrow.Field):
        parts = (value.name, value.type, value.nullable, value.metadata)
        return Form(b"!field;", PARTS, parts)
    if isinstance(value, arrow.DataType):
        # The text says nothing of the metadata of inner fields.
        inner = range(value.num_fields) if hasattr(value, "field") else ()
        return Form(b"!type;", PARTS, (str(value), *map(value.field, inner)))
    if isinstance(value, arrow.Scalar):
        known = value.as_py() if _number_of(arrow, value.type) is None else value.value
        return Form(b"!scalar;", PARTS, (value.type, known))
    if isinstance(value, arrow.Buffer):
        return b"!arrowbuffer;" + written_buffer(value, writer)
    return None


def _column(arrow: Any, column: Any) -> Form:
    kind = column.type
    number = _number_of(arrow, kind)
    if number is not None:
        column = column.cast(number)
    numeric = number is not None or arrow.types.is_integer(kind) or arrow.types.is_floating(kind)
    if numeric and column.null_count == 0:
        chunks = column.chunks if isinstance(column, arrow.ChunkedArray) else [column]
        arrays = [chunk.to_numpy(zero_copy_only=True) for chunk in chunks]
        if len(arrays) == 1:
            return Form(b"!numbers;", PARTS, (arrays[0],))
        numpy: Any = sys.modules["numpy"]
        joined = numpy.concatenate(arrays) if arrays else numpy.zeros(0)
        return Form(b"!numbers;", PARTS, (joined,))
    # Offsets, and what lies below missing values, differ between equal columns.
    items = [column.to_pylist(), Written(str(kind).encode())]
    if arrow.types.is_dictionary(kind):
        items.append(_dictionary(arrow, column))
    return Form(b"!items;", SEQUENCE, items)


def _number_of(arrow: Any, kind: Any) -> Any:
    """Returns the type of the numbers that times and dates are kept as; `None` for other types.

    Python's own have no nanoseconds, and others are made of them where pandas is installed.
    """
    types = arrow.types
    if any(ask(kind) for ask in (types.is_time, types.is_date, types.is_timestamp,
                                 types.is_duration)):  # fmt: skip
        return arrow.int32() if kind.bit_width == 32 else arrow.int64()
    if "time64[ns]" in str(kind):
        raise NoForm("times with nanoseconds in lists and the like cannot be read exactly")
    return None


def _dictionary(arrow: Any, column: Any) -> Any:
    """Returns the values that a column may have, in their order; each chunk may have its own."""
    if isinstance(column, arrow.Array):
        return column.dictionary
    if not column.num_chunks:
        return arrow.array([], column.type.value_type)
    return column.unify_dictionaries().chunk(0).dictionary
