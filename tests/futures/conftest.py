"""Tasks that are submitted: in chains of this process, and of others."""

import textwrap
import threading

import pytest

import bandsaw

CONFIGURATION = """
import bandsaw
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.subprocess import SubprocessAdvice

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(SubprocessAdvice(workers=1))
    .add_advice_chain(SubprocessAdvice(workers=2), name="two")
    .add_advice_chain(SubprocessAdvice(), name="own")
    .add_advice_chain(CachingAdvice("cache"), SubprocessAdvice(), name="cached")
)
"""


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


@pytest.fixture
def write(project):
    """Writes a script with tasks in other processes."""

    def write(tasks, body):
        project.write("bandsaw_config.py", CONFIGURATION)
        head = "import concurrent.futures, os, signal, sys, threading, time\nimport bandsaw\n"
        body = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
        text = f"{head}{textwrap.dedent(tasks)}\nif __name__ == '__main__':\n{body}\n"
        return project.write("workflow.py", text)

    return write


@pytest.fixture
def run(project, write):
    """Runs a script with tasks in other processes."""

    def run(tasks, body, **options):
        write(tasks, body)
        done = project.run("workflow.py", **options)
        assert project.left_behind() == []
        return done

    return run
