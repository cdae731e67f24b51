"""Many callers of one missing entry: one computes it, the others wait.

```
parent ◄── "inside", "waiting" ── children: threads that ask for the entry
   └────── "go on" ─────────────► the one that computes
```

Nothing depends on how long something takes: the parent knows who computes and who waits.
"""

from __future__ import annotations

import contextlib
import logging
import os
import threading
import warnings

from bandsaw._cache import computation_locks

from .cache_calls import LOGGER, Cache, Child, Task, deadline
from .figures import Figures

VALUE = {"some": "value", "bulk": "x" * 1000}


class Meeting:
    """What parent and children tell each other."""

    def __init__(self, directory):
        self.cache = Cache(os.path.join(directory, "cache"))
        self._computations = os.path.join(directory, "computations")
        self._told, self._tell = os.pipe()
        self._released, self._release = os.pipe()
        self._ended, self._end = os.pipe()
        self._seen = []
        self._children = []

    def close(self):
        for child in self._children:
            child.kill()
        for descriptor in (self._told, self._tell, self._released, self._release, self._ended,
                           self._end):  # fmt: skip
            os.close(descriptor)

    # In the parent.

    def start(self, compute, threads=1, meanwhile=None):
        """Starts a process whose threads ask for the entry."""
        child = Child(self._ask, compute, threads, meanwhile)
        self._children.append(child)
        return child

    def expect(self, what, number=1):
        """Waits until something was told so many times; returns by which processes."""
        while True:
            pids = [pid for told, pid in self._seen if told == what]
            assert len(pids) <= number, f"{what!r} was told {len(pids)} times"
            if len(pids) == number:
                self._seen = [one for one in self._seen if one[0] != what]
                return pids
            # Messages are short enough to be written, and read, as a whole.
            told, pid = os.read(self._told, _LENGTH).split()
            self._seen.append((told.decode(), int(pid)))

    def next(self):
        """Waits for what is told next."""
        assert not self._seen, self._seen
        return os.read(self._told, _LENGTH).split()[0].decode()

    def release(self, number=1):
        """Lets so many computations go on."""
        os.write(self._release, b"!" * number)

    def kill(self, pid):
        """Kills one of the processes; returns those that are left."""
        (child,) = (child for child in self._children if child.pid == pid)
        child.kill()
        self._children.remove(child)
        return list(self._children)

    def computations(self):
        return os.path.getsize(self._computations)

    def is_locked(self):
        """Whether some process has the lock on the file that is the entry now."""
        descriptor = os.open(self.cache.path(), os.O_RDWR)
        try:
            computation_locks.fcntl.flock(
                descriptor, computation_locks.fcntl.LOCK_EX | computation_locks.fcntl.LOCK_NB
            )
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    # In the children.

    def inside(self):
        """Notes a computation, and waits for its release."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
        descriptor = os.open(self._computations, flags, 0o600)
        os.write(descriptor, b"!")
        os.close(descriptor)
        self.tell("inside")
        os.read(self._released, 1)

    def tell(self, what):
        os.write(self._tell, f"{what} {os.getpid()}".encode().ljust(_LENGTH))

    def fork_survivor(self):
        """Forks a process that lives until this parent and its children are gone."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            for descriptor in (self._tell, self._end):
                os.close(descriptor)
            os.read(self._ended, 1)
            os._exit(0)

    def _ask(self, compute, threads, meanwhile):
        found = []
        handler = _Waiting(self)
        LOGGER.addHandler(handler)
        LOGGER.setLevel(logging.INFO)
        LOGGER.propagate = False
        asking = [
            threading.Thread(target=lambda: found.append(self._answer(compute)))
            for _ in range(threads)
        ]
        for thread in asking:
            thread.start()
        if meanwhile is not None:
            handler.waits.wait()
            meanwhile(self)
            self.tell("meanwhile")
        for thread in asking:
            thread.join()
        return found

    def _answer(self, compute):
        def computed(_):
            return compute(self)

        result = self.cache.result(Task(computed))
        return result.value if result.exception is None else repr(result.exception)


_LENGTH = 32


class _Waiting(logging.Handler):
    def __init__(self, meeting):
        super().__init__(logging.INFO)
        self._meeting = meeting
        self.waits = threading.Event()

    def emit(self, record):
        if record.msg.startswith("Waiting"):
            self._meeting.tell("waiting")
            self.waits.set()
        elif record.levelno > logging.INFO:
            self._meeting.tell("warned")


@contextlib.contextmanager
def _meeting(directory):
    meeting = Meeting(directory)
    try:
        yield meeting
    finally:
        meeting.close()


def _compute(meeting):
    meeting.inside()
    return VALUE


def _raise(meeting):
    meeting.inside()
    raise ValueError("not today")


def _survived(meeting):
    meeting.fork_survivor()
    meeting.inside()
    return VALUE


def _check(meeting, children, threads, computations, expected=VALUE):
    for child in children:
        assert child.result() == [expected] * threads
    assert meeting.computations() == computations, meeting.computations()
    assert meeting.cache.temporary_files() == []


def once(directory, processes=8, threads=4):
    """All ask at the same time: it is computed once."""
    with _meeting(directory) as meeting:
        children = [meeting.start(_compute, threads) for _ in range(processes)]
        meeting.expect("inside")
        meeting.expect("waiting", processes * threads - 1)
        meeting.release()
        _check(meeting, children, threads, 1)


def killed(directory, processes=8, threads=4, kills=3):
    """The process that computes is killed, again and again: one other takes over each time."""
    with _meeting(directory) as meeting:
        children = [meeting.start(_compute, threads) for _ in range(processes)]
        meeting.expect("waiting", processes * threads - 1)
        for _ in range(kills):
            children = meeting.kill(*meeting.expect("inside"))
        meeting.expect("inside")
        meeting.release()
        _check(meeting, children, threads, kills + 1)


def raised(directory, processes=8, threads=4):
    """The computation raises: each caller gets an exception of its own, and nothing is kept."""
    callers = processes * threads
    with _meeting(directory) as meeting:
        children = [meeting.start(_raise, threads) for _ in range(processes)]
        meeting.release(callers)
        _check(meeting, children, threads, callers, "ValueError('not today')")
        assert not os.path.lexists(meeting.cache.path())


def raised_once(directory):
    """After a computation that raised, one of those who waited computes, and later ones wait."""
    with _meeting(directory) as meeting:
        first = meeting.start(_raise)
        meeting.expect("inside")
        second = meeting.start(_compute)
        meeting.expect("waiting")
        meeting.release()
        assert first.result() == ["ValueError('not today')"]
        meeting.expect("inside")
        third = meeting.start(_compute)
        assert meeting.next() == "waiting"
        meeting.release()
        _check(meeting, [second, third], 1, 2)


def survived(directory):
    """A process that the killed one had forked while it computed keeps nobody waiting."""
    with _meeting(directory) as meeting:
        meeting.start(_survived)
        (pid,) = meeting.expect("inside")
        other = meeting.start(_compute)
        meeting.expect("waiting")
        meeting.kill(pid)
        meeting.expect("inside")
        meeting.release()
        _check(meeting, [other], 1, 2)


def survived_the_end(directory):
    """Nor one that was forked while its parent computed, when that one ends as usual."""
    with _meeting(directory) as meeting:
        one = meeting.start(_survived)
        meeting.expect("inside")
        other = meeting.start(_compute)
        meeting.expect("waiting")
        meeting.release()
        _check(meeting, [one, other], 1, 1)
        assert not meeting.is_locked()


def survived_waiting(directory):
    """Nor one that was forked while a thread of its parent waited."""
    with _meeting(directory) as meeting:
        meeting.start(_compute)
        (first,) = meeting.expect("inside")
        other = meeting.start(_compute, 1, Meeting.fork_survivor)
        meeting.expect("meanwhile")
        meeting.kill(first)
        meeting.expect("inside")
        meeting.release()
        _check(meeting, [other], 1, 2)
        assert not meeting.is_locked(), "a forked process has the lock"


def run(dice, figures, directory):
    """Makes each of these happen, with some processes and threads, in some order."""
    several = {"processes": dice.randrange(4, 9), "threads": dice.randrange(1, 5)}
    kills = dice.randrange(1, 4)
    callers = several["processes"] * several["threads"]
    scenarios = [
        (once, several, callers, {}),
        (killed, {**several, "kills": kills}, callers, {"SIGKILL of who computes": kills}),
        (raised, several, callers, {"exceptions of who computes": callers}),
        (raised_once, {}, 3, {"exceptions of who computes": 1}),
        (survived, {}, 2, {"SIGKILL of who computes": 1, "forks of who computes": 1}),
        (survived_the_end, {}, 2, {"forks of who computes": 1}),
        (survived_waiting, {}, 2, {"SIGKILL of who computes": 1, "forks of who waits": 1}),
    ]
    for number, (scenario, options, calls, injected) in enumerate(dice.sample(scenarios, 7)):
        place = os.path.join(directory, str(number))
        os.mkdir(place)
        with deadline(30):
            scenario(place, **options)
        figures.add(Figures(calls, injected))
