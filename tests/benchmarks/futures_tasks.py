"""The tasks and the configuration of the benchmarks of many calls at once."""

import bandsaw
from bandsaw.advices.subprocess import SubprocessAdvice

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(SubprocessAdvice(workers=2))
    .add_advice_chain(SubprocessAdvice(), name="own")
    .add_advice_chain(name="here")
)


def plain(value):
    """Returns what it gets."""
    return value


def add(one, other):
    """Adds two numbers."""
    return one + other


kept, own, here = (
    bandsaw.task(config=__name__, chain=chain)(plain) for chain in ("default", "own", "here")
)
added = bandsaw.task(config=__name__)(add)
added_here = bandsaw.task(config=__name__, chain="here")(add)
