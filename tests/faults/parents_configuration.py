"""The configuration of workflows that are killed: a cache, and processes behind it."""

import os

import bandsaw
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.subprocess import SubprocessAdvice

# Where a task runs there is none: nobody asks for its directory there.
cache = CachingAdvice(os.environ.get("BANDSAW_FAULTS_CACHE", "cache"))
configuration = (
    bandsaw.Configuration()
    .add_advice_chain(cache, name="plain")
    .add_advice_chain(cache, SubprocessAdvice(), name="own")
    .add_advice_chain(cache, SubprocessAdvice(fork=False), name="spawn")
    .add_advice_chain(cache, SubprocessAdvice(workers=1), name="warm")
)
