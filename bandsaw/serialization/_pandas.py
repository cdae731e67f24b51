"""Values of pandas as JSON. Loaded only where pandas is, or where the data names it.

| type                               | representation                                          |
|------------------------------------|---------------------------------------------------------|
| `DataFrame`                        | index, columns, the array of each column, `attrs`       |
| `Series`                           | index, array, name, `attrs`                             |
| `Index` and most of its kinds      | array, name, frequency                                  |
| `RangeIndex`                       | start, stop, step, name                                 |
| `MultiIndex`                       | levels, codes, names                                    |
| `Timestamp`, `DatetimeArray`       | times in UTC as NumPy has them, zone                    |
| `Timedelta`, `TimedeltaArray`      | times as NumPy has them                                 |
| `Period`, `PeriodArray`            | ordinals, frequency                                     |
| `Interval`, `IntervalArray`        | left, right, closed side                                |
| `Categorical`                      | codes, categories, whether ordered                      |
| integers, floats, booleans with NA | numbers, mask                                           |
| arrays of strings                  | texts and what is missing, storage, kind of missing     |
| `NaT`, `NA`                        | nothing                                                 |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import DeserializationError, UnserializableError
from ._tables import Kind, TableSerializer, checked


def _array_of(values: Any) -> Any:
    """Returns the NumPy array of a column or index, or its array of pandas' own."""
    import numpy

    return values.to_numpy() if isinstance(values.dtype, numpy.dtype) else values.array


def _zone_of(value: Any) -> Any:
    # pandas made zones of pytz for names before version 3: the name makes the same one.
    zone = value.tz
    return zone.zone if type(zone).__module__.partition(".")[0] == "pytz" else zone


def _frequency_of(values: Any) -> Any:
    # Periods have theirs in the type of the array.
    text = None if values.dtype.kind == "O" else getattr(values, "freqstr", None)
    if text is not None:
        from pandas.tseries.frequencies import to_offset

        if to_offset(text) != values.freq:
            raise UnserializableError(f"The frequency {values.freq!r} has no text that says it all")
    return text


def _ticks(array: Any, kind: str) -> Any:
    return array.asi8.view(f"{kind}8[{array.unit}]")


def _in_zone(times: Any, zone: Any) -> Any:
    return times if zone is None else times.tz_localize("UTC").tz_convert(zone)


def _with_frequency(index: Any, frequency: Any) -> Any:
    if frequency is not None:
        index.freq = checked(frequency, str)
    return index


def _datetimes(_cls: Any, data: Any) -> Any:
    import pandas

    times, zone, frequency = data
    return _with_frequency(_in_zone(pandas.DatetimeIndex(times), zone), frequency).array


def _timedeltas(_cls: Any, data: Any) -> Any:
    import pandas

    times, frequency = data
    return _with_frequency(pandas.TimedeltaIndex(times), frequency).array


def _listed(array: Any) -> Any:
    import pandas

    # Few bytes of data make a range of any length.
    if isinstance(array, pandas.RangeIndex):
        raise DeserializationError("A range is no array")
    return array


def _index(cls: Any, data: Any) -> Any:
    import pandas

    array, name, frequency = data
    index = _with_frequency(pandas.Index(array, dtype=array.dtype, name=name), frequency)
    if type(index) is not cls:
        raise DeserializationError(f"An array of {array.dtype} makes no {cls.__name__}")
    return index


def _write_index(index: Any) -> Any:
    return [_array_of(index), index.name, _frequency_of(index)]


def _column(array: Any) -> Any:
    import pandas

    return pandas.Series(_listed(array), dtype=array.dtype, copy=False)


def _extra(value: Any) -> list[Any]:
    """What is said beside the data; the last one only where labels may be there once."""
    return [value.attrs] if value.flags.allows_duplicate_labels else [value.attrs, False]


def _with_extra(value: Any, attrs: Any, *flag: Any) -> Any:
    value.attrs = attrs
    if flag:
        value.flags.allows_duplicate_labels = checked(*flag, bool)
    return value


def _series(_cls: Any, data: Any) -> Any:
    index, array, name, *extra = data
    series = _column(array)
    series.index, series.name = index, name
    return _with_extra(series, *extra)


def _frame(cls: Any, data: Any) -> Any:
    import pandas

    index, columns, arrays, *extra = data
    series = dict(enumerate(map(_column, arrays)))
    # Said first: to a longer index pandas would fill them up.
    if any(len(column) != len(index) for column in series.values()):
        raise DeserializationError("The columns of a table differ in length")
    frame = cls(series, index=pandas.RangeIndex(len(index)), copy=False)
    frame.index, frame.columns = index, columns
    return _with_extra(frame, *extra)


def _write_frame(frame: Any) -> Any:
    arrays = [_array_of(frame.iloc[:, number]) for number in range(frame.shape[1])]
    return [frame.index, frame.columns, arrays, *_extra(frame)]


def _strings(_cls: Any, data: Any) -> Any:
    import pandas

    items, storage, by_nan = data
    options = {"na_value": float("nan")} if by_nan else {}
    return pandas.array(items, dtype=pandas.StringDtype(storage, **options))


def _write_strings(array: Any) -> Any:
    dtype = array.dtype
    return [list(array), dtype.storage, isinstance(dtype.na_value, float)]


def _write_multi_index(index: Any) -> Any:
    from pandas import Index, RangeIndex

    levels = [
        Index(list(level), name=level.name) if type(level) is RangeIndex else level
        for level in index.levels
    ]
    return [levels, [list(codes) for codes in index.codes], list(index.names)]


def _multi_index(cls: Any, data: Any) -> Any:
    levels, codes, names = data
    return cls(list(map(_listed, levels)), codes, names=names)


_INDEX = Kind(_write_index, _index)
_MASKED = Kind(lambda array: [array._data, array._mask], lambda cls, data: cls(*data))
_INTERVALS = Kind(
    lambda v: [_array_of(v.left), _array_of(v.right), v.closed],
    lambda cls, data: cls.from_arrays(*data),
)


class PandasSerializer(TableSerializer):
    """Writes tables, columns, indexes, arrays and scalars of pandas, but not of derived classes."""

    kinds: Mapping[str, Kind] = {
        "pandas.DataFrame": Kind(_write_frame, _frame),
        "pandas.Series": Kind(lambda s: [s.index, _array_of(s), s.name, *_extra(s)], _series),
        "pandas.Index": _INDEX,
        "pandas.DatetimeIndex": _INDEX,
        "pandas.TimedeltaIndex": _INDEX,
        "pandas.PeriodIndex": _INDEX,
        "pandas.IntervalIndex": _INDEX,
        "pandas.CategoricalIndex": _INDEX,
        "pandas.RangeIndex": Kind(
            lambda index: [index.start, index.stop, index.step, index.name],
            lambda cls, data: cls(*data[:3], name=data[3]),
        ),
        "pandas.MultiIndex": Kind(_write_multi_index, _multi_index),
        "pandas.Timestamp": Kind(
            lambda time: [time.asm8, _zone_of(time)],
            lambda cls, data: _in_zone(cls(data[0]), data[1]),
        ),
        "pandas.Timedelta": Kind(lambda time: time.asm8, lambda cls, data: cls(data)),
        "pandas.Period": Kind(
            lambda period: [period.ordinal, period.freqstr],
            lambda cls, data: cls(ordinal=data[0], freq=data[1]),
        ),
        "pandas.Interval": Kind(
            lambda v: [v.left, v.right, v.closed], lambda cls, data: cls(*data)
        ),
        "pandas.Categorical": Kind(
            lambda array: [array.codes, array.categories, array.ordered],
            lambda cls, data: cls.from_codes(data[0], categories=data[1], ordered=data[2]),
        ),
        "pandas.arrays.DatetimeArray": Kind(
            lambda array: [_ticks(array, "M"), _zone_of(array), _frequency_of(array)], _datetimes
        ),
        "pandas.arrays.TimedeltaArray": Kind(
            lambda array: [_ticks(array, "m"), _frequency_of(array)], _timedeltas
        ),
        "pandas.arrays.PeriodArray": Kind(
            lambda array: [array.asi8, str(array.dtype)],
            lambda cls, data: cls(data[0], dtype=data[1]),
        ),
        "pandas.arrays.IntervalArray": _INTERVALS,
        "pandas.arrays.IntegerArray": _MASKED,
        "pandas.arrays.FloatingArray": _MASKED,
        "pandas.arrays.BooleanArray": _MASKED,
        "pandas.arrays.StringArray": Kind(_write_strings, _strings),
        "pandas.NaT": Kind(lambda value: None, lambda nat, data: nat),
        "pandas.NA": Kind(lambda value: None, lambda na, data: na),
    }

    def deserialize_value(self, representation: Any) -> Any:
        name, data = checked(representation, list)
        if checked(name, str).startswith("pandas.arrays."):
            list(map(_listed, checked(data, list)))
        return super().deserialize_value(representation)

    def _name_of(self, cls: type) -> str | None:
        if cls not in self._known and str(cls.__module__).partition(".")[0] == "pandas":
            import pandas

            strings = (pandas.arrays.StringArray, pandas.arrays.ArrowStringArray)
            lacking = {type(pandas.NaT): "pandas.NaT", type(pandas.NA): "pandas.NA"}
            name = lacking.get(cls, "")
            if issubclass(cls, strings):
                name = "pandas.arrays.StringArray"
            elif getattr(pandas.arrays, cls.__qualname__, None) is cls is not pandas.Categorical:
                name = f"pandas.arrays.{cls.__qualname__}"
            if name in self.kinds:
                self._known[cls] = name
        return super()._name_of(cls)


PANDAS = PandasSerializer()
