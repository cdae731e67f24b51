import functools
import io
import os
import pickle
import pickletools
import subprocess
import sys
import textwrap
import threading
import types
from concurrent.futures import Future
from pathlib import Path, PurePosixPath

import pytest

from bandsaw.errors import DeserializationError, RemoteError, UnserializableError
from bandsaw.serialization import PickleSerializer, Serializer

ROOT = Path(__file__).parents[2]


def written(value):
    stream = io.BytesIO()
    PickleSerializer().serialize(value, stream)
    return stream.getvalue()


def read(data):
    return PickleSerializer().deserialize(io.BytesIO(data))


async def nothing():
    pass


def closed_coroutine():
    coroutine = nothing()
    coroutine.close()
    return coroutine


class Model:
    def __init__(self):
        self.parts = {"lock": [threading.Lock()]}


class Holder:
    def __init__(self, error):
        self.error = error
        self.lock = None


class Failing:
    def __setstate__(self, state):
        raise KeyError("inside")

    def __init__(self):
        self.a = 1


@pytest.mark.parametrize(
    ("made", "way_out"),
    [
        (Future, "Submit this call, too"),
        (lambda: (x for x in "a"), "Make a list of what it gives"),
        ({}.keys, "Make a list of what it gives"),
        ({}.items, "Make a list of what it gives"),
        (closed_coroutine, "Await it in the task"),
        (lambda: io, "Import it in the task"),
        (lambda: memoryview(b""), "Make bytes of it"),
    ],
)
def test_what_stands_for_values_is_named_with_the_way_out(made, way_out):
    with pytest.raises(UnserializableError, match=rf"at value\['a'\]\[1\] cannot.*{way_out}"):
        written({"a": [1, made()]})


class Refusing:
    def __reduce__(self):
        raise UnserializableError("It says why.")


def test_what_refuses_itself_in_words_is_named_with_its_place_if_it_is_a_part():
    for value, place in ((Refusing(), ""), ([Refusing()], r" at value\[0\]")):
        with pytest.raises(UnserializableError, match=f"^The value{place} cannot.* It says why.$"):
            written(value)


def test_it_is_a_serializer_that_writes_protocol_5():
    assert isinstance(PickleSerializer(), Serializer)
    assert written([1])[:2] == b"\x80\x05"


def test_values_follow_each_other_in_a_stream():
    stream = io.BytesIO()
    for value in (1, "two", ValueError(3)):
        PickleSerializer().serialize(value, stream)
    stream.seek(0)
    assert PickleSerializer().deserialize(stream) == 1
    assert PickleSerializer().deserialize(stream) == "two"
    assert PickleSerializer().deserialize(stream).args == (3,)


def test_objects_stay_shared():
    shared = [1]
    value = read(written([shared, shared, functools.partial(len, shared)]))
    assert value[0] is value[1]
    assert value[2].args[0] is value[0]


def test_an_exception_and_what_holds_it_stay_in_their_circle():
    error = ValueError("a")
    error.holder = Holder(error)
    value = read(written(error))
    assert value.holder.error is value
    # A tuple is not known to pickle before it is complete.
    error.holder = (1, (error,))
    value = read(written(error))
    assert value.holder[1][0] is value


def test_the_class_of_an_exception_may_be_in_any_module_that_can_be_imported():
    import tabnanny

    data = written(tabnanny.NannyNag(1, "m", "line"))
    del sys.modules["tabnanny"]
    assert type(read(data)).__name__ == "NannyNag"


def test_an_exception_in_a_circle_with_something_unpicklable_loses_only_that():
    error = ValueError("a")
    error.holder = Holder(error)
    error.fine = Holder(error)
    error.holder.lock = threading.Lock()
    value = read(written([error]))[0]
    assert value.holder == repr(error.holder)
    assert value.fine.error is value


@pytest.mark.parametrize(
    ("value", "path", "name"),
    [
        ({"args": ({"model": Model()},)}, "value['args'][0]['model'].parts['lock'][0]", "lock"),
        ([lambda: None], "value[0]", "function"),
        ((x for x in ()), "value", "generator"),
        (Holder(Model().parts["lock"].append), "value.error", "builtin_function_or_method"),
    ],
)
def test_the_error_names_what_cannot_be_pickled(value, path, name):
    with pytest.raises(UnserializableError, match=name) as caught:
        written(value)
    assert f" at {path} cannot" in str(caught.value)
    assert caught.value.__cause__ is not None


def test_what_is_in_a_circle_beside_the_culprit_does_not_hide_it():
    model = Holder(None)
    model.error = [model, {"a": model}]
    model.lock = threading.Lock()
    with pytest.raises(UnserializableError, match=r"at value\.lock cannot"):
        written(model)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x80\x05", b"garbage", b"\x80\x05.", pickle.dumps([1] * 100)[:-5], b"\x80\x7f."],
)
def test_damaged_data_is_a_typed_error(data):
    with pytest.raises(DeserializationError) as caught:
        read(data)
    assert caught.value.__cause__ is not None


def test_a_missing_module_is_named_with_what_to_do():
    with pytest.raises(DeserializationError, match=r"'module_that_is_gone'") as caught:
        read(b"cmodule_that_is_gone\nThing\n.")
    assert "add_modules_for_distribution" in str(caught.value)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)


def test_a_path_that_another_version_of_python_wrote_is_read():
    for module in (b"pathlib", b"pathlib._local"):
        path = read(b"c" + module + b"\nPurePosixPath\n(Va/b\ntR.")
        assert path == PurePosixPath("a/b")
        assert type(path) is PurePosixPath


def test_a_missing_class_is_named():
    with pytest.raises(DeserializationError, match=r"os\.Thing") as caught:
        read(b"cos\nThing\n.")
    assert isinstance(caught.value.__cause__, AttributeError)


def test_an_error_of_the_users_own_code_is_chained():
    with pytest.raises(DeserializationError, match="KeyError") as caught:
        read(written(Failing()))
    assert isinstance(caught.value.__cause__, KeyError)


def test_classes_and_functions_are_written_by_name():
    assert read(written([Model, written, ValueError, len])) == [Model, written, ValueError, len]
    assert "REDUCE" not in {op.name for op, _, _ in pickletools.genops(written([Model, written]))}


SCRIPT = """
    import enum, sys
    from collections import namedtuple
    from dataclasses import dataclass
    from bandsaw.serialization import JsonSerializer, PickleSerializer, SerializableValue

    Pair = namedtuple("Pair", "a b")

    class Colour(enum.Enum):
        RED = 1

    class Outer:
        class Error(Exception):
            def __init__(self, *, a):
                self.a = a

    @dataclass
    class Data:
        a: object

    class Value(SerializableValue):
        def serialized(self):
            return {}

        @classmethod
        def deserialize(cls, values):
            return cls()

    def value():
        return [Data(Pair(1, 2)), Colour.RED, Outer.Error(a=1), Value()]

    if __name__ == "__main__":
        serializer = {"json": JsonSerializer, "pickle": PickleSerializer}[sys.argv[1]]()
        if sys.argv[2] == "write":
            with open(sys.argv[3], "wb") as stream:
                serializer.serialize(value(), stream)
        with open(sys.argv[3], "rb") as stream:
            read = serializer.deserialize(stream)
        for one, other in zip(read, value()):
            assert type(one) is type(other), (type(one), type(other))
        assert read[0].a.b == 2
        assert read[1] is Colour.RED
        assert "the_script" not in sys.modules
"""


def run(*arguments, **more):
    done = subprocess.run(
        [sys.executable, *arguments], capture_output=True, text=True, check=False, **more
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", ["json", "pickle"])
def test_what_a_script_defines_goes_out_under_its_import_name_and_comes_home(tmp_path, kind):
    script = tmp_path / "the_script.py"
    script.write_text(textwrap.dedent(SCRIPT))
    environment = {"PYTHONPATH": str(ROOT), "PATH": ""}
    run(str(script), kind, "write", str(tmp_path / "file"), env=environment)
    elsewhere = f"""
        import sys
        sys.path.insert(0, {str(tmp_path)!r})
        from bandsaw.serialization import JsonSerializer, PickleSerializer
        serializer = {{"json": JsonSerializer, "pickle": PickleSerializer}}[{kind!r}]()
        with open({str(tmp_path / "file")!r}, "rb") as stream:
            read = serializer.deserialize(stream)
        import the_script
        for one, other in zip(read, the_script.value()):
            assert type(one) is type(other), (type(one), type(other))
        with open({str(tmp_path / "file")!r}, "wb") as stream:
            serializer.serialize(read, stream)
    """
    run("-c", textwrap.dedent(elsewhere), env=environment)
    run(str(script), kind, "read", str(tmp_path / "file"), env=environment)


def test_importing_the_package_loads_nothing_that_is_not_needed_yet():
    code = """
        import sys
        import bandsaw.serialization as s
        s.PickleSerializer(), s.JsonSerializer()
        assert "bandsaw.serialization._json_encoder" not in sys.modules
        late = {"json", "pickle", "datetime", "decimal", "inspect", "traceback", "dataclasses",
                "logging", "zoneinfo", "uuid"}
        print(sorted(late & sys.modules.keys()))
    """
    done = subprocess.run(
        [sys.executable, "-S", "-c", textwrap.dedent(code)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert done.stdout == "[]\n", done.stderr


FAR = """
class Part:
    def __init__(self, number):
        self.number = number

    def __reduce__(self):
        return made_of, (self.number,)

    @classmethod
    def made(cls, *args):
        raise ValueError("not made here")

def made_of(number):
    return Part(number)

class OfC(ValueError):
    def __reduce__(self):
        return Part.made, (1, 2)

class Known(Exception):
    pass
"""


def no_longer(name):
    raise RuntimeError(f"{name} is no longer here")


@pytest.fixture
def far(monkeypatch):
    """A module that is gone when the data is read."""
    module = types.ModuleType("far_only")
    monkeypatch.setitem(sys.modules, "far_only", module)
    exec(FAR, vars(module))
    return module


@pytest.mark.parametrize("is_replaced", [False, True], ids=["gone", "replaced"])
@pytest.mark.parametrize("kind", ["Known", "OfC", "here"])
def test_an_error_arrives_where_the_class_of_what_it_holds_is_not_to_be_had(
    far, monkeypatch, kind, is_replaced
):
    error = (RuntimeError if kind == "here" else getattr(far, kind))("words", [far.Part(3)])
    error.part, error.kind, error.number = {"a": far.Part(4)}, far.Part, 5
    error.inner = [KeyError(far.Part(6))]
    data = written({"exception": error, "value": None})
    monkeypatch.delitem(sys.modules, "far_only")
    if is_replaced:
        other = types.ModuleType("far_only")
        other.__getattr__ = no_longer
        monkeypatch.setitem(sys.modules, "far_only", other)
    value = read(data)["exception"]
    assert type(value) is (RuntimeError if kind == "here" else RemoteError)
    assert "words" in str(value)
    assert value.number == 5
    assert value.part == "{'a': <far_only.made_of, which is not to be had here>}"
    assert value.kind == "<class 'far_only.Part'>"
    assert type(value.inner[0]) is KeyError
    assert written(value)


class Pointing(Exception):
    def __str__(self):
        return f"at {self.args[0].number}"


def test_what_an_error_said_is_kept_where_its_str_needs_what_is_not_to_be_had(far, monkeypatch):
    error = Pointing(far.Part(3))
    assert str(error) == "at 3"
    data = written({"exception": error})
    monkeypatch.delitem(sys.modules, "far_only")
    value = read(data)["exception"]
    assert isinstance(value, Pointing)
    assert str(value) == "at 3"


def test_a_value_beside_an_error_is_not_read_where_its_class_is_not_to_be_had(far, monkeypatch):
    data = written([ValueError(far.Part(1)), far.Part(2)])
    monkeypatch.delitem(sys.modules, "far_only")
    with pytest.raises(DeserializationError, match=r"far_only\.made_of.*far_only"):
        read(data)


def test_arrays_of_numpy_2_are_read_by_numpy_1(tmp_path):
    old = tmp_path / "numpy" / "core"
    old.mkdir(parents=True)
    (tmp_path / "numpy" / "__init__.py").touch()
    (old / "__init__.py").touch()
    (old / "numeric.py").write_text("def _frombuffer(): pass\n")
    program = """if True:
        import io
        from bandsaw import PickleSerializer
        data = bytes.fromhex("8005") + b"cnumpy._core.numeric\\n_frombuffer\\n."
        print(PickleSerializer().deserialize(io.BytesIO(data)).__module__)
    """
    environment = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "numpy.core.numeric"


def test_an_error_arrives_where_the_module_of_its_class_fails(far, monkeypatch, tmp_path):
    data = written(far.Known("words"))
    monkeypatch.delitem(sys.modules, "far_only")
    (tmp_path / "far_only.py").write_text("this is too new\n")
    monkeypatch.syspath_prepend(tmp_path)
    value = read(data)
    assert type(value) is RemoteError
    assert value.type_name == "far_only.Known"
