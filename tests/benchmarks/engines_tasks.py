"""The tasks and the configuration of the benchmarks of engines."""

import time

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
# Chains of calls that wait for a pool: how many processes are kept, and how many calls it is given.
MANY_WAIT = 2000
WAITING = {
    "in its queue, kept process": (1, MANY_WAIT),
    "in its queue, own process": (None, MANY_WAIT),
    "on this side": (1, 1),
}
for name, (workers, at_once) in WAITING.items():
    advice = ExecutorAdvice(lambda: made["pool"], workers=workers, max_in_flight=at_once)
    configuration.add_advice_chain(advice, name=f"waiting {name}")


def plain(value):
    """Returns what it gets."""
    return value


def sleep(seconds):
    """Sleeps."""
    time.sleep(seconds)


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
tasks.update(
    {name: bandsaw.task(config=__name__, chain=f"waiting {name}")(sleep) for name in WAITING}
)
tasks["here"] = bandsaw.task(config=__name__, chain="here")(plain)
tasks.update(
    {
        f"{name} {function.__name__}": bandsaw.task(config=__name__, chain=name)(function)
        for name in NAMES
        for function in (first, ones)
    }
)
