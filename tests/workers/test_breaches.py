import pytest

pytestmark = pytest.mark.slow

BREACHES = """
import socket
from bandsaw._workers.frames import (
    BYE, FAILURE, HELLO, LOG, RETURN, SESSION, STATE, WARNING
)

def channel():
    # The number that is out of the way of others.
    return max(number for number in range(3, 1024) if is_socket(number))

def is_socket(number):
    try:
        return os.readlink(f'/proc/self/fd/{number}').startswith('socket:')
    except OSError:
        return False

@bandsaw.task
def f(data=None, ends=False):
    if data is not None:
        os.write(channel(), data)
    if ends:
        socket.socket(fileno=channel()).shutdown(socket.SHUT_RDWR)
    return 1

def frame(kind, body=b'', flag=0, size=None):
    import struct
    size = len(body) if size is None else size
    return struct.pack('!4sBB2xQ', b'bsw\\1', kind, flag, size) + body

def refused(*args):
    try:
        f(*args)
    except bandsaw.errors.BandsawError as error:
        assert 'task workflow.f' in str(error), error
        return type(error).__name__
    raise AssertionError
"""

GARBAGE = """
    b'x',
    b'garbage' * 100,
    bytes(1000),
    frame(99),
    frame(HELLO, b'{}'),
    frame(STATE, b'{}'),
    frame(SESSION),
    frame(LOG, b'no json'),
    frame(LOG, b'[]'),
    frame(LOG, b'{"levelno": "x"}'),
    frame(LOG, b'{"levelno": "50"}'),
    frame(LOG, b'{"levelno": 50, "extra": [1]}'),
    frame(WARNING, b'no json'),
    frame(WARNING, b'{}'),
    frame(WARNING, b'{"warning": 3, "line": 1}'),
    frame(WARNING, b'{"warning": "{}", "line": "x"}'),
    frame(WARNING, b'{"warning": "{}", "line": [1], "module": []}'),
    frame(RETURN),
    frame(RETURN, bytes(80)),
    frame(RETURN, b'x' * 200),
    frame(RETURN, b'', 1),
    frame(FAILURE),
    frame(FAILURE, b'{}'),
    frame(FAILURE, b'no json'),
    frame(LOG, b'', 0, 1 << 40),
    frame(LOG, b'', 0, 50),
"""


def test_a_task_that_writes_into_the_channel_gets_a_typed_error(run, mode):
    body = f"""
    for data in ({GARBAGE}):
        assert f() == 1
        refused(data)
    assert f() == 1
    """
    run(BREACHES, body, mode)


def test_a_task_that_shuts_the_channel_gets_a_typed_error(run, mode):
    run(BREACHES, "assert f() == 1\nrefused(None, True)\nassert f() == 1", mode)


@pytest.mark.parametrize("options", ["workers=1", "workers=1, idle_timeout=60"])
def test_a_task_that_says_goodbye_is_not_called_again_without_end(run, options):
    run(BREACHES, "assert f() == 1\nrefused(frame(BYE))\nassert f() == 1", options)
