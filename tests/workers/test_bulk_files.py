import pytest

pytestmark = pytest.mark.slow

pytest.importorskip("numpy")

MODES = pytest.mark.parametrize("mode", ["", "workers=1"], ids=["own", "warm"])
TASKS = """
import numpy
from tests.faults.workers_seen import descriptors, resident_bytes, shared_memory

@bandsaw.task
def back(value):
    return value

@bandsaw.task
def take(value):
    return resident_bytes()

@bandsaw.task
def make(size):
    return numpy.arange(size, dtype='u1')

@bandsaw.task
def change(value):
    value[0] = 1
    assert value.ctypes.data % 64 == 0 and value.flags.writeable
    return value
"""


@MODES
def test_a_large_array_costs_the_sender_nothing_and_the_receiver_one_copy(run, mode):
    body = """
    size = 100_000_000
    array = numpy.random.default_rng(1).integers(0, 256, size, dtype='u1')
    kept = array.copy()
    back(1), take(1)
    before = resident_bytes()
    there = take(array)
    assert resident_bytes() - before < 5_000_000, resident_bytes() - before
    assert there - take(1) < size * 1.1
    # A task that sends it back has mapped what came, and writes that into a file.
    found = back(array)
    assert resident_bytes() - before < size * 1.05
    assert (found == array).all() and (array == kept).all()
    found[0] ^= 1
    assert found[0] != array[0]
    assert found.ctypes.data % 64 == 0
    del found
    assert resident_bytes() - before < 5_000_000
    """
    run(TASKS, body, mode)


@MODES
def test_what_the_task_changes_is_not_changed_here(run, mode):
    body = """
    array = numpy.zeros(1_000_000)
    for _ in range(2):
        found = change(array)
        assert found[0] == 1 and array[0] == 0
    """
    run(TASKS, body, mode)


VALUES = """
    bytes(range(256)) * 40_000,
    bytearray(b'x' * 10_000_000),
    [numpy.full(n, n) for n in range(300)],
    numpy.zeros(0),
    [numpy.zeros(0), numpy.zeros((0, 3)), numpy.arange(100_000), numpy.zeros(0)],
    numpy.asfortranarray(numpy.arange(200_000).reshape(400, 500)),
    numpy.arange(300_000)[::3],
    numpy.arange(100_001, dtype='u1')[1:],
    numpy.array(['a', None, (1,)], dtype=object),
    numpy.array(5.0),
    [memoryview(b'x' * 100_000).tobytes()] * 3,
    __import__('pandas').DataFrame({'a': range(100_000), 'b': list('xy') * 50_000}),
"""


# A process for each value imports NumPy each time.
@pytest.mark.parametrize(
    "mode",
    [pytest.param("", marks=pytest.mark.slow, id="own"), pytest.param("workers=1", id="warm")],
)
def test_values_come_back_as_they_were(run, mode):
    pytest.importorskip("pandas")
    body = f"""
    def same(one, other):
        assert type(one) is type(other)
        if isinstance(one, list):
            assert len(one) == len(other)
            for pair in zip(one, other):
                same(*pair)
        elif isinstance(one, numpy.ndarray):
            numpy.testing.assert_array_equal(one, other)
            assert one.dtype == other.dtype and one.shape == other.shape
            assert other.flags.writeable == one.flags.writeable
            assert other.flags.f_contiguous == one.flags.f_contiguous or not one.flags.c_contiguous
            if other.nbytes:
                other.flat[0] = other.flat[-1]
        elif hasattr(one, 'equals'):
            assert one.equals(other)
        else:
            assert one == other

    for value in ({VALUES}):
        same(value, back(value))
        same(value, back(value))
    assert shared_memory() == []
    """
    run(TASKS, body, mode)


@MODES
def test_a_read_only_array_comes_back_equal(run, mode):
    body = """
    array = numpy.arange(100_000)
    array.flags.writeable = False
    found = back(array)
    numpy.testing.assert_array_equal(found, array)
    """
    run(TASKS, body, mode)


@MODES
@pytest.mark.parametrize("size", [3, 10_000, 100_000], ids=["short", "in a message", "in a file"])
@pytest.mark.parametrize("number", [1, 40])
def test_arrays_may_be_changed_there_and_here_but_for_those_that_are_read_only(
    run, mode, size, number
):
    body = f"""
    arrays = [numpy.arange({size}, dtype='f4') + n for n in range({number})]
    fixed = numpy.frombuffer(bytes(4 * {size}), dtype='f4')
    for _ in range(2):
        for array in map(change, arrays):
            array[1] += 1
        found = back([*arrays, fixed])
        assert not found.pop().flags.writeable and not back(fixed).flags.writeable
        for one, other in zip(found, arrays):
            assert (one == other).all()
            one[0] = 1
    """
    run(TASKS.replace("assert value.ctypes.data % 64 == 0 and ", "assert "), body, mode)


@MODES
def test_calls_with_bulk_data_leave_no_descriptor_open(run, mode):
    body = """
    back(1), make(1_000_000)
    before = descriptors()
    for _ in range(6):
        make(1_000_000)
        back(numpy.arange(200_000))
    assert descriptors() == before
    """
    run(TASKS, body, mode)


def test_many_large_results_may_be_kept(run):
    body = """
    import resource
    resource.setrlimit(resource.RLIMIT_NOFILE, (100, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    kept = [make(100_000) for _ in range(150)]
    assert all((array == kept[0]).all() for array in kept)
    """
    run(TASKS, body, "workers=1")


@MODES
def test_a_result_for_which_its_process_has_no_room_is_a_typed_error(run, mode):
    tasks = """
@bandsaw.task
def write_nothing():
    import resource
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    return b'x' * 3_000_000
"""
    body = """
    try:
        write_nothing()
    except bandsaw.errors.WorkerError as error:
        assert 'write_nothing cannot be sent back: there is no room' in str(error), error
    else:
        assert False
    """
    run(tasks, body, mode)


@MODES
def test_without_files_in_memory_they_lie_in_the_directory_without_a_name(run, project, mode):
    tasks = (
        TASKS
        + """
@bandsaw.task
def look(value, folder):
    with open('/proc/self/maps') as file:
        mapped = [line for line in file if folder in line]
    return os.listdir(folder), len(mapped), os.stat(folder).st_mode & 0o777
"""
    )
    body = """
    del os.memfd_create
    for _ in range(2):
        names, mapped, access = look(numpy.zeros(3_000_000), os.path.abspath('made'))
        assert names == [] and mapped and access == 0o700
    assert os.listdir('made') == []
    """
    run(tasks, body, f"'made', {mode}")


def test_a_large_result_that_comes_before_the_time_is_up_leaves_no_descriptor_open(run):
    tasks = f"""{TASKS}
@bandsaw.task(timeout=1)
def linger():
    threading.Thread(target=time.sleep, args=(60,)).start()
    return numpy.ones(1_000_000)
"""
    body = """
    back(1)
    before = descriptors()
    for _ in range(2):
        try:
            linger()
        except bandsaw.errors.TaskTimeoutError:
            pass
        else:
            assert False
    back(1)
    assert descriptors() == before
    """
    run(tasks, body)
