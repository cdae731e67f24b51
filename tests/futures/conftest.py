"""Tasks that are submitted: in chains of this process, and of others."""

import threading

import pytest

import bandsaw


class Gate:
    """Holds calls of this process up until it is opened, and knows how many there are."""

    def __init__(self):
        self._open = threading.Event()
        self._lock = threading.Lock()
        self.inside = self.most = 0
        self.arrived = threading.Semaphore(0)

    def pass_through(self):
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        self.arrived.release()
        assert self._open.wait(60)
        with self._lock:
            self.inside -= 1

    def open(self):
        self._open.set()


@pytest.fixture
def gate():
    gate = Gate()
    yield gate
    gate.open()


class Bound(bandsaw.Advice):
    def __init__(self, number):
        self.max_in_flight = number


@pytest.fixture
def bounded(configure):
    """Makes a decorator of tasks of which so many run at once."""

    def bounded(number):
        return bandsaw.task(config=configure(Bound(number)).module_name)

    return bounded


@pytest.fixture
def task(configure):
    return bandsaw.task(config=configure().module_name)
