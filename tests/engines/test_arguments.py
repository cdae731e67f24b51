"""Executors of engines refuse what they cannot be made with, also where no engine is installed."""

from types import SimpleNamespace

import pytest

from bandsaw.engines import DaskExecutor, SlurmExecutor
from bandsaw.errors import InvalidValueError


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: DaskExecutor(3), "client_or_address=3 of a DaskExecutor"),
        (lambda: DaskExecutor(None), "client_or_address=None"),
        (lambda: SlurmExecutor(3), "folder=3 of a SlurmExecutor has to be a path"),
        (lambda: SlurmExecutor("shared", poll="1"), "SlurmExecutor: poll='1' has to be a number"),
        (lambda: SlurmExecutor("shared", poll=0), "SlurmExecutor: poll=0 has to be a number"),
    ],
)
def test_what_cannot_be_used_is_an_error_that_names_it(make, said):
    with pytest.raises(InvalidValueError, match=said):
        make()


def test_what_can_be_used_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert DaskExecutor("tcp://127.0.0.1:1").submit_options == {}
    assert SlurmExecutor("shared", poll=0.2).folder == tmp_path / "shared"


def test_a_scheduler_that_was_away_for_long_is_connected_to_anew(monkeypatch):
    made = []

    def connect(address, **_):
        made.append(SimpleNamespace(scatter=None, status="running"))
        return made[-1]

    monkeypatch.setattr(DaskExecutor, "_imported", lambda *_: SimpleNamespace(Client=connect))
    executor = DaskExecutor("tcp://127.0.0.1:1")
    assert executor.client is executor.client is made[0]
    made[0].status = "closed"
    assert executor.client is executor.client is made[1]
    # One that was given is closed by its owner.
    assert DaskExecutor(made[0]).client is made[0]
