"""The configuration of the campaigns on executors: FAULTS_ENGINE names the executor.

A pool of processes is made for each chain, an engine is started once for all of them.
"""

import contextlib
import functools
import multiprocessing
import os
import shutil
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import bandsaw
from bandsaw.advices.executor import ExecutorAdvice, _made

ENGINE = os.environ.get("FAULTS_ENGINE", "pool")
IS_POOL = ENGINE in ("pool", "loky")
WORKERS = 2
_SLURM = Path(__file__).parent.parent / "engines" / "slurm"


@functools.lru_cache(None)
def _engine():
    if ENGINE == "dask":
        from distributed import Client

        return bandsaw.engines.DaskExecutor(Client(scheduler_file=_path("scheduler")))
    if ENGINE == "ray":
        # The paths of its sockets must not be long.
        return bandsaw.engines.RayExecutor(
            num_cpus=WORKERS, include_dashboard=False, _temp_dir=_path("r")
        )
    return bandsaw.engines.SlurmExecutor(_path("jobs"), poll=0.2)


def executor():
    """Makes an executor. A pool that has lost a worker is broken, and replaced by another one."""
    if ENGINE == "pool":
        return ProcessPoolExecutor(WORKERS, mp_context=multiprocessing.get_context("spawn"))
    if ENGINE == "loky":
        import loky

        return loky.ProcessPoolExecutor(WORKERS)
    return _engine()


def end_pools():
    """Ends the executors that each chain has for itself, and waits for their workers."""
    if IS_POOL:
        for made in list(_made.values()):
            made.shutdown()
        _made.clear()


def _path(name):
    return os.path.join(os.environ["TMPDIR"], name)


@contextlib.contextmanager
def _dask():
    """Has a scheduler and workers in processes of their own, so that what is here is a client."""
    often = ("--no-dashboard", "--scheduler-file", _path("scheduler"))
    commands = (
        ("scheduler", "--port", "0", *often),
        ("worker", "--nworkers", str(WORKERS), "--nthreads", "1", *often),
    )
    running = [
        subprocess.Popen([sys.executable, "-m", "dask", *each], stderr=subprocess.DEVNULL)
        for each in commands
    ]
    try:
        yield
    finally:
        _engine().client.close()
        for process in reversed(running):
            process.terminate()
            process.wait()
        shutil.rmtree(_path("dask-scratch-space"), ignore_errors=True)
        Path(_path("scheduler")).unlink(missing_ok=True)


@contextlib.contextmanager
def _ray():
    try:
        yield
    finally:
        import ray

        ray.shutdown()
        shutil.rmtree(_path("r"), ignore_errors=True)


@contextlib.contextmanager
def _slurm():
    os.environ["SLURM_CONF"] = _path("slurm/slurm.conf")
    try:
        subprocess.run(["bash", _SLURM / "up.sh", _path("slurm")], check=True)
        yield
        _engine().shutdown()
    finally:
        subprocess.run(["bash", _SLURM / "down.sh", _path("slurm")], check=True)
        for name in ("slurm", "jobs"):
            shutil.rmtree(_path(name), ignore_errors=True)


@contextlib.contextmanager
def started():
    """Starts what the executors need, and ends all of it."""
    engines = {"dask": _dask, "ray": _ray, "slurm": _slurm}
    with engines.get(ENGINE, contextlib.nullcontext)():
        try:
            yield
        finally:
            end_pools()


configuration = (
    bandsaw.Configuration()
    .add_advice_chain(ExecutorAdvice(executor, max_in_flight=20), name="own")
    .add_advice_chain(ExecutorAdvice(executor, workers=2, max_in_flight=20), name="kept")
    .add_advice_chain(ExecutorAdvice(executor, isolate=False, max_in_flight=20), name="inside")
)
