"""A message that has begun makes progress, or what waits for it is ended. Silence is no reason."""

import os
import threading

import pytest

from bandsaw._workers import frames
from bandsaw._workers.ends import channel_pair
from bandsaw._workers.ssh import bootstrap
from bandsaw.errors import StalledError

pytestmark = pytest.mark.slow

TASKS = """
from bandsaw._workers import frames

if __name__ == "__main__":
    frames.STALLED_SECONDS = float(sys.argv[1])

def channel():
    # The number that is out of the way of others.
    def is_socket(number):
        try:
            return os.readlink(f"/proc/self/fd/{number}").startswith("socket:")
        except OSError:
            return False
    return max(number for number in range(3, 1024) if is_socket(number))

@bandsaw.task
def begin(data):
    os.write(channel(), data)
    while True:
        print("still here", flush=True)
        time.sleep(0.05)

@bandsaw.task
def slowly(data):
    for byte in data:
        os.write(channel(), bytes([byte]))
        time.sleep(0.05)
    return "done"

@bandsaw.task
def silent():
    # As C code does that lets no other thread run.
    sys.setswitchinterval(1000)
    end = time.monotonic() + 1.5
    while time.monotonic() < end:
        pass
    return "done"

def error_of(task, *args):
    try:
        return task(*args)
    except bandsaw.errors.StalledError as error:
        assert "task workflow.begin" in str(error), error
        return str(error)
"""


def workflow(project, write, options, body, seconds):
    write(TASKS, body, options)
    return project.run("workflow.py", str(seconds))


@pytest.mark.parametrize("size", [1, 16, 20])
def test_a_far_side_that_announces_a_message_and_sends_nothing_of_it_is_ended(
    project, write, mode, size, left_nothing
):
    body = f"""
        head = frames.head_of(frames.RETURN, 1000, False) + bytes(4)
        said = error_of(begin, head[:{size}])
        assert "there came nothing more of it for 0.3 s" in said, said
        assert silent() == "done"
    """
    workflow(project, write, mode, body, 0.3)
    left_nothing()


def test_a_message_that_makes_progress_may_take_long(project, write, mode):
    body = """
        log = frames.head_of(frames.HEARTBEAT, 20, False) + bytes(20)
        assert slowly(log) == "done"
    """
    workflow(project, write, mode, body, 0.6)


def test_a_session_that_the_system_has_no_room_for_is_not_waited_for(
    project, write, mode, left_nothing
):
    body = """
        send_first = frames.Channel._send_first

        def refuse(channel, *limits):
            frames.Channel._send_first = send_first
            raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

        from bandsaw._workers import child
        import errno

        assert silent() == "done"
        child._SECONDS_TO_END = 0.2
        frames.Channel._send_first = refuse
        try:
            silent()
        except bandsaw.errors.WorkerDiedError as error:
            assert "closed its channel, and was ended" in str(error), error
        assert frames.Channel._send_first is send_first
        assert silent() == "done"
    """
    workflow(project, write, mode, body, 60)
    left_nothing()


def test_who_takes_nothing_is_noticed():
    near, far = channel_pair()
    with near, far:
        message = (frames.SESSION, [bytes(1 << 24)], None)
        with pytest.raises(StalledError, match="the other side took nothing more of it for 0.2 s"):
            frames.Channel(near).send(message, patience=0.2)


def test_a_near_side_that_stops_in_the_middle_is_noticed(monkeypatch):
    monkeypatch.setattr(frames, "STOPPED_SECONDS", 0.2)
    near, far = channel_pair()
    with near, far:
        near.sendall(frames.head_of(frames.SESSION, 100, False))
        with pytest.raises(StalledError, match=r"there came nothing more of it for 0.2 s"):
            frames.Channel(far).receive()


def test_between_messages_a_side_waits_for_as_long_as_it_takes(monkeypatch):
    monkeypatch.setattr(frames, "STOPPED_SECONDS", 0.05)
    near, far = channel_pair()
    with near, far:
        waiting = frames.Channel(far)
        timer = threading.Timer(0.3, frames.Channel(near).send, [(frames.BYE, [], None)])
        timer.start()
        assert waiting.receive().kind == frames.BYE
        timer.join()


def test_an_archive_that_stops_coming_is_noticed(monkeypatch):
    monkeypatch.setattr(bootstrap, "STOPPED_SECONDS", 0.2)
    reading, writing = os.pipe()
    os.write(writing, b"12")
    with pytest.raises(EOFError, match="stopped"):
        bootstrap.read_exactly(reading, 3)
    for end in (reading, writing):
        os.close(end)


REMOTE = """
import os, sys
import bandsaw
from bandsaw.advices.ssh import Remote, SshAdvice, SshCommandLineBackend

class Here(SshCommandLineBackend):
    # Another "machine": this one, with a hub that has less patience.
    def connection_command(self, remote, executable):
        program = super().connection_command(remote, executable)[-1].split("'")[1]
        return ["env", "PYTHONPATH=" + os.getcwd() + "/impatient", executable, "-u", "-c", program]

python = bandsaw.Interpreter(executable=sys.executable)
remote = Remote("here", interpreter=python, directory=os.path.abspath("far"))
configuration = bandsaw.Configuration().add_advice_chain(
    SshAdvice(backend=Here(), {options}).add_remote(remote)
)
"""
IMPATIENT = """
import sys, threading, time

def shorten():
    while "bandsaw._workers.ssh.hub" not in sys.modules:
        time.sleep(0.001)
    from bandsaw._workers import frames
    from bandsaw._workers.ssh import multiplexer
    frames.STALLED_SECONDS, multiplexer.ALIVE_SECONDS = 0.3, 0.1

if sys.argv[0] == "-c":
    threading.Thread(target=shorten, daemon=True).start()
"""


@pytest.mark.parametrize("options", ["", "workers=1"])
def test_a_hub_ends_what_announces_a_message_and_sends_nothing_of_it(project, write, options):
    body = """
        head = frames.head_of(frames.RETURN, 1000, False)
        try:
            begin(head)
        except bandsaw.errors.WorkerError as error:
            assert "there came nothing more of it for 0.3 s" in str(error), error
            assert "task workflow.begin" in str(error), error
        else:
            raise AssertionError
        assert silent() == "done"
    """
    write(TASKS, body)
    project.write("impatient/sitecustomize.py", IMPATIENT)
    (project.folder / "far").mkdir()
    remote = REMOTE.replace("{options}", options)
    project.write("bandsaw_config.py", remote)
    project.run("workflow.py", "60")
