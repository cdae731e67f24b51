"""What the far end of a connection has still to send, when nobody or somebody slow takes it."""

import os
from types import SimpleNamespace

import pytest

from bandsaw._workers.ssh import multiplexer
from bandsaw._workers.ssh.multiplexer import Outbox

SIZE = 3 * multiplexer.PIECE + 5


class Connection:
    """A pipe, and an outbox that writes to it."""

    def __init__(self):
        self.reading, self.writing = os.pipe()
        self.told = []
        self.outbox = Outbox(self.writing, self.told.append)
        os.set_blocking(self.reading, False)
        self._data = b""

    def messages(self):
        """Takes all that waits, and returns the messages: letter, stream and body."""
        while True:
            try:
                self._data += os.read(self.reading, 1 << 16)
            except BlockingIOError:
                if not self.outbox.is_full:
                    break
                self.outbox.flush()
        found = []
        while self._data:
            letter, stream, size = multiplexer.HEAD.unpack_from(self._data)
            body = self._data[multiplexer.HEAD.size :][:size]
            assert len(body) == size
            found.append((letter, stream, body))
            self._data = self._data[multiplexer.HEAD.size + size :]
        return found


@pytest.fixture
def connection():
    made = Connection()
    yield made
    for descriptor in (made.reading, made.writing):
        os.close(descriptor)


@pytest.fixture
def open_file(tmp_path):
    """Opens a file of some size, filled with one byte."""

    def open_file(byte, size=SIZE):
        path = tmp_path / byte.decode()
        path.write_bytes(byte * size)
        return os.open(path, os.O_RDONLY)

    return open_file


def is_open(descriptor):
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def test_what_nobody_takes_waits_and_keeps_its_order(connection):
    outbox = connection.outbox
    sent = [(b"O", number, bytes([number]) * 50_000) for number in range(40)]
    for letter, stream, body in sent:
        outbox.send(letter, stream, body[:7], body[7:])
    assert outbox.has_much
    assert connection.told == [True]
    assert connection.messages() == sent
    assert connection.told == [True, False]
    assert not outbox.has_much


def test_a_file_comes_in_pieces_before_what_its_stream_says_next(connection, open_file):
    outbox, file = connection.outbox, open_file(b"x")
    outbox.send_file(1, file, multiplexer.packed(b"A", 1, b"returned"))
    outbox.send(b"S", 1, b"ended")
    outbox.send(b"O", 2, b"of another stream")
    assert outbox.files == [file]
    # Of a large file no more than a piece is read before it can be sent.
    assert os.lseek(file, 0, os.SEEK_CUR) == multiplexer.PIECE
    first, *pieces, returned, ended = [m for m in connection.messages() if m[1] == 1]
    assert first == (b"N", 1, SIZE.to_bytes(8, "big"))
    assert {letter for letter, _, _ in pieces} == {b"B"}
    assert max(len(body) for _, _, body in pieces) == multiplexer.PIECE
    assert b"".join(body for _, _, body in pieces) == b"x" * SIZE
    assert (returned, ended) == ((b"A", 1, b"returned"), (b"S", 1, b"ended"))
    assert outbox.files == []
    assert not is_open(file)


def test_files_of_several_streams_take_turns(connection, open_file):
    for stream, byte in enumerate((b"x", b"y")):
        message = multiplexer.packed(b"A", stream, b"")
        connection.outbox.send_file(stream, open_file(byte), message)
    pieces = [stream for letter, stream, _ in connection.messages() if letter == b"B"]
    # The first one began when it was alone.
    assert pieces == [0, 0, 1, 0, 1, 0, 1, 1]


def test_files_of_one_stream_come_one_after_the_other(connection, open_file):
    outbox = connection.outbox
    for byte in (b"x", b"y", b"z"):
        outbox.send_file(1, open_file(byte), multiplexer.packed(b"A", 1, byte))
        outbox.send(b"S", 1, byte)
    found = connection.messages()
    assert [body for letter, _, body in found if letter in b"AS"] == [
        b"x",
        b"x",
        b"y",
        b"y",
        b"z",
        b"z",
    ]
    assert b"".join(body for letter, _, body in found if letter == b"B") == (
        b"x" * SIZE + b"y" * SIZE + b"z" * SIZE
    )
    assert (outbox.files, outbox._bytes) == ([], 0)
    files = [open_file(b"x"), open_file(b"y")]
    for file in files:
        outbox.send_file(1, file, multiplexer.packed(b"A", 1, b""))
    assert outbox.files == files
    outbox.drop(1)
    assert not any(map(is_open, files))


def test_what_is_dropped_is_closed_and_waits_no_more(connection, open_file):
    outbox, file = connection.outbox, open_file(b"x")
    outbox.send_file(1, file, multiplexer.packed(b"A", 1, b"returned"))
    outbox.send(b"O", 1, bytes(2_000_000))
    assert outbox.has_much
    outbox.drop(1)
    outbox.drop(2)
    assert not is_open(file)
    assert outbox.files == []
    assert not outbox.has_much
    assert {letter for letter, _, _ in connection.messages()} == {b"N", b"B"}
    assert outbox._bytes == 0


def test_after_many_files_nothing_counts_as_waiting(connection, open_file):
    for _ in range(10):
        connection.outbox.send_file(1, open_file(b"x"), multiplexer.packed(b"A", 1, b""))
        connection.outbox.send(b"S", 1, b"ended")
        connection.messages()
        assert connection.outbox._bytes == 0


def test_it_knows_when_something_was_written_last(connection, monkeypatch):
    monkeypatch.setattr(multiplexer, "time", SimpleNamespace(monotonic=lambda: 42.0))
    connection.outbox.send(b"G", 0)
    assert connection.outbox.written_at == 42.0
