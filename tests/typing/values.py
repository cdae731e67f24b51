"""What a type checker sees of sessions, tasks, values and serializers. Never run."""

import inspect
import io
import os
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, Callable, Optional

from typing_extensions import assert_type

import bandsaw
from bandsaw.context import Context
from bandsaw.distribution import DistributionArchive
from bandsaw.execution import Execution
from bandsaw.fingerprint import IdentityWarning, execution_id_of, fingerprint, parts_of, task_id_of
from bandsaw.io import BytearrayGeneratorToStream, read_stream_to_generator
from bandsaw.modules import get_loaded_module_name_by_path, import_object, object_as_import
from bandsaw.result import Result
from bandsaw.runner import main
from bandsaw.serialization import (
    JsonSerializer,
    PickleSerializer,
    SerializableValue,
    Serializer,
)
from bandsaw.serialization.values import (
    ExceptionSerializer,
    SerializableValueSerializer,
    TupleSerializer,
    ValueSerializer,
)
from bandsaw.session import Session
from bandsaw.tasks import Task

stream = io.BytesIO()

task = Task.create_task(os.path.join, {"timeout": 3})
execution = Execution("id", args=[1], kwargs={"a": 2})
assert_type(task, Task)
assert_type(task.kwargs, dict[str, Any])
assert_type(task.source, str)
assert_type(task.bytecode, bytes)
assert_type(task.signature, inspect.Signature)
assert_type(task.function, Callable[..., Any])
assert_type(task.execute(execution), Result)
assert_type(task.execution_id_of([1], {"a": 2}), str)
task.task_id = "id"
task.execute((1, 2))  # type: ignore[arg-type]
Task()  # type: ignore[abstract]
Execution()  # type: ignore[call-arg]
Execution("id", 1)  # type: ignore[arg-type]

result = bandsaw.Result(value=1)
assert_type(result, Result)
assert_type(Result(exception=KeyError("a")).exception, Optional[BaseException])
Result(exception="text")  # type: ignore[arg-type]
Result(1, None, 2)  # type: ignore[call-arg]

context = Context({"a": 1})
assert_type(context.attributes, dict[str, Any])
assert_type(list(context), list[str])
assert_type(iter(context), Iterator[str])
context["b"] = object()
context[1] = 2  # type: ignore[index]
Context([1])  # type: ignore[arg-type]

session = bandsaw.Session(task, execution, bandsaw.Configuration(), "default")
assert_type(session.initiate(), Result)
assert_type(session.context, Context)
assert_type(session.serializer, Serializer)
assert_type(session.distribution_archive, DistributionArchive)
assert_type(session.run_id, str)
assert_type(session.advice_chain, str)
assert_type(session.save(stream), None)
assert_type(Session().restore(stream), Session)
session.save("file")  # type: ignore[arg-type]
session.conclude("value")  # type: ignore[arg-type]
Session(advice_chain=3)  # type: ignore[arg-type]


class Length(bandsaw.SerializableValue):
    def __init__(self, metres: float) -> None:
        self.metres = metres

    def serialized(self) -> dict[str, Any]:
        return {"metres": self.metres}

    @classmethod
    def deserialize(cls, values: Mapping[str, Any]) -> "Length":
        return cls(values["metres"])


class NotReadable(SerializableValue):
    def serialized(self) -> dict[str, Any]:
        return {}


assert_type(Length.deserialize({"metres": 2.5}), Length)
Length(2.5).deserialize("metres")  # type: ignore[arg-type]
NotReadable()  # type: ignore[abstract]

json = bandsaw.JsonSerializer(["my_models"], max_size=1, max_depth=None, max_count=1)
assert_type(json, JsonSerializer)
assert_type(json.value_serializers, list[ValueSerializer])
assert_type(json.serialize([1], stream), None)
assert_type(json.deserialize(stream), Any)
json.serialize([1])  # type: ignore[call-arg]
json.serialize([1], io.StringIO())  # type: ignore[arg-type]
json.value_serializers.append(Length)  # type: ignore[arg-type]
JsonSerializer(max_size="1 GB")  # type: ignore[arg-type]

pickle = bandsaw.PickleSerializer(key=b"0123456789abcdef")
assert_type(pickle, PickleSerializer)
assert_type(pickle.is_signed, bool)
assert_type(pickle.for_purpose("purpose"), Serializer)
PickleSerializer(key="0123456789abcdef")  # type: ignore[arg-type]


class Upper(ValueSerializer):
    def can_serialize_value(self, value: Any) -> bool:
        return isinstance(value, str)

    def serialize_value(self, value: Any) -> Any:
        return value.upper()

    def deserialize_value(self, representation: Any) -> Any:
        return representation.lower()


class Silent(ValueSerializer):
    pass


json.value_serializers += [Upper(), TupleSerializer(), ExceptionSerializer(["my_errors"])]
json.value_serializers.insert(0, SerializableValueSerializer())
json.value_serializers.append(Silent())  # type: ignore[abstract]


class Compressed(Serializer):
    def serialize(self, value: Any, stream: BinaryIO) -> None: ...
    def deserialize(self, stream: BinaryIO) -> Any: ...


bandsaw.Configuration().set_serializer(Compressed())
Serializer()  # type: ignore[abstract]

assert_type(fingerprint(os.path.join, skip=["name"]), str)
assert_type(task_id_of(os.path.join, "module", "name", version="2", depends=[os.path.split]), str)
assert_type(execution_id_of({"a": 1}), str)
assert_type(parts_of(os.path.join), list[list[str]])
warning: UserWarning = IdentityWarning("text")

assert_type(object_as_import(os.path.join), tuple[str, str])
assert_type(import_object("path.join", "os"), Any)
assert_type(get_loaded_module_name_by_path("file.py"), Optional[str])
import_object("os")  # type: ignore[call-arg]

raw = BytearrayGeneratorToStream(read_stream_to_generator(stream, buffer_size=10))
data: Optional[bytes] = raw.read()
BytearrayGeneratorToStream(["text"])  # type: ignore[list-item]
assert_type(main(["--input", "a", "--output", "b", "--run-id", "c"]), int)
main("--input a")
