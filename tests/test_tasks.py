import functools
import inspect
import io
import pickle
import sys
from types import SimpleNamespace

import pytest

import bandsaw
from bandsaw.errors import DeserializationError, NotImportableError, UnserializableError
from bandsaw.execution import Execution
from bandsaw.result import Result
from bandsaw.tasks import Task, _FunctionTask, _FunctionWithClosureTask


def add(a, b=1):
    """Adds."""
    return a + b


class Methods:
    def method(self, x):
        return x


class Summing(Task):
    """A user's own task."""

    def __init__(self, start):
        super().__init__(f"summing-{start}")
        self.start = start

    def _execute(self, args, kwargs):
        return sum(args, self.start)

    def serialized(self):
        return {"start": self.start}

    @classmethod
    def deserialize(cls, values):
        return cls(**values)


def test_a_task_is_made_of_a_function():
    task = Task.create_task(add, {"key": [1]})
    assert isinstance(task, _FunctionTask)
    assert task.function is add
    assert task.source == inspect.getsource(add)
    assert task.bytecode == add.__code__.co_code
    assert task.signature == inspect.signature(add)
    assert str(task) == f"{__name__}.add"
    assert task.execute(Execution("e", (1,), {"b": 2})) == Result(3)
    assert Task.create_task(Methods.method).execute(Execution("e", (None, 2))) == Result(2)


def test_the_keywords_are_a_copy():
    task = Task.create_task(add, {"key": 1})
    task.kwargs["key"] = 2
    assert task.kwargs == {"key": 1}
    assert Task.create_task(add).kwargs == {}


def test_an_exception_becomes_the_result_with_the_traceback_of_the_function():
    result = Task.create_task(add).execute(Execution("e", (1, "x")))
    assert isinstance(result.exception, TypeError)
    assert result.exception.__traceback__.tb_frame.f_code is add.__code__


def test_a_task_can_be_subclassed():
    task = Summing(10)
    assert task.task_id == "summing-10"
    assert task.execute(Execution("e", (1, 2))) == Result(13)
    assert isinstance(task.execute(Execution("e", ("x",))).exception, TypeError)
    with pytest.raises(TypeError):
        Task()


def test_the_id_is_derived_from_the_code_and_can_be_assigned():
    task = Task.create_task(add)
    assert len(task.task_id) == 16
    assert task.task_id == Task.create_task(add).task_id
    assert task.task_id != Task.create_task(Methods.method).task_id
    assert Task.create_task(add, {"version": "2"}).task_id != task.task_id
    assert Task.create_task(add, {"depends": [1]}).task_id != task.task_id
    task.task_id = "mine"
    assert task.task_id == "mine"


def local_function(offset):
    return lambda x: x + offset


def test_a_local_function_is_held_by_its_task():
    task = Task.create_task(local_function(1))
    assert isinstance(task, _FunctionWithClosureTask)
    assert task.execute(Execution("e", (1,))) == Result(2)
    assert task.task_id == Task.create_task(local_function(1)).task_id
    assert task.task_id != Task.create_task(local_function(2)).task_id


def crossed(task):
    serializer, stream = bandsaw.PickleSerializer(), io.BytesIO()
    serializer.serialize(task, stream)
    stream.seek(0)
    return serializer.deserialize(stream)


def test_a_local_function_crosses_with_cloudpickle():
    task = Task.create_task(local_function(1), {"a": 1})
    task.task_id = "mine"
    copy = crossed(task)
    assert copy.execute(Execution("e", (1,))) == Result(2)
    assert (copy.kwargs, copy.task_id) == ({"a": 1}, "mine")


def test_a_local_function_crosses_only_to_the_same_version_of_python(monkeypatch):
    task = Task.create_task(local_function(1))
    monkeypatch.setattr("bandsaw.tasks.sys", SimpleNamespace(version_info=(3, 1, 0)))
    read, arguments = task.__reduce__()
    monkeypatch.undo()
    with pytest.raises(DeserializationError, match=r"written by 3\.1 "):
        read(*arguments)


def test_a_local_function_without_cloudpickle_here_is_a_typed_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "cloudpickle", None)
    with pytest.raises(UnserializableError, match="install cloudpickle on both sides"):
        crossed(Task.create_task(local_function(1)))


def test_a_local_function_without_cloudpickle_there_is_a_typed_error(monkeypatch):
    read, arguments = Task.create_task(local_function(1)).__reduce__()
    for name in [name for name in sys.modules if name.startswith("cloudpickle")]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DeserializationError, match="cloudpickle and all that it needs"):
        read(*arguments)


def test_a_local_function_never_comes_out_of_json():
    with pytest.raises(TypeError, match="only a PickleSerializer"):
        bandsaw.JsonSerializer().serialize(Task.create_task(local_function(1)), io.BytesIO())
    data = {"function": pickle.dumps(print), "python": [3, 9], "task_kwargs": {}, "task_id": None}
    with pytest.raises(DeserializationError):
        _FunctionWithClosureTask.deserialize(data)


def test_a_task_that_cannot_be_found_is_a_typed_error_and_no_result():
    for task in (_FunctionTask("f", "no_such_module"), _FunctionTask("no_such_name", "json")):
        with pytest.raises(NotImportableError, match="cannot be imported by") as caught:
            task.execute(Execution("e"))
        missing = isinstance(caught.value.__cause__, ImportError)
        assert ("add_modules_for_distribution" in str(caught.value)) == missing
        assert caught.value.__cause__ is not None


def test_a_task_whose_name_leads_to_no_function_is_a_typed_error():
    with pytest.raises(TypeError, match="Unsupported task object of type"):
        _FunctionTask("JSONDecoder", "json").execute(Execution("e"))


def test_a_task_crosses_by_the_names_of_its_function():
    import subprocess

    task = Task.create_task(subprocess.getoutput, {"a": (1,)})
    task.task_id = "mine"
    for copy in (
        pickle.loads(pickle.dumps(task)),
        _FunctionTask.deserialize(task.serialized()),
    ):
        assert copy.function is subprocess.getoutput
        assert (copy.kwargs, copy.task_id) == ({"a": (1,)}, "mine")
    assert Task.create_task(subprocess.getoutput).serialized()["task_id"] is None


def test_an_id_that_nobody_read_is_not_made_for_the_way(monkeypatch):
    import subprocess

    def refuse(*_, **__):
        raise AssertionError

    monkeypatch.setattr("bandsaw.fingerprint.task_id_of", refuse)
    pickle.dumps(Task.create_task(subprocess.getoutput))


def test_the_arguments_of_a_function_that_others_decorated_are_bound():
    def passing(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    task = Task.create_task(passing(add))
    assert task.execution_id_of((1,), {}) == task.execution_id_of((), {"a": 1, "b": 1})
