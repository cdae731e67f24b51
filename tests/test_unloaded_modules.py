"""Ids of tasks that import modules of the project when they run."""

import json

import pytest

CONFIGURATION = """
    import bandsaw
    from bandsaw.advices.cache import CachingAdvice
    configuration = bandsaw.Configuration().add_advice_chain(CachingAdvice(".cache"))
"""
PLAIN = """
    \"\"\"A module.\"\"\"
    from __future__ import annotations
    import json, os.path as p
    import xml.dom
    from collections import OrderedDict
    from importlib import resources
    from typing import TYPE_CHECKING
    from . import inner
    from .inner import deep as renamed
    import pkg.other
    if TYPE_CHECKING:
        from nowhere import Nothing
    RATE = 3
    NAMES = ("a", "b")
    TABLE = {"one": [1, 2]}
    ALIAS = RATE
    print("imported", __name__)

    def f(x=2, *, y=(1, 2)):
        return g(x) + RATE + ALIAS + len(TABLE) + len(p.join("a", *NAMES)) + len(y)

    def g(x):
        import pkg.third
        found = OrderedDict(), xml.dom, resources, json.dumps(x), inner.CONSTANT
        return renamed(x) + pkg.other.h() + len(found) + pkg.third.value()

    async def later():
        return f

    if __name__ == "__main__":
        f()
"""
WORKFLOW = """
    import importlib, json, sys, warnings
    import bandsaw

    @bandsaw.task
    def from_import(): from pkg.plain import f; return f()
    @bandsaw.task
    def dotted(): import pkg.plain; return pkg.plain.f()
    @bandsaw.task
    def module(): from pkg import plain; return plain.RATE, plain.later
    @bandsaw.task
    def renamed(): import pkg.plain as other; return other.TABLE

    def ids():
        return [t.bandsaw_task.task_id for t in (from_import, dotted, module, renamed)]
"""


@pytest.fixture
def package(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("pkg/__init__.py", "print('imported', __name__)\nLEVEL = 1")
    project.write("pkg/plain.py", PLAIN)
    project.write("pkg/inner.py", "CONSTANT = -1.5\ndef deep(x): return [x, CONSTANT][0]\nprint(1)")
    project.write("pkg/other.py", "def h(): return 1")
    project.write("pkg/third.py", "from pkg import LEVEL\ndef value(): return LEVEL")
    project.write("workflow.py", WORKFLOW)
    return project


def run(project, body):
    project.write("main.py", "import json, sys\nimport workflow\n" + body)
    return project.run("main.py", "-W", "error").stdout.splitlines()


def test_an_id_executes_nothing_and_is_the_same_when_the_modules_are_loaded(package):
    body = (
        "first = workflow.ids()\n"
        "assert not [name for name in sys.modules if name.startswith('pkg')]\n"
        "import pkg.plain, pkg.third\n"
        "print(json.dumps([first, workflow.ids()]))\n"
    )
    *imported, found = run(package, body)
    first, loaded = json.loads(found)
    assert imported == ["imported pkg", "1", "imported pkg.plain"]
    assert first == loaded and len(set(first)) == 4


@pytest.mark.parametrize(
    ("file", "old", "new", "differ"),
    [
        ("plain.py", "RATE = 3", "RATE = 4", "1110"),
        ("plain.py", '"one"', '"two"', "1111"),
        ("plain.py", "x=2", "x=3", "1110"),
        ("plain.py", "y=(1, 2)", "y=(1, 3)", "1110"),
        ("plain.py", "return f", "return g", "0010"),
        ("inner.py", "-1.5", "-2.5", "1110"),
        ("other.py", "1", "2", "1110"),
        ("__init__.py", "LEVEL = 1", "LEVEL = 2", "1110"),
        ("third.py", "return LEVEL", "return -LEVEL", "1110"),
        ("plain.py", "A module", "Another one", "0000"),
    ],
)
def test_what_is_edited_counts_where_it_is_reached(package, file, old, new, differ):
    path = package.folder / "pkg" / file
    body = (
        "first = workflow.ids()\n"
        f"path = {str(path)!r}\n"
        "text = open(path).read()\n"
        f"assert {old!r} in text\n"
        f"open(path, 'w').write(text.replace({old!r}, {new!r}))\n"
        "edited = workflow.ids()\n"
        "open(path, 'w').write(text)\n"
        "print(json.dumps([first, edited, workflow.ids()]))\n"
    )
    first, edited, again = json.loads(run(package, body)[-1])
    assert first == again
    assert "".join("01"[a != b] for a, b in zip(first, edited)) == differ


def test_what_was_changed_in_memory_counts(package):
    body = (
        "first = workflow.ids()\n"
        "import pkg.plain, pkg.inner\n"
        "pkg.inner.CONSTANT = 7\n"
        "changed = workflow.ids()\n"
        "pkg.inner.CONSTANT = -1.5\n"
        "print(json.dumps([first, changed, workflow.ids()]))\n"
    )
    first, changed, again = json.loads(run(package, body)[-1])
    assert first == again
    assert first[:2] != changed[:2]


def test_a_result_of_a_call_that_loads_them_is_kept(package):
    body = "print(workflow.from_import(), workflow.from_import())\n"
    assert run(package, body)[0] == "imported pkg"
    assert "imported pkg" not in run(package, body)


@pytest.mark.parametrize(
    "text",
    [
        "import random\nf = [random.random][0]",
        "def f(x=len('a')): return x",
        "def f(): return TABLE\nTABLE = {}\nTABLE['a'] = f",
        "def f(): return TABLE\nTABLE = [1]\nTABLE.append(2)",
        "class f:\n    def __init__(self): self.x = 1",
        "import functools\n@functools.lru_cache()\ndef f(): return 1",
        "try:\n    from nowhere import f\nexcept ImportError:\n    def f(): return 2",
        "from pkg.third import *\nf = value",
        "globals()['f'] = len",
        "def f(): return 1\nfor f in (len, max): pass",
        "RATE = 1\nRATE += 1\ndef f(): return RATE",
        "x = y = 3\nx, f = 1, [2]",
        "with open(__file__) as f: pass\nf = 1",
    ],
)
def test_what_its_source_does_not_say_is_imported(package, text):
    package.write("pkg/plain.py", text)
    body = (
        "tasks = workflow.from_import.bandsaw_task, workflow.dotted.bandsaw_task\n"
        "first = [task.task_id for task in tasks]\n"
        "import pkg.plain, importlib\n"
        "importlib.reload(pkg.plain)\n"
        "print(json.dumps([first, [task.task_id for task in tasks]]))\n"
    )
    first, loaded = json.loads(run(package, body)[-1])
    assert first == loaded


def test_a_module_that_cannot_be_imported_is_a_gap(package):
    package.write("pkg/plain.py", "f = 1 / 0")
    package.write("main.py", "import workflow\nworkflow.ids()\nprint('made')")
    done = package.run("main.py")
    assert done.stdout == "imported pkg\nmade\n" and "it cannot be imported here" in done.stderr
