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


def kills(directory, number=200, jobs=2, seed=0):
    """Kills processes that write entries, at random moments, and looks at what is there then."""
    share = -(-number // jobs)
    shares = [(os.path.join(directory, str(job)), share, seed + job) for job in range(jobs)]
    return in_processes(_kills, shares)


def _kills(directory, number, seed):
    dice = random.Random(seed)
    figures = dict.fromkeys(
        ("kills", "whole entries then", "absent ones", "temporary files then", "pruned"), 0
    )
    while figures["kills"] < number:
        # Alone, or two that get into each other's way and replace entries that are there.
        together = figures["kills"] % 3 == 1
        cache = Cache(os.path.join(directory, str(figures["kills"] % 4)), mmap=dice.random() < 0.3)
        writers = [_Writer(cache, kwargs) for kwargs in _WRITERS[together]]
        for writer in writers:
            writer.wait_for_begin()
        for writer in writers:
            time.sleep(dice.random() * _LONGEST_DELAY)
            writer.kill()
            figures["kills"] += 1
            # Some may be written right now, by the one that lives.
            for name, count in _present(cache).items():
                figures[name] += count
        figures["temporary files then"] += len(cache.temporary_files())
        with records("INFO") as told:
            for key in KEYS:
                assert same(cache.call(Task(VALUES.get), key), VALUES[key])
        strange = [text for text in told if not text.startswith("Served")]
        assert not strange, strange
        left = cache.temporary_files()
        assert together or not left, left
        for path in left:
            os.utime(path, (_OLD, _OLD))
        assert bounds.prune(cache.directory).files == len(left)
        assert not cache.temporary_files()
        figures["pruned"] += len(left)
    return figures


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
    figures = {"whole entries then": 0, "absent ones": 0}
    os.environ["BANDSAW_CACHE"] = "read-only"
    try:
        with records() as warnings:
            for key in KEYS:
                value = cache.call(Task(lambda _: ABSENT), key)
                is_absent = isinstance(value, str) and value == ABSENT
                assert is_absent or same(value, VALUES[key]), f"a wrong value for {key}"
                figures["absent ones" if is_absent else "whole entries then"] += 1
    finally:
        del os.environ["BANDSAW_CACHE"]
    assert not warnings, warnings
    return figures


def crowd(directory, operations=4000, vanish="deleted", processes=8, threads=4, keys=100, seed=0):
    """Many processes and threads ask for some keys while entries vanish.

    Args:
        directory: Where to work.
        operations: The number of calls in all.
        vanish: How entries vanish: `'deleted'` at random, `'bounded'` because there is room for
            half of them, or `'pruned'`, all at once and with their folder.
        processes: The number of processes.
        threads: The threads of each.
        keys: The number of keys.
        seed: Of the random numbers.

    Returns:
        The figures.
    """
    each = operations // (processes * threads)
    shares = [(directory, each, vanish, threads, keys, seed + n) for n in range(processes)]
    figures = in_processes(_crowd, shares)
    assert figures["calls"] == each * threads * processes
    if vanish == "bounded":
        there = sum(found.size for found in bounds.entries_in(directory))
        assert there <= keys * _BYTES_PER_KEY, there
    assert not Cache(directory).temporary_files()
    return figures


def _crowd(directory, each, vanish, threads, keys, seed):
    def value(key):
        return {"key": key, "data": key * 100}

    cache = Cache(directory, max_bytes=keys * _BYTES_PER_KEY if vanish == "bounded" else None)
    figures = {"calls": 0, "computations": 0, "deletions": 0}
    errors = []

    def work(number):
        dice = random.Random(1000 * seed + number)
        try:
            mine = dict.fromkeys(figures, 0)
            for _ in range(each):
                key = str(dice.randrange(keys))
                if vanish == "pruned" and dice.random() < 0.05:
                    mine["deletions"] += bounds.prune(directory, 1).entries
                if vanish == "deleted" and dice.random() < 0.2:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(cache.path(str(dice.randrange(keys))))
                        mine["deletions"] += 1
                task = Task(value)
                found = cache.call(task, key)
                assert found == value(key), f"a wrong value for {key}: {found}"
                mine["calls"] += 1
                mine["computations"] += task.executed
            with lock:
                for name, count in mine.items():
                    figures[name] += count
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
    assert vanish == "pruned" or not warnings, warnings[:3]
    # A folder may be removed twice while it is made.
    figures["warnings"] = len(warnings)
    return figures
