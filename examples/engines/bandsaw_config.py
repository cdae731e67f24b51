"""Where the tasks of `workflow.py` run: as ENGINE says, by default in processes here."""

import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import bandsaw
from bandsaw.advices.executor import ExecutorAdvice
from bandsaw.advices.retry import RetryAdvice
from bandsaw.engines import DaskExecutor, RayExecutor, SlurmExecutor


def dask():
    """Connects to the scheduler of a cluster, or starts workers on this machine."""
    if "DASK_SCHEDULER" in os.environ:
        return DaskExecutor(os.environ["DASK_SCHEDULER"])
    from distributed import Client

    return DaskExecutor(Client(n_workers=2, threads_per_worker=1, dashboard_address=":0"))


ENGINES = {
    "processes": lambda: ProcessPoolExecutor(2),
    "dask": dask,
    "ray": lambda: RayExecutor(),
    # In a folder that all machines of the cluster see.
    "slurm": lambda: SlurmExecutor(Path.home() / ".bandsaw-slurm", time=10),
}
executor = ExecutorAdvice(ENGINES[os.environ.get("ENGINE", "processes")], max_in_flight=32)

configuration = (
    bandsaw.Configuration()
    # When a worker is lost, its calls are run again.
    .add_advice_chain(RetryAdvice(attempts=3, on=bandsaw.errors.WorkerDiedError), executor)
)
