import json

import pytest

pytestmark = pytest.mark.slow


MEGABYTE = 1_000_000


def test_many_calls_leave_nothing_and_memory_does_not_grow(project, left_nothing):
    done = project.run("-m", "tests.faults.workers_soak", "--calls", "500")
    found = json.loads(done.stdout)
    assert found["after"] == found["before"]
    assert found["before"]["files"] == []
    assert found["before"]["shared memory"] == []
    assert found["grown"] < 5 * MEGABYTE
    left_nothing()
