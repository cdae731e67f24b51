"""Ids of tasks that import modules of the project when they run."""

import json
import sys
import textwrap
import zipfile

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
    TABLE = ("one", (1, 2))

    def f(x=2, *, y=(1, 2)):
        return g(x) + RATE + len(TABLE) + len(p.join("a", *NAMES)) + len(y)

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
    project.write("pkg/__init__.py", "LEVEL = 1")
    project.write("pkg/plain.py", PLAIN)
    project.write("pkg/inner.py", "CONSTANT = -1.5\ndef deep(x): return [x, CONSTANT][0]")
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
    first, loaded = json.loads(run(package, body)[-1])
    assert first == loaded and len(set(first)) == 4


def test_an_id_is_the_same_when_a_module_of_a_loaded_package_is_loaded(package):
    package.write(
        "workflow.py",
        "import bandsaw\nimport pkg\n"
        "@bandsaw.task\ndef inside(): from pkg import plain; return plain.f(1)\n"
        "def load(): import pkg.plain\n"
        "@bandsaw.task\ndef elsewhere(): load(); return pkg.plain.f(1)\n"
        "def ids(): return [t.bandsaw_task.task_id for t in (inside, elsewhere)]\n",
    )
    body = (
        "ids = [workflow.ids()]\n"
        "import pkg.plain\n"
        "ids.append(workflow.ids())\n"
        "pkg.plain.RATE = 7\n"
        "ids.append(workflow.ids())\n"
        "pkg.plain = pkg\n"
        "ids.append(workflow.ids())\n"
        "print(json.dumps(ids))\n"
    )
    first, loaded, *changed = json.loads(run(package, body)[-1])
    assert first == loaded
    assert all(len(set(each)) == 3 for each in zip(first, *changed))


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


def test_modules_of_packages_without_an_init_count(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("outer/inner/module.py", "RATE = 3\ndef f(x): return x * RATE")
    project.write(
        "main.py",
        """
        import sys
        import bandsaw
        @bandsaw.task
        def task(x):
            from outer.inner.module import f
            return f(x)
        print(task.bandsaw_task.task_id, "outer" in sys.modules)
        assert task(1)
        print(task.bandsaw_task.task_id)
        """,
    )
    unloaded, loaded = project.run("main.py", "-W", "error").stdout.splitlines()
    assert unloaded == f"{loaded} False"
    project.write("outer/inner/module.py", "RATE = 4\ndef f(x): return x * RATE")
    assert loaded not in project.run("main.py", "-W", "error").stdout


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


@pytest.mark.parametrize(
    ("load", "is_kept"),
    [("from pkg import plug", True), ("import importlib; importlib.import_module(name)", False)],
)
def test_a_result_of_a_call_that_loads_what_registers_itself_is_kept(package, load, is_kept):
    package.write(
        "pkg/plug.py",
        """
        import pkg.reg as r
        @r.register
        def f(): return 1
        @r.show.register
        def _(x: int): return 2
        class Own(r.Base): pass
        """,
    )
    package.write(
        "pkg/reg.py",
        """
        import functools
        HANDLERS = []
        def register(f): HANDLERS.append(f); return f
        @functools.singledispatch
        def show(x): return 0
        class Base:
            known = {}
            def __init_subclass__(cls): Base.known[cls.__name__] = cls
        def handle(): return [f() for f in HANDLERS], show(1), list(Base.known)
        """,
    )
    package.write(
        "main.py",
        f"""
        import bandsaw, os, pkg.reg, warnings
        from bandsaw.advices.cache import CachingAdvice
        bandsaw.get_configuration().add_advice_chain(CachingAdvice("cache"), name="kept")
        @bandsaw.task(chain="kept")
        def f(name):
            {load}
            return pkg.reg.handle(), os.getpid()
        warnings.simplefilter("ignore")
        print(*f("pkg.plug"))
        """,
    )
    first, again = package.run("main.py").stdout, package.run("main.py").stdout
    assert (first == again) is is_kept and first.startswith("([1], 2, ['Own'])")
    package.write("pkg/plug.py", "import pkg.reg as r\n@r.register\ndef f(): return 100\n")
    assert package.run("main.py").stdout.startswith("([100], 0, [])")


def test_a_result_of_a_call_that_loads_them_is_kept(package):
    body = "workflow.from_import(), workflow.from_import()\nprint('pkg.plain' in sys.modules)\n"
    assert run(package, body) == ["True"]
    assert run(package, body) == ["False"]


@pytest.mark.parametrize("is_loaded_here", [False, True])
def test_a_kept_process_that_has_loaded_what_was_edited_since_is_not_used(package, is_loaded_here):
    advices = "CachingAdvice('.cache'), bandsaw.advices.subprocess.SubprocessAdvice(workers=1)"
    package.write("bandsaw_config.py", CONFIGURATION.replace('CachingAdvice(".cache")', advices))
    package.write("pkg/plain.py", "def f(): return 1")
    body = (
        "first = workflow.from_import()\nopen('pkg/plain.py', 'w').write('def f(): return 10')\n"
        f"if {is_loaded_here}: import pkg.plain\n"
        "print(first, workflow.from_import())\n"
    )
    assert run(package, body) == ["1 10"]
    assert run(package, "print(workflow.from_import())") == ["10"]


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
        "def init(x):\n    global Z\n    Z = x\ninit(22)\ndef f(): return Z",
        "Z = 1\nif __name__ != '__main__':\n    Z = 22\ndef f(): return Z",
        "Z = 1\nif __name__ == 'pkg.plain':\n    Z = 22\ndef f(): return Z",
        "import pkg.third as x\nx.TYPE_CHECKING = Z = 1\nif x.TYPE_CHECKING:\n    Z = 22\n"
        "def f(): return Z",
        "TYPE_CHECKING = True\nZ = 1\nif TYPE_CHECKING:\n    Z = 22\ndef f(): return Z",
        "T = ([1],)\nT[0].append(22)\ndef f(): return T",
        "def h(): return 22\ndef f(): return 1\nf.__code__ = h.__code__",
        "def f(x=1): return x\nf.__defaults__ = (22,)",
        "import pkg.third as o\no.LEVEL = 22\ndef f(): return o.value()",
        "class Base:\n    def __init_subclass__(cls): Z.append(cls)\nZ = []\nclass A(Base): pass\n"
        "def f(): return Z",
        "with open(__file__) as f: pass\nf = 1",
    ],
)
def test_what_its_source_does_not_say_is_what_it_was_when_it_was_loaded(package, text):
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


def test_an_id_is_the_same_when_many_threads_make_it_first(package):
    names = "".join(f"def g{index}(): return {index}\n" for index in range(300))
    calls = " + ".join(f"g{index}()" for index in range(0, 300, 10))
    package.write("pkg/plain.py", f"{names}def f(): return {calls}\n")
    body = (
        "import threading\nfound = []\n"
        "threads = [\n"
        "    threading.Thread(target=lambda: found.append(workflow.dotted.bandsaw_task.task_id))\n"
        "    for _ in range(8)\n"
        "]\n"
        "[thread.start() for thread in threads]\n"
        "[thread.join() for thread in threads]\n"
        "print(len(found), len(set(found)))\n"
    )
    assert run(package, body) == ["8 1"]


@pytest.mark.skipif(
    sys.version_info < (3, 10), reason="there is nothing to look at when a zip is loaded from"
)
def test_a_loader_that_modules_share_stays_as_it_is(package):
    with zipfile.ZipFile(package.folder / "code.zip", "w") as archive:
        archive.writestr("zipped.py", "import random\nf = [random.random][0]")
    package.write(
        "lazy.py",
        """
        import bandsaw
        def task_id():
            @bandsaw.task
            def task(): from zipped import f; return f
            return task.bandsaw_task.task_id
        """,
    )
    body = (
        "sys.path.insert(0, 'code.zip')\n"
        "import importlib.util, lazy\n"
        "first = [lazy.task_id() for _ in range(3)]\n"
        "importlib.util.find_spec('zipped')\n"
        "loader = sys.path_importer_cache['code.zip']\n"
        "assert 'exec_module' not in vars(loader), vars(loader)\n"
        "import zipped\n"
        "assert zipped.__loader__ is zipped.__spec__.loader is loader\n"
        "print(len({*first, lazy.task_id()}))\n"
    )
    assert run(package, body) == ["1"]


def test_a_module_that_is_not_there_is_a_gap_and_one_that_cannot_be_imported_is_none(package):
    package.write("pkg/plain.py", "f = 1 / 0")
    package.write("main.py", "import workflow\nworkflow.ids()\nprint('made')")
    assert package.run("main.py", "-W", "error").stdout == "made\n"
    (package.folder / "pkg" / "plain.py").unlink()
    done = package.run("main.py")
    assert done.stdout == "made\n" and "there is no module of this name" in done.stderr
    package.write("pkg/plain.py", "def f():\n    from pkg.gone import g\n    return g()")
    told = package.run("main.py").stderr
    assert "line 3, g, import of pkg.gone:g: there is no module of this name" in told


IMPURE = """
    import functools, re, sys, time
    from dataclasses import dataclass
    print("loaded")
    RATE, REGISTRY, SUBS = 3, {}, []
    def register(function):
        REGISTRY[function.__name__] = function
        return function
    @register
    def one(x): return x + 1
    @dataclass
    class Params:
        factor: int = 2
        def total(self): return self.factor * RATE
    class Base:
        def __init_subclass__(cls): SUBS.append(cls)
    class Sub(Base):
        sides = 5
        def area(self): return self.sides
    def deleted(): return 1
    ONCE = deleted()
    del deleted
    @functools.lru_cache(None)
    def cached(x): return x * RATE
    SHAPE, PATTERN, STARTED = Params(4), re.compile("a"), time.time()
    def unused(): return 1
    def f():
        parts = Params().total(), SUBS[0]().area(), cached(2), SHAPE.total(), STARTED * 0
        return sum(parts) + REGISTRY["one"](1) + len(PATTERN.findall("aaa"))
"""
CHANGES = """
    from unittest import mock
    import pkg.plain as lib, math
    changes = [
        mock.patch("pkg.plain.f"), mock.patch.object(lib, "RATE", 7),
        mock.patch.object(lib.Params, "total", len),
        mock.patch.object(lib.Sub, "sides", 6), mock.patch.object(lib.Sub, "area", len),
        mock.patch.dict(lib.REGISTRY, one=len),
        mock.patch.object(lib.SHAPE, "factor", 1), mock.patch.object(lib, "cached", math.sin),
        mock.patch.object(lib, "PATTERN", None), mock.patch.object(lib, "SUBS", []),
    ]
    found = []
    for change in changes:
        with change:
            found.append(workflow.from_import.bandsaw_task.task_id)
        found.append(workflow.from_import.bandsaw_task.task_id)
    print(json.dumps(found))
"""


def test_a_module_that_does_things_when_it_is_loaded_is_not_loaded_for_an_id(package):
    package.write("pkg/plain.py", IMPURE)
    body = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "task = workflow.from_import.bandsaw_task\nfirst = task.task_id\n"
        "assert 'pkg' not in sys.modules\n"
        "print(workflow.from_import())\n"
        "print(first, task.task_id)\n"
    )
    one = run(package, body + textwrap.dedent(CHANGES))
    assert one[:2] == ["loaded", "34.0"]
    first, after = one[2].split()
    found = json.loads(one[3])
    assert [n for n, f in enumerate(found) if (f == first) != n % 2] == []
    assert first == after and set(found[1::2]) == {first} and first not in found[::2]
    # The next process has the result, and does not load the module.
    assert run(package, body) == ["34.0", f"{first} {first}"]


HIDDEN = """
    import collections, random
    RANDOM, LONG, BELOW = random.Random(1), [0] * 10_001, {}
    KEYS, QUEUE, DEFAULT = BELOW.keys(), collections.deque([1]), collections.defaultdict(list)
    class Own:
        def __init__(self): self.rows = [1]
    OWN = Own()
    def f(): return RANDOM, LONG, KEYS, QUEUE, DEFAULT, OWN
"""


@pytest.mark.parametrize(
    "change",
    [
        "RANDOM.random()", "LONG.append(1)", "BELOW.update(a=1)", "QUEUE.append(1)", "DEFAULT[1]",
        "OWN.rows.append(1)", "OWN = Own()",
    ],
)  # fmt: skip
def test_what_changed_since_a_module_was_loaded_counts_in_the_next_id(package, change):
    package.write("pkg/plain.py", HIDDEN)
    body = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "first = workflow.ids()\nimport pkg.plain\n"
        f"exec({change!r}, vars(pkg.plain))\n"
        "print(json.dumps([first, workflow.ids()]))\n"
    )
    first, changed = json.loads(run(package, body)[-1])
    assert (first[0] == changed[0]) == (change in ("OWN = Own()", "RANDOM.random()"))


def test_what_stands_in_for_a_module_of_a_package_counts(package):
    body = (
        "import pkg.plain, types\n"
        "first = workflow.ids()\n"
        "pkg.plain = types.SimpleNamespace(f=len, RATE=1, later=2)\n"
        "print(json.dumps([first, workflow.ids()]))\n"
    )
    first, after = json.loads(run(package, body)[-1])
    _, dotted, module, _ = (one != other for one, other in zip(first, after))
    assert dotted and module


def test_one_file_may_be_two_modules(package):
    long = "# " + "long enough to be kept " * 200
    package.write("pkg/plain.py", f"{long}\ndef f():\n    return g(2)\ndef g(x): return x\n")
    body = (
        "import pkg.plain\n"
        "first = workflow.ids()\n"
        "sys.path.insert(0, 'pkg')\n"
        "@workflow.bandsaw.task\n"
        "def other(): import plain; return plain.f()\n"
        "_ = other.bandsaw_task.task_id\n"
        "sys.path.pop(0)\n"
        "print(json.dumps([first, workflow.ids()]))\n"
    )
    first, after = json.loads(run(package, body)[-1])
    assert first == after


def test_an_edit_of_what_is_reached_or_run_counts(package):
    package.write("pkg/plain.py", IMPURE)
    edits = [
        ("x + 1", "x + 2"), ("self.factor * RATE", "self.factor"), ("sides = 5", "sides = 6"),
        ("RATE, REGISTRY, SUBS = 3", "RATE, REGISTRY, SUBS = 4"), ("Params(4)", "Params(5)"),
        ('print("loaded")', 'print("loading")'), ("unused(): return 1", "unused(): return 2"),
    ]  # fmt: skip
    body = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "text, found = open('pkg/plain.py').read(), [workflow.ids()[0]]\n"
        f"for old, new in {edits}:\n"
        "    assert old in text\n"
        "    open('pkg/plain.py', 'w').write(text.replace(old, new))\n"
        "    found.append(workflow.ids()[0])\n"
        "assert 'pkg' not in sys.modules\n"
        "print(json.dumps(found))\n"
    )
    found = json.loads(run(package, body)[0])
    assert len(set(found)) == len(edits) + 1


@pytest.mark.parametrize(
    "text",
    [
        "import json\nSETTINGS = json.loads('{}')",
        "SETTINGS = {}\ndef set_it(x): SETTINGS['x'] = x\nset_it(0)",
        "SETTINGS = {'x': 0}",
    ],
)
def test_what_a_program_sets_before_the_first_id_counts(package, text):
    package.write("pkg/plain.py", f"{text}\ndef f(): return SETTINGS['x']")
    body = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import pkg.plain\npkg.plain.SETTINGS['x'] = int({})\nprint(workflow.ids()[0])\n"
    )
    assert len({*run(package, body.format(1)), *run(package, body.format(2))}) == 2


def test_what_is_decorated_has_the_same_id_where_the_program_has_loaded_it_before(project):
    project.write(
        "wrapped.py",
        """
        import contextlib, functools

        def logged(f):
            known = {}
            @functools.wraps(f)
            def inner(*args):
                return known.setdefault(args, f(*args))
            return inner

        def times(n):
            def decorate(f):
                count, seen = 0, {}
                def inner(*args):
                    nonlocal count
                    count += 1
                    seen[count] = args
                    return n * f(*args)
                return inner
            return decorate

        def same(f):
            return f

        @logged
        def a(): return 1
        @same
        @times(3)
        @logged
        def b(): return 1
        @functools.lru_cache(maxsize=None)
        def c(): return 1
        @contextlib.contextmanager
        def d(): yield 1
        class E:
            @logged
            def m(self): return 1
            @functools.cached_property
            def p(self): return 1
            @staticmethod
            @times(2)
            def s(): return 1
        """,
    )
    project.write(
        "main.py",
        """
        import sys
        from bandsaw.tasks import Task
        def of():
            from wrapped import a, b, c, d, E
            return a, b, c, d, E
        def an_id():
            return Task.create_task(of).task_id
        if __name__ == "__main__":
            changes = sys.argv[1:]
            before = [an_id()] if not changes else []
            import wrapped as w
            ids = [an_id()]
            # What the wrappers keep is state.
            w.a(), w.b(), w.E().m(), w.E.s()
            assert an_id() == ids[0]
            for change in changes:
                exec(change)
                ids.append(an_id())
            print(*before, *ids)
        """,
    )
    first, same = project.run("main.py").stdout.split()
    changes = [
        "w.a = w.a.__wrapped__",
        "w.a = w.times(3)(w.a)",
        "w.b = w.times(4)(w.a)",
        "w.b.__closure__[w.b.__code__.co_freevars.index('n')].cell_contents = 5",
        "w.c = w.c.__wrapped__",
        "w.E.p = property(w.E.__dict__['p'].func)",
        "w.E.m = w.E.m.__wrapped__",
        "w.E.s = staticmethod(w.times(5)(lambda: 1))",
    ]
    before, *ids = project.run("main.py", *changes).stdout.split()
    assert first == same == before
    assert len({first, *ids}) == len(ids) + 1, ids


def test_results_of_wrappers_that_keep_something_are_kept(package):
    package.write(
        "wrapped.py",
        """
        def memo(n):
            def decorate(f):
                known = {}
                def inner(x):
                    return known.setdefault(x, f(x))
                return inner
            return decorate

        def counted(n):
            def decorate(f):
                calls = 0
                def inner(x):
                    nonlocal calls
                    calls += 1
                    return f(x)
                return inner
            return decorate

        @memo(10)
        @counted(2)
        def f(x): return x
        """,
    )
    body = """
import os, bandsaw
@bandsaw.task
def lazy(x):
    import wrapped
    return wrapped.f(x), os.getpid()
if __name__ == "__main__":
    print([lazy(x)[1] for x in (1, 2, 1, 3)][-1])
"""
    assert run(package, body) == run(package, body) == run(package, body)


def test_what_is_left_of_a_loop_over_a_set_is_not_the_module_s_code(project):
    project.write(
        "names.py",
        """
        TABLE = {}
        for kinds in [({"a", "b", "c"}, 1)]:
            for name in kinds[0]:
                TABLE[name] = kinds[1]
        def f(): return sorted(TABLE)
        """,
    )
    project.write(
        "main.py",
        """
        from bandsaw.tasks import Task
        def f(): from names import f; return f()
        if __name__ == "__main__":
            import names
            print(names.name, Task.create_task(f).task_id)
        """,
    )
    told = [project.run("main.py", PYTHONHASHSEED=seed).stdout.split() for seed in "1234"]
    assert len({name for name, _ in told}) > 1 and len({an_id for _, an_id in told}) == 1


def test_each_of_many_modules_is_read_once_for_an_id(project):
    count = 12
    for number in range(count):
        project.write(
            f"many/m{number}.py",
            f"from many import m{(number + 1) % count} as following\nROWS = []\nROWS.append(1)\n"
            "def f(): return following.f(), ROWS",
        )
    project.write(
        "workflow.py",
        """
        import gc, sys
        import bandsaw

        @bandsaw.task
        def first(): from many import m0; return m0.f()

        read, before = [], gc.get_threshold()
        def note(frame, event, argument):
            if event == "call" and frame.f_code.co_name == "_origins_in":
                read.append(id(frame))
        sys.setprofile(note)
        first.bandsaw_task.task_id
        sys.setprofile(None)
        print(len(read), gc.get_threshold() == before)
        """,
    )
    project.write("bandsaw_config.py", CONFIGURATION)
    steps, is_enabled = project.run("workflow.py").stdout.split()
    assert (int(steps) < 5 * count, is_enabled) == (True, "True"), steps


def test_what_is_nested_deeply_counts_and_is_followed(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    cases = "".join(f"    elif x == {n}: return {n}\n" for n in range(600))
    calls = "".join(f".strip({n})" for n in range(400))
    text = f"def cases(x):\n    if x is None: return 0\n{cases}    else: return last(x)\n"
    text += f"def calls(x): return last(x){calls}\ndef last(x): return x + 1\n"
    project.write("deep.py", text)
    project.write(
        "workflow.py",
        """
        import bandsaw
        @bandsaw.task
        def cases():
            import deep
            return deep.cases(3)
        @bandsaw.task
        def calls():
            import deep
            return deep.calls("")
        """,
    )
    body = "print(workflow.cases.bandsaw_task.task_id, workflow.calls.bandsaw_task.task_id)\n"
    before = run(project, body + "import deep\n" + body)
    assert before[0] == before[1]
    for old, new, differ in (("== 599", "== 999", (1, 0)), ("strip(399)", "strip(9)", (0, 1)),
                             ("x + 1", "x + 2", (1, 1))):  # fmt: skip
        text = text.replace(old, new)
        project.write("deep.py", text)
        after = run(project, body)
        pairs = zip(before[-1].split(), after[-1].split())
        assert tuple(one != other for one, other in pairs) == differ
        before = after


def test_what_is_set_on_installed_classes_counts_beside_what_memory_has(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "late.py",
        "import fractions\nRATE = 1\ndef f():\n    return fractions.Fraction(3).real + RATE\n",
    )
    project.write(
        "workflow.py",
        """
        import fractions
        import bandsaw

        @bandsaw.task
        def task():
            import late
            return late.f()

        if __name__ == "__main__":
            import late
            late.RATE = 2
            for number in (10, 20):
                fractions.Fraction.real = property(lambda self: number)
                print(task() == number + 2)
        """,
    )
    assert project.run("workflow.py").stdout.split() == ["True"] * 2
