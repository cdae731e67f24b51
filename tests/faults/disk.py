"""A disk that is full: a small file system of its own, or a limit for the size of files.

A cache never costs a value. What has to be written, an archive, a file or bulk data, is a typed
error where there is no room for it, and goes well when there is.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import tempfile

import bandsaw
from bandsaw._archive import process_folder
from bandsaw.errors import BandsawError

from .cache_calls import Cache, Child, Task, records, same
from .figures import Fault, Figures

_NEW_MOUNTS, _NEW_USER = 0x00020000, 0x10000000
_RECURSIVE, _PRIVATE = 0x4000, 0x40000
_CONFIGURATION = "tests.faults.workers_configuration"


def small_disk(directory, size):
    """Makes a folder have a file system of its own, which this process sees and no other.

    Args:
        directory: The folder.
        size: How many bytes there are.

    Returns:
        Whether that is possible here.
    """
    libc, user = ctypes.CDLL(None), os.geteuid()
    if libc.unshare(_NEW_MOUNTS | (_NEW_USER if user else 0)):
        return False
    if user:
        with open("/proc/self/uid_map", "w") as file:
            file.write(f"{user} {user} 1")
    libc.mount(b"none", b"/", None, _RECURSIVE | _PRIVATE, None)
    options = f"size={size}".encode()
    return not libc.mount(b"tmpfs", os.fsencode(directory), b"tmpfs", 0, options)


def _fill_or_limit(directory, size, dice):
    # A limit holds for files in memory as well.
    if dice.random() < 0.7 and small_disk(directory, size):
        return "full disks"
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 4, resource.RLIM_INFINITY))
    return "files that may not grow"


def _cached(directory, size, dice):
    kind = _fill_or_limit(directory, size, dice)
    figures, values = Figures(), {}
    cache = Cache(os.path.join(directory, "cache"), mmap=dice.random() < 0.3)
    for number in range(40):
        key = str(dice.randrange(20))
        value = values.setdefault(key, dice.randbytes(int(2 ** dice.uniform(4, 16))))
        with records() as warnings:
            assert same(cache.call(Task(lambda _, value=value: value), key), value), "wrong"
        figures.calls += 1
        figures.inject(kind, bool(warnings))
        if cache.temporary_files():
            raise Fault("left", str(cache.temporary_files()))
        if number % 10 == 9:  # there is room again
            os.unlink(cache.path(dice.choice(os.listdir(os.path.join(cache.directory, "task")))))
    # What is there is whole.
    for key, value in values.items():
        with records() as warnings:
            assert same(cache.call(Task(lambda _, value=value: value), key), value), "wrong later"
        assert not any("not used" in text for text in warnings), warnings
    return figures


def length(data):
    """Is the task."""
    return len(data)


def _in_processes(directory, size, dice):
    kind = _fill_or_limit(directory, size, dice)
    os.environ.update(TMPDIR=directory, BANDSAW_HOME=os.path.join(directory, "home"))
    tempfile.tempdir = None
    filler = os.path.join(directory, "filler")
    task = bandsaw.task(config=_CONFIGURATION, chain=dice.choice(["own", "warm"]))(length)
    figures = Figures()
    for number in range(4):
        figures.calls += 1
        data = bytes(int(2 ** dice.uniform(4, 23)))
        try:
            assert task(data) == len(data), "a wrong value"
        except BandsawError as error:
            if not isinstance(error, OSError) and not isinstance(error.__cause__, OSError):
                raise Fault("untyped", f"{error!r}, of {error.__cause__!r}") from error
            figures.inject(kind)
        except Exception as error:
            raise Fault("untyped", f"{size} bytes, {len(data)} of data: {error!r}") from error
        if number == 1:
            with open(filler, "wb", buffering=0) as file:
                _write_all(file, dice.randrange(size))
    # What goes with the process: the archive, where it can be kept nowhere else.
    process_folder._remove()
    found = set(os.listdir(directory)) - {"home", "filler"}
    if found:
        raise Fault("left", str(found))
    return figures


def returned(path):
    """Is the task."""
    return bandsaw.File(path)


def _in_files(directory, size, dice):
    source = os.path.join(os.path.dirname(directory), f"source-{os.path.basename(directory)}")
    kind = _fill_or_limit(directory, size, dice)
    home = os.path.join(directory, "home")
    os.environ.update(BANDSAW_HOME=home)
    task = bandsaw.task(config=_CONFIGURATION, chain=dice.choice(["own", "warm"]))(returned)
    cache = Cache(os.path.join(directory, "cache"))
    figures = Figures()
    for number in range(6):
        figures.calls += 1
        data = dice.randbytes(int(2 ** dice.uniform(4, 21)))
        with contextlib.suppress(OSError), open(source, "wb") as file:
            # The limit may hold for it, too.
            file.write(data)
        with open(source, "rb") as file:
            data = file.read()
        try:
            found = task(source)
            with open(found, "rb") as file:
                assert file.read() == data, "a wrong file"
            with records() as warnings:
                cache.call(Task(lambda _, found=found: found), str(number))
                with open(
                    cache.call(Task(None), str(number)) if not warnings else found, "rb"
                ) as file:
                    assert file.read() == data, "a wrong file in the cache"
        except BandsawError as error:
            if not isinstance(error, OSError) and not isinstance(error.__cause__, OSError):
                raise Fault("untyped", f"{error!r}, of {error.__cause__!r}") from error
            figures.inject(kind)
        half = [
            name
            for folder, folders, names in os.walk(home)
            for name in (*folders, *names)
            if name.startswith(".bandsaw-")
        ]
        if half or cache.temporary_files():
            raise Fault("left", f"{half} {cache.temporary_files()}")
    return figures


def _write_all(file, size):
    try:
        while size > 0:
            size -= file.write(bytes(min(size, 65536)))
    except OSError:
        pass


def run(dice, figures, directory):
    """Fills the disk of a cache, and of processes."""
    for number in range(3):
        for function, smallest, largest in (
            (_cached, 30_000, 400_000),
            (_in_processes, 100_000, 6_000_000),
            (_in_files, 100_000, 6_000_000),
        ):
            place = os.path.join(directory, f"{function.__name__}{number}")
            os.mkdir(place)
            figures.add(Child(function, place, dice.randrange(smallest, largest), dice).result())
