"""The tasks and the configuration of the benchmarks of connections, and nothing that costs time."""

import bandsaw
from bandsaw.advices.ssh import SshAdvice
from bandsaw.advices.subprocess import SubprocessAdvice

# Their remotes are added where the server is known.
own_advice, warm_advice = SshAdvice(), SshAdvice(workers=8)
configuration = (
    bandsaw.Configuration()
    .add_advice_chain(own_advice, name="own")
    .add_advice_chain(warm_advice, name="warm")
    .add_advice_chain(SubprocessAdvice(), name="local")
)


def task(chain):
    """Makes a task with that chain."""
    return bandsaw.task(config=__name__, chain=chain)


@task("own")
def own(value):
    """Returns what it gets, in a process of its own."""
    return value


@task("warm")
def warm(value):
    """Likewise, in a process that is reused."""
    return value


@task("local")
def local(value):
    """Likewise, in a process of its own on this machine."""
    return value
