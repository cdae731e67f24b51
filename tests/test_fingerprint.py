"""Fingerprints: which edits change an id, and which do not."""

import argparse
import collections
import copyreg
import gc
import importlib
import importlib.util
import itertools
import json
import os
import subprocess
import sys
import textwrap
import threading
import types
import warnings
import weakref
from pathlib import Path

import pytest

from bandsaw.errors import IdentityError
from bandsaw.fingerprint import (
    IdentityWarning,
    digest_of_value,
    execution_id_of,
    fingerprint,
    gaps_of,
    is_current,
    parts_of,
    task_id_of,
)
from bandsaw.tasks import Task

ROOT = Path(__file__).parent.parent
numbers = itertools.count()


def pythons():
    """The interpreters at hand, 3.9 and newer."""
    listed = os.environ.get("BANDSAW_TEST_PYTHONS")
    if listed:
        found = listed.split(os.pathsep)
    else:
        folder = Path.home() / ".pyenv" / "versions"
        found = [
            str(path)
            for path in sorted(folder.glob("3.*/bin/python"))
            if int(path.parent.parent.name.split(".")[1]) >= 9
        ]
    return list(dict.fromkeys([sys.executable, *found]))


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Writes modules into fresh folders, so that the same program can be had in two states."""
    added = []

    def write(**files):
        folder = tmp_path / f"state{next(numbers)}"
        for name in added:
            sys.modules.pop(name, None)
        for name in list(sys.modules):
            if name.partition(".")[0] in added:
                del sys.modules[name]
        for name, text in files.items():
            path = folder / (name.replace("__dot__", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(textwrap.dedent(text), encoding="utf-8")
            added.append(name.partition("__dot__")[0])
        if len(sys.path) and sys.path[0].startswith(str(tmp_path)):
            sys.path.pop(0)
        sys.path.insert(0, str(folder))
        importlib.invalidate_caches()
        return folder

    before = list(sys.path)
    yield write
    sys.path[:] = before
    for name in list(sys.modules):
        if name.partition(".")[0] in added:
            del sys.modules[name]


def id_of(project, name="flow", function="f", **files):
    project(**files)
    module = importlib.import_module(name)
    return fingerprint(getattr(module, function))


PROGRAM = {
    "flow": '''
        import functools
        import prep
        import pkg.sub as s
        import pkg
        from prep import helper as h

        LIMIT = 3
        TABLE = {"a": [1, 2], "b": {3, 4}}

        def make(n):
            def add(x):
                return x + n
            return add

        add_one = make(1)
        add_two = make(2)
        scaled = functools.partial(prep.scale, 2)

        class Base:
            rate = 10

            def run(self):
                return self.rate

        class Model(Base):
            """A model."""
            size = 5

            @property
            def area(self):
                return self.size * prep.FACTOR

            @staticmethod
            def static(x):
                return x

            @classmethod
            def build(cls):
                return cls()

        def even(n):
            return n == 0 or odd(n - 1)

        def odd(n):
            return n != 0 and even(n - 1)

        def unrelated():
            return 7

        @prep.traced
        def wrapped(x):
            return x

        def f(x, y=1, *, z=(1, 2)):
            """Says what it does."""
            from prep import lazy
            import pkg.deep as d
            # A comment.
            total = prep.clean(x) + h(y) + s.inner(LIMIT) + pkg.top(1)
            total += add_one(x) + add_two(x) + scaled(x) + Model().area
            total += even(4) + lazy() + wrapped(x) + d.down(1) + len(TABLE)
            total += prep.cached(x)
            return sorted([total], key=lambda v: v + 1)
    ''',
    "prep": """
        import functools

        FACTOR = 2
        SECRET = 11

        def scale(a, b):
            return a * b

        def clean(x):
            return deeper(x)

        def deeper(x):
            return x + SECRET

        def helper(x):
            return x

        def lazy():
            return 21

        @functools.lru_cache(maxsize=None)
        def cached(x):
            return x + 5

        def tracer(x):
            return x + 13

        def traced(function):
            @functools.wraps(function)
            def wrapper(*args):
                return tracer(function(*args))
            return wrapper
    """,
    "pkg__dot____init__": "def top(x):\n    return x + 17\n",
    "pkg__dot__sub": "def inner(x):\n    return x + 19\n",
    "pkg__dot__deep": "def down(x):\n    return x + 23\n",
}


def edited(name, old, new):
    files = dict(PROGRAM)
    assert old in files[name], old
    files[name] = files[name].replace(old, new, 1)
    return files


EDITS = [
    ("flow", "return sorted([total]", "return sorted([total, 1]"),
    ("flow", "y=1", "y=2"),
    ("flow", "z=(1, 2)", "z=(1, 2.0)"),
    ("flow", "LIMIT = 3", "LIMIT = 4"),
    ("flow", "LIMIT = 3", "LIMIT = 3.0"),
    ("flow", "[1, 2], ", "[1, 3], "),
    ("flow", "{3, 4}", "{3, 5}"),
    ("flow", "make(1)", "make(5)"),
    ("flow", "add_two = make(2)", "add_two = make(1)"),
    ("flow", "return x + n", "return x - n"),
    ("flow", "prep.scale, 2", "prep.scale, 3"),
    ("flow", "rate = 10", "rate = 11"),
    ("flow", "return self.rate", "return -self.rate"),
    ("flow", "size = 5", "size = 6"),
    ("flow", "self.size * prep", "self.size + prep"),
    ("flow", "def static(x):", "def static(x, y=0):"),
    ("flow", "return cls()", "return cls"),
    ("flow", "class Model(Base)", "class Model(Base, dict)"),
    ("flow", "n != 0 and", "n != 1 and"),
    ("flow", "key=lambda v: v + 1", "key=lambda v: v + 2"),
    ("flow", "from prep import helper as h", "from prep import lazy as h"),
    ("prep", "FACTOR = 2", "FACTOR = 3"),
    ("prep", "SECRET = 11", "SECRET = 12"),
    ("prep", "return a * b", "return a + b"),
    ("prep", "return 21", "return 22"),
    ("prep", "return x + 5", "return x + 6"),
    ("prep", "return x + 13", "return x + 14"),
    ("prep", "maxsize=None", "maxsize=3"),
    ("pkg__dot____init__", "17", "18"),
    ("pkg__dot__sub", "19", "20"),
    ("pkg__dot__deep", "23", "24"),
]


@pytest.mark.parametrize(("name", "old", "new"), EDITS)
def test_an_edit_of_anything_that_is_reached_changes_the_fingerprint(project, name, old, new):
    before = id_of(project, **PROGRAM)
    assert id_of(project, **edited(name, old, new)) != before


HARMLESS_EDITS = [
    ("flow", "# A comment.", "# Another one.\n\n"),
    ("flow", '"""Says what it does."""', '"""Says something else."""'),
    ("flow", '"""Says what it does."""', ""),
    ("flow", '"""A model."""', ""),
    ("flow", "return 7", "return 8"),
    ("flow", "LIMIT = 3", "\n\n\n        LIMIT = (3)"),
    ("flow", "def f(x, y=1", "def f(x: int, y: 'str' = 1"),
    ("flow", "total = prep", "total: int = prep"),
    ("flow", '{"a": [1, 2], "b": {3, 4}}', '{"b": {4, 3}, "a": [1, 2]}'),
    ("prep", "return deeper(x)", "return (\n                deeper(x)\n            )"),
]


@pytest.mark.parametrize(("name", "old", "new"), HARMLESS_EDITS)
def test_an_edit_that_changes_nothing_that_runs_keeps_the_fingerprint(project, name, old, new):
    before = id_of(project, **PROGRAM)
    assert id_of(project, **edited(name, old, new)) == before


@pytest.mark.parametrize("signature", ["x=prep.K", "*, x=prep.K", "x=[prep.K]"])
def test_defaults_count_by_their_values(project, signature):
    flow = f"import prep\ndef f({signature}):\n    return x\n"
    one = id_of(project, flow=flow, prep="K = 1\n")
    assert id_of(project, flow=flow, prep="K = 2\n") != one


def test_bases_that_are_computed_count(project):
    program = """
        def base(n):
            class Base:
                def m(self):
                    return n
            return Base
        first, second = base(1), base(2)
        class Model(globals()["{}"]):
            pass
        def f():
            return Model().m()
    """
    with pytest.warns(IdentityWarning):
        one = id_of(project, flow=program.format("first"))
    # The same place is reported once in a process.
    assert id_of(project, flow=program.format("second")) != one


def test_swapping_two_closures_of_one_function_changes_the_fingerprint(project):
    program = """
        def make(n):
            return lambda x: x + n
        one, two = make({}), make({})
        def f(x):
            return one(x) - two(x)
    """
    first = id_of(project, flow=program.format(1, 2))
    assert id_of(project, flow=program.format(2, 1)) != first


def test_a_text_like_an_address_counts_in_an_exception(project):
    program = 'ERROR = ValueError(("<f at {}>",))\ndef f():\n    return ERROR'
    first = id_of(project, flow=program.format("0x7f0000000010"))
    assert id_of(project, flow=program.format("0x7f0000000020")) != first


def test_moving_a_function_in_its_file_keeps_the_fingerprint(project):
    one, two = "def g(x):\n    return x\n", "def f(x):\n    return g(x)\n"
    assert id_of(project, flow=one + two) == id_of(project, flow=two + "\n\n" + one)


@pytest.mark.parametrize(
    ("statement", "decorator"),
    [
        ("import bandsaw", "@bandsaw.task"),
        ("import bandsaw as b", "@b.task()"),
        ("from bandsaw import task", "@task(chain='default')"),
        ("from bandsaw.decorator import task as t", "@t"),
        ("import bandsaw.decorator as d\nthese = d.task", "@these(any='thing')"),
    ],
)
def test_the_task_decorator_does_not_count_however_it_is_imported(
    project, monkeypatch, statement, decorator
):
    plain = "{}\n{}\ndef f(x):\n    return x\n\ndef g():\n    return f(1)\n"
    configuration = "import bandsaw\nconfiguration = bandsaw.Configuration()\n"
    monkeypatch.setenv("BANDSAW_CONFIG_MODULE", "my_config")
    wanted = id_of(project, flow=plain.format("", ""), my_config=configuration)
    project(flow=plain.format(statement, decorator), my_config=configuration)
    module = importlib.import_module("flow")
    assert fingerprint(module.f.__wrapped__) == wanted
    text = plain.format(statement, decorator).replace("return x", "return 2")
    project(flow=text, my_config=configuration)
    other = importlib.import_module("flow")
    assert fingerprint(module.g) != fingerprint(other.g)


def test_a_task_decorator_that_is_kept_in_a_variable_does_not_count(project, monkeypatch):
    monkeypatch.setenv("BANDSAW_CONFIG_MODULE", "my_config")
    configuration = "import bandsaw\nconfiguration = bandsaw.Configuration()\n"
    text = "import bandsaw\ncached = bandsaw.task({})\n{}\ndef f(x):\n    return x\n"
    wanted = id_of(project, flow=text.format("", ""), my_config=configuration)
    for options in ("", "chain='default'", "anything=1"):
        project(flow=text.format(options, "@cached"), my_config=configuration)
        assert fingerprint(importlib.import_module("flow").f.__wrapped__) == wanted


def test_a_computed_name_is_reported_with_its_place_and_a_remedy(project):
    project(
        flow="""
        import importlib, pkgutil, runpy
        def f(x, name):
            pkgutil.resolve_name(name), runpy.run_module("flow"), runpy.run_path(name)
            return getattr(x, name), importlib.import_module(name), eval(name), globals()[name]
        """
    )
    with pytest.warns(IdentityWarning, match=r"(?s)flow\.f: line 5, getattr.*version=") as caught:
        fingerprint(importlib.import_module("flow").f)
    assert len(caught) == 1
    text = str(caught[0].message)
    assert text.count("flow.f: line 4, ") == 3 and text.count("version=") == 1
    assert text.count("flow.f: line 5, ") == 4


def test_a_computed_name_is_reported_where_an_import_gives_its_function_or_module_a_name(project):
    project(
        flow="""
        import importlib as own, importlib.util as paths
        def outside(name):
            own.import_module(name), paths.spec_from_file_location("x", name)
        def inside(name):
            from importlib import import_module
            import runpy as runs
            import_module(name), runs.run_path(name)
        def others(import_module, name):
            import json as runs
            import_module(name), runs.run_path(name)
        """
    )
    flow = importlib.import_module("flow")
    assert [len(gaps_of(each)) for each in (flow.outside, flow.inside, flow.others)] == [2, 2, 0]


def test_a_function_that_numpy_made_a_ufunc_of_counts(project):
    text = """
        import numpy
        RATE = 3
        def g(x):
            return x * RATE
        u, sine = numpy.frompyfunc(g, 1, 1), numpy.sin
        def f(x):
            return u(sine(x))
        """
    first = id_of(project, flow=text)
    assert first == id_of(project, flow=text)
    for old, new in (("RATE = 3", "RATE = 4"), ("* RATE", "+ RATE"), ("g, 1, 1", "max, 1, 1")):
        assert id_of(project, flow=text.replace(old, new)) != first, new


def test_plugins_that_are_found_by_entry_points_are_reported(project):
    project(
        flow="""
        from importlib import metadata
        from importlib.metadata import entry_points, version
        def f(x):
            return [each.load()(x) for each in entry_points()], version("pip")
        def g(x):
            return [each.load()(x) for each in metadata.entry_points()]
        """
    )
    flow = importlib.import_module("flow")
    reason = "it reaches code by a computed name"
    assert gaps_of(flow.f) == [("flow.f: line 5, entry_points()", reason)]
    assert gaps_of(flow.g) == [("flow.g: line 7, metadata.entry_points()", reason)]


def test_functions_of_packages_that_find_code_by_a_text_are_reported(project):
    project(
        hydra__dot____init__="",
        hydra__dot__utils="def instantiate(config): pass\n",
        flow="""
        import hydra.utils, pydoc
        from hydra.utils import instantiate
        def f(config):
            return instantiate(config), hydra.utils.instantiate(config), pydoc.locate("a.b")
        def g(plan):
            return plan.instantiate(), plan.call()
        """,
    )
    flow = importlib.import_module("flow")
    found = {place.rpartition("line 5, ")[2] for place, _ in gaps_of(flow.f)}
    assert found == {
        "instantiate(config)",
        "hydra.utils.instantiate(config)",
        "pydoc.locate('a.b')",
    }
    assert not gaps_of(flow.g)


def test_a_task_is_reported_once_with_all_that_it_and_its_dependencies_reach(project):
    project(
        flow="""
        import prep
        def f(x, name):
            return prep.g(x, name), eval(name)
        """,
        prep="""
        def g(x, name):
            return getattr(x, name)
        def h(x, name):
            return getattr(x, name + "_")
        """,
    )
    module = importlib.import_module("flow")
    with pytest.warns(IdentityWarning) as caught:
        task_id_of(module.f, "flow", "f", depends=[module.prep.h])
    assert len(caught) == 1
    for place in ("flow.f: line 4, eval(name)", "prep.g: line 3", "prep.h: line 5"):
        assert place in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task_id_of(module.f, "flow", "f", depends=[module.prep.h])


def test_a_value_without_a_form_is_reported_once_and_does_not_fail(project):
    project(
        flow="""
        stream = open(__file__)
        def f(x):
            return stream.read(x)
        """
    )
    module = importlib.import_module("flow")
    with pytest.warns(IdentityWarning, match=r"flow\.f: line 4, stream"):
        first = fingerprint(module.f)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert fingerprint(module.f) == first
    module.stream.close()


def test_locks_and_loggers_count_by_name_without_a_warning(project):
    project(
        flow="""
        import logging, threading
        lock = threading.Lock()
        logger = logging.getLogger("x")
        def f(x):
            with lock:
                logger.info("x")
        """
    )
    module = importlib.import_module("flow")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = fingerprint(module.f)
        module.logger.setLevel(10)
        assert fingerprint(module.f) == first


def test_what_a_run_changes_does_not_change_the_fingerprint(project):
    project(
        flow="""
        CACHE = {}
        COUNT = 0
        class Stats:
            seen = 0
        def f(x):
            global COUNT
            COUNT += 1
            Stats.seen += 1
            CACHE[x] = x
            return CACHE
        """
    )
    module = importlib.import_module("flow")
    with pytest.warns(IdentityWarning, match=r"line 10, CACHE: .* counts as it is first set"):
        before = fingerprint(module.f)
    module.f(3)
    assert fingerprint(module.f) == before


@pytest.mark.parametrize(
    "block",
    [
        "try: import nowhere\nexcept ImportError:\n    {}",
        "if not len:\n    CACHE = None\nelif not int:\n    pass\nelse:\n    {}",
        "try:\n    pass\nfinally:\n    {}",
        "import contextlib\nwith contextlib.suppress(OSError):\n    try: {}\n    finally: pass",
    ],
)
def test_what_a_run_changes_may_be_set_in_any_branch(project, block):
    flow = block.format("CACHE = {}") + "\ndef f(x):\n    CACHE[x] = x\n"
    project(flow=flow)
    module = importlib.import_module("flow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = fingerprint(module.f)
        module.f(3)
        assert fingerprint(module.f) == before


@pytest.mark.parametrize(
    ("method", "call"),
    [
        ("def g(self, x): CACHE[x] = x", "A().g(x)"),
        ("def g(self, x):\n        global COUNT\n        COUNT += 1", "A().g(x)"),
        ("@staticmethod\n    def g(x): CACHE[x] = x", "A.g(x)"),
        ("@property\n    def g(self): CACHE[len(CACHE)] = 1", "A().g"),
        ("def g(self, x): self.h(x)\n    def h(self, x): CACHE[x] = x", "A().g(x)"),
        ("def __init__(self): CACHE[len(CACHE)] = 1", "A()"),
        ("def __init__(self):\n        global COUNT\n        COUNT += 1", "A()"),
        ("def __call__(self, x): CACHE[x] = x", "A()(x)"),
        ("def g(self, x, known={}): known[x] = x", "A().g(x)"),
        ("def g(self, x, *, known={}): known[x] = x", "A().g(x)"),
    ],
)
def test_what_methods_fill_during_a_run_does_not_change_the_fingerprint(project, method, call):
    flow = "CACHE, COUNT = {}, 0\nclass A:\n    %s\ndef f(x):\n    return %s\n"
    project(flow=flow % (method, call))
    module = importlib.import_module("flow")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = fingerprint(module.f)
        module.f(3)
        assert fingerprint(module.f) == before
        assert gaps_of(module.f)


def test_what_a_method_fills_that_nothing_calls_counts(project):
    flow = (
        "CACHE = {}\nclass A:\n    def g(self, x): CACHE[x] = x\ndef f(x):\n    return A, CACHE\n"
    )
    project(flow=flow)
    module = importlib.import_module("flow")
    before = fingerprint(module.f)
    module.A().g(3)
    assert fingerprint(module.f) != before


BEHIND = {
    "a method with the name of one that fills": (
        "store = lib.Store()",
        "store.put(x); return store.total()",
    ),
    "another assigned as an attribute": (
        "model = lib.Store()",
        "return lib.Runner().fit(model).predict(x)",
    ),
    "a variable that is assigned": (
        "current = lib.Store()",
        "global current; value = current.total(); current = None; return value",
    ),
    "what is registered with it": (
        "store = lib.Store(); store.handlers.append(lib.total)",
        "store.put(x); return store.handled()",
    ),
    "a container": ("stores = [lib.Store()]", "stores.append(x); return stores[0].total()"),
    "of another module": ("lib.shared", "lib.shared.put(x); return lib.shared.total()"),
    "what fills it in a loop": (
        "table = {}\n        for key in range(3):\n            table[key] = lib.loaded()[0]",
        "table[x] = 1; return table[0]",
    ),
    "what fills it by a method": (
        "table = {}; table.update(lib.loaded())",
        "table[x] = 1; return table[0]",
    ),
    "a function of it": ("table = lib.loaded()", "table[x] = 1; return table[0]"),
}


@pytest.mark.parametrize("way", BEHIND)
def test_the_code_behind_a_variable_counts_though_reached_code_changes_it(project, way):
    statement, body = BEHIND[way]
    lib = """
        class Store:
            def __init__(self):
                self.all, self.handlers = [], []
            def put(self, x):
                self.all.append(x)
            def total(self):
                return total(self)
            def handled(self):
                return self.handlers[0](self)
        class Runner:
            def __init__(self):
                self.model = None
            def fit(self, model):
                self.model = model
                return self
            def predict(self, x):
                return self.model.total()
        def total(store):
            return sum(store.all) + {number}
        def loaded():
            return {{0: {number}}}
        shared = Store()
    """
    flow = f"""
        import lib
        {statement}
        def f(x):
            {body}
    """

    def told(number):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", IdentityWarning)
            return id_of(project, flow=flow, lib=lib.format(number=number))

    assert told(1) == told(1) != told(2)


@pytest.mark.filterwarnings("ignore::bandsaw.errors.IdentityWarning")
def test_what_only_the_script_fills_does_not_count(project):
    program = """
        table = {{}}
        def f(x):
            table[x] = 1
        if __name__ == "__main__":
            for key in range({0}):
                table[key] = {0}
    """
    assert id_of(project, flow=program.format(1)) == id_of(project, flow=program.format(2))


@pytest.mark.filterwarnings("ignore::bandsaw.errors.IdentityWarning")
def test_what_a_loop_that_fills_binds_may_be_bound_again_later(project):
    program = """
        import os
        table = {}
        for i in range(3):
            double = i * 2
            table[i] = double
        with open(os.devnull) as file:
            table[3] = file.read()
        if table:
            first = 1
            table[4] = first
        def f(x):
            table[x] = 1
    """
    project(flow=program)
    module = importlib.import_module("flow")
    before = fingerprint(module.f)
    module.i = module.double = module.file = 9
    assert fingerprint(module.f) == before
    module.first = 2
    assert fingerprint(module.f) != before


@pytest.mark.filterwarnings("ignore::bandsaw.errors.IdentityWarning")
def test_variables_that_are_filled_together_are_each_read_once(project):
    names = [f"table_{number}" for number in range(12)]
    sets = "\n".join(f"{name} = {{}}" for name in names)
    fill = "\n    ".join(f"{name}[key] = NUMBER" for name in names)
    program = f"{sets}\nfor key in range(3):\n    {fill}\ndef f(key):\n    {fill}\n"
    ids = [id_of(project, flow=f"NUMBER = {number}\n{program}") for number in (1, 1, 2)]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.filterwarnings("ignore::bandsaw.errors.IdentityWarning")
def test_what_sets_a_variable_may_reach_other_code_than_what_it_holds(project):
    project(
        flow="""
        class One:
            def go(self, other):
                other.first = 1
        class Two:
            def do(self, other):
                other.second = 1
        second = {}
        def made():
            for each in second.values():
                each.do(each)
            return {}
        first = made()
        def f(x):
            for each in first.values():
                each.go(each)
        """
    )
    module = importlib.import_module("flow")
    module.first[0], module.second[0] = module.One(), module.Two()
    assert fingerprint(module.f) == fingerprint(module.f)


def test_a_registry_of_functions_counts_by_what_it_holds(project):
    program = """
        HANDLERS = {{}}
        def register(function):
            HANDLERS[function.__name__] = function
            return function
        @register
        def one(x):
            return {}
        def f(x):
            return HANDLERS["one"](x)
    """
    assert id_of(project, flow=program.format(1)) != id_of(project, flow=program.format(2))


def test_lambdas_on_one_line_are_told_apart(project):
    project(flow="pair = [lambda x: x + 1, lambda x: x + 2, lambda x: x + 1]\n")
    one, two, three = map(fingerprint, importlib.import_module("flow").pair)
    assert one == three != two


@pytest.mark.parametrize(
    "member",
    [
        "@functools.cached_property\n    def m(self): return {}",
        "@functools.lru_cache\n    def m(self): return {}",
        "@functools.singledispatchmethod\n    def m(self, x): return {}",
        "m = functools.partialmethod(print, {})",
        "class Inner:\n        def m(self): return {}",
        "m = fractions.Fraction({})",
    ],
)
def test_all_code_of_a_class_without_source_counts(member):
    def fingerprint_of(number):
        namespace = {"__name__": "__main__"}
        exec("import fractions, functools", namespace)
        exec(f"class C:\n    {member.format(number)}\ndef f(): return C().m", namespace)
        return fingerprint(namespace["f"])

    assert fingerprint_of(1) == fingerprint_of(1) != fingerprint_of(2)


def test_functions_without_source_count_by_their_byte_code():
    def made(text):
        namespace = {"__name__": "__main__"}
        exec(textwrap.dedent(text), namespace)
        return fingerprint(namespace["f"])

    text = "def g(x): return x{}\ndef f(x):\n    return g(x)\n"
    assert made(text.format("+1")) == made("\n\n" + text.format("+1")) != made(text.format("+2"))


def test_a_file_that_was_edited_after_its_import_is_not_believed(project):
    folder = project(flow="def f(x):\n    return x + 1\n")
    module = importlib.import_module("flow")
    (folder / "flow.py").write_text("def f(x):\n    return x + 2000\n")
    stale = fingerprint(module.f)
    assert fingerprint(importlib.reload(module).f) != stale


def test_a_reload_is_noticed(project):
    folder = project(
        flow="import prep\ndef f():\n    return prep.g()\n", prep="def g(): return 1\n"
    )
    module, prep = importlib.import_module("flow"), importlib.import_module("prep")
    before = fingerprint(module.f)
    assert is_current(module.f)
    (folder / "prep.py").write_text("def g(): return 1234\n")
    importlib.reload(prep)
    assert not is_current(module.f)
    assert fingerprint(module.f) != before


def test_source_in_a_zip_archive_counts_as_it_does_in_a_folder(project, tmp_path):
    import zipfile

    text = "K = 3\ndef f(x):\n    'doc'\n    return x + K\n"
    wanted = id_of(project, flow=text)
    sys.modules.pop("flow")
    archive = tmp_path / "code.zip"
    with zipfile.ZipFile(archive, "w") as stream:
        stream.writestr("flow.py", text)
    sys.path.insert(0, str(archive))
    importlib.invalidate_caches()
    module = importlib.import_module("flow")
    assert "code.zip" in module.__file__
    assert fingerprint(module.f) == wanted


SCRIPT = '''
import dataclasses, enum, typing, collections, functools, contextlib, logging
import datetime, pathlib, re, zoneinfo
import helpers
class Place(pathlib.PurePosixPath): pass
MATCH = re.compile("a").match
ZONE = zoneinfo.ZoneInfo("UTC")
LOGGER = logging.LoggerAdapter(logging.getLogger(__name__), {})
P = collections.namedtuple("P", "a b")
class Colour(enum.Enum):
    RED = 1
    BLUE = "b"
class Row(typing.NamedTuple):
    a: int = 3
@dataclasses.dataclass(frozen=True)
class Data:
    x: int
    y: list = dataclasses.field(default_factory=list)
    def total(self): return self.x
@contextlib.contextmanager
def managed():
    yield helpers.one
K = {"a": {1, "x", 2.5, None}, "b": frozenset(["p", "q", "r"])}
INSTANCE = Data(3, [1])
@functools.singledispatch
def dispatch(x): return x
@dispatch.register
def _(x: int): return helpers.one(x)
def f(x, y=P(1, 2), *, z=Row()):
    """doc"""
    with managed() as m:
        LOGGER.info(m)
    import helpers as again
    return f"{x!r:>{y}} a" "b", Colour.RED, Data(1), K, INSTANCE, dispatch(x), {**K}, again.one, \\
        MATCH, ZONE, [i for i in x if (j := i)], (lambda a, /, b=1, *c, d=2: a), x[1:2, ...], \\
        1e400, -0.0, 1j, b"\\x00"
if __name__ == "__main__":
    import sys
    sys.path.insert(0, %r)
    from bandsaw.fingerprint import fingerprint, task_id_of, execution_id_of, parts_of
    print(parts_of(f), fingerprint(f), task_id_of(f, __name__, "f"),
          execution_id_of({"a": K, "b": INSTANCE, "c": f, "d": [Colour.RED, P(1, 2)],
                           "e": [ZONE, datetime.datetime(2020, 1, 1, tzinfo=ZONE)],
                           "f": [MATCH, Place("a", "b")]}))
'''


@pytest.mark.slow
def test_one_fingerprint_on_every_python_and_hash_seed_and_as_main_or_imported(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT % str(ROOT))
    (tmp_path / "helpers.py").write_text("def one(x):\n    return x\n")
    imported = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); sys.path.insert(0, '.')\n"
        "import script; from script import *\n"
        "from bandsaw.fingerprint import fingerprint, task_id_of, execution_id_of, parts_of\n"
        "print(parts_of(f), fingerprint(f), task_id_of(f, 'script', 'f'), "
        "execution_id_of({'a': K, 'b': INSTANCE, 'c': f, 'd': [Colour.RED, P(1, 2)],"
        " 'e': [ZONE, datetime.datetime(2020, 1, 1, tzinfo=ZONE)],"
        " 'f': [MATCH, Place('a', 'b')]}))"
    )
    found = {}
    for number, python in enumerate(pythons()):
        for seed, arguments in ((number, ["script.py"]), (number + 50, ["-c", imported])):
            environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
            environment.pop("PYTHONPATH", None)
            done = subprocess.run(
                [python, *arguments], cwd=tmp_path, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, done.stderr
            found[python, arguments[0]] = done.stdout
    assert len(set(found.values())) == 1, found


def test_version_replaces_the_fingerprint_and_depends_adds_to_it(project, tmp_path):
    from bandsaw._file import File

    project(flow="def f(x):\n    return x\n", prep="def g():\n    return 1\n")
    module, prep = importlib.import_module("flow"), importlib.import_module("prep")
    f = module.f
    plain = task_id_of(f, "flow", "f")
    assert task_id_of(f, "flow", "f", version="1") == task_id_of(prep.g, "flow", "f", version="1")
    assert task_id_of(f, "flow", "f", version="1") != task_id_of(f, "flow", "f", version="2")
    assert task_id_of(f, "flow", "g") != plain != task_id_of(f, "other", "f")
    path = tmp_path / "data"
    path.write_text("a")
    ids = [task_id_of(f, "flow", "f", depends=d) for d in ([prep], [prep.g], [3], [File(path)])]
    path.write_text("b")
    ids.append(task_id_of(f, "flow", "f", depends=[File(path)]))
    assert len({plain, *ids}) == 6


def test_a_module_in_depends_counts_with_everything_below_it(project):
    def id_with(top, below):
        project(**{"pkg__dot____init__": top, "pkg__dot__sub": below})
        return task_id_of(len, "flow", "f", depends=[importlib.import_module("pkg")])

    first = id_with("A = 1", "B = 1")
    assert id_with("A = 1  # a comment", "'doc'\nB = 1") == first
    assert len({first, id_with("A = 2", "B = 1"), id_with("A = 1", "B = 2")}) == 3


def test_a_module_as_an_argument_counts_with_what_it_says_and_holds(project):
    def id_with(text, **held):
        project(rates=text, prep="def g(): return 1")
        module = importlib.import_module("rates")
        vars(module).update(held)
        return execution_id_of({"rates": module})

    first = id_with("import json, prep\nA = 1\ndef f(): return A")
    assert id_with("import json, prep\nA = 1  # a comment\ndef f(): return A") == first
    others = id_with("import json, prep\nA = 2\ndef f(): return A"), id_with("A = 1", A=2)
    assert len({first, *others, execution_id_of({"rates": json})}) == 4


def test_a_module_that_was_made_by_hand_counts_as_an_argument_by_what_it_holds():
    module = types.ModuleType("by_hand")
    first = execution_id_of({"a": module})
    module.rate = 1
    assert execution_id_of({"a": module}) != first


def test_a_module_as_an_argument_counts_with_other_modules_that_it_has(project):
    def id_with(helper, below):
        project(
            rates="import helper\ndef f(): return 1",
            helper=helper,
            pkg__dot____init__="",
            pkg__dot__below=below,
        )
        rates, pkg = importlib.import_module("rates"), importlib.import_module("pkg")
        first = execution_id_of({"rates": rates}), execution_id_of({"pkg": pkg})
        importlib.import_module("pkg.below")
        assert execution_id_of({"pkg": pkg}) == first[1]
        return first

    first, second = id_with("A = 1", "B = 1"), id_with("A = 2", "B = 2")
    assert first[0] != second[0] and first[1] != second[1]


def test_a_module_without_a_name_counts_as_an_argument_and_is_not_asked():
    asked = []
    module = types.ModuleType("by_hand")
    module.__getattr__ = asked.append
    first = execution_id_of({"a": module})
    module.__name__ = None
    assert execution_id_of({"a": module}) != first
    del module.__name__
    execution_id_of({"a": module})
    assert asked == []


LARGE = 1 << 40


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"hash": LARGE}, {"hash": LARGE + 1}),
        ({"text": "a", "number": hash("a")}, {"text": "a", "number": 0}),
    ],
)
@pytest.mark.parametrize("kind", [argparse.Namespace, types.SimpleNamespace])
def test_containers_with_attributes_are_their_user_s(project, kind, first, second):
    project(flow="def f(): return VALUE")
    flow = importlib.import_module("flow")
    for values in ([kind(**first), kind(**second)], [kind(a=[first]), kind(a=[second])]):
        assert len({execution_id_of({"a": value}) for value in values}) == 2
        ids = set()
        for flow.VALUE in values:
            ids.add(fingerprint(flow.f))
        assert len(ids) == 2


def test_what_installed_objects_call_a_hash_counts_where_it_is_none():
    kinds = [
        type("Kind", (), {"__module__": "email.message", "__hash__": method})
        for method in (lambda self: self._hash, lambda self: self.hash, lambda self: 0)
    ]

    def ids_of(kind, name):
        objects = [kind(), kind()]
        for number, each in enumerate(objects):
            vars(each).update({name: LARGE + number})
        return {execution_id_of({"a": each}) for each in objects}

    assert len(ids_of(kinds[0], "_hash")) == 1
    assert len(ids_of(kinds[1], "hash")) == len(ids_of(kinds[2], "_hash")) == 2


def test_what_numba_compiles_counts_by_the_types_that_it_was_given(project):
    # Its classes are known by their names.
    project(
        numba__dot____init__="",
        numba__dot__core__dot____init__="",
        numba__dot__core__dot__registry="class CPUDispatcher: pass",
    )
    dispatcher = importlib.import_module("numba.core.registry").CPUDispatcher

    def made(can_compile, signature, **others):
        compiled = dispatcher()
        overloads = {signature: types.SimpleNamespace(signature=signature)}
        held = {"py_func": None, "targetoptions": {}, "locals": {}, "overloads": overloads}
        vars(compiled).update({**held, "_can_compile": can_compile, **others})
        return execution_id_of({"a": compiled})

    given = made(False, "int32(int32)")
    assert given != made(False, "float64(float64)")
    assert given != made(False, "int32(int32)", identity=0)
    assert given != made(False, "int32(int32)", locals={"x": "int32"})
    assert made(True, "int32(int32)") == made(True, "float64(float64)")


def test_generalized_functions_of_numba_count_by_their_function_and_options(project):
    project(
        numba__dot____init__="",
        numba__dot__np__dot____init__="",
        numba__dot__np__dot__ufunc__dot____init__="",
        numba__dot__np__dot__ufunc__dot__gufunc="class GUFunc: pass",
    )

    def made(function, signature="(n)->()", types_=("float64",), frozen=True):
        made = importlib.import_module("numba.np.ufunc.gufunc").GUFunc()
        held = {"py_func": function, "signature": signature, "_sigs": types_}
        builder = types.SimpleNamespace(**held, _cres=threading.Lock())
        vars(made).update(gufunc_builder=builder, _frozen=frozen)
        return execution_id_of({"a": made})

    assert made(abs) == made(abs)
    assert len({made(abs), made(len), made(abs, "(n)->(n)"), made(abs, types_=("int",))}) == 4
    assert made(abs, frozen=False) == made(abs, types_=("int",), frozen=False)


def test_callbacks_and_stencils_of_numba_count_by_their_function_and_options(project):
    project(
        numba__dot____init__="",
        numba__dot__core__dot____init__="",
        numba__dot__core__dot__ccallback="class CFunc: pass",
        numba__dot__stencils__dot____init__="",
        numba__dot__stencils__dot__stencil="class StencilFunc: pass",
    )

    def callback(function, signature, **others):
        made = importlib.import_module("numba.core.ccallback").CFunc()
        compiler = types.SimpleNamespace(targetoptions=others, locals={})
        vars(made).update(_pyfunc=function, _sig=signature, _compiler=compiler)
        vars(made).update(_wrapper_address=id(made))
        return execution_id_of({"a": made})

    def stencil(function, mode, neighborhood=None):
        made = importlib.import_module("numba.stencils.stencil").StencilFunc()
        kernel = types.SimpleNamespace(func_id=types.SimpleNamespace(func=function))
        vars(made).update(kernel_ir=kernel, mode=mode, options={}, neighborhood=neighborhood)
        vars(made).update(_typingctx=threading.Lock())
        return execution_id_of({"a": made})

    for made in callback, stencil:
        assert made(abs, "a") == made(abs, "a")
    found = [
        *(callback(abs, "a"), callback(len, "a"), callback(abs, "b"), callback(abs, "a", x=1)),
        *(stencil(abs, "a"), stencil(len, "a"), stencil(abs, "b"), stencil(abs, "a", ((0, 1),))),
    ]
    assert len(set(found)) == len(found)


def test_what_jax_compiles_counts_wherever_it_stands_in_its_file(project):
    project(jaxlib__dot____init__="", jaxlib__dot___jax="class PjitFunction: pass")
    fields = "fun_sourceinfo", "in_layouts_treedef", "static_argnums"
    info = collections.namedtuple("PjitInfo", fields)

    def made(function, line, numbers):
        made = importlib.import_module("jaxlib._jax").PjitFunction()
        info_of_it = info(f"f at flow.py:{line}", threading.Lock(), numbers)
        vars(made).update(__wrapped__=function, _fun=function, _jit_info=info_of_it)
        return execution_id_of({"a": made})

    assert made(abs, 1, ()) == made(abs, 2, ())
    assert len({made(abs, 1, ()), made(len, 1, ()), made(abs, 1, (0,))}) == 3
    arrived = [sys.modules["jaxlib._jax"].PjitFunction() for _ in range(2)]
    for function, each in zip((abs, len), arrived):
        each.function = function
    assert len({execution_id_of({"a": each}) for each in arrived}) == 2


LABELLED = """
class Variable:
    __slots__ = ("_attrs", "_data", "_cache", "_close")
    def __init__(self, data, attrs=None):
        self._data, self._attrs = data, attrs
class Lazy:
    def __init__(self, path): self.path, self.key, self.kept = path, object(), None
    def __array__(self, dtype=None, copy=None):
        import numpy
        self.kept = numpy.loadtxt(self.path)
        return self.kept
"""


def test_what_xarray_labels_counts_by_its_values(project, tmp_path):
    np = pytest.importorskip("numpy")
    project(xarray__dot____init__=LABELLED)
    made, lazy = importlib.import_module("xarray").Variable, sys.modules["xarray"].Lazy

    def id_of(value):
        return execution_id_of({"a": value})

    asked = made(1, {})
    asked._cache, asked._close = {"own": threading.Lock()}, threading.Lock()
    assert id_of(made(1)) == id_of(asked)
    assert len({id_of(made(1)), id_of(made(2)), id_of(made(1, {"unit": "m"}))}) == 3
    (tmp_path / "data").write_text("1 2")
    opened = lazy(tmp_path / "data")
    before = id_of(made(opened))
    assert before == id_of(made(np.array([1.0, 2.0]))) and opened.kept is None
    (tmp_path / "data").write_text("1 3")
    assert id_of(made(opened)) != before
    with pytest.raises(IdentityError, match="cannot be read"):
        id_of(made(lazy(tmp_path / "missing")))


class Global:
    """Pickles as functions of Cython do."""

    __module__ = "fast"

    def __reduce__(self):
        return "plain"


def test_what_a_compiled_module_of_the_project_has_counts_by_its_file(monkeypatch, tmp_path):
    (suffix, *_) = importlib.machinery.EXTENSION_SUFFIXES

    def ids(place, content):
        folder = tmp_path / place
        folder.mkdir()
        (folder / "uses_fast.py").write_text("import fast\ndef f(x): return fast.K()\n")
        (folder / f"fast{suffix}").write_bytes(content)
        fast = types.ModuleType("fast")
        fast.__file__ = str(folder / f"fast{suffix}")
        fast.K, fast.plain = type("K", (), {"__module__": "fast"}), Global()
        monkeypatch.setitem(sys.modules, "fast", fast)
        monkeypatch.syspath_prepend(str(folder))
        sys.modules.pop("uses_fast", None)
        task = fingerprint(importlib.import_module("uses_fast").f)
        return {task, *(execution_id_of({"a": each}) for each in (fast.K, fast.plain))}

    first = ids("a", b"compiled once")
    assert len(first) == 3 and first == ids("b", b"compiled once")
    assert not first & ids("c", b"compiled anew")
    del sys.modules["uses_fast"]


def test_what_a_compiled_module_of_the_project_imports_counts(monkeypatch, project):
    (suffix, *_) = importlib.machinery.EXTENSION_SUFFIXES

    def ids(helper):
        using = "import fast\ndef f(x): return fast.K()\n"
        modules = project(fast="", helper=helper, uses_fast=using)
        fast, helper = importlib.import_module("fast"), importlib.import_module("helper")
        fast.__file__ = str(modules / f"fast{suffix}")
        (modules / f"fast{suffix}").write_bytes(b"compiled once")
        fast.K, fast.plain = type("K", (), {"__module__": "fast"}), Global()
        fast.helper, fast.g, fast.SEEN = helper, helper.g, []
        task = importlib.import_module("uses_fast").f

        def made():
            return fingerprint(task), *(execution_id_of({"a": a}) for a in (fast.K, fast.plain))

        found = made()
        fast.SEEN.append(1)
        assert found == made()
        return set(found)

    first = ids("K = 1\ndef g(): return K")
    assert len(first) == 3 and first == ids("K = 1\ndef g(): return K  # the same")
    assert not first & ids("K = 1\ndef g(): return -K")
    assert not first & ids("K = 2\ndef g(): return K")


def test_compiled_modules_of_the_project_may_import_each_other(monkeypatch, tmp_path):
    (suffix, *_) = importlib.machinery.EXTENSION_SUFFIXES
    fast, other = types.ModuleType("fast"), types.ModuleType("other")
    for module in (fast, other):
        monkeypatch.setitem(sys.modules, module.__name__, module)
        module.__file__ = str(tmp_path / f"{module.__name__}{suffix}")
        Path(module.__file__).write_bytes(b"compiled once")
        module.fast, module.other, module.plain = fast, other, Global()
        module.plain.__module__, module.SIZE = module.__name__, 1
    assert len({execution_id_of({"a": each.plain}) for each in (fast, other)}) == 2


@pytest.mark.skipif(
    importlib.util.find_spec("omegaconf") is not None, reason="makes a package of that name"
)
def test_what_a_configuration_of_omegaconf_has_resolved_does_not_count(project):
    # Hydra resolves `${now:%H-%M-%S}` in each.
    project(omegaconf__dot____init__="", omegaconf__dot__base="class Metadata: pass")
    metadata = importlib.import_module("omegaconf.base").Metadata

    def made(key, now):
        made = metadata()
        vars(made).update(key=key, resolver_cache={"now": now})
        return execution_id_of({"a": made})

    assert made("a", "10-00") == made("a", "11-00") != made("b", "10-00")


GIVEN = {
    "a function": "copyreg.pickle(Unit, reduced)",
    "by its module": "import helping\ncopyreg.pickle(Unit, helping.reduced)",
    "a lambda": "copyreg.pickle(Unit, lambda unit: (Unit, (helper(1),)))",
    "a lambda alone": "copyreg.pickle(complex, lambda unit: (Unit, (1 + 1,)))",
    "a keyword": "from copyreg import pickle as register\nregister(Unit, pickle_function=reduced)",
    "in a loop": "for kind in (Unit, complex):\n    copyreg.pickle(kind, reduced)",
    "where an import fails": "try:\n    import no_such_module\nexcept ImportError:\n"
    "    copyreg.pickle(Unit, reduced)",
    "a decorator that is called": "import functools\n"
    "functools.singledispatch(len).register(Unit)(reduced)",
    "a decorator": "import installed_registry as kept\n@kept.register('unit')\n"
    "def registered(unit): return helper(1)",
    "a decorator of a class": "import installed_registry as kept\n@kept.register(name='unit')\n"
    "class Registered:\n    def first(self): return helper(1)",
}


@pytest.fixture
def reducers():
    """Forgets how objects are pickled that a module has given to `copyreg`."""
    known = dict(copyreg.dispatch_table)
    yield
    # Pickle keeps the table itself.
    copyreg.dispatch_table.clear()
    copyreg.dispatch_table.update(known)


@pytest.fixture
def registry(monkeypatch):
    """An installed module whose functions keep what they are given."""
    made = types.ModuleType("installed_registry")
    made.__file__ = "/site-packages/installed_registry.py"
    made.register = lambda *names, **keywords: lambda kept: kept
    monkeypatch.setitem(sys.modules, "installed_registry", made)


@pytest.mark.usefixtures("reducers", "registry")
@pytest.mark.parametrize("given", sorted(GIVEN))
def test_what_a_module_gives_to_an_installed_package_as_it_is_loaded_counts(project, given):
    text = f"""
import copyreg, os, sys

class Unit: pass
def helper(x): return x + 1
def reduced(unit): return Unit, (helper(1),)
{GIVEN[given]}
PLACE = os.path.dirname(__file__)
sys.path.count(PLACE)
def f(): return 1
"""
    helping = "from flow import Unit, helper\ndef reduced(unit): return Unit, (helper(1),)\n"

    def made(old, new):
        project(flow=text.replace(old, new), helping=helping)
        return fingerprint(importlib.import_module("flow").f)

    first = made("", "")
    assert made("os.path.dirname(__file__)", "'elsewhere'") == first
    assert made("+ 1", "+ 2") != first


def test_what_a_module_gives_to_the_project_s_own_code_counts_by_what_that_has(project):
    flow = "import own\ndef g(): return {}\nown.register(g)\ndef f(): return 1\n"
    own = "def register(f): pass\n"
    project(flow=flow.format(1), own=own)
    first = fingerprint(importlib.import_module("flow").f)
    project(flow=flow.format(2), own=own)
    assert fingerprint(importlib.import_module("flow").f) == first


@pytest.mark.filterwarnings("ignore::bandsaw.errors.IdentityWarning")
@pytest.mark.parametrize("base", ["threading.local", "random.Random"])
def test_an_object_that_cannot_be_read_counts_by_the_code_of_its_class(project, base):
    text = f"""
        import random, threading
        class Own({base}):
            def half(self): return 1 / 2
        OWN = Own()
        def f(): return OWN.half()
        """
    project(flow=text)
    flow = importlib.import_module("flow")
    first, gaps = fingerprint(flow.f), gaps_of(flow.f)
    project(flow=text.replace("1 / 2", "1 / 3"))
    assert fingerprint(importlib.import_module("flow").f) != first
    assert len(gaps) == 1


def test_what_counts_up_whenever_it_is_pickled_has_one_id(project):
    registry = """
        import itertools
        class CallbackRegistry:
            def __init__(self, signals):
                self._signals, self._numbers = signals, itertools.count()
            def __getstate__(self):
                return {**vars(self), "_numbers": next(self._numbers)}
        """
    project(matplotlib__dot____init__="", matplotlib__dot__cbook=registry)
    kind = importlib.import_module("matplotlib.cbook").CallbackRegistry
    first = kind(["changed"])
    ids = {execution_id_of({"a": each}) for each in (first, first, kind(["changed"]))}
    assert len(ids) == 1 and execution_id_of({"a": kind(["moved"])}) not in ids


def test_trees_of_scipy_count_without_the_addresses_of_their_nodes(project):
    tree = """
        class cKDTree:
            def __init__(self, data, node):
                self.data, self.node = data, node
                self.leafsize, self.boxsize, self.indices = 10, None, [0]
        """
    project(scipy__dot____init__="", scipy__dot__spatial__dot____init__="",
            scipy__dot__spatial__dot___ckdtree=tree)  # fmt: skip
    kind = importlib.import_module("scipy.spatial._ckdtree").cKDTree
    one, same, other = (execution_id_of({"a": kind(*each)}) for each in ((1, 2), (1, 3), (2, 2)))
    assert one == same != other


@pytest.mark.filterwarnings("ignore::bandsaw.errors.IdentityWarning")
@pytest.mark.parametrize("edit", [('"1"', '"2"'), ("(TEXT)", "(TEXT + TEXT)")])
def test_what_is_written_in_c_and_cannot_be_pickled_counts_by_its_statement(project, edit):
    text = """
        import hashlib
        TEXT = b"1"
        HASH = hashlib.sha256(TEXT)
        def f(): return HASH.hexdigest()
    """
    first, same, other = (id_of(project, flow=each) for each in (text, text, text.replace(*edit)))
    assert first == same != other


def test_vocabularies_of_spacy_count_without_the_order_of_the_sets_in_their_pickle(project):
    vocab = """
        class Vocab:
            vectors = morphology = lookups = get_noun_chunks = None
            def __init__(self, strings, getters, pickled):
                self.strings, self.lex_attr_getters, self.pickled = strings, getters, pickled
            def __reduce__(self):
                return Vocab, (self.strings, None, self.pickled)
    """
    project(spacy__dot____init__="", spacy__dot__vocab=vocab)
    kind = importlib.import_module("spacy.vocab").Vocab
    made = [(["a"], {1: abs}, b"1"), (["a"], {1: abs}, b"2"), (["b"], {1: abs}, b"1"),
            (["a"], {1: len}, b"1")]  # fmt: skip
    first, *others = (execution_id_of({"a": kind(*each)}) for each in made)
    assert first == others.pop(0) and first not in others


def test_objects_of_installed_classes_that_are_made_of_the_same_do_not_share_an_id(project):
    curry = """
        class curry:
            def __init__(self, func):
                self.func, self.args, self.keywords = func, (), {}
    """
    names = ("toolz", "cytoolz")
    project(**{f"{name}__dot____init__": "" for name in names},
            **{f"{name}__dot__functoolz": curry for name in names})  # fmt: skip
    kinds = [importlib.import_module(f"{name}.functoolz").curry for name in names]
    assert len({execution_id_of({"a": kind(abs)}) for kind in (*kinds, *kinds)}) == 2


def test_functions_that_joblib_memorizes_count_wherever_they_lie(project):
    memory = """
        class MemorizedFunc:
            def __init__(self, func, line):
                self.func, self._func_code_info = func, line
                self.ignore = self.mmap_mode = self.cache_validation_callback = None
        """
    project(joblib__dot____init__="", joblib__dot__memory=memory)
    kind = importlib.import_module("joblib.memory").MemorizedFunc
    one, same, other = (execution_id_of({"a": kind(*e)}) for e in ((len, 2), (len, 3), (abs, 2)))
    assert one == same != other


def test_what_a_decorator_takes_over_of_a_function_does_not_count(project):
    text = """
        import functools
        class Decorated:
            def __init__(self, function):
                functools.update_wrapper(self, function)
            def __call__(self, x):
                return self.__wrapped__(x)
        @Decorated
        def g(x: int):
            "first"
            return x + 1
        def f(x): return g(x)
        """
    found = []
    for old, new in (("", ""), ('"first"', '"second"'), ("x: int", "x: str"), ("+ 1", "+ 2")):
        project(flow=text.replace(old, new))
        found.append(fingerprint(importlib.import_module("flow").f))
    assert found[0] == found[1] == found[2] != found[3]


def test_what_lark_makes_of_a_grammar_in_another_order_has_one_id(project):
    lark = """
        class Lark:
            def __init__(self, grammar, table, **options):
                self.source_grammar, self.options, self.table = grammar, options, table
                self.rules = self.terminals = [grammar]
        """
    project(lark__dot____init__="", lark__dot__lark=lark)
    kind = importlib.import_module("lark.lark").Lark
    one, same = (execution_id_of({"a": kind("a b", table)}) for table in ([1, 2], [2, 1]))
    others = kind("a c", [1, 2]), kind("a b", [1, 2], start="b")
    assert one == same and not {one} & {execution_id_of({"a": each}) for each in others}


def test_a_dict_that_is_keyed_by_the_addresses_of_its_values_counts_by_these():
    def made(*texts):
        values = [[text] for text in texts]
        return {id(value): value for value in values}

    kept = [made("a", "b"), made("a", "b")]
    ids = {execution_id_of({"a": each}) for each in kept}
    assert len(ids) == 1
    others = made("a", "c"), [["a"], ["b"]], {1: ["a"], 2: ["b"]}, {**kept[0], 1: ["a"]}
    assert len(ids | {execution_id_of({"a": each}) for each in others}) == 5


def test_what_marshmallow_keeps_of_the_methods_of_a_schema_does_not_count(project):
    schema = """
        import collections
        class SchemaMeta(type):
            def __init__(cls, *args):
                cls._hooks = collections.defaultdict(list)
        class Schema(metaclass=SchemaMeta):
            def load(self):
                return self._hooks["post_load"]
        """
    project(
        marshmallow__dot____init__="",
        marshmallow__dot__schema=schema,
        flow="from marshmallow.schema import Schema\nclass S(Schema): pass\ndef f(): S().load()\n",
    )
    module = importlib.import_module("flow")
    before = fingerprint(module.f)
    module.f()
    assert is_current(module.f) and fingerprint(module.f) == before


def test_code_in_arguments_is_read_again_after_a_reload(project):
    folder = project(
        flow="import prep\ndef f():\n    return prep.g()\n", prep="def g(): return 1\n"
    )
    module = importlib.import_module("flow")
    before = execution_id_of({"a": module.f})
    (folder / "prep.py").write_text("def g(): return 1234\n")
    importlib.reload(module.prep)
    assert execution_id_of({"a": module.f}) != before


def test_code_in_arguments_counts(project):
    text = "class C:\n    def m(self): return {}\ndef g(): return {}\n"
    project(flow=text.format(1, 1))
    module = importlib.import_module("flow")
    first = execution_id_of({"a": module.C()}), execution_id_of({"a": module.g})
    project(flow=text.format(2, 2))
    module = importlib.import_module("flow")
    second = execution_id_of({"a": module.C()}), execution_id_of({"a": module.g})
    assert first[0] != second[0] and first[1] != second[1]


def test_a_closure_in_arguments_is_read_every_time():
    state = [1]

    def g():
        return state

    first = execution_id_of({"a": g})
    state.append(2)
    assert execution_id_of({"a": g}) != first


def reloaded(folder, module, text):
    path = folder.joinpath(*module.__name__.split(".")).with_suffix(".py")
    path.write_text(textwrap.dedent(text))
    # Byte code is found by the time in seconds and the size.
    os.utime(path, (next(numbers) + 10**9,) * 2)
    return importlib.reload(module)


@pytest.mark.parametrize(
    ("flow", "before", "after"),
    [
        ("import prep\ndef f(): return prep.g()", "def g(): return 1", "def g(): return 12"),
        ("import prep\ndef f(): return prep.K", "K = 1", "K = 12"),
        ("def f():\n    import prep\n    return prep.K", "K = 1", "K = 12"),
        (
            "import prep\ndef f(): return prep.C().m()",
            "class C:\n    def m(self): return 1",
            "class C:\n    def m(self): return 12",
        ),
        # The function is the old one, but its globals are those of the module.
        (
            "from prep import g\ndef f(): return g()",
            "K = 1\ndef g(): return K",
            "K = 12\ndef g(): return K",
        ),
    ],
)
@pytest.mark.parametrize("options", [{}, {"depends": [1]}])
def test_a_task_id_is_made_again_after_a_reload_of_what_the_task_reaches(
    project, flow, before, after, options
):
    folder = project(flow=flow, prep=before)
    module, prep = importlib.import_module("flow"), importlib.import_module("prep")
    task = Task.create_task(module.f, options)
    first = task.task_id
    assert task.task_id == first
    reloaded(folder, prep, after)
    second = task.task_id
    assert second != first
    assert Task.create_task(module.f, options).task_id == second
    assert task.serialized()["task_id"] == second


def test_a_reload_without_a_change_keeps_the_task_id(project):
    project(flow="import prep\ndef f(): return prep.g()", prep="def g(): return 1")
    module, prep = importlib.import_module("flow"), importlib.import_module("prep")
    task = Task.create_task(module.f)
    first = task.task_id
    importlib.reload(prep)
    assert task.task_id == first


def test_a_task_id_that_was_assigned_or_came_along_is_not_made_again(project):
    folder = project(flow="import prep\ndef f(): return prep.g()", prep="def g(): return 1")
    module, prep = importlib.import_module("flow"), importlib.import_module("prep")
    computed, assigned = Task.create_task(module.f), Task.create_task(module.f)
    assert computed.task_id == assigned.task_id
    assigned.task_id = "mine"
    came = type(computed).deserialize(computed.serialized())
    first = computed.task_id
    reloaded(folder, prep, "def g(): return 12")
    assert assigned.task_id == "mine"
    assert came.task_id == first != computed.task_id


def dependency(kind, prep):
    import functools

    return {"module": prep, "function": prep.g, "partial": functools.partial(prep.g)}[kind]


@pytest.mark.parametrize("kind", ["module", "function", "partial"])
@pytest.mark.parametrize("options", [{}, {"version": "1"}])
def test_a_reload_of_a_dependency_counts_with_and_without_a_version(project, kind, options):
    folder = project(flow="def f(): return 1", prep="K = 1\ndef g(): return K")
    module, prep = importlib.import_module("flow"), importlib.import_module("prep")
    task = Task.create_task(module.f, {"depends": [dependency(kind, prep)], **options})
    first = task.task_id
    reloaded(folder, prep, "K = 12\ndef g(): return K")
    assert task.task_id != first


def test_an_id_with_a_version_is_not_made_again_when_the_function_is_reloaded(project, monkeypatch):
    folder = project(flow="import prep\ndef f(): return prep.g()", prep="def g(): return 1")
    module, prep = importlib.import_module("flow"), importlib.import_module("prep")
    task = Task.create_task(module.f, {"version": "1"})
    first = task.task_id
    reloaded(folder, prep, "def g(): return 12")
    monkeypatch.setattr(Task, "_make_task_id", None)
    assert task.task_id == first


def test_a_reload_of_a_module_below_a_package_in_depends_counts(project):
    folder = project(flow="def f(): return 1", pkg__dot____init__="A = 1", pkg__dot__sub="B = 1")
    module, sub = importlib.import_module("flow"), importlib.import_module("pkg.sub")
    task = Task.create_task(module.f, {"depends": [sys.modules["pkg"]]})
    first = task.task_id
    reloaded(folder, sub, "B = 12")
    assert task.task_id != first


def test_problems_that_change_with_a_reload_are_reported_again(project):
    folder = project(
        flow="import prep\ndef f(x): return prep.g(x)", prep="def g(x): return eval(x)"
    )
    module, prep = importlib.import_module("flow"), importlib.import_module("prep")
    task = Task.create_task(module.f)
    with pytest.warns(IdentityWarning, match="line 1, eval"):
        task.task_id  # noqa: B018
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        importlib.reload(prep)
        task.task_id  # noqa: B018
    reloaded(folder, prep, "def g(x): return eval(x), exec(x)")
    with pytest.warns(IdentityWarning, match="line 1, exec"):
        task.task_id  # noqa: B018


def parts_and_id(project, files, function="f", **options):
    project(**files)
    code = getattr(importlib.import_module("flow"), function)
    parts = parts_of(code, **options)
    assert parts == sorted(parts) == parts_of(code, **options)
    assert all(len(part) == 4 and all(type(text) is str for text in part) for part in parts)
    assert len({tuple(part) for part in parts}) == len(parts)
    return parts, task_id_of(code, "flow", function)


@pytest.mark.parametrize("limit", [200, 5])
@pytest.mark.parametrize(("name", "old", "new"), EDITS + HARMLESS_EDITS)
def test_parts_differ_exactly_when_the_task_id_does(project, name, old, new, limit):
    before, first = parts_and_id(project, PROGRAM, limit=limit)
    after, second = parts_and_id(project, edited(name, old, new), limit=limit)
    assert (before == after) == (first == second)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("one, two = make(1), make(2)", "one, two = make(2), make(1)"),
        ("from math import sin as one, cos as two", "from math import cos as one, sin as two"),
        ("from prep import a as one, b as two", "from prep import b as one, a as two"),
        ("import prep\none, two = deco(prep.a), deco(prep.b)",
         "import prep\none, two = deco(prep.b), deco(prep.a)"),
        ("one, two = (lambda x: x), (lambda x: -x)", "one, two = (lambda x: -x), (lambda x: x)"),
        ("one, two = 1, 2", "one, two = 2, 1"),
        ("one, two = base(1), base(2)", "one, two = base(2), base(1)"),
        ("one = two = functools.partial(make, 1)", "one = two = functools.partial(make, 2)"),
        ("one, two = retry(3)(make), 1", "one, two = retry(4)(make), 1"),
    ],
)  # fmt: skip
def test_what_is_exchanged_is_seen_in_the_parts(project, one, other):
    text = """
import functools
def make(n):
    return lambda x: x + n
def deco(f):
    def inner(x):
        return f(x)
    return inner
def retry(times):
    def outer(f):
        @functools.wraps(f)
        def inner(x):
            return [f(x)] * times
        return inner
    return outer
def base(n):
    class Base:
        def m(self):
            return n
    return Base
{}
def f(x):
    return one(x) - two(x)
"""
    prep = "def a(x): return 1\ndef b(x): return 2\n"
    before, first = parts_and_id(project, {"flow": text.format(one), "prep": prep})
    after, second = parts_and_id(project, {"flow": text.format(other), "prep": prep})
    assert first != second
    assert before != after


def difference(before, after):
    keys = {tuple(part) for part in before} ^ {tuple(part) for part in after}
    return {key[:3] for key in keys}


@pytest.mark.parametrize(
    ("name", "old", "new", "changed"),
    [
        ("prep", "return a * b", "return a + b", ("function", "scale", "prep.py")),
        ("flow", "LIMIT = 3", "LIMIT = 4", ("value", "LIMIT", "flow.py")),
        ("flow", "y=1", "y=2", ("function", "f", "flow.py")),
        ("prep", "SECRET = 11", "SECRET = 12", ("value", "SECRET", "prep.py")),
        ("flow", "return self.rate", "return -self.rate", ("class", "Base", "flow.py")),
        ("pkg__dot__sub", "19", "20", ("function", "inner", "pkg/sub.py")),
        ("pkg__dot____init__", "17", "18", ("function", "top", "pkg/__init__.py")),
        ("prep", "return x + 13", "return x + 14", ("function", "tracer", "prep.py")),
    ],
)
def test_exactly_what_was_edited_is_named(project, name, old, new, changed):
    before, _ = parts_and_id(project, PROGRAM)
    after, _ = parts_and_id(project, edited(name, old, new))
    # Of a class it is said which method.
    found = {one for one in difference(before, after) if one[0] != "method"}
    assert found == {changed}


def test_values_that_are_short_are_told_as_they_are(project):
    parts, _ = parts_and_id(
        project,
        {
            "flow": """
            ALPHA, NAME, LONG, LIST = 0.1, "n\u00e4me", "x" * 100, [1]
            def outer(inner):
                def f():
                    return ALPHA, NAME, LONG, LIST, inner
                return f
            f = outer(7)
            """
        },
    )
    told = {name: text for kind, name, place, text in parts if kind == "value"}
    assert told["ALPHA"] == "0.1" and told["NAME"] == r"'n\xe4me'" and told["inner"] == "7"
    assert told["LONG"].startswith("str ") and told["LIST"].startswith("list ")
    assert {len(told["LONG"]), len(told["LIST"])} == {4 + 16, 5 + 16}
    assert {place for kind, _, place, _ in parts} == {"flow.py"}


def test_many_parts_are_told_by_module(project):
    parts, _ = parts_and_id(project, PROGRAM, limit=5)
    assert {tuple(part[:3]) for part in parts} == {
        ("module", "flow", "flow.py"),
        ("module", "pkg", "pkg/__init__.py"),
        ("module", "pkg.deep", "pkg/deep.py"),
        ("module", "pkg.sub", "pkg/sub.py"),
        ("module", "prep", "prep.py"),
        # Variables and attributes of classes that may hold another value in each process.
        ("value", "Base.rate", "flow.py"),
        ("value", "Model.size", "flow.py"),
        ("value", "cached", "prep.py"),
        ("value", "scaled", "flow.py"),
    }


UNLOADED = {
    "flow": """
        def f(x):
            import work_of_many
            import numpy.linalg
            return work_of_many.run(numpy.linalg.norm(x))
        """,
    "work_of_many": """
        from helps_many import change
        SIZE = 3
        def run(x):
            return change(x) * SIZE
        """,
    "helps_many": """
        def change(x):
            return inner(x)
        def inner(x):
            return x + 1
        """,
}


@pytest.mark.parametrize("limit", [200, 5])
@pytest.mark.parametrize(
    ("name", "old", "new", "changed"),
    [
        ("flow", "run(", "run(1 + ", "flow.py"),
        ("work_of_many", "SIZE = 3", "SIZE = 4", "work_of_many.py"),
        ("helps_many", "return x + 1", "return x + 2", "helps_many.py"),
        ("helps_many", "return x + 1", "return x + 1  # the same", None),
    ],
)
def test_parts_of_modules_that_are_not_loaded_differ_where_they_were_edited(
    project, name, old, new, changed, limit
):
    before, first = parts_and_id(project, UNLOADED, limit=limit)
    files = {**UNLOADED, name: UNLOADED[name].replace(old, new)}
    after, second = parts_and_id(project, files, limit=limit)
    assert (first != second) == (changed is not None)
    assert {place for _, _, place in difference(before, after)} == {changed} - {None}
    assert any(part[:2] == ["distribution", "numpy"] for part in after)
    kinds = {part[0] for part in after}
    assert kinds == {"distribution", *(["module"] if limit == 5 else ["function", "value"])}


def test_what_stands_in_for_something_installed_is_told_of_many_parts(project, monkeypatch):
    import numpy.linalg

    before, first = parts_and_id(project, UNLOADED, limit=5)
    monkeypatch.setattr(numpy.linalg, "norm", lambda x: 5)
    after, second = parts_and_id(project, UNLOADED, limit=5)
    assert first != second
    assert before != after


def test_what_memory_has_of_something_installed_is_told_of_many_parts(project, monkeypatch):
    text = (
        "import sys\ndef change(x):\n    return inner(x), sys.argv\ndef inner(x):\n    return x\n"
    )
    files = {**UNLOADED, "helps_many": text}
    monkeypatch.setattr(sys, "argv", ["program", "a"])
    before, first = parts_and_id(project, files, limit=5)
    monkeypatch.setattr(sys, "argv", ["program", "b"])
    after, second = parts_and_id(project, files, limit=5)
    assert first != second
    assert {name for _, name, _ in difference(before, after)} == {"sys"}


def test_installed_distributions_are_parts_and_their_versions_change_nothing_else(
    project, monkeypatch
):
    import numpy

    from bandsaw._identity import firstparty

    files = {"flow": "import numpy as np\ndef f(x): return np.sum(x), np.add, np.linalg.inv(x)"}
    before, _ = parts_and_id(project, files)
    assert ["distribution", "numpy", "", numpy.__version__] in before
    monkeypatch.setitem(firstparty._distributions, "numpy", ("numpy", "0.1"))
    after, _ = parts_and_id(project, files)
    assert difference(before, after) == {("distribution", "numpy", "")}


def test_versions_and_dependencies_are_parts(project, tmp_path):
    from bandsaw._file import File

    path = tmp_path / "data"
    path.write_text("a")
    project(flow="import json\ndef f(): return 1", prep="K = 1\ndef g(): return K")
    module, prep = importlib.import_module("flow"), importlib.import_module("prep")
    depends = [File(path), prep.g, prep, 3, [1], json]
    parts = parts_of(module.f, depends=depends)
    assert {tuple(part[:3]) for part in parts} == {
        ("function", "f", "flow.py"), ("function", "g", "prep.py"), ("value", "K", "prep.py"),
        ("module", "prep", "prep.py"), ("depends", str(path), ""), ("depends", "g", ""),
        ("depends", "prep", ""), ("depends", "3", ""), ("depends", "list", ""),
        ("depends", "json", ""),
    }  # fmt: skip
    path.write_text("b")
    assert difference(parts, parts_of(module.f, depends=depends)) == {("depends", str(path), "")}
    versioned = parts_of(module.f, depends=depends, version="2")
    assert ["version", "", "", "'2'"] in versioned
    assert {kind for kind, *_ in versioned} == {"version", "depends", "module"}


@pytest.mark.parametrize(
    ("one", "other"),
    [("version='1'", "version='2'"), ("depends=[1]", "depends=[2]"), ("", "version='2'")],
)
def test_the_options_of_a_task_that_is_reached_are_seen_in_the_parts(
    project, monkeypatch, one, other
):
    monkeypatch.setenv("BANDSAW_CONFIG_MODULE", "my_config")
    text = "import bandsaw\n@bandsaw.task({})\ndef g(): return 1\ndef f(): return g()\n"
    files = {"my_config": "import bandsaw\nconfiguration = bandsaw.Configuration()\n"}
    before, first = parts_and_id(project, {**files, "flow": text.format(one)})
    after, second = parts_and_id(project, {**files, "flow": text.format(other)})
    assert first != second and before != after


def test_a_module_that_was_thrown_away_is_not_kept_alive(project):
    alive = []
    for number in range(3):
        project(thrown=f"def helper(): return {number}\ndef f(): return helper()\n")
        function = importlib.import_module("thrown").f
        fingerprint(function)
        alive.append(weakref.ref(function))
        del function, sys.modules["thrown"]
    gc.collect()
    assert [reference() for reference in alive] == [None] * 3


def test_the_task_object_of_reached_code_counts_by_its_function(project, monkeypatch):
    monkeypatch.setenv("BANDSAW_CONFIG_MODULE", "my_config")
    text = (
        "import bandsaw\n@bandsaw.task({})\ndef g(x): return x\n"
        "@bandsaw.task\ndef f(x): return x + len(TASKS)\nTASKS = [f.bandsaw_task, g.bandsaw_task]\n"
    )
    settings = "import bandsaw\nconfiguration = bandsaw.Configuration()\n"
    ids = {}
    for name, options in (("never", ""), ("read", ""), ("other", "retry={'attempts': 5}")):
        project(flow=text.format(options), my_config=settings)
        flow = importlib.import_module("flow")
        if name == "read":
            assert flow.g.bandsaw_task.task_id
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            ids[name] = flow.f.bandsaw_task.task_id
        task = flow.g.bandsaw_task
        # One that comes from another process finds its function when somebody asks for it.
        copy = type(task).deserialize(task.serialized())
        assert digest_of_value(task) == digest_of_value(copy)
    assert ids["never"] == ids["read"] != ids["other"]


BOUND_AGAIN = {
    "a fallback": """
        try:
            from nowhere import LIMIT
        except ImportError:
            LIMIT = {}
        """,
    "a fallback of a module": """
        try:
            from os import LIMIT
        except ImportError:
            LIMIT = [{}]
        """,
    "an assignment": """
        from os import sep as LIMIT
        LIMIT = {}
        """,
    "a loop": """
        from os import sep as LIMIT
        for LIMIT in (1, {}):
            pass
        """,
    "a function": """
        from os import sep as LIMIT
        def setup():
            global LIMIT
            LIMIT = {}
        setup()
        """,
    "an import": """
        try:
            from nowhere import LIMIT
        except ImportError:
            from values import LIMIT
        """,
    "a fallback of a module that makes names when asked": """
        class Settings:
            rate = {}
        try:
            from numpy import LIMIT
        except ImportError:
            LIMIT = Settings()
        """,
}
READERS = {
    "an attribute": "import lib\ndef f(): return lib.LIMIT\n",
    "a name": "from lib import LIMIT\ndef f(): return LIMIT\n",
    "a helper": "import lib\ndef f(): return lib.helper()\n",
    "an import inside": "def f():\n    import lib\n    return lib.LIMIT\n",
    "a helper inside": "def f():\n    from lib import helper\n    return helper()\n",
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
@pytest.mark.parametrize("text", BOUND_AGAIN.values(), ids=BOUND_AGAIN)
def test_a_name_counts_by_what_is_bound_to_it_after_an_import(project, text, reader):
    ids = [
        id_of(
            project,
            flow=reader,
            lib=textwrap.dedent(text).format(value) + "def helper(): return LIMIT\n",
            values=f"LIMIT = {value}\n",
        )
        for value in (5, 6, 5)
    ]
    assert ids[0] == ids[2] != ids[1]


def test_the_function_that_makes_names_of_a_module_counts_where_they_are_used(project):
    text = "def __getattr__(name): return name + {!r}\n"
    with pytest.warns(IdentityWarning, match="its module makes it"):
        ids = [
            id_of(project, flow="import lib\ndef f(): return lib.made\n", lib=text.format(value))
            for value in ("a", "b", "a")
        ]
    assert ids[0] == ids[2] != ids[1]


@pytest.mark.parametrize(
    "text",
    [
        "class Rows:\n    def __next__(self): return {}\nROWS = Rows()\n",
        "class Rows:\n    rate = {}\n    def __next__(self): return 1\nROWS = [Rows()]\n",
        "class Base:\n    def __next__(self): return {}\nclass Rows(Base): pass\nROWS = Rows()\n",
        "import struct\nROWS = [struct.Struct('{}i')]\n",
    ],
)
def test_iterators_of_the_project_count_by_their_class(project, text):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ids = [
            id_of(project, flow="import lib\ndef f(): return lib.ROWS\n", lib=text.format(value))
            for value in (5, 6, 5)
        ]
    assert ids[0] == ids[2] != ids[1]


def test_the_position_of_an_iterator_of_the_project_does_not_count(project):
    project(
        flow="""
        class Rows:
            def __init__(self): self.at = 0
            def __next__(self):
                self.at += 1
                return self.at
        ROWS = Rows()
        def f(): return next(ROWS)
        """
    )
    flow = importlib.import_module("flow")
    before = fingerprint(flow.f)
    flow.f()
    assert fingerprint(flow.f) == before
