"""A scheduler that is not there is looked for once by all calls that wait for it."""

import os
import socket

import pytest

if not os.environ.get("BANDSAW_TEST_ENGINES"):
    pytest.skip("runs where engines are tested", allow_module_level=True)
pytestmark = [pytest.mark.xdist_group("engines"), pytest.mark.slow]

WORKFLOW = """
    import sys
    import bandsaw, dask, distributed

    tries = []

    class Counted(distributed.Client):
        def __init__(self, *args, **options):
            tries.append(args)
            super().__init__(*args, **options)

    distributed.Client = Counted

    @bandsaw.task
    def f(x):
        return x

    if __name__ == "__main__":
        dask.config.set({"distributed.comm.timeouts.connect": "5s"})
        errors = [future.exception() for future in [f.submit(x) for x in range(5)]]
        print({type(error).__name__ for error in errors}, len(tries))
        print({type(f.submit(1).exception()).__name__}, len(tries))
"""


def test_calls_that_wait_for_a_scheduler_share_that_it_is_not_there(project):
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        address = "tcp://{}:{}".format(*listening.getsockname())
    project.write(
        "bandsaw_config.py",
        f"""
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice
        from bandsaw.engines import DaskExecutor
        advice = ExecutorAdvice(DaskExecutor({address!r}))
        configuration = bandsaw.Configuration().add_advice_chain(advice)
        """,
    )
    project.write("workflow.py", WORKFLOW)
    lines = project.run("workflow.py").stdout.splitlines()
    assert lines == ["{'WorkerStartError'} 1", "{'WorkerStartError'} 2"]
