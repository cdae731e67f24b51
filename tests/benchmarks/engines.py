"""Calls on executors and engines, against what their own calls take."""

import contextlib
import os
import subprocess
import sys
import time
from concurrent.futures import ProcessPoolExecutor

import bandsaw

from . import engines_tasks
from .engines_tasks import MANY_WAIT, WAITING, first, made, ones, plain, several, tasks
from .measure import resident

TITLE = "Executors and engines"
MANY, JOBS = 1000, 100
LARGE = 100_000_000


def main(bench):
    """Measures each engine that is installed; Slurm where SLURM_CONF says that there is one."""
    with contextlib.ExitStack() as stack:
        pool = made["pool"] = stack.enter_context(ProcessPoolExecutor(2))
        compare(
            bench,
            "pool",
            "a pool of two processes",
            lambda: pool.submit(plain, 1).result(),
            lambda: [one.result() for one in [pool.submit(plain, i) for i in range(MANY)]],
        )
        waiting(bench)
        for name, measure in (("distributed", dask), ("ray", ray)):
            try:
                __import__(name)
            except ImportError:
                bench.skip(f"{name} is not installed")
            else:
                measure(bench, stack)
        if "SLURM_CONF" in os.environ:
            slurm(bench, stack)
        else:
            bench.skip("Slurm: SLURM_CONF does not say where there is one")


def compare(bench, name, where, one, many, more=None):
    """Measures calls by themselves, and many by `map`."""
    kept, own = tasks[name], tasks[f"{name} own"]
    bench.compare(
        f"A call on {where}",
        floors={
            "its own call": one,
            # What a call in a kept process, and in one of its own, may take more.
            "and half a millisecond": lambda: (one(), spend(0.0005)),
            "and a process of its own here": lambda: (one(), tasks["here"](1)),
        },
        ours={"kept process": lambda: kept(1), "own process": lambda: own(1)},
    )
    bench.compare(
        f"{MANY:,} calls on {where}",
        floors={"its own calls": many, **(more or {})},
        ours={"map, kept processes": lambda: list(kept.map(range(MANY)))},
    )


def spend(seconds):
    """Does nothing for so long, which a sleep would exceed."""
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def waiting(bench):
    """Measures what calls take that wait in the queue of a pool, and those that wait here."""
    program = "from tests.benchmarks import engines; engines.wait_in({!r})"
    found = {}
    for name in WAITING:
        # What earlier ones have left would serve others unseen.
        run = [sys.executable, "-c", program.format(name)]
        done = subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True)
        found[name] = int(done.stdout)
    bench.memory(f"Memory for {MANY_WAIT:,} calls that wait", found)


def wait_in(name):
    """Prints how much more memory is resident while calls of a chain wait."""
    with ProcessPoolExecutor(1) as pool:
        made["pool"], task, at_once = pool, tasks[name], WAITING[name][1]
        list(task.map([0] * 5))
        first = task.submit(600)
        while not pool._pending_work_items:
            time.sleep(0.01)
        before = resident()
        calls = [task.submit(0) for _ in range(MANY_WAIT)]
        while len(pool._pending_work_items) < at_once:
            time.sleep(0.01)
        print(resident() - before)
        for call in reversed(calls):
            call.cancel()
        first.kill()


def large(bench, name, where, argument, result):
    """Measures 100 MB there, and 100 MB back. `argument`, `result`: what the engine does itself."""
    try:
        import numpy
    except ImportError:
        bench.skip("100 MB on an engine: NumPy is not installed")
        return
    data = numpy.ones(LARGE, dtype=numpy.uint8)
    first, ones = tasks[f"{name} first"], tasks[f"{name} ones"]
    bench.compare(
        f"An argument of 100 MB on {where}",
        floors={"its own call": lambda: argument(data)},
        ours={"kept process": lambda: first(data)},
    )
    bench.compare(
        f"A result of 100 MB on {where}",
        floors={"its own call": lambda: result(LARGE)},
        ours={"kept process": lambda: ones(LARGE)},
    )


def dask(bench, stack):
    """Measures a cluster of two workers on this machine."""
    from distributed import Client

    client = stack.enter_context(
        Client(n_workers=2, threads_per_worker=1, dashboard_address=":0", silence_logs=50)
    )
    made["dask"] = bandsaw.engines.DaskExecutor(client)

    def loop():
        return client.gather([client.submit(plain, i, pure=False) for i in range(MANY)])

    def batches():
        return client.gather(client.map(plain, range(MANY), pure=False, batch_size=100))

    compare(
        bench,
        "dask",
        "Dask with two workers",
        lambda: client.submit(plain, 1, pure=False).result(),
        loop,
        {"client.map, batch_size=100": batches},
    )
    large(
        bench,
        "dask",
        "Dask",
        lambda data: client.submit(first, client.scatter(data, hash=False), pure=False).result(),
        lambda size: client.submit(ones, size, pure=False).result(),
    )


def ray(bench, stack):
    """Measures a cluster of two processors on this machine."""
    import ray

    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    stack.callback(ray.shutdown)
    made["ray"] = bandsaw.engines.RayExecutor()
    remote, remote_several = ray.remote(plain), ray.remote(several)

    def chunks():
        parts = [range(start, start + 100) for start in range(0, MANY, 100)]
        return [
            one for part in ray.get([remote_several.remote(one) for one in parts]) for one in part
        ]

    compare(
        bench,
        "ray",
        "Ray with two processors",
        lambda: ray.get(remote.remote(1)),
        lambda: ray.get([remote.remote(i) for i in range(MANY)]),
        {"chunks of 100": chunks},
    )
    remote_first, remote_ones = ray.remote(first), ray.remote(ones)
    large(
        bench,
        "ray",
        "Ray",
        lambda data: ray.get(remote_first.remote(data)),
        # What Ray gives back cannot be written to.
        lambda size: ray.get(remote_ones.remote(size)).copy(),
    )


def slurm(bench, stack):
    """Measures an array of jobs."""
    import tempfile

    folder = stack.enter_context(tempfile.TemporaryDirectory())
    executor = made["slurm"] = bandsaw.engines.SlurmExecutor(folder, poll=0.2)
    stack.callback(executor.shutdown)

    def bare():
        array = ["sbatch", "-W", "-o", "/dev/null", f"--array=1-{JOBS}", "--wrap", "true"]
        subprocess.run(array, check=True, capture_output=True)

    task = engines_tasks.tasks["slurm own"]
    bench.compare(
        f"{JOBS} calls on Slurm",
        floors={"a bare array of jobs": bare},
        ours={"map": lambda: list(task.map(range(JOBS)))},
    )
