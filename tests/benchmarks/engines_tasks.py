"""The tasks and the configuration of the benchmarks of engines."""

import bandsaw
from bandsaw.advices.executor import ExecutorAdvice
from bandsaw.advices.subprocess import SubprocessAdvice

# What `engines` has made, by name. Another process of a call makes none.
made = {}
NAMES = ("pool", "dask", "ray", "slurm")
configuration = bandsaw.Configuration()
for name in NAMES:
    for chain, workers in ((name, 1), (f"{name} own", None)):
        advice = ExecutorAdvice(lambda name=name: made[name], workers=workers, max_in_flight=200)
        configuration.add_advice_chain(advice, name=chain)
configuration.add_advice_chain(SubprocessAdvice(), name="here")


def plain(value):
    """Returns what it gets."""
    return value


def several(values):
    """Returns what it gets, for several calls at once."""
    return [plain(value) for value in values]


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
tasks["here"] = bandsaw.task(config=__name__, chain="here")(plain)
tasks.update(
    {
        f"{name} {function.__name__}": bandsaw.task(config=__name__, chain=name)(function)
        for name in NAMES
        for function in (first, ones)
    }
)
