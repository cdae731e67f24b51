"""Local functions and classes as arguments and results, by value with cloudpickle."""

import textwrap

import pytest

pytest.importorskip("cloudpickle")

CONFIGURATION = """
import bandsaw
from bandsaw.advices.subprocess import SubprocessAdvice

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(SubprocessAdvice())
    .add_advice_chain(SubprocessAdvice(workers=1), name="kept")
    .add_advice_chain(SubprocessAdvice(fork=False), name="spawned")
    .add_advice_chain(SubprocessAdvice(interpreter=bandsaw.Interpreter(executable={other!r})),
                      name="other")
)
"""
STEPS = """
import bandsaw

@bandsaw.task(chain={chain!r})
def call(function, *args):
    return function(*args)

@bandsaw.task(chain={chain!r})
def make(number):
    class Local:
        def __init__(self):
            self.number = number
    return lambda x: x + number, Local()

@bandsaw.task(chain={chain!r})
def same(value):
    return value
"""


@pytest.fixture
def run(project, other_python):
    def run(chain, body, check=True, **variables):
        project.write("bandsaw_config.py", CONFIGURATION.format(other=str(other_python)))
        project.write("steps.py", STEPS.format(chain=chain))
        text = "from steps import *\n" + textwrap.dedent(body)
        return project.run("-c", text, check=check, **variables)

    return run


@pytest.mark.parametrize("chain", ["default", "kept", "spawned"])
def test_they_cross_as_arguments_and_results(run, chain):
    body = """
    offset = 10
    assert call(lambda x: x + offset, 1) == 11
    offset = 20
    assert call(lambda x: x + offset, 1) == 21
    assert call(sorted, [2, 1]) == [1, 2]
    add, made = make(5)
    assert add(1) == 6 and made.number == 5

    class P:
        def __init__(self, x):
            self.x = x

        def double(self):
            return self.x * 2

    back = same([P(3), {"p": P(4)}])
    assert type(back[0]) is P and isinstance(back[1]["p"], P), back
    assert back[0].double() == 6
    assert same(P) is P
    """
    run(chain, body)


def test_the_variable_that_cannot_be_written_is_named(run):
    body = """
    import threading
    import bandsaw
    lock = threading.Lock()

    def helper(x):
        with lock:
            return x

    @bandsaw.task
    def f(x):
        return helper(x)

    try:
        f(1)
    except bandsaw.errors.UnserializableError as error:
        assert "its variable 'helper.lock', a _thread.lock, is in the way" in str(error), error
    else:
        raise AssertionError
    """
    run("default", body)


def test_another_python_is_refused_in_words(run):
    done = run("other", "call(lambda x: x, 1)", check=False)
    assert "the same minor version of Python" in done.stderr or "not installed" in done.stderr
    assert "DeserializationError" in done.stderr.splitlines()[-1]


def test_without_cloudpickle_the_error_is_one_sentence_with_the_way_out(run, project):
    project.write("cloudpickle.py", "raise ImportError('there is none')")
    for body in ("call(lambda x: x, 1)", "class P: pass\nsame(P)", "class P: pass\nsame(P())"):
        done = run("default", body, check=False)
        last = done.stderr.splitlines()[-1]
        assert "UnserializableError" in last, done.stderr
        assert "cloudpickle on both sides" in last and "top level of a module" in last
        assert len(done.stderr.splitlines()) < 20
