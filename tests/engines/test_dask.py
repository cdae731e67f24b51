"""What a `DaskExecutor` leaves in the process that uses it."""

import os
import threading
import time

import pytest

from tests.conftest import wait_until

if not os.environ.get("BANDSAW_TEST_ENGINES"):
    pytest.skip("runs where engines are tested", allow_module_level=True)
pytestmark = [
    pytest.mark.xdist_group("engines"),
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture
def client():
    import distributed

    cluster = distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
    )
    with cluster, distributed.Client(cluster, set_as_default=False) as client:
        yield client


def test_its_thread_ends_when_there_is_nothing_to_do_and_loses_no_result(client, monkeypatch):
    from bandsaw._engines import dask
    from bandsaw.engines import DaskExecutor

    # So short that it ends between calls.
    monkeypatch.setattr(dask, "_IDLE_SECONDS", 0.001)
    executor = DaskExecutor(client)
    assert [executor.submit(pow, 2, n).result(60) for n in range(100)] == [2**n for n in range(100)]
    wait_until(lambda: "bandsaw-dask" not in [thread.name for thread in threading.enumerate()])
    futures = [executor.submit(pow, 3, n) for n in range(100)]
    assert [future.result(60) for future in futures] == [3**n for n in range(100)]


def test_results_arrive_where_no_thread_can_be_started(client, monkeypatch):
    from bandsaw._engines import dask
    from bandsaw.engines import DaskExecutor

    class NoThread(threading.Thread):
        def start(self):
            if self.name == "bandsaw-dask":
                raise RuntimeError("can't start new thread")
            super().start()

    monkeypatch.setattr(dask, "_IDLE_SECONDS", 0.001)
    monkeypatch.setattr(threading, "Thread", NoThread)
    executor = DaskExecutor(client)
    futures = [executor.submit(pow, 2, n) for n in range(3)]
    assert [future.result(60) for future in futures] == [1, 2, 4]


def test_workers_are_told_of_each_of_several_calls_that_are_killed_at_once(client, monkeypatch):
    from bandsaw.engines import DaskExecutor

    executor, run, found = DaskExecutor(client), client.run, []

    def slow(*what, **more):
        time.sleep(0.2)
        return run(*what, **more)

    monkeypatch.setattr(client, "run", slow)
    threads = [
        threading.Thread(target=lambda: found.append(executor._on_all(abs, -1))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [list(answers.values()) for answers in found] == [[1]] * 3


FORKING = """
    import os
    import bandsaw

    @bandsaw.task
    def double(x):
        return 2 * x

    if __name__ == "__main__":
        value = double(1)
        child = os.fork()
        if child == 0:
            os._exit(double(2))
        print(value, os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), double(3))
"""


def test_a_forked_process_makes_calls_as_its_parent_does(project):
    import distributed

    project.write(
        "bandsaw_config.py",
        """
        import os
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        executor = bandsaw.engines.DaskExecutor(os.environ.get("SCHEDULER", "tcp://127.0.0.1:1"))
        configuration = bandsaw.Configuration().add_advice_chain(ExecutorAdvice(executor))
        """,
    )
    project.write("workflow.py", FORKING)
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, protocol="tcp", processes=False, dashboard_address=None
    ) as cluster:
        done = project.run("workflow.py", SCHEDULER=cluster.scheduler_address, seconds=100)
    assert done.stdout == "2 4 6\n"
