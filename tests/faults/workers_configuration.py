"""The configuration of the harnesses for workers."""

import bandsaw
from bandsaw.advices.subprocess import SubprocessAdvice

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(SubprocessAdvice(), name="own")
    .add_advice_chain(SubprocessAdvice(fork=False), name="spawn")
    .add_advice_chain(SubprocessAdvice(workers=1), name="warm")
)
