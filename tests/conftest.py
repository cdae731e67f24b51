"""What the tests share: real projects in a folder, real interpreters, a real SSH server."""

import compileall
import contextlib
import importlib.util
import itertools
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import time
import types
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

import bandsaw
from tests.faults.ssh_server import quick
from tests.interpreters import interpreters

ROOT = Path(__file__).resolve().parent.parent
IN_CI = os.environ.get("CI", "") not in ("", "0", "false")
_numbers = itertools.count()

if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    # A shell that starts the tests in the background has them ignore it, and all that they start.
    signal.signal(signal.SIGINT, signal.default_int_handler)


# How fast the machine is says nothing of the code.
settings.register_profile("bandsaw", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("bandsaw")


def pytest_xdist_auto_num_workers():
    """Two for each processor: most tests wait for processes that they have started."""
    return 2 * (os.cpu_count() or 1)


def pytest_configure(config):
    """Compiles bandsaw once, where each of the processes would do it and keep nothing."""
    if not hasattr(config, "workerinput"):
        compileall.compile_dir(ROOT / "bandsaw", quiet=2)


def lacking(what):
    """Fails in CI and skips on a user's machine."""
    (pytest.fail if IN_CI else pytest.skip)(what)


@pytest.fixture
def configure(monkeypatch):
    """Makes configurations, each in a loaded module of its own."""

    def make(*advices, name="default"):
        module_name = f"configuration_of_test_{next(_numbers)}"
        module = types.ModuleType(module_name)
        module.configuration = bandsaw.Configuration().add_advice_chain(*advices, name=name)
        module.configuration.module_name = module_name
        monkeypatch.setitem(sys.modules, module_name, module)
        return module.configuration

    return make


@pytest.fixture(scope="session", autouse=True)
def bandsaw_home(tmp_path_factory):
    """Where archives and environments are kept: not in the cache of who runs the tests."""
    if "BANDSAW_HOME" in os.environ:
        yield Path(os.environ["BANDSAW_HOME"])
        return
    home = tmp_path_factory.mktemp("home")
    os.environ["BANDSAW_HOME"] = str(home)
    yield home
    del os.environ["BANDSAW_HOME"]


# Files whose processes run little that those of others do not. Coverage makes the start of a
# process ten times as long, and has it run at half its speed.
_UNCOUNTED = {
    "test_archive_contents",
    "test_archive_store",
    "test_attacks",
    "test_breaches",
    "test_bulk_files",
    "test_cache",
    "test_cache_faults",
    "test_cache_servers",
    "test_canonical",
    "test_deadlines",
    "test_deaths",
    "test_decorator",
    "test_distribution",
    "test_docs",
    "test_engine_memory",
    "test_errors",
    "test_examples",
    "test_exceptions",
    "test_facade",
    "test_faults",
    "test_in_place",
    "test_inherited",
    "test_interrupts",
    "test_kept_definitions",
    "test_kept_outlines",
    "test_kinds_of_files",
    "test_left_and_shared",
    "test_logs",
    "test_main_script",
    "test_output",
    "test_own",
    "test_performance",
    "test_processes",
    "test_retry",
    "test_ssh",
    "test_ssh_failures",
    "test_subprocess",
    "test_tracebacks",
    "test_typing",
    "test_unguarded",
    "test_versions",
    "test_warm",
    "test_warnings",
}


@pytest.fixture(autouse=True)
def coverage_of_processes(request, monkeypatch):
    if request.path.stem in _UNCOUNTED:
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtestloop(session):
    """Removes what a process had not written to its end when it was killed, before it is read."""
    result = yield
    file = os.environ.get("COVERAGE_FILE")
    if file and not hasattr(session.config, "workerinput"):
        for path in Path(file).parent.glob(Path(file).name + ".*"):
            with contextlib.closing(sqlite3.connect(path)) as connection:
                try:
                    connection.execute("SELECT * FROM file").fetchall()
                    is_whole = connection.execute("PRAGMA quick_check").fetchall() == [("ok",)]
                except sqlite3.DatabaseError:
                    is_whole = False
            if not is_whole:
                path.unlink()
    return result


class Project:
    """A user's project: a folder with a workflow and its configuration."""

    def __init__(self, folder, temporary):
        self.folder = folder
        self.temporary = temporary

    def write(self, name, text):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    def run(
        self, *arguments, python=sys.executable, check=True, text=None, seconds=300, **variables
    ):
        """Runs Python in the project's folder, with bandsaw on its path."""
        done = subprocess.run(
            [str(python), *arguments],
            cwd=self.folder,
            env=self.environment(**variables),
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=seconds,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    def start(self, *arguments, stdin=subprocess.DEVNULL):
        """Starts Python there, and leaves it to the caller."""
        return subprocess.Popen(
            [sys.executable, *arguments],
            cwd=self.folder,
            env=self.environment(),
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def environment(self, path=(), **variables):
        inherited = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith("BANDSAW_") or name == "BANDSAW_HOME"
        }
        return {
            **inherited,
            "PYTHONPATH": os.pathsep.join([str(ROOT), *path]),
            "TMPDIR": str(self.temporary),
            # Tests write a file again within the second and with the same size, and byte code that
            # is kept would be taken for that of the new one.
            "PYTHONDONTWRITEBYTECODE": "1",
            **variables,
        }

    def left_behind(self):
        return sorted(path.name for path in self.temporary.iterdir())


def is_whole(path):
    """Says whether a file with JSON is there, all of it."""
    return path.exists() and path.read_text().endswith("}")


def wait_until(condition, looks=2000):
    for _ in range(looks):
        if condition():
            return
        # Some look at all processes, which takes time that these need.
        time.sleep(0.03)
    raise AssertionError("it did not come to that")


def is_gone(pid):
    """Whether a process that is no child of ours has ended; a zombie counts as gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


wait_until.gone = lambda pid: wait_until(lambda: is_gone(pid))


@pytest.fixture(name="wait_until")
def wait_until_fixture():
    """Waits for a condition; `wait_until.gone` for the end of a process."""
    return wait_until


@pytest.fixture
def interrupt():
    """Interrupts a process whose first line names others, and sees that they end with it."""

    def interrupt(process):
        with process:
            pids = list(map(int, process.stdout.readline().split()))
            process.send_signal(signal.SIGINT)
            assert "KeyboardInterrupt" in process.communicate()[1]
        for pid in pids:
            wait_until.gone(pid)
        return pids

    return interrupt


@pytest.fixture
def project(tmp_path):
    folder, temporary = tmp_path / "project", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    return Project(folder, temporary)


@pytest.fixture(scope="session")
def pythons():
    return interpreters()


@pytest.fixture(scope="session")
def other_python(pythons):
    """A Python of another minor version than this one: the oldest or the newest."""
    this = tuple(sys.version_info[:2])
    others = [executable for version, executable in pythons.items() if version != this]
    if not others:
        lacking("no Python of another version is installed")
    return others[0]


@pytest.fixture(scope="session")
def sshd_module():
    path = ROOT / "examples" / "remote" / "sshd.py"
    spec = importlib.util.spec_from_file_location("bandsaw_example_sshd", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def coverage_variables():
    """What has coverage be measured in a process that does not inherit it, where it is here."""
    return {name: os.environ[name] for name in os.environ if name.startswith("COVERAGE_")}


@pytest.fixture(scope="session")
def sshd(sshd_module):
    """A running SSH server on a loopback port."""
    try:
        server = quick(sshd_module)(coverage_variables())
    except sshd_module.NotInstalledError as error:
        lacking(str(error))
    with server:
        yield server


@pytest.fixture(scope="session")
def remote_arguments(sshd):
    """What a `Remote` needs to reach the server: also as text, for a configuration module."""
    return {
        "host": "127.0.0.1",
        "port": sshd.port,
        "user": sshd.user,
        "key_file": str(sshd.key_file),
        "options": {
            "UserKnownHostsFile": str(sshd.known_hosts),
            "GlobalKnownHostsFile": "/dev/null",
            "IdentitiesOnly": "yes",
        },
    }
