"""Digests of pandas and pyarrow tables."""

import pytest

from bandsaw.errors import IdentityError
from bandsaw.fingerprint import digest_of_value as digest


def test_frames_count_by_columns_and_not_by_blocks():
    pd = pytest.importorskip("pandas")
    one = pd.DataFrame({"a": [1, 2], "b": [3, 4], "c": ["x", None]})
    other = pd.DataFrame({"a": [1, 2]})
    other["b"] = [3, 4]
    other["c"] = ["x", None]
    assert digest(one) == digest(other) == digest(one.copy())
    changed = one.copy()
    changed.loc[0, "a"] = 5
    found = [
        one, changed, one[["b", "a", "c"]], one.rename(columns={"a": "z"}), one["a"], one["c"],
        one.set_index("a"), one.astype({"a": "f8"}), one["a"].rename("b"), one.iloc[:1],
        one.astype({"c": "category"}), one.astype({"a": "Int64"}), one.index, one.columns,
        pd.Series(pd.to_datetime(["2020-01-01", None])),
        pd.Series(pd.to_datetime(["2020-01-01", None]).tz_localize("UTC")),
        pd.MultiIndex.from_tuples([(1, 2), (3, 4)]), pd.Timestamp("2020-01-01"), pd.NaT, pd.NA,
        pd.Interval(0, 1), pd.Period("2020-01"), pd.Timedelta(1),
    ]  # fmt: skip
    assert len({digest(value) for value in found}) == len(found)


def test_masked_columns_do_not_count_what_lies_under_the_mask():
    pd = pytest.importorskip("pandas")
    one = pd.Series([1, 2, None], dtype="Int64")
    other = pd.Series([1, 2, 3], dtype="Int64")
    other[2] = pd.NA
    assert digest(one) == digest(other)


@pytest.mark.filterwarnings("error")
def test_texts_in_arrow_have_a_digest_and_no_warning():
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    texts = pd.array(["a", None], dtype="string[pyarrow]")
    assert digest(texts) == digest(texts.copy()) != digest(texts[:1])


def test_arrow_tables_count_by_columns_and_not_by_chunks():
    pa = pytest.importorskip("pyarrow")
    one = pa.table({"a": [1, 2, 3], "b": ["x", None, "z"]})
    chunked = pa.concat_tables([one.slice(0, 1), one.slice(1)])
    assert digest(one) == digest(chunked)
    longer = pa.table({"a": [0, 1, 2, 3], "b": ["", "x", None, "z"]})
    assert digest(longer.slice(1)) == digest(one)
    found = [
        one, longer, one.select(["b", "a"]), one.column("a"), one.column("b"), one.schema,
        pa.array([1, 2]), pa.array([1, 2], pa.int32()), pa.array([1, None]), pa.array([1.0, 2.0]),
        pa.array([[1], [2]]), pa.scalar(1), pa.int32(), one.to_batches()[0],
        one.replace_schema_metadata({"x": "y"}),
    ]  # fmt: skip
    assert len({digest(value) for value in found}) == len(found)


@pytest.mark.parametrize("name", ["blake3", "xxhash"])
def test_another_hash_can_be_asked_for_by_name(name):
    pytest.importorskip(name)
    large = b"x" * 10_000
    assert digest(large, bulk_hash=name) == digest(bytes(bytearray(large)), bulk_hash=name)
    assert digest(large, bulk_hash=name) != digest(large) != digest(b"y" * 10_000, bulk_hash=name)
    assert digest(3, bulk_hash=name) == digest(3)


def test_missing_values_of_different_types_are_different_in_columns_of_objects():
    pd = pytest.importorskip("pandas")
    values = [None, float("nan"), pd.NaT, pd.NA, "x"]
    for kind in (pd.Series, pd.Index):
        found = {digest(kind([value, 1], dtype=object)) for value in values}
        assert len(found) == len(values)
    found = {digest(pd.DataFrame({"a": [value, 1]}, dtype=object)) for value in values}
    assert len(found) == len(values)


def test_numbers_in_columns_are_read_as_arrays_are(monkeypatch):
    pd = pytest.importorskip("pandas")
    np = pytest.importorskip("numpy")
    from bandsaw._identity import bulk_data

    seen = []
    array = bulk_data._array
    monkeypatch.setattr(
        bulk_data, "_array", lambda numpy, value, *more: seen.append(value.dtype) or array(
            numpy, value, *more)
    )  # fmt: skip
    digest(pd.DataFrame({"a": np.arange(3.0), "b": np.arange(3), "c": [True, False, True]}))
    assert {"f", "i", "b"} <= {dtype.kind for dtype in seen}


def test_the_frequency_of_an_index_and_the_flags_of_a_frame_count():
    pd = pytest.importorskip("pandas")
    daily, monthly = (pd.date_range("2020-01-01", periods=1, freq=f) for f in ("D", "MS"))
    assert digest(daily) != digest(monthly)
    assert digest(pd.Series([1], index=daily)) != digest(pd.Series([1], index=monthly))
    frame = pd.DataFrame({"a": [1]})
    assert digest(frame) != digest(frame.set_flags(allows_duplicate_labels=False))


def test_arrow_counts_all_that_its_columns_and_types_have():
    pa = pytest.importorskip("pyarrow")
    pd = pytest.importorskip("pandas")
    times = [pa.array([number, None], pa.time64("ns")) for number in (1, 2)]
    codes = pa.array([0, 1, 0])
    found = [
        *times, *(each[0] for each in times), *(each.slice(0, 1) for each in times),
        *(pd.Series(each, dtype=pd.ArrowDtype(each.type)) for each in times),
        *(pa.chunked_array([each, each]) for each in times),
        # To pandas they are other categories.
        pa.DictionaryArray.from_arrays(codes, ["a", "b"]),
        pa.DictionaryArray.from_arrays(codes, ["a", "b", "c"]),
        pa.DictionaryArray.from_arrays(pa.array([1, 0, 1]), ["b", "a"]),
        *(pa.table({"a": [1] * rows}).select([]) for rows in (3, 4)),
        pa.struct([pa.field("a", pa.int8())]),
        pa.struct([pa.field("a", pa.int8(), metadata={"unit": "m"})]),
    ]  # fmt: skip
    assert len(set(map(digest, found))) == len(found)


def test_the_dictionary_of_a_column_counts_and_not_those_of_its_chunks():
    pa = pytest.importorskip("pyarrow")
    one, other = (pa.array(text).dictionary_encode() for text in (["a", "b", "a"], ["b", "c"]))
    chunked = pa.chunked_array([one.slice(0, 1), one.slice(1)])
    assert digest(chunked) == digest(pa.chunked_array([one]))
    chunked = pa.chunked_array([one, other])
    assert digest(chunked) == digest(chunked.unify_dictionaries())
    empty = pa.chunked_array([], type=one.type)
    assert digest(empty) == digest(
        pa.chunked_array([pa.array([], pa.string()).dictionary_encode()])
    )


def test_times_with_nanoseconds_that_arrow_gives_without_them_are_an_error():
    pa = pytest.importorskip("pyarrow")
    column = pa.array([[1]], pa.list_(pa.time64("ns")))
    for value in (column, column[0], pa.table({"a": column})):
        with pytest.raises(IdentityError, match="nanoseconds"):
            digest(value)
