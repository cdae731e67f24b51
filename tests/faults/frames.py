"""What travels between two processes, changed on its way: a message, or a typed error.

First what arrives at a channel in this process, then what a real process sends to its caller.
"""

from __future__ import annotations

import os
import socket

import bandsaw
from bandsaw._session.members import MEMBERS
from bandsaw._system.interrupts import owned
from bandsaw._workers import envelope, frames
from bandsaw.errors import DeserializationError, ProtocolError, SessionFileError, WorkerError

from . import workers_seen as seen
from .figures import Fault
from .serialization_mutants import of_bytes

_CONFIGURATION = "tests.faults.workers_configuration"
_CALLS = 6
_DEADLINE = 1.0


def messages(dice):
    """Returns messages of all kinds, as bytes."""
    bodies = [b"", b"{}", b'{"a": 1}', bytes(200), b"x" * dice.randrange(1, 3000)]
    made = [
        frames.head_of(kind, len(body), False) + body
        for kind in range(frames.HELLO, frames.BYE + 1)
        for body in bodies
    ]
    return [*made, frames.head_of(frames.LOG, 1 << 40, False), frames.head_of(99, 0, False)]


def changed_messages(dice, figures, number):
    """Has a channel receive streams of messages that were changed."""
    whole = messages(dice)
    opened = seen.descriptors()
    for _ in range(number):
        data = of_bytes(dice, b"".join(dice.sample(whole, 3)), whole)
        near, far = socket.socketpair()
        channel = frames.Channel(near)
        try:
            far.sendall(data)
            far.close()
            while True:
                frame = channel.receive()
                if frame.kind in (frames.HELLO, frames.LOG, frames.FAILURE):
                    frames.from_json(frame)
        except (ProtocolError, EOFError):
            pass
        except Exception as error:
            raise Fault("untyped", f"{data[:200]!r}: {error!r}") from error
        finally:
            channel.close()
        figures.inject("streams of messages changed")
        figures.calls += 1
    if seen.descriptors() != opened:
        raise Fault("left", "descriptors are open")


def changed_sessions(dice, figures, number):
    """Reads the members of sessions that were changed in their message, or in a file with it."""
    opened = seen.descriptors()
    for _ in range(number):
        size = dice.choice([10, 1000, frames.LARGEST_BODY])
        members = {name: [dice.randbytes(size), b"x" * 7] for name in MEMBERS}
        kind, pieces, descriptor = envelope.message(frames.RETURN, members, None)
        body = b"".join(map(bytes, pieces))
        if descriptor is not None and dice.random() < 0.5:
            os.truncate(descriptor, dice.randrange(2 * size))
        else:
            body = of_bytes(dice, body, [body])
        found = None
        try:
            file = None if descriptor is None else owned(descriptor)
            found = envelope.members(frames.Frame(kind, body, file))
            for name, member in found.items():
                member.parts([size, 7]) if name.endswith(".buffers") else member.data(10 * size)
        except (SessionFileError, ProtocolError):
            pass
        except Exception as error:
            raise Fault("untyped", f"{body[:200]!r}: {error!r}") from error
        figures.inject("sessions in messages changed")
        figures.calls += 1
    # A mapping may have its file open.
    found = member = None
    if seen.descriptors() != opened:
        raise Fault("left", f"descriptors are open: {found}, {member}")


def breach(data):
    """Is a task that writes into the channel to its caller."""
    if data is not None:
        numbers = []
        for number in range(3, 1024):
            try:
                if os.readlink(f"/proc/self/fd/{number}").startswith("socket:"):
                    numbers.append(number)
            except OSError:
                continue
        os.write(max(numbers), data)
    return 1


def breaches(dice, figures):
    """Has tasks write changed messages into the channel, between those that are genuine."""
    chain = dice.choice(["own", "warm"])
    # A message whose length is a lie has the caller wait for the rest of it: until the deadline.
    hostile = bandsaw.task(config=_CONFIGURATION, chain=chain, timeout=_DEADLINE)(breach)
    genuine = bandsaw.task(config=_CONFIGURATION, chain=chain)(breach)
    # Those would be believed: a task may say goodbye, log, and give signs of life.
    silent = (frames.HEARTBEAT, frames.LOG, frames.BYE)
    whole = [data for data in messages(dice) if data[4] not in silent]
    # A question is answered, and a later call of the process would find the answer.
    question = frames.head_of(frames.CODE, 0, False)[:5]
    for _ in range(_CALLS):
        data = question
        while question in data:
            data = of_bytes(dice, dice.choice(whole), whole) or b"x"
        try:
            assert hostile(data) == 1
        except (ProtocolError, SessionFileError, WorkerError, DeserializationError):
            pass
        except Exception as error:
            raise Fault("untyped", f"{chain}, {data[:200]!r}: {error!r}") from error
        assert genuine(None) == 1
        figures.inject("messages written by tasks")
        figures.calls += 2


def run(dice, figures, directory):
    """Changes streams of messages, sessions in messages, and what real processes send."""
    changed_messages(dice, figures, 300)
    changed_sessions(dice, figures, 150)
    breaches(dice, figures)
