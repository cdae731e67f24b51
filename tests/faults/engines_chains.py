"""The configuration of the campaigns on executors: a pool for each chain."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor

import bandsaw
from bandsaw.advices.executor import ExecutorAdvice, _made

WORKERS = 2


def executor():
    """Makes an executor. A pool that has lost a worker is broken, and replaced by another one."""
    return ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn"))


def end():
    """Ends the executors, and waits for their workers."""
    for made in list(_made.values()):
        made.shutdown()
    _made.clear()


configuration = (
    bandsaw.Configuration()
    .add_advice_chain(ExecutorAdvice(executor, max_in_flight=20), name="own")
    .add_advice_chain(ExecutorAdvice(executor, workers=2, max_in_flight=20), name="kept")
    .add_advice_chain(ExecutorAdvice(executor, isolate=False, max_in_flight=20), name="inside")
)
