"""How the tasks of `workflow.py` are run."""

from pathlib import Path

import bandsaw

cache = bandsaw.advices.cache.CachingAdvice(Path(__file__).parent / ".cache")
subprocess = bandsaw.advices.subprocess.SubprocessAdvice()

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(cache, subprocess)  # the chain 'default'
    .add_advice_chain(subprocess, name="uncached")
)
