import pytest

pytestmark = pytest.mark.slow

SAY = """
import contextlib, io

@bandsaw.task
def f(text='said'):
    print(text)
    print('complained', file=sys.stderr)
    return 1
"""


def test_output_is_seen_while_the_task_runs(start, project, mode, left_nothing):
    tasks = """
    @bandsaw.task
    def f(gate):
        print('early', end='' if gate.endswith('2') else None)
        while not os.path.exists(gate):
            time.sleep(0.005)
    """
    body = "f(os.path.abspath('gate1'))\nf(os.path.abspath('gate2'))"
    with start(tasks, body, mode) as process:
        assert process.stdout.readline() == "early\n"
        (project.folder / "gate1").touch()
        assert process.stdout.read(5) == "early"
        (project.folder / "gate2").touch()
    assert process.returncode == 0
    left_nothing()


@pytest.mark.parametrize(
    ("change", "out", "err"),
    [
        ("pass", "said\n", "complained\n"),
        ("sys.stdout.close()", "", "complained\n"),
        ("sys.stderr.close()", "said\n", ""),
        ("sys.stdout = None", "", "complained\n"),
        ("sys.stdout = sys.stderr = None", "", ""),
        ("os.close(1)", "", "complained\n"),
        ("os.close(0)", "said\n", "complained\n"),
        ("os.close(0); os.close(1); os.close(2)", "", ""),
        ("os.dup2(2, 1)", "", None),
    ],
)
def test_output_goes_where_that_of_the_caller_goes(run, mode, change, out, err):
    done = run(SAY, f"{change}\nassert f() == f() == 1\nos._exit(0)", mode)
    if err is None:
        assert sorted(done.stderr.split()) == ["complained"] * 2 + ["said"] * 2
    else:
        assert (done.stdout, done.stderr) == (out * 2, err * 2)


def test_output_goes_to_a_stream_that_was_put_in_place_of_stdout(run, mode):
    body = """
    for stream in (io.StringIO(), io.TextIOWrapper(io.BytesIO(), encoding='ascii', newline='')):
        with contextlib.redirect_stdout(stream):
            f('\\xe4')
        stream.seek(0)
        assert stream.read() in ('\\xe4\\n', '\\\\xe4\\n')
    f()
    """
    assert run(SAY, body, mode).stdout == "said\n"


def test_output_goes_to_any_object_that_can_be_printed_to(run, mode):
    body = """
    class Stream(list):
        def write(self, text):
            if 'complained' in text:
                raise RuntimeError('the window was closed')
            self.append(text)

    out, sys.stdout = sys.stdout, Stream()
    sys.stderr = sys.stdout
    assert f() == f() == 1
    out.write(''.join(sys.stdout))
    sys.stdout = sys.stderr = out
    """
    assert run(SAY, body, mode).stdout.split() == ["said", "said"]


def test_a_task_may_leave_a_stream_that_cannot_be_flushed(run, mode):
    tasks = """
    class Stream:
        def write(self, text):
            pass

        def flush(self):
            raise RuntimeError('the window was closed')

    @bandsaw.task
    def f():
        sys.stdout = Stream()
        return 1
    """
    run(tasks, "assert f() == f() == 1", mode)


def test_what_no_text_can_be_does_no_harm(run, mode):
    tasks = """
    @bandsaw.task
    def f():
        os.write(1, bytes(range(256)))
        for byte in '\\xe4'.encode():
            os.write(1, bytes([byte]))
        os.write(2, b'\\xff\\xfe')
        return 1
    """
    done = run(tasks, "assert f() == f() == 1", mode)
    assert done.stdout.count("\xe4") == 2


def test_input_is_not_touched(run, mode):
    tasks = "@bandsaw.task\ndef f():\n    return sys.stdin.read(), os.read(0, 10)"
    body = (
        "assert f() == ('', b'')\nassert sys.stdin.readline() == 'mine\\n'\nassert f() == ('', b'')"
    )
    run(tasks, body, mode, text="mine\n")


def test_much_output_neither_blocks_nor_grows_memory(start, mode, left_nothing):
    tasks = """
    from tests.faults.workers_seen import resident_bytes

    @bandsaw.task
    def f(megabytes):
        data = (b'x' * 999 + b'\\n') * 1000
        for _ in range(megabytes):
            os.write(2, data) if megabytes < 5 else os.write(1, data)
    """
    body = """
    f(1)
    before = resident_bytes()
    f(200)
    print(f'grown {resident_bytes() - before}')
    """
    with start(tasks, body, mode) as process:
        process.stderr.close()
        rest = b""
        for data in iter(lambda: process.stdout.buffer.read1(1 << 20), b""):
            rest = (rest + data)[-100:]
    assert process.returncode == 0
    assert int(rest.split()[-1]) < 20_000_000
    left_nothing()


def test_output_that_nobody_reads_any_more_does_no_harm(start, mode, left_nothing):
    tasks = "@bandsaw.task\ndef f():\n    print('x' * 100000)\n    return 1"
    with start(tasks, "f()\nassert f() == 1\nos._exit(0)", mode) as process:
        process.stdout.close()
        process.stdout = None
        assert process.stderr.read() == ""
        assert process.wait() == 0
    left_nothing()


def test_what_the_last_lines_of_an_error_are_is_bounded(run, mode):
    tasks = """
    @bandsaw.task
    def f():
        sys.stderr.write('x' * 1_000_000 + '\\nlast words\\n')
        sys.stderr.flush()
        os._exit(3)
    """
    body = """
    try:
        f()
    except subprocess.CalledProcessError as error:
        assert 'last words' in str(error) and len(str(error)) < 20_000
    else:
        raise AssertionError
    """
    run(tasks, body, mode)


def test_the_last_lines_are_those_of_the_call_that_failed(run):
    tasks = """
    @bandsaw.task
    def f(text, dies):
        print(text, file=sys.stderr)
        if dies:
            os._exit(3)
    """
    body = """
    f('former', False)
    try:
        f('latter', True)
    except subprocess.CalledProcessError as error:
        assert 'latter' in error.stderr and 'former' not in str(error)
    else:
        raise AssertionError
    """
    run(tasks, body, "workers=1")


def test_a_grandchild_that_lives_on_does_not_hold_up_a_call(run, mode):
    tasks = """
    @bandsaw.task
    def f():
        return subprocess.Popen(['sleep', '600'], start_new_session=True).pid
    """
    run(tasks, "for _ in range(2):\n    os.kill(f(), signal.SIGKILL)", mode)
