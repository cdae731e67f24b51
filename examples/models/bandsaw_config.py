"""How the tasks of `workflow.py` are run. Where they run is one line of it."""

from pathlib import Path

import bandsaw
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.executor import ExecutorAdvice
from bandsaw.advices.subprocess import SubprocessAdvice
from bandsaw.engines import DaskExecutor, SlurmExecutor
from bandsaw.recording import Recorder

here = Path(__file__).parent

processes = SubprocessAdvice(workers=2)
dask = ExecutorAdvice(DaskExecutor("tcp://127.0.0.1:8786"), workers=1)
slurm = ExecutorAdvice(SlurmExecutor(here / "slurm", time=10))

where = processes  # or: dask, slurm

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(CachingAdvice(here / ".cache"), where)
    .add_extension(Recorder(here / "runs.sqlite"))
)
