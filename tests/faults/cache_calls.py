"""What the fault harnesses of the cache share: calls, values, and processes that are forked.

Everything is forked from one process that has a single thread and has loaded all it needs: to
start an interpreter for each fault would cost more than the fault.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import pickle
import signal
import struct
import sys
import traceback

import bandsaw
from bandsaw.advices.cache import CachingAdvice
from bandsaw.execution import Execution
from bandsaw.result import Result
from bandsaw.session import Session

from .figures import Fault

LOGGER = logging.getLogger("bandsaw.advices.cache")
_PARENT_DEATH_SIGNAL = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_SIZE = struct.Struct(">Q")
_running = set()


class Task:
    """A task that computes a value by the id of the execution."""

    def __init__(self, compute, task_id="task", **kwargs):
        self.compute, self.task_id, self.kwargs, self.executed = compute, task_id, kwargs, 0

    def execute(self, execution):
        self.executed += 1
        try:
            return Result(self.compute(execution.execution_id))
        except Exception as error:
            return Result(exception=error)

    def __str__(self):
        return "some.task"


class Cache:
    """A configuration with a cache in a directory, and calls that go through it."""

    def __init__(self, directory, serializer=bandsaw.PickleSerializer, **options):
        self.directory = str(directory)
        self.advice = CachingAdvice(directory, **options)
        self.configuration = bandsaw.Configuration().add_advice_chain(self.advice)
        self.configuration.set_serializer(serializer())

    def result(self, task, key="execution"):
        return Session(task, Execution(key), self.configuration).initiate()

    def call(self, task, key="execution"):
        result = self.result(task, key)
        if result.exception is not None:
            raise result.exception
        return result.value

    def path(self, key="execution", task_id="task"):
        return os.path.join(self.directory, task_id, key)

    def temporary_files(self):
        return [
            os.path.join(folder, name)
            for folder, _, names in os.walk(self.directory)
            for name in names
            if name.startswith(".") and name != ".bounds"
        ]


def same(one, other):
    """Whether two values are equal in type and value, arrays also in dtype and shape."""
    if type(one) is not type(other):
        return False
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(map(same, one.values(), other.values()))
    if type(one).__module__ == "numpy":
        is_alike = one.dtype == other.dtype and one.shape == other.shape
        return is_alike and one.tobytes() == other.tobytes()
    return one == other


@contextlib.contextmanager
def records(level=logging.WARNING):
    """Collects what the cache logs."""
    handler, old = _Collecting(level), (LOGGER.level, LOGGER.propagate)
    LOGGER.addHandler(handler)
    LOGGER.propagate = False
    LOGGER.setLevel(level)
    try:
        yield handler.found
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(old[0])
        LOGGER.propagate = old[1]


class _Collecting(logging.Handler):
    def __init__(self, level):
        super().__init__(level)
        self.found = []

    def emit(self, record):
        self.found.append(record.getMessage())


class Child:
    """A forked process that runs a function.

    Attributes:
        pid: Its id.
        status: How it ended: the exit code, or the negative number of a signal.
    """

    def __init__(self, function, *arguments):
        self._reading, writing = os.pipe()
        parent = os.getpid()
        self.pid = os.fork()
        if self.pid == 0:
            code = 1
            try:
                _running.clear()
                if _libc is not None:
                    _libc.prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
                if os.getppid() != parent:
                    os._exit(1)
                os.close(self._reading)
                try:
                    code, told = 0, function(*arguments)
                except Exception as error:
                    traceback.print_exc()
                    told = error
                told = pickle.dumps(told)
                with open(writing, "wb") as stream:
                    stream.write(_SIZE.pack(len(told)) + told)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        os.close(writing)
        self.status = None
        _running.add(self)

    def wait(self):
        """Waits for the end."""
        if self.status is None:
            _, status = os.waitpid(self.pid, 0)
            _running.discard(self)
            is_killed = os.WIFSIGNALED(status)
            self.status = -os.WTERMSIG(status) if is_killed else os.WEXITSTATUS(status)
        return self.status

    def kill(self):
        """Kills it, if it is still there."""
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
        self.close()

    def close(self):
        """Waits for the end, and forgets what it told."""
        self.wait()
        reading, self._reading = self._reading, None
        if reading is not None:
            os.close(reading)

    def result(self):
        """Waits for the end, and returns what the function returned, or raises what it raised."""
        # Not until the end of file: a process that it left behind may have the pipe, too.
        told, size = b"", _SIZE.size
        while len(told) < size:
            more = os.read(self._reading, size - len(told))
            if not more:
                break
            told += more
            if size == len(told) == _SIZE.size:
                size += _SIZE.unpack(told)[0]
        self.close()
        if self.status not in (0, 1) or len(told) < size:
            raise AssertionError(f"a process ended with {self.status}")
        found = pickle.loads(told[_SIZE.size :])
        if self.status:
            raise found
        return found


def in_processes(function, shares, figures):
    """Runs a function in several processes at once, and adds up the figures they return."""
    children = [Child(function, *share) for share in shares]
    for child in children:
        figures.add(child.result())


@contextlib.contextmanager
def deadline(seconds):
    """Fails, and kills what was forked, if it takes longer. It is there for what hangs."""

    def expired(*_):
        raise Fault("hang", f"{seconds} seconds are over")

    old = signal.signal(signal.SIGALRM, expired)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, old)
        for child in list(_running):
            child.kill()
