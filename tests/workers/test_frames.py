import contextlib
import os
import select
import signal
import socket
import struct
import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bandsaw._workers import child, frames
from bandsaw._workers.ends import Ends, ask_for_process, channel_pair, out_of_the_way, pipe_pair
from bandsaw._workers.frames import Channel
from bandsaw.errors import ProtocolError
from tests.faults.workers_seen import descriptors

HEAD = struct.Struct("!4sBB2xQ")
MARK = b"bsw\1"


@pytest.fixture
def ends():
    near, far = channel_pair()
    with near, far:
        yield Channel(near), far


def written(*messages):
    return b"".join(HEAD.pack(MARK, kind, 0, len(body)) + body for kind, body in messages)


def test_a_frame_may_come_byte_by_byte(ends):
    channel, far = ends
    for byte in written((frames.LOG, b"body")):
        assert channel.next() is None
        far.send(bytes([byte]))
        channel.read()
    assert channel.next() == frames.Frame(frames.LOG, b"body")
    assert channel.next() is None


@settings(max_examples=50, deadline=None)
@given(
    messages=st.lists(st.tuples(st.integers(frames.HELLO, frames.BYE), st.binary(max_size=60))),
    cut=st.integers(1, 200),
)
def test_frames_arrive_as_they_were_sent_however_they_are_cut(messages, cut):
    near, far = channel_pair()
    with near, far:
        channel, found = Channel(near), []
        data = written(*messages)
        for start in range(0, len(data), cut):
            far.sendall(data[start : start + cut])
            channel.read()
            while (frame := channel.next()) is not None:
                found.append(frame)
    assert found == [frames.Frame(kind, body) for kind, body in messages]


def test_pieces_are_sent_as_one_body(ends):
    channel, far = ends
    sender = Channel(far)
    sender.send(
        (frames.STATE, [b"a", memoryview(b"bc"), bytearray(b"d")], None), (frames.BYE, (), None)
    )
    assert channel.receive() == frames.Frame(frames.STATE, b"abcd")
    assert channel.receive() == frames.Frame(frames.BYE, b"")


def test_a_file_goes_along_and_stays_open_at_the_sender(ends, tmp_path):
    channel, far = ends
    with open(tmp_path / "file", "w+") as file:
        file.write("content")
        file.flush()
        for _ in range(2):
            Channel(far).send((frames.LOG, (b"x",), None), (frames.RETURN, (b"y",), file.fileno()))
            assert channel.receive() == frames.Frame(frames.LOG, b"x")
            kind, body, descriptor, _ = channel.receive()
            assert (kind, body) == (frames.RETURN, b"y")
            assert not os.get_inheritable(descriptor.fileno())
            with open(os.dup(descriptor.fileno())) as received, descriptor:
                received.seek(0)
                assert received.read() == "content"


def test_a_message_whose_file_is_closed_is_not_sent_again_with_the_next_one(ends):
    channel, far = ends
    sender = Channel(far)
    closed = os.dup(far.fileno())
    os.close(closed)
    with pytest.raises(OSError, match="Bad file descriptor"):
        sender.send((frames.RETURN, (b"x",), closed))
    sender.send((frames.LOG, (b"{}",), None))
    assert channel.receive() == frames.Frame(frames.LOG, b"{}")


def test_a_file_that_cannot_be_opened_here_is_told_with_the_reason(ends):
    resource = pytest.importorskip("resource")
    near, far = ends
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with open(os.devnull, "rb") as file:
        Channel(far).send((frames.RETURN, (b"body",), file.fileno()))
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            near.read()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with pytest.raises(ProtocolError, match="RETURN has no file .*too many files are open here"):
        near.next()


def test_a_file_comes_along_with_a_session_only(ends):
    channel, far = ends
    with open(os.devnull) as file:
        Channel(far).send((frames.LOG, (b"{}",), file.fileno()))
    with pytest.raises(ProtocolError, match="LOG has no file"):
        channel.receive()
    channel.close()


def test_a_file_that_nobody_takes_is_closed_with_the_channel():
    before = descriptors()
    near, far = channel_pair()
    with open(os.devnull) as file:
        Channel(far).send((frames.RETURN, (b"y",), file.fileno()))
    channel = Channel(near)
    channel.read()
    channel.close()
    far.close()
    assert descriptors() == before


@pytest.mark.parametrize(
    "data",
    [
        b"x",
        b"bsw\2",
        b"garbage that is longer than a head",
        HEAD.pack(MARK, 0, 0, 0),
        HEAD.pack(MARK, len(frames.NAMES), 0, 0),
        HEAD.pack(MARK, 255, 0, 0),
        HEAD.pack(MARK, frames.LOG, 2, 0),
        HEAD.pack(MARK, frames.LOG, 0, 1 << 40),
        HEAD.pack(MARK, frames.LOG, 0, (1 << 64) - 1),
        HEAD.pack(MARK, frames.RETURN, 1, 0),
    ],
)
def test_what_is_no_message_is_a_protocol_error(ends, data):
    channel, far = ends
    far.sendall(data)
    with pytest.raises(ProtocolError):
        channel.receive()


@pytest.mark.parametrize("cut", range(len(written((frames.LOG, b"body")))))
def test_an_end_in_the_middle_is_an_end_of_file(ends, cut):
    channel, far = ends
    far.sendall(written((frames.LOG, b"body"))[:cut])
    far.close()
    with pytest.raises(EOFError):
        channel.receive()


def test_what_was_sent_before_the_end_is_received(ends):
    channel, far = ends
    far.sendall(written((frames.LOG, b"1"), (frames.BYE, b"")))
    far.close()
    assert [channel.receive().kind, channel.receive().kind] == [frames.LOG, frames.BYE]
    with pytest.raises(EOFError):
        channel.receive()


def test_threads_may_send_at_once(ends):
    channel, far = ends
    sender = Channel(far)

    def send(number):
        for _ in range(50):
            sender.send((frames.LOG, (bytes([number]) * 20000,), None))

    threads = [threading.Thread(target=send, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    found = [channel.receive().body for _ in range(300)]
    for thread in threads:
        thread.join()
    assert sorted({(body[0], len(set(body)), len(body)) for body in found}) == [
        (number, 1, 20000) for number in range(6)
    ]


@contextlib.contextmanager
def handling(handler, channel):
    """Has a signal handler called when a part of a message has come that nobody reads."""

    def alarm():
        select.select([channel], [], [])
        signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)

    before = signal.signal(signal.SIGALRM, handler)
    thread = threading.Thread(target=alarm)
    thread.start()
    try:
        yield
    finally:
        thread.join()
        signal.signal(signal.SIGALRM, before)


LARGE = b"x" * 10_000_000


def test_a_signal_handler_may_send_in_the_middle_of_a_message(ends):
    channel, far = ends
    sender, found = Channel(far), []
    reader = threading.Thread(target=lambda: found.append(channel.receive().body), daemon=True)

    def handle(*_):
        sender.send((frames.LOG, (b"after",), None))
        reader.start()

    with handling(handle, channel):
        sender.send((frames.LOG, (LARGE,), None))
    reader.join()
    assert found == [LARGE]
    assert channel.receive().body == b"after"


def test_an_error_of_a_signal_handler_leaves_no_half_message(ends):
    channel, far = ends
    sender, found = Channel(far), []

    def handle(*_):
        raise KeyError

    with pytest.raises(KeyError), handling(handle, channel):
        sender.send((frames.LOG, (LARGE,), None))
    reader = threading.Thread(target=lambda: found.append(channel.receive().body), daemon=True)
    reader.start()
    sender.send((frames.LOG, (b"after",), None))
    reader.join()
    assert found == [LARGE]
    assert channel.receive().body == b"after"


def test_an_end_that_is_gone_is_an_error_where_broken_pipes_end_a_program():
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            signal.signal(signal.SIGPIPE, signal.SIG_DFL)
            near, far = channel_pair()
            far.close()
            for send in (
                lambda: Channel(near).send((frames.BYE, (), None)),
                lambda: ask_for_process(near, b"F"),
            ):
                with pytest.raises(BrokenPipeError):
                    send()
            code = 0
        os._exit(code)
    assert os.waitpid(child, 0)[1] == 0


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_a_protocol_error(body):
    with pytest.raises(ProtocolError):
        frames.from_json(frames.Frame(frames.HELLO, body))


def test_json_crosses_as_it_is(ends):
    channel, far = ends
    content = {"a": [1, None, "\xe4\udcff"], "b": {"c": 2.5}}
    Channel(far).send_json(frames.STATE, content)
    assert frames.from_json(channel.receive()) == content


def test_no_end_takes_the_place_of_a_standard_stream():
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        with contextlib.suppress(BaseException):
            os.closerange(0, 3)
            ends = [*pipe_pair(), *(end.fileno() for end in channel_pair())]
            code = 0 if min(ends) > 2 else 2
        os._exit(code)
    os.close(reading), os.close(writing)
    assert os.waitpid(child, 0)[1] == 0


def test_a_number_out_of_the_way_names_the_same_file():
    near, far = socket.socketpair()
    number = out_of_the_way(near.detach())
    assert number > 200
    with far, socket.socket(fileno=number) as moved:
        moved.send(b"x")
        assert far.recv(1) == b"x"


def test_a_process_that_does_not_die_is_given_up_once(monkeypatch, tmp_path):
    monkeypatch.setattr(child, "_SECONDS_TO_DIE", 0.1)
    (channel, far), (status, far_status) = channel_pair(), channel_pair()
    pipes = pipe_pair(), pipe_pair()
    near = child.LocalChild(Ends(channel, status, pipes[0][0], pipes[1][0]), None, bool, {})
    near.end()
    # They get the numbers that have become free.
    (tmp_path / "other").write_text("of somebody else")
    with contextlib.ExitStack() as opened:
        others = [opened.enter_context(open(tmp_path / "other", "rb", 0)) for _ in range(8)]
        near.end()
        assert [other.tell() for other in others] == [0] * 8
    for end in (far, far_status):
        end.close()
    for _, writing in pipes:
        os.close(writing)
