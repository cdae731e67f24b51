"""Ids follow the code that is there at the call, and no result of other code is kept."""

import os
import re
import sys
import textwrap

import pytest

from tests.faults import present

CONFIGURATION = """
import bandsaw
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.subprocess import SubprocessAdvice

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(CachingAdvice(".cache"))
    .add_advice_chain(CachingAdvice(".cache"), SubprocessAdvice(), name="own")
    .add_advice_chain(CachingAdvice(".cache"), SubprocessAdvice(workers=1), name="kept")
    .add_advice_chain(SubprocessAdvice(workers=1), CachingAdvice(".behind"), name="behind")
)
"""
LIBRARY = """
import fractions, math, threading, time
from math import floor

RATE = 2
TABLE = {"a": 1}
OPTIONS = ["x"]
MEMO = {}
STARTED = time.time()

class Settings:
    bonus = 0
    rate = bonus + 0
    def __init__(self):
        self.extra = 0
    def set_extra(self, value):
        self.extra = value
    def more(self):
        return 0
    def __len__(self):
        return 0
    @property
    def share(self):
        return self.extra
    @share.setter
    def share(self, value):
        self.extra = value

SETTINGS = Settings()

def score(x, factor=1):
    return x * RATE * factor

score.bonus = 0

def shared():
    settings = Settings()
    settings.share = 0
    return settings.share + Settings.rate

def by_default(options={"a": 0}):
    return options["a"]

BY_NAME = {"a": by_default}

class Guarded:
    def __init__(self):
        self.lock, self.value = threading.Lock(), 0

GUARDED = Guarded()
exec("def made_of_text(): return 0")

def total(x):
    made = SETTINGS.extra + Settings.bonus + SETTINGS.more()
    made += len(SETTINGS) + shared() + BY_NAME["a"]() + GUARDED.value + made_of_text()
    made += fractions.Fraction(0).limit_denominator() + int(math.tau) - 6
    made += floor(0.5) + int(math.sqrt(0)) + getattr(score, "bonus", 0)
    return score(x) + TABLE["a"] + len(OPTIONS) + made

def remembered(x):
    if x not in MEMO:
        MEMO[x] = x * 10
    return MEMO[x]

def since(x):
    return x + (STARTED > 0)
"""
STEPS = """
import bandsaw
import lib

@bandsaw.task
def total(x):
    return lib.total(x)

@bandsaw.task(chain="own")
def own(x):
    return lib.total(x)

@bandsaw.task(chain="kept")
def kept(x):
    return lib.total(x)

@bandsaw.task(chain="behind")
def behind(x):
    return lib.total(x)

@bandsaw.task
def remembered(x):
    return lib.remembered(x)

@bandsaw.task
def since(x):
    return lib.since(x)

@bandsaw.task(state=["lib.STARTED"])
def ever_since(x):
    return lib.since(x)
"""
# What is done to the code, and what undoes it. Before, `total(3)` is 8.
CHANGES = {
    "constant": ("lib.RATE = 7", "lib.RATE = 2"),
    "function": ("old, lib.score = lib.score, lambda x: 42", "lib.score = old"),
    "mock": (
        "from unittest import mock; p = mock.patch('lib.score', lambda x: 42); p.start()",
        "p.stop()",
    ),
    "defaults": ("lib.score.__defaults__ = (5,)", "lib.score.__defaults__ = (1,)"),
    "code": (
        "old = lib.score.__code__; lib.score.__code__ = (lambda x, factor=1: 42).__code__",
        "lib.score.__code__ = old",
    ),
    "dict": ("lib.TABLE['a'] = 100", "lib.TABLE['a'] = 1"),
    "list": ("lib.OPTIONS.append('y')", "lib.OPTIONS.pop()"),
    "class attribute": ("lib.Settings.bonus = 50", "lib.Settings.bonus = 0"),
    "method": (
        "old, lib.Settings.more = lib.Settings.more, lambda self: 1000",
        "lib.Settings.more = old",
    ),
    "object": ("lib.SETTINGS.extra = 9", "lib.SETTINGS.extra = 0"),
    "object by a method": ("lib.SETTINGS.set_extra(9)", "lib.SETTINGS.set_extra(0)"),
    "class": (
        "old = lib.Settings; lib.Settings = type('Settings', (old,), {'bonus': 3})",
        "lib.Settings = old",
    ),
    "attribute of a function": ("lib.score.bonus = 9", "lib.score.bonus = 0"),
    "method by a mock": (
        "from unittest import mock; p = mock.patch.object(lib.Settings, 'more'); "
        "p.start().return_value = 9",
        "p.stop()",
    ),
    "special method": (
        "old, lib.Settings.__len__ = lib.Settings.__len__, lambda self: 9",
        "lib.Settings.__len__ = old",
    ),
    "property that reached code sets": (
        "old, lib.Settings.share = lib.Settings.share, property(lambda s: 9, lambda s, x: None)",
        "lib.Settings.share = old",
    ),
    "computed class attribute": ("lib.Settings.rate = 9", "lib.Settings.rate = 0"),
    "default of one in a registry": (
        "lib.by_default.__defaults__ = ({'a': 9},)",
        "lib.by_default.__defaults__ = ({'a': 0},)",
    ),
    "object beside a lock": ("lib.GUARDED.value = 9", "lib.GUARDED.value = 0"),
    "function made of a text": (
        "exec('def made_of_text(): return 9', lib.__dict__)",
        "exec('def made_of_text(): return 0', lib.__dict__)",
    ),
    "name of something installed": (
        "from unittest import mock; p = mock.patch('lib.floor', lambda x: 9); p.start()",
        "p.stop()",
    ),
    "method of an installed class": (
        "from unittest import mock; p = mock.patch('fractions.Fraction.limit_denominator'); "
        "p.start().return_value = 9",
        "p.stop()",
    ),
    "data of an installed module": ("lib.math.tau, old = 9, lib.math.tau", "lib.math.tau = old"),
    "something installed": (
        "from unittest import mock; p = mock.patch('math.sqrt', return_value=9); p.start()",
        "p.stop()",
    ),
}


@pytest.fixture
def run(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("lib.py", LIBRARY)
    project.write("steps.py", STEPS)

    def run(body, **variables):
        text = "import sys, warnings, lib, steps\nfrom steps import *\n" + textwrap.dedent(body)
        return project.run("-c", text, **variables)

    run.project = project
    return run


def entries(run, name=".cache"):
    folder = run.project.folder / name
    return sorted(path for path in folder.rglob("*") if path.is_file()) if folder.exists() else []


def test_a_change_in_memory_is_seen_and_taken_back(run):
    body = [
        "before = steps.total.bandsaw_task.task_id",
        "ids = {before}",
        "assert total(3) == total(3) == 8",
    ]
    for change, (does, undoes) in CHANGES.items():
        body += [
            does,
            f"assert steps.total.bandsaw_task.task_id != before, {change!r}",
            "ids.add(steps.total.bandsaw_task.task_id)",
            "changed = total(3)",
            f"assert changed == lib.total(3) != 8, ({change!r}, changed)",
            undoes,
            f"assert steps.total.bandsaw_task.task_id == before, {change!r}",
            f"assert total(3) == 8, {change!r}",
        ]
    body.append("print(len(ids))")
    known = int(run("\n".join(body)).stdout)
    assert len(entries(run)) == known > 20


def test_what_is_only_in_memory_does_not_cross_and_is_not_kept(run):
    body = ["import contextlib", "assert own(3) == kept(3) == 8"]
    for change, (does, undoes) in CHANGES.items():
        body += [
            does,
            "with warnings.catch_warnings(record=True) as caught:",
            "    warnings.simplefilter('always')",
            "    own(3), kept(3)",
            "told = [str(w.message) for w in caught if 'is not kept' in str(w.message)]",
            f"assert len(told) == 2, ({change!r}, told)",
            undoes,
        ]
    body.append("assert own(3) == kept(3) == 8")
    run("\n".join(body))
    assert len(entries(run)) == 2


@pytest.mark.parametrize(
    "change", ["lib.NEW = 5", "lib.max = min", "del lib.KNOWN", "lib.Base = type('B', (), {})"]
)
def test_names_that_are_there_in_one_process_only_are_told(project, change):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "lib.py",
        """
        KNOWN = 1
        def get():
            try:
                return max(NEW, KNOWN, Base)
            except NameError:
                return "none"
        """,
    )
    project.write(
        "steps.py", "import bandsaw, lib\n@bandsaw.task(chain='kept')\ndef f(): return lib.get()"
    )
    project.write(
        "main.py",
        f"""
        import warnings
        import lib, steps
        if __name__ == "__main__":
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                assert steps.f() == steps.f() == "none"
                before = len(caught)
                {change}
                steps.f()
            told = [str(each.message) for each in caught]
            assert not before and "is not kept" in told[0], told
            assert "tests need an empty chain" in told[0]
        """,
    )
    project.run("main.py")


@pytest.mark.parametrize("chain", ["own", "kept"])
def test_where_the_files_say_all_a_change_after_the_first_call_is_not_kept_either(run, chain):
    run.project.write("plain.py", "RATE = 2\ndef rate():\n    return RATE\n")
    run.project.write(
        "more.py",
        f"""
        import bandsaw
        import plain

        @bandsaw.task(chain={chain!r})
        def rate():
            return plain.rate()
        """,
    )
    body = """
    import more, plain
    assert more.rate() == more.rate() == 2
    for number in (3, 4):
        plain.RATE = number
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            more.rate(), more.rate()
        assert ["plain.RATE" in str(warning.message) for warning in caught] == [True, True]
    """
    run(body)
    assert len(entries(run)) == 1


def test_a_cache_behind_a_crossing_keeps_only_what_its_own_code_computed(run):
    run("lib.RATE = 7\nassert behind(3) == 8, behind(3)\nlib.RATE = 2\nassert behind(3) == 8")
    run("assert behind(3) == 8")
    assert len(entries(run, ".behind")) == 1


def test_arguments_of_the_program_count(run):
    told = """
        import os, sys, bandsaw
        @bandsaw.task
        def f(): return sys.argv[1:]
        @bandsaw.task(chain="own")
        def own(): return sys.argv[1:], os.getpid()
        if __name__ == "__main__":
            print(f(), own())
        """
    run.project.write("told.py", told)
    body = """
    from unittest import mock
    import told
    assert told.f() == []
    with mock.patch("sys.argv", ["program", "x"]):
        assert told.f() == ["x"]
    sys.argv.append("y")
    assert told.f() == ["y"]
    sys.argv.pop()
    assert told.f() == []
    """
    run(body)
    assert len(entries(run)) == 3
    one, other, same = (run.project.run("told.py", x).stdout for x in ("1", "2", "1"))
    assert one == same and one.startswith("['1'] (['1'], ") and other.startswith("['2'] (['2'], ")


def test_a_reloaded_module_is_the_one_that_other_processes_load(run):
    body = """
    import importlib, os, pathlib
    assert own(3) == kept(3) == total(3) == 8
    file = pathlib.Path(lib.__file__)
    file.write_text(file.read_text().replace("RATE = 2", "RATE = 30"))
    os.utime(file, (1, 1))
    assert own(3) == kept(3) == total(3) == 8
    importlib.reload(lib)
    assert own(3) == kept(3) == total(3) == 92
    """
    run(body)
    run("assert own(3) == kept(3) == total(3) == 92")


def test_what_reached_code_fills_is_state_and_is_told_once(run):
    body = """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = steps.remembered.bandsaw_task.task_id
        for x in (1, 2, 1, 2):
            assert remembered(x) == x * 10
        assert steps.remembered.bandsaw_task.task_id == before
    (told,) = [str(w.message) for w in caught]
    assert "lib.remembered: line" in told and "MEMO" in told, told
    print(before)
    """
    assert len({run(body).stdout for _ in range(2)}) == 1
    assert len(entries(run)) == 2


@pytest.mark.parametrize("chain", ["own", "kept"])
def test_what_a_task_fills_in_another_process_is_state_there(run, chain):
    run.project.write(
        "memo.py",
        f"""
        import collections
        import bandsaw

        class Memo:
            def __init__(self):
                self.items, self.table, self.calls = {{}}, None, 0
            def get(self, x):
                self.calls += 1
                self.late = self.table = self.table or [1, 2]
                return self.items.setdefault(x, x * 2)

        MEMO, BAG, RATE = Memo(), collections.UserDict(), float("3")

        @bandsaw.task(chain={chain!r})
        def one(x):
            list(map(BAG.__setitem__, [x], [1]))
            return MEMO.get(x)

        @bandsaw.task(chain={chain!r})
        def two(x):
            return MEMO.get(x) * RATE

        @bandsaw.task(chain={chain!r})
        def sets(x):
            globals().update(RATE=x)
            return RATE
        """,
    )
    calls = "assert [memo.one(1), memo.one(2), memo.two(1), memo.two(3)] == [2, 4, 6, 18]\n"
    run("import memo\n" + calls)
    assert len(entries(run)) == 4
    # What the program fills before the call is no state of the other process.
    run("import memo\nmemo.MEMO.items[1] = 5\nassert memo.one(7) == 14 and memo.two(7) == 42.0")
    assert len(entries(run)) == 4
    # Nor what another task has set there.
    run("import memo\nmemo.sets(9), memo.two(8)")
    kept = 5 if chain == "own" else 4
    assert len(entries(run)) == kept


def test_an_assignment_while_the_call_runs_keeps_nothing(run):
    run.project.write(
        "slow.py",
        """
        import threading
        import bandsaw
        import lib

        BEGUN, CHANGED = threading.Event(), threading.Event()

        @bandsaw.task
        def f(x):
            BEGUN.set()
            CHANGED.wait(60)
            return lib.score(x)
        """,
    )
    body = """
    import threading, slow
    def sweep():
        slow.BEGUN.wait(60)
        lib.RATE = 9
        slow.CHANGED.set()
    threading.Thread(target=sweep).start()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert slow.f(1) == 9
    told = [str(w.message) for w in caught]
    assert any("was changed while the call ran: lib.RATE" in text for text in told), told
    """
    run(body)
    assert entries(run) == []


def test_a_mock_that_was_called_is_named_without_a_module(run):
    body = """
    from unittest import mock
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        with mock.patch("lib.score", autospec=True, return_value=1):
            total(1)
    told = [str(w.message) for w in caught]
    assert any("while the call ran: score.call" in text for text in told), told
    """
    run(body)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no type aliases before 3.12")
def test_type_aliases_count_by_what_they_say(run):
    for number, kind in enumerate(("int", "str", "int")):
        task = "@bandsaw.task\ndef f():\n    return str(Kind.__value__)\n"
        run.project.write("kinds.py", f"import bandsaw\ntype Kind = {kind}\n{task}")
        assert run("import kinds; print(kinds.f())").stdout == f"<class '{kind}'>\n"
        assert len(entries(run)) == min(number + 1, 2)


@pytest.mark.parametrize("wrapper", ["functools.wraps(function)", "lambda wrapped: wrapped"])
def test_a_package_that_wraps_its_own_functions_during_a_call_changes_no_code(run, wrapper):
    # As PyTorch does with the methods of an optimizer when the first one is made.
    library = f"""
    import functools, sys

    def wrapped(function):
        def inner(*args):
            return function(*args)
        return ({wrapper})(inner)

    def seed():
        return 1

    class Optimizer:
        def __init__(self):
            Optimizer.step = wrapped(Optimizer.step)
            sys.modules[__name__].seed = wrapped(seed)

        def step(self):
            return 2
    """
    run.project.write("lib/site-packages/optimizers.py", library)
    task = """
    import os, sys
    import bandsaw
    sys.path.append(os.path.join(os.path.dirname(__file__), "lib", "site-packages"))
    import optimizers

    @bandsaw.task
    def f(x):
        return optimizers.Optimizer().step(), optimizers.seed()
    """
    run.project.write("training.py", task)
    body = """
    import training
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = training.f.bandsaw_task.task_id
        assert training.f(1) == (2, 1)
    print(len(caught), before == training.f.bandsaw_task.task_id)
    """
    is_a_wrapper = wrapper.startswith("functools")
    assert run(body).stdout == f"{0 if is_a_wrapper else 1} {is_a_wrapper}\n"
    assert len(entries(run)) == int(is_a_wrapper)


def test_variables_with_another_value_in_each_process_are_named_at_the_first_miss(run):
    body = """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        since(1), since(1), since(2)
    print(*[w.message for w in caught])
    """
    assert run(body).stdout == "\n"
    told = run(body).stdout
    assert told.count("lib.STARTED holds another value in this process") == 1
    assert "@task(state=['lib.STARTED'])" in told


def test_variables_that_an_edit_of_another_line_has_changed_are_not_to_be_left_out(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "lib/site-packages/models.py",
        """
        class Model:
            def __init__(self, alpha):
                self.alpha = alpha
        """,
    )
    flow = """
    import os, sys
    sys.path.append(os.path.join(os.path.dirname(__file__), "lib", "site-packages"))
    import bandsaw, models

    ALPHA = 1
    model = models.Model(ALPHA)

    @bandsaw.task
    def alpha():
        return model.alpha

    if __name__ == "__main__":
        print(alpha())
    """
    project.write("flow.py", flow)
    assert project.run("flow.py").stdout == "1\n"
    project.write("flow.py", flow.replace("ALPHA = 1", "ALPHA = 2"))
    done = project.run("flow.py")
    assert (done.stdout, done.stderr) == ("2\n", "")


def test_variables_that_the_program_sets_are_named_where_each_process_sets_another_value(run):
    body = """
    import time
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        {}
        total(1), total(2)
    print(*[w.message for w in caught])
    """
    many = "".join(f"def f{n}(): return {n}\n" for n in range(250))
    run.project.write("lib.py", LIBRARY.replace("STARTED > 0", "1") + many)
    names = ", ".join(f"lib.f{n}" for n in range(250))
    run.project.write("steps.py", STEPS.replace("lib.total(x)", f"lib.total(x), [{names}][:0]"))
    sets = ["lib.RATE = time.time()", "lib.Settings.bonus = time.time()"]
    for one, name in zip(sets, ("lib.RATE", "lib.Settings.bonus")):
        run(body.format(one))
        told = run(body.format(one)).stdout
        assert told.count(f"{name} holds another value in this process") == 1, told
        assert f"@task(state=[{name!r}])" in told
    # A sweep is no miss that is to be told.
    sweep = "for lib.RATE in {}: total(1)"
    for values in ([2, 3, 4], [2, 5, 6]):
        assert run(body.format(sweep.format(values))).stdout == "\n"


def test_an_edit_of_a_statement_that_computes_is_no_other_value_in_each_process(run):
    body = """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        since(1)
    print(*[w.message for w in caught])
    """
    for text in ("float('3')", "float('4')"):
        run.project.write("lib.py", LIBRARY.replace("time.time()", text))
        assert run(body).stdout == "\n"


def test_hashes_that_objects_keep_do_not_count(project):
    project.write("bandsaw_config.py", "import bandsaw\nconfiguration = bandsaw.Configuration()")
    project.write(
        "lib.py",
        """
        class Symbol:
            __slots__ = "name", "_kept"
            def __init__(self, name):
                self.name = name
            def __hash__(self):
                self._kept = hash(self.name)
                return self._kept
        X, Y = Symbol("x"), Symbol("y")
        TABLE = [hash(X)] and [X]
        """,
    )
    project.write(
        "main.py",
        """
        import sys
        import bandsaw, lib
        @bandsaw.task
        def f(x): return lib.X, lib.TABLE
        print(f.bandsaw_task.task_id)
        hash(lib.Y)
        lib.X.name = sys.argv[1]
        print(f.bandsaw_task.task_id)
        """,
    )
    ids = [project.run("main.py", "z", PYTHONHASHSEED=seed).stdout.split() for seed in "12"]
    assert ids[0] == ids[1]
    assert ids[0][0] != ids[0][1]


def test_combinations_of_flags_that_the_program_made_do_not_count(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "flow.py",
        """
        import enum, os
        import bandsaw

        class Color(enum.Flag):
            RED = 1
            GREEN = 2

        @bandsaw.task(chain="own")
        def pid(color):
            return Color.RED, os.getpid()

        if __name__ == "__main__":
            first = pid(1)
            both = Color.RED | Color.GREEN
            assert pid(1) == first
            assert pid(both) == pid(both)
        """,
    )
    assert "IdentityWarning" not in project.run("flow.py").stderr


@pytest.mark.parametrize("many", [0, 150, 300])
def test_what_differs_in_each_process_is_named_and_can_be_left_out(project, many):
    project.write("bandsaw_config.py", CONFIGURATION)
    functions = "".join(f"def f{n}(): return {n}\n" for n in range(many))
    variables = "".join(f"v{n} = int('{n}')\n" for n in range(many))
    project.write("large.py", functions + variables)
    project.write(
        "lib.py",
        """
        import time, uuid
        class Table:
            SINCE = time.time_ns()
            NUMBERS = [time.time_ns()]
        class Dummy:
            def __init__(self): self.index = uuid.uuid4()
        x = Dummy()
        """,
    )
    names = ", ".join(f"large.f{n}, large.v{n}" for n in range(many))
    project.write(
        "main.py",
        f"""
        import sys, warnings
        import bandsaw, large, lib
        @bandsaw.task(state=eval(sys.argv[1]))
        def f(x): return [lib.Table.__name__, str(lib.x.index)], [{names}][:0]
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            f(1)
        print(f.bandsaw_task.task_id, *[w.message for w in caught])
        """,
    )
    assert len(project.run("main.py", "[]").stdout.split()) == 1
    told = project.run("main.py", "[]").stdout
    states = ["lib.Table.NUMBERS", "lib.Table.SINCE", "lib.x"]
    assert f"@task(state={states!r})" in told
    left_out = {project.run("main.py", str(states)).stdout for _ in "12"}
    assert len(left_out) == 1 and len(left_out.pop().split()) == 1


def test_variables_that_the_author_leaves_out_do_not_count(run):
    ids = {run("print(steps.ever_since.bandsaw_task.task_id)").stdout for _ in range(2)}
    assert len(ids) == 1
    run.project.write(
        "bandsaw_config.py", CONFIGURATION + "\nconfiguration.add_state('lib.STARTED')\n"
    )
    assert len({run("print(steps.since.bandsaw_task.task_id)").stdout for _ in range(2)}) == 1


def test_no_code_of_the_user_runs_to_make_an_id(run):
    run.project.write(
        "lazy.py",
        """
        def __getattr__(name):
            raise SystemExit(f"somebody asked for {name}")

        class Proxy:
            def __getattr__(self, name):
                raise SystemExit(f"somebody asked for {name}")
            @property
            def __class__(self):
                raise RuntimeError("somebody asked for the class")
            def __repr__(self):
                raise SystemExit("somebody asked for a text")

        class Slotted(Proxy):
            __slots__ = "empty", "filled"
            def __init__(self):
                self.filled = 1

        class Names(set):
            __slots__ = ()
            def __getattr__(self, name):
                raise SystemExit(f"somebody asked for {name}")

        PROXY, SLOTTED, NAMES = Proxy(), Slotted(), Names("ab")
        """,
    )
    run.project.write(
        "uses.py",
        """
        import bandsaw
        import lazy

        @bandsaw.task
        def f(x):
            return x if x else (lazy.missing, lazy.PROXY.value, lazy.SLOTTED.value, lazy.NAMES)
        """,
    )
    body = """
    import uses
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        print(uses.f.bandsaw_task.task_id)
        assert uses.f(1) == 1
    (told,) = [str(w.message) for w in caught]
    assert "the __getattr__ of its module makes it" in told
    """
    assert len({run(body, PYTHONHASHSEED=seed).stdout for seed in "12"}) == 1


def test_what_an_object_stores_counts_and_nothing_of_its_class_runs(run):
    run.project.write(
        "stored.py",
        """
        import collections, copyreg, datetime, enum

        armed = False

        def loud(*args):
            raise SystemExit("somebody ran it")

        class Meta(type):
            __getattr__ = loud

        class Asked(metaclass=Meta):
            __slots__ = ("value", "empty")
            def __init__(self):
                self.value = 1
            __reduce__ = __reduce_ex__ = __getstate__ = __getnewargs__ = __getattr__ = loud

        class Table(dict):
            items = keys = __iter__ = __len__ = __reduce_ex__ = loud

        class Rows(list):
            __iter__ = __len__ = __getitem__ = __getstate__ = loud

        class Text(str):
            __str__ = __repr__ = __len__ = __getnewargs__ = loud

        class Number(int):
            __int__ = __index__ = __getnewargs__ = loud

        class Pair(tuple):
            __iter__ = __len__ = __getnewargs__ = loud

        class Bag(set):
            __iter__ = __len__ = __reduce__ = loud

        class Queue(collections.deque):
            __reduce__ = __iter__ = loud

        class Odd:
            def __hash__(self):
                return loud() if armed else 1

        class Kind(enum.Enum):
            ONE = 1
            def __getattribute__(self, name):
                return loud() if armed else super().__getattribute__(name)

        class Registered:
            pass

        class Day(datetime.date):
            pass

        copyreg.pickle(Registered, loud)
        ASKED, TABLE, ROWS, PAIR = Asked(), Table(a=1), Rows([1]), Pair((1, 2))
        TEXT, NUMBER, BAG, KIND = Text("x"), Number(5), Bag("ab"), Kind.ONE
        ODD, REGISTERED, DAY = Bag([Odd()]), Registered(), Day(2020, 1, 1)
        QUEUE = Queue([1])
        armed = True

        def f(x):
            return x or (ASKED, TABLE, ROWS, PAIR, TEXT, NUMBER, BAG, KIND, ODD, REGISTERED, DAY)

        def g(x):
            return x or QUEUE
        """,
    )
    body = """
    import stored
    from bandsaw.tasks import Task
    f, g = Task.create_task(stored.f), Task.create_task(stored.g)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        first = f.task_id
    changes = [
        ("stored.ASKED.value = {}", 2, 1),
        ("dict.__setitem__(stored.TABLE, 'a', {})", 2, 1),
        ("list.append(stored.ROWS, 2) if {} else list.pop(stored.ROWS)", 1, 0),
        ("set.add(stored.BAG, 'c') if {} else set.discard(stored.BAG, 'c')", 1, 0),
        ("stored.TEXT = stored.Text({!r})", "y", "x"),
        ("stored.NUMBER = stored.Number({})", 6, 5),
        ("stored.PAIR = stored.Pair({})", (1, 3), (1, 2)),
        ("stored.DAY = stored.Day(*{})", (2020, 1, 2), (2020, 1, 1)),
    ]
    for text, other, same in changes:
        exec(text.format(other))
        assert f.task_id != first, text
        exec(text.format(same))
        assert f.task_id == first, text
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        print(first, g.task_id)
    assert "a stored.Queue has no canonical form" in str(caught[0].message)
    """
    assert len({run(body, PYTHONHASHSEED=seed).stdout for seed in "12"}) == 1


def test_what_registers_itself_with_a_class_counts(run):
    text = """
        class Models:
            items = {{}}

        def model(function):
            Models.items[function.__name__] = function
            return function

        @model
        def one(x):
            return x + {}

        class Plugin:
            subs = []
            def __init_subclass__(cls):
                Plugin.subs.append(cls)

        class First(Plugin):
            def run(self, x):
                return x * {}

        def f(x):
            return Models.items["one"](x) + sum(sub().run(x) for sub in Plugin.subs)
        """
    body = "import registry\nfrom bandsaw.tasks import Task\n"
    body += "print(Task.create_task(registry.f).task_id)"
    ids = []
    for numbers in ((1, 2), (3, 2), (1, 4), (1, 2)):
        run.project.write("registry.py", text.format(*numbers))
        ids.append(run(body, PYTHONDONTWRITEBYTECODE="1").stdout)
    assert ids[0] == ids[3] and len(set(ids)) == 3


def test_a_cycle_through_a_class_has_one_id_and_addresses_in_texts_are_told_of(run):
    run.project.write(
        "words.py",
        """
        class Word:
            known = []
            def __init__(self, characters):
                self.characters, self.rule = set(characters), lambda: None
                self.name = f"Word:{self.rule}"
                self.rules = {id(self.rule): [id(Word)], 1 << 40: 0}
                self.of_python = {id(each): 0 for each in (int, None, len, Ellipsis)}
                self.named = {str(id(self.rule)): self.rule, str(1 << 40): 0}
                self.parse = self.parse_word
                self.known.append(self)
            def parse_word(self, text):
                return text, Word, WORDS

        WORDS = {Word(text) for text in ("abc", "abd", "abc")}

        def f(x):
            return x or WORDS
        """,
    )
    body = """
    import words
    from bandsaw.tasks import Task
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        print(Task.create_task(words.f).task_id)
    assert "holds an address" in str(caught[0].message)
    assert "contains itself in parts that look alike" in str(caught[0].message)
    """
    assert len({run(body, PYTHONHASHSEED=seed).stdout for seed in "123"}) == 1


def test_models_of_pydantic_made_while_the_program_runs_have_one_id(run):
    run.project.write(
        "models.py",
        """
        import typing
        import pydantic
        T = typing.TypeVar("T")
        class Box(pydantic.BaseModel, typing.Generic[T]):
            content: T
        def less(cls, value):
            return value - 1
        def more(cls, value):
            return value + 1
        def made(default=1, checked=less):
            check = pydantic.field_validator("a")(classmethod(checked))
            return pydantic.create_model("Made", a=(int, default), __validators__={"check": check})
        LIST = pydantic.TypeAdapter(typing.List[Box[int]])
        def f(x):
            return LIST.validate_python(x)
        """,
    )
    body = """
    import models
    from bandsaw.tasks import Task
    values = [models.Box[int], models.Box[str], models.Box[int](content=1), models.made()]
    values += [models.made(2), models.made(checked=models.more)]
    task = Task.create_task(models.f)
    ids = {task.execution_id_of((value,), {}) for value in values}
    assert len(ids) == len(values)
    print(sorted(ids), task.task_id)
    """
    assert len({run(body, PYTHONHASHSEED=seed).stdout for seed in "123"}) == 1


def test_the_position_of_an_iterator_does_not_count(run):
    run.project.write(
        "counting.py",
        """
        import itertools
        import bandsaw

        NUMBERS = itertools.count()

        @bandsaw.task
        def f(x):
            return next(NUMBERS) >= 0
        """,
    )
    body = "import counting\n{}\nprint(counting.f.bandsaw_task.task_id)"
    assert run(body.format("pass")).stdout == run(body.format("next(counting.NUMBERS)")).stdout


def test_a_warning_has_ten_lines_at_the_most_and_the_command_lists_all(run):
    names = [f"S{number}" for number in range(20)]
    run.project.write(
        "many.py",
        "import bandsaw\n"
        + "".join(f"{name} = open(__file__)\n" for name in names)
        + "@bandsaw.task\ndef f(x):\n    return "
        + " or ".join(f"{name}.closed" for name in names)
        + "\n",
    )
    body = """
    import many
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", bandsaw.fingerprint.IdentityWarning)
        many.f.bandsaw_task.task_id
    (told,) = [str(w.message) for w in caught if "does not depend" in str(w.message)]
    assert len(told.splitlines()) <= 10, told
    print(told)
    """
    told = run(body).stdout
    assert "and 13 more: 'python -m bandsaw cache explain many.f' lists all" in told
    listed = run.project.run("-m", "bandsaw", "cache", "explain", "many.f", "1").stdout
    assert listed.count("has no canonical form") == 20


def test_a_container_that_is_too_large_is_reported_and_not_watched(run):
    run.project.write(
        "large.py",
        """
        import bandsaw
        ROWS = list(range(20_000))

        @bandsaw.task
        def f(x):
            return ROWS[x]
        """,
    )
    body = """
    import large
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        large.f.bandsaw_task.task_id
    assert "too large to be watched" in str(caught[0].message)
    assert "make it an argument" in str(caught[0].message)
    """
    run(body)


@pytest.mark.parametrize("kind", ["defaultdict(int)", "OrderedDict()"])
def test_dicts_of_other_classes_are_watched_if_no_code_of_their_keys_is_run_for_it(run, kind):
    run.project.write(
        "keyed.py",
        f"""
        import bandsaw, collections
        PAIRS, SETS = collections.{kind}, collections.{kind}
        PAIRS[1, ("a", None)] = SETS[frozenset([1])] = 1

        @bandsaw.task
        def f():
            return PAIRS

        @bandsaw.task
        def g():
            return SETS
        """,
    )
    body = """
    import keyed
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = keyed.f.bandsaw_task.task_id
        assert not caught
        keyed.PAIRS[1, ("a", None)] = 2
        assert keyed.f.bandsaw_task.task_id != before
        keyed.g.bandsaw_task.task_id
    assert "has keys of classes whose code is not run" in str(caught[0].message)
    """
    run(body)


@pytest.mark.slow
def test_random_edits_of_a_running_program_give_no_result_of_other_code(tmp_path):
    stale, calls = present.run(tmp_path, seed=1, steps=200)
    assert (stale, calls >= 400) == (0, True)


def test_an_id_is_the_same_when_many_threads_make_it_first(project):
    project.write("lib.py", "\n".join(f"def f{i}(): return [{i}, f{i + 1}]" for i in range(60)))
    project.write(
        "workflow.py",
        """
        import sys, threading
        import bandsaw, lib
        from bandsaw.tasks import Task

        lib.f60 = None
        barrier = threading.Barrier(8)
        found = []

        def make():
            task = Task.create_task(lib.f0)
            barrier.wait()
            found.append(task.task_id)

        sys.setswitchinterval(1e-6)
        threads = [threading.Thread(target=make) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(len(set(found)), len(found))
        """,
    )
    for _ in range(3):
        assert project.run("workflow.py").stdout == "1 8\n"


def test_an_edited_cell_makes_no_archive_and_ends_no_process_that_does_not_need_it(project):
    pytest.importorskip("cloudpickle")
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.subprocess import SubprocessAdvice
        configuration = bandsaw.Configuration().add_advice_chain(SubprocessAdvice(workers=1))
        """,
    )
    project.write("lib.py", "def scaled(x): return x * 10")
    cells = """
        import linecache, os
        import bandsaw, bandsaw_config, lib

        def cell(number, text):
            name = f"<cell {number}>"
            linecache.cache[name] = len(text), None, text.splitlines(True), name
            exec(compile(text, name, "exec"), globals())

        cell(1, "def helper(x): return lib.scaled(x) + 3")
        cell(2, "@bandsaw.task\\ndef f(x): return helper(x), os.getpid()")
        archive = bandsaw.distribution.get_distribution_archive(bandsaw_config.configuration)
        value, process = f(1)
        cell(1, "def helper(x): return lib.scaled(x) + 4")
        again = bandsaw.distribution.get_distribution_archive(bandsaw_config.configuration)
        assert (value, archive.digest) == (13, again.digest)
        assert f(1) == (14, process)
        """
    project.run("-c", textwrap.dedent(cells))


def test_tasks_of_a_script_that_register_themselves_are_kept(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "lib/site-packages/commander.py",
        """
        class App:
            def __init__(self):
                self.commands = []
            def command(self, function):
                self.commands.append(function)
                return function
        """,
    )
    project.write(
        "flow.py",
        """
        import os, sys
        sys.path.append(os.path.join(os.path.dirname(__file__), "lib", "site-packages"))
        import bandsaw, commander

        app = commander.App()

        @app.command
        @bandsaw.task(chain="own")
        def pid():
            return os.getpid()

        if __name__ == "__main__":
            print(pid())
        """,
    )
    first, second = (project.run("flow.py").stdout for _ in range(2))
    assert first == second


@pytest.mark.parametrize(
    "code",
    [
        # The script has another name where another process imports it.
        """
        NAMED = {}
        @lambda f: NAMED.setdefault(f"{f.__module__}.{f.__qualname__}", f)
        def used(): return [each.__name__ for each in NAMED.values()]
        """,
        """
        KNOWN = {}
        class Base:
            def __init_subclass__(cls): KNOWN[cls.__module__, cls.__name__] = cls
        class Derived(Base): pass
        def used(): return len(KNOWN)
        """,
        """
        class Step:
            def __init__(self, function): self.function, self.home = function, function.__module__
            def __call__(self): return self.home
        @Step
        def used(): pass
        """,
        "NAME = __name__\ndef used(): return NAME",
        # What frameworks register by: `__main__` is the name of the script in one process only.
        """
        def put(*names): return dict.fromkeys(names, 1)
        NAMES = put(__name__, f"{__name__}:x", (__name__, 1), repr(type("A", (), {})))
        class Meta(type):
            def __new__(meta, name, bases, body):
                cls = super().__new__(meta, name, bases, body)
                cls.body = dict(body)
                return cls
        class Lexer(metaclass=Meta):
            a = 1
        def used(): return len(NAMES), Lexer.body
        """,
        # As all variables of the environment, which a task reads while it runs.
        """
        class Console:
            environ = os.environ
        def used(environ=os.environ): return Console.environ is environ
        """,
        # The bases of these classes are not those that the source says, or that it says first.
        """
        import typing
        class Row(typing.TypedDict):
            name: str
        class Long(Row):
            text: str
        def used(): return Long(name="a")
        """,
        """
        try:
            import decimal
            class Number(decimal.Decimal): pass
        except ImportError:
            class Number: pass
        def used(): return str(Number())
        """,
        # What calls set or count, in private attributes and as objects are made.
        """
        class Store:
            __single = None
            def __init__(self): self.__asked = 0
            @classmethod
            def get(cls):
                cls.__single = cls.__single or cls()
                return cls.__single
            def ask(self): self.__asked += 1
        STORE = Store()
        def used(): return Store.get().ask(), STORE.ask()
        """,
    ],
    ids=[
        *("texts", "tuples", "attributes", "name", "names", "environ", "typed-dict", "twice"),
        "private",
    ],
)
def test_what_code_keeps_of_its_process_and_its_calls_keeps_no_result_away(project, code):
    project.write("bandsaw_config.py", CONFIGURATION)
    task = """
        import bandsaw, os

        @bandsaw.task(chain="own")
        def pid():
            used()
            return os.getpid()

        if __name__ == "__main__":
            print(pid())
        """
    head, tail = textwrap.dedent(task).split("@", 1)
    project.write("flow.py", f"{head}{textwrap.dedent(code)}\n@{tail}")
    first, second = (project.run("-W", "error", "flow.py", OTHER=each).stdout for each in "12")
    assert first == second


def test_what_objects_set_in_their_class_as_they_are_made_is_seen(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "flow.py",
        """
        import bandsaw

        class Node:
            last, count = None, 0
            def __init__(self, number):
                Node.last = number
                Node.count += 1

        @bandsaw.task
        def made(): return [Node(1), Node(2)] and Node.count

        @bandsaw.task
        def read(): return Node.last, Node.count

        if __name__ == "__main__":
            print(made(), read())
            Node(7)
            print(read())
        """,
    )
    assert project.run("flow.py").stdout == "2 (2, 2)\n(7, 3)\n"


def test_what_an_installed_base_sets_in_a_class_during_a_call_is_state(project):
    # As those of tasks of luigi do.
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "lib/site-packages/cleaning.py",
        """
        class Task:
            @classmethod
            def parameters(cls):
                if not hasattr(cls, "_left"):
                    cls._left = set()
                cls._left.add("name")
        """,
    )
    project.write(
        "flow.py",
        """
        import os, sys
        sys.path.append(os.path.join(os.path.dirname(__file__), "lib", "site-packages"))
        import bandsaw, cleaning

        class Clean(cleaning.Task):
            pass

        @bandsaw.task
        def pid(number):
            Clean.parameters()
            return os.getpid()

        if __name__ == "__main__":
            print(pid(1), pid(2), pid.bandsaw_task.task_id)
        """,
    )
    first, second = (project.run("-W", "error", "flow.py").stdout for _ in range(2))
    assert first == second


def test_settings_of_django_and_schemas_that_a_text_names_count(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("lib/site-packages/django/__init__.py", "")
    project.write(
        "lib/site-packages/django/conf.py",
        """
        import importlib

        class Settings:
            def __init__(self, name):
                self.__dict__.update(vars(importlib.import_module(name)))

        class LazySettings:
            _wrapped = None
            def __getattr__(self, name):
                if self._wrapped is None:
                    self._wrapped = Settings("settings")
                return getattr(self._wrapped, name)

        settings = LazySettings()
        """,
    )
    project.write("lib/site-packages/marshmallow/__init__.py", "")
    project.write("lib/site-packages/marshmallow/class_registry.py", "_registry = {}")
    project.write(
        "lib/site-packages/marshmallow/fields.py",
        """
        from marshmallow.class_registry import _registry

        class Nested:
            def __init__(self, nested):
                self.nested = nested
            def load(self):
                return _registry[self.nested][0].value

        class Schema:
            def __init_subclass__(cls):
                _registry[cls.__name__] = [cls]
        """,
    )
    project.write("settings.py", "RATE = 1\nSHARE = 1\nUNUSED = 1\n")
    project.write(
        "flow.py",
        """
        import os, sys
        sys.path.insert(0, os.path.join(os.path.dirname(__file__), "lib", "site-packages"))
        import bandsaw
        from django.conf import settings
        from marshmallow.fields import Nested, Schema
        settings.RATE

        FIELD = Nested("Inner")
        class Inner(Schema):
            value = 1

        @bandsaw.task(chain="own")
        def found():
            from django.conf import settings as same
            return settings.RATE, getattr(same, "SHARE", 0), FIELD.load(), os.getpid()

        if __name__ == "__main__":
            print(*found())
        """,
    )
    first = project.run("-W", "error", "flow.py").stdout
    for file, old, new in (
        ("settings.py", "RATE = 1", "RATE = 20"),
        ("settings.py", "SHARE = 1", "SHARE = 20"),
        ("flow.py", "value = 1", "value = 20"),
        ("settings.py", "UNUSED = 1", "UNUSED = 20"),
    ):
        text = (project.folder / file).read_text()
        project.write(file, text.replace(old, new))
        then = project.run("-W", "error", "flow.py").stdout
        assert ("20" in then.split()[:3]) == (old != "UNUSED = 1"), old
        assert (then == first) == (old == "UNUSED = 1"), old
        project.write(file, text)
    assert project.run("-W", "error", "flow.py").stdout == first


def test_what_an_installed_object_resolves_in_a_named_tuple_during_a_call_is_state(project):
    # As relationships of SQLAlchemy do when they are first used. What classes of SymPy are given is
    # in another order in each process.
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "lib/site-packages/mapper.py",
        """
        import typing

        class Argument:
            def __init__(self):
                self.resolved = None

        class Arguments(typing.NamedTuple):
            first: Argument

        class Relationship(dict):
            def __init__(self):
                self.arguments = Arguments(Argument())
            def resolve(self):
                self.arguments.first.resolved = "resolved"

        class Facts(dict):
            def __init__(self):
                self.names = list({f"fact {number}" for number in range(9)})

        class Base:
            def __init_subclass__(cls):
                cls.mapped, cls.facts = Relationship(), Facts()
        """,
    )
    project.write(
        "flow.py",
        """
        import os, sys
        sys.path.append(os.path.join(os.path.dirname(__file__), "lib", "site-packages"))
        import bandsaw, mapper

        class User(mapper.Base):
            pass

        @bandsaw.task(chain="own")
        def pid():
            User.mapped.resolve()
            return os.getpid()

        if __name__ == "__main__":
            print(pid())
        """,
    )
    first, second = (project.run("-W", "error", "flow.py").stdout for _ in range(2))
    assert first == second


@pytest.mark.parametrize("chain", ["own", "kept", "default"])
def test_what_an_installed_object_changes_in_what_it_holds_during_a_call_is_state(project, chain):
    # As the trees do in which scikit-learn looks for neighbors: they count what is asked of them.
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "lib/site-packages/dividing.py",
        """
        import collections, decimal

        class Names(list):
            def __init__(self):
                self.asked = 0
            def ask(self):
                self.asked += 1
                self.append("asked")

        class Known(collections.OrderedDict):
            pass

        class Model:
            def __init__(self):
                self.context, self.names, self.known = decimal.Context(), Names(), Known()
                self.links = {"first": ([],)}
            def third(self):
                self.names.append("third")
                self.links["first"][0].append("third")
                self.known["third"] = self.context.divide(1, 3)
        """,
    )
    project.write(
        "flow.py",
        f"""
        import os, sys
        sys.path.append(os.path.join(os.path.dirname(__file__), "lib", "site-packages"))
        import bandsaw, dividing

        model = dividing.Model()
        names = dividing.Names()

        @bandsaw.task(chain="{chain}")
        def pid(number):
            model.third()
            names.ask()
            return os.getpid()

        @bandsaw.task(chain="{chain}")
        def other():
            return os.getpid(), model.third(), len(names)

        if __name__ == "__main__":
            before = pid.bandsaw_task.task_id
            print(pid(1), pid(2), other())
            assert pid.bandsaw_task.task_id == before
        """,
    )
    first, second = (project.run("-W", "error", "flow.py").stdout for _ in range(2))
    assert first == second


def test_classes_that_an_installed_module_claims_but_does_not_have_count(project):
    # As descriptions of tables of PyTables: their metaclass makes them without `__module__`.
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "lib/site-packages/describing.py",
        """
        class Meta(type):
            def __new__(meta, name, bases, body):
                columns = {key: value for key, value in body.items() if key[:2] != "__"}
                return type.__new__(meta, name, bases, {"columns": columns})

        class Description(metaclass=Meta):
            pass

        def made(name, **members):
            return type(name, (), members)
        """,
    )
    project.write(
        "flow.py",
        """
        import os, sys
        sys.path.append(os.path.join(os.path.dirname(__file__), "lib", "site-packages"))
        import bandsaw, rows
        from rows import Row

        @bandsaw.task(chain="own")
        def size():
            return Row.columns["size"], rows.Made.size, Row.columns["twice"](1)

        if __name__ == "__main__":
            print(size())
        """,
    )
    rows = """
    import describing

    class Row(describing.Description):
        size = 1
        def twice(x):
            return x * 2

    Made = describing.made("Made", size=5)
    """
    edits = ("size = 1", "size = 3"), ("size=5", "size=7"), ("x * 2", "x * 4")
    for old, new in (("", ""), *edits):
        rows = rows.replace(old, new) if old else rows
        project.write("rows.py", rows)
        first, second = (project.run("-W", "error", "flow.py") for _ in range(2))
        assert (first.stdout, first.stderr) == (second.stdout, second.stderr)
        assert first.stderr == ""
    assert second.stdout == "(3, 7, 4)\n"
    assert len([path for path in project.folder.glob(".cache/*/*") if path.name[0] != "."]) == 4


def test_what_a_call_fills_is_state_also_where_it_fails_or_is_not_kept(project):
    # As checks of pandera do: the first validation in a process registers how to do it.
    project.write(
        "lib/site-packages/checks.py",
        """
        class Check:
            def __init__(self):
                self.ways = {}
            def check(self, value):
                self.ways[type(value).__name__] = value
                assert value
        """,
    )
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.cache import CachingAdvice

        keeping = CachingAdvice(".cache", keep_if=lambda value: value != "none")
        configuration = bandsaw.Configuration().add_advice_chain(keeping)
        """,
    )
    project.write(
        "flow.py",
        """
        import os, sys
        sys.path.append(os.path.join(os.path.dirname(__file__), "lib", "site-packages"))
        import bandsaw, checks

        check = checks.Check()

        @bandsaw.task
        def checked(value):
            check.check(value)
            return value

        before = checked.bandsaw_task.task_id
        try:
            checked(0)
        except AssertionError:
            pass
        assert checked.bandsaw_task.task_id == before
        assert checked("none") == "none"
        assert checked.bandsaw_task.task_id == before
        """,
    )
    project.run("-W", "error", "flow.py")


@pytest.mark.parametrize("chain", ["kept", "default"])
def test_functions_to_which_an_installed_object_points_count(project, chain):
    # As signals of blinker point to their receivers.
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "lib/site-packages/signals.py",
        """
        import weakref

        class Signal:
            def __init__(self):
                self.receivers, self.order = {}, set()
            def connect(self, function):
                kind = weakref.WeakMethod if hasattr(function, "__self__") else weakref.ref
                key = id(getattr(function, "__func__", function))
                self.receivers[key] = kind(function)
                self.order.add(key)
                return function
            def send(self):
                return sorted(each()() for each in self.receivers.values())
        """,
    )
    flow = f"""
        import os, sys
        sys.path.append(os.path.join(os.path.dirname(__file__), "lib", "site-packages"))
        import bandsaw, signals

        RATE, ready = 1, signals.Signal()

        class Part:
            size = 2
            def get(self):
                return self.size

        @ready.connect
        def rate():
            return RATE

        part = Part()
        ready.connect(part.get)

        @bandsaw.task(chain="{chain}")
        def sent():
            return ready.send(), os.getpid()

        if __name__ == "__main__":
            print(sent())
        """
    found = []
    for text in (flow, flow, flow.replace("RATE, ready = 1", "RATE, ready = 3"), flow):
        project.write("flow.py", text)
        run = project.run("flow.py")
        found.append(run.stdout)
        assert "Form" not in run.stderr and "not kept" not in run.stderr
    assert found[0] == found[1] == found[3]
    assert found[0].startswith("([1, 2]") and found[2].startswith("([2, 3]")
    project.write("flow.py", flow.replace("size = 2", "size = 4"))
    assert project.run("flow.py").stdout.startswith("([1, 4]")


OF_PROCESS = {
    "a hash that is kept": """
        class Rule:
            def __init__(self, name):
                self.name, self._hash = name, hash(name)
        kept = Rule("a rule")
        """,
    "a hash that its class returns": """
        class Rule:
            def __init__(self, *names):
                self.names, self._hash = names, hash(names)
            def __hash__(self):
                return self._hash
        kept = Rule("a", "rule")
        """,
    "an address of what lies beside it": """
        class Words:
            def __init__(self):
                self.words, self._words_id = None, id(None)
        kept = Words()
        """,
    "an address of what it was given": """
        class Constant:
            def __init__(self, value):
                self._source_id = id(value)
        kept = Constant([])
        """,
    "a number that is a hash": """
        class Symbol(int):
            def __new__(cls, name):
                self = int.__new__(cls, hash(name))
                self.name = name
                return self
            def __reduce__(self):
                return Symbol, (self.name, int(self))
        kept = Symbol("a symbol")
        """,
    "the name of the script": """
        class Logger:
            def __init__(self, function):
                self.module, self.names = function.__module__, (function.__module__,)
        kept = Logger(plain)
        """,
    "a name with an address": """
        class Schema:
            def __init__(self, cls):
                self.ref = f"{cls.__module__}.{cls.__qualname__}:{id(cls)}"
        kept = Schema(Own)
        """,
    "what a decorator has made of a text": """
        def checked(function):
            names = {"inner": function}
            text = "def g(x, *, inner=inner):\\n    return inner(x)"
            exec(compile(text, "<checked>", "exec"), function.__globals__, names)
            made = names["g"]
            made.__name__, made.__qualname__ = function.__name__, function.__qualname__
            made.__wrapped__ = function
            return made
        """,
    "other code by a decorator": """
        def checked(function):
            text = inspect.getsource(function).partition("\\n")[2].replace("x * 2", "x * 2 + 0")
            module = compile(text, function.__code__.co_filename, "exec")
            function.__code__ = module.co_consts[0]
            return function
        """,
    "a generator of its own": """
        import random
        class Drawn:
            def __init__(self):
                self.random = random._inst
        kept = Drawn()
        """,
}


@pytest.mark.parametrize("chain", ["own", "kept"])
def test_what_installed_objects_hold_of_a_process_does_not_count(project, chain):
    project.write("bandsaw_config.py", CONFIGURATION)
    flow = [
        "import os, sys",
        'sys.path.append(os.path.join(os.path.dirname(__file__), "lib", "site-packages"))',
        "import bandsaw",
        "class Own:",
        "    pass",
    ]
    for number, (what, text) in enumerate(OF_PROCESS.items()):
        library = textwrap.dedent(text).replace("kept = ", "make = lambda plain, Own: ")
        project.write(f"lib/site-packages/holder{number}.py", f"import inspect, types\n{library}")
        flow.append(
            textwrap.dedent(f"""
            import holder{number} as holder
            {"@holder.checked" if "decorator" in what else ""}
            def plain{number}(x):
                return x * 2

            kept{number} = holder.make(plain{number}, Own) if hasattr(holder, "make") else None

            @bandsaw.task(chain="{chain}")
            def pid{number}():
                return {what!r}, os.getpid(), plain{number}(1), kept{number} is None
            """)
        )
    flow.append('if __name__ == "__main__":')
    flow += [f"    print(pid{number}())" for number in range(len(OF_PROCESS))]
    text = "\n".join(flow)
    project.write("flow.py", text)
    runs = [project.run("flow.py", PYTHONHASHSEED=str(seed)) for seed in (1, 2)]
    assert runs[0].stdout == runs[1].stdout
    assert "not kept" not in runs[0].stderr
    project.write("flow.py", text.replace("x * 2", "x * 2 + 1"))
    for line in project.run("flow.py").stdout.splitlines():
        assert line.split(", ")[2] == "3", line


def test_code_that_a_decorator_has_made_is_compared_on_other_machines_too(project):
    project.write("bandsaw_config.py", "import bandsaw\nconfiguration = bandsaw.Configuration()")
    project.write("holder.py", "def decorated(function): return function")
    project.write("lib.py", "import holder\n@holder.decorated\ndef rate(x=2):\n    return x\n")
    project.write(
        "flow.py",
        """
        import importlib, lib
        from bandsaw._identity.carried import carried_by
        from bandsaw._identity.compared import ArrivedValues
        from bandsaw.fingerprint import watched_task_id_of

        def task():
            return lib.rate()

        def carried():
            return carried_by(watched_task_id_of(task, "flow", "task")[1].seen)

        def differing(given):
            importlib.reload(lib)
            assert not given.changed and given.values, given
            values = {"values": given.values}
            return [ArrivedValues(values, here).differing() for here in (True, False)]

        lib.rate.__defaults__ = (3,)
        assert differing(carried()) == [["lib.rate"]] * 2
        text = "def rate(x=2):\\n    return x * 100"
        exec(compile(text, "<made>", "exec"), vars(lib))
        given = carried()
        exec(compile(text, "<made again>", "exec"), vars(lib))
        assert ArrivedValues({"values": given.values}, False).differing() == []
        assert differing(given) == [["lib.rate"]] * 2
        """,
    )
    project.run("flow.py")


# The order of the set is not the one that it has in the byte code that Python has kept.
LETTERS = "def g(): return 7 if 'a' in {'a', 'b', 'c', 'd', 'e', 'f'} else 8"


@pytest.mark.parametrize(
    ("before", "after", "is_whole"),
    [
        ("def g(): return 7", "def g(): return 7", True),
        (LETTERS, LETTERS, True),
        ("def g(): return 7", "def g(): return 8", False),
        # What a decorator holds, and constants, are not seen to be those of before.
        ("import functools\n@functools.lru_cache\ndef g(): return 7", "def g(): return 8", False),
        ("K = 7\ndef g(): return K", "K = 8\ndef g(): return K", False),
    ],
)
def test_code_that_functions_are_given_from_an_edited_file_runs_elsewhere(
    project, before, after, is_whole
):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("lib.py", f"def f(): return 1\n{before}\n")
    body = f"""
        import bandsaw, importlib, lib, warnings

        @bandsaw.task(chain="own")
        def own(): return lib.f(), lib.g()

        @bandsaw.task(chain="kept")
        def kept(): return lib.f(), lib.g()

        assert own() == kept() == (1, 7)
        text = "# Edited.\\n\\ndef f():\\n  return 2000\\n" + {after!r}
        open(lib.__file__, "w").write(text)
        assert own() == kept() == (1, 7)
        # What `%autoreload 2` of IPython does.
        space = {{}}
        exec(compile(text, lib.__file__, "exec"), space)
        lib.f.__code__ = space["f"].__code__
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            values = own(), kept()
        if {is_whole}:
            assert not caught and values == ((lib.f(), lib.g()),) * 2, (caught, values)
        else:
            # Elsewhere there is one text for all functions.
            told, *caught = (str(each.message) for each in caught)
            assert "has taken over only a part" in told and lib.__file__ in told
            assert ["is not kept" in each for each in caught] == [True] * 2
            importlib.reload(lib)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                assert own() == kept() == (lib.f(), lib.g())
        """
    project.run("-c", textwrap.dedent(body))


@pytest.mark.parametrize(
    ("old", "new", "is_whole"),
    [
        ("K = 7", "K = 8", True),
        ("K = 7", "K = 8\n\ndef added(x): return x * K", True),
        ("x * K + y", "added(x) + y\n\ndef added(x): return x * K + 1", True),
        ("SIDES = 3", "SIDES = 4\n    def more(self): return 1", True),
        ("return self.SIDES", "return -self.SIDES", True),
        ("K = 7", "K = 4 * 2", True),
        ("y=1", "y=2", True),
        ("K = 7", "K = 8\nif K: OTHER = 1", False),
    ],
)
def test_what_autoreload_takes_over_from_an_edited_file_runs_elsewhere(project, old, new, is_whole):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.subprocess import SubprocessAdvice
        configuration = bandsaw.Configuration().add_advice_chain(SubprocessAdvice(workers=1))
        """,
    )
    text = """
        K = 7

        def f(x, y=1): return x * K + y

        class Shape:
            SIDES = 3
            def sides(self): return self.SIDES
        """
    project.write("lib.py", text)
    body = f"""
        import ast, bandsaw, lib, warnings
        import IPython.extensions.autoreload

        @bandsaw.task
        def f(): return lib.f(2), lib.Shape().sides()

        def take_over(statements, before, space):
            # As IPython's `deduperreload` does it.
            known = [ast.dump(each) for each in before]
            for node in statements:
                name = getattr(node, "name", None)
                if ast.dump(node) in known:
                    continue
                if isinstance(node, ast.ClassDef):
                    old = next(each for each in before if getattr(each, "name", None) == name)
                    take_over(node.body, old.body, vars(lib)[name])
                    continue
                made = {{}}
                is_known = name is not None and hasattr(space, name)
                file = lib.__file__ if is_known else "<string>"
                exec(compile(ast.unparse(node), file, "exec"), dict(vars(lib)), made)
                for name, value in made.items():
                    if is_known:
                        for each in ("__code__", "__defaults__"):
                            setattr(getattr(space, name), each, getattr(value, each))
                    else:
                        setattr(space, name, value)

        text = open(lib.__file__).read()
        edited = text.replace({old!r}, {new!r})
        assert edited != text and f() == (15, 3)
        open(lib.__file__, "w").write(edited)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert f() == (15, 3)
        take_over(ast.parse(edited).body, ast.parse(text).body, lib)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            values = f(), f()
        if {is_whole}:
            assert not caught and values == (f.__wrapped__(),) * 2 != ((15, 3),) * 2
        else:
            assert ["only a part" in str(each.message) for each in caught] == [True]
            assert values == ((15, 3),) * 2
        """
    project.run("-c", textwrap.dedent(body))


@pytest.mark.parametrize("padding", [0, 4000])
def test_code_that_autoreload_takes_over_has_the_ids_of_its_file(project, padding):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.cache import CachingAdvice
        from bandsaw.advices.subprocess import SubprocessAdvice
        configuration = bandsaw.Configuration().add_advice_chain(
            CachingAdvice("cache"), SubprocessAdvice()
        )
        """,
    )
    text = "class A:\n    def f(self): return 1\ndef g(): return 2\ndef h(): return 3\n"
    text = f"{'# A long module. ' * padding}\n{text}"
    project.write("lib.py", text)
    project.write(
        "tasks.py",
        """
        import bandsaw, lib, os
        @bandsaw.task
        def f(): return lib.A().f(), os.getpid()
        @bandsaw.task
        def g(): return lib.g(), os.getpid()
        @bandsaw.task
        def h(): return lib.h(), os.getpid()
        """,
    )
    edit = """
        import lib, pathlib, tasks
        tasks.f()
        text = pathlib.Path(lib.__file__).read_text()
        text = text.replace("class", "# More.\\n\\nclass").replace("1", "10").replace("2", "20")
        pathlib.Path(lib.__file__).write_text(text)
        for line, space in (("def f(self): return 10", lib.A), ("def g(): return 20", lib)):
            made = {}
            exec(compile(line, lib.__file__, "exec"), made)
            name = line[4]
            getattr(space, name).__code__ = made[name].__code__
        """
    show = "import tasks; print(tasks.f(), tasks.g(), tasks.h())"
    first = project.run("-W", "error", "-c", f"{textwrap.dedent(edit)}\n{show}").stdout
    assert [int(each) for each in re.findall(r"\((\d+)", first)] == [10, 20, 3]
    assert project.run("-W", "error", "-c", show).stdout == first


def test_cells_count_that_await_and_classes_of_cells_do_not_change_by_being_pickled(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    cells = """
        import ast, asyncio, inspect, linecache, os
        import bandsaw

        def cell(number, text):
            name = f"<cell {number}>"
            linecache.cache[name] = len(text), None, text.splitlines(True), name
            code = compile(text, name, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
            done = eval(code, globals())
            if inspect.iscoroutine(done):
                asyncio.run(done)

        once = "@bandsaw.task\\nasync def f(x): return x + 1\\nvalue = await f(1)"
        cell(1, once)
        assert value == 2
        cell(1, once.replace("+ 1", "+ 100"))
        assert value == 101
        cell(2, "class P: pass")
        cell(3, "@bandsaw.task\\ndef made(p): return P(), os.getpid()")
        print(made(P())[1], made(P())[1], os.getpid())
        """
    first, second = (
        project.run("-W", "error", "-c", textwrap.dedent(cells)).stdout.split() for _ in range(2)
    )
    assert first == first[:1] * 3 and second == [*first[:2], second[2]]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_a_fork_during_the_first_id_of_another_thread_leaves_a_child_that_makes_ids(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("lib.py", "import bandsaw\n@bandsaw.task\ndef f(): return 1\n")
    text = """
        import importlib.abc, os, signal, sys, threading, time, warnings
        import lib

        warnings.simplefilter("ignore")
        begun = threading.Event()

        class Slow(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name == "bandsaw.fingerprint":
                    begun.set()
                    time.sleep(0.3)

        sys.meta_path.insert(0, Slow())
        thread = threading.Thread(target=lambda: lib.f.bandsaw_task.task_id)
        thread.start()
        begun.wait(60)
        child = os.fork()
        if not child:
            signal.alarm(30)
            lib.f.bandsaw_task.task_id
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        thread.join()
        """
    assert project.run("-c", textwrap.dedent(text)).stdout == "0\n"


@pytest.mark.parametrize("computed", ["sources.Source.tree", "top_level.Bindings.filling"])
def test_a_fork_while_another_thread_reads_a_source_leaves_a_child_that_makes_ids(
    project, computed
):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "lib.py",
        "import bandsaw\nknown = {}\n@bandsaw.task\ndef f():\n    known[1] = 1\n",
    )
    module, kind, name = computed.split(".")
    text = f"""
        import os, signal, threading
        import bandsaw.fingerprint, lib
        from bandsaw._identity.{module} import {kind}

        held, done = threading.Event(), threading.Event()

        def read():
            with getattr(vars({kind})["{name}"], "lock", threading.Lock()):
                held.set()
                done.wait(60)

        thread = threading.Thread(target=read)
        thread.start()
        held.wait(60)
        child = os.fork()
        if not child:
            signal.alarm(20)
            lib.f.bandsaw_task.task_id
            os._exit(0)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        done.set()
        thread.join()
        """
    assert project.run("-c", textwrap.dedent(text)).stdout == "0\n"


def test_a_fork_waits_for_what_the_threads_of_calls_import(run):
    run.project.write(
        "finding.py",
        """
        import sys, threading, bandsaw, steps
        from bandsaw._system.importing import late_import

        def origin():
            frame = sys._getframe(2)
            while "importlib" in frame.f_code.co_filename:
                frame = frame.f_back
            return frame.f_code.co_filename, frame.f_lineno

        class Finder:
            found = []
            @classmethod
            def find_spec(cls, name, path=None, target=None):
                # What Python 3.9 imports itself to open a text is not ours.
                is_ours = name != "_bootlocale" and "bandsaw" in origin()[0]
                if is_ours and not late_import._is_owned():
                    cls.found.append((name, *origin()))

        def call():
            for task in (steps.since, steps.own, steps.kept):
                for argument in (2, [1, {2}], bandsaw.File(__file__), range(2)):
                    try:
                        task(argument)
                    except TypeError:
                        pass
                assert task.submit(3).result()
            list(steps.own.map([4]))

        sys.meta_path.insert(0, Finder)
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
        print(*Finder.found, sep="\\n")
        """,
    )
    assert run.project.run("finding.py").stdout == "\n"


# What the module itself binds in blocks, and sets on its classes, each process has.
RUN_BY_THE_MODULE = """
import contextlib
import other

with contextlib.suppress(ImportError):
    in_with = other.a
for _ in range(1):
    in_for = other.b
try:
    from nowhere import in_handler
except ImportError:
    from other import b as in_handler

class Meta(type):
    def __new__(mcs, name, bases, members):
        members["fields"] = (*members.get("fields", ()), "more")
        return super().__new__(mcs, name, bases, members)

class Node(metaclass=Meta):
    fields = ("one",)

def _late(self):
    return 7

class Plain:
    A = 1
    def m(self):
        return 1
    def gone(self):
        return 1

Plain.A = 2
Plain.m = Plain.__len__ = _late
Node.also = staticmethod(other.a)
for name in ("p",):
    setattr(Node, name, _late)
del Plain.gone

def total():
    plain = Plain()
    made = plain.A, plain.m(), len(plain), Node().p(), Node.also(), Node.fields
    return (in_with(), in_for(), in_handler(), *made)
"""


@pytest.mark.parametrize("chain", ["own", "kept"])
def test_what_a_module_sets_while_it_loads_is_the_same_elsewhere_and_is_kept(project, chain):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("other.py", "def a(): return 1\ndef b(): return 2\n")
    project.write("lib.py", RUN_BY_THE_MODULE)
    body = f"""
        import bandsaw, lib, os, warnings

        @bandsaw.task(chain="{chain}")
        def f(x):
            return os.urandom(8), lib.total()

        first = f(1)
        assert first == f(1), first
        for owner, name, value in (
            (lib.Plain, "A", 3), (lib.Plain, "m", lambda self: 8), (lib.Node, "fields", ()),
            (lib.Node, "also", lambda: 9), (lib, "in_with", lib.other.b), (lib.Plain, "gone", 1),
        ):
            before = vars(owner).get(name)
            setattr(owner, name, value)
            with warnings.catch_warnings(record=True) as caught:
                assert f(1)[1] == first[1]
            assert ["is not kept" in str(each.message) for each in caught] == [True], name
            delattr(owner, name) if before is None else setattr(owner, name, before)
        assert first == f(1)
        """
    project.run("-c", textwrap.dedent(body))


def test_results_are_not_kept_where_a_private_variable_differs_elsewhere(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "lib.py", "__rate, __version__ = 2, 2\ndef f(x): return x * __rate, __version__\n"
    )
    body = """
        import bandsaw, lib, warnings

        @bandsaw.task(chain="own")
        def f(x):
            return lib.f(x)

        if __name__ == "__main__":
            assert f(1) == (2, 2)
            for name in ("__rate", "__version__"):
                setattr(lib, name, 7)
                with warnings.catch_warnings(record=True) as caught:
                    warnings.simplefilter("always")
                    f(1)
                assert ["lib." + name in str(each.message) for each in caught] == [True], name
                setattr(lib, name, 2)
        """
    project.write("flow.py", body)
    project.run("flow.py")


def test_what_a_module_sets_on_other_modules_while_it_loads_is_the_same_elsewhere(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("settings.py", "RATE = 1\ndef f(x): return x\n")
    text = """
        import fractions, textwrap, settings
        settings.RATE, textwrap.dedent = 3, lambda text: text + "!"
        def g(x): return -x
        settings.f = fractions.Fraction.doubled = g
        """
    project.write("setup.py", text)
    project.write("later.py", text)
    project.write(
        "flow.py",
        """
        import bandsaw, fractions, setup, settings, textwrap, os, sys, warnings

        @bandsaw.task(chain="own")
        def f(x):
            text = textwrap.dedent("a"), fractions.Fraction(x).doubled()
            return os.getpid(), settings.RATE, settings.f(x), *text

        @bandsaw.task(chain="own")
        def g(x):
            return settings.RATE

        def main():
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                first = f(1)
                assert first == f(1) and first[1:] == (3, -1, "a!", -1), first
            settings.RATE = 4
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                assert f(1)[1] == 3
            assert ["is not kept" in str(each.message) for each in caught] == [True]

        if __name__ == "__main__":
            main()
        """,
    )
    project.run("flow.py")
    # The process of the task does not load it.
    project.write("setup.py", "")
    project.write(
        "other.py",
        "import flow\nif __name__ == '__main__':\n    import later\n    print(flow.g(1))",
    )
    done = project.run("other.py")
    assert done.stdout == "1\n" and "g is not kept" in done.stderr


# What a project does as it is loaded: the same in each process.
AS_IT_IS_LOADED = {
    "methods that another module sets": """
        import base
        def doubled(self): return 2
        base.Table.doubled, base.Table.__len__ = doubled, lambda self: 3
        def total(): return base.Table().doubled() + len(base.Table())
        """,
    "a function of the name of a class": """
        import collections
        _stats = collections.namedtuple("stats", "a b")
        def stats(): return _stats(2, 3)
        def total(): return sum(stats())
        """,
    "an import that failed": """
        import base
        try:
            from nowhere import total_of
            IS_THERE = True
        except ImportError:
            IS_THERE = False
        def total(): return total_of() if IS_THERE else 5
        """,
    "its variables": """
        class Lazy:
            def __init__(self, variables): self.variables = variables
        lazy = Lazy(globals())
        def total(): return lazy.variables["FIVE"]
        FIVE = 5
        """,
    "what is left out": """
        import time
        class Base:
            STARTED = time.time_ns()
        def total(): return 5 * (Base.STARTED > 0)
        """,
}


@pytest.mark.parametrize("lib", AS_IT_IS_LOADED.values(), ids=AS_IT_IS_LOADED)
def test_results_of_a_project_that_makes_itself_as_it_is_loaded_are_kept(project, lib):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("base.py", "class Table:\n    pass\n")
    project.write("lib.py", lib)
    project.write(
        "flow.py",
        """
        import bandsaw, lib, os

        @bandsaw.task(chain="own", state=["lib.Base.STARTED"])
        def f():
            return os.getpid(), lib.total()

        if __name__ == "__main__":
            print(f())
        """,
    )
    first, second = (project.run("-W", "error", "flow.py").stdout for _ in range(2))
    assert first == second and first.endswith(", 5)\n")


def test_a_change_of_a_class_behind_another_name_is_told(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("lib.py", "class Named:\n    RATE = 1\nKept = Named\ndef Named(): pass\n")
    project.write(
        "flow.py",
        """
        import bandsaw, lib, sys

        @bandsaw.task(chain="own")
        def rate():
            return lib.Kept.RATE

        if __name__ == "__main__":
            lib.Kept.RATE = int(sys.argv[1])
            print(rate())
        """,
    )
    assert "is not kept" in project.run("flow.py", "2").stderr
    assert "is not kept" not in project.run("flow.py", "1").stderr


def test_a_change_in_a_module_that_only_the_task_loads_there_is_told(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("lib.py", "def made(): return 1\nTABLE = made()\nRATE = 1\n")
    project.write(
        "flow.py",
        """
        import bandsaw

        @bandsaw.task(chain="own")
        def table():
            import lib
            return lib.TABLE

        @bandsaw.task(chain="own")
        def rate():
            import lib
            return lib.RATE

        if __name__ == "__main__":
            import lib
            lib.RATE = lib.TABLE = 2
            print(table(), rate())
        """,
    )
    told = project.run("flow.py")
    assert told.stdout == "1 1\n" and told.stderr.count("is not kept") == 2
    # Where warnings are errors, the call goes on, and the same is said once.
    told = project.run("-W", "error::bandsaw.errors.IdentityWarning", "flow.py")
    assert told.stdout == "1 1\n" and told.stderr.count("is not kept") == 2


def test_patterns_of_regex_count_by_what_they_say(project):
    pytest.importorskip("regex")
    project.write("bandsaw_config.py", CONFIGURATION)
    text = """
        import bandsaw, regex
        WORD = regex.compile(r"cat|dog|[abc]|\\L<more>", regex.I, more=["one"])
        @bandsaw.task
        def f(): return WORD.pattern
        print(f.bandsaw_task.task_id)
        """
    project.write("flow.py", text)
    seen = [project.run("flow.py", PYTHONHASHSEED=str(seed)).stdout for seed in range(4)]
    project.write("flow.py", text.replace('"one"', '"two"'))
    assert len(set(seen)) == 1 and project.run("flow.py").stdout not in seen


def test_an_installed_function_counts_by_its_name_where_another_version_runs(project):
    project.write(
        "bandsaw_config.py",
        CONFIGURATION.replace(
            "SubprocessAdvice(), name",
            "SubprocessAdvice(interpreter=bandsaw.Interpreter(['other/site-packages'])), name",
        ),
    )
    project.write("lib/site-packages/helper.py", "def f(x): return x")
    project.write("other/site-packages/helper.py", "def f(x): return [x, 'other']")
    project.write(
        "flow.py",
        """
        import os, sys
        sys.path.append(os.path.join(os.path.dirname(__file__), "lib", "site-packages"))
        import bandsaw
        if sys.version_info < (3,):
            from nowhere import f
        else:
            from helper import f

        @bandsaw.task(chain="own")
        def pid():
            return os.getpid(), f(1)

        if __name__ == "__main__":
            print(pid())
        """,
    )
    first, second = (project.run("-W", "error", "flow.py").stdout for _ in range(2))
    assert first == second and "other" in first


def test_accessors_of_the_project_count_and_results_that_need_them_are_kept(project):
    pytest.importorskip("pandas")
    project.write("bandsaw_config.py", CONFIGURATION)
    text = """
        import pandas

        @pandas.api.extensions.register_dataframe_accessor("own")
        class Own:
            def __init__(self, table):
                self.table = table
            def total(self):
                return int(self.table["a"].sum()) + 3
        """
    project.write("lib.py", text)
    project.write(
        "flow.py",
        """
        import bandsaw, lib, os, pandas

        @bandsaw.task(chain="own")
        def f(x):
            return pandas.DataFrame({"a": [x]}).own.total(), os.getpid()

        if __name__ == "__main__":
            print(*f(1), f.bandsaw_task.task_id)
        """,
    )
    first, again = (project.run("-W", "error", "flow.py").stdout for _ in range(2))
    assert first == again and first.split()[0] == "4"
    project.write("lib.py", text.replace("+ 3", "+ 4"))
    edited = project.run("flow.py").stdout.split()
    assert edited[0] == "5" and edited[2] not in first


def test_what_a_module_sets_while_it_loads_is_compared_on_other_machines_too(project):
    project.write("bandsaw_config.py", "import bandsaw\nconfiguration = bandsaw.Configuration()")
    project.write("other.py", "def a(): return 1\ndef b(): return 2\n")
    project.write("lib.py", RUN_BY_THE_MODULE.replace('("one",)', '"one",\n    text = "first"'))
    project.write(
        "flow.py",
        """
        import lib
        from bandsaw._identity.carried import carried_by
        from bandsaw._identity.compared import ArrivedValues
        from bandsaw.fingerprint import watched_task_id_of

        def task():
            return lib.total(), lib.Node.text

        def carried():
            return carried_by(watched_task_id_of(task, "flow", "task")[1].seen)

        before = carried()
        assert not before.changed, before
        for owner, name, value in (
            (lib.Plain, "m", lambda self: 8), (lib.Node, "text", "second"), (lib.Plain, "gone", 1)
        ):
            was = vars(owner).get(name)
            setattr(owner, name, value)
            given = carried()
            assert not given.changed or name == "gone", given
            delattr(owner, name) if was is None else setattr(owner, name, was)
            for here in (True, False):
                found = ArrivedValues({"values": given.values}, here).differing()
                assert found == [f"lib.{owner.__name__}.{name}"], (found, here)
        """,
    )
    project.run("flow.py")


def test_a_module_may_set_attributes_of_anything_while_it_loads(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "lib.py",
        """
        class Odd:
            def __eq__(self, other):
                raise AssertionError("compared")
            __hash__ = None

        class Used:
            A = 1

        odd = Odd()
        odd.value = 2
        """,
    )
    body = """
        import bandsaw, lib

        @bandsaw.task(chain="own")
        def f(x):
            return lib.Used.A + x

        assert f(1) == 2
        """
    project.run("-c", textwrap.dedent(body))


def test_that_a_result_is_not_kept_is_told_at_the_line_of_the_task(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("lib.py", "RATE = 2\n")
    project.write(
        "flow.py",
        """
        import bandsaw, lib

        @bandsaw.task(chain="own")
        def f(x):
            return lib.RATE
        """,
    )
    body = """
        import flow, lib, warnings

        lib.RATE = 3
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            assert flow.f(1) == flow.f(2) == 2
        (told,) = caught
        code = flow.f.__wrapped__.__code__
        assert "is not kept" in str(told.message), told
        assert (told.filename, told.lineno) == (code.co_filename, code.co_firstlineno), told
        """
    project.run("-c", textwrap.dedent(body))


def test_what_is_told_of_a_wrapped_task_is_told_at_its_own_line(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("lib.py", "RATE = 2\n")
    project.write(
        "wrapping.py",
        """
        import functools
        def logged(function):
            @functools.wraps(function)
            def wrapper(*args):
                return function(*args)
            return wrapper
        """,
    )
    project.write(
        "flow.py",
        """
        import bandsaw, lib, wrapping

        @bandsaw.task(chain="own")
        @wrapping.logged
        def f(x):
            return lib.RATE + eval("x")
        """,
    )
    body = """
        import flow, lib, warnings

        lib.RATE = 3
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            assert flow.f(1) == 3
        assert [text in str(told.message) for text, told in zip(("eval", "is not kept"), caught)]
        code = flow.f.__wrapped__.__wrapped__.__code__
        place = code.co_filename, code.co_firstlineno
        assert [(told.filename, told.lineno) for told in caught] == [place] * 2, caught
        """
    project.run("-c", textwrap.dedent(body))


def test_mocks_count_by_what_they_are_told_to_return(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("lib.py", "import json\ndef read(x): return json.loads(x)\n")
    body = """
        import bandsaw, json, lib, warnings
        from unittest import mock

        @bandsaw.task
        def f(x):
            return lib.read(x)

        kinds = {"list": lambda value: [value, value], "range": range}

        def told(patched, value, way):
            if way == "value":
                patched.return_value = value
            elif way == "attribute":
                patched.return_value.text.lower.return_value = value
            else:
                patched.side_effect = kinds[way](value)

        warnings.simplefilter("error")
        for name in ("json.loads", "lib.json"):
            for kind in (mock.MagicMock, mock.Mock):
                for way in ("value", "attribute", *kinds):
                    ids = []
                    for value in (1, 2, 1):
                        with mock.patch(name, new_callable=kind) as patched:
                            told(patched.loads if name == "lib.json" else patched, value, way)
                            ids.append(f.bandsaw_task.task_id)
                    assert ids[0] == ids[2] != ids[1], (name, kind, way)
                    with mock.patch(name, new_callable=kind) as patched:
                        ids = []
                        for value in (1, 2):
                            told(patched.loads if name == "lib.json" else patched, value, way)
                            ids.append(f.bandsaw_task.task_id)
                    assert ids[0] != ids[1], (name, kind, way, "in place")
        warnings.simplefilter("ignore")
        for value in (1, 2):
            with mock.patch("json.loads", return_value=value):
                assert f("5") == value
        assert f("5") == 5
        """
    project.run("-c", textwrap.dedent(body))


def test_objects_whose_methods_close_over_each_other_are_compared_once(project):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write(
        "lib.py",
        """
        class Context:
            def wrapped(self, name, function):
                def call(x):
                    return self.rate, name, function(x)
                return call

        CONTEXTS = [Context() for _ in range(3)]
        for context in CONTEXTS:
            context.rate, context.others = 1, CONTEXTS
            for number in range(30):
                setattr(context, f"f{number}", context.wrapped(number, abs))
        """,
    )
    project.write(
        "flow.py",
        """
        import bandsaw, lib

        @bandsaw.task(chain="own")
        def f(x):
            return lib.CONTEXTS[0].f3(x)

        if __name__ == "__main__":
            print(f(-4), f.bandsaw_task.task_id)
            lib.CONTEXTS[1].rate = 2
            print(f.bandsaw_task.task_id)
        """,
    )
    first, second, *_ = project.run("flow.py").stdout.splitlines()
    assert first.startswith("(1, 3, 4) ") and not first.endswith(second)


USED = {
    "a class below a protocol": """
        from typing import Protocol, runtime_checkable

        @runtime_checkable
        class Runs(Protocol):
            def run(self): ...

        class Base:
            def __init__(self):
                self.pid = os.getpid()

        class Own(Runs, Base):
            def run(self):
                return self.pid

        def pid():
            own = Own()
            assert isinstance(own, Runs)
            return own.run()
        """,
    "annotations that are read": """
        import typing

        class Plain:
            pass

        def pid():
            assert typing.get_type_hints(Plain) == {} == getattr(Plain, "__annotations__", {})
            return os.getpid()
        """,
    "a class below a named tuple of its name": """
        from collections import namedtuple

        class Point(namedtuple("Point", "x y", defaults=[1])):
            __slots__ = ()

        def pid():
            return Point(os.getpid()).x
        """,
    "a class with the name of its base": """
        from json import JSONDecoder

        class JSONDecoder(JSONDecoder):
            def pid(self):
                return os.getpid()

        def pid():
            return JSONDecoder().pid()
        """,
}
if sys.version_info >= (3, 12):
    USED["a class with parameters of its own"] = """
        class Base:
            pass

        class Stack[T](Base):
            def top(self):
                return os.getpid()

        def pid():
            return Stack[int]().top()
        """


@pytest.mark.parametrize("chain", ["default", "own"])
@pytest.mark.parametrize("case", sorted(USED))
def test_what_python_sets_on_classes_when_they_are_used_is_no_change(project, case, chain):
    project.write("bandsaw_config.py", CONFIGURATION)
    project.write("used.py", "import os\n" + textwrap.dedent(USED[case]))
    project.write(
        "flow.py",
        f"""
        import bandsaw, used

        @bandsaw.task(chain={chain!r})
        def pid():
            return used.pid()

        if __name__ == "__main__":
            print(pid())
        """,
    )
    first, second = (project.run("-W", "error", "flow.py").stdout for _ in range(2))
    assert first == second
