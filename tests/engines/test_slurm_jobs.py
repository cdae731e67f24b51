"""What a result of a job says of how its processes have ended, and the thread that looks."""

import signal
import threading

import pytest

from bandsaw._engines import slurm, slurm_jobs
from bandsaw._engines.slurm_jobs import is_doubtful
from bandsaw._workers.frames import EVENT
from bandsaw.engines import SlurmExecutor


def ended(*numbers, how="", word="events"):
    """The answer of a worker in which processes have ended, `None` for one that nobody knows of."""
    events = [(b"S", b"" if one is None else EVENT.pack(b"X", one)) for one in numbers]
    return word, "here", events, how, 0.1, None


@pytest.mark.parametrize(
    ("answer", "is_one"),
    [
        (ended(0), False),
        (ended(-signal.SIGTERM), True),
        (ended(0, -signal.SIGKILL), True),
        # What had started the process was ended before it.
        (ended(None), True),
        (ended(-signal.SIGKILL, how="deadline"), False),
        (("calls", "here", [ended(0), ended(None)]), True),
        (("calls", "here", [ended(0), ("lost", "here")]), False),
        ("of a call in the worker itself", False),
    ],
)
def test_a_result_is_doubtful_whose_processes_may_have_been_ended_by_slurm(answer, is_one):
    assert is_doubtful(answer) == is_one


def test_a_thread_that_cannot_be_started_is_started_for_the_next_call(tmp_path, monkeypatch):
    executor, start = SlurmExecutor(tmp_path / "jobs"), threading.Thread.start

    def refuse(thread):
        raise RuntimeError("can't start new thread")

    submitted = []

    def submit(submitit, folder, calls):
        submitted.extend(one.args for one in calls)
        raise LookupError

    monkeypatch.setattr(executor, "_imported", lambda name: None)
    monkeypatch.setattr(slurm_jobs, "submit", submit)
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(RuntimeError, match="new thread"):
        executor.submit(abs, 1)
    monkeypatch.setattr(threading.Thread, "start", start)
    assert isinstance(executor.submit(abs, 2).exception(60), LookupError)
    assert submitted == [(2,)]
    executor.shutdown()


def test_an_executor_that_is_used_while_its_thread_ends_is_shut_down_at_the_end(
    tmp_path, monkeypatch
):
    has_ended = threading.Event()
    monkeypatch.setattr(SlurmExecutor, "_imported", lambda *_: None)
    monkeypatch.setattr(SlurmExecutor, "_serve", lambda _: has_ended.wait())
    executor = SlurmExecutor(tmp_path / "jobs")
    executor.submit(abs, 1)
    executor.shutdown(wait=False)
    late = executor.submit(abs, 2)
    has_ended.set()
    slurm._shut_all_down()
    assert isinstance(late.exception(60), ConnectionError)
