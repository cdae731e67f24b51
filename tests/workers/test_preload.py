import pytest

from tests.conftest import ROOT

TASK = """
@bandsaw.task
def f():
    import slow
    return slow.VALUE, slow.PID, os.getpid(), 'slow' in LOADED

LOADED = set(sys.modules)
"""


@pytest.mark.parametrize("mode", ["", "workers=1"], ids=["own", "warm"])
def test_what_is_preloaded_is_there_before_the_task(run, mode):
    pytest.importorskip("numpy")
    tasks = """
    LOADED = set(sys.modules)

    @bandsaw.task
    def f():
        return 'numpy' in LOADED
    """
    run(tasks, "assert [f(), f()] == [True, True]", f"preload=['numpy'], {mode}")


@pytest.mark.slow
def test_random_numbers_differ_between_calls(run):
    pytest.importorskip("numpy")
    tasks = """
    @bandsaw.task
    def f():
        import random
        import numpy
        return random.random(), float(numpy.random.rand()), numpy.random.default_rng().random()
    """
    for options in ("preload=['numpy', 'numpy.random', 'random']", ""):
        run(
            tasks,
            "for found in zip(*[f() for _ in range(4)]): assert len(set(found)) == 4",
            options,
        )


def test_tensors_of_random_numbers_differ_between_calls(run, project):
    # PyTorch has a generator of its own.
    project.write("torch.py", "import random\ndefault_generator = random.Random(1)\n")
    tasks = """
    @bandsaw.task
    def f():
        import torch
        return torch.default_generator.random()
    """
    run(tasks, "assert f() != f()", "preload=['torch']")


def test_the_threads_of_blas_run_after_a_fork(run):
    tasks = """
    @bandsaw.task
    def f(n):
        import numpy
        a = numpy.ones((n, n))
        return float((a @ a)[0, 0]), len(os.listdir('/proc/self/task'))
    """
    body = """
    for _ in range(2):
        value, threads = f(700)
        assert value == 700.0
        assert threads == os.cpu_count() or os.cpu_count() == 1, threads
    """
    run(tasks, body, "preload=['numpy']", OPENBLAS_NUM_THREADS="")


def test_a_module_of_the_user_is_preloaded_once_and_noticed_when_it_is_edited(run, tmp_path):
    # What the task is seen to import goes into the archive, which is made once.
    task = TASK.replace("import slow", "slow = __import__('sl' + 'ow')")
    (tmp_path / "libraries").mkdir()
    file = tmp_path / "libraries" / "slow.py"
    file.write_text("import os\nVALUE, PID = 1, os.getpid()\n")
    body = f"""
    first, second = f(), f()
    assert first[0] == second[0] == 1
    assert first[1] == second[1] not in (first[2], second[2])
    with open({str(file)!r}, 'a') as file:
        file.write('VALUE = 2\\n')
    assert f()[0] == 2
    """
    run(task, body, "preload=['slow']", PYTHONPATH=f"{ROOT}:{file.parent}")


def test_where_a_preloaded_module_starts_threads_processes_start_anew(run, project):
    project.write(
        "slow.py",
        """
        import os, threading, time
        VALUE, PID = 1, os.getpid()
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
        """,
    )
    body = """
    for _ in range(3):
        value, loaded_in, ran_in, was_loaded = f()
        assert loaded_in == ran_in and not was_loaded
    """
    run(TASK, body, "preload=['slow']")
    run(TASK, body, "preload=['slow'], workers=1")


@pytest.mark.parametrize(
    ("text", "named"),
    [
        (None, "slow"),
        ("raise KeyError('broken')", "broken"),
        ("import nothing_of_that_name", "nothing_of_that_name"),
        ("import sys\nsys.exit(3)", "SystemExit: 3"),
        ("import os\nos._exit(4)", "exit code 4"),
        ("import os\nos.abort()", "SIGABRT"),
    ],
    ids=["missing", "raises", "imports what is missing", "exits", "_exits", "aborts"],
)
def test_a_module_that_cannot_be_preloaded_is_named_in_a_typed_error(run, project, text, named):
    if text is not None:
        project.write("slow.py", text)
    body = f"""
    for _ in range(2):
        try:
            f()
        except bandsaw.errors.WorkerStartError as error:
            assert isinstance(error, OSError)
            assert {named!r} in str(error), error
        else:
            raise AssertionError
    """
    run(TASK, body, "preload=['slow']")
