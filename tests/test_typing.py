"""Runs the typing tests: what a type checker accepts of the public API, and what it refuses."""

import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bandsaw

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "tests" / "typing"


@pytest.mark.slow
def test_a_type_checker_accepts_and_refuses_what_it_should(tmp_path):
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path)]
    done = subprocess.run([*command, "tests/typing"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_pyright_reads_the_types_of_tasks_and_futures_as_well():
    if importlib.util.find_spec("pyright") is None:
        pytest.skip("pyright, which brings a program that is no Python, is in the extra 'dev'")
    command = [sys.executable, "-m", "pyright", "--pythonpath", sys.executable]
    done = subprocess.run(
        [*command, "tests/typing/decorator.py"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_typing_tests_use_the_whole_facade_and_every_public_class():
    text = "".join(path.read_text(encoding="utf-8") for path in FOLDER.glob("*.py"))
    used = set(re.findall(r"\w+", text))
    reference = "".join(
        page.read_text(encoding="utf-8") for page in (ROOT / "docs" / "reference").glob("*.md")
    )
    names = set(bandsaw.__all__)
    for module_name in re.findall(r"^::: (bandsaw\.[a-z.]+)$", reference, re.MULTILINE):
        for name, value in vars(importlib.import_module(module_name)).items():
            is_ours = inspect.isclass(value) and value.__module__ == module_name
            if is_ours and not name.startswith("_"):
                names.add(name)
    assert names - used == set()
