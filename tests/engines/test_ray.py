"""A Ray that a `RayExecutor` starts."""

import os
import tempfile

import pytest

if not os.environ.get("BANDSAW_TEST_ENGINES"):
    pytest.skip("runs where engines are tested", allow_module_level=True)
pytestmark = [pytest.mark.xdist_group("engines"), pytest.mark.slow]

CONFIGURATION = """
    import bandsaw
    from bandsaw.advices.executor import ExecutorAdvice

    executor = bandsaw.engines.RayExecutor(num_cpus=1, include_dashboard=False)
    configuration = bandsaw.Configuration().add_advice_chain(ExecutorAdvice(executor))
"""
WORKFLOW = """
    import threading
    import bandsaw

    @bandsaw.task
    def double(x):
        return 2 * x

    if __name__ == "__main__":
        from bandsaw._futures import flight

        flight._IDLE_SECONDS = 0.01
        print(double.submit(1).result())
        for thread in threading.enumerate():
            if thread.name == "bandsaw-call":
                thread.join()
        print(double(2), list(double.map([3, 4])))
"""


LEAVING = """
    import time
    import bandsaw, ray

    @bandsaw.task
    def nap(seconds):
        time.sleep(seconds)
        return seconds

    if __name__ == "__main__":
        nap(0)
        future = nap.submit(600)
        time.sleep(1)
        ray.shutdown()
        print(future.exception(), nap(0.1))
"""


def run_with_ray(project, workflow):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("workflow.py", workflow)
    # The paths of its sockets must not be long.
    with tempfile.TemporaryDirectory(prefix="ray", dir="/tmp") as short:
        variables = {"RAY_AUTH_MODE": "disabled", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
        return project.run("workflow.py", RAY_TMPDIR=short, **variables)


def test_a_ray_that_is_shut_down_ends_its_calls(project):
    done = run_with_ray(project, LEAVING)
    assert "Ray was shut down (`ray.shutdown()`)" in done.stdout and "] 0.1" in done.stdout


def test_what_is_started_for_a_submitted_call_is_there_for_later_ones(project):
    done = run_with_ray(project, WORKFLOW)
    assert done.stdout.splitlines()[-2:] == ["2", "4 [6, 8]"]
