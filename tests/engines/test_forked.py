"""A process that was forked submits calls with an executor of its parent."""

import os

import pytest

from bandsaw._workers.executor.engine import engine_of
from bandsaw.engines import SlurmExecutor

pytest.importorskip("submitit")


def test_a_forked_process_has_a_thread_and_jobs_of_its_own(tmp_path, monkeypatch):
    # So that each call is refused at once.
    monkeypatch.setenv("PATH", "")
    executor = SlurmExecutor(tmp_path / "shared")
    parents = engine_of(executor)
    buffer = parents.store(b"contents")

    def refuses():
        return "srun" in str(executor.submit(len, "").exception(60))

    def has_its_own():
        nonlocal buffer
        buffer = None
        engine = engine_of(executor)
        return engine is not parents and engine.claims.path == str(executor._jobs_folder)

    assert refuses()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if refuses() and has_its_own() else 2
        finally:
            os._exit(code)
    assert os.waitpid(child, 0)[1] == 0
    executor.shutdown()
    with open(buffer.reference) as file:
        assert file.read() == "contents"
