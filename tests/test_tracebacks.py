"""What a user reads of an error: the own frames, and which call it was."""

import sys
import textwrap

import pytest

prints_notes = pytest.mark.skipif(
    sys.version_info < (3, 11), reason="Python prints notes from 3.11 on"
)

CONFIGURATION = """
import bandsaw
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.log import LoggingAdvice
from bandsaw.advices.subprocess import SubprocessAdvice

class Failing(bandsaw.Advice):
    def before(self, session):
        raise KeyError("mine")

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(LoggingAdvice(), CachingAdvice(".cache"), name="here")
    .add_advice_chain(LoggingAdvice(), SubprocessAdvice(), name="own")
    .add_advice_chain(SubprocessAdvice(workers=1), name="kept")
    .add_advice_chain(SubprocessAdvice(fork=False), name="spawned")
    .add_advice_chain(name="unadvised")
    .add_advice_chain(LoggingAdvice(), Failing(), name="failing")
)
"""
RAISED = 'raise ValueError("no")  # the very line'
WORKFLOW = """
import bandsaw

class Secret:
    def __repr__(self):
        raise SystemExit("asked for a text")

def inner(x):
    {raised}

@bandsaw.task(chain={chain!r})
def f(x, name=None, secret=None):
    return inner(x)

@bandsaw.task(chain={chain!r})
def outer(x):
    return f(x)

if __name__ == "__main__":
    {body}
"""


@pytest.fixture
def fail(project):
    project.write("bandsaw_config.py", CONFIGURATION)

    def fail(chain, body, raised=RAISED, **variables):
        body = textwrap.indent(body, "    ").strip()
        text = WORKFLOW.format(chain=chain, raised=raised, body=body)
        project.write("workflow.py", text)
        return project.run("workflow.py", check=False, **variables).stderr

    return fail


@prints_notes
@pytest.mark.parametrize("chain", ["here", "own", "kept", "spawned"])
def test_only_frames_of_the_user_are_shown_with_file_line_and_source(fail, project, chain):
    told = fail(chain, "outer(1)")
    assert told.rstrip().splitlines()[-3:] == [
        "ValueError: no", "In the call workflow.f(1)", "In the call workflow.outer(1)",
    ]  # fmt: skip
    assert f'File "{project.folder}/workflow.py", line 9, in inner' in told
    assert 'raise ValueError("no")  # the very line' in told
    assert "bandsaw/" not in told
    assert "bandsaw/" in fail(chain, "outer(1)", BANDSAW_TRACEBACK="full")


@pytest.mark.parametrize("chain", ["here", "own", "kept", "unadvised"])
@pytest.mark.parametrize("call", ["f.submit(1).result()", "list(f.map([1]))"])
def test_an_interrupt_that_a_task_raises_shows_no_frames_of_ours(fail, project, chain, call):
    told = fail(chain, call, raised="raise KeyboardInterrupt")
    assert told.count("raise KeyboardInterrupt") >= 1
    assert "bandsaw/" not in told


def test_a_hook_of_the_user_is_asked_as_before(fail):
    body = """
import sys
sys.excepthook = lambda kind, error, traceback: print(kind.__name__, file=sys.stderr)
f(1)
    """
    assert fail("here", body) == "ValueError\n"
    body = """
import sys
try:
    f(1)
except ValueError:
    pass
sys.excepthook = lambda kind, error, traceback: print("later", file=sys.stderr)
f(1)
    """
    assert fail("here", body) == "later\n"


@prints_notes
def test_the_note_runs_no_code_of_the_arguments(fail):
    told = fail("own", "f([1, 2, 3], name='x' * 200, secret=Secret())")
    assert "In the call workflow.f([1, 2, 3], name='xxxx" in told
    assert "workflow.Secret" in told and len(told.splitlines()[-1]) < 250
    assert "asked for a text" not in told


def test_a_note_is_there_once_a_call_also_before_python_prints_it(fail):
    body = """
for chance in (1, 2):
    try:
        f(chance)
    except ValueError as error:
        assert error.__notes__ == [f"In the call workflow.f({chance})"], error.__notes__
    """
    assert fail("kept", body) == ""


@prints_notes
def test_an_error_of_an_advice_names_advice_and_call(fail):
    told = fail("failing", "f(1)").rstrip().splitlines()
    assert told[-2:] == ["KeyError: 'mine'", "Raised in Failing.before of task workflow.f"]
    assert not [line for line in told if "moderator.py" in line or "session.py" in line]


@prints_notes
def test_an_error_whose_class_did_not_arrive_names_the_call(fail):
    raised = "raise type('Local', (Exception,), {})('no')"
    told = fail("own", "f(1)", raised=raised).rstrip().splitlines()
    assert told[-2:] == ["bandsaw.errors.RemoteError: no", "In the call workflow.f(1)"]


@pytest.mark.slow
@pytest.mark.parametrize("chain", ["here", "unadvised"])
def test_pytest_shows_the_line_of_the_user_last(fail, project, chain):
    fail(chain, "pass")
    body = "import workflow\n"
    for number, call in enumerate(("f(1)", "f.submit(1).result()", "f.map([1]).__next__()")):
        body += f"\ndef test_{number}():\n    workflow.{call}\n"
    project.write("test_workflow.py", body)
    told = project.run("-m", "pytest", "-q", "test_workflow.py", check=False).stdout
    assert told.count("the very line\n") == 3
    assert "bandsaw/" not in told and "concurrent" not in told


@pytest.mark.parametrize(
    ("chain", "configuration", "last"),
    [
        ("missing", CONFIGURATION, "bandsaw.errors.UnknownChainError: "),
        ("here", CONFIGURATION + "configuration.add_advice_chain(3)", "bandsaw.errors.Configura"),
        ("here", CONFIGURATION + "configuration.add_chain()", "AttributeError: "),
    ],
)
def test_an_error_in_a_definition_is_told_below_ten_lines(
    fail, project, chain, configuration, last
):
    fail("here", "pass")
    project.write("bandsaw_config.py", configuration)
    project.write("workflow.py", WORKFLOW.format(chain=chain, raised=RAISED, body="pass"))
    lines = project.run("workflow.py", check=False).stderr.splitlines()
    frames = [line for line in lines if line.startswith("  File ")]
    assert frames and all(str(project.folder) in frame for frame in frames)
    assert lines[-1].startswith(last) and len(lines) < 10
