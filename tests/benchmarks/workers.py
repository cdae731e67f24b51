"""Calls in other processes, against the start of Python and against ProcessPoolExecutor."""

import concurrent.futures
import subprocess
import sys

from . import workers_tasks as tasks
from .measure import table

LARGE = 100_000_000


def main():
    """Measures calls without data, and with 100 MB."""
    if sys.prefix == sys.base_prefix:
        print("not a virtual environment: its start may be slow, and results look too good")

    def start_python():
        subprocess.run([sys.executable, "-c", "pass"], check=True)

    with concurrent.futures.ProcessPoolExecutor(1) as pool:
        table(
            "A call that does nothing",
            {
                "python -c pass": start_python,
                "own process": lambda: tasks.own(1),
                "own process, NumPy preloaded": lambda: tasks.preloaded(1),
                "spawned process": lambda: tasks.spawned(1),
            },
            ["python -c pass"],
            rounds=30,
            number=3,
            goals=[
                ("own process", "python -c pass", "0.35"),
                ("own process, NumPy preloaded", "python -c pass", "0.35"),
                ("spawned process", "python -c pass", "2.2"),
            ],
        )
        table(
            "A call in a process that is reused",
            {
                "ProcessPoolExecutor": lambda: pool.submit(tasks.plain, 1).result(),
                "warm process": lambda: tasks.warm(1),
            },
            ["ProcessPoolExecutor"],
            goals=[("warm process", "ProcessPoolExecutor", "0.5")],
        )
        bulk(pool)


def bulk(pool):
    """Measures calls with an array of 100 MB."""
    import numpy

    array = numpy.random.default_rng(1).random(LARGE // 8)
    before = tasks.resident()
    tasks.take(array)
    grown = (tasks.resident() - before) / 1e6
    table(
        "100 MB to a process that is reused, and back",
        {
            "ProcessPoolExecutor, there": lambda: pool.submit(tasks.size_of, array).result(),
            "there": lambda: tasks.take(array),
            "ProcessPoolExecutor, back": lambda: pool.submit(tasks.ones, LARGE).result(),
            "back": lambda: tasks.make(LARGE),
        },
        [],
        rounds=7,
        number=1,
        goals=[
            ("there", "ProcessPoolExecutor, there", "0.25"),
            ("back", "ProcessPoolExecutor, back", "0.2"),
        ],
    )
    print(f"  the sender's memory grows by {grown:.1f} MB")
    print(f"  the receiver's by {tasks.read(array) / 1e6:.1f} MB when all of it is read")
