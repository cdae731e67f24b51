"""Modules of the project that a task uses themselves: all that they reach counts."""

import ast

import pytest

CONFIGURATION = """
    import bandsaw
    from bandsaw.advices.cache import CachingAdvice
    configuration = bandsaw.Configuration().add_advice_chain(CachingAdvice(".cache"))
"""
# Each begins with what stands above the task; the rest is its body.
LOADED = {
    "a local name": "import lib | x = lib; return x.get()",
    "a loop": "import lib | return [x.get() for x in (lib,)][0]",
    "an argument": "import lib; use = lambda m: m.get() | return use(lib)",
    "a list": "import lib; MODULES = [lib] | return MODULES[0].get()",
    "a namespace": "import lib, types; N = types.SimpleNamespace(m=lib) | return N.m.get()",
    "a default": "import lib; exec | return given()",
    "an attribute of a class": "import lib | return O.m.get()",
    "vars": "import lib | return vars(lib)['get']()",
    "__dict__": "import lib | return lib.__dict__['get']()",
    "sys.modules": "import sys, lib | return sys.modules['lib'].get()",
    "get of sys.modules": "import sys, lib | return getattr(sys.modules.get('lib'), 'get')()",
    "modules of sys": "import lib | from sys import modules; return modules['lib'].get()",
    "a package": "import pkg | x = pkg; return x.sub.get()",
}
IMPORTED = {
    "import_module": "pass | from importlib import import_module as im; return im('lib').get()",
    "importlib": "pass | import importlib as i; return i.import_module('lib').get()",
    "imported": "pass | import lib; x = lib; return x.get()",
    "an imported package": "pass | import pkg; x = pkg; return x.sub.get()",
    "__dict__ of an imported one": "pass | import lib; return lib.__dict__['get']()",
}
WORKFLOW = """
import bandsaw
{above}
{extra}
@bandsaw.task
def f(): {body}
"""
EXTRA = {
    "a default": "def given(m=lib): return m.get()",
    "an attribute of a class": "class O: m = lib",
}


@pytest.mark.parametrize("uses", [LOADED, *({use: IMPORTED[use]} for use in IMPORTED)], ids=list)
def test_edits_and_changes_of_what_a_used_module_reaches_are_seen(project, uses):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("lib.py", "import other\ndef get(): return other.RATE")
    project.write("pkg/__init__.py", "from . import sub")
    project.write("pkg/sub.py", "import other\ndef get(): return other.RATE")
    for number, (use, text) in enumerate(uses.items()):
        above, _, body = text.partition(" | ")
        workflow = WORKFLOW.format(above=above, body=body, extra=EXTRA.get(use, ""))
        project.write(f"steps{number}.py", workflow)
    project.write(
        "main.py",
        f"""
        import importlib
        import bandsaw
        found = [importlib.import_module(f"steps{{number}}") for number in range({len(uses)})]

        def show():
            print([steps.f() for steps in found])

        show()
        show()
        import lib, other, pkg.sub
        other.RATE = 5
        show()
        lib.get = pkg.sub.get = lambda: 7
        show()
        """,
    )
    for rate in (1, 2):
        project.write("other.py", f"RATE = {rate}")
        done = project.run("main.py")
        expected = [[result] * len(uses) for result in (rate, rate, 5, 7)]
        assert [ast.literal_eval(line) for line in done.stdout.splitlines()] == expected, uses
        assert "computed name" not in done.stderr


def test_the_variables_of_a_function_s_module_are_told(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "main.py",
        """
        import bandsaw
        RATE = 1
        def helper(): pass
        @bandsaw.task
        def f(): return helper.__globals__["RATE"]
        print(f())
        """,
    )
    assert "helper.__globals__: it reaches code by a computed name" in project.run("main.py").stderr


def test_modules_that_use_each_other_have_one_id_in_each_process(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("one.py", "import two\ndef f(): x = two; return x.g")
    project.write("two.py", "import one\ndef g(): x = one; return x.f")
    project.write("lazy.py", "def h():\n    import one, two\n    return [one, two]")
    project.write(
        "main.py",
        """
        import bandsaw, sys, lazy
        @bandsaw.task
        def later(): return lazy.h()
        @bandsaw.task
        def f():
            import one
            return [one]
        first = later.bandsaw_task.task_id, f.bandsaw_task.task_id
        lazy.h()
        assert first == (later.bandsaw_task.task_id, f.bandsaw_task.task_id)
        print(*first)
        """,
    )
    ids = {project.run("main.py", PYTHONHASHSEED=seed).stdout for seed in "12"}
    assert len(ids) == 1
