"""The tasks and the configuration of the benchmarks of processes, and nothing that costs time."""

import bandsaw
from bandsaw.advices.subprocess import SubprocessAdvice

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(SubprocessAdvice(), name="own")
    .add_advice_chain(SubprocessAdvice(preload=["numpy"]), name="preloaded")
    .add_advice_chain(SubprocessAdvice(fork=False), name="spawned")
    .add_advice_chain(SubprocessAdvice(workers=1), name="warm")
    .add_advice_chain(SubprocessAdvice(workers=2), name="two")
)


def task(chain):
    """Makes a task with that chain."""
    return bandsaw.task(config=__name__, chain=chain)


@task("own")
def own(value):
    """Returns what it gets, in a process of its own."""
    return value


@task("preloaded")
def preloaded(value):
    """Likewise, and needs NumPy."""
    import numpy

    return numpy.abs(value)


@task("spawned")
def spawned(value):
    """Likewise, where a process cannot be forked."""
    return value


@task("warm")
def warm(value):
    """Likewise, in a process that is reused."""
    return value


@task("warm")
def take(array):
    """Takes a large argument."""
    return array.nbytes


@task("warm")
def make(size):
    """Gives a large result."""
    import numpy

    return numpy.ones(size // 8)


@task("warm")
def echo_size(data):
    """Says how large an argument is."""
    return len(data)


@task("own")
def own_size(data):
    """Likewise, in a process of its own."""
    return len(data)


@task("preloaded")
def preloaded_size(data):
    """Likewise, where NumPy is there already."""
    return len(data)


@task("two")
def warm_pool(value):
    """Returns what it gets, in one of two processes that are reused."""
    return value


@task("warm")
def read(array):
    """Reads all of a large argument, and says what memory that took."""
    from .measure import resident

    before = resident()
    array.sum()
    return resident() - before


def plain(value):
    """Returns what it gets."""
    return value


def size_of(array):
    """Takes a large argument."""
    return array.nbytes


def ones(size):
    """Gives a large result."""
    import numpy

    return numpy.ones(size // 8)
