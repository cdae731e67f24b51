"""What the first call of a program costs that has some modules, in processes that do only that."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import bandsaw

TITLE = "The first call"

MODULE = """
TABLE = dict(one={index}, two=[1, 2, 3])

class C:
    def method(self, x):
        return [self.method(y) for y in x] if x else TABLE["two"]

def f(x):
    return g(x) + TABLE["one"]

def g(x):
    for y in range(x):
        x = x * y or 1
    return x
"""
FIRST_CALL = """
import sys
import bandsaw
{imports}

def total():
    return {calls}

if __name__ == "__main__":
    chain = sys.argv[1]
    (bandsaw.task(chain=chain)(total) if chain else total)()
"""
CONFIGURATION = """
import os
import bandsaw
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.subprocess import SubprocessAdvice

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(SubprocessAdvice(), name="own process")
    .add_advice_chain(SubprocessAdvice(workers=1), name="kept process")
    .add_advice_chain(SubprocessAdvice(fork=False), name="spawned process")
    .add_advice_chain(
        # Each run begins without entries, in the folder that is removed at the end.
        CachingAdvice(f"cache-{os.getpid()}"), SubprocessAdvice(), name="own process, cached"
    )
)
"""


def main(bench):
    """Measures programs of ten and of a thousand modules."""
    for number in (10, 1000):
        with tempfile.TemporaryDirectory() as name:
            _first_call(bench, Path(name), number)


def _first_call(bench, folder, number):
    """Measures a whole program whose only call reaches all modules of a package."""
    package = folder / "project"
    package.mkdir()
    imports = "".join(f"from project import m{index}\n" for index in range(number))
    (package / "__init__.py").write_text("")
    for index in range(number):
        (package / f"m{index}.py").write_text(MODULE.format(index=index))
    calls = " + ".join(f"m{index}.f(1)" for index in range(number))
    # Not one long expression, which the parser refuses.
    calls = "sum([" + calls.replace(" + ", ", ") + "])"
    (folder / "workflow.py").write_text(FIRST_CALL.format(imports=imports, calls=calls))
    (folder / "bandsaw_config.py").write_text(CONFIGURATION)
    environment = {
        **os.environ,
        "PYTHONPATH": str(Path(bandsaw.__file__).parent.parent),
        "BANDSAW_HOME": str(folder / "home"),
    }

    def program(chain):
        command = [sys.executable, str(folder / "workflow.py"), chain]
        return lambda: subprocess.run(command, check=True, cwd=folder, env=environment)

    names = ("own process", "kept process", "spawned process", "own process, cached")
    bench.compare(
        f"The first call of a program of {number} modules",
        floors={"called in place": program("")},
        ours={name: program(name) for name in names},
    )
