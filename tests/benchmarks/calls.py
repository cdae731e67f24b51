"""Calls in this process, against a decorator that only passes on."""

import functools
import sys
import tempfile
import time
import types
from pathlib import Path

import bandsaw
from bandsaw._recording import writing
from bandsaw.recording import Recorder

from .measure import shared

TITLE = "Calls in this process"

ADVICES = (0, 1, 2, 5, 10, 20, 50)
SIZES = (1_000, 100_000, 10_000_000, 1_000_000_000)
THREADS = (1, 2, 4, 8)


class Proceeding(bandsaw.Advice):
    """An advice that only proceeds."""

    def before(self, session):
        """Goes on."""
        session.proceed()

    def after(self, session):
        """Goes back."""
        session.proceed()


def function(value):
    """A task that does nothing."""
    return value


def passed_through():
    """Returns the function in a decorator that only passes on."""

    @functools.wraps(function)
    def through(*args, **kwargs):
        return function(*args, **kwargs)

    return through


def main(bench):
    """Measures everything."""
    # A module that exists only here: nothing is imported from it anywhere else.
    module = types.ModuleType("benchmark_of_calls")
    module.configuration = bandsaw.Configuration()
    sys.modules[module.__name__] = module
    for count in ADVICES:
        module.configuration.add_advice_chain(*[Proceeding()] * count, name=str(count))

    def task(count):
        return bandsaw.task(config=module.__name__, chain=str(count))(function)

    through, empty, one = passed_through(), task(0), task(1)
    bench.compare(
        "A call in this process",
        floors={
            "plain call": lambda: function(1),
            "functools.wraps": lambda: through(1),
        },
        ours={"empty chain": lambda: empty(1), "one advice": lambda: one(1)},
    )
    with tempfile.TemporaryDirectory() as folder:
        tasks = {}
        for name, extension in {
            "an extension that does nothing": bandsaw.Extension(),
            "a recorder": Recorder(Path(folder, "calls.sqlite")),
        }.items():
            extended = types.ModuleType("benchmark_of_" + name.replace(" ", "_"))
            extended.configuration = bandsaw.Configuration().add_advice_chain()
            extended.configuration.add_extension(extension)
            sys.modules[extended.__name__] = extended
            tasks[name] = functools.partial(bandsaw.task(config=extended.__name__)(function), 1)
        bench.compare(
            "A call that is recorded",
            floors={"functools.wraps": lambda: through(1)},
            ours=tasks,
            clock=time.thread_time,
        )
        writing.flush_at_end()
    bench.series(
        "Advices of a chain",
        ADVICES,
        lambda count: {
            "floors": {"functools.wraps": lambda: through(1)},
            "ours": {"bandsaw": functools.partial(task(count), 1)},
        },
    )

    def sized(size):
        data = bytes(size)
        return {
            "floors": {"functools.wraps": lambda: through(data)},
            "ours": {"empty chain": lambda: empty(data), "one advice": lambda: one(data)},
        }

    bench.series("Bytes of an argument, in this process", SIZES, sized)

    bench.series(
        "Threads that share 2,000 calls in this process",
        THREADS,
        lambda count: {
            "floors": {"functools.wraps": shared(through, count, 2000)},
            "ours": {"one advice": shared(one, count, 2000)},
        },
    )
