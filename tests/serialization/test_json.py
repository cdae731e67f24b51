import collections
import dataclasses
import io
import json
import math
import threading

import pytest

from bandsaw.errors import DeserializationError, UnknownSerializerError, UnserializableError
from bandsaw.serialization import JsonSerializer, Serializer
from bandsaw.serialization.values import ValueSerializer


def written(value, serializer=None):
    stream = io.BytesIO()
    (serializer or JsonSerializer()).serialize(value, stream)
    return stream.getvalue()


def read(data, serializer=None):
    return (serializer or JsonSerializer()).deserialize(io.BytesIO(data))


@pytest.mark.parametrize(
    "value",
    [
        {"a": "value"},
        {"b": [1, -2.5, None, True], "a": {}},
        [],
        "é\n\u2028",
        12345678901234567890,
        1e100,
    ],
)
def test_plain_values_look_like_compact_json(value):
    expected = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8")
    assert written(value) == expected
    assert read(expected) == value


def test_an_example_of_plain_and_typed_text():
    assert written({"a": "value"}) == b'{"a":"value"}'
    assert written((1,)) == b'{"_serializer":"TupleSerializer","value":[1]}'


@pytest.mark.parametrize(
    "value",
    [math.nan, [math.inf], 10**5000, "\ud800\udc00", {"\ud800": 1}],
    ids=["nan", "inf", "large int", "surrogates", "surrogate key"],
)
def test_the_text_is_json_that_every_reader_accepts(value):
    def refuse(constant):
        raise AssertionError(constant)

    json.loads(written(value).decode("utf-8"), parse_constant=refuse)


def test_integers_of_any_length_are_read_from_plain_digits():
    text = b"[-1" + b"0" * 20_000 + b",1.5]"
    assert read(text) == [-(10**20_000), 1.5]


def test_a_lone_surrogate_is_written_as_an_escape():
    assert written("a\ud800") == b'"a\\ud800"'


def test_a_set_is_written_sorted():
    items = [f"item {i}" for i in range(50)] + [1, 2, None, (1, 2)]
    assert written(set(items)) == written({*items[::-1]})
    assert written({"b", "a"}) == (
        b'{"_serializer":"BuiltinSerializer","value":["builtins.set",["a","b"]]}'
    )


class IntSub(int):
    pass


class StrSub(str):
    __slots__ = ()


class FloatSub(float):
    pass


class ListSub(list):
    pass


class DictSub(dict):
    pass


class TupleSub(tuple):
    __slots__ = ()


class SetSub(set):
    pass


class BytesSub(bytes):
    pass


class OrderedSub(collections.OrderedDict):
    pass


@dataclasses.dataclass
class DataList(list):
    a: int


class Forged:
    pass


Forged.__module__, Forged.__qualname__ = "decimal", "Decimal"


@pytest.mark.parametrize(
    "value",
    [
        IntSub(1),
        StrSub("a"),
        FloatSub(1),
        ListSub(),
        DictSub(),
        TupleSub(),
        SetSub(),
        BytesSub(),
        OrderedSub(),
        DataList(1),
        Forged(),
        {StrSub("a"): 1},
        object(),
        memoryview(b"a"),
        len,
        int,
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_subclass_never_becomes_its_base(value):
    for nested in (value, [value], {"a": (value,)}):
        with pytest.raises(UnserializableError):
            written(nested)


def test_the_error_names_the_two_ways_out():
    with pytest.raises(UnserializableError) as caught:
        written({"a": [1, threading.Lock()]})
    message = str(caught.value)
    assert "value['a'][1]" in message
    assert "_thread.lock" in message
    assert "SerializableValue" in message
    assert "value_serializers" in message


def test_an_object_that_nobody_knows_is_named_itself_and_not_what_is_in_it():
    class Model:
        def __init__(self):
            self.lock = threading.Lock()

    with pytest.raises(UnserializableError, match=r"Model at value\[0\] cannot"):
        written([Model()])


@pytest.mark.parametrize("name", ["X", "", "os", "ValueSerializer"])
def test_an_unknown_serializer_is_named(name):
    text = json.dumps([{"_serializer": name, "value": 1}]).encode()
    with pytest.raises(UnknownSerializerError, match=f"Unknown serializer '{name}'") as caught:
        read(text)
    assert isinstance(caught.value, TypeError)


@pytest.mark.parametrize("rest", [{}, {"value": 1}, {"other": 1}, {"value": 1, "other": [2]}])
def test_an_unknown_serializer_is_named_whatever_else_the_object_has(rest):
    found = {"_serializer": "UnknownSerializer", **rest}
    for text in (
        json.dumps(found),
        json.dumps({"a": [found]}),
        json.dumps(dict(reversed(found.items()))),
    ):
        with pytest.raises(TypeError, match="^Unknown serializer 'UnknownSerializer'$"):
            read(text.encode())


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[1,",
        b"[1] 2",
        b"\xff",
        b"\xef\xbb\xbf1",
        b'{"_serializer":"TupleSerializer"}',
        b'{"_serializer":"TupleSerializer","value":[],"more":1}',
        b'{"_serializer":1,"value":[]}',
        b'{"_serializer":["a"],"value":[]}',
        b'{"_serializer":{},"value":[]}',
        b'{"_serializer":"TupleSerializer","value":1}',
        b'{"_serializer":"TupleSerializer","value":{}}',
        b'{"_serializer":"BuiltinSerializer","value":["builtins.set",[[]]]}',
        b'{"_serializer":"BuiltinSerializer","value":["builtins.set",1]}',
        b'{"_serializer":"BuiltinSerializer","value":["builtins.list",[]]}',
        b'{"_serializer":"BuiltinSerializer","value":["builtins.dict",[[1]]]}',
        b'{"_serializer":"BuiltinSerializer","value":["builtins.dict",[[[],1]]]}',
        b'{"_serializer":"BuiltinSerializer","value":["builtins.bytes","*"]}',
        b'{"_serializer":"BuiltinSerializer","value":["builtins.bytes",5]}',
        b'{"_serializer":"BuiltinSerializer","value":["builtins.int",5]}',
        b'{"_serializer":"BuiltinSerializer","value":5}',
        b'{"_serializer":"BuiltinSerializer","value":[[],5]}',
        b'{"_serializer":"StandardSerializer","value":["datetime.date","x"]}',
        b'{"_serializer":"StandardSerializer","value":["datetime.date",1]}',
        b'{"_serializer":"StandardSerializer","value":["decimal.Decimal","x"]}',
        b'{"_serializer":"StandardSerializer","value":["fractions.Fraction",[1,0]]}',
        b'{"_serializer":"StandardSerializer","value":["zoneinfo.ZoneInfo","../../etc/passwd"]}',
        b'{"_serializer":"StandardSerializer","value":["os.system","true"]}',
        b'{"_serializer":"StandardSerializer","value":["collections.defaultdict",["exec",[]]]}',
        b'{"_serializer":"ExceptionSerializer","value":{}}',
        b'{"_serializer":"ExceptionSerializer","value":{"shapes":[],"contents":[]}}',
        b'{"_serializer":"EnumSerializer","value":{"module":"a","type":"b"}}',
        b'{"_serializer":"DataclassSerializer","value":null}',
        b'{"_serializer":"SerializableValueSerializer","value":[]}',
        b"[" * 100_000,
    ],
    ids=lambda text: text[:80].decode("latin-1"),
)
def test_damaged_data_is_a_typed_error(text):
    with pytest.raises(DeserializationError):
        read(text)


@pytest.mark.parametrize("start", [b"[", b'{"a":', b'{"_serializer":'])
def test_data_that_is_nested_too_deeply_is_a_typed_error(start):
    end = {b"[": b"]"}.get(start, b"}")
    with pytest.raises(DeserializationError, match="nested too deeply"):
        read(start * 100_000 + b"1" + end * 100_000)


def test_a_typed_value_is_seen_behind_escapes_too():
    assert read(b'{"\\u005fserializer":"TupleSerializer","value":[1]}') == (1,)
    assert read(b'{"_\\u0073erializer":"TupleSerializer","value":[1]}') == (1,)
    assert read(b'{"\\u005Fserializer":"TupleSerializer","value":[1]}') == (1,)


class Upper(ValueSerializer):
    """Takes over a type that JSON knows."""

    def can_serialize_value(self, value):
        return type(value) is str

    def serialize_value(self, value):
        return {"text": value.upper()}

    def deserialize_value(self, representation):
        return representation["text"]


class Tuples(ValueSerializer):
    def can_serialize_value(self, value):
        return type(value) is tuple

    def serialize_value(self, value):
        return list(value)

    def deserialize_value(self, representation):
        return ("own", *representation)


class Lists(ValueSerializer):
    def can_serialize_value(self, value):
        return type(value) is list

    def serialize_value(self, value):
        return value[::-1]

    def deserialize_value(self, representation):
        return representation


class OldTuples(Tuples):
    def serialize_value(self, value):
        raise AssertionError("the one that was appended last is asked first")


def test_users_serializers_start_as_an_empty_list_of_their_own():
    assert JsonSerializer().value_serializers == []
    assert JsonSerializer().value_serializers is not JsonSerializer().value_serializers
    assert isinstance(JsonSerializer(), Serializer)


def test_a_users_serializer_is_asked_before_the_built_in_ones_and_the_last_one_first():
    serializer = JsonSerializer()
    serializer.value_serializers.append(OldTuples())
    serializer.value_serializers.append(Tuples())
    data = written([(1, (2,))], serializer)
    assert b'"_serializer":"Tuples"' in data
    assert read(data, serializer) == [("own", 1, ("own", 2))]
    with pytest.raises(UnknownSerializerError, match="Unknown serializer 'Tuples'"):
        read(data)


def test_a_users_serializer_may_take_over_a_type_that_json_knows():
    serializer = JsonSerializer()
    serializer.value_serializers.append(Upper())
    data = written({"key": ["a", ("b",)]}, serializer)
    assert read(data, serializer) == {"key": ["A", ("B",)]}


def test_a_users_serializer_that_returns_its_own_type_is_not_asked_again():
    serializer = JsonSerializer()
    serializer.value_serializers.append(Lists())
    data = written([1, [2, 3]], serializer)
    assert read(data, serializer) == [[3, 2], 1]


def test_an_error_in_a_users_serializer_is_chained():
    class Broken(ValueSerializer):
        def can_serialize_value(self, value):
            return value == "broken"

        def serialize_value(self, value):
            raise KeyError("inside")

        def deserialize_value(self, representation):
            raise KeyError("inside")

    serializer = JsonSerializer()
    serializer.value_serializers.append(Broken())
    with pytest.raises(UnserializableError, match=r"at value\[1\]") as caught:
        written([1, "broken"], serializer)
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(DeserializationError, match="Broken") as caught:
        read(b'{"_serializer":"Broken","value":1}', serializer)
    assert isinstance(caught.value.__cause__, KeyError)


@dataclasses.dataclass(frozen=True)
class Slotted:
    __slots__ = ("a", "b")
    a: int
    b: object


def test_a_frozen_data_class_with_slots_comes_back():
    value = Slotted(1, (Slotted(2, None),))
    assert read(written(value)) == value


class Mine(ValueError):
    pass


def test_classes_of_exceptions_come_back():
    for value in (OSError, Mine, [KeyError, (Mine, json.JSONDecodeError)], KeyboardInterrupt):
        assert read(written(value)) == value


@pytest.mark.parametrize("name", ["int", "print", "nothing"])
def test_data_names_classes_of_exceptions_only(name):
    text = written(OSError).replace(b"OSError", name.encode())
    with pytest.raises(DeserializationError, match=name):
        read(text)


def test_a_class_of_another_kind_is_refused_when_it_is_written():
    with pytest.raises(UnserializableError, match=r"builtins\.type at value\[0\]"):
        written([int])


def test_a_value_of_a_local_class_is_refused_when_it_is_written():
    @dataclasses.dataclass
    class Local:
        a: int

    with pytest.raises(UnserializableError, match="local to a function"):
        written(Local(1))


class TestNumpy:
    numpy = pytest.importorskip("numpy")

    @pytest.mark.parametrize(
        "make",
        [
            lambda np: np.arange(6, dtype="<i2").reshape(2, 3),
            lambda np: np.asfortranarray(np.arange(6.0).reshape(2, 3)),
            lambda np: np.arange(6, dtype=">f8")[::2],
            lambda np: np.array(5),
            lambda np: np.zeros((0, 3)),
            lambda np: np.array(["a", "bc"]),
            lambda np: np.array(["2020-01-01"], dtype="datetime64[ns]"),
            lambda np: np.array([1 + 2j, np.nan]),
            lambda np: np.array([True, False]),
            lambda np: np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f8", (1,))]),
            lambda np: np.array([(1, "x"), {2}], dtype=object),
            lambda np: np.asfortranarray(np.array([[1, "x"], [{2}, None]], dtype=object)),
            lambda np: np.float64(1.5),
            lambda np: np.int8(-1),
            lambda np: np.bool_(True),
            lambda np: np.str_("a"),
            lambda np: np.datetime64("2020-01-01"),
        ],
    )
    def test_arrays_and_scalars_come_back_the_same(self, make):
        np = self.numpy
        value = make(np)
        back = read(written({"a": [value]}))["a"][0]
        assert type(back) is type(value)
        assert back.dtype == value.dtype
        assert back.shape == value.shape
        assert np.array_equal(back, value) or np.isnan(back).any()
        if type(value) is np.ndarray:
            assert back.flags.writeable
            assert back.flags.fnc == value.flags.fnc

    def test_what_bytes_cannot_carry_is_a_typed_error(self):
        np = self.numpy
        for value in (np.ma.array([1]), np.zeros(1, dtype=[("a", object)]), np.recarray(1, "i4")):
            with pytest.raises(UnserializableError):
                written(value)

    @pytest.mark.parametrize(
        "change",
        [
            {"dtype": "|O"},
            {"dtype": "|O", "shape": [0], "data": ""},
            {"dtype": 5},
            {"dtype": [["a", "|O"]]},
            {"dtype": "<i4,<i4"},
            {"shape": [10**10]},
            {"data": "AAA"},
            {"order": "X"},
        ],
    )
    def test_damaged_arrays_are_typed_errors(self, change):
        tree = {"dtype": "<i4", "shape": [1], "data": "AAAAAA=="}
        assert self.read_array(tree).tolist() == [0]
        with pytest.raises(DeserializationError):
            self.read_array({**tree, **change})

    def read_array(self, tree):
        return read(json.dumps({"_serializer": "NumpySerializer", "value": tree}).encode())


class TestPandas:
    pandas = pytest.importorskip("pandas")
    days = pandas.date_range("2020-03-28", periods=3, freq="D", tz="Europe/Berlin", name="day")

    @pytest.mark.parametrize(
        "make",
        [
            lambda pd: pd.Timestamp("2020-10-25 00:30", tz="UTC").tz_convert("Europe/Berlin"),
            lambda pd: pd.Timestamp("2020-01-01 00:00:00.123456789"),
            lambda pd: pd.Timedelta("1.5us"),
            lambda pd: pd.NaT,
            lambda pd: pd.NA,
            lambda pd: pd.Period("2020Q1"),
            lambda pd: pd.Interval(0.5, 1, closed="both"),
        ],
    )
    def test_scalars_come_back_the_same(self, make):
        value = make(self.pandas)
        back = read(written({"a": [value]}))["a"][0]
        assert type(back) is type(value)
        assert repr(back) == repr(value)
        assert getattr(back, "unit", None) == getattr(value, "unit", None)

    @pytest.mark.parametrize(
        "make",
        [
            lambda pd: pd.Series([1.5, None, -0.0], name="s", index=["a", "b", "b"]),
            lambda pd: pd.Series(["a", None]),
            lambda pd: pd.Series(["a", None], dtype=object),
            lambda pd: pd.Series(["a", pd.NA], dtype="string"),
            lambda pd: pd.Series([1, None], dtype="Int8", name=("a", 1)),
            lambda pd: pd.Series([1.5, None], dtype="Float32"),
            lambda pd: pd.Series([True, None], dtype="boolean"),
            lambda pd: pd.Series([1, "a", None, (1, 2)]),
            lambda pd: pd.Series(["x", None]).astype("category"),
            lambda pd: pd.Series(TestPandas.days),
            lambda pd: pd.Series(pd.period_range("2020", periods=3, freq="M")),
            lambda pd: pd.Series(pd.IntervalIndex.from_breaks([0, 1, 2])),
            lambda pd: pd.Series([], dtype=float),
        ],
    )
    def test_columns_come_back_the_same(self, make):
        value = make(self.pandas)
        value.attrs["unit"] = ("m", 2)
        back = read(written([value]))[0]
        self.pandas.testing.assert_series_equal(back, value, check_exact=True)
        assert list(map(type, back)) == list(map(type, value))
        assert back.attrs == value.attrs

    def test_labels_that_may_be_there_once_stay_so(self):
        frame = self.pandas.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False)
        for value in (frame, frame["a"]):
            assert not read(written([value]))[0].flags.allows_duplicate_labels

    def test_a_class_without_a_module_is_told_as_one_that_cannot_be_written(self):
        value = type("f", (), {"__module__": None})()
        with pytest.raises(UnserializableError, match="no value serializer knows its type"):
            written([value])

    @pytest.mark.parametrize(
        "make",
        [
            lambda pd: pd.DataFrame({1: [1, 2], "a": ["x", None]}),
            lambda pd: pd.DataFrame([[1, 2.0]], columns=["a", "a"]),
            lambda pd: pd.DataFrame({"v": 1}, index=TestPandas.days),
            lambda pd: pd.DataFrame(
                [[1, 2]],
                index=pd.MultiIndex.from_tuples([(1, "a")], names=["u", None]),
                columns=pd.MultiIndex.from_product([["p"], [1, 2]]),
            ),
            lambda pd: pd.DataFrame({"v": 1}, index=pd.timedelta_range("1D", periods=2)),
            lambda pd: pd.DataFrame({"v": 1}, index=pd.CategoricalIndex(["a", "b"])),
            lambda pd: pd.DataFrame(),
            lambda pd: pd.DataFrame(index=[1, 2]),
            lambda pd: pd.DataFrame(columns=["a"]),
        ],
    )
    def test_tables_come_back_the_same(self, make):
        value = make(self.pandas)
        back = read(written([value]))[0]
        options = {"check_exact": True, "check_index_type": "equiv", "check_freq": True}
        self.pandas.testing.assert_frame_equal(back, value, **options)
        assert list(map(type, back.columns)) == list(map(type, value.columns))

    def test_what_cannot_be_written_is_told_with_its_column(self):
        table = self.pandas.DataFrame({"a": [1, 2], "b": [1, object()]})
        with pytest.raises(UnserializableError, match=r"builtins.object at value\['b'\].iloc\[1\]"):
            written(table)
        table = self.pandas.DataFrame({"a": self.pandas.arrays.SparseArray([0])})
        with pytest.raises(UnserializableError, match=r"SparseArray at value\['a'\].array"):
            written(table)
        days = self.pandas.offsets.CustomBusinessDay(weekmask="Mon Tue")
        with pytest.raises(UnserializableError, match="no text that says it all"):
            written(self.pandas.date_range("2020", periods=5, freq=days))

    @pytest.mark.parametrize(
        "tree",
        [
            ["pandas.read_pickle", "x"],
            ["pandas.Series", [1, 2, 3, 4]],
            ["pandas.DataFrame", []],
            ["pandas.Period", [1, "x"]],
            ["pandas.arrays.StringArray", [["a"], "x", False]],
        ],
    )
    def test_damaged_values_are_typed_errors(self, tree):
        with pytest.raises(DeserializationError):
            read(json.dumps({"_serializer": "PandasSerializer", "value": tree}).encode())

    @pytest.mark.parametrize(
        ("name", "parts"),
        [
            ("pandas.arrays.IntervalArray", ["RANGE", "RANGE", "right"]),
            ("pandas.arrays.DatetimeArray", ["RANGE", None, None]),
            ("pandas.arrays.StringArray", ["RANGE", "python", False]),
            ("pandas.MultiIndex", [["RANGE"], [[0]], ["a"]]),
            ("pandas.DataFrame", ["RANGE", ["a"], ["RANGE"], {}]),
        ],
    )
    def test_few_bytes_make_no_array_of_any_length(self, name, parts):
        long = {
            "_serializer": "PandasSerializer",
            "value": ["pandas.RangeIndex", [0, 10**13, 1, None]],
        }
        tree = {"_serializer": "PandasSerializer", "value": [name, parts]}
        text = json.dumps(tree).replace('"RANGE"', json.dumps(long))
        with pytest.raises(DeserializationError):
            read(text.encode())
