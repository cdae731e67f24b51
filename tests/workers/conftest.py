"""What the tests of processes share: workflows in a project, and a look at what they leave."""

import textwrap

import pytest

from tests.faults import workers_seen as seen

OPTIONS = {"own": "", "spawn": "fork=False", "warm": "workers=1"}
HEADER = "import json, os, signal, subprocess, sys, threading, time\nimport bandsaw\n"
CONFIGURATION = """\
import bandsaw
from bandsaw.advices.subprocess import SubprocessAdvice

configuration = bandsaw.Configuration().add_advice_chain(SubprocessAdvice({options}))
"""


# A Python that starts anew takes longest.
@pytest.fixture(params=["own", pytest.param("spawn", marks=pytest.mark.slow), "warm"])
def mode(request):
    """The options of an advice: for an own process, forked or not, and for a warm one."""
    return OPTIONS[request.param]


@pytest.fixture
def write(project):
    """Writes a workflow: the tasks, and what is done with them."""

    def write(tasks, body, options=""):
        project.write("bandsaw_config.py", CONFIGURATION.format(options=options))
        body = textwrap.indent(textwrap.dedent(body).strip("\n"), "    ")
        text = f"{HEADER}{textwrap.dedent(tasks)}\nif __name__ == '__main__':\n{body}\n"
        (project.folder / "workflow.py").write_text(text)

    return write


@pytest.fixture
def left_nothing(project, wait_until):
    """Sees that no process and no file is left of what ran in the project."""

    def left_nothing():
        wait_until(lambda: not seen.processes(str(project.temporary)))
        wait_until(lambda: project.left_behind() == [])

    return left_nothing


@pytest.fixture
def run(project, write, left_nothing):
    """Runs a workflow, sees that nothing is left of it, and returns how it ended."""

    def run(tasks, body, options="", **arguments):
        write(tasks, body, options)
        done = project.run("workflow.py", **arguments)
        left_nothing()
        return done

    return run


@pytest.fixture
def start(project, write):
    """Starts a workflow and leaves it to the caller."""

    def start(tasks, body, options="", **arguments):
        write(tasks, body, options)
        return project.start("workflow.py", **arguments)

    return start
