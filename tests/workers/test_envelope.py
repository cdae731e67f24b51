import contextlib
import errno
import os
import pickle
import random
import stat
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bandsaw
from bandsaw._session.members import MEMBERS
from bandsaw._system.interrupts import owned
from bandsaw._workers import bulk_files, envelope, frames, repeat_calls
from bandsaw.errors import ProtocolError, SessionFileError
from bandsaw.execution import Execution
from bandsaw.result import Result
from bandsaw.session import Session
from tests.faults.workers_seen import descriptors

LENGTHS = struct.Struct(f"!{len(MEMBERS)}q")


def owner_of(descriptor):
    return None if descriptor is None else owned(descriptor)


def frame_of(message):
    kind, pieces, descriptor = message
    return frames.Frame(kind, b"".join(map(bytes, pieces)), owner_of(descriptor))


CONTENTS = st.dictionaries(
    st.sampled_from(MEMBERS), st.lists(st.binary(max_size=200), min_size=1, max_size=3)
)


@settings(max_examples=100, deadline=None)
@given(members=CONTENTS, factor=st.sampled_from([1, 1000]))
def test_members_come_back_as_they_were(members, factor):
    members = {name: [piece * factor for piece in pieces] for name, pieces in members.items()}
    found = envelope.members(frame_of(envelope.message(frames.RETURN, members, None)))
    assert set(found) == set(members)
    for name, pieces in members.items():
        if name.endswith(".buffers"):
            parts = found[name].parts(list(map(len, pieces)))
            assert list(map(bytes, parts)) == pieces
            assert not any(part.readonly for part in parts)
        else:
            assert found[name].data() == b"".join(pieces)


def test_what_is_small_travels_in_the_body_and_what_is_large_in_a_file():
    for size, is_large in ((1000, False), (frames.LARGEST_BODY + 1, True)):
        _, pieces, descriptor = envelope.message(frames.RETURN, {MEMBERS[0]: [bytes(size)]}, None)
        assert (descriptor is not None) == is_large
        assert sum(map(len, pieces)) < frames.LARGEST_BODY + 1000
        if is_large:
            os.close(descriptor)


@pytest.mark.parametrize("size", [100, frames.LARGEST_BODY])
def test_each_kind_of_damage_is_a_typed_error(size):
    members = {name: [bytes([n]) * size, b"x" * 7] for n, name in enumerate(MEMBERS)}
    chance = random.Random(1)
    before = descriptors()
    for number in range(300):
        kind, pieces, descriptor = envelope.message(frames.RETURN, members, None)
        body = bytearray(b"".join(map(bytes, pieces)))
        how = number % 4
        if how == 0:
            body = body[: chance.randrange(len(body))]
        elif how == 1:
            lengths = list(LENGTHS.unpack_from(body))
            lengths[chance.randrange(len(lengths))] = chance.choice(
                [-2, -1, 0, 1, 1 << 40, (1 << 63) - 1, -(1 << 63), chance.randrange(size * 3)]
            )
            LENGTHS.pack_into(body, 0, *lengths)
        elif how == 2:
            body += bytes(chance.randrange(1, 100))
        elif descriptor is not None:
            os.truncate(descriptor, chance.randrange(size * 2))
        else:
            body = bytearray(chance.getrandbits(8) for _ in range(200))
        try:
            found = envelope.members(frames.Frame(kind, bytes(body), owner_of(descriptor)))
            for name in found:
                if name.endswith(".buffers"):
                    found[name].parts([size, 7])
                else:
                    found[name].data(10 * size)
        except (SessionFileError, ProtocolError):
            pass
        # A mapping may have its file open.
        found = None
    assert descriptors() == before


@pytest.mark.parametrize("body", [b"", b"x", bytes(LENGTHS.size - 1)])
@pytest.mark.parametrize("has_file", [False, True])
def test_a_body_that_is_no_session_is_refused_and_its_file_closed(body, has_file):
    before = descriptors()
    descriptor = os.open(os.devnull, os.O_RDONLY) if has_file else None
    with pytest.raises(SessionFileError):
        envelope.members(frames.Frame(frames.RETURN, body, owner_of(descriptor)))
    assert descriptors() == before


@pytest.mark.parametrize("path", [os.devnull, "/proc/self/status"])
def test_a_file_that_cannot_be_mapped_is_refused(path):
    descriptor = os.open(path, os.O_RDONLY)
    lengths = LENGTHS.pack(*[-1] * len(MEMBERS))
    with pytest.raises(SessionFileError):
        envelope.members(frames.Frame(frames.RETURN, lengths, owner_of(descriptor)))


def test_a_member_that_is_longer_than_allowed_is_refused():
    found = envelope.members(
        frame_of(envelope.message(frames.RETURN, {MEMBERS[0]: [b"x" * 10]}, None))
    )
    assert found[MEMBERS[0]].data(10) == b"x" * 10
    with pytest.raises(SessionFileError):
        found[MEMBERS[0]].data(9)


@pytest.mark.parametrize("size", [1, 5_000_000])
def test_without_files_in_memory_one_on_disk_has_no_name_and_is_private(
    monkeypatch, tmp_path, size
):
    monkeypatch.delattr(os, "memfd_create", raising=False)
    descriptor = bulk_files.create([b"x" * size], size, str(tmp_path))
    try:
        status = os.fstat(descriptor)
        assert stat.S_IMODE(status.st_mode) == 0o600
        assert (status.st_nlink, status.st_size) == (0, size)
        assert status.st_dev == os.stat(tmp_path).st_dev
        assert list(tmp_path.iterdir()) == []
        assert str(tmp_path) in os.readlink(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("refused", ["not allowed", "no room"])
def test_where_memory_is_short_the_file_is_on_disk(monkeypatch, tmp_path, refused):
    def refuse(*_):
        raise OSError(1, "not allowed")

    if refused == "not allowed":
        monkeypatch.setattr(os, "memfd_create", refuse, raising=False)
    else:
        monkeypatch.setattr(bulk_files, "_available_memory", lambda: 3_000_000)
    with open(bulk_files.create([b"x" * 2_000_000], 2_000_000, str(tmp_path)), "rb") as file:
        assert str(tmp_path) in os.readlink(f"/proc/self/fd/{file.fileno()}")
        file.seek(0)
        assert file.read() == b"x" * 2_000_000


def test_where_there_is_no_room_at_all_nothing_is_left_open(tmp_path):
    before = descriptors()
    with pytest.raises(FileNotFoundError):
        bulk_files.create([b"x"], 1 << 60, str(tmp_path / "missing"))
    assert descriptors() == before


def test_the_result_of_another_call_is_refused(configure):
    session = Session(None, Execution("e"), configure())
    for nonce, is_taken in (("0" * 32, False), (session.nonce, True)):
        data = repeat_calls.PLAINLY + pickle.dumps((nonce, (1, 0, 0), None, "result"))
        with contextlib.nullcontext() if is_taken else pytest.raises(SessionFileError):
            repeat_calls.take_result(session, data, 2)
        assert session.result == (Result("result") if is_taken else None)


@pytest.mark.parametrize("is_in_memory", [True, False])
def test_what_finds_no_room_is_tried_once_in_memory_and_once_on_disk(
    monkeypatch, tmp_path, is_in_memory
):
    opened, on_disk = [], bulk_files._on_disk

    def disk(directory):
        opened.append(on_disk(directory))
        return opened[-1]

    def write_all(descriptor, pieces):
        raise OSError(errno.ENOSPC, "no room")

    memory = os.open(tmp_path / "memory", os.O_CREAT | os.O_RDWR) if is_in_memory else None
    monkeypatch.setattr(bulk_files, "_in_memory", lambda size: memory)
    monkeypatch.setattr(bulk_files, "_on_disk", disk)
    monkeypatch.setattr(bulk_files, "write_all", write_all)
    with pytest.raises(OSError, match="no room"):
        bulk_files.create([b"x"], 1, None)
    assert len(opened) == 1
    for descriptor in filter(None, (memory, *opened)):
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(descriptor)


def nothing():
    pass


def test_calls_are_sent_in_short_only_where_each_is_like_the_one_before(configure):
    def shape(serializer=None, **options):
        configuration = configure()
        if serializer is not None:
            configuration.set_serializer(serializer)
        task = bandsaw.task(config=configuration.module_name, **options)(nothing).bandsaw_task
        return repeat_calls.shape_of(Session(task, Execution("execution"), configuration))

    assert shape() is not None
    assert shape(timeout=1.5) is not None
    # Each session is signed, and a dict may be another one by then.
    assert shape(bandsaw.PickleSerializer(bytes(32))) is None
    assert shape(bandsaw.JsonSerializer()) is None
    assert shape(retry={"attempts": 2}) is None
