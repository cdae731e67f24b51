"""On the same machine code is loaded from where it lies, in each kind of process."""

import json
import subprocess
import sys
import textwrap
import zipfile
from pathlib import Path

import pytest

from tests.conftest import ROOT, Project

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
    "environment": "interpreter=bandsaw.Environment()",
    "environment, kept": "interpreter=bandsaw.Environment(), workers=1",
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


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(kind, marks=pytest.mark.xdist_group(f"in place {kind}")) for kind in KINDS
    ],
)
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


@pytest.mark.parametrize(
    ("change", "is_told"),
    [
        ("path.write_text(path.read_text().replace('1', '2'))", True),
        ("path.write_text(path.read_text().replace('late', 'less'))", True),
        ("path.write_text(path.read_text() + ' ')", False),
        ("os.utime(path)", False),
        ("pass", False),
    ],
)
@pytest.mark.parametrize("byte_code", ["", "1"], ids=["byte code", "none"])
def test_an_edit_before_the_first_call_is_told(project, change, is_told, byte_code):
    project.write("lib.py", "value = 1\ndef late():\n    return value\n")
    script = f"""
    import os, pathlib, warnings
    import bandsaw, lib

    @bandsaw.task(chain="default")
    def work():
        return 1

    if __name__ == "__main__":
        path = pathlib.Path("lib.py")
        {change}
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always")
            work()
        print([(each.filename, "was changed" in str(each.message)) for each in told])
    """
    project.write("workflow.py", script)
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.subprocess import SubprocessAdvice
        configuration = bandsaw.Configuration().add_advice_chain(SubprocessAdvice())
        """,
    )
    shown = project.run("workflow.py", PYTHONDONTWRITEBYTECODE=byte_code).stdout.strip()
    if byte_code and "'1'" in change:
        is_told = False  # a constant, of which nobody kept what it was
    assert shown == str([(str(project.folder / "lib.py"), True)] if is_told else [])


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


# What tools leave in the folder of installed packages for one that is installed as editable.
EDITABLE = {
    "path": {"app.pth": "{src}"},
    "finder": {
        "app.pth": "import app_finder; app_finder.install()",
        "app_finder.py": """
            import importlib.util, sys

            class Finder:
                @staticmethod
                def find_spec(name, path=None, target=None):
                    if name == "app":
                        found, folders = {src!r} + "/app/__init__.py", [{src!r} + "/app"]
                        return importlib.util.spec_from_file_location(
                            name, found, submodule_search_locations=folders
                        )

            def install():
                sys.meta_path.append(Finder)
            """,
    },
}


@pytest.mark.parametrize("options", ["", "workers=1", "fork=False", "interpreter=other"])
@pytest.mark.parametrize("left", EDITABLE.values(), ids=EDITABLE)
def test_a_package_that_is_installed_as_editable(project, other_python, left, options):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", "venv"], cwd=project.folder)
    python = project.folder / "venv" / "bin" / "python"
    asked = [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.check_output(asked, text=True).strip()).relative_to(project.folder)
    src = str(project.folder / "src")
    for name, text in left.items():
        project.write(site / name, textwrap.dedent(text).format(src=src))
    project.write(
        site / "app-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: app\nVersion: 1.0"
    )
    project.write(site / "app-1.0.dist-info/RECORD", "\n".join([*left, "app-1.0.dist-info/RECORD"]))
    project.write(
        site / "app-1.0.dist-info/direct_url.json",
        json.dumps({"url": "file://" + src, "dir_info": {"editable": True}}),
    )
    project.write(
        "src/app/__init__.py",
        """
        import importlib, importlib.resources, subprocess, sys
        import bandsaw
        from pathlib import Path

        @bandsaw.task
        def read():
            beside = Path(__file__).parent
            return [
                (beside / "data" / "x.txt").read_text(),
                (importlib.resources.files("app") / "data" / "x.txt").read_text(),
                importlib.import_module("app." + "late").value,
                subprocess.check_output([sys.executable, str(beside / "script.py")]).decode(),
                __file__,
            ]
        """,
    )
    project.write("src/app/data/x.txt", "data")
    project.write("src/app/late.py", "value = 1")
    project.write("src/app/script.py", "print('script', end='')")
    project.write(
        "run/bandsaw_config.py", CONFIGURATION.format(other=str(other_python), options=options)
    )
    project.write("run/workflow.py", "import app\nif __name__ == '__main__': print(app.read())")
    variables = project.environment([str(ROOT)])
    done = subprocess.run(
        [str(python), "workflow.py"], cwd=project.folder / "run", env=variables,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    expected = ["data", "data", 1, "script", src + "/app/__init__.py"]
    assert done.stdout == f"{expected}\n", done.stderr


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
