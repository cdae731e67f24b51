"""On the same machine code is loaded from where it lies, in each kind of process."""

import json
import sys
import zipfile

import pytest

from tests.conftest import Project

CONFIGURATION = """
import bandsaw
from bandsaw.advices.subprocess import SubprocessAdvice

other = bandsaw.Interpreter(executable={other!r})
configuration = bandsaw.Configuration().add_advice_chain(SubprocessAdvice({options}))
"""
KINDS = {
    "own": "",
    "kept": "workers=1",
    "spawned": "fork=False",
    "other interpreter": "interpreter=other",
    "other interpreter, kept": "interpreter=other, workers=1",
}
# Runs on each Python that is supported.
WORKFLOW = """
import importlib, importlib.resources, inspect, json, os, subprocess, sys
from pathlib import Path
import bandsaw
import pkg.edited, space.inner, zipped

HERE = Path(__file__).parent
HOME = Path(os.environ["BANDSAW_HOME"])

@bandsaw.task
def beside_a_script():
    return (HERE / "beside.csv").read_text()

@bandsaw.task
def in_a_package():
    return pkg.edited.read()

@bandsaw.task
def resources():
    return (importlib.resources.files("pkg") / "data" / "x.txt").read_text()

@bandsaw.task
def computed():
    return importlib.import_module("pkg.plugins." + "one").value

@bandsaw.task
def own_script():
    script = Path(pkg.__file__).parent / "script.py"
    return subprocess.check_output([sys.executable, str(script)], universal_newlines=True).strip()

@bandsaw.task
def edited():
    return pkg.edited.value, pkg.edited.late()

@bandsaw.task
def files():
    return [__file__, pkg.__file__, space.inner.__file__, pkg.__spec__.origin, zipped.__file__,
            inspect.getsource(pkg.edited.late), list(pkg.__path__)]

@bandsaw.task
def nested():
    return computed(), in_a_package()

if __name__ == "__main__":
    tasks = (beside_a_script, in_a_package, resources, computed, own_script, nested)
    found = {task.__name__: task() for task in tasks}
    found["files"] = [files(), files.__wrapped__()]
    found["edited"] = [edited()]
    for name in ("edited", "late"):
        path = HERE / "pkg" / (name + ".py")
        path.write_text(path.read_text().replace("1", "2222"))
    # Two modules of one call, both as they were.
    found["edited"].append(edited())
    importlib.reload(sys.modules["pkg.late"])
    importlib.reload(pkg.edited)
    found["edited"].append(edited())
    path.unlink()
    found["edited"].append(edited())
    found["kept"] = sorted(os.listdir(HOME)) if HOME.exists() else []
    print(json.dumps(found))
"""


@pytest.fixture(scope="module", params=KINDS)
def found(request, other_python, tmp_path_factory):
    base = tmp_path_factory.mktemp("in-place")
    folder, temporary = base / "project", base / "temporary"
    folder.mkdir()
    temporary.mkdir()
    project = Project(folder, temporary)
    configuration = CONFIGURATION.format(other=str(other_python), options=KINDS[request.param])
    project.write("bandsaw_config.py", configuration)
    project.write("workflow.py", WORKFLOW)
    project.write("beside.csv", "beside")
    project.write("pkg/__init__.py", "")
    project.write("pkg/data/x.txt", "data")
    project.write("pkg/script.py", "print('script')")
    project.write("pkg/plugins/__init__.py", "")
    project.write("pkg/plugins/one.py", "value = 5")
    project.write("pkg/late.py", "value = 1")
    project.write(
        "pkg/edited.py",
        """
        from pathlib import Path
        from . import late as _late
        value = 1
        def late():
            return _late.value
        def read():
            return Path(__file__).with_name("data").joinpath("x.txt").read_text()
        """,
    )
    project.write("space/inner.py", "")
    archive = base / "zipped.zip"
    with zipfile.ZipFile(archive, "w") as made:
        made.writestr("zipped/__init__.py", "value = 1")
    home = base / "home"
    variables = project.environment([str(archive)], BANDSAW_HOME=str(home))
    done = project.run("workflow.py", **variables)
    return folder, request.param, json.loads(done.stdout)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("beside_a_script", "beside"),
        ("in_a_package", "data"),
        ("resources", "data"),
        ("computed", 5),
        ("own_script", "script"),
        ("nested", [5, "data"]),
    ],
)
def test_what_lies_beside_the_code_is_there(found, name, expected):
    assert found[2][name] == expected


def test_modules_know_their_own_files(found):
    there, here = found[2]["files"]
    assert there == here
    assert there[0] == str(found[0] / "workflow.py")


def test_an_edit_in_the_middle_of_a_run_is_seen_after_a_reload(found):
    before, edited, reloaded, removed = found[2]["edited"]
    assert before == edited == [1, 1]
    assert reloaded == removed == [2222, 2222]


def test_nothing_is_copied_for_it(found):
    assert "archives" not in found[2]["kept"]


def test_a_package_with_a_src_layout_runs_as_a_module(project):
    (project.folder / "src").mkdir()
    project.write(
        "src/app/bandsaw_config.py", CONFIGURATION.format(other=sys.executable, options="")
    )
    project.write("src/app/__init__.py", "")
    project.write("src/app/data.txt", "data")
    project.write(
        "src/app/__main__.py",
        """
        from app.steps import read

        if __name__ == "__main__":
            print(read())
        """,
    )
    project.write(
        "src/app/steps.py",
        """
        import bandsaw
        from pathlib import Path

        @bandsaw.task(config="app.bandsaw_config")
        def read():
            return Path(__file__).with_name("data.txt").read_text()
        """,
    )
    variables = project.environment([str(project.folder / "src")])
    assert project.run("-m", "app", **variables).stdout == "data\n"


def test_no_folder_of_the_caller_is_on_the_path_of_another_interpreter(project, other_python):
    project.write(
        "bandsaw_config.py",
        CONFIGURATION.format(other=str(other_python), options=KINDS["other interpreter"]),
    )
    project.write(
        "workflow.py",
        """
        import os, sys
        import bandsaw

        @bandsaw.task
        def path():
            return sys.path

        if __name__ == "__main__":
            print(os.path.dirname(os.path.abspath(__file__)) in path())
        """,
    )
    assert project.run("workflow.py").stdout == "False\n"
