"""What goes into the archive of a configuration, where it is kept, and how it is run."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import threading
import time
import zipfile
from pathlib import Path

import pytest

import bandsaw
from bandsaw._archive import keep, stores
from bandsaw.distribution import DistributionArchive, get_distribution_archive
from bandsaw.errors import DistributionError
from tests.conftest import lacking

pytestmark = pytest.mark.slow

MANIFEST = "bandsaw-archive.json"
CONFIGURATION = """
    import os
    import shutil
    import subprocess

    import bandsaw
    from bandsaw.advices.ssh import Remote, SshAdvice, SshBackend

    class Elsewhere(SshBackend):
        def create_dir(self, remote, remote_path):
            remote_path.mkdir(mode=0o700)
        def delete_dir(self, remote, remote_path):
            shutil.rmtree(remote_path)
        def copy_file_to_remote(self, remote, local_path, remote_path):
            shutil.copyfile(local_path, remote_path)
        def copy_file_from_remote(self, remote, remote_path, local_path):
            shutil.copyfile(remote_path, local_path)
        def execute_remote(self, remote, executable, *arguments):
            subprocess.run([executable, *arguments], check=True, cwd="/",
                           env={name: value for name, value in os.environ.items()
                                if name not in ("PYTHONPATH", "PYTHONSTARTUP")})

    there = bandsaw.Interpreter(path=[])
    remote = Remote(host="elsewhere", interpreter=there, directory=os.getcwd())
    advice = SshAdvice(backend=Elsewhere()).add_remote(remote)
    configuration = bandsaw.Configuration().add_advice_chain(advice)
"""
ARCHIVE = """
    import json
    from bandsaw.distribution import get_distribution_archive
    import workflow
    archive = get_distribution_archive(workflow.f.bandsaw_configuration)
    print(archive.path)
"""


@pytest.fixture
def home(project):
    return project.folder.parent / "home"


@pytest.fixture
def run(project, home):
    """Writes a project and runs its workflow, with nothing of it on the path of the far end."""

    def run(files, *arguments, configuration=CONFIGURATION, check=True, **variables):
        project.write("bandsaw_config.py", configuration)
        for name, text in files.items():
            project.write(name, text)
        arguments = arguments or ("workflow.py",)
        home.mkdir(mode=0o700, exist_ok=True)
        return project.run(*arguments, check=check, BANDSAW_HOME=str(home), **variables)

    return run


def workflow(body, imports=""):
    body = textwrap.indent(textwrap.dedent(body).strip(), "    ")
    return (
        f"import bandsaw\n{imports}\n\n@bandsaw.task\ndef f():\n{body}\n\n"
        "if __name__ == '__main__':\n    print(f())\n"
    )


def kept(home):
    return sorted(path.name for path in (home / "archives").iterdir())


def members(home):
    (path,) = (home / "archives").glob("*.pyz")
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(MANIFEST))["members"]


def test_first_party_modules_that_tasks_reach_are_in_it_without_being_named(run, home):
    done = run(
        {
            "workflow.py": workflow(
                "import late\nreturn shapes.area(2), late.value, plugins.call()",
                "import json\nimport shapes\nimport plugins",
            ),
            "shapes/__init__.py": "from .square import area",
            "shapes/square.py": "from . import base\ndef area(x):\n    return x * x * base.one",
            "shapes/base.py": "one = 1",
            "shapes/unused.py": "raise ImportError",
            "shapes/names.txt": "square",
            "late.py": "value = 3",
            "plugins.py": """
                import importlib
                registry = {}
                for name in ("plugin_" + letter for letter in "a"):
                    module = importlib.import_module(name)
                    registry[name] = module.hook
                def call():
                    return [hook() for hook in registry.values()]
            """,
            "plugin_a.py": "def hook():\n    return 'a'",
            "unrelated.py": "",
        }
    )
    assert done.stdout == "(4, 3, ['a'])\n"
    found = members(home)
    ours = {name for name in found if not name.startswith("bandsaw/")}
    assert ours == {
        *("__main__.py", "bandsaw_config.py", "late.py", "plugin_a.py", "plugins.py"),
        *("shapes/__init__.py", "shapes/base.py", "shapes/square.py", "workflow.py"),
        *("shapes/unused.py", "shapes/names.txt"),
    }
    assert found["workflow.py"]["why"] == "main script"
    assert found["bandsaw_config.py"]["why"] == "configuration"
    assert found["late.py"]["why"] == "reached from workflow"
    assert found["shapes/base.py"]["why"] == "package shapes, reached from workflow"


def test_the_switch_leaves_out_what_is_not_named(run, home):
    files = {"workflow.py": workflow("return helper.x", "import helper"), "helper.py": "x = 1"}
    off = CONFIGURATION + "    configuration.distribute_first_party(False)\n"
    done = run(files, configuration=off, check=False)
    assert "No module named 'helper'" in done.stderr
    assert "helper.py" not in members(home)
    shutil.rmtree(home)
    named = off + "    configuration.add_modules_for_distribution('helper')\n"
    assert run(files, configuration=named).stdout == "1\n"
    assert members(home)["helper.py"]["why"] == "named"


def test_what_is_installed_is_left_out_unless_it_is_named(run, home, tmp_path):
    site = tmp_path / "lib" / "site-packages"
    (site / "installed-1.0.dist-info").mkdir(parents=True)
    (site / "installed-1.0.dist-info" / "METADATA").write_text("Name: installed\nVersion: 1.0\n")
    (site / "installed-1.0.dist-info" / "RECORD").write_text("installed.py,,\n")
    (site / "installed.py").write_text("value = 5\n")
    files = {"workflow.py": workflow("import installed\nreturn installed.value")}
    path = os.pathsep.join([str(Path(bandsaw.__file__).parent.parent), str(site)])
    # The path reaches the process as PYTHONPATH, as every variable does.
    inherits = CONFIGURATION.replace("path=[]", f"path=[{str(site)!r}]")
    assert run(files, configuration=inherits, PYTHONPATH=path).stdout == "5\n"
    assert "installed.py" not in members(home)
    shutil.rmtree(home)
    named = CONFIGURATION + "    configuration.add_modules_for_distribution('installed')\n"
    assert run(files, configuration=named, PYTHONPATH=path).stdout == "5\n"
    assert members(home)["installed.py"]["why"] == "named"


def test_a_module_of_the_standard_library_that_is_named_is_in_it_as_source(run, home):
    named = CONFIGURATION + "    configuration.add_modules_for_distribution('colorsys')\n"
    done = run(
        {"workflow.py": workflow("import colorsys\nreturn colorsys.__file__")},
        configuration=named,
    )
    assert str(home) in done.stdout
    assert members(home)["colorsys.py"]["why"] == "named"


def test_data_of_a_named_package_is_read_as_usual(run):
    named = CONFIGURATION + "    configuration.add_modules_for_distribution('pack')\n"
    body = """
        import importlib.resources, pkgutil
        text = importlib.resources.files('pack').joinpath('inner/data.txt').read_text()
        return text, pkgutil.get_data('pack', 'inner/data.txt')
    """
    files = {"workflow.py": workflow(body), "pack/__init__.py": "", "pack/inner/data.txt": "data"}
    assert run(files, configuration=named).stdout == "('data', b'data')\n"


def test_namespace_packages_and_submodules_keep_their_place(run, home):
    named = CONFIGURATION + "    configuration.add_modules_for_distribution('space', 'a.b.c')\n"
    files = {
        "workflow.py": workflow("import space.one, a.b.c\nreturn space.one.x, a.b.c.x"),
        "space/one.py": "x = 1",
        **{f"a/{inner}": "" for inner in ("__init__.py", "b/__init__.py", "b/other.py")},
        "a/b/c.py": "x = 2",
    }
    assert run(files, configuration=named).stdout == "(1, 2)\n"
    assert members(home)["a/b/__init__.py"]["why"] == "package of a.b.c"
    assert members(home)["a/b/other.py"]["why"] == "package a, with a"


@pytest.fixture
def extension(project):
    """A package with a compiled module."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    include = sysconfig.get_paths()["include"]
    if compiler is None or not os.path.exists(os.path.join(include, "Python.h")):
        lacking("there is no compiler, or there are no headers of Python")
    source = project.write(
        "compiled/made.c",
        """
        #include <Python.h>
        static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "made", NULL, -1, NULL};
        PyMODINIT_FUNC PyInit_made(void) {
            PyObject *module = PyModule_Create(&definition);
            PyModule_AddIntConstant(module, "answer", 42);
            return module;
        }
        """,
    )
    project.write("compiled/__init__.py", "")
    target = project.folder / "compiled" / ("made" + sysconfig.get_config_var("EXT_SUFFIX"))
    command = [compiler, "-shared", "-fPIC", f"-I{include}", str(source), "-o", str(target)]
    subprocess.run(command, check=True)
    source.unlink()


@pytest.mark.usefixtures("extension")
def test_compiled_modules_work_in_a_process_and_from_the_zip(run, project, home):
    named = CONFIGURATION + "    configuration.add_modules_for_distribution('compiled')\n"
    body = "import compiled.made\nreturn compiled.made.answer, compiled.made.__file__"
    done = run({"workflow.py": workflow(body)}, configuration=named)
    assert done.stdout.startswith("(42, ")
    assert str(home) in done.stdout
    # As a remote machine runs it: the zip unpacks itself, once.
    path = run({"make.py": ARCHIVE}, "make.py", configuration=named).stdout.strip()
    folder = project.folder.parent / "elsewhere"
    folder.mkdir()
    code = """
        import sys
        sys.argv[1:] = ["-h"]
        import runpy
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
        except SystemExit:
            pass
        import compiled.made
        print(compiled.made.__file__)
    """
    there = {"BANDSAW_HOME": str(folder / "home"), "PYTHONPATH": ""}
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", f"import sys; sys.argv[0] = {path!r}\n" + textwrap.dedent(code)],
            cwd=folder,
            env={**os.environ, **there},
            capture_output=True,
            text=True,
            check=True,
        )
        assert str(folder / "home") in done.stdout.splitlines()[-1]
    assert len(list((folder / "home" / "archives").iterdir())) == 1


def test_the_same_content_has_one_name_and_the_same_bytes(run, project, home):
    files = {"workflow.py": workflow("return 1"), "make.py": ARCHIVE}
    first = Path(run(files, "make.py", PYTHONHASHSEED="1").stdout.strip())
    data = first.read_bytes()
    shutil.rmtree(home)
    os.utime(project.folder / "workflow.py", (1, 1))
    second = Path(run({}, "make.py", PYTHONHASHSEED="2").stdout.strip())
    assert second == first
    assert second.read_bytes() == data
    assert len(first.stem) == 32
    with zipfile.ZipFile(first) as archive:
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_DEFLATED}
    project.write("workflow.py", workflow("return 2"))
    assert Path(run({}, "make.py").stdout.strip()) != first


@pytest.fixture
def configuration(monkeypatch, tmp_path):
    """A configuration in a module of its own, and nothing kept yet."""
    monkeypatch.setenv("BANDSAW_HOME", str(tmp_path / "home"))
    monkeypatch.syspath_prepend(str(tmp_path))
    name = f"configuration_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text(
        "import bandsaw\nconfiguration = bandsaw.Configuration()\n"
    )
    return bandsaw.get_configuration(name)


def test_threads_build_it_once_and_what_is_deleted_is_built_again(configuration, monkeypatch):
    made = []
    put_folder = stores.put_folder
    monkeypatch.setattr(stores, "put_folder", lambda *given: made.append(1) or put_folder(*given))
    barrier = threading.Barrier(8)
    folders = []

    def ask():
        barrier.wait()
        folders.append(get_distribution_archive(configuration).folder)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(folders)) == 1
    assert len(made) == 1
    archive = get_distribution_archive(configuration)
    path = archive.path
    data = path.read_bytes()
    path.unlink()
    shutil.rmtree(folders[0])
    assert archive.folder == folders[0]
    assert (folders[0] / "__main__.py").exists()
    assert archive.path.read_bytes() == data


def test_an_archive_of_a_later_task_has_its_module_too(configuration, tmp_path):
    before = get_distribution_archive(configuration)
    assert get_distribution_archive(configuration) is before
    assert before.folder.is_dir()
    name = f"module_{abs(hash(str(tmp_path)))}"
    text = f"import bandsaw\n@bandsaw.task(config={configuration.module_name!r})\ndef f(): pass\n"
    (tmp_path / f"{name}.py").write_text(text)
    __import__(name)
    after = get_distribution_archive(configuration)
    assert after is not before
    assert (after.folder / f"{name}.py").exists()
    assert get_distribution_archive(configuration) is after


@pytest.mark.skipif(os.name == "nt", reason="needs flock")
def test_an_old_archive_that_a_process_uses_is_not_removed(project, configuration):
    folder = get_distribution_archive(configuration).folder
    archives = str(folder.parent)
    text = "import sys; from bandsaw._archive import keep; keep.hold(sys.argv[1]); print(); input()"
    with subprocess.Popen(
        [sys.executable, "-c", text, str(folder)],
        env=project.environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline()
        os.utime(folder, (1, 1))
        assert str(folder) not in keep.prune(archives, 1, max_bytes=0)
        assert folder.is_dir()
        process.communicate("\n")
    os.utime(folder, (1, 1))
    assert str(folder) in keep.prune(archives, 1)


def test_byte_code_is_kept_and_taken_over_after_an_edit(run, home):
    files = {"workflow.py": workflow("return 1")}
    run(files, PYTHONDONTWRITEBYTECODE="1")
    (first,) = [path for path in (home / "archives").iterdir() if path.is_dir()]
    kept_of = {path.name for path in (first / "bandsaw" / "__pycache__").iterdir()}
    assert any(name.startswith("session.") for name in kept_of)
    run({"workflow.py": workflow("return 22")}, PYTHONDONTWRITEBYTECODE="1")
    (second,) = [p for p in (home / "archives").iterdir() if p.is_dir() and p != first]
    for name in kept_of:
        one = os.stat(first / "bandsaw" / "__pycache__" / name)
        other = os.stat(second / "bandsaw" / "__pycache__" / name)
        assert one.st_ino == other.st_ino
    names = {path.name for path in (second / "__pycache__").iterdir()}
    assert any(name.startswith("workflow.") for name in names)


def test_nested_tasks_use_the_archive_that_they_run_from(run, home):
    body = "return n if n < 1 else (f(n - 1), os.getpid())[0]"
    text = workflow(body, "import os").replace("def f():", "def f(n):").replace("f())", "f(3))")
    assert run({"workflow.py": text}).stdout == "0\n"
    assert len({name.partition(".")[0] for name in kept(home)}) == 1


def test_an_exception_class_of_the_script_is_caught(run):
    text = """
        import bandsaw

        print("loaded as", __name__)

        class Mine(Exception):
            pass

        @bandsaw.task
        def f():
            try:
                raise Mine(1)
            except Mine:
                raise Mine(2)

        if __name__ == "__main__":
            try:
                f()
            except Mine as error:
                print("caught", error.args, isinstance(error.__context__, Mine))
    """
    done = run({"workflow.py": text})
    assert done.stdout.splitlines() == [
        "loaded as __main__",
        "loaded as workflow",
        "caught (2,) True",
    ]


def test_where_nothing_can_be_kept_it_goes_with_the_process(run, project):
    unusable = project.write("no folder", "")
    done = project_run_with(run, unusable)
    assert done.stdout == "1\n"
    assert project.left_behind() == []


def project_run_with(run, home):
    return run({"workflow.py": workflow("return 1")}, "-c", _MAIN.format(home=str(home)))


_MAIN = """
import os, runpy, sys
os.environ["BANDSAW_HOME"] = {home!r}
sys.path.insert(0, "")
runpy.run_path("workflow.py", run_name="__main__")
"""


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="there are no modes of files")
def test_a_folder_that_others_can_write_to_is_not_used(run, home):
    (home / "archives").mkdir(parents=True)
    (home / "archives").chmod(0o777)
    assert run({"workflow.py": workflow("return 1")}).stdout == "1\n"
    assert kept(home) == []


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "pack_of_test").mkdir()
    (tmp_path / "pack_of_test" / "__init__.py").write_text("")
    os.mkfifo(tmp_path / "pack_of_test" / "pipe")
    (tmp_path / "pack_of_test" / "round").symlink_to(tmp_path / "pack_of_test")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert DistributionArchive(tmp_path / "a.pyz", "pack_of_test").path.exists()
    (tmp_path / "pack_of_test" / "data").write_text("x")
    real_open = open

    def refusing(path, *arguments, **more):
        if str(path).endswith("data"):
            raise PermissionError(13, "Permission denied", str(path))
        return real_open(path, *arguments, **more)

    monkeypatch.setattr("builtins.open", refusing)
    with pytest.raises(DistributionError, match="pack_of_test/data' cannot be put"):
        DistributionArchive(tmp_path / "b.pyz", "pack_of_test").path  # noqa: B018  # builds it


def test_archives_that_nobody_used_are_removed_with_the_next_one(run, home):
    run({"workflow.py": workflow("return 1")})
    old = [home / "archives" / name for name in kept(home)]
    for path in old:
        os.utime(path, (1, 1))
    (home / "archives" / "somebody's").mkdir()
    run({"workflow.py": workflow("return 22")})
    assert not any(path.exists() for path in old)
    assert len(kept(home)) == len(old) + 1


def command(run, *arguments, check=True):
    return run({}, "-m", "bandsaw", "archive", *arguments, check=check)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no named pipes")
def test_an_archive_goes_into_a_pipe_and_leaves_it_what_it_is(run, project):
    os.mkfifo(project.folder / "pipe")
    with open(project.folder / "got.pyz", "wb") as got:
        reader = subprocess.Popen(["cat", "pipe"], cwd=project.folder, stdout=got)
    try:
        command(run, "build", "--output", "pipe")
        assert (project.folder / "pipe").is_fifo()
        assert reader.wait(60) == 0
    finally:
        reader.kill()
        reader.wait()
    assert zipfile.is_zipfile(project.folder / "got.pyz")


@pytest.mark.skipif(not os.path.exists("/dev/fd/1"), reason="there is no /dev/fd")
def test_an_archive_goes_to_the_output_and_leaves_the_link_that_leads_there(run, project):
    run({}, "-c", "pass")
    (project.folder / "output").symlink_to("/dev/fd/1")
    with open(project.folder / "got.pyz", "w+b") as got:
        command = [sys.executable, "-m", "bandsaw", "archive", "build", "--output", "output"]
        subprocess.run(
            command, cwd=project.folder, env=project.environment(), stdout=got, check=True
        )
        assert got.seek(-22, os.SEEK_END) and got.read(4) == b"PK\5\6"  # nothing comes after it
    assert (project.folder / "output").is_symlink()


def test_the_command_builds_lists_runs_and_removes(run, project, home):
    files = {
        "tasks.py": workflow("return helper.x", "import helper"),
        "helper.py": "x = 1",
    }
    run(files, "-c", "pass")
    path = command(run, "build", "--module", "tasks").stdout.strip()
    assert zipfile.is_zipfile(path)
    given = command(run, "build", "--module", "tasks", "--output", "given.pyz").stdout.strip()
    assert Path(project.folder / given).read_bytes() == Path(path).read_bytes()
    for arguments in (["--module", "tasks"], ["given.pyz"]):
        listed = command(run, "ls", *arguments).stdout
        assert "helper.py" in listed
        assert "reached from tasks" in listed
        assert Path(path).stem in listed
    assert "helper.py" not in command(run, "ls").stdout
    assert Path(path).stem[:12] in command(run, "ls", "--kept").stdout
    done = command(run, "run", "given.pyz", "-h")
    assert "--run-id" in done.stdout
    assert command(run, "run", "given.pyz", check=False).returncode == 2
    assert command(run, "rm", "--all", check=False).returncode == 1
    for kept_one in (home / "archives").iterdir():
        os.utime(kept_one, (1, 1))
    assert "removed 1 archive" in command(run, "rm", "--all").stdout
    assert kept(home) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["ls", "nowhere.pyz"],
        ["run", "bandsaw_config.py"],
        ["build", "--config", "nothing_there"],
        ["build", "--module", "nothing_there"],
        ["build", "--output", "no/such/folder/file"],
        ["rm"],
    ],
)
def test_what_the_command_cannot_do_is_said_in_a_line(run, arguments):
    done = command(run, *arguments, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_an_age_is_a_number_of_days_or_has_a_unit(run, home):
    for age in ("-1", "30x"):
        done = command(run, "rm", f"--older-than={age}", check=False)
        assert done.returncode == 2
        assert f"{age!r} is no time span: write a number above zero and a unit, like" in done.stderr
    run({"tasks.py": workflow("return 1")}, "-c", "pass")
    command(run, "build", "--module", "tasks")
    used = time.time() - 20 * 86400
    for kept_one in (home / "archives").iterdir():
        os.utime(kept_one, (used, used))
    for age, removed in (("30", 0), ("21d", 0), ("19", 1)):
        assert f"removed {removed} archive" in command(run, "rm", "--older-than", age).stdout


def test_a_file_that_went_from_a_kept_folder_is_no_loss(configuration):
    archive = get_distribution_archive(configuration)
    folder, data = archive.folder, archive.path.read_bytes()
    (folder / "__main__.py").unlink()
    assert archive.folder == folder
    assert (folder / "__main__.py").exists()
    # What was edited there is not what the digest names.
    (folder / "bandsaw" / "user.py").write_text("changed")
    archive.path.unlink()
    assert archive.path.read_bytes() == data
    (folder / "__main__.py").unlink()
    assert (archive.folder / "bandsaw" / "user.py").read_text() != "changed"


def test_a_far_end_has_the_very_archive_that_it_runs_from(run, project, home):
    body = """
        from bandsaw.distribution import get_distribution_archive
        archive = get_distribution_archive(f.bandsaw_configuration)
        found = str(archive.folder), archive.digest, str(archive.path)
        # Nothing was collected.
        assert "bandsaw._archive.closure" not in sys.modules
        return found
    """
    folder, digest, path = eval(run({"workflow.py": workflow(body, "import sys")}).stdout)
    assert kept(home) == [digest, f"{digest}.pyz"]
    assert folder == str(home / "archives" / digest)
    assert path == f"{folder}.pyz"
    data = Path(path).read_bytes()
    os.unlink(path)
    run({"make.py": ARCHIVE + "assert archive.digest == '" + digest + "'"}, "workflow.py")
    # Made there of what was unpacked, and the same bytes as here.
    assert Path(path).read_bytes() == data


def test_a_zip_that_is_executed_is_the_archive_of_its_nested_calls(run, project, home):
    body = """
        from bandsaw.distribution import get_distribution_archive
        return str(get_distribution_archive(f.bandsaw_configuration).path)
    """
    save = """
        import bandsaw, workflow
        from bandsaw.execution import Execution
        from bandsaw.session import Session
        from bandsaw.distribution import get_distribution_archive

        if __name__ == "__main__":
            task, configuration = workflow.f.bandsaw_task, workflow.f.bandsaw_configuration
            with open("session", "wb") as stream:
                Session(task, Execution("e", ()), configuration).save(stream)
            print(get_distribution_archive(configuration).path, bandsaw.get_run_id())
    """
    read = """
        import bandsaw
        from bandsaw.session import Session
        with open("back", "rb") as stream:
            result = Session().restore(stream).result
        print(result.exception or result.value)
    """
    plain = "import bandsaw\nconfiguration = bandsaw.Configuration()\n"
    files = {"workflow.py": workflow(body), "save.py": save, "read.py": read}
    path, run_id = run(files, "save.py", configuration=plain).stdout.split()
    shutil.copy(path, project.folder / "copy.pyz")
    arguments = ["--input", "session", "--output", "back", "--run-id", run_id]
    run({}, "copy.pyz", *arguments, configuration=plain)
    done = run({}, "-W", "ignore", "read.py", configuration=plain)
    # Unpacked and packed again: the same bytes under the same name.
    assert done.stdout.strip() == path
    assert Path(path).read_bytes() == (project.folder / "copy.pyz").read_bytes()


def test_a_configuration_that_was_reloaded_has_an_archive_of_its_tasks(configuration, tmp_path):
    configuration._note_task(configuration.module_name)
    assert get_distribution_archive(configuration).folder
    again = bandsaw.Configuration()
    again.module_name = configuration.module_name
    name = f"reloaded_{abs(hash(str(tmp_path)))}"
    (tmp_path / f"{name}.py").write_text("")
    again._note_task(name)
    assert (get_distribution_archive(again).folder / f"{name}.py").exists()
