"""A process that was forked submits calls with an executor of its parent."""

import os
import sys
from types import SimpleNamespace

import pytest

from bandsaw._workers.executor.engine import engine_of
from bandsaw.engines import DaskExecutor, RayExecutor, SlurmExecutor


def holds_in_a_fork(check):
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = 0 if check() else 2
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def test_a_forked_process_has_a_thread_and_jobs_of_its_own(tmp_path, monkeypatch):
    pytest.importorskip("submitit")
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
        claims = engine.claims.path
        return refuses() and engine is not parents and claims == str(executor._jobs_folder)

    assert refuses()
    assert holds_in_a_fork(has_its_own)
    executor.shutdown()
    with open(buffer.reference) as file:
        assert file.read() == "contents"


def test_a_forked_process_has_a_connection_of_its_own_to_a_scheduler(monkeypatch):
    def connect(address, **options):
        return SimpleNamespace(address=address, options=options, status="running")

    monkeypatch.setattr(DaskExecutor, "_imported", lambda *_: SimpleNamespace(Client=connect))
    scheduler = SimpleNamespace(address="tls://far:1")
    given = SimpleNamespace(scatter=None, scheduler=scheduler, security="keys")
    by_client, by_address = DaskExecutor(given), DaskExecutor("tcp://far:2")
    parents = by_address.client
    assert by_client.client is given

    def connects_anew():
        made, other = by_client.client, by_address.client
        return (
            made.address == "tls://far:1"
            and made.options["security"] == "keys"
            and other is not parents
            and other.address == "tcp://far:2"
        )

    assert holds_in_a_fork(connects_anew)


def test_a_process_is_forked_where_the_user_has_a_module_that_is_called_ray(monkeypatch):
    failed = []
    monkeypatch.setattr(sys, "unraisablehook", failed.append)
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace())
    assert holds_in_a_fork(lambda: not failed)


def test_a_forked_process_is_told_that_the_ray_of_its_parent_does_not_serve_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: True))

    def is_told():
        with pytest.raises(ConnectionError, match="the method 'spawn'"):
            RayExecutor().submit(len, "")
        return True

    assert holds_in_a_fork(is_told)
