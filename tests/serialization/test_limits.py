"""How much JSON may hold, and how deep values may be."""

import io
import json

import pytest

from bandsaw.errors import (
    DeserializationError,
    InvalidValueError,
    LimitError,
    UnserializableError,
)
from bandsaw.serialization import JsonSerializer, _json_decoder


def read(data, **limits):
    return JsonSerializer(**limits).deserialize(io.BytesIO(data))


@pytest.mark.parametrize("name", ["max_size", "max_depth", "max_count"])
@pytest.mark.parametrize("limit", [0, -1, 1.5, "5", True])
def test_a_limit_is_a_positive_integer(name, limit):
    with pytest.raises(InvalidValueError, match=name):
        JsonSerializer(**{name: limit})


def test_the_limits_can_be_read():
    serializer = JsonSerializer(max_size=1, max_depth=2, max_count=3)
    assert (serializer.max_size, serializer.max_depth, serializer.max_count) == (1, 2, 3)


def test_text_that_is_too_long_is_refused_without_being_kept():
    assert read(b'"abc"', max_size=5) == "abc"
    with pytest.raises(LimitError, match="max_size") as caught:
        read(b'"abcd"', max_size=5)
    assert isinstance(caught.value, DeserializationError)

    class Endless(io.RawIOBase):
        count = 0

        def read(self, size=-1):
            self.count += size
            assert self.count < 10_000_000
            return b" " * size

    with pytest.raises(LimitError):
        JsonSerializer(max_size=5_000_000).deserialize(Endless())


@pytest.mark.parametrize(
    ("text", "depth"),
    [
        ("[[1],[[2]]]", 3),
        ('{"a":[{"b":[]}]}', 4),
        ('["[[[[", "]]", "\\"[[[", "\\\\", []]', 2),
        ("[" * 300 + "]" * 300, 300),
        ("[" * 150 + "{" + '"a":[]}' + ",[[]]]" + "]" * 149, 152),
        ("5", 0),
    ],
)
def test_depth_is_counted_outside_of_strings(text, depth):
    value = json.loads(text)
    if depth:
        assert read(text.encode(), max_depth=depth) == value
    if depth > 1:
        with pytest.raises(LimitError, match="max_depth"):
            read(text.encode(), max_depth=depth - 1)


def test_more_values_than_allowed_are_refused():
    assert read(b'[1,2,",,,[[["]', max_count=4) == [1, 2, ",,,[[["]
    with pytest.raises(LimitError, match="max_count"):
        read(b'[1,2,",",4]', max_count=4)
    with pytest.raises(LimitError, match="max_count"):
        read(b"[[],[],[]]", max_count=4)


def test_text_that_is_no_json_is_not_taken_for_too_deep():
    for text in (b'["[[[', b"]]]]", b'"\\', b"}{", b'"[[[[[[[[[[[[[[[['):
        _json_decoder.check(text, 4, 10)
        with pytest.raises(DeserializationError):
            read(text, max_depth=4, max_count=10)


def test_an_integer_that_would_take_for_ever_is_refused():
    with pytest.raises(LimitError, match="more than 1000000 digits"):
        read(b"9" * 1_000_001)


@pytest.mark.parametrize("start", [b"[", b'{"a":', b'[{"_serializer":"TupleSerializer","value":'])
@pytest.mark.parametrize("depth", [10_000, 1_000_000])
def test_text_that_is_nested_deeply_is_a_typed_error(start, depth):
    for limits in ({}, {"max_depth": 5000}):
        with pytest.raises(DeserializationError):
            read(start * depth, **limits)


def circles():
    simple = [1]
    simple.append({"a": simple})
    deep = {"x": [0, (1, simple)]}
    through_a_tuple = []
    through_a_tuple.append((5, through_a_tuple))
    beside = {"fine": [1], "again": [2]}
    beside["again"].append(beside["again"])
    return [
        (simple, "value[1]['a']"),
        (deep, "value['x'][1][1][1]['a']"),
        (through_a_tuple, "value[0][1]"),
        (beside, "value['again'][1]"),
    ]


@pytest.mark.parametrize(("value", "path"), circles())
def test_a_value_that_contains_itself_is_reported_where_it_does(value, path):
    with pytest.raises(UnserializableError, match="contains itself") as caught:
        JsonSerializer().serialize(value, io.BytesIO())
    assert f" at {path} cannot" in str(caught.value)


def test_values_that_are_there_twice_are_written_twice():
    shared = [1, {"a": 2}]
    value = [shared, shared, {"x": shared, "y": [shared] * 50}]
    stream = io.BytesIO()
    JsonSerializer().serialize(value, stream)
    assert json.loads(stream.getvalue()) == value
