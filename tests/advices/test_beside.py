"""What lies beside the code is there on another machine, too."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.conftest import Project

pytestmark = pytest.mark.xdist_group("sshd")

CONFIGURATION = """
    import subprocess
    import bandsaw
    from bandsaw.advices.ssh import Remote, SshAdvice, SshBackend

    class Steps(SshBackend):
        '''Works with files and steps only: the far side is a folder here.'''

        def create_dir(self, remote, remote_path):
            remote_path.mkdir(parents=True)

        def copy_file_to_remote(self, remote, local_path, remote_path):
            remote_path.write_bytes(local_path.read_bytes())

        def copy_file_from_remote(self, remote, remote_path, local_path):
            local_path.write_bytes(remote_path.read_bytes())

        def execute_remote(self, remote, executable, *arguments):
            subprocess.run([executable, *arguments], check=True, cwd="/")

        def delete_dir(self, remote, remote_path):
            for path in remote_path.iterdir():
                path.unlink()
            remote_path.rmdir()

    python = bandsaw.Interpreter(executable={python!r})
    ssh = SshAdvice().add_remote(
        Remote(interpreter=python, directory={far!r}, **{arguments!r})
    )
    steps = SshAdvice(backend=Steps()).add_remote(
        Remote("here", interpreter=python, directory={far!r})
    )
    configuration = bandsaw.Configuration()
    configuration.add_advice_chain({carrier})
    configuration.add_files_for_distribution("beside.csv", "sql", "*.cfg", {elsewhere!r})
"""

WORKFLOW = """
    import importlib, importlib.resources, json, subprocess, sys, warnings
    from pathlib import Path
    import bandsaw
    import pkg.edited

    HERE = Path(__file__).parent

    @bandsaw.task
    def beside_a_script():
        return [(HERE / name).read_text() for name in ("beside.csv", "sql/a/q.sql", "one.cfg")]

    @bandsaw.task
    def in_a_package():
        return (Path(pkg.__file__).parent / "data" / "x.txt").read_text()

    @bandsaw.task
    def resources():
        files = importlib.resources.files("pkg") / "data" / "x.txt"
        return files.read_text(), importlib.resources.files("space.inner") is not None

    @bandsaw.task
    def computed():
        return importlib.import_module("pkg." + "plu" + "gin").value

    @bandsaw.task
    def own_script():
        script = Path(pkg.__file__).parent / "script.py"
        return subprocess.check_output([sys.executable, script], text=True)

    @bandsaw.task
    def elsewhere():
        return (HERE / "bandsaw-files" / "elsewhere.txt").read_text()

    @bandsaw.task
    def edited():
        return pkg.edited.value

    @bandsaw.task
    def own_file():
        return __file__

    class Own(UserWarning):
        pass

    @bandsaw.task
    def warned():
        warnings.warn(Own("beware"))  # this line

    @bandsaw.task
    def not_sent(name):
        (HERE / name).read_text()

    @bandsaw.task
    def not_imported():
        importlib.import_module("hid" + "den")

    def note_of(task, *args):
        try:
            task(*args)
        except Exception as error:
            return type(error).__name__, getattr(error, "__notes__", [])

    if __name__ == "__main__":
        found = {task.__name__: task() for task in (
            beside_a_script, in_a_package, resources, computed, own_script, elsewhere, own_file
        )}
        found["edited"] = [edited()]
        (HERE / "pkg" / "edited.py").write_text("value = 2\\n")
        found["edited"].append(edited())
        importlib.reload(pkg.edited)
        found["edited"].append(edited())
        with warnings.catch_warnings(record=True) as seen:
            warned()
            found["warned"] = [
                (each.category is Own, each.filename == __file__, each.lineno) for each in seen
            ]
        warnings.simplefilter("error", Own)
        found["raised"] = note_of(warned)
        warnings.simplefilter("ignore", Own)
        found["beside"] = note_of(not_sent, "unnamed.csv")
        found["large"] = note_of(not_sent, "pkg/large.bin")
        found["nowhere"] = note_of(not_sent, "nowhere.csv")
        found["module"] = note_of(not_imported)
        print(json.dumps(found))
"""


@pytest.fixture(scope="module", params=["ssh", "steps"])
def found(request, remote_arguments, tmp_path_factory):
    base = tmp_path_factory.mktemp(request.param)
    folder, temporary, far = base / "project", base / "temporary", base / "far"
    for made in folder, temporary, far:
        made.mkdir()
    project = Project(folder, temporary)
    (base / "elsewhere.txt").write_text("elsewhere")
    project.write(
        "bandsaw_config.py",
        CONFIGURATION.format(
            python=sys.executable,
            far=str(far),
            arguments=remote_arguments,
            carrier=request.param,
            elsewhere=str(base / "elsewhere.txt"),
        ),
    )
    project.write("workflow.py", WORKFLOW)
    project.write("beside.csv", "beside")
    project.write("unnamed.csv", "unnamed")
    project.write("one.cfg", "one")
    project.write("sql/a/q.sql", "select")
    project.write("hidden.py", "")
    project.write("space/inner/__init__.py", "")
    project.write("pkg/__init__.py", "import space.inner")
    project.write("pkg/data/x.txt", "data")
    project.write("pkg/.hidden/x.txt", "")
    project.write("pkg/venv/pyvenv.cfg", "")
    project.write("pkg/plugin.py", "value = 'computed'")
    project.write("pkg/edited.py", "value = 1")
    project.write("pkg/script.py", "print(__file__.count('script'), end='')")
    with open(folder / "pkg" / "large.bin", "wb") as stream:
        stream.truncate(16 * 2**20 + 1)
    done = project.run("workflow.py", HOME=str(base / "home"), BANDSAW_HOME=str(base / "kept"))
    result = json.loads(done.stdout)
    result["stderr"], result["folder"] = done.stderr, str(folder)
    result["carrier"] = request.param
    # After an edit, in another run.
    project.write("hidden.py", "value = 1")
    project.write("pkg/plugin.py", "value = 'edited'")
    project.run("workflow.py", HOME=str(base / "home"), BANDSAW_HOME=str(base / "kept"))
    kept = (far if request.param == "ssh" else base / "kept").rglob("archives/*/pkg")
    result["kept"] = {
        name: [(place / name).stat().st_ino for place in kept]
        for kept in [list(kept)]
        for name in ("data/x.txt", "script.py", "plugin.py")
    }
    return result


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("beside_a_script", ["beside", "select", "one"]),
        ("in_a_package", "data"),
        ("resources", ["data", True]),
        ("computed", "computed"),
        ("own_script", "1"),
        ("elsewhere", "elsewhere"),
        # What runs is what was loaded here, whatever the file holds meanwhile.
        ("edited", [1, 1, 2]),
    ],
)
def test_what_lies_beside_the_code_is_there(found, case, expected):
    assert found[case] == expected


def test_the_file_of_a_module_is_one(found):
    assert not found["own_file"].startswith(found["folder"])
    assert os.path.basename(os.path.dirname(found["own_file"])).isalnum()


def test_a_failure_for_want_of_what_is_here_says_how_to_send_it(found):
    name, (note, *_) = found["beside"]
    assert name == "FileNotFoundError"
    assert os.path.join(found["folder"], "unnamed.csv") in note
    assert "add_files_for_distribution" in note
    name, (note, *_) = found["large"]
    assert "larger than 16 MB" in note
    assert found["nowhere"] == [
        "FileNotFoundError",
        ["In the call workflow.not_sent('nowhere.csv')"],
    ]
    name, (note, *_) = found["module"]
    assert name == "ModuleNotFoundError"
    assert "add_modules_for_distribution('hidden')" in note
    assert found["stderr"].count("large.bin is larger than 16 MB") == 1


def test_a_warning_is_as_if_the_task_had_run_here(found):
    text = Path(found["folder"], "workflow.py").read_text().splitlines()
    line = 1 + next(number for number, each in enumerate(text) if "this line" in each)
    assert found["warned"] == [[True, True, line]]
    assert found["raised"][0] == "Own"


def test_an_edit_leaves_the_other_files_shared(found):
    same, other, edited = found["kept"].values()
    assert len(same) > 1
    assert len(set(same)) == len(set(other)) == 1
    assert len(set(edited)) == 2
