"""The file of a session: what it may hold, and what is refused before a value of it is loaded."""

import io
import json
import os
import struct
import tempfile
import threading
import tracemalloc
import zipfile

import pytest

import bandsaw
from bandsaw import modules
from bandsaw._session import members
from bandsaw._system import callers
from bandsaw._workers import boundary
from bandsaw.errors import (
    BandsawError,
    DeserializationError,
    InvalidValueError,
    SessionFileError,
    SignatureError,
)
from bandsaw.execution import Execution
from bandsaw.result import Result
from bandsaw.session import Session

KEY = b"0123456789abcdef"
LOADED = []


class Adding:
    def execute(self, execution):
        return Result(sum(execution.args))


class Identified(Adding):
    def __init__(self, task_id):
        self._task_id = task_id


def loaded(value):
    LOADED.append(value)
    return value


class Loud:
    """Says so when it is unpickled."""

    def __init__(self, value):
        self.value = value

    def __reduce__(self):
        return loaded, (self.value,)


@pytest.fixture(autouse=True)
def nothing_was_loaded():
    LOADED.clear()
    yield
    LOADED.clear()


@pytest.fixture
def signed(configure):
    return configure().set_serializer(bandsaw.PickleSerializer(key=KEY))


def saved(session):
    stream = io.BytesIO()
    session.save(stream)
    return stream.getvalue()


def members_of(data):
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members, compression=zipfile.ZIP_STORED):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def with_header(data, **changes):
    members = members_of(data)
    header = {**json.loads(members["session.json"]), **changes}
    return zipped({**members, "session.json": json.dumps(header)})


def restored(data):
    return Session().restore(io.BytesIO(data))


# What bulk data costs


@pytest.mark.parametrize("key", [None, KEY])
def test_arrays_are_copied_once_each_way_and_come_back_writable(configure, key):
    numpy = pytest.importorskip("numpy")
    size = 20_000_000
    configuration = configure().set_serializer(bandsaw.PickleSerializer(key=key))
    array = numpy.arange(size // 8)
    frozen = numpy.arange(3)
    frozen.flags.writeable = False
    session = Session(Adding(), Execution("e", (array, frozen)), configuration)
    with tempfile.TemporaryFile() as file:
        saved(Session(Adding(), Execution("e", (numpy.arange(2),)), configuration))
        tracemalloc.start()
        session.save(file)
        to_save = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        tracemalloc.start()
        back = Session().restore(file)
        to_restore = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    # What is signed is a copy, which nobody else changes until it is written.
    assert to_save < (0 if key is None else size) + 3_000_000
    assert to_restore < size + 3_000_000
    ours, theirs = back.execution.args
    assert (ours == array).all()
    assert ours.flags.writeable
    ours[0] = 5
    assert not theirs.flags.writeable
    assert theirs.tolist() == [0, 1, 2]


def test_bytes_are_not_copied_when_they_are_saved(configure):
    session = Session(Adding(), Execution("e", (b"x" * 20_000_000,)), configure())
    with tempfile.TemporaryFile() as file:
        tracemalloc.start()
        session.save(file)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 3_000_000
        assert Session().restore(file).execution.args == session.execution.args


@pytest.mark.parametrize("key", [None, KEY])
def test_an_exception_travels_whatever_it_holds(configure, key):
    configuration = configure().set_serializer(bandsaw.PickleSerializer(key=key))
    session = Session(Adding(), Execution("e"), configuration)
    lock = threading.Lock()
    session.result = Result(exception=ValueError("x", lock))
    assert restored(saved(session)).result.exception.args == ("x", repr(lock))


class Duck:
    """A serializer with the two methods that one needs, and no base class."""

    def serialize(self, value, stream):
        bandsaw.PickleSerializer().serialize(value, stream)

    def deserialize(self, stream):
        return bandsaw.PickleSerializer().deserialize(stream)


def test_a_serializer_with_only_two_methods_is_enough(configure):
    session = Session(Adding(), Execution("e", (1, 2)), configure().set_serializer(Duck()))
    assert restored(saved(session)).initiate() == Result(3)


# What a file may hold


def test_what_is_in_a_file_is_stored_as_it_is(configure):
    data = saved(Session(Adding(), Execution("e"), configure()))
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["session.json", "task", "execution", "context", "result"]
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_a_compressed_member_is_refused(configure):
    data = saved(Session(Adding(), Execution("e"), configure()))
    bomb = {**members_of(data), "result": b"\0" * 100_000_000}
    packed = zipped(bomb, zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    with pytest.raises(SessionFileError, match="stored as they are"):
        restored(packed)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def patched(data, name, **fields):
    """Changes what the directory at the end of a zip says about a member."""
    places = {
        "offset": (42, "<I"),
        "size": (24, "<I"),
        "compressed": (20, "<I"),
        "flags": (8, "<H"),
    }
    data = bytearray(data)
    start = data.rindex(b"PK\x05\x06")
    entry = data.rindex(name.encode(), 0, start) - 46
    assert data[entry : entry + 4] == b"PK\x01\x02"
    for field, value in fields.items():
        place, form = places[field]
        struct.pack_into(form, data, entry + place, value)
    return bytes(data)


@pytest.mark.parametrize(
    "fields",
    [
        {"size": 0xFFFFFFF0, "compressed": 0xFFFFFFF0},
        {"size": 0xFFFFFFF0},
        {"compressed": 0},
        {"offset": 0},
        {"offset": 0xFFFFFFF0},
        {"flags": 1},
    ],
)
def test_sizes_and_places_that_members_cannot_have_are_refused(configure, fields):
    data = patched(saved(Session(Adding(), Loud(1), configure())), "result", **fields)
    tracemalloc.start()
    with pytest.raises(SessionFileError):
        restored(data)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()
    assert LOADED == []


def test_members_that_overlap_are_refused(configure):
    members = members_of(saved(Session(Adding(), Loud(1), configure())))
    alone = zipped({"context": members["context"]})
    record = alone[: 30 + len("context") + len(members["context"])]
    # A whole member inside of another one, which the directory names in place of its own.
    data = zipped({**members, "execution": record})
    inside = data.index(record)
    assert data.count(record) == 2
    with pytest.raises(SessionFileError, match="a size that it cannot have"):
        restored(patched(data, "context", offset=inside))
    assert LOADED == []


def test_very_many_members_are_refused_without_looking_at_each(configure):
    data = zipped({f"m{number}": b"" for number in range(5000)})
    tracemalloc.start()
    with pytest.raises(SessionFileError, match="too many members"):
        restored(data)
    assert tracemalloc.get_traced_memory()[1] < 2_000_000
    tracemalloc.stop()


def test_a_member_that_is_there_twice_is_refused(configure):
    data = saved(Session(Adding(), Loud(1), configure()))
    stream = io.BytesIO(data)
    with zipfile.ZipFile(stream, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("result", b"N.")
    with pytest.raises(SessionFileError, match="twice"):
        restored(stream.getvalue())
    assert LOADED == []


def test_a_header_that_is_too_large_is_refused(configure, monkeypatch):
    data = saved(Session(Adding(), Loud(1), configure()))
    monkeypatch.setattr(members, "_MOST_HEADER", 50)
    with pytest.raises(SessionFileError, match="it may have 50"):
        restored(data)


@pytest.mark.parametrize("seekable", [True, False])
def test_a_file_that_is_too_large_is_refused(configure, monkeypatch, seekable):
    data = saved(Session(Adding(), Loud(1), configure()))
    stream = io.BytesIO(data)
    stream.seekable = None if seekable else lambda: False
    stream = io.BytesIO(data) if seekable else stream
    monkeypatch.setenv("BANDSAW_MAX_SESSION_BYTES", str(len(data) - 1))
    with pytest.raises(SessionFileError, match="Set BANDSAW_MAX_SESSION_BYTES"):
        Session().restore(stream)
    monkeypatch.setenv("BANDSAW_MAX_SESSION_BYTES", str(len(data)))
    assert Session().restore(io.BytesIO(data)).execution == 1
    monkeypatch.setenv("BANDSAW_MAX_SESSION_BYTES", "much")
    with pytest.raises(bandsaw.errors.BandsawError, match="has to be a number of bytes"):
        Session().restore(io.BytesIO(data))


def test_nothing_is_written_to_a_path(configure, monkeypatch, tmp_path):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    data = saved(Session(Adding(), Execution("e"), configure()))
    restored(data)
    for name in ("../evil", "/evil", "evil"):
        with pytest.raises(SessionFileError, match="has the members"):
            restored(zipped({**members_of(data), name: b""}))
    assert list(tmp_path.glob("**/evil")) == []


@pytest.mark.parametrize("lengths", [[1], [10**30], [-5, 5], ["a"], 5, [80, 0, 1], [True]])
def test_lengths_of_buffers_that_do_not_add_up_are_refused(configure, lengths):
    numpy = pytest.importorskip("numpy")
    data = saved(Session(Adding(), Execution("e", (numpy.zeros(10),)), configure()))
    assert members_of(data)["execution.buffers"] == bytes(80)
    for buffers in ({"execution": lengths}, {}, {"execution": [80], "task": []}, {"other": [80]}):
        with pytest.raises(SessionFileError):
            restored(with_header(data, buffers=buffers))


@pytest.mark.parametrize("missing", ["session.json", "task", "execution", "context", "result"])
def test_a_file_without_a_member_is_refused(configure, missing):
    members = members_of(saved(Session(Adding(), Loud(1), configure())))
    del members[missing]
    with pytest.raises(SessionFileError, match="has the members context|has or leaves out its"):
        restored(zipped(members))
    assert LOADED == []


def test_a_header_without_one_of_its_fields_is_refused(configure):
    data = saved(Session(Adding(), Loud(1), configure()))
    members = members_of(data)
    header = json.loads(members["session.json"])
    for name in header:
        less = {key: value for key, value in header.items() if key != name}
        with pytest.raises(SessionFileError):
            restored(zipped({**members, "session.json": json.dumps(less)}))
    assert LOADED == []


@pytest.mark.parametrize("key", [None, KEY])
def test_a_file_that_was_cut_off_or_changed_anywhere_is_a_typed_error(configure, key):
    configuration = configure().set_serializer(bandsaw.PickleSerializer(key=key))
    data = saved(Session(Adding(), Execution("e", (1,)), configuration))
    for place in range(0, len(data), 3):
        for changed in (data[:place], data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :]):
            try:
                assert restored(changed).execution.args == (1,)
            except BandsawError:
                pass


# The one that was sent


def test_a_session_that_comes_back_is_the_one_that_was_sent(configure):
    configuration = configure()

    def sent(task_id="t", execution_id="e", configuration=configuration):
        session = Session(Identified(task_id), Execution(execution_id, (1,)), configuration)
        stream = io.BytesIO()
        place = boundary.send(session, stream)
        there = restored(stream.getvalue())
        there.execution = Loud(5)
        there._moderator.task_called = there._moderator.is_finished = True
        return session, place, there

    def returns(session, place, data):
        saved_there = boundary.read(io.BytesIO(data), session, "somewhere")
        boundary.take_back(session, saved_there, place, "somewhere")

    session, place, there = sent()
    returns(session, place, saved(there))
    assert session.execution == 5
    LOADED.clear()
    others = {
        "nonce": sent()[2],
        "ids": sent(task_id="other")[2],
        "configuration": sent(configuration=configure())[2],
    }
    for name, other in others.items():
        if name != "nonce":
            other._nonce = there.nonce
        with pytest.raises(SessionFileError, match=f"its {name} should be .* and is ") as caught:
            returns(session, place, saved(other))
        assert "somewhere" in caught.value.where
    execution = sent(execution_id="other")[2]
    execution._nonce = there.nonce
    with pytest.raises(SessionFileError, match="'execution': 'e'.*'execution': 'other'"):
        returns(session, place, saved(execution))
    for damaged in (b"", saved(there)[:-30], b"PK\x05\x06" + bytes(18)):
        with pytest.raises(SessionFileError):
            returns(session, place, damaged)
    assert LOADED == []


def test_another_execution_that_an_advice_put_there_may_come_back(configure):
    session = Session(Identified("t"), Execution("e", (1,)), configure())
    stream = io.BytesIO()
    place = boundary.send(session, stream)
    there = restored(stream.getvalue())
    there.execution = Execution("other", (2,))
    there._moderator.task_called = there._moderator.is_finished = True
    boundary.take_back(session, members.read(io.BytesIO(saved(there))), place, "somewhere")
    assert session.execution.execution_id == "other"


# Signatures


def test_a_signed_session_comes_back(signed):
    session = Session(Adding(), Execution("e", (1, 2)), signed)
    data = saved(session)
    assert set(members_of(data)) >= {"seal", "task"}
    assert KEY not in data
    assert restored(data).initiate() == Result(3)


def test_an_unsigned_session_is_refused_where_there_is_a_key(signed):
    serializer = signed.serializer
    signed.set_serializer(bandsaw.PickleSerializer())
    data = saved(Session(Loud(1), Loud(2), signed))
    signed.set_serializer(serializer)
    with pytest.raises(SignatureError, match="is not signed"):
        restored(data)
    # Nor does it help to leave out only the seal.
    data = saved(Session(Loud(1), Loud(2), signed))
    members = members_of(data)
    del members["seal"]
    with pytest.raises(SignatureError, match="is not signed"):
        restored(zipped(members))
    assert LOADED == []


def test_a_signed_session_is_refused_where_there_is_no_key_or_another(signed):
    data = saved(Session(Loud(1), Loud(2), signed))
    for serializer in (
        bandsaw.PickleSerializer(),
        bandsaw.JsonSerializer(),
        bandsaw.PickleSerializer(key=KEY[::-1]),
    ):
        signed.set_serializer(serializer)
        with pytest.raises(SignatureError, match="same key"):
            restored(data)
    assert LOADED == []


def test_no_member_takes_the_place_of_another(signed):
    session = Session(Loud(1), Loud(2), signed)
    data, again = members_of(saved(session)), members_of(saved(session))
    other = members_of(saved(Session(Loud(1), Loud(2), signed)))
    swapped = {**data, "task": data["execution"], "execution": data["task"]}
    # The file of the same session that was written before is another file.
    for forged in (swapped, {**data, "task": again["task"]}, {**data, "task": other["task"]}):
        with pytest.raises(SignatureError, match="The task of a session cannot be read"):
            restored(zipped(forged))
    assert LOADED == []
    for forged in ({**data, "result": again["result"]}, {**data, "result": other["result"]}):
        with pytest.raises(SignatureError, match="The result of a session cannot be read"):
            restored(zipped(forged))


@pytest.mark.parametrize(
    "changes",
    [
        {"nonce": "0" * 32},
        {"environment": {"BANDSAW_TEST_FORGED": "1"}},
        {"computing": ["/a"]},
        {"run_id": "other"},
        {
            "moderator": {
                **dict.fromkeys(("before_called", "after_called", "left_out"), 0),
                **dict.fromkeys(("attempt", "changes"), 1),
                **dict.fromkeys(("task_called", "is_finished"), True),
            }
        },
    ],
)
def test_a_changed_header_is_refused_before_it_has_an_effect(signed, monkeypatch, changes):
    monkeypatch.setattr(modules, "is_far_end", True)
    monkeypatch.setattr(callers, "_callers", ())
    data = saved(Session(Loud(1), Loud(2), signed))
    with pytest.raises(SignatureError, match=r"session\.json"):
        restored(with_header(data, **changes))
    assert LOADED == []
    assert "BANDSAW_TEST_FORGED" not in os.environ


def test_what_was_signed_with_the_key_for_something_else_is_no_seal(signed):
    data = saved(Session(Loud(1), Loud(2), signed))
    members = members_of(data)
    stream = io.BytesIO()
    signed.serializer.serialize("anything", stream)
    with pytest.raises(SignatureError):
        restored(zipped({**members, "seal": stream.getvalue()}))


def test_variables_reach_the_far_end_once_they_are_verified(signed, monkeypatch):
    monkeypatch.setattr(modules, "is_far_end", True)
    monkeypatch.setattr(callers, "_callers", ())
    monkeypatch.setenv("BANDSAW_TEST_SENT", "0")
    stream = io.BytesIO()
    Session(Adding(), Execution("e"), signed).save(stream, {"BANDSAW_TEST_SENT": "1"})
    restored(stream.getvalue())
    assert os.environ["BANDSAW_TEST_SENT"] == "1"


def test_signed_buffers_that_were_changed_are_refused(signed):
    numpy = pytest.importorskip("numpy")
    data = saved(Session(Adding(), Execution("e", (numpy.zeros(10),)), signed))
    members = members_of(data)
    members["execution.buffers"] = bytes(79) + b"\1"
    with pytest.raises(SignatureError, match="The execution of a session"):
        restored(zipped(members))


def test_a_failure_is_json_and_runs_nothing(signed):
    stream = io.BytesIO()
    members.write_failure(stream, ValueError("there"))
    with pytest.raises(ValueError, match="there"):
        restored(stream.getvalue())
    with pytest.raises(DeserializationError):
        restored(zipped({"failure": b"cos\nsystem\n."}))


def test_what_is_no_stream_is_refused():
    with pytest.raises(InvalidValueError, match="a binary stream.*, not from 'call.session'"):
        Session().restore("call.session")
