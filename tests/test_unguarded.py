"""Scripts and modules whose top level calls tasks, also from threads: an error, never a hang."""

import pytest

KINDS = {
    "own": "",
    "kept": "workers=2",
    "spawned": "fork=False",
    "kept, spawned": "workers=2, fork=False",
    "preloaded": "preload=['{module}']",
}
STEPS = """
    import bandsaw

    @bandsaw.task
    def load():
        return 1

    @bandsaw.task
    def train(n):
        return n
"""
THREADS = """
    from concurrent.futures import ThreadPoolExecutor

    def main():
        with ThreadPoolExecutor(2) as pool:
            print(list(pool.map(train, range(3))))

    main()
"""


def configure(project, kind, module="flow"):
    project.write(
        "bandsaw_config.py",
        f"""
        import bandsaw
        configuration = bandsaw.Configuration().add_advice_chain(
            bandsaw.advices.subprocess.SubprocessAdvice({KINDS[kind].format(module=module)})
        )
        """,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_a_script_that_calls_its_task_from_threads_is_refused(project, kind):
    configure(project, kind)
    project.write("flow.py", STEPS + THREADS)
    done = project.run("flow.py", check=False)
    assert done.returncode == 1
    assert "is called while" in done.stderr
    # Preloading fails before a task is called, so its error comes with that of the start.
    assert "UnguardedCallError" in done.stderr.splitlines()[-1]
    assert project.left_behind() == []


@pytest.mark.parametrize("main", ["print(train(1))", "print(list(train.map(range(3))))"])
def test_a_script_that_calls_its_task_on_an_executor_is_refused(project, main):
    # There nothing would go on for ever, but each task would run the whole workflow once more.
    project.write(
        "bandsaw_config.py",
        """
        from concurrent.futures import ProcessPoolExecutor
        import bandsaw
        from bandsaw.advices.executor import ExecutorAdvice

        configuration = bandsaw.Configuration().add_advice_chain(
            ExecutorAdvice(lambda: ProcessPoolExecutor(1))
        )
        """,
    )
    project.write("flow.py", STEPS + f"    {main}\n")
    done = project.run("flow.py", check=False)
    assert done.returncode == 1 and done.stdout == ""
    assert "UnguardedCallError" in done.stderr.splitlines()[-1]
    project.write("flow.py", STEPS + f"    if __name__ == '__main__':\n        {main}\n")
    project.run("flow.py")


@pytest.mark.parametrize("kind", ["own", "kept"])
def test_a_thread_that_outlives_the_loading_is_refused(project, kind):
    configure(project, kind)
    project.write(
        "flow.py",
        """
        import threading
        import bandsaw

        begun = threading.Event()

        @bandsaw.task
        def train(n):
            begun.set()
            return n

        def later():
            begun.wait()
            print(train(5))

        thread = threading.Thread(target=later)
        thread.start()
        if __name__ == "__main__":
            begun.set()
            thread.join()
        """,
    )
    done = project.run("flow.py")
    assert done.stdout == "5\n"
    # In the process of `train`, where the thread was started as well.
    assert "UnguardedCallError" in done.stderr


def test_a_module_that_calls_its_task_from_threads_is_refused(project):
    configure(project, "own")
    project.write("flow.py", STEPS + THREADS)
    project.write("script.py", "import flow\n")
    done = project.run("script.py", check=False)
    assert done.stderr.splitlines()[-1].startswith("bandsaw.errors.UnguardedCallError")


def test_a_task_may_call_itself_from_threads(project):
    configure(project, "own")
    project.write(
        "flow.py",
        """
        from concurrent.futures import ThreadPoolExecutor
        import bandsaw

        @bandsaw.task
        def tree(depth):
            if not depth:
                return 1
            with ThreadPoolExecutor(2) as pool:
                return sum(pool.map(tree, [depth - 1] * 2))

        if __name__ == "__main__":
            print(tree(2))
        """,
    )
    assert project.run("flow.py").stdout == "4\n"


@pytest.mark.parametrize("kind", ["own", "kept", "spawned"])
def test_a_package_that_is_run_is_imported_only_for_what_lies_in_it(project, kind):
    configure(project, kind)
    project.write("pkg/__init__.py", "")
    project.write("pkg/steps.py", STEPS + THREADS.replace("\n    main()\n", ""))
    project.write(
        "pkg/__main__.py",
        # Of a script that uses `sys.modules` nobody can tell what it defines.
        "from pkg.steps import load, main\nimport sys\nassert sys.modules\nprint('run')\n"
        "load()\nload()\nmain()\n",
    )
    done = project.run("-m", "pkg")
    assert done.stdout == "run\n[0, 1, 2]\n"


@pytest.mark.parametrize("kind", ["own", "kept"])
def test_a_package_that_is_run_with_tasks_of_its_own_is_refused(project, kind):
    configure(project, kind)
    project.write("pkg/__init__.py", "")
    project.write("pkg/__main__.py", STEPS + THREADS)
    done = project.run("-m", "pkg", check=False)
    assert done.stderr.splitlines()[-1].startswith("bandsaw.errors.UnguardedCallError")


def test_looking_for_what_a_script_has_not_does_not_load_it(project):
    configure(project, "kept")
    project.write(
        "steps.py",
        """
        import pickle, sys
        import bandsaw

        @bandsaw.task
        def probe(name):
            return hasattr(sys.modules["__main__"], name), pickle.whichmodule(object(), name)

        @bandsaw.task
        def look(name):
            return hasattr(sys.modules["__main__"], name)
        """,
    )
    project.write(
        "flow.py",
        "print('loaded')\nfrom steps import look, probe\n"
        "class Own: pass\n"
        "if __name__ == '__main__':\n"
        "    print(probe('anything'), look('other'), look('Own'))\n",
    )
    # The second line is of the process that looked for what lies in the script.
    done = project.run("flow.py")
    assert done.stdout.splitlines() == ["loaded", "loaded", "(False, '__main__') False True"]


def test_a_class_that_only_the_script_itself_has_is_told_with_what_to_do(project):
    configure(project, "own")
    guarded = "    if __name__ == '__main__':\n        class Model: pass\n        train(Model())\n"
    project.write("flow.py", STEPS + guarded)
    last = project.run("flow.py", check=False).stderr.splitlines()[-1]
    assert "DeserializationError" in last and "The data needs __main__.Model" in last
    assert "below if __name__ == '__main__': is there in the process of the script only" in last
    assert "move it to the top level" in last
