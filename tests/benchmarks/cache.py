"""Hits and misses of the cache, against what the file system costs and against its peers."""

import functools
import hashlib
import itertools
import os
import pickle
import time

import bandsaw

from . import calls
from .configuration import folder
from .measure import peak, shared

TITLE = "The cache"

CONFIG = f"{__package__}.configuration"
LARGE = 100_000_000
_places = itertools.count()
ENTRIES = (1, 10, 100, 1_000, 10_000, 100_000)


def plain(a, b=2, c="x"):
    """A small task: what it returns is a small value."""
    return {"a": a, "b": [b, 1.5], "c": c}


def large(number):
    """A task with a large result."""
    import numpy

    return numpy.full(LARGE // 8, float(number))


def size_of(data):
    """A task with an argument of any size."""
    return len(data)


def total(array):
    """A task with a large argument."""
    return float(array[0])


def peers(bench, function, **options):
    """Caches of others for a function, as far as they are installed, each in a new folder."""
    found = {}
    place = folder / f"peers-{next(_places)}"
    try:
        import joblib
    except ImportError:
        bench.skip("joblib.Memory: joblib is not installed")
    else:
        memory = joblib.Memory(place / "joblib", verbose=0, **options)
        found["joblib.Memory"] = memory.cache(function)
    if not options:
        try:
            import diskcache
        except ImportError:
            bench.skip("diskcache is not installed")
        else:
            cache = diskcache.Cache(str(place / "diskcache"), size_limit=2**40)
            found["diskcache"] = cache.memoize()(function)
    return found


def called(functions, *arguments):
    """Returns calls of functions with these arguments."""
    return {name: functools.partial(function, *arguments) for name, function in functions.items()}


def main(bench):
    """Measures everything."""
    numbers = itertools.count(10)
    small(bench, numbers)
    growth(bench, numbers)
    try:
        import numpy
    except ImportError:
        bench.skip("caches of arrays: numpy is not installed")
        return
    array = numpy.random.default_rng(0).random(LARGE // 8)
    task = bandsaw.task(config=CONFIG)(total)
    bench.compare(
        "A hit with an argument of 100 MB",
        ours={"hit": lambda: task(array)},
        peers=called(peers(bench, total), array),
    )
    tasks = {"hit": bandsaw.task(config=CONFIG)(large)}
    bench.compare(
        "A hit with a result of 100 MB",
        ours=called(tasks, 1),
        peers=called(peers(bench, large), 1),
    )
    missed = {name: (lambda f=f: f(next(numbers))) for name, f in peers(bench, large).items()}
    bench.compare(
        "A miss with a result of 100 MB",
        ours={"miss": lambda: tasks["hit"](next(numbers))},
        peers=missed,
    )
    mapped = {"hit, mapped": bandsaw.task(config=CONFIG, chain="mapped")(large)}
    others = called(peers(bench, large, mmap_mode="r"), 1)
    for call in (*called(mapped, 1).values(), *others.values()):
        call()
    # From two seconds after it was written on, a file's times tell whether it has changed.
    time.sleep(2.5)
    bench.compare(
        "A hit with a result of 100 MB, mapped", ours=called(mapped, 1), peers=others
    )  # fmt: skip
    peaks = {
        "hit, argument": peak(lambda: task(array)),
        "hit, result": peak(lambda: tasks["hit"](1)),
        "hit, mapped result": peak(lambda: mapped["hit, mapped"](1)),
        "miss, result": peak(lambda: tasks["hit"](next(numbers))),
    }
    if None not in peaks.values():
        bench.memory("Memory for a cached call with 100 MB", peaks)


def small(bench, numbers):
    """Measures hits and misses of a small task."""
    tasks = {
        "hit": bandsaw.task(config=CONFIG)(plain),
        "hit, bounded": bandsaw.task(config=CONFIG, chain="bounded")(plain),
        "hit, mapped": bandsaw.task(config=CONFIG, chain="mapped")(plain),
    }
    file = folder / "floor"
    file.write_bytes(pickle.dumps(bandsaw.Result(plain(1)), protocol=5))

    def read_and_unpickle():
        with open(file, "rb") as stream:
            return pickle.loads(stream.read())

    others = peers(bench, plain)
    bench.compare(
        "A small hit",
        floors={"open + read + unpickle": read_and_unpickle},
        ours=called(tasks, 1),
        peers=called(others, 1),
    )
    (folder / "atomic").mkdir()

    def write_atomically():
        number = next(numbers)
        path = folder / "atomic" / str(number)
        with open(f"{path}.tmp", "wb") as stream:
            stream.write(pickle.dumps(bandsaw.Result(plain(number)), protocol=5))
        os.replace(f"{path}.tmp", path)

    def misses(functions):
        return {
            name.replace("hit", "miss"): (lambda f=f: f(next(numbers)))
            for name, f in functions.items()
        }

    bench.compare(
        "A small miss",
        floors={"atomic write": write_atomically},
        ours=misses(tasks),
        peers=misses(others),
    )


def growth(bench, numbers):
    """Measures hits and misses with more entries, larger arguments, and more threads."""
    growing = bandsaw.task(config=CONFIG, chain="growing")(plain)
    others = peers(bench, plain)
    made = itertools.count()

    def filled(count):
        # It would take them minutes to make more.
        are_measured = count <= 10_000
        while (number := next(made)) < count:
            for function in (growing, *(others.values() if are_measured else ())):
                function(-number)
        return {
            "ours": {"hit": lambda: growing(0), "miss": lambda: growing(next(numbers))},
            "peers": called(others, 0) if are_measured else {},
        }

    bench.series("Entries in a cache", ENTRIES, filled)
    sized = bandsaw.task(config=CONFIG)(size_of)
    others_sized = peers(bench, size_of)

    def argument(size):
        data = os.urandom(size)
        return {
            "floors": {"SHA-256": lambda: hashlib.sha256(data).digest()},
            "ours": {"hit": lambda: sized(data)},
            # They pickle it, and would take minutes for the largest.
            "peers": called(others_sized, data) if size < 10**9 else {},
        }

    bench.series("Bytes of an argument, a hit", calls.SIZES, argument)
    hit = bandsaw.task(config=CONFIG)(plain)

    bench.series(
        "Threads that share 400 hits",
        calls.THREADS,
        lambda count: {
            "ours": {"hit": shared(hit, count, 400)},
            "peers": {name: shared(other, count, 400) for name, other in others.items()},
        },
    )
