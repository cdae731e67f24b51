"""Execution, result, context, interpreter, user, run id and streams."""

import io
import json
import os
import pickle
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bandsaw
from bandsaw.context import Context
from bandsaw.errors import InvalidValueError
from bandsaw.execution import Execution
from bandsaw.io import BytearrayGeneratorToStream, read_stream_to_generator
from bandsaw.result import Result
from bandsaw.user import get_current_username


def copies(value):
    yield pickle.loads(pickle.dumps(value))
    yield type(value).deserialize(value.serialized())
    for serializer in (bandsaw.PickleSerializer(), bandsaw.JsonSerializer()):
        stream = io.BytesIO()
        serializer.serialize(value, stream)
        stream.seek(0)
        yield serializer.deserialize(stream)


def test_an_execution_has_its_arguments():
    execution = Execution("id", [1], {"a": 2})
    assert execution.serialized() == {"execution_id": "id", "args": [1], "kwargs": {"a": 2}}
    assert Execution("id").serialized() == {"execution_id": "id", "args": (), "kwargs": {}}
    for copy in copies(execution):
        assert copy.serialized() == execution.serialized()


def f(a, b=2, *rest, c=3, **more):
    return a


def of_task(*args, **kwargs):
    task = bandsaw.tasks.Task.create_task(f, {"ignore": ["c"]})
    return Execution(None, args, kwargs).of_task(task).execution_id


def test_an_execution_id_does_not_depend_on_how_the_arguments_were_passed():
    assert of_task(1, 2) == of_task(1) == of_task(a=1) == of_task(b=2, a=1) == of_task(1, c=9)
    assert of_task(1, 2, 3) != of_task(1, 2)
    assert of_task(1, d=1) != of_task(1)
    assert of_task(1) != of_task(1.0) != of_task(True)
    assert len(of_task(1)) == 16


def test_arguments_that_do_not_fit_have_an_id_as_well():
    assert of_task() != of_task(1, 2, a=1)


def test_an_id_can_be_assigned():
    execution = Execution("one")
    execution.execution_id = "other"
    assert execution.execution_id == "other"


def test_a_result_has_a_value_or_an_exception():
    assert (Result().value, Result().exception) == (None, None)
    result = Result(1, KeyError("x"))
    assert result.serialized() == {"value": 1, "exception": result.exception}
    for copy in copies(Result([(1,)])):
        assert copy == Result([(1,)])
    for copy in copies(Result(exception=KeyError("x"))):
        assert copy == Result(exception=KeyError("x"))


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (Result(1), Result(1), True),
        (Result(1), Result(1.0), True),
        (Result(1), Result(2), False),
        (Result({1}), Result(frozenset({1})), True),
        (Result(b"a"), Result(bytearray(b"a")), True),
        (Result([1]), Result([1]), True),
        (Result(exception=KeyError(1)), Result(exception=KeyError(1)), True),
        (Result(exception=KeyError(1)), Result(exception=KeyError(2)), False),
        (Result(exception=KeyError(1)), Result(exception=LookupError(1)), False),
        (Result(exception=KeyError([1])), Result(exception=KeyError([1])), True),
        (Result(None), Result(exception=KeyError()), False),
        (Result(1), 1, False),
    ],
)
def test_results_are_equal_by_value_and_by_type_and_arguments(one, other, equal):
    assert (one == other) is equal
    if equal:
        assert hash(one) == hash(other)


def test_results_of_arrays_can_be_compared():
    numpy = pytest.importorskip("numpy")
    assert Result(numpy.arange(3)) == Result(numpy.arange(3))
    assert Result(numpy.arange(3)) != Result(numpy.arange(4))
    assert Result([numpy.arange(3)]) == Result([numpy.arange(3)])
    assert hash(Result(numpy.arange(3))) == hash(Result(numpy.arange(3)))


def test_a_context_is_a_mapping_over_its_attributes():
    attributes = {"a": 1}
    context = Context(attributes)
    assert context.attributes is attributes
    context["b"] = 2
    del context["a"]
    assert dict(context) == attributes == {"b": 2}
    assert len(context) == 1
    assert Context() == Context({})
    assert Context({"b": 2}) == context
    assert context != {"b": 2}
    assert context != Context({"b": 3})
    assert context.serialized() == {"attributes": {"b": 2}}
    assert Context().attributes is not Context().attributes
    for copy in copies(context):
        assert copy == context


def test_an_interpreter_has_defaults():
    interpreter = bandsaw.Interpreter()
    assert interpreter.path == tuple(sys.path)
    assert interpreter.executable == sys.executable
    assert interpreter.environment == {}


def test_the_environment_is_a_copy_and_is_replaced():
    interpreter = bandsaw.Interpreter()
    assert interpreter.set_environment(A="1", B="2") is interpreter
    interpreter.environment["A"] = "changed"
    assert interpreter.environment == {"A": "1", "B": "2"}
    assert interpreter.set_environment(C="3").environment == {"C": "3"}


def test_an_interpreter_round_trips():
    interpreter = bandsaw.Interpreter(["/a", "/b"], "/python").set_environment(A="1")
    assert set(interpreter.serialized()) == {"path", "executable", "environment"}
    for copy in copies(interpreter):
        assert copy == interpreter
        assert hash(copy) == hash(interpreter)
        assert copy.path == ("/a", "/b")
        assert copy.executable == "/python"
        assert copy.environment == {"A": "1"}


@pytest.mark.parametrize("local", [True, False])
def test_a_path_that_was_given_becomes_pythonpath_everywhere(local):
    interpreter = bandsaw.Interpreter(["/a", "/b"], "/python")
    assert interpreter.overlay(local) == {"PYTHONPATH": "/a:/b"}
    interpreter.set_environment(PYTHONPATH="/c", A="1")
    assert interpreter.overlay(local) == {"PYTHONPATH": "/a:/b:/c", "A": "1"}


def test_the_default_path_is_passed_on_only_to_the_same_executable_here(monkeypatch):
    monkeypatch.setattr(sys, "path", ["", "/a", Path("/b")])
    here = bandsaw.Interpreter().overlay(local=True)
    assert here == {"BANDSAW_SYS_PATH": json.dumps([os.getcwd(), "/a"])}
    assert bandsaw.Interpreter().overlay(local=False) == {}
    assert bandsaw.Interpreter(executable="/other/python").overlay(local=True) == {}
    assert bandsaw.Interpreter(path=[]).overlay(local=True) == {"PYTHONPATH": ""}


@pytest.mark.parametrize(
    "make",
    [
        lambda: bandsaw.Interpreter(path="/a"),
        lambda: bandsaw.Interpreter(path=[1]),
        lambda: bandsaw.Interpreter(path=5),
        lambda: bandsaw.Interpreter(executable=b"/python"),
        lambda: bandsaw.Interpreter(executable=""),
        lambda: bandsaw.Interpreter().set_environment(A=1),
        lambda: bandsaw.Interpreter().set_environment(**{"A=B": "1"}),
        lambda: bandsaw.Interpreter().set_environment(A="\0"),
    ],
)
def test_an_interpreter_refuses_what_cannot_be(make):
    with pytest.raises(InvalidValueError):
        make()


def test_the_user_has_a_name(monkeypatch):
    assert get_current_username()

    def failing():
        raise KeyError("no such user")

    monkeypatch.setattr("getpass.getuser", failing)
    assert get_current_username() == str(os.getuid())


def test_the_run_id_is_made_once(monkeypatch):
    monkeypatch.setattr("bandsaw.run._RUN_ID", None)
    assert bandsaw.get_run_id() == bandsaw.get_run_id()
    with pytest.raises(RuntimeError, match="Run ID was already set"):
        bandsaw.set_run_id("mine")


def test_the_run_id_can_be_set_before(monkeypatch):
    monkeypatch.setattr("bandsaw.run._RUN_ID", None)
    bandsaw.set_run_id("mine")
    assert bandsaw.get_run_id() == "mine"
    with pytest.raises(RuntimeError, match="Run ID was already set"):
        bandsaw.set_run_id("mine")


@pytest.mark.parametrize("run_id", ["", "-x", None, 1])
def test_a_run_id_is_a_text(monkeypatch, run_id):
    monkeypatch.setattr("bandsaw.run._RUN_ID", None)
    with pytest.raises(InvalidValueError):
        bandsaw.set_run_id(run_id)


@given(st.lists(st.binary(max_size=20).map(bytearray)), st.integers(1, 30))
def test_a_stream_over_a_generator_fills_what_is_asked_for(items, size):
    whole = b"".join(items)
    stream = BytearrayGeneratorToStream(iter(items))
    assert stream.readable()
    pieces = list(read_stream_to_generator(stream, size))
    assert b"".join(pieces) == whole
    assert all(len(piece) == size for piece in pieces[:-1])
    assert BytearrayGeneratorToStream(iter(items)).read() == whole
    assert io.BufferedReader(BytearrayGeneratorToStream(iter(items))).read() == whole


def test_a_stream_is_read_in_pieces_of_8192_bytes_by_default():
    pieces = list(read_stream_to_generator(io.BytesIO(bytes(20000))))
    assert list(map(len, pieces)) == [8192, 8192, 3616]
