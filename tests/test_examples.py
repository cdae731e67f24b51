"""Runs each example as a user does: in a process of its own, on a copy of the folder."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import bandsaw

ROOT = Path(__file__).resolve().parent.parent
UNTRACKED = shutil.ignore_patterns(".cache", "results", "runs.sqlite*", "__pycache__")


@pytest.fixture
def examples(tmp_path):
    """A copy of all examples, since one uses another's files."""
    return shutil.copytree(ROOT / "examples", tmp_path / "examples", ignore=UNTRACKED)


def run(script, *arguments, cwd, **variables):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("BANDSAW_")}
    environment.update(variables)
    # Works for an installed bandsaw as well as for a checkout that is not installed.
    environment["PYTHONPATH"] = str(Path(bandsaw.__file__).parent.parent)
    return subprocess.run(
        [sys.executable, str(script), *arguments],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        timeout=500,
    )


@pytest.mark.slow
def test_the_second_run_of_the_quick_start_is_served_by_the_cache(examples, tmp_path):
    script = examples / "quickstart" / "workflow.py"

    first = run(script, cwd=tmp_path)
    second = run(script, cwd=tmp_path)

    assert first.returncode == 0, first.stdout
    assert second.returncode == 0, second.stdout
    counted, processes, served = figures(first)
    assert counted == processes > 10
    assert served == 0
    assert figures(second) == (0, 0, counted)
    assert table(first) == table(second)
    assert (examples / "quickstart" / ".cache").is_dir()


def figures(process):
    """How many packages were counted, in how many processes, and served by the cache."""
    pattern = r"(\d+) packages counted in (\d+) processes, (\d+) served by the cache"
    found = re.search(pattern, process.stdout)
    assert found, process.stdout
    return tuple(int(number) for number in found.groups())


def table(process):
    """What was printed above the last line, which names the time that was needed."""
    return process.stdout.splitlines()[:-1]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="the example's sshd.py is for POSIX")
def test_the_remote_example_is_complete_although_a_machine_breaks_down(examples, tmp_path):
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    process = run(examples / "remote" / "run.py", cwd=tmp_path, TMPDIR=str(temporary))

    if process.returncode != 0 and "needs an SSH server" in process.stdout:
        assert not os.environ.get("CI"), process.stdout
        pytest.skip(process.stdout)
    assert process.returncode == 0, process.stdout
    assert process.stdout.endswith("\n78,498 primes below 1,000,000: right\n"), process.stdout
    assert "\n20 of 20 parts counted: " in process.stdout
    after = process.stdout.partition("machine b breaks down")[2]
    assert "Task primes.count is run again" in after, process.stdout
    assert list(temporary.iterdir()) == []


def test_models_are_scored_once_and_come_back_as_files(examples, tmp_path):
    for package in ("sklearn", "matplotlib"):
        pytest.importorskip(package)
    folder = examples / "models"
    workflow = folder / "workflow.py"
    text = workflow.read_text()
    small, changed = re.subn(r"(?s)GRID = {.*?\n}", 'GRID = {"logistic": ("C", [0.1, 1])}', text)
    assert changed == 1
    workflow.write_text(small)

    first = run(workflow, cwd=folder)
    (folder / "results" / "model.joblib").unlink()
    workflow.write_text(small.replace("[0.1, 1]", "[0.1, 1, 10]"))
    second = run(workflow, cwd=folder)

    assert first.returncode == second.returncode == 0, first.stdout + second.stdout
    assert first.stdout.count("scoring") == 2
    assert re.findall("scoring (.*)", second.stdout) == ["logistic C 10"]
    assert (folder / "results" / "model.joblib").stat().st_size > 100
    assert (folder / "results" / "models.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="an executor's worker needs POSIX")
def test_the_engines_example_walks_in_processes(examples, tmp_path):
    process = run(examples / "engines" / "workflow.py", cwd=examples, TMPDIR=str(tmp_path))
    assert process.returncode == 0, process.stdout
    assert process.stdout.endswith("32 walks of 2000 steps: 46.35, expected 44.72\n")
    shown = (examples / "engines" / "README.md").read_text(encoding="utf-8").splitlines()
    first, *_, last = process.stdout.splitlines()
    assert shown.index(f"    {first}") < shown.index(f"    {last}")


@pytest.mark.network
@pytest.mark.slow
def test_one_workflow_uses_two_versions_of_numpy(examples, tmp_path):
    script = examples / "conflicting_dependencies" / "workflow.py"

    process = run(script, cwd=tmp_path, BANDSAW_HOME=str(tmp_path / "home"))

    if re.search("No Python .* was found", process.stdout) and not os.environ.get("CI"):
        pytest.skip(process.stdout)
    assert process.returncode == 0, process.stdout
    assert re.search(r"^NumPy +1\.26\.\d+ +2\.\d+\.\d+$", process.stdout, re.MULTILINE)
    gini = re.search(
        r"^Gini coefficient +([\d.]+) \(.*?\) +([\d.]+) ", process.stdout, re.MULTILINE
    )
    assert gini[1] == gini[2]
    assert re.search(r"margin of 100 +\d+ \(int64\) +\d+ \(uint8\)", process.stdout)

    second = run(script, cwd=tmp_path, BANDSAW_HOME=str(tmp_path / "home"))

    assert process.stdout.count("bandsaw: making an environment") == 2
    assert process.stdout.endswith(second.stdout)
