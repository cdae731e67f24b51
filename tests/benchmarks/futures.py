"""Many calls at once, against executors of the standard library and of other packages."""

import concurrent.futures
import contextlib
import functools
import logging
import subprocess
import sys
import tempfile
import time

from . import futures_tasks as tasks

TITLE = "Many calls at once"
MANY, OWN, LEAVES, LINKS = 1000, 200, 512, 200
COUNTS = (100, 1000, 10_000, 100_000)


def tree(submit, result):
    """Adds numbers in pairs, 1,023 calls, each on the two before it."""
    futures = [submit(number, number) for number in range(LEAVES)]
    while len(futures) > 1:
        futures = [submit(*pair) for pair in zip(futures[::2], futures[1::2])]
    assert result(futures[0]) == LEAVES * (LEAVES - 1)


def chain(submit, result):
    """Adds one number after the other, each call on the one before it."""
    future = submit(0, 0)
    for number in range(1, LINKS):
        future = submit(future, number)
    assert result(future) == LINKS * (LINKS - 1) // 2


def start_pythons():
    """Starts Python `OWN` times, two at a time."""
    with concurrent.futures.ThreadPoolExecutor(2) as threads:
        command = [sys.executable, "-c", "pass"]
        list(threads.map(lambda _: subprocess.run(command, check=True), range(OWN)))


def waiting(count):
    """Submits calls that wait for one, and has them run."""
    gate = concurrent.futures.Future()
    futures = [tasks.added_here.submit(gate, number) for number in range(count)]
    gate.set_result(0)
    assert futures[-1].result() == count - 1
    concurrent.futures.wait(futures)


def waiting_futures(count):
    """Has plain futures hold a value when one does: no call, no order, no thread."""
    gate = concurrent.futures.Future()
    futures = [concurrent.futures.Future() for _ in range(count)]
    for future in futures:
        gate.add_done_callback(functools.partial(_pass_on, future))
    gate.set_result(0)
    concurrent.futures.wait(futures)


def _pass_on(future, gate):
    future.set_result(gate.result())


def main(bench):
    """Measures calls that do nothing: what is left is what it costs to have them done."""
    with contextlib.ExitStack() as stack:
        processes = stack.enter_context(concurrent.futures.ProcessPoolExecutor(2))
        threads = stack.enter_context(concurrent.futures.ThreadPoolExecutor(2))
        bench.compare(
            "1,000 calls in two kept processes",
            ours={"map": lambda: list(tasks.kept.map(range(MANY)))},
            peers={"ProcessPoolExecutor": lambda: list(processes.map(tasks.plain, range(MANY)))},
        )
        # Of a machine that is busy this says more: each call waits for a processor twice.
        bench.compare(
            "1,000 calls in two kept processes, processor time of the caller",
            ours={
                "map": lambda: list(tasks.kept.map(range(MANY))),
                "called": lambda: [tasks.kept(number) for number in range(MANY)],
            },
            peers={
                "ProcessPoolExecutor": lambda: list(processes.map(tasks.plain, range(MANY))),
                "ProcessPoolExecutor, submit().result()": lambda: [
                    processes.submit(tasks.plain, number).result() for number in range(MANY)
                ],
            },
            clock=time.process_time,
        )
        bench.compare(
            "1,000 calls in this process",
            ours={"map": lambda: list(tasks.here.map(range(MANY)))},
            peers={"ThreadPoolExecutor": lambda: list(threads.map(tasks.plain, range(MANY)))},
        )
        peers = dict(others(bench, stack))
        for title, graph in (
            ("A tree of 1,023 additions", tree),
            (f"A chain of {LINKS} additions", chain),
        ):
            bench.compare(
                title,
                ours={"submit": made(graph, tasks.added.submit, lambda future: future.result())},
                peers={name: made(graph, *peer) for name, peer in peers.items()},
            )
    bench.compare(
        f"{OWN} calls in processes of their own",
        floors={"python -c pass": start_pythons},
        ours={"map": lambda: list(tasks.own.map(range(OWN)))},
    )
    bench.series(
        "Calls that wait for one, processor time",
        COUNTS,
        lambda count: {
            "clock": time.process_time,
            "floors": {"futures of the standard library": lambda: waiting_futures(count)},
            "ours": {"submitted and run": lambda: waiting(count)},
        },
    )


def made(graph, submit, result):
    """Binds a graph to an executor."""
    return lambda: graph(submit, result)


def others(bench, stack):
    """Other packages that take futures as arguments, by name, with two processes each."""
    try:
        import executorlib
    except ImportError:
        bench.skip("executorlib is not installed")
    else:
        executor = stack.enter_context(
            executorlib.SingleNodeExecutor(max_workers=2, block_allocation=True)
        )
        yield (
            "executorlib",
            (lambda *pair: executor.submit(tasks.add, *pair), lambda future: future.result()),
        )
    try:
        import ray
    except ImportError:
        bench.skip("ray is not installed")
    else:
        ray.init(num_cpus=2, include_dashboard=False, logging_level=logging.ERROR)
        stack.callback(ray.shutdown)
        yield "ray", (ray.remote(tasks.add).remote, ray.get)
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
                n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50
            )
        )
        yield (
            "dask distributed",
            (
                lambda *pair: client.submit(tasks.add, *pair, pure=False),
                lambda future: future.result(),
            ),
        )
