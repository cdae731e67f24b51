import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import lacking

VALUES = """
import collections, datetime, decimal

Point = collections.namedtuple('Point', 'x y')

class OwnError(Exception):
    def __init__(self, first, second):
        super().__init__(first, second)
        self.second = second

VALUE = [(1, 2), {3: (4,), (5,): 'x'}, {6}, frozenset({7}), b'8', decimal.Decimal('9'), 8j,
         datetime.date(2020, 1, 1), float('inf'), Point(1, (2,)), None, True, '\\ud800', 2 ** 200]
"""
TASKS = """
from values import *

@bandsaw.task
def f(value):
    return value, tuple(sys.version_info[:2])

@bandsaw.task
def fail():
    raise OwnError('first', (1,))
"""
BODY = """
for _ in range(2):
    found, version = f(VALUE)
    assert version == {version}, version
    assert found == VALUE and list(map(type, found)) == list(map(type, VALUE))
    assert type(found[1][3]) is tuple
    try:
        fail()
    except OwnError as error:
        assert error.args == ('first', (1,)) and error.second == (1,)
    else:
        raise AssertionError
"""


@pytest.mark.parametrize("there", ["oldest", "newest", "this"])
@pytest.mark.parametrize("here", ["oldest", "newest", "this"])
def test_values_and_errors_cross_between_any_two_pythons(run, project, pythons, here, there):
    versions = {"oldest": min(pythons), "newest": max(pythons), "this": sys.version_info[:2]}
    project.write("values.py", VALUES)
    version = versions[there]
    # A kept process takes sessions whole, and then as what differs.
    mode = "" if here == "this" else "workers=1"
    options = f"interpreter=bandsaw.Interpreter(executable={pythons[version]!r}), {mode}"
    body = BODY.format(version=version)
    done = run(TASKS, body, options, python=pythons[versions[here]])
    assert done.stdout == done.stderr == ""


def old_pythons():
    pattern = ".pyenv/versions/*/bin/python"
    found = {path.parts[-3].rpartition(".")[0]: str(path) for path in Path.home().glob(pattern)}
    return {name: found.get(name) for name in ("2.7", "3.6", "3.7", "3.8")}


REFUSED = """
@bandsaw.task
def f():
    print('ran')
"""


@pytest.mark.parametrize("name", old_pythons())
def test_a_python_that_is_too_old_is_refused_with_both_versions(run, name):
    executable = old_pythons()[name]
    if executable is None:
        if name != "3.8":
            pytest.skip(f"Python {name} is not installed")
        lacking(f"Python {name} is not installed")
    here = ".".join(map(str, sys.version_info[:3]))
    body = f"""
    for _ in range(2):
        try:
            f()
        except bandsaw.errors.WorkerStartError as error:
            for part in ('3.9', {name!r}, {here!r}, {executable!r}):
                assert part in str(error), (part, str(error))
        else:
            raise AssertionError
    """
    done = run(REFUSED, body, f"interpreter=bandsaw.Interpreter(executable={executable!r})")
    assert done.stdout == ""


LOCAL = """
class Sent:
    def __reduce__(self):
        print('sent')
        return Sent, ()

def make():
    y = 2

    @bandsaw.task
    def local(x=None):
        return 1, y
    return local
"""


def test_a_local_function_is_refused_by_another_version_before_anything_is_sent(
    run, mode, pythons, other_python
):
    version = next(v for v, executable in pythons.items() if executable == other_python)
    body = f"""
    try:
        make()()
    except bandsaw.errors.UnserializableError as error:
        for part in ('local', {".".join(map(str, version))!r}, sys.version.split()[0], 'top level'):
            assert part in str(error), (part, str(error))
    else:
        raise AssertionError
    """
    run(LOCAL, body, f"interpreter=bandsaw.Interpreter(executable={other_python!r}), {mode}")


def test_a_local_function_crosses_to_the_same_version(run, mode):
    pytest.importorskip("cloudpickle")
    run(LOCAL, "assert make()() == make()() == (1, 2)", mode)


def test_a_local_function_is_refused_where_cloudpickle_is_missing(run, mode, tmp_path):
    pytest.importorskip("cloudpickle")
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    body = """
    try:
        make()()
    except bandsaw.errors.UnserializableError as error:
        assert 'cloudpickle' in str(error) and 'not installed' in str(error), error
        assert 'pip install cloudpickle' in str(error), error
    else:
        raise AssertionError
    """
    executable = str(environment / "bin" / "python")
    run(LOCAL, body, f"interpreter=bandsaw.Interpreter(executable={executable!r}), {mode}")


@pytest.mark.parametrize(
    "executable", ["/not/there/python", "/tmp", "/bin/true", "/bin/false", "/bin/cat", "/dev/null"]
)
def test_what_is_no_python_is_refused_and_named(run, executable):
    name = shutil.which(executable) or executable
    body = f"""
    for _ in range(2):
        try:
            f()
        except OSError as error:
            assert isinstance(error, bandsaw.errors.WorkerStartError)
            assert {name!r} in str(error), error
        else:
            raise AssertionError
    """
    run(REFUSED, body, f"interpreter=bandsaw.Interpreter(executable={name!r})")


@pytest.mark.slow
@pytest.mark.parametrize("text", ["echo noise", "echo noise >&2", "head -c 200000 /dev/zero"])
def test_an_interpreter_that_writes_at_start_does_no_harm(run, tmp_path, text, mode):
    launcher = tmp_path / "launcher"
    launcher.write_text(f'#!/bin/sh\n{text}\nexec {sys.executable} "$@"\n')
    launcher.chmod(0o700)
    tasks = "@bandsaw.task\ndef f():\n    return (1,)"
    options = f"interpreter=bandsaw.Interpreter(executable={str(launcher)!r}), {mode}"
    run(tasks, "assert f() == f() == (1,)", options)
