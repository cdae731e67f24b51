"""What is kept of definitions of large modules that are loaded: the same ids, without parsing."""

import importlib
import itertools
import subprocess
import sys
import textwrap

import pytest

from bandsaw._identity import kept_texts
from bandsaw._identity.definitions import definition_of, definition_of_class
from bandsaw._identity.sources import source_of
from bandsaw.fingerprint import parts_of, task_id_of

LONG = "# " + "long enough to be kept " * 200
TEXT = """
import functools
import math
from collections import OrderedDict as Ordered
from os import *

LIMIT = 3
TABLE = [LIMIT, 4]
MADE = math.sqrt(LIMIT)

def plain(x, y=LIMIT, *, z=(1, "two"), w=None):
    kept = {}
    kept[x] = y
    return x + y + TABLE[0]

def outer(n):
    def inner(x):
        nonlocal n
        n += 1
        return plain(x) + n
    return inner

closed = outer(2)

@functools.wraps(plain)
def wrapped(x):
    import json
    return json.dumps(x)

two, three = (lambda x: x + 1), (lambda x: x + 2)
one = lambda x: {1, 2}.issuperset([x])  # noqa

class Base:
    level: int = 1
    _rate_ = 2

    def go(self):
        self.count = 1
        return plain(self.level)

    @property
    def rate(self):
        return self._rate_

    @staticmethod
    def still(x=1.5):
        return x

    class Inner(Ordered):
        def go(self):
            return closed(1)
"""
_numbers = itertools.count()

pytestmark = pytest.mark.filterwarnings("ignore::bandsaw.errors.IdentityWarning")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("BANDSAW_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads text as a new module of the project, for one test."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def loaded(text=TEXT, long=LONG):
        name = f"kept_definitions_{next(_numbers)}"
        (tmp_path / f"{name}.py").write_text(f"{long}\n{text}", encoding="utf-8")
        return importlib.import_module(name)

    yield loaded
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def definitions_of(module):
    functions = [
        *(module.plain, module.outer, module.closed, module.wrapped, module.one),
        *(module.Base.go, module.Base.rate.fget, module.Base.still, module.Base.Inner.go),
    ]
    classes = [
        (module.Base, [module.Base.go, module.Base.rate.fget, module.Base.still]),
        (module.Base.Inner, [module.Base.Inner.go]),
    ]
    found = [definition_of(each) for each in functions]
    return found + [definition_of_class(*each, vars(module)) for each in classes]


def facts_of(definition):
    return definition.digest, definition.uses, definition.changes


def test_says_the_same_as_the_syntax_tree(load):
    kept, read = load(), load(long="")
    for one, other in zip(definitions_of(kept), definitions_of(read)):
        assert facts_of(one) == facts_of(other)
        assert one.is_by_source and other.is_by_source
    assert "tree" not in source_of(kept.__file__, {}).__dict__
    assert "tree" in source_of(read.__file__, {}).__dict__
    (given, named), source = definitions_of(kept)[0].says, source_of(kept.__file__, {})
    assert (given, named) == (("LIMIT",), (("z", "(1, 'two')"), ("w", "None")))
    assert source.computes("MADE") and source.computes("TABLE") and not source.computes("LIMIT")
    assert source.imports == source_of(read.__file__, {}).imports
    assert source.defined == source_of(read.__file__, {}).defined
    for name in ("LIMIT", "MADE", "closed", "two", "plain"):
        assert source.statements(name) == source_of(read.__file__, {}).statements(name)


def test_finds_definitions_in_the_tree_without_compiling_the_source_again(load):
    module = load()
    definitions_of(module)
    source = source_of(module.__file__, {})
    found = source.function(module.plain.__code__)
    assert found.name == "plain" and source.function(module.Base.go.__code__).name == "go"
    assert source.function(module.plain.__code__.replace(co_consts=(None, 5))) is None
    assert source.function(module.plain.__code__.replace(co_firstlineno=1)) is found
    assert "tree" in source.__dict__ and "_compiled" not in source.__dict__


PROGRAM = """
import json, sys
import bandsaw, flow_of_kept
from bandsaw.fingerprint import parts_of, task_id_of
if sys.argv[1] == "blind":
    from bandsaw._identity import sources
    def parse(text):
        raise AssertionError("something was parsed")
    sources.parse = parse
    sources.Source.codes = parse
names = ("plain", "outer", "closed", "wrapped", "one", "Base")
code = [getattr(flow_of_kept, name) for name in names]
print([task_id_of(each, "m", "n") for each in code], [parts_of(each) for each in code])
"""


def run(folder, *arguments):
    return subprocess.run(
        [sys.executable, "-W", "ignore", "run.py", *arguments],
        cwd=folder, check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def test_another_process_needs_no_syntax_tree_for_the_same_ids(tmp_path, home, monkeypatch):
    (tmp_path / "run.py").write_text(PROGRAM, encoding="utf-8")
    (tmp_path / "flow_of_kept.py").write_text(f"{LONG}\n{TEXT}", encoding="utf-8")
    first = run(tmp_path, "sees")
    # Two lambdas that have one line are not told apart without it.
    assert run(tmp_path, "blind") == first
    monkeypatch.setenv("BANDSAW_HOME", str(tmp_path / "other"))
    assert run(tmp_path, "sees") == first
    text = TEXT.replace("x + y + TABLE", "x - y + TABLE")
    (tmp_path / "flow_of_kept.py").write_text(f"{LONG}\n{text}", encoding="utf-8")
    edited = run(tmp_path, "sees")
    assert edited != first and run(tmp_path, "blind") == edited


def test_definitions_that_have_one_line_are_told_apart(load):
    kept, read = load(), load(long="")
    digests = [definition_of(each).digest for each in (kept.two, kept.three)]
    assert digests == [definition_of(each).digest for each in (read.two, read.three)]
    assert len(set(digests)) == 2


def test_code_that_is_not_that_of_the_file_counts_itself(load):
    module = load()
    first = task_id_of(module.outer, "m", "n")
    by_source = definition_of(module.plain)
    text = f"{LONG}\n{TEXT}".replace("x + y + TABLE", "x * y + TABLE")
    exec(compile(text, module.__file__, "exec"), vars(module))
    assert not definition_of(module.plain).is_by_source
    assert definition_of(module.plain).digest != by_source.digest
    assert task_id_of(module.outer, "m", "n") != first


def test_a_class_with_other_methods_than_the_file_says_counts_by_them(load):
    module = load()
    scope = {}
    exec(compile("def go(self):\n    return 7\n", module.__file__, "exec"), scope)
    first = task_id_of(module.Base, "m", "n")
    module.Base.go = scope["go"]
    assert task_id_of(module.Base, "m", "n") != first
    assert definition_of_class(module.Base, [scope["go"]], vars(module)) is None


TASKS = """
from {home} import marked

@marked
def f():
    return 1

def g():
    @marked
    def inner():
        return 2
    return inner
"""


def test_asks_again_whether_a_decorator_is_that_of_a_task(load, tmp_path):
    (tmp_path / "marks_tasks.py").write_text(
        "import bandsaw\nmarked = bandsaw.task(config='marks_config')\n", encoding="utf-8"
    )
    (tmp_path / "marks_config.py").write_text(
        "import bandsaw\nconfiguration = bandsaw.Configuration()\n", encoding="utf-8"
    )
    (tmp_path / "marks_others.py").write_text("def marked(f):\n    return f\n", encoding="utf-8")
    # The text is the same, what it imports is not.
    (tmp_path / "marks.py").write_text("from marks_tasks import marked\n", encoding="utf-8")
    tasks = load(TASKS.format(home="marks"))
    with_task = definition_of(tasks.g).digest
    sys.modules.pop("marks")
    (tmp_path / "marks.py").write_text("from marks_others import marked   \n", encoding="utf-8")
    importlib.invalidate_caches()
    others = load(TASKS.format(home="marks"))
    read = load(TASKS.format(home="marks"), long="")
    assert others.marked is read.marked and others.marked is not tasks.marked
    assert definition_of(others.g).digest == definition_of(read.g).digest != with_task


@pytest.mark.parametrize(
    "default", ["+".join(["LIMIT"] * 900), "0x" + "f" * 6000], ids=["deep", "long"]
)
def test_a_definition_that_cannot_be_kept_is_read_by_itself(load, default):
    text = f"LIMIT = 1\ndef f(x):\n    return x\ndef g(x={default}):\n    return x\n"
    kept, read = load(text), load(text, long="")
    assert task_id_of(kept.f, "m", "n") == task_id_of(read.f, "m", "n")
    for each in (kept.f, kept.g):
        assert definition_of(each).is_by_source
        assert definition_of(each).digest == definition_of(getattr(read, each.__name__)).digest


DECORATED = """
import functools

def logged(f):
    @functools.wraps(f)
    def inner(*args):
        return f(*args)
    return inner

@logged
def go(x):
    return x + 1

class Base:
    @logged
    def one(self):
        return 1

    @logged
    def two(self):
        return 2
"""
IMPORTS_LATER = """
import sys

def f(x):
    import decorated
    return decorated.go(x), decorated.Base().two()

if sys.argv[1] == "loaded":
    import decorated
from bandsaw.fingerprint import task_id_of
print(task_id_of(f, "m", "n"))
"""


def test_the_id_is_the_same_while_it_is_found_out_what_is_kept(tmp_path):
    (tmp_path / "run.py").write_text(IMPORTS_LATER, encoding="utf-8")
    (tmp_path / "decorated.py").write_text(f"{LONG}\n{DECORATED}", encoding="utf-8")
    # The decorator's own definition is the first that is asked for.
    first = run(tmp_path, "loaded")
    assert [run(tmp_path, "loaded"), run(tmp_path, "unloaded")] == [first, first]


@pytest.mark.parametrize("long", [LONG, ""], ids=["kept", "read"])
@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("def f(*x): return x", "def f(x): return x"),
        ("def f(x, *, y=1): return x", "def f(x, y=1): return x"),
        ("def f(x, /, y=1): return x", "def f(x, y=1): return x"),
        ("async def f(x): return x", "def f(x): return x"),
    ],
)
def test_a_file_that_was_edited_since_is_not_believed(load, long, now, then):
    module = load(f"\n{then}\n", long)
    with open(module.__file__, "w", encoding="utf-8") as file:
        file.write(f"{long}\n\n{now}\n")
    assert not definition_of(module.f).is_by_source


@pytest.mark.parametrize("long", [LONG, ""], ids=["kept", "read"])
def test_a_file_that_does_not_compile_any_more_is_not_believed(load, long):
    texts = [f"\ndef f(x):\n    return x + {number}\n" for number in (1, 2)]
    modules = [load(text, long) for text in texts]
    for module, text in zip(modules, texts):
        with open(module.__file__, "w", encoding="utf-8") as file:
            file.write(f"{long}\n{text}\nreturn 3\n")
    assert not any(definition_of(module.f).is_by_source for module in modules)
    assert len({task_id_of(module.f, "m", "n") for module in modules}) == 2


@pytest.mark.parametrize("damage", ["cut", "other contents", "another version"])
def test_makes_anew_what_is_damaged(load, home, damage, monkeypatch):
    digest = definition_of(load().plain).digest
    (path,) = (home / "outlines").iterdir()
    data = path.read_bytes()
    path.write_bytes(data[:-1] if damage == "cut" else data[:32] + b"[]")
    if damage == "another version":
        path.write_bytes(data)
        monkeypatch.setattr(kept_texts, "_version", lambda: b"another one")
    assert definition_of(load().plain).digest == digest


def test_keeps_nothing_of_short_modules(load, home):
    assert definition_of(load(long="").plain).is_by_source
    assert not home.exists()


def test_what_a_module_assigns_is_told_alike(load):
    text = textwrap.dedent("""
        from threading import Lock
        LOCK = Lock()
        COUNT = 0
        def f():
            global COUNT
            with LOCK:
                COUNT += 1
        """)
    kept, read = load(text), load(text, long="")
    assert [part[:2] + part[3:] for part in parts_of(kept.f)] == [
        part[:2] + part[3:] for part in parts_of(read.f)
    ]
