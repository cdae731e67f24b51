"""What an id speaks of is watched, wherever it lies; what reached code fills for itself is not."""

import os
import sys
import textwrap

import pytest

from bandsaw.identifier import identifier_from_bytes

CONFIGURATION = """
import bandsaw
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.subprocess import SubprocessAdvice

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(CachingAdvice(".cache"))
    .add_advice_chain(CachingAdvice(".cache"), SubprocessAdvice(workers=1), name="kept")
)
"""
LIBRARY = """
import abc, argparse, array, collections, contextvars, ctypes, enum, functools, sys, textwrap
import dataclasses, decimal, types, typing, weakref

class Base:
    def where(self):
        return "base"

class Other:
    def where(self):
        return "other"

class Derived(Base):
    pass

class Rate:
    def __init__(self):
        self.rate = 1

class Model:
    __slots__ = ("__dict__", "__own__")
    def __init__(self, rate):
        self.rate = self.__own__ = rate

class Level(enum.Enum):
    LOW = 1
    HIGH = 2

class Number(enum.IntEnum):
    ONE = 1
    def __new__(cls, value):
        return int.__new__(cls, value)

class Old(object):
    if True:
        def __len__(self):
            return 1
    __lt__, __gt__ = Base.where, Other.where

class Modulo:
    def __init__(self, number):
        self.number = number
    def __hash__(self):
        self.number %= 1000
        return self.number

modulo = Modulo(1)
model = Model(1)

class App:
    level = Level.LOW
    value = 1
    class Inner:
        host = "a"
        def port(self):
            return 80
    kind = Base
    config = Rate()
    space = types.SimpleNamespace(rate=1)
    table = collections.OrderedDict(rate=1)
    letters = array.array("i", [1, 2])
    price: decimal.Decimal = decimal.Decimal(1)
    __tag__ = "a"
    def scaled(self, number):
        return number
    scaled.rate = 1
    half = functools.partialmethod(scaled, 1)
    @staticmethod
    def times(number=1, *, parts=[1]):
        return number * sum(parts)


@dataclasses.dataclass
class Params:
    rate: int = 1
    more: list = dataclasses.field(default_factory=list)

class Pair(typing.NamedTuple):
    left: int = 1

class Named(typing.TypedDict):
    name: str

handlers = {}

def handler(function):
    handlers[function.__name__] = function
    return function

@handler
def one():
    return 1

class Registered:
    def __init_subclass__(cls):
        cls.told = textwrap.dedent

class Plugin(Registered):
    pass

@functools.singledispatch
def described(value):
    return "anything"

PARTS = [1]

def joined(parts=PARTS):
    return list(parts)

def holding(parts):
    def held():
        return list(parts)
    return held

held = holding([1])
known = {"rate": 1}
shown = types.MappingProxyType(known)
space = types.SimpleNamespace(rate=types.SimpleNamespace(parts=[1]))
given = argparse.Namespace(rate=1)
derived = Derived()
replaced = Base()
class Kind(type):
    pass

class Kept(metaclass=Kind):
    rate = property(lambda self: 1)

class Ordered(collections.OrderedDict):
    pass

ordered_too = Ordered(a=1, b=2)
failure = ValueError("a")

class Shape(abc.ABC):
    sides = 0

class Square(Shape):
    sides = 4

letters = array.array("i", [1, 2])
below = memoryview(bytearray(b"ab"))
numbers = (ctypes.c_int * 2)(1, 2)
ordered = collections.OrderedDict(a=1, b=2)
counts = collections.defaultdict(int)
bound = functools.partial(max, 1)
held_by_others = [Rate(), Rate()]
weak = weakref.ref(held_by_others[0])
variable = contextvars.ContextVar("variable", default=1)

def all():
    return [
        bool(sys.argv),
        App.Inner.host, App.Inner().port(), App.kind.__name__, App.config.rate, App.space.rate,
        App.table["rate"], App().half(), described(1), shown["rate"], list(space.rate.parts),
        given.rate, derived.where(), replaced.where(), held(), App.times(),
        App.level.value, getattr(App, "value", 0), Number.ONE, len(Old()), modulo.number,
        model.rate, model.__own__,
        Plugin.told(""), joined(), Pair(), Params().rate, Named(name="a"), handlers["one"](),
        list(App.letters), App.price, list(letters), bytes(below), list(numbers), list(ordered),
        counts.default_factory(), bound(0), weak().rate, variable.get(), App.__tag__,
        App.scaled.rate, getattr(Kept, "share", 0), list(ordered_too), failure.args,
        isinstance(derived, Shape),
        sum(each.sides for each in Shape.__subclasses__()),
    ]
"""
CHANGES = {
    "nested class": ("lib.App.Inner.host = 'b'", "lib.App.Inner.host = 'a'"),
    "method of a nested class": (
        "port = lib.App.Inner.port; lib.App.Inner.port = lambda self: 81",
        "lib.App.Inner.port = port",
    ),
    "class in a class": ("lib.App.kind = lib.Other", "lib.App.kind = lib.Base"),
    "member of an enumeration": (
        "lib.App.level = lib.Level.HIGH",
        "lib.App.level = lib.Level.LOW",
    ),
    "deleted value": ("value = lib.App.value; del lib.App.value", "lib.App.value = value"),
    "replaced nested class": (
        "inner = lib.App.Inner; lib.App.Inner = type('Inner', (inner,), {'host': 'b'})",
        "lib.App.Inner = inner",
    ),
    "object in a class": ("lib.App.config.rate = 2", "lib.App.config.rate = 1"),
    "namespace in a class": ("lib.App.space.rate = 2", "lib.App.space.rate = 1"),
    "ordered dict in a class": ("lib.App.table['rate'] = 2", "lib.App.table['rate'] = 1"),
    "array in a class": ("lib.App.letters[0] = 2", "lib.App.letters[0] = 1"),
    "object of Python's own in a class": (
        "price = lib.App.price; lib.App.price = price + 1",
        "lib.App.price = price",
    ),
    "method with arguments": (
        "import functools; half = lib.App.__dict__['half'];"
        "lib.App.half = functools.partialmethod(lib.App.scaled, 2)",
        "lib.App.half = half",
    ),
    "default of a method": (
        "lib.App.times.__defaults__ = (2,)",
        "lib.App.times.__defaults__ = (1,)",
    ),
    "what a default of a method holds": (
        "lib.App.times.__kwdefaults__['parts'].append(2)",
        "lib.App.times.__kwdefaults__['parts'].pop()",
    ),
    "registry": (
        "one = lib.handlers['one']; lib.handlers['one'] = lib.holding([2])",
        "lib.handlers['one'] = one",
    ),
    "what a hash changes": ("lib.modulo.number = 2", "lib.modulo.number = 1"),
    "default of a data class": (
        "given = lib.Params.__init__.__defaults__;"
        "lib.Params.__init__.__defaults__ = (2, *given[1:])",
        "lib.Params.__init__.__defaults__ = given",
    ),
    "default of a named tuple": (
        "lib.Pair.__new__.__defaults__ = (2,)",
        "lib.Pair.__new__.__defaults__ = (1,)",
    ),
    "what a default by name holds": ("lib.PARTS.append(2)", "lib.PARTS.pop()"),
    "model": ("lib.model.rate = 2", "lib.model.rate = 1"),
    "slot with a name of Python's kind": ("lib.model.__own__ = 2", "lib.model.__own__ = 1"),
    "namespace": ("lib.space.rate.parts.append(2)", "lib.space.rate.parts.pop()"),
    "arguments of a command": ("lib.given.rate = 2", "lib.given.rate = 1"),
    "proxy": ("lib.known['rate'] = 2", "lib.known['rate'] = 1"),
    "bases": ("lib.Derived.__bases__ = (lib.Other,)", "lib.Derived.__bases__ = (lib.Base,)"),
    "what a closure holds": (
        "lib.held.__closure__[0].cell_contents.append(2)",
        "lib.held.__closure__[0].cell_contents.pop()",
    ),
    "class with a metaclass": ("lib.Kept.share = 2", "del lib.Kept.share"),
    "order of a dict of the user's": (
        "lib.ordered_too.move_to_end('a')",
        "lib.ordered_too.move_to_end('b')",
    ),
    "arguments of an exception": ("lib.failure.args = ('b',)", "lib.failure.args = ('a',)"),
    "special name of a class": ("lib.App.__tag__ = 'b'", "lib.App.__tag__ = 'a'"),
    "attribute of a method": ("lib.App.scaled.rate = 2", "lib.App.scaled.rate = 1"),
    "class that nobody names": ("lib.Square.sides = 5", "lib.Square.sides = 4"),
    "special method": (
        "length, lib.Old.__len__ = lib.Old.__len__, lambda self: 2",
        "lib.Old.__len__ = length",
    ),
    "elements of an array": ("lib.letters[0] = 2", "lib.letters[0] = 1"),
    "what a view shows": ("lib.below[0] = 98", "lib.below[0] = 97"),
    "numbers of C": ("lib.numbers[0] = 2", "lib.numbers[0] = 1"),
    "order of a dict": ("lib.ordered.move_to_end('a')", "lib.ordered.move_to_end('b')"),
    "what makes missing items": (
        "lib.counts.default_factory = list",
        "lib.counts.default_factory = int",
    ),
    "what a partial calls": (
        "lib.bound.__setstate__((min, (1,), {}, {}))",
        "lib.bound.__setstate__((max, (1,), {}, {}))",
    ),
    "object behind a weak reference": ("lib.weak().rate = 2", "lib.weak().rate = 1"),
    "value of a context": (
        "token = lib.variable.set(2)",
        "lib.variable.reset(token)",
    ),
    "class of an object": (
        "lib.replaced.__class__ = lib.Other",
        "lib.replaced.__class__ = lib.Base",
    ),
}
STEPS = """
import bandsaw
import lib

@bandsaw.task
def all():
    return lib.all()

@bandsaw.task(chain="kept")
def elsewhere():
    return lib.all()

@bandsaw.task(chain="kept")
def other():
    return 1
"""


@pytest.fixture
def run(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("lib.py", LIBRARY)
    project.write("steps.py", STEPS)

    def run(body):
        text = "import warnings, lib, steps\n" + textwrap.dedent(body)
        return project.run("-c", text, seconds=900)  # many calls, maybe on a busy machine

    run.project = project
    return run


def test_a_change_is_seen_and_taken_back(run):
    body = [
        "first = lib.all()",
        "before = steps.all.bandsaw_task.task_id",
        "assert steps.all() == steps.all() == first",
    ]
    for change, (does, undoes) in CHANGES.items():
        body += [
            does,
            f"assert steps.all.bandsaw_task.task_id != before, {change!r}",
            f"assert steps.all() == steps.all() == lib.all() != first, {change!r}",
            undoes,
            f"assert steps.all.bandsaw_task.task_id == before, {change!r}",
            "assert steps.all() == first",
        ]
    run("\n".join(body))


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_change_before_the_first_call_is_seen(run):
    body = ["import os"]
    for does, _ in [("", ""), *CHANGES.values()]:
        body += [
            "child = os.fork()",
            "if not child:",
            f"    {does}",
            "    os._exit(steps.all() != lib.all())",
            f"assert os.waitpid(child, 0)[1] == 0, {does!r}",
        ]
    run("\n".join(body))


@pytest.mark.parametrize(
    "more",
    [
        "lib.described.register(int)(lambda value: 'a number')",
        "lib.Shape.register(lib.Derived)",
        "exec('class Other(Shape):\\n    sides = 3', vars(lib))",
    ],
)
def test_one_more_function_or_class_is_seen(run, more):
    body = f"""
    first = steps.all()
    {more}
    assert steps.all() == lib.all() != first
    """
    run(body)
    run("assert steps.all() == lib.all()")


@pytest.mark.slow
def test_a_result_of_a_process_without_the_change_is_not_kept(run):
    # The process that is kept answers more shortly once it knows some call.
    body = [
        "steps.other()",
        "with warnings.catch_warnings(record=True) as caught:",
        "    first = steps.elsewhere()",
        "assert not caught, caught",
    ]
    for change, (does, undoes) in CHANGES.items():
        body += [
            "with warnings.catch_warnings(record=True) as caught:",
            "    warnings.simplefilter('always')",
            f"    {does}",
            "    steps.elsewhere()",
            "told = ['is not kept' in str(warning.message) for warning in caught]",
            f"assert told == [True], ({change!r}, caught)",
            undoes,
            "assert steps.elsewhere() == first",
        ]
    run("\n".join(body))


def test_what_is_imported_from_another_module_is_compared_as_well(run):
    run.project.write(
        "more.py",
        """
        import bandsaw
        from lib import PARTS, given as arguments

        @bandsaw.task(chain="kept")
        def found():
            return list(PARTS), arguments.rate
        """,
    )
    changes = {
        "lib.PARTS.append(2)": "lib.PARTS.pop()",
        "lib.given.rate = 2": "lib.given.rate = 1",
    }
    body = ["import more", "first = more.found()"]
    for does, undoes in changes.items():
        body += [
            does,
            "with warnings.catch_warnings(record=True) as caught:",
            "    more.found()",
            "assert ['is not kept' in str(each.message) for each in caught] == [True], caught",
            undoes,
            "assert more.found() == first",
        ]
    run("\n".join(body))


TABLES = """
import numpy as np
import pandas as pd

table = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
column = pd.Series([1, 2], name="n")
numbers = np.arange(4)
dates = np.array(["2020-01-01"], dtype="M8[D]")
objects = np.array([1, "a"], dtype=object)
every_other = np.arange(4)[::2]
masked = np.ma.masked_array([1, 2])
span = pd.Timedelta("500d")  # its members are made each time that they are read

def all():
    return [
        table.to_dict(), dict(table.attrs), table.index.name, column.name, numbers.tolist(),
        str(dates), objects.tolist(), every_other.tolist(), masked.tolist(), masked.hardmask,
        span.days,
    ]
"""
CHANGES_OF_TABLES = {
    "lib.table.columns = ['a', 'c']": "lib.table.columns = ['a', 'b']",
    "lib.table.attrs['k'] = 1": "lib.table.attrs.clear()",
    "lib.table.index.name = 'i'": "lib.table.index.name = None",
    "lib.table.iloc[0, 1] = 'z'": "lib.table.iloc[0, 1] = 'x'",
    "lib.column.name = 'm'": "lib.column.name = 'n'",
    "lib.numbers.shape = (2, 2)": "lib.numbers.shape = (4,)",
    "lib.dates[0] = '2021-01-01'": "lib.dates[0] = '2020-01-01'",
    "lib.objects[1] = 'b'": "lib.objects[1] = 'a'",
    "lib.every_other[0] = 9": "lib.every_other[0] = 0",
    "lib.masked[0] = np.ma.masked": "lib.masked[0] = 1",
    "lib.masked.harden_mask()": "lib.masked.soften_mask()",
    "lib.span = lib.pd.Timedelta('501d')": "lib.span = lib.pd.Timedelta('500d')",
}


@pytest.mark.slow
def test_tables_and_arrays_are_watched(run):
    pytest.importorskip("pandas")
    run.project.write("lib.py", TABLES)
    body = [
        "import numpy as np",
        "first = lib.all()",
        "with warnings.catch_warnings():",
        "    warnings.simplefilter('error')",
        "    assert steps.all() == steps.all() == first",
        "before, known = steps.all.bandsaw_task.task_id, steps.all.bandsaw_task._derived",
        "assert steps.all.bandsaw_task.task_id and steps.all.bandsaw_task._derived is known",
    ]
    for does, undoes in CHANGES_OF_TABLES.items():
        body += [
            does,
            f"assert steps.all() == steps.all() == lib.all() != first, {does!r}",
            undoes,
            f"assert steps.all.bandsaw_task.task_id == before, {does!r}",
        ]
    run("\n".join(body))


def test_an_installed_object_that_makes_up_its_state_is_watched(run):
    # As tables of polars and images of Pillow do, whose attributes stay when their contents change.
    run.project.write(
        "lib/site-packages/tables.py",
        """
        ROWS = []
        class Table:
            def __init__(self, *rows):
                self.number = len(ROWS)
                ROWS.append(list(rows))
            def __getstate__(self):
                return list(ROWS[self.number])
            def __setstate__(self, rows):
                self.__init__(*rows)
        """,
    )
    run.project.write(
        "uses.py",
        """
        import os, sys
        sys.path.append(os.path.join(os.path.dirname(__file__), "lib", "site-packages"))
        import bandsaw, tables

        table = tables.Table(1, 2)

        @bandsaw.task
        def rows():
            return list(tables.ROWS[table.number])
        """,
    )
    run("""
    import uses
    assert uses.rows() == [1, 2]
    uses.tables.ROWS[0][0] = 9
    assert uses.rows() == [9, 2]
    uses.tables.ROWS[0][0] = 1
    assert uses.rows() == [1, 2]
    """)


def test_objects_of_classes_that_mypyc_has_compiled_are_watched(run):
    run.project.write(
        "uses.py",
        """
        import bandsaw
        from mypy.traverser import ReturnSeeker

        seeker = ReturnSeeker()

        @bandsaw.task
        def found():
            return seeker.found
        """,
    )
    run("""
    import uses
    warnings.simplefilter("error")
    assert uses.found() is False
    uses.seeker.found = True
    assert uses.found() is True
    uses.seeker.found = False
    assert uses.found() is False
    """)


def test_what_holds_other_things_in_each_thread_or_is_drawn_from_is_told_of(run):
    run.project.write(
        "lib.py",
        """
        import random, threading, weakref

        class Part:
            pass

        part = Part()
        local = threading.local()
        parts = weakref.WeakValueDictionary(part=part)
        drawn = random.Random(1)
        hidden = threading.Condition()

        def all():
            return getattr(local, "rate", 1), parts["part"], hidden, drawn.random() < 2
        """,
    )
    body = """
    import bandsaw
    lines = bandsaw.fingerprint.gaps_of(steps.all.bandsaw_task.function)
    assert sorted(place.rpartition(" ")[2] for place, _ in lines) == ["drawn", "local", "parts"], (
        lines
    )
    before = steps.all.bandsaw_task.task_id
    lib.drawn.random()
    assert steps.all.bandsaw_task.task_id == before
    lib.RATE = 1
    lib.part.rate = 2
    print(bandsaw.fingerprint.fingerprint(lib.all))
    """
    assert run(body).stdout == run(body.replace("lib.drawn.random()", "")).stdout


def test_what_says_nothing_of_itself_counts_by_its_statement(run):
    text = """
        import dataclasses, itertools, typing

        Number = typing.NewType("Number", int)
        numbers = itertools.count(1)

        @dataclasses.dataclass
        class Params:
            rate: int = 1

        def all():
            return Number(1), numbers, Params().rate
        """
    show = """
    first = steps.all.bandsaw_task.task_id
    lib.Params.__init__.__defaults__ = (2,)
    assert steps.all.bandsaw_task.task_id != first
    lib.Params.__init__.__defaults__ = (1,)
    assert steps.all.bandsaw_task.task_id == first
    print(first)
    """
    found = set()
    for edited in (text, text.replace("int)", "str)"), text.replace("count(1)", "count(2)")):
        run.project.write("lib.py", edited)
        found.add(run(show).stdout)
    # Before Python 3.10 a `NewType` is a function of the standard library.
    assert len(found) == (3 if sys.version_info >= (3, 10) else 2)


MEMOS = {
    "a parameter of a helper": """
        KNOWN = {}
        def remembered(known, x):
            if x not in known:
                known[x] = x + 1
            return known[x]
        def through(known, x):
            return remembered(known, x=x)
        def helper(x):
            return through(KNOWN, x)
    """,
    "a closure": """
        import functools
        def memoized(f):
            known = {}
            @functools.wraps(f)
            def with_memo(x):
                if x not in known:
                    known[x] = f(x)
                return known[x]
            return with_memo
        @memoized
        def helper(x):
            return x + 1
    """,
    "a default": """
        def helper(x, _known={}):
            if x not in _known:
                _known[x] = x + 1
            return _known[x]
    """,
    "a default by name": """
        def helper(x, *, _known=[]):
            _known.append(x)
            return x + 1
    """,
    "an enclosing variable": """
        def made():
            count = 0
            def helper(x):
                nonlocal count
                count += 1
                return x + 1
            return helper
        helper = made()
    """,
    "an attribute of a class": """
        class Model:
            count = 0
            @classmethod
            def one(cls):
                cls.count += 1
                return 1
        def helper(x):
            return x + Model.one()
    """,
    "an attribute of an object": """
        import functools
        class Model:
            @functools.cached_property
            def one(self):
                return 1
        model = Model()
        def helper(x):
            return x + model.one
    """,
    "an object that is assigned": """
        class Store:
            def __init__(self, number):
                self.number = number
        current = Store(1)
        def helper(x):
            global current
            current = Store(x + 1)
            return current.number
    """,
    "a mapping that keeps what it makes of missing keys": """
        class Memo(dict):
            def __missing__(self, x):
                self[x] = x + 1
                return x + 1
        memo, look = Memo(), Memo().__getitem__
        def helper(x):
            return memo[x] and look(x)
    """,
}


USES_MEMO = """
    import bandsaw
    import memo

    @bandsaw.task
    def f(x):
        with open("ran", "a") as file:
            file.write("x")
        return memo.helper(x)
"""


@pytest.mark.parametrize("memo", MEMOS)
def test_a_memo_is_state_and_told_of_once(run, memo):
    run.project.write("memo.py", MEMOS[memo])
    run.project.write("uses.py", USES_MEMO)
    body = """
    import uses
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert [uses.f(x) for x in (1, 2, 1, 2, 1)] == [2, 3, 2, 3, 2]
        # Whoever calls it fills it.
        uses.memo.helper(5)
        assert uses.f(1) == 2
    assert not [warning for warning in caught if "is not kept" in str(warning.message)], caught
    assert len(caught) < 2, caught
    """
    run(body)
    run(body)
    assert (run.project.folder / "ran").read_text() == "xx"


OBJECTS = {
    "an object with a method of a container's name": """
        class Node:
            def __init__(self, value):
                self.value, self.asked = value, 0
        class Store:
            def __init__(self):
                self.known, self.last = {}, None
            def put(self, x):
                self.last = self.known.setdefault(x, Node(x + 1))
                self.last.asked += 1
                return self.last.value
        store = Store()
        def helper(x):
            return store.put(x)
    """,
    "an object with items": """
        class Store:
            def __init__(self):
                self.known = {}
            def __setitem__(self, x, value):
                self.known[x] = value
        def remember(known, x):
            known[x] = x + 1
        store = Store()
        def helper(x):
            store[x] = 0
            remember(store, x)
            return store.known[x]
    """,
}


@pytest.mark.parametrize("kind", OBJECTS)
def test_what_a_task_fills_in_an_object_is_state(run, kind):
    run.project.write("memo.py", OBJECTS[kind])
    run.project.write("uses.py", USES_MEMO)
    body = """
    import uses
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert [uses.f(x) for x in (1, 2, 1, 2, 1)] == [2, 3, 2, 3, 2]
    """
    run(body)
    run(body)
    assert (run.project.folder / "ran").read_text() == "xx"


def test_what_other_code_sets_of_an_object_that_a_task_fills_is_seen(run):
    run.project.write(
        "memo.py",
        """
        class Store:
            def __init__(self):
                self.known, self.rate = [], 1
            def put(self, x):
                self.known.append(x)
                return x * self.rate
        store = Store()
        """,
    )
    run.project.write(
        "uses.py",
        """
        import bandsaw
        import memo

        @bandsaw.task
        def f(x):
            return memo.store.put(x)
        """,
    )
    run("""
    import uses
    assert [uses.f(x) for x in (1, 2, 1)] == [1, 2, 1]
    uses.memo.store.rate = 5
    assert [uses.f(x) for x in (1, 2, 1)] == [5, 10, 5]
    uses.memo.store = type(uses.memo.store)()
    assert [uses.f(x) for x in (1, 2, 1)] == [1, 2, 1]
    """)


def test_what_another_function_of_the_name_fills_is_no_state(run):
    run.project.write(
        "limits.py",
        """
        KEY, LIMITS = "a", {"a": 1}
        class Memo:
            def get(self, store):
                store["x"] = 1
            def total(self, store):
                store.clear()
        def total(limits):
            return sum(limits.values())
        def all():
            Memo().get({})
            Memo().total({})
            return total(LIMITS), {"a": 1, "b": 2}.get(KEY)
        """,
    )
    run.project.write(
        "uses.py",
        """
        import bandsaw
        import limits

        @bandsaw.task
        def f():
            return limits.all()
        """,
    )
    run(
        """
        import limits, uses
        assert uses.f() == (1, 1)
        limits.KEY = "b"
        assert uses.f() == limits.all() == (1, 2)
        limits.LIMITS["b"] = 4
        assert uses.f() == limits.all() == (5, 2)
        """
    )


def test_what_an_argument_closes_over_counts_as_it_is(run):
    run.project.write(
        "closures.py",
        """
        import bandsaw

        def made(parts, count=0):
            def held(x=None):
                nonlocal count
                if x is not None:
                    parts.append(x)
                    count += 1
                return list(parts), count
            return held

        @bandsaw.task
        def call(function):
            return function()
        """,
    )
    body = """
    from closures import call, made
    held = made([1])
    assert call(held) == ([1], 0)
    held(2)
    assert call(held) == ([1, 2], 1)
    assert call(made([1], 5)) == ([1], 5)
    """
    run(body)


def test_what_wraps_a_task_counts(run):
    wrapping = """
        import bandsaw, functools

        def with_number(number):
            def wrapped(function):
                @functools.wraps(function)
                def inner(x):
                    return function(x) {sign} number
                return inner
            return wrapped

        @bandsaw.task
        def same(x):
            return x

        @with_number(10)
        @bandsaw.task
        def decorated(x):
            return x
    """
    uses = """
        import bandsaw
        from wrapping import decorated, same, with_number

        more = with_number({number})(same)

        @bandsaw.task
        def default():
            return decorated(5), more(5)

        @bandsaw.task(chain="kept")
        def kept():
            return decorated(5), more(5)
    """
    for count, (number, sign) in enumerate([(1, "+"), (2, "+"), (2, "-")], 1):
        run.project.write("wrapping.py", wrapping.format(sign=sign))
        run.project.write("uses.py", uses.format(number=number))
        body = f"""
        import uses
        right = (5 {sign} 10, 5 {sign} {number})
        assert [uses.default(), uses.kept(), uses.default(), uses.kept()] == [right] * 4
        """
        for _ in range(2):
            assert run(body).stderr == ""
        entries = run.project.folder.glob(f".cache/*/{identifier_from_bytes(b'')}")
        assert len([*entries]) == 2 * count
    change = """
    import uses
    assert uses.default() == (-5, 3)
    (cell,) = [c for c in uses.more.__closure__ if c.cell_contents == 2]
    cell.cell_contents = 4
    assert uses.default() == (-5, 1)
    """
    run(change)
