"""Local functions and classes as arguments and results, by value with cloudpickle."""

import sys
import textwrap

import pytest

pytest.importorskip("cloudpickle")

CONFIGURATION = """
import bandsaw
from bandsaw.advices.subprocess import SubprocessAdvice

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(SubprocessAdvice())
    .add_advice_chain(SubprocessAdvice(workers=1), name="kept")
    .add_advice_chain(SubprocessAdvice(fork=False), name="spawned")
    .add_advice_chain(SubprocessAdvice(interpreter=bandsaw.Interpreter(executable={other!r})),
                      name="other")
)
"""
STEPS = """
import bandsaw

@bandsaw.task(chain={chain!r})
def call(function, *args):
    return function(*args)

@bandsaw.task(chain={chain!r})
def make(number):
    class Local:
        def __init__(self):
            self.number = number
    return lambda x: x + number, Local()

@bandsaw.task(chain={chain!r})
def same(value):
    return value
"""


@pytest.fixture
def run(project, other_python):
    def run(chain, body, check=True, **variables):
        project.write("bandsaw_config.py", CONFIGURATION.format(other=str(other_python)))
        project.write("steps.py", STEPS.format(chain=chain))
        text = "from steps import *\n" + textwrap.dedent(body)
        return project.run("-c", text, check=check, **variables)

    return run


@pytest.mark.parametrize("chain", ["default", "kept", "spawned"])
def test_they_cross_as_arguments_and_results(run, chain):
    body = """
    offset = 10
    assert call(lambda x: x + offset, 1) == 11
    offset = 20
    assert call(lambda x: x + offset, 1) == 21
    assert call(sorted, [2, 1]) == [1, 2]
    add, made = make(5)
    assert add(1) == 6 and made.number == 5

    class P:
        def __init__(self, x):
            self.x = x

        def double(self):
            return self.x * 2

    double = P.double
    back = same([P(3), {"p": P(4)}])
    assert type(back[0]) is P and isinstance(back[1]["p"], P), back
    assert back[0].double() == 6
    assert same(P) is P and type(same(P(5))) is P and P.double is double
    """
    run(chain, body)


def test_the_variable_that_cannot_be_written_is_named(run):
    body = """
    import threading
    import bandsaw
    lock = threading.Lock()

    def helper(x):
        with lock:
            return x

    @bandsaw.task
    def f(x):
        return helper(x)

    try:
        f(1)
    except bandsaw.errors.UnserializableError as error:
        assert "its variable 'helper.lock', a _thread.lock, is in the way" in str(error), error
    else:
        raise AssertionError
    """
    run("default", body)


def test_another_python_is_refused_in_words(run):
    done = run("other", "call(lambda x: x, 1)", check=False)
    assert "the same minor version of Python" in done.stderr or "not installed" in done.stderr
    assert "DeserializationError" in done.stderr.splitlines()[-1]


def test_without_cloudpickle_the_error_is_one_sentence_with_the_way_out(run, project):
    project.write("cloudpickle.py", "raise ImportError('there is none')")
    for body in ("call(lambda x: x, 1)", "class P: pass\nsame(P)", "class P: pass\nsame(P())"):
        done = run("default", body, check=False)
        last = done.stderr.splitlines()[-1]
        assert "UnserializableError" in last, done.stderr
        assert "cloudpickle on both sides" in last and "top level of a module" in last
        assert len(done.stderr.splitlines()) < 20


OF_A_NOTEBOOK = """
import abc
import dataclasses
import enum

import bandsaw

RATE = 2
made = []

class Meta(type):
    def __init__(cls, *args):
        made.append(cls)

class Base(metaclass=Meta):
    below = []

    def __init_subclass__(cls):
        Base.below.append(cls)

class Plain(Base):
    def __init__(self, x=1):
        self.x = x

    def up(self):
        return self.x + RATE

@dataclasses.dataclass
class Data:
    x: int = 1

    def up(self):
        return self.x + RATE

class Color(enum.Enum):
    RED = 1

    def up(self):
        return self.value + RATE

class Abstract(abc.ABC):
    @abc.abstractmethod
    def up(self): ...

class Concrete(Abstract):
    class Inner:
        def up(self):
            return 1 + RATE

    def up(self):
        return self.Inner().up()

def local(number):
    class Local:
        def up(self):
            return number + RATE
    return Local

Local = local(1)

@bandsaw.task(chain={chain!r})
def same(value):
    print("ran")
    return value

@bandsaw.task(chain={chain!r})
def again(value):
    print("ran")
    return type(value)(value.up())

class Failure(Exception):
    def __init__(self, value):
        super().__init__("it failed")
        self.value = value

@bandsaw.task(chain={chain!r})
def fail(error):
    raise Failure(error.value + 1) from error

own = Failure, Plain, Data, Color, Abstract, Concrete, Concrete.Inner, Local, Base, Meta
# Pickling keeps it on a class, also without another process.
names = [name for name, value in globals().items() if value is not RATE]
before = [{{**vars(cls), "__slotnames__": 0}} for cls in own]
values = [Plain(), Data(), Color.RED, Concrete(), Concrete.Inner()]
if {chain!r} != "cached":  # what is kept has to be found by its name
    values.append(Local())
known = {{name: globals()[name] for name in names}}
for _ in range(2):
    back = same(values)
    try:
        fail(Failure(1))
    except Failure as error:
        assert error.value == 2 and type(error.__cause__) is Failure
    q = again(Plain())
    assert type(q) is Plain and q.x == 3
assert [type(value) for value in back] == [type(value) for value in values]
assert back[2] is Color.RED and Base.below == [Plain] and made == [Base, Plain]
assert before == [{{**vars(cls), "__slotnames__": 0}} for cls in own]
assert all(globals()[name] is value for name, value in known.items())
print("edited")
RATE = 50
assert [value.up() for value in (*values, *back)] == [51] * 2 * len(values) and q.up() == 53
for _ in range(2):
    assert again(Plain()).x == 51
Plain.up = lambda self: 1000
assert again(Plain()).x == 1000
"""


@pytest.mark.parametrize("chain", ["default", "kept", "cached", "in_thread"])
def test_what_comes_back_changes_nothing_of_the_classes_that_are_here(run, project, chain):
    more = """
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.executor import ExecutorAdvice
from concurrent.futures import ThreadPoolExecutor
configuration.add_advice_chain(CachingAdvice(".cache"), SubprocessAdvice(workers=1), name="cached")
configuration.add_advice_chain(
    ExecutorAdvice(lambda: ThreadPoolExecutor(1), isolate=False), name="in_thread"
)
"""
    project.write("bandsaw_config.py", CONFIGURATION.format(other=sys.executable) + more)
    done = project.run("-W", "error", "-c", OF_A_NOTEBOOK.format(chain=chain))
    first, second = done.stdout.split("edited")
    assert first.count("ran") == (2 if chain == "cached" else 4)
    assert second.count("ran") == (2 if chain == "cached" else 3)


OF_TASKS = """
import bandsaw
chain = {chain!r}

@bandsaw.task(chain=chain)
def factorial(n):
    "Calls itself."
    return 1 if n < 2 else n * factorial(n - 1)

@bandsaw.task(chain=chain)
def even(n):
    return n == 0 or odd(n - 1)

@bandsaw.task(chain=chain)
def odd(n):
    return n != 0 and even(n - 1)

def outer():
    @bandsaw.task(chain=chain)
    def local(n):
        return 1 if n < 2 else n * local(n - 1)
    return local

@bandsaw.task(chain=chain)
def described():
    return factorial.__doc__, factorial.__qualname__, factorial.bandsaw_chain

class Model:
    def __init__(self, rate):
        self.rate = rate

    @bandsaw.task(chain=chain)
    def fit(self, n):
        return self.rate if n < 1 else self.fit(n - 1)

    @bandsaw.task(chain=chain)
    def same(self):
        return self, type(self) is Model, Model(7).fit(1)

    @bandsaw.task(chain=chain)
    @classmethod
    def made(cls):
        return cls(3).fit(1)

for _ in range(2):  # what is sent is less once a process knows some of it
    assert factorial(1) == 1 and factorial(4) == 24
    assert even(4) and not odd(2)
    assert outer()(4) == 24
    assert described() == ("Calls itself.", "factorial", chain)
    model = Model(5)
    assert model.fit(2) == 5 and list(model.fit.map([0, 1])) == [5, 5]
    back, is_same, other = model.same()
    assert type(back) is Model and is_same and other == 7
    assert Model.made() == 3
"""


@pytest.mark.parametrize("chain", ["default", "kept"])
def test_tasks_that_call_themselves_and_tasks_of_classes_cross(run, chain):
    run(chain, OF_TASKS.format(chain=chain))


def test_what_is_in_the_way_within_an_argument_is_named(run):
    body = """
    import bandsaw, threading
    lock = threading.Lock()

    def refused(value):
        try:
            same(value)
        except bandsaw.errors.UnserializableError as error:
            assert "install" not in str(error), error
            return str(error)
        raise AssertionError

    class Local:
        held = threading.Lock()

    told = refused([lambda: lock])
    assert "'<lambda>' at value.args[0][0]" in told, told
    assert "its variable 'lock', a _thread.lock, is in the way" in told, told
    assert "value.args[0][1]" in refused([lambda: 1, lock])
    for value in Local, Local():
        assert "Local cannot be written by cloudpickle: cannot pickle" in refused(value)
    """
    run("kept", body)


@pytest.mark.parametrize("chain", ["default", "kept"])
def test_what_wraps_a_task_crosses_with_it(run, project, chain):
    more = """
import threading

class Holding(bandsaw.Advice):
    def __init__(self):
        self.lock = threading.Lock()

configuration.add_advice_chain(Holding(), name="holding")
"""
    project.write("bandsaw_config.py", CONFIGURATION.format(other=sys.executable) + more)
    text = f"""
import bandsaw, functools

def twice(function):
    @functools.wraps(function)
    def inner(x):
        "Calls it twice."
        return function(function(x))
    return inner

@twice
@bandsaw.task(chain="holding")
def add(x):
    return x + 1

@bandsaw.task(chain={chain!r})
def use(x):
    return add(x), add.__wrapped__(x), add.bandsaw_chain

assert use(1) == (3, 2, "holding") == use(1)
"""
    project.run("-c", text)


def test_a_task_that_has_run_is_not_blamed_for_what_cannot_be_written(run):
    body = """
    import bandsaw, threading
    @bandsaw.task(chain="kept")
    def first(): return 1
    assert first() == first() == 1
    lock = threading.Lock()
    @bandsaw.task(chain="kept")
    def second(): return first(), lock
    try:
        second()
    except bandsaw.errors.UnserializableError as error:
        assert "its variable 'lock', a _thread.lock" in str(error), error
    else:
        raise AssertionError
    """
    run("kept", body)


WRAPPERS = """
import functools

@functools.lru_cache(maxsize=7)
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

@functools.singledispatch
def size(value):
    return 1

@size.register
def _(value: list):
    return sum(map(size, value))

class Shape:
    @functools.cached_property
    def corners(self):
        return 4

    @functools.lru_cache
    def scaled(self, factor):
        return self.corners * factor

    @functools.singledispatchmethod
    def kind(self, value):
        return "any"

    @kind.register
    def _(self, value: int):
        return "int"

def total():
    shape = Shape()
    cached = fibonacci(10), fibonacci.cache_parameters()["maxsize"], shape.scaled(2)
    return (*cached, size([1, [2, 3]]), shape.kind(1), shape.kind("a"))

fibonacci.unit, size.unit = 5, 6

def units():
    return fibonacci.unit, size.unit

assert call(units) == (5, 6)
expected = 55, 7, 8, 3, "int", "any"
shape = Shape()
assert shape.corners == 4 and total() == expected
for _ in range(2):
    assert call(total) == expected
    assert call(fibonacci, 10) == 55 and call(size, [1, 2]) == 2
assert call(functools.lru_cache(functools.partial(fibonacci, 10))) == 55
back = same([fibonacci, size, Shape])
assert back[0](10) == 55 and back[1]([1, 2]) == 2 and back[2] is Shape
"""


@pytest.mark.parametrize("chain", ["default", "kept"])
def test_the_wrappers_of_functools_cross_with_what_they_wrap(run, chain):
    run(chain, WRAPPERS)
