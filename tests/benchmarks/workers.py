"""Calls in other processes, against the start of Python and against pools of processes."""

import concurrent.futures
import contextlib
import functools
import subprocess
import sys
import tempfile

from . import calls
from . import workers_tasks as tasks
from .measure import peak, resident, shared

TITLE = "Other processes"

LARGE = 100_000_000


def main(bench):
    """Measures calls without data, and with up to 1 GB."""
    if sys.prefix == sys.base_prefix:
        # Site hooks of a base interpreter may triple its start, and any result looks good.
        bench.skip("`python -c pass` of a virtual environment: this is none")

    def start_python():
        subprocess.run([sys.executable, "-c", "pass"], check=True)

    bench.compare(
        "A call in a process of its own",
        floors={"python -c pass": start_python},
        ours={
            "own process": lambda: tasks.own(1),
            "NumPy preloaded": lambda: tasks.preloaded(1),
            "spawned": lambda: tasks.spawned(1),
        },
        is_prepared=True,
    )
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(concurrent.futures.ProcessPoolExecutor(1))
        pools = {
            "ProcessPoolExecutor": lambda *call: pool.submit(*call).result(),
            **other_pools(bench, stack),
        }

        def others(function, *arguments):
            return {
                name: functools.partial(run, function, *arguments) for name, run in pools.items()
            }

        bench.compare(
            "A call in a process that is reused",
            ours={"warm process": lambda: tasks.warm(1)},
            peers=others(tasks.plain, 1),
        )

        def sized(size):
            data = bytes(size)
            return {
                "ours": {
                    "warm process": lambda: tasks.echo_size(data),
                    "own process": lambda: tasks.own_size(data),
                },
                "peers": others(len, data) if size < 10**9 else {},
            }

        bench.series("Bytes of an argument, to another process", calls.SIZES, sized)
        for megabytes in (1, 10, 100):
            data = bytes(megabytes * 1_000_000)
            bench.compare(
                f"{megabytes} MB of bytes, there and back",
                ours={"warm process": functools.partial(tasks.warm, data)},
                peers=others(tasks.plain, data),
            )
        try:
            import numpy
        except ImportError:
            bench.skip("arrays to other processes: numpy is not installed")
        else:
            bulk(bench, numpy.random.default_rng(1).random(LARGE // 8), others)
    threads(bench)


def other_pools(bench, stack):
    """Other packages' pools of one process, by name, as far as they are installed."""
    found = {}
    try:
        import loky
    except ImportError:
        bench.skip("loky is not installed")
    else:
        executor = loky.ProcessPoolExecutor(1)
        stack.callback(executor.shutdown)
        found["loky"] = lambda *call: executor.submit(*call).result()
    try:
        import dask
        import distributed
    except ImportError:
        bench.skip("dask distributed is not installed")
    else:
        scratch = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(dask.config.set({"temporary-directory": scratch}))
        client = stack.enter_context(
            distributed.Client(
                n_workers=1,
                threads_per_worker=1,
                dashboard_address=None,
                # All that is given to it is measured, and none of it warned of.
                silence_logs=50,
            )
        )
        found["dask distributed"] = lambda *call: client.submit(*call, pure=False).result()
    return found


def bulk(bench, array, others):
    """Measures calls with an array of 100 MB."""
    bench.compare(
        "100 MB to a process that is reused",
        ours={
            "warm process": lambda: tasks.take(array),
            "own process": lambda: tasks.own_size(array),
            "own process, NumPy preloaded": lambda: tasks.preloaded_size(array),
        },
        peers=others(tasks.size_of, array),
    )
    bench.compare(
        "100 MB back from a process that is reused",
        ours={"warm process": lambda: tasks.make(LARGE)},
        peers=others(tasks.ones, LARGE),
    )
    sent = peak(lambda: tasks.take(array))
    if sent is not None:
        before = resident()
        kept = tasks.make(LARGE)
        peaks = {
            "sender": sent,
            "receiver, all of it read": tasks.read(array),
            "caller, of a result": resident() - before,
        }
        del kept
        bench.memory("Memory for 100 MB between processes", peaks)


def threads(bench):
    """Measures threads that call at once."""
    bench.series(
        "Threads that share 40 calls in other processes",
        calls.THREADS,
        lambda count: {
            "ours": {
                "two warm processes": shared(tasks.warm_pool, count, 40),
                "own processes": shared(tasks.own, count, 40),
            }
        },
    )
