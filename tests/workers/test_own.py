import os
import pty
import subprocess
import sys


def test_each_call_has_a_process_of_its_own_in_which_nothing_is_left(run):
    tasks = """
    state = []

    @bandsaw.task
    def f():
        found = list(state), os.environ.get('SET_BY_TASK'), os.getcwd()
        state.append(1)
        os.environ['SET_BY_TASK'] = '1'
        os.chdir('/')
        sys.path.insert(0, '/set/by/task')
        bandsaw.set_by_task = 1
        return os.getpid(), os.getpgrp(), found, hasattr(json, 'set_by_task')
    """
    body = """
    told = [f() for _ in range(4)]
    assert len({pid for pid, *_ in told} | {os.getpid()}) == 5
    for pid, group, found, is_set in told:
        assert group == pid
        assert found == ([], None, os.getcwd()) and not is_set
    """
    run(tasks, body)


def test_a_task_has_no_terminal_and_ctrl_c_there_is_for_its_caller(
    project, write, left_nothing, mode
):
    tasks = """
    @bandsaw.task
    def f():
        try:
            os.open('/dev/tty', os.O_RDWR)
        except OSError:
            return os.getpgrp() == os.getpid()

    @bandsaw.task
    def endless():
        try:
            print('begun', flush=True)
            time.sleep(600)
        except KeyboardInterrupt:
            open('told', 'w').close()
            time.sleep(600)
    """
    body = """
    import fcntl, termios
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    os.close(os.open('/dev/tty', os.O_RDWR))
    assert f() and f()
    try:
        endless()
    except KeyboardInterrupt:
        print('interrupted')
    """
    write(tasks, body, mode)
    near, far = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "workflow.py"], cwd=project.folder, env=project.environment(), stdin=far,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    ) as process:  # fmt: skip
        os.close(far)
        line = process.stdout.readline()
        os.write(near, b"\x03")
        rest, errors = process.communicate()
    os.close(near)
    assert (line, rest) == ("begun\n", "interrupted\n"), errors
    assert not (project.folder / "told").exists()
    left_nothing()


def test_a_task_finds_nothing_open_but_standard_streams_and_what_is_ours(run, mode):
    tasks = """
    @bandsaw.task
    def f():
        return {name: os.readlink(f'/proc/self/fd/{name}') for name in os.listdir('/proc/self/fd')
                if os.path.exists(f'/proc/self/fd/{name}')}
    """
    body = """
    kept = open('kept', 'w')
    os.set_inheritable(kept.fileno(), True)
    for _ in range(3):
        found = f()
        assert found['0'] == '/dev/null'
        assert not [path for path in found.values() if path.endswith('kept')]
        assert len(found) <= 6, found
    """
    run(tasks, body, mode)


def test_threads_of_the_parent_call_at_once(run, mode):
    tasks = """
    @bandsaw.task
    def f(x):
        sys.stdout.write(f'{x}\\n')
        if x % 5 == 4:
            raise KeyError(x)
        return x, bytes(x * 3000)
    """
    body = """
    from concurrent.futures import ThreadPoolExecutor

    def call(x):
        try:
            return f(x)
        except KeyError as error:
            return error.args

    with ThreadPoolExecutor(6) as pool:
        for x, found in enumerate(pool.map(call, range(60))):
            assert found == ((x,) if x % 5 == 4 else (x, bytes(x * 3000))), (x, found)
    """
    done = run(tasks, body, mode)
    assert sorted(map(int, done.stdout.split())) == list(range(60))


def test_what_a_task_leaves_to_its_end_is_waited_for(run):
    tasks = """
    import atexit

    def note(folder, what):
        open(os.path.join(folder, what), 'x').close()

    @bandsaw.task
    def f(folder, fails):
        def work():
            while not os.path.exists(os.path.join(folder, 'returned')):
                time.sleep(0.005)
            note(folder, 'by-thread')

        threading.Thread(target=work).start()
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        atexit.register(note, folder, 'at-exit')
        atexit.register(print, 'the end')
        threading.Timer(0.05, note, [folder, 'returned']).start()
        if fails:
            raise ZeroDivisionError
        return 1
    """
    body = """
    for folder, fails in (('good', False), ('bad', True)):
        os.mkdir(folder)
        try:
            f(os.path.abspath(folder), fails)
        except ZeroDivisionError:
            assert fails
        assert sorted(os.listdir(folder)) == ['at-exit', 'by-thread', 'returned']
    """
    assert run(tasks, body).stdout == "the end\n" * 2


def test_a_task_may_fork(run, mode):
    tasks = """
    @bandsaw.task
    def f(how):
        child = os.fork()
        if child == 0:
            if how == 'closed':
                os.closerange(3, 1000)
            os._exit(6)
        return os.waitpid(child, 0)[1] >> 8, how
    """
    body = """
    for _ in range(2):
        assert f('_exit') == (6, '_exit')
        assert f('closed') == (6, 'closed')
    """
    run(tasks, body, mode)


def test_a_task_that_has_begun_is_not_begun_again_when_its_process_dies(run, mode):
    tasks = """
    @bandsaw.task
    def dies():
        with open("begun", "a") as file:
            file.write("x")
        os.kill(os.getpid(), signal.SIGKILL)
    """
    body = """
    try:
        dies()
    except bandsaw.errors.WorkerDiedError as error:
        print(error.returncode, open("begun").read())
    """
    assert run(tasks, body, mode).stdout == "-9 x\n"


def test_a_task_that_dies_with_an_answer_unread_is_not_begun_again(run, mode):
    # As if it imported a file that was edited, and memory ran out just then.
    tasks = """
    @bandsaw.task
    def dies():
        import select
        from bandsaw._archive import finder
        from bandsaw._workers import frames

        with open("begun", "a") as file:
            file.write("x")
        channel = finder.ask.__self__._channel
        channel.send((frames.CODE, (b"edited.py",), None))
        select.select([channel], [], [])
        os.kill(os.getpid(), signal.SIGKILL)
    """
    body = """
    try:
        dies()
    except bandsaw.errors.WorkerDiedError as error:
        print(error.returncode, open("begun").read())
    """
    assert run(tasks, body, mode).stdout == "-9 x\n"


def test_a_child_of_a_task_that_ends_as_a_task_may_does_no_harm(run):
    tasks = """
    @bandsaw.task
    def f():
        child = os.fork()
        if child == 0:
            sys.exit(5)
        return os.waitpid(child, 0)[1] >> 8
    """
    run(tasks, "assert f() == 5\nassert f() == 5")


def test_a_task_may_use_multiprocessing(run, mode):
    tasks = """
    import multiprocessing

    def square(x):
        return x * x

    @bandsaw.task
    def f(method):
        with multiprocessing.get_context(method).Pool(2) as pool:
            return pool.map(square, range(5))
    """
    body = "assert f('fork') == f('spawn') == [0, 1, 4, 9, 16]"
    run(tasks, body, mode)


def test_a_task_may_close_descriptors_that_are_not_its_own(run):
    tasks = "@bandsaw.task\ndef f():\n    os.closerange(0, 100)\n    return os.getpid()"
    run(tasks, "assert len({f() for _ in range(3)}) == 3")


def test_nested_calls_work_where_a_task_has_closed_descriptors(run, mode):
    tasks = """
    @bandsaw.task
    def f(n):
        return n if n < 1 else f(n - 1)

    @bandsaw.task
    def close(n):
        nested = f(n)
        os.closerange(3, 256)
        return nested, f(n)

    @bandsaw.task
    def close_all():
        os.closerange(3, 256)
    """
    body = """
    for _ in range(2):
        close_all()
        assert f(2) == 0
        assert close(1) == (0, 0)
        assert f(2) == 0
    """
    assert run(tasks, body, mode).stderr == ""


def test_a_task_that_closes_its_channel_gets_a_typed_error(run, mode):
    tasks = "@bandsaw.task\ndef f(n):\n    os.closerange(3, n)\n    return 1"
    body = """
    for _ in range(2):
        try:
            f(4096)
        except bandsaw.errors.BandsawError as error:
            assert 'task workflow.f' in str(error), error
        else:
            raise AssertionError
        assert f(3) == 1
    """
    run(tasks, body, mode)


def test_a_process_in_a_session_of_its_own_is_left_alone(run, mode):
    tasks = """
    @bandsaw.task
    def f():
        return subprocess.Popen(['sleep', '600'], start_new_session=True).pid
    """
    run(tasks, "pids = [f(), f()]\nfor pid in pids:\n    os.kill(pid, signal.SIGKILL)", mode)


def test_a_program_that_may_open_more_files_than_at_its_first_call_has_more_processes(run):
    tasks = """
    import bandsaw_config, resource

    @bandsaw.task
    def limit(seconds):
        time.sleep(seconds)
        return resource.getrlimit(resource.RLIMIT_NOFILE)

    def set_limit(most):
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    """
    body = """
    few, enough = 30, resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    set_limit(few)
    assert limit(0)[0] == few
    set_limit(enough)
    # As many at once as the advice takes.
    type(bandsaw_config.configuration.get_advice_chain("default")[0]).max_in_flight = few
    futures = [limit.submit(1) for _ in range(few)]
    assert [future.result()[0] for future in futures] == [few] * few
    """
    run(tasks, body)
