"""What advices, chains and results cannot be made with is refused by an error that names it."""

from pathlib import Path

import pytest

import bandsaw
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.ssh import SshAdvice
from bandsaw.advices.subprocess import SubprocessAdvice
from bandsaw.errors import AdviceResultError, ConfigurationTypeError, InvalidValueError

CONFIGURATION = bandsaw.Configuration()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: CachingAdvice(5), "directory=5 has to be a path"),
        (lambda: CachingAdvice(None), "directory=None has to be a path"),
        (lambda: CachingAdvice(""), "directory='' has to be a path"),
        (lambda: CachingAdvice(b"x"), "directory=b'x' has to be a path"),
        (lambda: CachingAdvice("x", mmap="no"), "mmap='no' has to be True or False"),
        (lambda: CachingAdvice("x", keep_if=3), "keep_if=3 has to be a function"),
        (lambda: SubprocessAdvice(5), "directory=5 has to be a path"),
        (lambda: SubprocessAdvice(b"x"), "directory=b'x' has to be a path"),
        (lambda: SubprocessAdvice(fork="no"), "fork='no' has to be True or False"),
        (lambda: SshAdvice(5), "directory=5 has to be a path"),
        (lambda: SshAdvice(backend=3), "backend=3 of an SshAdvice has to be an SshBackend"),
        (lambda: bandsaw.Environment.from_script(3), "path=3 of a script has to be a path"),
        (lambda: CONFIGURATION.distribute_first_party("no"), "'no' has to be True or False"),
        (lambda: CONFIGURATION.set_strict_options("no"), "'no' has to be True or False"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(make, said):
    with pytest.raises(InvalidValueError, match=said):
        make()


@pytest.mark.parametrize("given", ["python3.9", "python3", "pypy"])
def test_a_python_that_is_given_as_the_directory_is_warned_of(given):
    with pytest.warns(UserWarning, match="interpreter=bandsaw.Interpreter") as caught:
        assert str(SubprocessAdvice(given).directory) == given
    assert caught[0].filename == __file__


def test_the_name_of_a_chain_is_a_text():
    with pytest.raises(ConfigurationTypeError, match="name of an advice chain is a text, not 5"):
        bandsaw.Configuration().add_advice_chain(name=5)


@pytest.mark.parametrize("given", [5, "a text", ValueError])
def test_the_exception_of_a_result_is_an_exception(given):
    with pytest.raises(AdviceResultError, match="is no exception"):
        bandsaw.Result(exception=given)


def test_a_backend_needs_one_way_only():
    class Connected:
        def connection_command(self, remote, executable):
            return [executable]

    assert type(SshAdvice(backend=Connected()).backend) is Connected


@pytest.mark.parametrize(
    ("given", "instead"),
    [("s3://bucket/x", "shared="), (Path("gs://bucket"), "shared="), ("~/cache", "expanduser")],
)
@pytest.mark.parametrize("make", [CachingAdvice, SubprocessAdvice, bandsaw.recording.Recorder])
def test_a_path_that_means_another_place_elsewhere_is_warned_of(make, given, instead):
    with pytest.warns(UserWarning, match=f"that very name .*{instead}") as told:
        make(given)
    assert told[0].filename == __file__
