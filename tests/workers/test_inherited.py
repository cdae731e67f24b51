import sys

import pytest

pytestmark = pytest.mark.slow


def test_the_working_directory_is_the_callers_at_each_call(run, mode):
    tasks = "@bandsaw.task\ndef f():\n    return os.getcwd()"
    body = """
    assert f() == os.getcwd()
    for name in ('a', 'b b', '\\xe4'):
        os.mkdir(name)
        os.chdir(name)
        assert f() == os.getcwd()
        assert f() == os.getcwd()
    """
    run(tasks, body, mode)


def test_a_working_directory_that_is_gone_does_no_harm(run, mode):
    tasks = "@bandsaw.task\ndef f():\n    return 1"
    body = """
    os.mkdir('gone')
    f()
    os.chdir('gone')
    os.rmdir(os.getcwd())
    assert f() == f() == 1
    """
    run(tasks, body, mode)


def test_arguments_of_the_program_are_the_callers_at_each_call(run, mode):
    tasks = """
    @bandsaw.task
    def f(*more):
        seen = sys.argv[1:], inner.bandsaw_task.task_id
        sys.argv += more
        return seen

    @bandsaw.task
    def inner():
        return sys.argv
    """
    body = """
    assert f("z") == f() == (sys.argv[1:], inner.bandsaw_task.task_id)
    before = inner.bandsaw_task.task_id
    sys.argv += ["a", "\\udcff"]
    assert f() == (sys.argv[1:], inner.bandsaw_task.task_id) != ([], before)
    del sys.argv[1:]
    # Where Python is embedded in another program there are none.
    held, sys.argv = sys.argv, None
    assert f()[0] == []
    sys.argv = held
    assert f() == ([], before)
    """
    run(tasks, body, mode)


def test_environment_variables_are_the_callers_at_each_call(run, mode):
    tasks = """
    @bandsaw.task
    def f(sets=None):
        if sets:
            os.environ.update(sets)
        return dict(os.environb)
    """
    body = """
    assert f()[b'HOME'] == os.environb[b'HOME']
    os.environ['NEW'] = 'first'
    assert f()[b'NEW'] == b'first'
    os.environ['NEW'] = 'second'
    assert f()[b'NEW'] == b'second'
    del os.environ['NEW']
    assert b'NEW' not in f()
    os.environb[b'RAW'] = b'\\xff\\xfe='
    assert f()[b'RAW'] == b'\\xff\\xfe='
    os.environ['EMPTY'] = ''
    assert f()[b'EMPTY'] == b''
    os.environ['PATH'] = '/mine:' + os.environ['PATH']
    os.environ['VIRTUAL_ENV'] = '/environment'
    found = f()
    assert found[b'PATH'].startswith(b'/mine:') and found[b'VIRTUAL_ENV'] == b'/environment'
    # What one call sets, the next one does not find.
    f({'SET_BY_TASK': '1', 'EMPTY': 'not'})
    found = f()
    assert b'SET_BY_TASK' not in found and found[b'EMPTY'] == b''
    assert set(found) <= set(os.environb), set(found) - set(os.environb)
    """
    run(tasks, body, mode)


def test_the_time_zone_is_the_callers_at_each_call(run, mode):
    tasks = """
    @bandsaw.task
    def hour(changes=False):
        before = time.localtime(0).tm_hour
        if changes:
            os.environ['TZ'] = 'UTC-5'
            time.tzset()
        return before
    """
    body = """
    hour()
    for zone in 'UTC-1', 'UTC-2':
        os.environ['TZ'] = zone
        time.tzset()
        print(hour(True), hour())
    """
    assert run(tasks, body, mode).stdout == "1 1\n2 2\n"


def test_programs_that_the_task_starts_see_the_environment(run, mode):
    tasks = """
    @bandsaw.task
    def f():
        return subprocess.run(['env', '-0'], stdout=subprocess.PIPE).stdout
    """
    body = """
    for value in ('1', '2'):
        os.environ['SEEN'] = value
        assert f'SEEN={value}'.encode() in f().split(b'\\0')
    del os.environ['SEEN']
    assert b'SEEN=' not in f()
    """
    run(tasks, body, mode)


@pytest.mark.parametrize(
    ("name", "value", "look"),
    [
        ("PYTHONHASHSEED", "7", "hash('text')"),
        ("PYTHONUTF8", "1", "sys.flags.utf8_mode"),
        ("PYTHONOPTIMIZE", "2", "sys.flags.optimize"),
        ("PYTHONDEVMODE", "1", "sys.flags.dev_mode"),
        ("LC_ALL", "C.UTF-8", "__import__('locale').setlocale(__import__('locale').LC_ALL, '')"),
        ("TZ", "Asia/Tokyo", "(time.tzset(), time.tzname[0])[1]"),
        ("LD_LIBRARY_PATH", "/mine", "os.environ.get('LD_LIBRARY_PATH')"),
        ("OMP_NUM_THREADS", "3", "os.environ.get('OMP_NUM_THREADS')"),
    ],
)
def test_variables_that_count_at_the_start_reach_the_process(run, name, value, look):
    tasks = f"@bandsaw.task\ndef f():\n    return {look}"
    body = f"""
    f()
    os.environ[{name!r}] = {value!r}
    expected = subprocess.check_output([sys.executable, '-c', LOOK], universal_newlines=True)
    assert f'{{f()}}\\n' == expected, (f(), expected)
    """
    look = f"LOOK = {f'import os, sys, time; print({look})'!r}\n"
    # However a process is started, its fork server is another one then.
    run(f"{look}\n{tasks}", body)


@pytest.mark.parametrize(
    ("flags", "look"),
    [
        (["-O"], "sys.flags.optimize"),
        (["-X", "utf8"], "sys.flags.utf8_mode"),
        *(
            pytest.param(*those, marks=pytest.mark.slow)
            for those in (
                (["-OO"], "sys.flags.optimize"),
                (["-X", "utf8=0"], "sys.flags.utf8_mode"),
                (["-X", "int_max_str_digits=0"], "sys._xoptions.get('int_max_str_digits')"),
            )
        ),
    ],
)
def test_options_of_python_that_change_results_reach_the_process(
    project, write, left_nothing, mode, flags, look
):
    write(f"@bandsaw.task\ndef f():\n    return {look}", f"print(f() == {look}, {look})", mode)
    plain = project.run("-c", f"import sys; print(True, {look})").stdout
    assert project.run(*flags, "workflow.py").stdout != plain or flags[1:] == ["utf8=0"]
    assert project.run(*flags, "workflow.py").stdout.startswith("True ")
    left_nothing()


def test_variables_of_the_interpreter_are_laid_over(run, mode):
    tasks = "@bandsaw.task\ndef f():\n    return os.environ.get('LAID'), os.environ.get('UNDER')"
    body = """
    os.environ.update(LAID='under', UNDER='1')
    assert f() == ('over', '1')
    os.environ.update(LAID='2', UNDER='2')
    assert f() == ('over', '2')
    del os.environ['LAID'], os.environ['UNDER']
    assert f() == ('over', None)
    """
    run(tasks, body, f"interpreter=bandsaw.Interpreter().set_environment(LAID='over'), {mode}")


def test_the_umask_is_the_callers(run, mode):
    tasks = """
    @bandsaw.task
    def f(path):
        open(path, 'x').close()
        return os.stat(path).st_mode & 0o777
    """
    body = "os.umask(0o027)\nassert f(os.path.abspath('a')) == 0o640\n"
    if "workers" not in mode:
        body += "os.umask(0o077)\nassert f(os.path.abspath('b')) == 0o600"
    run(tasks, body, mode)


def test_the_search_path_is_the_callers_at_each_call(run, project, mode):
    for name in ("first", "second"):
        project.write(f"away/{name}/found_{name}.py", f"NAME = {name!r}\n")
    tasks = """
    @bandsaw.task
    def f(name):
        try:
            return __import__('found_' + name).NAME
        except ImportError:
            return None
    """
    body = """
    assert f('first') is None
    sys.path.append(os.path.abspath('away/first'))
    assert f('first') == 'first' and f('second') is None
    sys.path.append(os.path.abspath('away/second'))
    assert f('second') == 'second'
    """
    run(tasks, body, mode)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_no_value_of_a_variable_is_on_a_command_line(run, mode):
    tasks = """
    @bandsaw.task
    def f():
        read = []
        for process in (os.getppid(), os.getpid()):
            with open(f'/proc/{process}/cmdline', 'rb') as file:
                read.append(file.read())
        return read, os.environ['PYTHON_TOKEN']
    """
    body = """
    os.environ.update(PYTHON_TOKEN='secret-value', LC_TOKEN='secret-value')
    read, value = f()
    assert value == 'secret-value'
    assert all(each and b'secret-value' not in each for each in read), read
    """
    run(tasks, body, mode)


def test_a_task_in_a_task_comes_from_the_same_fork_server(run):
    tasks = """
    @bandsaw.task
    def f(depth):
        return [os.getppid()] + (f(depth - 1) if depth else [])
    """
    body = """
    os.environ.update(PYTHON_TOKEN='1', LC_MESSAGES='C')
    assert len(set(f(2))) == 1
    """
    # With these Python itself sets LC_CTYPE when it starts.
    variables = "LC_ALL='', LC_CTYPE='', LANG='C'"
    for options in ("", f"interpreter=bandsaw.Interpreter().set_environment({variables})"):
        run(tasks, body, options)


def test_a_default_timeout_of_sockets_is_not_for_those_of_calls(run, mode, project):
    # Of the caller, and of what the fork server loads.
    project.write("impatient.py", "import socket\nsocket.setdefaulttimeout(0.001)\n")
    tasks = """
    import impatient

    @bandsaw.task
    def f(x):
        time.sleep(0.1)
        return x
    """
    body = """
    for x in range(2):
        print(f(x))
        time.sleep(0.1)
    """
    assert run(tasks, body, f"preload=['impatient'], {mode}").stdout == "0\n1\n"


def test_the_signals_that_the_first_caller_keeps_waiting_are_not_kept_in_tasks(run, mode):
    tasks = """
    @bandsaw.task
    def waiting_signals():
        with open(f'/proc/{os.getppid()}/status') as file:
            (line,) = (line for line in file if line.startswith('SigBlk'))
        return signal.pthread_sigmask(signal.SIG_BLOCK, ()), int(line.split()[1], 16)
    """
    body = """
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    print(waiting_signals())
    """
    # The fork server has to hear of processes that end.
    assert run(tasks, body, mode).stdout == "(set(), 0)\n"


def test_a_program_may_ignore_the_ends_of_its_children(run, mode):
    pytest.importorskip("numpy")
    tasks = """
    @bandsaw.task
    def f(x):
        return x
    """
    body = """
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    print(f(1))
    """
    # Which has threads that end before a fork.
    preload = f"preload=['numpy'], {mode}"
    assert run(tasks, body, preload).stdout == "1\n"
