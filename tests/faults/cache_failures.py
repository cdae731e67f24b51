"""System calls that fail, fall short or never return, one after the other.

```
scene: a state of the cache and a call ─► the call with its Nth system call at fault, N = 1, 2, ...
       until the call makes fewer than N ─► the same call once more
```
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import mmap
import os
import shutil
import signal
from typing import NamedTuple

import numpy

from bandsaw._cache import computation_locks, entry, owned_files, verified

from .cache_calls import Cache, Child, Task, records, same
from .figures import Fault as Broken
from .figures import Figures

ERRORS = (errno.ENOSPC, errno.EIO, errno.EACCES)
NAMES = (
    *("open", "read", "write", "fstat", "lstat", "stat", "close", "replace", "unlink"),
    *("ftruncate", "utime", "mkdir", "scandir", "lseek", "rmdir", "rename", "listdir", "chmod"),
    *("link", "writev"),
)
_TRANSFERS = ("read", "readinto", "write", "writev")
_open, _mmap = open, mmap.mmap


class Fault:
    """What happens at the Nth system call.

    Args:
        at: Which call; the first one is 1.
        error: The error number that it fails with. `None`: reading and writing transfers less than
            asked for. A negative signal number: this process gets it in the middle of the call.
        onwards: Whether all later calls are at fault, too.

    Attributes:
        count: The calls so far.
        names: The names of those that were at fault.
    """

    def __init__(self, at, error, onwards=False):
        self.at, self.error, self.onwards = at, error, onwards
        self.count, self.names = 0, []

    def wrapped(self, name, real):
        def call(*arguments, **options):
            if self.error is None and name not in _TRANSFERS:
                return real(*arguments, **options)
            self.count += 1
            if self.count != self.at and not (self.onwards and self.count > self.at):
                return real(*arguments, **options)
            self.names.append(name)
            if self.error is None:
                return _short(name, real, *arguments)
            if self.error < 0:
                if name in ("write", "writev"):
                    _short(name, real, *arguments)
                os.kill(os.getpid(), -self.error)
            if name == "close":
                # The descriptor is gone even then.
                real(*arguments)
            raise OSError(self.error, os.strerror(self.error))

        return call


def _short(name, real, *arguments):
    if name == "read":
        descriptor, size = arguments
        return real(descriptor, max(1, size - 1))
    *before, data = arguments
    if name == "writev":
        return real(*before, data[: max(1, len(data) // 2)])
    view = memoryview(data)
    return real(*before, view[: max(1, len(view) // 2)])


@contextlib.contextmanager
def injected(fault):
    """Leads what the cache asks of the system past a fault, in this process."""
    real = {name: getattr(os, name) for name in NAMES}
    flock = computation_locks.fcntl.flock

    class File:
        def __init__(self, *arguments, **options):
            self._file = _open(*arguments, **options)
            self.readinto = fault.wrapped("readinto", self._file.readinto)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self._file.close()

    for name in NAMES:
        replacement = fault.wrapped(name, real[name])
        setattr(os, name, replacement)
        if real[name] in os.supports_fd:
            os.supports_fd.add(replacement)
    computation_locks.fcntl.flock = fault.wrapped("flock", flock)
    mmap.mmap = fault.wrapped("mmap", _mmap)
    entry.open = File
    try:
        yield
    finally:
        for name in NAMES:
            os.supports_fd.discard(getattr(os, name))
            setattr(os, name, real[name])
            if name in _WITH_DESCRIPTORS:
                os.supports_fd.add(real[name])
        computation_locks.fcntl.flock, mmap.mmap = flock, _mmap
        del entry.open


_WITH_DESCRIPTORS = {name for name in NAMES if getattr(os, name) in os.supports_fd}


class Scene(NamedTuple):
    """A state of the cache, and how it is asked.

    Attributes:
        state: `'hit'`, `'miss'`, `'damaged'` or `'new'` (there is no directory yet).
        is_large: Whether the value is of some megabytes.
        options: The options of the cache.
        task: The options of the task.
    """

    state: str
    is_large: bool = False
    options: dict = {}  # noqa: RUF012 - nobody changes it
    task: dict = {}  # noqa: RUF012 - nobody changes it

    def prepared(self, directory):
        """Brings about the state; returns the cache, and what makes its task."""
        cache = Cache(directory, **self.options)
        value = VALUES[self.is_large]
        if self.state != "new":
            for key in ("first", "second"):
                cache.call(Task(lambda _: b"1" * 3000), key)
            if self.state != "miss":
                cache.call(Task(lambda _: value))
        if self.state == "damaged":
            with _open(cache.path(), "r+b") as file:
                file.seek(-1, os.SEEK_END)
                last = file.read(1)[0]
                file.seek(-1, os.SEEK_END)
                file.write(bytes([last ^ 1]))
        # What is known of files and folders saves system calls.
        owned_files._trusted.clear()
        verified._large.clear()
        verified._recent.clear()
        return cache, lambda: Task(lambda _: value, **self.task)


VALUES = {
    False: {"data": [1, "2", b"3"], "array": numpy.arange(9.0)},
    True: {"array": numpy.arange(200_000.0), "bytes": b"x" * 100_000},
}
SCENES = {
    "hit": Scene("hit"),
    "large hit": Scene("hit", True),
    "miss": Scene("miss"),
    "first miss": Scene("new"),
    "large miss": Scene("miss", True),
    "damaged": Scene("damaged"),
    "refresh": Scene("hit", task={"cache": {"refresh": True}}),
    "bounded hit": Scene("hit", options={"max_bytes": 8000}),
    "bounded miss": Scene("miss", options={"max_bytes": 5000}),
    "aged miss": Scene("miss", options={"max_age": 1000}),
    "mapped hit": Scene("hit", True, {"mmap": True}),
    "mapped miss": Scene("miss", True, {"mmap": True}),
    "bounded mapped hit": Scene("hit", True, {"mmap": True, "max_bytes": 10**8}),
}


def descriptors():
    # The list is read through one more.
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def _check(cache, task, fault, where, state):
    opened = descriptors()
    with records() as warnings, injected(fault):
        try:
            value = cache.call(task)
        except Exception as error:
            raise Broken("untyped", f"{where}: {error!r} at {fault.names[:3]}") from error
    where = f"{where} ({', '.join(fault.names[:3])})"
    assert same(value, VALUES["bytes" in value]), f"{where}: a wrong value"
    del value
    assert task.executed <= 1, where
    if descriptors() != opened:
        raise Broken("left", f"{where}: a descriptor is left open")
    if not fault.onwards:
        expected = (fault.error is not None) + (state == "damaged")
        assert len(warnings) <= expected, f"{where}: {warnings}"
    return where


def failing(directory, scene, error, onwards=False, figures=None):
    """Lets each system call of a call fail; or each from then on, as when a disk is full.

    Args:
        directory: Where to work.
        scene: The name of the scene.
        error: The error number, see `Fault`.
        onwards: See `Fault`.
        figures: Where to count, by default in new ones.

    Returns:
        The figures.
    """
    figures = Figures() if figures is None else figures
    code = "short" if error is None else errno.errorcode[error]
    kind = "short transfers" if error is None else f"{code} from a system call"
    for at in itertools.count(1):
        place = os.path.join(directory, f"{code}-{onwards}-{at}")
        cache, make = SCENES[scene].prepared(place)
        fault = Fault(at, error, onwards)
        where = _check(cache, make(), fault, f"{scene}, {code} at call {at}", SCENES[scene].state)
        if "unlink" not in fault.names and cache.temporary_files():
            raise Broken("left", f"{where}: {cache.temporary_files()}")
        with records() as warnings:
            value = cache.call(make())
        assert same(value, VALUES[SCENES[scene].is_large]), f"{where}: wrong later"
        # What is damaged stays so where it could not be replaced.
        is_damaged = SCENES[scene].state == "damaged"
        assert len(warnings) <= is_damaged, f"{where}, later: {warnings}"
        del value
        shutil.rmtree(place)
        figures.calls += 2
        figures.inject(kind, len(fault.names))
        if not fault.names:
            return figures


def killed_at_each_call(directory, scene, figures):
    """Kills a process at each system call of a call; at a write, when half is written.

    Args:
        directory: Where to work.
        scene: The name of the scene.
        figures: Where to count.
    """
    value = VALUES[SCENES[scene].is_large]
    for at in itertools.count(1):
        place = os.path.join(directory, f"killed-{at}")
        cache, make = SCENES[scene].prepared(place)
        child = Child(_killed, cache, make(), at)
        child.close()
        where = f"{scene}, killed at call {at}"
        if child.status == 0:
            shutil.rmtree(place)
            return
        assert child.status == -signal.SIGKILL, where
        figures.inject("SIGKILL at a system call")
        figures.calls += 1
        task = make()
        is_whole = os.path.lexists(cache.path())
        with records("INFO") as told:
            assert same(cache.call(task), value), f"{where}: a wrong value"
        assert not any("Waiting" in record for record in told), f"{where}: nobody takes over"
        left = [path for path in cache.temporary_files() if path.endswith("/.execution.tmp")]
        if left:
            raise Broken("left", f"{where}: {left}")
        if SCENES[scene].state != "damaged":
            assert not any("not used" in record for record in told), f"{where}: {told}"
            if not task.kwargs:
                assert task.executed == (not is_whole), where
        shutil.rmtree(place)


def _killed(cache, task, at):
    with records(), injected(Fault(at, -signal.SIGKILL)):
        cache.call(task)


def run(dice, figures, directory):
    """Has calls of some scenes meet faults at each of their system calls."""
    for number, scene in enumerate(dice.sample(list(SCENES), 4)):
        place = os.path.join(directory, str(number))
        error = dice.choice((*ERRORS, None))
        failing(place, scene, error, error is not None and dice.random() < 0.5, figures)
    killed_at_each_call(directory, dice.choice(list(SCENES)), figures)
