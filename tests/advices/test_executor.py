import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from bandsaw.advices.executor import ExecutorAdvice
from bandsaw.errors import InvalidValueError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs POSIX")


@pytest.mark.parametrize("executor", [None, 1, ThreadPoolExecutor, "threads"])
def test_what_is_no_executor_is_refused(executor):
    with pytest.raises(InvalidValueError, match="has to be an executor"):
        ExecutorAdvice(executor)


@pytest.mark.parametrize(
    "options", [{"workers": 0}, {"isolate": False}, {"max_in_flight": 0}, {"preload": "numpy"}]
)
def test_options_that_cannot_be_are_refused(options):
    with pytest.raises(InvalidValueError):
        ExecutorAdvice(lambda: None, **options)


def test_as_many_calls_run_at_once_as_the_executor_takes():
    with ThreadPoolExecutor(3) as executor:
        assert ExecutorAdvice(executor).max_in_flight == 3
        assert ExecutorAdvice(executor, max_in_flight=7).max_in_flight == 7
    assert ExecutorAdvice(lambda: executor).max_in_flight is None


TASKS = """
    import os, time, bandsaw

    @bandsaw.task
    def wait(path):
        with open(path, "w"):
            pass
        time.sleep(600)

    @bandsaw.task
    def one():
        return 1
"""


def test_a_lost_worker_is_an_error_and_the_next_call_has_a_new_pool(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ProcessPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        pools = []

        def make():
            pools.append(ProcessPoolExecutor(1))
            return pools[-1]

        configuration = bandsaw.Configuration().add_advice_chain(ExecutorAdvice(make))
        """,
    )
    project.write("tasks.py", TASKS)
    project.write(
        "workflow.py",
        """
        import os, signal, time
        import bandsaw, bandsaw_config, tasks

        future = tasks.wait.submit("began")
        while not os.path.exists("began"):
            time.sleep(0.02)
        (worker,) = bandsaw_config.pools[0]._processes
        os.kill(worker, signal.SIGKILL)
        error = future.exception()
        print(type(error).__name__, type(error.__cause__).__name__)
        print(tasks.one(), len(bandsaw_config.pools))
        """,
    )
    done = project.run("workflow.py")
    assert done.stdout == "WorkerDiedError BrokenProcessPool\n1 2\n"


def test_an_executor_that_is_shut_down_is_an_error(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        pool = ThreadPoolExecutor(1)
        pool.shutdown()
        configuration = bandsaw.Configuration().add_advice_chain(ExecutorAdvice(pool))
        """,
    )
    project.write("tasks.py", TASKS)
    done = project.run("-c", "import tasks; tasks.one()", check=False)
    assert "WorkerStartError: A call cannot be submitted to executor ThreadPoolExecutor" in (
        done.stderr
    )


def test_a_call_whose_server_was_killed_is_a_died_worker_and_the_next_one_has_a_new_server(project):
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        configuration = bandsaw.Configuration().add_advice_chain(
            ExecutorAdvice(ThreadPoolExecutor(1))
        )
        """,
    )
    project.write("tasks.py", TASKS)
    project.write(
        "workflow.py",
        """
        import os, signal, sys, time
        import bandsaw, tasks

        future = tasks.wait.submit("began")
        while not os.path.exists("began"):
            time.sleep(0.02)
        (name,) = [name for name in sys.modules if name.startswith("_bandsaw_")]
        (hub,) = sys.modules[name]._hubs.values()
        os.kill(hub._server.pid, signal.SIGKILL)
        print(type(future.exception()).__name__)
        print(tasks.one())
        """,
    )
    assert project.run("workflow.py").stdout == "WorkerDiedError\n1\n"
