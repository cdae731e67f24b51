import datetime
import decimal
import errno
import gc
import os
import pathlib
import random
import shutil
import tempfile
import threading
from pathlib import Path

import numpy
import pytest

import bandsaw
from tests.faults import cache_damage, cache_failures
from tests.faults.cache_calls import Cache, Task, deadline, records, same

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="the harness forks"),
    pytest.mark.slow,
]

LIBRARY = Path(bandsaw.__file__).resolve().parent.parent
TESTS = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def patience():
    """Nothing here takes that long, unless it hangs."""
    with deadline(300):
        yield


@pytest.fixture
def folder(tmp_path):
    """A folder in memory, where there is such a thing: some tests write a file ten thousand times.

    Disks would be kept busy, with data that nobody needs.
    """
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def value_of(what):
    return Task(lambda _: what)


def ask(cache, what, key="execution"):
    """Asks for an entry; returns the value, whether it was computed, and the warnings."""
    task = value_of(what)
    with records() as warnings:
        value = cache.call(task, key)
    return value, task.executed, warnings


# Damage.


@pytest.mark.parametrize("variant", cache_damage.VARIANTS)
def test_each_flipped_bit_is_a_warning_and_a_computation(folder, variant):
    damaged = cache_damage.Damaged(folder, variant)
    # The others differ in how they are read; what is verified is the same.
    every = 1 if variant in ("pickle with buffers", "JSON") else 8
    bits = range(8 * len(damaged.intact))
    for number, at in enumerate(random.Random(0).sample(bits, len(bits) // every)):
        cache_damage.flip(damaged, at, again=number % 64 == 0)


@pytest.mark.parametrize("variant", cache_damage.VARIANTS)
def test_each_truncation_is_a_warning_and_a_computation(folder, variant):
    damaged = cache_damage.Damaged(folder, variant)
    for length in range(len(damaged.intact)):
        cache_damage.cut(damaged, length, again=length % 64 == 0)


@pytest.mark.parametrize("variant", ["pickle", "pickle with buffers, mapped", "JSON, mapped"])
def test_damage_to_a_large_entry_is_a_warning_and_a_computation(folder, variant):
    figures = cache_damage.large(folder, variant, 12, random.Random(0))
    assert figures.injected == {"bits flipped": 12, "entries cut": 12}


@pytest.mark.parametrize("variant", cache_damage.VARIANTS)
def test_what_is_no_entry_or_another_one_is_a_warning_and_a_computation(folder, variant):
    cache_damage.foreign(cache_damage.Damaged(folder, variant), random.Random(0))


# A system that fails.


@pytest.mark.parametrize("scene", cache_failures.SCENES)
def test_a_system_call_that_fails_never_costs_the_value_and_leaves_nothing(folder, scene):
    for error in cache_failures.ERRORS:
        once = cache_failures.failing(folder, scene, error)
    from_then_on = cache_failures.failing(folder, scene, errno.ENOSPC, onwards=True)
    assert sum(from_then_on.injected.values()) > sum(once.injected.values()) > 4


@pytest.mark.parametrize("scene", cache_failures.SCENES)
def test_transfers_that_fall_short_change_nothing(folder, scene):
    cache_failures.failing(folder, scene, None)


# Chains, and tasks that call tasks.

CONFIGURATION = """
    import bandsaw
    from bandsaw.advices.cache import CachingAdvice
    from bandsaw.advices.subprocess import SubprocessAdvice

    cache = CachingAdvice('cache')
    configuration = bandsaw.Configuration().add_advice_chain({})
"""

WORKFLOW = """
    import bandsaw

    def note(name):
        with open('computed', 'a') as file:
            print(name, file=file)

    @bandsaw.task
    def add(a, b):
        note('add')
        return a + b

    @bandsaw.task
    def outer(n):
        note('outer')
        return {'sum': add(n, n), 'again': add(n, n), 'more': (add(n, 1), None)}

    @bandsaw.task
    def fibonacci(n):
        note('fibonacci')
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    if __name__ == '__main__':
        print(add(1, 2), outer(3), fibonacci(3))
"""


@pytest.mark.parametrize(
    "chain",
    ["cache, cache", "cache, CachingAdvice('cache')", "cache, SubprocessAdvice(), cache"],
)
def test_a_cache_waits_neither_for_itself_nor_for_whom_it_waits_for(project, chain):
    project.write("bandsaw_config.py", CONFIGURATION.format(chain))
    project.write("workflow.py", WORKFLOW)
    library = {"PYTHONPATH": str(LIBRARY)}
    for _ in range(2):
        done = project.run("workflow.py", **library)
        assert done.stdout == "3 {'sum': 6, 'again': 6, 'more': (4, None)} 2\n"
        assert done.stderr == ""
        computed = sorted((project.folder / "computed").read_text().split())
        assert computed == [*["add"] * 3, *["fibonacci"] * 4, "outer"]
    assert not Cache(project.folder / "cache").temporary_files()
    assert project.left_behind() == []


def test_a_task_whose_threads_call_other_cached_tasks_is_computed(tmp_path):
    cache = Cache(tmp_path)

    def compute(key):
        found = []
        threads = [
            threading.Thread(target=lambda n=n: found.append(cache.call(value_of(n), f"part{n}")))
            for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return sorted(found)

    for _ in range(2):
        assert cache.call(Task(compute)) == [0, 1, 2, 3]


# What lies in the way.


def test_a_folder_that_leads_elsewhere_is_not_followed(tmp_path):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir(mode=0o700)
    cache = Cache(tmp_path / "cache")
    ask(cache, 0, "other")
    (tmp_path / "cache" / "task").rename(tmp_path / "cache" / "moved")
    (tmp_path / "cache" / "task").symlink_to(elsewhere)
    # What was known of the folder holds for a second.
    cache_failures.owned_files._trusted.clear()
    for _ in range(2):
        value, executed, warnings = ask(cache, [1])
        assert (value, executed) == ([1], 1)
        assert warnings
    assert list(elsewhere.iterdir()) == []


@pytest.mark.parametrize("planted", ["link", "dangling link", "directory", "pipe"])
def test_what_lies_in_place_of_a_temporary_file_is_not_written_to(tmp_path, planted):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    cache = Cache(tmp_path / "cache")
    ask(cache, 0, "other")
    temporary = tmp_path / "cache" / "task" / ".execution.tmp"
    plant(temporary, planted, victim)
    value, executed, _ = ask(cache, [1])
    assert (value, executed) == ([1], 1)
    assert ask(cache, [1]) == ([1], 0, [])
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("planted", ["link", "dangling link", "directory", "pipe"])
def test_what_lies_in_place_of_the_bounds_is_not_written_to(tmp_path, planted):
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    cache = Cache(tmp_path / "cache", max_bytes=10_000)
    (tmp_path / "cache").mkdir(mode=0o700)
    plant(tmp_path / "cache" / ".bounds", planted, victim)
    value, executed, warnings = ask(cache, [1])
    assert (value, executed, len(warnings)) == ([1], 1, 1)
    assert ask(cache, [1]) == ([1], 0, [])
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()
    assert not cache.temporary_files()


@pytest.mark.parametrize("planted", ["link", "dangling link", "directory", "pipe"])
def test_what_lies_in_place_of_an_entry_is_not_read(tmp_path, planted):
    cache = Cache(tmp_path / "cache")
    ask(cache, "victim", "other")
    other = tmp_path / "cache" / "task" / "other"
    before = other.read_bytes()
    plant(tmp_path / "cache" / "task" / "execution", planted, other)
    value, executed, warnings = ask(cache, [1])
    assert (value, executed) == ([1], 1)
    assert warnings or planted == "dangling link"
    assert other.read_bytes() == before
    assert not (tmp_path / "nowhere").exists()
    assert not cache.temporary_files()


def plant(path, what, victim):
    if what == "link":
        path.symlink_to(victim)
    elif what == "dangling link":
        path.symlink_to(path.parent.parent.parent / "nowhere")
    elif what == "directory":
        path.mkdir()
    else:
        os.mkfifo(path, 0o600)


def test_what_a_killed_process_left_is_no_part_of_the_next_entry(tmp_path):
    cache = Cache(tmp_path)
    ask(cache, 0, "other")
    temporary = tmp_path / "task" / ".execution.tmp"
    temporary.touch(mode=0o600)
    temporary.write_bytes(b"left behind" * 1000)
    assert ask(cache, [1]) == ([1], 1, [])
    assert ask(cache, [1]) == ([1], 0, [])
    assert not cache.temporary_files()


# Surroundings that change.


def test_a_task_that_changes_the_working_directory_leaves_its_entry_where_it_belongs(
    tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    for mapped in (False, True):
        cache = Cache(f"cache{mapped}", mmap=mapped)

        def compute(_):
            os.chdir(tmp_path / "elsewhere")
            return numpy.arange(3)

        with records() as warnings:
            assert same(cache.call(Task(compute)), numpy.arange(3))
        assert warnings == []
        os.chdir(tmp_path)
        assert os.path.isfile(cache.path())
        assert ask(cache, None)[1:] == (0, [])
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_a_working_directory_that_is_gone_costs_no_value(tmp_path, monkeypatch):
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert ask(Cache("cache"), [1])[:2] == ([1], 1)


@pytest.mark.parametrize("what", ["cache", "cache/task", "cache/task/.execution.tmp"])
@pytest.mark.parametrize("options", [{}, {"max_bytes": 10_000}, {"mmap": True}])
def test_what_is_removed_while_it_is_computed_costs_a_warning(tmp_path, what, options):
    cache = Cache(tmp_path / "cache", **options)

    def compute(_):
        path = tmp_path / what
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return numpy.arange(3)

    with records() as warnings:
        assert same(cache.call(Task(compute)), numpy.arange(3))
    assert len(warnings) == 1
    for executed in (1, 0):
        value, times, warnings = ask(cache, numpy.arange(3))
        assert same(value, numpy.arange(3))
        assert (times, warnings) == (executed, [])
    assert not cache.temporary_files()


def test_two_that_compute_after_the_directory_was_removed_both_get_their_values(tmp_path):
    cache = Cache(tmp_path / "cache")
    inside, go_on = threading.Event(), threading.Event()
    found = []

    def compute_second(_):
        inside.set()
        go_on.wait()
        return "value"

    second = threading.Thread(target=lambda: found.append(cache.call(Task(compute_second))))

    def compute_first(_):
        shutil.rmtree(tmp_path / "cache")
        second.start()
        inside.wait()
        return "value"

    with records():
        found.append(cache.call(Task(compute_first)))
        # The second one's file may be there as an entry, half done.
        found.append(ask(cache, "value")[0])
        go_on.set()
        second.join()
        found.append(ask(cache, "value")[0])
    assert found == ["value"] * 4
    assert ask(cache, "value") == ("value", 0, [])
    assert not cache.temporary_files()


CLOSED = """
    import os
    import bandsaw
    import workflow_tasks

    os.close(0), os.close(1), os.close(2)
    value = workflow_tasks.talk(3)
    with open('told', 'a') as file:
        print(value, file=file)
    os._exit(0)
"""

TALKING = """
    import contextlib
    import os
    import bandsaw

    @bandsaw.task
    def talk(n):
        with open('computed', 'a') as file:
            print(n, file=file)
        for descriptor in range({}):
            with contextlib.suppress(OSError):
                os.write(descriptor, b'noise')
        with contextlib.suppress(OSError, ValueError):
            print('more noise', flush=True)
        return [n] * n
"""


@pytest.mark.parametrize("descriptors", [0, 3])
def test_closed_standard_streams_cost_no_value(project, descriptors):
    project.write("bandsaw_config.py", CONFIGURATION.format("cache"))
    project.write("workflow_tasks.py", TALKING.format(descriptors))
    project.write("workflow.py", CLOSED)
    for _ in range(3):
        project.run("workflow.py", PYTHONPATH=str(LIBRARY))
    assert (project.folder / "told").read_text() == "[3, 3, 3]\n" * 3
    if not descriptors:
        assert (project.folder / "computed").read_text() == "3\n"


def test_what_a_task_writes_to_closed_standard_streams_is_no_part_of_its_entry(project):
    project.write("bandsaw_config.py", CONFIGURATION.format("cache"))
    project.write("workflow_tasks.py", TALKING.format(3))
    project.write("workflow.py", CLOSED)
    for _ in range(2):
        project.run("workflow.py", PYTHONPATH=str(LIBRARY))
    assert (project.folder / "computed").read_text() == "3\n"


# Values.


class Point:
    """A value of a class of its own."""

    def __init__(self, *coordinates):
        self.coordinates = coordinates

    def __eq__(self, other):
        return self.coordinates == other.coordinates

    __hash__ = None


def read_only_array():
    array = numpy.arange(6)
    array.flags.writeable = False
    return array


ERROR = KeyError("as a value", 1)
VALUES = {
    "none": None,
    "zero": 0,
    "false": False,
    "nothing": "",
    "empty containers": [[], (), {}, set(), frozenset(), b"", bytearray()],
    "not a number": [float("inf"), -0.0, 1j],
    "large int": 1 << 5000,
    "text": "ß\0\n\U0001f600" * 10,
    "large bytes": bytes(range(256)) * 12_000,
    "bytearray": bytearray(b"some bytes") * 100,
    "large bytearray": bytearray(b"some bytes") * 200_000,
    "nested": {"a": [({"b": (1, None)},), {2: {3: [b"4"]}}], (5, "6"): frozenset({7})},
    "dates": [
        datetime.datetime(2020, 2, 29, tzinfo=datetime.timezone.utc),
        decimal.Decimal("1.10"),
    ],
    "path": pathlib.PurePosixPath("/some/path"),
    "object": [Point(1, 2.5), Point],
    "type": [int, ValueError, len],
    "ellipsis": [..., NotImplemented, range(3)],
}
ARRAYS = {
    "C": numpy.arange(24.0).reshape(2, 3, 4),
    "Fortran": numpy.asfortranarray(numpy.arange(24, dtype=">i4").reshape(4, 6)),
    "strided": numpy.arange(100, dtype=numpy.int16)[::7],
    "reversed": numpy.arange(12).reshape(3, 4)[::-1, ::-1],
    "broadcast": numpy.broadcast_to(numpy.arange(3), (4, 3)),
    "0-d": numpy.array(7.5),
    "scalar": numpy.float32(1.5),
    "empty": numpy.empty((0, 3)),
    "read-only": read_only_array(),
    "structured": numpy.array([(1, b"ab", 2.5)], dtype=[("a", "<i2"), ("b", "S3"), ("c", ">f8")]),
    "objects": numpy.array([1, "two", None, [4]], dtype=object),
    "times": numpy.array(["2020-02-29", "NaT"], dtype="M8[D]"),
    "texts": numpy.array(["a", "ßé"]),
    "large": numpy.arange(300_000, dtype=numpy.uint8).reshape(3, -1),
}


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("name", VALUES)
def test_a_hit_returns_what_was_computed(tmp_path, name, mapped):
    value = VALUES[name]
    cache = Cache(tmp_path, mmap=mapped)
    for executed in (1, 0):
        found, times, warnings = ask(cache, value)
        assert (times, warnings) == (executed, [])
        assert same(found, value)
        assert repr(found) == repr(value) or name == "object"


def test_an_exception_may_be_a_value(tmp_path):
    cache = Cache(tmp_path)
    for executed in (1, 0):
        found, times, warnings = ask(cache, [ERROR])
        assert (times, warnings) == (executed, [])
        assert (type(found[0]), found[0].args) == (KeyError, ERROR.args)


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("name", ARRAYS)
def test_a_hit_returns_the_array_that_was_computed(tmp_path, name, mapped):
    value = ARRAYS[name]
    cache = Cache(tmp_path, mmap=mapped)
    first, _, warnings = ask(cache, value)
    second, executed, more = ask(cache, None)
    assert (executed, warnings, more) == (0, [], [])
    for found in (first, second):
        if name == "objects":
            assert found.tolist() == value.tolist()
            assert found.dtype == value.dtype
        else:
            assert same(found, value)
    if value.flags.forc:
        assert second.flags.fnc == value.flags.fnc
        # What has gaps is pickled as a copy, and a mapped one is read-only.
        assert mapped or second.flags.writeable == value.flags.writeable


@pytest.mark.parametrize("name", ["C", "Fortran", "strided", "structured", "large", "objects"])
def test_the_array_of_a_hit_can_be_written_to_as_the_computed_one_could(tmp_path, name):
    cache = Cache(tmp_path)
    for _ in range(2):
        found, _, _ = ask(cache, ARRAYS[name].copy(order="K"))
        assert found.flags.writeable
        found[...] = found.copy()
        assert ask(cache, None)[1] == 0


def test_a_mapped_array_is_read_only_and_ends_its_mapping_when_it_goes(tmp_path):
    cache = Cache(tmp_path, mmap=True)
    value = {"large": numpy.arange(300_000.0), "other": [numpy.arange(50_000)]}
    for executed in (1, 0, 0):
        found, times, warnings = ask(cache, value)
        assert (times, warnings) == (executed, [])
        assert same(found, value)
        assert not found["large"].flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            found["large"][0] = 1
        assert is_mapped(cache.path())
        # A part keeps what it needs.
        part = found["other"][0][5:10]
        del found
        assert part.tolist() == [5, 6, 7, 8, 9]
        assert is_mapped(cache.path())
        del part
        gc.collect()
        assert not is_mapped(cache.path())


def is_mapped(path):
    if not os.path.exists("/proc/self/maps"):
        pytest.skip("there is no list of mappings")
    return path in Path("/proc/self/maps").read_text()


def test_a_mapped_array_outlives_the_entry_and_its_replacement(tmp_path):
    cache = Cache(tmp_path, mmap=True)
    value = numpy.arange(300_000.0)
    ask(cache, value)
    found = ask(cache, None)[0]
    cache.call(Task(lambda _: value + 1, cache={"refresh": True}))
    assert same(found, value)
    assert same(ask(cache, None)[0], value + 1)
    os.unlink(cache.path())
    assert same(found, value)


def test_tables_are_served_as_they_were_computed(tmp_path):
    pandas = pytest.importorskip("pandas")
    pyarrow = pytest.importorskip("pyarrow")
    frame = pandas.DataFrame(
        {
            "int": range(5000),
            "float": numpy.linspace(0, 1, 5000),
            "text": [f"text {n}" for n in range(5000)],
            "category": pandas.Categorical(["a", "b"] * 2500),
            "time": pandas.date_range("2020-02-29", periods=5000, freq="s", tz="UTC"),
        },
        index=pandas.Index(range(5000, 10_000), name="index"),
    )
    table = pyarrow.table({"a": range(5000), "b": [["x"], None] * 2500})
    for mapped in (False, True):
        cache = Cache(tmp_path / str(mapped), mmap=mapped)
        for executed in (1, 0):
            found, times, warnings = ask(cache, (frame, table, table.slice(10, 20)))
            assert (times, warnings) == (executed, [])
            pandas.testing.assert_frame_equal(found[0], frame)
            assert found[1].equals(table, check_metadata=True)
            assert found[2].equals(table.slice(10, 20), check_metadata=True)
            del found
            gc.collect()
        assert not is_mapped(cache.path())
