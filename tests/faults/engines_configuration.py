"""Calls on the executor that SOAK_ENGINE names, which are attempted again when a worker is lost."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import bandsaw
from bandsaw.advices.executor import ExecutorAdvice
from bandsaw.advices.retry import RetryAdvice

ENGINE = os.environ.get("SOAK_ENGINE", "spawn")


def executor():
    """Makes the executor."""
    if ENGINE == "loky":
        import loky

        return loky.ProcessPoolExecutor(2)
    if ENGINE == "dask":
        from distributed import Client

        return bandsaw.engines.DaskExecutor(
            Client(n_workers=2, threads_per_worker=1, dashboard_address=":0")
        )
    if ENGINE == "ray":
        return bandsaw.engines.RayExecutor(num_cpus=2, include_dashboard=False)
    if ENGINE == "slurm":
        return bandsaw.engines.SlurmExecutor(os.environ["SOAK_FOLDER"], poll=0.2)
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(ENGINE))


LOST = (
    bandsaw.errors.WorkerDiedError,
    bandsaw.errors.WorkerStartError,
    bandsaw.errors.RemoteConnectionError,
)
configuration = bandsaw.Configuration().add_advice_chain(
    RetryAdvice(attempts=20, on=LOST, wait_initial=0.1, wait_max=1.0),
    ExecutorAdvice(executor, workers=1, max_in_flight=200 if ENGINE == "slurm" else 50),
)
