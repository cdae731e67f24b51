import hashlib
import io
import mmap
import os
import pickle
import threading
import tracemalloc

import pytest

from bandsaw._system import buffers, files

CHUNKS = [bytes([number]) * 1_000_000 for number in range(10)]
SIZE = sum(map(len, CHUNKS))


@pytest.mark.parametrize("size", [10, 100_000])
@pytest.mark.parametrize("kind", [bytes, memoryview, bytearray])
def test_a_stream_over_memory_is_read_as_any_other(kind, size):
    value = [b"x" * size, "y" * size]
    stream = buffers.stream_over(kind(pickle.dumps(value) + b"rest"))
    assert pickle.load(stream) == value and stream.read(3) == b"res"
    end = stream.tell() + 1
    assert stream.seek(0) == 0 and pickle.load(stream) == value
    assert stream.seek(-1, io.SEEK_END) == end - 1 and stream.read() == b"t"
    assert stream.seek(-2, io.SEEK_CUR) == end - 2 and stream.read(9) == b"st"
    assert (stream.seek(10, io.SEEK_END), stream.read()) == (end + 10, b"")


def test_a_stream_over_memory_does_not_copy_it():
    data = memoryview(pickle.dumps(bytes(10_000_000), protocol=5))
    tracemalloc.start()
    try:
        assert len(pickle.load(buffers.stream_over(data))) == 10_000_000
        assert tracemalloc.get_traced_memory()[1] < 10_500_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("has_writev", [True, False])
@pytest.mark.parametrize("is_short", [True, False])
def test_pieces_are_written_whole_and_in_their_order(tmp_path, monkeypatch, has_writev, is_short):
    pieces = [
        b"",
        b"a" * 10,
        memoryview(bytes(range(256)) * 5000),
        *[b"bc"] * 3000,
        bytearray(b"d"),
    ]
    if not has_writev:
        monkeypatch.delattr(os, "writev", raising=False)
    elif is_short:
        writev = os.writev
        monkeypatch.setattr(os, "writev", lambda file, parts: writev(file, [parts[0][:3]]))
    if is_short:
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, data: write(file, data[:1000]))
    with open(tmp_path / "file", "wb") as file:
        files.write_all(file.fileno(), pieces)
    assert (tmp_path / "file").read_bytes() == b"".join(pieces)


def hashing_threads():
    return [each for each in threading.enumerate() if each.name == "bandsaw-hash"]


@pytest.mark.parametrize("chunks", [CHUNKS, iter(CHUNKS)], ids=["at once", "meanwhile"])
def test_chunks_are_hashed_in_their_order(chunks):
    digest = hashlib.sha256()
    buffers.update(digest, chunks, SIZE)
    assert digest.digest() == hashlib.sha256(b"".join(CHUNKS)).digest()
    assert hashing_threads() == []


def test_no_more_chunks_are_made_ahead_than_is_said():
    made, waits = [], threading.Event()

    class Slow:
        def __init__(self):
            self.most = 0
            self.done = 0

        def update(self, chunk):
            waits.wait()
            self.most = max(self.most, len(made) - self.done)
            self.done += 1

    def chunks():
        for number in range(6):
            made.append(number)
            if number == buffers.AHEAD - 1:
                waits.set()
            yield b"x"

    slow = Slow()
    buffers.update(slow, chunks(), SIZE)
    assert slow.done == 6
    assert slow.most <= buffers.AHEAD + 1


@pytest.mark.parametrize("error", [OSError, KeyboardInterrupt])
def test_what_goes_wrong_where_chunks_are_made_ends_the_thread(error):
    def chunks():
        yield CHUNKS[0]
        raise error

    with pytest.raises(error):
        buffers.update(hashlib.sha256(), chunks(), SIZE)
    assert hashing_threads() == []


def test_what_goes_wrong_in_the_thread_is_raised():
    class Broken:
        def update(self, chunk):
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        buffers.update(Broken(), iter(CHUNKS), SIZE)
    assert hashing_threads() == []


@pytest.mark.parametrize("error", [RuntimeError("can't start new thread"), KeyboardInterrupt()])
def test_a_thread_that_cannot_be_started_is_not_left(monkeypatch, error):
    start, digest = threading.Thread.start, hashlib.sha256()

    def begin(thread):
        if isinstance(error, KeyboardInterrupt):
            start(thread)
        raise error

    monkeypatch.setattr(threading.Thread, "start", begin)
    if isinstance(error, RuntimeError):
        buffers.update(digest, iter(CHUNKS), SIZE)
        assert digest.digest() == hashlib.sha256(b"".join(CHUNKS)).digest()
    else:
        with pytest.raises(KeyboardInterrupt):
            buffers.update(digest, iter(CHUNKS), SIZE)
    assert hashing_threads() == []


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 3_000_001])
@pytest.mark.parametrize("has_mappings", [True, False])
def test_there_is_room_also_where_no_more_can_be_mapped(monkeypatch, size, has_mappings):
    def none_left(*_, **__):
        raise OSError(12, "Cannot allocate memory")

    if not has_mappings:
        monkeypatch.setattr(mmap, "mmap", none_left)
    room = buffers.room(size)
    assert len(room) == size and not room.readonly
    assert bytes(room) == bytes(size)
