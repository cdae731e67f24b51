"""Ctrl-C that is caught leaves the calls of this process as they should be."""

import sys

import pytest

CONFIGURATION = 'configuration.add_advice_chain(name="here")\n'
TASKS = """
import random
from bandsaw._futures import lanes

@bandsaw.task(chain="here")
def more(x):
    return x + 1
"""
# Ctrl-C comes at any moment: in the middle of a submit, of a wait, or of what ends calls.
BODY = """
signal.signal(signal.SIGALRM, lambda *_: signal.raise_signal(signal.SIGINT))
dice = random.Random(1)
count = 0
for _ in range(150):
    futures = []
    try:
        signal.setitimer(signal.ITIMER_REAL, dice.random() * 0.004)
        try:
            for number in range(100):
                futures.append(more.submit(futures[-1] if number % 3 else number))
            futures[-1].result()
            list(more.map(range(20)))
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
    except KeyboardInterrupt:
        count += 1
    assert not concurrent.futures.wait(futures, 30).not_done
    assert more.submit(5).result(200) == 6
assert count
begun = time.monotonic()
while any(call.state for call in list(lanes.unfinished)):
    assert time.monotonic() - begun < 200
    time.sleep(0.001)
assert more.bandsaw_configuration._flight.running == 0
"""


@pytest.mark.skipif(
    sys.version_info < (3, 10),
    reason="Python 3.9 lets a signal in between any two instructions, also where it holds a lock",
)
def test_ctrl_c_at_any_moment_loses_no_call(project, write):
    write(TASKS, BODY)
    path = project.folder / "bandsaw_config.py"
    path.write_text(path.read_text() + CONFIGURATION)
    project.run("workflow.py")
    assert project.left_behind() == []


BETWEEN = """
from bandsaw.futures import _Condition

class Lock:
    def __init__(self, lock, is_released):
        self.lock, self.is_released = lock, is_released

    def __getattr__(self, name):
        return getattr(self.lock, name)

    def _release_save(self):
        if self.is_released:
            self.lock._release_save()
        raise KeyboardInterrupt

for is_released in (False, True):
    condition = _Condition()
    condition._lock = Lock(condition._lock, is_released)
    try:
        with condition:
            condition.wait()
    except KeyboardInterrupt:
        assert not condition._is_owned()
    else:
        raise AssertionError
"""


def test_ctrl_c_just_before_a_wait_or_after_its_lock_is_released_leaves_the_lock_free(project):
    project.run("-c", BETWEEN)
