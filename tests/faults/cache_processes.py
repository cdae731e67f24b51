"""Many processes at one cache: some are killed in the middle, and entries vanish."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time

import numpy

from bandsaw._cache import bounds

from .cache_calls import Cache, Child, Task, in_processes, records, same
from .figures import Fault, Figures

KEYS = [str(number) for number in range(6)]
_LONGEST_DELAY = 0.015
_OLD = 1000
# What an entry of a crowd has is about twice as much.
_BYTES_PER_KEY = 250


def value_of(key):
    """A value by its key: every third is of some megabytes, with or without buffers."""
    number = int(key)
    if number % 3:
        return {"key": number, "some": list(range(50)), "array": numpy.arange(number)}
    if number % 2:
        return numpy.arange(250_000.0) + number
    return (key.encode() * 1_500_000, [number])


VALUES = {key: value_of(key) for key in KEYS}
ABSENT = "absent"


def kills(dice, figures, directory, number=24):
    """Kills processes that write entries, at random moments, and looks at what is there then.

    Args:
        dice: The randomness.
        figures: Where to count.
        directory: Where to work.
        number: How many to kill.
    """
    killed = 0
    while killed < number:
        # Alone, or two that get into each other's way and replace entries that are there.
        together = killed % 3 == 1
        cache = Cache(os.path.join(directory, str(killed % 4)), mmap=dice.random() < 0.3)
        writers = [_Writer(cache, kwargs) for kwargs in _WRITERS[together]]
        for writer in writers:
            writer.wait_for_begin()
        for writer in writers:
            time.sleep(dice.random() * _LONGEST_DELAY)
            writer.kill()
            killed += 1
            figures.inject("SIGKILL of a writer")
            # Some may be written right now, by the one that lives.
            figures.calls += _present(cache)
        with records("INFO") as told:
            for key in KEYS:
                assert same(cache.call(Task(VALUES.get), key), VALUES[key])
        figures.calls += len(KEYS)
        strange = [text for text in told if not text.startswith("Served")]
        assert not strange, strange
        left = cache.temporary_files()
        if left and not together:
            raise Fault("left", str(left))
        for path in left:
            os.utime(path, (_OLD, _OLD))
        assert bounds.prune(cache.directory).files == len(left)
        assert not cache.temporary_files()


_WRITERS = {
    False: [{}],
    True: [{}, {"cache": {"refresh": True}}],
}


class _Writer:
    """A process that writes entries until it is killed."""

    def __init__(self, cache, kwargs):
        self._begun, begin = os.pipe()
        self._child = Child(self._write, cache, kwargs, begin)
        os.close(begin)

    @staticmethod
    def _write(cache, kwargs, begin):
        order = KEYS[os.getpid() % len(KEYS) :] + KEYS[: os.getpid() % len(KEYS)]
        os.write(begin, b"!")
        while True:
            for key in order:
                if not kwargs:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(cache.path(key))
                cache.call(Task(VALUES.get, **kwargs), key)

    def wait_for_begin(self):
        os.read(self._begun, 1)
        os.close(self._begun)

    def kill(self):
        self._child.kill()


def _present(cache):
    os.environ["BANDSAW_CACHE"] = "read-only"
    try:
        with records() as warnings:
            for key in KEYS:
                value = cache.call(Task(lambda _: ABSENT), key)
                is_absent = isinstance(value, str) and value == ABSENT
                assert is_absent or same(value, VALUES[key]), f"a wrong value for {key}"
    finally:
        del os.environ["BANDSAW_CACHE"]
    assert not warnings, warnings
    return len(KEYS)


def crowds(dice, figures, directory):
    """Lets entries vanish in all the ways that there are."""
    for vanish in VANISH:
        crowd(dice, figures, os.path.join(directory, vanish), vanish)


# At random; because there is room for half of them; all at once and with their folder.
VANISH = ("deleted", "evicted", "pruned")


def crowd(dice, figures, directory, vanish, each=25, processes=8, threads=4, keys=100):
    """Many processes and threads ask for some keys while entries vanish.

    Args:
        dice: The randomness.
        figures: Where to count.
        directory: Where to work.
        vanish: How entries vanish, of `VANISH`.
        each: How many calls each thread makes.
        processes: The number of processes.
        threads: The threads of each.
        keys: The number of keys.
    """
    shares = [
        (directory, each, vanish, threads, keys, dice.getrandbits(32)) for _ in range(processes)
    ]
    in_processes(_crowd, shares, figures)
    if vanish == "evicted":
        there = sum(found.size for found in bounds.entries_in(directory))
        assert there <= keys * _BYTES_PER_KEY, there
    if Cache(directory).temporary_files():
        raise Fault("left", str(Cache(directory).temporary_files()))


def _crowd(directory, each, vanish, threads, keys, seed):
    def value(key):
        return {"key": key, "data": key * 100}

    cache = Cache(directory, max_bytes=keys * _BYTES_PER_KEY if vanish == "evicted" else None)
    figures, errors = Figures(), []

    def work(number):
        dice = random.Random(1000 * seed + number)
        try:
            vanished = 0
            for _ in range(each):
                key = str(dice.randrange(keys))
                if vanish == "pruned" and dice.random() < 0.05:
                    vanished += bounds.prune(directory, 1).entries
                if vanish == "deleted" and dice.random() < 0.2:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(cache.path(str(dice.randrange(keys))))
                        vanished += 1
                task = Task(value)
                found = cache.call(task, key)
                assert found == value(key), f"a wrong value for {key}: {found}"
                # To make room for it, another one went.
                vanished += task.executed if vanish == "evicted" else 0
            with lock:
                figures.calls += each
                figures.inject(f"entries {vanish}", vanished)
        except BaseException as error:
            errors.append(error)

    lock = threading.Lock()
    with records() as warnings:
        workers = [threading.Thread(target=work, args=(number,)) for number in range(threads)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    assert not errors, errors
    # A folder may be removed twice while it is made.
    assert vanish == "pruned" or not warnings, warnings[:3]
    return figures
