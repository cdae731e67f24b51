"""Environments are real here, but what is installed into them is made by the tests: no network."""

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from io import BytesIO, StringIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet

import bandsaw
from bandsaw.__main__ import main
from bandsaw._environments import pythons, requirements, script, store, versions
from bandsaw._system.file_locks import Lock
from bandsaw.errors import EnvironmentBuildError, InvalidValueError
from tests.conftest import lacking

pytestmark = pytest.mark.slow


HERE = ".".join(map(str, sys.version_info[:3]))
posix_only = pytest.mark.skipif(os.name == "nt", reason="process groups and signals are of POSIX")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Where environments are kept. Nothing is to come from an index."""
    folder = tmp_path / "home"
    monkeypatch.setenv("BANDSAW_HOME", str(folder))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "uv-cache"))
    # The pip of Python 3.9 leaves a file there.
    temporary = tmp_path / "tools"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    return folder


@pytest.fixture
def without_uv(monkeypatch):
    folders = os.environ["PATH"].split(os.pathsep)
    left = [folder for folder in folders if shutil.which("uv", path=folder) is None]
    monkeypatch.setenv("PATH", os.pathsep.join(left))


@pytest.fixture(params=[pytest.param("pip", marks=pytest.mark.slow), "uv"])
def tool(request):
    """Both ways of making an environment."""
    if request.param == "pip":
        request.getfixturevalue("without_uv")
    elif pythons.find_uv() is None:
        lacking("uv is not installed")
    return request.param


@pytest.fixture
def wheel(tmp_path):
    """Makes a wheel, and returns a requirement for it."""

    def make(name, code="", needs=()):
        path = tmp_path / f"{name}-1.0-py3-none-any.whl"
        metadata = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 1.0"]
        metadata += [f"Requires-Dist: {need}" for need in needs]
        files = {
            f"{name}.py": code,
            f"{name}-1.0.dist-info/METADATA": "\n".join(metadata) + "\n",
            f"{name}-1.0.dist-info/WHEEL": "Wheel-Version: 1.0\nGenerator: test\n"
            "Root-Is-Purelib: true\nTag: py3-none-any\n",
        }
        record = f"{name}-1.0.dist-info/RECORD"
        with zipfile.ZipFile(path, "w") as archive:
            for file_name, text in files.items():
                archive.writestr(file_name, text)
            archive.writestr(record, "".join(f"{file},,\n" for file in (*files, record)))
        return f"{name} @ {path.as_uri()}"

    return make


@pytest.fixture
def slow_package(tmp_path):
    """A package in source form that says when it is built, and is done when it is told so."""
    folder = tmp_path / "slow"
    folder.mkdir()
    (folder / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
        '[project]\nname = "slow"\nversion = "1.0"\n'
    )
    (folder / "backend.py").write_text(
        textwrap.dedent(
            f"""
            import os, time, zipfile

            HERE = {str(folder)!r}
            METADATA = "Metadata-Version: 2.1\\nName: slow\\nVersion: 1.0\\n"
            WHEEL = "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n"
            FILES = {{"METADATA": METADATA, "WHEEL": WHEEL, "RECORD": ""}}

            def prepare_metadata_for_build_wheel(directory, config_settings=None):
                os.mkdir(os.path.join(directory, "slow-1.0.dist-info"))
                for name, text in FILES.items():
                    with open(os.path.join(directory, "slow-1.0.dist-info", name), "w") as file:
                        file.write(text)
                return "slow-1.0.dist-info"

            def build_wheel(directory, config_settings=None, metadata_directory=None):
                with open(os.path.join(HERE, "built"), "a") as file:
                    file.write(f"{{os.getpid()}} {{os.getppid()}}\\n")
                for _ in range(10000):  # and not for ever
                    if os.path.exists(os.path.join(HERE, "go")):
                        break
                    time.sleep(0.01)
                name = "slow-1.0-py3-none-any.whl"
                with zipfile.ZipFile(os.path.join(directory, name), "w") as archive:
                    archive.writestr("slow.py", "ANSWER = 42\\n")
                    for file, text in FILES.items():
                        archive.writestr(f"slow-1.0.dist-info/{{file}}", text)
                return name
            """
        )
    )
    return Slow(folder)


class Slow:
    def __init__(self, folder):
        self.requirement = f"slow @ {folder.as_uri()}"
        self._built = folder / "built"
        self._go = folder / "go"

    def go_on(self):
        self._go.touch()

    @property
    def builds(self):
        """The processes of each build that has begun."""
        text = self._built.read_text() if self._built.exists() else ""
        return [
            list(map(int, line.split())) for line in text.splitlines(keepends=True) if "\n" in line
        ]


def output_of(environment, code):
    command = [environment.executable, "-c", code]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def left_in(home):
    folder = home / "environments"
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


# What was asked for


def test_constructing_one_does_no_work(home):
    environment = bandsaw.Environment(["numpy<2", "pandas"], python="3.39")
    assert environment.requirements == ("numpy<2", "pandas")
    assert environment.python == "3.39"
    assert environment.path == ()
    assert repr(environment) == "Environment(['numpy<2', 'pandas'], python='3.39')"
    assert isinstance(environment, bandsaw.Interpreter)
    assert not home.exists()


def test_it_is_equal_to_one_that_asks_for_the_same():
    one = bandsaw.Environment(["b", "a ", "b"])
    same = bandsaw.Environment(iter(["a", "b"]))
    assert one == same
    assert hash(one) == hash(same)
    assert one.is_made is same.is_made is False
    others = [
        bandsaw.Environment(["a"]),
        bandsaw.Environment(["a", "b"], python="3.11"),
        bandsaw.Environment(["a", "b"]).set_environment(A="1"),
        bandsaw.Interpreter(),
    ]
    assert all(one != other and other != one for other in others)


@pytest.mark.parametrize(
    "text",
    [
        *("numpy", "numpy<2", "numpy >=1.26, <2", "numpy==1.26.*", "ruamel.yaml", "a-b_c.d"),
        *("pandas[excel,html]", "pandas [excel] >2", "numpy (<2)", "numpy~=1.26"),
        *("name @ https://host/a.whl", "name@file:///a-folder", "a; python_version<'3.10'"),
        *("name[extra] @ git+https://host/a.git@v1 ; os_name == 'nt'", "numpy===1.26"),
    ],
)
def test_requirements_are_texts_as_packages_write_them(text):
    assert requirements.checked([f" {text} "]) == (text,)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("numpy", "write ['numpy']"),
        (b"numpy", "write [b'numpy']"),
        (5, "a list of texts, not 5"),
        ([5], "not 5 of type int"),
        (["-r other.txt"], "option"),
        (["--index-url=https://host"], "option"),
        (["numpy --hash=sha256:0"], "no requirement"),
        (["numpy # not this one"], "no requirement"),
        (["numpy\npandas"], "no requirement"),
        (["numpy \\"], "no requirement"),
        (["numpy pandas"], "no requirement"),
        (["git+https://host/a"], "name @ file:"),
        (["./folder"], "name @ file:"),
        ([""], "'' is no requirement"),
    ],
)
def test_what_is_no_requirement_is_refused(given, said):
    with pytest.raises(InvalidValueError) as caught:
        bandsaw.Environment(given)
    assert said in str(caught.value)


@pytest.mark.parametrize("python", [3.11, "", "==3.x", "~=3", ">3.9.*", b"3.11", "a\0"])
def test_what_is_no_python_is_refused(python):
    with pytest.raises(InvalidValueError, match="3.11"):
        bandsaw.Environment(python=python)


def test_what_gives_access_to_a_host_is_not_told(wheel):
    text = "a @ https://me:the@secret@host/a.whl"
    environment = bandsaw.Environment([text])
    assert environment.requirements == (text,)
    assert "secret" not in repr(environment) + requirements.told([text])
    assert requirements.told(map(str, range(9))) == "0, 1, 2, 3 and 5 more"


@pytest.mark.parametrize("serializer", [bandsaw.JsonSerializer(), bandsaw.PickleSerializer()])
def test_it_crosses_as_what_was_asked_for(serializer, home):
    environment = bandsaw.Environment(["b", "a"], python=">=3.9").set_environment(A="1")
    stream = BytesIO()
    serializer.serialize(environment, stream)
    stream.seek(0)
    copy = serializer.deserialize(stream)
    assert type(copy) is bandsaw.Environment
    assert copy == environment
    assert copy.environment == {"A": "1"}


def test_where_it_lies_here_does_not_cross(home, monkeypatch, tmp_path):
    environment = bandsaw.Environment()
    made = environment.executable
    copy = pickle.loads(pickle.dumps(environment))
    monkeypatch.setenv("BANDSAW_HOME", str(tmp_path / "other"))
    assert environment.executable == made
    assert copy.executable.startswith(str(tmp_path / "other"))


# How it is made


CONFIGURATION = """
    import bandsaw
    from bandsaw.advices.subprocess import SubprocessAdvice

    environment = bandsaw.Environment([{requirement!r}]).set_environment(GREETING="hello")
    configuration = bandsaw.Configuration().add_advice_chain(
        SubprocessAdvice(interpreter=environment))
"""
WORKFLOW = """
    import bandsaw

    @bandsaw.task
    def there():
        import os, only_there
        return only_there.ANSWER, os.environ["GREETING"]

    if __name__ == "__main__":
        print(there())
"""


def test_a_task_has_the_packages_that_the_caller_has_not(project, wheel, tool, home):
    requirement = wheel("only_there", "ANSWER = 42")
    project.write("bandsaw_config.py", CONFIGURATION.format(requirement=requirement))
    project.write("workflow.py", WORKFLOW)
    with pytest.raises(ImportError):
        import only_there  # noqa: F401  # what is tested

    first = project.run("workflow.py")
    assert first.stdout == "(42, 'hello')\n"
    lines = first.stderr.splitlines()
    assert lines[0] == f"bandsaw: making an environment with {requirement} (Python {HERE}) ..."
    assert re.fullmatch(r"bandsaw: made it in [\d.]+ s", lines[1])
    assert len(lines) == 2
    second = project.run("workflow.py")
    assert second.stdout == first.stdout
    assert second.stderr == ""
    (made,) = store.kept()
    assert made.record["tool"] == tool
    assert made.record["requirements"] == [requirement]
    assert left_in(home) == [made.digest]


@pytest.mark.xdist_group("sshd")
def test_the_environment_of_a_remote_is_made_there(project, wheel, remote_arguments, tmp_path):
    far = tmp_path / "far"
    project.write(
        "bandsaw_config.py",
        f"""
        import bandsaw
        from bandsaw.advices.ssh import Remote, SshAdvice

        environment = bandsaw.Environment(
            [{wheel("only_there", "ANSWER = 42")!r}], python={sys.executable!r})
        environment.set_environment(GREETING="hello")
        remote = Remote(interpreter=environment, directory={str(far)!r}, **{remote_arguments!r})
        configuration = bandsaw.Configuration().add_advice_chain(SshAdvice().add_remote(remote))
        """,
    )
    project.write("workflow.py", WORKFLOW)
    first = project.run("workflow.py")
    assert first.stdout == "(42, 'hello')\n"
    assert "bandsaw: making an environment with" in first.stderr
    second = project.run("workflow.py")
    assert (second.stdout, second.stderr) == (first.stdout, "")
    (kept,) = far.iterdir()
    assert sorted(path.name for path in kept.iterdir()) == ["archives", "environments"]


@pytest.mark.slow
@pytest.mark.xdist_group("sshd")
def test_an_environment_that_cannot_be_made_on_a_remote_says_why(
    project, remote_arguments, tmp_path
):
    project.write(
        "bandsaw_config.py",
        f"""
        import bandsaw
        from bandsaw.advices.ssh import Remote, SshAdvice

        environment = bandsaw.Environment(
            ["at_all @ file:///nowhere/at_all-1.0-py3-none-any.whl"], {sys.executable!r})
        remote = Remote(
            interpreter=environment, directory={str(tmp_path / "far")!r}, **{remote_arguments!r})
        configuration = bandsaw.Configuration().add_advice_chain(SshAdvice().add_remote(remote))
        """,
    )
    project.write("workflow.py", WORKFLOW)
    done = project.run("workflow.py", check=False)
    assert done.returncode == 1
    assert "EnvironmentBuildError" in done.stderr
    assert "at_all-1.0" in done.stderr


def test_what_would_lead_the_tools_astray_is_kept_from_them(
    wheel, tool, monkeypatch, tmp_path, capfd
):
    for name in ("PIP_TARGET", "PIP_PREFIX", "PYTHONHOME", "VIRTUAL_ENV", "UV_PYTHON"):
        monkeypatch.setenv(name, str(tmp_path / "astray"))
    for name in ("PIP_USER", "PIP_REQUIRE_VIRTUALENV", "UV_SYSTEM_PYTHON", "PIP_DRY_RUN"):
        monkeypatch.setenv(name, "1")
    shadow = tmp_path / "shadow"
    shadow.mkdir()
    for name in ("pip.py", "venv.py", "json.py"):
        (shadow / name).write_text("raise SystemExit('shadowed')")
    monkeypatch.setenv("PYTHONPATH", str(shadow))
    monkeypatch.chdir(shadow)
    environment = bandsaw.Environment([wheel("only_there", "ANSWER = 42")])
    executable = environment.executable
    done = subprocess.run(
        [executable, "-I", "-c", "import only_there; print(only_there.__file__)"],
        env={}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert Path(done.stdout).is_relative_to(Path(executable).parent.parent)
    assert not (tmp_path / "astray").exists()


@posix_only
def test_of_many_that_need_it_at_once_one_makes_it(project, slow_package, home):
    code = f"""
        import sys, threading, bandsaw
        found = []
        def use():
            found.append(bandsaw.Environment([{slow_package.requirement!r}]).executable)
        threads = [threading.Thread(target=use) for _ in range(4)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert len(found) == 4
        print(*set(found))
        """
    path = project.write("users.py", code)
    processes = [project.start(str(path)) for _ in range(3)]
    try:
        # All of them are at it.
        told = [process.stderr.readline() for process in processes]
        slow_package.go_on()
        # What follows a line may have been read with it, and `communicate` does not know of it.
        ended = [(process.stderr.read(), process.stdout.read()) for process in processes]
    finally:
        slow_package.go_on()
        for process in processes:
            process.kill()
            process.communicate()
    assert len({output for _, output in ended}) == 1
    assert len(slow_package.builds) == 1
    errors = "".join(told) + "".join(error for error, _ in ended)
    assert errors.count("bandsaw: making an environment") == 1
    assert errors.count("bandsaw: waiting until somebody else has made an environment") >= 2
    assert "Traceback" not in errors
    assert left_in(home) == [store.kept()[0].digest]


@posix_only
@pytest.mark.slow
def test_an_interrupt_ends_the_tools_and_leaves_nothing(
    project, slow_package, without_uv, home, wait_until
):
    code = f"import bandsaw; bandsaw.Environment([{slow_package.requirement!r}]).executable"
    process = project.start("-c", code)
    wait_until(lambda: slow_package.builds)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=300)[1]
    for pid in slow_package.builds[0]:
        wait_until.gone(pid)
    assert left_in(home) == []


@posix_only
@pytest.mark.parametrize(
    ("tool", "whom"),
    [("uv", "this process"), pytest.param("pip", "the tool too", marks=pytest.mark.slow)],
    indirect=["tool"],
)
def test_after_a_kill_the_next_use_makes_it_anew(
    project, slow_package, tool, home, wait_until, whom
):
    code = f"import bandsaw; bandsaw.Environment([{slow_package.requirement!r}]).executable"
    process = project.start("-c", code)
    with process:
        wait_until(lambda: slow_package.builds)
        (folder,) = (home / "environments" / name for name in left_in(home) if "." not in name)
        assert folder.is_dir()
        if whom == "the tool too":
            # The group of the tool, with what watches for the end of its user.
            os.killpg(os.getpgid(slow_package.builds[0][0]), signal.SIGSTOP)
            process.kill()
            os.killpg(os.getpgid(slow_package.builds[0][0]), signal.SIGKILL)
        else:
            process.kill()
        for pid in slow_package.builds[0]:
            wait_until.gone(pid)
    if whom == "the tool too":
        assert folder.is_dir()
        assert [environment.record for environment in store.kept()] == [None]
    slow_package.go_on()
    environment = bandsaw.Environment([slow_package.requirement])
    assert not environment.is_made
    assert output_of(environment, "import slow; print(slow.ANSWER)") == "42"
    assert environment.is_made
    assert len(slow_package.builds) == 2
    assert left_in(home) == [folder.name]


@pytest.mark.parametrize("broken", ["no marker", "no marker but a file", "its Python is gone"])
def test_what_is_not_whole_is_made_anew(broken, capfd):
    environment = bandsaw.Environment()
    executable = Path(environment.executable)
    folder = executable.parent.parent
    capfd.readouterr()
    if broken == "its Python is gone":
        executable.unlink()
        executable.symlink_to("/no/such/python")
    else:
        (folder / "bandsaw.json").unlink()
        if broken == "no marker but a file":
            shutil.rmtree(folder)
            folder.mkdir()
            (folder / "rubbish").touch()
    assert not environment.is_made
    assert environment.executable == bandsaw.Environment().executable == str(executable)
    assert output_of(environment, "print(1)") == "1"
    assert not (folder / "rubbish").exists()
    assert capfd.readouterr().err.count("making") == 1


def test_where_it_cannot_be_made_the_error_has_the_words_of_the_tool(wheel, tool, home, capfd):
    requirement = wheel("only_there", needs=["no-such-package-anywhere>7"])
    environment = bandsaw.Environment([requirement], python=HERE)
    times = 2 if tool == "uv" else 1  # pip is slow
    for _ in range(times):
        with pytest.raises(EnvironmentBuildError) as caught:
            environment.executable  # noqa: B018  # reading it makes it
        text = str(caught.value)
        assert f"An environment with {requirement} (Python {HERE}) cannot be made: `" in text
        assert f"{tool} " in text
        assert "ended with exit code 1. The last lines that it wrote:\n" in text
        assert "no-such-package-anywhere" in text.partition("that it wrote:")[2]
        assert left_in(home) == []
    assert isinstance(caught.value, RuntimeError)
    assert capfd.readouterr().err.count("making") == times


def test_where_the_disk_is_in_the_way_the_error_is_of_the_same_kind(home, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_whole", full)
    with pytest.raises(EnvironmentBuildError, match="No space left on device"):
        bandsaw.Environment().executable  # noqa: B018  # reading it makes it
    assert left_in(home) == []


@pytest.mark.parametrize("stream", [None, "closed"])
def test_nobody_has_to_listen_to_the_progress(stream, monkeypatch):
    closed = StringIO()
    closed.close()
    monkeypatch.setattr(sys, "stderr", None if stream is None else closed)
    assert os.path.exists(bandsaw.Environment().executable)


def test_it_has_an_environment_of_its_own(monkeypatch):
    environment = bandsaw.Environment()
    monkeypatch.setattr(sys, "executable", environment.executable)
    assert environment.overlay(local=True) == {}
    assert output_of(environment, "import sys; print(sys.prefix != sys.base_prefix)") == "True"


@posix_only
def test_a_forked_process_does_not_keep_a_lock(project, tmp_path, wait_until):
    path = tmp_path / "lock"
    code = f"""
        import os, pathlib, time
        from bandsaw._system.file_locks import Lock
        assert Lock(pathlib.Path({str(path)!r})).acquire()
        child = os.fork()
        if child:
            print(child, flush=True)
        time.sleep(60)
        """
    with project.start(str(project.write("locking.py", code))) as process:
        child = int(process.stdout.readline())
        lock = Lock(path)
        assert not lock.acquire(wait=False)
        process.kill()
        try:
            wait_until(lambda: lock.acquire(wait=False))
        finally:
            os.kill(child, signal.SIGKILL)
    lock.release()
    assert not path.exists()


def test_a_lock_is_for_one_thread_at_a_time(tmp_path):
    inside, most = [], []

    def use():
        for _ in range(25):
            lock = Lock(tmp_path / "lock")
            assert lock.acquire()
            inside.append(1)
            time.sleep(0.001)
            most.append(len(inside))
            inside.pop()
            lock.release()

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(most) == 200
    assert max(most) == 1


# Of which Python


def test_a_version_is_looked_for(other_python, monkeypatch, tmp_path):
    told = subprocess.run(
        [other_python, "-c", "import sys; print(*sys.version_info[:3], sep='.')"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    version = told.stdout.strip()
    minor = version.rpartition(".")[0]
    shims, real = tmp_path / "shims", tmp_path / "real"
    for folder in (shims, real):
        folder.mkdir()
    (shims / f"python{minor}").write_text("#!/bin/sh\nexit 127\n")
    (shims / f"python{minor}").chmod(0o755)
    (real / f"python{minor}").symlink_to(shutil.which(other_python))
    monkeypatch.setenv("PATH", os.pathsep.join(map(str, (shims, real, "/bin", "/usr/bin"))))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "none"))
    for python in (minor, f"=={minor}.*", real / f"python{minor}", f"python{minor}"):
        if python == f"python{minor}":
            monkeypatch.setenv("PATH", str(real))
        environment = bandsaw.Environment(python=python)
        assert output_of(environment, "import sys; print(sys.version.split()[0])") == version
    assert len(store.kept()) == 1


def test_what_only_uv_knows_is_asked_for_in_its_words(other_python, monkeypatch, tmp_path):
    version = pythons.find(other_python).full_version
    uv = tmp_path / "uv"
    fitting = f">={version},<={version}"
    uv.write_text(
        f"#!/bin/sh\n[ \"$3\" = '{fitting}' ] || [ $1 = --version ] && echo {other_python}\n"
    )
    uv.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path))
    assert pythons.find(f">= {version}, <= {version}") == pythons.find(other_python)


def test_the_python_that_runs_is_the_first_choice(monkeypatch):
    monkeypatch.setenv("PATH", "")
    for asked in (None, HERE, HERE.rpartition(".")[0], f">=3.9,<={HERE}", "3", sys.executable):
        assert pythons.find(asked) == pythons.find(None)
    assert pythons.find(None).full_version.startswith(HERE)


def test_a_python_that_a_script_starts_with_a_word_is_found(tmp_path):
    script = tmp_path / "python"
    script.write_text(f'#!/bin/sh\necho Loading\nexec {sys.executable} "$@"\n')
    script.chmod(0o755)
    assert pythons.find(str(script)) == pythons.find(None)


def test_pythons_are_looked_for_also_by_a_user_without_a_home(monkeypatch, without_uv):
    monkeypatch.delenv("PYENV_ROOT", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    with pytest.raises(EnvironmentBuildError, match="No Python 3.39 was found"):
        pythons.find("3.39")


@pytest.mark.parametrize("asked", ["3.39", ">=3.39,<4", "<3.9"])
def test_a_version_that_is_not_there_is_an_error(asked, without_uv):
    with pytest.raises(EnvironmentBuildError) as caught:
        bandsaw.Environment(python=asked).executable  # noqa: B018  # reading it makes it
    for part in (f"No Python {asked} was found", HERE, "path", "versions", "no uv"):
        assert part in str(caught.value)


def test_what_is_no_python_or_an_old_one_is_an_error(tmp_path):
    old = tmp_path / "python-old"
    told = json.dumps(["/usr/bin/python3.8", [3, 8, 1], "", "cpython"])
    old.write_text(f"#!/bin/sh\necho '{told}'\n")
    old.chmod(0o755)
    for python, said in ((old, "Python 3.8.1"), ("/bin/false", "no Python"), ("/no", "no Python")):
        with pytest.raises(EnvironmentBuildError, match=said):
            bandsaw.Environment(python=python).executable  # noqa: B018  # reading it makes it


def test_a_tool_that_cannot_be_run_is_not_there(tmp_path, monkeypatch):
    shim = tmp_path / "uv"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert pythons.find_uv() is None


RELEASES = st.builds(
    lambda major, others: ".".join(map(str, [major, *others])),
    st.sampled_from([3, 3, 3, 4]),
    st.lists(st.integers(0, 14), max_size=3),
)


@st.composite
def specifiers(draw):
    """Conditions of all kinds, close to each other."""
    clauses = []
    for _ in range(draw(st.integers(1, 3))):
        operator = draw(st.sampled_from(["==", "!=", "<=", ">=", "<", ">", "~="]))
        release = draw(RELEASES)
        if operator == "~=":
            release += ".0"
        suffix = draw(st.sampled_from(["", "", "a1", "rc2"]))
        if operator in ("==", "!="):
            suffix = draw(st.sampled_from([suffix, ".*"]))
        clauses.append(f"{operator}{release}{suffix}")
    return ",".join(clauses)


@given(st.tuples(st.integers(3, 4), st.integers(0, 14), st.integers(0, 14)), specifiers())
def test_version_specifiers_mean_what_they_mean_for_packages(version, text):
    expected = SpecifierSet(text).contains(".".join(map(str, version)), prereleases=True)
    assert versions.fits(version, versions.clauses_of(text)) is expected


# What a script says


# As PEP 723 has it.
REFERENCE = re.compile(r"(?m)^# /// (?P<type>[a-zA-Z0-9-]+)$\s(?P<content>(^#(| .*)$\s)+)^# ///$")
LINES = st.sampled_from(
    [
        "# /// script",
        "# /// other",
        "# ///",
        "#",
        "# a",
        "#a",
        "",
        " # ///",
        "# /// ",
        "x\x0cy",
        "#  b",
    ]
)


@given(st.lists(LINES, max_size=12).map("\n".join), st.sampled_from(["", "\n"]))
def test_the_blocks_of_a_script_are_those_of_the_standard(text, end):
    text += end
    expected = [
        (
            match["type"],
            "".join(
                line[2:] if line.startswith("# ") else line[1:]
                for line in match["content"].splitlines(keepends=True)
            ),
        )
        for match in REFERENCE.finditer(text)
    ]
    assert list(script.blocks_of(text)) == expected


def write_script(tmp_path, metadata):
    path = tmp_path / "script.py"
    lines = "".join(f"# {line}".rstrip() + "\n" for line in metadata.splitlines())
    path.write_text(f"#!/usr/bin/env python\n{lines}\nimport sys\n", encoding="utf-8")
    return path


@pytest.fixture
def toml():
    if sys.version_info < (3, 11):
        try:
            import tomli  # noqa: F401  # whether it is there
        except ImportError:
            lacking("tomli is not installed")


@pytest.mark.usefixtures("toml")
@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ('dependencies = ["b<2", "a"]\n\n[tool.x]\ny = 1', (["b<2", "a"], None)),
        ('requires-python = ">=3.9"\ndependencies = [\n  "a",\n]', (["a"], ">=3.9")),
        ('requires-python = " >=3.9, "', ([], ">=3.9")),
        ('requires-python = ""', ([], None)),
        ("", ([], None)),
    ],
)
def test_a_script_says_what_it_needs(tmp_path, metadata, expected):
    path = write_script(tmp_path, f"/// script\n{metadata}\n\n///")
    assert bandsaw.Environment.from_script(path) == bandsaw.Environment(*expected)


@pytest.mark.usefixtures("toml")
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("dependencies = []", "has 0 blocks"),
        ("/// script\ndependencies = []", "has 0 blocks"),
        ("/// script\na = 1\n///\n\n/// script\na = 1\n///".replace("\n\n", "\n#x\n"), "no TOML"),
        ("/// script\ndependencies = [\n///", "no TOML"),
        ('/// script\ndependencies = "a"\n///', "has to be a list of texts"),
        ("/// script\ndependencies = [1]\n///", "has to be a list of texts"),
        ("/// script\nrequires-python = 3.11\n///", "has to be a text"),
        ('/// script\nrequires-python = "/bin/false"\n///', "names no versions"),
        ('/// script\ndependencies = ["-r other"]\n///', "an option"),
    ],
)
def test_a_script_that_does_not_say_it_is_refused_by_name(tmp_path, text, said):
    path = write_script(tmp_path, text)
    with pytest.raises(InvalidValueError) as caught:
        bandsaw.Environment.from_script(path)
    assert said in str(caught.value)
    assert repr(str(path)) in str(caught.value)


@pytest.mark.usefixtures("toml")
def test_a_script_says_it_once_and_in_utf_8(tmp_path):
    block = "# /// script\n# dependencies = []\n# ///\n"
    path = tmp_path / "script.py"
    path.write_text(f"{block}\n{block}")
    with pytest.raises(InvalidValueError, match="has 2 blocks"):
        bandsaw.Environment.from_script(path)
    path.write_bytes(b"\xef\xbb\xbf" + block.replace("\n", "\r\n").encode())
    assert bandsaw.Environment.from_script(str(path)) == bandsaw.Environment()
    path.write_bytes(block.encode() + b"# \xff\n")
    with pytest.raises(InvalidValueError, match="UTF-8"):
        bandsaw.Environment.from_script(path)
    with pytest.raises(FileNotFoundError):
        bandsaw.Environment.from_script(tmp_path / "none.py")


@pytest.mark.usefixtures("toml")
def test_where_a_task_runs_the_script_is_there_too(project, wheel):
    requirement = wheel("only_there", "ANSWER = 42")
    metadata = f"# /// script\n# dependencies = [{requirement!r}]\n# ///\n"
    project.write("needs.py", metadata)
    project.write(
        "bandsaw_config.py",
        """
        from pathlib import Path

        import bandsaw
        from bandsaw.advices.subprocess import SubprocessAdvice

        script = Path(__file__).with_name("needs.py")
        environment = bandsaw.Environment.from_script(script).set_environment(GREETING="hello")
        configuration = bandsaw.Configuration().add_advice_chain(
            SubprocessAdvice(interpreter=environment))
        """,
    )
    project.write(
        "workflow.py",
        """
        import bandsaw

        @bandsaw.task
        def there():
            import sys
            import bandsaw_config, only_there
            # The script that describes the environment lies beside the configuration there, too.
            return only_there.ANSWER, bandsaw_config.environment.executable == sys.executable

        if __name__ == "__main__":
            print(there())
        """,
    )
    assert project.run("workflow.py").stdout == "(42, True)\n"


def test_without_a_reader_of_toml_the_extra_is_named(tmp_path, monkeypatch):
    for name in ("tomllib", "tomli"):
        monkeypatch.setitem(sys.modules, name, None)
    path = write_script(tmp_path, "/// script\ndependencies = []\n///")
    with pytest.raises(EnvironmentBuildError, match=re.escape("bandsaw[environments]")):
        bandsaw.Environment.from_script(path)


# The command line


def env(project, *arguments, **variables):
    return project.run("-m", "bandsaw", "env", *arguments, check=False, **variables)


def test_environments_are_made_listed_and_removed(project, wheel):
    requirement = wheel("only_there", "ANSWER = 42")
    assert env(project, "ls").stdout.splitlines()[1:] == ["0 environments, 0 B"]
    first = env(project, "build", requirement)
    assert first.returncode == 0, first.stderr
    code = "import only_there; print(only_there.ANSWER)"
    assert project.run("-c", code, python=first.stdout.strip()).stdout == "42\n"
    second = env(project, "build", "--python", HERE)
    assert env(project, "build").stdout == second.stdout
    listed = env(project, "ls").stdout
    header, *rows, last = listed.splitlines()
    assert header.split() == ["DIGEST", "PYTHON", "AGE", "USED", "SIZE", "REQUIREMENTS"]
    digests = [row.split()[0] for row in rows]
    assert [digest in line for digest, line in zip(digests, (second.stdout, first.stdout))] == [
        1,
        1,
    ]
    assert [HERE in row for row in rows] == [True, True]
    assert [row.endswith(end) for row, end in zip(rows, ("  -", f"  {requirement}"))] == [1, 1]
    assert last.startswith("2 environments, ")
    told = json.loads(env(project, "ls", "--json").stdout)
    assert [row["requirements"] for row in told] == [[], [requirement]]
    assert [row["state"] for row in told] == ["whole", "whole"]

    for arguments in ([], ["--all", "x"], ["no"], [""], [digests[0], "no"]):
        wrong = env(project, "rm", *arguments)
        assert wrong.returncode == 1
        assert wrong.stderr.startswith("error: ")
    assert len(store.kept()) == 2
    removed = env(project, "rm", digests[0][:8], digests[0])
    assert removed.stdout.startswith("removed 1 environment, ")
    assert env(project, "rm", "--all").stdout.startswith("removed 1 environment, ")
    assert store.kept() == []


@pytest.mark.parametrize(
    "marker", ["", "[]", "{}", '{"requirements": 3, "python": "3", "made": 1}', '{"made": "x"}']
)
def test_an_environment_with_a_damaged_marker_is_listed_as_interrupted(home, marker, capsys):
    folder = home / "environments" / ("0" * 32)
    folder.mkdir(parents=True, mode=0o700)
    (folder / "bandsaw.json").write_text(marker)
    assert main(["env", "ls"]) == 0
    assert "  (interrupted)\n" in capsys.readouterr().out


@pytest.mark.usefixtures("toml")
def test_a_script_names_the_environment_to_make(project):
    project.write("script.py", '# /// script\n# requires-python = ">=3.9"\n# ///\n')
    done = env(project, "build", "--script", "script.py")
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).exists()
    for arguments in (["x"], ["--python", "3"]):
        assert "give nothing else" in env(project, "build", "--script", "a", *arguments).stderr
    missing = env(project, "build", "--script", "none.py")
    assert (missing.returncode, missing.stdout) == (1, "")
    assert "none.py" in missing.stderr


def test_the_command_says_why_not(project):
    assert "build" in env(project).stdout
    done = env(project, "build", "--", "no-such-package-anywhere")
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: An environment with no-such-package-anywhere" in done.stderr
    assert "Traceback" not in done.stderr
    assert env(project, "build", "--python", "3.39").returncode == 1


@posix_only
def test_what_is_being_made_is_left_alone(project, slow_package, home, wait_until):
    code = f"import bandsaw; print(bandsaw.Environment([{slow_package.requirement!r}]).executable)"
    process = project.start("-c", code)
    wait_until(lambda: slow_package.builds)
    assert "(being made)" in env(project, "ls").stdout
    removed = env(project, "rm", "--all")
    assert removed.returncode == 1
    assert "is just being made" in removed.stderr
    assert removed.stdout == "removed 0 environments, 0 B\n"
    slow_package.go_on()
    assert Path(process.communicate(timeout=300)[0].strip()).exists()
    (made,) = store.kept()
    (made.folder / "bandsaw.json").unlink()
    assert "(interrupted)" in env(project, "ls").stdout
    assert env(project, "rm", made.digest[:5]).returncode == 0
    assert left_in(home) == []


def test_a_beginning_that_several_have_names_none(project, home):
    for name in ("a" * 32, "a" * 31 + "b"):
        (home / "environments" / name).mkdir(parents=True, mode=0o700)
    home.chmod(0o700)
    (home / "environments").chmod(0o700)
    done = env(project, "rm", "a")
    assert done.returncode == 1
    assert "2 environments begin with 'a'" in done.stderr
    assert env(project, "rm", "a" * 32).returncode == 0
    assert left_in(home) == ["a" * 31 + "b"]


def test_a_check_makes_none(project, home):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.ssh import Remote, SshAdvice
        from bandsaw.advices.subprocess import SubprocessAdvice

        configuration = bandsaw.Configuration().add_advice_chain(
            SubprocessAdvice(interpreter=bandsaw.Environment()))
        """,
    )
    done = project.run("-m", "bandsaw", "check")
    assert "environment Environment([]): not made yet" in done.stdout
    assert left_in(home) == []
    executable = bandsaw.Environment().executable
    done = project.run("-m", "bandsaw", "check")
    assert f"environment Environment([]) {executable}: Python {HERE}" in done.stdout


def test_a_check_says_what_no_environment_can_be(project):
    project.write(
        "bandsaw_config.py",
        """
        import bandsaw
        from bandsaw.advices.subprocess import SubprocessAdvice

        configuration = bandsaw.Configuration().add_advice_chain(
            SubprocessAdvice(interpreter=bandsaw.Environment(python='3.39')))
        """,
    )
    done = project.run("-m", "bandsaw", "check", check=False)
    assert done.returncode == 1
    assert "No Python 3.39 was found" in done.stderr
