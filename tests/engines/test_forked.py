"""A process that was forked submits calls with an executor of its parent."""

import os

import pytest

from bandsaw.engines import SlurmExecutor

pytest.importorskip("submitit")


def test_a_forked_process_has_a_thread_and_jobs_of_its_own(tmp_path, monkeypatch):
    # So that each call is refused at once.
    monkeypatch.setenv("PATH", "")
    executor = SlurmExecutor(tmp_path / "shared")

    def refuses():
        return "srun" in str(executor.submit(len, "").exception(60))

    assert refuses()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if refuses() else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    executor.shutdown()
