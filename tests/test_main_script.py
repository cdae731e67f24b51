"""Functions of a script, run in all the ways in which a script can be run."""

import sys

import pytest

CONFIGURATION = """
    import bandsaw

    configuration = bandsaw.Configuration()
    configuration.add_advice_chain(bandsaw.advices.subprocess.SubprocessAdvice())
    configuration.add_advice_chain(name='empty')
    configuration.add_advice_chain(bandsaw.advices.cache.CachingAdvice('cache'), name='cache')
"""

WORKFLOW = """
    import os
    import bandsaw

    class Point:
        def __init__(self, x):
            self.x = x

    class OwnError(Exception):
        def __init__(self, one, two):
            super().__init__(f'{one}, {two}')
            self.one = one

    @bandsaw.task
    def moved(point):
        assert type(point) is Point
        return [Point(point.x + 1), os.getpid(), (1, {2: 3})]

    @bandsaw.task
    def fails(x):
        raise OwnError(x, 2)

    @bandsaw.task(chain='empty')
    def in_place():
        return os.getpid()

    class Thing:
        @bandsaw.task
        def method(self, x):
            return x, type(self) is Thing

        @staticmethod
        @bandsaw.task
        def static(x):
            return x

    if __name__ == '__main__':
        point, pid, nested = moved(Point(1))
        assert type(point) is Point and point.x == 2, point
        assert pid != os.getpid() and in_place() == os.getpid()
        assert nested == (1, {2: 3}) and type(nested) is tuple
        try:
            fails(1)
        except OwnError as error:
            assert error.args == ('1, 2',) and error.one == 1
            cause = str(error.__cause__)
            assert 'raise OwnError(x, 2)' in cause and 'in fails' in cause, cause
        else:
            raise AssertionError
        assert Thing().method(1) == (1, True)
        assert Thing.static(2) == 2
        print('done')
"""


@pytest.mark.parametrize(
    "arguments",
    [
        ["workflow.py"],
        ["./workflow.py"],
        ["-m", "workflow"],
        ["-m", "package.workflow"],
        ["package/workflow.py"],
        [
            "-c",
            "import workflow, runpy; runpy.run_module('workflow', run_name='__main__', "
            "alter_sys=True)",
        ],
        ["-m", "cProfile", "-o", "profile", "workflow.py"],
        ["-m", "trace", "--count", "--coverdir", "counts", "package/workflow.py"],
        # As a profiler of a newer Python.
        [
            "-c",
            "import sys, types; from importlib.machinery import ModuleSpec; "
            "main = types.ModuleType('__main__'); "
            "main.__spec__ = ModuleSpec('__main__', None, origin='workflow.py'); "
            "main.__file__ = 'workflow.py'; sys.modules['__main__'] = main; "
            "exec(compile(open('workflow.py').read(), 'workflow.py', 'exec'), vars(main))",
        ],
    ],
)
def test_tasks_of_a_script_run_in_another_process(project, arguments):
    project.write("bandsaw_config.py", CONFIGURATION)
    for name in ("workflow.py", "package/workflow.py"):
        project.write(name, WORKFLOW)
    project.write("package/__init__.py", "")
    path = [str(project.folder)]
    assert project.run(*arguments, path=path).stdout.splitlines()[-1] == "done"
    assert project.left_behind() == []


def test_ids_in_a_script_that_is_profiled_are_those_of_the_script(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "workflow.py",
        """
        import pickle, sys
        import bandsaw

        RATE = 2

        class Own:
            pass

        @bandsaw.task(chain='cache')
        def rated(x):
            return x * RATE

        if __name__ == '__main__':
            main = sys.modules['__main__']
            print(rated(1), rated.bandsaw_task, rated.bandsaw_task.task_id)
            main.RATE = 5
            print(rated(1), rated.bandsaw_task.task_id)
            assert main.RATE == vars(main)['RATE'] == 5 and pickle.loads(pickle.dumps(Own)) is Own
            main.more = 1
            del main.more
            assert not hasattr(main, 'more') and 'more' not in globals()
        """,
    )
    usual = project.run("workflow.py").stdout
    assert [line.split()[0] for line in usual.splitlines()] == ["2", "5"]
    profiled = project.run("-m", "cProfile", "-o", "profile", "workflow.py").stdout
    assert profiled == usual


def test_the_script_may_hold_the_configuration(project):
    project.write(
        "workflow.py",
        """
        import os
        import bandsaw

        configuration = bandsaw.Configuration()
        configuration.add_advice_chain(bandsaw.advices.subprocess.SubprocessAdvice())

        @bandsaw.task(config='workflow')
        def elsewhere():
            return os.getpid()

        if __name__ == '__main__':
            assert elsewhere() != os.getpid()
        """,
    )
    project.run("workflow.py")


def test_the_script_is_loaded_once_on_the_far_side(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "workflow.py",
        """
        import sys
        import bandsaw

        print('loaded as', __name__)

        class OwnError(Exception):
            pass

        def fail():
            raise OwnError

        @bandsaw.task
        def catches(error):
            import __main__
            import workflow
            try:
                fail()
            except __main__.OwnError:
                return type(error) is workflow.OwnError is __main__.OwnError

        if __name__ == '__main__':
            assert catches(OwnError()) is True
        """,
    )
    lines = project.run("workflow.py").stdout.splitlines()
    assert lines == ["loaded as __main__", "loaded as workflow"]


# As marimo runs a notebook, which is a script with a function for each cell.
CELLS = """
    import ast, sys, types

    def run(file):
        with open(file) as stream:
            tree = ast.parse(stream.read())
        main = sys.modules["__main__"] = types.ModuleType("__main__")
        main.__file__ = file
        for node in tree.body:
            if getattr(node, "name", None) == "_":
                cell = ast.Module(node.body, [])
                exec(compile(cell, file, "exec"), vars(main))
"""
NOTEBOOK = """
    import cells

    def _():
        import os
        import bandsaw
        RATE = 2

    def _():
        def scale(x):
            return x * RATE

        @bandsaw.task(chain='both')
        def f(x):
            return scale(x), os.getpid()

    def _():
        value, process = f(2)
        assert process != os.getpid()
        print(value, process)

    if __name__ == '__main__':
        cells.run(__file__)
"""


def test_tasks_in_cells_that_are_functions_of_a_script_cross_and_are_kept(project):
    pytest.importorskip("cloudpickle")
    advices = "bandsaw.advices"
    both = f"{advices}.cache.CachingAdvice('cache'), {advices}.subprocess.SubprocessAdvice()"
    project.write(
        "bandsaw_config.py",
        f"{CONFIGURATION}    configuration.add_advice_chain({both}, name='both')",
    )
    project.write("cells.py", CELLS)
    project.write("workflow.py", NOTEBOOK)
    first, second = (project.run("-W", "error", "workflow.py").stdout for _ in range(2))
    assert first == second
    assert first.startswith("4 ")
    project.write("workflow.py", NOTEBOOK.replace("RATE = 2", "RATE = 3"))
    assert project.run("-W", "error", "workflow.py").stdout.startswith("6 ")


def test_tasks_that_a_script_puts_under_their_names_itself_are_no_cells(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "workflow.py",
        """
        import bandsaw

        class Point:
            pass

        def make(name):
            def multiply(point):
                return point
            multiply.__name__ = multiply.__qualname__ = name
            return bandsaw.task(multiply)

        @bandsaw.task
        def f(point):
            return point, type(point).__module__

        for name in ('double', 'triple'):
            globals()[name] = make(name)

        if __name__ == '__main__':
            assert type(double(Point())) is Point
            point, module = f(Point())
            assert type(point) is Point
            assert module == 'workflow'
        """,
    )
    project.run("workflow.py")


COMMAND = (
    "import bandsaw, os\n"
    "@bandsaw.task(chain='empty')\n"
    "def f(x):\n    return x + 1\n"
    "@bandsaw.task(chain='cache')\n"
    "def g(x):\n    return [x, (x,)]\n"
    "assert f(1) == 2\n"
    "assert g(1) == g(x=1) == [1, (1,)]\n"
    "assert f.bandsaw_task.task_id != g.bandsaw_task.task_id\n"
    "print('done')\n"
)


def test_tasks_given_on_the_command_line_run_in_place(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    assert project.run("-c", COMMAND).stdout == "done\n"


def test_tasks_typed_into_an_interactive_session_run_in_place(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    typed = COMMAND.replace("\n@", "\n\n@").replace("\nassert f(1)", "\n\nassert f(1)")
    assert "done" in project.run("-i", text=typed.replace("]\nassert", "]\n\nassert")).stdout


def test_a_task_that_was_typed_crosses_with_cloudpickle_or_says_what_is_missing(project):
    pytest.importorskip("cloudpickle")
    project.write("bandsaw_config.py", CONFIGURATION)
    code = "import bandsaw\n@bandsaw.task\ndef f(x):\n    return x + 1\nprint(f(1))\n"
    assert project.run("-c", code).stdout == "2\n"
    hidden = "import sys; sys.modules['cloudpickle'] = None\n" + code
    done = project.run("-c", hidden, check=False)
    assert done.returncode == 1
    assert "install cloudpickle on both sides" in done.stderr.splitlines()[-1]
    assert project.left_behind() == []


def test_a_name_that_leads_elsewhere_by_now_is_an_error_before_anything_is_started(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "workflow.py",
        """
        import sys
        import bandsaw

        @bandsaw.task
        def same():
            return 1

        first = same

        @bandsaw.task
        def same():
            return 2

        if __name__ == '__main__':
            assert same() == 2
            if sys.argv[1:]:
                first.bandsaw_task.task_id
            first()
        """,
    )
    for arguments in ((), ("read its id before",)):
        done = project.run("workflow.py", *arguments, check=False)
        assert "does not lead to the function" in done.stderr.splitlines()[-1]
        assert "cloudpickle" not in done.stderr


def test_properties_above_tasks_cross(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "workflow.py",
        """
        import functools
        import os
        import bandsaw

        class Table:
            @property
            @bandsaw.task
            def place(self):
                return os.getpid()

            @functools.cached_property
            @bandsaw.task
            def kept(self):
                return os.getpid()

        class Wide(Table):
            pass

        if __name__ == '__main__':
            table = Wide()
            assert len({table.place, table.place, table.kept, table.kept, os.getpid()}) == 4
        """,
    )
    project.run("workflow.py")


def test_tasks_that_a_decorator_has_put_into_an_object_cross(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "workflow.py",
        """
        import os
        import bandsaw

        class Command:
            def __init__(self, callback):
                self.name, self.callback = "command", callback

        @Command
        @bandsaw.task
        def place():
            return os.getpid()

        if __name__ == '__main__':
            assert len({place.callback(), place.callback.submit().result(), os.getpid()}) == 3
        """,
    )
    project.run("workflow.py")


def test_tasks_above_tasks_and_other_decorators_keep_their_layers(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "workflow.py",
        """
        import functools
        import os
        import bandsaw

        def listing(function):
            @functools.wraps(function)
            def wrapper(*args):
                return [os.getpid(), *function(*args)]
            return wrapper

        @listing
        @bandsaw.task
        @listing
        @bandsaw.task
        @listing
        def nested():
            return []

        if __name__ == '__main__':
            pids = nested()
            assert len(pids) == 3 and len(set(pids)) == 3, pids
            assert pids[0] == os.getpid()
        """,
    )
    project.run("workflow.py")
    assert project.left_behind() == []


@pytest.mark.slow
def test_a_workflow_runs_on_every_python(project, pythons):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("workflow.py", WORKFLOW)
    for python in pythons.values():
        assert project.run("workflow.py", python=python).stdout == "done\n"
    assert len(pythons) > 1 or sys.version_info[:2] in pythons


def test_a_script_that_is_not_guarded_is_refused_in_its_tasks_process(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "workflow.py",
        """
        import bandsaw

        @bandsaw.task
        def f():
            return 5

        print(f())
        """,
    )
    done = project.run("workflow.py", check=False)
    assert done.returncode == 1
    assert "if __name__ == '__main__':" in done.stderr
    assert "workflow.f is called while workflow is loaded" in done.stderr
    assert project.left_behind() == []


def test_a_module_that_calls_its_task_when_loaded_is_refused_there(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "steps.py", "import bandsaw\n@bandsaw.task\ndef f():\n    return 5\nVALUE = f()\n"
    )
    project.write("workflow.py", "import steps\nprint(steps.VALUE)\n")
    done = project.run("workflow.py", check=False)
    assert done.returncode == 1
    assert "is called while steps is loaded" in done.stderr
    assert project.left_behind() == []


@pytest.mark.parametrize("arguments", [["-m", "app.flow"], ["flow.py"]])
def test_modules_beside_the_script_are_found_in_the_same_environment(project, arguments):
    project.write("app/__init__.py", "")
    project.write("app/conf.py", CONFIGURATION)
    project.write("app/helper.py", "VALUE = 3\n")
    text = """
        from app.helper import VALUE
        import app.conf
        import bandsaw

        @bandsaw.task(config='app.conf')
        def f():
            from app import helper
            return VALUE, helper.VALUE

        if __name__ == '__main__':
            assert f() == (3, 3)
    """
    project.write("app/flow.py", text)
    project.write("flow.py", text)
    project.run(*arguments, path=[str(project.folder)])


def test_classes_and_methods_within_classes_of_the_script_cross(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "workflow.py",
        """
        import enum
        import bandsaw

        class A:
            class B:
                def method(self):
                    return 4

            class E(enum.Enum):
                ONE = 1

            @bandsaw.task
            def __private(self, value):
                return value

            def through(self, value):
                return self.__private(value)

        @bandsaw.task
        def f(value):
            return value

        @bandsaw.task
        def __private(value):
            return value

        if __name__ == '__main__':
            assert __private(1) == 1
            assert type(f(A.B())) is A.B
            assert f(A.E.ONE) is A.E.ONE
            assert f(A.B().method)() == 4
            assert f([A.B, A.B.method]) == [A.B, A.B.method]
            assert type(A().through(A.B())) is A.B
        """,
    )
    project.run("workflow.py")


@pytest.mark.parametrize("name", ["__main__.py", "no_suffix", "dotted.name.py"])
def test_a_script_that_no_module_can_be_named_after_says_so(project, name):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        name,
        """
        import sys
        sys.modules['cloudpickle'] = None
        import bandsaw

        @bandsaw.task
        def f():
            return 1

        f()
        """,
    )
    done = project.run(name, check=False)
    assert done.returncode == 1
    assert "Task __main__.f cannot be written" in done.stderr
    assert "Put it into a file with such a name" in done.stderr


def test_another_python_does_not_get_the_search_path_of_this_one(project, other_python):
    project.write(
        "bandsaw_config.py",
        f"""
        import bandsaw
        other = bandsaw.Interpreter(executable={other_python!r})
        sub = bandsaw.advices.subprocess.SubprocessAdvice
        configuration = bandsaw.Configuration().add_advice_chain(sub(), sub(interpreter=other))
        """,
    )
    project.write(
        "workflow.py",
        """
        import os, subprocess, sys
        import bandsaw

        @bandsaw.task
        def f():
            return sys.version_info[:2], os.environ.get('BANDSAW_SYS_PATH')

        if __name__ == '__main__':
            version, leaked = f()
            assert version != sys.version_info[:2] and leaked is None
        """,
    )
    project.run("workflow.py")


def test_a_task_that_a_function_of_the_script_has_defined_crosses(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "workflow.py",
        """
        import os
        import bandsaw

        def define(name):
            def f():
                return os.getpid()
            f.__name__ = f.__qualname__ = name
            globals()[name] = bandsaw.task(f)

        define('first')

        if __name__ == '__main__':
            assert first() != os.getpid()
        """,
    )
    project.run("workflow.py")


def test_a_process_of_multiprocessing_can_call_the_tasks_of_the_script(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "workflow.py",
        """
        import multiprocessing, os, sys
        import bandsaw

        class Point:
            pass

        @bandsaw.task
        def f(x):
            return os.getpid(), type(x) is Point

        def call(queue):
            pid, same = f(Point())
            queue.put((pid != os.getpid(), same))

        if __name__ == '__main__':
            f(Point())
            for method in ('spawn', 'fork'):
                context = multiprocessing.get_context(method)
                queue = context.Queue()
                process = context.Process(target=call, args=(queue,))
                process.start()
                assert queue.get() == (True, True), method
                process.join()
            assert f(Point())[1]
        """,
    )
    project.run("-W", "ignore", "workflow.py")
    assert project.left_behind() == []


def test_a_package_that_calls_its_task_when_loaded_is_refused_there(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("app/__init__.py", "from .flow import f\nVALUE = f()\n")
    project.write("app/flow.py", "import bandsaw\n@bandsaw.task\ndef f():\n    return 5\n")
    project.write("workflow.py", "import app\nprint(app.VALUE)\n")
    done = project.run("workflow.py", check=False)
    assert done.returncode == 1
    assert "app.flow.f is called while app is loaded" in done.stderr
    assert done.stderr.splitlines()[-1].startswith("bandsaw.errors.UnguardedCallError")


def test_another_task_may_be_called_while_a_script_is_loaded(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("helpers.py", "import bandsaw\n@bandsaw.task\ndef g():\n    return 41\n")
    project.write(
        "workflow.py",
        """
        import bandsaw
        import helpers

        X = helpers.g()

        @bandsaw.task
        def f(n):
            return X + 1 if n == 0 else f(n - 1)

        if __name__ == '__main__':
            assert f(2) == 42
        """,
    )
    project.run("workflow.py")


def test_what_was_sent_is_what_runs_when_the_script_is_edited_meanwhile(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "workflow.py",
        """
        from pathlib import Path
        import bandsaw

        @bandsaw.task
        def f():
            return 'old'

        if __name__ == '__main__':
            script = Path(__file__)
            assert f() == 'old'
            script.write_text(script.read_text().replace("return 'old'", "return 'new'"))
            assert f() == 'old'
        """,
    )
    project.run("workflow.py")


AFTER_THE_END = """
    import atexit, sys, threading
    import bandsaw

    class Empty:
        pass

    @bandsaw.task{options}
    def task(value):
        return value + 1, Empty.__name__

    def call():
        threading.main_thread().join()
        print(task(1), task.bandsaw_task.task_id)

    if __name__ == '__main__':
        if sys.argv[1:]:
            print(task(1), task.bandsaw_task.task_id)
        elif {is_at_exit}:
            atexit.register(lambda: print(task(1), task.bandsaw_task.task_id))
        else:
            threading.Thread(target=call).start()
"""


@pytest.mark.parametrize("is_at_exit", [False, True])
@pytest.mark.parametrize("options", ["", "(chain='local')"])
def test_a_task_may_first_be_called_when_the_script_has_ended(project, is_at_exit, options):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.subprocess import SubprocessAdvice
        configuration = bandsaw.Configuration().add_advice_chain(SubprocessAdvice())
        configuration.add_advice_chain(name='local')
        """,
    )
    project.write("script.py", AFTER_THE_END.format(options=options, is_at_exit=is_at_exit))
    done = project.run("script.py")
    assert done.stderr == ""
    assert done.stdout == project.run("script.py", "before").stdout
