"""One chain, over the executor that the variable ENGINE names."""

import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import bandsaw
from bandsaw.advices.executor import ExecutorAdvice
from bandsaw.advices.retry import RetryAdvice

ENGINE, _, WHERE = os.environ.get("ENGINE", "fork").partition(":")


def executor():
    if ENGINE == "threads":
        return ThreadPoolExecutor(2)
    if ENGINE == "loky":
        import loky

        return loky.ProcessPoolExecutor(2)
    if ENGINE == "dask":
        return bandsaw.engines.DaskExecutor(WHERE)
    if ENGINE == "ray":
        return bandsaw.engines.RayExecutor(num_cpus=2, include_dashboard=False)
    if ENGINE == "slurm":
        return bandsaw.engines.SlurmExecutor(WHERE, poll=0.2)
    return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(ENGINE))


own = ExecutorAdvice(executor, max_in_flight=2)
kept = ExecutorAdvice(own._executor, workers=1)
configuration = bandsaw.Configuration()
configuration.add_advice_chain(own)
configuration.add_advice_chain(kept, name="kept")
# More than there are workers: calls wait in the executor.
configuration.add_advice_chain(ExecutorAdvice(own._executor, max_in_flight=6), name="many")
configuration.add_advice_chain(
    RetryAdvice(attempts=3, wait_initial=0, wait_jitter=0), own, name="retry"
)
inside = ExecutorAdvice(own._executor, isolate=False, max_in_flight=6)
configuration.add_advice_chain(inside, name="inside")
