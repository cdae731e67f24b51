"""What it costs to import bandsaw and to build an archive, in processes that do only that."""

import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipapp
from pathlib import Path

import bandsaw

from . import workers_tasks

TITLE = "Start, import and archives"

USE = "import bandsaw; bandsaw.task; bandsaw.Configuration()"
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
import tempfile
import bandsaw
from bandsaw.advices.cache import CachingAdvice
from bandsaw.advices.subprocess import SubprocessAdvice

configuration = (
    bandsaw.Configuration()
    .add_advice_chain(SubprocessAdvice(), name="own process")
    .add_advice_chain(SubprocessAdvice(workers=1), name="kept process")
    .add_advice_chain(SubprocessAdvice(fork=False), name="spawned process")
    .add_advice_chain(
        CachingAdvice(tempfile.mkdtemp()), SubprocessAdvice(), name="own process, cached"
    )
)
"""


def main(bench):
    """Measures everything."""

    def program(text):
        command = [sys.executable, "-c", text]
        return lambda: subprocess.run(command, check=True)

    peers = {
        f"import {name}": program(f"import {name}")
        for name in ("joblib", "execnet", "distributed")
        if importlib.util.find_spec(name)
    }
    bench.compare(
        "Start and import",
        floors={
            "python -c pass": program("pass"),
            "import json, logging, pathlib": program("import json, logging, pathlib"),
        },
        ours={"import bandsaw, and use it": program(USE)},
        peers=peers,
    )

    module = workers_tasks.configuration.module_name
    with tempfile.TemporaryDirectory() as name:
        folder, archive = Path(name) / "source", Path(name) / "archive.pyz"
        shutil.copytree(
            Path(bandsaw.__file__).parent,
            folder / "bandsaw",
            ignore=shutil.ignore_patterns("__pycache__"),
        )

        def build():
            archive.unlink(missing_ok=True)
            assert bandsaw.distribution.DistributionArchive(archive, module).path.exists()

        def zipped():
            zipapp.create_archive(folder, archive, main="bandsaw.runner:main", compressed=True)

        bench.compare("An archive", floors={"zipapp": zipped}, ours={"build": build})

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
