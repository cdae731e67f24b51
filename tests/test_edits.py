"""Edits that are easy to miss: of what a name may also stand for, and of what is found by a text.

Each program is run before and after an edit, in a process of its own, with the module loaded by the
function only, and at the top of the script.
"""

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUN = """\
import json, warnings

warnings.simplefilter("ignore")
from bandsaw.fingerprint import fingerprint


def late():
    import program
    return program.f


found = [fingerprint(late)]
import program
found.append(fingerprint(program.f))
print(json.dumps(found))
"""
HELPER = "def value(): return 111\n"
# No other modules, and the edit that most have.
DEFAULTS = ("", {}, ("111", "222"))
TYPE = "x: int", "x: float"

PROGRAMS = {
    "a variable in a query of a table": (
        """
        RATE = 111

        def f(table):
            return table.query("a < @RATE and a > @low")
        """,
    ),
    "a variable in a query that is put together": (
        """
        RATE = 111

        def f(table, name):
            return table.query(expr=f"{name} < @RATE")
        """,
    ),
    "an enumeration that says to be of another module": (
        """
        import helper
        helper.Kind.__module__ = __name__

        def f():
            return str(helper.Kind.A)
        """,
        {
            "helper": "import enum\nclass Kind(enum.Enum):\n    A = 1\n"
            "    def __str__(self): return 111\n"
        },
    ),
    "what a member of an enumeration has besides its value": (
        """
        import helper
        helper.Kind.__module__ = __name__

        def f():
            return helper.Kind.A.text
        """,
        {
            "helper": "import enum\nclass Kind(enum.Enum):\n    A = 1, 111\n"
            "    def __new__(cls, value, text):\n        made = object.__new__(cls)\n"
            "        made._value_, made.text = value, text\n        return made\n"
        },
    ),
    "a named tuple that says to be of another module": (
        """
        import helper
        helper.Kind.__module__ = __name__

        def f():
            return str(helper.Kind(1))
        """,
        {
            "helper": "import typing\nclass Kind(typing.NamedTuple):\n    a: int\n"
            "    def __str__(self): return 111\n"
        },
    ),
    "a data class that says to be of another module": (
        """
        import helper
        helper.Kind.__module__ = __name__

        def f():
            return str(helper.Kind(1))
        """,
        {
            "helper": "import dataclasses\n@dataclasses.dataclass\nclass Kind:\n    a: int\n"
            "    def __str__(self): return 111\n"
        },
    ),
    "an import that may fail": (
        """
        def f():
            try:
                from helper import value
            except ImportError:
                from nowhere import value
            return value()
        """,
        {"helper": HELPER},
    ),
    "a module that may be another one": (
        """
        def f():
            try:
                import helper as module
            except ImportError:
                import nowhere as module
            return module.value()
        """,
        {"helper": HELPER},
    ),
    "one of two imports": (
        """
        def f(x):
            if x:
                from helper import value
            else:
                from json import loads as value
            return value()
        """,
        {"helper": HELPER},
    ),
    "an import into a global variable": (
        """
        module = None
        def load():
            global module
            import helper as module
        def f():
            load()
            return module.value()
        """,
        {"helper": HELPER},
    ),
    "an import into a variable of an outer function": (
        """
        def make():
            value = None
            def load():
                nonlocal value
                from helper import value
            def get():
                load()
                return value()
            return get
        f = make()
        """,
        {"helper": HELPER},
    ),
    "a module that is an attribute of a class": (
        """
        class A:
            import helper
            def g(self): return self.helper.value()
        def f(): return A().g()
        """,
        {"helper": HELPER},
    ),
    "the fields of one of two classes": (
        """
        import dataclasses, sys
        if sys.argv:
            @dataclasses.dataclass
            class A:
                one: int = dataclasses.field(default_factory=lambda: 111)
        else:
            @dataclasses.dataclass
            class A:
                other: int = 2
        def f(): return A()
        """,
    ),
    "the members of one of two enumerations": (
        """
        import enum, sys
        if sys.argv:
            class A(enum.Enum):
                one = 111
        else:
            class A(enum.Enum):
                one = 2
        def f(): return A.one.value
        """,
    ),
    "what its module sets in a class that the task changes": (
        """
        class Model:
            rate = 1
            known = {}
        class Other: pass
        Model.rate = 111
        def f(x):
            other = Other()
            other.rate = 2
            return Model.rate
        """,
    ),
    "what its module fills in a class that the task fills": (
        """
        def first(): return 111
        class Model:
            known = {}
        Model.known["a"] = first()
        def f(x):
            Model.known["b"] = x
            return Model.known
        """,
    ),
    "a module that is imported by a text at the top": (
        """
        import importlib
        module = importlib.import_module("helper")
        def f(): return module.value()
        """,
        {"helper": HELPER},
    ),
    "a loaded module by a text at the top": (
        """
        import sys
        import helper
        module = sys.modules["helper"]
        def f(): return module.value()
        """,
        {"helper": HELPER},
    ),
    "a module whose name its package deletes": (
        """
        from package import value
        def f(): return value()
        """,
        {
            "package/__init__": "from . import inner\nvalue = inner.value\ndel inner\n",
            "package/inner": HELPER,
        },
    ),
    "the type of a function of singledispatch": (
        """
        import functools
        @functools.singledispatch
        def g(x): return 0
        @g.register
        def _(x: int): return 1
        def f(): return g(1)
        """,
        {},
        TYPE,
    ),
    "the type of a method of singledispatch": (
        """
        import functools
        class A:
            @functools.singledispatchmethod
            def g(self, x): return 0
            @g.register
            def _(self, x: int): return 1
        def f(): return A().g(1)
        """,
        {},
        TYPE,
    ),
    "a class that annotations name in texts": (
        """
        import typing
        class B:
            size = 111
        class A:
            one: "B"
            many: "typing.Optional[typing.List[B]]" = None
            literal: typing.Literal["f"] = "f"
        def f(): return typing.get_type_hints(A)["one"].size
        """,
    ),
    "a generator at the top": (
        """
        def g():
            yield 111
        numbers = g()
        def f(): return next(numbers)
        """,
    ),
    "what an iterator is made of": (
        """
        def add(x): return x + 111
        START = [1]
        numbers = map(add, START)
        def f(): return next(numbers)
        """,
    ),
    "an iterator that is set below except": (
        """
        try:
            import nowhere
        except ImportError:
            with open(__file__):
                numbers = iter([111])
        def f(): return next(numbers)
        """,
    ),
    "what a function without source catches": (
        """
        NAMES = {}
        exec("def g(a, b):\\n a()\\n try: b()\\n except ValueError: return 1", NAMES)
        g = NAMES["g"]
        def f(): return g(print, print)
        """,
        {},
        (r"a()\n try: b()", r"try: a(); b()"),
    ),
}


def ids(folder, files):
    for name, text in {**files, "run": RUN}.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(folder)])}
    done = subprocess.run(
        [sys.executable, "run.py"], cwd=folder, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("name", PROGRAMS)
def test_an_edit_of_what_is_easy_to_miss_changes_the_id(name, tmp_path):
    program, more, (old, new) = (*PROGRAMS[name], *DEFAULTS[len(PROGRAMS[name]) :])
    files = {"program": textwrap.dedent(program), **more}
    edited = {each: text.replace(old, new) for each, text in files.items()}
    assert edited != files
    before, after = ids(tmp_path / "before", files), ids(tmp_path / "after", edited)
    assert before[0] != after[0]
    assert before[1] != after[1]
