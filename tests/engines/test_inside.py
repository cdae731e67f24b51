"""What holds of a call in an executor's worker itself (`isolate=False`), on each executor."""

import os
import tempfile

import pytest

ENGINES = ("threads", "fork")
if os.environ.get("BANDSAW_TEST_ENGINES"):
    ENGINES = (*ENGINES, "spawn", "dask", "ray")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.name != "posix", reason="an executor's worker needs POSIX"),
]

CONFIGURATION = """
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
    import bandsaw
    from bandsaw.advices.executor import ExecutorAdvice

    def make(name={!r}):
        if name == "threads":
            return ThreadPoolExecutor(2)
        if name == "ray":
            return bandsaw.engines.RayExecutor(num_cpus=2, include_dashboard=False)
        if name == "dask":
            import distributed
            global client
            client = distributed.Client(n_workers=2, threads_per_worker=1, dashboard_address=None)
            return bandsaw.engines.DaskExecutor(client)
        return ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(name))

    configuration = bandsaw.Configuration().add_advice_chain(
        ExecutorAdvice(make, isolate=False, max_in_flight=6)
    )
"""
# What is killed or cancelled has not begun, and never begins.
WORKFLOW = """
    import os, time
    import bandsaw

    @bandsaw.task
    def wait(name):
        open(f"begun/{name}", "x").close()
        while not os.path.exists("go"):
            time.sleep(0.02)
        return name

    if __name__ == "__main__":
        os.mkdir("begun")
        futures = [wait.submit(number) for number in range(6)]
        while len(os.listdir("begun")) < 2:
            time.sleep(0.02)
        killed = next(one for one in futures if one.kill())
        end = time.monotonic() + 100
        while sum(one.cancel() for one in futures) < 3 and time.monotonic() < end:
            time.sleep(0.02)
        open("go", "x").close()
        assert type(killed.exception()).__name__ == "TaskKilledError"
        values = [one.result() for one in futures if one is not killed and not one.cancelled()]
        assert sorted(map(str, values)) == sorted(os.listdir("begun")), values
        print(sum(one.cancelled() for one in futures), len(values), wait(7))
"""


@pytest.mark.parametrize(
    "engine", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in ENGINES]
)
def test_calls_that_wait_in_the_executor_are_cancelled_there(project, engine):
    project.write("bandsaw_config.py", CONFIGURATION.format(engine))
    project.write("workflow.py", WORKFLOW)
    variables = {"RAY_AUTH_MODE": "disabled", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
    # The paths of its sockets must not be long.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as short:
        quiet = {"RAY_TMPDIR": short, "PYTHONWARNINGS": "ignore", **variables}
        done = project.run("workflow.py", seconds=300, **quiet)
    assert done.stdout.splitlines()[-1] == "3 2 7"


# The first call of the pool waits until ours is in its queue, and presses Ctrl-C then.
INTERRUPTED = """
    from concurrent.futures import ThreadPoolExecutor
    import bandsaw
    from bandsaw.advices.executor import ExecutorAdvice

    pool = ThreadPoolExecutor(1)
    configuration = bandsaw.Configuration().add_advice_chain(
        ExecutorAdvice(pool, isolate=False)
    )
"""
PRESSING = """
    import os, signal, threading, time
    import bandsaw
    from bandsaw_config import pool

    @bandsaw.task
    def touch():
        open("ran", "w").close()

    def press(go):
        while not pool._work_queue.qsize():
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        go.wait()

    if __name__ == "__main__":
        go = threading.Event()
        pool.submit(press, go)
        try:
            touch()
        except KeyboardInterrupt:
            print("interrupted")
        go.set()
        pool.shutdown()
        print(os.path.exists("ran"))
"""


def test_a_call_that_waits_in_a_queue_does_not_begin_after_ctrl_c(project):
    project.write("bandsaw_config.py", INTERRUPTED)
    project.write("workflow.py", PRESSING)
    done = project.run("workflow.py")
    assert done.stdout.split() == ["interrupted", "False"]
