"""Runs test suites of packages from the index with the packages' functions as tasks.

    python -m tests.faults.suites [NAME ...]

Each suite runs twice: as it is, and with all public functions of the package made tasks that run in
kept processes. Prints the tests that pass at first and fail then. They are to be read: a function
that changes its argument in place, or whose result is compared by identity, cannot run elsewhere.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from .ssh_server import ROOT

# By the name on the index: the package, and where its tests are.
SUITES = {
    "tabulate": ("tabulate", "test"),
    "toolz": ("toolz", "toolz/tests"),
    "boltons": ("boltons", "tests"),
    "python-dateutil": ("dateutil", "tests"),
    "sqlparse": ("sqlparse", "tests"),
    "webcolors": ("webcolors", "tests"),
    "humanize": ("humanize", "tests"),
}
PLUGIN = """
import functools, importlib, inspect, os, pkgutil, sys, types
import bandsaw

NAME = os.environ["AS_TASKS"]


def _where_it_can(function):
    # What cannot be sent is refused in words, which is no fault.
    task = bandsaw.task(config="tasks_config")(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        try:
            return task(*args, **kwargs)
        except bandsaw.errors.UnserializableError:
            return function(*args, **kwargs)

    return call


def pytest_configure(config):
    package = importlib.import_module(NAME)
    for found in pkgutil.walk_packages(getattr(package, "__path__", []), NAME + "."):
        if "test" not in found.name and "__main__" not in found.name:
            try:
                importlib.import_module(found.name)
            except Exception:
                pass
    modules = [m for n, m in list(sys.modules.items()) if (n + ".").startswith(NAME + ".")]
    made = {}
    for module in modules:
        for name, value in list(vars(module).items()):
            if type(value) is not types.FunctionType or name.startswith("_"):
                continue
            if value.__module__ not in [each.__name__ for each in modules]:
                continue
            if inspect.isgeneratorfunction(value) or "<locals>" in value.__qualname__:
                continue
            if vars(sys.modules[value.__module__]).get(value.__qualname__) is value:
                made[id(value)] = value, None
    for key, (value, _) in list(made.items()):
        made[key] = value, _where_it_can(value)
    for module in modules:
        for name, value in list(vars(module).items()):
            if id(value) in made:
                setattr(module, name, made[id(value)][1])
    print(len(made), "functions are tasks")
"""
CONFIGURATION = """
import bandsaw
from bandsaw.advices.subprocess import SubprocessAdvice

configuration = bandsaw.Configuration().add_advice_chain(SubprocessAdvice(workers=1))
"""


def main(names):
    """Runs the suites; returns 1 if a test has passed at first only."""
    lost = 0
    for name in names or SUITES:
        with tempfile.TemporaryDirectory() as folder:
            lost += _compare(name, Path(folder))
    return 1 if lost else 0


def _compare(name, folder):
    package, tests = SUITES[name]
    download = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", name]
    subprocess.run([*download, "-d", str(folder), name], check=True)
    with tarfile.open(next(folder.glob("*.tar.gz"))) as archive:
        archive.extractall(folder / "source")
    project = next((folder / "source").iterdir())
    if (project / "src").is_dir():
        (project / "src" / package).rename(project / package)
    for left in ("pytest.ini", "tox.ini", "setup.cfg", "pyproject.toml"):
        # Options of the project's own, for plugins that are not here.
        (project / left).unlink(missing_ok=True)
    (project / "as_tasks.py").write_text(PLUGIN)
    (project / "tasks_config.py").write_text(CONFIGURATION)
    before, after = _passed(project, tests), _passed(project, tests, package)
    lost = sorted(before - after)
    print(f"{name}: {len(before)} tests pass, {len(lost)} of them fail with tasks", flush=True)
    for test in lost:
        print(f"    {test}")
    return len(lost)


def _passed(project, tests, package=None):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}{os.pathsep}{project}"}
    command = [sys.executable, "-m", "pytest", "-q", "-rA", "--tb=short", "-p", "no:cacheprovider"]
    command += ["-p", "no:xdist", "-p", "no:randomly", tests]
    if package is not None:
        command[3:3] = ["-p", "as_tasks"]
        environment["AS_TASKS"] = package
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    kept = os.environ.get("SUITES_OUTPUT")
    if kept and package:
        Path(kept, f"{package}.txt").write_text(done.stdout + done.stderr)
    return set(re.findall(r"^PASSED (.+)$", done.stdout, re.M))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
