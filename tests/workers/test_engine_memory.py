"""Large data of calls that an executor carries, between processes of one machine."""

import io
import mmap
import os
import sys

import pytest

from bandsaw._system.interrupts import owned
from bandsaw.errors import ProtocolError
from bandsaw.workers import bulk, door, frames, wire
from bandsaw.workers.engine_memory import hand_over, shared_at

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="has no files in memory")


def in_file(data):
    descriptor = os.memfd_create("test")
    os.write(descriptor, data)
    return descriptor


def test_what_is_lent_stays_as_it_was_when_its_owner_uses_the_memory_again():
    contents = bytes(range(256)) * 100
    head, pieces, size = wire.laid_out({"execution.buffers": [contents]})
    file = in_file(bytes(5000) + b"".join(pieces) + b"rest")
    place = (5000).to_bytes(8, "big")
    frame = frames.Frame(frames.SESSION, head + place, owned(os.dup(file)))
    (part,) = wire.members(frame)["execution.buffers"].parts([len(contents)])
    part[0] = 7
    bulk.keep_lent()
    os.pwrite(file, b"x" * (5000 + size), 0)
    os.close(file)
    assert part == b"\7" + contents[1:]


def test_the_file_behind_shared_memory_is_found():
    file = in_file(bytes(10_000) + b"ab" * 5000)
    shared = memoryview(mmap.mmap(file, 20_000))
    path, place = shared_at([shared[10_000:12_000], shared[12_000:15_001]])
    with open(path, "rb") as found:
        found.seek(place)
        assert found.read(5001) == shared[10_000:15_001]
    assert shared_at([shared[10_000:12_000], shared[12_001:15_000]]) is None
    assert shared_at([memoryview(bytearray(1000))]) is None
    private = memoryview(mmap.mmap(file, 20_000, access=mmap.ACCESS_COPY))
    assert shared_at([private]) is None
    os.close(file)


def test_a_file_is_handed_over_at_the_door_to_who_waits_for_it():
    file = in_file(b"result")
    for call in ("one", "two"):
        assert hand_over(file, door.opened(), call)
    os.close(file)
    door.forget("one")
    with door.take("two") as taken:
        assert isinstance(taken, io.FileIO)
        assert os.pread(taken.fileno(), 10, 0) == b"result"
    for call in ("one", "two"):
        with pytest.raises(ProtocolError, match="not handed over"):
            door.take(call)
    assert not hand_over(0, "bandsaw-nowhere", "one")
