import functools
import inspect
import io
import pickle
import re
import sys
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

import bandsaw
import bandsaw.session
from bandsaw.errors import DeserializationError, NotImportableError, UnserializableError
from bandsaw.execution import Execution
from bandsaw.result import Result
from bandsaw.serialization.values import ValueSerializer
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
        assert ("at the top level" in str(caught.value)) != missing
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

    monkeypatch.setattr("bandsaw.fingerprint.watched_task_id_of", refuse)
    pickle.dumps(Task.create_task(subprocess.getoutput))


def test_the_arguments_of_a_function_that_others_decorated_are_bound():
    def passing(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    task = Task.create_task(passing(add))
    assert task.execution_id_of((1,), {}) == task.execution_id_of((), {"a": 1, "b": 1})


def table(data, /, *rest, rate=0.5, verbose=False, **options):
    return data


def execution_of(task, *args, **kwargs):
    return Execution(None, args, kwargs).of_task(task)


def test_arguments_are_told_by_parameter():
    task = Task.create_task(table, {"ignore": ["verbose"]})
    execution = execution_of(task, [1], 2, verbose=True, deep=1)
    assert execution.bound_arguments() == {
        "data": [1], "rest": (2,), "rate": 0.5, "options": {"deep": 1},
    }  # fmt: skip
    digests = execution.argument_digests()
    assert set(digests) == set(execution.bound_arguments())
    assert all(re.fullmatch("[0-9a-f]{16}", text) for text in digests.values())
    assert execution_of(task).bound_arguments() == {"*": (), "**": {}}
    assert Execution("id", (1,)).bound_arguments() == {}
    assert Execution("id", (1,)).argument_digests() == {}
    assert execution_of(Summing(1), 2).bound_arguments() == {}
    assert execution_of(Summing(1), 2).argument_digests() == {}


values = st.lists(st.integers(0, 2), min_size=3, max_size=3)


@given(values, values)
def test_digests_of_arguments_differ_where_the_arguments_do(one, other):
    task = Task.create_task(table)
    first, second = (execution_of(task, [v[0]], rate=v[1], extra=(v[2],)) for v in (one, other))
    assert (first.execution_id == second.execution_id) == (one == other)
    mine, others = first.argument_digests(), second.argument_digests()
    assert [mine[n] == others[n] for n in ("data", "rate", "options")] == [
        a == b for a, b in zip(one, other)
    ]


def test_digests_of_arguments_are_those_of_the_id_and_are_not_made_twice(monkeypatch):
    task = Task.create_task(table)
    execution, other = execution_of(task, [1], deep=2), execution_of(task, [1], deep=2)
    bare = object.__new__(Execution)
    bare._execution_id, bare._task, bare.args, bare.kwargs = None, task, ([1],), {"deep": 2}
    other.execution_id = "mine"
    assert execution.execution_id == bare.execution_id
    assert other.argument_digests() == bare.argument_digests()
    monkeypatch.setattr(Task, "_write_arguments", None)
    assert execution.argument_digests() == other.argument_digests()


class Naming(Task):
    """A user's own task with ids of its own."""

    def _execute(self, args, kwargs):
        return args

    def execution_id_of(self, args, kwargs):
        return f"mine-{super().execution_id_of(args, kwargs)}"

    @property
    def function(self):
        return add

    def serialized(self):
        return {}

    @classmethod
    def deserialize(cls, values):
        return cls()


def test_a_task_can_make_execution_ids_of_its_own():
    execution = execution_of(Naming("id"), 1)
    assert execution.execution_id == f"mine-{Task.create_task(add).execution_id_of((1,), {})}"
    assert set(execution.argument_digests()) == {"a", "b"}


def test_what_belongs_to_a_process_does_not_cross_with_a_task_that_pickles_as_any_object():
    task = Naming("id", {"a": 1})
    task._configuration = open(__file__)
    execution_of(task, 1).argument_digests()
    copy = pickle.loads(pickle.dumps(task))
    task._configuration.close()
    assert (copy.task_id, copy.kwargs, copy._configuration) == ("id", {"a": 1}, None)


class Money:
    def __init__(self, amount, note=""):
        self.amount, self.note = amount, note


class MoneySerializer(ValueSerializer):
    def can_serialize_value(self, value):
        return isinstance(value, Money)

    def serialize_value(self, value):
        return [value.amount, value.note]

    def deserialize_value(self, representation):
        return Money(*representation)


class MoneyByAmount(MoneySerializer):
    def canonical_form(self, value):
        return value.amount


class OwnSerializer(bandsaw.PickleSerializer):
    def canonical_form(self, value):
        return value.amount if isinstance(value, Money) else NotImplemented


class DuckValueSerializer:
    can_serialize_value = staticmethod(lambda value: True)


def json_with(*value_serializers):
    serializer = bandsaw.JsonSerializer()
    serializer.value_serializers += value_serializers
    return serializer


def ids_with(configuration, *values):
    task = Task.create_task(add)
    task._configuration = configuration
    return [task.execution_id_of((value,), {}) for value in values]


@pytest.mark.parametrize(
    ("serializer", "counts"),
    [
        (bandsaw.PickleSerializer(), True),
        (bandsaw.JsonSerializer(), True),
        (json_with(MoneySerializer()), True),
        (json_with(DuckValueSerializer()), True),
        (json_with(MoneyByAmount()), False),
        (json_with(MoneyByAmount(), MoneySerializer(), DuckValueSerializer()), False),
        (OwnSerializer(), False),
        (object(), True),
    ],
)
def test_a_serializer_can_define_the_canonical_form_of_its_type(serializer, counts):
    configuration = SimpleNamespace(serializer=serializer)
    one, other, more = ids_with(configuration, [Money(1, "a")], [Money(1, "b")], [Money(2, "a")])
    assert (one != other) == counts
    assert one != more
    plain = ids_with(None, [Money(1, "a")])[0]
    assert (one == plain) == counts
    assert ids_with(configuration, [1, "x", {2}]) == ids_with(None, [1, "x", {2}])


@pytest.mark.parametrize(
    "serializer",
    [bandsaw.PickleSerializer(), bandsaw.JsonSerializer(), json_with(MoneySerializer())],
)
def test_a_serializer_without_forms_of_its_own_is_not_asked(serializer, monkeypatch):
    seen = []
    monkeypatch.setattr(
        "bandsaw._identity.arguments.write_arguments",
        lambda bound, digest, hook, bulk: seen.append(hook) or {},
    )
    ids_with(SimpleNamespace(serializer=serializer), 1)
    assert seen == [None]


def test_the_hash_of_the_configuration_is_used_for_large_arguments():
    large = [b"x" * 1000]
    ids = {ids_with(None, large)[0], ids_with(SimpleNamespace(), large)[0]}
    assert len(ids) == 1
    for name in ("xxhash", "blake3"):
        ids.add(ids_with(bandsaw.Configuration().set_bulk_hash(name), large)[0])
    assert len(ids) == 3


def test_tasks_know_their_configuration_in_every_process(configure):
    configuration = configure()
    task = bandsaw.task(config=configuration.module_name)(add).bandsaw_task
    assert task._configuration is configuration
    session = bandsaw.session.Session(task, execution_of(task, 1), configuration)
    stream = io.BytesIO()
    session.save(stream)
    stream.seek(0)
    restored = bandsaw.session.Session().restore(stream)
    assert restored.task is not task
    assert restored.task._configuration is configuration
