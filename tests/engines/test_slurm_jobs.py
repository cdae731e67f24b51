"""What a result of a job says of how its processes have ended."""

import signal

import pytest

from bandsaw._engines.slurm_jobs import is_doubtful
from bandsaw._workers.executor.engine_hub import SERVER_ENDED
from bandsaw._workers.frames import EVENT


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
        (ended(how=SERVER_ENDED), True),
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
