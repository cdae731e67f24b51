"""What hostile JSON may name, and what it may not."""

import dataclasses
import enum
import io
import json
import subprocess
import sys
import textwrap

import pytest

from bandsaw.errors import DeserializationError, RemoteError
from bandsaw.serialization import JsonSerializer


def read(name, value, trusted=()):
    text = json.dumps({"_serializer": name, "value": value}).encode()
    return JsonSerializer(trusted_modules=trusted).deserialize(io.BytesIO(text))


def exception(module, name, **content):
    return {
        "shapes": [{"module": module, "type": name, "message": "m"}],
        "contents": [
            {"args": ["x"], "state": {}, "fields": {}, "suppress": False, "links": [], **content}
        ],
    }


CALLED = []


class Foreign:
    @classmethod
    def deserialize(cls, values):
        CALLED.append(values)


class Constructed(Exception):
    def __new__(cls, *args, **kwargs):
        CALLED.append(args)

    def __init__(self, *args):
        CALLED.append(args)

    def __setstate__(self, state):
        CALLED.append(state)

    @property
    def trap(self):
        return None

    @trap.setter
    def trap(self, value):
        CALLED.append(value)


class Tuple(tuple):
    __slots__ = ()
    _fields = ("a",)

    def __new__(cls, *args):
        CALLED.append(args)


@dataclasses.dataclass
class Data:
    a: int

    def __post_init__(self):
        CALLED.append(self.a)

    def __setattr__(self, name, value):
        CALLED.append(value)


class Choice(enum.Enum):
    ONE = 1

    @classmethod
    def _missing_(cls, value):
        CALLED.append(value)


@pytest.fixture(autouse=True)
def nothing_is_called():
    yield
    assert CALLED == []


NOT_OF_THE_KIND = [
    ("os", "system"),
    ("builtins", "exec"),
    ("builtins", "object"),
    ("builtins", "type"),
    ("subprocess", "Popen"),
    (__name__, "Foreign"),
    (__name__, "CALLED"),
    (__name__, "Foreign.deserialize"),
]


@pytest.mark.parametrize(("module", "name"), NOT_OF_THE_KIND)
def test_each_serializer_takes_only_classes_of_its_kind(module, name):
    where = {"module": module, "type": name}
    for serializer, value in (
        ("ExceptionSerializer", exception(module, name)),
        ("TupleSerializer", {**where, "fields": ["a"], "items": ["touch /tmp/x"]}),
        ("SerializableValueSerializer", {**where, "values": {}}),
        ("EnumSerializer", {**where, "name": "a"}),
        ("EnumSerializer", {**where, "value": 1}),
        ("DataclassSerializer", {**where, "fields": {"a": 1}}),
    ):
        with pytest.raises(DeserializationError, match=r"is not (a|an) "):
            read(serializer, value)


@dataclasses.dataclass
class Callable:
    def __call__(self, *args):
        CALLED.append(args)


def test_nothing_is_called_to_make_an_exception():
    where = {"module": __name__, "type": "Callable"}
    called = {"_serializer": "DataclassSerializer", "value": {**where, "fields": {}}}
    parts = exception("builtins", "ValueError")
    parts["shapes"][0]["reduced"] = [called, ["x"]]
    assert type(read("ExceptionSerializer", parts)) is ValueError


@pytest.mark.parametrize("module", ["antigravity", "this", "idlelib.idle", "xml.dom.minidom.x"])
def test_no_module_of_python_itself_is_imported(module):
    assert module not in sys.modules
    error = read("ExceptionSerializer", exception(module, "Error"))
    assert type(error) is RemoteError
    assert error.type_name == f"{module}.Error"
    assert read("TupleSerializer", {"module": module, "type": "T", "fields": [], "items": []}) == ()
    for name in ("SerializableValueSerializer", "EnumSerializer", "DataclassSerializer"):
        with pytest.raises(DeserializationError, match="not to be had"):
            read(name, {"module": module, "type": "A", "values": {}, "name": "a", "fields": {}})
    assert module not in sys.modules


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A folder of modules on the search path, first-party or not."""

    def make(folder, **modules):
        path = tmp_path / folder
        path.mkdir()
        for name, text in modules.items():
            (path / f"{name}.py").write_text(textwrap.dedent(text))
            monkeypatch.delitem(sys.modules, name, raising=False)
        monkeypatch.syspath_prepend(str(path))
        return modules

    yield make
    for name in [name for name in sys.modules if name.startswith("of_the_")]:
        del sys.modules[name]


def test_a_first_party_module_is_imported(package):
    package("mine", of_the_project="class Error(Exception): pass")
    error = read("ExceptionSerializer", exception("of_the_project", "Error"))
    assert type(error) is sys.modules["of_the_project"].Error


def test_an_installed_module_is_imported_only_where_it_is_trusted(package):
    package("site-packages", of_the_others="class Error(Exception): pass")
    parts = exception("of_the_others", "Error")
    assert type(read("ExceptionSerializer", parts)) is RemoteError
    assert "of_the_others" not in sys.modules
    assert type(read("ExceptionSerializer", parts, trusted=["of_the_other"])) is RemoteError
    error = read("ExceptionSerializer", parts, trusted=["of_the_others"])
    assert type(error).__name__ == "Error"


def test_a_module_that_fails_to_be_imported_is_a_typed_error(package):
    package("mine", of_the_broken="1 / 0", of_the_missing="import nothing_of_that_name")
    with pytest.raises(DeserializationError, match="of_the_broken") as caught:
        read("DataclassSerializer", {"module": "of_the_broken", "type": "A", "fields": {}})
    assert isinstance(caught.value.__cause__, ZeroDivisionError)
    parts = exception("of_the_missing", "Error")
    assert type(read("ExceptionSerializer", parts)) is RemoteError


def test_a_main_module_of_a_package_is_not_run(tmp_path, monkeypatch):
    (tmp_path / "of_the_package").mkdir()
    (tmp_path / "of_the_package" / "__init__.py").touch()
    (tmp_path / "of_the_package" / "__main__.py").write_text("raise SystemExit(1)")
    monkeypatch.syspath_prepend(str(tmp_path))
    parts = exception("of_the_package.__main__", "Error")
    assert type(read("ExceptionSerializer", parts, trusted=["of_the_package"])) is RemoteError
    sys.modules.pop("of_the_package")


def test_the_getattr_of_a_module_is_not_run(package):
    package("mine", of_the_lazy="def __getattr__(name): raise SystemExit(name)")
    error = read("ExceptionSerializer", exception("of_the_lazy", "Error"))
    assert type(error) is RemoteError


def test_no_constructor_runs_and_no_property_is_set():
    error = read("ExceptionSerializer", exception(__name__, "Constructed", state={"trap": 1}))
    assert type(error) is Constructed
    assert error.args == ("x",)
    where = {"module": __name__}
    value = read("TupleSerializer", {**where, "type": "Tuple", "fields": ["a"], "items": [1]})
    assert type(value) is Tuple
    data = read("DataclassSerializer", {**where, "type": "Data", "fields": {"a": 1}})
    assert vars(data) == {"a": 1}
    for choice in ({"name": "TWO"}, {"value": 2}):
        with pytest.raises(DeserializationError):
            read("EnumSerializer", {**where, "type": "Choice", **choice})


@pytest.mark.parametrize(
    "value",
    [
        {"module": "gone", "type": "A", "fields": ["a b"], "items": [1]},
        {"module": "gone", "type": "A", "fields": ["_a"], "items": [1]},
        {"module": "gone", "type": "A(object): pass\nprint", "fields": ["a"], "items": [1]},
        {"module": "gone", "type": "A", "fields": [1], "items": [1]},
        {"module": "gone", "type": "A", "fields": ["a"], "items": []},
        {"module": "gone", "type": 1, "fields": ["a"], "items": [1]},
        {"module": None, "type": "A", "fields": ["a"], "items": [1]},
        {"module": __name__, "type": "Tuple", "fields": ["b"], "items": [1]},
        {"module": __name__, "type": "Tuple", "fields": ["a"], "items": [1], "state": {"x": 1}},
        {"module": __name__, "type": "Tuple", "fields": ["a"], "items": [1], "state": [1]},
    ],
)
def test_damaged_named_tuples_are_typed_errors(value):
    with pytest.raises(DeserializationError):
        read("TupleSerializer", value)


UNICODE = {"encoding": "a", "object": [], "start": 0, "end": 1, "reason": "r"}


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("UnicodeDecodeError", {"fields": UNICODE}),
        ("UnicodeEncodeError", {"fields": {**UNICODE, "object": "a", "start": -5}}),
        ("UnicodeEncodeError", {"fields": {**UNICODE, "object": "a", "start": 10**30}}),
        ("UnicodeEncodeError", {"fields": {**UNICODE, "object": "a", "reason": 5}}),
        ("UnicodeEncodeError", {"fields": {**UNICODE, "object": "a", "end": None}}),
        ("ValueError", {"links": [["cause", None, 7]]}),
        ("ValueError", {"links": [["args", 7, 0]]}),
        ("ValueError", {"links": [1]}),
        ("ValueError", {"state": {"a": 1}, "args": None}),
        ("ValueError", {"state": 5}),
    ],
)
def test_damaged_exceptions_are_typed_errors(name, change):
    with pytest.raises(DeserializationError):
        read("ExceptionSerializer", exception("builtins", name, **change))


def test_a_group_that_contains_itself_is_a_typed_error():
    parts = exception("builtins", "ExceptionGroup")
    for members in ([0], [5], ["a"]):
        parts["shapes"][0]["members"] = members
        with pytest.raises(DeserializationError):
            read("ExceptionSerializer", parts)


def test_reading_raises_no_event_of_importing_or_running_anything():
    code = """
        import io, json, sys
        from bandsaw.serialization import JsonSerializer
        payloads = json.loads(sys.argv[1])
        def read(payload):
            return JsonSerializer().deserialize(io.BytesIO(json.dumps(payload).encode()))
        for warm_up in json.loads(sys.argv[2]):
            read({"_serializer": "ExceptionSerializer", "value": warm_up})
        seen = []
        def hook(event, args):
            if event in ("exec", "os.system", "subprocess.Popen", "compile"):
                seen.append((event, args))
        sys.addaudithook(hook)
        for payload in payloads:
            try:
                read(payload)
            except Exception as error:
                assert type(error).__name__ == "DeserializationError", error
        print(seen)
    """
    targets = [("os", "system"), ("builtins", "exec"), ("antigravity", "x"), ("cProfile", "run")]
    payloads = []
    for module, name in targets:
        where = {"module": module, "type": name}
        payloads += [
            {"_serializer": "ExceptionSerializer", "value": exception(module, name)},
            {"_serializer": "SerializableValueSerializer", "value": {**where, "values": {}}},
            {"_serializer": "EnumSerializer", "value": {**where, "name": "a"}},
            {"_serializer": "DataclassSerializer", "value": {**where, "fields": {}}},
        ]
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            textwrap.dedent(code),
            json.dumps(payloads),
            json.dumps([exception("builtins", "ValueError"), exception("gone", "Error")]),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=__file__.rpartition("tests")[0],
    )
    assert done.stdout == "[]\n", done.stderr
