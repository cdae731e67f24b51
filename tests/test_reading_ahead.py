"""Another process that reads the modules of a large package while an id is made of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import bandsaw
from bandsaw._identity import kept_outlines, reading_ahead

ROOT = str(Path(bandsaw.__file__).parents[1])
LONG = "# " + "long enough to be kept " * 200
MANY = 60
MODULE = f"""{LONG}
from package import m{{other}}
TABLE = {{{{"a": {{number}}}}}}

def f(x):
    return m{{other}}.f(x) + TABLE["a"]

class Kind:
    def method(self):
        self.count = f(1)
"""
WORKFLOW = """
import sys
import bandsaw
from bandsaw._identity import reading_ahead

@bandsaw.task
def task(x):
    import package.m0
    return package.m0.f(x)

if __name__ == "__main__":
    reading_ahead.processors = lambda: int(sys.argv[1])
    started, start = [], reading_ahead.note
    def note(module):
        start(module)
        if reading_ahead._process not in (None, *started):
            started.append(reading_ahead._process)
    reading_ahead.note = note
    print(task.bandsaw_task.task_id, [each.wait() for each in started])
"""


@pytest.fixture
def folder(tmp_path):
    package = tmp_path / "package"
    (package / "inner").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "inner" / "__init__.py").write_text(LONG)
    (package / "broken.py").write_text(f"{LONG}\ndef f(:\n")
    for number in range(MANY):
        text = MODULE.format(number=number, other=(number + 1) % MANY)
        (package / f"m{number}.py").write_text(text)
    (tmp_path / "workflow.py").write_text(WORKFLOW)
    (tmp_path / "bandsaw_config.py").write_text(
        "import bandsaw\nconfiguration = bandsaw.Configuration()\n"
    )
    return tmp_path


def environment(home):
    return {**os.environ, "BANDSAW_HOME": str(home), "PYTHONPATH": ROOT}


def start(folder, home):
    command = [sys.executable, "-I", "-c", reading_ahead._PROGRAM.format(ROOT)]
    request = {"path": [str(folder), *sys.path], "folder": str(folder / "package")}
    process = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment(home))
    process.stdin.write(json.dumps(request).encode() + b"\n")
    process.stdin.flush()
    return process


def test_it_keeps_what_each_large_module_says(folder, tmp_path, monkeypatch):
    home = tmp_path / "home"
    process = start(folder, home)
    assert process.wait(300) == 0
    process.stdin.close()
    monkeypatch.setenv("BANDSAW_HOME", str(home))
    for path in folder.glob("package/**/*.py"):
        facts = kept_outlines.read(path.read_bytes())
        assert (facts is not None) == (path.name != "broken.py" and path.stat().st_size > 0), path
        if path.stem.startswith("m"):
            assert {"f", "Kind", "TABLE"} <= facts.top.names


def test_it_ends_when_nobody_waits_for_it(folder, tmp_path):
    process = start(folder, tmp_path / "home")
    process.stdin.close()
    assert process.wait(300) == 0
    kept = list((tmp_path / "home").glob("**/*")) if (tmp_path / "home").exists() else []
    assert len([path for path in kept if path.is_file()]) < MANY


def test_an_id_of_many_modules_is_the_same_with_it(folder, tmp_path):
    said = []
    for number, processors in enumerate((1, 2, 2)):
        done = subprocess.run(
            [sys.executable, "-W", "error", "workflow.py", str(processors)],
            cwd=folder,
            env=environment(tmp_path / f"home{min(number, 1)}"),
            capture_output=True,
            text=True,
            timeout=300,
        )
        said.append(done.stdout.split(maxsplit=1))
        assert not done.stderr
    (id_, none), (id_with, ended), (id_after, none_after) = said
    assert id_ == id_with == id_after
    # With what the second one kept, the third one parses nothing.
    assert [none, ended, none_after] == ["[]\n", "[0]\n", "[]\n"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("processors", lambda: 1),
        ("modules.is_far_end", True),
        ("sys.executable", "/usr/bin/editor"),
        ("sys.executable", None),
        ("kept_texts.may_be_kept", lambda: False),
    ],
)
def test_it_is_started_only_where_it_helps(monkeypatch, name, value):
    monkeypatch.setattr(reading_ahead, "processors", lambda: 2)
    assert reading_ahead._may_start()
    monkeypatch.setattr(f"bandsaw._identity.reading_ahead.{name}", value)
    assert not reading_ahead._may_start()
