"""How exceptions cross, with both serializers."""

import builtins
import collections
import dataclasses
import io
import json
import pickle
import subprocess
import sys
import threading
import traceback
import types

import pytest

from bandsaw.errors import ConfigurationError, RemoteError, RemoteTraceback, WorkerDiedError
from bandsaw.serialization import JsonSerializer, PickleSerializer
from bandsaw.serialization.values import ExceptionSerializer


class Picky(Exception):
    """Needs arguments that it does not hand on."""

    def __init__(self, *, code, where):
        super().__init__(f"{code} in {where}")
        self.code = code
        self.where = where


class PickyNew(ValueError):
    def __new__(cls, one, two):
        return super().__new__(cls, one, two)


class Slotted(KeyError, ValueError):
    __slots__ = ("extra",)


class SlottedAgain(Slotted):
    __slots__ = ("extra",)


class Falsy(Exception):
    def __len__(self):
        return 0


class Unprintable(Exception):
    def __str__(self):
        raise RuntimeError("no text")


class PickyOs(OSError):
    def __init__(self, path):
        super().__init__(5, "broken", path)


class Guarded(Exception):
    """Would not let anyone set attributes, and has arguments of its own."""

    args = property(lambda self: ("hidden",))

    def __setattr__(self, name, value):
        raise AttributeError(name)


def raised(error, cause=None):
    try:
        if cause is not None:
            raise error from cause
        raise error
    except type(error) as caught:
        return caught


if sys.version_info >= (3, 11):

    class CodedGroup(builtins.ExceptionGroup):
        def __new__(cls, message, members, code):
            return super().__new__(cls, message, members)


EXCEPTIONS = [
    ValueError("a", 1, (2, {3: 4})),
    Picky(code=(1,), where="there"),
    PickyNew(1, 2),
    Slotted("k"),
    Falsy("a"),
    OSError(2, "no", "file", None, "other"),
    FileNotFoundError(2, "no such file", "path"),
    PickyOs("path"),
    OSError("only text"),
    ImportError("m", name="n", path="p"),
    ModuleNotFoundError("m", name="n"),
    UnicodeDecodeError("utf-8", b"\xff\x00", 0, 1, "bad"),
    UnicodeEncodeError("ascii", "\xff", 0, 1, "bad"),
    UnicodeTranslateError("\xff", 0, 1, "bad"),
    SyntaxError("m", ("file", 1, 2, "text")),
    StopIteration((1, 2)),
    SystemExit(3),
    SystemExit(),
    KeyError(("tuple", "key")),
    KeyboardInterrupt(),
    json.JSONDecodeError("m", "doc", 1),
    subprocess.CalledProcessError(1, ["a"], b"out"),
    ConfigurationError("m"),
    RemoteError("m", "a.B"),
    ZeroDivisionError(),
]
FIELDS = (
    "errno strerror filename filename2 name path encoding object start end reason "
    "msg lineno offset text value code doc pos where returncode cmd output type_name"
).split()


@pytest.mark.parametrize("error", EXCEPTIONS, ids=lambda error: type(error).__name__)
def test_an_exception_comes_back_with_type_args_and_state(cross, error):
    read = cross({"nested": (error,)})["nested"][0]
    assert type(read) is type(error)
    assert read.args == error.args
    assert str(read) == str(error)
    assert vars(read) == vars(error)
    for field in FIELDS:
        assert getattr(read, field, None) == getattr(error, field, None)
    assert read.__cause__ is None
    assert read.__context__ is None
    assert read.__traceback__ is None


@pytest.mark.parametrize("cls", [Slotted, SlottedAgain])
def test_slots_are_kept(cross, cls):
    error = cls("a")
    error.extra = (1,)
    assert cross(error).extra == (1,)


def test_what_a_class_puts_in_the_way_is_passed_by(cross):
    error = Guarded("real")
    vars(error)["detail"] = 5
    read = cross(error)
    assert BaseException.args.__get__(read) == ("real",)
    assert read.detail == 5


def test_causes_contexts_and_suppression_are_kept(cross):
    try:
        try:
            raise KeyError("context")
        except KeyError:
            raise ValueError("middle") from Picky(code=1, where=2)
    except ValueError as error:
        outer = error
    outer.__traceback__ = None
    read = cross(outer)
    assert type(read.__cause__) is Picky
    assert type(read.__context__) is KeyError
    assert read.__suppress_context__ is True
    assert read.__cause__.__suppress_context__ is False

    hidden = ValueError()
    hidden.__context__ = KeyError()
    hidden.__suppress_context__ = True
    read = cross(hidden)
    assert read.__cause__ is None
    assert type(read.__context__) is KeyError
    assert read.__suppress_context__ is True


def test_exceptions_in_a_circle_come_back_in_a_circle(cross):
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__context__ = other, one
    one.args = ("self", one)
    one.other = other
    read = cross(one)
    assert read.__cause__.__context__ is read
    assert read.args[1] is read
    assert read.other is read.__cause__


def test_an_exception_that_is_deep_inside_itself_is_cut_off_or_kept(cross, serializer):
    error = ValueError("one")
    error.holder = {"deep": [error]}
    read = cross(raised(error))
    if isinstance(serializer, PickleSerializer):
        assert read.holder["deep"][0] is read
    else:
        assert read.holder == "{'deep': [ValueError('one')]}"


def test_a_long_chain_of_causes_crosses(cross):
    first = error = ValueError(0)
    for number in range(1, 3000):
        error.__cause__ = ValueError(number)
        error = error.__cause__
    read, length = cross(first), 0
    while read is not None:
        assert read.args == (length,)
        read, length = read.__cause__, length + 1
    assert length == 3000


def test_a_falsy_exception_is_kept_in_every_place(cross):
    error = ValueError("a")
    error.__cause__ = Falsy("cause")
    error.__cause__.__context__ = Falsy("context")
    read = cross(raised(error))
    assert type(read.__cause__) is Falsy
    assert type(read.__cause__.__context__) is Falsy
    assert type(read.__cause__.__context__.__cause__) is RemoteTraceback


def test_what_cannot_be_written_arrives_as_its_repr_and_the_rest_as_it_is(cross):
    lock = threading.Lock()
    error = Picky(code=lock, where=["fine", lock])
    error.args = ("a", lock, (1,))
    error.plain = (2,)
    read = cross([error])[0]
    assert type(read) is Picky
    assert read.args == ("a", repr(lock), (1,))
    assert read.code == repr(lock)
    assert read.where == repr(["fine", lock])
    assert read.plain == (2,)


class Pointing(Exception):
    """Says what needs an attribute that cannot be written."""

    def __init__(self, message, lock=None):
        super().__init__(message)
        self.lock = lock

    def __init_subclass__(cls):
        raise AssertionError("nobody derives a class from this one")

    def __str__(self):
        return f"{self.args[0]}, {'locked' if self.lock.locked() else 'free'}"


def test_what_an_exception_said_is_kept_where_its_str_needs_what_cannot_be_written(cross):
    first = cross(raised(OSError(2, "no"), cause=raised(Pointing("a", threading.Lock()))))
    for error in (first, cross(first)):
        assert str(error.__cause__) == "a, free"
        assert isinstance(error.__cause__, Pointing)
        assert type(error.__cause__).__qualname__ == "Pointing"
        assert error.__cause__.args == ("a",)
        assert type(pickle.loads(pickle.dumps(error.__cause__))) is Pointing


@dataclasses.dataclass(frozen=True)
class Frozen(Exception):
    lock: object

    def __str__(self):
        return "locked" if self.lock.locked() else "free"


def test_what_a_frozen_exception_said_is_kept(cross):
    assert str(cross(raised(Frozen(threading.Lock())))) == "free"


def test_an_exception_whose_str_fails_crosses(cross):
    read = cross(raised(Unprintable("a")))
    assert type(read) is Unprintable
    assert read.args == ("a",)


def test_errors_of_our_own_that_are_not_loaded_yet_are_found(tmp_path, serializer):
    error = WorkerDiedError("died", -9, ["command"], "out", "err")
    with open(tmp_path / "file", "wb") as stream:
        serializer.serialize(error, stream)
    code = f"""if True:
        from bandsaw.serialization import {type(serializer).__name__} as Serializer
        with open({str(tmp_path / "file")!r}, "rb") as stream:
            error = Serializer().deserialize(stream)
        print(type(error).__name__, error.returncode, error)
    """
    root = __file__.rpartition("tests")[0]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.stdout == "WorkerDiedError -9 died\n", done.stderr


def test_notes_are_kept(cross):
    error = ValueError()
    error.__notes__ = ["one", "two"]
    assert cross(error).__notes__ == ["one", "two"]


def test_a_local_class_arrives_as_a_remote_error(cross):
    class Local(Exception):
        pass

    error = Local("text", 5)
    error.__cause__ = KeyError("cause")
    error.detail = (1,)
    read = cross(raised(error))
    assert type(read) is RemoteError
    assert str(read) == "('text', 5)"
    assert read.type_name == f"{__name__}.{Local.__qualname__}"
    assert read.detail == (1,)
    Local.__module__ = None
    assert type(cross(Local("text"))) is RemoteError
    assert type(read.__cause__) is KeyError
    assert type(read.__cause__.__cause__) is RemoteTraceback
    again = cross(read)
    assert again.args == read.args
    assert again.type_name == read.type_name


@pytest.mark.skipif(sys.version_info < (3, 11), reason="Python has no groups of exceptions yet")
def test_groups_are_kept_with_their_members(cross):
    class_ = type("Group", (builtins.BaseExceptionGroup,), {"__module__": __name__})
    inner = builtins.ExceptionGroup("inner", [Picky(code=1, where=2)])
    group = builtins.ExceptionGroup("outer", [ValueError(1), inner])
    group.exceptions[0].__context__ = group
    group.extra = 1
    read = cross(raised(group))
    assert type(read) is type(group)
    assert read.args == ("outer", list(read.exceptions))
    assert read.message == "outer"
    assert read.extra == 1
    assert read.exceptions[0].args == (1,)
    assert read.exceptions[0].__context__ is read
    assert read.exceptions[1].exceptions[0].code == 1
    assert type(cross(class_("lost", [ValueError()]))) is RemoteError
    coded = CodedGroup("coded", [ValueError(2)], (3, KeyError(4)))
    read = cross(coded)
    assert read.args[:2] == ("coded", list(read.exceptions))
    assert read.args[2][0] == 3 and read.args[2][1].args == (4,)


def test_the_traceback_ends_the_cause_chain(cross):
    def fails_here():
        raise ValueError("inner")

    try:
        try:
            fails_here()
        except ValueError as error:
            raise KeyError("outer") from error
    except KeyError as error:
        read = cross(error)
    assert type(read) is KeyError
    assert type(read.__cause__) is ValueError
    assert read.__cause__.__suppress_context__ is False
    end = read.__cause__.__cause__
    assert type(end) is RemoteTraceback
    assert end.__cause__ is None
    assert 'raise ValueError("inner")' in end.args[0]
    assert "in fails_here" in end.args[0]
    assert "direct cause" in end.args[0]
    printed = "".join(traceback.format_exception(KeyError, read, None))
    assert "in fails_here" in printed


def test_an_exception_that_was_never_raised_gets_no_traceback(cross):
    assert cross(ValueError()).__cause__ is None


def test_the_text_is_there_once_however_often_an_exception_crosses(cross):
    read = cross(raised(ValueError("a"), cause=KeyError("b")))
    first = read.__cause__.__cause__
    assert type(first) is RemoteTraceback
    again = cross(read)
    assert again.__cause__.__cause__.args == first.args
    assert again.__cause__.__cause__.__cause__ is None
    newer = cross(raised(again))
    end = newer.__cause__.__cause__
    assert type(end) is RemoteTraceback
    assert first.args[0].strip() in end.args[0]
    assert end.args[0] != first.args[0]
    assert end.__cause__ is None
    assert end.__context__ is None


def test_a_circle_of_causes_keeps_its_causes_when_it_was_raised(cross):
    one, other = ValueError("one"), KeyError("other")
    one.__cause__, other.__cause__ = other, one
    read = cross(raised(one))
    for one in (read, cross(read), cross(raised(read))):
        text = one.__cause__.__cause__
        assert type(text) is RemoteTraceback
        assert text.__cause__ is one
        assert "in raised" in str(text)


def test_an_exception_that_is_its_own_cause_keeps_its_traceback(cross):
    one = ValueError("one")
    one.__cause__ = one
    other = KeyError("other")
    other.__cause__ = one
    for error in (one, other):
        text = "".join(traceback.format_exception(None, cross(raised(error)), None))
        assert "in raised" in text


def test_the_context_stays_where_the_text_is_attached(cross):
    error = ValueError()
    error.__context__ = KeyError()
    error.__suppress_context__ = True
    read = cross(raised(error))
    assert type(read.__cause__) is RemoteTraceback
    assert type(read.__context__) is KeyError
    assert read.__suppress_context__ is True


@pytest.mark.parametrize("error", EXCEPTIONS, ids=lambda error: type(error).__name__)
def test_the_exception_serializer_works_by_itself(error):
    serializer = ExceptionSerializer()
    assert serializer.can_serialize_value(error)
    assert not serializer.can_serialize_value("error")
    error.lock = threading.Lock()
    representation = serializer.serialize_value(error)
    read = serializer.deserialize_value(representation)
    assert type(read) is type(error)
    assert read.args == error.args
    assert read.lock == repr(error.lock)
    stream = io.BytesIO()
    JsonSerializer().serialize(representation, stream)
    stream.seek(0)
    again = serializer.deserialize_value(JsonSerializer().deserialize(stream))
    assert type(again) is type(error)
    assert again.args == error.args
    del error.lock


def test_many_nested_exceptions_take_no_exponential_time(cross):
    error = ValueError(threading.Lock())
    for _ in range(15):
        error = ValueError([error], threading.Lock())
    read = cross(error)
    for _ in range(15):
        assert type(read) is ValueError
        read = read.args[0][0]


def test_an_exception_that_is_a_named_value_too_is_an_exception(cross):
    Pair = collections.namedtuple("Pair", "a b")

    class Both(Exception):
        pass

    Both.__qualname__ = "Picky"
    read = cross(Both(Pair(1, 2)))
    assert type(read) is Picky
    assert read.args[0].b == 2 if isinstance(read.args[0], tuple) else "Pair" in read.args[0]


def test_an_exception_without_its_class_keeps_name_message_and_traceback(serializer, monkeypatch):
    module = types.ModuleType("a_module_of_the_far_end")
    exec("class FarError(Exception):\n    pass", vars(module))
    module.FarError.__module__ = module.__name__
    monkeypatch.setitem(sys.modules, module.__name__, module)
    stream = io.BytesIO()
    try:
        raise module.FarError("it failed", 5)
    except module.FarError as error:
        serializer.serialize(error, stream)
    monkeypatch.delitem(sys.modules, module.__name__)
    stream.seek(0)
    back = serializer.deserialize(stream)
    assert type(back) is RemoteError
    assert back.type_name == "a_module_of_the_far_end.FarError"
    assert str(back) == "('it failed', 5)"
    text = str(back.__cause__)
    assert "test_an_exception_without_its_class" in text
    assert "FarError: ('it failed', 5)" in text
