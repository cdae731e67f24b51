"""The configuration of the campaigns on executors: one executor for each chain, or for all."""

import functools
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor

import bandsaw
from bandsaw.advices.executor import ExecutorAdvice, _made

ENGINE = os.environ.get("FAULTS_ENGINE", "pool")
WORKERS = 2


@functools.lru_cache(None)
def engine():
    """Makes the executor of an engine that is started once."""
    if ENGINE == "dask":
        from distributed import Client

        return bandsaw.engines.DaskExecutor(
            Client(n_workers=WORKERS, threads_per_worker=1, dashboard_address=":0")
        )
    return bandsaw.engines.RayExecutor(
        num_cpus=WORKERS, include_dashboard=False, _temp_dir=os.path.join(os.environ["TMPDIR"], "r")
    )


def executor():
    """Makes an executor. A pool that has lost a worker is broken, and replaced by another one."""
    if ENGINE == "pool":
        return ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn"))
    if ENGINE == "loky":
        import loky

        return loky.ProcessPoolExecutor(WORKERS)
    return engine()


def end_pools():
    """Ends executors that each chain has for itself, and waits for their workers."""
    if ENGINE in ("pool", "loky"):
        for made in list(_made.values()):
            made.shutdown()
        _made.clear()


def end():
    """Ends all executors."""
    end_pools()
    if engine.cache_info().currsize:
        if ENGINE == "dask":
            engine().client.shutdown()
        else:
            import ray

            ray.shutdown()


configuration = (
    bandsaw.Configuration()
    .add_advice_chain(ExecutorAdvice(executor, max_in_flight=20), name="own")
    .add_advice_chain(ExecutorAdvice(executor, workers=2, max_in_flight=20), name="kept")
    .add_advice_chain(ExecutorAdvice(executor, isolate=False, max_in_flight=20), name="inside")
)
