"""Writing and reading values, against Python's own `json` and `pickle` on the same data."""

import dataclasses
import functools
import io
import json
import pickle
import tempfile

import bandsaw
from bandsaw.execution import Execution
from bandsaw.session import Session
from bandsaw.tasks import Task

from . import configuration
from .measure import peak

TITLE = "Serializers"

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
        pass
    else:
        shapes["an array of 24 MB"] = numpy.ones(3_000_000)
        shapes["10,000 small arrays"] = [numpy.ones(3) for _ in range(10_000)]
    return shapes


def compare(bench, title, value, serializer, dumps, loads):
    """Measures one shape both ways."""
    own = io.BytesIO()
    serializer.serialize(value, own)
    text = dumps(value)
    bench.compare(
        f"{title}, written",
        floors={"Python's own": lambda: io.BytesIO().write(dumps(value))},
        ours={"bandsaw": lambda: serializer.serialize(value, io.BytesIO())},
    )
    bench.compare(
        f"{title}, read",
        floors={"Python's own": lambda: loads(text)},
        ours={"bandsaw": lambda: serializer.deserialize(io.BytesIO(own.getvalue()))},
    )


def memory(bench):
    """Measures what a session with a large array needs beside the array itself."""
    try:
        import numpy
    except ImportError:
        return
    array = numpy.ones(LARGE // 8)
    own = configuration.configuration
    for title, key in (("a session", None), ("a signed session", b"0123456789abcdef")):
        before, own.serializer = own.serializer, bandsaw.PickleSerializer(key=key)
        session = Session(Task.create_task(plain_shapes), Execution("e", (array,)), own)
        with tempfile.TemporaryFile() as file:
            session.save(file)
            peaks = {
                "save": peak(lambda session=session, file=file: session.save(file)),
                "restore": peak(lambda file=file: Session().restore(file)),
            }
        own.serializer = before
        if None not in peaks.values():
            bench.memory(f"Memory for {title} with an array of 100 MB", peaks)


def main(bench):
    """Measures everything."""
    dumps = functools.partial(json.dumps, ensure_ascii=False, separators=(",", ":"))
    for name, value in plain_shapes().items():
        compare(bench, f"JSON, {name}", value, bandsaw.JsonSerializer(),
                lambda value: dumps(value).encode(), json.loads)  # fmt: skip
    for name, value in pickled_shapes().items():
        compare(bench, f"Pickle, {name}", value, bandsaw.PickleSerializer(),
                functools.partial(pickle.dumps, protocol=5), pickle.loads)  # fmt: skip
    memory(bench)
