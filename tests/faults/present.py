"""Edits a program at random while it runs, and compares each call with the plain function.

    python -m tests.faults.present --steps 10000

A program of functions, constants, classes, a closure, a registry and containers is edited
in memory, in place, by mocks, and on the disk with a reload. Its task is called in place, in an own
and in a kept process. Each result has to be that of the present code, after a reload that of the
files: else an earlier call was served, or has left a result under the id of other code. After a
reload each state of the files has one id, whatever the program was before: another one would be
computed for nothing. One task imports a module of the same kind only when it runs: its id is read
while that is loaded, edited and forgotten.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path

CONFIGURATION = """
import bandsaw
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.subprocess import SubprocessAdvice

cache = CachingAdvice(".cache")
configuration = (
    bandsaw.Configuration()
    .add_advice_chain(cache)
    .add_advice_chain(cache, SubprocessAdvice(), name="own")
    .add_advice_chain(cache, SubprocessAdvice(workers=1), name="kept")
)
"""
LIBRARY = """
import fractions, math

RATE = {rate}
TABLE = {{"a": {table}}}
HANDLERS = []

def handler(function):
    HANDLERS.append(function)
    return function

@handler
def first(x):
    return x + {first}

class Shape:
    sides = {sides}

    def area(self, x):
        return x * self.sides + {area}

    def __len__(self):
        return {area}

    @property
    def name(self):
        return {sides}

def closure(y):
    def inner(x):
        return x + y
    return inner

ADD = closure({add})
SHAPE = Shape()

def by_default(x, options={{"a": 0}}):
    return options["a"]

def total(x):
    more = len(SHAPE) + SHAPE.name + by_default(x) + int(math.tau) + int(fractions.Fraction(3).real)
    return more + RATE + TABLE["a"] + sum(h(x) for h in HANDLERS) + SHAPE.area(x) + ADD(x)
"""
STEPS = """
import bandsaw
import lib

@bandsaw.task
def place(x):
    return lib.total(x)

@bandsaw.task(chain="own")
def own(x):
    return lib.total(x)

@bandsaw.task(chain="kept")
def kept(x):
    return lib.total(x)

@bandsaw.task
def lately(x):
    import late
    return late.total(x)
"""
DRIVER = """
import fractions, importlib, math, os, random, sys, warnings
from unittest import mock

import lib, steps

warnings.simplefilter("ignore")
dice = random.Random({seed})
TEXT = {text!r}
values = dict(rate=1, table=2, first=3, sides=4, area=5, add=6)
stamp = [1]
TAU = math.tau

def write():
    stamp[0] += 1
    for name in ("lib.py", "late.py"):
        with open(name, "w") as file:
            file.write(TEXT.format(**values))
        os.utime(name, (stamp[0], stamp[0]))

def reload():
    importlib.reload(lib)
    lib.math.tau = TAU
    if "real" in vars(fractions.Fraction):
        del fractions.Fraction.real
    if "late" in sys.modules:
        importlib.reload(sys.modules["late"])

def late():
    return importlib.import_module("late")

def plain_late(x):
    return late().total(x)

def edit_file():
    values[dice.choice(list(values))] = dice.randrange(100)
    write()
    reload()

def number():
    return dice.randrange(100)

EDITS = [
    edit_file,
    lambda: setattr(lib, "RATE", number()),
    lambda: lib.TABLE.__setitem__("a", number()),
    lambda: lib.HANDLERS.append(eval("lambda x: " + str(number()))),
    lambda: len(lib.HANDLERS) > 1 and lib.HANDLERS.pop(),
    lambda: setattr(lib.Shape, "sides", number()),
    lambda: setattr(lib.Shape, "area", eval("lambda self, x: " + str(number()))),
    lambda: setattr(lib.SHAPE, "sides", number()),
    lambda: setattr(lib, "ADD", lib.closure(number())),
    lambda: setattr(lib, "SHAPE", type("Other", (lib.Shape,), dict(sides=number()))()),
    lambda: setattr(lib.Shape, "__len__", eval("lambda self: " + str(number()))),
    lambda: setattr(lib.Shape, "name", property(eval("lambda self: " + str(number())))),
    lambda: setattr(lib.by_default, "__defaults__", ({{"a": number()}},)),
    lambda: lib.by_default.__defaults__[0].update(a=number()),
    lambda: setattr(lib.math, "tau", number()),
    lambda: setattr(lib.math, "tau", TAU),
    lambda: setattr(fractions.Fraction, "real", property(eval("lambda self: " + str(number())))),
    reload,
    reload,
    lambda: sys.modules.pop("late", None),
    lambda: setattr(late(), "RATE", number()),
    lambda: late().TABLE.__setitem__("a", number()),
    lambda: late().HANDLERS.append(eval("lambda x: " + str(number()))),
    lambda: setattr(late().Shape, "area", eval("lambda self, x: " + str(number()))),
    lambda: setattr(late().SHAPE, "sides", number()),
    lambda: setattr(late(), "ADD", late().closure(number())),
]

write()
reload()
stale, calls, ids, late_ids = 0, 0, {{}}, {{}}
steps.lately.bandsaw_task.task_id
for step in range({steps}):
    dice.choice(EDITS)()
    x = dice.randrange(2)
    plain = lib.total(x)
    with mock.patch("lib.RATE", 1000) if step % 50 == 49 else mock.patch.dict({{}}):
        plain = lib.total(x)
        for _ in range(2):
            calls += 1
            if steps.place(x) != plain:
                stale += 1
                print("stale:", step, x, steps.place(x), plain, file=sys.stderr)
    calls += 1
    found = steps.lately(x)
    if found != plain_late(x):
        stale += 1
        print("stale, late:", step, x, found, plain_late(x), file=sys.stderr)
    if step % 10 == 0:
        # What another process computes is what its files say.
        reload()
        plain = lib.total(x)
        for task in (steps.own, steps.kept):
            calls += 1
            if task(x) != plain:
                stale += 1
                print("stale:", task, step, x, file=sys.stderr)
    elif step % 10 == 5:
        steps.own(x), steps.kept(x)
    if step % 10 in (0, 5):
        # As a new process that loads these files would ask.
        reload()
        plain = lib.total(x)
        state, an_id = tuple(values.values()), steps.place.bandsaw_task.task_id
        if ids.setdefault(state, an_id) != an_id or ids.setdefault(an_id, state) != state:
            stale += 1
            print("another id of", state, an_id, ids[state], file=sys.stderr)
        if dice.randrange(2):
            sys.modules.pop("late", None)
        an_id = steps.lately.bandsaw_task.task_id
        if late_ids.setdefault(state, an_id) != an_id or late_ids.setdefault(an_id, state) != state:
            stale += 1
            print("another late id of", state, an_id, late_ids[state], file=sys.stderr)
        calls += 3
        found = [steps.place(x), steps.own(x), steps.kept(x)]
        if found != [plain] * 3:
            stale += 1
            print("poisoned:", step, x, found, plain, file=sys.stderr)
print(stale, calls)
"""


def run(folder, seed, steps):
    """Edits and calls one program; returns how many results were wrong, and how many were seen."""
    folder = Path(folder)
    (folder / "bandsaw_config.py").write_text(CONFIGURATION)
    first = {"rate": 1, "table": 2, "first": 3, "sides": 4, "area": 5, "add": 6}
    (folder / "lib.py").write_text(LIBRARY.format(**first))
    (folder / "steps.py").write_text(STEPS)
    driver = DRIVER.format(seed=seed, steps=steps, text=LIBRARY)
    (folder / "driver.py").write_text(textwrap.dedent(driver))
    root = str(Path(__file__).resolve().parent.parent.parent)
    environment = {**os.environ, "PYTHONPATH": root, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "driver.py"], cwd=folder, env=environment, capture_output=True, text=True
    )
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    sys.stderr.write(done.stderr[-2000:])
    stale, calls = map(int, done.stdout.split())
    return stale, calls


def main():
    """Runs programs until there were so many steps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    arguments = parser.parse_args()
    stale = calls = 0
    for number in range(max(1, arguments.steps // 500)):
        with tempfile.TemporaryDirectory() as folder:
            found, made = run(folder, arguments.seed + number, min(500, arguments.steps))
            stale, calls = stale + found, calls + made
    print(f"seed {arguments.seed}: {calls} calls, {stale} wrong")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
