"""What is known of processes and of the machine that they run on."""

import builtins

from bandsaw._system import processes


def test_a_process_asks_once_which_machine_it_runs_on(monkeypatch):
    name = processes.this_machine()

    def refuse(*args, **kwargs):
        raise AssertionError("asked again")

    monkeypatch.setattr(builtins, "open", refuse)
    assert processes.this_machine() == name
