import importlib
import io
import json
import os
import subprocess
import sys
import zipfile

import pytest

import bandsaw
from bandsaw._archive.keep import MANIFEST
from bandsaw._archive.selection import Content, with_digest
from bandsaw.distribution import DistributionArchive, get_distribution_archive
from bandsaw.errors import DistributionError, DistributionModuleError
from bandsaw.execution import Execution
from bandsaw.result import Result
from bandsaw.session import Session


def names(path):
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return set(archive.namelist())


@pytest.fixture
def package(tmp_path, monkeypatch):
    root = tmp_path / "code"
    for path, text in {
        "pack/__init__.py": "",
        "pack/data.txt": "data",
        "pack/sub/__init__.py": "",
        "pack/sub/mod.py": "value = 1",
        "pack/__pycache__/mod.pyc": "left out",
        "single.py": "value = 2",
        "space/inner.py": "value = 3",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    monkeypatch.syspath_prepend(str(root))
    importlib.invalidate_caches()
    return root


def test_the_file_is_made_when_it_is_missing_and_never_rewritten(tmp_path):
    archive = DistributionArchive(tmp_path / "new" / "archive.pyz", "json")
    assert not (tmp_path / "new").exists()
    assert archive.path == tmp_path / "new" / "archive.pyz"
    assert archive.path.stat().st_mode & 0o077 == 0
    archive.path.write_bytes(b"as it is")
    assert archive.path.read_bytes() == b"as it is"
    archive.path.unlink()
    assert zipfile.is_zipfile(archive.path)


def test_archives_are_equal_by_their_modules():
    one, other = DistributionArchive("a", "x", "y"), DistributionArchive("b", "x", "y")
    assert one.modules == ("x", "y")
    assert one == other
    assert hash(one) == hash(other)
    assert one != DistributionArchive("a", "x")
    assert one != "a"


def test_the_same_content_is_the_same_bytes(tmp_path, package):
    one = DistributionArchive(tmp_path / "1", "pack", "single").path.read_bytes()
    assert DistributionArchive(tmp_path / "2", "single", "pack").path.read_bytes() == one
    (package / "single.py").write_text("value = 4")
    assert DistributionArchive(tmp_path / "3", "pack", "single").path.read_bytes() != one


def test_modules_and_whole_packages_are_in_it_with_their_data(tmp_path, package):
    found = names(DistributionArchive(tmp_path / "a", "pack", "single", "space").path)
    assert {"__main__.py", "bandsaw/__init__.py", "bandsaw/advices/ssh.py"} <= found
    assert {"pack/__init__.py", "pack/data.txt", "pack/sub/mod.py", "single.py"} <= found
    assert "space/inner.py" in found
    assert not any("__pycache__" in name for name in found)


def test_a_submodule_keeps_its_place(tmp_path, package):
    found = names(DistributionArchive(tmp_path / "a", "pack.sub.mod").path)
    assert {"pack/__init__.py", "pack/sub/__init__.py", "pack/sub/mod.py"} <= found
    assert "pack/data.txt" not in found


@pytest.mark.parametrize("name", ["not_there", "json.not_there", "not.there", "single.x"])
def test_a_missing_module_is_named(tmp_path, package, name):
    with pytest.raises(DistributionModuleError, match=name) as caught:
        DistributionArchive(tmp_path / "a", name).path  # noqa: B018  # builds it
    assert isinstance(caught.value, ModuleNotFoundError)
    assert not (tmp_path / "a").exists()


def test_what_has_no_file_cannot_be_in_it(tmp_path):
    with pytest.raises(DistributionError, match="'sys' cannot be put"):
        DistributionArchive(tmp_path / "a", "sys").path  # noqa: B018  # builds it
    assert list(tmp_path.iterdir()) == []


def test_there_is_one_archive_per_configuration(configure):
    configuration = configure()
    assert get_distribution_archive(configuration) is get_distribution_archive(configuration)
    assert configuration.module_name in get_distribution_archive(configuration).modules
    assert get_distribution_archive(configure()) != get_distribution_archive(configuration)


@pytest.fixture
def archive_project(project):
    project.write("bandsaw_config.py", "import bandsaw\nconfiguration = bandsaw.Configuration()\n")
    project.write(
        "workflow.py",
        """
        import io, sys
        import bandsaw
        from bandsaw.execution import Execution
        from bandsaw.session import Session

        def f(x):
            import __main__
            return x, __name__, bandsaw.get_run_id(), __main__.f is f

        if __name__ == '__main__':
            import shutil
            task = bandsaw.task(f).bandsaw_task
            session = Session(task, Execution('e', (1,)), bandsaw.get_configuration())
            with open('session', 'wb') as stream:
                session.save(stream)
            shutil.copy(session.distribution_archive.path, 'archive.pyz')
        """,
    )
    project.run("workflow.py")
    assert project.left_behind() == []
    for name in ("bandsaw_config.py", "workflow.py"):
        (project.folder / name).unlink()
    return project


@pytest.mark.slow
@pytest.mark.parametrize("way", ["executed", "on the path"])
def test_an_archive_goes_on_with_a_session_on_every_python(archive_project, pythons, way):
    folder = archive_project.folder
    arguments = ["--input", "session", "--output", "back", "--run-id", "my-run"]
    for python in pythons.values():
        command = ["archive.pyz"] if way == "executed" else ["-m", "bandsaw.runner"]
        environment = {"PATH": "/usr/bin:/bin"}
        if way == "on the path":
            environment["PYTHONPATH"] = "archive.pyz"
        subprocess.run([python, *command, *arguments], cwd=folder, env=environment, check=True)
        archive_project.write(
            "bandsaw_config.py", "import bandsaw\nconfiguration = bandsaw.Configuration()\n"
        )
        archive_project.write("workflow.py", "def f(): pass\n")
        code = (
            "from bandsaw.session import Session\n"
            "session = Session().restore(open('back', 'rb'))\n"
            "assert session.result.value == (1, 'workflow', 'my-run', True), session.result\n"
        )
        archive_project.run("-W", "ignore", "-c", code)
        for name in ("back", "bandsaw_config.py", "workflow.py"):
            (folder / name).unlink()


def test_an_archive_tells_how_it_is_used(archive_project):
    done = archive_project.run("archive.pyz", "-h")
    for option in ("--input", "--output", "--run-id"):
        assert option in done.stdout
        assert archive_project.run("archive.pyz", option, "x", check=False).returncode == 2


def test_python_imports_namespace_packages_of_an_archive_on_its_path(tmp_path, monkeypatch):
    (tmp_path / "spaced" / "inner").mkdir(parents=True)
    (tmp_path / "spaced" / "inner" / "one.py").write_text("x = 1")
    monkeypatch.syspath_prepend(str(tmp_path))
    path = DistributionArchive(tmp_path / "a" / "archive.pyz", "spaced.inner.one").path
    code = "import sys, spaced.inner.one as one; print(one.x, one.__file__)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd="/",
        env={**os.environ, "PYTHONPATH": str(path)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.stdout == f"1 {path}/spaced/inner/one.py\n"


def test_what_is_missing_at_the_far_end_is_said_there(archive_project):
    # The archive without the script: the task cannot be found.
    folder = archive_project.folder
    with zipfile.ZipFile(folder / "archive.pyz") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    del members["workflow.py"]
    manifest = json.loads(members[MANIFEST])
    del manifest["members"]["workflow.py"]
    members[MANIFEST] = Content(with_digest(manifest), members.get).manifest_bytes()
    with zipfile.ZipFile(folder / "archive.pyz", "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    arguments = ["--input", "session", "--output", "back", "--run-id", "my-run"]
    archive_project.run("archive.pyz", *arguments)
    with (
        open(folder / "back", "rb") as stream,
        pytest.raises(bandsaw.errors.BandsawError, match="workflow"),
    ):
        Session().restore(stream)


def test_the_runner_takes_its_steps_through_the_names_of_its_module(monkeypatch, tmp_path):
    steps = []

    class FakeSession:
        def restore(self, stream):
            steps.append(("restore", stream.read()))

        def proceed(self):
            steps.append("proceed")

        def save(self, stream):
            stream.write(b"output")

    monkeypatch.setattr("bandsaw.runner.Session", FakeSession)
    monkeypatch.setattr("bandsaw.runner.set_run_id", lambda run_id: steps.append(run_id))
    (tmp_path / "in").write_bytes(b"input")
    arguments = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    run_id = bandsaw.get_run_id()
    bandsaw.runner.main([*arguments, "--run-id", "my-run"])
    assert steps == ["my-run", ("restore", b"input"), "proceed"]
    assert (tmp_path / "out").read_bytes() == b"output"
    assert bandsaw.get_run_id() == run_id
    with pytest.raises(RuntimeError, match="already set"):
        bandsaw.set_run_id("my-run")


def test_the_runner_sends_an_error_in_place_of_the_session(configure, monkeypatch, tmp_path):
    class Failing(bandsaw.Advice):
        def before(self, session):
            raise ZeroDivisionError("by advice")

    class Plain:
        def execute(self, execution):
            return Result()

    monkeypatch.setattr("bandsaw.run._RUN_ID", None)
    configuration = configure(Failing())
    monkeypatch.setattr("bandsaw.session.get_configuration", lambda name: configuration)
    monkeypatch.setattr(Plain, "__reduce__", lambda self: (str, ("a task",)), raising=False)
    stream = io.BytesIO()
    Session(Plain(), Execution("e"), configuration).save(stream)
    monkeypatch.setattr("bandsaw.run._RUN_ID", None)
    (tmp_path / "in").write_bytes(stream.getvalue())
    arguments = ["--input", str(tmp_path / "in"), "--output", str(tmp_path / "out")]
    assert bandsaw.runner.main([*arguments, "--run-id", "my-run"]) == 0
    with open(tmp_path / "out", "rb") as back:
        with pytest.raises(ZeroDivisionError, match="by advice") as caught:
            Session().restore(back)
    assert caught.value.__notes__ == ["Raised in Failing.before of task a task"]
    assert sys.executable


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_has_archives_of_its_own(project):
    project.write(
        "workflow.py",
        """
        import os, zipfile
        import bandsaw
        from bandsaw.distribution import get_distribution_archive

        def content(name):
            configuration = bandsaw.Configuration().add_modules_for_distribution(name)
            path = get_distribution_archive(configuration).path
            return any(n.startswith(name) for n in zipfile.ZipFile(path).namelist())

        if __name__ == '__main__':
            assert content('json')
            child = os.fork()
            assert content('email' if child == 0 else 'html')
            if child:
                assert os.waitpid(child, 0)[1] == 0
                assert content('json') and content('email')
        """,
    )
    project.run("-W", "ignore", "workflow.py")
    assert project.left_behind() == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_that_outlives_its_parent_makes_archives_all_the_same(project):
    project.write(
        "workflow.py",
        """
        import os, sys, time
        import bandsaw
        from bandsaw.distribution import get_distribution_archive

        def archive():
            configuration = bandsaw.Configuration().add_modules_for_distribution('json')
            return get_distribution_archive(configuration).path

        if __name__ == '__main__':
            folder = archive().parent
            if os.fork() == 0:
                while folder.exists():
                    time.sleep(0.01)
                print(archive().exists())
        """,
    )
    # Where archives cannot be kept, they are in a folder of the process, which goes with it.
    unusable = project.write("no folder", "")
    done = project.run("-W", "ignore", "workflow.py", BANDSAW_HOME=str(unusable))
    assert done.stdout == "True\n"
    assert project.left_behind() == []


def test_an_interpreter_that_is_too_old_is_told_so(archive_project, tmp_path):
    source = zipfile.ZipFile(archive_project.folder / "archive.pyz").read("__main__.py").decode()
    code = f"import sys\nsys.version_info = (3, 8, 1)\nexec({source!r}, {{'__name__': '__main__'}})"
    done = archive_project.run("-c", code, check=False)
    assert done.returncode == 1
    assert "bandsaw needs Python 3.9 or newer" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "member"),
    [
        (["flow.py"], "flow.py"),
        (["-m", "flow"], "flow.py"),
        (["-m", "pkg"], "pkg/__main__.py"),
        (["-m", "pkg.flow"], "pkg/flow.py"),
        (["-c", "exec(open('flow.py').read())"], None),
    ],
)
def test_a_script_that_is_named_is_there_under_its_own_name(project, arguments, member):
    script = (
        "from bandsaw.distribution import DistributionArchive\n"
        "DistributionArchive('archive.pyz', '__main__').path\n"
    )
    for path in ("flow.py", "pkg/flow.py", "pkg/__main__.py"):
        project.write(path, script)
    project.write("pkg/__init__.py", "")
    project.run(*arguments)
    path = project.folder / "archive.pyz"
    with zipfile.ZipFile(path) as archive:
        assert b"IS_FAR_END" in archive.read("__main__.py")
        assert member is None or archive.read(member) == script.encode()
    done = subprocess.run([sys.executable, str(path), "-h"], capture_output=True, text=True)
    assert "--run-id" in done.stdout
