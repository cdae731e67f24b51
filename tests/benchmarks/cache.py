"""Hits and misses of the cache, against what the file system costs and against its peers."""

import itertools
import os
import pickle
import time

import bandsaw

from .configuration import folder
from .measure import table

CONFIG = f"{__package__}.configuration"
LARGE = 100_000_000


def plain(a, b=2, c="x"):
    """A small task: what it returns is a small value."""
    return {"a": a, "b": [b, 1.5], "c": c}


def large(number):
    """A task with a large result."""
    import numpy

    return numpy.full(LARGE // 8, float(number))


def total(array):
    """A task with a large argument."""
    return float(array[0])


def peers(function, **options):
    """Caches of others for a function, as far as they are installed."""
    found = {}
    try:
        import joblib
    except ImportError:
        print("joblib is not installed")
    else:
        memory = joblib.Memory(folder / "joblib", verbose=0, **options)
        found["joblib.Memory"] = memory.cache(function)
    if not options:
        try:
            import diskcache
        except ImportError:
            print("diskcache is not installed")
        else:
            found["diskcache"] = diskcache.Cache(str(folder / "diskcache")).memoize()(function)
    return found


def main():
    """Measures everything."""
    tasks = {
        "hit": bandsaw.task(config=CONFIG)(plain),
        "hit, bounded": bandsaw.task(config=CONFIG, chain="bounded")(plain),
        "hit, mapped": bandsaw.task(config=CONFIG, chain="mapped")(plain),
    }
    payload = pickle.dumps(bandsaw.Result(plain(1)), protocol=5)
    file = folder / "floor"
    file.write_bytes(payload)

    def read_and_unpickle():
        with open(file, "rb") as stream:
            return pickle.loads(stream.read())

    calls = {"open + read + unpickle": read_and_unpickle}
    functions = {**tasks, **peers(plain)}
    calls.update({name: (lambda f=f: f(1)) for name, f in functions.items()})
    goals = [
        ("hit", "open + read + unpickle", "at most 2.5"),
        ("joblib.Memory", "hit", "at least 5"),
    ]
    table("A small hit", calls, ["open + read + unpickle", "hit"], goals=goals)

    numbers = itertools.count(10)
    (folder / "atomic").mkdir()

    def write_atomically():
        number = next(numbers)
        path = folder / "atomic" / str(number)
        with open(f"{path}.tmp", "wb") as stream:
            stream.write(pickle.dumps(bandsaw.Result(plain(number)), protocol=5))
        os.replace(f"{path}.tmp", path)

    calls = {"atomic write": write_atomically}
    calls.update(
        {
            name.replace("hit", "miss"): (lambda f=f: f(next(numbers)))
            for name, f in functions.items()
        }
    )
    goals = [("miss", "atomic write", "at most 2")]
    table("A small miss", calls, ["atomic write", "miss"], rounds=40, number=50, goals=goals)

    try:
        import numpy
    except ImportError:
        print("numpy is not installed")
        return
    array = numpy.random.default_rng(0).random(LARGE // 8)
    functions = {"hit": bandsaw.task(config=CONFIG)(total), **peers(total)}
    calls = {name: (lambda f=f: f(array)) for name, f in functions.items()}
    goals = [("joblib.Memory", "hit", "at least 2.2")]
    table("A hit with an argument of 100 MB", calls, ["hit"], rounds=7, number=1, goals=goals)

    task = bandsaw.task(config=CONFIG, chain="mapped")(large)
    calls = {"hit, mapped": lambda: task(1)}
    calls.update({f"{n}, mmap_mode='r'": (lambda f=f: f(1)) for n, f in
                  peers(large, mmap_mode="r").items()})  # fmt: skip
    for call in calls.values():
        call()
    # From two seconds after it was written on, a file's times tell whether it has changed.
    time.sleep(2.5)
    goals = [("joblib.Memory, mmap_mode='r'", "hit, mapped", "at least 3")]
    table("A mapped result of 100 MB", calls, ["hit, mapped"], rounds=30, number=10, goals=goals)
    task = bandsaw.task(config=CONFIG)(large)
    calls = {"hit": lambda: task(1), **{n: (lambda f=f: f(1)) for n, f in peers(large).items()}}
    table("A result of 100 MB", calls, ["hit"], rounds=5, number=1)
