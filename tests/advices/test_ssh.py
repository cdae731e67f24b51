import functools
import importlib
import os
import re
import subprocess
import sys
import time
from concurrent.futures import Future
from pathlib import Path

import pytest

import bandsaw
from bandsaw.advices import ssh
from bandsaw.advices.ssh import Remote, SshAdvice, SshBackend, SshCommandLineBackend
from bandsaw.errors import (
    InvalidValueError,
    RemoteCommandError,
    SessionFileError,
    TaskKilledError,
    UnknownRemoteError,
    WorkerDiedError,
)
from bandsaw.execution import Execution
from bandsaw.result import Result
from bandsaw.session import Session

pytestmark = pytest.mark.xdist_group("sshd")

PYTHON = bandsaw.Interpreter(executable=sys.executable)


class Recording(SshBackend):
    """A backend with only what the interface has: the far side is a folder here."""

    def __init__(self, fail_in=None, error=None):
        self.calls = []
        self.fail_in = fail_in
        self.error = error

    def note(self, name, *what):
        self.calls.append((name, *what))
        if name == self.fail_in:
            raise self.error

    def create_dir(self, remote, remote_path):
        self.note("create_dir", remote_path)
        remote_path.mkdir()

    def copy_file_to_remote(self, remote, local_path, remote_path):
        self.note("to", local_path, remote_path)
        remote_path.write_bytes(local_path.read_bytes())

    def copy_file_from_remote(self, remote, remote_path, local_path):
        self.note("from", remote_path, local_path)
        local_path.write_bytes(remote_path.read_bytes())

    def execute_remote(self, remote, executable, *arguments):
        self.note("execute", executable, *arguments)
        subprocess.run([executable, *arguments], check=True)

    def delete_dir(self, remote, remote_path):
        self.note("delete_dir", remote_path)
        for path in remote_path.iterdir():
            path.unlink()
        remote_path.rmdir()


@pytest.fixture
def own_configuration(tmp_path, monkeypatch):
    """Makes a configuration in a module that another process can import, and a task."""

    def make(advice):
        (tmp_path / "own_configuration.py").write_text(
            "import bandsaw\n"
            "configuration = bandsaw.Configuration()\n"
            "configuration.add_advice_chain("
            "bandsaw.advices.ssh.SshAdvice())\n"
            "configuration.add_modules_for_distribution('own_module')\n"
        )
        (tmp_path / "own_module.py").write_text("def doubled(x):\n    return [x, x]\n")
        monkeypatch.syspath_prepend(str(tmp_path))
        for name in ("own_configuration", "own_module"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        configuration = bandsaw.get_configuration("own_configuration")
        configuration.add_advice_chain(advice)
        return configuration

    yield make
    for name in ("own_configuration", "own_module", "reading"):
        sys.modules.pop(name, None)


def call(configuration, *args, **kwargs):
    import own_module

    task = bandsaw.tasks.Task.create_task(own_module.doubled, kwargs)
    return Session(task, Execution("e", args), configuration).initiate()


def test_a_backend_sees_the_steps_in_their_order(own_configuration, tmp_path):
    backend = Recording()
    (tmp_path / "far").mkdir()
    advice = SshAdvice(tmp_path / "made" / "here", backend)
    remote = Remote("host", interpreter=PYTHON, directory=tmp_path / "far")
    assert advice.add_remote(remote) is advice
    assert call(own_configuration(advice), (1,)) == Result([(1,), (1,)])
    names = [name for name, *_ in backend.calls]
    assert names == ["create_dir", "to", "to", "execute", "from", "delete_dir"]
    folder = backend.calls[0][1]
    assert folder.parent == tmp_path / "far"
    assert backend.calls[-1][1] == folder
    archive, given, returned = backend.calls[1][2], backend.calls[2][2], backend.calls[4][1]
    run_id = bandsaw.get_run_id()
    assert backend.calls[3][1:] == (
        *(sys.executable, str(archive), "--input", str(given), "--output", str(returned)),
        *("--run-id", run_id),
    )
    for step in backend.calls[1], backend.calls[2], backend.calls[4]:
        assert all(isinstance(path, Path) for path in step[1:])
    assert all(isinstance(argument, str) for argument in backend.calls[3][1:])
    assert list((tmp_path / "far").iterdir()) == list((tmp_path / "made" / "here").iterdir()) == []


def test_a_call_by_steps_is_not_killed_and_its_result_arrives(own_configuration, tmp_path):
    killed = []

    class Killing(Recording):
        def execute_remote(self, remote, executable, *arguments):
            killed.append(future.kill())
            super().execute_remote(remote, executable, *arguments)

    backend = Killing()
    remote = Remote("host", interpreter=PYTHON, directory=tmp_path / "far")
    (tmp_path / "far").mkdir()
    own_configuration(SshAdvice(backend=backend).add_remote(remote))
    import own_module

    gate = Future()
    future = bandsaw.task(config="own_configuration")(own_module.doubled).submit(gate)
    gate.set_result(1)
    assert future.result() == [1, 1]
    assert killed == [False]


def test_environment_and_path_arrive_with_any_backend(own_configuration, tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "only_there.py").write_text("value = 7\n")
    interpreter = bandsaw.Interpreter([str(tmp_path / "more")], sys.executable)
    interpreter.set_environment(MARK="$HOME it's far")
    advice = SshAdvice(backend=Recording())
    advice.add_remote(Remote("host", interpreter=interpreter, directory=tmp_path / "far"))
    (tmp_path / "reading.py").write_text(
        "import os\ndef read(name):\n"
        "    import only_there\n    return os.environ[name], only_there.value\n"
    )
    configuration = own_configuration(advice).add_modules_for_distribution("reading")
    import reading

    task = bandsaw.tasks.Task.create_task(reading.read)
    session = Session(task, Execution("e", ("MARK",)), configuration)
    assert session.initiate() == Result(("$HOME it's far", 7))
    assert "MARK" not in os.environ


def test_a_session_that_was_not_sent_is_not_taken_back(own_configuration, tmp_path):
    class Stale(Recording):
        first = None

        def copy_file_from_remote(self, remote, remote_path, local_path):
            self.first = self.first or remote_path.read_bytes()
            local_path.write_bytes(self.first)

    advice = SshAdvice(backend=Stale())
    advice.add_remote(Remote("host", interpreter=PYTHON, directory=tmp_path))
    configuration = own_configuration(advice)
    assert call(configuration, 1) == Result([1, 1])
    with pytest.raises(SessionFileError, match="Another session came back"):
        call(configuration, 2)


def test_a_backend_needs_no_folders(own_configuration, tmp_path):
    class Small(SshBackend):
        def copy_file_to_remote(self, remote, local_path, remote_path):
            remote_path.parent.mkdir(exist_ok=True)
            remote_path.write_bytes(local_path.read_bytes())

        def copy_file_from_remote(self, remote, remote_path, local_path):
            local_path.write_bytes(remote_path.read_bytes())

        def execute_remote(self, remote, executable, *arguments):
            subprocess.run([executable, *arguments], check=True)

    advice = SshAdvice(backend=Small())
    advice.add_remote(Remote("host", interpreter=PYTHON, directory=tmp_path))
    assert call(own_configuration(advice), 1) == Result([1, 1])


@pytest.mark.parametrize("fail_in", ["create_dir", "to", "execute", "from", "delete_dir"])
def test_the_folder_is_removed_whatever_fails(own_configuration, tmp_path, fail_in, caplog):
    error = subprocess.CalledProcessError(9, ["x"], None, "last words")
    backend = Recording(fail_in, error)
    advice = SshAdvice(tmp_path / "here", backend)
    advice.add_remote(Remote("host", interpreter=PYTHON, directory=tmp_path))
    configuration = own_configuration(advice)
    if fail_in == "delete_dir":
        assert call(configuration, 1) == Result([1, 1])
        assert "is left behind on host" in caplog.text
    else:
        # That the process ended is a failure of the crossing, and so the result.
        with pytest.raises(RuntimeError if fail_in != "execute" else WorkerDiedError) as caught:
            raise call(configuration, 1).exception
        assert "host" in str(caught.value)
        assert "own_module.doubled" in str(caught.value)
        assert caught.value.__cause__ is error
    assert backend.calls[-1][0] == "delete_dir"
    assert list((tmp_path / "here").iterdir()) == []


def test_the_death_of_the_remote_process_names_task_host_and_status(own_configuration, tmp_path):
    error = subprocess.CalledProcessError(137, ["x"], "out", "err")
    advice = SshAdvice(backend=Recording("execute", error))
    advice.add_remote(Remote("my-host", interpreter=PYTHON, directory=tmp_path))
    with pytest.raises(subprocess.CalledProcessError) as caught:
        raise call(own_configuration(advice), 1).exception
    for part in ("own_module.doubled", "my-host", "137", "SIGKILL", "Its last words:\nerr"):
        assert part in str(caught.value)
    assert (caught.value.returncode, caught.value.stderr) == (137, "err")


def test_a_task_picks_its_remote_by_name(own_configuration, tmp_path):
    advice = SshAdvice(backend=Recording())
    advice.add_remote(Remote("one", interpreter=PYTHON, directory=tmp_path / "1"), "one")
    (tmp_path / "2").mkdir()
    advice.add_remote(Remote("two", interpreter=PYTHON, directory=tmp_path / "2"), name="two")
    assert set(advice.remotes) == {"one", "two"}
    configuration = own_configuration(advice)
    assert call(configuration, 1, ssh={"remote": "two"}) == Result([1, 1])
    assert advice.backend.calls[0][1].parent == tmp_path / "2"
    with pytest.raises(UnknownRemoteError, match="'three'.*'one', 'two'") as caught:
        call(configuration, 1, ssh={"remote": "three"})
    assert isinstance(caught.value, (KeyError, ValueError))
    names_one = r"names no remote, which means 'default'.*ssh=\{'remote': 'one'\}"
    with pytest.raises(UnknownRemoteError, match=names_one):
        call(configuration, 1)
    nothing = own_configuration(SshAdvice(backend=Recording()))
    with pytest.raises(UnknownRemoteError, match=r"has: none\. Add one: SshAdvice\(\)\.add_remote"):
        call(nothing, 1)
    with pytest.raises(InvalidValueError, match="ssh='two' cannot be used"):
        call(configuration, 1, ssh="two")
    bare = SshAdvice(backend=Recording())
    bare.remotes["default"] = "example.org"
    with pytest.raises(InvalidValueError, match="'default'.* to be a Remote.*not 'example.org'"):
        call(own_configuration(bare), 1)


def test_what_is_no_remote_is_refused_where_it_is_added():
    advice = SshAdvice()
    with pytest.raises(InvalidValueError, match="'default'.* to be a Remote.*not 'example.org'"):
        advice.add_remote("example.org")
    with pytest.raises(InvalidValueError, match="name of a remote is a text, not 3"):
        advice.add_remote(Remote("one", interpreter=PYTHON), 3)
    assert not advice.remotes


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"interpreter": "/usr/bin/python3"}, r"interpreter of the remote h .*/usr/bin/python3"),
        ({"key_file": ""}, "key_file cannot be a path: ''"),
        ({"directory": ""}, "directory cannot be a path: ''"),
        ({"options": 0}, "options have to be a dict.* not 0"),
    ],
)
def test_a_remote_is_refused_where_it_is_made(given, told):
    with pytest.raises(InvalidValueError, match=told):
        Remote("h", **{"interpreter": PYTHON, **given})


def test_a_remote_has_defaults():
    remote = Remote("host", interpreter=PYTHON)
    assert (remote.host, remote.port, remote.key_file) == ("host", 22, None)
    assert remote.user == bandsaw.user.get_current_username()
    assert remote.directory == Path("/tmp")
    assert remote.interpreter is PYTHON
    given = Remote("host", 2222, "me", "/key", PYTHON, "/far")
    assert (given.port, given.user, given.key_file) == (2222, "me", "/key")
    assert given.directory == Path("/far")


def test_a_remote_needs_a_host_and_an_interpreter():
    with pytest.raises(ValueError, match="^Remote needs a host"):
        Remote(interpreter=PYTHON)
    with pytest.raises(ValueError, match="^Remote needs an interpreter"):
        Remote(host="host")


@pytest.mark.parametrize(
    "arguments",
    [
        {"host": "-oProxyCommand=touch /tmp/x"},
        {"host": "a b"},
        {"host": "a;b"},
        {"host": "$(a)"},
        {"host": "a\nb"},
        {"user": "-l"},
        {"user": "a'b"},
        {"port": 0},
        {"port": 65536},
        {"port": "22"},
        {"port": True},
        {"key_file": "/a%h"},
        {"directory": 5},
        {"options": {"Proxy Command": "x"}},
        {"options": {"User": "x\ny"}},
        {"options": {"Compression": True}},
        {"options": {None: "x"}},
        {"options": ["BatchMode"]},
    ],
)
def test_what_ssh_could_take_for_something_else_is_refused(arguments):
    with pytest.raises(InvalidValueError):
        Remote(**{"host": "host", "interpreter": PYTHON, **arguments})


def test_names_are_put_together():
    remote = Remote("host", user="me", interpreter=PYTHON)
    assert SshCommandLineBackend.login(remote) == "me@host"
    assert SshCommandLineBackend.get_remote_path(remote, Path("/a/b")) == "me@host:/a/b"
    assert SshCommandLineBackend.get_remote_path(remote, "/a/b") == "me@host:/a/b"
    assert "@host" in SshCommandLineBackend.login(Remote("host", interpreter=PYTHON))


def test_only_what_was_given_reaches_the_command_line():
    command_line = SshCommandLineBackend().connection_command
    command = command_line(Remote("alias", interpreter=PYTHON), sys.executable)
    assert not {"-p", "-l", "-i"} & set(command)
    assert command[command.index("--") + 1] == "alias"
    command = command_line(
        Remote("alias", 22, "me", "/key", PYTHON, options={"LogLevel": "DEBUG"}), "x"
    )
    for pair in (["-p", "22"], ["-l", "me"], ["-i", "/key"], ["-o", "LogLevel=DEBUG"]):
        at = command.index(pair[1])
        assert command[at - 1 : at + 1] == pair


@pytest.mark.parametrize("executable", ["-c", "a\nb", "/bin/sh -c 'touch x'; $(touch y)`touch z`"])
def test_an_interpreter_is_never_read_as_commands(executable, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    remote = Remote("host", interpreter=bandsaw.Interpreter(executable=executable))
    try:
        line = SshCommandLineBackend().connection_command(remote, executable)[-1]
    except InvalidValueError:
        assert executable.startswith("-") or not executable.isprintable()
        return
    done = subprocess.run(["sh", "-c", line], stdin=subprocess.DEVNULL, capture_output=True)
    assert done.returncode == 127
    assert list(tmp_path.iterdir()) == []


def test_the_least_busy_remote_is_taken_and_one_that_failed_comes_last():
    from bandsaw.advices.ssh import _least_busy

    least, names = functools.partial(_least_busy, SshAdvice()), ["a", "b", "c"]
    with least(names, []) as (first, load), least(names, []) as (second, _):
        assert (first, second) == ("a", "b")
        with least(["b", "a"], []) as (third, _):
            assert third == "b"
    load.failed_at = time.monotonic()
    with least(names, []) as (first, _), least(names, ["b"]) as (second, _):
        # Another task has failed on one, this one on the other.
        assert (first, second) == ("b", "c")
    with least(["a", "b"], ["b"]) as (found, _):
        assert found == "a"
    with least(["a"], ["a"]) as (found, _):
        assert found == "a"


@pytest.mark.parametrize(
    "options", [{"retries": -1}, {"retries": True}, {"remote": []}, {"remote": 3}, {"tries": 1}]
)
def test_options_of_a_task_that_cannot_be_are_refused(own_configuration, options):
    advice = SshAdvice(backend=Recording()).add_remote(Remote("host", interpreter=PYTHON))
    with pytest.raises(InvalidValueError, match="own_module.doubled"):
        call(own_configuration(advice), 1, ssh=options)


def test_what_needs_a_connection_is_refused_with_files(own_configuration):
    advice = SshAdvice(backend=Recording(), workers=1)
    advice.add_remote(Remote("host", interpreter=PYTHON))
    with pytest.raises(InvalidValueError, match="workers needs a backend with"):
        call(own_configuration(advice), 1)
    advice = SshAdvice(backend=Recording()).add_remote(Remote("host", interpreter=PYTHON))
    with pytest.raises(InvalidValueError, match="timeout of a task needs a backend with"):
        call(own_configuration(advice), 1, timeout=3)
    advice.add_remote(Remote("host", interpreter=bandsaw.Environment()))
    with pytest.raises(InvalidValueError, match="Environment on the remote needs a backend with"):
        call(own_configuration(advice), 1)


def test_a_subclass_with_steps_of_its_own_has_them_used():
    class Own(SshCommandLineBackend):
        def create_dir(self, remote, remote_path):
            pass

    remote = Remote("host", interpreter=PYTHON)
    assert Own().connection_command(remote, "python") is None
    assert SshCommandLineBackend().connection_command(remote, "python") is not None


def test_options_of_a_remote_go_over_ours_whatever_their_case():
    remote = Remote("host", interpreter=PYTHON, options={"batchmode": "no"})
    command = SshCommandLineBackend().connection_command(remote, "python")
    assert "batchmode=no" in command
    assert "BatchMode=yes" not in command


@pytest.fixture
def server(remote_arguments, tmp_path):
    far = tmp_path / "far"
    interpreter = bandsaw.Interpreter(executable=sys.executable)
    return Remote(interpreter=interpreter, directory=far, **remote_arguments)


def test_files_go_there_and_back_through_a_real_server(server, tmp_path):
    backend = SshCommandLineBackend()
    content = os.urandom(3_000_000)
    (tmp_path / "sent").write_bytes(content)
    folder = tmp_path / "far" / "it's a $folder"
    backend.create_dir(server, folder)
    assert folder.stat().st_mode & 0o777 == 0o700
    backend.copy_file_to_remote(server, tmp_path / "sent", folder / "there")
    assert (folder / "there").stat().st_mode & 0o777 == 0o600
    backend.copy_file_from_remote(server, folder / "there", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    backend.delete_dir(server, folder)
    assert not folder.exists()


def test_failures_there_are_typed_and_say_what_happened(server, tmp_path):
    backend = SshCommandLineBackend()
    with pytest.raises(RemoteCommandError, match="fetch .*127.0.0.1.*FileNotFoundError"):
        backend.copy_file_from_remote(server, Path("/not/there"), tmp_path / "x")
    (tmp_path / "far").mkdir()
    backend.create_dir(server, tmp_path / "far" / "a")
    with pytest.raises(RemoteCommandError, match="FileExistsError"):
        backend.create_dir(server, tmp_path / "far" / "a")
    with pytest.raises(subprocess.CalledProcessError, match="exit code 3") as caught:
        backend.execute_remote(
            server, sys.executable, "-c", "import sys; sys.stderr.write('oh'); sys.exit(3)"
        )
    assert caught.value.returncode == 3
    assert caught.value.stderr == "oh"
    with pytest.raises(subprocess.CalledProcessError, match="SIGKILL") as caught:
        backend.execute_remote(server, sys.executable, "-c", "import os; os.kill(os.getpid(), 9)")
    with pytest.raises(subprocess.CalledProcessError, match="not there"):
        backend.execute_remote(server, "not there")


def test_output_arguments_and_environment_pass_a_real_server(server, capfd):
    server.interpreter.set_environment(ONE="it's $HOME `x` \n two")
    code = "import os, sys; print(os.environ['ONE'], sys.argv[1:], flush=True)"
    SshCommandLineBackend().execute_remote(
        server, sys.executable, "-c", code, "a b", "$HOME", "'", ""
    )
    assert capfd.readouterr().out == "it's $HOME `x` \n two ['a b', '$HOME', \"'\", '']\n"


def test_a_host_that_is_not_there_is_an_error_with_the_words_of_ssh(remote_arguments, sshd_module):
    arguments = {**remote_arguments, "port": sshd_module._free_port()}
    with pytest.raises(RemoteCommandError, match="Connection refused") as caught:
        SshCommandLineBackend().create_dir(
            Remote(interpreter=PYTHON, **arguments), Path("/tmp/never")
        )
    assert "127.0.0.1" in str(caught.value)
    assert caught.value.returncode == 255


def test_an_unknown_host_key_is_refused(remote_arguments):
    options = {**remote_arguments["options"], "UserKnownHostsFile": "/dev/null"}
    remote = Remote(interpreter=PYTHON, **{**remote_arguments, "options": options})
    with pytest.raises(RemoteCommandError, match="Host key verification failed"):
        SshCommandLineBackend().create_dir(remote, Path("/nowhere"))


def test_a_missing_interpreter_there_is_named(remote_arguments):
    interpreter = bandsaw.Interpreter(executable="/not/there/python")
    with pytest.raises(RemoteCommandError, match="/not/there/python"):
        SshCommandLineBackend().create_dir(
            Remote(interpreter=interpreter, **remote_arguments), Path("/nowhere")
        )


def test_a_missing_ssh_is_named(server, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RemoteCommandError, match="'ssh' of OpenSSH cannot be started"):
        SshCommandLineBackend().create_dir(server, server.directory)


@pytest.fixture
def remote_project(project, remote_arguments, tmp_path):
    def write(executable=sys.executable, path=None):
        project.write(
            "bandsaw_config.py",
            f"""
            import logging
            import bandsaw
            from bandsaw.advices.ssh import Remote, SshAdvice

            logging.basicConfig(level=logging.INFO)
            interpreter = bandsaw.Interpreter({path!r}, {executable!r}).set_environment(MARK='far')
            advice = SshAdvice().add_remote(Remote(
                interpreter=interpreter, directory={str(tmp_path / "far")!r},
                **{remote_arguments!r}))
            configuration = bandsaw.Configuration().add_advice_chain(advice)
            configuration.add_advice_chain(
                advice, bandsaw.advices.log.LoggingAdvice(), name='logged')
            """,
        )
        project.write(
            "workflow.py",
            """
            import os, sys, time
            import bandsaw

            class OwnError(Exception):
                pass

            @bandsaw.task
            def f(value):
                print('printed there')
                if value is None:
                    raise OwnError(1, (2,))
                return value, os.environ['MARK'], tuple(sys.version_info[:2]), bandsaw.get_run_id()

            @bandsaw.task(chain='logged')
            def logged():
                return 1

            @bandsaw.task
            def sleeps():
                print(os.getpid(), flush=True)
                time.sleep(600)

            @bandsaw.task
            def dies():
                print('last words', file=sys.stderr, flush=True)
                os._exit(7)

            if __name__ == '__main__':
                exec(sys.argv[1])
            """,
        )
        return project

    return write


def only_archives_are_left(far):
    (kept,) = far.iterdir()
    assert kept.name == f"bandsaw-{os.geteuid()}"
    assert kept.stat().st_mode & 0o077 == 0
    assert [path.name for path in kept.iterdir()] == ["archives"]
    assert all(re.fullmatch("[0-9a-f]{32}", path.name) for path in (kept / "archives").iterdir())


def test_the_configuration_that_a_variable_names_is_used_there(remote_project):
    project = remote_project()
    (project.folder / "bandsaw_config.py").rename(project.folder / "other_config.py")
    project.write("bandsaw_config.py", "raise AssertionError('this is not the one')")
    done = project.run("workflow.py", "print(logged())", BANDSAW_CONFIG_MODULE="other_config")
    assert done.stdout == "1\n"


BODY = """
value, mark, version, run_id = f([(1, {2: (3,)})])
assert value == [(1, {2: (3,)})] and type(value[0]) is tuple
assert mark == 'far' and run_id == bandsaw.get_run_id()
try:
    f(None)
except OwnError as error:
    assert error.args == (1, (2,)) and 'raise OwnError' in str(error.__cause__)
else:
    raise AssertionError
assert logged() == 1
print(version)
"""


def test_a_workflow_runs_on_a_real_server(remote_project, tmp_path, pythons):
    for version in {min(pythons), max(pythons), tuple(sys.version_info[:2])}:
        project = remote_project(pythons[version])
        done = project.run("workflow.py", BODY)
        lines = done.stdout.splitlines()
        assert lines == ["printed there", "printed there", str(version)]
        assert "BEFORE" in done.stderr
        assert project.left_behind() == []
        only_archives_are_left(tmp_path / "far")


def test_the_death_of_a_remote_process_is_explained(remote_project, tmp_path):
    body = "import subprocess\ntry: dies()\nexcept subprocess.CalledProcessError as e: print(e)"
    told = remote_project().run("workflow.py", body).stdout
    for part in ("workflow.dies", "127.0.0.1", "exit code 7", "last words"):
        assert part in told
    only_archives_are_left(tmp_path / "far")


def test_the_end_of_the_workflow_ends_what_runs_there(remote_project, tmp_path, wait_until):
    project = remote_project()
    with project.start("workflow.py", "sleeps()") as process:
        pid = int(process.stdout.readline())
        process.kill()
    wait_until.gone(pid)
    only_archives_are_left(tmp_path / "far")


def test_much_output_of_any_kind_arrives_whole(server, capfd):
    code = "print('€' * 200_000)"
    SshCommandLineBackend().execute_remote(server, sys.executable, "-X", "utf8", "-c", code)
    assert capfd.readouterr().out == "€" * 200_000 + "\n"


def test_an_interrupt_here_ends_what_runs_there_and_leaves_nothing(
    remote_project, tmp_path, interrupt
):
    project = remote_project()
    assert len(interrupt(project.start("workflow.py", "sleeps()"))) == 1
    assert project.left_behind() == []
    only_archives_are_left(tmp_path / "far")


def test_noise_of_a_start_up_file_does_no_harm(server, tmp_path, monkeypatch):
    fake = tmp_path / "bin" / "ssh"
    fake.parent.mkdir()
    fake.write_text(
        '#!/bin/sh\necho \'Welcome! {"error": 1}\'\nexec /usr/bin/env PATH="$REAL" ssh "$@"\n'
    )
    fake.chmod(0o700)
    monkeypatch.setenv("REAL", os.environ["PATH"])
    monkeypatch.setenv("PATH", f"{fake.parent}{os.pathsep}{os.environ['PATH']}")
    SshCommandLineBackend().create_dir(server, server.directory / "made")
    assert [path.name for path in server.directory.iterdir()] == ["made"]


def write_kept(project, remote_arguments, options="workers=1"):
    """Writes a configuration with a process that is kept on the remote."""
    project.write(
        "bandsaw_config.py",
        f"""
        import bandsaw, sys
        from bandsaw.advices.ssh import Remote, SshAdvice
        python = bandsaw.Interpreter(executable=sys.executable)
        directory = {str(project.temporary)!r}
        remote = Remote(interpreter=python, directory=directory, **{remote_arguments!r})
        configuration = bandsaw.Configuration().add_advice_chain(
            SshAdvice({options}).add_remote(remote)
        )
        """,
    )


def test_killing_a_submitted_call_ends_its_process_on_the_remote(project, remote_arguments):
    write_kept(project, remote_arguments)
    project.write(
        "workflow.py",
        """
        import os, time
        import bandsaw

        @bandsaw.task
        def hang(path):
            open(path, "w").close()
            time.sleep(1000)

        @bandsaw.task
        def same(value):
            return value

        if __name__ == "__main__":
            path = os.path.abspath("begun")
            future = hang.submit(path)
            while not os.path.exists(path):
                time.sleep(0.01)
            assert future.kill()
            assert type(future.exception(60)) is bandsaw.errors.TaskKilledError
            assert list(same.map(range(5))) == [0, 1, 2, 3, 4]
        """,
    )
    project.run("workflow.py")


@pytest.mark.parametrize("how", ["os.kill(pid, signal.SIGKILL)", "open('go', 'w').close()"])
def test_a_kept_process_that_ends_when_a_call_is_on_its_way_is_replaced(
    project, remote_arguments, how
):
    write_kept(project, remote_arguments)
    project.write(
        "workflow.py",
        f"""
        import os, signal, threading, time
        import bandsaw

        def leave(path):
            while not os.path.exists(path):
                time.sleep(0.005)
            os._exit(0)

        @bandsaw.task
        def go(path):
            threading.Thread(target=leave, args=(path,), daemon=True).start()
            return os.getpid()

        def is_there(pid):
            try:
                with open(f"/proc/{{pid}}/stat") as file:
                    return file.read().rpartition(")")[2].split()[0] != "Z"
            except OSError:
                return False

        if __name__ == "__main__":
            from bandsaw._workers.pool import _pools

            pid = go(os.path.abspath("go"))
            {how}
            while is_there(pid):
                time.sleep(0.01)
            time.sleep(0.5)  # the other end knows of it
            (pool,) = [pool for pool in _pools if pool._idle]
            # As if the call came in the moment before this end hears of it.
            pool._idle[0].trusted_until = float("inf")
            assert go("never") != pid
        """,
    )
    project.run("workflow.py")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_call_whose_process_was_to_be_started_by_what_has_just_ended_begins_anew(
    project, remote_arguments
):
    # So that the second call needs another process.
    write_kept(project, remote_arguments, "workers=1, max_tasks=1")
    project.write(
        "workflow.py",
        """
        import os, signal
        import bandsaw

        @bandsaw.task
        def parent():
            return os.getppid()

        def parent_of(pid):
            with open(f"/proc/{pid}/stat") as file:
                return int(file.read().rpartition(")")[2].split()[1])

        if __name__ == "__main__":
            from bandsaw._workers.ssh.multiplexer import Stream

            fork_server = parent()
            hub, send, killed = parent_of(fork_server), Stream.send, []

            def sent(self, letter, *pieces):
                if letter != b"P" or killed:
                    return send(self, letter, *pieces)
                # The hub has not heard of its end when it is asked for a process.
                killed.append(fork_server)
                os.kill(hub, signal.SIGSTOP)
                os.kill(fork_server, signal.SIGKILL)
                send(self, letter, *pieces)
                os.kill(hub, signal.SIGCONT)

            Stream.send = sent
            assert parent() != fork_server and killed
        """,
    )
    project.run("workflow.py")


@pytest.mark.parametrize("what", ["exit 255", "exec sleep 1000"])
def test_a_call_that_was_killed_is_not_run_again(own_configuration, tmp_path, what):
    attempts = tmp_path / "attempts"

    class Lost(Recording):
        def connection_command(self, remote, executable):
            return ["sh", "-c", f"echo >> '{attempts}'; {what}"]

    own_configuration(SshAdvice(backend=Lost()).add_remote(Remote(host="h", interpreter=PYTHON)))
    decorate = bandsaw.task(config="own_configuration", ssh={"retries": 50})
    future = decorate(importlib.import_module("own_module").doubled).submit(1)
    end = time.monotonic() + 60
    while not attempts.exists() and time.monotonic() < end:
        time.sleep(0.01)
    assert future.kill()
    error = future.exception(60)
    assert type(error) is TaskKilledError
    assert len(attempts.read_text().splitlines()) <= 2


def test_the_pause_before_a_remote_is_tried_again_has_a_bound():
    assert [ssh._pause_before(tries) for tries in (1, 2, 3)] == [0.5, 1.0, 2.0]
    assert ssh._pause_before(10_000) < 60
