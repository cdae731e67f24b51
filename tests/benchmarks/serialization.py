"""Writing and reading values, against Python's own `json` and `pickle` on the same data."""

import dataclasses
import functools
import io
import json
import pickle
import tempfile
import tracemalloc

import bandsaw
from bandsaw.execution import Execution
from bandsaw.session import Session
from bandsaw.tasks import Task

from . import configuration
from .measure import table

LARGE = 100_000_000


@dataclasses.dataclass
class Small:
    """One of many small objects."""

    number: int
    text: str = "text"


def plain_shapes():
    """Returns plain data of several shapes."""
    return {
        "100,000 dicts of one key": [{"a": number} for number in range(100_000)],
        "20,000 records": [
            {"id": n, "name": f"name {n}", "tags": ["a", "b"], "at": {"x": n / 7, "y": None}}
            for n in range(20_000)
        ],
        "200,000 floats": [number / 7 for number in range(200_000)],
        "200,000 strings": [f"text {number}" for number in range(200_000)],
        "a dict of 100,000 keys": {f"key {number}": number for number in range(100_000)},
        "100,000 pairs": [[number, number + 1] for number in range(100_000)],
        "a small dict": {"a": [1, 2, 3], "b": {"c": "text"}},
    }


def pickled_shapes():
    """Returns data that pickle writes, of several shapes."""
    shapes = plain_shapes()
    shapes["50,000 small objects"] = [Small(number) for number in range(50_000)]
    shapes["100,000 tuples"] = [(number, str(number)) for number in range(100_000)]
    try:
        import numpy
    except ImportError:
        print("numpy is not installed")
    else:
        shapes["an array of 24 MB"] = numpy.ones(3_000_000)
        shapes["10,000 small arrays"] = [numpy.ones(3) for _ in range(10_000)]
    return shapes


def compare(title, value, serializer, dumps, loads, most):
    """Measures one shape both ways."""
    own = io.BytesIO()
    serializer.serialize(value, own)
    text = dumps(value)
    calls = {
        "write": lambda: serializer.serialize(value, io.BytesIO()),
        "Python's write": lambda: io.BytesIO().write(dumps(value)),
        "read": lambda: serializer.deserialize(io.BytesIO(own.getvalue())),
        "Python's read": lambda: loads(text),
    }
    goals = [(name, f"Python's {name}", f"at most {most}") for name in ("write", "read")]
    small = len(text) < 1000
    rounds, number = (40, 500) if small else (11, 1)
    table(title, calls, [], rounds=rounds, number=number, goals=goals)


def memory():
    """Prints what a session with a large array costs beside the array itself."""
    try:
        import numpy
    except ImportError:
        return
    array = numpy.ones(LARGE // 8)
    for title, key in (("a session", None), ("a signed session", b"0123456789abcdef")):
        own = configuration.configuration
        before, own.serializer = own.serializer, bandsaw.PickleSerializer(key=key)
        task = Task.create_task(plain_shapes)
        session = Session(task, Execution("e", (array,)), own)
        with tempfile.TemporaryFile() as file:
            peaks = []
            for step in (session.save, Session().restore):
                tracemalloc.start()
                step(file)
                peaks.append(tracemalloc.get_traced_memory()[1] / 1e6)
                tracemalloc.stop()
        own.serializer = before
        print(f"\nThe peak memory of {title} with an array of 100 MB")
        print(f"  save {peaks[0]:.1f} MB, restore {peaks[1]:.1f} MB")


def main():
    """Measures everything."""
    dumps = functools.partial(json.dumps, ensure_ascii=False, separators=(",", ":"))
    for name, value in plain_shapes().items():
        compare(f"JSON, {name}", value, bandsaw.JsonSerializer(),
                lambda value: dumps(value).encode(), json.loads, 3)  # fmt: skip
    for name, value in pickled_shapes().items():
        compare(f"pickle, {name}", value, bandsaw.PickleSerializer(),
                functools.partial(pickle.dumps, protocol=5), pickle.loads, 1.2)  # fmt: skip
    memory()
