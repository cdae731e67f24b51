"""The tasks and the configuration of the benchmarks of engines."""

import bandsaw
from bandsaw.advices.executor import ExecutorAdvice

# What `engines` has made, by name. Another process of a call makes none.
made = {}
NAMES = ("pool", "dask", "ray", "slurm")
configuration = bandsaw.Configuration()
for name in NAMES:
    for chain, workers in ((name, 1), (f"{name} own", None)):
        advice = ExecutorAdvice(lambda name=name: made[name], workers=workers, max_in_flight=200)
        configuration.add_advice_chain(advice, name=chain)


def plain(value):
    """Returns what it gets."""
    return value


def first(data):
    """Returns the first element."""
    return int(data[0])


def ones(size):
    """Returns so many bytes."""
    import numpy

    return numpy.ones(size, dtype=numpy.uint8)


tasks = {
    chain: bandsaw.task(config=__name__, chain=chain)(plain)
    for name in NAMES
    for chain in (name, f"{name} own")
}
tasks.update(
    {
        f"{name} {function.__name__}": bandsaw.task(config=__name__, chain=name)(function)
        for name in NAMES
        for function in (first, ones)
    }
)
