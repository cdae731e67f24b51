"""What users can say about a cache: its mode, its bounds, what is kept, what is mapped."""

import datetime
import errno
import io
import logging
import os
import pickle
import threading
import time
import zlib

import numpy as np
import pytest

import bandsaw
from bandsaw.__main__ import main
from bandsaw._cache import bounds, entry, verified
from bandsaw._system import file_locks, files
from bandsaw.advices.cache import CachingAdvice
from bandsaw.errors import InvalidValueError
from bandsaw.execution import Execution
from bandsaw.result import Result
from bandsaw.serialization import PickleSerializer
from bandsaw.session import Session


class Task:
    """A task that counts how often it is executed."""

    task_id = "task"

    def __init__(self, value, **kwargs):
        self.value, self.kwargs, self.executed = value, kwargs, 0

    def execute(self, execution):
        self.executed += 1
        return Result(self.value)

    def __str__(self):
        return "some.task"


@pytest.fixture
def directory(tmp_path):
    return tmp_path / "cache"


@pytest.fixture
def call(configure, directory):
    def call(task, execution_id="execution", **options):
        configuration = configure(CachingAdvice(directory, **options))
        return Session(task, Execution(execution_id), configuration).initiate().value

    return call


def names(directory):
    return sorted(path.name for path in directory.glob("*/*"))


def grow_old(path, seconds, used=None):
    now = time.time()
    os.utime(path, (now - (seconds if used is None else used), now - seconds))


def test_a_task_can_be_left_alone(call, directory):
    task = Task(1, cache=False)
    assert [call(task), call(task)] == [1, 1]
    assert task.executed == 2
    assert not directory.exists()


def test_a_task_can_be_refreshed_at_each_call(call):
    call(Task("old"))
    assert call(Task("new", cache={"refresh": True})) == "new"
    assert call(Task("newer", cache={"refresh": False})) == "new"
    assert call(Task("newer", cache=True)) == "new"


@pytest.mark.parametrize("option", [None, 1, "refresh", {"fresh": True}, [False]])
def test_an_option_that_means_nothing_is_refused_by_name(call, option):
    with pytest.raises(InvalidValueError, match=r"some\.task: cache=.*refresh"):
        call(Task(1, cache=option))


def test_the_environment_turns_the_cache_off(call, directory, monkeypatch):
    monkeypatch.setenv("BANDSAW_CACHE", "off")
    task = Task(1)
    assert [call(task), call(task)] == [1, 1]
    assert task.executed == 2
    assert not directory.exists()
    monkeypatch.delenv("BANDSAW_CACHE")
    call(task)
    monkeypatch.setenv("BANDSAW_CACHE", "off")
    assert call(Task(2, cache={"refresh": True})) == 2
    monkeypatch.setenv("BANDSAW_CACHE", "")
    assert call(Task(3)) == 1


def test_the_environment_refreshes(call, monkeypatch):
    call(Task("old"))
    monkeypatch.setenv("BANDSAW_CACHE", "refresh")
    assert call(Task("new")) == "new"
    assert call(Task("newer", cache=False)) == "newer"
    monkeypatch.delenv("BANDSAW_CACHE")
    assert call(Task("newest")) == "new"


def test_the_environment_makes_the_cache_read_only(call, directory, monkeypatch):
    monkeypatch.setenv("BANDSAW_CACHE", "read-only")
    assert call(Task(1)) == 1
    assert not directory.exists()
    monkeypatch.delenv("BANDSAW_CACHE")
    call(Task("kept"))
    monkeypatch.setenv("BANDSAW_CACHE", "read-only")
    assert call(Task("other")) == "kept"
    assert call(Task("other", cache={"refresh": True})) == "kept"
    assert call(Task("other"), "other") == "other"
    assert names(directory) == ["execution"]


def test_an_environment_variable_that_means_nothing_is_refused_by_name(call, monkeypatch):
    monkeypatch.setenv("BANDSAW_CACHE", "readonly")
    with pytest.raises(InvalidValueError, match="BANDSAW_CACHE.*'readonly'.*'read-only'"):
        call(Task(1))


def test_a_predicate_decides_from_the_value_what_is_kept(call, directory):
    assert call(Task([]), "empty", keep_if=bool) == []
    assert call(Task([1]), "full", keep_if=bool) == [1]
    assert names(directory) == ["full"]


def test_a_predicate_that_fails_costs_a_warning(call, directory, caplog):
    assert call(Task([]), keep_if=lambda value: value[0]) == []
    assert "is not kept in the cache: list index out of range" in caplog.text
    assert names(directory) == []


@pytest.mark.parametrize("bound", [0, -1, "1", True, float("nan")])
@pytest.mark.parametrize(("name", "unit"), [("max_bytes", "bytes"), ("max_age", "seconds")])
def test_a_bound_that_is_no_number_above_zero_is_refused_by_name(directory, name, unit, bound):
    with pytest.raises(InvalidValueError, match=f"{name} has to be a number of {unit}"):
        CachingAdvice(directory, **{name: bound})


def test_what_was_used_longest_ago_goes_first(call, directory):
    data = bytes(10_000)
    for name in "abc":
        call(Task(data), name, max_bytes=35_000)
    task = Task(data)
    call(task, "a", max_bytes=35_000)
    assert task.executed == 0
    call(Task(data), "d", max_bytes=35_000)
    assert names(directory) == ["a", "c", "d"]
    call(Task(data), "e", max_bytes=35_000)
    assert names(directory) == ["a", "d", "e"]
    assert sum(path.stat().st_size for path in directory.rglob("*") if path.is_file()) < 35_000


def test_nobody_else_removes_anything_meanwhile(call, directory, monkeypatch):
    fcntl = pytest.importorskip("fcntl")
    look, looks = bounds._look, []

    def looking(*arguments):
        with open(directory / bounds.NAME) as file, pytest.raises(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        looks.append(arguments)
        return look(*arguments)

    monkeypatch.setattr(bounds, "_look", looking)
    call(Task(1), max_bytes=10_000)
    assert looks


def test_what_others_wrote_counts(call, directory):
    for name in "abcdef":
        call(Task(bytes(10_000)), name)
    call(Task(bytes(10_000)), "g", max_bytes=25_000)
    assert len(names(directory)) == 2
    assert "g" in names(directory)


def test_a_result_larger_than_the_cache_is_not_kept_and_removes_nothing(call, directory, caplog):
    call(Task(bytes(1000)), "small", max_bytes=5_000)
    value = bytes(10_000)
    assert call(Task(value), "large", max_bytes=5_000) is value
    assert "max_bytes=5000" in caplog.text
    assert names(directory) == ["small"]


@pytest.mark.parametrize("age", [3600, datetime.timedelta(hours=1)])
def test_an_entry_that_is_too_old_is_computed_again(call, directory, age, caplog):
    call(Task("old"), max_age=age)
    assert call(Task("new"), max_age=age) == "old"
    grow_old(directory / "task" / "execution", 3601)
    assert call(Task("new"), max_age=age) == "new"
    assert call(Task("newer"), max_age=age) == "new"
    # A clock that was ahead says nothing of how old an entry is.
    grow_old(directory / "task" / "execution", -3700)
    assert call(Task("newest"), max_age=age) == "newest"
    assert not caplog.records


def test_entries_that_are_too_old_go_when_another_one_is_written(call, directory):
    for name in "abc":
        call(Task(1), name)
    grow_old(directory / "task" / "a", 4000, used=0)
    grow_old(directory / "task" / "b", 3000)
    call(Task(1), "d", max_age=3600)
    assert names(directory) == ["b", "c", "d"]
    # Nobody has to look at the entries to know that one of them is older than this.
    call(Task(1), "e", max_age=2900)
    assert names(directory) == ["c", "d", "e"]


def test_a_full_cache_of_many_entries_makes_room_for_some(call, directory):
    for number in range(300):
        call(Task(bytes(1000)), str(number))
    bound = sum(path.stat().st_size for path in directory.glob("task/*")) + 100
    call(Task(bytes(1000)), "new", max_bytes=bound)
    # Three in three hundred more than needed, so that not every write looks at all of them.
    assert len(names(directory)) == 301 - 1 - 3
    assert "new" in names(directory)
    call(Task(bytes(1000)), "newer", max_bytes=bound)
    assert len(names(directory)) == 301 - 1 - 3 + 1


@pytest.mark.parametrize("content", [b"", b"x", b"\xff" * 24, b"\0" * 24])
def test_a_damaged_estimate_is_corrected(call, directory, content):
    for name in "ab":
        call(Task(bytes(10_000)), name, max_bytes=35_000)
    (directory / bounds.NAME).write_bytes(content)
    for name in "cde":
        call(Task(bytes(10_000)), name, max_bytes=35_000)
    assert names(directory) == ["c", "d", "e"]


def test_files_of_writers_that_died_go_when_they_are_old(call, directory):
    call(Task(1))
    abandoned, fresh = (directory / "task" / f".{name}.tmp" for name in ("dead", "alive"))
    for path in (abandoned, fresh):
        path.write_bytes(bytes(100))
        path.chmod(0o600)
    grow_old(abandoned, 100)
    assert bounds.prune(str(directory)) == (0, 1, 100, [])
    assert not abandoned.exists()
    assert fresh.exists()


@pytest.mark.skipif(file_locks.fcntl is None, reason="needs locks of files")
def test_the_file_of_a_writer_that_takes_long_stays(call, directory):
    call(Task(1))
    path = directory / "task" / ".slow.tmp"
    with path.open("wb") as file:
        path.chmod(0o600)
        file_locks.fcntl.flock(file, file_locks.fcntl.LOCK_EX)
        grow_old(path, 100)
        assert bounds.prune(str(directory)) == (0, 0, 0, [])
        assert path.exists()
    assert bounds.prune(str(directory)) == (0, 1, 0, [])


def test_what_was_signed_for_another_call_is_not_served(configure, directory):
    configuration = configure(CachingAdvice(directory))
    configuration.set_serializer(PickleSerializer(bytes(32)))

    def call(value, execution_id):
        return Session(Task(value), Execution(execution_id), configuration).initiate().value

    assert call("mine", "one") == call("other", "one") == "mine"
    folder = str(directory / "task")
    found = entry.read(folder, "one")
    # Whoever may write there can make the digest anew, but not the signature.
    parts = entry.packed(entry.ids_of(folder, "two"), found.record, [found.payload])
    (directory / "task" / "two").write_bytes(b"".join(parts))
    (directory / "task" / "two").chmod(0o600)
    assert call("right", "two") == "right"


def test_an_entry_that_holds_an_exception_is_not_served(call, directory):
    call(Task(1))
    payload = io.BytesIO()
    PickleSerializer().serialize(Result(exception=ValueError("x")), payload)
    ids = entry.ids_of(str(directory / "task"), "execution")
    parts = entry.packed(ids, b"", [payload.getbuffer()])
    (directory / "task" / "execution").write_bytes(b"".join(parts))
    assert call(Task(2)) == 2


@pytest.mark.parametrize(
    ("command", "module", "function", "says"),
    [
        ("prune --max-bytes 1B", os, "unlink", "removed 0 entries and 0 abandoned files, 0 B"),
        (
            "prune --max-bytes 1B",
            entry,
            "open_to_look",
            "removed 0 entries and 0 abandoned files, 0 B",
        ),
        ("rm --all", os, "unlink", "removed 0 entries, 0 B"),
        ("verify --rm", os, "unlink", "1 entry, 1 damaged, 0 removed"),
    ],
)
def test_what_cannot_be_removed_is_told(
    call, directory, monkeypatch, capsys, command, module, function, says
):
    call(Task(1))
    if command.startswith("verify"):
        (directory / "task" / "execution").write_bytes(b"damaged")

    def refuse(path, *opened):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)

    # Whoever runs the tests may be allowed to read and remove anything.
    with monkeypatch.context() as patch:
        patch.setattr(module, function, refuse)
        patch.setattr(bounds, "_is_like_id", bool)
        name, *options = command.split()
        assert main(["cache", name, "--directory", str(directory), *options]) == 1
    told = capsys.readouterr()
    assert told.out.rstrip("\n").endswith(says)
    path = directory / "task" / "execution"
    assert told.err == (
        f"error: 1 entry could not be removed: [Errno {errno.EACCES}] Permission denied: '{path}'\n"
    )
    assert path.exists()


def test_what_cannot_be_read_costs_no_other_entry(call, directory, monkeypatch):
    for name in ("old", "new"):
        call(Task(1), name)
    old, new = (directory / "task" / name for name in ("old", "new"))
    grow_old(old, 100)
    look = entry.open_to_look

    def refuse(path, opened):
        if path == str(old):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), path)
        return look(path, opened)

    # Named as entries are, they count without a look into them.
    monkeypatch.setattr(bounds, "_is_like_id", bool)
    monkeypatch.setattr(entry, "open_to_look", refuse)
    removed = bounds.prune(str(directory), max_bytes=new.stat().st_size)
    assert removed.entries == 0
    assert [error.filename for error in removed.failures] == [str(old)]
    assert old.exists() and new.exists()


def test_folders_of_code_that_has_changed_go_with_their_last_entry(call, directory):
    call(Task(1))
    grow_old(directory / "task" / "execution", 100)
    assert bounds.prune(str(directory), max_age=50).entries == 1
    assert not (directory / "task").exists()
    assert call(Task(2)) == 2


ARRAYS = {
    "plain": np.arange(10.0),
    "large": np.arange(300_000.0).reshape(300, -1),
    "fortran": np.asfortranarray(np.arange(12).reshape(3, 4)),
    "empty": np.zeros((0, 3)),
}


@pytest.mark.parametrize("mmap", [False, True])
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_are_the_same_and_writable_unless_they_are_mapped(call, name, mmap):
    array = ARRAYS[name]
    first = call(Task({"array": array.copy(order="K")}), mmap=mmap)["array"]
    task = Task(None)
    found = call(task, mmap=mmap)["array"]
    assert task.executed == 0
    for one in (first, found):
        assert one.dtype == array.dtype
        assert one.flags.f_contiguous == array.flags.f_contiguous
        np.testing.assert_array_equal(one, array)
        if array.size:
            assert one.flags.writeable is not mmap
    if mmap and array.nbytes > 100_000:
        # As it lies in the file.
        assert found.ctypes.data % 64 == 0


# Some are read together, some by themselves, and the longest in several pieces.
SIZES = [0, 1, 131_072, 131_073, 0, 9_000_000, 100, *[70_000] * 30, 8_388_608, 8_388_609, 3]


@pytest.mark.parametrize("mmap", [False, True])
def test_arrays_of_all_sizes_come_back_in_their_order(call, mmap):
    arrays = [np.full(size, number, "u1") for number, size in enumerate(SIZES)]
    call(Task(arrays), mmap=mmap)
    task = Task(None)
    found = call(task, mmap=mmap)
    assert task.executed == 0
    assert [len(array) for array in found] == SIZES
    for one, array in zip(found, arrays):
        np.testing.assert_array_equal(one, array)
        if not mmap and one.size:
            one[:] = 255
    for number, one in enumerate(call(Task(None), mmap=mmap)):
        assert (one == number).all()


def test_damage_is_noticed_wherever_it_is_in_a_large_entry(call, directory, caplog):
    call(Task([np.full(size, number, "u1") for number, size in enumerate(SIZES)]))
    path = directory / "task" / "execution"
    whole = path.read_bytes()
    for place in (100, 150_000, 5_000_000, 9_400_000, 20_000_000, len(whole) - 1):
        flipped = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        for damaged in (flipped, whole[:place]):
            path.write_bytes(damaged)
            caplog.clear()
            assert call(Task("computed")) == "computed"
            assert "is not used" in caplog.text


def test_a_read_only_array_stays_read_only(call):
    array = np.arange(5)
    array.flags.writeable = False
    call(Task(array))
    assert not call(Task(None)).flags.writeable


def test_a_mapped_array_outlives_its_entry(call, directory):
    call(Task(np.arange(100_000)), mmap=True)
    found = call(Task(None), mmap=True)
    (directory / "task" / "execution").unlink()
    np.testing.assert_array_equal(found, np.arange(100_000))


@pytest.mark.parametrize("mmap", [True, False])
def test_a_large_entry_is_verified_again_when_its_file_has_changed(call, directory, caplog, mmap):
    path = directory / "task" / "execution"
    array = np.arange(200_000)
    call(Task(array), mmap=mmap)
    call(Task(None), mmap=mmap)
    assert str(path) not in verified._large
    grow_old(path, 10)
    for _ in range(2):
        np.testing.assert_array_equal(call(Task(None), mmap=mmap), array)
    assert str(path) in verified._large
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    np.testing.assert_array_equal(call(Task(array), mmap=mmap), array)
    assert "another one" in caplog.text
    caplog.clear()
    # At once, too, while the times of the file say nothing yet.
    content[-8] ^= 1
    path.write_bytes(content)
    call(Task(None), mmap=mmap)
    content[-8] ^= 1
    path.write_bytes(content)
    np.testing.assert_array_equal(call(Task(array), mmap=mmap), array)
    assert "another one" in caplog.text


@pytest.mark.parametrize("is_replaced", [True, False])
def test_a_large_entry_that_changes_while_it_is_read_is_not_used_and_a_replaced_one_is(
    call, directory, caplog, monkeypatch, is_replaced
):
    path = directory / "task" / "execution"
    array = np.arange(200_000)
    call(Task(array))
    grow_old(path, 10)
    call(Task(None))
    read_into = entry._read_into

    def read_late(view, file):
        other = directory / "other" if is_replaced else path
        other.write_bytes(path.read_bytes()[:-8] + bytes(8))
        os.replace(other, path)
        return read_into(view, file)

    monkeypatch.setattr(entry, "_read_into", read_late)
    np.testing.assert_array_equal(call(Task(array)), array)
    assert ("changed while it was read" in caplog.text) is not is_replaced


@pytest.mark.parametrize(
    ("stamp", "seconds", "is_settled"),
    [(10**9, 1.9, False), (10**9, 2.1, True), (10**9 + 1, 0.05, False), (10**9 + 1, 0.2, True)],
)
def test_a_file_is_settled_when_a_change_would_show_in_its_time(stamp, seconds, is_settled):
    assert files.is_settled(stamp, stamp + round(seconds * 10**9)) is is_settled


def test_a_short_entry_that_is_known_is_read_again_when_its_file_has_changed(
    call, directory, caplog
):
    path = directory / "task" / "execution"
    call(Task(1))
    call(Task(None))
    assert str(path) not in verified._recent
    grow_old(path, 10)
    for _ in range(2):
        assert call(Task(None)) == 1
    assert str(path) in verified._recent
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    assert call(Task(2)) == 2
    assert "another one" in caplog.text
    grow_old(path, 10)
    assert call(Task(None)) == 2
    path.unlink()
    assert call(Task(3)) == 3


def test_a_stamp_of_use_does_not_hide_a_change(call, directory, caplog):
    path = directory / "task" / "execution"
    array = np.arange(100_000)
    call(Task(array), mmap=True, max_bytes=10**9)
    grow_old(path, 10)
    for _ in range(3):
        call(Task(None), mmap=True, max_bytes=10**9)
    content = bytearray(path.read_bytes())
    content[-8] ^= 1
    path.write_bytes(content)
    np.testing.assert_array_equal(call(Task(array), mmap=True, max_bytes=10**9), array)
    assert "another one" in caplog.text


class Compressing(bandsaw.PickleSerializer):
    """A serializer of a user's own that knows nothing of buffers."""

    def serialize(self, value, stream):
        inner = io.BytesIO()
        super().serialize(value, inner)
        stream.write(zlib.compress(inner.getvalue()))

    def deserialize(self, stream):
        return super().deserialize(io.BytesIO(zlib.decompress(stream.read())))


def test_a_serializer_of_a_users_own_is_asked(configure, directory):
    configuration = configure(CachingAdvice(directory, mmap=True))
    configuration.set_serializer(Compressing())
    array = np.zeros(100_000)
    for task in (Task(array), Task(None)):
        session = Session(task, Execution("execution"), configuration)
        np.testing.assert_array_equal(session.initiate().value, array)
    assert (directory / "task" / "execution").stat().st_size < 10_000


class Duck:
    """A serializer that is derived from nothing."""

    def serialize(self, value, stream):
        stream.write(repr(value.value).encode())

    def deserialize(self, stream):
        return Result(eval(stream.read()))


def test_a_serializer_that_is_derived_from_nothing_is_enough(configure, directory):
    configuration = configure(CachingAdvice(directory))
    configuration.set_serializer(Duck())
    for task in (Task([1]), Task(None)):
        session = Session(task, Execution("execution"), configuration)
        assert session.initiate().value == [1]


class Derived(bandsaw.PickleSerializer):
    """A serializer of a user's own that changes nothing."""

    def serialize(self, value, stream):
        super().serialize(value, stream)


@pytest.mark.parametrize(
    "serializer", [bandsaw.PickleSerializer, bandsaw.JsonSerializer, Derived], ids=str
)
@pytest.mark.parametrize("kind", ["local class", "unwritable attribute", "unwritable argument"])
def test_what_cannot_be_kept_exactly_is_not_kept(configure, directory, caplog, serializer, kind):
    class LocalError(ValueError):
        pass

    error = LocalError("x") if kind == "local class" else ValueError("x")
    if kind == "unwritable attribute":
        error.lock = threading.Lock()
    elif kind == "unwritable argument":
        error.args = (threading.Lock(),)
    configuration = configure(CachingAdvice(directory))
    configuration.set_serializer(serializer())
    session = Session(Task([error]), Execution("execution"), configuration)
    assert session.initiate().value == [error]
    assert "is not kept" in caplog.text
    assert names(directory) == []


@pytest.mark.parametrize("serializer", [bandsaw.PickleSerializer, bandsaw.JsonSerializer])
def test_an_exception_that_can_be_kept_exactly_is_a_value_like_others(
    configure, directory, serializer
):
    configuration = configure(CachingAdvice(directory))
    configuration.set_serializer(serializer())
    for value in ([KeyError("x", 1)], None):
        session = Session(Task(value), Execution("execution"), configuration)
        (found,) = session.initiate().value
        assert (type(found), found.args) == (KeyError, ("x", 1))


class ZeroCopy(bytearray):
    """As in the documentation of pickle: made again of whoever owns the buffer."""

    def __reduce_ex__(self, protocol):
        return type(self)._made, (pickle.PickleBuffer(self),)

    @classmethod
    def _made(cls, buffer):
        with memoryview(buffer) as view:
            owner = view.obj
            return owner if type(owner) is cls else cls(owner)


@pytest.mark.parametrize("mmap", [False, True])
def test_buffers_of_anything_but_arrays_come_back_as_they_were(call, mmap):
    value = ZeroCopy(b"x" * 100_000)
    call(Task(value), mmap=mmap)
    found = call(Task(None), mmap=mmap)
    assert type(found) is ZeroCopy
    assert found == value


def test_nothing_is_logged_above_debug_but_hits(call, caplog):
    caplog.set_level(logging.INFO)
    call(Task(1), max_bytes=10_000, max_age=10)
    assert not caplog.records
    call(Task(1), max_bytes=10_000, max_age=10)
    assert len(caplog.records) == 1


def test_files_that_are_not_the_cache_s_stay(call, directory):
    """Whatever folder somebody takes for a cache."""
    others = [directory / "data" / "precious.csv", directory / "abcdef01" / "deadbeef"]
    for path in others:
        path.parent.mkdir(parents=True, mode=0o700)
        path.write_bytes(bytes(5000))
        grow_old(path, 1000)
    (directory / "empty").mkdir()
    for name in "abc":
        call(Task(bytes(1000)), name, max_bytes=3000, max_age=100)
    bounds.prune(str(directory), max_bytes=1)
    assert all(path.exists() for path in others)
    assert (directory / "empty").exists()
    assert names(directory) == ["deadbeef", "precious.csv"]


def test_a_folder_that_cannot_be_looked_into_does_not_switch_bounds_off(
    call, directory, monkeypatch, caplog
):
    (directory / "abcdef").mkdir(parents=True)
    scandir = os.scandir

    def failing(path):
        if str(path).endswith("abcdef"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    for name in "abcdef":
        call(Task(bytes(1000)), name, max_bytes=3000)
    assert len(names(directory)) == 2
    assert not caplog.records


def test_bounds_that_cannot_be_kept_cost_a_warning_of_their_own(call, directory, caplog):
    (directory / bounds.NAME).mkdir(parents=True)
    assert call(Task(1), max_bytes=3000) == 1
    assert "bounds of the cache" in caplog.text
    assert "is not kept" not in caplog.text
    assert call(Task(2), max_bytes=3000) == 1


def test_an_estimate_that_is_also_another_file_is_not_written(call, directory, tmp_path, caplog):
    victim = tmp_path / "victim"
    victim.write_bytes(bytes(100))
    directory.mkdir(mode=0o700)
    os.link(victim, directory / bounds.NAME)
    call(Task(1), max_bytes=3000)
    assert victim.read_bytes() == bytes(100)
    assert "another name" in caplog.text


def test_different_ids_of_odd_forms_have_different_entries(configure, directory):
    configuration = configure(CachingAdvice(directory))
    ids = [
        "a/b",
        bandsaw.identifier_from_string("a/b"),
        5,
        "5",
        "_x",
        ".x",
        "\ud800",
        "",
        "x" * 300,
    ]
    for _ in range(2):
        for an_id in ids:
            session = Session(Task(repr(an_id)), Execution(an_id), configuration)
            assert session.initiate().value == repr(an_id)
    assert len(names(directory)) == len(ids)


class InThread(bandsaw.Advice):
    """Goes on in another thread."""

    def before(self, session):
        thread = threading.Thread(target=session.proceed)
        thread.start()
        thread.join()


def test_a_call_that_goes_on_in_another_thread_does_not_wait_for_itself(configure, directory):
    cache = CachingAdvice(directory)
    configuration = configure(cache, InThread(), CachingAdvice(directory), cache)
    session = Session(Task(7), Execution("execution"), configuration)
    assert session.initiate().value == 7


class Travelling(bandsaw.Advice):
    """Goes on as another session in another thread, as a far end would."""

    def before(self, session):
        stream = io.BytesIO()
        session.save(stream)
        stream.seek(0)

        def go_on():
            there = Session().restore(stream)
            there.proceed()

        thread = threading.Thread(target=go_on)
        thread.start()
        thread.join()
        session.conclude(Result("came back"))


def test_a_call_that_was_saved_and_restored_does_not_wait_for_itself(configure, directory):
    cache = CachingAdvice(directory)
    configuration = configure(cache, Travelling(), cache)
    task = bandsaw.task(config=configuration.module_name)(_identity)
    assert task(3) == "came back"


def _identity(value):
    return value


def test_what_is_no_result_is_not_kept(configure, directory, caplog):
    configuration = configure(CachingAdvice(directory))
    task = Task(1)
    task.execute = lambda execution: "no result"
    session = Session(task, Execution("execution"), configuration)
    assert session.initiate() == "no result"
    assert "is no bandsaw.Result" in caplog.text
    assert names(directory) == []


def test_an_inner_cache_of_the_same_directory_does_not_change_what_is_mapped(configure, directory):
    configuration = configure(CachingAdvice(directory, mmap=True), CachingAdvice(directory))
    for _ in range(2):
        session = Session(Task(np.arange(100_000)), Execution("execution"), configuration)
        assert not session.initiate().value.flags.writeable


@pytest.mark.skipif(not os.path.exists("/proc/self/fd"), reason="nothing lists descriptors")
def test_small_results_hold_no_descriptors(call):
    kept = []
    before = len(os.listdir("/proc/self/fd"))
    for number in range(20):
        kept += [call(Task(np.arange(10)), str(number), mmap=True) for _ in range(2)]
    assert len(os.listdir("/proc/self/fd")) == before
    assert not any(array.flags.writeable for array in kept)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_process_that_was_forked_keeps_no_lock_on_the_bounds(call, directory, monkeypatch):
    look = bounds._look
    children = []

    def forking(*arguments):
        reading, writing = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
        os.close(reading)
        children.append((child, writing))
        return look(*arguments)

    monkeypatch.setattr(bounds, "_look", forking)
    try:
        call(Task(1), "first", max_bytes=10_000)
        monkeypatch.setattr(bounds, "_look", look)
        # It would wait for the child.
        call(Task(1), "second", max_bytes=10_000)
    finally:
        for child, writing in children:
            os.close(writing)
            os.waitpid(child, 0)
    assert len(children) == 1
